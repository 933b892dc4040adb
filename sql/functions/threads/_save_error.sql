-- The text of a refused save, the same for a single one that raises it and a set-based one that returns it.
create function pgstate._save_error(p_code text, p_key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_code
    when 'PS004' then format('the checkpoint of %s is larger than %s MB, the most that one may have: keep large parts elsewhere, and in it where they are', p_key, pgstate._checkpoint_limit() >> 20)
    when 'PS007' then 'an id has 1 to 256 bytes and is to be given, above the latest, where those of the namespace are the callers'' own; a namespace and the name of a run have at most 1900, a ttl is positive and at most 100 years, or 0'
    else pgstate._error_text(p_code, p_key)
  end;
end
$$;
comment on function pgstate._save_error(text, text) is 'Internal: why a checkpoint was refused and what to do, by SQLSTATE.';
