create type pgstate.pruned as (status text, removed bigint);
comment on type pgstate.pruned is 'Outcome of removing checkpoints: status ok with their number, missing, held or stale.';
