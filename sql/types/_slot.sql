-- Inside _try_each(): an operation together with the entry that it locked, and the rows to be written in bulk.
create type pgstate._slot as (
  ord int, op text, key text, operand jsonb, expect bigint, expect_value jsonb, ttl interval, token bigint,
  priority int, not_before timestamptz, reducer text, return_value boolean, code text, readable boolean,
  found boolean, kind text, version bigint, live boolean, value jsonb, created_at timestamptz, expires_at timestamptz,
  old_priority int, old_not_before timestamptz, known boolean, full_version bigint, tail_count int, tail_bytes int,
  full_bytes int, full_type text,
  trust pgstate.trust, origin_trust pgstate.trust, origin_meta jsonb, origin_fault text
);
comment on type pgstate._slot is 'Internal: one operation of a write, with the current entry.';
