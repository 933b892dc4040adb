create type pgstate.audit_row as (id bigint, at timestamptz, event text, agent text, via text, key text, detail jsonb);
comment on type pgstate.audit_row is 'An entry of the audit trail.';
