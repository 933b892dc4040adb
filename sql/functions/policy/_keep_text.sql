create function pgstate._keep_text(p_versions int, p_age interval, p_everything boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set intervalstyle = postgres
as $$
begin
  return case when p_everything then 'everything'
              when p_versions is not null then p_versions || case when p_versions = 1 then ' version' else ' versions' end
              else p_age::text end;
end
$$;
comment on function pgstate._keep_text(int, interval, boolean) is 'Internal: the history kept, as set_policy() takes it.';
