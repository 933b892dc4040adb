create function pgstate._sealed_data(p_actor pgstate._actor, p_part text, p_first bigint, p_blocks int, p_current text, p_after text)
returns setof pgstate.sealed_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_range record := pgstate._sealed_blocks(p_actor, p_part, p_first, p_blocks);
  v_first tid := v_range.first;
  v_end tid := v_range."end";
  v_after tid;
begin
  if p_current is null or p_after !~ E'^\\([0-9]{1,10},[0-9]{1,5}\\)$' then
    raise exception using errcode = 'PS007', message = 'the current key is needed, and after_place is the place of a row that was returned';
  end if;
  v_after := coalesce(p_after::tid, v_first);
  return query
    with old as (
      -- what is before its row: whole rows are returned
      select s.*, coalesce(sum(octet_length(s.data)) over (order by s.place range between unbounded preceding and current row exclude group), 0) as before
        from pgstate._sealed s
       where s.part = p_part and s.place >= v_first and s.place < v_end and s.place > v_after and not s.moved
         and pgstate._sealed_under(s.type, s.data) <> convert_to(p_current, 'UTF8')
    )
    select o.place::text, o.field, n.key, o.type, o.data, (select max(b.before) from old b) >= 8388608, n.name
      from old o
      cross join lateral (
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id) as key, encode(k.hash, 'hex') as name
          from pgstate.chunk k where p_part = 'chunk' and k.ctid = o.place
        union all
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id), concat_ws(' ', nullif(c.ns, ''), c.id, case p_part when 'checkpoint' then c.names[o.field] end)
          from pgstate.checkpoint c where p_part in ('checkpoint', 'header') and c.ctid = o.place
        union all
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id), concat_ws(' ', nullif(w.ns, ''), w.checkpoint, w.task_id, w.idx)
          from pgstate.pending_write w where p_part = 'pending_write' and w.ctid = o.place
        union all
        select r.key::text, null from pgstate.run r where p_part in ('input', 'result') and r.ctid = o.place
        union all
        select (select r.key::text from pgstate.run r where r.id = s.run_id), s.id::text from pgstate.step s where p_part = 'step' and s.ctid = o.place
        union all
        select (select r.key::text from pgstate.run r where r.id = g.run_id), g.name || ' ' || g.no from pgstate.signal g where p_part = 'signal' and g.ctid = o.place) n
     where o.before < 8388608 order by o.place;
end
$$;
comment on function pgstate._sealed_data(pgstate._actor, text, bigint, int, text, text) is 'Internal: payloads under other keys. PS007 PS010.';
