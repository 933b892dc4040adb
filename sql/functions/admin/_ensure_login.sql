-- These make roles, which only an administrator with CREATEROLE can: they run as the caller, and the functions below them
-- check pgstate's own admin right.
create function pgstate._ensure_login(p_login text, p_group text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if p_login is null or p_login = '' or octet_length(p_login) > 63 then
    raise exception using errcode = 'PS007', message = 'a login is the name of a database role, 1 to 63 bytes';
  elsif p_login ~ '^pgstate_(owner|api|agent|reader)$' then
    raise exception using errcode = 'PS007', message = format('%L is a role of pgstate itself', p_login);
  end if;
  -- who has no CREATEROLE may let in logins that an administrator made
  if not exists (select from pg_roles r where r.rolname = p_login) then
    begin
      execute format('create role %I login', p_login);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end if;
  if not pg_has_role(p_login, p_group, 'MEMBER') then
    execute format('grant %I to %I', p_group, p_login);
  end if;
end
$$;
comment on function pgstate._ensure_login(text, text) is 'Internal: makes a login role if there is none, and puts it into a group.';
