-- Those of the wanted channels that a checkpoint lists without a value: an ancestor may have it. In time with how many there
-- are: whoever may write there says that, and others fork and prune what it saved. In an order that does not vary, by which a
-- walk knows what it has had.
create function pgstate._wanted_channels(p_names text[], p_types text[], p_wanted text[]) returns text[]
language sql immutable
as $$
  select array(
    select x.name
      from (select u.name, true as listed
              from rows from (pg_catalog.unnest(p_names), pg_catalog.unnest(p_types)) u (name, type) where u.type is null
            union all
            select w, false from pg_catalog.unnest(p_wanted) w) x
     group by x.name having pg_catalog.bool_or(x.listed) and not pg_catalog.bool_and(x.listed)
     order by x.name collate pg_catalog."C")
$$;
comment on function pgstate._wanted_channels(text[], text[], text[]) is 'Internal: channels whose value is to be had from an ancestor.';
