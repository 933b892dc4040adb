create function pgstate._position(p_cursor text, p_place text, p_horizon xid8) returns pgstate._position
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_position pgstate._position;
  v_parts text[] := string_to_array(p_cursor, '.');
begin
  -- without a regular expression: see _wanted(). The type's own input checks what a snapshot must be like.
  if starts_with(p_cursor, '1.' || p_place || '.') and cardinality(v_parts) in (5, 8)
     and translate(substr(p_cursor, length(p_place) + 4), '0123456789:,.', '') = '' then
    begin
      v_position := row(v_parts[5]::pg_snapshot, v_parts[6]::pg_snapshot, coalesce(v_parts[7]::bigint, 0), coalesce(v_parts[8]::bigint, 0));
    exception when invalid_text_representation or numeric_value_out_of_range then
      null;
    end;
  elsif not starts_with(p_cursor, '1.' || p_place || '.')
        and p_cursor ~ E'^1\\.[0-9]{1,20}:[0-9]{1,10}\\.[0-9]{1,9}\\.[0-9A-F]{8}(?:\\.[0-9:,]+){1,4}$' then
    raise exception using errcode = 'PS021', message = 'the cursor belongs to another history of this database (restored, promoted or cloned since)',
      hint = 'List again, and go on from the new cursor.';
  end if;
  if v_position.base is null then
    raise exception using errcode = 'PS020', message = 'invalid cursor',
      hint = 'A cursor is opaque: pass one that cursor(), list() or changes() returned, unchanged.';
  end if;
  if not pgstate._covers(coalesce(v_position.upto, v_position.base))
     or pg_snapshot_xmax(v_position.base) > pg_snapshot_xmax(coalesce(v_position.upto, v_position.base)) then
    raise exception using errcode = 'PS020', message = 'the cursor is ahead of what this transaction can see',
      hint = 'Under REPEATABLE READ a transaction cannot read on from a newer cursor: begin a new one.';
  end if;
  -- Has the cursor seen everything that retention has removed, and what came right after it? Else changes that it is to be
  -- told, or values before them, may be gone. Cursors younger than install.cursor_window always have: see _cut_version().
  if p_horizon >= pg_snapshot_xmin(v_position.base) then
    raise exception using errcode = 'PS021', message = 'the cursor is older than the history that is kept',
      hint = 'List again, and go on from the new cursor. Policies say what is kept, and pgstate.install.cursor_window how old a cursor may become.';
  end if;
  return v_position;
end
$$;
comment on function pgstate._position(text, text, xid8) is 'Internal: checks a cursor and takes it apart. PS020, PS021.';
