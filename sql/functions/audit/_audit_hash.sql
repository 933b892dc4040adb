-- As jsonb, whose text does not depend on settings; the time as a number, which has no zone.
create function pgstate._audit_hash(p_before bytea, p_audit pgstate.audit) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(p_before || sha256(convert_to(jsonb_build_array(
    p_audit.id, extract(epoch from p_audit.at), p_audit.event, p_audit.agent, p_audit.via, p_audit.key, p_audit.detail)::text, 'UTF8')));
end
$$;
comment on function pgstate._audit_hash(bytea, pgstate.audit) is 'Internal: the hash of a link.';
