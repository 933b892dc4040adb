-- A claim for keeping with a lane, and back.
create function pgstate._claim_outcome(p_claimed pgstate.claimed) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$ begin return to_jsonb(p_claimed) - 'value'; end $$;
comment on function pgstate._claim_outcome(pgstate.claimed) is 'Internal: a claim''s outcome for keeping.';
