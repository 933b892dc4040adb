-- The chunk that takes the place of another: null for none. In SQL, so that it is inlined.
create function pgstate._moved(p_stores bigint[], p_hash bytea) returns bytea
language sql stable
as $$
  select (select k.moved_to from pgstate.chunk k
           where k.thread_id = any (p_stores) and k.hash = p_hash and k.moved_to is not null
             and exists (select from pgstate.chunk n where n.thread_id = k.thread_id and n.hash = k.moved_to) limit 1)
$$;
comment on function pgstate._moved(bigint[], bytea) is 'Internal: the chunk that takes the place of another.';
