-- The text of a refused row, the same for a single call that raises it and a set-based one that returns it.
create function pgstate._error_text(p_code text, p_key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_code
    when 'PS001' then format('invalid key %L: 1 to 512 bytes, segments of A-Z a-z 0-9 . _ ~ : @ = + , %% - joined by /, none empty, . or ..; quote other text with pgstate.key()', pgstate._shown(p_key))
    when 'PS003' then 'no value: pass JSON (the JSON null is ''null''), or delete the key'
    when 'PS004' then 'the value is over value_limit (explain_policy(key) shows that of a key, pgstate.info() the installation''s): store it in parts or elsewhere'
    when 'PS005' then 'unknown reducer, or none given where no policy sets one: use replace, append, add, max, min, union, merge, deep_merge, messages or first; a registered one is applied where a policy names it, by merges that name none'
    when 'PS006' then 'the operand does not fit the current value: add takes numbers, max and min numbers or strings, append, union and messages lists, merge and deep_merge objects'
    when 'PS007' then 'invalid argument: expect is 0 or a version, ttl is positive and at most 100 years, not_before lies between 1970 and 9999, complete needs a token, an op_id has 1 to 256 bytes'
    when 'PS008' then 'the value does not fit the JSON Schema that holds for this key: explain_policy(key) shows it'
    when 'PS009' then 'the key or value holds what looks like a secret: store a handle ($CRED{name}), or have an administrator set guard => ''redact'' or ''off'' for the key'
    when 'PS010' then 'access denied'
    when 'PS030' then 'this op_id was used for another request: a new request needs a new op_id'
    when 'PS040' then 'the key holds another kind of entry: values, threads and runs have functions of their own'
  end;
end
$$;
comment on function pgstate._error_text(text, text) is 'Internal: what is wrong and what to do, by SQLSTATE.';
