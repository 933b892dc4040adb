create function pgstate._position(p_cursor text, p_place text) returns pgstate._position
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_position pgstate._position;
  v_parts text[] := string_to_array(p_cursor, '.');
begin
  -- one expression without captures, which the engine decides in one pass
  if p_cursor ~ ('^1\.[0-9]{1,20}:[0-9]{1,10}\.[0-9]{1,9}\.[0-9A-F]{8}'
                 '\.[1-9][0-9]{0,18}:[1-9][0-9]{0,18}:(?:[1-9][0-9]{0,18}(?:,[1-9][0-9]{0,18})*)?'
                 '(?:\.[1-9][0-9]{0,18}:[1-9][0-9]{0,18}:(?:[1-9][0-9]{0,18}(?:,[1-9][0-9]{0,18})*)?\.[0-9]{1,18}\.[0-9]{1,18})?$')
     is not true
  then
    raise exception using errcode = 'PS020', message = 'invalid cursor',
      hint = 'A cursor is opaque: pass one that cursor(), list() or changes() returned, unchanged.';
  elsif not starts_with(p_cursor, '1.' || p_place || '.') then
    raise exception using errcode = 'PS021', message = 'the cursor belongs to another history of this database (restored, promoted or cloned since)',
      hint = 'List again, and go on from the new cursor.';
  end if;
  begin
    v_position := row(v_parts[5]::pg_snapshot, v_parts[6]::pg_snapshot, coalesce(v_parts[7]::bigint, 0), coalesce(v_parts[8]::bigint, 0));
  exception when invalid_text_representation then
    raise exception using errcode = 'PS020', message = 'invalid cursor';
  end;
  if not pgstate._covers(coalesce(v_position.upto, v_position.base))
     or pg_snapshot_xmax(v_position.base) > pg_snapshot_xmax(coalesce(v_position.upto, v_position.base)) then
    raise exception using errcode = 'PS020', message = 'the cursor is ahead of what this transaction can see',
      hint = 'Under REPEATABLE READ a transaction cannot read on from a newer cursor: begin a new one.';
  end if;
  return v_position;
end
$$;
comment on function pgstate._position(text, text) is 'Internal: checks a cursor and takes it apart. PS020, PS021.';
