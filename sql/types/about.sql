create type pgstate.about as (revision text, agent text, login text, value_limit int, epoch int);
comment on type pgstate.about is 'What info() tells: the schema''s revision, who the caller is, and this installation''s limits.';
