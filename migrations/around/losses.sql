-- Refuses to go back where something would be lost: what each revision that is undone says of itself.
do $losses$
declare
  v_at text;
  v_row record;
  v_count bigint;
  v_lost text;
begin
  if pg_catalog.to_regclass('pgstate.alembic_version') is null then
    return;
  end if;
  execute 'select version_num from pgstate.alembic_version' into v_at;
  for v_row in
    select l.what, l.query from (values
      {losses}
    ) l(revision, what, query) where l.revision <= v_at and v_at <= {known}
  loop
    set local role pgstate_owner;
    execute v_row.query into v_count;
    reset role;
    if v_count > 0 then
      v_lost := pg_catalog.concat_ws(', ', v_lost, pg_catalog.format('%s (%s)', v_row.what, v_count));
    end if;
  end loop;
  if v_lost is not null then
    raise exception 'going back from revision % to {target} loses: %', v_at, v_lost
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Nothing was changed. --data-loss (Python: data_loss=True) goes back all the same.';
  end if;
end
$losses$;
