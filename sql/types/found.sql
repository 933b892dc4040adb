create type pgstate.found as (
  key text, value jsonb, version bigint, kind text, writer text, via text, created_at timestamptz, updated_at timestamptz,
  expires_at timestamptz, score float8, text_rank real, distance float8, after text
);
comment on type pgstate.found is 'One row of search(): an entry; score: what the rows are ordered by, highest first (null without a query); text_rank by the words, distance of the nearest vector, null where that half did not find it; after: where the next page begins.';
