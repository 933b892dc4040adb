-- The thread is locked against being deleted meanwhile, which would leave these writes behind for ever; several tasks may
-- be at it at once.
create function pgstate._put_writes(
  p_key text, p_ns text, p_checkpoint text, p_task_id text, p_task_path text, p_idxs int[], p_channels text[], p_types text[], p_data bytea[],
  p_replace boolean, p_writer text, p_payer int
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
  v_now timestamptz := pgstate._now();
begin
  select t.id into v_id from pgstate.thread t where t.key = p_key for key share skip locked;
  while v_id is null loop
    select t.id into v_id from pgstate.thread t where t.key = p_key for key share;
    if (pgstate._reachable('write') @> p_key) is not true then
      -- the right was taken while the lock was waited for
      perform pgstate._deny();
    end if;
    exit when v_id is not null;
    if exists (select from pgstate.entry e where e.key = p_key and e.value is not null and e.kind <> 'thread') then
      perform pgstate._raise('PS040', p_key);
    elsif pgstate._secret_rule(p_key) is not null and (pgstate._policy_of(p_key)).guard is distinct from 'off' then
      perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || pgstate._secret_rule(p_key));
    end if;
    insert into pgstate.thread (key, collect_at) values (p_key, v_now + interval '1 hour')
        on conflict on constraint thread_key_key do nothing;
  end loop;
  if p_replace then
    insert into pgstate.pending_write as w (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data, agent_id, writer, written_at)
    select distinct on (i.idx) v_id, p_ns, p_checkpoint, p_task_id, i.idx, p_task_path, i.channel, i.type, i.data, p_payer, p_writer, v_now
      from unnest(p_idxs, p_channels, p_types, p_data) with ordinality i (idx, channel, type, data, ord)
     order by i.idx, i.ord desc
        on conflict on constraint pending_write_pkey do update
       set task_path = excluded.task_path, channel = excluded.channel, type = excluded.type, data = excluded.data,
           agent_id = excluded.agent_id, writer = excluded.writer, written_at = excluded.written_at;
  else
    insert into pgstate.pending_write (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data, agent_id, writer, written_at)
    select v_id, p_ns, p_checkpoint, p_task_id, i.idx, p_task_path, i.channel, i.type, i.data, p_payer, p_writer, v_now
      from unnest(p_idxs, p_channels, p_types, p_data) with ordinality i (idx, channel, type, data, ord)
     order by i.ord
        on conflict on constraint pending_write_pkey do nothing;
  end if;
  if p_payer is not null then
    perform pgstate._charge(1, pg_column_size(p_data) + pg_column_size(p_channels) + pg_column_size(p_types)
      + coalesce(cardinality(p_idxs), 0) * octet_length(p_task_path)::bigint, v_id);
  end if;
  return 'ok';
end
$$;
comment on function pgstate._put_writes(text, text, text, text, text, int[], text[], text[], bytea[], boolean, text, int) is 'Internal: keeps what a task wrote.';
