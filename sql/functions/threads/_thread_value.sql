-- What the entry of a thread says: the checkpoint that was saved last, how many there are, and the bytes that they hold.
create function pgstate._thread_value(p_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_build_object('checkpoint', l.id, 'ns', l.ns, 'checkpoints', n.count, 'bytes', n.bytes + k.bytes)
      from (select count(*) as count, coalesce(sum(coalesce(octet_length(c.header), 0) + (select coalesce(sum(octet_length(d)), 0) from unnest(c.data) d)), 0) as bytes
              from pgstate.checkpoint c where c.thread_id = p_id) n
      cross join (select coalesce(sum(octet_length(x.data)), 0) as bytes from pgstate.chunk x where x.thread_id = p_id) k
      left join lateral (select c.id, c.ns from pgstate.checkpoint c where c.thread_id = p_id order by c.created_at desc, c.id desc limit 1) l on true);
end
$$;
comment on function pgstate._thread_value(bigint) is 'Internal: what the entry of a thread says of its checkpoints, counted anew.';
