-- A text search configuration by its name. One that is gone since must not keep anybody from writing.
create function pgstate._config(p_config text) returns regconfig
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return p_config::regconfig;
exception when undefined_object or invalid_schema_name or insufficient_privilege then
  return 'pg_catalog.simple'::regconfig;
end
$$;
comment on function pgstate._config(text) is 'Internal: a text search configuration, simple when it does not exist.';
