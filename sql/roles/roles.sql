-- The four NOLOGIN roles of a cluster that has pgstate. Roles are cluster-wide: another database may have made them.
--
-- pgstate_owner   owns the tables and the few functions that must see every row (identity, expiry, feed frontier)
-- pgstate_api     owns the functions that agents call, and no table, so that row-level security binds those functions
-- pgstate_agent   holds EXECUTE on the agent-facing functions; every agent's and gateway's login is a member
-- pgstate_reader  holds SELECT on the views; the logins made by create_reader are members
do $roles$
declare
  v_role text;
begin
  foreach v_role in array array['pgstate_owner', 'pgstate_api', 'pgstate_agent', 'pgstate_reader'] loop
    begin
      execute pg_catalog.format('create role %I nologin', v_role);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
  -- An administrator without superuser must be able to SET ROLE to the two owners. PostgreSQL 16 made SET and INHERIT
  -- options of a membership (and refuses the old form's implicit rights); on 15 that syntax is an error.
  if not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    foreach v_role in array array['pgstate_owner', 'pgstate_api'] loop
      if pg_catalog.current_setting('server_version_num')::int >= 160000 then
        if not pg_catalog.pg_has_role(current_user, v_role, 'SET') then
          execute pg_catalog.format('grant %I to %I with inherit false, set true', v_role, current_user);
        end if;
      elsif not pg_catalog.pg_has_role(current_user, v_role, 'MEMBER') then
        execute pg_catalog.format('grant %I to %I', v_role, current_user);
      end if;
    end loop;
    -- and calls the functions and reads the views as agent admin
    foreach v_role in array array['pgstate_agent', 'pgstate_reader'] loop
      if not pg_catalog.pg_has_role(current_user, v_role, 'USAGE') then
        execute pg_catalog.format('grant %I to %I', v_role, current_user);
      end if;
    end loop;
  end if;
end
$roles$;

grant usage, create on schema pgstate to pgstate_owner, pgstate_api;
grant usage on schema pgstate to pgstate_agent, pgstate_reader;
