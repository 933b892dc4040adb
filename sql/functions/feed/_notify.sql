-- NOTIFY for watchers, who were found and may know. What does not fit into the server's queue would fail the transaction, and one
-- session that listens and keeps a transaction open has everything stay there: then nobody is woken, and watches poll.
-- With trace_notify, which is anybody's to set, the server would tell the writer each channel that it wakes.
create function pgstate._notify(p_channels text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set trace_notify = off
as $$
declare
  v_channel text;
  v_done text;
begin
  if pg_notification_queue_usage() >= 0.9 then
    return false;
  end if;
  foreach v_channel in array p_channels loop
    v_done := pg_notify(v_channel, '');
  end loop;
  return true;
end
$$;
comment on function pgstate._notify(text[]) is 'Internal: wakes those who listen, unless the queue is nearly full.';
