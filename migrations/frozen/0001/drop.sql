-- Removes pgstate from this database with all that it holds. The roles go when no other database of the cluster uses them.
drop schema pgstate cascade;
do $drop$
declare
  v_role text;
begin
  foreach v_role in array array['pgstate_reader', 'pgstate_agent', 'pgstate_api', 'pgstate_owner'] loop
    begin
      execute pg_catalog.format('drop role %I', v_role);
    exception when dependent_objects_still_exist or insufficient_privilege or undefined_object or object_in_use then
      null;
    end;
  end loop;
end
$drop$;
