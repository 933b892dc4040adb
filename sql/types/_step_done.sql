create type pgstate._step_done as (ord int, status text, cancelled boolean);
comment on type pgstate._step_done is 'Internal: what became of a step that was to be recorded.';
