-- Which past state is meant. A cursor from inside a page of changes stands for the state right after that change: versions
-- of a key have rising seqs, so what it has seen of a key is a prefix there too. Tokens carry no time: that of a cursor is
-- the time of the last change that it has seen.
create function pgstate._moment(p_actor pgstate._actor, p_cursor text, p_at timestamptz) returns pgstate._moment
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_moment pgstate._moment;
  v_position pgstate._position;
  v_last pgstate.version;
begin
  if p_cursor is null then
    v_moment := pgstate._point_at(p_at);
    v_moment.seq := (pgstate._last_seen(v_moment.epoch, v_moment.base)).seq;
    return v_moment;
  end if;
  v_position := pgstate._position(p_cursor, pgstate._feed_place(p_actor),
    -- of now: a writer may have waited since it was let in
    (select i.horizon from pgstate.install i where i.horizon_epoch = i.epoch));
  v_last := pgstate._last_seen(p_actor.epoch, v_position.base);
  if v_position.upto is not null then
    select greatest(v.seq, v_last.seq), greatest(v.at, v_last.at) into v_last.seq, v_last.at
      from pgstate.version v where v.seq = v_position.after;
  end if;
  return row(p_actor.epoch, v_position.base, v_position.upto, v_position.after, v_last.seq,
             coalesce(v_last.at, '-infinity'))::pgstate._moment;
end
$$;
comment on function pgstate._moment(pgstate._actor, text, timestamptz) is 'Internal: the past state that a cursor or a time stands for. PS007 PS020 PS021 PS022 PS023.';
