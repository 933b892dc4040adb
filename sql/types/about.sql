create type pgstate.about as (revision text, agent text, login text, value_limit int, epoch int, serves text);
comment on type pgstate.about is 'What info() tells: the schema''s revision, who the caller is, and this installation''s limits.';
comment on column pgstate.about.serves is 'Clients of this revision and later ones go on working.';
