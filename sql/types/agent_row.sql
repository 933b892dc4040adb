create type pgstate.agent_row as (name text, login text, gateways text[], root boolean, created_at timestamptz, trust text, suspended_at timestamptz);
comment on type pgstate.agent_row is 'An agent: its own login, and the gateways that may act for it.';
