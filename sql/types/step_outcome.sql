create type pgstate.step_outcome as (ord int, status text, version bigint, cancelled boolean, code text, message text, watched boolean);
comment on type pgstate.step_outcome is 'Outcome of recording a step: status ok with the new version of the run''s entry, stale, missing, ended, exists, or why it was refused. cancelled: the run is to end.';
