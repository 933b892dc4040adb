-- Logical replication brings rows, and no sequences: numbers would be given again, and fail or, of the feed, mean two things. One
-- that is in step stays as it is, whoever draws from it meanwhile: nobody sees a row with a number beyond it.
--
-- The highest version that retention let go of is nowhere else, and new keys must start above it: milliseconds since the middle
-- of 2025 are above what any key has come to.
create function pgstate._settle_sequences() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_row record;
  v_most bigint;
  v_floor bigint := (extract(epoch from clock_timestamp()) - 1750000000) * 1000;
begin
  for v_row in
    select s.oid::regclass as sequence, d.refobjid::regclass as "table", a.attname as "column"
      from pg_class s
      join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass and d.deptype = 'a'
      join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
     where s.relkind = 'S' and s.relnamespace = 'pgstate'::regnamespace
    union all
    select 'pgstate.version_seq'::regclass, 'pgstate.version'::regclass, 'seq'
  loop
    execute format('select max(%I) from %s', v_row."column", v_row."table") into v_most;
    if v_most > coalesce(pg_sequence_last_value(v_row.sequence), 0) then
      perform setval(v_row.sequence, v_most);
      if v_row.sequence = 'pgstate.version_seq'::regclass and (select i.horizon is not null from pgstate.install i)
         and v_floor > coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
        perform setval('pgstate.version_floor', v_floor);
      end if;
    end if;
  end loop;
end
$$;
comment on function pgstate._settle_sequences() is 'Internal: brings sequences up to what the tables hold, where logical replication has filled those.';
