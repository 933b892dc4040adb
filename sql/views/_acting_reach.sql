-- What policies compare keys with: the acting agent's reach, as it is stored with a login that has an agent of its own. Whom a
-- gateway acts for takes a call, which is not made for others: it cost a put a twelfth. A view, so that the rule stands once, and
-- pgstate_api need not see the table.
-- The union with '{}' detoasts: a stored datum would be detoasted for every row.
create or replace view pgstate._acting_reach as
select case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('read', l) else l.reads end + '{}' as reads,
       case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('write', l) else l.writes end + '{}' as writes,
       case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('touch', l) else l.touches end + '{}' as touches
  from pgstate.login l
 where l.login = session_user::text;
comment on view pgstate._acting_reach is 'Internal: what the acting agent may read, write, or touch (either).';
comment on column pgstate._acting_reach.reads is 'Ranges of keys, as in the table reach; null if this login may not act for whom it names.';
comment on column pgstate._acting_reach.writes is 'Likewise.';
comment on column pgstate._acting_reach.touches is 'Either.';
