create type pgstate.policy_setting as (setting text, value jsonb, subtree text);
comment on type pgstate.policy_setting is 'A setting that holds for a key, and the subtree whose policy sets it; null when none does and value is what holds without.';
