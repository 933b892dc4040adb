-- Wake-ups are hints: an empty payload on a channel that only its subscriber was told. What changed is read from the
-- feed, through the reader's own rights.
create function pgstate._wake(p_keys text[], p_within pgstate.keymultirange default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[] := p_keys;
  v_channels text[];
  v_done boolean;
begin
  if p_within is not null then
    v_keys := array(select k from unnest(p_keys) k where (select p_within + '{}') @> k);
  end if;
  v_channels := pgstate._watching(v_keys, pgstate._now());
  if v_channels is not null then
    v_done := pgstate._notify(v_channels);
  end if;
end
$$;
comment on function pgstate._wake(text[], pgstate.keymultirange) is 'Internal: notifies the channels that watch any of the keys, of those within some ranges.';
