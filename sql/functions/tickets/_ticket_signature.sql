-- The agent's number too: who is given the name of one that was dropped is another.
create function pgstate._ticket_signature(p_key pgstate.ticket_key, p_login text, p_agent text, p_agent_id int, p_until bigint) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return encode(sha256(p_key.outer_pad || sha256(p_key.inner_pad || convert_to(jsonb_build_array('t1', p_key.id, p_login, p_agent, p_agent_id, p_until)::text, 'UTF8'))), 'hex');
end
$$;
comment on function pgstate._ticket_signature(pgstate.ticket_key, text, text, int, bigint) is 'Internal: HMAC-SHA256 of a ticket.';
