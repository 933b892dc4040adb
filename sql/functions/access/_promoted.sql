-- Has a standby been promoted since tokens were last given here? Then a session must not take for known that its writes have nothing
-- to settle. True on a standby. As the owner, as _restored().
create function pgstate._promoted() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.timeline is distinct from pgstate._timeline() from pgstate.install i);
end
$$;
comment on function pgstate._promoted() is 'Internal: has the database been promoted, and not written to since?';
