create type pgstate._policy as (reducer text, ttl interval, value_limit int, schema jsonb, guard text, trust pgstate.trust);
comment on type pgstate._policy is 'Internal: what the policies say of one key; null where none does.';
