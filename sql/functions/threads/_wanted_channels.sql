-- Those of the wanted channels that a checkpoint lists without a value: an ancestor may have it.
create function pgstate._wanted_channels(p_names text[], p_types text[], p_wanted text[]) returns text[]
language sql immutable
as $$
  select array(
    select w from pg_catalog.unnest(p_wanted) w
     where pg_catalog.array_position(p_names, w) is not null and p_types[pg_catalog.array_position(p_names, w)] is null)
$$;
comment on function pgstate._wanted_channels(text[], text[], text[]) is 'Internal: channels whose value is to be had from an ancestor.';
