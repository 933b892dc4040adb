create type pgstate.audit_checked as (subtree text, sound boolean, links bigint, head text, fault text, active boolean, waiting bigint);
comment on type pgstate.audit_checked is 'What verify_audit() found of a chain: links that are there, its head to be noted elsewhere, what is wrong with it, and how many entries wait for a link.';
