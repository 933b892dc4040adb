create type pgstate.maintained as (status text, removed bigint, more boolean);
comment on type pgstate.maintained is 'What maintain() did: status ok, or busy when another was at it; how many versions were removed, null for those without admin on everything; whether more waits.';
