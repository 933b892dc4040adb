-- A ticket is agent/t1/key/until/signature; no name of an agent holds a slash. It is for one login, which is the session's.
-- The signature is compared as text is: to use the time that takes, one would have to tell nanoseconds apart in that of a
-- whole call, and each guess needs a statement; a ticket has ended before.
create function pgstate._ticket_agent(p_ticket text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_part text[] := string_to_array(p_ticket, '/');
begin
  if cardinality(v_part) <> 5 or v_part[2] <> 't1' or v_part[3] !~ '^[0-9]{1,9}$' or v_part[4] !~ '^[0-9]{1,11}$' then
    return null;
  elsif to_timestamp(v_part[4]::bigint) <= pgstate._now() then
    return null;
  end if;
  return (select a.name from pgstate.ticket_key k join pgstate.agent a on a.name = v_part[1]
           where k.id = v_part[3]::int and (k.retired_at is null or k.retired_at > pgstate._now())
             and pgstate._ticket_signature(k, session_user::text, a.name, a.id, v_part[4]::bigint) = v_part[5]);
end
$$;
comment on function pgstate._ticket_agent(text) is 'Internal: the agent that a ticket names, null if it is not good for this login now.';
