-- Run as each owner of functions, who alone can grant them. By catalogue, so that none is forgotten: nothing is PUBLIC's;
-- what starts with _ is internal and goes to pgstate_api, everything else is agent-facing.
do $grants$
declare
  v_object record;
  v_to text;
begin
  for v_object in
    select p.oid::pg_catalog.regprocedure::text as name, p.proname
      from pg_catalog.pg_proc p
     where p.pronamespace = 'pgstate'::pg_catalog.regnamespace and p.proowner = current_user::pg_catalog.regrole
  loop
    execute pg_catalog.format('revoke all on routine %s from public', v_object.name);
    v_to := case
      when v_object.proname in ('_now', '_reachable', '_grown', '_value_at', '_json_of', '_text_of') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login', '_harden_plan') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname = '_filter_path' then 'pgstate_agent, pgstate_api, pgstate_owner'  -- matches() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'e', 'r')
  loop
    execute pg_catalog.format('revoke all on type %s from public', v_object.name);
    execute pg_catalog.format('grant usage on type %s to pgstate_api', v_object.name);
  end loop;
end
$grants$;
