create function pgstate._rotate_ticket_keys(p_actor pgstate._actor, p_grace interval) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- uuids are from the server's strong random numbers, 122 bits each: the hash of four has 256
  v_key bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid() || gen_random_uuid() || gen_random_uuid(), 'UTF8')) || decode(repeat('00', 32), 'hex');
  v_inner bytea := v_key;
  v_outer bytea := v_key;
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_grace is null or p_grace > interval '1 day' or not pgstate._span_ok(p_grace + interval '1 microsecond') then
    raise exception using errcode = 'PS007', message = 'grace is at most a day';
  end if;
  for v_byte in 0 .. 63 loop
    v_inner := set_byte(v_inner, v_byte, get_byte(v_key, v_byte) # 54);
    v_outer := set_byte(v_outer, v_byte, get_byte(v_key, v_byte) # 92);
  end loop;
  delete from pgstate.ticket_key k where k.retired_at < pgstate._now();
  update pgstate.ticket_key k set retired_at = least(k.retired_at, pgstate._now() + p_grace);
  insert into pgstate.ticket_key (inner_pad, outer_pad, created_at) values (v_inner, v_outer, pgstate._now()) returning id into v_id;
  perform pgstate._audit(p_actor, 'rotate_ticket_keys', null, jsonb_build_object('key', v_id, 'grace', p_grace));
  return v_id;
end
$$;
comment on function pgstate._rotate_ticket_keys(pgstate._actor, interval) is 'Internal: makes a new key for tickets; the others are taken for a while yet.';
