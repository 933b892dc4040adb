-- No change of the thread, and no version of its entry.
create function pgstate.put_writes(
  key text, checkpoint text, task_id text, idxs int[], channels text[], types text[], data bytea[], ns text default '',
  task_path text default '', "replace" boolean default false, agent text default null
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(put_writes.agent, put_writes.key);
  v_count int := cardinality(put_writes.idxs);
  v_guarded record;
  v_more text := concat_ws(' ', put_writes.checkpoint, put_writes.ns, put_writes.task_id, put_writes.task_path);
begin
  if put_writes.key is null or not pgstate._key_ok(put_writes.key) then
    perform pgstate._bad_key(put_writes.key);
  elsif (v_actor.readable and v_actor.writable) is not true then
    perform pgstate._deny();
  elsif (v_count = all (array[cardinality(put_writes.channels), cardinality(put_writes.types), cardinality(put_writes.data),
           num_nonnulls(variadic put_writes.idxs), num_nonnulls(variadic put_writes.channels), num_nonnulls(variadic put_writes.types),
           num_nonnulls(variadic put_writes.data)])) is not true then
    raise exception using errcode = 'PS007', message = 'idxs, channels, types and data must be of equal length, without nulls';
  elsif (octet_length(put_writes.checkpoint) between 1 and 256 and octet_length(put_writes.task_id) between 1 and 256
         and octet_length(put_writes.ns) <= 1900) is not true then
    raise exception using errcode = 'PS007', message = 'ids have 1 to 256 bytes, a namespace at most 1900';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(v_actor.id);
  end if;
  if pgstate._suspect_parts(put_writes.channels, put_writes.types, put_writes.data, null, v_more) then
    v_guarded := pgstate._guarded_parts(v_actor, put_writes.key, put_writes.channels, put_writes.types, put_writes.data, null, null, null, v_more);
    if v_guarded.rule is not null then
      perform pgstate._raise('PS009', put_writes.key, pgstate._error_text('PS009', put_writes.key) || ': ' || v_guarded.rule);
    end if;
    put_writes.data := v_guarded.data;
  end if;
  return pgstate._put_writes(put_writes.key, put_writes.ns, put_writes.checkpoint, put_writes.task_id, coalesce(put_writes.task_path, ''),
    put_writes.idxs, put_writes.channels, put_writes.types, put_writes.data, coalesce(put_writes."replace", false), v_actor.name,
    case when v_actor.quota then v_actor.id end);
end
$$;
comment on function pgstate.put_writes(text, text, text, int[], text[], text[], bytea[], text, text, boolean, text) is
  'Keeps what a task wrote after a checkpoint: idxs[i], channels[i], types[i] (a serializer''s) and data[i]. A write that is there already stays as it is, with replace the new one stays. The checkpoint may come later; without a thread it is kept for an hour, for a save that begins one. Returns ok. Needs read and write. PS001 PS007 PS009 PS010 PS040.';
