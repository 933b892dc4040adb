-- Tried before _secret_hint(): a regular expression of few states, whose automaton the server builds in a fifth of the time. Every match
-- of _secret_patterns() has one of these too. Names in snake_case, dates, UUIDs and prose have none.
create function pgstate._secret_shape() returns text
language plpgsql immutable parallel safe
as $$
begin
  return '(?:[g-z]-|_)[A-Za-z0-9_-]{16}|xox|A[KSI][Iz]|yJ|E K|y=|@';
end
$$;
comment on function pgstate._secret_shape() is 'Internal: a quicker test before _secret_hint(): what has none of this holds no secret.';
