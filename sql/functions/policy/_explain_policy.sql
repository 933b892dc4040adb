create function pgstate._explain_policy(p_actor pgstate._actor, p_key text) returns setof pgstate.policy_setting
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set intervalstyle = postgres
as $$
declare
  v_subtrees text[] := pgstate._subtrees_of(p_key);
  v_reach pgstate.keymultirange := (select r.touches + r.admins from pgstate._reach r where r.agent_id = p_actor.id);
begin
  return query
    select d.setting,
           -- as in _policies()
           case when d.setting <> 'dead_letter' or v_reach && pgstate._pattern_ranges((f.value #>> '{}') || '/**') then coalesce(f.value, d.value) end,
           f.subtree
      from (values (1, 'reducer', null::jsonb), (2, 'ttl', null), (3, 'keep', '"everything"'),
                   (4, 'value_limit', to_jsonb(p_actor.value_limit)), (5, 'schema', null),
                   (6, 'max_attempts', null), (7, 'backoff', '"00:00:01"'), (8, 'backoff_limit', '"00:05:00"'), (9, 'dead_letter', null),
                   (10, 'claimed_writes', 'false'), (11, 'guard', '"refuse"'), (12, 'trust', null)) d (place, setting, value)
      left join lateral (
        select x.value, p.subtree
          from pgstate.policy p
          cross join lateral (values
            ('reducer', to_jsonb(p.reducer)),
            ('ttl', case when p.ttl = interval '0' then '"none"' else to_jsonb(p.ttl) end),
            ('keep', to_jsonb(pgstate._keep_text(p.keep_versions, p.keep_age, p.keep_everything))),
            -- the installation's may have become smaller
            ('value_limit', to_jsonb(case when p.value_limit is not null then least(p.value_limit, p_actor.value_limit) end)),
            ('schema', p.schema), ('max_attempts', to_jsonb(p.max_attempts)), ('backoff', to_jsonb(p.backoff)),
            ('backoff_limit', to_jsonb(p.backoff_limit)), ('dead_letter', to_jsonb(p.dead_letter)), ('claimed_writes', to_jsonb(p.claimed_writes)),
            ('guard', to_jsonb(p.guard)), ('trust', to_jsonb(p.trust))) x (setting, value)
         where p.subtree = any (v_subtrees) and x.setting = d.setting and x.value is not null
         order by p.nearness desc limit 1) f on true
     order by d.place;
end
$$;
comment on function pgstate._explain_policy(pgstate._actor, text) is 'Internal: what holds for a key, and where it comes from.';
