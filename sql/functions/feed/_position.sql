create function pgstate._position(p_cursor text, p_epoch int) returns pgstate._position
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[] := string_to_array(p_cursor, '.');
  v_position pgstate._position;
  v_snapshot constant text := '^[1-9][0-9]{0,18}:[1-9][0-9]{0,18}:(?:[1-9][0-9]{0,18}(?:,[1-9][0-9]{0,18})*)?$';
begin
  if cardinality(v_parts) not in (5, 8) or v_parts[1] <> '1' or v_parts[5] !~ v_snapshot
     or v_parts[2] !~ '^[0-9]{1,20}:[0-9]{1,10}$' or v_parts[3] !~ '^[0-9]{1,9}$' or v_parts[4] !~ '^[0-9A-F]{8}$'
     or cardinality(v_parts) = 8 and (v_parts[6] !~ v_snapshot or v_parts[7] !~ '^[0-9]{1,18}$' or v_parts[8] !~ '^[0-9]{1,18}$') or p_cursor is null
  then
    raise exception using errcode = 'PS020', message = 'invalid cursor',
      hint = 'A cursor is opaque: pass one that cursor(), list() or changes() returned, unchanged.';
  end if;
  v_position.place := pgstate._feed_place(p_epoch);
  if v_position.place <> v_parts[2] || '.' || v_parts[3] || '.' || v_parts[4] then
    raise exception using errcode = 'PS021', message = 'the cursor belongs to another history of this database (restored, promoted or cloned since)',
      hint = 'List again, and go on from the new cursor.';
  end if;
  begin
    v_position.base := v_parts[5]::pg_snapshot;
    v_position.upto := v_parts[6]::pg_snapshot;
  exception when invalid_text_representation then
    raise exception using errcode = 'PS020', message = 'invalid cursor';
  end;
  v_position.after := coalesce(v_parts[7]::bigint, 0);
  v_position.until := coalesce(v_parts[8]::bigint, 0);
  if not pgstate._covers(coalesce(v_position.upto, v_position.base))
     or pg_snapshot_xmax(v_position.base) > pg_snapshot_xmax(coalesce(v_position.upto, v_position.base)) then
    raise exception using errcode = 'PS020', message = 'the cursor is ahead of what this transaction can see',
      hint = 'Under REPEATABLE READ a transaction cannot read on from a newer cursor: begin a new one.';
  end if;
  return v_position;
end
$$;
comment on function pgstate._position(text, int) is 'Internal: checks a cursor and takes it apart. PS020, PS021, PS022.';
