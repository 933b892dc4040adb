create type pgstate.credential_row as (agent text, name text, purpose text, granted_by text, granted_at timestamptz);
comment on type pgstate.credential_row is 'A credential that an agent may have resolved, and for what.';
