-- In SQL, so that it is inlined.
create function pgstate._may_be_secret(p_text text) returns boolean
language sql immutable parallel safe
as $$ select p_text ~ pgstate._secret_shape() and (' ' || p_text) ~ pgstate._secret_hint() $$;
comment on function pgstate._may_be_secret(text) is 'Internal: a quick test for what may hold a secret.';
