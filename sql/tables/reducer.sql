-- By name, not by oid: an oid would not survive a dump and restore, and a column of type regprocedure stops pg_upgrade.
create table pgstate.reducer (
  name text collate "C" not null,
  function_schema text collate "C" not null,
  function_name text collate "C" not null,
  digest bytea not null,
  registered_by text not null,
  registered_at timestamptz not null default pg_catalog.now(),
  constraint reducer_pkey primary key (name),
  constraint reducer_name_form check (name ~ '^[a-z][a-z0-9_]{0,62}$')
);
comment on table pgstate.reducer is 'Reducers of this installation''s own: functions (jsonb, jsonb) -> jsonb that policies may name.';
comment on column pgstate.reducer.digest is 'Hash of the function as it was registered: another body is not run.';
comment on column pgstate.reducer.name is 'What merge() and policies call it.';
comment on column pgstate.reducer.function_schema is 'Schema of the function.';
comment on column pgstate.reducer.function_name is 'Name of the function, which takes (jsonb, jsonb).';
comment on column pgstate.reducer.registered_by is 'The agent that registered it.';
comment on column pgstate.reducer.registered_at is 'When it was registered.';
