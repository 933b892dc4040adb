create or replace view pgstate.audit_log with (security_invoker = true) as
select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail from pgstate.audit("limit" => null) a;
comment on view pgstate.audit_log is 'The audit trail, where the reader administers.';
comment on column pgstate.audit_log.id is 'Number; rises.';
comment on column pgstate.audit_log.at is 'When it was.';
comment on column pgstate.audit_log.event is 'What was done: grant, revoke, create_agent, set_policy, denied …';
comment on column pgstate.audit_log.agent is 'Who did it, or was denied it.';
comment on column pgstate.audit_log.via is 'The database login.';
comment on column pgstate.audit_log.key is 'The key or subtree that it is about; null for the installation as a whole.';
comment on column pgstate.audit_log.detail is 'What else there is to know; of a denial the words of who was denied.';
