-- Tried on what has something of _secret_shape(): what has none of this holds no secret of _secret_patterns(). One regular expression of few states, since the
-- server builds its automaton anew for each value (literals in full took 11 us for each, this takes 4, and 4 for each
-- kilobyte). sk- not after a letter, but n, r and t, which may end an escape: else every task-1 would be looked at closely.
create function pgstate._secret_hint() returns text
language plpgsql immutable parallel safe
as $$
begin
  return 'A[KSI][Iz][Aa]|[^a-mo-q]sk-|gsk_|xa(?:i|pp)-|hf_|gh[opsur]_|b_pat_|lpat-|xox|k_live|npm_|pi-A|E KEY|tKey=|eyJ|://[^/ ]*@';
end
$$;
comment on function pgstate._secret_hint() is 'Internal: a quick test for what may hold a secret; of texts that begin with a blank.';
