-- A write happens once, for op_ids: inserted in order before any key is locked. Returns for each row 'new', 'replay' or
-- 'reused' (another request under the same id), 'known' (to be looked at by _op_known()) or 'invalid' (1 to 256 bytes). A
-- second insert of an id waits for the first one's transaction.
create function pgstate._op_begin(p_actor pgstate._actor, p_op_ids text[], p_requests text[]) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_states text[];
  v_added int;
begin
  with request as materialized (
    select pgstate._op_name(i.op_id) as op_id, sha256(convert_to(i.request, 'UTF8')) as hash, i.ord
      from unnest(p_op_ids, p_requests) with ordinality as i (op_id, request, ord)
  ), added as (
    insert into pgstate.op (agent_id, op_id, request_hash, at)
    select p_actor.id, f.op_id, f.hash, pgstate._now()
      from (select distinct on (r.op_id collate "C") r.op_id, r.hash from request r where octet_length(r.op_id) between 1 and 256
             order by r.op_id collate "C", r.ord) f
        on conflict do nothing
    returning op_id
  ), first as (
    select distinct on (r.op_id collate "C") r.op_id, r.ord, r.hash from request r where r.op_id is not null
     order by r.op_id collate "C", r.ord
  )
  select array_agg(case when r.op_id is null then 'new'
                        when octet_length(r.op_id) not between 1 and 256 then 'invalid'
                        when a.op_id is not null and f.ord = r.ord then 'new'
                        when a.op_id is not null then case when f.hash = r.hash then 'replay' else 'reused' end
                        else 'known' end order by r.ord), (select count(*) from added)
    into v_states, v_added
    from request r left join added a on a.op_id = r.op_id left join first f on f.op_id = r.op_id;
  if p_actor.quota and v_added > 0 then
    -- what has no effect is remembered as well
    perform pgstate._charge(v_added);
  end if;
  return v_states;
end
$$;
comment on function pgstate._op_begin(pgstate._actor, text[], text[]) is 'Internal: takes the rows'' op_ids.';
