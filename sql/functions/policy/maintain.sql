create function pgstate.maintain("limit" int default 5000) returns pgstate.maintained
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_login();
  if maintain."limit" is null or maintain."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000';
  end if;
  return pgstate._maintain(pgstate._acting(), maintain."limit");
end
$$;
comment on function pgstate.maintain(int) is
  'Removes versions that no policy keeps, never the current one of a key and none that a cursor younger than install.cursor_window needs; and keys that were deleted, with all that was known of them, when their time has passed or one version is kept. Points of the feed become fewer with their age (pgstate.thinning). Looks at limit versions, 1 to 100000, for each age that policies name; and indexes for search what was there before set_search(), a tenth of limit keys. Every connected client calls it now and then, one at a time: status busy says that another is at it. more: call again. PS007 PS010.';
