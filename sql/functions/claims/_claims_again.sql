-- The opposite of _keep_claims(). A value that has changed since is left out: the claim was lost then.
create function pgstate._claims_again(p_outcome jsonb) returns pgstate.claimed[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return array(
    select row(o.item ->> 0, o.item ->> 1,
               (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end
                  from pgstate.entry e where e.key = o.item ->> 1 and e.version = (o.item ->> 2)::bigint and o.item ->> 0 = 'ok'),
               (o.item ->> 2)::bigint, (o.item ->> 3)::bigint, (o.item ->> 4)::timestamptz, (o.item ->> 5)::int, (o.item ->> 6)::interval)::pgstate.claimed
      from jsonb_array_elements(p_outcome) with ordinality as o (item, ord) order by o.ord);
end
$$;
comment on function pgstate._claims_again(jsonb) is 'Internal: the first outcome of a claim that was sent again.';
