-- The one denial: the same for a key that exists, one that does not, and an agent that does not.
create function pgstate._deny() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PS010', message = 'access denied',
    hint = 'The acting agent has no such right there. Ask an administrator for grant_access(agent, subtree, right).';
end
$$;
comment on function pgstate._deny() is 'Internal: raises PS010.';
