create type pgstate.sealed_count as (id bytea, payloads bigint);
comment on type pgstate.sealed_count is 'How many payloads are sealed under a key, by its id. See sealed_keys().';
