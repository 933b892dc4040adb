create function pgstate.set_quota(agent text, entries bigint default null, bytes bigint default null, writes_per_minute int default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_quota(set_quota.agent, set_quota.entries, set_quota.bytes, set_quota.writes_per_minute);
end
$$;
comment on function pgstate.set_quota(text, bigint, bigint, int) is
  'How many entries an agent may keep (those whose newest version is its), how many bytes it may keep in their values and the vectors that it gives with them, and in checkpoints, pending writes, steps, signals, inputs and results of runs (those that it wrote since it has a quota, until they are collected), and how many times it may write in a minute of the clock (versions, which saves and steps make too, put_writes(), each op_id besides what is done under it, a new lane, and what the audit trail records of it other than denials, unless it administers everything); null for no limit, all null for no quota. Writes beyond it raise PS060 and write nothing; others are not held up, nor are its own. What several of its transactions write at the same time may come to more. Needs admin on everything. PS007 PS010.';
