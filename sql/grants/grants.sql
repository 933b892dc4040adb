-- Agents execute the agent-facing functions and touch no table; pgstate_api reaches the tables that policies guard; readers
-- select. Nothing is PUBLIC's.
grant select on pgstate.entry, pgstate.version, pgstate.claim, pgstate._acting_reach to pgstate_api;
grant insert on pgstate.entry, pgstate.claim to pgstate_api;
-- not the key: the policies on updates rely on that
grant update (kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
  full_version, tail_count, tail_bytes, full_bytes, full_type, trust) on pgstate.entry to pgstate_api;
grant update (token, holder, holder_id, lease_until, attempts, claimed_at, retry_at, error, released) on pgstate.claim to pgstate_api;
grant insert on pgstate.version to pgstate_api;
grant delete on pgstate.claim to pgstate_api;
grant usage on sequence pgstate.version_seq, pgstate.claim_token_seq to pgstate_api;
grant select on sequence pgstate.version_floor to pgstate_api;

grant select on pgstate.entry, pgstate.version, pgstate.claim, pgstate.entries, pgstate.versions, pgstate.claims, pgstate.tasks,
  pgstate.activity, pgstate.audit_log, pgstate.agents, pgstate.grants, pgstate.policies to pgstate_reader;
grant select on pgstate.thread, pgstate.checkpoint, pgstate.threads, pgstate.checkpoints to pgstate_reader;
grant select on pgstate.run, pgstate.step, pgstate.runs, pgstate.steps to pgstate_reader;
