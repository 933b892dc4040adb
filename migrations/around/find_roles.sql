-- In place of the block of the first revision that makes the roles.
do $roles$
declare
  v_role text;
  v_need text;
begin
  foreach v_role in array array['pgstate_owner', 'pgstate_api', 'pgstate_agent', 'pgstate_reader'] loop
    v_need := case when v_role in ('pgstate_agent', 'pgstate_reader') then 'USAGE'
                   when pg_catalog.current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
    if not exists (select from pg_catalog.pg_roles r where r.rolname = v_role)
      or not pg_catalog.pg_has_role(current_user, v_role, v_need)
    then
      raise exception 'the role % is not there, or % is no member of it', v_role, current_user
        using errcode = 'insufficient_privilege', hint = pg_catalog.format(
          'Nothing was changed. An administrator runs once what "pgstate migrate --roles-sql %s" prints.', current_user);
    end if;
  end loop;
end
$roles$;
