create function pgstate.touch(keys text[], agent text default null, lives interval[] default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if touch.lives is not null then
    if (cardinality(touch.lives) = cardinality(touch.keys)) is not true then
      raise exception using errcode = 'PS007', message = 'keys and lives must be of equal length';
    elsif exists (select from unnest(touch.lives) l where not pgstate._span_ok(l)) then
      raise exception using errcode = 'PS007', message = 'lives are more than nothing, and a hundred years at most';
    end if;
  end if;
  return pgstate._touch(touch.agent, touch.keys, touch.lives);
end
$$;
comment on function pgstate.touch(text[], text, interval[]) is
  'Lets the time to live of entries begin anew: each lives on for as long as its last write let it, or for lives[i] if that is less, until it is touched again. Returns how many did; those without a time to live, those that have expired, and those that the caller may not read and write stay as they are. No new version: nothing else about the entry changes. PS007 PS010.';
