-- Do policies say anything about writing these keys? Then the short ways of writing are not for them. The history that is
-- kept is no such thing.
create function pgstate._has_rules(p_keys text[]) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select from unnest(p_keys) k cross join lateral pgstate._policy_of(k) p
     where k is not null and num_nonnulls(p.ttl, p.value_limit, p.schema, p.trust) > 0);
end
$$;
comment on function pgstate._has_rules(text[]) is 'Internal: do policies bear on puts of any of these keys?';
