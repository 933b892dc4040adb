create type pgstate._claim_rules as (
  max_attempts int, backoff interval, backoff_limit interval, dead_letter text, dead_letter_of text, claimed_writes boolean
);
comment on type pgstate._claim_rules is 'Internal: what the policies say of claims of one key; null where none does. dead_letter_of is the subtree that dead_letter is set for.';
