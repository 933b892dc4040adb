-- From low on, up to high: of keys and patterns, which hold no quotes. In SQL, so that it is inlined, and by the type's input: the
-- constructor of a range type of ours is found by a search through the names of all built-in functions, 9 us in each statement.
create function pgstate._range(p_low text, p_high text) returns pgstate.keyrange
language sql stable
as $$ select ('["' || p_low || '","' || p_high || '")')::pgstate.keyrange $$;
comment on function pgstate._range(text, text) is 'Internal: a range of keys, without its end.';
