-- Counts what the acting agent has written since this was last done in the transaction, and refuses it when it is too much:
-- versions, and what the caller says of threads and runs, which have no version: p_writes, p_bytes (at most), and which they are.
-- What others have under way is not seen: together they may come to more than the quota, by what they are writing.
-- A minute is one of UTC: time zones have offsets of seconds, and a session its time zone.
create function pgstate._charge(p_writes int default 0, p_bytes bigint default 0, p_thread bigint default null, p_runs bigint[] default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_quota pgstate.quota;
  v_part pgstate.usage;
  v_name text;
  v_minute timestamptz := date_trunc('minute', pgstate._now(), 'UTC');
  v_writes int;
  v_entries bigint;
  v_bytes bigint;
  v_seq bigint;
  v_used pgstate._used;
begin
  select q.* into v_quota from pgstate.quota q where q.agent_id = pgstate._acting();
  if not found then
    -- taken away since this transaction began to write
    return;
  end if;
  v_name := (select a.name from pgstate.agent a where a.id = v_quota.agent_id);
  select u.* into v_part from pgstate.usage u where u.agent_id = v_quota.agent_id and u.xid = pg_current_xact_id() for no key update limit 1;
  if not found then
    select u.* into v_part from pgstate.usage u where u.agent_id = v_quota.agent_id for no key update skip locked limit 1;
  end if;
  if v_part.id is null then
    insert into pgstate.usage (agent_id) values (v_quota.agent_id) returning * into v_part;
  end if;
  -- the transaction's own rows tell how far it has counted: a setting could be forged
  select count(*), coalesce(sum((v.value is not null)::int - coalesce((b.value is not null and b.writer = v_name)::int, 0)), 0),
         coalesce(sum(coalesce(pg_column_size(v.value), 0) - case when v.reducer is null and b.writer = v_name then coalesce(pg_column_size(b.value), 0) else 0 end), 0),
         max(v.seq)
    into v_writes, v_entries, v_bytes, v_seq
    from (select x.*, x.version - 1 as prior from pgstate.version x
           where x.epoch = (select i.epoch from pgstate.install i) and x.xid = pg_current_xact_id()
             and x.seq > case when v_part.xid = pg_current_xact_id() then v_part.seq else 0 end and x.writer = v_name) v
    left join lateral (select y.value, y.writer from pgstate.version y where y.key = v.key and y.version = v.prior offset 0) b on true;
  v_writes := v_writes + p_writes;
  v_bytes := v_bytes + p_bytes;
  if v_writes = 0 and v_bytes = 0 then
    return;
  end if;
  if p_thread is not null then
    insert into pgstate.usage_thread (agent_id, thread_id) values (v_quota.agent_id, p_thread) on conflict on constraint usage_thread_pkey do nothing;
  elsif p_runs is not null then
    insert into pgstate.usage_run (agent_id, run_id) select v_quota.agent_id, r from unnest(p_runs) r where r is not null order by r
        on conflict on constraint usage_run_pkey do nothing;
  end if;
  update pgstate.usage u
     set entries = u.entries + v_entries, bytes = u.bytes + v_bytes, minute = v_minute,
         writes = case when u.minute = v_minute then u.writes else 0 end + v_writes, xid = pg_current_xact_id(),
         seq = coalesce(v_seq, case when u.xid = pg_current_xact_id() then u.seq else 0 end)
   where u.id = v_part.id;
  v_used := pgstate._usage_of(v_quota.agent_id);
  if v_used.writes > v_quota.writes_per_minute then
    raise exception using errcode = 'PS060', message = format('quota exceeded: agent %s may write %s times a minute', v_name, v_quota.writes_per_minute),
      hint = 'Nothing of this statement was written. Wait for the next minute, or ask an administrator for set_quota().';
  end if;
  if v_entries > 0 and v_used.entries > v_quota.entries or v_bytes > 0 and v_used.bytes > v_quota.bytes or v_used.entries < 0 or v_used.bytes < 0 then
    -- what others have overwritten, what was removed, and what has expired, is taken off before anything is refused; and what it removed
    -- where it might not write when this was counted is not taken off what it has elsewhere
    perform pgstate._count_usage(v_quota.agent_id, v_part.id);
    v_used := pgstate._usage_of(v_quota.agent_id);
    if v_entries > 0 and v_used.entries > v_quota.entries then
      raise exception using errcode = 'PS060', message = format('quota exceeded: agent %s may keep %s entries', v_name, v_quota.entries),
        hint = 'Nothing of this statement was written. Delete some of its entries, or ask an administrator for set_quota().';
    elsif v_bytes > 0 and v_used.bytes > v_quota.bytes then
      raise exception using errcode = 'PS060', message = format('quota exceeded: agent %s may keep %s bytes', v_name, v_quota.bytes),
        hint = 'Nothing of this statement was written. Delete or prune some of its entries, threads and runs, or ask an administrator for set_quota().';
    end if;
  end if;
end
$$;
comment on function pgstate._charge(int, bigint, bigint, bigint[]) is 'Internal: counts what an agent with a quota has written; PS060 when it is too much.';
