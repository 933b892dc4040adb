-- How the keys in some ranges are searched: by what is indexed of them where it is, else by their values. The ranges are what a
-- pattern and the caller's reads have in common, and no part reaches beyond them: the words of a directory are asked for
-- only where the caller reads all of it.
create function pgstate._search_plan(p_ranges pgstate.keymultirange, p_reads pgstate.keymultirange) returns setof pgstate._search_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rules pgstate.keymultirange := coalesce((select range_agg(r.ranges) from pgstate.search_rule r), '{}');
  v_builds pgstate.keymultirange := coalesce((select range_agg(u) from pgstate.search_build b, unnest(pgstate._pattern_ranges(b.subtree)) u), '{}');
  v_rule record;
  v_range pgstate.keyrange;
  v_low text;
  v_high text;
  v_dir text;
  v_end text;
begin
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges - v_rules + p_ranges * v_builds) r
  loop
    return next row('fly', null, null, null, v_low, v_high,
                    v_rules && pgstate._range(v_low, v_high))::pgstate._search_part;
  end loop;
  if isempty(p_ranges * v_rules - v_builds) then
    return;
  end if;
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges) r where pgstate._range(r.low, r.high) && v_rules
  loop
    while v_low collate "C" < v_high collate "C" loop
      -- everything, a directory as it begins the range, part of one that the caller reads, or anything else
      v_dir := left(v_low, -greatest(strpos(reverse(v_low), '/'), 1));
      v_end := v_high;
      if v_low = '' and v_high = chr(127) then
        v_dir := '';
      elsif right(v_low, 1) = '/' and (v_dir || '0') collate "C" <= v_high collate "C" then
        v_end := v_dir || '0';
      elsif strpos(v_low, '/') = 0 or v_high = v_low || chr(1) or (v_dir || '0') collate "C" < v_high collate "C"
            or not p_reads @> pgstate._range(v_dir || '/', v_dir || '0') then
        v_dir := null;
      end if;
      for v_rule in
        select r.id, r.config, regexp_replace(nullif(r.subtree, '**'), E'/\\*\\*$', '') as root, r.ranges
          from pgstate.search_rule r where r.ranges && pgstate._range(v_low, v_end)
      loop
        for v_range in
          select u from unnest(v_rule.ranges * multirange(pgstate._range(v_low, v_end)) - v_builds) u
        loop
          return next row(
            case when lower(v_range) = upper(v_range) or upper(v_range) = lower(v_range) || chr(1) then 'scan'
                 when v_dir is not null or pgstate._range(v_low, v_end) @> pgstate._range(v_rule.root || '/', v_rule.root || '0') then 'scope'
                 else 'scan' end,
            v_rule.id, v_rule.config,
            -- marks begin with the rule's own subtree
            case when v_rule.root is null then v_dir
                 when length(v_dir) > length(v_rule.root) then v_dir else v_rule.root end,
            coalesce(case when lower_inc(v_range) then lower(v_range) else lower(v_range) || chr(1) end, ''),
            coalesce(case when upper_inc(v_range) then upper(v_range) || chr(1) else upper(v_range) end, chr(127)),
            true)::pgstate._search_part;
        end loop;
      end loop;
      v_low := v_end;
    end loop;
  end loop;
end
$$;
comment on function pgstate._search_plan(pgstate.keymultirange, pgstate.keymultirange) is 'Internal: how ranges of keys are searched.';
