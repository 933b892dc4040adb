-- Back to 0004.
set local role pgstate_owner;

-- The audit trail.
drop table pgstate.audit_pending, pgstate.audit_link, pgstate.audit_chain, pgstate.audit;
drop type pgstate.audit_row, pgstate.audit_checked;
alter table pgstate.install drop constraint install_audit_keep_range, drop column audit_keep;
