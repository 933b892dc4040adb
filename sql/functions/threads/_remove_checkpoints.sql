-- Removes checkpoints of a thread whose entry the caller has locked (all but p_keep of each namespace and p_ids, or those of
-- runs), and the writes after them, but not what those that stay cannot be read without. What the thread does not need any more is collected. Returns how many went, and what its entry says
-- from then on (null when none went). The oldest that a number leaves has no parent from then on; where runs went, those that
-- came after them still name what they came after.
create function pgstate._remove_checkpoints(p_key text, p_ns text, p_keep int, p_run_ids text[], p_ids text[] default null) returns pgstate._removed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key for no key update);
  v_spaces text[];
  v_gone text[];
  v_space text;
  v_one text;
  v_out pgstate._removed;
begin
  -- OFFSET, EXCEPT, and a query in place of NOT EXISTS: each by a look at the index, as there may be very many on both sides
  with recursive judged as materialized (
    select c.ns, c.id, c.whole,
           (case when p_run_ids is null then c.place > p_keep or c.id = any (p_ids) else c.run_id = any (p_run_ids) end) is true as given
      from (select x.ns, x.id, x.whole, x.run_id, row_number() over (partition by x.ns order by x.id desc) as place
              from pgstate.checkpoint x where x.thread_id = v_id and (p_ns is null or x.ns = p_ns)) c
  ), needed (ns, id, wanted) as (
    select c.ns, c.parent, pgstate._wanted_channels(c.names, c.types, c.names)
      from judged j
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_id and y.ns = j.ns and y.id = j.id offset 0) c
     where not j.given and not j.whole
    union
    select c.ns, c.parent, w.left_over
      from needed n
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_id and y.ns = n.ns and y.id = n.id offset 0) c
      cross join lateral pgstate._wanted_channels(c.names, c.types, n.wanted) w (left_over)
     where w.left_over <> '{}'
  ), going as materialized (
    select j.ns, j.id from judged j where j.given except select n.ns, n.id from needed n
  ), gone as (
    delete from pgstate.checkpoint c
     where c.ctid = any (array(
       select y.ctid
         from going g
         cross join lateral (
           select x.ctid from pgstate.checkpoint x where x.thread_id = v_id and x.ns = g.ns and x.id = g.id offset 0) y))
    returning c.ns, c.id
  )
  select count(*), array_agg(c.ns), array_agg(c.id) into v_out.removed, v_spaces, v_gone from gone c;
  -- by their names: one that is written again meanwhile has another place
  for v_space, v_one in select * from unnest(v_spaces, v_gone) loop
    delete from pgstate.pending_write w where w.thread_id = v_id and w.ns = v_space and w.checkpoint = v_one;
  end loop;
  if p_run_ids is null then
    update pgstate.checkpoint c set parent = null
     where c.thread_id = v_id and (p_ns is null or c.ns = p_ns) and c.parent is not null
       and (select true from pgstate.checkpoint p where p.thread_id = v_id and p.ns = c.ns and p.id = c.parent) is null;
  end if;
  if v_out.removed = 0 then
    return v_out;
  end if;
  update pgstate.thread t set pruned = true, collect_at = pgstate._now() where t.id = v_id;
  perform pgstate._collect_thread(v_id, 10000, 1000);
  v_out.value := pgstate._thread_value(v_id);
  return v_out;
end
$$;
comment on function pgstate._remove_checkpoints(text, text, int, text[], text[]) is 'Internal: removes checkpoints but the newest of each namespace, or those of runs.';
