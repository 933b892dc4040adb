-- Run once in a cluster, by a superuser or a role with CREATEROLE: the roles of pgstate, and what a login without
-- CREATEROLE needs of them to install it (--no-create-roles). It may be run again.
begin;
do $roles$
declare
  v_role text;
  v_login constant text := {login};
begin
  foreach v_role in array array['pgstate_owner', 'pgstate_api', 'pgstate_agent', 'pgstate_reader'] loop
    if not exists (select from pg_catalog.pg_roles r where r.rolname = v_role) then
      execute pg_catalog.format('create role %I nologin', v_role);
    end if;
  end loop;
  -- It becomes the owners only where it says so; it calls functions, reads views, and lets logins that exist in.
  if pg_catalog.current_setting('server_version_num')::int >= 160000 then
    execute pg_catalog.format('grant pgstate_owner, pgstate_api to %I with inherit false, set true', v_login);
  else
    execute pg_catalog.format('grant pgstate_owner, pgstate_api to %I', v_login);
  end if;
  execute pg_catalog.format('grant pgstate_agent, pgstate_reader to %I with admin option', v_login);
end
$roles$;
{schema}
commit;
