-- Whoever administers anything can keep the rows of an agent and of its delegations locked, by a grant in an open transaction: then
-- who does is told, to be ended.
create function pgstate._raise_changing(p_message text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  raise exception using errcode = 'lock_not_available', message = p_message,
    hint = coalesce('One of these has, or several: ask again, or end them (pg_terminate_backend): ' || pgstate._who_changes_agents(), 'Ask again.');
end
$$;
comment on function pgstate._raise_changing(text) is 'Internal: raises 55P03 and names transactions that have changed what agents may.';
