create type pgstate.claim_outcome as (
  ord int, status text, key text, lease_until timestamptz, attempts int, retry_in interval, moved_to text, code text, message text
);
comment on type pgstate.claim_outcome is 'What became of one claim: status ok, stale, missing, held, denied or invalid. After renew() the end of the lease; after fail() the attempts so far, when it may be claimed again (null: never), and moved_to when it was given up and moved. code and message as in outcome.';
