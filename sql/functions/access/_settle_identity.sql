-- After a restore the rows of before are old: a new epoch begins. Another cluster or database has another identity; in the
-- same one the table of installations is a new one. What retention had removed by then is gone still, so the horizon stays.
-- Checked once per session: pg_control_system() reads a file.
--
-- The same dump may be restored here again: with the next number its epoch would be that of the life before, whose cursors
-- would be answered. So it is at least the seconds since the middle of 2025 (nine digits until 2057), whatever the clock of tests says.
--
-- Tokens of claims go on from that clock in microseconds: who was given one after the dump may still be at work, and it must not
-- be given again. Nor one that was given by a server whose standby was promoted before it knew: the timeline tells.
-- (Not a new epoch: transactions prepared before the promotion may yet commit, and belong to the one that they began in.)
create function pgstate._settle_identity() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_identity text := pgstate._identity();
  v_clock bigint := extract(epoch from clock_timestamp()) - 1750000000;
begin
  update pgstate.install i
     set identity = v_identity, table_oid = i.tableoid, timeline = pgstate._timeline(),
         epoch = case when i.identity <> v_identity or i.table_oid is distinct from i.tableoid then greatest(i.epoch + 1, v_clock::int) else i.epoch end
   where i.identity <> v_identity or i.table_oid is distinct from i.tableoid or i.timeline is distinct from pgstate._timeline();
  if found then
    perform pgstate._settle_sequences();
    if v_clock * 1000000 > coalesce(pg_sequence_last_value('pgstate.claim_token_seq'::regclass), 0) then
      perform setval('pgstate.claim_token_seq', v_clock * 1000000);
    end if;
  end if;
  perform set_config('pgstate.identity', v_identity, false);
end
$$;
comment on function pgstate._settle_identity() is 'Internal: begins a new epoch when this database was restored, and new tokens then and after a promotion.';
