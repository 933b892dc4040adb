-- Built by migrations/freeze.py from sql/: change it there.

-- functions/as_owner.sql
-- What follows belongs to the tables' owner.
set local role pgstate_owner;

-- functions/tickets/_ticket_signature.sql
-- The agent's number too: who is given the name of one that was dropped is another.
create function pgstate._ticket_signature(p_key pgstate.ticket_key, p_login text, p_agent text, p_agent_id int, p_until bigint) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return encode(sha256(p_key.outer_pad || sha256(p_key.inner_pad || convert_to(jsonb_build_array('t1', p_key.id, p_login, p_agent, p_agent_id, p_until)::text, 'UTF8'))), 'hex');
end
$$;
comment on function pgstate._ticket_signature(pgstate.ticket_key, text, text, int, bigint) is 'Internal: HMAC-SHA256 of a ticket.';

-- functions/tickets/_ticket_agent.sql
-- A ticket is agent/t1/key/until/signature; no name of an agent holds a slash. It is for one login, which is the session's.
-- The signature is compared as text is: to use the time that takes, one would have to tell nanoseconds apart in that of a
-- whole call, and each guess needs a statement; a ticket has ended before.
create function pgstate._ticket_agent(p_ticket text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_part text[] := string_to_array(p_ticket, '/');
begin
  if cardinality(v_part) <> 5 or v_part[2] <> 't1' or v_part[3] !~ '^[0-9]{1,9}$' or v_part[4] !~ '^[0-9]{1,11}$' then
    return null;
  elsif to_timestamp(v_part[4]::bigint) <= pgstate._now() then
    return null;
  end if;
  return (select a.name from pgstate.ticket_key k join pgstate.agent a on a.name = v_part[1]
           where k.id = v_part[3]::int and (k.retired_at is null or k.retired_at > pgstate._now())
             and pgstate._ticket_signature(k, session_user::text, a.name, a.id, v_part[4]::bigint) = v_part[5]);
end
$$;
comment on function pgstate._ticket_agent(text) is 'Internal: the agent that a ticket names, null if it is not good for this login now.';

-- views/_acting_any.sql
-- Which agent acts: decided by session_user, which no SET, SET ROLE or SECURITY DEFINER changes. The settings only choose
-- among the agents that this login may act for: a gateway's delegated ones, or any for the role that installed. A ticket is looked
-- at each time: a setting can be forged, also between a function and the policies under it. Nobody acts as one that is suspended:
-- the short ways miss it, by folded_until.
-- A view, so that the rule stands once, but for the short ways of _reachable_through() and the functions that begin a call; the owner's functions alone read it.
create or replace view pgstate._acting_any as
select a.id as agent_id
  from (
    select case when s.said is null or not (l.gateway or l.root) then l.agent_id
                when l.root then (select a.id from pgstate.agent a where a.name = n.name)
                else (select d.agent_id from pgstate.agent a join pgstate.delegation d on d.agent_id = a.id
                       where a.name = n.name and d.login = l.login)
           end as agent_id
      from pgstate.login l
      cross join lateral (
        select coalesce(nullif(pg_catalog.current_setting('pgstate.call_agent', true), ''),
                        nullif(pg_catalog.current_setting('pgstate.agent', true), '')) as said) s
      cross join lateral (
        select case when pg_catalog.strpos(s.said, '/') > 0 then pgstate._ticket_agent(s.said) when not l.tickets then s.said end as name) n
     where l.login = session_user::text) who
  join pgstate.agent a on a.id = who.agent_id and a.suspended_at is null;
comment on view pgstate._acting_any is 'Internal: the acting agent, by name or ticket.';
comment on column pgstate._acting_any.agent_id is 'Its number; null if this login may not act for whom it names.';

-- functions/access/_acting.sql
create function pgstate._acting() returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select a.agent_id from pgstate._acting_any a);
end
$$;
comment on function pgstate._acting() is 'Internal: id of the acting agent, null for nobody.';

-- functions/access/_acting_ids.sql
-- The agents that pgstate.call_agents names and that this login may act for; without the setting, the acting agent.
create function pgstate._acting_ids() returns int[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_names text := current_setting('pgstate.call_agents', true);
begin
  if v_names is null or v_names = '' then
    return array[pgstate._acting()];
  end if;
  return array(
    select a.id
      from pgstate.login l
      cross join lateral (
        select case when strpos(s, '/') > 0 then pgstate._ticket_agent(s) when not l.tickets then s end as name
          from unnest(string_to_array(v_names, ' ')) s) n
      join pgstate.agent a on a.name = n.name and a.suspended_at is null
     where l.login = session_user::text
       and (a.id = l.agent_id or l.root
            or exists (select from pgstate.delegation d where d.login = l.login and d.agent_id = a.id)));
end
$$;
comment on function pgstate._acting_ids() is 'Internal: ids of the agents that a multi-agent feed read acts for, else of the acting agent.';

-- functions/access/_deny.sql
-- The one denial: the same for a key that exists, one that does not, and an agent that does not.
create function pgstate._deny() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'PS010', message = 'access denied',
    hint = 'The acting agent has no such right there. Ask an administrator for grant_access(agent, subtree, right).';
end
$$;
comment on function pgstate._deny() is 'Internal: raises PS010.';

-- functions/access/_check_rights_seen.sql
-- Under REPEATABLE READ the snapshot may be older than a revocation, and whoever is to write nothing more could go on for as
-- long as its transaction does: 40001 if anything that says what the actor may do has changed since. The locks that tell are
-- given back at once, and not waited for: nobody holds up its own end.
create function pgstate._check_rights_seen(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_read_only') = 'on' then
    return;
  end if;
  begin
    perform from pgstate.login l where l.login = session_user::text for share skip locked;
    perform from pgstate.reach r where r.agent_id = p_agent_id for share skip locked;
    perform from pgstate.delegation d where d.login = session_user::text and d.agent_id = p_agent_id for share skip locked;
    perform from pgstate.credential_grant g where g.agent_id = p_agent_id for key share skip locked;
    perform from pgstate.ticket_key k where exists (select from pgstate.login l where l.login = session_user::text and l.tickets) for share skip locked;
    raise exception using errcode = 'PS998';
  exception when sqlstate 'PS998' then
    null;
  end;
end
$$;
comment on function pgstate._check_rights_seen(int) is 'Internal: 40001 if the transaction''s snapshot does not show the actor''s rights as they are.';

-- functions/access/_enter.sql
-- Start of every function: who acts, and what they reach, or for one key whether they may read it, and unless nobody asks
-- write it (each of the two fetches 200 grants from where long values are kept: 3 us). Raises PS010 for nobody. The call's
-- agent goes into a transaction-local setting, because policies must see it; every function sets it anew, so that what an
-- earlier call of the same transaction named never carries over. (A SET clause on the functions would end it with the call,
-- but only a superuser may attach one for a custom parameter.)
create function pgstate._enter(p_agent text, p_key text default null, p_writes boolean default true) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
begin
  -- the login's own agent, named or not: as in _acting_reach
  select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
         case when p_key is null then l.writes end, i.identity, l.reads @> p_key, case when p_writes then l.writes @> p_key end, i.table_oid = i.tableoid, null, i.policies,
         case when i.horizon_epoch = i.epoch then i.horizon end, l.quota, l.trust into v_actor
    from pgstate.login l cross join pgstate.install i
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
     and l.folded_until is null;
  if v_actor.id is null then
    return pgstate._enter_named(p_agent, p_key);
  elsif coalesce(current_setting('pgstate.call_agent', true), '') || coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_done := set_config('pgstate.call_agent', '', true) || set_config('pgstate.call_agents', '', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter(text, text, boolean) is 'Internal: resolves and returns the acting agent, PS010 for nobody.';

-- functions/access/_enter_named.sql
-- _enter() for a login that acts for another agent, or for nobody.
create function pgstate._enter_named(p_agent text, p_key text) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
begin
  if coalesce(current_setting('pgstate.call_agent', true), '') <> coalesce(p_agent, '')
     or coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_done := set_config('pgstate.call_agent', coalesce(p_agent, ''), true) || set_config('pgstate.call_agents', '', true);
  end if;
  -- as in _reachable_through()
  select d.agent_id, d.agent_name, i.epoch, i.value_limit, case when p_key is null then d.reads end, case when p_key is null then d.writes end,
         i.identity, d.reads @> p_key, d.writes @> p_key, i.table_oid = i.tableoid, null, i.policies,
         case when i.horizon_epoch = i.epoch then i.horizon end, d.quota, d.trust into v_actor
    from pgstate.login l cross join pgstate.install i
    cross join lateral (select x.* from pgstate.delegation x
                         where x.login = session_user and x.folded_until is null
                           and x.agent_name = coalesce(nullif(p_agent, ''), current_setting('pgstate.agent', true)) offset 0) d
   where l.login = session_user and l.gateway and not l.tickets;
  if v_actor.id is null then
    -- nobody, whom the login that installed names, somebody with a ticket, or one of its grants is to end or has
    select a.id, a.name, i.epoch, i.value_limit, case when p_key is null then r.reads end, case when p_key is null then r.writes end,
           i.identity, r.reads @> p_key, r.writes @> p_key, i.table_oid = i.tableoid, null, i.policies,
           case when i.horizon_epoch = i.epoch then i.horizon end, r.quota, r.trust into v_actor
      from pgstate._acting_any who join pgstate.agent a on a.id = who.agent_id
      cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
      cross join pgstate.install i;
  end if;
  if v_actor.id is null or v_actor.name <> split_part(nullif(p_agent, ''), '/', 1) then
    if coalesce(p_agent, '') = '' and coalesce(current_setting('pgstate.agent', true), '') = ''
       and exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This login is a gateway: name the agent that acts, by the argument agent => ''…'', by set pgstate.agent, or in Python by as_agent(name).';
    end if;
    if exists (select from pgstate.login l where l.login = session_user::text and l.tickets) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This gateway names agents by tickets: what it gave is none, or is not good for it now. issue_ticket(login, agent) makes one.';
    end if;
    if exists (select from pgstate.login l join pgstate.agent a on a.id = l.agent_id where l.login = session_user::text and a.suspended_at is not null) then
      raise exception using errcode = 'PS010', message = 'access denied', hint = 'The agent of this login is suspended: an administrator may resume_agent() it.';
    end if;
    perform pgstate._deny();
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter_named(text, text) is 'Internal: _enter() for a login that acts for another agent.';

-- functions/access/_enter_for.sql
-- _enter() for the feed reads of a process with several agents: each must be one that this login may act for. The policies
-- then see the union of their reach.
create function pgstate._enter_for(p_agents text[]) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
begin
  -- names and tickets travel in one setting, separated by blanks, which none of them holds
  if exists (select from unnest(p_agents) n where n is null or n !~ '^[A-Za-z0-9._~:@=+,%/-]{1,250}$') then
    perform pgstate._deny();
  end if;
  perform set_config('pgstate.call_agent', '', true);
  perform set_config('pgstate.call_agents', array_to_string(p_agents, ' '), true);
  if cardinality(pgstate._acting_ids()) <> cardinality(p_agents) then
    perform pgstate._deny();
  end if;
  select i.epoch, i.identity, case when i.horizon_epoch = i.epoch then i.horizon end into v_actor.epoch, v_actor.identity, v_actor.horizon from pgstate.install i;
  return v_actor;
end
$$;
comment on function pgstate._enter_for(text[]) is 'Internal: checks the agents of a multi-agent call; nobody in particular acts then, within nobody''s ranges.';

-- functions/access/_enter_write.sql
-- Start of every writing function: _enter(), and where a lane is given, its lock, before anything else is locked. kept is
-- the outcome when this turn of the lane was done before. Two more things must hold before a version row is written: its
-- xid belongs to the epoch that it is stamped with, and its commit is flushed before it is visible (cursors are clipped to
-- the highest visible xid, which a crash must not be able to hand out again).
create function pgstate._enter_write(p_agent text, p_lane uuid default null, p_turn bigint default null, p_key text default null)
returns pgstate._actor
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
  v_named boolean;
begin
  -- the login's own agent and a lane that goes on as it should, in one query: as in _enter() and _lane_begin()
  if p_lane is null then
    -- setting up the join costs a twentieth of a save, though nothing is looked for
    select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
           case when p_key is null then l.writes end, case when i.table_oid = i.tableoid then i.identity end, l.reads @> p_key, l.writes @> p_key,
           true, null, i.policies, null, l.quota, l.trust into v_actor
      from pgstate.login l cross join pgstate.install i
     where l.login = session_user and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
       and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
       and l.folded_until is null;
  else
    select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
           case when p_key is null then l.writes end, case when i.table_oid = i.tableoid then i.identity end, l.reads @> p_key, l.writes @> p_key,
           n.agent_id = l.agent_id and p_turn > n.turn, null, i.policies, null, l.quota, l.trust into v_actor
      from pgstate.login l cross join pgstate.install i
      left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
     where l.login = session_user and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
       and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
       and l.folded_until is null;
  end if;
  if v_actor.id is null then
    -- a gateway names its agent: as in _reachable_through()
    select d.agent_id, d.agent_name, i.epoch, i.value_limit, case when p_key is null then d.reads end, case when p_key is null then d.writes end,
           case when i.table_oid = i.tableoid then i.identity end, d.reads @> p_key, d.writes @> p_key,
           p_lane is null or n.agent_id = d.agent_id and p_turn > n.turn, null, i.policies, null, d.quota, d.trust into v_actor
      from pgstate.login l cross join pgstate.install i
      cross join lateral (select x.* from pgstate.delegation x
                           where x.login = session_user and x.folded_until is null
                             and x.agent_name = coalesce(nullif(p_agent, ''), current_setting('pgstate.agent', true)) offset 0) d
      left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
     where l.login = session_user and l.gateway and not l.tickets;
    v_named := v_actor.id is not null;
  end if;
  if v_named then
    if concat(current_setting('pgstate.call_agent', true), '/', current_setting('pgstate.call_agents', true)) <> concat(p_agent, '/') then
      v_done := set_config('pgstate.call_agent', coalesce(p_agent, ''), true) || set_config('pgstate.call_agents', '', true);
    end if;
  end if;
  if v_actor.lane_ready is not true
     or v_named is not true and concat(current_setting('pgstate.call_agent', true), current_setting('pgstate.call_agents', true)) <> '' then
    v_actor := pgstate._enter(p_agent, p_key);
    if v_actor.lane_ready is not true then
      v_actor.identity := null;
    end if;
    if p_lane is not null then
      v_actor.kept := pgstate._lane_begin(v_actor, p_lane, p_turn);
    end if;
  end if;
  -- the setting saves a look at the control file, and a restore in place is seen without it: whoever sets it cannot hide that
  if (v_actor.identity = current_setting('pgstate.identity', true) and current_setting('synchronous_commit') <> 'off'
      and current_setting('transaction_isolation') = 'read committed') is not true then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_rights_seen(v_actor.id);
    end if;
    perform pgstate._settle_identity();
    select i.epoch, i.identity into v_actor.epoch, v_actor.identity from pgstate.install i;
    if current_setting('synchronous_commit') = 'off' then
      v_done := set_config('synchronous_commit', 'on', true);
    end if;
  end if;
  if v_actor.quota then
    -- what is written is counted then
    v_done := set_config('pgstate.quota', 'on', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter_write(text, uuid, bigint, text) is 'Internal: _enter() for writers; locks the lane, settles the epoch and synchronous_commit.';

-- functions/access/_check_login.sql
-- For what any registered login may ask, a gateway that names no agent too.
create function pgstate._check_login() returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if not exists (select from pgstate.login l where l.login = session_user::text) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._check_login() is 'Internal: raises PS010 for a login that is not registered.';

-- functions/access/_install.sql
create function pgstate._install() returns pgstate.about
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- serves: the entry points of every revision from there on still take the same calls (tests/migration)
  return (select row('0014', null, null, i.value_limit, i.epoch, '0001')::pgstate.about from pgstate.install i);
end
$$;
comment on function pgstate._install() is 'Internal: the installation as info() tells it.';

-- functions/access/_identity.sql
-- Which cluster and database this is: transaction ids mean something only together with it.
create function pgstate._identity() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select s.system_identifier || ':' || d.oid
            from pg_control_system() s, pg_database d where d.datname = current_database());
end
$$;
comment on function pgstate._identity() is 'Internal: system identifier and oid of this database.';

-- functions/access/_now.sql
-- The one clock of every decision about time (leases, expiry, not_before): tests replace it, nobody else can.
-- The clock, not the transaction's start: a lease must be checked after the lock was waited for.
-- Nothing is looked up in it: a search_path of its own would double the cost of a call, and a put makes five.
create function pgstate._now() returns timestamptz
language plpgsql stable parallel safe
as $$ begin return pg_catalog.clock_timestamp(); end $$;
comment on function pgstate._now() is 'Internal: the clock of every decision about time.';

-- functions/access/_restored.sql
-- Has the database been restored in place since the epoch began? As the owner: the feed's functions read no such table.
create function pgstate._restored() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.table_oid is distinct from i.tableoid from pgstate.install i);
end
$$;
comment on function pgstate._restored() is 'Internal: has the database been restored in place, and not written to since?';

-- functions/access/_timeline.sql
-- The control file lags after a promotion, the name of the current log segment does not. Null on a standby, where that cannot be asked
-- for: statements are planned with this, and what they write is refused as anywhere else there.
create function pgstate._timeline() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end;
end
$$;
comment on function pgstate._timeline() is 'Internal: rises with each promotion of a standby.';

-- functions/access/_promoted.sql
-- Has a standby been promoted since tokens were last given here? Then a session must not take for known that its writes have nothing
-- to settle. True on a standby. As the owner, as _restored().
create function pgstate._promoted() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.timeline is distinct from pgstate._timeline() from pgstate.install i);
end
$$;
comment on function pgstate._promoted() is 'Internal: has the database been promoted, and not written to since?';

-- functions/access/_settle_sequences.sql
-- Logical replication brings rows, and no sequences: numbers would be given again, and fail or, of the feed, mean two things. One
-- that is in step stays as it is, whoever draws from it meanwhile: nobody sees a row with a number beyond it.
--
-- The highest version that retention let go of is nowhere else, and new keys must start above it: milliseconds since the middle
-- of 2025 are above what any key has come to.
create function pgstate._settle_sequences() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_row record;
  v_most bigint;
  v_floor bigint := (extract(epoch from clock_timestamp()) - 1750000000) * 1000;
begin
  for v_row in
    select s.oid::regclass as sequence, d.refobjid::regclass as "table", a.attname as "column"
      from pg_class s
      join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.refclassid = 'pg_class'::regclass and d.deptype = 'a'
      join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
     where s.relkind = 'S' and s.relnamespace = 'pgstate'::regnamespace
    union all
    select 'pgstate.version_seq'::regclass, 'pgstate.version'::regclass, 'seq'
  loop
    execute format('select max(%I) from %s', v_row."column", v_row."table") into v_most;
    if v_most > coalesce(pg_sequence_last_value(v_row.sequence), 0) then
      perform setval(v_row.sequence, v_most);
      if v_row.sequence = 'pgstate.version_seq'::regclass and (select i.horizon is not null from pgstate.install i)
         and v_floor > coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
        perform setval('pgstate.version_floor', v_floor);
      end if;
    end if;
  end loop;
end
$$;
comment on function pgstate._settle_sequences() is 'Internal: brings sequences up to what the tables hold, where logical replication has filled those.';

-- functions/access/_settle_identity.sql
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

-- functions/access/_reachable_now.sql
create function pgstate._reachable_now(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end + '{}'
            from pgstate._acting_any a cross join lateral (select * from pgstate._reach x where x.agent_id = a.agent_id offset 0) r);
end
$$;
comment on function pgstate._reachable_now(text) is 'Internal: _reachable(), as of now.';

-- functions/access/_reachable_through.sql
-- The reach of whom a login acts for that is not simply its own agent: a gateway, the login that installed, or one whose agent
-- has a grant that is to end, or is suspended. pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens
-- reading to all the agents it names.
-- A write calls this five times. Setting up a query costs more than running it, by the functions, operators and casts in it: so
-- the usual cases are asked for in full here, as in _acting_any, and what is known of the login is handed over.
-- No variable stands in one, so that plans are generic without a setting, which each call would pay for.
-- Nobody, tickets, agents with a grant that is to end, and those that this login may not act for take the long way.
create function pgstate._reachable_through(p_right text, p_login pgstate.login) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_reads pgstate.keymultirange;
  v_writes pgstate.keymultirange;
  v_touches pgstate.keymultirange;
begin
  if p_login.root and p_login.folded_until is null and concat(current_setting('pgstate.call_agents', true), current_setting('pgstate.call_agent', true),
                                                              current_setting('pgstate.agent', true)) = '' then
    -- nobody is named, so the login's own agent acts
    if p_right = 'touch' then
      return p_login.touches;
    elsif p_right = 'write' then
      return p_login.writes;
    end if;
    return p_login.reads;
  elsif coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    if p_right = 'write' then
      return '{}';
    end if;
    return (select range_agg(u) from pgstate._reach r, unnest(r.reads) u where r.agent_id = any (pgstate._acting_ids()));
  elsif p_login.gateway and not p_login.tickets then
    select d.reads, d.writes, d.touches into v_reads, v_writes, v_touches
      from pgstate.delegation d
     where d.login = session_user and d.folded_until is null
       and d.agent_name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true));
  elsif p_login.root then
    select r.reads, r.writes, r.touches into v_reads, v_writes, v_touches
      from (select x.id from pgstate.agent x
             where x.name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true)) offset 0) a
      cross join lateral (select x.reads, x.writes, x.touches from pgstate.reach x where x.agent_id = a.id and x.folded_until is null offset 0) r;
  end if;
  if v_touches is null then
    return pgstate._reachable_now(p_right);
  elsif p_right = 'touch' then
    return v_touches;
  elsif p_right = 'write' then
    return v_writes;
  end if;
  return v_reads;
end
$$;
comment on function pgstate._reachable_through(text, pgstate.login) is 'Internal: the reach of whom a login acts for that is not simply its own agent.';

-- views/_acting_reach.sql
-- What policies compare keys with: the acting agent's reach, as it is stored with a login that has an agent of its own. Whom a
-- gateway acts for takes a call, which is not made for others: it cost a put a twelfth. A view, so that the rule stands once, and
-- pgstate_api need not see the table.
-- The union with '{}' detoasts: a stored datum would be detoasted for every row.
create or replace view pgstate._acting_reach as
select case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('read', l) else l.reads end + '{}' as reads,
       case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('write', l) else l.writes end + '{}' as writes,
       case when l.root or l.gateway or l.folded_until is not null then pgstate._reachable_through('touch', l) else l.touches end + '{}' as touches
  from pgstate.login l
 where l.login = session_user::text;
comment on view pgstate._acting_reach is 'Internal: what the acting agent may read, write, or touch (either).';
comment on column pgstate._acting_reach.reads is 'Ranges of keys, as in the table reach; null if this login may not act for whom it names.';
comment on column pgstate._acting_reach.writes is 'Likewise.';
comment on column pgstate._acting_reach.touches is 'Either.';

-- functions/access/_reachable.sql
-- What the acting agent reaches with one right, for functions, and for the policies of readers.
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_right = 'touch' then
    return (select a.touches from pgstate._acting_reach a);
  elsif p_right = 'write' then
    return (select a.writes from pgstate._acting_reach a);
  end if;
  return (select a.reads from pgstate._acting_reach a);
end
$$;
comment on function pgstate._reachable(text) is 'Internal: what the acting agent may read, write, or touch (either).';

-- functions/keys/_bad_key.sql
create function pgstate._bad_key(p_key text) returns void
language plpgsql immutable
as $$
begin
  raise exception using errcode = 'PS001', message = pg_catalog.format('invalid key %L', pgstate._shown(p_key)),
    hint = 'A key is 1 to 512 bytes: segments of A-Z a-z 0-9 . _ ~ : @ = + , % - joined by /, none empty, . or ..; quote other text with pgstate.key().';
end
$$;
comment on function pgstate._bad_key(text) is 'Internal: raises PS001.';

-- functions/keys/_check_pattern.sql
-- Patterns for reading: * within a segment, ** (a whole segment) across segments, ? one character; a/b/** includes a/b.
create function pgstate._check_pattern(p_pattern text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_pattern is null
     or p_pattern <> '' and (
       p_pattern !~ '^[A-Za-z0-9._~:@=+,%*?-]+(?:/[A-Za-z0-9._~:@=+,%*?-]+)*$'
       or octet_length(p_pattern) > 512
       or p_pattern ~ E'(?:^|/)\\.\\.?(?:/|$)'
       or p_pattern ~ E'[^/]\\*\\*|\\*\\*[^/]'
       -- the cost of a regular expression grows with them
       or p_pattern ~ '(?:[*?]+[^*?]*){17}')
  then
    raise exception using errcode = 'PS002', message = format('invalid pattern %L', pgstate._shown(p_pattern)),
      hint = 'A pattern is a key with * (within a segment), ? (one character) or ** (a whole segment, any depth), 16 of these characters at most; an empty pattern means everything.';
  end if;
end
$$;
comment on function pgstate._check_pattern(text) is 'Internal: raises PS002 for an invalid pattern.';

-- functions/keys/_key_ok.sql
-- Keys are 1 to 512 bytes of ASCII segments; '.' and '..' are refused because people read keys as paths.
create function pgstate._key_ok(p_key text) returns boolean
language plpgsql immutable parallel safe
as $$
begin
  return p_key ~ '^[A-Za-z0-9._~:@=+,%-]+(?:/[A-Za-z0-9._~:@=+,%-]+)*$'
     and pg_catalog.octet_length(p_key) <= 512
     and (pg_catalog.strpos(p_key, '.') = 0 or p_key !~ E'(?:^|/)\\.\\.?(?:/|$)');
end
$$;
comment on function pgstate._key_ok(text) is 'Internal: is this a valid key?';

-- functions/keys/_range.sql
-- From low on, up to high: of keys and patterns, which hold no quotes. In SQL, so that it is inlined, and by the type's input: the
-- constructor of a range type of ours is found by a search through the names of all built-in functions, 9 us in each statement.
create function pgstate._range(p_low text, p_high text) returns pgstate.keyrange
language sql stable
as $$ select ('["' || p_low || '","' || p_high || '")')::pgstate.keyrange $$;
comment on function pgstate._range(text, text) is 'Internal: a range of keys, without its end.';

-- functions/keys/_spans.sql
-- Ranges as bounds to look keys up between: from low, and below high. Exact, since no key holds chr(1). The planner puts its
-- body into the query; low and high are columns then, and under row-level security a key is looked up in an index only by what
-- no function computes there.
create function pgstate._spans(p_ranges pgstate.keymultirange) returns table (low text, high text)
language sql immutable parallel safe
begin atomic
  select coalesce(case when lower_inc(r) then lower(r) else lower(r) || chr(1) end, ''),
         coalesce(case when upper_inc(r) then upper(r) || chr(1) else upper(r) end, chr(127))
    from unnest(p_ranges) r;
end;
comment on function pgstate._spans(pgstate.keymultirange) is 'Internal: ranges of keys as half-open bounds.';

-- functions/keys/_pattern_ranges.sql
-- The ranges that hold every match. DEL sorts after every character of a key. By the type's input: see _range().
create function pgstate._pattern_ranges(p_pattern text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  -- no pattern holds these, which would end a bound: one that has not been checked yet does no harm
  v_pattern text := translate(p_pattern, E'"\\', '');
  v_stem text;
begin
  if v_pattern in ('', '**') then
    return '{(,)}'::pgstate.keymultirange;
  elsif translate(v_pattern, '*?', '') = v_pattern then
    return ('{["' || v_pattern || '","' || v_pattern || '"]}')::pgstate.keymultirange;
  end if;
  v_stem := left(v_pattern, -3);
  if v_pattern = v_stem || '/**' and translate(v_stem, '*?', '') = v_stem then
    return ('{["' || v_stem || '","' || v_stem || '"],["' || v_stem || '/","' || v_stem || '0")}')::pgstate.keymultirange;
  end if;
  v_stem := substring(v_pattern from '^[^*?]*');
  if v_pattern = v_stem || '*/**' and right(v_stem, 1) = '/' then
    -- everything below a key
    return multirange(pgstate._range(v_stem, left(v_stem, -1) || '0'));
  elsif v_pattern ~ E'^[^*?]+/\\*\\*(?:/\\*\\*)+$' then
    -- a/**/** includes a
    v_stem := left(v_stem, -1);
  elsif v_stem = '' then
    return '{(,)}'::pgstate.keymultirange;
  end if;
  return multirange(pgstate._range(v_stem, v_stem || chr(127)));
end
$$;
comment on function pgstate._pattern_ranges(text) is 'Internal: key ranges that hold every key which the pattern matches.';

-- functions/keys/_page_ranges.sql
-- What a page of a list reaches: the ranges that the pattern and the grants both cover, after the last key of the page before.
-- Raises what is wrong with any of that, and PS010 when the pattern reaches nothing that the caller may read.
create function pgstate._page_ranges(p_actor pgstate._actor, p_pattern text, p_limit int, p_after text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_ranges pgstate.keymultirange;
begin
  perform pgstate._check_pattern(p_pattern);
  if p_limit not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  elsif p_after is not null and not pgstate._key_ok(p_after) then
    perform pgstate._bad_key(p_after);
  end if;
  v_ranges := pgstate._pattern_ranges(p_pattern) * p_actor.reads;
  if isempty(v_ranges) and p_pattern <> '' then
    perform pgstate._deny();
  end if;
  return case when p_after is null then v_ranges else v_ranges * multirange(pgstate._range(p_after || chr(1), chr(127))) end;
end
$$;
comment on function pgstate._page_ranges(pgstate._actor, text, int, text) is 'Internal: checks what a list is asked for, and returns the ranges to read.';

-- functions/keys/_pattern_regex.sql
-- Null when the ranges alone decide: everything, one key, a subtree, or what is below a key.
create function pgstate._pattern_regex(p_pattern text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_regex text := p_pattern;
begin
  if p_pattern in ('', '**') or p_pattern !~ '[*?]' or p_pattern ~ E'^[^*?]+/(?:\\*/)?\\*\\*$' then
    return null;
  elsif p_pattern ~ E'^[^*?]+/\\*$' then
    -- the most frequent one, without the replacements
    return '^' || regexp_replace(left(p_pattern, -1), '([.+])', E'\\\\\\1', 'g') || '[^/]*$';
  end if;
  -- letters that keys cannot hold stand for the parts, so that no replacement touches another's result
  v_regex := regexp_replace(v_regex, E'(^|/)(?:\\*\\*/)+', E'\\1**/', 'g');
  v_regex := regexp_replace(v_regex, '([.+])', E'\\\\\\1', 'g');
  v_regex := regexp_replace(v_regex, E'/\\*\\*(?=/|$)', '<', 'g');
  v_regex := regexp_replace(v_regex, E'^\\*\\*(?=<|$)', '#', 'g');
  v_regex := regexp_replace(v_regex, E'^\\*\\*/', '>', 'g');
  v_regex := replace(replace(v_regex, '*', '[^/]*'), '?', '[^/]');
  v_regex := replace(replace(replace(v_regex, '<', '(?:/.*)?'), '>', '(?:.*/)?'), '#', '.*');
  return '^' || v_regex || '$';
end
$$;
comment on function pgstate._pattern_regex(text) is 'Internal: regular expression of a pattern, null when its ranges decide alone.';

-- functions/keys/_patterns_ranges.sql
create function pgstate._patterns_ranges(p_patterns text[]) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text;
begin
  if p_patterns is null or cardinality(p_patterns) = 0 then
    raise exception using errcode = 'PS002', message = 'no pattern', hint = 'An empty pattern ('''') means everything.';
  end if;
  foreach v_pattern in array p_patterns loop
    perform pgstate._check_pattern(v_pattern);
  end loop;
  if cardinality(p_patterns) = 1 then
    return pgstate._pattern_ranges(p_patterns[1]);
  end if;
  return (select range_agg(r) from unnest(p_patterns) p, unnest(pgstate._pattern_ranges(p)) r);
end
$$;
comment on function pgstate._patterns_ranges(text[]) is 'Internal: key ranges that hold every match of any of the patterns.';

-- functions/keys/_patterns_regex.sql
create function pgstate._patterns_regex(p_patterns text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_exact boolean := true;
  v_parts text[] := '{}';
  v_pattern text;
  v_regex text;
begin
  foreach v_pattern in array p_patterns loop
    v_regex := pgstate._pattern_regex(v_pattern);
    if v_regex is not null then
      v_exact := false;
    elsif v_pattern in ('', '**') then
      return null;
    else
      v_regex := regexp_replace(v_pattern, '([.+])', E'\\\\\\1', 'g');
      v_regex := '^' || regexp_replace(regexp_replace(v_regex, E'/\\*/\\*\\*$', '/.+'), E'/\\*\\*$', '(?:/.*)?') || '$';
    end if;
    v_parts := v_parts || v_regex;
  end loop;
  return case when v_exact then null else array_to_string(v_parts, '|') end;
end
$$;
comment on function pgstate._patterns_regex(text[]) is 'Internal: one regular expression for any of the patterns, null when their ranges decide alone.';

-- functions/keys/_wanted.sql
-- What a watch or a read of the feed asks for. The two patterns that nearly all of them have are taken to pieces here and
-- without regular expressions, the slowest thing that there is after a pause: it is on the way from a write to its watchers.
create function pgstate._wanted(p_patterns text[]) returns pgstate._wanted
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text := p_patterns[1];
begin
  if cardinality(p_patterns) = 1 and octet_length(v_pattern) <= 512 and left(v_pattern, 1) <> '/' and strpos(v_pattern, '//') = 0
     and translate(v_pattern, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-~:@=,%', '') in ('*', '**') then
    if right(v_pattern, 3) = '/**' then
      return row(('{["' || left(v_pattern, -3) || '","' || left(v_pattern, -3) || '"],["' || left(v_pattern, -2) || '","' || left(v_pattern, -3)
                  || '0")}')::pgstate.keymultirange, null)::pgstate._wanted;
    elsif right(v_pattern, 2) = '/*' then
      return row(multirange(pgstate._range(left(v_pattern, -1), left(v_pattern, -2) || '0')),
                 '^' || left(v_pattern, -1) || '[^/]*$')::pgstate._wanted;
    end if;
  end if;
  return row(pgstate._patterns_ranges(p_patterns), pgstate._patterns_regex(p_patterns))::pgstate._wanted;
end
$$;
comment on function pgstate._wanted(text[]) is 'Internal: ranges and regular expression of patterns. PS002.';

-- functions/keys/_span_ok.sql
-- A ttl or a lease: positive, at most a hundred years, and so by each of its fields, because comparing takes a month for 30
-- days and adding does not.
create function pgstate._span_ok(p_span interval) returns boolean
language plpgsql immutable
as $$
begin
  return p_span is null or p_span > interval '0' and p_span <= interval '36525 days'
     and pg_catalog.date_part('year', p_span) between 0 and 100 and pg_catalog.date_part('month', p_span) >= 0
     and pg_catalog.date_part('day', p_span) between 0 and 36525 and pg_catalog.date_part('hour', p_span) >= 0;
end
$$;
comment on function pgstate._span_ok(interval) is 'Internal: is this a possible ttl or lease?';

-- functions/keys/_span_or_0.sql
-- 0 by each of its fields, as in _span_ok(): a month less 30 days is equal to it, and moves a time.
create function pgstate._span_or_0(p_span interval) returns boolean
language plpgsql immutable
as $$
begin
  return pgstate._span_ok(p_span)
      or p_span = interval '0' and pg_catalog.date_part('year', p_span) = 0 and pg_catalog.date_part('month', p_span) = 0
         and pg_catalog.date_part('day', p_span) = 0;
end
$$;
comment on function pgstate._span_or_0(interval) is 'Internal: is this a possible ttl or lease, or 0?';

-- functions/keys/_subtree_ranges.sql
-- Grants name one key or a/b/**; {agent} as a segment stands for the agent's name.
create function pgstate._subtree_ranges(p_subtree text, p_agent text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_subtree text := array_to_string(array(
    select case when s = '{agent}' then p_agent else s end
      from unnest(string_to_array(p_subtree, '/')) with ordinality as t (s, n) order by n), '/');
begin
  if v_subtree = '**' then
    return pgstate._pattern_ranges('**');
  elsif v_subtree is null or not pgstate._key_ok(regexp_replace(v_subtree, E'/\\*\\*$', '')) then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'Rights are granted on one key, on a subtree such as research/**, or on ** for everything; {agent} may stand for a segment. Other wildcards are for reading.';
  end if;
  return pgstate._pattern_ranges(v_subtree);
end
$$;
comment on function pgstate._subtree_ranges(text, text) is 'Internal: key ranges of a granted subtree for one agent. PS002 when it is not a key or a subtree.';

-- functions/policy/_subtrees_of.sql
-- The subtrees that hold a key: a/b gives a/b, a/b/**, a/** and **. Without a query: it is on the way of every write. No key, no
-- subtrees: the loop would have no end.
create function pgstate._subtrees_of(p_key text) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
declare
  v_subtrees text[] := array['**', p_key, p_key || '/**'];
  v_above text := p_key;
  v_at int;
begin
  loop
    v_at := strpos(reverse(v_above), '/');
    exit when v_at = 0;
    v_above := left(v_above, -v_at);
    v_subtrees := v_subtrees || (v_above || '/**');
  end loop;
  return v_subtrees;
end
$$;
comment on function pgstate._subtrees_of(text) is 'Internal: the subtrees that hold a key.';

-- functions/policy/_policy_of.sql
-- For the write path, once it knows from install.policies that there are any. As the owner: a policy holds for whoever writes.
create function pgstate._policy_of(p_key text) returns pgstate._policy
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_policy pgstate._policy;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select (array_agg(p.reducer order by p.nearness desc) filter (where p.reducer is not null))[1],
         nullif((array_agg(p.ttl order by p.nearness desc) filter (where p.ttl is not null))[1], interval '0'),
         (array_agg(p.value_limit order by p.nearness desc) filter (where p.value_limit is not null))[1],
         (array_agg(p.schema order by p.nearness desc) filter (where p.schema is not null))[1],
         (array_agg(p.guard order by p.nearness desc) filter (where p.guard is not null))[1],
         (array_agg(p.trust order by p.nearness desc) filter (where p.trust is not null))[1]
    into v_policy
    from pgstate.policy p where p.subtree = any (v_subtrees);
  return v_policy;
end
$$;
comment on function pgstate._policy_of(text) is 'Internal: what the policies say of a key.';

-- functions/trust/_capped.sql
-- What the policies let an agent's trust be on a key: asked only where there are any.
create function pgstate._capped(p_trust pgstate.trust, p_key text) returns pgstate.trust
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return least(p_trust, (pgstate._policy_of(p_key)).trust);
end
$$;
comment on function pgstate._capped(pgstate.trust, text) is 'Internal: the trust of an agent, at most what the policies of a key allow.';

-- functions/trust/_trust_named.sql
create function pgstate._trust_named(p_name text) returns pgstate.trust
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_name is not null and not p_name = any (enum_range(null::pgstate.trust)::text[]) then
    raise exception using errcode = 'PS007', message = 'trust is external, agent, verified or operator';
  end if;
  return p_name::pgstate.trust;
end
$$;
comment on function pgstate._trust_named(text) is 'Internal: a trust by its name, PS007 for any other.';

-- functions/policy/_has_rules.sql
-- Do policies say anything about writing these keys? Then the short ways of writing are not for them. The history that is
-- kept is no such thing.
create function pgstate._has_rules(p_keys text[]) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select from unnest(p_keys) k cross join lateral pgstate._policy_of(k) p
     where k is not null and num_nonnulls(p.ttl, p.value_limit, p.schema, p.trust) > 0);
end
$$;
comment on function pgstate._has_rules(text[]) is 'Internal: do policies bear on puts of any of these keys?';

-- functions/policy/_keep_of.sql
create function pgstate._keep_of(p_key text) returns pgstate._keep
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_keep pgstate._keep;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select p.keep_versions, p.keep_age into v_keep
    from pgstate.policy p
   where p.subtree = any (v_subtrees) and num_nonnulls(p.keep_versions, p.keep_age, p.keep_everything) > 0
   order by p.nearness desc limit 1;
  return v_keep;
end
$$;
comment on function pgstate._keep_of(text) is 'Internal: how much of a key''s history the policies keep.';

-- functions/policy/_claim_rules_of.sql
-- Apart from _policy_of(), which is on the way of every write.
create function pgstate._claim_rules_of(p_key text) returns pgstate._claim_rules
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_rules pgstate._claim_rules;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select (array_agg(p.max_attempts order by p.nearness desc) filter (where p.max_attempts is not null))[1],
         (array_agg(p.backoff order by p.nearness desc) filter (where p.backoff is not null))[1],
         (array_agg(p.backoff_limit order by p.nearness desc) filter (where p.backoff_limit is not null))[1],
         (array_agg(p.dead_letter order by p.nearness desc) filter (where p.dead_letter is not null))[1],
         (array_agg(p.subtree order by p.nearness desc) filter (where p.dead_letter is not null))[1],
         (array_agg(p.claimed_writes order by p.nearness desc) filter (where p.claimed_writes is not null))[1]
    into v_rules
    from pgstate.policy p where p.subtree = any (v_subtrees);
  return v_rules;
end
$$;
comment on function pgstate._claim_rules_of(text) is 'Internal: what the policies say of claims of a key.';

-- functions/policy/_claimed_writes.sql
create function pgstate._claimed_writes(p_key text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return coalesce((pgstate._claim_rules_of(p_key)).claimed_writes, false);
end
$$;
comment on function pgstate._claimed_writes(text) is 'Internal: may a claimed entry be written without its token?';

-- functions/guards/_label_patterns.sql
-- What text is labelled for: it may be meant as instructions to a model. As with _secret_patterns(), kept here once, and read
-- by the Python client. A label never blocks anything: whoever means harm can word it otherwise.
create function pgstate._label_patterns() returns text[]
language plpgsql immutable parallel safe
as $$
begin
  return array[
    ['role_tokens', $re$(?i)<[|\uff5c][A-Za-z0-9_\u2581]{1,40}[|\uff5c]>|<(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>|</?(?:system|assistant|human|tool|function_calls|instructions)(?: [^<>"]*)?>|(?:^|[\n\r"]|\\[nr])[ #*]*(?:system|assistant|human)[ *]*:$re$],
    ['override_phrases', $re$(?i)(?:ignore|disregard|forget|override|bypass)(?: (?:all|any|every|the|your|of|my|these|those|previous|prior|above|earlier|preceding|original|system|safety))* (?:instructions?|prompts?|rules|directions|guidelines|constraints)|you are now (?:an?|the|in) |new (?:system )?instructions?:|(?:reveal|print|repeat|show)(?: me)? (?:your|the) (?:system |hidden |initial )?(?:prompt|instructions)|do not (?:tell|inform|mention|reveal)[^."]{0,100} (?:user|human|anyone)|(?:enable|enter|activate) (?:developer|jailbreak|dan|god) mode$re$],
    ['invisible_characters', $re$[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]$re$]
  ];
end
$$;
comment on function pgstate._label_patterns() is 'Internal: labels and the regular expressions of what gets them.';

-- functions/guards/_secret_patterns.sql
-- What is taken for a secret: rules, most specific first. They are kept here once; the Python client reads this file, and
-- a test has both agree. So only what a regular expression means alike in Postgres and in Python's re: explicit classes,
-- lookaround, no \s or \w, no lazy quantifiers, alternatives of which only one can fit. They are matched against JSON texts
-- too, where a line break is \n: hence (?<=\\[nrt]) beside each boundary; no match begins or ends inside an escape.
-- No rule goes by entropy: that would flag every UUID and digest. What contains a match contains one of _secret_shape(), one of _secret_hint(), and
-- one of the needles that stand behind its rule, divided by |: a rule is tried where one of them is. (Lookbehind makes a regular expression
-- slow: 80 ms for each rule and megabyte, where looking for all needles takes 15. Text like base64 has the hint of something everywhere.)
create function pgstate._secret_patterns() returns text[]
language plpgsql immutable parallel safe
as $$
begin
  return array[
    ['aws_access_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])$re$, 'AKIA|ASIA'],
    ['google_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))AIza[A-Za-z0-9_-]{35}$re$, 'AIza'],
    ['azure_storage_key', $re$AccountKey=[A-Za-z0-9+/]{86}==$re$, 'AccountKey='],
    ['anthropic_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))sk-ant-[A-Za-z0-9_-]{24,}$re$, 'sk-ant-'],
    ['openai_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}$re$, 'sk-proj-|sk-svcacct-|sk-admin-'],
    ['model_provider_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:sk-(?:or-v1-)?[A-Za-z0-9]{32,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,})$re$, 'sk-|gsk_|xai-'],
    ['huggingface_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))hf_[A-Za-z0-9]{30,}$re$, 'hf_'],
    ['github_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})$re$, 'gho_|ghp_|ghs_|ghu_|ghr_|github_pat_'],
    ['gitlab_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))glpat-[A-Za-z0-9_-]{20,}$re$, 'glpat-'],
    ['slack_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:xox[abeoprs]-[A-Za-z0-9-]{20,}|xapp-[A-Za-z0-9-]{40,})$re$, 'xoxa-|xoxb-|xoxe-|xoxo-|xoxp-|xoxr-|xoxs-|xapp-'],
    ['stripe_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[rs]k_live_[A-Za-z0-9]{20,}$re$, 'k_live_'],
    ['registry_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:npm_[A-Za-z0-9]{36}|pypi-A[A-Za-z0-9_-]{50,})$re$, 'npm_|pypi-A'],
    ['private_key', $re$-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?:[\n\r]|\\+[nr])[ \t]*)*(?:[A-Z][A-Za-z-]+: (?:[^\\"\n\r-]|-(?!----))*(?:(?:[\n\r]|\\+[nr])[ \t]*)+)*(?:[A-Za-z0-9+/=]|(?:[\n\r]|\\+[nr])[ \t]*)*(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?$re$, 'PRIVATE KEY'],
    ['jwt', $re$(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}$re$, '.eyJ'],
    ['connection_string', $re$://[^/?# "\\\n\r\t:@]*:(?!\$CRED\{|\$\{|<|\*|\[redacted)[^/?# "\\\n\r\t,@]+@$re$, '://']
  ];
end
$$;
comment on function pgstate._secret_patterns() is 'Internal: rules for what is taken for a secret, each a name, a regular expression, and needles of which every match contains one.';

-- functions/guards/_secret_hint.sql
-- Tried on what has something of _secret_shape(): what has none of this holds no secret of _secret_patterns(). One regular expression of few states, since the
-- server builds its automaton anew for each value (literals in full took 11 us for each, this takes 4, and 4 for each
-- kilobyte). sk- not after a letter, but n, r and t, which may end an escape: else every task-1 would be looked at closely.
create function pgstate._secret_hint() returns text
language plpgsql immutable parallel safe
as $$
begin
  return 'A[KSI][Iz][Aa]|[^a-mo-q]sk-|gsk_|xa(?:i|pp)-|hf_|gh[opsur]_|b_pat_|lpat-|xox|k_live|npm_|pi-A|E KEY|tKey=|eyJ|://[^/ ]*@';
end
$$;
comment on function pgstate._secret_hint() is 'Internal: a quick test for what may hold a secret; of texts that begin with a blank.';

-- functions/guards/_secret_shape.sql
-- Tried before _secret_hint(): a regular expression of few states, whose automaton the server builds in a fifth of the time. Every match
-- of _secret_patterns() has one of these too. Names in snake_case, dates, UUIDs and prose have none.
create function pgstate._secret_shape() returns text
language plpgsql immutable parallel safe
as $$
begin
  return '(?:[g-z]-|_)[A-Za-z0-9_-]{16}|xox|A[KSI][Iz]|yJ|E K|y=|@';
end
$$;
comment on function pgstate._secret_shape() is 'Internal: a quicker test before _secret_hint(): what has none of this holds no secret.';

-- functions/guards/_may_be_secret.sql
-- In SQL, so that it is inlined.
create function pgstate._may_be_secret(p_text text) returns boolean
language sql immutable parallel safe
as $$ select p_text ~ pgstate._secret_shape() and (' ' || p_text) ~ pgstate._secret_hint() $$;
comment on function pgstate._may_be_secret(text) is 'Internal: a quick test for what may hold a secret.';

-- functions/guards/_has_needle.sql
create function pgstate._has_needle(p_text text, p_needles text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_needle text;
begin
  foreach v_needle in array string_to_array(p_needles, '|') loop
    if strpos(p_text collate "C", v_needle) > 0 then
      return true;
    end if;
  end loop;
  return false;
end
$$;
comment on function pgstate._has_needle(text, text) is 'Internal: may a rule of _secret_patterns() find something in a text?';

-- functions/guards/_secret_rule.sql
-- The first rule that something in a text fits. The name of the rule is all that anybody is told.
create function pgstate._secret_rule(p_text text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule text[];
begin
  if pgstate._may_be_secret(p_text) then
    foreach v_rule slice 1 in array pgstate._secret_patterns() loop
      if pgstate._has_needle(p_text, v_rule[3]) and p_text ~ v_rule[2] then
        return v_rule[1];
      end if;
    end loop;
  end if;
  return null;
end
$$;
comment on function pgstate._secret_rule(text) is 'Internal: the rule by which a text holds a secret, or null.';

-- functions/guards/_redact.sql
-- Also of the text of JSON, which stays JSON: see _secret_patterns().
create function pgstate._redact(p_text text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule text[];
  v_text text := p_text;
begin
  if pgstate._may_be_secret(p_text) then
    foreach v_rule slice 1 in array pgstate._secret_patterns() loop
      if pgstate._has_needle(v_text, v_rule[3]) then
        v_text := regexp_replace(v_text, v_rule[2], '[redacted:' || v_rule[1] || ']', 'g');
      end if;
    end loop;
  end if;
  return v_text;
end
$$;
comment on function pgstate._redact(text) is 'Internal: a text with [redacted:rule] in place of each secret.';

-- functions/guards/_shown.sql
-- Errors go into the server's log and other people's: the rules hold for these too, whatever the guard. Before it is cut, since half a
-- secret is one still.
create function pgstate._shown(p_text text, p_length int default 80) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return left(pgstate._redact(left(p_text, 10000)), p_length);
end
$$;
comment on function pgstate._shown(text, int) is 'Internal: what was given, as an error may show it: cut, and without secrets.';

-- functions/guards/_guard_of.sql
create function pgstate._guard_of(p_actor pgstate._actor, p_key text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return coalesce(case when p_actor.policies then (pgstate._policy_of(p_key)).guard end, 'refuse');
end
$$;
comment on function pgstate._guard_of(pgstate._actor, text) is 'Internal: what becomes of secrets under a key: refuse, redact or off.';

-- functions/guards/_guarded.sql
-- For texts that must not be refused, such as why work failed: redacted wherever the guard is on.
create function pgstate._guarded(p_actor pgstate._actor, p_key text, p_text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if pgstate._may_be_secret(p_text) and pgstate._guard_of(p_actor, p_key) <> 'off' then
    return pgstate._redact(p_text);
  end if;
  return p_text;
end
$$;
comment on function pgstate._guarded(pgstate._actor, text, text) is 'Internal: a text without secrets, unless the guard of its key is off.';

-- functions/guards/_secret_in.sql
-- For names, which are refused and never redacted: wherever the guard is on.
create function pgstate._secret_in(p_actor pgstate._actor, p_key text, p_text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if pgstate._may_be_secret(p_text) and pgstate._guard_of(p_actor, p_key) <> 'off' then
    return pgstate._secret_rule(p_text);
  end if;
  return null;
end
$$;
comment on function pgstate._secret_in(pgstate._actor, text, text) is 'Internal: the rule by which a name holds a secret, or null; null too where the guard is off.';

-- functions/guards/_refuse_secrets.sql
-- For rules, which lie in the database as long as entries do, and in the audit trail longer.
create function pgstate._refuse_secrets(p_actor pgstate._actor, p_subtree text, p_text text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rule text := pgstate._secret_in(p_actor, p_subtree, p_text);
begin
  if v_rule is not null then
    perform pgstate._raise('PS009', p_subtree, pgstate._error_text('PS009', p_subtree) || ': ' || v_rule);
  end if;
end
$$;
comment on function pgstate._refuse_secrets(pgstate._actor, text, text) is 'Internal: PS009 for a text with a secret, unless the guard of a subtree is off.';

-- functions/guards/_guarded_bytes.sql
-- The rule by which JSON, or the message of an error, holds a secret; and that without it. Writers of JSON may escape what they like: some
-- do so with / and +, or with all that is not ASCII. So escapes of printable characters are taken away, but for quotation marks and
-- backslashes; and a letter behind another escape, which would seem to go on with it, is set apart. Two characters that JSON cannot hold
-- stand for an escaped backslash, and set apart.
create function pgstate._guarded_bytes(p_type text, p_data bytea, out rule text, out data bytea) returns record
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_text text;
  v_hex text;
begin
  begin
    v_text := convert_from(p_data, 'UTF8');
  exception when character_not_in_repertoire or untranslatable_character then
    -- no JSON: looked at as it is, in escapes that can be taken back
    rule := pgstate._secret_rule(encode(p_data, 'escape'));
    data := case when rule is null then p_data else decode(pgstate._redact(encode(p_data, 'escape')), 'escape') end;
    return;
  end;
  if p_type <> 'error' and strpos(v_text collate "C", E'\\') > 0 and strpos(v_text collate "C", chr(1)) + strpos(v_text collate "C", chr(2)) = 0 then
    v_text := replace(replace(v_text, E'\\\\', chr(1)), E'\\/', '/');
    if strpos(v_text collate "C", E'\\u00') > 0 then
      for v_code in 32 .. 126 loop
        continue when v_code in (34, 92);
        v_hex := to_hex(v_code);
        v_text := replace(replace(v_text, E'\\u00' || v_hex, chr(v_code)), E'\\u00' || upper(v_hex), chr(v_code));
      end loop;
      v_text := regexp_replace(regexp_replace(v_text, E'\\\\u000[aA]', E'\\\\n', 'g'), E'\\\\u000[dD]', E'\\\\r', 'g');
    end if;
    v_text := replace(regexp_replace(v_text, E'(\\\\u[0-9A-Fa-f]{4})(?=[A-Za-z0-9])', E'\\1' || chr(2), 'g'), chr(1), E'\\\\');
  end if;
  rule := pgstate._secret_rule(v_text);
  data := case when rule is null then p_data else convert_to(replace(pgstate._redact(v_text), chr(2), ''), 'UTF8') end;
end
$$;
comment on function pgstate._guarded_bytes(text, bytea) is 'Internal: the rule by which serialized data holds a secret, and the data without.';

-- functions/guards/_guarded_data.sql
-- Of what comes as bytes the database reads JSON and messages of errors. p_refuse: by a policy that refuses; else, for results, which
-- would be lost, redacted there too. PS009.
create function pgstate._guarded_data(p_actor pgstate._actor, p_key text, p_type text, p_data bytea, p_refuse boolean) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mode text;
  v_clean record;
begin
  if pgstate._suspect_parts(null, array[p_type], array[p_data]) then
    v_mode := pgstate._guard_of(p_actor, p_key);
    if v_mode <> 'off' and p_type in ('json', 'error') then
      v_clean := pgstate._guarded_bytes(p_type, p_data);
      if v_clean.rule is not null and v_mode = 'refuse' and p_refuse then
        perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || v_clean.rule);
      end if;
      return v_clean.data;
    end if;
  end if;
  return p_data;
end
$$;
comment on function pgstate._guarded_data(pgstate._actor, text, text, bytea, boolean) is 'Internal: serialized data without secrets, where it can be read. PS009.';

-- functions/guards/_suspect_parts.sql
-- Quick, before anything is looked at closely: of what comes in parts the names (more: those that are in no array), the metadata, and the
-- JSON. In an array's binary form the length of an element stands before it, and may look like a letter: JSON begins with none, messages of
-- errors are looked at in any case. What is escaped may be anything, see _guarded_bytes(). The simpler expression first, as in
-- _may_be_secret(). Its callers pin the search_path.
create function pgstate._suspect_parts(p_names text[], p_types text[], p_data bytea[], p_metadata jsonb default null, p_more text default null) returns boolean
language plpgsql stable
as $$
declare
  v_text text := coalesce(array_to_string(p_names, ' '), '') || ' ' || coalesce(p_metadata::text, '') || coalesce(' ' || p_more, '')
                 || case when p_types && array['json', '+json'] then encode(array_send(p_data), 'escape') else '' end;
begin
  return v_text ~ (pgstate._secret_shape() || E'|\\\\[/u]') and (' ' || v_text) ~ (pgstate._secret_hint() || E'|\\\\[/u]')
         or coalesce('error' = any (p_types), false);
end
$$;
comment on function pgstate._suspect_parts(text[], text[], bytea[], jsonb, text) is 'Internal: may there be a secret in names, metadata, or the JSON of serialized data?';

-- functions/guards/_guarded_parts.sql
-- What is stored in parts, by the guard of its key: data and metadata without secrets, where it redacts, or the rule by which it is
-- refused. Names are refused and never redacted; chunks too, since they are named by the hash of what was sent. Arrays of any bounds
-- and dimensions are taken as unnest() takes them.
create function pgstate._guarded_parts(
  p_actor pgstate._actor, p_key text, p_names text[], p_types text[], inout data bytea[], inout metadata jsonb, p_chunk_types text[], p_chunk_data bytea[], p_more text,
  out rule text
) returns record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mode text := pgstate._guard_of(p_actor, p_key);
  v_types text[] := array(select unnest(p_types));
  v_found text;
  v_clean record;
begin
  if v_mode = 'off' then
    return;
  end if;
  rule := coalesce(
    pgstate._secret_rule(concat_ws(' ', array_to_string(p_names, ' '), p_more)),
    (select min((pgstate._guarded_bytes(c.type, c.data)).rule) from unnest(p_chunk_types, p_chunk_data) c (type, data) where c.type in ('json', '+json')));
  v_found := case when rule is null then pgstate._secret_rule(metadata::text) end;
  if v_found is not null and v_mode = 'refuse' then
    rule := v_found;
  elsif v_found is not null then
    metadata := pgstate._redact(metadata::text)::jsonb;
  end if;
  data := array(select unnest(data));
  for v_index in 1 .. cardinality(v_types) loop
    exit when rule is not null;
    if v_types[v_index] in ('json', 'error') then
      v_clean := pgstate._guarded_bytes(v_types[v_index], data[v_index]);
      if v_clean.rule is not null and v_mode = 'refuse' then
        rule := v_clean.rule;
      else
        data[v_index] := v_clean.data;
      end if;
    end if;
  end loop;
end
$$;
comment on function pgstate._guarded_parts(pgstate._actor, text, text[], text[], bytea[], jsonb, text[], bytea[], text) is
  'Internal: names, data and metadata by the guard of their key.';

-- functions/credentials/_allow_credential.sql
create function pgstate._allow_credential(p_agent text, p_name text, p_purpose text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if (p_name = '*' or p_name ~ '^[A-Za-z0-9._-]{1,128}$') is not true or (octet_length(p_purpose) between 1 and 128) is not true then
    raise exception using errcode = 'PS007', message = 'the name of a credential has 1 to 128 of A-Z a-z 0-9 . _ -, or is * for any; a purpose has 1 to 128 bytes, * for any';
  elsif p_on then
    insert into pgstate.credential_grant (agent_id, name, purpose, granted_by, granted_at)
    values (v_id, p_name, p_purpose, v_actor.name, pgstate._now()) on conflict do nothing;
  else
    delete from pgstate.credential_grant g where g.agent_id = v_id and g.name = p_name and g.purpose = p_purpose;
    if not found then
      -- a misspelt purpose must not pass for a credential taken away
      raise exception using errcode = 'PS007', message = format('%s has no credential %s for %s', p_agent, p_name, pgstate._shown(p_purpose)),
        hint = 'Take back exactly what was allowed: pgstate.credentials() lists it.';
    end if;
  end if;
  perform pgstate._audit(v_actor, case when p_on then 'allow_credential' else 'disallow_credential' end, null,
                         jsonb_build_object('agent', p_agent, 'name', p_name, 'purpose', p_purpose));
end
$$;
comment on function pgstate._allow_credential(text, text, text, boolean) is 'Internal: lets an agent have a credential resolved, or not.';

-- functions/credentials/_use_credential.sql
create function pgstate._use_credential(p_actor pgstate._actor, p_name text, p_purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  if not exists (select from pgstate.credential_grant g
                  where g.agent_id = p_actor.id and g.name in (p_name, '*') and g.purpose in (p_purpose, '*')) then
    perform pgstate._deny();
  end if;
  perform pgstate._audit(p_actor, 'credential', null,
                         jsonb_build_object('name', pgstate._audit_text(p_name, 128), 'purpose', pgstate._audit_text(p_purpose, 128)));
end
$$;
comment on function pgstate._use_credential(pgstate._actor, text, text) is 'Internal: checks that the agent may have a credential resolved, and records it.';

-- functions/credentials/_credentials.sql
create function pgstate._credentials(p_actor pgstate._actor) returns setof pgstate.credential_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.name, g.purpose, g.granted_by, g.granted_at
      from pgstate.credential_grant g join pgstate.agent a on a.id = g.agent_id
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name, g.name, g.purpose;
end
$$;
comment on function pgstate._credentials(pgstate._actor) is 'Internal: what of that the caller may see.';

-- functions/policy/_keep_text.sql
create function pgstate._keep_text(p_versions int, p_age interval, p_everything boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set intervalstyle = postgres
as $$
begin
  return case when p_everything then 'everything'
              when p_versions is not null then p_versions || case when p_versions = 1 then ' version' else ' versions' end
              else p_age::text end;
end
$$;
comment on function pgstate._keep_text(int, interval, boolean) is 'Internal: the history kept, as set_policy() takes it.';

-- functions/policy/_built_in.sql
create function pgstate._built_in(variadic p_reducers text[]) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(p_reducers <@ array['replace', 'append', 'add', 'max', 'min', 'union', 'merge', 'deep_merge', 'messages', 'first'], false);
end
$$;
comment on function pgstate._built_in(text[]) is 'Internal: are these names of built-in reducers?';

-- functions/policy/_function_digest.sql
-- Nothing that a dump and restore, or another version of PostgreSQL, changes: the oid of a language is one such thing.
create function pgstate._function_digest(p_function oid) returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                       coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
            from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = p_function);
end
$$;
comment on function pgstate._function_digest(oid) is 'Internal: hash of what a function does.';

-- functions/policy/_own_reducer.sql
-- The function behind a registered name, if it is still what was registered. Its owner could replace it, and it runs with
-- the rights of pgstate_api: so the body counts, not the name.
create function pgstate._own_reducer(p_name text) returns regprocedure
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select p.oid
            from pgstate.reducer r
            join pg_namespace n on n.nspname = r.function_schema
            join pg_proc p on p.pronamespace = n.oid and p.proname = r.function_name
                              and p.proargtypes = '3802 3802'::oidvector and pgstate._function_digest(p.oid) = r.digest
           where r.name = p_name);
end
$$;
comment on function pgstate._own_reducer(text) is 'Internal: a registered reducer''s function, null when there is none or it has changed.';

-- functions/policy/_schema_ref.sql
create function pgstate._schema_ref(p_root jsonb, p_ref text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_ref = '#' then
    return p_root;
  end if;
  return p_root -> split_part(p_ref, '/', 2) -> replace(replace(split_part(p_ref, '/', 3), '~1', '/'), '~0', '~');
end
$$;
comment on function pgstate._schema_ref(jsonb, text) is 'Internal: the part of a schema that a $ref names, null when there is none.';

-- functions/policy/_schema_refs.sql
-- The $refs that a schema follows for one and the same value, without going into the value.
create function pgstate._schema_refs(p_schema jsonb) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_refs text[] := '{}';
  v_inner jsonb;
begin
  if jsonb_typeof(p_schema) <> 'object' then
    return v_refs;
  elsif p_schema ? '$ref' then
    v_refs := array[p_schema ->> '$ref'];
  end if;
  for v_inner in
    select p_schema -> 'not' where p_schema ? 'not'
    union all
    select e.value from unnest(array['anyOf', 'allOf', 'oneOf']) w, jsonb_array_elements(coalesce(p_schema -> w, '[]')) e
  loop
    v_refs := v_refs || pgstate._schema_refs(v_inner);
  end loop;
  return v_refs;
end
$$;
comment on function pgstate._schema_refs(jsonb) is 'Internal: the $refs that a schema applies to the value itself.';

-- functions/policy/_schema_fault.sql
-- What a schema that somebody defines may hold: keywords of JSON Schema 2020-12 that the database can check at a cost it
-- can bound, each in the form that _schema_check() relies on. What is outside is refused here, by name and path, because a
-- rule that is quietly not checked is worse than none. Regular expressions (pattern, patternProperties) are outside:
-- PostgreSQL's differ from ECMA's, and their cost cannot be bounded.
create function pgstate._schema_fault(p_root jsonb, p_schema jsonb, p_path text, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_word text;
  v_rule jsonb;
  v_type text;
  v_name text;
  v_inner jsonb;
  v_inners jsonb;
  v_fault text;
begin
  if jsonb_typeof(p_schema) = 'boolean' then
    return null;
  elsif jsonb_typeof(p_schema) <> 'object' then
    return format('%s: a schema is an object, true or false', p_path);
  elsif p_depth > 40 then
    return format('%s: nested deeper than 40 levels', p_path);
  end if;
  for v_word, v_rule in select w.key, w.value from jsonb_each(p_schema) w order by w.key loop
    v_type := jsonb_typeof(v_rule);
    v_inners := '{}';
    if v_word in ('title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', 'format', 'discriminator',
                  'contentEncoding', 'contentMediaType', 'contentSchema', '$comment', '$schema') then
      -- says something to people and tools, and nothing about which values are valid
      continue;
    elsif v_word = '$id' then
      if p_path <> '#' then
        return format('%s: $id is supported at the top only', p_path);
      end if;
    elsif v_word = 'type' then
      if not (v_type = 'string' or v_type = 'array' and v_rule <> '[]')
         or exists (select from jsonb_array_elements(case v_type when 'array' then v_rule else jsonb_build_array(v_rule) end) t
                     where jsonb_typeof(t.value) <> 'string'
                        or t.value #>> '{}' not in ('object', 'array', 'string', 'number', 'integer', 'boolean', 'null')) then
        return format('%s/type: one or several of object, array, string, number, integer, boolean, null', p_path);
      end if;
    elsif v_word = 'enum' then
      if v_type <> 'array' then
        return format('%s/enum: a list of values', p_path);
      end if;
    elsif v_word = 'const' then
      null;
    elsif v_word in ('minItems', 'maxItems', 'minProperties', 'maxProperties', 'minLength', 'maxLength') then
      if v_type <> 'number' or v_rule::numeric not between 0 and 2147483647 or scale(trim_scale(v_rule::numeric)) > 0 then
        return format('%s/%s: a number of them, 0 or more', p_path, v_word);
      end if;
    elsif v_word in ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf') then
      if v_type <> 'number' or abs(v_rule::numeric) >= 1e400 or scale(v_rule::numeric) > 400
         or v_word = 'multipleOf' and v_rule::numeric <= 0 then
        return format('%s/%s: a number%s', p_path, v_word, case when v_word = 'multipleOf' then ' over 0' else '' end);
      end if;
    elsif v_word = 'uniqueItems' then
      if v_type <> 'boolean' then
        return format('%s/uniqueItems: true or false', p_path);
      end if;
    elsif v_word = 'required' then
      if v_type <> 'array' or exists (select from jsonb_array_elements(v_rule) r where jsonb_typeof(r.value) <> 'string') then
        return format('%s/required: a list of names', p_path);
      end if;
    elsif v_word = '$ref' then
      if v_type <> 'string' or not (v_rule #>> '{}' = '#' or v_rule #>> '{}' ~ E'^#/(\\$defs|definitions)/[^/%]+$'
                                    and pgstate._schema_ref(p_root, v_rule #>> '{}') is not null) then
        return format('%s/$ref: only # and what stands under $defs at the top, such as #/$defs/Name', p_path);
      end if;
    elsif v_word in ('additionalProperties', 'propertyNames', 'not') or v_word = 'items' and v_type <> 'array' then
      v_inners := jsonb_build_object('', v_rule);
    elsif v_word in ('properties', '$defs', 'definitions') then
      if v_type <> 'object' then
        return format('%s/%s: schemas by name', p_path, v_word);
      end if;
      v_inners := v_rule;
    elsif v_word in ('prefixItems', 'anyOf', 'allOf', 'oneOf') then
      if v_type <> 'array' or v_rule = '[]' then
        return format('%s/%s: a list of one or more schemas', p_path, v_word);
      end if;
      v_inners := (select jsonb_object_agg(e.ordinality - 1, e.value) from jsonb_array_elements(v_rule) with ordinality e);
    elsif v_word = 'items' then
      return format('%s/items: one schema for all items; one for each place is prefixItems', p_path);
    else
      return format('%s: the keyword %s is not supported', p_path, to_json(left(v_word, 60)));
    end if;
    for v_name, v_inner in select i.key, i.value from jsonb_each(v_inners) i order by i.key loop
      v_fault := pgstate._schema_fault(p_root, v_inner, p_path || '/' || v_word || case when v_name = '' then '' else '/' || left(v_name, 60) end,
                                       p_depth + 1);
      if v_fault is not null then
        return v_fault;
      end if;
    end loop;
  end loop;
  return null;
end
$$;
comment on function pgstate._schema_fault(jsonb, jsonb, text, int) is 'Internal: why a part of a schema cannot be checked here.';

-- functions/policy/_schema_unsupported.sql
create function pgstate._schema_unsupported(p_schema jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_fault text;
begin
  if p_schema is null then
    return 'no schema';
  elsif pg_column_size(p_schema) > 65536 then
    return 'a schema takes 64 KiB at most';
  end if;
  v_fault := pgstate._schema_fault(p_schema, p_schema, '#', 0);
  if v_fault is null then
    -- a $ref that comes back to itself without going into the value would never end
    with recursive node as materialized (
      select '#' as name, pgstate._schema_refs(p_schema) as refs
      union all
      select '#/' || w || '/' || replace(replace(d.key, '~', '~0'), '/', '~1'), pgstate._schema_refs(d.value)
        from unnest(array['$defs', 'definitions']) w, jsonb_each(case when jsonb_typeof(p_schema) = 'object' then coalesce(p_schema -> w, '{}') else '{}' end) d
    ), reached (start, name) as (
      select n.name, r from node n, unnest(n.refs) r
      union
      select x.start, r from reached x join node n on n.name = x.name cross join unnest(n.refs) r
    )
    select format('%s: its $ref leads back to itself', min(x.start)) into v_fault from reached x where x.start = x.name having count(*) > 0;
  end if;
  return v_fault;
end
$$;
comment on function pgstate._schema_unsupported(jsonb) is 'Internal: why a JSON Schema cannot be a policy''s, naming keyword and path; null when it can.';

-- functions/policy/_schema_check.sql
-- One schema against one value. The error names the path and the rule, never the value: names of properties that the schema
-- does not know are part of the value, so * stands for them. Depth and steps are bounded, because schemas branch and recur;
-- a check that is given up refuses the value. Relies on what _schema_fault() has let pass.
create function pgstate._schema_check(p_root jsonb, p_schema jsonb, p_value jsonb, p_path text, p_depth int, p_budget int)
returns pgstate._checked
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v pgstate._checked;
  v_word text;
  v_rule jsonb;
  v_type text;
  v_number numeric;
  v_count int;
  v_fits int := 0;
  v_name text;
  v_item jsonb;
  v_at bigint;
begin
  v.budget := p_budget - 1;
  if v.budget < 0 or p_depth > 100 then
    v.error := coalesce(nullif(p_path, ''), 'the value') || ': ' || case when p_depth > 100 then 'nested too deeply for its schema' else 'too much to check' end;
    v.budget := -1;
    return v;
  elsif jsonb_typeof(p_schema) = 'boolean' then
    if p_schema = 'false' then
      v.error := coalesce(nullif(p_path, ''), 'the value') || ': nothing is allowed here';
    end if;
    return v;
  end if;

  <<rules>>
  begin
    v_type := jsonb_typeof(p_value);
    v_rule := p_schema -> 'type';
    if v_rule is not null and not v_rule ? v_type
       and not (v_type = 'number' and v_rule ? 'integer' and scale(trim_scale(p_value::numeric)) = 0) then
      v_word := 'type';
      exit rules;
    end if;
    if p_schema ? 'const' and p_schema -> 'const' <> p_value then
      v_word := 'const';
      exit rules;
    end if;
    v_rule := p_schema -> 'enum';
    if v_rule is not null then
      v.budget := v.budget - jsonb_array_length(v_rule) / 50;
      if v_type in ('object', 'array') and not exists (select from jsonb_array_elements(v_rule) e where e.value = p_value)
         or v_type not in ('object', 'array') and not v_rule @> jsonb_build_array(p_value) then
        v_word := 'enum';
        exit rules;
      end if;
    end if;

    if v_type = 'number' then
      if p_schema ?| array['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'] then
        v_number := p_value::numeric;
        if v_number < (p_schema -> 'minimum')::numeric then
          v_word := 'minimum';
        elsif v_number > (p_schema -> 'maximum')::numeric then
          v_word := 'maximum';
        elsif v_number <= (p_schema -> 'exclusiveMinimum')::numeric then
          v_word := 'exclusiveMinimum';
        elsif v_number >= (p_schema -> 'exclusiveMaximum')::numeric then
          v_word := 'exclusiveMaximum';
        elsif p_schema ? 'multipleOf' then
          -- beyond every float division takes its time
          if abs(v_number) >= 1e400 or scale(v_number) > 400 or v_number % (p_schema -> 'multipleOf')::numeric <> 0 then
            v_word := 'multipleOf';
          end if;
        end if;
        exit rules when v_word is not null;
      end if;
    elsif v_type = 'string' then
      if p_schema ?| array['minLength', 'maxLength'] then
        v_count := length(p_value #>> '{}');
        if v_count < (p_schema -> 'minLength')::int then
          v_word := 'minLength';
          exit rules;
        elsif v_count > (p_schema -> 'maxLength')::int then
          v_word := 'maxLength';
          exit rules;
        end if;
      end if;
    elsif v_type = 'array' then
      v_count := jsonb_array_length(p_value);
      if v_count < (p_schema -> 'minItems')::int then
        v_word := 'minItems';
        exit rules;
      elsif v_count > (p_schema -> 'maxItems')::int then
        v_word := 'maxItems';
        exit rules;
      elsif p_schema -> 'uniqueItems' = 'true' then
        v.budget := v.budget - v_count / 10;
        if (select count(distinct e.value) from jsonb_array_elements(p_value) e) < v_count then
          v_word := 'uniqueItems';
          exit rules;
        end if;
      end if;
      if p_schema ?| array['items', 'prefixItems'] then
        for v_item, v_at in select e.value, e.ordinality - 1 from jsonb_array_elements(p_value) with ordinality e loop
          v_rule := coalesce(p_schema -> 'prefixItems' -> v_at::int, p_schema -> 'items');
          exit when v_rule is null;
          v := pgstate._schema_check(p_root, v_rule, v_item, p_path || '/' || v_at, p_depth + 1, v.budget);
          if v.error is not null then
            return v;
          end if;
        end loop;
      end if;
    elsif v_type = 'object' then
      if p_schema ?| array['minProperties', 'maxProperties'] then
        v_count := (select count(*) from jsonb_object_keys(p_value));
        if v_count < (p_schema -> 'minProperties')::int then
          v_word := 'minProperties';
          exit rules;
        elsif v_count > (p_schema -> 'maxProperties')::int then
          v_word := 'maxProperties';
          exit rules;
        end if;
      end if;
      v_rule := p_schema -> 'required';
      if v_rule is not null then
        v.budget := v.budget - jsonb_array_length(v_rule) / 20;
        v_name := (select r from jsonb_array_elements_text(v_rule) r where not p_value ? r limit 1);
        if v_name is not null then
          v.error := coalesce(nullif(p_path, ''), 'the value') || ': ' || to_json(left(v_name, 60)) || ' is required';
          return v;
        end if;
      end if;
      if p_schema ?| array['properties', 'additionalProperties', 'propertyNames'] then
        for v_name, v_item in select m.key, m.value from jsonb_each(p_value) m loop
          if p_schema ? 'propertyNames' then
            v := pgstate._schema_check(p_root, p_schema -> 'propertyNames', to_jsonb(v_name), p_path || '/*', p_depth + 1, v.budget);
            if v.error is not null then
              return v;
            end if;
          end if;
          v_rule := p_schema -> 'properties' -> v_name;
          if v_rule is null then
            v_rule := p_schema -> 'additionalProperties';
            v_name := '*';
          end if;
          if v_rule is not null then
            v := pgstate._schema_check(p_root, v_rule, v_item, p_path || '/' || left(v_name, 60), p_depth + 1, v.budget);
            if v.error is not null then
              return v;
            end if;
          end if;
        end loop;
      end if;
    end if;

    if p_schema ? '$ref' then
      v := pgstate._schema_check(p_root, pgstate._schema_ref(p_root, p_schema ->> '$ref'), p_value, p_path, p_depth + 1, v.budget);
      if v.error is not null then
        return v;
      end if;
    end if;
    if p_schema ?| array['allOf', 'anyOf', 'oneOf', 'not'] then
      v_rule := p_schema -> 'allOf';
      for v_at in 0 .. coalesce(jsonb_array_length(v_rule), 0) - 1 loop
        v := pgstate._schema_check(p_root, v_rule -> v_at::int, p_value, p_path, p_depth + 1, v.budget);
        if v.error is not null then
          return v;
        end if;
      end loop;
      foreach v_word in array array['anyOf', 'oneOf', 'not'] loop
        continue when not p_schema ? v_word;
        v_rule := case v_word when 'not' then jsonb_build_array(p_schema -> 'not') else p_schema -> v_word end;
        v_fits := 0;
        for v_at in 0 .. jsonb_array_length(v_rule) - 1 loop
          v := pgstate._schema_check(p_root, v_rule -> v_at::int, p_value, p_path, p_depth + 1, v.budget);
          if v.budget < 0 then
            return v;
          elsif v.error is null then
            v_fits := v_fits + 1;
            exit when v_word <> 'oneOf' or v_fits = 2;
          end if;
        end loop;
        v.error := null;
        exit rules when v_word = 'anyOf' and v_fits = 0 or v_word = 'oneOf' and v_fits <> 1 or v_word = 'not' and v_fits = 1;
      end loop;
      v_word := null;
    end if;
  end rules;

  if v_word is not null then
    v.error := coalesce(nullif(p_path, ''), 'the value') || case v_word
      when 'anyOf' then ': fits none of anyOf'
      when 'oneOf' then case when v_fits = 0 then ': fits none of oneOf' else ': fits more than one of oneOf' end
      when 'not' then ': fits what not excludes'
      else ': violates ' || v_word || ' ' || left((p_schema -> v_word)::text, 80) end;
  elsif v.budget < 0 then
    v.error := coalesce(nullif(p_path, ''), 'the value') || ': too much to check';
    v.budget := -1;
  end if;
  return v;
end
$$;
comment on function pgstate._schema_check(jsonb, jsonb, jsonb, text, int, int) is 'Internal: checks one part of a value.';

-- functions/policy/_schema_error.sql
-- 100,000 steps are about a second: a mebibyte of numbers is more than that only when each is checked many times over.
create function pgstate._schema_error(p_schema jsonb, p_value jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_schema is null then
    return null;
  end if;
  return (pgstate._schema_check(p_schema, p_schema, p_value, '', 0, 100000)).error;
end
$$;
comment on function pgstate._schema_error(jsonb, jsonb) is 'Internal: why a value does not fit a JSON Schema, naming the path and never the value; null when it fits.';

-- functions/policy/_lock_policies.sql
-- Policies change one after the other, and not while retention goes by them: each change leaves install.policies and
-- what retention is to do as the policies are. Taken before any policy is touched.
create function pgstate._lock_policies() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform from pgstate.sweep s where s.delay = interval '0' for update;
end
$$;
comment on function pgstate._lock_policies() is 'Internal: waits for other changes of policies and for retention.';

-- functions/policy/_policies_changed.sql
create function pgstate._policies_changed(p_subtree text, p_keep boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.install i set policies = not i.policies where i.policies <> exists (select from pgstate.policy);
  if not p_keep then
    return;
  end if;
  -- a/** and a itself lie apart in the order of keys
  insert into pgstate.review (subtree, asked_at)
  select s, pgstate._now() from unnest(array[p_subtree, case when p_subtree like '%/**' then left(p_subtree, -3) end]) s where s is not null
      on conflict on constraint review_pkey do update set after = '', asked_at = excluded.asked_at;
  delete from pgstate.sweep s
   where s.delay > interval '0' and not exists (select from pgstate.policy p where p.keep_age = s.delay);
  -- a new age goes on from where the next higher one has come to: all before is older than either
  insert into pgstate.sweep (delay, epoch, xid, seq)
  select p.keep_age, coalesce(h.epoch, 0), coalesce(h.xid, '0'), coalesce(h.seq, 0)
    from (select distinct x.keep_age from pgstate.policy x where x.keep_age is not null) p
    left join lateral (select s.* from pgstate.sweep s where s.delay > p.keep_age order by s.delay limit 1) h on true
      on conflict do nothing;
end
$$;
comment on function pgstate._policies_changed(text, boolean) is 'Internal: what follows from a change of a policy, and of the history that it keeps.';

-- functions/policy/_set_policy.sql
create function pgstate._set_policy(
  p_actor pgstate._actor, p_subtree text, p_reducer text, p_ttl interval, p_keep text, p_value_limit int, p_schema jsonb,
  p_max_attempts int, p_backoff interval, p_backoff_limit interval, p_dead_letter text, p_claimed_writes boolean, p_guard text, p_trust text
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_policy pgstate.policy;
  v_fault text;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'A policy is about keys, whoever writes them: {agent} has no meaning in it.';
  elsif num_nonnulls(p_reducer, p_ttl, p_keep, p_value_limit, p_schema, p_max_attempts, p_backoff, p_backoff_limit, p_dead_letter, p_claimed_writes, p_guard, p_trust) = 0 then
    raise exception using errcode = 'PS007', message = 'a policy sets something: reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard or trust',
      hint = 'drop_policy(subtree, settings) takes settings away.';
  elsif p_ttl <> interval '0' and not pgstate._span_ok(p_ttl) then
    raise exception using errcode = 'PS007', message = 'ttl is positive and at most 100 years, or 0 for none';
  elsif p_value_limit is not null and p_value_limit not between 1 and (select i.value_limit from pgstate.install i) then
    raise exception using errcode = 'PS007', message = 'value_limit is a number of bytes, at most that of the installation (see pgstate.info())';
  end if;
  if p_guard not in ('refuse', 'redact', 'off') then
    raise exception using errcode = 'PS007', message = 'guard is refuse, redact or off';
  elsif p_guard is distinct from 'off' then
    perform pgstate._refuse_secrets(p_actor, p_subtree, concat_ws(' ', p_subtree, p_dead_letter, p_schema::text));
  end if;
  if p_max_attempts < 1 then
    raise exception using errcode = 'PS007', message = 'max_attempts is at least 1';
  elsif not (pgstate._span_ok(p_backoff) and pgstate._span_ok(p_backoff_limit)) then
    raise exception using errcode = 'PS007', message = 'backoff and backoff_limit are positive and at most 100 years';
  elsif p_dead_letter is not null and not pgstate._key_ok(p_dead_letter) then
    raise exception using errcode = 'PS007', message = format('dead_letter is a key, not %L', pgstate._shown(p_dead_letter)),
      hint = 'tasks/dead for what is to lie below tasks/dead/.';
  elsif p_dead_letter is not null then
    -- it is written there with the rights of whoever gave up, which must not be lent to who may not say what lies there
    perform pgstate._check_admin(p_actor, p_dead_letter || '/**');
  end if;
  if p_reducer is not null and not pgstate._built_in(p_reducer) then
    -- drop_reducer() must not take it away meanwhile
    perform from pgstate.reducer r where r.name = p_reducer for key share;
    if not found then
      raise exception using errcode = 'PS005', message = format('unknown reducer %L', pgstate._shown(p_reducer)),
        hint = 'Built in are replace, append, add, max, min, union, merge, deep_merge, messages and first; register_reducer(name, function) adds one.';
    end if;
  end if;
  if p_schema is not null then
    v_fault := pgstate._schema_unsupported(p_schema);
    if v_fault is not null then
      raise exception using errcode = 'PS007', message = 'schema: ' || v_fault,
        hint = 'The database checks a part of JSON Schema 2020-12, without regular expressions, if/then/else, contains, dependent and unevaluated keywords.';
    end if;
  end if;
  v_policy.keep_everything := nullif(p_keep = 'everything', false);
  if v_policy.keep_everything is null and p_keep is not null then
    begin
      if p_keep ~ '^[0-9]+( versions?)?$' then
        v_policy.keep_versions := substring(p_keep from '^[0-9]+')::int;
      else
        v_policy.keep_age := p_keep::interval;
      end if;
    exception when invalid_datetime_format or datetime_field_overflow or interval_field_overflow or numeric_value_out_of_range then
      v_policy.keep_versions := 0;
    end;
    if v_policy.keep_versions = 0 or not pgstate._span_ok(v_policy.keep_age) then
      raise exception using errcode = 'PS007', message = format('invalid keep %L', pgstate._shown(p_keep)),
        hint = 'Keep everything, a number of versions (''100 versions''), or an interval (''30 days'', at most 100 years).';
    end if;
  end if;

  perform pgstate._lock_policies();
  if v_policy.keep_age is not null then
    -- maintain() follows the feed anew for each
    perform pgstate._check_room(p_actor, (
      select count(distinct p.keep_age) from pgstate.policy p where p.set_by = p_actor.name and p.keep_age <> v_policy.keep_age), 20, 'ages of history');
  end if;
  insert into pgstate.policy as p (subtree, nearness, reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, set_by, set_at,
                              max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust)
  values (p_subtree,
          case when p_subtree = '**' then 0
               else 2 * cardinality(string_to_array(regexp_replace(p_subtree, E'/\\*\\*$', ''), '/')) + (p_subtree !~ E'\\*$')::int end,
          p_reducer, p_ttl, v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything, p_value_limit, p_schema,
          p_actor.name, pgstate._now(), p_max_attempts, p_backoff, p_backoff_limit, p_dead_letter, p_claimed_writes, p_guard, pgstate._trust_named(p_trust))
      on conflict on constraint policy_pkey do update
     set reducer = coalesce(excluded.reducer, p.reducer), ttl = coalesce(excluded.ttl, p.ttl),
         keep_versions = case when p_keep is null then p.keep_versions else excluded.keep_versions end,
         keep_age = case when p_keep is null then p.keep_age else excluded.keep_age end,
         keep_everything = case when p_keep is null then p.keep_everything else excluded.keep_everything end,
         value_limit = coalesce(excluded.value_limit, p.value_limit), schema = coalesce(excluded.schema, p.schema),
         max_attempts = coalesce(excluded.max_attempts, p.max_attempts), backoff = coalesce(excluded.backoff, p.backoff),
         backoff_limit = coalesce(excluded.backoff_limit, p.backoff_limit), dead_letter = coalesce(excluded.dead_letter, p.dead_letter),
         claimed_writes = coalesce(excluded.claimed_writes, p.claimed_writes), guard = coalesce(excluded.guard, p.guard),
         trust = coalesce(excluded.trust, p.trust),
         set_by = excluded.set_by, set_at = excluded.set_at;
  perform pgstate._policies_changed(p_subtree, p_keep is not null);
  -- what holds from now on; a schema, which may be long, by its hash
  perform pgstate._audit(p_actor, 'set_policy', p_subtree, (select to_jsonb(p) - '{subtree,nearness,set_by,set_at}'::text[] || jsonb_build_object('schema', encode(sha256(convert_to(p.schema::text, 'UTF8')), 'hex')) from pgstate.policy p where p.subtree = p_subtree));
end
$$;
comment on function pgstate._set_policy(pgstate._actor, text, text, interval, text, int, jsonb, int, interval, interval, text, boolean, text, text) is 'Internal: sets what is given.';

-- functions/policy/_drop_policy.sql
create function pgstate._drop_policy(p_actor pgstate._actor, p_subtree text, p_settings text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_policy pgstate.policy;
  v_settings text[] := coalesce(p_settings, array['reducer', 'ttl', 'keep', 'value_limit', 'schema',
    'max_attempts', 'backoff', 'backoff_limit', 'dead_letter', 'claimed_writes', 'guard', 'trust']);
  v_setting text;
  v_kept boolean;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  perform pgstate._lock_policies();
  select p.* into v_policy from pgstate.policy p where p.subtree = p_subtree;
  -- a misspelt name must not pass for a rule taken away
  foreach v_setting in array v_settings loop
    if coalesce(v_setting, '') <> all (array['reducer', 'ttl', 'keep', 'value_limit', 'schema',
         'max_attempts', 'backoff', 'backoff_limit', 'dead_letter', 'claimed_writes', 'guard', 'trust']) then
      raise exception using errcode = 'PS007', message = format('unknown setting %L', pgstate._shown(v_setting)),
        hint = 'Settings are reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard and trust.';
    elsif p_settings is not null and (case v_setting
            when 'reducer' then v_policy.reducer is null when 'ttl' then v_policy.ttl is null when 'schema' then v_policy.schema is null
            when 'value_limit' then v_policy.value_limit is null when 'max_attempts' then v_policy.max_attempts is null
            when 'backoff' then v_policy.backoff is null when 'backoff_limit' then v_policy.backoff_limit is null
            when 'dead_letter' then v_policy.dead_letter is null when 'claimed_writes' then v_policy.claimed_writes is null when 'guard' then v_policy.guard is null
            when 'trust' then v_policy.trust is null
            else num_nonnulls(v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything) = 0 end) then
      raise exception using errcode = 'PS007', message = format('no policy on %s sets %s', p_subtree, v_setting),
        hint = 'pgstate.policies() lists them.';
    end if;
  end loop;
  if v_policy.subtree is null or v_settings = '{}' then
    raise exception using errcode = 'PS007', message = format('there is no policy on %s to drop', p_subtree), hint = 'pgstate.policies() lists them.';
  end if;
  v_kept := num_nonnulls(v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything) > 0;
  if 'reducer' = any (v_settings) then v_policy.reducer := null; end if;
  if 'ttl' = any (v_settings) then v_policy.ttl := null; end if;
  if 'value_limit' = any (v_settings) then v_policy.value_limit := null; end if;
  if 'schema' = any (v_settings) then v_policy.schema := null; end if;
  if 'max_attempts' = any (v_settings) then v_policy.max_attempts := null; end if;
  if 'backoff' = any (v_settings) then v_policy.backoff := null; end if;
  if 'backoff_limit' = any (v_settings) then v_policy.backoff_limit := null; end if;
  if 'dead_letter' = any (v_settings) then v_policy.dead_letter := null; end if;
  if 'claimed_writes' = any (v_settings) then v_policy.claimed_writes := null; end if;
  if 'guard' = any (v_settings) then v_policy.guard := null; end if;
  if 'trust' = any (v_settings) then v_policy.trust := null; end if;
  if 'keep' = any (v_settings) then
    v_policy.keep_versions := null;
    v_policy.keep_age := null;
    v_policy.keep_everything := null;
  end if;
  if num_nonnulls(v_policy.reducer, v_policy.ttl, v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything,
                  v_policy.value_limit, v_policy.schema, v_policy.max_attempts, v_policy.backoff, v_policy.backoff_limit,
                  v_policy.dead_letter, v_policy.claimed_writes, v_policy.guard, v_policy.trust) = 0 then
    delete from pgstate.policy p where p.subtree = p_subtree;
  else
    update pgstate.policy p
       set reducer = v_policy.reducer, ttl = v_policy.ttl, value_limit = v_policy.value_limit, schema = v_policy.schema,
           keep_versions = v_policy.keep_versions, keep_age = v_policy.keep_age, keep_everything = v_policy.keep_everything,
           max_attempts = v_policy.max_attempts, backoff = v_policy.backoff, backoff_limit = v_policy.backoff_limit,
           dead_letter = v_policy.dead_letter, claimed_writes = v_policy.claimed_writes, guard = v_policy.guard, trust = v_policy.trust, set_by = p_actor.name, set_at = pgstate._now()
     where p.subtree = p_subtree;
  end if;
  perform pgstate._policies_changed(p_subtree, v_kept and 'keep' = any (v_settings));
  perform pgstate._audit(p_actor, 'drop_policy', p_subtree, jsonb_build_object('settings', v_settings));
end
$$;
comment on function pgstate._drop_policy(pgstate._actor, text, text[]) is 'Internal: takes settings away, all unless some are named.';

-- functions/policy/_policies.sql
-- A policy on keys that the caller does not reach is hidden from it: its name may be all that there is to know of them. One
-- that holds for some of the caller's keys is named by them; the dead letters may lie where the caller reaches nothing.
create function pgstate._policies(p_actor pgstate._actor) returns setof pgstate.policy_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_reach pgstate.keymultirange := (select r.touches + r.admins from pgstate._reach r where r.agent_id = p_actor.id);
begin
  return query
    select p.subtree, p.reducer, p.ttl, pgstate._keep_text(p.keep_versions, p.keep_age, p.keep_everything), p.value_limit, p.schema, p.set_by, p.set_at,
           p.max_attempts, p.backoff, p.backoff_limit,
           case when v_reach && pgstate._pattern_ranges(p.dead_letter || '/**') then p.dead_letter end, p.claimed_writes, p.guard, p.trust::text
      from pgstate.policy p
     where v_reach && pgstate._pattern_ranges(p.subtree)
     order by p.subtree;
end
$$;
comment on function pgstate._policies(pgstate._actor) is 'Internal: policies that the caller may see.';

-- functions/policy/_explain_policy.sql
create function pgstate._explain_policy(p_actor pgstate._actor, p_key text) returns setof pgstate.policy_setting
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set intervalstyle = postgres
as $$
declare
  v_subtrees text[] := pgstate._subtrees_of(p_key);
  v_reach pgstate.keymultirange := (select r.touches + r.admins from pgstate._reach r where r.agent_id = p_actor.id);
begin
  return query
    select d.setting,
           -- as in _policies()
           case when d.setting <> 'dead_letter' or v_reach && pgstate._pattern_ranges((f.value #>> '{}') || '/**') then coalesce(f.value, d.value) end,
           f.subtree
      from (values (1, 'reducer', null::jsonb), (2, 'ttl', null), (3, 'keep', '"everything"'),
                   (4, 'value_limit', to_jsonb(p_actor.value_limit)), (5, 'schema', null),
                   (6, 'max_attempts', null), (7, 'backoff', '"00:00:01"'), (8, 'backoff_limit', '"00:05:00"'), (9, 'dead_letter', null),
                   (10, 'claimed_writes', 'false'), (11, 'guard', '"refuse"'), (12, 'trust', null)) d (place, setting, value)
      left join lateral (
        select x.value, p.subtree
          from pgstate.policy p
          cross join lateral (values
            ('reducer', to_jsonb(p.reducer)),
            ('ttl', case when p.ttl = interval '0' then '"none"' else to_jsonb(p.ttl) end),
            ('keep', to_jsonb(pgstate._keep_text(p.keep_versions, p.keep_age, p.keep_everything))),
            -- the installation's may have become smaller
            ('value_limit', to_jsonb(case when p.value_limit is not null then least(p.value_limit, p_actor.value_limit) end)),
            ('schema', p.schema), ('max_attempts', to_jsonb(p.max_attempts)), ('backoff', to_jsonb(p.backoff)),
            ('backoff_limit', to_jsonb(p.backoff_limit)), ('dead_letter', to_jsonb(p.dead_letter)), ('claimed_writes', to_jsonb(p.claimed_writes)),
            ('guard', to_jsonb(p.guard)), ('trust', to_jsonb(p.trust))) x (setting, value)
         where p.subtree = any (v_subtrees) and x.setting = d.setting and x.value is not null
         order by p.nearness desc limit 1) f on true
     order by d.place;
end
$$;
comment on function pgstate._explain_policy(pgstate._actor, text) is 'Internal: what holds for a key, and where it comes from.';

-- functions/policy/_register_reducer.sql
create function pgstate._register_reducer(p_actor pgstate._actor, p_name text, p_function regprocedure) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_function record;
  v_fault text;
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_name is null or p_name !~ '^[a-z][a-z0-9_]{0,62}$' then
    raise exception using errcode = 'PS007', message = format('invalid name of a reducer %L', pgstate._shown(p_name)),
      hint = 'A name is 1 to 63 of a-z, 0-9 and _, and begins with a letter.';
  elsif pgstate._built_in(p_name) then
    raise exception using errcode = 'PS007', message = format('%s is built in and stays what it is', p_name);
  end if;
  select p.*, n.nspname into v_function from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = p_function::oid;
  v_fault := case
    when v_function.oid is null then 'there is no such function'
    when v_function.proargtypes <> '3802 3802'::oidvector or v_function.prorettype <> 'jsonb'::regtype or v_function.prokind <> 'f'
         or v_function.proretset then 'it must be a function (jsonb, jsonb) returning jsonb'
    when v_function.provolatile <> 'i' then 'it must be IMMUTABLE: the same value and operand always give the same result'
    -- it would run with its owner's rights on behalf of every writer
    when v_function.prosecdef then 'it must not be SECURITY DEFINER'
    when v_function.nspname like E'pg\\_temp%' then 'it must not be temporary'
    when v_function.nspname = 'pgstate' then 'the functions of pgstate itself are no reducers'
    when not has_schema_privilege('pgstate_api', v_function.pronamespace, 'usage')
         or not has_function_privilege('pgstate_api', v_function.oid, 'execute')
      then 'pgstate_api must be able to call it: GRANT USAGE ON SCHEMA and EXECUTE ON FUNCTION'
  end;
  if v_fault is not null then
    raise exception using errcode = 'PS007', message = 'this function cannot be a reducer: ' || v_fault;
  end if;
  -- under the same name only what it was, or a mended body: history keeps full values of own reducers
  insert into pgstate.reducer as r (name, function_schema, function_name, digest, registered_by, registered_at)
  values (p_name, v_function.nspname, v_function.proname, pgstate._function_digest(v_function.oid), p_actor.name, pgstate._now())
      on conflict on constraint reducer_pkey do update
     set function_schema = excluded.function_schema, function_name = excluded.function_name, digest = excluded.digest,
         registered_by = excluded.registered_by, registered_at = excluded.registered_at;
  perform pgstate._audit(p_actor, 'register_reducer', null, jsonb_build_object('name', p_name, 'function', p_function::text));
end
$$;
comment on function pgstate._register_reducer(pgstate._actor, text, regprocedure) is 'Internal: registers a reducer.';

-- functions/policy/_drop_reducer.sql
create function pgstate._drop_reducer(p_actor pgstate._actor, p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_subtree text;
begin
  perform pgstate._check_admin(p_actor, '**');
  -- set_policy() may be about to use it
  perform from pgstate.reducer r where r.name = p_name for update;
  if not found then
    raise exception using errcode = 'PS007', message = format('no reducer %L is registered', pgstate._shown(p_name));
  end if;
  v_subtree := (select min(p.subtree) from pgstate.policy p where p.reducer = p_name);
  if v_subtree is not null then
    raise exception using errcode = 'PS007', message = format('the policy on %s uses reducer %s', v_subtree, p_name),
      hint = 'Give the policy another reducer first.';
  end if;
  delete from pgstate.reducer r where r.name = p_name;
  perform pgstate._audit(p_actor, 'drop_reducer', null, jsonb_build_object('name', p_name));
end
$$;
comment on function pgstate._drop_reducer(pgstate._actor, text) is 'Internal: forgets a reducer.';

-- functions/policy/_mark.sql
-- The transaction id below which everything had ended a cursor_window ago, so that every cursor taken since has seen it; null
-- when that is not known yet. Marks are some sixty to a window.
create function pgstate._mark(p_install pgstate.install) returns xid8
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mark pgstate.mark;
begin
  delete from pgstate.mark m where m.epoch <> p_install.epoch;
  -- the time is told after the statement's snapshot, whose xmin is then older than the mark says
  insert into pgstate.mark (at, epoch, ended_below)
  select pgstate._now(), p_install.epoch, pg_snapshot_xmin(pg_current_snapshot())
   where not exists (select from pgstate.mark m where m.at > pgstate._now() - p_install.cursor_window / 60)
      on conflict do nothing;
  select m.* into v_mark from pgstate.mark m where m.at <= pgstate._now() - p_install.cursor_window order by m.at desc limit 1;
  delete from pgstate.mark m where m.at < v_mark.at;
  return v_mark.ended_below;
end
$$;
comment on function pgstate._mark(pgstate.install) is 'Internal: which transactions every cursor of the last window has seen.';

-- functions/policy/_cut_version.sql
-- How much of a key's history may go when p_version is the oldest that a policy keeps: returns the oldest version that must
-- stay. The one place that knows what a version stands on. All of what goes, and the first that stays, must have been seen
-- by every live cursor: then none of them asks for a value before a change that is gone, and a past state that one of them
-- names is still there. What stays back for that goes with the next change of the key.
create function pgstate._cut_version(p_key text, p_version bigint, p_epoch int, p_xmin xid8, p_top xid8) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_cut bigint;
  v_newest bigint;
  v_stays boolean;
begin
  -- also of a thread or run: what they stand on is in tables of their own
  select e.version, least(e.version, p_version) into v_newest, v_cut from pgstate.entry e where e.key = p_key;
  if v_cut > 1 then
    -- OFFSET 0: by the key, of which few versions go at a time, and not by the transaction, which may have written many
    -- others. The first: a transaction may have begun after another and written before it.
    v_cut := least(v_cut, (
      select min(w.version) - 1
        from (select v.version, v.epoch, v.xid from pgstate.version v where v.key = p_key and v.version <= v_cut offset 0) w
       where w.epoch = p_epoch and w.xid >= p_xmin));
    -- a row of the highest id of all stays, for it says how far new cursors reach
    v_stays := exists (select from (select v.epoch, v.xid from pgstate.version v
                                     where v.key = p_key and v.version = any (array[v_cut, v_newest]) offset 0) w
                        where w.epoch = p_epoch and w.xid >= p_top);
    if not v_stays then
      v_cut := least(v_cut, (
        select min(w.version)
          from (select v.version, v.epoch, v.xid from pgstate.version v where v.key = p_key and v.version < v_cut offset 0) w
         where w.epoch = p_epoch and w.xid >= p_top));
    end if;
  end if;
  if v_cut > 1 then
    -- operands stand on the full value before them
    v_cut := (select v.version from pgstate.version v
               where v.key = p_key and v.version <= v_cut and v.reducer is null order by v.version desc limit 1);
  end if;
  return coalesce(v_cut, 0);
end
$$;
comment on function pgstate._cut_version(text, bigint, int, xid8, xid8) is 'Internal: the oldest version of a key that must stay.';

-- functions/policy/_raise_horizon.sql
-- In the transaction that removes: a reader sees both or neither. A past before a restore has its horizon too: cursors of
-- then are refused anyway, times are not.
create function pgstate._raise_horizon(p_epoch int, p_xid xid8) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.install i set horizon_epoch = p_epoch, horizon = p_xid
   where p_xid is not null
     and (i.horizon is null or i.horizon_epoch < p_epoch or i.horizon_epoch = p_epoch and i.horizon < p_xid);
end
$$;
comment on function pgstate._raise_horizon(int, xid8) is 'Internal: cursors that had not seen this transaction are refused from now on.';

-- functions/policy/_purge.sql
-- Removes a tombstone with its history. What the caller has looked at: a policy keeps neither, and p_version is all that is
-- left or goes with it. The one who reads on must have seen it go and something after it, p_last being the last transaction
-- that all live cursors have seen: so nothing that a cursor goes by disappears. removed is 0 when there is nothing to purge
-- (any more, or yet: then the sweep comes to it later), null when it must wait.
--
-- Nobody waits for this, and this waits for nobody: who has the entry locked goes on with it. The floor is raised first,
-- for who creates the key again as soon as the row is gone: see _insert_entries().
create function pgstate._purge(p_key text, p_version bigint, p_epoch int, p_last xid8) returns pgstate._purged
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_own record;
  v_last record;
  v_purged pgstate._purged;
begin
  perform from pgstate.entry e where e.key = p_key and e.version = p_version and e.value is null for update skip locked;
  if not found then
    if not exists (select from pgstate.entry e where e.key = p_key and e.version = p_version and e.value is null) then
      v_purged.removed := 0;
    end if;
    return v_purged;
  end if;
  select v.epoch, v.xid into v_own from pgstate.version v where v.key = p_key and v.version = p_version;
  -- OFFSET 0: by the key. An older version may have a higher transaction id.
  select w.epoch, w.xid into v_last
    from (select v.epoch, v.xid from pgstate.version v where v.key = p_key offset 0) w order by w.epoch desc, w.xid desc limit 1;
  if v_last.epoch = p_epoch and (v_last.xid < p_last) is not true then
    if v_own.epoch = p_epoch and (v_own.xid <= p_last) is not true then
      v_purged.removed := 0;
    end if;
    return v_purged;
  end if;
  if p_version > coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
    perform setval('pgstate.version_floor', p_version);
  end if;
  delete from pgstate.version v where v.key = p_key;
  get diagnostics v_purged.removed = row_count;
  delete from pgstate.claim c where c.key = p_key;
  delete from pgstate.entry e where e.key = p_key;
  v_purged.epoch := v_last.epoch;
  v_purged.xid := v_last.xid;
  if v_last.epoch = p_epoch then
    -- the time of a cursor is that of the last change it has seen, which must not be this one
    v_purged.xid := (select v.xid from pgstate.version v where v.epoch = p_epoch and v.xid > v_last.xid order by v.xid limit 1);
  end if;
  return v_purged;
end
$$;
comment on function pgstate._purge(text, bigint, int, xid8) is 'Internal: removes a tombstone and its history.';

-- functions/policy/_sweep.sql
-- One step along the feed: up to p_limit versions that have come to the age of this sweep and that every live cursor has
-- seen, and then the older ones of their keys that no policy keeps; at the last one of a key that is not there any more, the
-- key itself, where only that version is kept or its time has passed. Versions are never updated, so nobody waits for this.
create function pgstate._sweep(p_sweep pgstate.sweep, p_epoch int, p_xmin xid8, p_top xid8, p_last xid8, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  -- ages that are equal as intervals (a year and 360 days) share a sweep, and are not equally long
  v_before timestamptz := least(v_now - p_sweep.delay, (select min(v_now - p.keep_age) from pgstate.policy p where p.keep_age = p_sweep.delay));
  v_row record;
  v_last record;
  v_keys text[] := '{}';
  v_versions bigint[] := '{}';
  v_seen int := 0;
  v_keep pgstate._keep;
  v_purged pgstate._purged;
  v_removed bigint := 0;
  v_horizon pgstate._purged;
  v_top record;
begin
  for v_row in
    select v.epoch, v.xid, v.seq, v.key, v.version, v.at, v.value is null as dead from pgstate.version v
     where (v.epoch, v.xid, v.seq) > (p_sweep.epoch, p_sweep.xid, p_sweep.seq)
     order by v.epoch, v.xid, v.seq limit p_limit
  loop
    exit when v_row.epoch >= p_epoch and v_row.xid >= p_xmin or v_row.at > v_before;
    v_keys := v_keys || v_row.key;
    v_versions := v_versions || v_row.version;
    if v_row.dead then
      v_keep := pgstate._keep_of(v_row.key);
      if (case when p_sweep.delay = interval '0' then v_keep.versions = 1 else v_keep.age = p_sweep.delay end) then
        v_purged := pgstate._purge(v_row.key, v_row.version, p_epoch, p_last);
        -- nothing else would come back to it
        exit when v_purged.removed is null;
        v_removed := v_removed + v_purged.removed;
        if v_purged.epoch is not null then
          -- the last one has the highest
          v_horizon := v_purged;
        end if;
      end if;
    end if;
    v_last := v_row;
    v_seen := v_seen + 1;
  end loop;
  if cardinality(v_keys) = 0 then
    return row('ok', 0, false)::pgstate.maintained;
  end if;
  perform pgstate._raise_horizon(v_horizon.epoch, v_horizon.xid);

  with ripe as materialized (
    select r.key, max(r.version) as version from unnest(v_keys, v_versions) r (key, version) group by r.key
  ), due as materialized (
    select r.key, case when k.versions is not null then r.version - k.versions + 1 else r.version end as version
      from ripe r cross join lateral pgstate._keep_of(r.key) k
     where case when p_sweep.delay = interval '0' then k.versions is not null else k.age = p_sweep.delay end
  ), cut as materialized (
    select d.key, pgstate._cut_version(d.key, d.version, p_epoch, p_xmin, p_top) as version from due d where d.version > 1
  ), gone as (
    delete from pgstate.version v using cut c where v.key = c.key and v.version < c.version
    returning v.key, v.epoch, v.xid, c.version as stays
  ), touched as (
    select g.epoch, g.xid from gone g
    union all
    -- each by itself: a join of what is estimated as a few rows compares all of them with all
    select w.epoch, w.xid
      from (select distinct g.key, g.stays from gone g) k
      cross join lateral (select v.epoch, v.xid from pgstate.version v where v.key = k.key and v.version = k.stays offset 0) w
  )
  select g.removed, t.epoch, t.xid into v_top
    from (select count(*) as removed from gone) g
    left join lateral (select t.epoch, t.xid from touched t order by t.epoch desc, t.xid desc limit 1) t on true;

  perform pgstate._raise_horizon(v_top.epoch, v_top.xid);
  if v_seen > 0 then
    update pgstate.sweep s set epoch = v_last.epoch, xid = v_last.xid, seq = v_last.seq where s.delay = p_sweep.delay;
  end if;
  return row('ok', v_removed + v_top.removed, v_seen = p_limit)::pgstate.maintained;
end
$$;
comment on function pgstate._sweep(pgstate.sweep, int, xid8, xid8, xid8, int) is 'Internal: one step of retention along the feed.';

-- functions/policy/_review.sql
-- One step through the keys of a subtree whose policy on history has changed: what was passed by along the feed may be due
-- now. The policy that holds for each key decides, which need not be the one that changed. p_limit bounds both the keys looked
-- at (a fifth of it) and the versions removed, so that one key with a long history takes several steps too.
create function pgstate._review(p_epoch int, p_xmin xid8, p_top xid8, p_last xid8, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_review pgstate.review;
  v_low text;
  v_high text;
  v_keys int := greatest(p_limit / 5, 1);
  v_seen int := 0;
  v_entry record;
  v_keep pgstate._keep;
  v_cut bigint;
  v_least bigint;
  v_most bigint;
  v_top record;
  v_epoch int;
  v_xid xid8;
  v_purged pgstate._purged;
  v_waits boolean := false;
  v_done pgstate.maintained := row('ok', 0, true);
begin
  select r.* into v_review from (select x.* from pgstate.review x offset 0) r order by r.asked_at, r.subtree limit 1;
  if v_review.subtree is null then
    return row('ok', 0, false)::pgstate.maintained;
  end if;
  -- no key holds chr(1), and all of them sort before chr(127)
  v_low := greatest(v_review.after || chr(1), case when v_review.subtree like '%**' then left(v_review.subtree, -2) else v_review.subtree end collate "C");
  v_high := case when v_review.subtree = '**' then chr(127)
                 when v_review.subtree like '%/**' then left(v_review.subtree, -3) || '0'
                 else v_review.subtree || chr(1) end;
  for v_entry in
    select e.key, e.version, e.updated_at, e.value is null as dead from pgstate.entry e where e.key >= v_low and e.key < v_high order by e.key limit v_keys
  loop
    v_seen := v_seen + 1;
    v_keep := pgstate._keep_of(v_entry.key);
    -- no more is looked at than may be removed
    v_least := (select min(v.version) from pgstate.version v where v.key = v_entry.key);
    v_most := v_least + p_limit - v_done.removed;
    if v_entry.dead and (v_entry.version <= v_most or v_entry.version = 0)
       and (v_keep.versions = 1 or v_entry.version = 0 and v_keep.versions > 1 or v_entry.updated_at <= v_now - v_keep.age) then
      v_purged := pgstate._purge(v_entry.key, v_entry.version, p_epoch, p_last);
      v_waits := v_purged.removed is null;
      exit when v_waits;
      v_done.removed := v_done.removed + v_purged.removed;
      if v_purged.epoch > v_epoch or v_purged.epoch = v_epoch and v_purged.xid > v_xid or v_epoch is null then
        v_epoch := v_purged.epoch;
        v_xid := v_purged.xid;
      end if;
    end if;
    v_cut := case when v_keep.versions is not null then least(v_entry.version - v_keep.versions + 1, v_most)
                  when v_keep.age is not null then (
                    select max(w.version)
                      from (select v.version, v.at from pgstate.version v where v.key = v_entry.key and v.version <= v_most offset 0) w
                     where w.at <= v_now - v_keep.age) end;
    if v_cut > v_least then
      v_cut := pgstate._cut_version(v_entry.key, v_cut, p_epoch, p_xmin, p_top);
      if v_cut > v_least then
        with gone as (
          delete from pgstate.version v where v.key = v_entry.key and v.version < v_cut returning v.epoch, v.xid
        ), touched as (
          select g.epoch, g.xid from gone g
          union all
          select v.epoch, v.xid from pgstate.version v where v.key = v_entry.key and v.version = v_cut
        )
        select (select count(*) from gone) as removed, t.epoch, t.xid into v_top from touched t order by t.epoch desc, t.xid desc limit 1;
        v_done.removed := v_done.removed + v_top.removed;
        if v_top.epoch > v_epoch or v_top.epoch = v_epoch and v_top.xid > v_xid or v_epoch is null then
          v_epoch := v_top.epoch;
          v_xid := v_top.xid;
        end if;
        -- looked at once more: this key may not be done with
        exit when v_done.removed >= p_limit;
      end if;
    end if;
    v_review.after := v_entry.key;
  end loop;
  perform pgstate._raise_horizon(v_epoch, v_xid);
  if v_waits then
    v_done.more := false;
    update pgstate.review r set after = v_review.after where r.subtree = v_review.subtree;
  elsif v_seen < v_keys and v_done.removed < p_limit then
    delete from pgstate.review r where r.subtree = v_review.subtree;
    v_done.more := exists (select from pgstate.review);
  else
    update pgstate.review r set after = v_review.after where r.subtree = v_review.subtree;
  end if;
  return v_done;
end
$$;
comment on function pgstate._review(int, xid8, xid8, xid8, int) is 'Internal: one step of retention through keys whose policy has changed.';

-- functions/policy/_thin.sql
-- One step of what grows with time and not with what is kept: points of the feed become fewer with their age, those whose
-- history is gone go. Is there more?
create function pgstate._thin(p_window interval, p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_step pgstate.thinning;
  v_row record;
  v_upto timestamptz;
  v_count bigint := 0;
  v_more boolean := false;
begin
  for v_row in select p.at, p.epoch, p.seen from pgstate.feed_point p order by p.at limit p_limit loop
    exit when pgstate._kept(v_row.seen, v_row.epoch);
    v_upto := v_row.at;
    v_count := v_count + 1;
  end loop;
  delete from pgstate.feed_point p where p.at <= v_upto;
  v_more := v_count = p_limit;

  for v_step in select t.older, t.every, coalesce(t.upto, '-infinity') from pgstate.thinning t order by t.older loop
    select max(w.at), count(*) into v_upto, v_count
      from (select p.at from pgstate.feed_point p
             where p.at > v_step.upto and p.at <= v_now - greatest(v_step.older, p_window) order by p.at limit p_limit) w;
    continue when v_upto is null;
    delete from pgstate.feed_point p
     where p.at > v_step.upto and p.at <= v_upto
       and exists (select from pgstate.feed_point q where q.at >= date_bin(v_step.every, p.at, '2000-01-01 00:00+00') and q.at < p.at);
    update pgstate.thinning t set upto = v_upto where t.older = v_step.older;
    v_more := v_more or v_count = p_limit;
  end loop;
  return v_more;
end
$$;
comment on function pgstate._thin(interval, int) is 'Internal: thins points of the feed.';

-- functions/policy/_maintain.sql
-- One at a time, and whoever comes second goes away: a row lock, which no agent can take, unlike an advisory one. Everything
-- here is in one short transaction of the caller's; what is left is for the next call.
create function pgstate._maintain(p_actor_id int, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_install pgstate.install;
  v_sweep pgstate.sweep;
  v_sweeps pgstate.sweep[];
  v_top xid8;
  v_xmin xid8;
  v_last xid8;
  v_step pgstate.maintained;
  v_all boolean := coalesce((select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor_id), false);
  v_done pgstate.maintained := row('ok', 0, false);
begin
  perform from pgstate.sweep s where s.delay = interval '0' for update skip locked;
  if not found then
    return row('busy', null, false)::pgstate.maintained;
  end if;
  -- as little as can be before the mark: this transaction is under way for it too
  if exists (select from pgstate.policy p where p.keep_versions is not null or p.keep_age is not null) then
    -- as in _enter_write(): transaction ids mean something only here
    perform pgstate._settle_identity();
    select i.* into v_install from pgstate.install i;
    v_xmin := pgstate._mark(v_install);
    if v_xmin is not null then
      v_top := (select v.xid from pgstate.version v where v.epoch = v_install.epoch order by v.xid desc limit 1);
      v_last := (select v.xid from pgstate.version v where v.epoch = v_install.epoch and v.xid < v_xmin order by v.xid desc limit 1);
      v_sweeps := array(
        select s from pgstate.sweep s
         where s.delay > interval '0' or exists (select from pgstate.policy p where p.keep_versions is not null) order by s.delay);
      foreach v_sweep in array v_sweeps loop
        -- many ages share what one may look at, and each gets on
        v_step := pgstate._sweep(v_sweep, v_install.epoch, v_xmin, v_top, v_last, greatest(p_limit / cardinality(v_sweeps), least(p_limit, 10)));
        v_done.removed := v_done.removed + v_step.removed;
        v_done.more := v_done.more or v_step.more;
      end loop;
      v_step := pgstate._review(v_install.epoch, v_xmin, v_top, v_last, p_limit);
      v_done.removed := v_done.removed + v_step.removed;
      v_done.more := v_done.more or v_step.more;
    end if;
  end if;
  v_done.more := pgstate._thin((select i.cursor_window from pgstate.install i), p_limit) or v_done.more;
  v_done.more := pgstate._tell_denied(p_limit) or v_done.more;
  v_done.more := pgstate._seal_audit(p_limit) or v_done.more;
  v_done.more := pgstate._thin_audit(p_limit) or v_done.more;
  v_done.more := pgstate._collect_threads(p_limit) or v_done.more;
  v_done.more := pgstate._collect_runs(p_limit) or v_done.more;
  -- indexing one key takes about as long as looking at ten versions
  v_done.more := pgstate._build_search(greatest(p_limit / 10, 1)) or v_done.more;
  if not v_all then
    -- how much there was is for those who may see all of it
    v_done.removed := null;
  elsif not exists (select from pgstate.search_build) then
    perform pgstate._follow_writes();
  end if;
  if v_all then
    -- grants that have ended; who asks for less must not keep the agents' rows locked
    perform pgstate._fold_grants(r.agent_id) from (select x.agent_id from pgstate.reach x where x.folded_until <= pgstate._now() and x.folded_until > '-infinity' order by 1) r;
    delete from pgstate.usage u where u.id in (
      select x.id from pgstate.usage x where not exists (select from pgstate.quota q where q.agent_id = x.agent_id) for update skip locked);
    -- of agents that come no more; the others' go as they come: see _lane_begin()
    delete from pgstate.lane l
     where l.lane in (select x.lane from pgstate.lane x where x.at < pgstate._now() - interval '1 day' limit p_limit for update skip locked);
    delete from pgstate.access_grant g where g.until < pgstate._now() - interval '1 day';
  end if;
  return v_done;
end
$$;
comment on function pgstate._maintain(int, int) is 'Internal: retention, what is left of threads and runs, and indexing for search.';

-- functions/values/_expire.sql
-- Writes the expiry version of entries whose time has come; they were invisible since. Any client may ask: which keys
-- there were is told to nobody. As the owner, because expiry must not depend on anybody's grants.
create function pgstate._expire(p_limit int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := pgstate._now();
  v_keys text[];
  v_threads text[];
begin
  -- callers' idempotency keys are kept for a week; those that somebody removes in an open transaction are not waited for
  delete from pgstate.op o
   where o.ctid = any (array(select x.ctid from pgstate.op x where x.at < v_now - interval '7 days' for update skip locked));
  v_keys := array(
    select e.key from pgstate.entry e
     where e.live and e.expires_at <= v_now
     order by e.expires_at limit p_limit for update skip locked);
  -- a thread that somebody has locked, to fork it or to add writes, expires with the next call: nobody waits for that here
  v_threads := array(select t.key from pgstate.thread t where t.key = any (v_keys) for update skip locked);
  v_keys := array(
    select k from unnest(v_keys) k
     where k = any (v_threads) or not exists (select from pgstate.thread t where t.key = k));
  if cardinality(v_keys) = 0 then
    return;
  end if;
  -- as in _enter_write()
  perform pgstate._settle_identity();
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  update pgstate.entry e
     set version = e.version + 1, live = false, value = null, writer = 'pgstate', via = session_user, updated_at = v_now, expires_at = null,
         full_version = null
   where e.key = any (v_keys);
  insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
  select e.key, e.version, i.epoch, 'expire', 'pgstate', session_user, v_now, e.trust
    from pgstate.entry e cross join pgstate.install i where e.key = any (v_keys) order by e.key;
  delete from pgstate.claim c where c.key = any (v_keys);
  perform pgstate._detach_threads(v_keys);
end
$$;
comment on function pgstate._expire(int) is 'Internal: writes expiry versions.';

-- functions/feed/_covers.sql
-- Does the current snapshot see everything that p_seen saw? If not, answering would lose or double changes.
create function pgstate._covers(p_seen pg_snapshot) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  -- most often nothing runs that is older than what was seen
  if pg_snapshot_xmax(p_seen) <= pg_snapshot_xmin(pg_current_snapshot()) then
    return true;
  end if;
  return pg_snapshot_xmax(p_seen) <= pg_snapshot_xmax(pg_current_snapshot())
     and not exists (select from pg_snapshot_xip(pg_current_snapshot()) x where pg_visible_in_snapshot(x, p_seen));
end
$$;
comment on function pgstate._covers(pg_snapshot) is 'Internal: does the current snapshot see all that another saw?';

-- functions/feed/_cursor.sql
create function pgstate._cursor(p_actor pgstate._actor) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return '1.' || pgstate._feed_place(p_actor) || '.' || pgstate._snapshot(p_actor.epoch);
end
$$;
comment on function pgstate._cursor(pgstate._actor) is 'Internal: a cursor for the calling statement''s snapshot.';

-- functions/feed/_feed_place.sql
-- A cursor as text: where it is good (identity, epoch, timeline), then what was seen (base); within a page also the snapshot
-- that the page reads up to, the last seq delivered, and the seq up to which transactions are split. Opaque to callers.
create function pgstate._feed_place(p_actor pgstate._actor) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_identity text := current_setting('pgstate.identity', true);
begin
  if pg_is_in_recovery() then
    raise exception using errcode = 'PS022', message = 'the feed is not served on a standby',
      hint = 'A standby does not know which transactions are under way. Read the feed from the primary.';
  end if;
  -- looked at once per session, as in _enter_write()
  if v_identity is null or v_identity <> p_actor.identity then
    v_identity := pgstate._identity();
    if v_identity <> p_actor.identity or pgstate._restored() then
      raise exception using errcode = 'PS022', message = 'this database was restored and nothing has been written since',
        hint = 'The first write, or pgstate migrate, begins a new epoch; then list again and go on from a new cursor.';
    end if;
    if not pgstate._promoted() then
      perform set_config('pgstate.identity', v_identity, false);
    end if;
  end if;
  -- as _timeline(), which takes longer
  return v_identity || '.' || p_actor.epoch || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
end
$$;
comment on function pgstate._feed_place(pgstate._actor) is 'Internal: where cursors of this feed are good.';

-- functions/feed/_frontier.sql
-- Rule "clip": 1 + the highest visible xid of a version row. Ids of transactions that never flushed are handed out again
-- after a crash, so a cursor must not claim to have seen them. The own transaction's rows do not count: it may roll back.
-- As the owner: row-level security would make the search for the newest row scan everything hidden.
create function pgstate._frontier(p_epoch int) returns xid8
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_own xid8 := coalesce(pg_current_xact_id_if_assigned(), '0'::xid8);
  v_top xid8;
begin
  select v.xid into v_top from pgstate.version v where v.epoch = p_epoch and v.xid > v_own order by v.xid desc limit 1;
  if v_top is null then
    select v.xid into v_top from pgstate.version v where v.epoch = p_epoch and v.xid < v_own order by v.xid desc limit 1;
  end if;
  return coalesce(((v_top::text)::bigint + 1)::text, '3')::xid8;
end
$$;
comment on function pgstate._frontier(int) is 'Internal: 1 + the highest visible transaction id in the feed.';

-- functions/feed/_kept.sql
-- Has a point of the feed seen everything that retention has removed, and what came right after it? Else values of then may
-- be gone. That of cursors is looked at in _position() and _look().
create function pgstate._kept(p_base pg_snapshot, p_epoch int) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.horizon is null or i.horizon_epoch < p_epoch or i.horizon_epoch = p_epoch and i.horizon < pg_snapshot_xmin(p_base)
            from pgstate.install i);
end
$$;
comment on function pgstate._kept(pg_snapshot, int) is 'Internal: is all that was there at a point of the feed still there?';

-- functions/feed/_look.sql
-- The usual case on the way from a write to its watchers, in one query: the login's own agent goes on from a cursor that is
-- good, when nothing was under way at it and nothing is now, and little has happened since. Null in every other case, for
-- which changes_for() asks _enter(), _position() and _window(), one after the other: each of their conditions is here.
create function pgstate._look(p_agent text, p_cursor text, p_cap int) returns pgstate._look
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_seen text := split_part(p_cursor, '.', 5);
  v_top text := split_part(v_seen, ':', 1);
  v_look pgstate._look;
begin
  if v_top = '' or length(v_top) > 18 or translate(v_top, '0123456789', '') <> '' or v_seen <> v_top || ':' || v_top || ':'
     or pg_is_in_recovery() or pg_current_xact_id_if_assigned() is not null then
    return null;
  end if;
  select l.agent_name, l.reads, i.epoch, h.head, v_seen, w.top || ':' || w.top || ':', w.found into v_look
    from pgstate.login l cross join pgstate.install i
    cross join lateral (
      select '1.' || i.identity || '.' || i.epoch || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.' as head) h
    cross join lateral (
      -- clipped, as in _snapshot()
      select count(*) as found, greatest(((max(x.xid)::text)::bigint + 1)::text::xid8, v_top::xid8) as top
        from (select v.xid from pgstate.version v where v.epoch = i.epoch and v.xid >= v_top::xid8 order by v.xid limit p_cap + 1) x) w
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and l.folded_until is null
     and coalesce(current_setting('pgstate.call_agents', true), '') || coalesce(current_setting('pgstate.call_agent', true), '')
         || coalesce(current_setting('pgstate.agent', true), '') = ''
     and i.identity = current_setting('pgstate.identity', true) and (i.horizon is null or i.horizon_epoch < i.epoch or i.horizon < v_top::xid8)
     and p_cursor = h.head || v_seen and w.found <= p_cap and w.top <= pg_snapshot_xmin(pg_current_snapshot());
  return v_look;
end
$$;
comment on function pgstate._look(text, text, int) is 'Internal: what a page of the feed needs to know when little has happened, or null.';

-- functions/feed/_position.sql
create function pgstate._position(p_cursor text, p_place text, p_horizon xid8) returns pgstate._position
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_position pgstate._position;
  v_parts text[] := string_to_array(p_cursor, '.');
begin
  -- without a regular expression: see _wanted(). The type's own input checks what a snapshot must be like.
  if starts_with(p_cursor, '1.' || p_place || '.') and cardinality(v_parts) in (5, 8)
     and translate(substr(p_cursor, length(p_place) + 4), '0123456789:,.', '') = '' then
    begin
      v_position := row(v_parts[5]::pg_snapshot, v_parts[6]::pg_snapshot, coalesce(v_parts[7]::bigint, 0), coalesce(v_parts[8]::bigint, 0));
    exception when invalid_text_representation or numeric_value_out_of_range then
      null;
    end;
  elsif not starts_with(p_cursor, '1.' || p_place || '.')
        and p_cursor ~ E'^1\\.[0-9]{1,20}:[0-9]{1,10}\\.[0-9]{1,9}\\.[0-9A-F]{8}(?:\\.[0-9:,]+){1,4}$' then
    raise exception using errcode = 'PS021', message = 'the cursor belongs to another history of this database (restored, promoted or cloned since)',
      hint = 'List again, and go on from the new cursor.';
  end if;
  if v_position.base is null then
    raise exception using errcode = 'PS020', message = 'invalid cursor',
      hint = 'A cursor is opaque: pass one that cursor(), list() or changes() returned, unchanged.';
  end if;
  if not pgstate._covers(coalesce(v_position.upto, v_position.base))
     or pg_snapshot_xmax(v_position.base) > pg_snapshot_xmax(coalesce(v_position.upto, v_position.base)) then
    raise exception using errcode = 'PS020', message = 'the cursor is ahead of what this transaction can see',
      hint = 'Under REPEATABLE READ a transaction cannot read on from a newer cursor: begin a new one.';
  end if;
  -- Has the cursor seen everything that retention has removed, and what came right after it? Else changes that it is to be
  -- told, or values before them, may be gone. Cursors younger than install.cursor_window always have: see _cut_version().
  if p_horizon >= pg_snapshot_xmin(v_position.base) then
    raise exception using errcode = 'PS021', message = 'the cursor is older than the history that is kept',
      hint = 'List again, and go on from the new cursor. Policies say what is kept, and pgstate.install.cursor_window how old a cursor may become.';
  end if;
  return v_position;
end
$$;
comment on function pgstate._position(text, text, xid8) is 'Internal: checks a cursor and takes it apart. PS020, PS021.';

-- functions/feed/_reads_of.sql
-- For changes_for() only, which has checked that the login may act for these agents; checked here again.
create function pgstate._reads_of(p_agent text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select r.reads + '{}' from pgstate.agent a cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
           where a.name = p_agent and a.id = any (pgstate._acting_ids()));
end
$$;
comment on function pgstate._reads_of(text) is 'Internal: what one of the agents of a multi-agent feed read may read.';

-- functions/feed/_snapshot.sql
-- The calling statement's snapshot as a cursor keeps it: clipped, and with the own transaction still under way.
create function pgstate._snapshot(p_epoch int) returns pg_snapshot
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_top xid8 := pgstate._frontier(p_epoch);
  v_own xid8 := pg_current_xact_id_if_assigned();
  v_running xid8[];
begin
  if v_own is not null or pg_snapshot_xmin(pg_current_snapshot()) < v_top then
    v_running := array(
      select x from (select x from pg_snapshot_xip(pg_current_snapshot()) x union select v_own) r
       where r.x < v_top order by r.x);
  end if;
  return (coalesce(v_running[1], v_top) || ':' || v_top || ':' || coalesce(array_to_string(v_running, ','), ''))::pg_snapshot;
end
$$;
comment on function pgstate._snapshot(int) is 'Internal: the current snapshot, clipped to the feed.';

-- functions/feed/_subscribe.sql
-- agents and patterns side by side. Returns the channel to LISTEN on; called again with it, the registration is replaced
-- and lives for another 90 seconds, or until the next grant of one of the agents ends.
create function pgstate._subscribe(p_agents text[], p_patterns text[], p_channel text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channel text := p_channel;
  v_ranges pgstate.keymultirange;
  v_ids int[] := pgstate._acting_ids();
begin
  select coalesce(range_agg(u), '{}') into v_ranges
    from unnest(p_agents, p_patterns) s (name, pattern)
    join pgstate.agent a on a.name = split_part(s.name, '/', 1) and a.id = any (v_ids)
    cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
    cross join lateral unnest(pgstate._patterns_ranges(array[s.pattern]) * r.reads) u;
  if (select count(*) from unnest(v_ranges)) > 256 then
    -- woken for more than is watched, and less is looked through in every write: what may be read is looked at there
    v_ranges := multirange(range_merge(v_ranges));
  end if;
  -- every write goes through all of them. One that was forgotten comes back under its channel: it counts as a new one
  if not exists (select from pgstate.watcher w where w.channel = v_channel)
     and (select count(*) from pgstate.watcher w where w.login = session_user::text) >= 500 then
    raise exception using errcode = 'PS007', message = 'this login has 500 registrations: one per process is enough';
  end if;
  v_channel := coalesce(v_channel, 'pgstate_' || replace(gen_random_uuid()::text, '-', ''));
  insert into pgstate.watcher as w (channel, login, agent_ids, ranges, expires_at)
  values (v_channel, session_user, v_ids, v_ranges,
          least(pgstate._now() + interval '90 s', (select min(r.folded_until) from pgstate._reach r where r.agent_id = any (v_ids))))
      on conflict on constraint watcher_pkey do update
     set agent_ids = excluded.agent_ids, ranges = excluded.ranges, expires_at = excluded.expires_at
   where w.login = excluded.login;
  if not found then
    perform pgstate._deny();
  end if;
  -- locked ones belong to somebody who does the same
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.expires_at < pgstate._now() - interval '60 s' for update skip locked);
  return v_channel;
end
$$;
comment on function pgstate._subscribe(text[], text[], text) is 'Internal: registers a channel.';

-- functions/feed/_unsubscribe.sql
create function pgstate._unsubscribe(p_channel text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.watcher w where w.channel = p_channel and w.login = session_user::text;
end
$$;
comment on function pgstate._unsubscribe(text) is 'Internal: removes a registration.';

-- functions/feed/_notify.sql
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

-- functions/feed/_watching.sql
-- Who is to be woken for these keys: the channels of those who watch any of them; null for nobody.
create function pgstate._watching(p_keys text[], p_now timestamptz) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[];
begin
  select array_agg(w.channel) into v_channels
    from pgstate.watcher w
   -- the union detoasts once for all of the keys
   where w.expires_at > p_now and (w.ranges + '{}') @> any (p_keys)
     -- the registration may be older than a revocation (one that was kept locked has outlasted it): what counts is what may be read now
     and exists (select from pgstate.reach r
                  where r.agent_id = any (w.agent_ids)
                    and case when cardinality(p_keys) = 1 then r.reads @> p_keys[1] else (w.ranges * r.reads) @> any (p_keys) end);
  return v_channels;
end
$$;
comment on function pgstate._watching(text[], timestamptz) is 'Internal: the channels that watch any of the keys.';

-- functions/feed/_wake.sql
-- Wake-ups are hints: an empty payload on a channel that only its subscriber was told. What changed is read from the
-- feed, through the reader's own rights.
create function pgstate._wake(p_keys text[], p_within pgstate.keymultirange default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[] := p_keys;
  v_channels text[];
  v_done boolean;
begin
  if p_within is not null then
    v_keys := array(select k from unnest(p_keys) k where (select p_within + '{}') @> k);
  end if;
  v_channels := pgstate._watching(v_keys, pgstate._now());
  if v_channels is not null then
    v_done := pgstate._notify(v_channels);
  end if;
end
$$;
comment on function pgstate._wake(text[], pgstate.keymultirange) is 'Internal: notifies the channels that watch any of the keys, of those within some ranges.';

-- functions/feed/_wake_lane.sql
-- As _wake(), for what a lane wrote last: whom, was found then, by _finish(), which looked at their rights.
create function pgstate._wake_lane(p_lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[] := (select l.channels from pgstate.lane l where l.lane = p_lane);
  v_done boolean;
begin
  if v_channels is not null then
    v_done := pgstate._notify(v_channels);
  end if;
  return v_channels is not null;
end
$$;
comment on function pgstate._wake_lane(uuid) is 'Internal: notifies those who watch what a lane wrote last.';

-- functions/feed/_window_start.sql
-- How to read the window behind a snapshot (given by its xmax, and what ran then): null when it holds at most p_cap rows
-- (all are fetched by transaction id and sorted), else the seq to start from along the index on seq. As the owner: a count
-- that no caller is told.
create function pgstate._window_start(p_epoch int, p_top xid8, p_running xid8[], p_cap int) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_count bigint;
begin
  select count(*) into v_count
    from (select from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top
           order by v.xid limit p_cap + 1) w;
  if v_count <= p_cap and cardinality(p_running) > 0 then
    select v_count + count(*) into v_count
      from (select from unnest(p_running) r cross join lateral (
              select from pgstate.version v where v.epoch = p_epoch and v.xid = r limit p_cap + 1) x limit p_cap + 1) w;
  end if;
  if v_count <= p_cap then
    return null;
  end if;
  return least(
    -- OFFSET 0: otherwise the smallest is looked for along the index on seq, from the oldest row of all
    (select min(w.seq) from (select v.seq from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top offset 0) w),
    (select min(m.seq) from unnest(p_running) r cross join lateral (
       select min(v.seq) as seq from pgstate.version v where v.epoch = p_epoch and v.xid = r) m)) - 1;
end
$$;
comment on function pgstate._window_start(int, xid8, xid8[], int) is 'Internal: how a page of the feed is read.';

-- functions/feed/_window.sql
-- How a page behind a snapshot is read: up to the current snapshot, clipped as in _snapshot(), and from where, as in
-- _window_start(). Usually little has happened, no transaction was under way at the snapshot, and this one has written
-- nothing: then one look at the rows from the snapshot's end on answers both.
create function pgstate._window(p_epoch int, p_top xid8, p_running xid8[], p_cap int) returns pgstate._window
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_count bigint;
  v_top xid8;
begin
  if p_running is null and pg_current_xact_id_if_assigned() is null then
    select count(*), greatest((((max(w.xid)::text)::bigint + 1)::text)::xid8, p_top) into v_count, v_top
      from (select v.xid from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top order by v.xid limit p_cap + 1) w;
    if v_count <= p_cap and v_top <= pg_snapshot_xmin(pg_current_snapshot()) then
      return row((v_top || ':' || v_top || ':')::pg_snapshot, null)::pgstate._window;
    end if;
  end if;
  return row(pgstate._snapshot(p_epoch), pgstate._window_start(p_epoch, p_top, p_running, p_cap))::pgstate._window;
end
$$;
comment on function pgstate._window(int, xid8, xid8[], int) is 'Internal: how far a page of the feed reads, and where it starts.';

-- functions/history/_last_seen.sql
-- The last change that a snapshot has seen. As the owner: whose change that was must not matter, and row-level security
-- would make the search for it scan everything hidden.
create function pgstate._last_seen(p_epoch int, p_seen pg_snapshot) returns pgstate.version
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_last pgstate.version;
begin
  select v.seq, v.at into v_last.seq, v_last.at
    from pgstate.version v where v.epoch = p_epoch and v.xid < pg_snapshot_xmax(p_seen)
   order by v.xid desc, v.seq desc limit 1;
  return v_last;
end
$$;
comment on function pgstate._last_seen(int, pg_snapshot) is 'Internal: seq and time of the last change that a snapshot has seen.';

-- functions/history/_moment.sql
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

-- functions/history/_point_at.sql
-- The newest point at or before a time: the most advanced of the last few, since two that were recorded at once may stand
-- in the wrong order. Of two snapshots the later one has the higher xmax, or the same and less that still ran.
create function pgstate._point_at(p_at timestamptz) returns pgstate._moment
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_moment pgstate._moment;
begin
  if p_at > pgstate._now() then
    raise exception using errcode = 'PS007', message = 'as of a time in the future', hint = 'What will be is not known: leave the time out for the present.';
  end if;
  select p.epoch, p.seen into v_moment.epoch, v_moment.base
    from (select l.* from pgstate.feed_point l where l.at <= p_at order by l.at desc limit 5) p
   order by p.epoch desc, pg_snapshot_xmax(p.seen) desc,
            case when pg_snapshot_xmin(p.seen) = pg_snapshot_xmax(p.seen) then 0 else (select count(*) from pg_snapshot_xip(p.seen)) end
   limit 1;
  if not found and not exists (select from pgstate.install i where i.horizon is not null and i.installed_at <= p_at) then
    raise exception using errcode = 'PS023', message = format('nothing was recorded at or before %s', p_at),
      hint = format('The first moment known here is %s.', (select min(p.at) from pgstate.feed_point p));
  elsif v_moment.base is null or not pgstate._kept(v_moment.base, v_moment.epoch) then
    -- points go with their history
    raise exception using errcode = 'PS021', message = format('the history of %s is no longer kept', p_at), hint = 'Policies say how much is kept.';
  end if;
  v_moment.at := p_at;
  return v_moment;
end
$$;
comment on function pgstate._point_at(timestamptz) is 'Internal: the past state that a time stands for. PS007 in the future, PS021 when its history has gone, PS023 before anything was recorded.';

-- functions/history/_record_point.sql
-- Called by every connected client each second, and by migrations. Taken together: the snapshot first and the time after
-- it, so that nothing in it is younger than its time. Two that are recorded at once may still stand in the wrong order,
-- which _point_at() puts right; so nobody has to wait for anybody.
create function pgstate._record_point() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_last pgstate.feed_point;
  v_epoch int;
  v_identity text;
  v_seen pg_snapshot;
  v_now timestamptz := pgstate._now();
begin
  select i.epoch, i.identity into v_epoch, v_identity from pgstate.install i;
  if v_identity <> current_setting('pgstate.identity', true) is not false then
    -- looked at once per session, as in _enter_write()
    if v_identity <> pgstate._identity() or pgstate._restored() then
      -- restored and not written to since: transaction ids mean nothing here yet
      return;
    end if;
    if not pgstate._promoted() then
      perform set_config('pgstate.identity', v_identity, false);
    end if;
  end if;
  select p.* into v_last from pgstate.feed_point p order by p.at desc limit 1;
  if exists (
       select from (select p.at from pgstate.feed_point p order by p.at desc offset 9 limit 1) tenth
        where tenth.at between v_now - interval '1 s' and v_now)
  then
    -- many clients are connected: another pulse comes soon
    return;
  end if;
  v_seen := pgstate._snapshot(v_epoch);
  if v_last.epoch = v_epoch and v_last.seen::text = v_seen::text then
    return;
  end if;
  -- not before the last one, should the clock have been set back
  insert into pgstate.feed_point (at, epoch, seen)
  values (greatest(pgstate._now(), v_last.at + interval '1 us'), v_epoch, v_seen)
      on conflict do nothing;
end
$$;
comment on function pgstate._record_point() is 'Internal: records what the feed is at now, if anything was written since the last time.';

-- functions/history/_version_then.sql
-- _search() for one key, without the policies, each mention of which costs a call as much as a few looks: the caller reads
-- the version itself under them. What may not be touched is not looked at here either.
create function pgstate._version_then(p_key text, p_moment pgstate._moment) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  if pgstate._reachable('touch') @> p_key is not true then
    perform pgstate._deny();
  end if;
  return (
    select s.version
      from pgstate.entry e
      cross join lateral pgstate._search(e.key, e.version, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after, p_moment.seq) s
     where e.key = p_key and e.version > 8);
end
$$;
comment on function pgstate._version_then(text, pgstate._moment) is 'Internal: the number of the version that a key was at in a past state, looked for below its newest eight.';

-- functions/audit/_audit_text.sql
-- What a denied agent asked for is its own words, which an administrator will read: printable ASCII without secrets, and no more than
-- so many characters of it.
create function pgstate._audit_text(p_text text, p_length int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  -- before it is cut: half a secret is one still
  return left(regexp_replace(pgstate._redact(left(p_text, 10000)), '[^ -~]+', '?', 'g'), p_length) || case when length(p_text) > p_length then '...' else '' end;
end
$$;
comment on function pgstate._audit_text(text, int) is 'Internal: text for the audit trail, cut and without what is not printable.';

-- functions/audit/_audit.sql
-- Adds to the audit trail, in the transaction of what it tells of: both are there, or neither. Whoever calls it has checked
-- what the actor may. Nothing takes an entry away before its time, and some agents can cause as many as they like: with a quota each is a
-- write, but for who administers everything, whom no quota must keep from taking rights away. Denials have a limit of their own.
create function pgstate._audit(p_actor pgstate._actor, p_event text, p_key text default null, p_detail jsonb default null, p_via text default session_user)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  if p_actor.quota and p_event <> 'denied'
     and not coalesce((select r.admins @> '{(,)}'::pgstate.keymultirange from pgstate._reach r where r.agent_id = p_actor.id), false) then
    perform pgstate._charge(1);
  end if;
  insert into pgstate.audit (at, event, agent, via, key, detail)
  values (pgstate._now(), p_event, p_actor.name, p_via, pgstate._audit_text(p_key, 512), nullif(jsonb_strip_nulls(p_detail), '{}'))
  returning id into v_id;
  insert into pgstate.audit_pending (subtree, audit_id)
  select c.subtree, v_id from pgstate.audit_chain c where c.active and c.ranges @> coalesce(p_key, '');
end
$$;
comment on function pgstate._audit(pgstate._actor, text, text, jsonb, text) is 'Internal: adds an entry to the audit trail.';

-- functions/audit/_audit_denied.sql
-- A denial that did not undo its transaction: of rows of a set-based call, or told by a client afterwards. One entry for a
-- call, and no more than 60 a minute of a login and agent: who is denied must not be able to fill the disk. Nor to hide among
-- its own noise: the others are counted, see _tell_denied().
create function pgstate._audit_denied(p_actor pgstate._actor, p_key text, p_detail jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_minute timestamptz := date_trunc('minute', pgstate._now(), 'UTC');
begin
  if (select count(*) from (
        select from pgstate.audit a
         where a.event = 'denied' and a.via = session_user::text and a.agent = p_actor.name
           and a.at > pgstate._now() - interval '1 minute'
        union all
        select from pgstate.audit a
         where p_actor.name is null and a.event = 'denied' and a.via = session_user::text and a.agent is null
           and a.at > pgstate._now() - interval '1 minute'
         limit 60) lately) < 60 then
    perform pgstate._audit(p_actor, 'denied', pgstate._audit_text(p_key, 128), p_detail);
    return;
  end if;
  update pgstate.denied_count d set denials = d.denials + 1
   where d.id = (
     select x.id from pgstate.denied_count x where x.via = session_user::text and x.minute = v_minute and x.agent is not distinct from p_actor.name
      limit 1 for no key update skip locked);
  if not found then
    insert into pgstate.denied_count (minute, agent, via, denials) values (v_minute, p_actor.name, session_user, 1);
  end if;
end
$$;
comment on function pgstate._audit_denied(pgstate._actor, text, jsonb) is 'Internal: records a denial, or counts it if there were too many lately.';

-- functions/audit/_tell_denied.sql
-- Adds to the audit trail how many denials of a minute that is over it left out: one entry for each login and agent. What somebody has
-- under way is told the next time.
create function pgstate._tell_denied(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_told record;
  v_taken int := 0;
begin
  for v_told in
    with parts as (
      delete from pgstate.denied_count d
       where d.id = any (array(
         select x.id from pgstate.denied_count x where x.minute < date_trunc('minute', pgstate._now(), 'UTC') order by x.id limit p_limit for update skip locked))
      returning d.*
    )
    select p.minute, p.agent, p.via, sum(p.denials) as denials, count(*) as parts from parts p group by 1, 2, 3 order by 1, 2, 3
  loop
    v_taken := v_taken + v_told.parts;
    v_actor.name := v_told.agent;
    perform pgstate._audit(v_actor, 'denied', null, jsonb_build_object('more', v_told.denials, 'minute', v_told.minute), v_told.via);
  end loop;
  return v_taken = p_limit;
end
$$;
comment on function pgstate._tell_denied(int) is 'Internal: adds to the audit trail how many denials it left out; is there more to do?';

-- functions/audit/_audit_rows.sql
-- By the ranges alone, as _claim_log(): a look at other rows would show in the caller's own statistics. What is about the
-- installation as a whole is for those who administer everything.
create function pgstate._audit_rows(p_actor pgstate._actor, p_pattern text, p_events text[], p_limit int, p_before bigint)
returns setof pgstate.audit_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_admins pgstate.keymultirange := (select r.admins + '{}' from pgstate._reach r where r.agent_id = p_actor.id);
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_pattern) * v_admins;
  v_regex text := pgstate._pattern_regex(p_pattern);
begin
  if isempty(v_ranges) is not false and p_pattern <> '' then
    perform pgstate._deny();
  elsif v_ranges = pgstate._pattern_ranges('**') then
    return query
      select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail
        from pgstate.audit a
       where a.id < coalesce(p_before, 9223372036854775807) and (p_events is null or a.event = any (p_events))
       order by a.id desc limit p_limit;
  else
    return query
      select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail
        from (
          select r.low, r.high from pgstate._spans(v_ranges) r offset 0) span
        join pgstate.audit a on a.key >= span.low and a.key < span.high and (v_regex is null or a.key ~ v_regex)
       where a.id < coalesce(p_before, 9223372036854775807) and (p_events is null or a.event = any (p_events))
       order by a.id desc limit p_limit;
  end if;
end
$$;
comment on function pgstate._audit_rows(pgstate._actor, text, text[], int, bigint) is 'Internal: the audit trail where the caller administers.';

-- functions/audit/_audit_hash.sql
-- As jsonb, whose text does not depend on settings; the time as a number, which has no zone.
create function pgstate._audit_hash(p_before bytea, p_audit pgstate.audit) returns bytea
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(p_before || sha256(convert_to(jsonb_build_array(
    p_audit.id, extract(epoch from p_audit.at), p_audit.event, p_audit.agent, p_audit.via, p_audit.key, p_audit.detail)::text, 'UTF8')));
end
$$;
comment on function pgstate._audit_hash(bytea, pgstate.audit) is 'Internal: the hash of a link.';

-- functions/audit/_seal_audit.sql
-- Links what is pending and committed, oldest first; what commits later is linked later, so the order of links is not
-- always that of ids. One at a time for each chain, and whoever comes second goes away.
create function pgstate._seal_audit(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_chain pgstate.audit_chain;
  v_audit pgstate.audit;
  v_subtrees text[];
  v_subtree text;
  v_more boolean := false;
  v_done int;
begin
  v_subtrees := array(select c.subtree from pgstate.audit_chain c
                       where exists (select from pgstate.audit_pending p where p.subtree = c.subtree) order by 1);
  foreach v_subtree in array v_subtrees loop
    select c.* into v_chain from pgstate.audit_chain c where c.subtree = v_subtree for no key update skip locked;
    continue when not found;
    v_done := 0;
    for v_audit in
      select a.* from pgstate.audit_pending p cross join lateral (
        select x.* from pgstate.audit x where x.id = p.audit_id offset 0) a
       where p.subtree = v_subtree order by p.audit_id limit p_limit
    loop
      v_chain.head_no := v_chain.head_no + 1;
      v_chain.head_hash := pgstate._audit_hash(v_chain.head_hash, v_audit);
      insert into pgstate.audit_link (subtree, no, audit_id, hash) values (v_subtree, v_chain.head_no, v_audit.id, v_chain.head_hash);
      delete from pgstate.audit_pending p where p.subtree = v_subtree and p.audit_id = v_audit.id;
      v_done := v_done + 1;
    end loop;
    update pgstate.audit_chain c set head_no = v_chain.head_no, head_hash = v_chain.head_hash where c.subtree = v_subtree;
    v_more := v_more or v_done = p_limit;
  end loop;
  return v_more;
end
$$;
comment on function pgstate._seal_audit(int) is 'Internal: links entries of the audit trail; is there more?';

-- functions/audit/_thin_audit.sql
-- Removes the oldest entries whose time has passed, with their links; each chain remembers where it was cut.
create function pgstate._thin_audit(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_before timestamptz := pgstate._now() - (select i.audit_keep from pgstate.install i);
  v_ids bigint[];
  v_free bigint[];
  v_fronts boolean;
begin
  if v_before is null then
    return false;
  end if;
  -- of the lowest ids only: they are about in the order of time. Where all of these are behind others in a chain (of one long transaction, say,
  -- beside which others were linked), of those that chains begin with, too. What waits for its link waits here too.
  foreach v_fronts in array array[false, true] loop
    v_ids := array(
      select o.id
        from (select a.id, a.at from pgstate.audit a order by a.id limit p_limit) o
       where o.at < v_before and not exists (select from pgstate.audit_pending p where p.audit_id = o.id)
       union
      select a.id
        from pgstate.audit_chain c
             cross join lateral (select k.audit_id from pgstate.audit_link k where k.subtree = c.subtree order by k.no limit p_limit) f
             join pgstate.audit a on a.id = f.audit_id
       where v_fronts and a.at < v_before and not exists (select from pgstate.audit_pending p where p.audit_id = a.id));
    if v_ids = '{}' then
      return false;
    end if;
    -- links go from the front only: one that was linked late keeps those before it, and their entries; and an entry that one chain keeps
    -- keeps those behind it in others
    loop
      v_free := array(
        with stays as materialized (
          select c.subtree, (select f.no from pgstate.audit_link f
                              where f.subtree = c.subtree and f.audit_id not in (select u from unnest(v_ids) u) order by f.no limit 1) as no
            from pgstate.audit_chain c)
        select i from unnest(v_ids) i
         where not exists (select from pgstate.audit_link l join stays s on s.subtree = l.subtree where l.audit_id = i and l.no > s.no));
      exit when cardinality(v_free) = cardinality(v_ids);
      v_ids := v_free;
    end loop;
    exit when v_ids <> '{}';
  end loop;
  update pgstate.audit_chain c set cut_no = g.no, cut_hash = (select l.hash from pgstate.audit_link l where l.subtree = c.subtree and l.no = g.no)
    from (select l.subtree, max(l.no) as no from pgstate.audit_link l where l.audit_id = any (v_ids) group by l.subtree) g
   where g.subtree = c.subtree;
  delete from pgstate.audit a where a.id = any (v_ids);
  delete from pgstate.audit_link l where l.audit_id = any (v_ids);
  return cardinality(v_ids) >= p_limit;
end
$$;
comment on function pgstate._thin_audit(int) is 'Internal: retention of the audit trail; is there more?';

-- functions/audit/_set_audit.sql
create function pgstate._set_audit(p_actor pgstate._actor, p_keep interval) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_keep is not null and not (p_keep between interval '1 day' and interval '36500 days' and pgstate._span_ok(p_keep)) then
    raise exception using errcode = 'PS007', message = 'the audit trail is kept for a day to 100 years, or for ever (null)';
  end if;
  update pgstate.install i set audit_keep = p_keep;
  perform pgstate._audit(p_actor, 'set_audit', null, jsonb_build_object('keep', p_keep));
end
$$;
comment on function pgstate._set_audit(pgstate._actor, interval) is 'Internal: how long the audit trail is kept.';

-- functions/audit/_set_audit_chain.sql
create function pgstate._set_audit_chain(p_actor pgstate._actor, p_subtree text, p_active boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'A chain is about keys, whoever''s they are: {agent} has no meaning in it.';
  elsif p_active is null then
    raise exception using errcode = 'PS007', message = 'a chain is active or not: true or false';
  end if;
  if p_active then
    perform pgstate._refuse_secrets(p_actor, p_subtree, p_subtree);
    perform pgstate._check_room(p_actor, (
      select count(*) from pgstate.audit_chain c where c.set_by = p_actor.name and c.subtree <> p_subtree), 100, 'chains of the audit trail');
    insert into pgstate.audit_chain as c (subtree, ranges, set_by, set_at)
    values (p_subtree, pgstate._subtree_ranges(p_subtree, p_actor.name), p_actor.name, pgstate._now())
        on conflict on constraint audit_chain_pkey do update set active = true;
    perform pgstate._audit(p_actor, 'set_audit_chain', p_subtree, jsonb_build_object('active', true));
  else
    -- the last thing that it links
    perform pgstate._audit(p_actor, 'set_audit_chain', p_subtree, jsonb_build_object('active', false));
    update pgstate.audit_chain c set active = false where c.subtree = p_subtree;
    if not found then
      raise exception using errcode = 'PS007', message = format('there is no chain on %s', pgstate._shown(p_subtree));
    end if;
  end if;
end
$$;
comment on function pgstate._set_audit_chain(pgstate._actor, text, boolean) is 'Internal: begins a chain, or ends it.';

-- functions/audit/_verify_audit.sql
-- The chain and its links are read by one statement: what links or removes entries meanwhile must not pass for a fault.
create function pgstate._verify_audit(p_actor pgstate._actor, p_subtree text, p_noted text) returns pgstate.audit_checked
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_chain pgstate.audit_chain;
  v_out pgstate.audit_checked;
  v_no bigint;
  v_hash bytea;
  v_noted_no bigint;
  v_noted text;
  v_link record;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if p_noted is not null and p_noted !~ '^[0-9]{1,18}:([0-9a-f]{64})?$' then
    raise exception using errcode = 'PS007', message = 'noted is a head that verify_audit() told earlier, number:hash';
  end if;
  if current_setting('transaction_read_only') = 'off' then
    perform pgstate._seal_audit(100000);
  end if;
  v_noted_no := split_part(p_noted, ':', 1)::bigint;
  for v_link in
    select c as chain, l.no, l.hash, l.audit_id, l.a
      from pgstate.audit_chain c
      -- in the order of the index: sorting would hold all of it
      left join lateral (
        select k.no, k.hash, k.audit_id, e.a
          from pgstate.audit_link k left join lateral (select x as a from pgstate.audit x where x.id = k.audit_id offset 0) e on true
         where k.subtree = c.subtree order by k.no offset 0) l on true
     where c.subtree = p_subtree
  loop
    if v_chain.subtree is null then
      v_chain := v_link.chain;
      v_no := v_chain.cut_no;
      v_hash := v_chain.cut_hash;
      v_noted := case when v_noted_no = v_no then encode(v_hash, 'hex') end;
      exit when v_link.no is null;
    end if;
    v_no := v_no + 1;
    if v_link.no <> v_no then
      v_out.fault := format('link %s is not there', v_no);
    elsif (v_link.a).id is null then
      v_out.fault := format('entry %s of link %s is not there', v_link.audit_id, v_no);
    else
      v_hash := pgstate._audit_hash(v_hash, v_link.a);
      if v_hash <> v_link.hash then
        v_out.fault := format('entry %s of link %s, or the link, is not what it was', v_link.audit_id, v_no);
      end if;
    end if;
    exit when v_out.fault is not null;
    if v_no = v_noted_no then
      v_noted := encode(v_hash, 'hex');
    end if;
  end loop;
  if v_chain.subtree is null then
    raise exception using errcode = 'PS007', message = format('there is no chain on %s', pgstate._shown(p_subtree)), hint = 'set_audit_chain(subtree) begins one.';
  end if;
  if v_out.fault is null and (v_no, v_hash) <> (v_chain.head_no, v_chain.head_hash) then
    v_out.fault := format('the chain ends at link %s, and ended at %s', v_no, v_chain.head_no);
  elsif v_out.fault is null and p_noted is not null and v_noted_no < v_chain.cut_no then
    v_out.fault := format('link %s was removed by retention: nothing can be said about it', v_noted_no);
  elsif v_out.fault is null and p_noted is not null and v_noted is distinct from split_part(p_noted, ':', 2) then
    v_out.fault := format('link %s is not the one that was noted', v_noted_no);
  end if;
  v_out.subtree := p_subtree;
  v_out.sound := v_out.fault is null;
  v_out.links := v_chain.head_no - v_chain.cut_no;
  v_out.head := v_chain.head_no || ':' || encode(v_chain.head_hash, 'hex');
  v_out.active := v_chain.active;
  v_out.waiting := (select count(*) from pgstate.audit_pending p where p.subtree = p_subtree);
  return v_out;
end
$$;
comment on function pgstate._verify_audit(pgstate._actor, text, text) is 'Internal: links what is pending, where it may, and computes a chain anew.';

-- functions/admin/_add_agent.sql
create function pgstate._add_agent(p_name text, p_login text, p_grants text[], p_reuse boolean default false) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_name is null or p_name !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' or p_name in ('.', '..', 'pgstate') then
    raise exception using errcode = 'PS007', message = format('invalid agent name %L', pgstate._shown(p_name)),
      hint = 'A name is one key segment of 1 to 128 characters: A-Z a-z 0-9 . _ ~ : @ = + , % -';
  elsif exists (select from pgstate.agent a where a.name = p_name) then
    raise exception using errcode = 'PS007', message = format('agent %L exists already', p_name);
  elsif exists (select from pgstate.login l where l.login = p_login) then
    raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
      hint = 'A login is one agent''s or a gateway''s.';
  end if;
  insert into pgstate.agent (name) values (p_name) on conflict do nothing returning id into v_id;
  if v_id is null then
    -- made by another meanwhile
    raise exception using errcode = 'PS007', message = format('agent %L exists already', p_name);
  end if;
  -- looked at after the insert: from then on nobody can make and drop another of this name meanwhile
  if p_reuse then
    delete from pgstate.former_agent f where f.name = p_name;
  elsif exists (select from pgstate.former_agent f where f.name = p_name) then
    raise exception using errcode = 'PS007', message = format('an agent %L was dropped', p_name),
      hint = format('What it wrote is there still, and the new one could read memory/%s/** and pass for it in the history. Choose another name, or say that this is meant: reuse => true, in the shell --reuse.', p_name);
  end if;
  if p_login is not null then
    insert into pgstate.login (login, agent_id) values (p_login, v_id);
  end if;
  insert into pgstate.access_grant (agent_id, subtree, "right", granted_by)
  select v_id, substr(g, strpos(g, ' ') + 1), split_part(g, ' ', 1), v_actor.name from unnest(p_grants) g;
  perform pgstate._fold_grants(v_id);
  perform pgstate._audit(v_actor, 'create_agent', null, jsonb_build_object('agent', p_name, 'login', p_login, 'grants', p_grants, 'reuse', nullif(p_reuse, false)));
end
$$;
comment on function pgstate._add_agent(text, text, text[], boolean) is 'Internal: registers an agent with its first grants ("right subtree").';

-- functions/admin/_add_gateway.sql
create function pgstate._add_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_login is null then
    raise exception using errcode = 'PS007', message = 'a gateway is a login: name a database role';
  elsif exists (select from pgstate.login l where l.login = p_login) then
    raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
      hint = 'A login is one agent''s or a gateway''s.';
  end if;
  insert into pgstate.login (login, gateway) values (p_login, true);
  perform pgstate._audit(v_actor, 'create_gateway', null, jsonb_build_object('login', p_login));
end
$$;
comment on function pgstate._add_gateway(text) is 'Internal: registers a gateway.';

-- functions/admin/_agent_id.sql
create function pgstate._agent_id(p_name text, p_groups boolean default false) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
  v_group boolean;
begin
  select a.id, a.grouping into v_id, v_group from pgstate.agent a where a.name = p_name;
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no agent %L', p_name), hint = 'create_agent(name) makes one.';
  elsif v_group and not p_groups then
    raise exception using errcode = 'PS007', message = format('%L is a group of agents', p_name);
  end if;
  return v_id;
end
$$;
comment on function pgstate._agent_id(text, boolean) is 'Internal: id of an agent, or of a group if that will do, by name, PS007 when there is none.';

-- functions/admin/_agents.sql
create function pgstate._agents(p_actor pgstate._actor) returns setof pgstate.agent_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, (select l.login from pgstate.login l where l.agent_id = a.id limit 1),
           array(select d.login from pgstate.delegation d where d.agent_id = a.id order by 1), a.root, a.created_at, a.trust::text, a.suspended_at
      from pgstate.agent a
     where not a.grouping and (a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id))
     order by a.name;
end
$$;
comment on function pgstate._agents(pgstate._actor) is 'Internal: agents that the caller may see.';

-- functions/admin/_check_admin.sql
-- Administration as the tables' owner; each checks the caller's right itself, so that no function above can forget it.
create function pgstate._check_admin(p_actor pgstate._actor, p_subtree text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- {agent} is checked as what it may come to stand for: any segment, so the subtree above it
  if not coalesce((select r.admins from pgstate._reach r where r.agent_id = p_actor.id)
                  @> pgstate._subtree_ranges(regexp_replace(p_subtree, E'(^|/)\\{agent\\}(/.*)?$', E'\\1**'), p_actor.name), false) then
    perform pgstate._deny();
  elsif current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
end
$$;
comment on function pgstate._check_admin(pgstate._actor, text) is 'Internal: raises PS010 unless the caller administers the whole subtree.';

-- functions/admin/_check_room.sql
-- Who administers a part may set there what all others pay for: what is looked through in each of their calls or writes, or by
-- maintain(). So of each kind only so many, but for who administers everything.
create function pgstate._check_room(p_actor pgstate._actor, p_set bigint, p_most int, p_what text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_set >= p_most and not coalesce((select r.admins @> '{(,)}'::pgstate.keymultirange from pgstate._reach r where r.agent_id = p_actor.id), false) then
    raise exception using errcode = 'PS060', message = format('agent %s has set %s %s, and may set no more', p_actor.name, p_set, p_what),
      hint = 'Take some away, or ask somebody who administers everything, for whom there is no limit.';
  end if;
end
$$;
comment on function pgstate._check_room(pgstate._actor, bigint, int, text) is 'Internal: PS060 for one more of what others pay for.';

-- functions/claims/_force_release.sql
-- As the owner, since who administers a subtree need not be able to write there. The log says whose claim it was.
create function pgstate._force_release(p_actor pgstate._actor, p_key text) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claim pgstate.claim;
  v_out pgstate.claimed;
begin
  perform pgstate._check_admin(p_actor, p_key);
  perform from pgstate.entry e where e.key = p_key and e.value is not null for update;
  if found and current_setting('transaction_isolation') <> 'read committed' then
    -- as _check_claims_seen() does, for who may write there
    perform from pgstate.claim c where c.key = p_key for update;
    insert into pgstate.claim (key, token, lease_until, attempts, claimed_at)
    select p_key, nextval('pgstate.claim_token_seq'), '-infinity', 0, pgstate._now()
     where not exists (select from pgstate.claim c where c.key = p_key)
        on conflict do nothing;
  end if;
  select c.* into v_claim from pgstate.claim c
   where c.key = p_key and (c.lease_until > pgstate._now() or c.retry_at > pgstate._now()) for update;
  v_out.key := p_key;
  if v_claim.key is null then
    v_out.status := 'missing';
    return v_out;
  end if;
  -- it begins anew: what was given up would be given up again by its next failure
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, retry_at = null, attempts = 0, released = 0
   where c.key = p_key;
  insert into pgstate.claim_log (key, at, token, holder, lease_until, attempts, released_by, via)
  values (p_key, pgstate._now(), v_claim.token, v_claim.holder, nullif(v_claim.lease_until, '-infinity'), v_claim.attempts, p_actor.name, session_user);
  perform pgstate._audit(p_actor, 'release', p_key, jsonb_build_object('holder', v_claim.holder));
  perform pgstate._wake(array[p_key]);
  v_out.status := 'ok';
  v_out.attempts := v_claim.attempts;
  return v_out;
end
$$;
comment on function pgstate._force_release(pgstate._actor, text) is 'Internal: ends a claim whoever holds it.';

-- functions/claims/_claim_log.sql
-- By the ranges alone: a look at other rows would show in the caller's own statistics.
create function pgstate._claim_log(p_actor pgstate._actor, p_pattern text, p_limit int) returns setof pgstate.claim_log_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_pattern)
    * (select r.admins + '{}' from pgstate._reach r where r.agent_id = p_actor.id);
  v_regex text := pgstate._pattern_regex(p_pattern);
begin
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  return query
    select l.key, l.at, l.token, l.holder, l.lease_until, l.attempts, l.released_by, l.via
      from (
        select r.low, r.high from pgstate._spans(v_ranges) r offset 0) span
      join pgstate.claim_log l on l.key >= span.low and l.key < span.high and (v_regex is null or l.key ~ v_regex)
     order by l.at desc, l.key limit p_limit;
end
$$;
comment on function pgstate._claim_log(pgstate._actor, text, int) is 'Internal: claims that were ended by force, where the caller administers.';

-- functions/admin/_delegate.sql
create function pgstate._delegate(p_login text, p_agent text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if not exists (select from pgstate.login l where l.login = p_login and l.gateway) then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login), hint = 'create_gateway(login) makes one.';
  end if;
  begin
    -- first, as whoever changes what it may, or drops it
    perform from pgstate.agent a where a.id = v_id for no key update;
    v_id := pgstate._agent_id(p_agent);
    if p_on then
      insert into pgstate.delegation (login, agent_id, agent_name) values (p_login, v_id, p_agent) on conflict do nothing;
      -- its trigger copies the reach to the new row; and whoever changes the reach by a snapshot that does not show the row yet fails
      update pgstate.reach r set agent_id = r.agent_id where r.agent_id = v_id;
    else
      delete from pgstate.delegation d where d.login = p_login and d.agent_id = v_id;
      perform pgstate._drop_watchers(v_id, p_login);
    end if;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be %s while a transaction has changed what it may', p_agent, case when p_on then 'delegated' else 'undelegated' end));
  end;
  perform pgstate._audit(v_actor, case when p_on then 'delegate' else 'undelegate' end, null, jsonb_build_object('login', p_login, 'agent', p_agent));
end
$$;
comment on function pgstate._delegate(text, text, boolean) is 'Internal: adds or removes a delegation.';

-- functions/admin/_drop_watchers.sql
-- Channels that an agent's watches were told go silent at once; its clients register again with what is left. Locked ones
-- are left to _wake(), which looks at the rights of the moment: an agent must not be able to hold up its own revocation.
create function pgstate._drop_watchers(p_agent_id int, p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.watcher w
   where w.channel in (
     select x.channel from pgstate.watcher x
      where p_agent_id = any (x.agent_ids) and (p_login is null or x.login = p_login) for update skip locked);
end
$$;
comment on function pgstate._drop_watchers(int, text) is 'Internal: ends registrations of an agent, of one login or all.';

-- functions/admin/_end_claims.sql
-- What an agent holds is given back; the keys of that. It must not be able to hold that up: a claim that a transaction keeps
-- locked, or takes that began before, is given back when somebody asks again.
create function pgstate._end_claims(p_agent_id int, p_name text) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_keys text[];
begin
  begin
    -- in the order of keys, as everybody locks claims
    perform from pgstate.claim c where c.holder = p_name order by c.key for update;
  exception when lock_not_available then
    null;
  end;
  v_keys := array(
    select c.key from pgstate.claim c
     where c.holder = p_name and (c.holder_id = p_agent_id or not exists (select from pgstate.agent a where a.id = c.holder_id))
     order by c.key for update skip locked);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null where c.key = any (v_keys);
  if v_keys <> '{}' then
    -- no version tells of it, and somebody may be waiting for these entries
    perform pgstate._wake(v_keys);
  end if;
  return v_keys;
end
$$;
comment on function pgstate._end_claims(int, text) is 'Internal: ends the claims of an agent.';

-- functions/admin/_drop_agent.sql
-- Its grants, delegations and login go with its row. What it holds is given back at once: nobody could renew it.
create function pgstate._drop_agent(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
begin
  perform pgstate._check_admin(v_actor, '**');
  begin
    -- a grant to it at the same time waits, and then finds no such agent
    select a.id, a.root into v_id, v_root from pgstate.agent a where a.name = p_name and not a.grouping for update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be dropped while a transaction has changed what it may', p_name));
  end;
  if v_id is null and not exists (select from pgstate.former_agent f where f.name = p_name) then
    perform pgstate._agent_id(p_name);
  elsif v_root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be dropped';
  end if;
  perform pgstate._drop_watchers(v_id, null);
  perform pgstate._end_claims(v_id, p_name);
  delete from pgstate.agent a where a.id = v_id;
  insert into pgstate.former_agent (name, dropped_by) values (p_name, v_actor.name)
      on conflict on constraint former_agent_pkey do update set dropped_at = excluded.dropped_at, dropped_by = excluded.dropped_by;
  perform pgstate._audit(v_actor, 'drop_agent', null, jsonb_build_object('agent', p_name));
end
$$;
comment on function pgstate._drop_agent(text) is 'Internal: removes an agent and all that it may do.';

-- functions/admin/_drop_gateway.sql
create function pgstate._drop_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  begin
    perform from pgstate.login l where l.login = p_login and l.gateway for update;
    if not found then
      raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login);
    end if;
    -- its delegations go with it, in the order in which what agents reach is folded
    perform from pgstate.delegation d where d.login = p_login order by d.agent_id for update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('gateway %L cannot be dropped while a transaction has changed what its agents may', p_login));
  end;
  delete from pgstate.login l where l.login = p_login;
  -- locked ones are told nothing that their agents may not read, and end by themselves
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.login = p_login for update skip locked);
  perform pgstate._audit(v_actor, 'drop_gateway', null, jsonb_build_object('login', p_login));
end
$$;
comment on function pgstate._drop_gateway(text) is 'Internal: removes a gateway.';

-- functions/admin/_grants_of.sql
create function pgstate._grants_of(p_agent_id int) returns setof pgstate._grant_of
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.subtree, g."right", g.deny, g.until, null::text, g.granted_by, g.granted_at
      from pgstate.agent a join pgstate.access_grant g on g.agent_id = a.id where a.id = p_agent_id
    union all
    select a.name, g.subtree, g."right", g.deny, g.until, c.name, g.granted_by, g.granted_at
      from pgstate.agent a join pgstate.group_member m on m.agent_id = a.id join pgstate.agent c on c.id = m.group_id
      join pgstate.access_grant g on g.agent_id = c.id where a.id = p_agent_id;
end
$$;
comment on function pgstate._grants_of(int) is 'Internal: the grants and denials of an agent and of its groups.';

-- functions/admin/_folded.sql
-- The grants of an agent and of its groups that hold now, as ranges; what is denied is taken away from all that is granted.
-- Nothing while it is suspended, and that as ended already: so no short way takes the cache for what holds.
create function pgstate._folded(p_agent_id int) returns pgstate.reach
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_reach pgstate.reach;
begin
  select p_agent_id, f.may_read - f.no_read, f.may_write - f.no_write, f.may_admin - f.no_admin,
         (f.may_read - f.no_read) + (f.may_write - f.no_write), f.until
    into v_reach.agent_id, v_reach.reads, v_reach.writes, v_reach.admins, v_reach.touches, v_reach.folded_until
    from (select coalesce(range_agg(u) filter (where g."right" = 'read' and not g.deny), '{}') as may_read,
                 coalesce(range_agg(u) filter (where g."right" = 'read' and g.deny), '{}') as no_read,
                 coalesce(range_agg(u) filter (where g."right" = 'write' and not g.deny), '{}') as may_write,
                 coalesce(range_agg(u) filter (where g."right" = 'write' and g.deny), '{}') as no_write,
                 coalesce(range_agg(u) filter (where g."right" = 'admin' and not g.deny), '{}') as may_admin,
                 coalesce(range_agg(u) filter (where g."right" = 'admin' and g.deny), '{}') as no_admin,
                 (case when exists (select from pgstate.agent a where a.id = p_agent_id and a.suspended_at is not null) then '-infinity' else min(g.until) end) as until
            from pgstate._grants_of(p_agent_id) g cross join lateral unnest(pgstate._subtree_ranges(g.subtree, g.agent)) u
           where (g.until is null or g.until > pgstate._now())
             and not exists (select from pgstate.agent a where a.id = p_agent_id and a.suspended_at is not null)) f;
  return v_reach;
end
$$;
comment on function pgstate._folded(int) is 'Internal: what an agent reaches now, from its grants and those of its groups.';

-- views/_reach.sql
-- What agents reach now. The cache of the grants is looked at until the next of them ends; from then on the grants
-- themselves are, until somebody folds them anew. Calls do not do that: it takes a lock on the agent's row, which it could keep
-- in an open transaction, and hold up its own revocation with.
-- Asked for one agent at a time, by its number or in a lateral subquery: a join with it reads all agents' rows.
create or replace view pgstate._reach as
select r.agent_id, r.reads, r.writes, r.admins, r.touches, r.folded_until, r.quota, r.trust
  from pgstate.reach r where r.folded_until is null or r.folded_until > pgstate._now()
union all
select r.agent_id, f.reads, f.writes, f.admins, f.touches, f.folded_until, r.quota, r.trust
  from pgstate.reach r cross join lateral pgstate._folded(r.agent_id) f where r.folded_until <= pgstate._now();
comment on view pgstate._reach is 'Internal: the reach of agents, as of now.';
comment on column pgstate._reach.agent_id is 'Whose it is.';
comment on column pgstate._reach.reads is 'Ranges of keys that it may read.';
comment on column pgstate._reach.writes is 'Ranges of keys that it may write.';
comment on column pgstate._reach.admins is 'Ranges of keys that it administers.';
comment on column pgstate._reach.touches is 'What it may read or write.';
comment on column pgstate._reach.folded_until is 'When the next of its grants ends.';
comment on column pgstate._reach.quota is 'There is a quota.';
comment on column pgstate._reach.trust is 'The most that what it writes is trusted.';

-- functions/admin/_fold_grants.sql
-- Locks the group before it looks for members, who are added under the same lock, and members in the order of their ids. Two
-- changes to one agent at the same time must not each fold without the other's row: the second waits here, and the
-- statements after that see what the first has done.
create function pgstate._fold_grants(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_group boolean := (select a.grouping from pgstate.agent a where a.id = p_agent_id for no key update);
begin
  if v_group then
    -- whoever adds a member by a snapshot from before fails, and so does who folds by one that shows no new member: see _set_member()
    update pgstate.agent a set grouping = true where a.id = p_agent_id;
    perform pgstate._fold_grants(m.agent_id) from (
      select x.agent_id from pgstate.group_member x where x.group_id = p_agent_id order by x.agent_id) m;
    return;
  end if;
  insert into pgstate.reach as r (agent_id, reads, writes, admins, touches, folded_until, trust)
  select f.agent_id, f.reads, f.writes, f.admins, f.touches, f.folded_until, a.trust
    from pgstate._folded(p_agent_id) f join pgstate.agent a on a.id = f.agent_id
      on conflict on constraint reach_pkey do update
     set reads = excluded.reads, writes = excluded.writes, admins = excluded.admins, touches = excluded.touches,
         folded_until = excluded.folded_until, trust = excluded.trust;
  update pgstate.login l set agent_name = a.name, reads = r.reads, writes = r.writes, touches = r.touches, folded_until = r.folded_until, quota = r.quota, trust = a.trust
    from pgstate.agent a join pgstate.reach r on r.agent_id = a.id
   where a.id = p_agent_id and l.agent_id = p_agent_id;
end
$$;
comment on function pgstate._fold_grants(int) is 'Internal: folds an agent''s grants into multiranges, for the agent and for its logins; of a group for each member.';

-- functions/tickets/_rotate_ticket_keys.sql
create function pgstate._rotate_ticket_keys(p_actor pgstate._actor, p_grace interval) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- uuids are from the server's strong random numbers, 122 bits each: the hash of four has 256
  v_key bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid() || gen_random_uuid() || gen_random_uuid(), 'UTF8')) || decode(repeat('00', 32), 'hex');
  v_inner bytea := v_key;
  v_outer bytea := v_key;
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_grace is null or p_grace > interval '1 day' or not pgstate._span_ok(p_grace + interval '1 microsecond') then
    raise exception using errcode = 'PS007', message = 'grace is at most a day';
  end if;
  for v_byte in 0 .. 63 loop
    v_inner := set_byte(v_inner, v_byte, get_byte(v_key, v_byte) # 54);
    v_outer := set_byte(v_outer, v_byte, get_byte(v_key, v_byte) # 92);
  end loop;
  delete from pgstate.ticket_key k where k.retired_at < pgstate._now();
  update pgstate.ticket_key k set retired_at = least(k.retired_at, pgstate._now() + p_grace);
  insert into pgstate.ticket_key (inner_pad, outer_pad, created_at) values (v_inner, v_outer, pgstate._now()) returning id into v_id;
  perform pgstate._audit(p_actor, 'rotate_ticket_keys', null, jsonb_build_object('key', v_id, 'grace', p_grace));
  return v_id;
end
$$;
comment on function pgstate._rotate_ticket_keys(pgstate._actor, interval) is 'Internal: makes a new key for tickets; the others are taken for a while yet.';

-- functions/tickets/_issue_ticket.sql
create function pgstate._issue_ticket(p_actor pgstate._actor, p_login text, p_agent text, p_ttl interval) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_key pgstate.ticket_key;
  v_until bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    if current_setting('transaction_read_only') = 'on' then
      -- nothing can be locked there, and so nobody can tell whether the rights of its snapshot are those of now
      raise exception using errcode = 'read_only_sql_transaction', message = 'no ticket is issued in a read-only transaction of this isolation',
        hint = 'What the caller may could have been taken away since its snapshot: use READ COMMITTED.';
    end if;
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  if exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
    raise exception using errcode = 'PS010', message = 'access denied',
      hint = 'A gateway makes no tickets: with one that it was handed it could make itself newer ones for ever. The agent''s own login does, or an administrator''s.';
  end if;
  -- an agent may hand one about itself to a gateway that it is delegated to
  if p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, '**');
    v_id := pgstate._agent_id(p_agent);
  end if;
  if p_ttl is null or not (p_ttl between interval '1 second' and interval '1 day' and pgstate._span_ok(p_ttl)) then
    raise exception using errcode = 'PS007', message = 'a ticket is good for a second to a day';
  elsif not exists (select from pgstate.delegation d where d.login = p_login and d.agent_id = v_id) then
    raise exception using errcode = 'PS007', message = format('%L may not act for %s', pgstate._shown(p_login), p_agent), hint = 'delegate(login, agent) lets a gateway act for an agent.';
  end if;
  v_until := extract(epoch from pgstate._now() + p_ttl)::bigint;
  select k.* into v_key from pgstate.ticket_key k where k.retired_at is null order by k.id desc limit 1;
  if not found then
    raise exception using errcode = 'PS007', message = 'there is no key to sign tickets with', hint = 'rotate_ticket_keys() makes one, and so does require_tickets(login).';
  end if;
  return p_agent || '/t1/' || v_key.id || '/' || v_until || '/' || pgstate._ticket_signature(v_key, p_login, p_agent, v_id, v_until);
end
$$;
comment on function pgstate._issue_ticket(pgstate._actor, text, text, interval) is 'Internal: signs a ticket.';

-- functions/tickets/_require_tickets.sql
create function pgstate._require_tickets(p_actor pgstate._actor, p_login text, p_required boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  update pgstate.login l set tickets = p_required where l.login = p_login and l.gateway and p_required is not null;
  if not found then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', pgstate._shown(p_login)), hint = 'create_gateway(login) makes one.';
  elsif p_required and not exists (select from pgstate.ticket_key k where k.retired_at is null) then
    perform pgstate._rotate_ticket_keys(p_actor, interval '0');
  end if;
  -- what it watches was registered by names
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where p_required and x.login = p_login for update skip locked);
  perform pgstate._audit(p_actor, 'require_tickets', null, jsonb_build_object('login', p_login, 'required', p_required));
end
$$;
comment on function pgstate._require_tickets(pgstate._actor, text, boolean) is 'Internal: has a gateway name agents by tickets alone, or not.';

-- functions/quota/_usage_of.sql
create function pgstate._usage_of(p_agent_id int) returns pgstate._used
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_used pgstate._used;
begin
  select coalesce(sum(u.entries), 0), coalesce(sum(u.bytes), 0),
         coalesce(sum(u.writes) filter (where u.minute = date_trunc('minute', pgstate._now(), 'UTC')), 0) into v_used
    from pgstate.usage u where u.agent_id = p_agent_id;
  return v_used;
end
$$;
comment on function pgstate._usage_of(int) is 'Internal: what an agent has used, by its parts.';

-- functions/quota/_checkpoint_bytes.sql
-- What a quota counts of a root; of a value that lies apart it asks for the size alone. In SQL, so that it is inlined.
create function pgstate._checkpoint_bytes(p_root pgstate.checkpoint) returns bigint
language sql stable
as $$
  select (pg_column_size(p_root.names) + pg_column_size(p_root.types) + pg_column_size(p_root.data)
          + coalesce(pg_column_size(p_root.versions), 0) + coalesce(pg_column_size(p_root.header), 0)
          + coalesce(pg_column_size(p_root.metadata), 0))::bigint
$$;
comment on function pgstate._checkpoint_bytes(pgstate.checkpoint) is 'Internal: the size of the root of a checkpoint.';

-- functions/quota/_count_usage.sql
-- Counts anew what an agent keeps, by the entries under what it may write, or has in its own hands to write again, and by what threads
-- and runs hold of it, and has the parts add up to that: p_part is one that this transaction has locked. In one statement, since a write
-- that ends meanwhile changes both.
create function pgstate._count_usage(p_agent_id int, p_part bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  with kept as (
    select count(*) as entries, coalesce(sum(pg_column_size(e.value) + coalesce(e.tail_bytes, 0)), 0) as bytes
      from pgstate._reach r join pgstate.agent a on a.id = r.agent_id
      cross join lateral (
        select s.low, s.high from pgstate._spans(r.writes + r.admins) s) span
      join pgstate.entry e on e.key >= span.low and e.key < span.high and e.value is not null and e.writer = a.name
           and (e.expires_at is null or e.expires_at > pgstate._now())
     where r.agent_id = p_agent_id
  ), given as (
    -- vectors that came with what it wrote; others' models make the rest
    select coalesce(sum(pg_column_size(m.vector)), 0) as bytes
      from pgstate._reach r join pgstate.agent a on a.id = r.agent_id
      cross join lateral (
        select s.low, s.high from pgstate._spans(r.writes + r.admins) s) span
      cross join lateral (
        select x.key, x.vector from pgstate.embedding x where x.key >= span.low and x.key < span.high and x.digest = '' offset 0) m
      join pgstate.entry e on e.key = m.key and e.value is not null and e.writer = a.name
           and (e.expires_at is null or e.expires_at > pgstate._now())
     where r.agent_id = p_agent_id
  ), stored as (
    select coalesce(sum(
             (select coalesce(sum(pgstate._checkpoint_bytes(c)), 0) from pgstate.checkpoint c where c.thread_id = t.thread_id and c.agent_id = p_agent_id)
           + (select coalesce(sum(pg_column_size(k.data) + octet_length(k.type)), 0) from pgstate.chunk k where k.thread_id = t.thread_id and k.agent_id = p_agent_id)
           + (select coalesce(sum(pg_column_size(w.data) + octet_length(w.channel) + octet_length(w.type) + octet_length(w.task_path)), 0)
                from pgstate.pending_write w where w.thread_id = t.thread_id and w.agent_id = p_agent_id)), 0)
         + (select coalesce(sum(
              (select coalesce(sum(coalesce(pg_column_size(s.data), 0) + coalesce(octet_length(s.type), 0) + octet_length(s.id) + octet_length(s.name)), 0)
                 from pgstate.step s where s.run_id = r.id and s.agent_id = p_agent_id)
            + (select coalesce(sum(coalesce(pg_column_size(g.data), 0) + coalesce(octet_length(g.type), 0) + octet_length(g.name)), 0)
                 from pgstate.signal g where g.run_id = r.id and g.agent_id = p_agent_id)
            + case when r.agent_id = p_agent_id
                   then coalesce(pg_column_size(r.input), 0) + coalesce(octet_length(r.input_type), 0) + coalesce(octet_length(r.code), 0) else 0 end
            + case when r.result_agent_id = p_agent_id then coalesce(pg_column_size(r.result), 0) + coalesce(octet_length(r.result_type), 0) else 0 end), 0)
              from pgstate.usage_run u cross join lateral (select x.* from pgstate.run x where x.id = u.run_id offset 0) r
             where u.agent_id = p_agent_id) as bytes
      from pgstate.usage_thread t where t.agent_id = p_agent_id
  ), others as (
    select coalesce(sum(u.entries), 0) as entries, coalesce(sum(u.bytes), 0) as bytes
      from pgstate.usage u where u.agent_id = p_agent_id and u.id <> p_part
  )
  update pgstate.usage u set entries = k.entries - o.entries, bytes = k.bytes + g.bytes + s.bytes - o.bytes
    from kept k cross join given g cross join stored s cross join others o where u.id = p_part;
end
$$;
comment on function pgstate._count_usage(int, bigint) is 'Internal: counts anew what an agent keeps.';

-- functions/quota/_charge.sql
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

-- functions/quota/_set_quota.sql
create function pgstate._set_quota(p_agent text, p_entries bigint, p_bytes bigint, p_writes int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_on boolean := num_nonnulls(p_entries, p_bytes, p_writes) > 0;
  v_part bigint;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if p_entries < 0 or p_bytes < 0 or p_writes < 0 then
    raise exception using errcode = 'PS007', message = 'a quota is 0 or more, or null for no limit';
  end if;
  perform from pgstate.agent a where a.id = v_id for no key update;
  if v_on then
    insert into pgstate.quota (agent_id, entries, bytes, writes_per_minute, set_by, set_at)
    values (v_id, p_entries, p_bytes, p_writes, v_actor.name, pgstate._now())
        on conflict on constraint quota_pkey do update
       set entries = excluded.entries, bytes = excluded.bytes, writes_per_minute = excluded.writes_per_minute, set_by = excluded.set_by, set_at = excluded.set_at;
    insert into pgstate.usage (agent_id) values (v_id) returning id into v_part;
    perform pgstate._count_usage(v_id, v_part);
  else
    delete from pgstate.quota q where q.agent_id = v_id;
  end if;
  update pgstate.reach r set quota = v_on where r.agent_id = v_id and r.quota <> v_on;
  update pgstate.login l set quota = v_on where l.agent_id = v_id and l.quota <> v_on;
  perform pgstate._audit(v_actor, 'set_quota', null, jsonb_build_object('agent', p_agent, 'entries', p_entries, 'bytes', p_bytes, 'writes_per_minute', p_writes));
end
$$;
comment on function pgstate._set_quota(text, bigint, bigint, int) is 'Internal: sets the quota of an agent.';

-- functions/trust/_set_trust.sql
-- The agent is locked first, as _fold_grants() does: neither may write back what the other has changed.
create function pgstate._set_trust(p_agent text, p_trust text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if p_trust is null then
    raise exception using errcode = 'PS007', message = 'trust is external, agent, verified or operator';
  end if;
  select a.root into v_root from pgstate.agent a where a.id = v_id for no key update;
  if v_root then
    raise exception using errcode = 'PS007', message = 'the administrator''s trust is operator';
  end if;
  update pgstate.agent a set trust = pgstate._trust_named(p_trust) where a.id = v_id;
  update pgstate.reach r set trust = p_trust::pgstate.trust where r.agent_id = v_id;
  update pgstate.login l set trust = p_trust::pgstate.trust where l.agent_id = v_id;
  perform pgstate._audit(v_actor, 'set_trust', null, jsonb_build_object('agent', p_agent, 'trust', p_trust));
end
$$;
comment on function pgstate._set_trust(text, text) is 'Internal: sets the most that what an agent writes is trusted.';

-- functions/trust/_write_trust.sql
-- A version with the value that is there and another trust, of an entry that the caller has locked, and what else it notes.
create function pgstate._write_trust(p_actor pgstate._actor, p_key text, p_trust pgstate.trust, p_meta jsonb, p_now timestamptz) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_value jsonb;
  v_version bigint;
begin
  -- not by _current_value(), which reads with the caller's rights
  select pgstate._fold(e.value, t.reducers, t.operands) into v_value
    from pgstate.entry e
    cross join lateral (
      select array_agg(v.reducer order by v.version) as reducers, array_agg(v.value order by v.version) as operands
        from pgstate.version v where v.key = p_key and v.version > e.full_version and v.version <= e.version) t
   where e.key = p_key;
  with changed as (
    update pgstate.entry e
       set version = e.version + 1, value = v_value, writer = p_actor.name, via = session_user, updated_at = p_now, full_version = null, trust = p_trust
     where e.key = p_key
    returning e.version, e.expires_at
  )
  insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, meta, trust)
  select p_key, c.version, p_actor.epoch, 'put', v_value, p_actor.name, session_user, p_now, c.expires_at, p_meta, p_trust from changed c
  returning version.version into v_version;
  return v_version;
end
$$;
comment on function pgstate._write_trust(pgstate._actor, text, pgstate.trust, jsonb, timestamptz) is 'Internal: a version with the same value and another trust.';

-- functions/trust/_endorse.sql
-- As the owner: who administers a key may vouch for what it holds without writing there. What the policies let writers be
-- trusted does not bind this, which is how something that came from outside becomes trusted at all.
create function pgstate._endorse(p_actor pgstate._actor, p_key text, p_version bigint, p_trust text) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_trust pgstate.trust;
  v_entry record;
  v_now timestamptz;
  v_meta jsonb;
  v_out pgstate.written;
begin
  perform pgstate._check_admin(p_actor, p_key);
  v_trust := pgstate._trust_named(p_trust);
  if v_trust is null or p_version is null then
    raise exception using errcode = 'PS007', message = 'endorsing takes a version and a trust';
  elsif v_trust > p_actor.trust then
    raise exception using errcode = 'PS007', message = format('%s may not endorse as %s: it is trusted as %s itself', p_actor.name, p_trust, p_actor.trust);
  end if;
  select e.version, e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) as live, e.kind, e.trust into v_entry
    from pgstate.entry e where e.key = p_key for no key update;
  -- the right may be gone when the lock has been waited for, or the agent from who named it
  perform pgstate._check_admin(p_actor, p_key);
  if pgstate._acting() is distinct from p_actor.id then
    perform pgstate._deny();
  end if;
  -- the time after the wait for the lock
  v_now := pgstate._now();
  v_out.version := case when p_actor.readable then coalesce(case when v_entry.live then v_entry.version end, 0) end;
  if v_entry.live is not true then
    v_out.status := 'missing';
    return v_out;
  elsif v_entry.kind <> 'value' then
    perform pgstate._raise('PS040', p_key);
  elsif v_entry.version <> p_version then
    v_out.status := 'conflict';
    return v_out;
  elsif v_trust <= v_entry.trust then
    raise exception using errcode = 'PS007', message = format('it is trusted as %s already', v_entry.trust);
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(array[p_key]);
  end if;
  if exists (select from pgstate.claim c where c.key = p_key and c.lease_until > v_now) then
    v_out.status := 'held';
    return v_out;
  end if;
  select jsonb_strip_nulls(jsonb_build_object('sources', v.meta -> 'sources', 'endorsed_by', p_actor.name, 'endorsed', v.version,
                                              'from', v.trust, 'writer', v.writer)) into v_meta
    from pgstate.version v where v.key = p_key and v.version = p_version;
  v_out.version := pgstate._write_trust(p_actor, p_key, v_trust, v_meta, v_now);
  perform pgstate._audit(p_actor, 'endorse', p_key, jsonb_build_object('version', p_version, 'trust', p_trust, 'from', v_entry.trust));
  v_out.status := 'ok';
  if not p_actor.readable then
    v_out.version := null;
  end if;
  return v_out;
end
$$;
comment on function pgstate._endorse(pgstate._actor, text, bigint, text) is 'Internal: raises the trust of what a key holds.';

-- functions/quarantine/_suspended_at.sql
create function pgstate._suspended_at(p_agent text) returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := pgstate._agent_id(p_agent);
begin
  return (select a.suspended_at from pgstate.agent a where a.id = v_id);
end
$$;
comment on function pgstate._suspended_at(text) is 'Internal: since when an agent is suspended; null if it is not.';

-- functions/quarantine/_claimed_by.sql
create function pgstate._claimed_by(p_agent text) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return array(select c.key from pgstate.claim c where c.holder = p_agent and c.lease_until > pgstate._now() order by c.key);
end
$$;
comment on function pgstate._claimed_by(text) is 'Internal: what an agent holds.';

-- functions/quarantine/_open_transactions.sql
-- What an agent has under way: transactions of its login, of a gateway that may act for it, or of the login that installed, which may act
-- for any, that have called us. Whoever was let in before the suspension was committed holds a lock on a table of ours, since looking who
-- acts takes one, and may write and commit for as long as it takes: what is not told here does nothing as the agent. Locks and sessions are
-- visible to everybody, but for what they do.
create function pgstate._open_transactions(p_agent_id int) returns setof pgstate.open_transaction
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    with logins as materialized (
      select l.login, l.root from pgstate.login l where l.agent_id = p_agent_id or l.root
      union select d.login, false from pgstate.delegation d where d.agent_id = p_agent_id
    ), calling as materialized (
      select l.pid, max(l.virtualtransaction) as xact
        from pg_locks l
       where l.locktype = 'relation' and l.database = (select d.oid from pg_database d where d.datname = current_database())
         and l.relation in (select c.oid from pg_class c where c.relnamespace = 'pgstate'::regnamespace)
       group by l.pid
    )
    select s.pid, s.usename::text, null::text, k.xact
      from pg_stat_activity s join calling k on k.pid = s.pid
     where s.datname = current_database() and s.usename::text in (select l.login from logins l) and s.pid <> pg_backend_pid()
    union all
    -- of the role that was set when it was prepared, such as the one that all agents' logins are members of; who installed may be a member of
    -- the logins that it made, too
    select null, x.owner::text, x.gid, null
      from pg_prepared_xacts x join pg_roles o on o.rolname = x.owner
     where x.database = current_database()
       and exists (select from logins l join pg_roles r on r.rolname = l.login where r.oid = o.oid or pg_has_role(r.oid, o.oid, 'MEMBER') and not (r.rolsuper or l.root and o.rolcanlogin));
end
$$;
comment on function pgstate._open_transactions(int) is 'Internal: transactions of an agent that are not over.';

-- functions/quarantine/_who_changes_agents.sql
-- Sessions, and what is prepared, that have locked rows of agents or of their delegations: sessions and locks on tables are visible to everybody.
create function pgstate._who_changes_agents() returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select string_agg(distinct coalesce(format('pid %s (%s)', s.pid, s.usename), format('prepared %L (%s)', x.gid, x.owner)), ', ')
      from pg_locks k
      left join pg_stat_activity s on s.pid = k.pid
      left join pg_prepared_xacts x on x.database = current_database() and k.virtualtransaction = '-1/' || x.transaction
     where k.locktype = 'relation' and k.database = (select d.oid from pg_database d where d.datname = current_database())
       and k.relation in ('pgstate.agent'::regclass, 'pgstate.delegation'::regclass) and k.mode <> 'AccessShareLock' and k.granted and k.pid is distinct from pg_backend_pid());
end
$$;
comment on function pgstate._who_changes_agents() is 'Internal: names transactions that have changed what agents may.';

-- functions/quarantine/_raise_changing.sql
-- Whoever administers anything can keep the rows of an agent and of its delegations locked, by a grant in an open transaction: then
-- who does is told, to be ended.
create function pgstate._raise_changing(p_message text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  raise exception using errcode = 'lock_not_available', message = p_message,
    hint = coalesce('One of these has, or several: ask again, or end them (pg_terminate_backend): ' || pgstate._who_changes_agents(), 'Ask again.');
end
$$;
comment on function pgstate._raise_changing(text) is 'Internal: raises 55P03 and names transactions that have changed what agents may.';

-- functions/quarantine/_suspend.sql
-- The agent is locked first, as _fold_grants() does: a grant at the same time folds before or after, never without the mark.
-- The keys whose claims ended.
create function pgstate._suspend(p_actor pgstate._actor, p_agent text) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_id int;
  v_agent pgstate.agent;
  v_keys text[];
begin
  perform pgstate._check_admin(p_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  begin
    select a.* into v_agent from pgstate.agent a where a.id = v_id for no key update;
    -- what folding takes next: who drops a gateway locks these alone
    perform from pgstate.delegation d where d.agent_name = p_agent order by d.login for no key update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be suspended while a transaction has changed what it may', p_agent));
  end;
  if v_agent.root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be suspended';
  elsif v_agent.grouping then
    raise exception using errcode = 'PS007', message = 'a group cannot be suspended: it never acts', hint = 'Suspend its members, or revoke what it is granted.';
  elsif v_id = p_actor.id then
    raise exception using errcode = 'PS007', message = 'an agent cannot suspend itself: nobody might be left to resume it';
  end if;
  if v_agent.suspended_at is null then
    update pgstate.agent a set suspended_at = pgstate._now(), suspended_by = p_actor.name where a.id = v_id;
    perform pgstate._fold_grants(v_id);
    perform pgstate._audit(p_actor, 'suspend', null, jsonb_build_object('agent', p_agent));
  end if;
  perform pgstate._drop_watchers(v_id, null);
  v_keys := pgstate._end_claims(v_id, p_agent);
  return v_keys;
end
$$;
comment on function pgstate._suspend(pgstate._actor, text) is 'Internal: makes an agent nobody.';

-- functions/quarantine/_resume.sql
create function pgstate._resume(p_actor pgstate._actor, p_agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  perform from pgstate.agent a where a.id = v_id for no key update;
  update pgstate.agent a set suspended_at = null, suspended_by = null where a.id = v_id and a.suspended_at is not null;
  if found then
    perform pgstate._fold_grants(v_id);
    perform pgstate._audit(p_actor, 'resume', null, jsonb_build_object('agent', p_agent));
  end if;
end
$$;
comment on function pgstate._resume(pgstate._actor, text) is 'Internal: lets an agent act again.';

-- functions/quarantine/_written_since.sql
-- Versions that an agent wrote after a past state, and those of others that say that they derive from them, directly or by way of
-- others: sources are named by the writers, what derives from something and does not say so is not known. Whoever names a value
-- into which others have merged something names what it was before, too. Which comes from which is one list, to be joined: what is
-- looked up for each version takes as long as all of them together, times as many.
create function pgstate._written_since(p_agent text, p_moment pgstate._moment)
returns table (key text, version bigint, writer text, kind text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_nestloop = off
as $$
begin
  return query
    with recursive since as materialized (
      select v.key, v.version, v.writer, v.meta -> 'sources' as sources, v.op = 'merge' and not v.created as merged
        from pgstate.version v
       where (v.epoch > p_moment.epoch or v.epoch = p_moment.epoch and v.xid >= pg_snapshot_xmin(p_moment.base))
         and (v.writer = p_agent or v.meta ? 'sources' or v.op = 'merge')
         and not pgstate._seen(v.epoch, v.xid, v.seq, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after)
    ), step as materialized (
      select u.item ->> 'key' as source, (u.item ->> 'version')::bigint as source_version, s.key, s.version, false as merged
        from since s cross join lateral jsonb_array_elements(s.sources) u (item)
      union all
      select s.key, s.version - 1, s.key, s.version, true from since s where s.merged
    ), reached (key, version, merged) as (
      select s.key, s.version, false from since s where s.writer = p_agent
      union
      select s.key, s.version, s.merged from reached r join step s on s.source = r.key and s.source_version = r.version
    )
    select s.key, s.version, s.writer, e.kind::text
      from reached r join since s on s.key = r.key and s.version = r.version
      left join lateral (select x.kind from pgstate.entry x where x.key = s.key offset 0) e on true
     where not r.merged
     order by s.key, s.version;
end
$$;
comment on function pgstate._written_since(text, pgstate._moment) is 'Internal: what an agent wrote after a past state, and what derives from it.';

-- functions/quarantine/_keys_since.sql
-- Keys of values that an agent wrote after a past state, in their order, from a key on; and the last version of it at each. As many as
-- p_limit, and as have 64 MB of values, now and before, since whoever looks at them has them all in memory; the last row is the first
-- that is left.
create function pgstate._keys_since(p_agent text, p_moment pgstate._moment, p_after text, p_limit int)
returns table (key text, version bigint, beyond boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  v_key record;
  v_count int := 0;
  v_size bigint := 0;
begin
  for v_key in
    select w.key, w.last, pg_column_size(jsonb_build_array(e.value)) + coalesce(b.size, 0) as size
      from (
        select v.key, min(v.version) as first, max(v.version) as last
          from pgstate.version v
         where (v.epoch > p_moment.epoch or v.epoch = p_moment.epoch and v.xid >= pg_snapshot_xmin(p_moment.base))
           and v.writer = p_agent and v.key > p_after
           and not pgstate._seen(v.epoch, v.xid, v.seq, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after)
         group by v.key
         order by v.key) w
      cross join lateral (select x.value from pgstate.entry x where x.key = w.key and x.kind = 'value' offset 0) e
      left join lateral (
        -- of one that grows only what was merged last
        select case when x.reducer is null then pg_column_size(jsonb_build_array(x.value)) else (select i.value_limit from pgstate.install i) end as size
          from pgstate.version x where x.key = w.key and x.version = w.first - 1 offset 0) b on true
     order by w.key
  loop
    v_size := v_size + v_key.size;
    key := v_key.key;
    version := v_key.last;
    beyond := v_count = p_limit or v_count > 0 and v_size > 67108864;
    return next;
    exit when beyond;
    v_count := v_count + 1;
  end loop;
end
$$;
comment on function pgstate._keys_since(text, pgstate._moment, text, int) is 'Internal: keys of values that an agent wrote after a past state.';

-- functions/quarantine/_threads_since.sql
-- Threads that hold what an agent has laid down there since then and no version of them tells: forks with checkpoints of its, and writes of
-- tasks that it wrote, which are counted. There is no index for the latter: whoever asks this can wait, and whoever writes them cannot.
create function pgstate._threads_since(p_agent text, p_moment pgstate._moment) returns table (key text, pending_writes bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  return query
    select t.key::text, p.count
      from pgstate.thread t
      left join (select w.thread_id, count(*) from pgstate.pending_write w where w.writer = p_agent and w.written_at >= p_moment.at group by 1) p on p.thread_id = t.id
     where t.key is not null
       and (p.count is not null
            or t.forked_from is not null
               and exists (select from pgstate.checkpoint c where c.thread_id = t.id and c.writer = p_agent and c.created_at >= p_moment.at))
     order by t.key;
end
$$;
comment on function pgstate._threads_since(text, pgstate._moment) is 'Internal: threads that hold what an agent has laid down.';

-- functions/quarantine/_distrust.sql
-- What keys hold by an agent's writes, of which p_versions are the last, is trusted as what came from outside: a version with the same
-- value and that trust. Whose value somebody else has put anew since is not the agent's any more. Null versions where it is only shown.
create function pgstate._distrust(p_actor pgstate._actor, p_agent text, p_keys text[], p_versions bigint[], p_dry_run boolean)
returns table (key text, status text, version bigint, trust text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  v_key text;
  v_entry record;
  v_now timestamptz;
begin
  for v_key in
    select w.key
      from unnest(p_keys, p_versions) as w (key, version)
     where w.version >= coalesce((select max(v.version) from pgstate.version v
                                   where v.key = w.key and (v.op = 'put' and v.reducer is null or v.created) and v.writer <> p_agent), 0)
     order by w.key collate "C"
  loop
    -- one that a transaction keeps locked is told: the agent must not be able to hold this up
    select e.version, e.trust, e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) as live into v_entry
      from pgstate.entry e where e.key = v_key for no key update skip locked;
    v_now := pgstate._now();
    if found and (v_entry.live is not true or v_entry.trust = 'external') then
      continue;
    end if;
    key := v_key;
    version := v_entry.version;
    trust := v_entry.trust;
    status := case when v_entry.version is null then 'locked'
                   when exists (select from pgstate.claim c where c.key = v_key and c.lease_until > v_now) then 'held'
                   when p_dry_run then 'to do' else 'ok' end;
    if status = 'ok' then
      version := pgstate._write_trust(p_actor, v_key, 'external', jsonb_build_object(
        'quarantined', v_entry.version, 'quarantined_by', p_actor.name, 'writer', p_agent, 'from', v_entry.trust), v_now);
    end if;
    return next;
  end loop;
end
$$;
comment on function pgstate._distrust(pgstate._actor, text, text[], bigint[], boolean) is 'Internal: lowers the trust of what an agent wrote.';

-- functions/quota/_quotas.sql
create function pgstate._quotas(p_actor pgstate._actor) returns setof pgstate.quota_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, q.entries, q.bytes, q.writes_per_minute, (u.used).entries, (u.used).bytes, (u.used).writes, q.set_by, q.set_at
      from pgstate.quota q join pgstate.agent a on a.id = q.agent_id cross join lateral (select pgstate._usage_of(q.agent_id) as used offset 0) u
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name;
end
$$;
comment on function pgstate._quotas(pgstate._actor) is 'Internal: quotas that the caller may see.';

-- grants/lent.sql
-- The installing role makes harden() with this type, which is the owner's; execute.sql takes it from PUBLIC again.
grant usage on type pgstate.harden_step to public;

-- functions/admin/_harden_plan.sql
-- What harden() has to do, which makes roles and so runs as its caller. Reads what agents may not, so it asks for admin itself.
create function pgstate._harden_plan(p_gateway text, p_agents text[], p_logins boolean, p_prefix text, p_tickets boolean)
returns setof pgstate.harden_step
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_agents text[];
  v_agent text;
  v_login text;
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
  if (p_gateway is null) is distinct from p_logins then
    raise exception using errcode = 'PS007', message = 'name a gateway, or say logins => true: one login for many agents, or one for each';
  elsif p_tickets and p_gateway is null then
    raise exception using errcode = 'PS007', message = 'tickets are for a gateway: a login of its own is an agent''s name';
  elsif exists (select from pgstate.login l where l.login = p_gateway and not l.gateway) then
    raise exception using errcode = 'PS007', message = format('login %L is an agent''s', p_gateway), hint = 'A login is one agent''s or a gateway''s.';
  end if;
  v_agents := array(
    select distinct n collate "C" from unnest(coalesce(p_agents, array(
      -- readers are people, who have logins of their own
      select a.name from pgstate.agent a
       where not (a.root or a.grouping) and not exists (
         select from pgstate.login l join pg_roles r on r.rolname = l.login
          where l.agent_id = a.id and pg_has_role(r.oid, 'pgstate_reader', 'MEMBER'))))) n order by 1);
  if p_gateway is not null then
    return next row('create_role', null, p_gateway, exists (
      select from pg_roles r where r.rolname = p_gateway and pg_has_role(r.oid, 'pgstate_agent', 'MEMBER')), null)::pgstate.harden_step;
    return next row('create_gateway', null, p_gateway, exists (select from pgstate.login l where l.login = p_gateway), null)::pgstate.harden_step;
  end if;
  foreach v_agent in array v_agents loop
    return next row('create_agent', v_agent, null, exists (
      select from pgstate.agent a where a.name = v_agent and not a.grouping), null)::pgstate.harden_step;
    if p_gateway is null then
      v_login := coalesce((select min(l.login) from pgstate.login l join pgstate.agent a on a.id = l.agent_id where a.name = v_agent), p_prefix || v_agent);
      return next row('create_role', v_agent, v_login, exists (
        select from pg_roles r where r.rolname = v_login and pg_has_role(r.oid, 'pgstate_agent', 'MEMBER')), null)::pgstate.harden_step;
      return next row('set_login', v_agent, v_login, exists (
        select from pgstate.login l join pgstate.agent a on a.id = l.agent_id where a.name = v_agent and l.login = v_login), null)::pgstate.harden_step;
    else
      return next row('delegate', v_agent, p_gateway, exists (
        select from pgstate.delegation d join pgstate.agent a on a.id = d.agent_id where a.name = v_agent and d.login = p_gateway), null)::pgstate.harden_step;
    end if;
  end loop;
  if p_tickets then
    return next row('require_tickets', null, p_gateway, coalesce((
      select l.tickets from pgstate.login l where l.login = p_gateway), false), null)::pgstate.harden_step;
  end if;
  v_login := (select l.login from pgstate.login l where l.root order by 1 limit 1);
  return next row('note', null, v_login, null, 'This login installed pgstate, and acts as admin with all rights: connect applications as others.')::pgstate.harden_step;
  if current_setting('server_version_num')::int < 160000 then
    return next row('note', null, v_login, null, 'Before PostgreSQL 16 it inherits the owner''s rights on the tables, and any role with CREATEROLE can make itself the owner: have no other role with it.')::pgstate.harden_step;
  end if;
end
$$;
comment on function pgstate._harden_plan(text, text[], boolean, text, boolean) is 'Internal: the steps of harden(); state tells whether it is done already.';

-- functions/admin/_add_group.sql
create function pgstate._add_group(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_name is null or p_name !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' or p_name in ('.', '..', 'pgstate') then
    raise exception using errcode = 'PS007', message = format('invalid name of a group %L', pgstate._shown(p_name)),
      hint = 'A name is one key segment of 1 to 128 characters: A-Z a-z 0-9 . _ ~ : @ = + , % -';
  end if;
  insert into pgstate.agent (name, grouping) values (p_name, true) on conflict do nothing;
  if not found then
    raise exception using errcode = 'PS007', message = format('an agent or group %L exists already', p_name);
  elsif exists (select from pgstate.former_agent f where f.name = p_name) then
    raise exception using errcode = 'PS007', message = format('an agent %L was dropped', p_name), hint = 'The history has its name: choose another for the group.';
  end if;
  perform pgstate._audit(v_actor, 'create_group', null, jsonb_build_object('group', p_name));
end
$$;
comment on function pgstate._add_group(text) is 'Internal: registers a group of agents.';

-- functions/admin/_drop_group.sql
create function pgstate._drop_group(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_members int[];
begin
  perform pgstate._check_admin(v_actor, '**');
  -- who is adding a member, or granting to it, at the same time waits, and then finds no such group
  select a.id into v_id from pgstate.agent a where a.name = p_name and a.grouping for update;
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no group %L', pgstate._shown(p_name)), hint = 'pgstate.groups() lists them.';
  end if;
  -- and who drops a member, which it does before its memberships
  v_members := array(
    select a.id from pgstate.agent a where a.id in (select m.agent_id from pgstate.group_member m where m.group_id = v_id) order by a.id for no key update);
  delete from pgstate.agent a where a.id = v_id;
  perform pgstate._fold_grants(m) from unnest(v_members) m;
  perform pgstate._drop_watchers(m, null) from unnest(v_members) m;
  perform pgstate._audit(v_actor, 'drop_group', null, jsonb_build_object('group', p_name));
end
$$;
comment on function pgstate._drop_group(text) is 'Internal: removes a group, and what it was granted and denied.';

-- functions/admin/_set_member.sql
create function pgstate._set_member(p_group text, p_agent text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_group int;
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  -- a grant to the group at the same time comes before this or after it: see _fold_grants()
  update pgstate.agent a set grouping = true where a.name = p_group and a.grouping returning a.id into v_group;
  if v_group is null then
    raise exception using errcode = 'PS007', message = format('there is no group %L', pgstate._shown(p_group)), hint = 'create_group(name) makes one.';
  end if;
  v_id := pgstate._agent_id(p_agent);
  -- before its memberships, as who drops it
  perform from pgstate.agent a where a.id = v_id for no key update;
  if not found then
    perform pgstate._agent_id(p_agent);
  end if;
  if p_on and exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator is in no group: nothing could be denied to it';
  elsif p_on then
    insert into pgstate.group_member (group_id, agent_id, added_by) values (v_group, v_id, v_actor.name) on conflict do nothing;
  else
    delete from pgstate.group_member m where m.group_id = v_group and m.agent_id = v_id;
    if not found then
      raise exception using errcode = 'PS007', message = format('%s is not in group %s', p_agent, p_group);
    end if;
  end if;
  perform pgstate._fold_grants(v_id);
  -- who joins may be denied something, too
  perform pgstate._drop_watchers(v_id, null);
  perform pgstate._audit(v_actor, case when p_on then 'add_to_group' else 'remove_from_group' end, null, jsonb_build_object('group', p_group, 'agent', p_agent));
end
$$;
comment on function pgstate._set_member(text, text, boolean) is 'Internal: adds an agent to a group, or removes it.';

-- functions/admin/_groups.sql
create function pgstate._groups(p_actor pgstate._actor) returns setof pgstate.group_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_all boolean := coalesce((select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id), false);
begin
  return query
    select c.name, array(select a.name from pgstate.group_member m join pgstate.agent a on a.id = m.agent_id
                          where m.group_id = c.id and (v_all or a.id = p_actor.id) order by 1), c.created_at
      from pgstate.agent c
     where c.grouping and (v_all or exists (select from pgstate.group_member m where m.group_id = c.id and m.agent_id = p_actor.id))
     order by c.name;
end
$$;
comment on function pgstate._groups(pgstate._actor) is 'Internal: groups that the caller may see.';

-- functions/admin/_effective.sql
create function pgstate._effective(p_actor pgstate._actor, p_agent text) returns setof pgstate.effective_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_suspended boolean;
begin
  if p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, '**');
    v_id := pgstate._agent_id(p_agent);
  end if;
  v_suspended := (select a.suspended_at is not null from pgstate.agent a where a.id = v_id);
  return query
    with held as (
      select g.*, g.until <= pgstate._now() as ended, r.ranges,
             array_to_string(array(select case s when '{agent}' then g.agent else s end
                                     from unnest(string_to_array(g.subtree, '/')) with ordinality as t (s, n) order by n), '/') as own
        from pgstate._grants_of(v_id) g cross join lateral (select pgstate._subtree_ranges(g.subtree, g.agent) as ranges) r
    ), denied as (
      select h."right", range_agg(u) as ranges from held h, unnest(h.ranges) u where h.deny and h.ended is not true group by 1
    )
    select h."right", h.own, h.deny,
           case when h.ended then 'ended' when v_suspended then 'suspended' when h.deny or d.ranges is null or not d.ranges && h.ranges then 'in force'
                when d.ranges @> h.ranges then 'denied' else 'partly denied' end,
           h.through, h.until, h.granted_by, h.granted_at
      from held h left join denied d on d."right" = h."right"
     order by array_position(array['read', 'write', 'admin'], h."right"), h.own collate "C", h.deny, h.through nulls first;
end
$$;
comment on function pgstate._effective(pgstate._actor, text) is 'Internal: what an agent may, and where it comes from.';

-- functions/admin/_explain_access.sql
create function pgstate._explain_access(p_actor pgstate._actor, p_agent text, p_key text, p_right text) returns setof pgstate.access_reason
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_suspended pgstate.agent;
begin
  if not pgstate._key_ok(p_key) then
    perform pgstate._bad_key(p_key);
  elsif p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  elsif p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, p_key);
    v_id := pgstate._agent_id(p_agent);
  end if;
  select a.* into v_suspended from pgstate.agent a where a.id = v_id and a.suspended_at is not null;
  if v_suspended.id is not null then
    -- as a denial of everything
    return next row(false, true, '**', true, null, null, v_suspended.suspended_by, v_suspended.suspended_at)::pgstate.access_reason;
  end if;
  return query
    with covering as (
      select g.*, row_number() over (order by g.deny desc, octet_length(g.subtree) desc, g.subtree !~ E'\\*$' desc, g.through nulls first) as rank
        from pgstate._grants_of(v_id) g
       where g."right" = p_right and (g.until is null or g.until > pgstate._now()) and pgstate._subtree_ranges(g.subtree, g.agent) @> p_key
    )
    select v_suspended.id is null and not bool_or(c.deny) over (), v_suspended.id is null and c.rank = 1, c.subtree, c.deny, c.through, c.until, c.granted_by, c.granted_at from covering c order by c.rank;
  if not found and v_suspended.id is null then
    return next row(false, true, null, null, null, null, null, null)::pgstate.access_reason;
  end if;
end
$$;
comment on function pgstate._explain_access(pgstate._actor, text, text, text) is 'Internal: the grants and denials that cover a key.';

-- functions/admin/_grant.sql
create function pgstate._grant(
  p_agent text, p_subtree text, p_right text, p_on boolean, p_deny boolean default false, p_ttl interval default null, p_until timestamptz default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_until timestamptz := coalesce(p_until, case when pgstate._span_ok(p_ttl) then pgstate._now() + p_ttl end);
begin
  if p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  elsif p_deny is null or num_nonnulls(p_ttl, p_until) = 2 or not pgstate._span_ok(p_ttl) or v_until not between pgstate._now() and '9999-12-01' then
    raise exception using errcode = 'PS007', message = 'a grant ends after ttl, which is positive and at most 100 years, or until a time to come, or never';
  end if;
  -- who is denied admin somewhere no more administers all that is above: that is for those who administer everything
  perform pgstate._check_admin(v_actor, case when p_deny and p_on and p_right = 'admin' then '**' else p_subtree end);
  v_id := pgstate._agent_id(p_agent, true);
  -- before its rights, as who drops it
  perform from pgstate.agent a where a.id = v_id for no key update;
  if not found then
    perform pgstate._agent_id(p_agent, true);
  end if;
  perform pgstate._subtree_ranges(p_subtree, p_agent);
  if (p_deny or not p_on) and exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator''s own rights cannot be revoked';
  elsif p_on then
    perform pgstate._refuse_secrets(v_actor, p_subtree, p_subtree);
    perform pgstate._check_room(v_actor, (
      select count(*) from pgstate.access_grant g
       where g.agent_id = v_id and g.granted_by = v_actor.name and (g.subtree, g."right", g.deny) <> (p_subtree, p_right, p_deny)), 1000, format('rights of %s', p_agent));
    insert into pgstate.access_grant as g (agent_id, subtree, "right", deny, until, granted_by) values (v_id, p_subtree, p_right, p_deny, v_until, v_actor.name)
        on conflict on constraint access_grant_pkey do update set until = excluded.until, granted_by = excluded.granted_by, granted_at = excluded.granted_at
     where g.until is distinct from excluded.until;
  else
    delete from pgstate.access_grant g where g.agent_id = v_id and g.subtree = p_subtree and g."right" = p_right and g.deny = p_deny;
    if not found then
      -- a misspelt subtree must not pass for a right taken away
      raise exception using errcode = 'PS007', message = format('%s has no %s of %s on %s', p_agent, case when p_deny then 'denial' else 'grant' end, p_right, p_subtree),
        hint = 'Revoke exactly what was granted: pgstate.grants() lists it.';
    end if;
  end if;
  -- before the watches: who is added to the group meanwhile waits for its row
  perform pgstate._fold_grants(v_id);
  if p_deny = p_on or v_until is not null then
    -- it reaches less now, or will
    perform pgstate._drop_watchers(v_id, null);
    perform pgstate._drop_watchers(m.agent_id, null) from pgstate.group_member m where m.group_id = v_id;
  end if;
  perform pgstate._audit(v_actor, case when p_on then case when p_deny then 'deny' else 'grant' end else 'revoke' end, p_subtree,
                         jsonb_build_object('agent', p_agent, 'right', p_right, 'deny', nullif(p_deny and not p_on, false), 'until', v_until));
end
$$;
comment on function pgstate._grant(text, text, text, boolean, boolean, interval, timestamptz) is 'Internal: grants or denies a right, or takes that back.';

-- functions/admin/_grants.sql
create function pgstate._grants(p_actor pgstate._actor) returns setof pgstate.grant_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.subtree, g."right", g.granted_by, g.granted_at, g.deny, g.until
      from pgstate.access_grant g join pgstate.agent a on a.id = g.agent_id
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name, g.subtree, g."right";
end
$$;
comment on function pgstate._grants(pgstate._actor) is 'Internal: grants that the caller may see.';

-- functions/admin/_set_login.sql
create function pgstate._set_login(p_agent text, p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if (select a.root from pgstate.agent a where a.id = v_id for no key update) then
    raise exception using errcode = 'PS007', message = 'the administrator''s login is the role that installed';
  end if;
  if p_login is not null then
    insert into pgstate.login (login, agent_id) values (p_login, v_id) on conflict do nothing;
    if not exists (select from pgstate.login l where l.login = p_login and l.agent_id = v_id) then
      raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
        hint = 'A login is one agent''s or a gateway''s.';
    end if;
  end if;
  perform pgstate._drop_watchers(v_id, l.login) from pgstate.login l where l.agent_id = v_id and l.login is distinct from p_login;
  delete from pgstate.login l where l.agent_id = v_id and l.login is distinct from p_login;
  -- the new login's copy of the reach
  perform pgstate._fold_grants(v_id);
  perform pgstate._audit(v_actor, 'set_login', null, jsonb_build_object('agent', p_agent, 'login', p_login));
end
$$;
comment on function pgstate._set_login(text, text) is 'Internal: makes a login an agent''s only one.';

-- functions/values/_lane_begin.sql
-- A write happens once, for lanes: the row is locked before anything else, so that a statement sent again waits for the
-- first one, whose reply was lost. Returns the stored outcome when this turn was done, else null.
create function pgstate._lane_begin(p_actor pgstate._actor, p_lane uuid, p_turn bigint) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_lane record;
begin
  for v_try in 1 .. 3 loop
    select l.agent_id, l.turn, l.outcome into v_lane from pgstate.lane l where l.lane = p_lane for update;
    exit when found;
    -- the agent's own that were last used a day ago have no statement left to send again; all are looked at for it, so not each
    -- time. Not those of others: who keeps its transaction open would hold up their next writes
    if random() < 0.05 then
      -- locked ones are in use, and nobody may be held up by who keeps one so
      delete from pgstate.lane l
       where l.lane in (select x.lane from pgstate.lane x where x.agent_id = p_actor.id and x.at < pgstate._now() - interval '1 day' for update skip locked);
    end if;
    insert into pgstate.lane (lane, agent_id, turn) values (p_lane, p_actor.id, 0) on conflict do nothing;
    if found and p_actor.quota then
      perform pgstate._charge(1);
    end if;
  end loop;
  if v_lane.agent_id <> p_actor.id or p_turn is null or p_turn < greatest(v_lane.turn, 1) then
    raise exception using errcode = 'PS031', message = 'lane out of step',
      hint = 'A lane belongs to one agent, has one statement in flight, and its turns rise from 1.';
  end if;
  return case when p_turn = v_lane.turn then v_lane.outcome end;
end
$$;
comment on function pgstate._lane_begin(pgstate._actor, uuid, bigint) is 'Internal: locks a lane; the stored outcome when this turn was done before.';

-- functions/values/_lane_drop.sql
create function pgstate._lane_drop(p_actor pgstate._actor, p_lane uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.lane l where l.lane = p_lane and l.agent_id = p_actor.id;
end
$$;
comment on function pgstate._lane_drop(pgstate._actor, uuid) is 'Internal: forgets a lane of the caller''s.';

-- functions/values/_lane_end.sql
-- Returns true, so that it can be assigned: PERFORM would run it as a query.
create function pgstate._lane_end(p_lane uuid, p_turn bigint, p_outcome jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.lane l set turn = p_turn, outcome = p_outcome, at = pgstate._now() where l.lane = p_lane;
  return true;
end
$$;
comment on function pgstate._lane_end(uuid, bigint, jsonb) is 'Internal: stores a lane''s outcome.';

-- functions/values/_finish.sql
-- End of a write: stores the lane's outcome and whom to wake, and tells whether there is anybody. The keys are those that were
-- written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
--
-- p_alone: they are notified here, and the answer is null, if nobody else in the cluster is writing: the lock that NOTIFY
-- holds while its transaction commits is in nobody's way then.
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[], p_alone boolean, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[];
begin
  -- setting up the search takes longer than finding that there is nobody at all
  if p_keys is not null and exists (select from pgstate.watcher) then
    v_channels := pgstate._watching(p_keys, p_now);
  end if;
  if p_lane is not null then
    update pgstate.lane l
       set turn = p_turn, outcome = p_outcome, at = p_now,
           -- few: the row is written with every statement
           channels = case when cardinality(v_channels) <= 8 then v_channels end
     where l.lane = p_lane;
  end if;
  -- nobody older than this transaction, and nobody younger who is done; one who is younger and under way sees this one
  if v_channels is not null and p_alone
     and pg_current_snapshot()::text = pg_current_xact_id() || ':' || pg_current_xact_id() || ':' and pgstate._notify(v_channels) then
    return null;
  end if;
  return case when p_keys is not null then v_channels is not null end;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[], boolean, timestamptz) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';

-- functions/values/_span_told.sql
-- How a request tells of an interval, whatever the style of the session: the same request is sent again from another.
create function pgstate._span_told(p_span interval) returns text
language plpgsql stable strict set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres'
as $$
begin
  return p_span::text;
end
$$;
comment on function pgstate._span_told(interval) is 'Internal: an interval as text that no setting changes.';

-- functions/values/_time_told.sql
-- As _span_told(), of a time.
create function pgstate._time_told(p_at timestamptz) returns text
language plpgsql stable strict set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
begin
  return to_jsonb(p_at) #>> '{}';
end
$$;
comment on function pgstate._time_told(timestamptz) is 'Internal: a time as text that no setting changes.';

-- functions/values/_op_name.sql
-- An op_id may be anything that its caller has at hand, such as an address with a password in it. Nobody reads it again: one that holds a
-- secret is kept as its hash.
create function pgstate._op_name(p_op_id text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return case when octet_length(p_op_id) between 1 and 256 and pgstate._secret_rule(p_op_id) is not null
              then 'sha256:' || encode(sha256(convert_to(p_op_id, 'UTF8')), 'hex') else p_op_id end;
end
$$;
comment on function pgstate._op_name(text) is 'Internal: an op_id as it is kept.';

-- functions/values/_op_begin.sql
-- A write happens once, for op_ids: inserted in order before any key is locked. Returns for each row 'new', 'replay' or
-- 'reused' (another request under the same id), 'known' (to be looked at by _op_known()) or 'invalid' (1 to 256 bytes). A
-- second insert of an id waits for the first one's transaction.
create function pgstate._op_begin(p_actor pgstate._actor, p_op_ids text[], p_requests text[]) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_states text[];
  v_added int;
begin
  with request as materialized (
    select pgstate._op_name(i.op_id) as op_id, sha256(convert_to(i.request, 'UTF8')) as hash, i.ord
      from unnest(p_op_ids, p_requests) with ordinality as i (op_id, request, ord)
  ), added as (
    insert into pgstate.op (agent_id, op_id, request_hash, at)
    select p_actor.id, f.op_id, f.hash, pgstate._now()
      from (select distinct on (r.op_id collate "C") r.op_id, r.hash from request r where octet_length(r.op_id) between 1 and 256
             order by r.op_id collate "C", r.ord) f
        on conflict do nothing
    returning op_id
  ), first as (
    select distinct on (r.op_id collate "C") r.op_id, r.ord, r.hash from request r where r.op_id is not null
     order by r.op_id collate "C", r.ord
  )
  select array_agg(case when r.op_id is null then 'new'
                        when octet_length(r.op_id) not between 1 and 256 then 'invalid'
                        when a.op_id is not null and f.ord = r.ord then 'new'
                        when a.op_id is not null then case when f.hash = r.hash then 'replay' else 'reused' end
                        else 'known' end order by r.ord), (select count(*) from added)
    into v_states, v_added
    from request r left join added a on a.op_id = r.op_id left join first f on f.op_id = r.op_id;
  if p_actor.quota and v_added > 0 then
    -- what has no effect is remembered as well
    perform pgstate._charge(v_added);
  end if;
  return v_states;
end
$$;
comment on function pgstate._op_begin(pgstate._actor, text[], text[]) is 'Internal: takes the rows'' op_ids.';

-- functions/values/_op_end.sql
create function pgstate._op_end(p_actor pgstate._actor, p_op_id text, p_outcome jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_outcome is null then
    -- refused: nothing was done, and a corrected request may use the id
    delete from pgstate.op o where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id);
  else
    update pgstate.op o set outcome = p_outcome where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id);
  end if;
end
$$;
comment on function pgstate._op_end(pgstate._actor, text, jsonb) is 'Internal: stores the outcome of an op_id.';

-- functions/values/_op_known.sql
-- A statement of its own, because one that waited for another's insert does not see it.
create function pgstate._op_known(p_actor pgstate._actor, p_op_ids text[], p_requests text[], p_states text[]) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select array_agg(case when i.state <> 'known' then i.state
                          when o.request_hash = sha256(convert_to(i.request, 'UTF8')) then 'replay'
                          else 'reused' end order by i.ord)
      from unnest(p_op_ids, p_requests, p_states) with ordinality as i (op_id, request, state, ord)
      left join pgstate.op o on o.agent_id = p_actor.id and o.op_id = pgstate._op_name(i.op_id));
end
$$;
comment on function pgstate._op_known(pgstate._actor, text[], text[], text[]) is 'Internal: tells replays from reused op_ids.';

-- functions/values/_op_outcome.sql
create function pgstate._op_outcome(p_actor pgstate._actor, p_op_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select o.outcome from pgstate.op o where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id));
end
$$;
comment on function pgstate._op_outcome(pgstate._actor, text) is 'Internal: the stored outcome of an op_id.';

-- functions/values/_op_first.sql
-- _op_begin() for a call that is one request: its first outcome, or null when it is to be done now. PS007 PS030.
create function pgstate._op_first(p_actor pgstate._actor, p_op_id text, p_request text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_states text[] := pgstate._op_begin(p_actor, array[p_op_id], array[p_request]);
begin
  if v_states = array['known'] then
    v_states := pgstate._op_known(p_actor, array[p_op_id], array[p_request], v_states);
  end if;
  if v_states = array['invalid'] then
    perform pgstate._raise('PS007', null);
  elsif v_states = array['reused'] then
    perform pgstate._raise('PS030', null);
  end if;
  return case when v_states = array['replay'] then pgstate._op_outcome(p_actor, p_op_id) end;
end
$$;
comment on function pgstate._op_first(pgstate._actor, text, text) is 'Internal: takes an op_id, or returns what was done under it.';

-- functions/search/_path_steps.sql
-- A path into a value: names joined by dots, each perhaps with [3] or [*] behind; a backslash takes the next character
-- literally (a\.b is one name). $ is the value itself. Steps are names as JSON strings, [3] and [*]: as a jsonpath has them.
create function pgstate._path_steps(p_path text) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_steps text[] := '{}';
  v_token text;
begin
  if p_path = '$' then
    return v_steps;
  elsif p_path !~ E'^(?:[^].[\\\\]|\\\\.)+(?:\\[(?:\\*|[0-9]{1,6})\\])*(?:\\.(?:[^].[\\\\]|\\\\.)+(?:\\[(?:\\*|[0-9]{1,6})\\])*)*$' or octet_length(p_path) > 1024
        or p_path is null then
    raise exception using errcode = 'PS007', message = format('invalid path %L', pgstate._shown(p_path)),
      hint = E'A path is names joined by dots, such as author.name, tags[0] or items[*].text; \\. is a dot within a name, $ the value itself.';
  end if;
  for v_token in select (regexp_matches(p_path, E'\\[[*0-9]+\\]|(?:[^].[\\\\]|\\\\.)+', 'g'))[1] loop
    v_steps := v_steps || case when v_token like '[%' then regexp_replace(v_token, '^.0+([0-9])', E'[\\1')
                               else '.' || to_json(regexp_replace(v_token, E'\\\\(.)', E'\\1', 'g'))::text end;
  end loop;
  if cardinality(v_steps) > 32 then
    raise exception using errcode = 'PS007', message = 'a path has 32 steps at most';
  end if;
  return v_steps;
end
$$;
comment on function pgstate._path_steps(text) is 'Internal: steps of a path into a value. PS007.';

-- functions/search/_fields_of.sql
-- What paths select from a value, as one jsonb array, strings of a value that is wanted whole included.
create function pgstate._fields_of(p_value jsonb, p_fields text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_found jsonb := '[]';
  v_field text;
begin
  if p_fields = array['$'] then
    return jsonb_build_array(p_value);
  end if;
  foreach v_field in array p_fields loop
    v_found := v_found || jsonb_path_query_array(p_value, ('strict $' || array_to_string(pgstate._path_steps(v_field), ''))::jsonpath, '{}', true);
  end loop;
  return v_found;
end
$$;
comment on function pgstate._fields_of(jsonb, text[]) is 'Internal: what paths select from a value.';

-- functions/search/_config.sql
-- A text search configuration by its name. One that is gone since must not keep anybody from writing.
create function pgstate._config(p_config text) returns regconfig
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return p_config::regconfig;
exception when undefined_object or invalid_schema_name or insufficient_privilege then
  return 'pg_catalog.simple'::regconfig;
end
$$;
comment on function pgstate._config(text) is 'Internal: a text search configuration, simple when it does not exist.';

-- functions/search/_words.sql
-- The words of a value: of its strings and numbers, not of the names of its fields. A tsvector holds 1 MB, a value may have
-- more words: then its beginning is what can be found.
create function pgstate._words(p_config text, p_fields text[], p_value jsonb) returns tsvector
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  v_config regconfig := pgstate._config(p_config);
  v_text jsonb := pgstate._fields_of(p_value, p_fields);
begin
  return jsonb_to_tsvector(v_config, v_text, '["string", "numeric"]');
exception when program_limit_exceeded then
  return to_tsvector(v_config, left(v_text::text, 65536));
end
$$;
comment on function pgstate._words(text, text[], jsonb) is 'Internal: the words of a value, as search finds them.';

-- functions/search/_mark_of.sql
-- What the words of a directory are marked with in the index of a rule. With the rule's salt, so that nobody can find a name of
-- a directory that has the mark of another.
create function pgstate._mark_of(p_salt text, p_dir text) returns text
language sql immutable
as $$
  select pg_catalog.left(pg_catalog.md5(p_salt || p_dir), 8)
$$;
comment on function pgstate._mark_of(text, text) is 'Internal: the mark of a directory in the index for search.';

-- functions/search/_scoped.sql
-- Words marked with the directories above a key, from the rule's own subtree down. Of a value with too many for that, one
-- mark says for each directory that it has to be looked at.
create function pgstate._scoped(p_words tsvector, p_salt text, p_subtree text, p_key text) returns tsvector
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_root text := case when p_subtree = '**' then '' else regexp_replace(p_subtree, E'/\\*\\*$', '') end;
  v_marks text[] := array[pgstate._mark_of(p_salt, v_root)];
  v_dir text := p_key;
begin
  loop
    exit when strpos(v_dir, '/') = 0;
    v_dir := left(v_dir, -strpos(reverse(v_dir), '/'));
    exit when length(v_dir) <= length(v_root);
    v_marks := v_marks || pgstate._mark_of(p_salt, v_dir);
  end loop;
  -- a tsvector has room for 1 MB, and for words of 2047 bytes; array_to_tsvector() does not look
  if length(p_words) * cardinality(v_marks) > 20000 or (pg_column_size(p_words) + 8 * length(p_words)) * cardinality(v_marks) > 1000000
     or exists (select from unnest(tsvector_to_array(p_words)) w where octet_length(w) > 2039) then
    return array_to_tsvector(v_marks);
  end if;
  return array_to_tsvector(array(select m || w from unnest(v_marks) m, unnest(tsvector_to_array(p_words)) w));
end
$$;
comment on function pgstate._scoped(tsvector, text, text, text) is 'Internal: words marked with the directories above a key.';

-- functions/search/_scoped_query.sql
-- A query for the words of one directory, whose matches are more than those of the query: what must not occur is left out, and
-- neighbours need only both occur. querytree() leaves out the first; in what it writes every word stands in quotes. Null when
-- no word is certain to occur, or one is too long to be marked.
create function pgstate._scoped_query(p_query tsquery, p_mark text) returns tsquery
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_tree text := querytree(p_query);
  v_text text := '';
  v_token text;
begin
  if v_tree in ('', 'T') then
    return null;
  end if;
  for v_token in select (regexp_matches(v_tree, $re$'(?:[^'\\]|''|\\.)*'|<(?:-|[0-9]+)>|[^'<]+$re$, 'g'))[1] loop
    v_text := v_text || case when v_token like '''%' then '''' || p_mark || substr(v_token, 2) when v_token like '<%' then '&' else v_token end;
  end loop;
  return (format('(%s) | %L', v_text, p_mark))::tsquery;
exception when program_limit_exceeded then
  return null;
end
$$;
comment on function pgstate._scoped_query(tsquery, text) is 'Internal: a query for the marked words of a directory, of which the query''s matches are a part.';

-- functions/search/_texts_of.sql
-- What is embedded of a value, a text each: strings as they are, anything else as JSON. Null for nothing.
create function pgstate._texts_of(p_value jsonb, p_fields text[]) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(case jsonb_typeof(x.item) when 'string' then x.item #>> '{}' else x.item::text end order by x.ord)
      from jsonb_array_elements(pgstate._fields_of(p_value, p_fields)) with ordinality as x (item, ord)
     where x.item not in ('null', '""'));
end
$$;
comment on function pgstate._texts_of(jsonb, text[]) is 'Internal: the texts of a value that get a vector.';

-- functions/search/_rule_of.sql
create function pgstate._rule_of(p_key text) returns pgstate.search_rule
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_rule pgstate.search_rule;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select r.* into v_rule from pgstate.search_rule r where r.subtree = any (v_subtrees) order by r.nearness desc limit 1;
  return v_rule;
end
$$;
comment on function pgstate._rule_of(text) is 'Internal: the rule for search that decides for a key.';

-- functions/search/_held_value.sql
-- As _grown(), of which row-level security would hide operands from who writes or indexes for others.
create function pgstate._held_value(p_entry pgstate.entry) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_reducers text[];
  v_operands jsonb[];
begin
  if (p_entry.full_version < p_entry.version) is not true then
    return p_entry.value;
  end if;
  select array_agg(t.reducer), array_agg(t.value) into v_reducers, v_operands
    from (select v.reducer, v.value from pgstate.version v
           where v.key = p_entry.key and v.version > p_entry.full_version and v.version <= p_entry.version order by v.version) t;
  return pgstate._fold(p_entry.value, v_reducers, v_operands);
end
$$;
comment on function pgstate._held_value(pgstate.entry) is 'Internal: the value of an entry, with operands behind its full value folded in.';

-- functions/search/_index_keys.sql
-- Brings the index for search to what these keys hold now: called with every write, in its transaction, and when the index is
-- built. A document of a newer version stays: whoever builds reads without locking and may be late.
create function pgstate._index_keys(p_keys text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_key text;
  v_entry pgstate.entry;
  v_value jsonb;
  v_rule pgstate.search_rule;
  v_doc record;
  v_words tsvector;
  v_texts text[];
  v_digest bytea;
  -- until that has come to a key there may be vectors of it that no document tells of, and documents of vectors that are gone
  v_building boolean := exists (select from pgstate.search_build);
  v_mine boolean;
begin
  foreach v_key in array p_keys loop
    v_rule := pgstate._rule_of(v_key);
    select d.rule_id, d.version, d.digest into v_doc from pgstate.search_doc d where d.key = v_key;
    continue when v_rule.id is null and v_doc.version is null and not v_building;
    if v_rule.fields = '{}' and v_rule.vector_fields = '{}' then
      -- nothing is indexed: what another rule has left goes, and what writers have given meanwhile stays
      delete from pgstate.search_doc d where d.key = v_key and d.rule_id = v_doc.rule_id and d.version = v_doc.version;
      continue when not found;
      delete from pgstate.embedding_wanted w where w.key = v_key;
      delete from pgstate.embedding m where m.key = v_key and m.digest <> '';
      continue;
    elsif v_rule.id is not null then
      select e.* into v_entry from pgstate.entry e where e.key = v_key;
      continue when v_doc.rule_id = v_rule.id and v_doc.version >= v_entry.version;
    end if;
    if v_rule.id is null or v_entry.value is null then
      -- the one that was looked at: there may be another by now
      delete from pgstate.search_doc d where d.key = v_key and d.rule_id = v_doc.rule_id and d.version = v_doc.version;
      v_mine := found;
      continue when not v_mine and not v_building;
      delete from pgstate.embedding_wanted w where v_mine and w.key = v_key;
      delete from pgstate.embedding m
       where m.key = v_key and (v_mine or not exists (select from pgstate.search_doc d where d.key = v_key))
         and not (select i.given @> v_key from pgstate.install i);
      continue;
    end if;
    v_value := pgstate._held_value(v_entry);
    v_words := pgstate._words(v_rule.config, v_rule.fields, v_value);
    v_texts := case when v_rule.vectors is not null then pgstate._texts_of(v_value, v_rule.vector_fields) end;
    v_digest := case when v_texts is not null then sha256(convert_to(v_rule.vectors || to_json(v_texts)::text, 'UTF8')) end;
    insert into pgstate.search_doc as d (key, rule_id, version, words, scoped, digest)
    values (v_key, v_rule.id, v_entry.version, v_words, pgstate._scoped(v_words, v_rule.salt, v_rule.subtree, v_key), v_digest)
        on conflict on constraint search_doc_pkey do update
       set rule_id = excluded.rule_id, version = excluded.version, words = excluded.words, scoped = excluded.scoped, digest = excluded.digest
     where d.rule_id <> excluded.rule_id or d.version < excluded.version;
    continue when not found;
    if cardinality(v_rule.vector_fields) = 0 and (v_doc.version is not null or v_building) then
      -- the writer gives the vectors: those of this version come next
      delete from pgstate.embedding_wanted w where w.key = v_key;
    else
      continue when v_digest is not distinct from v_doc.digest and (
        not v_building
        or exists (select from pgstate.embedding_wanted w where w.key = v_key and w.digest = v_digest)
        or exists (select from pgstate.embedding m where m.key = v_key and m.digest = v_digest));
      -- first what set_vectors() locks, so that what it has stored meanwhile is seen below
      if v_digest is null then
        delete from pgstate.embedding_wanted w where w.key = v_key;
      else
        insert into pgstate.embedding_wanted as w (key, digest) values (v_key, v_digest)
            on conflict on constraint embedding_wanted_pkey do update set digest = excluded.digest;
      end if;
    end if;
    -- not where writers have been left to give them meanwhile, who look at no document
    delete from pgstate.embedding m where m.key = v_key and not (select i.given @> v_key from pgstate.install i);
  end loop;
end
$$;
comment on function pgstate._index_keys(text[]) is 'Internal: indexes what keys hold now for search.';

-- functions/search/_on_version_search.sql
-- Made a trigger by _follow_writes() while there are rules for search: its transition table costs every write 25 us.
create function pgstate._on_version_search() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_keys text[];
  v_old boolean;
  -- the vectors come in this statement: those that stay as they are need no new place in the index
  v_follow boolean := current_setting('pgstate.vectors', true) is not distinct from 'follow';
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- a snapshot from before the rules changed does not show them: then this is a serialization failure
    perform from pgstate.install for share;
  end if;
  -- where writers give the vectors, those of the version before go, and there is nothing to index. Most have none, and to set deleting
  -- up costs more than to look. (Not by exists(), for which the planner may look at all of them)
  select array_agg(w.key) filter (where not i.given @> w.key),
         bool_or(not v_follow and i.given @> w.key and (select true from pgstate.embedding m where m.key = w.key limit 1))
    into v_keys, v_old
    from written w cross join (select x.given + '{}' as given from pgstate.install x offset 0) i;
  if v_old then
    delete from pgstate.embedding m
     where m.key = any (array(select w.key from written w, pgstate.install i where i.given @> w.key));
  end if;
  if v_keys is not null then
    perform pgstate._index_keys(array(select distinct k collate "C" as key from unnest(v_keys) k order by key));
  end if;
  return null;
end
$$;
comment on function pgstate._on_version_search() is 'Internal: indexes for search what a statement wrote.';

-- functions/search/_follow_writes.sql
-- Writes pay for search only where there are rules; when the last has gone, the trigger goes if nobody is in the way. The
-- lock waits for transactions that have written, and holds up those that want to: not for long while it waits, but until the
-- caller's transaction ends once it has it. So it is taken for those alone who administer everything.
create function pgstate._follow_writes() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set lock_timeout = '2s'
as $$
declare
  v_followed boolean := exists (select from pg_trigger t where t.tgname = 'version_search' and t.tgrelid = 'pgstate.version'::regclass);
begin
  if v_followed = exists (select from pgstate.search_rule) then
    return;
  elsif not v_followed then
    create trigger version_search after insert on pgstate.version referencing new table as written
      for each statement execute function pgstate._on_version_search();
  else
    perform set_config('lock_timeout', '50ms', true);
    drop trigger version_search on pgstate.version;
  end if;
exception when lock_not_available then
  -- a trigger that finds no rule does no harm
  if not exists (select from pgstate.search_rule) then
    return;
  end if;
  raise exception using errcode = '55P03', message = 'a transaction that has written is still open: search cannot begin to follow writes',
    hint = 'Try again when it has ended (pg_stat_activity shows it).';
end
$$;
comment on function pgstate._follow_writes() is 'Internal: makes the trigger that indexes writes, once there are rules for search.';

-- functions/search/_rules_changed.sql
create function pgstate._rules_changed(p_subtree text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rule record;
  v_given pgstate.keymultirange := '{}';
begin
  -- of rules that lie within each other the nearest decides
  for v_rule in
    select r.ranges, r.fields = '{}' and r.vector_fields = '{}' as gives from pgstate.search_rule r order by r.nearness
  loop
    v_given := case when v_rule.gives then v_given + v_rule.ranges else v_given - v_rule.ranges end;
  end loop;
  -- transactions with an older snapshot see that this row has changed, if not the rules: see _on_version_search()
  update pgstate.install i set given = v_given;
  insert into pgstate.search_build (subtree, asked_at) values (p_subtree, pgstate._now())
      on conflict on constraint search_build_pkey do update set after = '', barrier = null, asked_at = excluded.asked_at;
end
$$;
comment on function pgstate._rules_changed(text) is 'Internal: what follows from a change of a rule for search.';

-- functions/search/_forget_given.sql
-- Vectors that writers gave go with their rule: they have no digest, by which whatever comes next would know them. It may be the rule
-- of a larger subtree, of which this one is taken out; where nearer rules decide they stay.
create function pgstate._forget_given(p_subtree text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_subtree);
begin
  -- first what _rules_changed() updates: transactions that hold it may be about to write what is removed here
  perform from pgstate.install for no key update;
  if (select r.vector_fields = '{}' from pgstate.search_rule r where r.ranges @> v_ranges order by r.nearness desc limit 1) then
    delete from pgstate.embedding m
     using (select x.low, x.high
              from pgstate._spans(v_ranges - coalesce((
                     select range_agg(n.ranges) from pgstate.search_rule n where n.subtree <> p_subtree and v_ranges @> n.ranges), '{}')) x offset 0) s
     where m.key >= s.low and m.key < s.high and m.digest = '';
  end if;
end
$$;
comment on function pgstate._forget_given(text) is 'Internal: removes the vectors that writers gave where a rule changes.';

-- functions/search/_set_search.sql
create function pgstate._set_search(
  p_actor pgstate._actor, p_subtree text, p_fields text[], p_config text, p_vectors text, p_vector_fields text[]
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_field text;
  v_same boolean;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'What is indexed is about keys, whoever writes them: {agent} has no meaning in it.';
  elsif greatest(cardinality(p_fields), cardinality(p_vector_fields)) > 32 or greatest(array_ndims(p_fields), array_ndims(p_vector_fields)) > 1 then
    raise exception using errcode = 'PS007', message = 'fields are 32 at most, in an array of one dimension';
  elsif p_vector_fields is not null and p_vectors is null then
    raise exception using errcode = 'PS007', message = 'vector_fields are for vectors: name a vector index', hint = 'create_vectors(name, dims, model) makes one.';
  end if;
  perform pgstate._refuse_secrets(p_actor, p_subtree, concat_ws(' ', p_subtree, array_to_string(p_fields, ' '), array_to_string(p_vector_fields, ' ')));
  foreach v_field in array p_fields || p_vector_fields loop
    perform pgstate._path_steps(v_field);
  end loop;
  begin
    perform p_config::regconfig;
  exception when undefined_object or invalid_schema_name or insufficient_privilege or invalid_name or syntax_error or feature_not_supported
    or numeric_value_out_of_range then
    raise exception using errcode = 'PS007', message = format('unknown text search configuration %L', pgstate._shown(p_config)),
      hint = 'Those of Postgres go by name (english, german, simple); others need their schema (app.german), which pgstate_owner must be able to use.';
  end;
  perform pgstate._lock_policies();
  if p_vectors is not null then
    perform from pgstate.vector_index v where v.name = p_vectors for key share;
    if not found then
      raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_vectors)),
        hint = 'create_vectors(name, dims, model) makes one.';
    end if;
  end if;
  v_same := (
    select (r.fields, r.config, r.vectors, r.vector_fields) is not distinct from (p_fields, p_config, p_vectors, p_vector_fields)
      from pgstate.search_rule r where r.subtree = p_subtree);
  if v_same then
    return;
  end if;
  perform pgstate._check_room(p_actor, (
    select count(*) from pgstate.search_rule r where r.set_by = p_actor.name and r.subtree <> p_subtree), 100, 'rules for search');
  perform pgstate._forget_given(p_subtree);
  insert into pgstate.search_rule as r (subtree, nearness, ranges, fields, config, vectors, vector_fields, set_by, set_at)
  values (p_subtree,
          case when p_subtree = '**' then 0
               else 2 * cardinality(string_to_array(regexp_replace(p_subtree, E'/\\*\\*$', ''), '/')) + (p_subtree !~ E'\\*$')::int end,
          pgstate._pattern_ranges(p_subtree), p_fields, p_config, p_vectors, p_vector_fields, p_actor.name, pgstate._now())
      on conflict on constraint search_rule_pkey do update
     set id = excluded.id, fields = excluded.fields, config = excluded.config, vectors = excluded.vectors, vector_fields = excluded.vector_fields,
         set_by = excluded.set_by, set_at = excluded.set_at;
  perform pgstate._rules_changed(p_subtree);
  perform pgstate._audit(p_actor, 'set_search', p_subtree, jsonb_build_object('fields', p_fields, 'config', p_config, 'vectors', p_vectors, 'vector_fields', p_vector_fields));
  if (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id) then
    perform pgstate._follow_writes();
  elsif not exists (select from pg_trigger t where t.tgname = 'version_search' and t.tgrelid = 'pgstate.version'::regclass) then
    raise exception using errcode = 'PS010', message = 'search does not follow writes here yet',
      hint = 'All writes wait while it begins to: somebody who administers everything calls set_search() first, for any key or subtree.';
  end if;
end
$$;
comment on function pgstate._set_search(pgstate._actor, text, text[], text, text, text[]) is 'Internal: set_search().';

-- functions/search/_drop_search.sql
create function pgstate._drop_search(p_actor pgstate._actor, p_subtree text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  perform pgstate._lock_policies();
  perform pgstate._forget_given(p_subtree);
  delete from pgstate.search_rule r where r.subtree = p_subtree;
  if not found then
    raise exception using errcode = 'PS007', message = format('there is no search on %s to drop', p_subtree), hint = 'pgstate.searches() lists them.';
  end if;
  perform pgstate._rules_changed(p_subtree);
  perform pgstate._audit(p_actor, 'drop_search', p_subtree);
end
$$;
comment on function pgstate._drop_search(pgstate._actor, text) is 'Internal: drop_search().';

-- functions/search/_searches.sql
-- As _policies(): what lies outside the caller's grants is hidden from it.
create function pgstate._searches(p_actor pgstate._actor) returns setof pgstate.search_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select r.subtree, r.fields, r.config, r.vectors, r.vector_fields,
           not exists (select from pgstate.search_build b where pgstate._pattern_ranges(b.subtree) && r.ranges),
           r.set_by, r.set_at
      from pgstate.search_rule r
     where (select x.touches + x.admins from pgstate._reach x where x.agent_id = p_actor.id) && r.ranges
     order by r.subtree;
end
$$;
comment on function pgstate._searches(pgstate._actor) is 'Internal: rules for search that the caller may see.';

-- functions/search/_build_search.sql
-- One step through keys whose rule for search has changed. It begins when every transaction has ended that may have written by
-- the rules of before: what is written from then on is indexed by its writer. It holds no lock that a writer waits for, other
-- than the new rows of this step, and gives those up rather than wait for a writer.
create function pgstate._build_search(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set lock_timeout = '100ms'
as $$
declare
  v_build pgstate.search_build;
  v_keys text[];
begin
  select b.* into v_build from (select x.* from pgstate.search_build x offset 0) b order by b.asked_at, b.subtree limit 1 for update skip locked;
  if v_build.subtree is null then
    return false;
  end if;
  -- one from another cluster, before a restore, would never be reached
  if v_build.barrier is null or v_build.barrier > pg_snapshot_xmax(pg_current_snapshot()) then
    v_build.barrier := pg_snapshot_xmax(pg_current_snapshot());
    update pgstate.search_build b set barrier = v_build.barrier where b.subtree = v_build.subtree;
  end if;
  if pg_snapshot_xmin(pg_current_snapshot()) < v_build.barrier then
    return true;
  end if;
  -- documents of keys too: an entry may be gone by now
  v_keys := array(
    select k.key
      from (select greatest(v_build.after || chr(1), case when v_build.subtree like '%**' then left(v_build.subtree, -2) else v_build.subtree end collate "C") as low,
                   case when v_build.subtree = '**' then chr(127) when v_build.subtree like '%/**' then left(v_build.subtree, -3) || '0'
                        else v_build.subtree || chr(1) end as high offset 0) s
      cross join lateral (select e.key from pgstate.entry e where e.key >= s.low and e.key < s.high order by e.key limit p_limit) k);
  if v_build.after = '' and v_build.subtree like '%/**' then
    v_keys := left(v_build.subtree, -3) || v_keys;
  end if;
  begin
    perform pgstate._index_keys(v_keys);
  exception when lock_not_available or deadlock_detected then
    return true;
  end;
  if cardinality(v_keys) < p_limit then
    delete from pgstate.search_build b where b.subtree = v_build.subtree;
  else
    update pgstate.search_build b set after = v_keys[cardinality(v_keys)] where b.subtree = v_build.subtree;
  end if;
  return exists (select from pgstate.search_build);
end
$$;
comment on function pgstate._build_search(int) is 'Internal: one step of indexing for search. Is there more?';

-- functions/search/_search_plan.sql
-- How the keys in some ranges are searched: by what is indexed of them where it is, else by their values. The ranges are what a
-- pattern and the caller's reads have in common, and no part reaches beyond them: the words of a directory are asked for
-- only where the caller reads all of it.
create function pgstate._search_plan(p_ranges pgstate.keymultirange, p_reads pgstate.keymultirange) returns setof pgstate._search_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rules pgstate.keymultirange := coalesce((select range_agg(r.ranges) from pgstate.search_rule r), '{}');
  v_builds pgstate.keymultirange := coalesce((select range_agg(u) from pgstate.search_build b, unnest(pgstate._pattern_ranges(b.subtree)) u), '{}');
  v_rule record;
  v_range pgstate.keyrange;
  v_low text;
  v_high text;
  v_dir text;
  v_end text;
begin
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges - v_rules + p_ranges * v_builds) r
  loop
    return next row('fly', null, null, null, v_low, v_high,
                    v_rules && pgstate._range(v_low, v_high))::pgstate._search_part;
  end loop;
  if isempty(p_ranges * v_rules - v_builds) then
    return;
  end if;
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges) r where pgstate._range(r.low, r.high) && v_rules
  loop
    while v_low collate "C" < v_high collate "C" loop
      -- everything, a directory as it begins the range, part of one that the caller reads, or anything else
      v_dir := left(v_low, -greatest(strpos(reverse(v_low), '/'), 1));
      v_end := v_high;
      if v_low = '' and v_high = chr(127) then
        v_dir := '';
      elsif right(v_low, 1) = '/' and (v_dir || '0') collate "C" <= v_high collate "C" then
        v_end := v_dir || '0';
      elsif strpos(v_low, '/') = 0 or v_high = v_low || chr(1) or (v_dir || '0') collate "C" < v_high collate "C"
            or not p_reads @> pgstate._range(v_dir || '/', v_dir || '0') then
        v_dir := null;
      end if;
      for v_rule in
        select r.id, r.config, regexp_replace(nullif(r.subtree, '**'), E'/\\*\\*$', '') as root, r.ranges
          from pgstate.search_rule r where r.ranges && pgstate._range(v_low, v_end)
      loop
        for v_range in
          select u from unnest(v_rule.ranges * multirange(pgstate._range(v_low, v_end)) - v_builds) u
        loop
          return next row(
            case when lower(v_range) = upper(v_range) or upper(v_range) = lower(v_range) || chr(1) then 'scan'
                 when v_dir is not null or pgstate._range(v_low, v_end) @> pgstate._range(v_rule.root || '/', v_rule.root || '0') then 'scope'
                 else 'scan' end,
            v_rule.id, v_rule.config,
            -- marks begin with the rule's own subtree
            case when v_rule.root is null then v_dir
                 when length(v_dir) > length(v_rule.root) then v_dir else v_rule.root end,
            coalesce(case when lower_inc(v_range) then lower(v_range) else lower(v_range) || chr(1) end, ''),
            coalesce(case when upper_inc(v_range) then upper(v_range) || chr(1) else upper(v_range) end, chr(127)),
            true)::pgstate._search_part;
        end loop;
      end loop;
      v_low := v_end;
    end loop;
  end loop;
end
$$;
comment on function pgstate._search_plan(pgstate.keymultirange, pgstate.keymultirange) is 'Internal: how ranges of keys are searched.';

-- functions/search/_text_matches.sql
-- What the index has of a query. As the owner, because an index on words is of no use under row-level security; the second wall
-- stands here as a comparison of every key with what the caller reads.
create function pgstate._text_matches(p_parts pgstate._search_part[], p_query text)
returns table (key text, version bigint, rank real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
begin
  return query
    with part as materialized (
      select p.how, p.rule_id, p.low, p.high, q.query, case when p.how = 'scope' then pgstate._scoped_query(q.query, pgstate._mark_of(r.salt, p.dir)) end as scoped
        from unnest(p_parts) p
        join pgstate.search_rule r on r.id = p.rule_id
        cross join lateral (select websearch_to_tsquery(pgstate._config(p.config), p_query) as query) q
       where p.how in ('scope', 'scan') and numnode(q.query) > 0
    )
    select d.key, d.version, ts_rank_cd(d.words, p.query)
      from part p
      cross join lateral (
        -- by the words alone: with nothing known of the keys, the index on those looks cheaper
        select x.* from pgstate.search_doc x where x.scoped @@ p.scoped offset 0) d
     where p.how = 'scope' and p.scoped is not null and d.key >= p.low and d.key < p.high and d.rule_id = p.rule_id and d.words @@ p.query and v_reads @> d.key
    union all
    select d.key, d.version, ts_rank_cd(d.words, p.query)
      from part p
      cross join lateral (select x.* from pgstate.search_doc x where x.key >= p.low and x.key < p.high) d
     where (p.how = 'scan' or p.scoped is null) and d.rule_id = p.rule_id and d.words @@ p.query and v_reads @> d.key;
end
$$;
comment on function pgstate._text_matches(pgstate._search_part[], text) is 'Internal: keys whose indexed words match a query.';

-- functions/search/_vector_schema.sql
-- Where pgvector is. Nothing of it is named anywhere but in statements that are put together with this.
create function pgstate._vector_schema() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_schema text := (select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace where x.extname = 'vector');
begin
  if v_schema is null then
    raise exception using errcode = 'PS050', message = 'pgvector is not installed in this database',
      hint = 'Somebody with the right to (a superuser, or what a managed server has instead) runs: create extension vector; then create_vectors() again. Without it, search by text works.';
  elsif not has_schema_privilege(current_user, v_schema, 'usage') then
    raise exception using errcode = 'PS050', message = format('pgstate_owner may not use schema %I, where pgvector is', v_schema),
      hint = format('grant usage on schema %I to pgstate_owner', v_schema);
  end if;
  return v_schema;
end
$$;
comment on function pgstate._vector_schema() is 'Internal: the schema of pgvector. PS050 when it is not there.';

-- functions/search/_checked_vector.sql
-- The vector, if an index takes it: PS007.
create function pgstate._checked_vector(p_index pgstate.vector_index, p_model text, p_vector real[]) returns real[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  -- beyond these a square, or the sum of some, is no number that pgvector can hold, and the distance not one that can be compared
  v_most real := case p_index.type when 'halfvec' then 65504 else 1e16 end;
  v_least real := case p_index.type when 'halfvec' then 1e-7 else 1e-18 end;
begin
  if p_model <> p_index.model then
    raise exception using errcode = 'PS007', message = format('vector index %s holds vectors of model %s, not of %s', p_index.name, p_index.model, pgstate._shown(p_model)),
      hint = 'Vectors of two models cannot be compared: create_vectors() makes an index for the other one.';
  elsif coalesce(array_ndims(p_vector), 0) <> 1 or cardinality(p_vector) <> p_index.dims then
    raise exception using errcode = 'PS007', message = format('vector index %s has %s dimensions, the vector has %s', p_index.name, p_index.dims, cardinality(p_vector));
  elsif array_position(p_vector, null) is not null or p_vector && array['NaN', 'Infinity', '-Infinity']::real[] then
    raise exception using errcode = 'PS007', message = 'a vector holds finite numbers';
  elsif v_most < any (p_vector) or - v_most > any (p_vector) then
    raise exception using errcode = 'PS007', message = format('numbers of a %s are at most %s', p_index.type, v_most);
  elsif p_index.distance = 'cosine' and v_least > all (p_vector) and - v_least < all (p_vector) then
    raise exception using errcode = 'PS007', message = 'a vector of zeros, or nearly, has no direction, which cosine distance compares';
  end if;
  return p_vector;
end
$$;
comment on function pgstate._checked_vector(pgstate.vector_index, text, real[]) is 'Internal: a vector, if it fits an index. PS007.';

-- functions/search/_vector_expression.sql
-- A column of real[] and its distance as the index on it has them.
create function pgstate._vector_expression(p_index pgstate.vector_index, p_schema text, p_array text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return format('((%s)::%I.%I(%s))', p_array, p_schema, p_index.type, p_index.dims);
end
$$;
comment on function pgstate._vector_expression(pgstate.vector_index, text, text) is 'Internal: an array as pgvector''s type, in SQL.';

-- functions/search/_create_vectors.sql
create function pgstate._create_vectors(
  p_actor pgstate._actor, p_name text, p_model text, p_dims int, p_distance text, p_method text, p_type text, p_options jsonb
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_index pgstate.vector_index;
  v_old pgstate.vector_index;
  v_schema text;
  v_most int;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_index.name := p_name;
  v_index.model := p_model;
  v_index.dims := p_dims;
  v_index.distance := p_distance;
  v_index.method := p_method;
  v_index.type := coalesce(p_type, case when p_dims > 2000 then 'halfvec' else 'vector' end);
  v_index.options := coalesce(p_options, '{}');
  if (p_name ~ '^[a-z][a-z0-9_]{0,62}$') is not true then
    raise exception using errcode = 'PS007', message = 'a vector index has a name of a-z, 0-9 and _, that begins with a letter';
  elsif p_model is null or octet_length(p_model) not between 1 and 256 or p_dims is null or p_dims not between 1 and 16000 then
    raise exception using errcode = 'PS007', message = 'model is 1 to 256 bytes, dims is 1 to 16000';
  elsif p_distance is null or p_distance not in ('cosine', 'l2', 'inner_product') or p_method is null or p_method not in ('hnsw', 'ivfflat', 'exact')
        or v_index.type not in ('vector', 'halfvec') then
    raise exception using errcode = 'PS007', message = 'distance is cosine, l2 or inner_product; method hnsw, ivfflat or exact; type vector or halfvec';
  end if;
  v_most := case when v_index.type = 'vector' then 2000 else 4000 end;
  if p_method <> 'exact' and p_dims > v_most then
    raise exception using errcode = 'PS007', message = format('%s indexes have at most %s dimensions of type %s', p_method, v_most, v_index.type),
      hint = 'Up to 4000 dimensions are indexed of type halfvec, any number is searched with method exact.';
  elsif jsonb_typeof(v_index.options) <> 'object' or exists (
    select from jsonb_each(v_index.options) o
     where (p_method || '.' || o.key) not in ('hnsw.m', 'hnsw.ef_construction', 'ivfflat.lists') or o.value::text !~ '^[0-9]{1,5}$')
  then
    raise exception using errcode = 'PS007', message = 'options are m and ef_construction of hnsw, lists of ivfflat: numbers';
  end if;
  v_schema := pgstate._vector_schema();
  perform pgstate._lock_policies();
  select x.* into v_old from pgstate.vector_index x where x.name = p_name;
  if v_old.id is null then
    insert into pgstate.vector_index (name, model, dims, distance, method, type, options, created_by, created_at)
    values (v_index.name, v_index.model, v_index.dims, v_index.distance, v_index.method, v_index.type, v_index.options, p_actor.name, pgstate._now())
    returning * into v_index;
    perform pgstate._audit(p_actor, 'create_vectors', null, jsonb_build_object('name', p_name, 'model', p_model, 'dims', p_dims));
  elsif (v_old.model, v_old.dims, v_old.distance, v_old.method, v_old.type, v_old.options)
        <> (v_index.model, v_index.dims, v_index.distance, v_index.method, v_index.type, v_index.options) then
    raise exception using errcode = 'PS007', message = format('there is a vector index %s with other settings', p_name),
      hint = 'drop_vectors(name), or take another name. pgstate.vectors() lists them.';
  else
    -- dropping the extension takes the index along
    v_index := v_old;
  end if;
  if v_index.method <> 'exact' and to_regclass(format('pgstate.embedding_%s_idx', v_index.id)) is null then
    execute format(
      'create index embedding_%s_idx on pgstate.embedding using %I (%s %I.%I)%s where index_id = %s',
      v_index.id, v_index.method, pgstate._vector_expression(v_index, v_schema, 'vector'), v_schema,
      v_index.type || '_' || case v_index.distance when 'cosine' then 'cosine' when 'l2' then 'l2' else 'ip' end || '_ops',
      coalesce((select ' with (' || string_agg(format('%I = %s', o.key, o.value), ', ') || ')' from jsonb_each_text(v_index.options) o), ''),
      v_index.id);
  end if;
end
$$;
comment on function pgstate._create_vectors(pgstate._actor, text, text, int, text, text, text, jsonb) is 'Internal: create_vectors().';

-- functions/search/_drop_vectors.sql
create function pgstate._drop_vectors(p_actor pgstate._actor, p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  perform pgstate._lock_policies();
  v_id := (select v.id from pgstate.vector_index v where v.name = p_name);
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_name)), hint = 'pgstate.vectors() lists them.';
  elsif exists (select from pgstate.search_rule r where r.vectors = p_name) then
    raise exception using errcode = 'PS007', message = format('vector index %s is in use', p_name),
      hint = 'pgstate.searches() lists what names it: set_search() there without vectors, or drop_search().';
  end if;
  execute format('drop index if exists pgstate.embedding_%s_idx', v_id);
  delete from pgstate.embedding m where m.index_id = v_id;
  delete from pgstate.vector_index v where v.id = v_id;
  perform pgstate._audit(p_actor, 'drop_vectors', null, jsonb_build_object('name', p_name));
end
$$;
comment on function pgstate._drop_vectors(pgstate._actor, text) is 'Internal: drop_vectors().';

-- functions/search/_vectors.sql
create function pgstate._vectors() returns setof pgstate.vectors_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select v.name, v.model, v.dims, v.distance, v.method, v.type, v.created_by, v.created_at from pgstate.vector_index v order by v.name;
end
$$;
comment on function pgstate._vectors() is 'Internal: the vector indexes.';

-- functions/search/_vectors_for.sql
-- The vector index that a search of some ranges is about; no row when there is none.
create function pgstate._vectors_for(p_ranges pgstate.keymultirange, p_name text, p_model text) returns pgstate.vector_index
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_index pgstate.vector_index;
  v_found pgstate.vector_index[];
begin
  if p_name is not null then
    select v.* into v_index from pgstate.vector_index v where v.name = p_name;
    if v_index.id is null then
      raise exception using errcode = 'PS007', message = format('there is no vector index %L', pgstate._shown(p_name)), hint = 'pgstate.vectors() lists them.';
    elsif not isempty(p_ranges) and not exists (select from pgstate.search_rule r where r.vectors = p_name and p_ranges && r.ranges) then
      -- its vectors go with the rule: what was found by it yesterday would be nothing, and nobody told
      raise exception using errcode = 'PS007', message = format('nothing where the pattern reaches is found by vector index %s', p_name),
        hint = 'pgstate.searches() lists what is; set_search(subtree, vectors => name) changes it.';
    end if;
    return v_index;
  end if;
  v_found := array(
    select v from pgstate.vector_index v
     where exists (select from pgstate.search_rule r where r.vectors = v.name and p_ranges && r.ranges)
     order by v.model = p_model desc, v.name);
  if cardinality(v_found) > 1 and ((v_found[1]).model <> p_model or (v_found[2]).model = p_model or p_model is null) then
    raise exception using errcode = 'PS007', message = 'the pattern reaches entries of several vector indexes',
      hint = 'Name one of them (vectors => …), or the model that the vector is of.';
  end if;
  return v_found[1];
end
$$;
comment on function pgstate._vectors_for(pgstate.keymultirange, text, text) is 'Internal: the vector index that a search is about.';

-- functions/search/_nearest_indexed.sql
-- The nearest by the index that pgvector has, or null when that may not be used or does not find enough. Its graph leads
-- through all the vectors that are in it, and time and buffers would tell of those: so it is for callers who read
-- everything that it holds. What is filtered out is gone on behind (iterative scan, pgvector 0.8).
--
-- How widely the graph is searched grows with it, since a larger one has more places to be caught in: of the nearest 10 among
-- 100,000 the library's 40 found 0.94, 190 found 0.996 in a fifth more time; among 10,000 40 find all. Who has set more for the session, the
-- role or the database gets that. What a wider search finds in addition may lie before the place that a page goes on behind: so what
-- counts is how many are behind it. Of the lists of ivfflat the square root is looked at, as its authors advise.
create function pgstate._nearest_indexed(
  p_index pgstate.vector_index, p_schema text, p_ranges pgstate.keymultirange, p_reads pgstate.keymultirange, p_regex text, p_path jsonpath,
  p_vector real[], p_depth int, p_score float8, p_key text, p_seen int
) returns table (key text, distance float8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
as $$
declare
  v_sql text;
  v_settings text[];
  v_keys text[];
  v_distances float8[];
  v_count bigint;
  v_live bigint;
  v_behind text[];
  v_wanted int := case when p_score is null then p_depth else p_depth - p_seen end;
  v_limit int := p_depth;
  v_now timestamptz := pgstate._now();
  v_rows real := (select c.reltuples from pg_class c where c.oid = to_regclass(format('pgstate.embedding_%s_idx', p_index.id)));
  v_done text;
begin
  if p_index.method = 'exact' or v_rows is null
     or (select string_to_array(substring(x.extversion from E'^\\d+\\.\\d+'), '.')::int[] < array[0, 8] from pg_extension x where x.extname = 'vector')
     -- where a rule has changed there may be vectors that none tells of any more
     or not p_reads @> (
       select coalesce(range_agg(h.ranges), '{(,)}')
         from (select r.ranges from pgstate.search_rule r where r.vectors = p_index.name
               union all select pgstate._pattern_ranges(b.subtree) from pgstate.search_build b) h)
  then
    return;
  end if;
  if current_setting('hnsw.iterative_scan', true) is null then
    -- the library makes its settings known when it is first used
    execute format('select %s', pgstate._vector_expression(p_index, p_schema, '$1')) using p_vector;
  end if;
  if p_index.method = 'hnsw' then
    v_settings := array[current_setting('hnsw.iterative_scan'), current_setting('hnsw.ef_search')];
    v_done := set_config('hnsw.iterative_scan', 'strict_order', true)
           || set_config('hnsw.ef_search', least(greatest(2 * p_depth, 40, 0.6 * sqrt(greatest(v_rows, 0)), v_settings[2]::int), 1000)::int::text, true);
  else
    v_settings := array[current_setting('ivfflat.iterative_scan'), current_setting('ivfflat.probes')];
    v_done := set_config('ivfflat.iterative_scan', 'relaxed_order', true)
           || set_config('ivfflat.probes', greatest(10, sqrt((p_index.options ->> 'lists')::int), v_settings[2]::int)::int::text, true);
  end if;
  -- planned anew each time: entries are in it only for a filter's sake. What is asked for is no constant, as in _newest_of_many()
  v_sql := format($sql$
    select array_agg(n.key), array_agg(n.distance), count(*) from (
      select m.key, %1$s operator(%2$I.%3$s) %4$s as distance
        from pgstate.embedding m %6$s
       where m.index_id = %5$s and $2 @> m.key %7$s
       order by %1$s operator(%2$I.%3$s) %4$s limit $6) n
    $sql$, pgstate._vector_expression(p_index, p_schema, 'm.vector'), p_schema,
    case p_index.distance when 'cosine' then '<=>' when 'l2' then '<->' else '<#>' end, pgstate._vector_expression(p_index, p_schema, '$1'), p_index.id,
    case when p_path is not null then 'join pgstate.entry e on e.key = m.key' end,
    concat(case when p_regex is not null then 'and m.key ~ (select $3)' end, case when p_path is not null then
      ' and e.live and (e.expires_at is null or e.expires_at > $4)
        and case when e.full_version < e.version then pgstate._held_value(e) else e.value end @@ (select $5)' end));
  for v_try in 1 .. 3 loop
    execute v_sql into v_keys, v_distances, v_count using p_vector, p_ranges, p_regex, v_now, p_path, v_limit;
    -- of an entry with several vectors the nearest counts
    if p_score is not null then
      v_behind := array(
        select n.key from (select u.key, min(u.distance) as distance from unnest(v_keys, v_distances) as u (key, distance) group by u.key) n
         cross join lateral (select case p_index.distance when 'cosine' then 1 - n.distance else - n.distance end as score) x
         where x.score < p_score or x.score = p_score and n.key > p_key);
    end if;
    v_live := (select count(*) from pgstate.entry e
                where e.key = any (coalesce(v_behind, v_keys)) and e.live and (e.expires_at is null or e.expires_at > v_now));
    exit when v_live >= v_wanted or v_count < v_limit;
    v_limit := v_limit * 4;
  end loop;
  v_done := set_config(p_index.method || '.iterative_scan', v_settings[1], true)
         || set_config(case p_index.method when 'hnsw' then 'hnsw.ef_search' else 'ivfflat.probes' end, v_settings[2], true);
  return query
    select n.key, min(n.distance) from unnest(v_keys, v_distances) as n (key, distance)
     where v_live >= v_wanted group by n.key;
end
$$;
comment on function pgstate._nearest_indexed(pgstate.vector_index, text, pgstate.keymultirange, pgstate.keymultirange, text, jsonpath, real[], int, float8, text, int) is
  'Internal: the nearest entries by the vector index; nothing when it may not be used or is not enough.';

-- functions/search/_nearest.sql
-- Entries by the distance of their nearest vector: at least p_depth of them if there are that many, and no more than it takes
-- unless p_all; of those behind p_score and p_key p_depth less p_seen, which lie before. A small range is compared vector by vector, which is exact and misses nothing beside larger ones; a large one by
-- the index where that may be used.
create function pgstate._nearest(
  p_index pgstate.vector_index, p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_vector real[], p_depth int, p_all boolean,
  p_score float8, p_key text, p_seen int
) returns table (key text, distance float8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_schema text := pgstate._vector_schema();
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
  v_lows text[];
  v_highs text[];
  v_keys text[];
  v_distances float8[];
  v_count bigint;
  v_limit bigint := p_depth;
begin
  select array_agg(r.low), array_agg(r.high) into v_lows, v_highs from pgstate._spans(p_ranges * v_reads) r;
  -- counting takes as long as a tenth of the search; where no vector is outside, the index knows how many it holds
  if cardinality(v_lows) = 1 and (select c.reltuples from pg_class c where c.oid = to_regclass(format('pgstate.embedding_%s_idx', p_index.id))) >= 2000
     and not exists (select from pgstate.embedding m where m.key < v_lows[1]) and not exists (select from pgstate.embedding m where m.key >= v_highs[1])
     or exists (select from unnest(v_lows, v_highs) as s (low, high) join pgstate.embedding m on m.key >= s.low and m.key < s.high offset 1999)
  then
    return query select n.* from pgstate._nearest_indexed(p_index, v_schema, p_ranges * v_reads, v_reads, p_regex, p_path, p_vector, p_depth, p_score, p_key, p_seen) n;
    if found then
      return;
    end if;
  end if;
  loop
    -- entries are looked at where the filter is: here only whether enough of them are there. A pattern that were a constant would be tried on
    -- what statistics have of keys: see _newest_of_many()
    execute format($sql$
      select array_agg(n.key), array_agg(n.distance), count(*) from (
        select m.key, min(%s operator(%I.%s) %s) as distance
          from unnest($2, $3) as s (low, high)
          join pgstate.embedding m on m.key >= s.low and m.key < s.high
         where m.index_id = %s and ($4 is null or m.key ~ (select $4))
         group by m.key order by 2, 1 limit $5) n
      $sql$, pgstate._vector_expression(p_index, v_schema, 'm.vector'), v_schema,
      case p_index.distance when 'cosine' then '<=>' when 'l2' then '<->' else '<#>' end, pgstate._vector_expression(p_index, v_schema, '$1'), p_index.id)
      into v_keys, v_distances, v_count using p_vector, v_lows, v_highs, p_regex, case when not p_all and p_path is null then v_limit end;
    exit when p_all or p_path is not null or v_count < v_limit
           or (select count(*) from pgstate.entry e where e.key = any (v_keys) and e.live and (e.expires_at is null or e.expires_at > pgstate._now())) >= p_depth;
    v_limit := v_limit * 4;
  end loop;
  return query select n.key, n.distance from unnest(v_keys, v_distances) as n (key, distance);
end
$$;
comment on function pgstate._nearest(pgstate.vector_index, pgstate.keymultirange, text, jsonpath, real[], int, boolean, float8, text, int) is 'Internal: entries by the distance of their vectors.';

-- functions/search/_newest_of_many.sql
-- As _newest(), where a range holds many: planned for that range, so that a table of which it is most is read through. p_root is one more
-- key, or none. Without workers: where many search at once, each would wait for its own to start.
create function pgstate._newest_of_many(p_low text, p_high text, p_root text, p_regex text, p_path jsonpath, p_scalars jsonb, p_now timestamptz, p_limit int, p_offset int)
returns table (key text, place bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set max_parallel_workers_per_gather = 0
set enable_seqscan = on set enable_bitmapscan = on set enable_sort = on
as $$
begin
  return query
    select f.key, row_number() over (order by f.updated_at desc, f.key) from (
      select n.key, n.updated_at from pgstate.entry n
       -- one condition on keys and none on rows, of which the planner would know no range. It stays before the look into the value only
       -- while it is not dearer: values of others, which may be large, are none of the caller's. What the caller compares them with is no
       -- constant here: the planner would try that on the values and keys that it has as statistics, of hidden ones too, and its estimate
       -- can be seen (debug_print_plan)
       where (n.key >= p_low and n.key < p_high or n.key = coalesce(p_root, p_low)) and (n.value @> (select p_scalars) or n.full_version - n.version < 0)
         and n.live and (n.expires_at is null or n.expires_at > p_now) and (p_regex is null or n.key ~ (select p_regex))
         and (p_path is null or case when n.full_version < n.version then pgstate._held_value(n) else n.value end @@ (select p_path))
       order by n.updated_at desc, n.key limit p_limit offset p_offset) f;
end
$$;
comment on function pgstate._newest_of_many(text, text, text, text, jsonpath, jsonb, timestamptz, int, int) is 'Internal: the entries of a large range that were written last.';

-- functions/search/_newest.sql
-- Which entries in some ranges were written last. All of them have to be looked at, so by the pages of the table rather than in
-- the order of their keys. As the owner, because row-level security would cost more than all the rest; the second wall stands
-- here: what the caller reads, as the ranges.
create function pgstate._newest(p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_scalars jsonb, p_limit int, p_offset int)
returns table (key text, place bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_indexscan = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange := p_ranges * pgstate._reachable('read');
  v_low text;
  v_high text;
  v_root text;
begin
  if p_scalars is not null then
    -- a subtree with its root is two. To look whether there are so many takes a sixth of what looking at them does
    select s.low, s.high, s.root into v_low, v_high, v_root
      from (select max(r.low collate "C") as low, max(r.high collate "C") as high, case when count(*) = 2 then min(r.low collate "C") end as root, count(*) as spans
              from pgstate._spans(v_ranges) r) s
     where (s.spans = 1 or s.spans = 2 and s.low = s.root || '/') and exists (select from pgstate.entry n where n.key >= s.low and n.key < s.high order by n.key offset 500);
  end if;
  if v_low is not null then
    return query
      select f.key, f.place from pgstate._newest_of_many(v_low, v_high, v_root, p_regex, p_path, p_scalars, v_now, p_limit, p_offset) f;
    return;
  end if;
  return query
    select f.key, row_number() over (order by f.updated_at desc, f.key) from (
      select x.key, x.updated_at
        from (select r.low, r.high from pgstate._spans(v_ranges) r offset 0) s
        cross join lateral (
          select n.key, n.updated_at from pgstate.entry n
           where n.key >= s.low and n.key < s.high and n.live and (n.expires_at is null or n.expires_at > v_now)
             -- of a value that has grown since it was stored whole the rest is read first
             and (p_scalars is null or n.value @> p_scalars or n.full_version < n.version)
             -- behind what most fail at: it takes four times as long
             and (p_regex is null or n.key ~ p_regex)
             and (p_path is null or case when n.full_version < n.version then pgstate._held_value(n) else n.value end @@ p_path)
          offset 0) x
       order by x.updated_at desc, x.key limit p_limit offset p_offset) f;
end
$$;
comment on function pgstate._newest(pgstate.keymultirange, text, jsonpath, jsonb, int, int) is 'Internal: the entries that were written last.';

-- functions/search/_unembedded.sql
-- In key order: nested loops over the ranges in theirs.
create function pgstate._unembedded(p_ranges pgstate.keymultirange, p_regex text, p_limit int) returns setof pgstate.unembedded_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    select w.key, e.version, encode(w.digest, 'hex'), v.name, v.model, v.dims,
           pgstate._texts_of(pgstate._held_value(e), r.vector_fields)
      from (select x.low, x.high from pgstate._spans(p_ranges * pgstate._reachable('read')) x order by x.low collate "C") s
      cross join lateral (select x.* from pgstate.embedding_wanted x where x.key >= s.low and x.key < s.high and (p_regex is null or x.key ~ p_regex) order by x.key offset 0) w
      join pgstate.search_doc d on d.key = w.key and d.digest = w.digest
      join pgstate.search_rule r on r.id = d.rule_id
      join pgstate.vector_index v on v.name = r.vectors
      join pgstate.entry e on e.key = w.key and e.version = d.version and e.value is not null and (e.expires_at is null or e.expires_at > v_now)
     limit p_limit;
end
$$;
comment on function pgstate._unembedded(pgstate.keymultirange, text, int) is 'Internal: entries that wait for their vectors.';

-- functions/search/_set_vectors.sql
-- The row in embedding_wanted is locked, which a writer of the key updates: vectors of a text that is not the entry's any more are
-- never stored, and what is stored goes when the text changes.
create function pgstate._set_vectors(p_actor pgstate._actor, p_keys text[], p_digests text[], p_chunks int[], p_vectors real[], p_model text)
returns setof pgstate.embedded
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_index pgstate.vector_index;
  v_key record;
  v_at int;
  v_texts int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  for v_key in
    select u.key, min(u.digest) as digest, array_agg(u.chunk order by u.chunk) as chunks, array_agg(u.ord order by u.chunk) as places,
           min(u.digest) = max(u.digest) as one
      from unnest(p_keys, p_digests, p_chunks) with ordinality as u (key, digest, chunk, ord) group by u.key order by u.key collate "C"
  loop
    if not (p_actor.reads @> v_key.key and p_actor.writes @> v_key.key) then
      return next row(v_key.key, 'denied')::pgstate.embedded;
      continue;
    end if;
    -- before what waits, as its writers do; who gives vectors touches nothing of that, and is seen by the entry's version
    perform from pgstate.entry e where e.key = v_key.key for share;
    perform from pgstate.embedding_wanted w where w.key = v_key.key and encode(w.digest, 'hex') = v_key.digest for update;
    if not found then
      return next row(v_key.key, 'stale')::pgstate.embedded;
      continue;
    end if;
    select v.*, cardinality(pgstate._texts_of(pgstate._held_value(e), r.vector_fields)) into v_index.id, v_index.name, v_index.model, v_index.dims, v_index.distance,
           v_index.method, v_index.type, v_index.options, v_index.created_by, v_index.created_at, v_texts
      from pgstate.search_doc d join pgstate.search_rule r on r.id = d.rule_id join pgstate.vector_index v on v.name = r.vectors
      join pgstate.entry e on e.key = d.key and e.version = d.version
     where d.key = v_key.key and encode(d.digest, 'hex') = v_key.digest and not (select i.given @> v_key.key from pgstate.install i);
    if v_index.id is null then
      return next row(v_key.key, 'stale')::pgstate.embedded;
      continue;
    elsif not v_key.one or v_key.chunks <> array(select n from generate_series(0, v_texts - 1) n) then
      raise exception using errcode = 'PS007', message = format('%s has %s texts to embed: as many vectors are needed, with chunks from 0', v_key.key, v_texts);
    end if;
    delete from pgstate.embedding m where m.key = v_key.key;
    foreach v_at in array v_key.places loop
      insert into pgstate.embedding (key, index_id, chunk, digest, vector)
      values (v_key.key, v_index.id, p_chunks[v_at], decode(v_key.digest, 'hex'),
              pgstate._checked_vector(v_index, p_model, array(select unnest(p_vectors[v_at:v_at]))));
    end loop;
    delete from pgstate.embedding_wanted w where w.key = v_key.key;
    return next row(v_key.key, 'ok')::pgstate.embedded;
  end loop;
end
$$;
comment on function pgstate._set_vectors(pgstate._actor, text[], text[], int[], real[], text) is 'Internal: set_vectors().';

-- functions/search/_keep_vectors.sql
-- Vectors that a writer gave along with its values, in its transaction: p_owners tells for each of them which key it is of. Only
-- those of the version that the entry is at, so that a statement that is sent again changes nothing. One that is there already stays
-- in its place: a new one costs the index as much as the rest of the write. The others of these versions go, of which there may be
-- none: p_versions has what was written, p_puts where a value was.
create function pgstate._keep_vectors(
  p_actor pgstate._actor, p_keys text[], p_versions bigint[], p_puts boolean[], p_owners int[], p_vectors real[], p_model text
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_denied boolean;
  v_elsewhere text;
  -- rows of p_vectors that are stored, and where: one statement for all, since each opens the indexes anew
  v_places bigint[];
  v_keys text[];
  v_ids int[];
  v_chunks bigint[];
  v_before bigint;
begin
  select bool_or((p_actor.reads @> k.key and p_actor.writes @> k.key) is not true), min(k.key) filter (where i.id is null),
         array_agg(k.place) filter (where e.there), array_agg(k.key) filter (where e.there), array_agg(i.id) filter (where e.there), array_agg(k.chunk) filter (where e.there)
    into v_denied, v_elsewhere, v_places, v_keys, v_ids, v_chunks
    from (select p_keys[o.owner] as key, p_versions[o.owner] as version, o.place, row_number() over (partition by o.owner order by o.place) - 1 as chunk
            from unnest(p_owners) with ordinality as o (owner, place)
           where p_puts[o.owner] and p_versions[o.owner] is not null) k
    -- not exists(), for which the planner may look at all entries
    left join lateral (select true as there from pgstate.entry x where x.key = k.key and x.version = k.version and x.value is not null offset 0) e on true
    left join lateral (
      select v.id
        from (select r.vectors, r.vector_fields from pgstate.search_rule r where r.subtree = any (pgstate._subtrees_of(k.key)) order by r.nearness desc limit 1) n
        join pgstate.vector_index v on v.name = n.vectors and n.vector_fields = '{}') i on true;
  if v_denied then
    perform pgstate._deny();
  elsif v_elsewhere is not null then
    raise exception using errcode = 'PS007', message = format('no vectors are given by writers of %s', v_elsewhere),
      hint = 'set_search(subtree, vectors => name, vector_fields => ''{}'') leaves it to them.';
  end if;
  if p_actor.quota then
    -- what was its own there. (Not as joins, for which the planner may look at all versions)
    v_before := (
      select coalesce(sum(pg_column_size(m.vector)), 0)
        from (select distinct k from unnest(v_keys) k) w (key)
        cross join lateral (select x.version from pgstate.entry x where x.key = w.key offset 0) e
        cross join lateral (select from pgstate.version x where x.key = w.key and x.version = e.version - 1 and x.writer = p_actor.name offset 0) b
        cross join lateral (select x.vector from pgstate.embedding x where x.key = w.key and x.digest = '' offset 0) m);
  end if;
  -- most have none, and to set deleting up costs more than to look
  if exists (select from pgstate.embedding m
              where m.key = any (p_keys)
                and not exists (select from unnest(v_keys, v_ids, v_chunks) as u (key, id, chunk) where u.key = m.key and u.id = m.index_id and u.chunk = m.chunk)) then
    delete from pgstate.embedding m
     where m.key = any (p_keys)
       and not exists (select from unnest(v_keys, v_ids, v_chunks) as u (key, id, chunk) where u.key = m.key and u.id = m.index_id and u.chunk = m.chunk)
       and exists (
         select from pgstate.entry e
          where e.key = m.key and (e.value is null or exists (
            select from unnest(p_keys, p_versions) as w (key, version)
             where w.key = e.key
               and (w.version = e.version
                    -- whose writer is not told which it is: what this transaction has written
                    or w.version = 0 and (select n.xid from pgstate.version n where n.key = e.key and n.version = e.version) = pg_current_xact_id_if_assigned()))));
  end if;
  if v_keys is not null then
    insert into pgstate.embedding as m (key, index_id, chunk, digest, vector)
    select u.key, u.id, u.chunk, '', pgstate._checked_vector(v, p_model, array(select unnest(p_vectors[u.place:u.place])))
      from unnest(v_places, v_keys, v_ids, v_chunks) as u (place, key, id, chunk) join pgstate.vector_index v on v.id = u.id
        on conflict on constraint embedding_pkey do update
       set digest = excluded.digest, vector = excluded.vector
     where (m.digest, m.vector) is distinct from (excluded.digest, excluded.vector);
    if p_actor.quota then
      perform pgstate._charge(0, cardinality(v_places)::bigint * pg_column_size(array(select unnest(p_vectors[v_places[1]:v_places[1]]))) - v_before);
    end if;
  end if;
end
$$;
comment on function pgstate._keep_vectors(pgstate._actor, text[], bigint[], boolean[], int[], real[], text) is 'Internal: vectors of what was just written.';

-- functions/values/_touch.sql
-- The version row of an entry follows: how long it was to live is what readers of the past go by, and it lived on. Nothing of the
-- past becomes otherwise: a moment before is one at which the entry was there already. As the owner, who alone may.
--
-- The entries are locked first, in key order. Who may, what has expired and what it is now is decided after that: what was
-- waited for may have changed it, and what somebody has seen expire does not come back.
create function pgstate._touch(p_agent text, p_keys text[], p_lives interval[]) returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(p_agent);
  v_keys text[];
  v_lives interval[];
  v_now timestamptz;
  v_count int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(v_actor.id);
  end if;
  with input as materialized (
    select u.key, min(u.lives) as lives
      from unnest(p_keys, p_lives) as u (key, lives)
     where (select v_actor.reads + '{}') @> u.key and (select v_actor.writes + '{}') @> u.key
     group by u.key
  ), locked as materialized (
    select e.key, i.lives
      from (select i.key, i.lives from input i order by i.key collate "C") i
      join pgstate.entry e on e.key = i.key
     where e.value is not null and e.expires_at is not null
     for update of e
  )
  select array_agg(l.key), array_agg(l.lives) into v_keys, v_lives from locked l;
  if v_keys is null then
    return 0;
  end if;
  v_actor := pgstate._enter(p_agent);
  v_now := pgstate._now();
  with lasting as materialized (
    select e.key, e.version, coalesce((v.meta ->> 'ttl')::interval, v.expires_at - v.at) as ttl, u.lives
      from unnest(v_keys, v_lives) as u (key, lives)
      join pgstate.entry e on e.key = u.key and e.value is not null and e.expires_at > v_now
      join pgstate.version v on v.key = e.key and v.version = e.version and v.expires_at > v.at
     where (select v_actor.reads + '{}') @> u.key and (select v_actor.writes + '{}') @> u.key
  ), recorded as (
    update pgstate.version v
       set expires_at = v_now + least(l.ttl, l.lives), meta = coalesce(v.meta, '{}') || jsonb_build_object('ttl', l.ttl)
      from lasting l where v.key = l.key and v.version = l.version
  ), kept as (
    update pgstate.entry e set expires_at = v_now + least(l.ttl, l.lives) from lasting l where e.key = l.key returning e.key
  )
  select count(*) into v_count from kept;
  return v_count;
end
$$;
comment on function pgstate._touch(text, text[], interval[]) is 'Internal: touch().';

-- functions/values/_namespaces.sql
-- The index on parents is jumped through, from each to the next, however many entries each has. Only parents of keys that the
-- caller reads are looked at: such a key lies in one of the ranges that the patterns and the grants have in common, so its
-- parent does, or is the directory that the range begins in. As the owner, because row-level security would cost each jump
-- more than the jump; the second wall stands here as a comparison of every key with what the caller reads.
create function pgstate._namespaces(p_ranges pgstate.keymultirange, p_patterns text[], p_depth int, p_limit int, p_offset int) returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
  v_now timestamptz := pgstate._now();
  v_regexes text[] := array(select coalesce(pgstate._pattern_regex(p), '') from unnest(p_patterns) p);
  v_within pgstate.keymultirange[] := array(select pgstate._pattern_ranges(p) from unnest(p_patterns) p);
  v_low text;
  v_high text;
  v_next text;
  v_out text;
  -- shortened ones that were returned and that may come again
  v_open text[] := '{}';
  v_passed int := 0;
begin
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges) r order by r.low collate "C"
  loop
    -- the directory that the range begins in comes before it
    v_next := left(v_low, -greatest(strpos(reverse(v_low), '/'), 1));
    if v_next = '' then
      v_next := null;
    elsif v_low = v_next || '/' and v_high collate "C" >= v_next || '0' then
      -- all of it. Told where its keys lie, the planner might go through all below for one that is right in it
      v_next := (select e.parent from pgstate.entry e
                  where e.parent = v_next and e.live and (e.expires_at is null or e.expires_at > v_now) and v_reads @> e.key limit 1);
    else
      v_next := (select e.parent from pgstate.entry e
                  where e.parent = v_next and e.live and (e.expires_at is null or e.expires_at > v_now)
                    and e.key >= v_low and e.key < v_high and v_reads @> e.key limit 1);
    end if;
    v_out := v_low;
    loop
      if v_next is null then
        exit when v_out is null;
      elsif v_next <> '' then
        v_out := v_next;
        for v_place in 1 .. cardinality(v_regexes) loop
          if not v_within[v_place] @> v_next or v_next !~ v_regexes[v_place] then
            v_out := null;
            exit;
          end if;
        end loop;
        if v_out is null then
          v_out := v_next || chr(1);
        elsif p_depth is null then
          v_passed := v_passed + 1;
          if v_passed > p_offset then
            return next v_next;
          end if;
          v_out := v_next || chr(1);
        else
          v_out := array_to_string((string_to_array(v_next, '/'))[:p_depth], '/');
          v_open := array(select o from unnest(v_open) o where (o || '0') collate "C" > v_next);
          if v_out <> all (v_open) then
            v_open := v_open || v_out;
            v_passed := v_passed + 1;
            if v_passed > p_offset then
              return next v_out;
            end if;
          end if;
          -- of those that are cut short alike one is enough
          v_out := case when v_out = v_next then v_next || chr(1) else v_out || '0' end;
        end if;
        if v_passed - p_offset >= p_limit then
          return;
        end if;
      else
        v_out := chr(1);
      end if;
      -- no key lies below a single one
      exit when v_high = v_low || chr(1);
      v_next := (select e.parent from pgstate.entry e
                  where e.live and e.parent >= greatest(v_out, v_low) and e.parent < v_high and (e.expires_at is null or e.expires_at > v_now)
                    and e.key >= v_low and e.key < v_high and v_reads @> e.key
                  order by e.parent limit 1);
      v_out := null;
    end loop;
  end loop;
end
$$;
comment on function pgstate._namespaces(pgstate.keymultirange, text[], int, int, int) is 'Internal: namespaces().';

-- functions/threads/_checkpoint_limit.sql
-- The most bytes that are sent for a checkpoint: half of what PostgreSQL has room for in one value, since it is read with the
-- chunks that it shares with others, and in one row.
create function pgstate._checkpoint_limit() returns bigint
language sql immutable
as $$ select 536870912::bigint $$;
comment on function pgstate._checkpoint_limit() is 'Internal: the most bytes that a checkpoint has.';

-- functions/threads/_refs.sql
-- The hashes that a root or pages name. In SQL, so that it is inlined.
create function pgstate._refs(p_types text[], p_data bytea[]) returns setof bytea
language sql immutable
as $$
  select pg_catalog.substr(u.data, 16 * i + 1, 16)
    from rows from (pg_catalog.unnest(p_types), pg_catalog.unnest(p_data)) u (type, data)
    cross join pg_catalog.generate_series(0, pg_catalog.octet_length(u.data) / 16 - 1) i
   where u.type = '@' or u.type ^@ '#'
$$;
comment on function pgstate._refs(text[], bytea[]) is 'Internal: the chunks that a root or pages name.';

-- functions/threads/_checkpoint_id.sql
-- An id for a checkpoint whose caller has none: a UUID of version 6 (RFC 9562), whose text is in the order of time, above
-- the one given, though clocks may go back. Null where that is none of these, and no time can be told to lie above it.
create function pgstate._checkpoint_id(p_after text) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- in 100 ns since 1582-10-15
  v_ticks bigint := (extract(epoch from pgstate._now()) * 1000000)::bigint * 10 + 122192928000000000;
  v_hex text;
begin
  if p_after collate "C" >= left(to_hex(v_ticks), 8) then
    if p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      return null;
    end if;
    v_ticks := greatest(v_ticks, ('x0' || left(p_after, 8) || substr(p_after, 10, 4) || substr(p_after, 16, 3))::bit(64)::bigint + 1);
    if v_ticks >> 60 > 0 then
      return null;
    end if;
  end if;
  v_hex := lpad(to_hex(v_ticks), 15, '0');
  return left(v_hex, 8) || '-' || substr(v_hex, 9, 4) || '-6' || right(v_hex, 3) || right(gen_random_uuid()::text, 18);
end
$$;
comment on function pgstate._checkpoint_id(text) is 'Internal: an id for a checkpoint, above another.';

-- functions/threads/_made_before.sql
-- Was an id that _checkpoint_id() has made, of a UUID of version 6, made before a time? False for others.
create function pgstate._made_before(p_id text, p_at timestamptz) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    return false;
  end if;
  return ('x0' || left(p_id, 8) || substr(p_id, 10, 4) || substr(p_id, 16, 3))::bit(64)::bigint
    < (extract(epoch from p_at) * 1000000)::bigint * 10 + 122192928000000000;
end
$$;
comment on function pgstate._made_before(text, timestamptz) is 'Internal: was an id made before a time?';

-- functions/threads/_wanted_channels.sql
-- Those of the wanted channels that a checkpoint lists without a value: an ancestor may have it. In time with how many there
-- are: whoever may write there says that, and others fork and prune what it saved. In an order that does not vary, by which a
-- walk knows what it has had.
create function pgstate._wanted_channels(p_names text[], p_types text[], p_wanted text[]) returns text[]
language sql immutable
as $$
  select array(
    select x.name
      from (select u.name, true as listed
              from rows from (pg_catalog.unnest(p_names), pg_catalog.unnest(p_types)) u (name, type) where u.type is null
            union all
            select w, false from pg_catalog.unnest(p_wanted) w) x
     group by x.name having pg_catalog.bool_or(x.listed) and not pg_catalog.bool_and(x.listed)
     order by x.name collate pg_catalog."C")
$$;
comment on function pgstate._wanted_channels(text[], text[], text[]) is 'Internal: channels whose value is to be had from an ancestor.';

-- functions/threads/_live_thread.sql
-- The thread of a key, if it is there for readers: one that has expired, or holds writes only, is not.
create function pgstate._live_thread(p_key text) returns pgstate.thread
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_thread pgstate.thread;
begin
  select t.* into v_thread
    from pgstate.thread t join pgstate.entry e on e.key = t.key
   where t.key = p_key and t.begun_at is not null and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now());
  return v_thread;
end
$$;
comment on function pgstate._live_thread(text) is 'Internal: the thread of a key.';

-- functions/threads/_thread_value.sql
-- What the entry of a thread says: the checkpoint that was saved last, how many there are, and the bytes that they hold.
create function pgstate._thread_value(p_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_build_object('checkpoint', l.id, 'ns', l.ns, 'checkpoints', n.count, 'bytes', n.bytes + k.bytes)
      from (select count(*) as count, coalesce(sum(coalesce(octet_length(c.header), 0) + (select coalesce(sum(octet_length(d)), 0) from unnest(c.data) d)), 0) as bytes
              from pgstate.checkpoint c where c.thread_id = p_id) n
      cross join (select coalesce(sum(octet_length(x.data)), 0) as bytes from pgstate.chunk x where x.thread_id = p_id) k
      left join lateral (select c.id, c.ns from pgstate.checkpoint c where c.thread_id = p_id order by c.created_at desc, c.id desc limit 1) l on true);
end
$$;
comment on function pgstate._thread_value(bigint) is 'Internal: what the entry of a thread says of its checkpoints, counted anew.';

-- functions/threads/_detach_threads.sql
-- The entries of these keys are no threads or runs any more: what they held is collected. Called with the entries locked. Waits for
-- who forks one of them or adds writes to it.
create function pgstate._detach_threads(p_keys text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  update pgstate.thread t set key = null, collect_at = pgstate._now() where t.key = any (p_keys);
  update pgstate.run r set key = null, ended_at = coalesce(r.ended_at, pgstate._now()) where r.key = any (p_keys);
end
$$;
comment on function pgstate._detach_threads(text[]) is 'Internal: takes threads and runs off their keys.';

-- functions/threads/_collect_thread.sql
-- Removes what a thread does not need any more: all that it held when it is gone, else the chunks that no checkpoint reaches,
-- of its own or of a fork. At most p_limit rows of a kind; is there more to do? To know what is reached takes a look at all
-- checkpoints, some 0.06 ms each: of more than p_most that is left to maintain().
--
-- Nothing that a save under way refers to is lost. Its own thread's entry it has locked, so this is not at work there. Of the
-- thread that it was forked from it refers only to what its parent checkpoint reaches, which was there for this to see, or
-- what a fork has begun with: and a fork keeps the thread that it is made from locked until it is there to be seen. Under
-- REPEATABLE READ a fork might be missed: then this is left to others. Nobody waits for this, and this waits for nobody.
create function pgstate._collect_thread(p_id bigint, p_limit int, p_most int default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_memoize = off set gin_fuzzy_search_limit = 0
as $$
declare
  v_key text := (select t.key from pgstate.thread t where t.id = p_id);
  v_thread pgstate.thread;
  v_forks bigint[];
  v_stores bigint[];
  v_count int;
  v_told int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  elsif v_key is not null then
    perform from pgstate.entry e where e.key = v_key for no key update skip locked;
    if not found and exists (select from pgstate.entry e where e.key = v_key) then
      return false;
    end if;
  end if;
  select t.* into v_thread from pgstate.thread t where t.id = p_id and t.key is not distinct from v_key for update skip locked;
  if not found or v_thread.collect_at is null or v_thread.collect_at > pgstate._now() then
    return false;
  elsif v_key is not null and v_thread.begun_at is null then
    -- nobody has begun what these writes were for
    update pgstate.thread t set key = null where t.id = p_id;
    v_key := null;
  end if;

  -- as the index has it, and whole: who calls may have set a limit to what it finds
  v_forks := array(select t.id from pgstate.thread t where t.bases @> array[p_id] and t.bases <> '{}');
  if v_key is null then
    delete from pgstate.pending_write w
     where w.ctid = any (array(select x.ctid from pgstate.pending_write x where x.thread_id = p_id limit p_limit));
    get diagnostics v_count = row_count;
    if v_count < p_limit then
      delete from pgstate.checkpoint c
       where c.ctid = any (array(select x.ctid from pgstate.checkpoint x where x.thread_id = p_id limit p_limit));
      get diagnostics v_count = row_count;
    end if;
    if v_count < p_limit and v_forks = '{}' then
      delete from pgstate.chunk c
       where c.ctid = any (array(select x.ctid from pgstate.chunk x where x.thread_id = p_id limit p_limit));
      get diagnostics v_count = row_count;
    end if;
    if v_count >= p_limit then
      return true;
    end if;
  end if;
  if v_key is not null or v_forks <> '{}' then
    if p_most < (select count(*) from (select from pgstate.checkpoint c where c.thread_id = any (v_forks || p_id) limit p_most + 1) c) then
      return true;
    end if;
    v_stores := array(select distinct s from pgstate.thread t cross join unnest(t.bases || t.id) s where t.id = any (v_forks || p_id));
    with recursive reached (hash) as (
      select pgstate._refs(c.types, c.data) from pgstate.checkpoint c where c.thread_id = any (v_forks || p_id)
      union
      select n.hash
        from reached r
        cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_stores) and x.hash = r.hash offset 0) k
        -- and what takes its place: see _rekey_data()
        cross join lateral (
          select pgstate._refs(array[k.type], array[k.data]) where k.type ^@ '#' union all select k.moved_to where k.moved_to is not null) n (hash)
    )
    delete from pgstate.chunk c
     where c.ctid = any (array(
       -- NOT IN is answered by going through all that is reached, for each. Pages before what they name: one that is there is
       -- complete, since a save asks no more of it
       select x.ctid from pgstate.chunk x where x.thread_id = p_id and not exists (select from reached r where r.hash = x.hash)
        order by case when x.type ^@ '#' then x.type else '' end desc limit p_limit));
    get diagnostics v_count = row_count;
    if v_count >= p_limit then
      return true;
    end if;
  end if;

  if v_thread.bases <> '{}' then
    -- what only this one reached there
    update pgstate.thread t set collect_at = pgstate._now()
     where t.id in (select b.id from pgstate.thread b where b.id = any (v_thread.bases) for update skip locked);
    get diagnostics v_told = row_count;
    if v_told < (select count(*) from pgstate.thread b where b.id = any (v_thread.bases)) then
      return false;
    end if;
  end if;
  if v_key is null and v_forks = '{}' then
    delete from pgstate.thread t where t.id = p_id;
  else
    update pgstate.thread t set collect_at = null where t.id = p_id;
  end if;
  return false;
end
$$;
comment on function pgstate._collect_thread(bigint, int, int) is 'Internal: removes what a thread does not need any more.';

-- functions/threads/_collect_threads.sql
-- One that takes longer than the caller's statement may waits for an hour: it would have all that maintain() does undone, each
-- time anew. How long one takes is for whoever may write it to say: a list may name the same chunks millions of times.
create function pgstate._collect_threads(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_ids bigint[] := array(select t.id from pgstate.thread t where t.collect_at <= pgstate._now() order by t.collect_at limit 100);
  v_more boolean := false;
begin
  for v_index in 1 .. cardinality(v_ids) loop
    begin
      v_more := pgstate._collect_thread(v_ids[v_index], p_limit);
    exception when query_canceled then
      update pgstate.thread t set collect_at = pgstate._now() + interval '1 hour'
       where t.id in (select x.id from pgstate.thread x where x.id = v_ids[v_index] for update skip locked);
      return true;
    end;
    -- one long one at a time
    exit when v_more;
  end loop;
  return v_more or cardinality(v_ids) = 100;
end
$$;
comment on function pgstate._collect_threads(int) is 'Internal: removes what threads do not need any more; is there more to do?';

-- functions/threads/_drop_thread.sql
create function pgstate._drop_thread(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key);
begin
  perform pgstate._detach_threads(array[p_key]);
  -- the rest is maintain()'s
  perform pgstate._collect_thread(v_id, 10000, 1000);
end
$$;
comment on function pgstate._drop_thread(text) is 'Internal: removes a thread whose entry was deleted.';

-- functions/threads/_remove_checkpoints.sql
-- Removes checkpoints of a thread whose entry the caller has locked (all but p_keep of each namespace and p_ids, or those of
-- runs), and the writes after them, but not what those that stay cannot be read without. What the thread does not need any more is collected. Returns how many went, and what its entry says
-- from then on (null when none went). The oldest that a number leaves has no parent from then on; where runs went, those that
-- came after them still name what they came after.
create function pgstate._remove_checkpoints(p_key text, p_ns text, p_keep int, p_run_ids text[], p_ids text[] default null) returns pgstate._removed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key for no key update);
  v_spaces text[];
  v_gone text[];
  v_space text;
  v_one text;
  v_out pgstate._removed;
begin
  -- OFFSET, EXCEPT, and a query in place of NOT EXISTS: each by a look at the index, as there may be very many on both sides
  with recursive judged as materialized (
    select c.ns, c.id, c.whole,
           (case when p_run_ids is null then c.place > p_keep or c.id = any (p_ids) else c.run_id = any (p_run_ids) end) is true as given
      from (select x.ns, x.id, x.whole, x.run_id, row_number() over (partition by x.ns order by x.id desc) as place
              from pgstate.checkpoint x where x.thread_id = v_id and (p_ns is null or x.ns = p_ns)) c
  ), needed (ns, id, wanted) as (
    select c.ns, c.parent, pgstate._wanted_channels(c.names, c.types, c.names)
      from judged j
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_id and y.ns = j.ns and y.id = j.id offset 0) c
     where not j.given and not j.whole
    union
    select c.ns, c.parent, w.left_over
      from needed n
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_id and y.ns = n.ns and y.id = n.id offset 0) c
      cross join lateral pgstate._wanted_channels(c.names, c.types, n.wanted) w (left_over)
     where w.left_over <> '{}'
  ), going as materialized (
    select j.ns, j.id from judged j where j.given except select n.ns, n.id from needed n
  ), gone as (
    delete from pgstate.checkpoint c
     where c.ctid = any (array(
       select y.ctid
         from going g
         cross join lateral (
           select x.ctid from pgstate.checkpoint x where x.thread_id = v_id and x.ns = g.ns and x.id = g.id offset 0) y))
    returning c.ns, c.id
  )
  select count(*), array_agg(c.ns), array_agg(c.id) into v_out.removed, v_spaces, v_gone from gone c;
  -- by their names: one that is written again meanwhile has another place
  for v_space, v_one in select * from unnest(v_spaces, v_gone) loop
    delete from pgstate.pending_write w where w.thread_id = v_id and w.ns = v_space and w.checkpoint = v_one;
  end loop;
  if p_run_ids is null then
    update pgstate.checkpoint c set parent = null
     where c.thread_id = v_id and (p_ns is null or c.ns = p_ns) and c.parent is not null
       and (select true from pgstate.checkpoint p where p.thread_id = v_id and p.ns = c.ns and p.id = c.parent) is null;
  end if;
  if v_out.removed = 0 then
    return v_out;
  end if;
  update pgstate.thread t set pruned = true, collect_at = pgstate._now() where t.id = v_id;
  perform pgstate._collect_thread(v_id, 10000, 1000);
  v_out.value := pgstate._thread_value(v_id);
  return v_out;
end
$$;
comment on function pgstate._remove_checkpoints(text, text, int, text[], text[]) is 'Internal: removes checkpoints but the newest of each namespace, or those of runs.';

-- functions/threads/_store_checkpoint.sql
-- Stores a checkpoint of a thread whose entry the caller has locked, unless it may not be. Without a time (p_now) the caller
-- has not: then it is locked here, and its version, its value and the time are returned; or, if it is not there as a thread
-- without a time to live, status unlocked. Claims change only under that lock: here they are seen as they are. As the
-- owner: what is in the tables under it, no agent reaches but through functions that ask for the key first.
--
-- A chunk that the root or a page names must be sent, or be the thread's own, or be reached by the parent: a fork cannot find
-- out by a hash what else the thread that it came from holds. What was sent stays, though others are missing: the next call
-- brings those. Pages do not stay in a fork then, since a later root would reach by them what was missing. The same checkpoint saved again, as it is when a reply was lost, changes nothing: added is null then.
--
-- Order of locks: the entry, the thread, and nothing else. Chunks are removed under the entry's lock only, so what is found
-- here stays; chunks of another thread stay while a checkpoint of this one reaches them, see _collect_thread().
create function pgstate._store_checkpoint(
  p_actor pgstate._actor, p_key text, p_now timestamptz, p_token bigint, p_ns text, p_id text, p_parent text, p_names text[],
  p_versions text[], p_types text[], p_data bytea[], p_chunk_types text[], p_chunk_data bytea[], p_header bytea, p_whole boolean,
  p_metadata jsonb, p_run_id text, p_expect_head text, p_guard text[]
) returns pgstate._stored
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_now timestamptz := p_now;
  v_thread record;
  v_parent text;
  v_found boolean;
  v_missing bytea[];
  v_pages bytea[] := '{}';
  v_stores bigint[];
  v_out pgstate._stored;
  v_payer int := case when p_actor.quota then p_actor.id end;
begin
  if v_now is null then
    -- its life is told by the value: see _put_existing()
    select e.version, e.value into v_out.version, v_out.value
      from pgstate.entry e
     where e.key = p_key and e.value is not null and e.kind = 'thread' and e.expires_at is null for no key update;
    if v_out.version is null then
      v_out.status := 'unlocked';
      return v_out;
    end if;
    v_now := pgstate._now();
    v_out.at := v_now;
  end if;
  select t.id, t.bases, t.pruned, t.begun_at is not null as begun, t.begun_at, t.forked_from, l.token, l.holder_id,
         (select c.id from pgstate.checkpoint c where c.thread_id = t.id and c.ns = p_ns order by c.id desc limit 1) as head,
         exists (select from pgstate.watcher) as watching
    into v_thread
    from (select) one
    left join pgstate.thread t on t.key = p_key
    left join pgstate.claim l on l.key = p_key and l.lease_until > v_now;
  v_out.watching := v_thread.watching;
  v_parent := case when p_parent is null then v_thread.head else nullif(p_parent, '') end;
  -- one look for the usual save, which goes on where the thread is: each expression is initialised anew in every transaction
  if (v_thread.begun and v_parent = v_thread.head and coalesce(p_expect_head, v_parent) = v_parent and num_nonnulls(p_token, v_thread.token) = 0
      and (p_id collate "C" > v_parent) is not false and current_setting('transaction_isolation') = 'read committed') is not true then
    if p_parent is null and p_id collate "C" <= v_thread.head then
      -- one that is there comes after what it came after, not after itself
      select c.parent into v_parent from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = p_id;
      if not found then
        v_parent := v_thread.head;
      end if;
    end if;
    if p_token is not null and (v_thread.token = p_token and v_thread.holder_id = p_actor.id) is not true then
      v_out.status := 'stale';
      return v_out;
    elsif p_token is null and v_thread.token is not null and not (p_actor.policies and pgstate._claimed_writes(p_key)) then
      v_out.status := 'held';
      return v_out;
    end if;
    v_out.head := v_thread.head;
    -- but for one that is sent again
    if p_expect_head <> coalesce(v_thread.head, '') and (v_thread.head = p_id) is not true then
      v_out.status := 'conflict';
      return v_out;
    elsif v_parent is distinct from v_thread.head then
      v_found := exists (select from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_parent);
      if v_parent is not null and not v_found and (
           v_thread.pruned is not true or p_id is null and v_thread.forked_from is null and pgstate._made_before(v_parent, v_thread.begun_at)) then
        -- the thread that it belonged to was deleted, though this one in its place was pruned. (Where ids are the callers' own, their
        -- clocks made them, and a fork has checkpoints from before it was made)
        v_out.status := 'missing';
        return v_out;
      elsif p_guard is not null and exists (
              select from unnest(p_guard) g (name)
                left join pgstate.checkpoint h on h.thread_id = v_thread.id and h.ns = p_ns and h.id = v_thread.head
                left join pgstate.checkpoint b on b.thread_id = v_thread.id and b.ns = p_ns and b.id = v_parent
               where case when h.versions[array_position(h.names, g.name)] is not null
                          then h.versions[array_position(h.names, g.name)] is distinct from b.versions[array_position(b.names, g.name)]
                          else (h.types[array_position(h.names, g.name)], h.data[array_position(h.names, g.name)])
                               is distinct from (b.types[array_position(b.names, g.name)], b.data[array_position(b.names, g.name)]) end) then
        v_out.status := 'conflict';
        return v_out;
      end if;
    end if;
    if v_thread.begun is not true then
      -- until all of it is there, it is one of those that hold writes only
      insert into pgstate.thread as t (key, collect_at) values (p_key, v_now + interval '1 hour')
          on conflict on constraint thread_key_key do update set collect_at = excluded.collect_at
      returning t.id, t.bases into v_thread.id, v_thread.bases;
    elsif current_setting('transaction_isolation') <> 'read committed' then
      -- a chunk that was collected since the snapshot looks as if it were there: a serialization failure
      perform from pgstate.thread t where t.id = v_thread.id for no key update;
    end if;
  end if;
  -- of an array's binary form, 20 bytes and 4 an element are not its elements'. (Adding them up is a query: 15 us)
  v_out.bytes := coalesce(octet_length(p_header), 0) + greatest(octet_length(array_send(p_data)) - 20 - 4 * cardinality(p_data), 0);
  if p_chunk_data is not null then
    v_out.bytes := v_out.bytes + greatest(octet_length(array_send(p_chunk_data)) - 20 - 4 * cardinality(p_chunk_data), 0);
  end if;
  if v_out.bytes > pgstate._checkpoint_limit() then
    v_out.status := 'large';
    return v_out;
  end if;
  v_out.id := coalesce(p_id, pgstate._checkpoint_id(v_thread.head));
  if v_out.id is null then
    v_out.status := 'unnamed';
    return v_out;
  end if;

  if p_chunk_data is not null then
    if v_thread.bases <> '{}' then
      v_pages := array(
        select substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16)
          from unnest(p_chunk_types, p_chunk_data) c (type, data) where c.type ^@ '#');
    end if;
    insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
    select v_thread.id, substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16), c.type, c.data, v_payer
      from unnest(p_chunk_types, p_chunk_data) c (type, data)
     where v_pages = '{}' or not c.type ^@ '#'
        on conflict on constraint chunk_pkey do nothing;
  end if;
  if p_chunk_data is not null or translate(array_to_string(p_types, ''), '@#', '') <> array_to_string(p_types, '') then
    v_missing := array(
      select distinct r.hash
        from (select pgstate._refs(p_types, p_data) union all select pgstate._refs(p_chunk_types, p_chunk_data)) r (hash)
       -- not as a join, of which the planner may make one that goes through all chunks of the thread
       where (select true from pgstate.chunk k where k.thread_id = v_thread.id and k.hash = r.hash) is null and r.hash <> all (v_pages));
    if cardinality(v_missing) > 0 and v_thread.bases <> '{}' then
      v_stores := v_thread.bases || v_thread.id;
      with recursive reached (hash) as (
        select pgstate._refs(c.types, c.data)
          from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_parent
        union
        select pgstate._refs(array[k.type], array[k.data])
          from reached r
          cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_stores) and x.hash = r.hash offset 0) k
         -- a page that is named as it is need not be opened
         where k.type ^@ '#' and r.hash <> all (v_missing)
      )
      select array_agg(m) into v_missing from unnest(v_missing) m where m not in (select r.hash from reached r);
    end if;
    if cardinality(v_missing) > 0 then
      v_out.status := 'incomplete';
      v_out.missing := v_missing || v_pages;
      if v_payer is not null then
        perform pgstate._charge(1, pg_column_size(p_chunk_data) + pg_column_size(p_chunk_types), v_thread.id);
      end if;
      return v_out;
    elsif v_pages <> '{}' then
      insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
      select v_thread.id, substr(sha256(convert_to(c.type, 'UTF8') || E'\\x00'::bytea || c.data), 1, 16), c.type, c.data, v_payer
        from unnest(p_chunk_types, p_chunk_data) c (type, data)
       where c.type ^@ '#'
          on conflict on constraint chunk_pkey do nothing;
    end if;
  end if;

  insert into pgstate.checkpoint as c (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size,
                                       created_at, writer, via, agent_id)
  values (v_thread.id, p_ns, v_out.id, v_parent, p_names, p_versions, p_types, p_data, p_header, p_whole, p_metadata,
          coalesce(p_run_id, p_metadata ->> 'run_id'), v_out.bytes, v_now, p_actor.name, session_user, v_payer)
      on conflict on constraint checkpoint_pkey do nothing;
  if found then
    v_out.added := 1;
  else
    update pgstate.checkpoint c
       set parent = v_parent, names = p_names, versions = p_versions, types = p_types, data = p_data, header = p_header, whole = p_whole,
           metadata = p_metadata, run_id = coalesce(p_run_id, p_metadata ->> 'run_id'), size = c.size + v_out.bytes, created_at = v_now,
           writer = p_actor.name, via = session_user, agent_id = v_payer
     where c.thread_id = v_thread.id and c.ns = p_ns and c.id = v_out.id
       and (c.parent, c.names, c.versions, c.types, c.data, c.header, c.whole, c.metadata, c.run_id)
           is distinct from (v_parent, p_names, p_versions, p_types, p_data, p_header, p_whole, p_metadata, coalesce(p_run_id, p_metadata ->> 'run_id'))
    returning 0 into v_out.added;
  end if;
  if v_thread.begun is not true then
    update pgstate.thread t set begun_at = v_now, collect_at = null where t.id = v_thread.id;
  end if;
  v_out.head := greatest(v_thread.head collate "C", v_out.id);
  if v_payer is not null then
    -- one that was there already makes no version, which would count as a write
    perform pgstate._charge(
      case when v_out.added is null then 1 else 0 end,
      pg_column_size(p_names) + pg_column_size(p_types) + pg_column_size(p_data)::bigint + coalesce(pg_column_size(p_versions), 0)
        + coalesce(pg_column_size(p_header), 0) + coalesce(pg_column_size(p_metadata), 0)
        + coalesce(pg_column_size(p_chunk_data) + pg_column_size(p_chunk_types), 0), v_thread.id);
  end if;
  return v_out;
end
$$;
comment on function pgstate._store_checkpoint(pgstate._actor, text, timestamptz, bigint, text, text, text, text[], text[], text[], bytea[], text[], bytea[], bytea, boolean, jsonb, text, text, text[]) is
  'Internal: stores a checkpoint.';

-- functions/threads/_chunks.sql
-- The chunks that roots reach, level by level, each once. A list has nine levels at most: pages that go on below were made to
-- keep whoever reads them busy.
create function pgstate._chunks(p_stores bigint[], p_types text[], p_data bytea[], out hashes bytea[], out types text[], out data bytea[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_wanted bytea[] := array(select distinct r from pgstate._refs(p_types, p_data) r);
  v_hashes bytea[];
  v_types text[];
  v_data bytea[];
  v_bytes bigint := 0;
begin
  hashes := '{}';
  types := '{}';
  data := '{}';
  for v_level in 1 .. 9 loop
    exit when v_wanted = '{}';
    -- a fork may have sent again what it has from where it came from: once
    select array_agg(k.hash), array_agg(k.type), array_agg(k.data) into v_hashes, v_types, v_data
      from unnest(v_wanted) w (hash)
      cross join lateral (select x.hash, x.type, x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash limit 1) k;
    -- a row has room for twice a checkpoint, of which the roots and writes need some
    v_bytes := v_bytes + coalesce(pg_column_size(v_data), 0);
    if v_bytes > pgstate._checkpoint_limit() / 8 * 15 then
      raise exception using errcode = 'PS004',
        message = format('what was asked for is larger than the %s MB that can be read at once: it reaches chunks of several checkpoints', pgstate._checkpoint_limit() / 8 * 15 >> 20),
        hint = 'Ask for fewer checkpoints at a time; checkpoint_state(key, id, ns) reads those of one channel by channel.';
    end if;
    hashes := hashes || v_hashes;
    types := types || v_types;
    data := data || v_data;
    v_wanted := array(select r from pgstate._refs(v_types, v_data) r except select h from unnest(hashes) h);
  end loop;
end
$$;
comment on function pgstate._chunks(bigint[], text[], bytea[]) is 'Internal: the chunks that roots reach.';

-- functions/threads/_full_checkpoint.sql
-- A checkpoint with the chunks that it reaches, and the writes that came after it.
create function pgstate._full_checkpoint(p_key text, p_bases bigint[], p_checkpoint pgstate.checkpoint) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  c alias for p_checkpoint;
  v_full pgstate.checkpoint_full;
begin
  v_full := row('ok', p_key, c.ns, c.id, c.parent, c.metadata, c.run_id, c.header, c.whole, c.names, c.versions, c.types, c.data, c.size,
                c.created_at, c.writer, c.via, null, null, null, null, null, null, null, null, null)::pgstate.checkpoint_full;
  select k.hashes, k.types, k.data into v_full.chunk_hashes, v_full.chunk_types, v_full.chunk_data
    from pgstate._chunks(p_bases || c.thread_id, c.types, c.data) k;
  select array_agg(w.task_id order by w.task_path, w.task_id, w.idx), array_agg(w.task_path order by w.task_path, w.task_id, w.idx),
         array_agg(w.idx order by w.task_path, w.task_id, w.idx), array_agg(w.channel order by w.task_path, w.task_id, w.idx),
         array_agg(w.type order by w.task_path, w.task_id, w.idx), array_agg(w.data order by w.task_path, w.task_id, w.idx)
    into v_full.write_task_ids, v_full.write_task_paths, v_full.write_idxs, v_full.write_channels, v_full.write_types, v_full.write_data
    from pgstate.pending_write w where w.thread_id = c.thread_id and w.ns = c.ns and w.checkpoint = c.id;
  return v_full;
end
$$;
comment on function pgstate._full_checkpoint(text, bigint[], pgstate.checkpoint) is 'Internal: a checkpoint with its chunks and writes.';

-- functions/threads/_get_checkpoint.sql
-- Of a thread that the caller may read: the latest, or one by its id. Null status: it is not there. An expression all the way
-- up, since every query on the way copies what it holds.
create function pgstate._get_checkpoint(p_key text, p_id text, p_ns text) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_checkpoint pgstate.checkpoint;
begin
  if p_id is null then
    select c.* into v_checkpoint from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns order by c.id desc limit 1;
  else
    select c.* into v_checkpoint from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = p_id;
  end if;
  if v_checkpoint.id is null then
    return row('missing', p_key, p_ns, p_id, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
               null, null, null, null)::pgstate.checkpoint_full;
  end if;
  return pgstate._full_checkpoint(p_key, v_thread.bases, v_checkpoint);
end
$$;
comment on function pgstate._get_checkpoint(text, text, text) is 'Internal: a checkpoint of a thread.';

-- functions/threads/_get_checkpoints.sql
create function pgstate._get_checkpoints(p_key text, p_ids text[], p_ns text) returns setof pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  return query
    select f.*
      from (select distinct i from unnest(p_ids) i) n (id)
     -- OFFSET: each by a look at the index, which up to 16 the condition = any (…) is not
     cross join lateral (
       select x.* from pgstate.checkpoint x where x.thread_id = v_thread.id and x.ns = p_ns and x.id = n.id offset 0) c
     cross join lateral pgstate._full_checkpoint(p_key, v_thread.bases, c) f;
end
$$;
comment on function pgstate._get_checkpoints(text, text[], text) is 'Internal: checkpoints of one thread.';

-- functions/threads/_checkpoint_parts.sql
-- Of a thread that the caller may read.
create function pgstate._checkpoint_parts(p_key text, p_ids text[], p_ns text) returns pgstate.checkpoint_parts
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_types text[];
  v_data bytea[];
  v_parts pgstate.checkpoint_parts;
  v_ids text[] := array(select distinct i from unnest(p_ids) i);
begin
  -- OFFSET: each by a look at the index, which up to 16 the condition = any (…) is not
  select array_agg(r.type), array_agg(r.data) into v_types, v_data
    from unnest(v_ids) n (id)
   cross join lateral (
     select x.types, x.data from pgstate.checkpoint x where x.thread_id = v_thread.id and x.ns = p_ns and x.id = n.id offset 0) c
   cross join lateral unnest(c.types, c.data) r (type, data)
   where r.type = '@' or r.type ^@ '#';
  select k.hashes, k.types, k.data into v_parts.chunk_hashes, v_parts.chunk_types, v_parts.chunk_data
    from pgstate._chunks(v_thread.bases || v_thread.id, v_types, v_data) k;
  select array_agg(w.checkpoint::text), array_agg(w.task_id::text), array_agg(w.task_path::text), array_agg(w.idx), array_agg(w.channel),
         array_agg(w.type::text), array_agg(w.data)
    into v_parts.write_checkpoints, v_parts.write_task_ids, v_parts.write_task_paths, v_parts.write_idxs, v_parts.write_channels,
         v_parts.write_types, v_parts.write_data
    from (select w.*
            from unnest(v_ids) n (id)
           cross join lateral (
             select x.* from pgstate.pending_write x where x.thread_id = v_thread.id and x.ns = p_ns and x.checkpoint = n.id offset 0) w
           order by w.task_path, w.task_id, w.idx) w;
  return v_parts;
end
$$;
comment on function pgstate._checkpoint_parts(text, text[], text) is 'Internal: what checkpoints of one thread reach.';

-- functions/threads/_channel_history.sql
-- Up the chain of parents, from p_id (without it the latest), for each channel to the first that has a value of it. A row of
-- the walk that comes again ends it: parents may be made to go round. Rows come in the order of the walk.
create function pgstate._channel_history(p_key text, p_channels text[], p_id text, p_ns text) returns pgstate.channel_history
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_ids text[];
  v_places bigint[];
  v_channels text[];
  v_out pgstate.channel_history;
begin
  with recursive walk (parent, id, wanted, left_over, names, types, data) as (
    (select c.parent::text, null::text collate "C", null::text[], p_channels, null::text[], null::text[], null::bytea[]
       from pgstate.checkpoint c
      where c.thread_id = v_thread.id and c.ns = p_ns
        and c.id = coalesce(p_id, (select max(y.id) from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns)))
    union
    select a.parent::text, a.id::text, w.left_over,
           array(select o from unnest(w.left_over) o where a.types[array_position(a.names, o)] is null), a.names, a.types, a.data
      from walk w
      -- OFFSET: by a look at the index, however many there are
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns and y.id = w.parent offset 0) a
     where cardinality(w.left_over) > 0
  ), placed as (
    select row_number() over () as place, w.* from walk w
  ), ended as (
    select o as channel, p.types[array_position(p.names, o)] as type, p.data[array_position(p.names, o)] as data
      from placed p cross join lateral unnest(p.wanted) o where p.types[array_position(p.names, o)] is not null
  )
  select (select array_agg(e.channel) from ended e), (select array_agg(e.type) from ended e), (select array_agg(e.data) from ended e),
         array_agg(p.id), array_agg(p.place), array_agg(o)
    into v_out.seed_channels, v_out.seed_types, v_out.seed_data, v_ids, v_places, v_channels
    from placed p cross join lateral unnest(p.wanted) o;
  select k.hashes, k.types, k.data into v_out.chunk_hashes, v_out.chunk_types, v_out.chunk_data
    from pgstate._chunks(v_thread.bases || v_thread.id, v_out.seed_types, v_out.seed_data) k;
  select array_agg(w.channel), array_agg(w.task_id), array_agg(w.type), array_agg(w.data)
    into v_out.write_channels, v_out.write_task_ids, v_out.write_types, v_out.write_data
    from (select w.channel, w.task_id::text, w.type::text, w.data
            from unnest(v_ids, v_places, v_channels) a (id, place, channel)
            cross join lateral (
              select y.* from pgstate.pending_write y
               where y.thread_id = v_thread.id and y.ns = p_ns and y.checkpoint = a.id and y.channel = a.channel offset 0) w
           order by a.place desc, w.task_path, w.task_id, w.idx) w;
  return v_out;
end
$$;
comment on function pgstate._channel_history(text, text[], text, text) is 'Internal: what channels of a thread are made of.';

-- functions/threads/_checkpoints.sql
-- Of one thread along the index, newest first, else those of all threads within the ranges. A page of one thread costs what
-- it returns. p_after_key and p_after_ns: of those with the id p_before (forks have the ids of what they come from) the ones
-- behind these. p_ranges: the keys that the caller may read.
create function pgstate._checkpoints(
  p_key text, p_ranges pgstate.keymultirange, p_regex text, p_ns text, p_before text, p_limit int, p_filter jsonb, p_run_id text,
  p_after_key text, p_after_ns text
) returns setof pgstate.checkpoint_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  if p_key is not null and p_run_id is null then
    return query
      with recursive space (ns) as (
        -- the namespaces of the thread, each by a look at the index: sorting is off, and what a planner of 16 makes of min() on a
        -- small table reads all of the thread
        select (select c.ns from pgstate.checkpoint c where c.thread_id = v_thread.id and (p_ns is null or c.ns = p_ns) order by c.ns limit 1)
        union all
        select (select c.ns from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns > s.ns order by c.ns limit 1)
          from space s where p_ns is null and s.ns is not null
      )
      select 'ok', p_key, m.ns::text, m.id::text, m.parent::text, m.metadata, m.run_id::text, m.header, m.whole, m.names, m.versions,
             m.types, m.data, m.size, m.created_at, m.writer, m.via
        from space s
        cross join lateral (
          select c.* from pgstate.checkpoint c
           where c.thread_id = v_thread.id and c.ns = s.ns
             -- a bound in any case, so that the index is entered there
             and c.id <= coalesce(p_before, (
               select y.id from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = s.ns order by y.id desc limit 1))
             and (p_before is null or c.id < p_before or (p_key, c.ns) > (p_after_key, p_after_ns))
             and (p_filter is null or c.metadata @> p_filter)
           order by c.id desc limit p_limit) m
       order by m.id desc, m.ns limit p_limit;
  elsif p_run_id is not null then
    return query
      select 'ok', t.key::text, c.ns::text, c.id::text, c.parent::text, c.metadata, c.run_id::text, c.header, c.whole, c.names, c.versions,
             c.types, c.data, c.size, c.created_at, c.writer, c.via
        from pgstate.checkpoint c
        -- a limit, so that this is looked up for each and the planner does not begin with all threads
        cross join lateral (
          select x.key from pgstate.thread x join pgstate.entry e on e.key = x.key
           where x.id = c.thread_id and e.value is not null and (e.expires_at is null or e.expires_at > v_now) limit 1) t
       where c.run_id = p_run_id and p_ranges @> t.key and (p_key is null or t.key = p_key) and (p_regex is null or t.key ~ p_regex)
         and (p_ns is null or c.ns = p_ns)
         and (p_before is null or c.id < p_before or c.id = p_before and (t.key, c.ns) > (p_after_key, p_after_ns))
         and (p_filter is null or c.metadata @> p_filter)
       order by c.id desc, t.key, c.ns limit p_limit;
  else
    return query
      select 'ok', t.key::text, c.ns::text, c.id::text, c.parent::text, c.metadata, c.run_id::text, c.header, c.whole, c.names, c.versions,
             c.types, c.data, c.size, c.created_at, c.writer, c.via
        from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id join pgstate.entry e on e.key = t.key
       where p_ranges @> t.key and (p_regex is null or t.key ~ p_regex)
         and e.value is not null and (e.expires_at is null or e.expires_at > v_now) and (p_ns is null or c.ns = p_ns)
         and (p_before is null or c.id < p_before or c.id = p_before and (t.key, c.ns) > (p_after_key, p_after_ns))
         and (p_filter is null or c.metadata @> p_filter)
       order by c.id desc, t.key, c.ns limit p_limit;
  end if;
end
$$;
comment on function pgstate._checkpoints(text, pgstate.keymultirange, text, text, text, int, jsonb, text, text, text) is 'Internal: checkpoints of threads within ranges.';

-- functions/threads/_put_writes.sql
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

-- functions/threads/_keys_of_runs.sql
create function pgstate._keys_of_runs(p_run_ids text[], p_ranges pgstate.keymultirange) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  return array(
    select distinct t.key
      from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id
     where c.run_id = any (p_run_ids) and p_ranges @> t.key order by t.key);
end
$$;
comment on function pgstate._keys_of_runs(text[], pgstate.keymultirange) is 'Internal: threads that hold checkpoints of runs.';

-- functions/threads/_fork_thread.sql
-- Makes a thread of another's checkpoints, whose chunks it then reads: nothing is copied but their roots. Too long a line of
-- forks would make reading slow, so the chunks are copied then. The target's entry is locked by the caller; the other thread
-- is locked against being deleted or pruned until the fork is there to be seen: see _collect_thread().
create function pgstate._fork_thread(
  p_key text, p_target text, p_id text, p_ns text, p_history boolean, p_now timestamptz, p_payer int
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_source pgstate.thread := pgstate._live_thread(p_key);
  v_id bigint;
  v_from text;
begin
  perform from pgstate.thread t where t.id = v_source.id and t.key = p_key for share;
  if not found then
    return null;
  end if;
  v_from := coalesce(p_id, (select c.id from pgstate.checkpoint c where c.thread_id = v_source.id and c.ns = p_ns order by c.id desc limit 1));
  if not p_history and not exists (select from pgstate.checkpoint c where c.thread_id = v_source.id and c.ns = p_ns and c.id = v_from) then
    return null;
  end if;
  insert into pgstate.thread as t (key, bases, begun_at, pruned, forked_from, forked_id)
  values (p_target, v_source.bases || v_source.id, p_now, v_source.pruned and p_history, p_key, case when not p_history then v_from end)
      on conflict on constraint thread_key_key do update
     set bases = excluded.bases, begun_at = excluded.begun_at, pruned = excluded.pruned, forked_from = excluded.forked_from,
         forked_id = excluded.forked_id, collect_at = null
  returning t.id into v_id;
  -- of saves that were never complete: a page among them would reach what the other thread holds
  delete from pgstate.chunk k where k.thread_id = v_id;
  with recursive line (id, parent, wanted) as (
    select c.id, c.parent, case when c.whole then '{}' else pgstate._wanted_channels(c.names, c.types, c.names) end
      from pgstate.checkpoint c
     where not p_history and c.thread_id = v_source.id and c.ns = p_ns and c.id = v_from
    union
    select c.id, c.parent, pgstate._wanted_channels(c.names, c.types, l.wanted)
      from line l
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_source.id and y.ns = p_ns and y.id = l.parent offset 0) c
     where l.wanted <> '{}'
  ), copied as (
    insert into pgstate.checkpoint (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size, created_at,
                                    writer, via, agent_id)
    select v_id, c.ns, c.id, case when p_history or exists (select from line l where l.id = c.parent) then c.parent end, c.names, c.versions,
           c.types, c.data, c.header, c.whole, c.metadata, c.run_id, c.size, c.created_at, c.writer, c.via, p_payer
      from (
        -- OFFSET: each by a look at the index, however many there are
        select x.* from (select distinct l.id from line l) l
         cross join lateral (
           select y.* from pgstate.checkpoint y where y.thread_id = v_source.id and y.ns = p_ns and y.id = l.id offset 0) x
        union all
        select x.* from pgstate.checkpoint x where p_history and x.thread_id = v_source.id
      ) c
    returning ns, id
  )
  insert into pgstate.pending_write (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data, agent_id, writer, written_at)
  select v_id, w.ns, w.checkpoint, w.task_id, w.idx, w.task_path, w.channel, w.type, w.data, p_payer, w.writer, w.written_at
    from copied c
    cross join lateral (
      select x.* from pgstate.pending_write x where x.thread_id = v_source.id and x.ns = c.ns and x.checkpoint = c.id offset 0) w
      on conflict on constraint pending_write_pkey do nothing;
  if cardinality(v_source.bases) >= 7 then
    with recursive reached (hash) as (
      select pgstate._refs(c.types, c.data) from pgstate.checkpoint c where c.thread_id = v_id
      union
      select pgstate._refs(array[k.type], array[k.data])
        from reached r
        cross join lateral (
          select x.* from pgstate.chunk x where x.thread_id = any (v_source.bases || v_source.id) and x.hash = r.hash offset 0) k
       where k.type ^@ '#'
    )
    insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
    select v_id, k.hash, k.type, k.data, p_payer
      from reached r
      cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_source.bases || v_source.id) and x.hash = r.hash limit 1) k
        on conflict on constraint chunk_pkey do nothing;
    update pgstate.thread t set bases = '{}' where t.id = v_id;
  end if;
  if p_payer is not null then
    -- what it holds itself: the roots, and the writes after them
    perform pgstate._charge(0, ((select coalesce(sum(pgstate._checkpoint_bytes(c)), 0) from pgstate.checkpoint c where c.thread_id = v_id)
      + (select coalesce(sum(pg_column_size(w.data)), 0) from pgstate.pending_write w where w.thread_id = v_id)
      + (select coalesce(sum(pg_column_size(k.data)), 0) from pgstate.chunk k where k.thread_id = v_id))::bigint, v_id);
  end if;
  return pgstate._thread_value(v_id) || case when p_history then '{}' else jsonb_build_object('checkpoint', v_from, 'ns', p_ns) end;
end
$$;
comment on function pgstate._fork_thread(text, text, text, text, boolean, timestamptz, int) is 'Internal: makes a thread of another''s checkpoints.';

-- functions/threads/_repeat_checkpoint.sql
-- A checkpoint with the channels of an earlier one. One that cannot be read without its parent is read without what was
-- written after it, so the new one has the same parent.
create function pgstate._repeat_checkpoint(p_actor pgstate._actor, p_key text, p_id text, p_ns text, p_metadata jsonb, p_now timestamptz) returns pgstate._stored
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key);
  v_head text := (select c.id from pgstate.checkpoint c where c.thread_id = v_id and c.ns = p_ns order by c.id desc limit 1);
  v_new text := pgstate._checkpoint_id(v_head);
  v_out pgstate._stored;
begin
  if v_new is null then
    perform pgstate._raise('PS007', p_key, pgstate._save_error('PS007', p_key));
  end if;
  insert into pgstate.checkpoint (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size, created_at,
                                  writer, via, agent_id)
  select c.thread_id, c.ns, v_new, case when c.whole then c.id else c.parent end, c.names, c.versions, c.types,
         c.data, c.header, c.whole, coalesce(p_metadata, jsonb_build_object('source', 'rollback', 'checkpoint', c.id)),
         p_metadata ->> 'run_id', b.bytes, p_now, p_actor.name, session_user, case when p_actor.quota then p_actor.id end
    from pgstate.checkpoint c
    cross join lateral (select coalesce(sum(octet_length(d)), 0) + coalesce(octet_length(c.header), 0) as bytes from unnest(c.data) d) b
   where c.thread_id = v_id and c.ns = p_ns and c.id = p_id
  returning id, size into v_out.id, v_out.bytes;
  if v_out.id is null then
    v_out.status := 'missing';
  end if;
  v_out.head := coalesce(v_out.id, v_head);
  v_out.added := 1;
  if p_actor.quota then
    perform pgstate._charge(0, pgstate._checkpoint_bytes(c), v_id) from pgstate.checkpoint c where c.thread_id = v_id and c.ns = p_ns and c.id = v_out.id;
  end if;
  return v_out;
end
$$;
comment on function pgstate._repeat_checkpoint(pgstate._actor, text, text, text, jsonb, timestamptz) is 'Internal: appends a copy of a checkpoint.';

-- functions/threads/_threads.sql
-- Where it was forked from is the key of another, for whoever may read that.
create function pgstate._threads(p_ranges pgstate.keymultirange, p_regex text, p_limit int, p_reads pgstate.keymultirange) returns setof pgstate.thread_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_reads pgstate.keymultirange := p_reads + '{}';
begin
  -- as in list()
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select t.key::text, e.value ->> 'checkpoint', e.value ->> 'ns', (e.value -> 'checkpoints')::bigint, (e.value -> 'bytes')::bigint,
               e.version, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, case when v_reads @> t.forked_from then t.forked_from::text end, t.forked_id::text
          from pgstate.thread t join pgstate.entry e on e.key = t.key
         where t.key >= span.low and t.key < span.high and e.value is not null and t.begun_at is not null
           and (e.expires_at is null or e.expires_at > v_now) and (p_regex is null or t.key ~ p_regex)
         order by t.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._threads(pgstate.keymultirange, text, int, pgstate.keymultirange) is 'Internal: threads within ranges, in key order.';

-- functions/threads/_json_of.sql
-- Null for what jsonb cannot hold: U+0000, lone surrogates, NaN.
create function pgstate._json_of(p_data bytea) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(p_data, 'UTF8')::jsonb;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;
comment on function pgstate._json_of(bytea) is 'Internal: the value of a JSON text, if Postgres can hold it.';

-- functions/threads/_text_of.sql
-- Whoever may write there sent it, and need not have sent text: that must not keep anybody from reading the rest.
create function pgstate._text_of(p_data bytea) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(p_data, 'UTF8');
exception when data_exception then
  return encode(p_data, 'escape');
end
$$;
comment on function pgstate._text_of(bytea) is 'Internal: the message of an error; what is no text, in escapes.';

-- functions/threads/_channel_value.sql
-- A channel of a checkpoint, put together from its chunks where it is JSON, and a list of a million elements at most.
create function pgstate._channel_value(p_stores bigint[], p_name text, p_version text, p_type text, p_data bytea) returns pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_row pgstate.channel_row;
  v_data bytea := p_data;
  v_hashes bytea[];
  v_length bigint;
  v_type text;
begin
  v_row.channel := p_name;
  v_row.version := p_version;
  v_row.type := p_type;
  if p_type = '@' then
    select k.type, k.data into v_row.type, v_data
      from pgstate.chunk k where k.thread_id = any (p_stores) and k.hash = p_data limit 1;
  elsif p_type ~ '^#[0-9]$' then
    v_hashes := array(select r.hash from pgstate._refs(array[p_type], array[p_data]) with ordinality r (hash, ord) order by r.ord);
    for v_level in 1 .. substr(p_type, 2)::int loop
      -- what is no page was never asked for what it names; pages that name pages many times over would make a list that nobody has saved
      v_length := (
        select sum(octet_length(k.data)) / 16
          from unnest(v_hashes) w (hash)
          cross join lateral (select x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash and x.type ^@ '#' limit 1) k);
      if v_length > 1000000 then
        return v_row;
      end if;
      v_hashes := array(
        select substr(k.data, 16 * i + 1, 16)
          from unnest(v_hashes) with ordinality w (hash, ord)
          cross join lateral (select x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash and x.type ^@ '#' limit 1) k
          cross join generate_series(0, octet_length(k.data) / 16 - 1) i
         order by w.ord, i);
    end loop;
    -- one type, or the lowest name of several: then it is not all JSON. A large leaf that is named many times over makes more than
    -- a text can be: not an error, which would keep the other channels from being read
    select max(k.bytes),
           case when bool_and(ltrim(k.type, '+') = 'json') then 'json' else min(ltrim(k.type, '+')) filter (where ltrim(k.type, '+') <> 'json') end,
           '[' || string_agg(case when k.type ^@ '+' then substr(k.data, 2, greatest(octet_length(k.data) - 2, 0)) else k.data end, ',' order by k.ord)
                    filter (where k.bytes <= pgstate._checkpoint_limit()) || ']'
      into v_length, v_type, v_data
      from (select x.type, x.data, w.ord, sum(octet_length(x.data)) over () as bytes
              from unnest(v_hashes) with ordinality w (hash, ord)
              cross join lateral (select y.type, y.data from pgstate.chunk y where y.thread_id = any (p_stores) and y.hash = w.hash limit 1) x) k;
    if v_length > pgstate._checkpoint_limit() then
      return v_row;
    end if;
    v_row.type := v_type;
  end if;
  if v_row.type = 'json' then
    v_row.value := pgstate._json_of(v_data);
  end if;
  return v_row;
end
$$;
comment on function pgstate._channel_value(bigint[], text, text, text, bytea) is 'Internal: a channel of a checkpoint with its value.';

-- functions/threads/_checkpoint_state.sql
create function pgstate._checkpoint_state(p_key text, p_id text, p_ns text) returns setof pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  return query
    select v.*
      from (select x.* from pgstate.checkpoint x
             where x.thread_id = v_thread.id and x.ns = p_ns
               and x.id = coalesce(p_id, (select max(y.id) from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns))) c
      cross join lateral unnest(c.names, c.versions, c.types, c.data) with ordinality u (name, version, type, data, ord)
      cross join lateral pgstate._channel_value(v_thread.bases || v_thread.id, u.name, u.version, u.type, u.data) v
     order by u.ord;
end
$$;
comment on function pgstate._checkpoint_state(text, text, text) is 'Internal: the channels of a checkpoint.';

-- functions/encryption/_sealed_under.sql
-- The id of the key that a payload names, of its first element where there are several. Whoever may write can write anything: no bytes
-- make this fail. In SQL, so that it is inlined, and only the beginning is read.
create function pgstate._sealed_under(p_type text, p_data bytea) returns bytea
language sql immutable
as $$
  select case when pg_catalog.octet_length(p_data) > 2 and not p_type ^@ '+' then pg_catalog.substr(p_data, 3, pg_catalog.get_byte(pg_catalog.substr(p_data, 2, 1), 0))
              when pg_catalog.octet_length(p_data) > 6 then pg_catalog.substr(p_data, 7, pg_catalog.get_byte(pg_catalog.substr(p_data, 6, 1), 0))
              else '' end
$$;
comment on function pgstate._sealed_under(text, bytea) is 'Internal: the id of the key that a payload is sealed under.';

-- views/_sealed.sql
-- All payloads that clients may have sealed (connect(encryption=…)), wherever they are. A test compares the columns that this reads with
-- all of type bytea that there are.
create or replace view pgstate._sealed as
select 'chunk'::text as part, k.ctid as place, 0 as field, k.thread_id, k.type::text as type, k.data,
       k.moved_to is not null and exists (select from pgstate.chunk n where n.thread_id = k.thread_id and n.hash = k.moved_to) as moved
  from pgstate.chunk k where k.type in ('sealed', '+sealed')
union all
select 'checkpoint', c.ctid, u.ord::int, c.thread_id, u.type, u.data, false
  from pgstate.checkpoint c cross join lateral unnest(c.types, c.data) with ordinality u (type, data, ord) where u.type = 'sealed'
union all
-- LangGraph's: the form, a zero byte, and the rest
select 'header', c.ctid, 0, c.thread_id, 'sealed', substr(c.header, 8), false
  from pgstate.checkpoint c where substr(c.header, 1, 7) = '\x7365616c656400'::bytea
union all
select 'pending_write', w.ctid, 0, w.thread_id, w.type::text, w.data, false from pgstate.pending_write w where w.type = 'sealed'
union all
select 'input', r.ctid, 0, null, r.input_type, r.input, false from pgstate.run r where r.input_type = 'sealed' and r.input is not null
union all
select 'result', r.ctid, 0, null, r.result_type, r.result, false from pgstate.run r where r.result_type = 'sealed' and r.result is not null
union all
select 'step', s.ctid, 0, null, s.type, s.data, false from pgstate.step s where s.type = 'sealed' and s.data is not null
union all
select 'signal', g.ctid, 0, null, g.type, g.data, false from pgstate.signal g where g.type = 'sealed' and g.data is not null;
comment on view pgstate._sealed is 'Internal: sealed payloads.';
comment on column pgstate._sealed.part is 'What it is of.';
comment on column pgstate._sealed.place is 'Where its row is.';
comment on column pgstate._sealed.field is 'Which channel of a checkpoint.';
comment on column pgstate._sealed.thread_id is 'The thread.';
comment on column pgstate._sealed.type is 'sealed; with + before it, several elements of a list, each behind its length.';
comment on column pgstate._sealed.data is 'The payload.';
comment on column pgstate._sealed.moved is 'There is a chunk that will take its place.';

-- functions/encryption/_sealed_blocks.sql
-- Checks what a call about sealed payloads says: admin on everything, a part, and blocks of its table. Returns where these begin and end.
create function pgstate._sealed_blocks(p_actor pgstate._actor, p_part text, p_first bigint, p_blocks int, out first tid, out "end" tid)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  if (p_part in ('chunk', 'checkpoint', 'header', 'pending_write', 'input', 'result', 'step', 'signal')) is not true
     or (p_first between 0 and 4294967294) is not true or (p_blocks between 1 and 1000000) is not true then
    raise exception using errcode = 'PS007', message = 'a part is one that sealed_parts() names, the first block is 0 or more, and blocks are 1 to 1000000';
  end if;
  first := format('(%s,0)', p_first)::tid;
  "end" := format('(%s,0)', least(p_first + p_blocks, 4294967295))::tid;
end
$$;
comment on function pgstate._sealed_blocks(pgstate._actor, text, bigint, int) is 'Internal: a range of blocks. PS007 PS010.';

-- functions/encryption/_sealed_parts.sql
create function pgstate._sealed_parts(p_actor pgstate._actor) returns setof pgstate.sealed_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  return query
    select p.part, pg_relation_size(p.relation) / current_setting('block_size')::int
      from (values ('chunk', 'pgstate.chunk'::regclass), ('checkpoint', 'pgstate.checkpoint'), ('header', 'pgstate.checkpoint'),
                   ('pending_write', 'pgstate.pending_write'), ('input', 'pgstate.run'), ('result', 'pgstate.run'), ('signal', 'pgstate.signal'),
                   ('step', 'pgstate.step')) p (part, relation);
end
$$;
comment on function pgstate._sealed_parts(pgstate._actor) is 'Internal: where sealed payloads are. PS010.';

-- functions/encryption/_sealed_keys.sql
-- In one statement, whose snapshot has each row once: of blocks that are looked at one after the other, a row that is updated meanwhile may be
-- in none, and who believes that nothing is left deletes a key.
create function pgstate._sealed_keys(p_actor pgstate._actor, p_part text) returns setof pgstate.sealed_count
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  perform pgstate._sealed_blocks(p_actor, p_part, 0, 1);
  return query
    select pgstate._sealed_under(s.type, s.data) as id, count(*) from pgstate._sealed s where s.part = p_part group by 1;
end
$$;
comment on function pgstate._sealed_keys(pgstate._actor, text) is 'Internal: counts payloads by their keys. PS007 PS010.';

-- functions/encryption/_sealed_data.sql
create function pgstate._sealed_data(p_actor pgstate._actor, p_part text, p_first bigint, p_blocks int, p_current text, p_after text)
returns setof pgstate.sealed_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_range record := pgstate._sealed_blocks(p_actor, p_part, p_first, p_blocks);
  v_first tid := v_range.first;
  v_end tid := v_range."end";
  v_after tid;
begin
  if p_current is null or p_after !~ E'^\\([0-9]{1,10},[0-9]{1,5}\\)$' then
    raise exception using errcode = 'PS007', message = 'the current key is needed, and after_place is the place of a row that was returned';
  end if;
  v_after := coalesce(p_after::tid, v_first);
  return query
    with old as (
      -- what is before its row: whole rows are returned
      select s.*, coalesce(sum(octet_length(s.data)) over (order by s.place range between unbounded preceding and current row exclude group), 0) as before
        from pgstate._sealed s
       where s.part = p_part and s.place >= v_first and s.place < v_end and s.place > v_after and not s.moved
         and pgstate._sealed_under(s.type, s.data) <> convert_to(p_current, 'UTF8')
    )
    select o.place::text, o.field, n.key, o.type, o.data, (select max(b.before) from old b) >= 8388608, n.name
      from old o
      cross join lateral (
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id) as key, encode(k.hash, 'hex') as name
          from pgstate.chunk k where p_part = 'chunk' and k.ctid = o.place
        union all
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id), concat_ws(' ', nullif(c.ns, ''), c.id, case p_part when 'checkpoint' then c.names[o.field] end)
          from pgstate.checkpoint c where p_part in ('checkpoint', 'header') and c.ctid = o.place
        union all
        select (select t.key::text from pgstate.thread t where t.id = o.thread_id), concat_ws(' ', nullif(w.ns, ''), w.checkpoint, w.task_id, w.idx)
          from pgstate.pending_write w where p_part = 'pending_write' and w.ctid = o.place
        union all
        select r.key::text, null from pgstate.run r where p_part in ('input', 'result') and r.ctid = o.place
        union all
        select (select r.key::text from pgstate.run r where r.id = s.run_id), s.id::text from pgstate.step s where p_part = 'step' and s.ctid = o.place
        union all
        select (select r.key::text from pgstate.run r where r.id = g.run_id), g.name || ' ' || g.no from pgstate.signal g where p_part = 'signal' and g.ctid = o.place) n
     where o.before < 8388608 order by o.place;
end
$$;
comment on function pgstate._sealed_data(pgstate._actor, text, bigint, int, text, text) is 'Internal: payloads under other keys. PS007 PS010.';

-- functions/encryption/_rekey_lock.sql
-- Locks threads as saves and _collect_thread() do, the entry first, and waits for nobody: returns those that were to be had.
create function pgstate._rekey_lock(p_ids bigint[]) returns bigint[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[] := array(
    select e.key from pgstate.entry e where e.key in (select t.key from pgstate.thread t where t.id = any (p_ids)) for no key update skip locked);
begin
  return array(
    select t.id from pgstate.thread t
     where t.id = any (p_ids) and (t.key is null or t.key = any (v_keys) or not exists (select from pgstate.entry e where e.key = t.key))
       for no key update skip locked);
end
$$;
comment on function pgstate._rekey_lock(bigint[]) is 'Internal: locks threads.';

-- functions/encryption/_rekey_garbage.sql
-- Has what threads, and those that they were forked from, do not need any more collected. One that has not begun is nobody's business here:
-- its writes would go.
create function pgstate._rekey_garbage(p_ids bigint[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.thread t set collect_at = least(t.collect_at, pgstate._now())
   where t.id in (
     select x.id from pgstate.thread x
      where x.id in (select unnest(y.bases || y.id) from pgstate.thread y where y.id = any (p_ids)) and (x.key is null or x.begun_at is not null)
        for no key update skip locked);
end
$$;
comment on function pgstate._rekey_garbage(bigint[]) is 'Internal: marks threads for collection.';

-- functions/encryption/_moved.sql
-- The chunk that takes the place of another: null for none. In SQL, so that it is inlined.
create function pgstate._moved(p_stores bigint[], p_hash bytea) returns bytea
language sql stable
as $$
  select (select k.moved_to from pgstate.chunk k
           where k.thread_id = any (p_stores) and k.hash = p_hash and k.moved_to is not null
             and exists (select from pgstate.chunk n where n.thread_id = k.thread_id and n.hash = k.moved_to) limit 1)
$$;
comment on function pgstate._moved(bigint[], bytea) is 'Internal: the chunk that takes the place of another.';

-- functions/encryption/_moved_refs.sql
-- What a root or a page names, with chunks in the place of those that have been sealed anew; as it is, if there are none.
create function pgstate._moved_refs(p_stores bigint[], p_type text, p_data bytea) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if (p_type = '@' or p_type ^@ '#') is not true or p_data = '' then
    return p_data;
  end if;
  return (select string_agg(coalesce(pgstate._moved(p_stores, r.hash), r.hash), ''::bytea order by r.ord)
            from pgstate._refs(array[p_type], array[p_data]) with ordinality r (hash, ord));
end
$$;
comment on function pgstate._moved_refs(bigint[], text, bytea) is 'Internal: references to chunks, brought up to date.';

-- functions/encryption/_rekey_data.sql
-- Puts payloads that were sealed anew in the place of those that they were made of, where these are still the same. Waits for no lock:
-- what others have locked is left for the next time. Of rows with several payloads all must fit.
--
-- A chunk is named by the hash of its bytes: the new one is put beside it, and the old one says which it is. _rekey_refs() brings pages and
-- roots to the new ones, and _collect_thread() removes the old ones when nothing names them any more; until then it keeps both.
create function pgstate._rekey_data(p_actor pgstate._actor, p_part text, p_places text[], p_fields int[], p_digests bytea[], p_data bytea[]) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_places tid[];
  v_threads bigint[];
  v_count bigint;
begin
  perform pgstate._sealed_blocks(p_actor, p_part, 0, 1);
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = 'PS007', message = 'payloads are replaced under READ COMMITTED only';
  elsif coalesce(array_ndims(p_places), 1) <> 1 or array_position(p_data, null) is not null
     or (cardinality(p_places) = all (array[cardinality(p_fields), cardinality(p_digests), cardinality(p_data)])) is not true
     or exists (select from unnest(p_places) p where (p ~ E'^\\([0-9]{1,10},[0-9]{1,5}\\)$') is not true) then
    raise exception using errcode = 'PS007', message = 'places are those that sealed_data() returned, and the arrays must be of equal length';
  end if;
  v_places := array(select distinct p::tid from unnest(p_places) p);
  if p_part in ('chunk', 'checkpoint', 'header') then
    v_threads := pgstate._rekey_lock(array(
      select k.thread_id from pgstate.chunk k where p_part = 'chunk' and k.ctid = any (v_places)
      union select c.thread_id from pgstate.checkpoint c where p_part <> 'chunk' and c.ctid = any (v_places)));
  end if;
  v_places := case p_part
    when 'chunk' then array(select k.ctid from pgstate.chunk k where k.ctid = any (v_places) and k.thread_id = any (v_threads) for no key update skip locked)
    when 'pending_write' then array(select w.ctid from pgstate.pending_write w where w.ctid = any (v_places) for no key update skip locked)
    when 'step' then array(select s.ctid from pgstate.step s where s.ctid = any (v_places) for no key update skip locked)
    when 'signal' then array(select g.ctid from pgstate.signal g where g.ctid = any (v_places) for no key update skip locked)
    when 'input' then array(select r.ctid from pgstate.run r where r.ctid = any (v_places) for no key update skip locked)
    when 'result' then array(select r.ctid from pgstate.run r where r.ctid = any (v_places) for no key update skip locked)
    else array(select c.ctid from pgstate.checkpoint c where c.ctid = any (v_places) and c.thread_id = any (v_threads) for no key update skip locked) end;
  -- nobody changes them now: those that are still what was sealed anew
  v_places := array(
    select g.place::tid
      from unnest(p_places, p_fields, p_digests) g (place, field, digest)
      left join (select * from pgstate._sealed x where x.part = p_part and x.place = any (v_places)) s on s.place = g.place::tid and s.field = g.field
     group by 1 having bool_and(sha256(s.data) is not distinct from g.digest));

  if p_part = 'chunk' then
    with given as materialized (
      select k.thread_id, k.hash as old, k.type, k.agent_id, g.data, substr(sha256(convert_to(k.type, 'UTF8') || E'\\x00'::bytea || g.data), 1, 16) as hash
        from unnest(p_places, p_data) g (place, data) join pgstate.chunk k on k.ctid = g.place::tid
       where k.ctid = any (v_places)
    ), added as (
      -- one that was to be moved here itself stays
      insert into pgstate.chunk as k (thread_id, hash, type, data, agent_id)
      select distinct on (g.thread_id, g.hash) g.thread_id, g.hash, g.type, g.data, g.agent_id from given g where g.hash <> g.old
          on conflict on constraint chunk_pkey do update set moved_to = null where k.moved_to is not null
    )
    update pgstate.chunk k set moved_to = g.hash from given g where k.thread_id = g.thread_id and k.hash = g.old and g.hash <> g.old;
    get diagnostics v_count = row_count;
    perform pgstate._rekey_garbage(v_threads);
    return v_count;
  elsif p_part = 'checkpoint' then
    with given as materialized (select g.place::tid as place, g.field, g.data from unnest(p_places, p_fields, p_data) g (place, field, data))
    update pgstate.checkpoint c
       set data = array(select coalesce(g.data, u.data)
                          from unnest(c.data) with ordinality u (data, ord) left join given g on g.place = c.ctid and g.field = u.ord order by u.ord)
     where c.ctid = any (v_places);
  elsif p_part = 'header' then
    update pgstate.checkpoint c set header = substr(c.header, 1, 7) || g.data from unnest(p_places, p_data) g (place, data)
     where c.ctid = g.place::tid and c.ctid = any (v_places);
  elsif p_part = 'pending_write' then
    update pgstate.pending_write w set data = g.data from unnest(p_places, p_data) g (place, data) where w.ctid = g.place::tid and w.ctid = any (v_places);
  elsif p_part = 'input' then
    update pgstate.run r set input = g.data from unnest(p_places, p_data) g (place, data) where r.ctid = g.place::tid and r.ctid = any (v_places);
  elsif p_part = 'result' then
    update pgstate.run r set result = g.data from unnest(p_places, p_data) g (place, data) where r.ctid = g.place::tid and r.ctid = any (v_places);
  elsif p_part = 'step' then
    update pgstate.step s set data = g.data from unnest(p_places, p_data) g (place, data) where s.ctid = g.place::tid and s.ctid = any (v_places);
  else
    update pgstate.signal s set data = g.data from unnest(p_places, p_data) g (place, data) where s.ctid = g.place::tid and s.ctid = any (v_places);
  end if;
  return (select count(*) from unnest(p_places) g where g::tid = any (v_places));
end
$$;
comment on function pgstate._rekey_data(pgstate._actor, text, text[], int[], bytea[], bytea[]) is 'Internal: replaces payloads. PS007 PS010.';

-- functions/encryption/_rekey_refs.sql
-- Has pages and roots name the chunks that were sealed anew. A page is named by its hash too: there is a new one then, as in _rekey_data().
-- Locks a thread as a save does, which so never finds half of it.
create function pgstate._rekey_refs(p_actor pgstate._actor, p_depth int, p_first bigint, p_blocks int) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_range record := pgstate._sealed_blocks(p_actor, 'chunk', p_first, p_blocks);
  v_first tid := v_range.first;
  v_end tid := v_range."end";
  v_type text := '#' || p_depth;
  v_places tid[];
  v_threads bigint[];
  v_count bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or p_depth < 0 then
    raise exception using errcode = 'PS007', message = 'references are replaced under READ COMMITTED only; a depth is 0 or more';
  elsif v_type is not null then
    if not exists (select from pgstate.chunk k where k.ctid >= v_first and k.ctid < v_end and k.type = v_type) then
      return null;
    end if;
    select array_agg(k.ctid), array_agg(distinct k.thread_id) into v_places, v_threads
      from pgstate.chunk k join pgstate.thread t on t.id = k.thread_id
     where k.ctid >= v_first and k.ctid < v_end and k.type = v_type
       and pgstate._moved_refs(t.bases || t.id, k.type, k.data) <> k.data
       and coalesce(pgstate._moved(array[k.thread_id], k.hash) <> substr(sha256(
             convert_to(k.type, 'UTF8') || E'\\x00'::bytea || pgstate._moved_refs(t.bases || t.id, k.type, k.data)), 1, 16), true);
    v_threads := pgstate._rekey_lock(v_threads);
    with given as materialized (
      select k.thread_id, k.hash as old, k.type, k.agent_id, m.data, substr(sha256(convert_to(k.type, 'UTF8') || E'\\x00'::bytea || m.data), 1, 16) as hash
        from pgstate.chunk k join pgstate.thread t on t.id = k.thread_id
        cross join lateral (select pgstate._moved_refs(t.bases || t.id, k.type, k.data) as data) m
       where k.ctid = any (v_places) and k.thread_id = any (v_threads) and m.data <> k.data
    ), added as (
      insert into pgstate.chunk as k (thread_id, hash, type, data, agent_id)
      select distinct on (g.thread_id, g.hash) g.thread_id, g.hash, g.type, g.data, g.agent_id from given g
          on conflict on constraint chunk_pkey do update set moved_to = null where k.moved_to is not null
    )
    update pgstate.chunk k set moved_to = g.hash from given g where k.thread_id = g.thread_id and k.hash = g.old;
  else
    select array_agg(c.ctid), array_agg(distinct c.thread_id) into v_places, v_threads
      from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id
     where c.ctid >= v_first and c.ctid < v_end
       and exists (select from unnest(c.types, c.data) u (type, data) where pgstate._moved_refs(t.bases || t.id, u.type, u.data) <> u.data);
    v_threads := pgstate._rekey_lock(v_threads);
    update pgstate.checkpoint c
       set data = array(select pgstate._moved_refs(t.bases || t.id, u.type, u.data)
                          from unnest(c.types, c.data) with ordinality u (type, data, ord) order by u.ord)
      from pgstate.thread t
     where t.id = c.thread_id and c.thread_id = any (v_threads)
       and c.ctid = any (array(select x.ctid from pgstate.checkpoint x where x.ctid = any (v_places) and x.thread_id = any (v_threads) for no key update skip locked));
  end if;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    perform pgstate._rekey_garbage(v_threads);
  end if;
  return v_count;
end
$$;
comment on function pgstate._rekey_refs(pgstate._actor, int, bigint, int) is 'Internal: has pages and roots name the chunks that were sealed anew. PS007 PS010.';

-- functions/encryption/_rekey_collect.sql
create function pgstate._rekey_collect(p_actor pgstate._actor) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_more boolean;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_more := pgstate._collect_threads(10000);
  -- nobody reads those any more, and no key is needed for them
  return pgstate._collect_runs(10000) or v_more;
end
$$;
comment on function pgstate._rekey_collect(pgstate._actor) is 'Internal: removes chunks that were sealed anew, and what nobody reads any more. PS010.';

-- functions/runs/_run_of.sql
create function pgstate._run_of(p_key text) returns pgstate.run
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run pgstate.run;
begin
  select r.* into v_run from pgstate.run r where r.key = p_key;
  return v_run;
end
$$;
comment on function pgstate._run_of(text) is 'Internal: the run of a key.';

-- functions/runs/_add_run.sql
create function pgstate._add_run(
  p_key text, p_name text, p_code text, p_type text, p_input bytea, p_priority int, p_ready_at timestamptz, p_timeout interval, p_parent text,
  p_now timestamptz, p_payer int
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  insert into pgstate.run (key, name, code, input_type, input, priority, ready_at, begun_at, deadline, parent, asleep, agent_id)
  values (p_key, p_name, p_code, p_type, p_input, coalesce(p_priority, 0), coalesce(p_ready_at, p_now), p_now,
          coalesce(p_ready_at, p_now) + p_timeout, p_parent, coalesce(p_ready_at > p_now, false), p_payer)
  returning id into v_id;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(p_input), 0) + coalesce(octet_length(p_type), 0) + coalesce(octet_length(p_code), 0)::bigint, null, array[v_id]);
  end if;
end
$$;
comment on function pgstate._add_run(text, text, text, text, bytea, int, timestamptz, interval, text, timestamptz, int) is 'Internal: makes the run of an entry.';

-- functions/runs/_run_full.sql
-- A run with all its finished steps and those that wait, in one row: who goes on with it asks once.
create function pgstate._run_full(p_key text, p_status text, p_claim pgstate.claim, p_created boolean) returns pgstate.run_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_out pgstate.run_full;
begin
  select p_status, p_key, case when p_status = 'ok' then p_claim.token end, p_claim.lease_until,
         case when p_status = 'held' and isfinite(greatest(p_claim.lease_until, p_claim.retry_at)) then greatest(p_claim.lease_until, p_claim.retry_at) - pgstate._now() end,
         p_claim.attempts, p_created, r.state, r.name, r.code, r.seed, pgstate._now(), r.begun_at, r.deadline, r.cancel_at is not null,
         r.input_type, r.input, r.result_type, r.result, s.*
    into v_out
    from pgstate.run r
    left join lateral (
      select array_agg(x.id order by x.finished_at, x.position), array_agg(x.position order by x.finished_at, x.position),
             array_agg(x.main order by x.finished_at, x.position), array_agg(x.kind order by x.finished_at, x.position),
             array_agg(x.state order by x.finished_at, x.position),
             array_agg(x.type order by x.finished_at, x.position), array_agg(x.data order by x.finished_at, x.position),
             array_agg(x.due_at order by x.finished_at, x.position)
        from pgstate.step x where x.run_id = r.id and p_status in ('ok', 'ended')) s on true
   where r.key = p_key;
  return v_out;
end
$$;
comment on function pgstate._run_full(text, text, pgstate.claim, boolean) is 'Internal: a run with its steps.';

-- functions/runs/_reopen_run.sql
-- An ended run goes on. The steps that it failed with are done again: those of the last place in the code. When it undid
-- what it had done, it begins anew.
create function pgstate._reopen_run(p_key text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_id bigint;
begin
  update pgstate.run r set state = 'open', ended_at = null, result = null, result_type = null, cancel_at = null, deadline = null,
         asleep = false, awaits = null, ready_at = least(r.ready_at, pgstate._now())
   where r.key = p_key returning r.id into v_id;
  if exists (select from pgstate.step s where s.run_id = v_id and s.kind = 'undo') then
    delete from pgstate.step s where s.run_id = v_id;
  else
    delete from pgstate.step s
     where s.run_id = v_id and s.state = 'failed'
       and s.position is not distinct from (select max(l.position) from pgstate.step l where l.run_id = v_id);
  end if;
  return (select count(*) from pgstate.step s where s.run_id = v_id and s.state <> 'pending');
end
$$;
comment on function pgstate._reopen_run(text) is 'Internal: lets an ended run go on; how many steps it has.';

-- functions/runs/_new_code.sql
-- Another version of the code goes on with a run: what was done keeps its name and occurrence, and its order means nothing.
create function pgstate._new_code(p_key text, p_code text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  update pgstate.step s set position = null from pgstate.run r where r.key = p_key and s.run_id = r.id;
  update pgstate.run r set code = p_code where r.key = p_key;
end
$$;
comment on function pgstate._new_code(text, text) is 'Internal: a run goes on with another version of the code.';

-- functions/runs/_ready_runs.sql
-- Wakes the runs whose time has come, of those that the caller may take: who keeps its transaction open keeps no others asleep. Rows
-- that somebody has locked are left to the next, so this waits for nobody. Then the runs that a worker may go on with, best first, their entries locked; those that somebody works on are left out. And
-- when the next of the others may be ready.
create function pgstate._ready_runs(p_names text[], p_ranges pgstate.keymultirange, p_regex text, p_limit int) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_room int := p_limit + 20;
  v_keys text[];
  v_more boolean;
begin
  update pgstate.run r set asleep = false, awaits = null
   where r.id = any (array(
     select x.id from pgstate.run x
      where x.name = any (p_names) and x.ready_at <= v_now and x.state = 'open' and x.key is not null and x.asleep and p_ranges @> x.key
      limit 1000 for no key update skip locked));
  loop
    -- as many of each workflow as are asked for, and some more, by their index: however many wait, and whom others have locked
    with ready as materialized (
      select w.name, m.*
        from (select distinct n from unnest(p_names) n) w (name)
        cross join lateral (
          select r.key, r.priority, r.ready_at, r.id from pgstate.run r
           where r.name = w.name and r.state = 'open' and r.key is not null and not r.asleep and r.ready_at <= v_now
             and p_ranges @> r.key and (p_regex is null or r.key ~ p_regex)
             and not exists (select from pgstate.claim c where c.key = r.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
           order by r.priority desc, r.ready_at, r.id limit v_room) m
    )
    select array(
             select e.key
               from ready m
               join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'run' and (e.expires_at is null or e.expires_at > v_now)
              order by m.priority desc, m.ready_at, m.id limit p_limit for update of e skip locked),
           exists (select from ready m group by m.name having count(*) = v_room)
      into v_keys, v_more;
    exit when cardinality(v_keys) = p_limit or not v_more;
    -- those were locked, or have expired: all are looked at
    v_room := null;
  end loop;
  return v_keys;
end
$$;
comment on function pgstate._ready_runs(text[], pgstate.keymultirange, text, int) is 'Internal: locks runs that are ready for a worker.';

-- functions/runs/_next_ready.sql
create function pgstate._next_ready(p_names text[], p_ranges pgstate.keymultirange, p_regex text) returns interval
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return (
    -- what is ready and was not to be had is locked by somebody: no version tells when it is let go of
    select case when min(x.at) > v_now then min(x.at) - v_now when min(x.at) is not null then interval '50 ms' end
      from (select distinct n from unnest(p_names) n) w (name)
      cross join lateral (
        select min(greatest(r.ready_at, c.lease_until, c.retry_at)) as at
          -- in the order of the index on names: where most are of one, the planner would look through all runs there are
          from (select x.key, x.ready_at from pgstate.run x
                 where x.name = w.name and x.state = 'open' and x.key is not null and not x.asleep and p_ranges @> x.key
                   and (p_regex is null or x.key ~ p_regex)
                 order by x.priority desc, x.ready_at, x.id offset 0) r
          left join pgstate.claim c on c.key = r.key
         -- one that was given up is for release() alone
         where c.retry_at is distinct from 'infinity'
        union all
        (select r.ready_at
           from pgstate.run r
          where r.name = w.name and r.state = 'open' and r.key is not null and r.asleep and r.ready_at is not null and p_ranges @> r.key
            and (p_regex is null or r.key ~ p_regex)
          order by r.ready_at limit 1)) x);
end
$$;
comment on function pgstate._next_ready(text[], pgstate.keymultirange, text) is 'Internal: until the first of these runs may be ready.';

-- functions/runs/_close_run.sql
create function pgstate._close_run(p_key text, p_state text, p_type text, p_data bytea, p_payer int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  update pgstate.run r set state = p_state, result_type = p_type, result = p_data, result_agent_id = p_payer, ended_at = pgstate._now() where r.key = p_key
  returning r.id into v_id;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(p_data), 0) + coalesce(octet_length(p_type), 0)::bigint, null, array[v_id]);
  end if;
end
$$;
comment on function pgstate._close_run(text, text, text, bytea, int) is 'Internal: marks a run as ended.';

-- functions/runs/_delay_run.sql
create function pgstate._delay_run(p_key text, p_by interval) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set ready_at = pgstate._now() + p_by, asleep = true where r.key = p_key;
end
$$;
comment on function pgstate._delay_run(text, interval) is 'Internal: no worker takes a run for a while.';

-- functions/runs/_add_steps.sql
-- Records steps whose entries the caller has locked: those whose token is that of the run's claim now. In a statement that
-- begins after the locks were had, so that it sees every claim that there is. What is recorded stays as it is; only what
-- was pending is finished.
create function pgstate._add_steps(
  p_actor pgstate._actor, p_now timestamptz, p_keys text[], p_tokens bigint[], p_steps text[], p_names text[], p_kinds text[], p_positions int[],
  p_mains boolean[], p_states text[], p_types text[], p_data bytea[], p_attempts int[], p_elapsed float8[], p_due_ats timestamptz[]
) returns pgstate._step_done[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_done pgstate._step_done[];
begin
  with input as materialized (
    select i.*, r.id as run_id, r.cancel_at is not null as cancelled,
           case when r.id is null then 'missing' when c.token is null then 'stale' when r.state <> 'open' then 'ended' end as fault
      from unnest(p_keys, p_tokens, p_steps, p_names, p_kinds, p_positions, p_mains, p_states, p_types, p_data, p_attempts, p_elapsed, p_due_ats)
           with ordinality as i (key, token, step, name, kind, position, main, state, type, data, attempts, elapsed, due_at, ord)
      left join pgstate.run r on r.key = i.key
      left join pgstate.claim c on c.key = i.key and c.token = i.token and c.holder_id = p_actor.id and c.lease_until > p_now
  ), added as (
    insert into pgstate.step as s (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
    select i.run_id, i.step, i.name, i.kind, i.position, i.main, i.state, i.type, i.data, i.attempts,
           p_now - make_interval(secs => coalesce(i.elapsed, 0)), p_now, i.due_at, i.token, case when p_actor.quota then p_actor.id end
      from input i where i.fault is null order by i.run_id, i.step
        on conflict on constraint step_pkey do update
       set state = excluded.state, type = excluded.type, data = excluded.data, attempts = excluded.attempts, finished_at = excluded.finished_at,
           token = excluded.token, agent_id = excluded.agent_id
     where s.state = 'pending'
    returning s.run_id, s.id
  )
  select array_agg(row(i.ord::int, coalesce(i.fault, case when a.id is null then 'exists' else 'ok' end), i.cancelled)::pgstate._step_done order by i.ord)
    into v_done
    from input i left join added a on a.run_id = i.run_id and a.id = i.step;
  if p_actor.quota then
    perform pgstate._charge(0, pg_column_size(p_steps) + pg_column_size(p_names) + pg_column_size(p_types) + pg_column_size(p_data)::bigint,
      null, array(select distinct x.id from pgstate.run x where x.key = any (p_keys)));
  end if;
  return v_done;
end
$$;
comment on function pgstate._add_steps(pgstate._actor, timestamptz, text[], bigint[], text[], text[], text[], int[], boolean[], text[], text[], bytea[], int[], float8[], timestamptz[]) is
  'Internal: records steps of locked runs.';

-- functions/runs/_wake_run.sql
-- Workers find it at once, and by its claim when it has one.
create function pgstate._wake_run(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set asleep = false, awaits = null, ready_at = least(r.ready_at, pgstate._now()) where r.key = p_key and r.asleep;
end
$$;
comment on function pgstate._wake_run(text) is 'Internal: a run sleeps no more.';

-- functions/runs/_wake_parent.sql
-- A run ends: the one that started it and waits for that is woken. Its row is locked first, see _set_down_run(), and always
-- after the entry of the one that ends.
create function pgstate._wake_parent(p_key text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_parent text := (pgstate._run_of(p_key)).parent;
begin
  if v_parent is null then
    return false;
  end if;
  perform from pgstate.run p where p.key = v_parent for no key update;
  update pgstate.run p set asleep = false, awaits = null, ready_at = pgstate._now()
   where p.key = v_parent and p.asleep and p.state = 'open' and p_key = any (p.awaits);
  return found;
end
$$;
comment on function pgstate._wake_parent(text) is 'Internal: wakes the run that waits for the end of this one; was there one?';

-- functions/runs/_set_down_run.sql
-- A run whose entry is locked sleeps, unless what it waits for has come meanwhile. Signals come under the lock of the entry. The
-- end of a child does not: so the row is locked before this looks, as _wake_parent() does, and either this sees that the child
-- has ended, or the child finds this one asleep.
create function pgstate._set_down_run(p_key text, p_for interval, p_awaits text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_run pgstate.run;
begin
  select r.* into v_run from pgstate.run r where r.key = p_key for no key update;
  if v_run.cancel_at is not null
     or exists (select from pgstate.step s join pgstate.signal g on g.run_id = s.run_id and g.name = s.name
                 where s.run_id = v_run.id and s.kind = 'signal' and s.state = 'pending' and g.taken_by is null)
     or exists (select from unnest(p_awaits) a (key) where not exists (select from pgstate.run c where c.key = a.key and c.state = 'open')) then
    return false;
  end if;
  update pgstate.run r set asleep = true, ready_at = least(pgstate._now() + p_for, r.deadline), awaits = nullif(p_awaits, '{}') where r.id = v_run.id;
  return true;
end
$$;
comment on function pgstate._set_down_run(text, interval, text[]) is 'Internal: a run sleeps; false when it has no reason to.';

-- functions/runs/_add_signal.sql
create function pgstate._add_signal(p_actor pgstate._actor, p_key text, p_name text, p_type text, p_data bytea, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run_id bigint;
begin
  insert into pgstate.signal (run_id, name, type, data, sender, via, sent_at, agent_id)
  select r.id, p_name, p_type, p_data, p_actor.name, session_user, p_now, case when p_actor.quota then p_actor.id end from pgstate.run r where r.key = p_key and r.state = 'open'
  returning run_id into v_run_id;
  if not found then
    return false;
  elsif p_actor.quota then
    perform pgstate._charge(0, octet_length(p_name) + coalesce(octet_length(p_type), 0) + coalesce(pg_column_size(p_data), 0)::bigint, null, array[v_run_id]);
  end if;
  if exists (select from pgstate.run r join pgstate.step s on s.run_id = r.id
              where r.key = p_key and r.asleep and s.kind = 'signal' and s.state = 'pending' and s.name = p_name) then
    perform pgstate._wake_run(p_key);
  end if;
  return true;
end
$$;
comment on function pgstate._add_signal(pgstate._actor, text, text, text, bytea, timestamptz) is 'Internal: keeps a signal for an open run.';

-- functions/runs/_take_signal.sql
-- The oldest signal of the name that no step has taken; else the step waits, until a time that is set when it first does.
create function pgstate._take_signal(
  p_key text, p_token bigint, p_step text, p_name text, p_position int, p_main boolean, p_timeout interval, p_now timestamptz, p_payer int
) returns pgstate.signalled
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_run pgstate.run := pgstate._run_of(p_key);
  v_step pgstate.step;
  v_signal pgstate.signal;
  v_out pgstate.signalled;
begin
  v_out.cancelled := v_run.cancel_at is not null;
  select s.* into v_step from pgstate.step s where s.run_id = v_run.id and s.id = p_step;
  if v_run.state <> 'open' or v_step.state in ('done', 'failed') then
    v_out.status := case when v_run.state <> 'open' then 'ended' else 'exists' end;
    return v_out;
  end if;
  v_out.due_at := case when v_step.id is null then p_now + p_timeout else v_step.due_at end;
  select g.* into v_signal from pgstate.signal g
   where g.run_id = v_run.id and g.name = p_name and g.taken_by is null order by g.no limit 1;
  if v_signal.no is not null then
    update pgstate.signal g set taken_by = p_step where g.run_id = v_run.id and g.no = v_signal.no;
    v_out.status := 'ok';
    v_out.type := v_signal.type;
    v_out.data := v_signal.data;
  elsif v_out.due_at <= p_now then
    v_out.status := 'timeout';
  else
    v_out.status := 'pending';
  end if;
  if v_out.status <> 'pending' or v_step.id is null then
    insert into pgstate.step as s (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
    values (v_run.id, p_step, p_name, 'signal', p_position, p_main,
            case v_out.status when 'ok' then 'done' when 'timeout' then 'failed' else 'pending' end,
            case when v_out.status = 'timeout' then 'timeout' else v_out.type end, v_out.data, 1, p_now,
            case when v_out.status <> 'pending' then p_now end, v_out.due_at, p_token, p_payer)
        on conflict on constraint step_pkey do update
       set state = excluded.state, type = excluded.type, data = excluded.data, finished_at = excluded.finished_at, token = excluded.token,
           position = excluded.position, agent_id = excluded.agent_id;
    if p_payer is not null then
      -- one that waits makes no version, which would count as a write, but of the first
      perform pgstate._charge(case when v_out.status = 'pending' then 1 else 0 end,
                              octet_length(p_step) + octet_length(p_name) + coalesce(octet_length(v_out.type), 0) + coalesce(pg_column_size(v_out.data), 0)::bigint, null, array[v_run.id]);
    end if;
  end if;
  return v_out;
end
$$;
comment on function pgstate._take_signal(text, bigint, text, text, int, boolean, interval, timestamptz, int) is 'Internal: a step takes a signal, or waits for one.';

-- functions/runs/_cancel_run.sql
create function pgstate._cancel_run(p_key text, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run pgstate.run;
begin
  update pgstate.run r set cancel_at = coalesce(r.cancel_at, p_now), asleep = false, awaits = null, ready_at = least(r.ready_at, p_now)
   where r.key = p_key returning r.* into v_run;
  return v_run.name is not null and exists (select from pgstate.step s where s.run_id = v_run.id and s.state <> 'pending');
end
$$;
comment on function pgstate._cancel_run(text, timestamptz) is 'Internal: tells a run to end; may a worker have to undo something first?';

-- functions/runs/_fork_run.sql
-- A run that begins with what another did before a step: what comes before it in the code, and all that no order is known of.
create function pgstate._fork_run(p_key text, p_target text, p_from text, p_now timestamptz, p_payer int) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_source pgstate.run := pgstate._run_of(p_key);
  v_from pgstate.step;
  v_id bigint;
  v_count bigint;
begin
  if p_from is not null then
    select s.* into v_from from pgstate.step s where s.run_id = v_source.id and s.id = p_from;
    if v_from.id is null then
      return null;
    end if;
  end if;
  insert into pgstate.run (key, name, code, seed, input_type, input, priority, ready_at, begun_at, parent, forked_from, forked_step, agent_id)
  values (p_target, v_source.name, v_source.code, v_source.seed, v_source.input_type, v_source.input, v_source.priority, p_now, p_now,
          -- as in start_run()
          case when pgstate._reachable('write') @> v_source.parent then v_source.parent end, p_key, p_from, p_payer)
  returning id into v_id;
  insert into pgstate.step (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
  select v_id, s.id, s.name, s.kind, s.position, s.main, s.state, s.type, s.data, s.attempts, s.started_at, s.finished_at, s.due_at, s.token, p_payer
    from pgstate.step s
   where s.run_id = v_source.id and s.state <> 'pending' and s.kind <> 'undo' and s.id is distinct from p_from
     -- by the order of the code; by time where that is not known
     and (p_from is null or case when s.position is not null and v_from.position is not null then s.position < v_from.position
                                 else s.finished_at < coalesce(v_from.finished_at, 'infinity') end);
  get diagnostics v_count = row_count;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(v_source.input), 0) + coalesce(octet_length(v_source.input_type), 0) + coalesce(octet_length(v_source.code), 0)
      + (select coalesce(sum(coalesce(pg_column_size(s.data), 0) + coalesce(octet_length(s.type), 0) + octet_length(s.id) + octet_length(s.name)), 0) from pgstate.step s where s.run_id = v_id)::bigint, null, array[v_id]);
  end if;
  return v_count;
end
$$;
comment on function pgstate._fork_run(text, text, text, timestamptz, int) is 'Internal: makes a run of what another has done; how many steps, null when it has no such step.';

-- functions/runs/_collect_runs.sql
create function pgstate._collect_runs(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_ids bigint[] := array(select r.id from pgstate.run r where r.key is null order by r.id limit 100 for update skip locked);
  v_count int;
  v_signals int;
begin
  delete from pgstate.step s where s.ctid = any (array(select x.ctid from pgstate.step x where x.run_id = any (v_ids) limit p_limit));
  get diagnostics v_count = row_count;
  delete from pgstate.signal g where g.ctid = any (array(select x.ctid from pgstate.signal x where x.run_id = any (v_ids) limit p_limit));
  get diagnostics v_signals = row_count;
  if greatest(v_count, v_signals) >= p_limit then
    return true;
  end if;
  delete from pgstate.run r where r.id = any (v_ids);
  return cardinality(v_ids) = 100;
end
$$;
comment on function pgstate._collect_runs(int) is 'Internal: removes what deleted runs held; is there more to do?';

-- functions/runs/_runs.sql
-- What started it and what it was forked from are keys of others, for whoever may read those.
create function pgstate._runs(p_ranges pgstate.keymultirange, p_regex text, p_states text[], p_limit int, p_reads pgstate.keymultirange) returns setof pgstate.run_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_reads pgstate.keymultirange := p_reads + '{}';
begin
  -- as in list()
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select r.key::text, r.name::text, s.state, e.value ->> 'step', (e.value -> 'steps')::bigint, c.holder, c.lease_until,
               coalesce(c.attempts, 0), r.priority, case when r.ready_at > v_now then r.ready_at end, r.deadline,
               case when r.result_type = 'error' then pgstate._text_of(r.result) end,
               case when r.result_type = 'json' then pgstate._json_of(r.result) end, case when r.input_type = 'json' then pgstate._json_of(r.input) end,
               r.code, case when v_reads @> r.parent then r.parent::text end, case when v_reads @> r.forked_from then r.forked_from::text end, r.forked_step::text, e.version, r.begun_at, e.updated_at, r.ended_at
          from pgstate.run r join pgstate.entry e on e.key = r.key
          left join lateral (select x.holder, x.lease_until, x.attempts from pgstate.claim x where x.key = r.key and x.lease_until > v_now offset 0) c on true
          cross join lateral (select case when r.state <> 'open' then r.state when c.lease_until is not null then 'running' else 'waiting' end as state) s
         where r.key >= span.low and r.key < span.high and e.value is not null and (e.expires_at is null or e.expires_at > v_now)
           and (p_regex is null or r.key ~ p_regex) and (p_states is null or s.state = any (p_states))
         order by r.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._runs(pgstate.keymultirange, text, text[], int, pgstate.keymultirange) is 'Internal: runs within ranges, in key order.';

-- functions/runs/_run_steps.sql
create function pgstate._run_steps(p_key text) returns setof pgstate.step_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return query
    select s.id::text, s.name::text, s.kind, s.state, s.position, case when s.type = 'json' then pgstate._json_of(s.data) end,
           case s.type when 'error' then pgstate._text_of(s.data) when 'timeout' then 'no signal in time' end,
           s.attempts, s.started_at, s.finished_at, s.due_at, s.token
      from pgstate.run r join pgstate.entry e on e.key = r.key join pgstate.step s on s.run_id = r.id
     where r.key = p_key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
     order by s.position, s.finished_at, s.id;
end
$$;
comment on function pgstate._run_steps(text) is 'Internal: the steps of a run.';

-- functions/as_api.sql
-- What follows belongs to pgstate_api, which owns no table: row-level security binds it.
set local role pgstate_api;

-- functions/access/info.sql
create function pgstate.info(agent text default null) returns pgstate.about
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_install pgstate.about;
begin
  perform pgstate._check_login();
  v_install := pgstate._install();
  if info.agent is null then
    -- what an earlier call of this transaction named
    perform set_config('pgstate.call_agent', '', true);
  end if;
  if info.agent is not null or pgstate._acting() is not null then
    v_install.agent := (pgstate._enter(info.agent)).name;
  end if;
  v_install.login := session_user;
  return v_install;
end
$$;
comment on function pgstate.info(text) is 'Revision of the schema, the acting agent (null for a gateway that names none), the login, the largest value in bytes, the epoch, and the oldest revision whose clients are served. PS010 for a login that is not registered.';

-- functions/access/me.sql
create function pgstate.me(agent text default null) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (pgstate._enter(me.agent)).name;
end
$$;
comment on function pgstate.me(text) is 'The acting agent''s name. PS010 when the login is not registered, or may not act for the agent named.';

-- functions/guards/labels.sql
-- About the value that it is given alone.
create function pgstate.labels(value jsonb) returns text[]
language plpgsql immutable parallel safe security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_label text[];
  v_text text := labels.value::text;
  v_labels text[] := '{}';
begin
  foreach v_label slice 1 in array pgstate._label_patterns() loop
    if v_text ~ v_label[2] then
      v_labels := v_labels || v_label[1];
    end if;
  end loop;
  return v_labels;
end
$$;
comment on function pgstate.labels(jsonb) is
  'What in a value looks like instructions to a model: role_tokens, override_phrases, invisible_characters. A hint, which others can avoid: no detector of this kind is strong.';

-- functions/keys/key.sql
-- Percent-encoding as in RFC 3986, over the bytes of the text; '%' itself is always encoded, so that no two texts meet.
create function pgstate.key(variadic segments text[]) returns text
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text := '';
  v_segment text;
  v_byte int;
  v_bytes bytea;
  v_quoted text;
begin
  foreach v_segment in array key.segments loop
    if v_segment is null or v_segment = '' then
      raise exception using errcode = 'PS001', message = 'an empty text cannot be a key segment',
        hint = 'Leave the segment out, or put something that stands for nothing in its place.';
    end if;
    if v_segment in ('.', '..') then
      v_quoted := replace(v_segment, '.', '%2E');
    elsif v_segment ~ '^[A-Za-z0-9._~:@=+,-]+$' then
      v_quoted := v_segment;
    else
      v_bytes := convert_to(v_segment, 'UTF8');
      v_quoted := '';
      for i in 0 .. length(v_bytes) - 1 loop
        v_byte := get_byte(v_bytes, i);
        if v_byte < 128 and chr(v_byte) ~ '[A-Za-z0-9._~:@=+,-]' then
          v_quoted := v_quoted || chr(v_byte);
        else
          v_quoted := v_quoted || '%' || upper(lpad(to_hex(v_byte), 2, '0'));
        end if;
      end loop;
    end if;
    v_key := v_key || case when v_key = '' then '' else '/' end || v_quoted;
  end loop;
  if not pgstate._key_ok(v_key) then
    perform pgstate._bad_key(v_key);
  end if;
  return v_key;
end
$$;
comment on function pgstate.key(text[]) is 'Joins texts into a key; what a segment cannot hold is quoted as %XX. PS001 for an empty text or a key over 512 bytes.';

-- functions/values/_deep_merge.sql
-- Null when p_depth levels do not suffice, so that nobody's nesting can end a batch of others with a stack overflow.
create function pgstate._deep_merge(p_current jsonb, p_operand jsonb, p_depth int) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_merged jsonb;
  v_too_deep boolean;
begin
  if jsonb_typeof(p_current) <> 'object' or jsonb_typeof(p_operand) <> 'object' then
    return p_operand;
  elsif p_depth = 0 then
    return null;
  end if;
  select jsonb_object_agg(o.key, o.merged), bool_or(o.merged is null) into v_merged, v_too_deep
    from (select f.key, case when p_current ? f.key then pgstate._deep_merge(p_current -> f.key, f.value, p_depth - 1)
                             else f.value end as merged
            from jsonb_each(p_operand) f
          -- kept apart: pulled up, each level would be computed for both uses, and 200 levels never
          offset 0) o;
  return case when v_too_deep then null else p_current || coalesce(v_merged, '{}') end;
end
$$;
comment on function pgstate._deep_merge(jsonb, jsonb, int) is 'Internal: objects merged at every level; anything else is replaced by the operand.';

-- functions/values/_error_text.sql
-- The text of a refused row, the same for a single call that raises it and a set-based one that returns it.
create function pgstate._error_text(p_code text, p_key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_code
    when 'PS001' then format('invalid key %L: 1 to 512 bytes, segments of A-Z a-z 0-9 . _ ~ : @ = + , %% - joined by /, none empty, . or ..; quote other text with pgstate.key()', pgstate._shown(p_key))
    when 'PS003' then 'no value: pass JSON (the JSON null is ''null''), or delete the key'
    when 'PS004' then 'the value is over value_limit (explain_policy(key) shows that of a key, pgstate.info() the installation''s): store it in parts or elsewhere'
    when 'PS005' then 'unknown reducer, or none given where no policy sets one: use replace, append, add, max, min, union, merge, deep_merge, messages or first; a registered one is applied where a policy names it, by merges that name none'
    when 'PS006' then 'the operand does not fit the current value: add takes numbers, max and min numbers or strings, append, union and messages lists, merge and deep_merge objects'
    when 'PS007' then 'invalid argument: expect is 0 or a version, ttl is positive and at most 100 years, not_before lies between 1970 and 9999, complete needs a token, an op_id has 1 to 256 bytes'
    when 'PS008' then 'the value does not fit the JSON Schema that holds for this key: explain_policy(key) shows it'
    when 'PS009' then 'the key or value holds what looks like a secret: store a handle ($CRED{name}), or have an administrator set guard => ''redact'' or ''off'' for the key'
    when 'PS010' then 'access denied'
    when 'PS030' then 'this op_id was used for another request: a new request needs a new op_id'
    when 'PS040' then 'the key holds another kind of entry: values, threads and runs have functions of their own'
  end;
end
$$;
comment on function pgstate._error_text(text, text) is 'Internal: what is wrong and what to do, by SQLSTATE.';

-- functions/values/_insert_entries.sql
-- Inserts missing entries in key order; false when the decision about them must be made anew: another transaction created
-- one of them meanwhile, or they may have been purged since the floor was looked at, which their numbers start above. Once
-- a row is inserted its key cannot be purged, and purges raise the floor before anything else: so it is looked at again
-- after that. A sequence, because its value is seen whatever the snapshot.
create function pgstate._insert_entries(p_entries pgstate.entry[], p_floor bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_count bigint;
begin
  insert into pgstate.entry (key, parent, kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
                             full_version, tail_count, tail_bytes, full_bytes, full_type, trust)
  select n.key, left(n.key, -strpos(reverse(n.key), '/')), n.kind, n.version, n.live, n.value, n.writer, n.via, n.created_at, n.updated_at, n.expires_at, n.priority, n.not_before,
         n.full_version, n.tail_count, n.tail_bytes, n.full_bytes, n.full_type, n.trust
    from unnest(p_entries) n
      on conflict on constraint entry_pkey do nothing;
  get diagnostics v_count = row_count;
  if v_count < cardinality(p_entries) then
    return false;
  elsif coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) > p_floor then
    -- the keys are ours from here on, as if guarded as absent
    update pgstate.entry e set version = 0, live = false, value = null, full_version = null
     where e.key in (select n.key from unnest(p_entries) n);
    return false;
  end if;
  return true;
end
$$;
comment on function pgstate._insert_entries(pgstate.entry[], bigint) is 'Internal: inserts entries that were missing; false when all must be decided anew.';

-- functions/values/_merge_messages.sql
create function pgstate._merge_messages(p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  -- a message keeps the place where its id first stood and has the content that came last; without an id, or with null,
  -- each is new
  return (
    select jsonb_agg(m.latest order by m.place)
      from (select min(e.n) as place, (array_agg(e.message order by e.n desc))[1] as latest
              from jsonb_array_elements(p_current || p_operand) with ordinality as e (message, n)
             group by coalesce(nullif(e.message -> 'id', 'null'), to_jsonb(e.n)), nullif(e.message -> 'id', 'null') is null) m);
end
$$;
comment on function pgstate._merge_messages(jsonb, jsonb) is 'Internal: appends messages, replacing those whose id is already there.';

-- functions/values/_pack.sql
-- An outcome as lanes and op_ids keep it: the version alone for the usual one, else status, version, code, and the value if
-- there is one (a JSON null is a value). In SQL and STABLE, so that it is inlined.
create function pgstate._pack(p_outcome pgstate.outcome) returns jsonb
language sql stable
as $$
  select case when p_outcome.value is not null then pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code, p_outcome.value)
              when p_outcome.status = 'ok' then coalesce(pg_catalog.to_jsonb(p_outcome.version), 'null')
              else pg_catalog.jsonb_build_array(p_outcome.status, p_outcome.version, p_outcome.code) end
$$;
comment on function pgstate._pack(pgstate.outcome) is 'Internal: an outcome for keeping.';

-- functions/values/_unpack.sql
-- The opposite of _pack(). watched is true, which costs a wake-up at most: whether somebody watched was not kept.
create function pgstate._unpack(p_ord int, p_item jsonb, p_key text) returns pgstate.outcome
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_item) <> 'array' then
    return row(p_ord, 'ok', (p_item #>> '{}')::bigint, null, null, null, true)::pgstate.outcome;
  end if;
  return row(p_ord, p_item ->> 0, (p_item ->> 1)::bigint, p_item -> 3, p_item ->> 2, pgstate._error_text(p_item ->> 2, p_key), true)::pgstate.outcome;
end
$$;
comment on function pgstate._unpack(int, jsonb, text) is 'Internal: an outcome that was kept.';

-- functions/values/_raise.sql
create function pgstate._raise(p_code text, p_key text, p_message text default null) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code = 'PS010' then
    perform pgstate._deny();
  elsif p_code = 'PS001' then
    perform pgstate._bad_key(p_key);
  end if;
  raise exception using errcode = p_code, message = coalesce(p_message, pgstate._error_text(p_code, p_key));
end
$$;
comment on function pgstate._raise(text, text, text) is 'Internal: raises a refused row as an error.';

-- functions/values/_written.sql
create function pgstate._written(p_outcome pgstate.outcome, p_key text) returns pgstate.written
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_outcome.code is not null then
    perform pgstate._raise(p_outcome.code, p_key, p_outcome.message);
  end if;
  return row(p_outcome.status, p_outcome.version, p_outcome.value)::pgstate.written;
end
$$;
comment on function pgstate._written(pgstate.outcome, text) is 'Internal: what a single call returns, or raises when it was refused.';

-- functions/values/_reduce_plain.sql
-- Of the built-in reducers what is one expression, of a value that there is, as _reduce() has it: null for others, which it is for
-- _reduce() to tell from operands that do not fit. In a query the planner puts the expression in place of the call, which takes
-- 10 us; each function in it takes about half of one, called or not, so the types of both are asked for once.
create function pgstate._reduce_plain(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language sql stable parallel safe
as $$
  select case concat(p_reducer, ' ', jsonb_typeof(p_current), ' ', jsonb_typeof(p_operand))
    when 'add number number' then case
      -- far beyond every float; at 1e131072 numeric overflows
      when greatest(abs(p_operand::numeric), abs(p_current::numeric)) < 1e400 then to_jsonb(p_current::numeric + p_operand::numeric) end
    when 'merge object object' then p_current || p_operand
    -- the usual case: of such an element containment is equality
    when 'union array array' then case
      when jsonb_array_length(p_operand) = 1 and jsonb_typeof(p_operand -> 0) not in ('object', 'array') then case
        when p_current @> p_operand then p_current else p_current || p_operand end end
    -- strings would be compared by the database's collation
    when 'max number number' then case when p_operand > p_current then p_operand else p_current end
    when 'min number number' then case when p_operand < p_current then p_operand else p_current end
    else case when p_current is not null then case p_reducer when 'replace' then p_operand when 'first' then p_current end end
  end
$$;
comment on function pgstate._reduce_plain(text, jsonb, jsonb) is 'Internal: a built-in reducer that is one expression.';

-- functions/values/_reduce.sql
-- The built-in reducers. Frozen for ever: history replays them. Null when the operand does not fit the current value, or
-- the name is unknown; never an error, which would end a batch of others. p_current is SQL null for a key that does not exist.
create function pgstate._reduce(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text := jsonb_typeof(p_current);
  v_list jsonb;
begin
  if p_reducer in ('append', 'union', 'messages') then
    if v_type <> 'array' then
      return null;
    end if;
    v_list := case when jsonb_typeof(p_operand) = 'array' then p_operand else jsonb_build_array(p_operand) end;
    if p_reducer = 'append' then
      return coalesce(p_current, '[]') || v_list;
    elsif p_reducer = 'union' then
      if jsonb_array_length(v_list) = 1 and jsonb_typeof(v_list -> 0) not in ('object', 'array') then
        return pgstate._reduce_plain('union', coalesce(p_current, '[]'), v_list);
      end if;
      return coalesce(p_current, '[]') || coalesce((
        select jsonb_agg(n.element order by n.place)
          from (select e.element, min(e.place) as place
                  from jsonb_array_elements(v_list) with ordinality as e (element, place) group by e.element) n
         where p_current is null or not exists (select from jsonb_array_elements(p_current) c where c.value = n.element)), '[]');
    elsif exists (select from jsonb_array_elements(v_list) e where jsonb_typeof(e.value) <> 'object') then
      return null;
    end if;
    return coalesce(pgstate._merge_messages(coalesce(p_current, '[]'), v_list), '[]');
  end if;
  if p_reducer = 'deep_merge' then
    return case
      when jsonb_typeof(p_operand) <> 'object' or v_type <> 'object' then null
      when p_current is null then p_operand
      else pgstate._deep_merge(p_current, p_operand, 200) end;
  end if;
  if p_current is null then
    return case
      when p_reducer in ('replace', 'first') or p_reducer = 'merge' and jsonb_typeof(p_operand) = 'object'
        or p_reducer in ('max', 'min') and jsonb_typeof(p_operand) in ('number', 'string') then p_operand
      -- as in _reduce_plain()
      when p_reducer = 'add' and jsonb_typeof(p_operand) = 'number' then case when abs(p_operand::numeric) < 1e400 then p_operand end end;
  end if;
  if p_reducer in ('max', 'min') and v_type = 'string' then
    return case
      when jsonb_typeof(p_operand) <> 'string' then null
      when (p_operand #>> '{}') collate "C" > (p_current #>> '{}') collate "C" then case p_reducer when 'max' then p_operand else p_current end
      when p_operand <> p_current then case p_reducer when 'max' then p_current else p_operand end
      else p_current end;
  end if;
  return pgstate._reduce_plain(p_reducer, p_current, p_operand);
end
$$;
comment on function pgstate._reduce(text, jsonb, jsonb) is 'Internal: applies a built-in reducer.';

-- functions/values/_fold_deep.sql
-- Many deep_merges at once, in time that grows with their sizes: one after the other, each would copy the whole value. What
-- is deeper than p_depth levels was refused when it was merged (_operand_grows).
create function pgstate._fold_deep(p_value jsonb, p_operands jsonb[]) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_value jsonb := p_value;
  v_first int := 1;
begin
  -- what is no object replaces all before it, and is replaced by an object
  for v_index in reverse cardinality(p_operands) .. 1 loop
    if jsonb_typeof(p_operands[v_index]) <> 'object' then
      v_value := p_operands[v_index];
      v_first := v_index + 1;
      exit;
    end if;
  end loop;
  if v_first <= cardinality(p_operands) and jsonb_typeof(v_value) is distinct from 'object' then
    v_value := p_operands[v_first];
    v_first := v_first + 1;
  end if;
  if v_first > cardinality(p_operands) then
    return v_value;
  elsif v_first = cardinality(p_operands) then
    return pgstate._deep_merge(v_value, p_operands[v_first], 200);
  end if;
  -- detoasted once, and not for each key
  v_value := v_value || '{}';
  return v_value || coalesce((
    select jsonb_object_agg(g.key, case when cardinality(g.vals) = 1 and not v_value ? g.key then g.vals[1]
                                        else pgstate._fold_deep(v_value -> g.key, g.vals) end)
      from (select f.key, array_agg(f.value order by o.n) as vals
              from unnest(p_operands[v_first :]) with ordinality as o (operand, n) cross join lateral jsonb_each(o.operand) f
             group by f.key) g), '{}');
end
$$;
comment on function pgstate._fold_deep(jsonb, jsonb[]) is 'Internal: deep_merge of many operands, one after the other.';

-- functions/values/_fold.sql
-- A value and what was merged into it, operand by operand: what _reduce() gives when it is applied to each in turn. Operands
-- of one reducer are taken together, so that the time grows with their sizes and not with their number times the value's.
create function pgstate._fold(p_value jsonb, p_reducers text[], p_operands jsonb[]) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_hashjoin = on set enable_hashagg = on
as $$
declare
  v_value jsonb := p_value;
  v_reducer text;
  v_run jsonb[];
  v_start int := 1;
  v_last int := coalesce(cardinality(p_reducers), 0);
begin
  for v_index in 1 .. v_last loop
    continue when v_index < v_last and p_reducers[v_index + 1] = p_reducers[v_index];
    v_reducer := p_reducers[v_index];
    v_run := p_operands[v_start : v_index];
    if v_start = v_index then
      v_value := pgstate._reduce(v_reducer, v_value, v_run[1]);
    elsif v_reducer = 'merge' then
      v_value := v_value || coalesce((
        select jsonb_object_agg(f.key, f.value order by o.n)
          from unnest(v_run) with ordinality as o (operand, n) cross join lateral jsonb_each(o.operand) f), '{}');
    elsif v_reducer = 'deep_merge' then
      v_value := pgstate._fold_deep(v_value, v_run);
    elsif not exists (select from unnest(v_run) o where jsonb_typeof(o) = 'array') then
      -- most often each is one element: in a third of the time
      v_value := pgstate._reduce(v_reducer, v_value, to_jsonb(v_run));
    else
      v_value := pgstate._reduce(v_reducer, v_value, coalesce((
        select jsonb_agg(e.element order by o.n, e.n)
          from unnest(v_run) with ordinality as o (operand, n)
         cross join lateral jsonb_array_elements(case jsonb_typeof(o.operand) when 'array' then o.operand else jsonb_build_array(o.operand) end)
                    with ordinality as e (element, n)), '[]'));
    end if;
    v_start := v_index + 1;
  end loop;
  return v_value;
end
$$;
comment on function pgstate._fold(jsonb, text[], jsonb[]) is 'Internal: a value with operands merged into it in order.';

-- functions/values/_operand_grows.sql
-- May this operand be recorded by itself, to be folded into a value of that type when it is read? Null when not: it does not
-- fit, or only the value can tell; false when it changes no value.
create function pgstate._operand_grows(p_reducer text, p_type text, p_operand jsonb) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_empty jsonb := case p_type when 'array' then '[]' when 'object' then '{}' end;
begin
  if p_reducer not in ('append', 'union', 'merge', 'deep_merge', 'messages') or v_empty is null
     or p_reducer = 'deep_merge' and pgstate._deep_merge(p_operand, p_operand, 200) is null then
    return null;
  end if;
  return pgstate._reduce(p_reducer, v_empty, p_operand) <> v_empty;
end
$$;
comment on function pgstate._operand_grows(text, text, jsonb) is 'Internal: can an operand stand in history in place of the value?';

-- functions/values/_grown.sql
-- The value of an entry that has operands behind its full value.
create function pgstate._grown(p_key text, p_value jsonb, p_full_version bigint, p_version bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_reducers text[];
  v_operands jsonb[];
begin
  select array_agg(t.reducer), array_agg(t.value) into v_reducers, v_operands
    from (select v.reducer, v.value from pgstate.version v
           where v.key = p_key and v.version > p_full_version and v.version <= p_version order by v.version) t;
  return pgstate._fold(p_value, v_reducers, v_operands);
end
$$;
comment on function pgstate._grown(text, jsonb, bigint, bigint) is 'Internal: a full value with the operands of later versions.';

-- functions/values/_value_at.sql
-- The value of one version, whichever way it is stored.
create function pgstate._value_at(p_key text, p_version bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_full bigint;
  v_value jsonb;
begin
  select v.version, v.value into v_full, v_value
    from pgstate.version v
   where v.key = p_key and v.version <= p_version and v.reducer is null order by v.version desc limit 1;
  if v_full = p_version then
    return v_value;
  end if;
  return pgstate._grown(p_key, v_value, v_full, p_version);
end
$$;
comment on function pgstate._value_at(text, bigint) is 'Internal: the value of a version.';

-- functions/values/_current_value.sql
create function pgstate._current_value(p_key text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end
            from pgstate.entry e where e.key = p_key);
end
$$;
comment on function pgstate._current_value(text) is 'Internal: the value of an entry that the caller has locked.';

-- functions/values/_put_existing.sql
-- The most frequent write, in one statement: puts on different keys that all exist, are at the version expected and that
-- nobody has claimed. Returns their new versions, a null for each that the caller may only write; or null, with nothing
-- done and no lock kept, when any of them is otherwise: _write_each() tells how. A row costs half of what it costs there.
--
-- Lives are told by the value, here and wherever a key is looked up: live would let the planner take the index on waiting
-- tasks for a small one, and keep to it when it has grown.
--
-- Locks in key order: the join is a nested loop over the sorted input. What the entry must be like is checked on the row
-- as locked, except for the time, which is told before a lock is waited for (PostgreSQL looks again only at a row that has
-- changed meanwhile): after a wait everything is decided anew. Claims are looked at after that, in a statement of its own:
-- one that waited for a claimer's lock has a snapshot from before the claim. The inner block takes everything back.
--
-- Here and in other functions for many keys the actor's ranges are detoasted once, by the union with '{}': of 200 grants a look
-- takes as long as a fourth of a row.
create function pgstate._put_existing(
  p_actor pgstate._actor, p_keys text[], p_values jsonb[], p_expects bigint[], p_ttls interval[], p_priorities int[],
  p_not_befores timestamptz[]
) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := p_actor.reads + '{}';
  v_writes pgstate.keymultirange := p_actor.writes + '{}';
  v_versions bigint[];
  v_now timestamptz := pgstate._now();
begin
  begin
    with input as materialized (
      select u.*
        from unnest(p_keys, p_values, p_expects, p_ttls, p_priorities, p_not_befores) with ordinality
             as u (key, value, expect, ttl, priority, not_before, ord)
       where v_writes @> u.key and (u.expect is null or u.expect > 0 and v_reads @> u.key)
         and pg_column_size(u.value) <= p_actor.value_limit
         and (u.ttl is null or pgstate._span_ok(u.ttl))
         and (u.not_before is null or u.not_before between '1970-01-01' and '9999-12-01')
       order by u.key collate "C"
    ), updated as (
      update pgstate.entry e
         set version = e.version + 1, value = i.value, writer = p_actor.name, via = session_user, updated_at = v_now, trust = p_actor.trust,
             expires_at = v_now + i.ttl, priority = coalesce(i.priority, e.priority),
             not_before = coalesce(i.not_before, e.not_before), full_version = null
        from input i
       where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
         and (i.expect is null or e.version = i.expect)
      returning i.ord, e.key, e.version, i.value, e.via, e.expires_at
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select u.key, u.version, p_actor.epoch, 'put', u.value, p_actor.name, u.via, v_now, u.expires_at, p_actor.trust
        from updated u
    )
    select array_agg(case when v_reads @> u.key then u.version end order by u.ord) into v_versions
      from updated u;
    -- a key that occurs twice is updated once, and needs its operations decided one after the other
    if cardinality(v_versions) is distinct from cardinality(p_keys)
       or pgstate._now() > v_now + interval '50 ms' + cardinality(p_keys) * interval '0.2 ms' then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    if exists (select from pgstate.claim c where c.key = any (p_keys) and c.lease_until > pgstate._now()) then
      raise exception using errcode = 'PS998';
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._put_existing(pgstate._actor, text[], jsonb[], bigint[], interval[], int[], timestamptz[]) is
  'Internal: puts on existing, unclaimed keys.';

-- functions/values/_merge_existing.sql
-- Merges by built-in reducers on keys that all exist, hold small values and that nobody has claimed: as in _put_existing(),
-- and with the same result: their versions, or null, with nothing done and no lock kept, when any of them is otherwise. What
-- grows by operands (or begins to, above 2000 bytes) is for _write_each(). A key may occur with first right before it is merged,
-- as typed states send it, for a field that is not stored: with one that is, it changes nothing.
--
-- The entries are locked first, in key order (see there); what the reducers make of them is computed from the rows as
-- locked. The last statement has a time from after the waiting, and claims are looked at in one that began when all was locked.
-- Subqueries, no WITH, and as few aggregates as will do: the executor sets up less.
create function pgstate._merge_existing(p_actor pgstate._actor, p_keys text[], p_operands jsonb[], p_reducers text[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := p_actor.reads + '{}';
  v_writes pgstate.keymultirange := p_actor.writes + '{}';
  v_limit int := least(2000, p_actor.value_limit);
  v_versions bigint[];
  v_changed text[];
  v_same text[];
  v_values jsonb[];
  v_count int;
  v_now timestamptz;
begin
  begin
    select array_agg(case when v_reads @> m.key then case when m.changed then m.version + 1 else m.version end end order by m.ord),
           array_agg(m.key) filter (where m.changed), array_agg(m.merged) filter (where m.changed),
           array_agg(m.merged_key) filter (where not m.changed)
      into v_versions, v_changed, v_values, v_same
      from (
        select r.*, r.merged <> r.value as changed
          from (
            select i.ord, e.key, e.version, e.expires_at, e.value, case when i.reducer <> 'first' then i.key end as merged_key,
                   coalesce(pgstate._reduce_plain(i.reducer, e.value, i.operand), pgstate._reduce(i.reducer, e.value, i.operand)) as merged
              from (
                select u.*
                  from unnest(p_keys, p_operands, p_reducers, p_keys[2:]) with ordinality as u (key, operand, reducer, next_key, ord)
                 where (u.reducer <> 'first' or u.next_key = u.key)
                   and v_writes @> u.key and pg_column_size(u.operand) <= p_actor.value_limit
                 order by u.key collate "C"
                offset 0
              ) i
              cross join lateral (
                select x.key, x.version, x.expires_at, x.value from pgstate.entry x
                 where x.key = i.key and x.value is not null and x.kind = 'value' and x.full_version is null and pg_column_size(x.value) <= 2000
                   for no key update
              ) e
            offset 0
          ) r
         -- neither an operand that does not fit nor a reducer that is not built in makes anything
         where pg_column_size(r.merged) <= v_limit and (r.expires_at is null or r.expires_at > pgstate._now())
        offset 0
      ) m;
    v_now := pgstate._now();
    -- what is not as above is missing; a key that is merged twice and changed needs its operations decided one after the other
    if cardinality(v_versions) is distinct from cardinality(p_keys) or v_changed && v_same then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    if exists (select from pgstate.claim c where c.key = any (p_keys) and c.lease_until > v_now) then
      raise exception using errcode = 'PS998';
    end if;
    if v_changed is not null then
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, value = n.value, writer = p_actor.name, via = session_user, updated_at = v_now, trust = least(e.trust, p_actor.trust)
          from unnest(v_changed, v_values) as n (key, value)
         -- the first of them may have expired while the last was waited for
         where e.key = n.key and (e.expires_at is null or e.expires_at > v_now)
        returning e.key, e.version, n.value, e.via, e.expires_at, e.trust
      )
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select c.key, c.version, p_actor.epoch, 'merge', c.value, p_actor.name, c.via, v_now, c.expires_at, c.trust from changed c;
      get diagnostics v_count = row_count;
      if v_count <> cardinality(v_changed) then
        raise exception using errcode = 'PS998';
      end if;
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._merge_existing(pgstate._actor, text[], jsonb[], text[]) is 'Internal: merges on existing, small, unclaimed entries.';

-- functions/values/_complete_existing.sql
-- Completing different keys whose claims the caller holds, in three statements; with places to move their values or results
-- to where nothing was ever. Returns the keys' new versions; or null, with nothing done and no lock kept, when anything is
-- otherwise: _write_each() tells how. Locks as in _put_existing(): the entries in key order, then the claims.
create function pgstate._complete_existing(
  p_actor pgstate._actor, p_keys text[], p_tokens bigint[], p_results jsonb[], p_move_tos text[]
) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_versions bigint[];
  v_count int := cardinality(p_keys);
  v_values jsonb[];
  v_trusts pgstate.trust[];
  v_metas jsonb[];
  v_texts text;
  v_ended int;
  v_entries pgstate.entry[];
  v_floor bigint := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
  v_now timestamptz := pgstate._now();
begin
  if exists (select from unnest(p_keys) k where k is null or not ((select p_actor.reads + '{}') @> k and (select p_actor.writes + '{}') @> k))
     or exists (select from unnest(p_move_tos) k where k is not null and not ((select p_actor.writes + '{}') @> k and pgstate._key_ok(k)))
     or (select count(*) <> count(distinct k collate "C") from unnest(p_keys || p_move_tos) k where k is not null)
     or exists (select from unnest(p_results) r where pg_column_size(r) > p_actor.value_limit)
     or p_actor.policies and p_move_tos is not null and pgstate._has_rules(p_move_tos) then
    return null;
  end if;
  begin
    if p_move_tos is not null then
      select array_agg(coalesce(x.result, x.value) order by x.ord), array_agg(case when x.result is null then least(x.trust, p_actor.trust) else p_actor.trust end order by x.ord),
             -- whose value it was is not lost
             array_agg(case when x.result is null then jsonb_build_object('sources', jsonb_build_array(jsonb_build_object('key', x.key, 'version', x.version))) end order by x.ord),
             string_agg(coalesce(x.result, x.value)::text, ' ') into v_values, v_trusts, v_metas, v_texts
        from (select i.ord, i.result, e.key, e.version, e.trust,
                     case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value
                from (select u.* from unnest(p_keys, p_results) with ordinality as u (key, result, ord) order by u.key collate "C") i
                join pgstate.entry e on e.key = i.key and e.value is not null
               order by e.key for update of e) x;
      if cardinality(v_values) is distinct from v_count
         -- what was there may have been written where no guard was
         or pgstate._may_be_secret(array_to_string(p_move_tos, ' ') || ' ' || v_texts) then
        raise exception using errcode = 'PS998';
      end if;
    end if;
    with input as materialized (
      select u.* from unnest(p_keys) with ordinality as u (key, ord) order by u.key collate "C"
    ), ended as (
      update pgstate.entry e
         set version = e.version + 1, live = false, value = null, writer = p_actor.name, via = session_user, updated_at = v_now,
             expires_at = null, full_version = null, trust = case when p_actor.policies then pgstate._capped(p_actor.trust, e.key) else p_actor.trust end
        from input i
       where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
      returning i.ord, e.key, e.version, e.trust
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
      select u.key, u.version, p_actor.epoch, 'complete', p_actor.name, session_user, v_now, u.trust from ended u
    )
    select array_agg(u.version order by u.ord) into v_versions from ended u;
    if cardinality(v_versions) is distinct from v_count then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    delete from pgstate.claim c using unnest(p_keys, p_tokens) i (key, token)
     where c.key = i.key and c.token = i.token and c.holder_id = p_actor.id and c.lease_until > pgstate._now();
    get diagnostics v_ended = row_count;
    if v_ended <> v_count then
      raise exception using errcode = 'PS998';
    end if;
    if p_move_tos is not null then
      v_entries := array(
        select row(m.key, null, 'value', v_floor + 1, true, m.value, p_actor.name, session_user, v_now, v_now, null, 0, null, null, null, null, null, null, m.trust)::pgstate.entry
          from unnest(p_move_tos, v_values, v_trusts) m (key, value, trust) where m.key is not null order by m.key collate "C");
      if not pgstate._insert_entries(v_entries, v_floor) then
        raise exception using errcode = 'PS998';
      end if;
      insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, meta, trust)
      select m.key, v_floor + 1, p_actor.epoch, 'put', true, m.value, p_actor.name, session_user, v_now, m.meta, m.trust
        from unnest(p_move_tos, v_values, v_trusts, v_metas) m (key, value, trust, meta) where m.key is not null order by m.key collate "C";
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._complete_existing(pgstate._actor, text[], bigint[], jsonb[], text[]) is 'Internal: completes claimed entries.';

-- functions/values/_put_new.sql
-- The short way of a put where there is no row for the key, not even a tombstone: its version, or null when there is one by
-- now. The floor, above which versions of keys that were purged have never been, is read before; a purge that ended while
-- this waited for the row has raised it first, and once the row is ours nobody can purge the key: see _insert_entries().
create function pgstate._put_new(
  p_actor pgstate._actor, p_key text, p_value jsonb, p_ttl interval, p_priority int, p_not_before timestamptz, p_now timestamptz
) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_floor bigint := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
  v_version bigint;
begin
  insert into pgstate.entry as e (key, parent, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before, trust)
  values (p_key, left(p_key, -strpos(reverse(p_key), '/')), v_floor + 1, true, p_value, p_actor.name, session_user, p_now, p_now,
          p_now + p_ttl, coalesce(p_priority, 0), p_not_before, p_actor.trust)
      on conflict on constraint entry_pkey do nothing;
  if not found then
    return null;
  end if;
  v_version := v_floor + 1;
  if v_floor <> coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
    v_version := pg_sequence_last_value('pgstate.version_floor'::regclass) + 1;
    update pgstate.entry e set version = v_version where e.key = p_key;
  end if;
  insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
  values (p_key, v_version, p_actor.epoch, 'put', true, p_value, p_actor.name, session_user, p_now, p_now + p_ttl, p_actor.trust);
  return v_version;
end
$$;
comment on function pgstate._put_new(pgstate._actor, text, jsonb, interval, int, timestamptz, timestamptz) is 'Internal: puts a key that was never there, or null.';

-- functions/trust/_sources.sql
-- Sources as callers give them, keys or objects of key and version: a null key is one that is not well formed.
create function pgstate._sources(p_sources jsonb) returns table (ord bigint, key text, version bigint)
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select u.ord, case when pgstate._key_ok(k.key) and (u.item ->> 'version' is null or jsonb_typeof(u.item -> 'version') = 'number' and u.item ->> 'version' ~ '^[0-9]{1,18}$')
                       then k.key end,
           case when jsonb_typeof(u.item -> 'version') = 'number' and u.item ->> 'version' ~ '^[0-9]{1,18}$' then (u.item ->> 'version')::bigint end
      from jsonb_array_elements(p_sources) with ordinality u (item, ord)
     cross join lateral (
       select case jsonb_typeof(u.item) when 'string' then u.item #>> '{}' when 'object' then case when jsonb_typeof(u.item -> 'key') = 'string' then u.item ->> 'key' end end as key) k;
end
$$;
comment on function pgstate._sources(jsonb) is 'Internal: sources of a value, taken apart.';

-- functions/trust/_origins.sql
-- What writes say of where their values come from, one for each. A source must be one that the writer may read: whoever may
-- not learns nothing of it, not even by a trust that comes out lower. One without a version is the current one; the version
-- that it was is kept. The sources are those from before the call.
create function pgstate._origins(p_actor pgstate._actor, p_trusts text[], p_sources jsonb[]) returns pgstate._origin[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_origins pgstate._origin[] := '{}';
  v_one pgstate._origin;
  v_sources jsonb;
  v_trust text;
  v_denied text;
  v_done text;
begin
  for v_index in 1 .. greatest(cardinality(p_trusts), cardinality(p_sources)) loop
    v_one := null;
    v_trust := p_trusts[v_index];
    v_sources := p_sources[v_index];
    if v_trust is not null and not v_trust = any (enum_range(null::pgstate.trust)::text[])
       or v_sources is not null and (jsonb_typeof(v_sources) <> 'array' or jsonb_array_length(v_sources) > 100) then
      v_one.fault := 'PS007';
    else
      v_one.trust := v_trust::pgstate.trust;
      if v_sources <> '[]' then
        -- no key that the writer may not read goes on
        select bool_and(s.key is not null and (s.version is null or s.version > 0)),
               min(s.key) filter (where not (select p_actor.reads + '{}') @> s.key)
          into v_one.fault, v_denied from pgstate._sources(v_sources) s;
        if v_one.fault::boolean is not true then
          v_one.fault := 'PS007';
        elsif v_denied is not null then
          v_one.fault := 'PS010';
          v_done := pgstate._audit_denied(p_actor, v_denied, jsonb_build_object('asked', 'read'));
        else
          select least(v_one.trust, min(f.trust)), jsonb_build_object('sources', jsonb_agg(jsonb_build_object('key', s.key, 'version', f.version) order by s.ord)),
                 case when count(*) <> count(f.version) then 'PS007' end
            into v_one
            from pgstate._sources(v_sources) s
            left join lateral (
              select e.version, e.trust from pgstate.entry e
               where s.version is null and e.key = s.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
              union all
              select v.version, v.trust from pgstate.version v where v.key = s.key and v.version = s.version and v.value is not null
            ) f on true;
        end if;
      end if;
    end if;
    v_origins := v_origins || v_one;
  end loop;
  return v_origins;
end
$$;
comment on function pgstate._origins(pgstate._actor, text[], jsonb[]) is 'Internal: what writes say of where their values come from.';

-- functions/values/_try_each.sql
-- One try of _write_each(): the outcomes, or null when another transaction created a missing key meanwhile.
--
-- Order of locks: existing entries in key order (one statement, whose lateral subquery locks row by row in the order
-- of the sorted input), then missing keys by inserting them in key order. Claims change only under their entry's lock,
-- so they are read in a statement of their own after it (one that waited for a lock keeps the snapshot of before).
-- Nothing is written before every row is decided, so an atomic write that fails has nothing to undo.
--
-- p_return_values: which rows want the merged value. p_atomic: all or nothing.
create function pgstate._try_each(
  p_actor pgstate._actor, p_ops text[], p_keys text[], p_values jsonb[], p_expects bigint[], p_expect_values jsonb[],
  p_ttls interval[], p_tokens bigint[], p_priorities int[], p_not_befores timestamptz[], p_reducers text[],
  p_return_values boolean[], p_atomic boolean, p_origins pgstate._origin[] default null
) returns pgstate.outcome[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_slots pgstate._slot[];
  v_claims pgstate.claim[];
  v_allowed text[];
  v_out pgstate.outcome[];
  v_inserts pgstate.entry[];
  v_updates pgstate.entry[];
  v_tails pgstate.entry[];
  v_versions pgstate.version[];
  v_unclaim text[];
  v_threads text[];
  v_now timestamptz;
  v_via text := session_user;
  v_trust pgstate.trust;
  v_cap pgstate.trust;
  v_failed boolean;
  s pgstate._slot;
  -- the entry that the loop is at
  v_last int;
  v_key text;
  v_found boolean;
  v_version bigint;
  v_live boolean;
  v_lapsed boolean;
  v_writer text;
  v_created_at timestamptz;
  v_expires_at timestamptz;
  v_priority int;
  v_not_before timestamptz;
  v_dirty boolean;
  v_token bigint;
  -- its value now, if it is known; else the last full value, if it was written here, and the operands since
  v_known boolean;
  v_value jsonb;
  v_rebased boolean;
  v_full jsonb;
  v_reducers text[];
  v_operands jsonb[];
  v_full_version bigint;
  v_tail_count int;
  v_tail_bytes int;
  v_full_bytes int;
  v_full_type text;
  -- the decision about one operation
  v_status text;
  v_code text;
  v_message text;
  v_op text;
  v_new jsonb;
  v_grows boolean;
  v_tail boolean;
  v_rules pgstate._policy;
  v_reducer text;
  v_limit int;
  v_floor bigint;
  v_denied text[];
  v_done text;
  v_suspect boolean := pgstate._may_be_secret(array_to_string(p_keys, ' ') || ' ' || coalesce(array_to_string(p_values, ' '), ''));
  v_secret text;
begin
  select array_agg(row(
           i.ord, i.op, i.key, i.operand, i.expect, i.expect_value, i.ttl, i.token, i.priority, i.not_before, i.reducer,
           i.return_value, i.code, i.readable, e.key is not null, e.kind, coalesce(e.version, 0), coalesce(e.live, false),
           case when e.small then e.value end, e.created_at, e.expires_at, coalesce(e.priority, 0), e.not_before,
           coalesce(e.small, true), e.full_version, e.tail_count, e.tail_bytes, e.full_bytes, e.full_type, e.trust, i.origin_trust, i.origin_meta, i.origin_fault)::pgstate._slot)
    into v_slots
    from (
      select u.*, (select p_actor.reads + '{}') @> u.key as readable,
             case
               when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
               when u.op = 'replay' then 'PS000'
               when not ((select p_actor.writes + '{}') @> u.key and (
                      (select p_actor.reads + '{}') @> u.key
                      -- blind writes need no right to read, whatever compares or returns does
                      or u.op in ('put', 'merge', 'delete') and u.expect is null and u.expect_value is null
                         and u.token is null and not coalesce(u.return_value, false))) then 'PS010'
               when u.origin_fault is not null then u.origin_fault
               when u.op in ('put', 'merge') and u.operand is null then 'PS003'
               when u.op in ('put', 'merge') and pg_column_size(u.operand) > p_actor.value_limit then 'PS004'
               when u.op = 'merge' and not pgstate._built_in(u.reducer) and not (u.reducer is null and p_actor.policies) then 'PS005'
               when not pgstate._span_ok(u.ttl) or u.expect < 0 or u.not_before not between '1970-01-01' and '9999-12-01'
                    or u.op = 'complete' and u.token is null then 'PS007'
               when u.op is null or u.op not in ('put', 'merge', 'delete', 'complete', 'check', 'exists', 'absent') then 'PS007'
             end as code
        from unnest(p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities, p_not_befores,
                    p_reducers, p_return_values, p_origins) with ordinality
             as u (op, key, operand, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, origin_trust, origin_meta, origin_fault, ord)
       order by u.key collate "C", u.ord
    ) i
    left join lateral (
      -- a large value is looked up when it is needed: most writes need none
      select x.*, coalesce(pg_column_size(x.value), 0) <= 2000 and (x.full_version < x.version) is not true as small
        from pgstate.entry x where x.key = i.key and i.code is null for update
    ) e on true;

  -- of those that the caller may write: a look at others would show in the caller's own statistics
  v_allowed := array(select (x).key from unnest(v_slots) x where (x).code is null);
  if cardinality(v_allowed) > 0 then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(v_allowed);
    end if;
    select array_agg(c) into v_claims
      from pgstate.claim c
     where c.key = any (v_allowed) and c.lease_until > '-infinity';
  end if;

  v_now := pgstate._now();
  v_out := array_fill(null::pgstate.outcome, array[cardinality(p_keys)]);
  v_inserts := '{}';
  v_updates := '{}';
  v_tails := '{}';
  v_versions := '{}';
  v_unclaim := '{}';
  v_threads := '{}';
  v_failed := false;
  v_key := null;
  v_last := cardinality(v_slots);

  for v_index in 1 .. v_last loop
    s := v_slots[v_index];
    v_status := 'ok';
    v_code := s.code;
    v_message := null;
    v_op := null;
    v_tail := false;

    if s.origin_fault = 'PS007' and v_code = 'PS007' then
      v_message := 'trust is external, agent, verified or operator, and a source is a key, or {"key", "version"}, that is there';
    end if;
    if v_code is null and v_key is distinct from s.key then
      v_key := s.key;
      v_found := s.found;
      v_version := s.version;
      if v_version = 0 then
        -- a key that has no history, or none any more: see _insert_entries()
        if v_floor is null then
          v_floor := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
        end if;
        v_version := v_floor;
      end if;
      v_known := s.known;
      v_value := s.value;
      v_rebased := false;
      v_full := null;
      v_reducers := '{}';
      v_operands := '{}';
      v_full_version := s.full_version;
      v_tail_count := s.tail_count;
      v_tail_bytes := s.tail_bytes;
      v_full_bytes := s.full_bytes;
      v_full_type := s.full_type;
      v_trust := s.trust;
      v_cap := p_actor.trust;
      v_created_at := s.created_at;
      v_expires_at := s.expires_at;
      v_priority := s.old_priority;
      v_not_before := s.old_not_before;
      v_lapsed := s.live and coalesce(s.expires_at <= v_now, false);
      v_live := s.live and not v_lapsed;
      v_writer := null;
      v_dirty := false;
      v_token := null;
      v_limit := p_actor.value_limit;
      if p_actor.policies then
        v_rules := pgstate._policy_of(v_key);
        v_limit := least(v_limit, v_rules.value_limit);
        v_cap := least(v_cap, v_rules.trust);
      end if;
      if v_claims is not null and v_live then
        select c.token into v_token from unnest(v_claims) c where c.key = v_key and c.lease_until > v_now;
      end if;
    end if;

    -- a guard as absent leaves the key in a tombstone
    if v_suspect and v_code is null and s.op in ('put', 'merge', 'check', 'absent') then
      v_secret := pgstate._secret_rule(s.key || ' ' || coalesce(s.operand::text, ''));
      if v_secret is not null and v_rules.guard is distinct from 'off' then
        if v_rules.guard = 'redact' and pgstate._secret_rule(s.key) is null then
          s.operand := pgstate._redact(s.operand::text)::jsonb;
        else
          v_code := 'PS009';
          v_message := v_secret;
        end if;
      end if;
    end if;

    if v_code is null then
      if not v_known and v_live and (s.expect_value is not null or s.return_value) then
        v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
        v_known := true;
      end if;
      if v_live and s.kind <> 'value' and s.op not in ('check', 'exists', 'absent') then
        v_code := 'PS040';
      elsif s.token is not null and (v_token is distinct from s.token or not exists (
              select from unnest(v_claims) c where c.key = v_key and c.token = s.token and c.holder_id = p_actor.id)) then
        v_status := 'stale';
      elsif s.token is null and v_token is not null and s.op in ('put', 'merge', 'delete')
            and not (p_actor.policies and pgstate._claimed_writes(v_key)) then
        v_status := 'held';
      elsif s.op = 'exists' then
        v_status := case when v_live then 'ok' else 'missing' end;
      elsif s.op = 'absent' then
        v_status := case when v_live then 'conflict' else 'ok' end;
        -- two writes that each guard the other's absence must not both pass: the absent key is locked by a tombstone
        v_dirty := v_dirty or not v_found;
      elsif s.op in ('delete', 'complete') and not v_live then
        v_status := case when s.expect > 0 then 'conflict' else 'missing' end;
      elsif s.expect is not null and s.expect <> (case when v_live then v_version else 0 end)
         or s.expect_value is not null and (not v_live or s.expect_value <> v_value) then
        v_status := 'conflict';
      elsif s.op = 'check' then
        v_dirty := v_dirty or not v_found;
      elsif s.op in ('delete', 'complete') then
        v_op := s.op;
        v_new := null;
      elsif s.op = 'put' then
        v_op := 'put';
        v_new := s.operand;
        if pg_column_size(v_new) > v_limit then
          v_code := 'PS004';
        end if;
      else
        v_reducer := coalesce(s.reducer, v_rules.reducer);
        if v_live and v_full_version is null and not v_known
           and v_reducer in ('append', 'union', 'merge', 'deep_merge', 'messages') then
          -- from here on it grows by operands, for which only its type need be known
          v_value := pgstate._current_value(v_key);
          v_known := true;
          v_full_version := v_version;
          v_tail_count := 0;
          v_tail_bytes := 0;
          v_full_type := jsonb_typeof(v_value);
          -- out of its compressed form, in which it may be any size
          v_full_bytes := pg_column_size(case v_full_type when 'array' then v_value || '[]' when 'object' then v_value || '{}' else v_value end);
        end if;
        if v_live and v_full_version is not null then
          v_grows := pgstate._operand_grows(v_reducer, v_full_type, s.operand);
          -- at least 16, and when they outweigh the full value a new one is written
          v_tail := v_grows is not null and v_full_bytes + v_tail_bytes + pg_column_size(s.operand) <= v_limit
                    and (v_tail_count < 16 or v_tail_bytes + pg_column_size(s.operand) <= v_full_bytes);
        end if;
        if v_reducer is null then
          v_code := 'PS005';
        elsif v_tail then
          if v_grows or s.ttl is not null then
            v_op := 'merge';
            -- only the whole of it can tell whether it fits its schema
            v_new := case when v_rules.schema is not null then
              pgstate._fold(case when v_known then v_value when v_rebased then v_full else pgstate._current_value(v_key) end,
                            case when v_known then array[v_reducer] else v_reducers || v_reducer end,
                            case when v_known then array[s.operand] else v_operands || s.operand end) end;
          end if;
        else
          if not v_known and v_live then
            v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
            v_known := true;
          end if;
          v_new := case when pgstate._built_in(v_reducer) then pgstate._reduce(v_reducer, case when v_live then v_value end, s.operand)
                        else pgstate._reduce_by(v_reducer, case when v_live then v_value end, s.operand) end;
          -- of harmless parts an own one may make a secret
          if not pgstate._built_in(v_reducer) and v_rules.guard is distinct from 'off' then
            v_secret := pgstate._secret_rule(v_new::text);
            if v_rules.guard = 'redact' then
              v_new := pgstate._redact(v_new::text)::jsonb;
              v_secret := null;
            end if;
          else
            v_secret := null;
          end if;
          if v_new is null then
            v_code := 'PS006';
            if not pgstate._built_in(v_reducer) then
              v_message := case when pgstate._own_reducer(v_reducer) is null
                then format('the function of reducer %s has changed or is gone since it was registered: register_reducer() takes it as it is now', v_reducer)
                else format('the function of reducer %s gave no value', v_reducer) end;
            end if;
          elsif v_secret is not null then
            v_code := 'PS009';
            v_message := v_secret;
          elsif pg_column_size(v_new) > v_limit then
            v_code := 'PS004';
          elsif not v_live or v_new <> v_value or s.ttl is not null then
            v_op := 'merge';
          end if;
        end if;
      end if;
    end if;

    if v_op in ('put', 'merge') and v_code is null and v_rules.schema is not null then
      v_message := pgstate._schema_error(v_rules.schema, v_new);
      if v_message is not null then
        v_code := 'PS008';
        -- which path does not fit describes the value, and with a merge a hidden one
        v_message := case when s.readable then v_message end;
      end if;
    end if;
    if v_code is not null then
      v_op := null;
    end if;

    if v_op is not null then
      if v_lapsed then
        -- what stood here expired before this write: history says so first
        v_version := v_version + 1;
        v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, 'expire', false, null, 'pgstate', v_via,
                                        v_now, null, null, null, v_trust)::pgstate.version;
        v_unclaim := v_unclaim || v_key;
        if s.kind <> 'value' then
          v_threads := v_threads || v_key;
        end if;
        v_lapsed := false;
      end if;
      v_version := v_version + 1;
      -- what is merged in makes nothing more trusted
      v_trust := least(v_cap, s.origin_trust, case when v_op = 'merge' and v_live then v_trust end);
      v_expires_at := case when v_op = 'put' or not v_live then v_now + coalesce(s.ttl, v_rules.ttl)
                           when v_op = 'merge' then coalesce(v_now + s.ttl, v_expires_at) end;
      if v_op in ('delete', 'complete') then
        v_expires_at := null;
        v_unclaim := v_unclaim || v_key;
        v_token := null;
      elsif not v_live then
        v_created_at := v_now;
        v_priority := coalesce(s.priority, 0);
        v_not_before := s.not_before;
      else
        v_priority := coalesce(s.priority, v_priority);
        v_not_before := coalesce(s.not_before, v_not_before);
      end if;
      v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, v_op, v_op in ('put', 'merge') and not v_live,
                                      case when v_tail then s.operand else v_new end, p_actor.name, v_via, v_now, v_expires_at, s.origin_meta,
                                      case when v_tail then v_reducer end, v_trust)::pgstate.version;
      v_live := v_op in ('put', 'merge');
      if v_tail then
        v_reducers := v_reducers || v_reducer;
        v_operands := v_operands || s.operand;
        v_tail_count := v_tail_count + 1;
        v_tail_bytes := v_tail_bytes + pg_column_size(s.operand);
        v_known := false;
      else
        v_known := true;
        v_value := v_new;
        v_rebased := true;
        v_full := v_new;
        v_reducers := '{}';
        v_operands := '{}';
        v_full_version := null;
        if v_op = 'merge' and pg_column_size(v_new) > 2000 then
          v_full_version := v_version;
          v_tail_count := 0;
          v_tail_bytes := 0;
          -- as it is when a merge has left it as it was: compressed
          v_full_bytes := pg_column_size((array[v_new])[1]);
          v_full_type := jsonb_typeof(v_new);
        end if;
      end if;
      v_writer := p_actor.name;
      v_dirty := true;
    end if;

    if not v_known and v_live and (s.return_value or s.readable and v_status in ('conflict', 'held', 'stale')) then
      v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
      v_known := true;
    end if;
    if v_code is not null then
      if v_code = 'PS010' and s.origin_fault is null then
        v_denied := v_denied || s.key;
      end if;
      v_status := case v_code when 'PS010' then 'denied' else 'invalid' end;
      v_out[s.ord] := row(s.ord, v_status, null, null, v_code, v_message, null)::pgstate.outcome;
    elsif v_status = 'ok' then
      -- a caller who may only write learns no version
      v_out[s.ord] := row(s.ord, 'ok', case when s.readable then case when v_live or v_op is not null then v_version else 0 end end,
                          case when s.return_value then v_value end, null, null, null)::pgstate.outcome;
    elsif s.readable and v_status in ('conflict', 'held', 'stale') then
      v_out[s.ord] := row(s.ord, v_status, case when v_live then v_version else 0 end, case when v_live then v_value end,
                          null, null, null)::pgstate.outcome;
    elsif s.readable or v_status <> 'missing' then
      v_out[s.ord] := row(s.ord, v_status, null, null, null, null, null)::pgstate.outcome;
    else
      -- a blind delete tells nobody whether there was anything
      v_out[s.ord] := row(s.ord, 'ok', null, null, null, null, null)::pgstate.outcome;
    end if;
    v_failed := v_failed or v_out[s.ord].status <> 'ok';

    if v_dirty and (v_index = v_last or v_slots[v_index + 1].key is distinct from v_key) then
      if not v_found then
        v_inserts := v_inserts || row(v_key, null, 'value', case when v_writer is null then 0 else v_version end, v_live, v_full, coalesce(v_writer, p_actor.name), v_via,
                                      coalesce(v_created_at, v_now), v_now, v_expires_at, v_priority, v_not_before, v_full_version,
                                      v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      elsif v_rebased then
        v_updates := v_updates || row(v_key, null, 'value', v_version, v_live, v_full, v_writer, v_via, v_created_at, v_now,
                                      v_expires_at, v_priority, v_not_before, v_full_version,
                                      v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      else
        v_tails := v_tails || row(v_key, null, null, v_version, null, null, v_writer, v_via, null, v_now, v_expires_at, v_priority,
                                  v_not_before, v_full_version, v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      end if;
      v_dirty := false;
    end if;
  end loop;

  if v_denied is not null then
    v_done := pgstate._audit_denied(p_actor, v_denied[1], jsonb_build_object('asked', 'write', 'keys', nullif(cardinality(v_denied), 1)));
  end if;

  if p_atomic and v_failed then
    for v_index in 1 .. v_last loop
      if v_out[v_index].status = 'ok' then
        v_out[v_index] := row(v_index, 'skipped', null, null, null, null, null)::pgstate.outcome;
      end if;
    end loop;
    return v_out;
  end if;

  if cardinality(v_inserts) > 0 and not pgstate._insert_entries(v_inserts, v_floor) then
    return null;
  end if;

  if cardinality(v_updates) > 0 then
    update pgstate.entry e
       set kind = n.kind, version = n.version, live = n.live, value = n.value, writer = n.writer, via = n.via, created_at = n.created_at,
           updated_at = n.updated_at, expires_at = n.expires_at, priority = n.priority, not_before = n.not_before,
           full_version = n.full_version, tail_count = n.tail_count, tail_bytes = n.tail_bytes, full_bytes = n.full_bytes,
           full_type = n.full_type, trust = n.trust
      from unnest(v_updates) n
     where e.key = n.key;
  end if;
  if cardinality(v_tails) > 0 then
    -- apart, and without the value: an assigned one would be stored again, however large
    update pgstate.entry e
       set version = n.version, writer = n.writer, via = n.via, updated_at = n.updated_at, expires_at = n.expires_at,
           priority = n.priority, not_before = n.not_before, full_version = n.full_version, tail_count = n.tail_count, tail_bytes = n.tail_bytes, full_bytes = n.full_bytes,
           full_type = n.full_type, trust = n.trust
      from unnest(v_tails) n
     where e.key = n.key;
  end if;
  if cardinality(v_versions) > 0 then
    insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, reducer, meta, trust)
    select n.key, n.version, n.epoch, n.op, n.created, n.value, n.writer, n.via, n.at, n.expires_at, n.reducer, n.meta, n.trust
      from unnest(v_versions) n;
  end if;
  if cardinality(v_unclaim) > 0 then
    delete from pgstate.claim c where c.key = any (v_unclaim);
  end if;
  if cardinality(v_threads) > 0 then
    perform pgstate._detach_threads(v_threads);
  end if;
  return v_out;
end
$$;
comment on function pgstate._try_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean, pgstate._origin[]) is
  'Internal: one try of _write_each().';

-- functions/values/_write_each.sql
-- Writes of every kind, decided row by row: put, merge, delete, complete and the guards of apply, any number of rows.
--
-- A key that another transaction creates between locking and inserting shows as an insert that did nothing, and the whole
-- decision is made again. With several keys the inner block gives all locks back first, since the next try begins again
-- with the lowest key.
create function pgstate._write_each(
  p_actor pgstate._actor, p_ops text[], p_keys text[], p_values jsonb[], p_expects bigint[], p_expect_values jsonb[],
  p_ttls interval[], p_tokens bigint[], p_priorities int[], p_not_befores timestamptz[], p_reducers text[],
  p_return_values boolean[], p_atomic boolean, p_origins pgstate._origin[] default null
) returns pgstate.outcome[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.outcome[];
begin
  for v_try in 1 .. 20 loop
    if cardinality(p_keys) = 1 then
      v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                 p_not_befores, p_reducers, p_return_values, p_atomic, p_origins);
    else
      begin
        v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                   p_not_befores, p_reducers, p_return_values, p_atomic, p_origins);
        if v_out is null then
          raise exception using errcode = 'PS999';
        end if;
      exception when sqlstate 'PS999' then
        null;
      end;
    end if;
    if v_out is not null then
      return v_out;
    end if;
  end loop;
  -- a key was created and purged again under every try: nothing is wrong, but this transaction sees no end to it
  raise exception using errcode = '40001', message = 'could not settle the concurrent creation of a key',
    hint = 'Run the transaction again.';
end
$$;
comment on function pgstate._write_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean, pgstate._origin[]) is
  'Internal: writes of every kind, decided row by row.';

-- functions/values/apply.sql
-- Several keys, all or nothing. Guards and operations are rows of one atomic write_many(), guards first, so that they
-- are checked and locked together, in key order.
create function pgstate.apply(
  guards jsonb, operations jsonb, op_id text default null, lane uuid default null, turn bigint default null,
  wake boolean default true, agent text default null
) returns setof pgstate.applied
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(apply.agent);
  v_rows jsonb;
  v_guards int;
  v_a record;
  v_states text[];
  v_request text;
  v_outcome jsonb;
  v_watched boolean;
  v_row record;
  v_refused jsonb;
  v_key text;
begin
  if jsonb_typeof(apply.guards) <> 'array' or jsonb_typeof(apply.operations) <> 'array' then
    raise exception using errcode = 'PS007', message = 'guards and operations are arrays of documents';
  end if;
  v_rows := coalesce(apply.guards, '[]') || coalesce(apply.operations, '[]');
  v_guards := jsonb_array_length(coalesce(apply.guards, '[]'));

  -- what a row may say, checked before anything is done: a misspelt guard must not pass as no guard
  for v_row in
    select r.item, r.ord <= v_guards as is_guard, jsonb_typeof(r.item) = 'object' as is_object
      from jsonb_array_elements(v_rows) with ordinality as r (item, ord)
  loop
    if not v_row.is_object or jsonb_typeof(v_row.item -> 'key') is distinct from 'string'
       or v_row.is_guard and (
            exists (select from jsonb_object_keys(v_row.item) k where k not in ('key', 'exists', 'absent', 'version', 'value', 'token'))
            or (v_row.item ? 'exists')::int + (v_row.item ? 'absent')::int + (v_row.item ? 'version')::int + (v_row.item ? 'value')::int
               + (v_row.item ? 'token')::int <> 1
            or v_row.item ? 'exists' and v_row.item -> 'exists' <> 'true'
            or v_row.item ? 'absent' and v_row.item -> 'absent' <> 'true')
       or not v_row.is_guard and (
            coalesce(v_row.item ->> 'op', '') not in ('put', 'merge', 'delete', 'complete')
            or exists (select from jsonb_object_keys(v_row.item) k where k <> all (case v_row.item ->> 'op'
                 when 'put' then '{op,key,value,expect,expect_value,ttl,token,priority,not_before,trust,sources}'::text[]
                 when 'merge' then '{op,key,operand,reducer,ttl,token,trust,sources}'::text[]
                 when 'delete' then '{op,key,expect,token}'::text[]
                 else '{op,key,token}'::text[] end)))
       -- strict: the casts below take a number, a text and so on, and null is no way to leave a guard open
       or exists (select from jsonb_each(v_row.item) f where
            f.key in ('version', 'token', 'expect', 'priority') and (jsonb_typeof(f.value) <> 'number' or f.value::text !~ '^[0-9-]{1,18}$')
            or f.key in ('reducer', 'not_before', 'trust') and jsonb_typeof(f.value) <> 'string'
            or f.key = 'sources' and jsonb_typeof(f.value) <> 'array'
            or f.key = 'ttl' and jsonb_typeof(f.value) not in ('string', 'number'))
    then
      raise exception using errcode = 'PS007', message = format('invalid %s %s', case when v_row.is_guard then 'guard' else 'operation' end, pgstate._shown(v_row.item::text, 200)),
        hint = 'A guard is {"key", and one of "exists": true, "absent": true, "version", "value", "token"}; an operation is {"op": "put"|"merge"|"delete"|"complete", "key", and its arguments}.';
    end if;
  end loop;

  if apply.lane is not null then
    v_outcome := pgstate._lane_begin(v_actor, apply.lane, apply.turn);
    -- sent again: the first attempt may not have come to waking anybody
    v_watched := true;
  end if;
  if v_outcome is null and apply.op_id is not null then
    v_request := jsonb_build_array('apply', apply.guards, apply.operations)::text;
    v_states := pgstate._op_begin(v_actor, array[apply.op_id], array[v_request]);
    if v_states = array['known'] then
      v_states := pgstate._op_known(v_actor, array[apply.op_id], array[v_request], v_states);
    end if;
    if v_states = array['invalid'] then
      perform pgstate._raise('PS007', null);
    elsif v_states = array['reused'] then
      perform pgstate._raise('PS030', null);
    elsif v_states = array['replay'] then
      v_outcome := pgstate._op_outcome(v_actor, apply.op_id);
    end if;
  end if;

  if v_outcome is null then
    begin
      select array_agg(case when r.ord > v_guards then r.item ->> 'op' when r.item ? 'exists' then 'exists'
                            when r.item ? 'absent' then 'absent' else 'check' end order by r.ord) as ops,
             array_agg(r.item ->> 'key' order by r.ord) as keys,
             array_agg(coalesce(r.item -> 'operand', case when r.ord > v_guards then r.item -> 'value' end) order by r.ord) as vals,
             array_agg((coalesce(r.item ->> 'expect', r.item ->> 'version'))::bigint order by r.ord) as expects,
             array_agg(coalesce(r.item -> 'expect_value', case when r.ord <= v_guards then r.item -> 'value' end) order by r.ord) as expect_values,
             array_agg(case jsonb_typeof(r.item -> 'ttl') when 'number' then make_interval(secs => (r.item ->> 'ttl')::float8)
                            else (r.item ->> 'ttl')::interval end order by r.ord) as ttls,
             array_agg((r.item ->> 'token')::bigint order by r.ord) as tokens,
             array_agg((r.item ->> 'priority')::int order by r.ord) as priorities,
             array_agg((r.item ->> 'not_before')::timestamptz order by r.ord) as not_befores,
             array_agg(r.item ->> 'reducer' order by r.ord) as reducers,
             array_agg(r.item ->> 'trust' order by r.ord) as trusts, array_agg(r.item -> 'sources' order by r.ord) as sources,
             bool_or(r.item ?| '{trust,sources}') as derived
        into v_a
        from jsonb_array_elements(v_rows) with ordinality as r (item, ord);
    exception when data_exception then
      raise exception using errcode = 'PS007', message = 'invalid guard or operation: ' || pgstate._shown(sqlerrm, 200);
    end;
    select jsonb_agg(pgstate._pack(o) order by o.ord), bool_or(o.watched),
           (array_agg(jsonb_build_array(o.ord, o.code, o.message) order by o.ord) filter (where o.code is not null))[1]
      into v_outcome, v_watched, v_refused
      from pgstate.write_many(coalesce(v_a.ops, '{}'), coalesce(v_a.keys, '{}'), v_a.vals, v_a.expects, v_a.expect_values, v_a.ttls,
                              v_a.tokens, v_a.priorities, v_a.not_befores, v_a.reducers, wake => apply.wake, "atomic" => true,
                              agent => apply.agent, trusts => case when v_a.derived then v_a.trusts end,
                              sources => case when v_a.derived then v_a.sources end) o;
    -- a refused row is an error of the call
    if v_refused is not null then
      v_key := v_rows -> (v_refused -> 0)::int - 1 ->> 'key';
      perform pgstate._raise(v_refused ->> 1, v_key, v_key || ': ' || (v_refused ->> 2));
    end if;
    if apply.op_id is not null then
      perform pgstate._op_end(v_actor, apply.op_id, coalesce(v_outcome, '[]'));
    end if;
    if apply.lane is not null then
      perform pgstate._lane_end(apply.lane, apply.turn, coalesce(v_outcome, '[]'));
    end if;
  end if;

  return query
    select o.ord::int, r.item ->> 'key', u.status, u.version, u.value, v_watched
      from jsonb_array_elements(v_outcome) with ordinality as o (item, ord)
      join jsonb_array_elements(v_rows) with ordinality as r (item, ord) using (ord)
      cross join lateral pgstate._unpack(o.ord::int, o.item, r.item ->> 'key') u
     order by o.ord;
end
$$;
comment on function pgstate.apply(jsonb, jsonb, text, uuid, bigint, boolean, text) is
  'Several keys, all or nothing. guards: [{"key", one of "exists": true, "absent": true, "version": n, "value": json, "token": n}]; operations: [{"op": "put"|"merge"|"delete"|"complete", "key", and the arguments of that function}] (merge takes "operand", ttl is seconds or an interval). One row per guard, then per operation: ok everywhere, or nothing was done and the failing rows say conflict, held, stale or missing and the others skipped. PS001 PS003 PS004 PS005 PS006 PS007 PS009 PS010 PS030 PS031 PS040.';

-- functions/values/delete.sql
-- Leaves a tombstone, so that versions never restart.
create function pgstate.delete(
  key text, expect bigint default null, token bigint default null, op_id text default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('delete', delete.key, expect => delete.expect, token => delete.token,
    op_id => delete.op_id, agent => delete.agent), delete.key);
end
$$;
comment on function pgstate.delete(text, bigint, bigint, text, text) is
  'Deletes a key; its history stays and its versions go on when it is created again. Status ok, missing, conflict, held or stale. PS001 PS007 PS010 PS030 PS040.';

-- functions/values/delete_many.sql
-- The set-based delete.
create function pgstate.delete_many(
  keys text[], expects bigint[] default null, tokens bigint[] default null, op_ids text[] default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('delete'::text, array[coalesce(cardinality(delete_many.keys), 0)]), delete_many.keys,
    expects => delete_many.expects, tokens => delete_many.tokens, op_ids => delete_many.op_ids, agent => delete_many.agent) o;
end
$$;
comment on function pgstate.delete_many(text[], bigint[], bigint[], text[], text) is
  'delete() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';

-- functions/values/end_lane.sql
-- Reaches nothing but the caller's own lane.
create function pgstate.end_lane(lane uuid, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._lane_drop(pgstate._enter(end_lane.agent), end_lane.lane);
end
$$;
comment on function pgstate.end_lane(uuid, text) is 'Forgets a lane whose last statement was answered. A client changes its lanes now and then: while an old snapshot is held open, the row of a lane leads to all that it was.';

-- functions/values/expire.sql
create function pgstate.expire() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_login();
  perform pgstate._record_point();
  perform pgstate._expire(5000);
end
$$;
comment on function pgstate.expire() is 'Writes the expiry versions that are due, 5000 at most, and records what the feed is at, so that a time can be named later; every connected client calls it each second. Expired entries are invisible to reads without it.';

-- functions/values/get.sql
create function pgstate.get(key text, agent text default null, min_trust text default null) returns pgstate.entry_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get.agent, get.key, false);
  v_row pgstate.entry_row;
  v_min pgstate.trust;
begin
  if get.key is null or not pgstate._key_ok(get.key) then
    perform pgstate._bad_key(get.key);
  elsif not v_actor.readable then
    perform pgstate._deny();
  end if;
  if get.min_trust is not null then
    v_min := pgstate._trust_named(get.min_trust);
  end if;
  select 'ok', e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
         e.version, e.kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before, e.trust::text
    into v_row
    from pgstate.entry e
   where e.key = get.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
     and (v_min is null or e.trust >= v_min);
  if v_row.key is null then
    v_row.status := 'missing';
    v_row.key := get.key;
  end if;
  return v_row;
end
$$;
comment on function pgstate.get(text, text, text) is 'One entry: status ok with its columns, or missing. min_trust: what is trusted less is missing. PS001 for an invalid key, PS010 outside the caller''s grants, whether or not the key exists.';

-- functions/values/get_many.sql
create function pgstate.get_many(keys text[], agent text default null, min_trust text default null) returns setof pgstate.entry_item
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_many.agent);
  v_now timestamptz := pgstate._now();
  v_min pgstate.trust := pgstate._trust_named(get_many.min_trust);
begin
  v_actor.reads := v_actor.reads + '{}';
  return query
    select k.ord::int,
           case when k.code = 'PS010' then 'denied' when k.code is not null then 'invalid' when e.key is null then 'missing' else 'ok' end,
           k.key,
           case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
           e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before,
           k.code, case when k.code is not null then pgstate._error_text(k.code, k.key) end, e.trust::text
      from (select u.key, u.ord,
                   case when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
                        when not v_actor.reads @> u.key then 'PS010' end as code
              from unnest(get_many.keys) with ordinality as u (key, ord)) k
      left join lateral (
        select x.* from pgstate.entry x
         where k.code is null and x.key = k.key and x.value is not null and (x.expires_at is null or x.expires_at > v_now) and (v_min is null or x.trust >= v_min)
        offset 0
      ) e on true
     order by k.ord;
end
$$;
comment on function pgstate.get_many(text[], text, text) is 'Many entries in one statement: a row per key in the order of the input, status ok, missing, denied or invalid. min_trust as in get().';

-- functions/values/history.sql
create function pgstate.history(key text, "limit" int default 100, before bigint default null, agent text default null)
returns setof pgstate.version_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(history.agent, history.key, false);
  -- outside the query: under row-level security an expression that may leak is no index condition
  v_before bigint := coalesce(history.before, 9223372036854775807);
begin
  if history.key is null or not pgstate._key_ok(history.key) then
    perform pgstate._bad_key(history.key);
  elsif not v_actor.readable then
    perform pgstate._deny();
  elsif history."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query
    select v.key, v.version, v.op::text,
           case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end, v.writer, v.via, v.at, v.expires_at, v.created, v.trust::text
      from pgstate.version v
     where v.key = history.key and v.version < v_before
     order by v.version desc limit history."limit";
end
$$;
comment on function pgstate.history(text, int, bigint, text) is 'Versions of a key, newest first: what each was, who wrote it through which login, and when. before: only older ones, for the next page. PS001 PS007 PS010.';

-- functions/values/_list_claimed.sql
-- list() for claimed => true or false, apart from it: a condition more would be paid by every row of every listing.
create function pgstate._list_claimed(
  p_ranges pgstate.keymultirange, p_regex text, p_limit int, p_claimed boolean, p_cursor text, p_now timestamptz, p_min pgstate.trust
) returns setof pgstate.listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
begin
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
               e.version, case when e.kind = 'value' then 'value' else e.kind::text end, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority,
               e.not_before, p_cursor, e.trust::text
          from pgstate.entry e
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > p_now) and (p_regex is null or e.key ~ p_regex) and (p_min is null or e.trust >= p_min)
           and p_claimed = exists (select from pgstate.claim c where c.key = e.key and c.lease_until > p_now offset 0)
         order by e.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._list_claimed(pgstate.keymultirange, text, int, boolean, text, timestamptz, pgstate.trust) is 'Internal: entries that somebody holds, or that nobody does.';

-- functions/values/list.sql
-- Checked first, then read by range: only the ranges that both the pattern and the grants cover are touched, so that
-- hidden keys cost no time.
create function pgstate.list(pattern text default '', "limit" int default 1000, after text default null, bookmark boolean default false, agent text default null,
  claimed boolean default null, min_trust text default null)
returns setof pgstate.listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_cursor text;
  v_min pgstate.trust := pgstate._trust_named(list.min_trust);
begin
  v_ranges := pgstate._page_ranges(v_actor, list.pattern, list."limit", list.after);
  v_regex := pgstate._pattern_regex(list.pattern);
  -- a standby has no feed to go on with, but entries to list
  if not pg_is_in_recovery() then
    v_cursor := pgstate._cursor(v_actor);
  end if;
  -- The lateral subquery forces a nested loop over the ranges in their order, so rows come in key order without a sort,
  -- and the outer limit ends the scan with the page. The bounds are columns, because under row-level security a key is
  -- looked up in the index only by what no function computes there. Casting kind and trust takes a tenth of the time of a row.
  if list.claimed is not null then
    return query select * from pgstate._list_claimed(v_ranges, v_regex, list."limit", list.claimed, case when not list.bookmark then v_cursor end, v_now, v_min);
  else
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
               e.version, case when e.kind = 'value' then 'value' else e.kind::text end, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority,
               e.not_before, case when not list.bookmark then v_cursor end, case when e.trust = 'agent' then 'agent' else e.trust::text end
          from pgstate.entry e
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and (v_min is null or e.trust >= v_min)
         order by e.key limit list."limit"
      ) m
     limit list."limit";
  end if;
  if list.bookmark then
    return next row(null, null, null, null, null, null, null, null, null, null, null, v_cursor, null)::pgstate.listed;
  end if;
end
$$;
comment on function pgstate.list(text, int, text, boolean, text, boolean, text) is
  'Entries that match a pattern and that the caller may read, in key order. limit 1 to 100000 (null: all), after: the last key of the page before. Every row carries the cursor of this statement; with bookmark only one more row does, the last, whose key is null: it comes even when nothing is listed. Null on a standby, which has no feed. claimed: only those that somebody holds (true), or that nobody does (false). min_trust: only those that are trusted at least so far. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';

-- functions/values/namespaces.sql
create function pgstate.namespaces(
  pattern text, matching text[] default null, depth int default null, "limit" int default 100, "offset" int default 0, agent text default null
) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(namespaces.agent);
  v_ranges pgstate.keymultirange := '{(,)}';
  v_one text;
begin
  if namespaces."limit" is null or namespaces."limit" not between 1 and 100000 or namespaces."offset" is null or namespaces."offset" < 0
     or namespaces.depth < 1 or cardinality(namespaces.matching) > 32 or array_ndims(namespaces.matching) > 1 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, offset 0 or more, depth 1 or more, and 32 patterns at most';
  end if;
  foreach v_one in array namespaces.pattern || coalesce(namespaces.matching, '{}') loop
    perform pgstate._check_pattern(v_one);
    -- of the keys below
    v_ranges := v_ranges * pgstate._pattern_ranges(case when v_one = '' or v_one ~ E'(^|/)\\*\\*$' then v_one else v_one || '/**' end);
    if v_one = namespaces.pattern and v_one <> '' and isempty(v_ranges * v_actor.reads) then
      perform pgstate._deny();
    end if;
  end loop;
  return query
    select n from pgstate._namespaces(v_ranges * v_actor.reads, namespaces.pattern || coalesce(namespaces.matching, '{}'), namespaces.depth,
                                      namespaces."limit", namespaces."offset") n;
end
$$;
comment on function pgstate.namespaces(text, text[], int, int, int, text) is
  'Keys under which there are entries (their keys without the last segment), that match a pattern and all of matching, of entries that the caller may read. depth cuts them short, each once, to that many segments. limit 1 to 100000, offset: how many to pass over. PS002 PS007 PS010.';

-- functions/values/touch.sql
create function pgstate.touch(keys text[], agent text default null, lives interval[] default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if touch.lives is not null then
    if (cardinality(touch.lives) = cardinality(touch.keys)) is not true then
      raise exception using errcode = 'PS007', message = 'keys and lives must be of equal length';
    elsif exists (select from unnest(touch.lives) l where not pgstate._span_ok(l)) then
      raise exception using errcode = 'PS007', message = 'lives are more than nothing, and a hundred years at most';
    end if;
  end if;
  return pgstate._touch(touch.agent, touch.keys, touch.lives);
end
$$;
comment on function pgstate.touch(text[], text, interval[]) is
  'Lets the time to live of entries begin anew: each lives on for as long as its last write let it, or for lives[i] if that is less, until it is touched again. Returns how many did; those without a time to live, those that have expired, and those that the caller may not read and write stay as they are. No new version: nothing else about the entry changes. PS007 PS010.';

-- functions/values/merge.sql
-- Never conflicts: concurrent merges into one key all take effect.
create function pgstate.merge(
  key text, operand jsonb, reducer text default null, ttl interval default null, op_id text default null, token bigint default null,
  return_value boolean default false, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('merge', merge.key, merge.operand, ttl => merge.ttl, token => merge.token,
    reducer => merge.reducer, return_value => merge.return_value, op_id => merge.op_id, agent => merge.agent,
    trust => merge.trust, sources => merge.sources), merge.key);
end
$$;
comment on function pgstate.merge(text, jsonb, text, interval, text, bigint, boolean, text, text, jsonb) is
  'Merges an operand into a key inside the database, by replace, append, add, max, min, union, merge, deep_merge, messages or first, or without a name by the one that a policy sets; a missing key starts from the operand. Status as put(); the merged value when return_value. A merge that changes nothing makes no version, unless it gives a ttl, or the value grows by merges beyond 2 kB: what is merged into that is kept by itself. trust and sources as in put(), of the operand: the value is trusted no more than that, nor than before. PS001 PS003 PS004 PS005 PS006 PS008 PS009 PS010 PS030 PS040.';

-- functions/values/merge_many.sql
-- The set-based merge.
create function pgstate.merge_many(
  keys text[], operands jsonb[], reducers text[] default null, tokens bigint[] default null, op_ids text[] default null,
  return_value boolean default false, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('merge'::text, array[coalesce(cardinality(merge_many.keys), 0)]), merge_many.keys,
    "values" => merge_many.operands, reducers => merge_many.reducers, tokens => merge_many.tokens, op_ids => merge_many.op_ids,
    return_values => array_fill(merge_many.return_value, array[coalesce(cardinality(merge_many.keys), 0)]), agent => merge_many.agent) o;
end
$$;
comment on function pgstate.merge_many(text[], jsonb[], text[], bigint[], text[], boolean, text) is
  'merge() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';

-- functions/values/put.sql
-- A put replaces value and expiry, and keeps priority and not_before unless given.
create function pgstate.put(
  key text, value jsonb, expect bigint default null, expect_value jsonb default null, ttl interval default null,
  op_id text default null, token bigint default null, priority int default null, not_before timestamptz default null, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('put', put.key, put.value, put.expect, put.expect_value, put.ttl, put.token, put.priority,
    put.not_before, op_id => put.op_id, agent => put.agent, trust => put.trust, sources => put.sources), put.key);
end
$$;
comment on function pgstate.put(text, jsonb, bigint, jsonb, interval, text, bigint, int, timestamptz, text, text, jsonb) is
  'Writes a key. expect: null writes regardless, 0 creates only, n replaces version n; expect_value compares the value. Status ok with the new version, or conflict (current version and value), held (somebody else''s claim), stale (token). ttl null: no expiry. trust: the most that the value is to be trusted (external, agent, verified or operator; the caller''s own is an upper bound); sources: an array of what it derives from, keys or {"key", "version"} that the caller may read, whose trust it does not exceed. PS001 PS003 PS004 PS007 PS008 PS009 PS010 PS030 PS040.';

-- functions/values/put_many.sql
-- The set-based put.
create function pgstate.put_many(
  keys text[], "values" jsonb[], expects bigint[] default null, ttls interval[] default null,
  tokens bigint[] default null, op_ids text[] default null, agent text default null,
  trusts text[] default null, sources jsonb[] default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('put'::text, array[coalesce(cardinality(put_many.keys), 0)]), put_many.keys,
    "values" => put_many."values", expects => put_many.expects, ttls => put_many.ttls, tokens => put_many.tokens,
    op_ids => put_many.op_ids, agent => put_many.agent, trusts => put_many.trusts, sources => put_many.sources) o;
end
$$;
comment on function pgstate.put_many(text[], jsonb[], bigint[], interval[], bigint[], text[], text, text[], jsonb[]) is
  'put() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';

-- functions/values/write_many.sql
-- Writes of any kind for any number of rows: what clients gather into.
-- lane and turn protect a resent statement, op_ids single rows. wake false leaves waking the watchers to the caller
-- (wake() after the commit): NOTIFY inside the writing transaction serialises all commits of the cluster.
create function pgstate.write_many(
  ops text[], keys text[], "values" jsonb[] default null, expects bigint[] default null, expect_values jsonb[] default null,
  ttls interval[] default null, tokens bigint[] default null, priorities int[] default null,
  not_befores timestamptz[] default null, reducers text[] default null, return_values boolean[] default null,
  op_ids text[] default null, lane uuid default null, turn bigint default null, wake boolean default true,
  "atomic" boolean default false, lock_timeout text default null, agent text default null,
  trusts text[] default null, sources jsonb[] default null
) returns setof pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_many.agent, write_many.lane, write_many.turn);
  v_ops text[] := write_many.ops;
  v_count int := coalesce(cardinality(write_many.keys), 0);
  -- few functions where little is given, here and below: the executor sets up each, called or not
  v_more int := num_nonnulls(write_many.expects, write_many.expect_values, write_many.ttls, write_many.tokens, write_many.priorities,
                             write_many.not_befores, write_many.return_values, write_many.op_ids, write_many.trusts, write_many.sources);
  v_plain boolean;
  v_out pgstate.outcome[];
  v_outcome jsonb;
  v_states text[];
  v_requests text[];
  v_versions bigint[];
  v_origins pgstate._origin[];
  v_written text[];
  v_watched boolean;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_more = 0 then
    v_plain := concat('[1:', v_count, ']') = all (array[array_dims(v_ops), array_dims(write_many.keys), array_dims(write_many."values"),
                                                        coalesce(array_dims(write_many.reducers), array_dims(v_ops))]);
  end if;
  -- what is unusual is told apart in few expressions, here and below: each is initialised anew in every transaction
  if v_plain is not true or v_actor.kept is not null then
    v_plain := v_more = 0 or num_nonnulls(write_many.tokens, write_many.expect_values, write_many.return_values, write_many.trusts, write_many.sources) = 0;
    if v_count <> any (array[
         coalesce(cardinality(write_many.ops), 0), cardinality(write_many."values"), cardinality(write_many.expects), cardinality(write_many.expect_values),
         cardinality(write_many.ttls), cardinality(write_many.tokens), cardinality(write_many.priorities), cardinality(write_many.not_befores),
         cardinality(write_many.reducers), cardinality(write_many.return_values), cardinality(write_many.op_ids), cardinality(write_many.trusts),
         cardinality(write_many.sources)]) then
      raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
    elsif v_count = 0 then
      return;
    elsif v_actor.kept is not null then
      return query
        select u.* from jsonb_array_elements(v_actor.kept) with ordinality as o (item, ord)
         cross join lateral pgstate._unpack(o.ord::int, o.item, write_many.keys[o.ord]) u
         order by u.ord;
      return;
    elsif array_ndims(v_ops) <> 1 or array_lower(v_ops, 1) <> 1 or array_ndims(write_many.keys) <> 1 or array_lower(write_many.keys, 1) <> 1 then
      -- rows are counted from 1 below
      raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
    end if;
  end if;
  if write_many.wake is not true or write_many.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_many.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_many.wake then v_wake else 'off' end, true);
  end if;

  if write_many.op_ids is not null then
    if array_ndims(write_many.op_ids) <> 1 or array_lower(write_many.op_ids, 1) <> 1 then
      raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
    elsif write_many."atomic" then
      raise exception using errcode = 'PS007', message = 'an atomic write has one op_id: use apply()';
    end if;
    v_requests := array(
      select (jsonb_build_array(u.op, u.key, u.value, u.expect, u.expect_value, pgstate._span_told(u.ttl), u.token, u.priority, pgstate._time_told(u.not_before), u.reducer,
                               u.return_value)
              || case when num_nonnulls(u.trust, u.sources) > 0 then jsonb_build_array(u.trust, u.sources) else '[]' end)::text
        from unnest(v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values, write_many.ttls,
                    write_many.tokens, write_many.priorities, write_many.not_befores, write_many.reducers, write_many.return_values,
                    write_many.trusts, write_many.sources)
             with ordinality as u (op, key, value, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, trust, sources, ord)
       order by u.ord);
    v_states := pgstate._op_begin(v_actor, write_many.op_ids, v_requests);
    if 'known' = any (v_states) then
      v_states := pgstate._op_known(v_actor, write_many.op_ids, v_requests, v_states);
    end if;
    for v_index in 1 .. cardinality(v_ops) loop
      if v_states[v_index] <> 'new' then
        v_ops[v_index] := 'replay';
      end if;
    end loop;
  end if;

  if v_plain and v_states is null and v_ops[1] in ('put', 'merge') and v_ops[1] = all (v_ops)
     -- together: a regular expression costs as much for one value as for a kilobyte of them
     and not pgstate._may_be_secret(concat(array_to_string(write_many.keys, ' ', ''), ' ', array_to_string(write_many."values", ' ', '')))
     and not (v_actor.policies and pgstate._has_rules(write_many.keys)) then
    if v_ops[1] = 'put' then
      if not write_many."atomic" and (0 = any (write_many.expects)) is not true then
        v_versions := pgstate._put_existing(v_actor, write_many.keys, write_many."values", write_many.expects, write_many.ttls,
                                            write_many.priorities, write_many.not_befores);
      end if;
    elsif v_more = 0 or num_nonnulls(write_many.expects, write_many.ttls, write_many.priorities, write_many.not_befores) = 0 then
      v_versions := pgstate._merge_existing(v_actor, write_many.keys, write_many."values", write_many.reducers);
    end if;
  elsif num_nonnulls(write_many.trusts, write_many.sources) > 0 then
    v_origins := pgstate._origins(v_actor, write_many.trusts, write_many.sources);
  elsif v_states is null and num_nonnulls(write_many.expects, write_many.expect_values) = 0 and not write_many."atomic" and 'complete' = all (v_ops) then
    v_versions := pgstate._complete_existing(v_actor, write_many.keys, write_many.tokens, null, null);
  end if;
  if v_versions is not null then
    if write_many.lane is not null or write_many.wake is not true then
      v_watched := pgstate._finish(write_many.lane, write_many.turn, to_jsonb(v_versions),
                                   case when write_many.wake is not true then write_many.keys end, write_many.wake is null, pgstate._now());
      v_done := case when write_many.wake is not true then set_config('pgstate.wake', v_wake, true) end;
    end if;
    return query
      select v.ord::int, 'ok', v.version, null::jsonb, null, null, v_watched
        from unnest(v_versions) with ordinality as v (version, ord);
    return;
  end if;

  v_out := pgstate._write_each(v_actor, v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values,
                               write_many.ttls, write_many.tokens, write_many.priorities, write_many.not_befores,
                               write_many.reducers, write_many.return_values, write_many."atomic", v_origins);
  if write_many.wake is not true then
    v_done := set_config('pgstate.wake', v_wake, true);
    v_written := array(select write_many.keys[o.ord] from unnest(v_out) o where o.status = 'ok');
  end if;

  if v_states is not null then
    for v_index in 1 .. cardinality(v_ops) loop
      if write_many.op_ids[v_index] is not null and v_states[v_index] = 'new' then
        perform pgstate._op_end(v_actor, write_many.op_ids[v_index],
          case when v_out[v_index].code is null
               then pgstate._pack(v_out[v_index]) end);
      end if;
    end loop;
    for v_index in 1 .. cardinality(v_ops) loop
      if v_states[v_index] in ('reused', 'invalid') then
        v_out[v_index] := row(v_index, 'invalid', null, null, case v_states[v_index] when 'reused' then 'PS030' else 'PS007' end,
                              null, null)::pgstate.outcome;
      elsif v_states[v_index] = 'replay' then
        v_outcome := pgstate._op_outcome(v_actor, write_many.op_ids[v_index]);
        if v_outcome is null then
          -- the same request twice in one statement, and refused
          v_outcome := pgstate._pack(v_out[array_position(write_many.op_ids, write_many.op_ids[v_index])]);
        end if;
        v_out[v_index] := pgstate._unpack(v_index, v_outcome, write_many.keys[v_index]);
      end if;
    end loop;
  end if;

  if write_many.lane is not null then
    v_outcome := (select jsonb_agg(pgstate._pack(o) order by o.ord) from unnest(v_out) o);
  end if;
  if write_many.lane is not null or write_many.wake is not true then
    v_watched := pgstate._finish(write_many.lane, write_many.turn, v_outcome, v_written, write_many.wake is null, pgstate._now());
  end if;
  return query
    select o.ord, o.status, o.version, o.value, o.code,
           case when o.code is not null then pgstate._error_text(o.code, write_many.keys[o.ord]) || coalesce(': ' || o.message, '') end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.write_many(text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], text[], uuid, bigint, boolean, boolean, text, text, text[], jsonb[]) is
  'Writes any number of rows in one statement: ops is put, merge, delete or complete for each key, the other arrays run alongside and may be null. One outcome per row, in order; a refused row (code, message) harms no other. A key may occur several times. atomic: all or nothing. trusts: the most that a value is to be trusted; sources: for each an array of what it derives from, keys or {"key", "version"}, which the caller must be able to read and whose trust it does not exceed. lock_timeout as in write_one().';

-- functions/values/write_one.sql
-- Any write of one row, as write_many() takes it: what clients send that have just one, and what put(), merge(), delete()
-- and complete() are. A plain put and a plain completion go a short way, in plain statements; everything else is decided by
-- write_many(), which finds the entry locked already.
--
-- The short way of a key that exists: the entry is locked first and written by a second statement, whose snapshot shows every claim that there
-- is (claims are taken under the entry's lock), and whose time is the one after the wait for the lock. A key that was never
-- there (a deleted one has left a tombstone) has no claim and no lock either: inserting it decides.
create function pgstate.write_one(
  op text, key text, value jsonb default null, expect bigint default null, expect_value jsonb default null,
  ttl interval default null, token bigint default null, priority int default null, not_before timestamptz default null,
  reducer text default null, return_value boolean default null, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_one.agent, write_one.lane, write_one.turn, write_one.key);
  v_version bigint;
  v_plain boolean;
  v_now timestamptz;
  v_out pgstate.outcome;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_actor.kept is not null then
    return pgstate._unpack(1, v_actor.kept -> 0, write_one.key);
  end if;
  if write_one.wake is not true or write_one.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_one.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_one.wake then v_wake else 'off' end, true);
  end if;
  v_plain := write_one.op = 'put' and write_one.expect_value is null and write_one.token is null
    and write_one.return_value is null and write_one.op_id is null and write_one.trust is null and write_one.sources is null and v_actor.writable
    and (write_one.expect is null or v_actor.readable) and pg_column_size(write_one.value) <= v_actor.value_limit
    and not pgstate._may_be_secret(concat(write_one.key, ' ', write_one.value));
  -- what few give is told apart in expressions of its own, here and below: each is initialised anew in every transaction
  if v_plain and (write_one.ttl is not null or write_one.not_before is not null or v_actor.policies) then
    v_plain := pgstate._span_ok(write_one.ttl) and (write_one.not_before is null or write_one.not_before between '1970-01-01' and '9999-12-01')
      and not (v_actor.policies and pgstate._has_rules(array[write_one.key]));
  end if;
  if v_plain then
    -- lives are told by the value: see _put_existing()
    if write_one.expect is distinct from 0 then
      select e.version into v_version
        from pgstate.entry e
       where e.key = write_one.key and e.value is not null and e.kind = 'value'
         and (write_one.expect is null or e.version = write_one.expect) for no key update;
    end if;
    if v_version is null then
      if coalesce(write_one.expect, 0) = 0 and pgstate._key_ok(write_one.key) then
        v_now := pgstate._now();
        v_version := pgstate._put_new(v_actor, write_one.key, write_one.value, write_one.ttl, write_one.priority, write_one.not_before,
                                      v_now);
      end if;
    else
      if current_setting('transaction_isolation') <> 'read committed' then
        perform pgstate._check_claims_seen(array[write_one.key]);
      end if;
      v_now := pgstate._now();
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, value = write_one.value, writer = v_actor.name, via = session_user, updated_at = v_now, trust = v_actor.trust,
               expires_at = v_now + write_one.ttl, priority = coalesce(write_one.priority, e.priority),
               not_before = coalesce(write_one.not_before, e.not_before), full_version = null
         where e.key = write_one.key and (e.expires_at is null or e.expires_at > v_now)
           and not exists (select from pgstate.claim c where c.key = write_one.key and c.lease_until > v_now)
        returning e.version, e.via, e.expires_at
      )
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select write_one.key, c.version, v_actor.epoch, 'put', write_one.value, v_actor.name, c.via, v_now, c.expires_at, v_actor.trust
        from changed c;
      v_version := case when found then v_version + 1 end;
    end if;
  elsif write_one.op = 'complete' and write_one.token is not null and write_one.expect is null and write_one.expect_value is null
        and write_one.return_value is null
        and write_one.op_id is null and write_one.trust is null and write_one.sources is null and v_actor.writable and v_actor.readable then
    -- likewise: the claim is ended in the statement that asks whether it is the caller's
    select e.version into v_version
      from pgstate.entry e where e.key = write_one.key and e.value is not null and e.kind = 'value' for no key update;
    if v_version is not null then
      if current_setting('transaction_isolation') <> 'read committed' then
        perform pgstate._check_claims_seen(array[write_one.key]);
      end if;
      v_now := pgstate._now();
      with ended as (
        delete from pgstate.claim c
         where c.key = write_one.key and c.token = write_one.token and c.holder_id = v_actor.id and c.lease_until > v_now
        returning c.key
      ), changed as (
        update pgstate.entry e
           set version = e.version + 1, live = false, value = null, writer = v_actor.name, via = session_user, updated_at = v_now,
               expires_at = null, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, write_one.key) else v_actor.trust end
          from ended n
         where e.key = n.key and (e.expires_at is null or e.expires_at > v_now)
        returning e.version, e.trust
      )
      insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
      select write_one.key, c.version, v_actor.epoch, 'complete', v_actor.name, session_user, v_now, c.trust from changed c;
      v_version := case when found then v_version + 1 end;
    end if;
  end if;
  if v_version is not null then
    v_out := row(1, 'ok', case when v_actor.readable then v_version end, null, null, null, null)::pgstate.outcome;
    if write_one.lane is not null or write_one.wake is not true then
      v_out.watched := pgstate._finish(write_one.lane, write_one.turn, jsonb_build_array(v_out.version),
                                       case when write_one.wake is not true then array[write_one.key] end, write_one.wake is null, v_now);
    end if;
  else
    select o.* into v_out
      from pgstate.write_many(array[write_one.op], array[write_one.key], array[write_one.value], array[write_one.expect],
             array[write_one.expect_value], array[write_one.ttl], array[write_one.token], array[write_one.priority],
             array[write_one.not_before], array[write_one.reducer], array[write_one.return_value],
             case when write_one.op_id is not null then array[write_one.op_id] end, wake => write_one.wake, agent => write_one.agent,
             trusts => case when write_one.trust is not null then array[write_one.trust] end,
             sources => case when write_one.sources is not null then array[write_one.sources] end) o;
    if write_one.lane is not null then
      v_done := pgstate._lane_end(write_one.lane, write_one.turn, jsonb_build_array(pgstate._pack(v_out)));
    end if;
  end if;
  if write_one.wake is not true then
    v_done := set_config('pgstate.wake', v_wake, true);
  end if;
  return v_out;
end
$$;
comment on function pgstate.write_one(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, boolean, text, text, text, jsonb) is
  'One write: op is put, merge, delete or complete, the rest as in write_many(). A refused write is an outcome with code and message, not an error. wake null: watchers are woken in this transaction when no other is writing, which watched null tells, and are left to the caller as with wake false else. lock_timeout is set for the rest of the transaction, for clients that have other writes waiting: 55P03.';

-- functions/values/write_and_wake.sql
-- write_one(), its commit, and the wake-up when somebody watches the key, in one round trip: while others write, a NOTIFY
-- inside the writing transaction would serialise all commits of the cluster, and only a procedure can commit in between. It runs as its caller, since
-- none that commits can be SECURITY DEFINER, and does nothing that the caller could not do with the two functions.
create procedure pgstate.write_and_wake(
  op text, key text, input jsonb, expect bigint, expect_value jsonb, ttl interval, token bigint, priority int, not_before timestamptz,
  reducer text, return_value boolean, op_id text, lane uuid, turn bigint, lock_timeout text, agent text,
  inout status text, inout version bigint, inout value text, inout code text, inout message text, inout watched boolean
)
language plpgsql
as $$
declare
  v_out pgstate.outcome := pgstate.write_one(op, key, input, expect, expect_value, ttl, token, priority, not_before, reducer,
    return_value, op_id, lane, turn, null, lock_timeout, agent);
begin
  status := v_out.status;
  version := v_out.version;
  if v_out.status <> 'ok' or v_out.value is not null then
    value := v_out.value::text;
    code := v_out.code;
    message := v_out.message;
  end if;
  watched := v_out.watched is not false and v_out.status = 'ok';
  if v_out.watched and watched then
    commit;
    -- what was written stays written, and that is what the caller must hear
    begin
      if not pgstate.wake_lane(lane) then
        perform pgstate.wake(array[key], agent);
      end if;
    exception when others then
      null;
    end;
  end if;
end
$$;
comment on procedure pgstate.write_and_wake(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, text, text, text, bigint, text, text, text, boolean) is
  'write_one() with wake false, its commit, and wake(): for clients that have one write and no transaction of their own. The last six are the outcome: pass null.';

-- functions/history/_check_as_of.sql
create function pgstate._check_as_of(p_given int) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_given <> 1 then
    raise exception using errcode = 'PS007', message = 'as of what? Give one of version (of one key), cursor and at (a time)';
  end if;
end
$$;
comment on function pgstate._check_as_of(int) is 'Internal: raises PS007 unless one past state is named.';

-- functions/history/_seen.sql
-- Is a version part of a past state? In SQL and not a definer, so that it is inlined.
create function pgstate._seen(p_epoch int, p_xid xid8, p_seq bigint, p_of int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint)
returns boolean
language sql stable
as $$
  select p_epoch < p_of
      or p_epoch = p_of and (pg_catalog.pg_visible_in_snapshot(p_xid, p_base)
                             or p_upto is not null and p_seq <= p_after and pg_catalog.pg_visible_in_snapshot(p_xid, p_upto))
$$;
comment on function pgstate._seen(int, xid8, bigint, int, pg_snapshot, pg_snapshot, bigint) is 'Internal: is a version (epoch, xid, seq) part of a past state?';

-- functions/history/_search.sql
-- The version that a key was at in a past state that is further back than its newest eight versions; no row when it had none.
-- Versions of a key are dense and those of a past state are a prefix, so it can be searched for: a guess, by how far apart in
-- the feed the newest are (seq, of which p_seq is that state's), then steps that grow away from it and never pass the middle:
-- few for a key that is written regularly, a logarithm for any. A version that is not there is older than the key's first.
--
-- In SQL and not a definer, so that it is inlined and the policies' subqueries are computed once for all keys; as a
-- function of its own the search takes ten times as long. What a version is compared with stands in a column: under
-- row-level security an expression is no index condition. A range has both its ends: one that is open reads a whole page of
-- the index before its first row. OFFSET 0: otherwise all versions of a key may be fetched once, to be searched in memory.
create function pgstate._search(
  p_key text, p_newest bigint, p_epoch int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint, p_seq bigint
) returns setof pgstate.version
language sql stable
as $$
  select v.*
    from (
      with recursive search (low, high, step, probe) as (
        -- from high on everything came later; low is part of it, or older than all
        select 0::bigint, p_newest - 7, 1::bigint,
               greatest(p_newest - greatest(coalesce(7 * (r.newer - p_seq) / nullif(r.newer - r.older, 0), 16), 8), 1)
          from (select min(n.seq) as older, max(n.seq) as newer
                  from (select p_newest - 8 as below offset 0) b
                  cross join lateral (select v.seq from pgstate.version v where v.key = p_key and v.version > b.below offset 0) n) r
         where p_newest > 8
        union all
        select n.low, n.high, least(s.step, 1000000000000000) * 8,
               case when p.later then greatest(n.high - s.step, (n.low + n.high) / 2)
                    else least(n.low + s.step, (n.low + n.high) / 2) end
          from search s
          left join lateral (
            select not pgstate._seen(v.epoch, v.xid, v.seq, p_epoch, p_base, p_upto, p_after) as later
              from pgstate.version v where v.key = p_key and v.version = s.probe offset 0) p on true
          cross join lateral (
            select case when p.later then s.low else s.probe end as low, case when p.later then s.probe else s.high end as high) n
         where s.high - s.low > 1
      )
      select s.low as version from search s where s.high - s.low <= 1
    ) w
    cross join lateral (select x.* from pgstate.version x where x.key = p_key and x.version = w.version offset 0) v
$$;
comment on function pgstate._search(text, bigint, int, pg_snapshot, pg_snapshot, bigint, bigint) is
  'Internal: the version that a key was at in a past state, looked for below its newest eight.';

-- functions/history/_then.sql
-- The version that a key was at in a past state; no row when it had none. The newest is looked at, which is enough for most
-- keys, then seven more one by one, in one descent of the index; then it is searched for. The parts run one after the other,
-- and no further than to the first row. In SQL for the reasons that _search() has.
create function pgstate._then(
  p_key text, p_newest bigint, p_epoch int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint, p_seq bigint
) returns setof pgstate.version
language sql stable
as $$
  (select n.*
     from (select p_newest - 8 as below offset 0) b
     cross join lateral (
       select v.* from pgstate.version v where v.key = p_key and v.version > b.below and v.version <= p_newest
        order by v.version desc offset 0) n
    where pgstate._seen(n.epoch, n.xid, n.seq, p_epoch, p_base, p_upto, p_after)
    limit 1)
  union all
  select d.* from pgstate._search(p_key, p_newest, p_epoch, p_base, p_upto, p_after, p_seq) d
  limit 1
$$;
comment on function pgstate._then(text, bigint, int, pg_snapshot, pg_snapshot, bigint, bigint) is
  'Internal: the version that a key was at in a past state.';

-- functions/history/get_as_of.sql
create function pgstate.get_as_of(key text, version bigint default null, cursor text default null, at timestamptz default null, agent text default null)
returns pgstate.past_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_as_of.agent);
  v_moment pgstate._moment;
  v_version bigint := get_as_of.version;
  v_row pgstate.past_row;
begin
  if get_as_of.key is null or not pgstate._key_ok(get_as_of.key) then
    perform pgstate._bad_key(get_as_of.key);
  elsif not v_actor.reads @> get_as_of.key then
    perform pgstate._deny();
  elsif num_nonnulls(get_as_of.version, get_as_of.cursor, get_as_of.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(get_as_of.version, get_as_of.cursor, get_as_of.at));
  end if;
  if get_as_of.version is null then
    v_moment := pgstate._moment(v_actor, get_as_of.cursor, get_as_of.at);
    -- as in _then(), which finds the newest in the table of entries: here that is one look more
    select 'ok', n.key, case when n.reducer is null then n.value else pgstate._value_at(n.key, n.version) end,
           n.version, n.writer, n.via, n.at, n.expires_at, n.trust::text into v_row
      from (select v.* from pgstate.version v where v.key = get_as_of.key order by v.version desc limit 8) n
     where pgstate._seen(n.epoch, n.xid, n.seq, v_moment.epoch, v_moment.base, v_moment.upto, v_moment.after)
     limit 1;
    if v_row.key is null then
      v_version := pgstate._version_then(get_as_of.key, v_moment);
    end if;
  end if;
  if v_version is not null then
    select 'ok', v.key, case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end,
           v.version, v.writer, v.via, v.at, v.expires_at, v.trust::text into v_row
      from pgstate.version v where v.key = get_as_of.key and v.version = v_version;
  end if;
  if v_row.value is null or v_row.expires_at <= v_moment.at then
    v_row := null;
    v_row.status := 'missing';
    v_row.key := get_as_of.key;
  end if;
  return v_row;
end
$$;
comment on function pgstate.get_as_of(text, bigint, text, timestamptz, text) is
  'One entry as it was: at a version of its own, at a cursor (of cursor(), list() or changes(); one from inside a page means right after that change), or at a time, which stands for the newest point of the feed that was recorded before it, about one a second. Status missing where there was none. What had expired at the time is missing; of a cursor, what had expired when the last change before it was written. PS001 PS007 PS010 PS020 PS021 PS022 PS023.';

-- functions/history/list_as_of.sql
-- As list(): only the ranges that both the pattern and the grants cover are touched, in key order, and the limit ends the
-- scan. Entries are walked with their tombstones, since what is deleted now may have been there; of each the version of
-- then is looked for from its newest down. Keys that came later cost a look each.
create function pgstate.list_as_of(
  pattern text default '', "limit" int default 1000, after text default null, cursor text default null, at timestamptz default null,
  bookmark boolean default false, agent text default null
) returns setof pgstate.past_listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list_as_of.agent);
  v_moment pgstate._moment;
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_cursor text := list_as_of.cursor;
begin
  v_ranges := pgstate._page_ranges(v_actor, list_as_of.pattern, list_as_of."limit", list_as_of.after);
  if num_nonnulls(list_as_of.cursor, list_as_of.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(list_as_of.cursor, list_as_of.at));
  end if;
  v_regex := pgstate._pattern_regex(list_as_of.pattern);
  v_moment := pgstate._moment(v_actor, list_as_of.cursor, list_as_of.at);
  if v_cursor is null and v_moment.epoch = v_actor.epoch and not pg_is_in_recovery() and v_actor.identity = pgstate._identity()
     and not pgstate._restored() then
    v_cursor := '1.' || pgstate._feed_place(v_actor) || '.' || v_moment.base;
  end if;
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when p.reducer is null then p.value else pgstate._value_at(p.key, p.version) end,
               p.version, p.writer, p.via, p.at, p.expires_at,
               case when not list_as_of.bookmark then v_cursor end, p.trust::text
          from pgstate.entry e
          cross join lateral pgstate._then(e.key, e.version, v_moment.epoch, v_moment.base, v_moment.upto, v_moment.after, v_moment.seq) p
         where e.key >= span.low and e.key < span.high and (v_regex is null or e.key ~ v_regex)
           and p.value is not null and (p.expires_at is null or p.expires_at > v_moment.at)
         order by e.key limit list_as_of."limit"
      ) m
     limit list_as_of."limit";
  if list_as_of.bookmark then
    return next row(null, null, null, null, null, null, null, v_cursor, null)::pgstate.past_listed;
  end if;
end
$$;
comment on function pgstate.list_as_of(text, int, text, text, timestamptz, boolean, text) is
  'The entries that matched a pattern at a past state, of those that the caller may read now, in key order: at a cursor or a time, as in get_as_of(). limit, after and bookmark as in list(); the cursor is that of the past state, from which changes() tells all that came since (null for a time before a restore). PS001 PS002 PS007 PS010 PS020 PS021 PS022 PS023.';

-- functions/claims/_claimant_fault.sql
create function pgstate._claimant_fault(p_actor pgstate._actor, p_key text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return case when p_key is null or not pgstate._key_ok(p_key) then 'PS001'
              when not (p_actor.reads @> p_key and p_actor.writes @> p_key) then 'PS010' end;
end
$$;
comment on function pgstate._claimant_fault(pgstate._actor, text) is 'Internal: what _check_claimant() would raise, for set-based calls.';

-- functions/claims/_check_claimant.sql
create function pgstate._check_claimant(p_actor pgstate._actor, p_key text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_code text := pgstate._claimant_fault(p_actor, p_key);
begin
  if v_code is not null then
    perform pgstate._raise(v_code, p_key);
  end if;
end
$$;
comment on function pgstate._check_claimant(pgstate._actor, text) is 'Internal: claims need read and write. PS001 PS010.';

-- functions/claims/_check_claims_seen.sql
-- Under REPEATABLE READ the snapshot may be older than a claim, and claiming changes no entry that would tell. Called with
-- the entries locked: 40001 if a claim of one of them changed since the snapshot. A key without a claim that is to be seen
-- gets a released one: inserting it fails on one that is not.
create function pgstate._check_claims_seen(p_keys text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  perform from pgstate.claim c where c.key = any (p_keys) order by c.key for update;
  insert into pgstate.claim (key, token, lease_until, attempts, claimed_at)
  select k, nextval('pgstate.claim_token_seq'), '-infinity', 0, pgstate._now()
    from unnest(p_keys) k where not exists (select from pgstate.claim c where c.key = k) group by k order by k
      on conflict do nothing;
end
$$;
comment on function pgstate._check_claims_seen(text[]) is 'Internal: 40001 if the transaction''s snapshot does not show the claims as they are.';

-- functions/claims/_check_lost.sql
-- A claim that is not found under REPEATABLE READ may be one that the snapshot does not show: 40001 then, as for a write with its token.
create function pgstate._check_lost(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform from pgstate.entry e where e.key = p_key and e.value is not null for update;
    if found then
      perform pgstate._check_claims_seen(array[p_key]);
    end if;
  end if;
end
$$;
comment on function pgstate._check_lost(text) is 'Internal: 40001 when a claim may have been made since the snapshot.';

-- functions/claims/_check_lease.sql
create function pgstate._check_lease(p_lease interval) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_lease is null or not pgstate._span_ok(p_lease) or p_lease > interval '366 days' then
    raise exception using errcode = 'PS007', message = 'a lease is positive and at most 366 days';
  end if;
end
$$;
comment on function pgstate._check_lease(interval) is 'Internal: raises PS007 for an impossible lease.';

-- functions/claims/_keep_claims.sql
-- Claims for keeping with a lane or an op_id: everything but the values, which their entries have.
create function pgstate._keep_claims(p_claims pgstate.claimed[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select jsonb_agg(jsonb_build_array(c.status, c.key, c.version, c.token, c.lease_until, c.attempts, c.retry_in) order by c.ordinality)
            from unnest(p_claims) with ordinality c);
end
$$;
comment on function pgstate._keep_claims(pgstate.claimed[]) is 'Internal: outcomes of claims for keeping.';

-- functions/claims/_claims_again.sql
-- The opposite of _keep_claims(). A value that has changed since is left out: the claim was lost then.
create function pgstate._claims_again(p_outcome jsonb) returns pgstate.claimed[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return array(
    select row(o.item ->> 0, o.item ->> 1,
               (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end
                  from pgstate.entry e where e.key = o.item ->> 1 and e.version = (o.item ->> 2)::bigint and o.item ->> 0 = 'ok'),
               (o.item ->> 2)::bigint, (o.item ->> 3)::bigint, (o.item ->> 4)::timestamptz, (o.item ->> 5)::int, (o.item ->> 6)::interval)::pgstate.claimed
      from jsonb_array_elements(p_outcome) with ordinality as o (item, ord) order by o.ord);
end
$$;
comment on function pgstate._claims_again(jsonb) is 'Internal: the first outcome of a claim that was sent again.';

-- functions/claims/_give_up.sql
-- Work that is not tried again, whose claim the caller holds: moved to where its policy says, if the caller may write there
-- and has room for it in its quota, else it stays, unclaimable: it must not keep the caller from other work. Either way its claim's row says why; the move makes versions as any write does. Returns where
-- it was moved.
create function pgstate._give_up(
  p_agent text, p_key text, p_token bigint, p_error text, p_rules pgstate._claim_rules
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_to text;
  v_claim pgstate.claim;
  v_priority int;
  v_trust text;
  v_moved boolean;
begin
  update pgstate.claim c set error = left(p_error, 2000) where c.key = p_key returning c.* into v_claim;
  -- below the dead letters there are no deader ones
  if p_rules.dead_letter is not null and not p_key ^@ (p_rules.dead_letter || '/') then
    v_to := p_rules.dead_letter || '/' || case
      when p_rules.dead_letter_of = '**' then p_key
      when p_key ^@ left(p_rules.dead_letter_of, -2) and p_rules.dead_letter_of like '%/**' then substr(p_key, length(p_rules.dead_letter_of) - 1)
      else substring(p_key from '[^/]*$') end;
  end if;
  if v_to is not null and pgstate._key_ok(v_to) then
    select e.priority, e.trust::text into v_priority, v_trust from pgstate.entry e where e.key = p_key;
    begin
      v_moved := 'ok' = all (array(
        select o.status
          from pgstate.write_many(array['delete', 'put'], array[p_key, v_to], array[null, pgstate._current_value(p_key)],
                                  tokens => array[p_token, null], priorities => array[null, v_priority], "atomic" => true, agent => p_agent,
                                  trusts => array[null, v_trust]) o));
    exception when sqlstate 'PS060' then
      v_moved := false;
    end;
    if v_moved then
      insert into pgstate.claim as c (key, token, lease_until, attempts, claimed_at, retry_at, error, released)
      values (v_to, nextval('pgstate.claim_token_seq'), '-infinity', v_claim.attempts, v_claim.claimed_at, 'infinity', v_claim.error, v_claim.released)
          on conflict on constraint claim_pkey do update
         set token = excluded.token, holder = null, holder_id = null, lease_until = excluded.lease_until, attempts = excluded.attempts,
             claimed_at = excluded.claimed_at, retry_at = excluded.retry_at, error = excluded.error, released = excluded.released;
      return v_to;
    end if;
  end if;
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, retry_at = 'infinity' where c.key = p_key;
  return null;
end
$$;
comment on function pgstate._give_up(text, text, bigint, text, pgstate._claim_rules) is 'Internal: ends work that failed for the last time.';

-- functions/claims/_take.sql
-- Takes the claims of entries that the caller has locked, in the order given; those that somebody holds are left out. In a
-- statement of its own: one that another has just claimed looks free in the snapshot that found it, and the claim tells.
create function pgstate._take(p_actor pgstate._actor, p_keys text[], p_lease interval) returns pgstate.claim[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claims pgstate.claim[];
  v_claim pgstate.claim;
  v_now timestamptz := pgstate._now();
begin
  if cardinality(p_keys) = 1 then
    insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
    values (p_keys[1], nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now)
        on conflict on constraint claim_pkey do update
       set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
           attempts = c.attempts + 1, claimed_at = excluded.claimed_at, retry_at = null
     where c.lease_until <= v_now and (c.retry_at is null or c.retry_at <= v_now)
    returning c.* into v_claim;
    return case when v_claim.key is not null then array[v_claim] end;
  end if;
  with taken as (
    insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
    select k, nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now from unnest(p_keys) k
        on conflict on constraint claim_pkey do update
       set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
           attempts = c.attempts + 1, claimed_at = excluded.claimed_at, retry_at = null
     where c.lease_until <= v_now and (c.retry_at is null or c.retry_at <= v_now)
    returning c.*
  )
  select array_agg(t::pgstate.claim) into v_claims from taken t;
  return v_claims;
end
$$;
comment on function pgstate._take(pgstate._actor, text[], interval) is 'Internal: claims locked entries.';

-- functions/claims/_next_claims.sql
-- The best waiting entries: highest priority, then oldest. They are locked with SKIP LOCKED, then claimed. When there are
-- fewer than asked for, one more element says so, and when to look again.
--
-- Cost must not follow the work that was done before: while an old snapshot is held open, the index entries of finished work
-- stay at the head of the queue, and claimed work is there anyway. A session that had to pass over many remembers where it
-- found the first (place), and begins there for a second; what is new and more urgent it looks for first. Work that
-- comes back meanwhile (given back, its lease ended, made more urgent) may have to let others go before for that second, never
-- longer; when nothing else is found, everything is looked at.
--
-- offset 0 keeps each claim a lookup by its key: of a small table of claims the planner would make one end of a join, read
-- whole for each entry, with all that an old snapshot keeps in it.
create function pgstate._next_claims(
  p_actor pgstate._actor, p_agent text, p_pattern text, p_limit int, p_lease interval, p_min pgstate.trust
) returns pgstate.claimed[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_ranges pgstate.keymultirange;
  v_range pgstate.keyrange;
  v_regex text;
  v_parent text;
  v_found pgstate.entry[];
  v_one pgstate.entry;
  v_claims pgstate.claim[];
  v_out pgstate.claimed[] := '{}';
  v_missing pgstate.claimed;
  v_rules pgstate._claim_rules;
  v_left int := p_limit;
  v_now timestamptz := pgstate._now();
  v_locked boolean;
  v_passed bigint;
  v_slot text;
  v_wanted text;
  v_place text[];
  v_priority int;
  v_at timestamptz;
  v_key text;
  v_since timestamptz;
  v_done text;
begin
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done := pgstate._check_lease(p_lease);
  v_done := pgstate._check_pattern(p_pattern);
  v_regex := pgstate._pattern_regex(p_pattern);
  v_parent := substring(p_pattern from '^([^*?]+)/[^/]*[*?][^/]*$');
  if v_parent is not null then
    v_range := pgstate._range(v_parent || '/', v_parent || '0');
  end if;
  -- by directory only where all of it is the caller's: a look at hidden siblings would show in the caller's statistics
  if v_parent is null or p_pattern ~ E'/\\*\\*$' or not (p_actor.reads @> v_range and p_actor.writes @> v_range) then
    v_parent := null;
    v_ranges := pgstate._pattern_ranges(p_pattern) * p_actor.reads * p_actor.writes;
    if isempty(v_ranges) then
      perform pgstate._deny();
    end if;
  end if;
  if v_parent is not null then
    -- what is trusted less may be passed over, and is there for others: a place is also of the least trust
    v_wanted := p_pattern || coalesce(' ' || p_min::text, '');
    v_slot := 'pgstate.place' || (hashtext(v_wanted) & 7);
    v_place := nullif(current_setting(v_slot, true), '')::text[];
    if v_place[1] = v_wanted and v_place[3]::timestamptz between v_now - interval '1 s' and v_now then
      v_priority := v_place[2]::int;
      v_since := v_place[3]::timestamptz;
      v_at := v_place[4]::timestamptz;
      v_key := v_place[5];
    end if;
  end if;
  loop
    v_now := pgstate._now();
    v_found := '{}';
    if v_since is not null then
      v_found := array(
        select e from pgstate.entry e
         where e.parent = v_parent and e.live and e.priority > v_priority
           -- begun before, committed since
           and e.created_at > v_since - interval '5 s'
           and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
         order by e.priority desc, e.created_at, e.key limit v_left for update of e skip locked);
      if cardinality(v_found) = 0 then
        v_found := array(
          select e from pgstate.entry e
           where e.parent = v_parent and e.live and e.priority = v_priority and (e.created_at, e.key) > (v_at, v_key)
             and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
             and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
             and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
           order by e.created_at, e.key limit v_left for update of e skip locked);
        if cardinality(v_found) > 0 then
          v_at := v_found[cardinality(v_found)].created_at;
          v_key := v_found[cardinality(v_found)].key;
        else
          v_since := null;
          v_done := set_config(v_slot, '', false);
          continue;
        end if;
      end if;
    elsif v_parent is not null then
      v_passed := pg_stat_get_xact_tuples_returned('pgstate.entry_task_idx'::regclass);
      v_found := array(
        select e from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
         order by e.priority desc, e.created_at, e.key limit v_left for update of e skip locked);
      if pg_stat_get_xact_tuples_returned('pgstate.entry_task_idx'::regclass) - v_passed > 200 + 2 * v_left and cardinality(v_found) > 0 then
        v_since := v_now;
        v_priority := v_found[cardinality(v_found)].priority;
        v_at := v_found[cardinality(v_found)].created_at;
        v_key := v_found[cardinality(v_found)].key;
      end if;
    else
      v_found := array(
        select e
          from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                  from unnest(v_ranges) r offset 0) span
          cross join lateral (
            select x.key, x.priority, x.created_at from pgstate.entry x
             where x.key >= span.low and x.key <= span.high and span.range @> x.key
               and x.live and x.kind = 'value' and (x.not_before is null or x.not_before <= v_now)
               and (x.expires_at is null or x.expires_at > v_now) and (v_regex is null or x.key ~ v_regex)
               and (p_min is null or x.trust >= p_min)
               and not exists (select from pgstate.claim c where c.key = x.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)) m
          -- looked at again on the row as locked: it may have gone since the snapshot
          join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (p_min is null or e.trust >= p_min)
         order by m.priority desc, m.created_at, m.key limit v_left for update of e skip locked);
    end if;
    exit when cardinality(v_found) = 0;
    if cardinality(v_found) = 1 then
      -- without queries: they are a fifth of a claim
      v_one := v_found[1];
      v_claims := pgstate._take(p_actor, array[v_one.key], p_lease);
      if v_claims is not null then
        v_out := v_out || row('ok', v_one.key,
          case when v_one.full_version < v_one.version then pgstate._grown(v_one.key, v_one.value, v_one.full_version, v_one.version) else v_one.value end,
          v_one.version, v_claims[1].token, v_claims[1].lease_until, v_claims[1].attempts, null)::pgstate.claimed;
      end if;
    else
      v_claims := pgstate._take(p_actor, array(select f.key from unnest(v_found) with ordinality f order by f.ordinality), p_lease);
      if cardinality(v_claims) = cardinality(v_found) then
        v_out := v_out || array(
          select row('ok', f.key, case when f.full_version < f.version then pgstate._grown(f.key, f.value, f.full_version, f.version) else f.value end,
                     f.version, f.token, f.lease_until, f.attempts, null)::pgstate.claimed
            from rows from (unnest(v_found), unnest(v_claims)) with ordinality
                 as f (key, parent, kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
                       full_version, tail_count, tail_bytes, full_bytes, full_type, trust, claimed, token, holder, holder_id, lease_until,
                       attempts, claimed_at, retry_at, error, released, ord)
           order by f.ord);
      else
        v_out := v_out || array(
          select row('ok', f.key, case when f.full_version < f.version then pgstate._grown(f.key, f.value, f.full_version, f.version) else f.value end,
                     f.version, c.token, c.lease_until, c.attempts, null)::pgstate.claimed
            from unnest(v_found) with ordinality f join unnest(v_claims) c on c.key = f.key
           order by f.ordinality);
      end if;
    end if;
    if p_actor.policies then
      for v_index in 1 .. coalesce(cardinality(v_claims), 0) loop
        continue when v_claims[v_index].attempts - v_claims[v_index].released < 2;
        v_rules := pgstate._claim_rules_of(v_claims[v_index].key);
        if v_claims[v_index].attempts - v_claims[v_index].released > v_rules.max_attempts then
          v_key := v_claims[v_index].key;
          v_done := pgstate._give_up(p_agent, v_key, v_claims[v_index].token,
            coalesce(v_claims[v_index].error || '; then ', '') || 'the lease of its last attempt ended', v_rules);
          v_out := array(select o from unnest(v_out) o where o.key <> v_key);
          v_since := null;
        end if;
      end loop;
    end if;
    v_left := p_limit - cardinality(v_out);
    exit when v_left = 0;
  end loop;
  if v_since is not null then
    v_done := set_config(v_slot, array[v_wanted, v_priority::text, to_jsonb(v_since) #>> '{}', to_jsonb(v_at) #>> '{}', v_key]::text, false);
  end if;
  if v_left > 0 then
    -- what is only locked is to be looked for again soon: no version will tell that a rolled-back write, or a claimer that
    -- died, has let go of it
    if v_parent is not null then
      v_locked := exists (
        select from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0));
    else
      v_locked := exists (
        select from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                       from unnest(v_ranges) r offset 0) span
          join pgstate.entry e on e.key >= span.low and e.key <= span.high and span.range @> e.key
         where e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0));
    end if;
    v_ranges := coalesce(v_ranges, multirange(v_range));
    -- otherwise the next moment at which something becomes claimable without a write
    select least(
      case when v_locked then v_now + interval '50 ms' end,
      (select min(greatest(c.lease_until, c.retry_at))
         from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                 from unnest(v_ranges) r offset 0) span
         join pgstate.claim c on c.key >= span.low and c.key <= span.high and span.range @> c.key
        where (c.lease_until > v_now or c.retry_at > v_now) and c.retry_at is distinct from 'infinity' and (v_regex is null or c.key ~ v_regex)
          and (p_min is null or exists (select from pgstate.entry e where e.key = c.key and e.trust >= p_min))),
      -- by the caller's ranges alone: a look at other rows would show in its statistics
      case when v_parent is not null then (
        select min(e.not_before) from pgstate.entry e
         where e.parent = v_parent and e.not_before > v_now and e.live and (v_regex is null or e.key ~ v_regex) and (p_min is null or e.trust >= p_min))
      else (
        select min(e.not_before)
          from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                  from unnest(v_ranges) r offset 0) span
          cross join lateral (
            select x.key, x.not_before, x.live, x.trust from pgstate.entry x
             where x.key >= span.low and x.key <= span.high and span.range @> x.key and (v_regex is null or x.key ~ v_regex) offset 0) e
         where e.live and e.not_before > v_now and (p_min is null or e.trust >= p_min)) end) - v_now
      into v_missing.retry_in;
    v_missing.status := 'missing';
    v_out := v_out || v_missing;
  end if;
  return v_out;
end
$$;
comment on function pgstate._next_claims(pgstate._actor, text, text, int, interval, pgstate.trust) is 'Internal: claims the entries that are next.';

-- functions/claims/claim.sql
create function pgstate.claim(
  key text, lease interval, lane uuid default null, turn bigint default null, agent text default null, op_id text default null
) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim.agent, claim.lane, claim.turn);
  v_entry record;
  v_claim pgstate.claim;
  v_out pgstate.claimed;
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  perform pgstate._check_lease(claim.lease);
  perform pgstate._check_claimant(v_actor, claim.key);
  if v_outcome is null and claim.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim.op_id, jsonb_build_array('claim', claim.key, pgstate._span_told(claim.lease))::text);
  end if;
  if v_outcome is not null then
    return (pgstate._claims_again(v_outcome))[1];
  end if;
  select e.version, e.full_version, e.value into v_entry
    from pgstate.entry e
   where e.key = claim.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) for update;
  v_out.key := claim.key;
  if not found then
    v_out.status := 'missing';
  else
    v_claim := (pgstate._take(v_actor, array[claim.key], claim.lease))[1];
    if v_claim.key is not null then
      v_out := row('ok', claim.key,
        case when v_entry.full_version < v_entry.version then pgstate._grown(claim.key, v_entry.value, v_entry.full_version, v_entry.version) else v_entry.value end,
        v_entry.version, v_claim.token, v_claim.lease_until, v_claim.attempts, null)::pgstate.claimed;
    else
      v_out.status := 'held';
      v_out.version := v_entry.version;
      select case when isfinite(greatest(c.lease_until, c.retry_at)) then greatest(c.lease_until, c.retry_at) - pgstate._now() end
        into v_out.retry_in from pgstate.claim c where c.key = claim.key;
    end if;
  end if;
  if claim.op_id is not null then
    perform pgstate._op_end(v_actor, claim.op_id, pgstate._keep_claims(array[v_out]));
  end if;
  if claim.lane is not null then
    v_done := pgstate._lane_end(claim.lane, claim.turn, pgstate._keep_claims(array[v_out]));
  end if;
  return v_out;
end
$$;
comment on function pgstate.claim(text, interval, uuid, bigint, text, text) is
  'Claims one entry until the lease ends: status ok with the fencing token, held (retry_in: until the lease ends, or it may be tried again after a failure; null when it was given up) or missing. Makes no version. A claim must be given back or renewed with its token; the agent that holds it gets held too. Needs read and write. PS001 PS007 PS010 PS030 PS031.';

-- functions/claims/claim_next.sql
create function pgstate.claim_next(
  pattern text, lease interval, lane uuid default null, turn bigint default null, agent text default null, op_id text default null,
  min_trust text default null
) returns pgstate.claimed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_next.agent, claim_next.lane, claim_next.turn);
  v_claims pgstate.claimed[];
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  if v_outcome is null and claim_next.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim_next.op_id, (jsonb_build_array('claim_next', claim_next.pattern, pgstate._span_told(claim_next.lease)) || coalesce(to_jsonb(claim_next.min_trust), '[]'))::text);
  end if;
  if v_outcome is not null then
    return (pgstate._claims_again(v_outcome))[1];
  end if;
  v_claims := pgstate._next_claims(v_actor, claim_next.agent, claim_next.pattern, 1, claim_next.lease, pgstate._trust_named(claim_next.min_trust));
  if claim_next.op_id is not null then
    perform pgstate._op_end(v_actor, claim_next.op_id, pgstate._keep_claims(v_claims));
  end if;
  if claim_next.lane is not null then
    v_done := pgstate._lane_end(claim_next.lane, claim_next.turn, pgstate._keep_claims(v_claims));
  end if;
  return v_claims[1];
end
$$;
comment on function pgstate.claim_next(text, interval, uuid, bigint, text, text, text) is
  'Claims the entry that waits with the highest priority, then longest, among those that match: status ok with key, value and the fencing token, or missing (retry_in: when a lease, a not_before or the pause after a failure next ends, null when nothing waits). Entries that are not due, that are trusted less than min_trust, or that somebody holds, are passed over; an ended lease is taken over, unless the policies give the entry up for it. Needs read and write. PS002 PS007 PS010 PS030 PS031.';

-- functions/claims/claim_many.sql
create function pgstate.claim_many(
  pattern text, "limit" int, lease interval, lane uuid default null, turn bigint default null, agent text default null,
  op_id text default null,
  min_trust text default null
) returns setof pgstate.claimed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_many.agent, claim_many.lane, claim_many.turn);
  v_claims pgstate.claimed[];
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  if claim_many."limit" is null or claim_many."limit" not between 1 and 1000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 1000';
  end if;
  if v_outcome is null and claim_many.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim_many.op_id,
      (jsonb_build_array('claim_many', claim_many.pattern, claim_many."limit", pgstate._span_told(claim_many.lease)) || coalesce(to_jsonb(claim_many.min_trust), '[]'))::text);
  end if;
  if v_outcome is not null then
    v_claims := pgstate._claims_again(v_outcome);
  else
    v_claims := pgstate._next_claims(v_actor, claim_many.agent, claim_many.pattern, claim_many."limit", claim_many.lease, pgstate._trust_named(claim_many.min_trust));
    if claim_many.op_id is not null then
      perform pgstate._op_end(v_actor, claim_many.op_id, pgstate._keep_claims(v_claims));
    end if;
    if claim_many.lane is not null then
      v_done := pgstate._lane_end(claim_many.lane, claim_many.turn, pgstate._keep_claims(v_claims));
    end if;
  end if;
  return query select c.* from unnest(v_claims) c;
end
$$;
comment on function pgstate.claim_many(text, int, interval, uuid, bigint, text, text, text) is
  'claim_next() for up to limit entries (1 to 1000) in one statement, best first: a row for each that was claimed, and when there were fewer, one more with status missing and its retry_in. PS002 PS007 PS010 PS030 PS031.';

-- functions/claims/claim_log.sql
create function pgstate.claim_log(pattern text default '', "limit" int default 100, agent text default null) returns setof pgstate.claim_log_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(claim_log.agent);
begin
  perform pgstate._check_pattern(claim_log.pattern);
  if claim_log."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query select * from pgstate._claim_log(v_actor, claim_log.pattern, claim_log."limit");
end
$$;
comment on function pgstate.claim_log(text, int, text) is
  'Claims that were ended by release(key, force => true), newest first, of the keys that match a pattern and that the caller administers. limit 1 to 100000 (null: all). PS002 PS007 PS010.';

-- functions/claims/complete.sql
create function pgstate.complete(
  key text, token bigint, op_id text default null, agent text default null, result jsonb default null, move_to text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.outcome;
begin
  if complete.result is null and complete.move_to is null then
    return pgstate._written(pgstate.write_one('complete', complete.key, token => complete.token, op_id => complete.op_id,
      agent => complete.agent), complete.key);
  end if;
  select o.* into v_out
    from pgstate.complete_many(array[complete.key], array[complete.token], array[complete.result], array[complete.move_to],
                               case when complete.op_id is not null then array[complete.op_id] end, agent => complete.agent) o;
  return pgstate._written(v_out, coalesce(complete.move_to, complete.key));
end
$$;
comment on function pgstate.complete(text, bigint, text, text, jsonb, text) is
  'Finishes claimed work: removes the entry with op complete, if the token is the current claim''s: status ok, stale or missing. With move_to the result, or without one the entry''s value, is put there in the same transaction, or nothing is done: held when that key is claimed. PS001 PS003 PS004 PS007 PS008 PS009 PS010 PS030 PS040.';

-- functions/claims/complete_many.sql
-- Each row is all or nothing, and harms no other. Existing entries are locked in key order before any row is written.
create function pgstate.complete_many(
  keys text[], tokens bigint[], results jsonb[] default null, move_tos text[] default null, op_ids text[] default null,
  lane uuid default null, turn bigint default null, wake boolean default true, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(complete_many.agent, complete_many.lane, complete_many.turn);
  v_count int := coalesce(cardinality(complete_many.keys), 0);
  v_out pgstate.outcome[];
  v_versions bigint[];
  v_outcome jsonb := v_actor.kept;
  v_requests text[];
  v_states text[];
  v_pair pgstate.outcome[];
  v_one pgstate.outcome;
  v_row record;
  v_watched boolean;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  v_done text;
begin
  if v_count <> any (array[
       coalesce(cardinality(complete_many.tokens), 0), coalesce(cardinality(complete_many.results), v_count),
       coalesce(cardinality(complete_many.move_tos), v_count), coalesce(cardinality(complete_many.op_ids), v_count)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
  elsif array_ndims(complete_many.keys) <> 1 or array_lower(complete_many.keys, 1) <> 1 or array_ndims(complete_many.op_ids) <> 1 or array_lower(complete_many.op_ids, 1) <> 1 then
    -- rows are counted from 1 below
    raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
  elsif exists (select from unnest(complete_many.results, complete_many.move_tos) u (result, move_to) where u.result is not null and u.move_to is null) then
    raise exception using errcode = 'PS007', message = 'a result needs a place', hint = 'Name the key that it is put under with move_to.';
  elsif v_count = 0 then
    return;
  elsif v_outcome is not null then
    return query
      select u.* from jsonb_array_elements(v_outcome) with ordinality as o (item, ord)
       cross join lateral pgstate._unpack(o.ord::int, o.item, complete_many.keys[o.ord]) u
       order by u.ord;
    return;
  end if;
  v_done := set_config('pgstate.wake', case when complete_many.wake then v_wake else 'off' end, true);
  if complete_many.op_ids is null then
    v_versions := pgstate._complete_existing(v_actor, complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos);
  end if;
  if v_versions is not null then
    v_out := array(select row(u.ord, 'ok', u.version, null, null, null, null)::pgstate.outcome
                     from unnest(v_versions) with ordinality u (version, ord) order by u.ord);
  else
    v_out := array_fill(null::pgstate.outcome, array[v_count]);
    if complete_many.op_ids is not null then
      -- before any key is locked
      v_requests := array(
        select jsonb_build_array('complete', u.key, u.token, u.result, u.move_to)::text
          from unnest(complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos) with ordinality
               as u (key, token, result, move_to, ord)
         order by u.ord);
      v_states := pgstate._op_begin(v_actor, complete_many.op_ids, v_requests);
      if 'known' = any (v_states) then
        v_states := pgstate._op_known(v_actor, complete_many.op_ids, v_requests, v_states);
      end if;
    end if;
    -- of those that the caller may write: a look at others would show in the caller's own statistics
    perform from pgstate.entry e
      where e.key = any (array(select k from unnest(complete_many.keys || complete_many.move_tos) k where (select v_actor.writes + '{}') @> k))
      order by e.key for update;
    for v_row in
      select u.*, pgstate._claimant_fault(v_actor, u.key) as code
        from unnest(complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos, complete_many.op_ids) with ordinality
             as u (key, token, result, move_to, op_id, ord)
       -- places that are missing are locked by making them
       order by first_value(u.move_to) over (partition by u.key order by u.ord) collate "C" nulls first, u.key collate "C", u.ord
    loop
      continue when v_states[v_row.ord] = 'replay';
      if v_states[v_row.ord] <> 'new' then
        v_row.code := case v_states[v_row.ord] when 'reused' then 'PS030' else 'PS007' end;
      elsif v_row.code is null and (v_row.token is null or v_row.move_to = v_row.key) then
        v_row.code := 'PS007';
      end if;
      if v_row.code is not null then
        v_one := row(v_row.ord, case v_row.code when 'PS010' then 'denied' else 'invalid' end, null, null, v_row.code, null, null)::pgstate.outcome;
      elsif v_row.move_to is null then
        v_one := (select o from pgstate.write_many(array['complete'], array[v_row.key], tokens => array[v_row.token], agent => complete_many.agent) o);
      else
        v_pair := array(
          select o
            from pgstate.write_many(array['complete', 'put'], array[v_row.key, v_row.move_to],
                                    array[null, coalesce(v_row.result, pgstate._current_value(v_row.key), 'null')],
                                    tokens => array[v_row.token, null], "atomic" => true, agent => complete_many.agent,
                                    -- whose value it was is not lost, nor how far it is trusted
                                    sources => case when v_row.result is null then array[null, (
                                      select jsonb_build_array(jsonb_build_object('key', e.key, 'version', e.version)) from pgstate.entry e
                                       where e.key = v_row.key and v_actor.reads @> e.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))] end) o order by o.ord);
        -- of a row that failed, what failed; not what stands at the other key
        v_one := v_pair[case when v_pair[1].status in ('ok', 'skipped') and v_pair[2].status <> 'ok' then 2 else 1 end];
        v_one.value := case when v_one.status = 'stale' then v_one.value end;
      end if;
      v_one.ord := v_row.ord;
      v_out[v_row.ord] := v_one;
      if v_row.op_id is not null and v_states[v_row.ord] = 'new' then
        perform pgstate._op_end(v_actor, v_row.op_id, case when v_one.code is null then pgstate._pack(v_one) end);
      end if;
    end loop;
    for v_index in 1 .. coalesce(cardinality(v_states), 0) loop
      if v_states[v_index] = 'replay' then
        -- null when it stands twice in this statement, and was refused
        v_outcome := coalesce(pgstate._op_outcome(v_actor, complete_many.op_ids[v_index]),
                              pgstate._pack(v_out[array_position(complete_many.op_ids, complete_many.op_ids[v_index])]));
        v_out[v_index] := pgstate._unpack(v_index, v_outcome, complete_many.keys[v_index]);
      end if;
    end loop;
  end if;
  v_done := set_config('pgstate.wake', v_wake, true);
  if complete_many.lane is not null or not complete_many.wake then
    v_watched := pgstate._finish(complete_many.lane, complete_many.turn, (select jsonb_agg(pgstate._pack(o) order by o.ord) from unnest(v_out) o),
      case when not complete_many.wake then array(
        select k from unnest(v_out) o cross join lateral unnest(array[complete_many.keys[o.ord], complete_many.move_tos[o.ord]]) k
         where o.status = 'ok' and k is not null) end, false, pgstate._now());
  end if;
  return query
    select o.ord, o.status, o.version, o.value, o.code,
           case when o.code is not null then coalesce(o.message, pgstate._error_text(o.code, complete_many.keys[o.ord])) end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.complete_many(text[], bigint[], jsonb[], text[], text[], uuid, bigint, boolean, text) is
  'complete() for many claims in one statement, each to its own move_to: one outcome per row, in the order of the input, with the version of the completed entry; a refused row harms no other. PS007 PS009 PS010 PS031.';

-- functions/claims/fail.sql
create function pgstate.fail(
  key text, token bigint, error text default null, retry_in interval default null, op_id text default null, agent text default null
) returns pgstate.claim_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.claim_outcome;
begin
  select o.* into v_out
    from pgstate.fail_many(array[fail.key], array[fail.token], array[fail.error], array[fail.retry_in],
                           case when fail.op_id is not null then array[fail.op_id] end, agent => fail.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, fail.key, v_out.message);
  end if;
  return v_out;
end
$$;
comment on function pgstate.fail(text, bigint, text, interval, text, text) is
  'Gives claimed work back as failed: status ok, or stale. It may be claimed again retry_in from now (0: at once); without one after the backoff of its policy, doubled with each failure up to backoff_limit (without policies 1 s, up to 5 minutes). When its max_attempts are used up it is moved to the dead_letter of its policy (moved_to), if the caller may write there and its quota has room, else it stays and is not claimed again: retry_in is null then, and release(key, force => true) lets it be. Leases that ended count as attempts, claims that were released do not. tasks() shows error, attempts and next try. PS001 PS007 PS010 PS030.';

-- functions/claims/fail_many.sql
-- A failure makes no version, unless the work is moved to the dead letters. Entries are locked in key order before any claim
-- is changed.
create function pgstate.fail_many(
  keys text[], tokens bigint[], errors text[] default null, retry_ins interval[] default null, op_ids text[] default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns setof pgstate.claim_outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fail_many.agent, fail_many.lane, fail_many.turn);
  v_count int := coalesce(cardinality(fail_many.keys), 0);
  v_out pgstate.claim_outcome[];
  v_again pgstate.claim_outcome;
  v_row record;
  v_claim pgstate.claim;
  v_rules pgstate._claim_rules;
  v_failures int;
  v_outcome jsonb := v_actor.kept;
  v_requests text[];
  v_states text[];
  v_woken text[] := '{}';
  v_done boolean;
begin
  if v_count <> any (array[
       coalesce(cardinality(fail_many.tokens), 0), coalesce(cardinality(fail_many.errors), v_count),
       coalesce(cardinality(fail_many.retry_ins), v_count), coalesce(cardinality(fail_many.op_ids), v_count)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
  elsif array_ndims(fail_many.keys) <> 1 or array_lower(fail_many.keys, 1) <> 1 or array_ndims(fail_many.op_ids) <> 1 or array_lower(fail_many.op_ids, 1) <> 1 then
    -- rows are counted from 1 below
    raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
  end if;
  if v_outcome is null then
    v_out := array_fill(null::pgstate.claim_outcome, array[v_count]);
    if fail_many.op_ids is not null then
      -- before any key is locked
      v_requests := array(
        select jsonb_build_array('fail', u.key, u.token, u.error, pgstate._span_told(u.retry_in))::text
          from unnest(fail_many.keys, fail_many.tokens, fail_many.errors, fail_many.retry_ins) with ordinality
               as u (key, token, error, retry_in, ord)
         order by u.ord);
      v_states := pgstate._op_begin(v_actor, fail_many.op_ids, v_requests);
      if 'known' = any (v_states) then
        v_states := pgstate._op_known(v_actor, fail_many.op_ids, v_requests, v_states);
      end if;
    end if;
    perform from pgstate.entry e
      where e.key = any (array(select k from unnest(fail_many.keys) k where pgstate._claimant_fault(v_actor, k) is null))
      order by e.key for update;
    for v_row in
      select u.*, pgstate._claimant_fault(v_actor, u.key) as code
        from unnest(fail_many.keys, fail_many.tokens, fail_many.errors, fail_many.retry_ins, fail_many.op_ids) with ordinality
             as u (key, token, error, retry_in, op_id, ord)
       order by u.key collate "C", u.ord
    loop
      continue when v_states[v_row.ord] = 'replay';
      v_again := null;
      v_again.ord := v_row.ord;
      v_again.key := v_row.key;
      if v_states[v_row.ord] <> 'new' then
        v_row.code := case v_states[v_row.ord] when 'reused' then 'PS030' else 'PS007' end;
      elsif v_row.code is null and v_row.retry_in is not null and not pgstate._span_or_0(v_row.retry_in) then
        v_row.code := 'PS007';
      end if;
      v_row.error := pgstate._guarded(v_actor, v_row.key, v_row.error);
      if v_row.code is not null then
        v_again.status := case v_row.code when 'PS010' then 'denied' else 'invalid' end;
        v_again.code := v_row.code;
        v_again.message := case when v_row.code = 'PS007' and octet_length(v_row.op_id) not between 1 and 256 then pgstate._error_text('PS007', null)
                                when v_row.code = 'PS007' then 'retry_in is at most 100 years, or 0 for at once' else pgstate._error_text(v_row.code, v_row.key) end;
      else
        select c.* into v_claim from pgstate.claim c
         where c.key = v_row.key and c.token = v_row.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now()
           and exists (select from pgstate.entry e
                        where e.key = c.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))
           for update;
        if v_claim.key is null then
          perform pgstate._check_lost(v_row.key);
          v_again.status := 'stale';
        else
          v_rules := case when v_actor.policies then pgstate._claim_rules_of(v_row.key) end;
          v_failures := v_claim.attempts - v_claim.released;
          v_again.status := 'ok';
          v_again.attempts := v_claim.attempts;
          if v_failures >= v_rules.max_attempts then
            v_again.moved_to := pgstate._give_up(fail_many.agent, v_row.key, v_row.token, v_row.error, v_rules);
          else
            v_again.retry_in := coalesce(v_row.retry_in,
              -- in seconds: an interval that is doubled too often is out of range
              least(extract(epoch from coalesce(v_rules.backoff, interval '1 s')) * power(2, least(v_failures - 1, 30))::numeric,
                    extract(epoch from coalesce(v_rules.backoff_limit, interval '5 minutes')))::float8 * interval '1 s');
            update pgstate.claim c
               set lease_until = '-infinity', holder = null, holder_id = null, error = left(v_row.error, 2000),
                   retry_at = pgstate._now() + v_again.retry_in
             where c.key = v_row.key;
          end if;
          v_woken := v_woken || v_row.key;
        end if;
      end if;
      v_out[v_row.ord] := v_again;
      if v_row.op_id is not null and v_states[v_row.ord] = 'new' then
        perform pgstate._op_end(v_actor, v_row.op_id, case when v_row.code is null then to_jsonb(v_again) end);
      end if;
    end loop;
    for v_index in 1 .. coalesce(cardinality(v_states), 0) loop
      if v_states[v_index] = 'replay' then
        -- null when it stands twice in this statement, and was refused
        v_again := coalesce(jsonb_populate_record(null::pgstate.claim_outcome, pgstate._op_outcome(v_actor, fail_many.op_ids[v_index])),
                            v_out[array_position(fail_many.op_ids, fail_many.op_ids[v_index])]);
        v_again.ord := v_index;
        v_out[v_index] := v_again;
      end if;
    end loop;
    if v_woken <> '{}' then
      -- no version tells of it, and those who wait want to know when to look again
      perform pgstate._wake(v_woken);
    end if;
    if fail_many.lane is not null then
      v_done := pgstate._lane_end(fail_many.lane, fail_many.turn, coalesce(to_jsonb(v_out), '[]'));
    end if;
    return query select o.* from unnest(v_out) o;
  else
    return query select o.* from jsonb_populate_recordset(null::pgstate.claim_outcome, v_outcome) o;
  end if;
end
$$;
comment on function pgstate.fail_many(text[], bigint[], text[], interval[], text[], uuid, bigint, text) is
  'fail() for many claims in one statement: one outcome per row, in the order of the input; a refused row harms no other. PS007 PS010 PS030 PS031.';

-- functions/claims/list_claims.sql
-- As list(): checked first, then read by the ranges that both the pattern and the grants cover. Without the tokens, which
-- are their holders'. There is no index on the ends of leases (claiming must stay HOT), so this costs what was ever claimed
-- there and still exists.
create function pgstate.list_claims(pattern text default '', agent text default null) returns setof pgstate.claim_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list_claims.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
begin
  v_ranges := pgstate._page_ranges(v_actor, list_claims.pattern, null, null);
  v_regex := pgstate._pattern_regex(list_claims.pattern);
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select c.key, c.holder, c.lease_until, c.lease_until - v_now, c.attempts, c.claimed_at
      from span
      cross join lateral (
        select x.key, x.holder, x.lease_until, x.attempts, x.claimed_at from pgstate.claim x
         where x.key >= span.low and x.key < span.high and x.lease_until > v_now and (v_regex is null or x.key ~ v_regex)
        offset 0
      ) c
     -- an expired entry is invisible at once, its claim goes with the expiry
     where exists (select from pgstate.entry e where e.key = c.key and e.live and (e.expires_at is null or e.expires_at > v_now))
     order by c.key;
end
$$;
comment on function pgstate.list_claims(text, text) is
  'Who holds what now, of the keys that match a pattern and that the caller may read, in key order: holder, end of the lease and what is left of it, how often the entry was claimed. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';

-- functions/claims/release.sql
create function pgstate.release(
  key text, token bigint default null, agent text default null, force boolean default false, lane uuid default null, turn bigint default null
) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(release.agent, release.lane, release.turn);
  v_out pgstate.claimed;
  v_ended boolean;
  v_done boolean;
begin
  if release.force then
    if release.key is null or not pgstate._key_ok(release.key) then
      perform pgstate._bad_key(release.key);
    end if;
  else
    perform pgstate._check_claimant(v_actor, release.key);
  end if;
  if v_actor.kept is not null then
    return (pgstate._claims_again(v_actor.kept))[1];
  elsif release.force then
    v_out := pgstate._force_release(v_actor, release.key);
  else
    update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, released = c.released + 1
     where c.key = release.key and c.token = release.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now();
    v_ended := found;
    -- given back before with this token: the reply may have been lost
    v_out.status := case when v_ended or exists (
      select from pgstate.claim c where c.key = release.key and c.token = release.token and c.lease_until = '-infinity')
      then 'ok' else 'stale' end;
    if v_out.status = 'stale' then
      perform pgstate._check_lost(release.key);
    end if;
    v_out.key := release.key;
    if v_ended then
      -- no version tells of it, and somebody may be waiting for this entry
      perform pgstate._wake(array[release.key]);
    end if;
  end if;
  if release.lane is not null then
    v_done := pgstate._lane_end(release.lane, release.turn, pgstate._keep_claims(array[v_out]));
  end if;
  return v_out;
end
$$;
comment on function pgstate.release(text, bigint, text, boolean, uuid, bigint) is
  'Gives a claim back, so that others may claim the entry at once: status ok, or stale. Asking again with the same token changes nothing. force, which needs admin on the key and no token, ends anybody''s claim, and lets what failed be tried again from the beginning: status ok, or missing when there is neither; claim_log() keeps who did it. PS001 PS010 PS031.';

-- functions/claims/release_many.sql
create function pgstate.release_many(keys text[], tokens bigint[], agent text default null) returns setof pgstate.claim_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(release_many.agent);
  v_row record;
  v_claimed pgstate.claimed;
  v_out pgstate.claim_outcome[] := array_fill(null::pgstate.claim_outcome, array[coalesce(cardinality(release_many.keys), 0)]);
begin
  if coalesce(cardinality(release_many.keys), 0) <> coalesce(cardinality(release_many.tokens), 0) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length';
  end if;
  for v_row in
    select u.ord::int, u.key, u.token, pgstate._claimant_fault(v_actor, u.key) as code
      from unnest(release_many.keys, release_many.tokens) with ordinality u (key, token, ord) order by u.key collate "C", u.ord
  loop
    if v_row.code is null then
      v_claimed := pgstate.release(v_row.key, v_row.token, release_many.agent);
    end if;
    v_out[v_row.ord] := row(v_row.ord, case v_row.code when 'PS010' then 'denied' when 'PS001' then 'invalid' else v_claimed.status end, v_row.key,
                            null, null, null, null, v_row.code, pgstate._error_text(v_row.code, v_row.key))::pgstate.claim_outcome;
  end loop;
  return query select o.* from unnest(v_out) o;
end
$$;
comment on function pgstate.release_many(text[], bigint[], text) is 'release() for many claims in one statement: one outcome per row, in the order of the input. PS007 PS010.';

-- functions/claims/renew.sql
create function pgstate.renew(key text, token bigint, lease interval, agent text default null) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(renew.agent);
  v_out pgstate.claimed;
begin
  perform pgstate._check_lease(renew.lease);
  perform pgstate._check_claimant(v_actor, renew.key);
  -- claims change under their entry's lock: a write that is waiting to see whether this lease has ended must see the new end
  perform from pgstate.entry e where e.key = renew.key for update;
  update pgstate.claim c set lease_until = pgstate._now() + renew.lease
   where c.key = renew.key and c.token = renew.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now()
     and exists (select from pgstate.entry e
                  where e.key = c.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))
  returning c.token, c.lease_until, c.attempts into v_out.token, v_out.lease_until, v_out.attempts;
  v_out.status := case when found then 'ok' else 'stale' end;
  if v_out.status = 'stale' then
    perform pgstate._check_lost(renew.key);
  end if;
  v_out.key := renew.key;
  return v_out;
end
$$;
comment on function pgstate.renew(text, bigint, interval, text) is 'Lets a claim''s lease end lease from now: status ok, or stale when the token is not the current claim''s, or its lease has ended. PS001 PS007 PS010.';

-- functions/claims/renew_many.sql
create function pgstate.renew_many(keys text[], tokens bigint[], leases interval[], agent text default null) returns setof pgstate.claim_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(renew_many.agent);
  v_row record;
  v_claimed pgstate.claimed;
  v_out pgstate.claim_outcome[] := array_fill(null::pgstate.claim_outcome, array[coalesce(cardinality(renew_many.keys), 0)]);
begin
  if coalesce(cardinality(renew_many.keys), 0) <> all (array[coalesce(cardinality(renew_many.tokens), 0), coalesce(cardinality(renew_many.leases), 0)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length';
  end if;
  for v_row in
    select u.ord::int, u.key, u.token, u.lease, pgstate._claimant_fault(v_actor, u.key) as code
      from unnest(renew_many.keys, renew_many.tokens, renew_many.leases) with ordinality u (key, token, lease, ord)
     order by u.key collate "C", u.ord
  loop
    if v_row.code is null then
      v_claimed := pgstate.renew(v_row.key, v_row.token, v_row.lease, renew_many.agent);
    end if;
    v_out[v_row.ord] := row(v_row.ord, case v_row.code when 'PS010' then 'denied' when 'PS001' then 'invalid' else v_claimed.status end, v_row.key,
                            case when v_row.code is null then v_claimed.lease_until end, case when v_row.code is null then v_claimed.attempts end,
                            null, null, v_row.code, pgstate._error_text(v_row.code, v_row.key))::pgstate.claim_outcome;
  end loop;
  return query select o.* from unnest(v_out) o;
end
$$;
comment on function pgstate.renew_many(text[], bigint[], interval[], text) is 'renew() for many claims in one statement: one outcome per row, in the order of the input. PS007 PS010.';

-- functions/claims/tasks.sql
-- As list_claims(), for work in every state. What is finished is told by the version that removed it.
create function pgstate.tasks(
  pattern text default '', "limit" int default 1000, after text default null, states text[] default null, agent text default null
) returns setof pgstate.task_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(tasks.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
begin
  if not coalesce(tasks.states <@ array['waiting', 'claimed', 'failed', 'finished'], true) then
    raise exception using errcode = 'PS007', message = 'states are waiting, claimed, failed and finished';
  end if;
  v_ranges := pgstate._page_ranges(v_actor, tasks.pattern, tasks."limit", tasks.after);
  v_regex := pgstate._pattern_regex(tasks.pattern);
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, s.state, e.priority, case when s.state = 'claimed' then c.holder end, case when s.state = 'claimed' then c.lease_until end,
               case when s.state = 'claimed' then c.lease_until - v_now end, coalesce(c.attempts, 0), c.error,
               case when s.state = 'waiting' and greatest(e.not_before, c.retry_at) > v_now then greatest(e.not_before, c.retry_at) end,
               e.version, e.created_at, e.updated_at
          from pgstate.entry e
          left join lateral (select x.* from pgstate.claim x where x.key = e.key offset 0) c on true
          cross join lateral (
            select case when e.value is null then
                     case when (select v.op from pgstate.version v where v.key = e.key and v.version = e.version) = 'complete' then 'finished' end
                   when e.expires_at <= v_now then null
                   when c.lease_until > v_now then 'claimed'
                   when c.retry_at = 'infinity' then 'failed'
                   else 'waiting' end as state offset 0) s
         where e.key >= span.low and e.key < span.high and e.kind = 'value' and (v_regex is null or e.key ~ v_regex)
           and s.state is not null and (tasks.states is null or s.state = any (tasks.states))
         order by e.key limit tasks."limit"
      ) m
     limit tasks."limit";
end
$$;
comment on function pgstate.tasks(text, int, text, text[], text) is
  'Entries as pieces of work, in key order, of the keys that match a pattern and that the caller may read: waiting (next_try, after a failure with its error), claimed (by whom, how long still), failed (given up) or finished (completed). states: only these. limit 1 to 100000 (null: all), after: the last key of the page before. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';

-- functions/history/_rollback_plan.sql
-- What a rollback would do: a row for each key that is not what it was, in key order; in force it also tells of a key that is.
-- One snapshot, STABLE. p_version: of the one key that p_ranges hold, instead of p_moment.
--
-- A value that has an end gets the same end again. One whose end has passed is not brought back by a past state, in which it
-- was there for a time; by its number it is, without an end. One without an end gets that of its policy, as any put does.
create function pgstate._rollback_plan(
  p_actor pgstate._actor, p_ranges pgstate.keymultirange, p_regex text, p_version bigint, p_moment pgstate._moment, p_writer text,
  p_force boolean, p_all boolean
) returns setof pgstate.rolled_back
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    ), found as (
      select e.key, e.version, e.value is not null and (e.expires_at is null or e.expires_at > v_now) as live,
             case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value, e.expires_at,
             coalesce(p.version, 0) as past_version,
             p.value is not null and (p_version is not null
               or p.expires_at is null or p.expires_at > p_moment.at and p.expires_at > v_now) as past_live,
             case when p.reducer is null then p.value else pgstate._value_at(p.key, p.version) end as past_value, case when p.expires_at > v_now then p.expires_at end as past_expires_at
        from span
        cross join lateral (
          select x.* from pgstate.entry x
           where x.key >= span.low and x.key < span.high and x.kind = 'value' and x.version > 0 and (p_regex is null or x.key ~ p_regex)
           order by x.key) e
        left join lateral (
          select t.* from pgstate._then(e.key, e.version, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after, p_moment.seq) t
           where p_version is null
          union all
          select v.* from pgstate.version v where p_version is not null and v.key = e.key and v.version = p_version
        ) p on true
    ), compared as (
      select f.*,
             case when not f.live and not f.past_live then 'none'
                  when not f.past_live then 'delete'
                  when not f.live or f.value <> f.past_value
                       -- it was set anew, a moment later than it was set then
                       or coalesce(abs(extract(epoch from f.expires_at - f.past_expires_at)) > 1,
                                   f.expires_at is not null and f.ttl is null or f.past_expires_at is not null) then 'put'
                  else 'none' end as action
        from (select x.*, case when p_actor.policies and x.past_live and x.past_expires_at is null then (pgstate._policy_of(x.key)).ttl end as ttl
                from found x where p_all or x.version <> x.past_version offset 0) f
    )
    select c.key,
           case when not p_actor.writes @> c.key then 'denied'
                when p_writer is not null and not p_force and exists (
                  select from pgstate.version v
                   where v.key = c.key and v.version > c.past_version and v.writer not in (p_writer, 'pgstate')
                     -- quarantine() has only lowered its trust
                     and (v.meta ? 'quarantined' and v.meta ->> 'writer' = p_writer) is not true) then 'conflict'
                when k.lease_until > v_now and not (p_actor.policies and pgstate._claimed_writes(c.key)) then 'held'
                else 'ok' end,
           c.action, null::bigint, case when c.live then c.version else 0 end, case when c.past_live then c.past_version else 0 end,
           case when c.live then c.value end, case when c.past_live then c.past_value end,
           case when not c.past_live then null when c.ttl is null then c.past_expires_at when c.action = 'put' then v_now + c.ttl else c.expires_at end,
           null::boolean
      from compared c
      -- a join: of an EXISTS the planner may make a hash of all claims
      left join pgstate.claim k on k.key = c.key
     where (p_all or c.action <> 'none')
       and (p_writer is null or exists (
              select from pgstate.version v where v.key = c.key and v.version > c.past_version and v.writer = p_writer));
end
$$;
comment on function pgstate._rollback_plan(pgstate._actor, pgstate.keymultirange, text, bigint, pgstate._moment, text, boolean, boolean) is
  'Internal: what a rollback would change.';

-- functions/history/_storable.sql
-- What a put would store, by the rules that _try_each() goes by; null when one of them refuses the value.
create function pgstate._storable(p_actor pgstate._actor, p_key text, p_value jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rules pgstate._policy;
  -- out of its compressed form, in which it may be any size: an array holds none
  v_plain jsonb := (array[p_value])[1];
  v_value jsonb := v_plain;
begin
  if p_actor.policies then
    v_rules := pgstate._policy_of(p_key);
  end if;
  if v_rules.guard is distinct from 'off' and pgstate._may_be_secret(p_key || ' ' || p_value::text)
     and pgstate._secret_rule(p_key || ' ' || p_value::text) is not null then
    if v_rules.guard is distinct from 'redact' or pgstate._secret_rule(p_key) is not null then
      return null;
    end if;
    v_value := pgstate._redact(p_value::text)::jsonb;
  end if;
  if pg_column_size(v_plain) > p_actor.value_limit or pg_column_size(v_value) > v_rules.value_limit
     or pgstate._schema_error(v_rules.schema, v_value) is not null then
    return null;
  end if;
  return v_value;
end
$$;
comment on function pgstate._storable(pgstate._actor, text, jsonb) is 'Internal: what a put would store; null when it would be refused.';

-- functions/history/_undo.sql
-- What rollback() and quarantine() write: puts and deletes by write_many(), all or nothing, each expecting the version that the
-- plan was made for. If one has changed meanwhile, all locks are given back, those keys are locked again, so that they hold
-- still, and the plan is made anew. A key that comes along then is locked together with the others too: after them, it would
-- be out of order, and whoever writes several keys could wait in a circle with this. At last it is taken as it comes.
--
-- Locked here, not by write_many() alone: who waits for a lock that was taken in a block within the block that gives it back
-- goes on waiting, for the end of the transaction.
create function pgstate._undo(
  p_actor pgstate._actor, p_agent text, p_ranges pgstate.keymultirange, p_regex text, p_version bigint, p_moment pgstate._moment, p_writer text,
  p_force boolean, p_dry_run boolean, p_single boolean, p_wake boolean
) returns pgstate.rolled_back[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rows pgstate.rolled_back[];
  v_outcome jsonb;
  v_a record;
  v_failed boolean;
  v_keys text[];
  v_locked text[];
  v_now timestamptz;
begin
  for v_try in 1 .. 20 loop
    begin
      if v_locked is not null then
        perform from pgstate.entry e where e.key = any (v_locked) order by e.key for update;
      end if;
      v_rows := array(
        select p from pgstate._rollback_plan(p_actor, p_ranges, p_regex, p_version, p_moment,
                                             p_writer, p_force, p_single) p limit 100001);
      if cardinality(v_rows) > 100000 then
        raise exception using errcode = 'PS007', message = 'more than 100000 keys would change: roll back in parts',
          hint = 'Give patterns that are narrower. Of an agent that is to be stopped, quarantine() undoes any number.';
      end if;
      select array_agg(r.key) as keys, array_agg(r.action) as ops, array_agg(r.new_value) as vals, array_agg(r.from_version) as expects,
             array_agg(r.expires_at) as ends,
             array_agg((select v.trust::text from pgstate.version v where v.key = r.key and v.version = r.to_version)) as trusts
        into v_a from unnest(v_rows) r where r.status = 'ok' and r.action <> 'none';
      v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied'));
      if p_dry_run then
        v_rows := array(
          select row(r.key, case when r.status = 'ok' and r.action = 'put' and s.value is null then 'refused' else r.status end, r.action, null, r.from_version,
                     r.to_version, r.old_value, coalesce(s.value, r.new_value), r.expires_at, null)::pgstate.rolled_back
            from unnest(v_rows) with ordinality as r
            left join lateral (select pgstate._storable(p_actor, r.key, r.new_value) as value where r.status = 'ok' and r.action = 'put') s on true
           order by r.ordinality);
      end if;
      exit when p_dry_run or v_failed or v_a.keys is null;
      v_keys := v_a.keys;
      if exists (select k from unnest(v_keys) k except select k from unnest(v_locked) k) then
        if v_locked is not null and v_try < 10 then
          raise exception using errcode = 'PS999';
        end if;
        perform from pgstate.entry e where e.key = any (v_keys) order by e.key for update;
      end if;
      -- after the locks: until then it may have waited
      v_now := pgstate._now();
      v_outcome := (
        select jsonb_object_agg(v_a.keys[o.ord], jsonb_build_array(o.status, o.version, o.code, o.watched))
          from pgstate.write_many(
            v_a.ops, v_a.keys, v_a.vals, v_a.expects, wake => p_wake, "atomic" => true, agent => p_agent, trusts => v_a.trusts,
            ttls => array(select case when e.at is not null then greatest(e.at - v_now, interval '1 ms') end
                            from unnest(v_a.ends) with ordinality as e (at, ord) order by e.ord)) o);
      select r.key, o.item ->> 2 as code into v_a from jsonb_each(v_outcome) as o (key, item) join unnest(v_rows) r on r.key = o.key
       where o.item ->> 2 is not null order by r.key limit 1;
      if found then
        -- such as a value that is over the limit of today
        perform pgstate._raise(v_a.code, v_a.key, v_a.key || ': ' || pgstate._error_text(v_a.code, v_a.key));
      end if;
      v_failed := exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 = 'held');
      if exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 in ('conflict', 'missing')) then
        raise exception using errcode = 'PS999';
      end if;
      v_rows := array(
        select row(r.key, coalesce(o.item ->> 0, r.status), r.action, (o.item ->> 1)::bigint, r.from_version, r.to_version, r.old_value,
                   case when p_actor.policies and r.action = 'put' and r.new_value::text ~ pgstate._secret_hint()
                        -- it may have been redacted
                        then coalesce(pgstate._value_at(r.key, (o.item ->> 1)::bigint), r.new_value) else r.new_value end,
                   r.expires_at, (o.item ->> 3)::boolean)::pgstate.rolled_back
          from unnest(v_rows) with ordinality as r left join jsonb_each(v_outcome) as o (key, item) on o.key = r.key
         order by r.ordinality);
      exit;
    exception when sqlstate 'PS999' then
      if v_try = 20 then
        raise exception using errcode = '40001', message = 'what was to be rolled back changed under every try', hint = 'Run the transaction again.';
      end if;
      v_locked := array(select k from unnest(v_locked) k union select k from unnest(v_keys) k);
    end;
  end loop;
  if v_failed and not p_dry_run then
    v_rows := array(
      select row(r.key, case when r.status = 'ok' then 'skipped' else r.status end, r.action, null, r.from_version, r.to_version,
                 r.old_value, r.new_value, r.expires_at, false)::pgstate.rolled_back
        from unnest(v_rows) with ordinality as r order by r.ordinality);
  end if;
  return v_rows;
end
$$;
comment on function pgstate._undo(pgstate._actor, text, pgstate.keymultirange, text, bigint, pgstate._moment, text, boolean, boolean, boolean, boolean) is
  'Internal: brings keys back to what they were.';

-- functions/history/rollback.sql
-- New versions, never a loss of any: _undo() writes them.
create function pgstate.rollback(
  pattern text, version bigint default null, cursor text default null, at timestamptz default null, writer text default null,
  force boolean default false, dry_run boolean default false, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, agent text default null
) returns setof pgstate.rolled_back
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(rollback.agent);
  v_single boolean := rollback.pattern <> '' and rollback.pattern !~ '[*?]';
  v_ranges pgstate.keymultirange;
  v_moment pgstate._moment;
  v_rows pgstate.rolled_back[];
  v_request text;
  v_states text[];
  v_outcome jsonb;
begin
  if v_single then
    perform pgstate._check_claimant(v_actor, rollback.pattern);
  else
    perform pgstate._check_pattern(rollback.pattern);
  end if;
  v_actor.reads := v_actor.reads + '{}';
  v_actor.writes := v_actor.writes + '{}';
  v_ranges := pgstate._pattern_ranges(rollback.pattern) * v_actor.reads;
  if isempty(v_ranges * v_actor.writes) then
    perform pgstate._deny();
  elsif num_nonnulls(rollback.version, rollback.cursor, rollback.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(rollback.version, rollback.cursor, rollback.at));
  elsif rollback.version is not null and not v_single then
    raise exception using errcode = 'PS007', message = 'a version is of one key: for several give a cursor or a time';
  elsif rollback.force is null or rollback.dry_run is null or rollback.wake is null then
    raise exception using errcode = 'PS007', message = 'force, dry_run and wake are true or false';
  end if;

  if rollback.lane is not null and not rollback.dry_run then
    v_outcome := pgstate._lane_begin(v_actor, rollback.lane, rollback.turn);
  end if;
  if v_outcome is null and rollback.op_id is not null and not rollback.dry_run then
    v_request := jsonb_build_array('rollback', rollback.pattern, rollback.version, rollback.cursor, pgstate._time_told(rollback.at), rollback.writer,
                                   rollback.force)::text;
    v_states := pgstate._op_begin(v_actor, array[rollback.op_id], array[v_request]);
    if v_states = array['known'] then
      v_states := pgstate._op_known(v_actor, array[rollback.op_id], array[v_request], v_states);
    end if;
    if v_states = array['invalid'] then
      perform pgstate._raise('PS007', null);
    elsif v_states = array['reused'] then
      perform pgstate._raise('PS030', null);
    elsif v_states = array['replay'] then
      v_outcome := pgstate._op_outcome(v_actor, rollback.op_id);
    end if;
  end if;
  if v_outcome is not null then
    -- done before: the values are in the history
    return query
      select o.item ->> 0, o.item ->> 1, o.item ->> 2, (o.item ->> 3)::bigint, (o.item ->> 4)::bigint, (o.item ->> 5)::bigint,
             pgstate._value_at(o.item ->> 0, (o.item ->> 4)::bigint),
             pgstate._value_at(o.item ->> 0, coalesce(o.item ->> 3, o.item ->> 5)::bigint),
             (select v.expires_at from pgstate.version v where v.key = o.item ->> 0 and v.version = (o.item ->> 3)::bigint), true
        from jsonb_array_elements(v_outcome) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;

  if v_single and exists (select from pgstate.entry e where e.key = rollback.pattern and e.kind <> 'value') then
    perform pgstate._raise('PS040', rollback.pattern);
  end if;
  if rollback.version is null then
    v_moment := pgstate._moment(v_actor, rollback.cursor, rollback.at);
  elsif not exists (select from pgstate.version v where v.key = rollback.pattern and v.version = rollback.version) then
    raise exception using errcode = 'PS007', message = 'the key has no such version', hint = 'pgstate.history() has its versions.';
  end if;
  v_rows := pgstate._undo(v_actor, rollback.agent, v_ranges, pgstate._pattern_regex(rollback.pattern), rollback.version, v_moment, rollback.writer,
                          rollback.force, rollback.dry_run, v_single, rollback.wake);

  if not rollback.dry_run and (rollback.lane is not null or rollback.op_id is not null) then
    v_outcome := coalesce((
      select jsonb_agg(jsonb_build_array(r.key, r.status, r.action, r.version, r.from_version, r.to_version) order by r.ordinality)
        from unnest(v_rows) with ordinality as r), '[]');
    if rollback.op_id is not null then
      perform pgstate._op_end(v_actor, rollback.op_id, v_outcome);
    end if;
    if rollback.lane is not null then
      perform pgstate._lane_end(rollback.lane, rollback.turn, v_outcome);
    end if;
  end if;
  return query select r.* from unnest(v_rows) r;
end
$$;
comment on function pgstate.rollback(text, bigint, text, timestamptz, text, boolean, boolean, text, uuid, bigint, boolean, text) is
  'Brings keys back to what they were: one key to a version of its own, or all that match the pattern and that the caller may read to a cursor or a time (as in get_as_of()), by new versions: puts, and deletes of what was not there. All or nothing: when a key is claimed (held) or may not be written (denied), the rows say which, and the others skipped. A row for each key that changes. writer: only keys that this agent wrote since, and that nobody else did: those have status conflict and stay as they are, unless force. dry_run only shows, with status refused for what a rule of today (schema, value_limit, guard) would not take: that is an error else. Needs read and write. Values whose end has passed do not come back, priority and not_before are not part of a version. PS001 PS002 PS007 PS010 PS020 PS021 PS022 PS023 PS030 PS031 PS040.';

-- functions/feed/changes_for.sql
-- A page of changes not visible in the cursor's snapshot and visible in the current one, in order of seq, for all the watches
-- of a process, whichever of its agents they belong to. Agents' ranges are cut to what they may read; row-level security is
-- in force as well. The last row is the bookmark. STABLE, like all that it calls: every statement inside must read the
-- caller's one snapshot. One function, and few expressions in it: it is on the way from a write to its watchers. A page ends
-- early when its values, as they are stored, come to 16 MB.
create function pgstate.changes_for(cursor text, agents text[], patterns text[], "limit" int default 1000, upto text default null, min_trust text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor;
  v_lone boolean;
  v_look pgstate._look;
  v_wanted pgstate._wanted;
  v_agents text[];
  v_ranges pgstate.keymultirange[];
  v_regexes text[];
  v_place text;
  v_position pgstate._position;
  v_upto pg_snapshot;
  v_base pg_snapshot;
  v_top xid8;
  v_running xid8[];
  v_start bigint;
  v_window pgstate._window;
  v_page pgstate._feed_row[];
  v_full boolean;
  v_last bigint;
  v_head text;
  v_change pgstate.change;
  v_cursor text;
  v_bytes bigint := 0;
  v_min pgstate.trust;
begin
  if changes_for.min_trust is not null then
    v_min := pgstate._trust_named(changes_for.min_trust);
  end if;
  if (cardinality(changes_for.agents) > 0 and cardinality(changes_for.agents) = cardinality(changes_for.patterns)
      and changes_for."limit" between 1 and 10000) is not true then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1; limit is 1 to 10000';
  end if;
  v_lone := changes_for.agents[1] = all (changes_for.agents);
  if v_lone then
    -- most processes have one agent
    v_wanted := pgstate._wanted(changes_for.patterns);
    if changes_for.upto is null then
      v_look := pgstate._look(changes_for.agents[1], changes_for.cursor, 1000);
    end if;
    if v_look.found is null then
      v_actor := pgstate._enter(changes_for.agents[1]);
    elsif v_look.found <= 1 then
      -- what a watch reads when little happens
      if v_look.found = 1 then
        return query
          select v_look.agent, v.key, v.version, v.op::text, case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end,
                 (select case when b.reducer is null then b.value else pgstate._value_at(b.key, b.version) end
                    from pgstate.version b where b.key = v.key and b.version = v.prior),
                 v.created, v.writer, v.via, v.at, v.expires_at,
                 v_look.head || v_look.base || '.' || v_look.upto || '.' || v.seq || '.' || v.seq, true, v.trust::text
            -- prior is a column: under row-level security an expression over one is no index condition
            from (select x.*, x.version - 1 as prior from pgstate.version x
                   where x.epoch = v_look.epoch and x.xid >= pg_snapshot_xmax(v_look.base) and pg_visible_in_snapshot(x.xid, v_look.upto)
                     and v_look.reads @> x.key and v_wanted.ranges @> x.key and (v_wanted.regex is null or x.key ~ v_wanted.regex)
                     and (v_min is null or x.trust >= v_min) offset 0) v;
      end if;
      return next row(null, null, null, 'bookmark', null, null, null, null, null, null, null, v_look.head || v_look.upto, true, null)::pgstate.change;
      return;
    else
      v_actor.name := v_look.agent;
      v_actor.epoch := v_look.epoch;
      v_actor.reads := v_look.reads;
    end if;
    v_agents := array[v_actor.name];
    v_ranges := array[v_wanted.ranges * v_actor.reads];
    v_regexes := array[v_wanted.regex];
  else
    v_agents := array(select distinct n from unnest(changes_for.agents) n order by n);
    v_actor := pgstate._enter_for(v_agents);
    select array_agg(a.name order by a.name), array_agg(a.ranges order by a.name), array_agg(a.regex order by a.name)
      into v_agents, v_ranges, v_regexes
      from (
        select g.name, (g.wanted).ranges * pgstate._reads_of(g.name) as ranges, (g.wanted).regex as regex
          from (select split_part(w.name, '/', 1) as name, pgstate._wanted(array_agg(w.pattern)) as wanted
                  from unnest(changes_for.agents, changes_for.patterns) w (name, pattern) group by 1 offset 0) g) a;
  end if;

  if v_look.found is not null then
    v_head := v_look.head;
    v_position := row(v_look.base, null, 0, 0);
    v_base := v_look.base;
    v_upto := v_look.upto;
    v_top := pg_snapshot_xmax(v_base);
  else
    v_place := pgstate._feed_place(v_actor);
    v_head := '1.' || v_place || '.';
    v_position := pgstate._position(changes_for.cursor, v_place, v_actor.horizon);
    v_upto := v_position.upto;
    v_base := v_position.base;
    v_top := pg_snapshot_xmax(v_base);
    if pg_snapshot_xmin(v_base) < v_top then
      v_running := array(select pg_snapshot_xip(v_base));
    end if;
    if v_upto is not null then
      v_start := v_position.after;
    elsif changes_for.upto is null then
      v_window := pgstate._window(v_actor.epoch, v_top, v_running, 1000);
      v_upto := v_window.upto;
      v_start := v_window.start;
    else
      v_upto := (pgstate._position(changes_for.upto, v_place, v_actor.horizon)).base;
      if v_top > pg_snapshot_xmax(v_upto) or exists (select from pg_snapshot_xip(v_upto) x where pg_visible_in_snapshot(x, v_base)) then
        raise exception using errcode = 'PS020', message = 'upto lies before the cursor';
      end if;
      v_start := pgstate._window_start(v_actor.epoch, v_top, v_running, 1000);
    end if;
  end if;

  -- large values are read when their rows are sent: together they may be more than an array holds
  if v_start is null then
    v_page := array(
      select row(c.key, c.version, c.seq, c.xid, c.op, c.created, case when pg_column_size(c.value) < 2000 then c.value end, c.reducer,
                 c.writer, c.via, c.at, c.expires_at, c.trust)::pgstate._feed_row
        from (
          (select v.* from pgstate.version v where v.epoch = v_actor.epoch and v.xid >= v_top order by v.xid limit 1001)
          union all
          select v.* from unnest(v_running) r cross join lateral (
            select x.* from pgstate.version x where x.epoch = v_actor.epoch and x.xid = r offset 0) v
        ) c
       where pg_visible_in_snapshot(c.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> c.key and (w.regex is null or c.key ~ w.regex))
         and (v_min is null or c.trust >= v_min)
       order by c.seq limit changes_for."limit" + 1);
  else
    v_page := array(
      select row(c.key, c.version, c.seq, c.xid, c.op, c.created, case when pg_column_size(c.value) < 2000 then c.value end, c.reducer,
                 c.writer, c.via, c.at, c.expires_at, c.trust)::pgstate._feed_row
        from pgstate.version c
       where c.seq > v_start and c.epoch = v_actor.epoch
         and not pg_visible_in_snapshot(c.xid, v_base) and pg_visible_in_snapshot(c.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> c.key and (w.regex is null or c.key ~ w.regex))
         and (v_min is null or c.trust >= v_min)
       order by c.seq limit changes_for."limit" + 1);
  end if;
  v_full := cardinality(v_page) > changes_for."limit";
  if v_full then
    v_page := v_page[1 : changes_for."limit"];
  end if;
  v_last := v_page[cardinality(v_page)].seq;

  if cardinality(v_page) > 0 then
    for v_change in
      with page as materialized (
        select u.*, u.version - 1 as prior from unnest(v_page) u
      ), ending as materialized (
        -- where each transaction of the page ends, among the changes that this reader gets
        select p.xid, greatest(max(p.seq), case when v_full then (
                 select max(v.seq) from pgstate.version v
                  where v.epoch = v_actor.epoch and v.xid = p.xid and v.seq > v_last
                    and (v_min is null or v.trust >= v_min)
                    and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex)
                                 where w.ranges @> v.key and (w.regex is null or v.key ~ w.regex))) end) as seq
          from page p group by p.xid
      ), marked as (
        -- until: where the last of the transactions begun so far in this window ends; earlier pages count
        select p.*, greatest(v_position.until, max(e.seq) over (order by p.seq)) as until from page p join ending e on e.xid = p.xid
      )
      select w.agent, m.key, m.version, m.op,
             case when m.reducer is not null then pgstate._value_at(m.key, m.version) when m.value is not null then m.value
                  else (select v.value from pgstate.version v where v.key = m.key and v.version = m.version) end,
             before.value, m.created, m.writer, m.via, m.at, m.expires_at,
             v_head || v_base || '.' || v_upto || '.' || m.seq || '.' || m.until, m.until <= m.seq, m.trust::text
        from marked m
        join unnest(v_agents, v_ranges, v_regexes) w (agent, ranges, regex) on w.ranges @> m.key and (w.regex is null or m.key ~ w.regex)
        left join lateral (
          select case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end as value
            from pgstate.version v where v.key = m.key and v.version = m.prior) before on true
       order by m.seq, w.agent
    loop
      -- between two changes, and not between the agents that get one
      if v_bytes > 16777216 and v_change.cursor <> v_cursor then
        v_full := true;
        exit;
      end if;
      return next v_change;
      v_cursor := v_change.cursor;
      v_bytes := v_bytes + coalesce(pg_column_size(v_change.value), 0) + coalesce(pg_column_size(v_change.previous), 0);
    end loop;
  end if;
  return next row(null, null, null, 'bookmark', null, null, null, null, null, null, null,
                  case when v_full then v_cursor else v_head || v_upto end,
                  -- a cursor from inside a page is read to that page's end first: what came since is next
                  not v_full and v_position.upto is null, null)::pgstate.change;
end
$$;
comment on function pgstate.changes_for(text, text[], text[], int, text, text) is
  'changes() for several watches at once: agents and patterns side by side, each agent one that the login may act for; every row names the agent that it is for. PS002 PS007 PS010 PS020 PS021 PS022.';

-- functions/feed/changes.sql
create function pgstate.changes(cursor text, patterns text[] default array[''], "limit" int default 1000, upto text default null, agent text default null, min_trust text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(changes.agent);
  -- refuses what is no pattern first
  v_wanted pgstate._wanted := pgstate._wanted(changes.patterns);
  -- a ticket is named again as it was
  v_said text := coalesce(nullif(changes.agent, ''), current_setting('pgstate.agent', true));
begin
  -- each pattern by itself: one that reaches nothing must not hide behind another
  if exists (select from unnest(changes.patterns) p where p <> '' and isempty(pgstate._pattern_ranges(p) * v_actor.reads)) then
    perform pgstate._deny();
  end if;
  return query
    select c.* from pgstate.changes_for(changes.cursor, array_fill(case when strpos(v_said, '/') > 0 then v_said else v_actor.name end, array[cardinality(changes.patterns)]), changes.patterns,
                                        changes."limit", changes.upto, changes.min_trust) c;
end
$$;
comment on function pgstate.changes(text, text[], int, text, text, text) is
  'What happened after a cursor, in order, for keys that match any of the patterns and that the caller may read; limit 1 to 10000. Each row carries the cursor to go on from after it. The last row is a bookmark (op bookmark, key null): go on from its cursor; whole false there says that the page was full and more is waiting. previous is the value before. upto: no further than that cursor. min_trust: only versions that are trusted at least so far. PS002 PS010 PS020 PS021 PS022.';

-- functions/feed/cursor.sql
create function pgstate.cursor(agent text default null) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._cursor(pgstate._enter(cursor.agent));
end
$$;
comment on function pgstate.cursor(text) is 'The point in the change feed that the calling statement''s snapshot is at: changes() from it returns exactly what this statement could not see. PS022 on a standby.';

-- functions/feed/subscribe.sql
create function pgstate.subscribe(agents text[], patterns text[], channel text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_names text[] := array(select distinct n from unnest(subscribe.agents) n);
begin
  if coalesce(cardinality(subscribe.agents), 0) = 0 or cardinality(subscribe.agents) <> coalesce(cardinality(subscribe.patterns), 0) then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1';
  elsif subscribe.channel !~ '^pgstate_[0-9a-f]{32}$' then
    raise exception using errcode = 'PS007', message = 'not a channel that subscribe() returned';
  elsif pg_is_in_recovery() then
    -- nothing can be registered there, and there is nothing to be woken for: see _feed_place()
    raise exception using errcode = 'PS022', message = 'the feed is not served on a standby', hint = 'Watch on the primary.';
  end if;
  perform pgstate._enter_for(v_names);
  return pgstate._subscribe(subscribe.agents, subscribe.patterns, subscribe.channel);
end
$$;
comment on function pgstate.subscribe(text[], text[], text) is
  'Registers for wake-ups: returns the channel to LISTEN on. agents and patterns side by side. Register again within 90 seconds, with the channel. PS002 PS007 PS010 PS022.';

-- functions/feed/unsubscribe.sql
create function pgstate.unsubscribe(channel text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._unsubscribe(unsubscribe.channel);
end
$$;
comment on function pgstate.unsubscribe(text) is 'Removes a registration of this login.';

-- functions/feed/wake.sql
create function pgstate.wake(keys text[], agent text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(wake.agent);
begin
  -- keys that the caller cannot have written are passed over: that somebody was woken can be seen
  perform pgstate._wake(wake.keys, v_actor.writes);
end
$$;
comment on function pgstate.wake(text[], text) is 'Wakes the watchers of these keys; for clients that wrote with wake off. A hint: watchers poll as well.';

-- functions/feed/wake_lane.sql
-- Reaches nobody but those who watch what this lane has written; its id is known to its client alone.
create function pgstate.wake_lane(lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._wake_lane(wake_lane.lane);
end
$$;
comment on function pgstate.wake_lane(uuid) is 'Wakes those who watch what the last statement of a lane wrote, after its commit; false when it does not know whom: use wake(). For clients that wrote with wake off.';

-- functions/search/_filter_value.sql
-- Is @ this value (or does it contain it, as @> would)? As a predicate of a strict jsonpath, in which types that differ
-- never compare as equal.
create function pgstate._filter_value(p_operand jsonb, p_contains boolean) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[];
begin
  case jsonb_typeof(p_operand)
  when 'array' then
    if p_contains then
      v_parts := array(select 'exists(@[*] ? (' || pgstate._filter_value(x.item, true) || '))' from jsonb_array_elements(p_operand) x (item));
    else
      v_parts := array(
        select format('exists(@[%s] ? (%s))', x.ord - 1, pgstate._filter_value(x.item, false))
          from jsonb_array_elements(p_operand) with ordinality as x (item, ord) order by x.ord);
      v_parts := array['@.size() == ' || jsonb_array_length(p_operand)] || v_parts;
    end if;
    return '(' || array_to_string(array['@.type() == "array"'] || v_parts, ' && ') || ')';
  when 'object' then
    v_parts := array(
      select format('exists(@.%s ? (%s))', to_json(x.key), pgstate._filter_value(x.value, p_contains)) from jsonb_each(p_operand) x);
    if not p_contains then
      v_parts := v_parts || ('!(exists(@.keyvalue() ? (' || coalesce(
        (select string_agg('@.key != ' || to_json(k), ' && ') from jsonb_object_keys(p_operand) k), '1 == 1') || ')))');
    end if;
    return '(' || array_to_string(array['@.type() == "object"'] || v_parts, ' && ') || ')';
  else
    return '(@ == ' || p_operand::text || ')';
  end case;
end
$$;
comment on function pgstate._filter_value(jsonb, boolean) is 'Internal: a filter''s comparison with a value, as a predicate of a jsonpath.';

-- functions/search/_filter_not.sql
-- What a value does not have is unknown to a jsonpath, and so would be its opposite. The predicate stands in it twice: of one
-- within the other that doubles each time, so its length is looked at here and not at the end.
create function pgstate._filter_not(p_predicate text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(p_predicate) > 524288 then
    raise exception using errcode = 'PS007', message = 'the filter has too many $not, $ne and $nin within each other';
  end if;
  return format('((%s) is unknown || !(%s))', p_predicate, p_predicate);
end
$$;
comment on function pgstate._filter_not(text) is 'Internal: the opposite of a predicate of a jsonpath. PS007.';

-- functions/search/_filter_field.sql
-- Does what lies at a path fit? After [*] in a filter of its own, so that one element that lacks a field does not make all of
-- them unknown.
create function pgstate._filter_field(p_at text, p_steps text[], p_predicate text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_star int := array_position(p_steps, '[*]');
begin
  if v_star is not null and v_star < cardinality(p_steps) then
    return 'exists(' || p_at || array_to_string(p_steps[:v_star], '') || ' ? ('
           || pgstate._filter_field('@', p_steps[v_star + 1:], p_predicate) || '))';
  end if;
  return 'exists(' || p_at || array_to_string(p_steps, '') || ' ? (' || p_predicate || '))';
end
$$;
comment on function pgstate._filter_field(text, text[], text) is 'Internal: a predicate about what lies at a path, as one of a jsonpath.';

-- functions/search/_filter_ops.sql
-- The operators that a filter has for one field.
create function pgstate._filter_ops(p_at text, p_steps text[], p_ops jsonb, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[] := '{}';
  v_op record;
  v_one text;
begin
  for v_op in select o.key as name, o.value as operand, jsonb_typeof(o.value) as type from jsonb_each(p_ops) o loop
    if v_op.name in ('$eq', '$ne', '$contains') then
      v_one := pgstate._filter_value(v_op.operand, v_op.name = '$contains');
      if v_op.name = '$contains' and v_op.type not in ('array', 'object') then
        -- @> has an array contain a scalar that is one of its elements, at the top only
        v_one := format('(%s || @.type() == "array" && exists(@[*] ? (%s)))', v_one, v_one);
      end if;
      v_one := pgstate._filter_field(p_at, p_steps, v_one);
    elsif v_op.name in ('$gt', '$gte', '$lt', '$lte') and v_op.type in ('number', 'string') then
      v_one := pgstate._filter_field(p_at, p_steps, '@ ' || case v_op.name when '$gt' then '>' when '$gte' then '>=' when '$lt' then '<' else '<=' end
                                                       || ' ' || v_op.operand::text);
    elsif v_op.name in ('$in', '$nin') and v_op.type = 'array' then
      v_one := pgstate._filter_field(p_at, p_steps, coalesce(
        (select string_agg(pgstate._filter_value(i, false), ' || ') from jsonb_array_elements(v_op.operand) i), '1 == 0'));
    elsif v_op.name = '$exists' and v_op.type = 'boolean' then
      v_one := pgstate._filter_field(p_at, p_steps, '1 == 1');
    elsif v_op.name = '$not' and v_op.type = 'object' and p_depth < 16 then
      v_one := pgstate._filter_ops(p_at, p_steps, v_op.operand, p_depth + 1);
    else
      raise exception using errcode = 'PS007', message = format('invalid filter: %s with %s', pgstate._shown(v_op.name), pgstate._shown(v_op.operand::text)),
        hint = 'A field takes $eq, $ne, $gt, $gte, $lt, $lte (a number or a string), $in, $nin (an array), $exists (true or false), $contains and $not (operators).';
    end if;
    v_parts := v_parts || case when v_op.name in ('$ne', '$nin', '$not') or v_op.name = '$exists' and v_op.operand = 'false'
                               then pgstate._filter_not(v_one) else v_one end;
  end loop;
  return case when v_parts = '{}' then '(1 == 1)' else '(' || array_to_string(v_parts, ' && ') || ')' end;
end
$$;
comment on function pgstate._filter_ops(text, text[], jsonb, int) is 'Internal: a filter''s operators on one field, as a predicate of a jsonpath. PS007.';

-- functions/search/_filter_text.sql
create function pgstate._filter_text(p_filter jsonb, p_at text, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[] := '{}';
  v_field record;
  v_steps text[];
  v_filter jsonb;
  v_any text[];
  v_size int := 0;
begin
  if jsonb_typeof(p_filter) is distinct from 'object' or p_depth > 16 then
    raise exception using errcode = 'PS007', message = format('invalid filter: %s', pgstate._shown(p_filter::text)),
      hint = 'A filter is an object of fields and what they are, such as {"status": "open", "tries": {"$gt": 3}}, at most 16 deep.';
  end if;
  for v_field in select f.key as name, f.value as wanted, jsonb_typeof(f.value) as type from jsonb_each(p_filter) f loop
    if v_field.name in ('$and', '$or') and v_field.type = 'array' and v_field.wanted <> '[]' then
      v_any := '{}';
      for v_filter in select p from jsonb_array_elements(v_field.wanted) p loop
        v_any := v_any || pgstate._filter_text(v_filter, p_at, p_depth + 1);
        v_size := v_size + octet_length(v_any[cardinality(v_any)]);
        if v_size > 1048576 then
          perform pgstate._raise('PS007', null, 'the filter has too many $not, $ne and $nin within each other');
        end if;
      end loop;
      v_parts := v_parts || ('(' || array_to_string(v_any, case v_field.name when '$and' then ' && ' else ' || ' end) || ')');
    elsif v_field.name = '$not' and v_field.type = 'object' then
      v_parts := v_parts || pgstate._filter_not(pgstate._filter_text(v_field.wanted, p_at, p_depth + 1));
    elsif v_field.name like '$_%' then
      raise exception using errcode = 'PS007', message = format('invalid filter: %s', pgstate._shown(v_field.name)),
        hint = E'Beside fields a filter has $and, $or (arrays of filters) and $not (a filter); \\$name is a field whose name begins with a dollar.';
    else
      v_steps := pgstate._path_steps(v_field.name);
      if v_field.type = 'object' and exists (select from jsonb_object_keys(v_field.wanted) k where k like '$_%') then
        v_parts := v_parts || pgstate._filter_ops(p_at, v_steps, v_field.wanted, p_depth + 1);
      elsif v_field.type = 'object' and v_field.wanted <> '{}' then
        v_parts := v_parts || pgstate._filter_field(p_at, v_steps, pgstate._filter_text(v_field.wanted, '@', p_depth + 1));
      else
        v_parts := v_parts || pgstate._filter_field(p_at, v_steps, pgstate._filter_value(v_field.wanted, false));
      end if;
    end if;
  end loop;
  return case when v_parts = '{}' then '(1 == 1)' else '(' || array_to_string(v_parts, ' && ') || ')' end;
end
$$;
comment on function pgstate._filter_text(jsonb, text, int) is 'Internal: a filter as a predicate of a jsonpath. PS007.';

-- functions/search/_filter_path.sql
-- A filter becomes a jsonpath once, and a value is then looked at in C: in plpgsql it would be the cost of a search.
-- Whoever calls matches() calls it.
create function pgstate._filter_path(p_filter jsonb) returns jsonpath
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_path text;
begin
  if p_filter is null or p_filter = '{}' then
    return null;
  elsif octet_length(p_filter::text) > 65536 then
    raise exception using errcode = 'PS007', message = 'a filter has 64 kB at most';
  end if;
  v_path := pgstate._filter_text(p_filter, '$', 0);
  if octet_length(v_path) > 1048576 then
    raise exception using errcode = 'PS007', message = 'the filter has too many $not, $ne and $nin within each other';
  end if;
  return ('strict ' || v_path)::jsonpath;
end
$$;
comment on function pgstate._filter_path(jsonb) is 'Internal: a filter as a jsonpath, null when it lets everything pass. PS007.';

-- functions/search/_filter_scalars.sql
-- What a value contains (@>) if it fits a filter: the fields that are to be equal to a scalar. To ask for that first costs a
-- third of what the jsonpath does, which then has few values to look at. Null when there is nothing to ask for.
create function pgstate._filter_scalars(p_filter jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_object_agg(f.key, e.value)
      from jsonb_each(p_filter) f
      cross join lateral (select case when jsonb_typeof(f.value) = 'object' then f.value -> '$eq' else f.value end as value) e
     -- one name, as _path_steps() reads it
     where translate(f.key, E'$.[]\\', '') = f.key and jsonb_typeof(e.value) not in ('object', 'array'));
end
$$;
comment on function pgstate._filter_scalars(jsonb) is 'Internal: what all values that fit a filter contain.';

-- functions/search/_value_matches.sql
-- As _text_matches(), for keys of which nothing is indexed (yet): by their values. To take a value apart into words costs fifty
-- times what a filter does, so that comes first.
create function pgstate._value_matches(p_parts pgstate._search_part[], p_query text, p_regex text, p_path jsonpath)
returns table (key text, version bigint, rank real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    select e.key, e.version, ts_rank_cd(w.words, w.query)
      from unnest(p_parts) p
      cross join lateral (
        select x.* from pgstate.entry x
         where x.key >= p.low and x.key < p.high and x.live and (x.expires_at is null or x.expires_at > v_now) and (p_regex is null or x.key ~ p_regex)
        offset 0) e
      cross join lateral (
        select h.value
          from (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value offset 0) h
         where p_path is null or h.value @@ p_path
        offset 0) f
      left join lateral (select r.* from pgstate._rule_of(e.key) r where p.ruled) r on true
      cross join lateral (
        select pgstate._words(coalesce(r.config, 'english'), coalesce(r.fields, array['$']), f.value) as words,
               websearch_to_tsquery(pgstate._config(coalesce(r.config, 'english')), p_query) as query offset 0) w
     where p.how = 'fly' and w.words @@ w.query;
end
$$;
comment on function pgstate._value_matches(pgstate._search_part[], text, text, jsonpath) is 'Internal: keys whose values match a query and fit a filter.';

-- functions/search/_found_listed.sql
-- Without a query: entries that fit a filter, in key order, as list(), or those first that were written last.
create function pgstate._found_listed(p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_scalars jsonb, p_limit int, p_after text, p_offset int, p_newest boolean)
returns setof pgstate.found
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  if p_after is not null then
    if not pgstate._key_ok(p_after) then
      perform pgstate._bad_key(p_after);
    end if;
    p_ranges := p_ranges * multirange(pgstate._range(p_after || chr(1), chr(127)));
  end if;
  if p_newest then
    return query
      select e.key, v.value, e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, null::float8, null::real, null::float8, null::text
        from pgstate._newest(p_ranges, p_regex, p_path, p_scalars, p_limit, p_offset) f
        -- not as a join: of a table that is small the planner goes through all of it, for a thousand rows that it expects
        cross join lateral (select x.* from pgstate.entry x where x.key = f.key and x.live offset 0) e
        cross join lateral (
          select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value) v
       order by f.place;
    return;
  end if;
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, v.value, e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at,
               null::float8, null::real, null::float8, e.key as after
          from pgstate.entry e
          cross join lateral (
            select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value) v
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > v_now)
           and (p_regex is null or e.key ~ p_regex) and (p_scalars is null or v.value @> p_scalars) and (p_path is null or v.value @@ p_path)
         order by e.key limit p_limit + p_offset
      ) m
     limit p_limit offset p_offset;
end
$$;
comment on function pgstate._found_listed(pgstate.keymultirange, text, jsonpath, jsonb, int, text, int, boolean) is 'Internal: search() without a query.';

-- functions/search/_found_ranked.sql
-- By words, by vectors, or both. Ranks come first, entries are looked up from the best one down until the page is full. Both
-- together by reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009, with their k of 60): 1 / (60 + rank) by each
-- half that found it. Of the vectors the nearest 200 count; the others come last (their scores are one less), so that a page
-- needs no more of them than come before its end, and the order is the same whatever the page.
create function pgstate._found_ranked(
  p_mode text, p_parts pgstate._search_part[], p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_query text,
  p_index pgstate.vector_index, p_vector real[], p_limit int, p_after text[], p_offset int
) returns setof pgstate.found
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set extra_float_digits = 1 -- a page goes on behind a score as text
as $$
declare
  v_now timestamptz := pgstate._now();
  v_score float8 := p_after[1]::float8;
  v_seen bigint := coalesce(p_after[2]::bigint, 0);
  v_key text := p_after[3];
begin
  return query
    with worded as (
      select w.key, w.version, w.rank from pgstate._text_matches(p_parts, p_query) w where p_mode <> 'vector'
      union all
      select w.key, w.version, w.rank from pgstate._value_matches(p_parts, p_query, p_regex, p_path) w where p_mode <> 'vector'
    ), near as (
      select n.key, n.distance from pgstate._nearest(p_index, p_ranges, p_regex, p_path, p_vector, (v_seen + p_offset + p_limit + case p_mode when 'hybrid' then 200 else 0 end)::int, p_mode <> 'vector' or p_after is not null,
                                                       case p_mode when 'vector' then v_score end, v_key, v_seen::int) n
       where p_mode <> 'text' and n.distance is not null
    ), ranked as (
      select w.key, w.version, w.rank::float8 as score, w.rank, null::float8 as distance from worded w where p_mode = 'text'
      union all
      select n.key, null, case p_index.distance when 'cosine' then 1 - n.distance else - n.distance end, null, n.distance from near n where p_mode = 'vector'
      union all
      select coalesce(w.key, n.key), w.version,
             case when n.place <= 200 or n.key is null or w.key is not null
                  then coalesce(1.0 / (60 + w.place), 0) + case when n.place <= 200 then 1.0 / (60 + n.place) else 0 end
                  else 1.0 / (60 + n.place) - 1 end::float8, w.rank, n.distance
        -- what is filtered out takes no rank
        from (select w.*, row_number() over (order by w.rank desc, w.key) as place
                from worded w
               where p_mode = 'hybrid' and (p_regex is null or w.key ~ p_regex) and (p_path is null or exists (
                 select from pgstate.entry e
                  where e.key = w.key and e.version = w.version
                    and case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end @@ p_path))) w
        full join (
          select n.*, row_number() over (order by n.distance, n.key) as place
            from near n
           where p_mode = 'hybrid' and (p_path is null or exists (
             select from pgstate.entry e
              where e.key = n.key
                and case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end @@ p_path))) n
          on n.key = w.key
       where p_mode = 'hybrid'
    ), ordered as materialized (
      select r.* from ranked r
       where v_score is null or r.score < v_score or r.score = v_score and r.key > v_key
       order by r.score desc, r.key
    ), page as (
      select e.*, r.score, r.rank, r.distance
        from ordered r
        cross join lateral (
          select x.key, v.value, x.version, x.kind::text as kind, x.writer, x.via, x.created_at, x.updated_at, x.expires_at
            from pgstate.entry x
            cross join lateral (
              select case when x.full_version < x.version then pgstate._grown(x.key, x.value, x.full_version, x.version) else x.value end as value) v
           where x.key = r.key and x.value is not null and (x.expires_at is null or x.expires_at > v_now)
             and (r.version is null or x.version = r.version)
             and (p_regex is null or x.key ~ p_regex) and (p_path is null or v.value @@ p_path)
          offset 0) e
       limit p_limit offset p_offset
    )
    select p.key, p.value, p.version, p.kind, p.writer, p.via, p.created_at, p.updated_at, p.expires_at, p.score, p.rank, p.distance,
           format('%s %s %s', p.score, v_seen + p_offset + row_number() over (), p.key)
      from page p;
end
$$;
comment on function pgstate._found_ranked(text, pgstate._search_part[], pgstate.keymultirange, text, jsonpath, text, pgstate.vector_index, real[], int, text[], int) is
  'Internal: search() by words, vectors, or both.';

-- functions/search/matches.sql
-- Of the caller's, and no more than an expression in which each argument stands once: the planner puts that in the place of
-- the call, and makes the path of a filter that does not change once instead of for each row, which was all of the cost.
create function pgstate.matches(value jsonb, filter jsonb) returns boolean
language sql immutable
as $$
  select coalesce(matches.value operator(pg_catalog.@@) coalesce(pgstate._filter_path(matches.filter), '1 == 1'::pg_catalog.jsonpath), false)
$$;
comment on function pgstate.matches(jsonb, jsonb) is
  'Does a value fit a filter, as search() has them? {"status": "open", "author.name": "ana", "tries": {"$gt": 3, "$lte": 9}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": false}}]}. Fields are paths: names joined by dots, [0] or [*] (any element) behind; \. is a dot within a name, $ the value itself. A field is equal to a value or fits operators: $eq $ne $gt $gte $lt $lte $in $nin $exists $contains (as @>) $not; filters combine by $and $or $not. Values of different types are never equal, less or greater, what is not there neither; $ne, $nin and $not are the opposites. Numbers compare as numbers, strings by code point. An object without operators asks for the fields it has. PS007.';

-- functions/search/search.sql
create function pgstate.search(
  pattern text default '', query text default null, filter jsonb default null, "limit" int default 10, after text default null,
  mode text default null, vector real[] default null, vectors text default null, model text default null, agent text default null,
  "offset" int default 0, "order" text default null
) returns setof pgstate.found
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(search.agent);
  v_query text := nullif(btrim(search.query), '');
  v_path jsonpath := pgstate._filter_path(search.filter);
  v_mode text := search.mode;
  v_index pgstate.vector_index;
  v_ranges pgstate.keymultirange;
  v_parts pgstate._search_part[] := '{}';
  v_after text[];
begin
  perform pgstate._check_pattern(search.pattern);
  if search."limit" is null or search."limit" not between 1 and 10000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 10000';
  elsif search."offset" is null or search."offset" not between 0 and 1000000 then
    raise exception using errcode = 'PS007', message = 'offset is 0 to 1000000';
  elsif (search."order" is null or search."order" = 'newest' and v_query is null and search.vector is null and search.after is null) is not true then
    raise exception using errcode = 'PS007', message = 'order is newest or null; nothing else may give one, and pages go on by offset';
  elsif octet_length(v_query) > 8192 then
    raise exception using errcode = 'PS007', message = 'a query has 8 kB at most';
  end if;
  -- a line of dashes, or of a table, is no word that must not occur; and of so many the server's parser makes an internal error
  v_query := regexp_replace(v_query, E'(?<![^\\s!&|()"])-(?:[\\s!&|()]*-){2,}', ' ', 'g');
  v_actor.reads := v_actor.reads + '{}';
  v_ranges := pgstate._pattern_ranges(search.pattern) * v_actor.reads;
  if isempty(v_ranges) and search.pattern <> '' then
    perform pgstate._deny();
  end if;
  if search.vector is not null then
    v_index := pgstate._vectors_for(v_ranges, search.vectors, search.model);
    if v_index.id is not null then
      perform pgstate._checked_vector(v_index, search.model, search.vector);
    end if;
  end if;
  if v_mode is null and v_query is not null then
    v_mode := case when v_index.id is not null then 'hybrid' else 'text' end;
  elsif v_mode is null and search.vector is not null then
    v_mode := 'vector';
  elsif (v_mode is null or v_mode in ('text', 'vector', 'hybrid')) is not true or v_mode in ('text', 'hybrid') and v_query is null
        or v_mode in ('vector', 'hybrid') and search.vector is null then
    raise exception using errcode = 'PS007', message = 'mode is text (with a query), vector (with a vector), hybrid (with both) or null',
      hint = 'In Python connect(embed=…) makes vectors of queries.';
  end if;
  if v_mode in ('vector', 'hybrid') and v_index.id is null then
    raise exception using errcode = 'PS007', message = 'there are no vectors where the pattern reaches',
      hint = 'set_search(subtree, vectors => name) has entries embedded; create_vectors(name, dims, model) makes the index.';
  elsif v_mode is null then
    return query select f.* from pgstate._found_listed(v_ranges, pgstate._pattern_regex(search.pattern), v_path, pgstate._filter_scalars(search.filter), search."limit", search.after,
                                                   search."offset", search."order" is not null) f;
    return;
  end if;
  if search.after is not null then
    v_after := regexp_match(search.after, E'^(-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?) ([0-9]{1,9}) ([!-~]+)$');
    if v_after is null or not pgstate._key_ok(v_after[3]) then
      raise exception using errcode = 'PS007', message = 'after is what the last row of the page before has in its column after';
    end if;
  end if;
  if v_mode <> 'vector' then
    v_parts := array(select p from pgstate._search_plan(v_ranges, v_actor.reads) p);
  end if;
  return query
    select f.* from pgstate._found_ranked(v_mode, v_parts, v_ranges, pgstate._pattern_regex(search.pattern), v_path, v_query, v_index,
                                          search.vector, search."limit", v_after, search."offset") f;
end
$$;
comment on function pgstate.search(text, text, jsonb, int, text, text, real[], text, text, text, int, text) is
  'Entries that match a pattern and that the caller may read, by a query as people type it (words, "a phrase", or, -not), by a vector, or both; without either those that fit the filter, in key order. filter: see matches(). limit 1 to 10000; after: the column of that name in the last row of the page before; offset: how many to pass over. order newest: by the time of the last write instead of the key. mode: text (ts_rank_cd), vector (distance; score is 1 - distance for cosine, else its opposite), hybrid (reciprocal rank fusion: the sum of 1 / (60 + rank)); unless given, what the arguments allow. vectors names the vector index where the pattern reaches several, model the model that the vector is of. Works anywhere; set_search() makes it fast, and finds vectors. PS002 PS007 PS010 PS050.';

-- functions/search/set_search.sql
create function pgstate.set_search(
  subtree text, fields text[] default array['$'], config text default 'english', vectors text default null,
  vector_fields text[] default null, agent text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if set_search.fields is null or set_search.config is null then
    raise exception using errcode = 'PS007', message = 'fields and config are given, or left out';
  end if;
  perform pgstate._set_search(pgstate._enter(set_search.agent), set_search.subtree, set_search.fields, set_search.config, set_search.vectors,
                              coalesce(set_search.vector_fields, case when set_search.vectors is not null then array['$'] end));
end
$$;
comment on function pgstate.set_search(text, text[], text, text, text[], text) is
  'Has what is written to a key, a subtree (research/**) or everything (**) indexed for search(); for each key the nearest subtree decides, and alone. fields: paths whose strings and numbers are searched ($ is all of the value, see matches() for paths). config: text search configuration. vectors: a vector index that entries are embedded for, by the application: a vector for each match of vector_fields (all of the value unless given); an empty array leaves it to the writers to give vectors, with write_embedded(). What is there already is indexed by maintain(), and found meanwhile, slower. Needs admin on all of the subtree, the first one admin on everything. 55P03 when the first one waits for a transaction that has written for 2 s. PS002 PS007 PS010 PS060.';

-- functions/search/drop_search.sql
create function pgstate.drop_search(subtree text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_search(pgstate._enter(drop_search.agent), drop_search.subtree);
end
$$;
comment on function pgstate.drop_search(text, text) is 'Takes away what set_search() set for a key or subtree; what is indexed there goes with the next maintain(). PS002 PS007 PS010.';

-- functions/search/searches.sql
create function pgstate.searches(agent text default null) returns setof pgstate.search_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._searches(pgstate._enter(searches.agent));
end
$$;
comment on function pgstate.searches(text) is 'What is indexed for search(), of what holds for keys within the caller''s grants. PS010.';

-- functions/search/create_vectors.sql
create function pgstate.create_vectors(
  name text, dims int, model text, distance text default 'cosine', method text default 'hnsw', type text default null,
  options jsonb default null, agent text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._create_vectors(pgstate._enter(create_vectors.agent), create_vectors.name, create_vectors.model, create_vectors.dims,
                                  create_vectors.distance, create_vectors.method, create_vectors.type, create_vectors.options);
end
$$;
comment on function pgstate.create_vectors(text, int, text, text, text, text, jsonb, text) is
  'Makes a vector index for set_search() to name. It holds vectors of one model (any name that tells models apart) and dims dimensions. distance: cosine, l2 or inner_product. method: hnsw (options m, ef_construction), ivfflat (lists; make it again when there are entries: reindex), or exact, without an index. type of the index: vector up to 2000 dimensions, halfvec up to 4000. Asked again with the same settings, restores the index that goes with the extension: while that is built from vectors that are there, writes of embedded entries wait. Needs pgvector and admin on everything. PS007 PS010 PS050.';

-- functions/search/drop_vectors.sql
create function pgstate.drop_vectors(name text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_vectors(pgstate._enter(drop_vectors.agent), drop_vectors.name);
end
$$;
comment on function pgstate.drop_vectors(text, text) is 'Removes a vector index that no set_search() names, with its vectors. Needs admin on everything. PS007 PS010.';

-- functions/search/vectors.sql
create function pgstate.vectors(agent text default null) returns setof pgstate.vectors_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(vectors.agent);
begin
  return query select * from pgstate._vectors();
end
$$;
comment on function pgstate.vectors(text) is 'The vector indexes of this installation. PS010.';

-- functions/search/unembedded.sql
create function pgstate.unembedded(pattern text default '', "limit" int default 100, after text default null, agent text default null) returns setof pgstate.unembedded_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(unembedded.agent);
  v_ranges pgstate.keymultirange;
begin
  if unembedded."limit" is null or unembedded."limit" not between 1 and 10000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 10000';
  end if;
  -- what the caller may not write it need not embed: its vectors would be refused
  v_ranges := pgstate._page_ranges(v_actor, unembedded.pattern, unembedded."limit", unembedded.after) * v_actor.writes;
  return query select u.* from pgstate._unembedded(v_ranges, pgstate._pattern_regex(unembedded.pattern), unembedded."limit") u;
end
$$;
comment on function pgstate.unembedded(text, int, text, text) is
  'Entries that match a pattern, that the caller may read and write and whose vectors are missing or were of an older text: search by words finds them, by vectors not. For each of texts a vector of that model goes to set_vectors(), with the digest. In key order, limit 1 to 10000, after: the last key of the page before. PS001 PS002 PS007 PS010.';

-- functions/search/set_vectors.sql
create function pgstate.set_vectors(keys text[], digests text[], chunks int[], "vectors" real[], model text, agent text default null)
returns setof pgstate.embedded
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(set_vectors.agent);
  v_count int := coalesce(cardinality(set_vectors.keys), 0);
begin
  if v_count = 0 then
    return;
  elsif v_count <> coalesce(cardinality(set_vectors.digests), 0) or v_count <> coalesce(cardinality(set_vectors.chunks), 0)
        or v_count <> coalesce(array_length(set_vectors."vectors", 1), 0) or array_ndims(set_vectors."vectors") <> 2
        or array_lower(set_vectors."vectors", 1) <> 1 or array_lower(set_vectors.keys, 1) <> 1 or array_ndims(set_vectors.keys) <> 1
        or set_vectors.model is null or array_position(set_vectors.keys, null) is not null then
    raise exception using errcode = 'PS007', message = 'keys, digests, chunks and vectors must be of equal length, and the model named';
  end if;
  return query
    select s.* from pgstate._set_vectors(v_actor, set_vectors.keys, set_vectors.digests, set_vectors.chunks, set_vectors."vectors", set_vectors.model) s;
end
$$;
comment on function pgstate.set_vectors(text[], text[], int[], real[], text, text) is
  'Stores vectors of entries as unembedded() listed them: a row of vectors for each text, chunk from 0, all texts of a key in one call. A row for each key: ok, stale (its text has changed meanwhile, or they are there already: nothing is stored), or denied. Needs read and write. PS007 PS010.';

-- functions/search/write_embedded.sql
-- write_many(), and the vectors of what it writes: both or neither, so that a search never finds a value by an older text.
create function pgstate.write_embedded(
  ops text[], keys text[], "values" jsonb[], expects bigint[] default null, ttls interval[] default null, owners int[] default null,
  "vectors" real[] default null, model text default null, lane uuid default null, turn bigint default null, wake boolean default true,
  lock_timeout text default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_one pgstate.outcome;
  v_out pgstate.outcome[];
  -- who may not read is told no version, and is denied below
  v_versions bigint[];
  v_puts boolean[];
  v_given boolean := coalesce(cardinality(write_embedded.owners), 0) > 0;
  v_before text := coalesce(current_setting('pgstate.vectors', true), '');
  v_done text;
begin
  if v_given then
    v_done := set_config('pgstate.vectors', 'follow', true);
  end if;
  if 1 = all (array[cardinality(write_embedded.ops), cardinality(write_embedded.keys), cardinality(write_embedded."values"),
                    coalesce(cardinality(write_embedded.expects), 1), coalesce(cardinality(write_embedded.ttls), 1),
                    array_lower(write_embedded.ops, 1), array_lower(write_embedded.keys, 1), array_lower(write_embedded."values", 1),
                    coalesce(array_lower(write_embedded.expects, 1), 1), coalesce(array_lower(write_embedded.ttls, 1), 1)]) then
    v_one := pgstate.write_one(write_embedded.ops[1], write_embedded.keys[1], write_embedded."values"[1], write_embedded.expects[1],
                               ttl => write_embedded.ttls[1], lane => write_embedded.lane, turn => write_embedded.turn,
                               wake => write_embedded.wake, lock_timeout => write_embedded.lock_timeout, agent => write_embedded.agent);
    v_versions := array[case when v_one.status = 'ok' then coalesce(v_one.version, 0) end];
    v_puts := array[write_embedded.ops[1] = 'put'];
    return next v_one;
  else
    v_out := array(
      select o from pgstate.write_many(write_embedded.ops, write_embedded.keys, write_embedded."values", write_embedded.expects, ttls => write_embedded.ttls,
                                       lane => write_embedded.lane, turn => write_embedded.turn, wake => write_embedded.wake,
                                       lock_timeout => write_embedded.lock_timeout, agent => write_embedded.agent) o order by o.ord);
    if v_given then
      v_versions := array(select case when o.status = 'ok' then coalesce(o.version, 0) end from unnest(v_out) o order by o.ord);
      v_puts := array(select o = 'put' from unnest(write_embedded.ops) with ordinality as u (o, ord) order by u.ord);
    end if;
    return query select o.* from unnest(v_out) o;
  end if;
  if v_given then
    v_done := set_config('pgstate.vectors', v_before, true);
    if array_ndims(write_embedded.owners) <> 1 or array_ndims(write_embedded."vectors") is distinct from 2 or array_lower(write_embedded."vectors", 1) <> 1
       or array_length(write_embedded."vectors", 1) <> cardinality(write_embedded.owners) or write_embedded.model is null
       or (1 <= all (write_embedded.owners) and cardinality(write_embedded.keys) >= all (write_embedded.owners)) is not true then
      raise exception using errcode = 'PS007', message = 'owners has for each row of vectors the place of its key, and the model is named';
    end if;
    perform pgstate._keep_vectors(
      pgstate._enter(write_embedded.agent), write_embedded.keys, v_versions, v_puts, write_embedded.owners, write_embedded."vectors", write_embedded.model);
  end if;
end
$$;
comment on function pgstate.write_embedded(text[], text[], jsonb[], bigint[], interval[], int[], real[], text, uuid, bigint, boolean, text, text) is
  'write_many() for entries whose vectors their writers give (set_search() with vector_fields => {}): vectors are rows of numbers, owners has for each the place of its key in keys. Needs read and write. A vector goes with the version that it came with. PS007 PS010, else as write_many().';

-- functions/policy/_reduce_by.sql
-- Any reducer, built in or registered, as _reduce(): null when the operand does not fit. The only SQL here that is put
-- together at run time, and only from the catalogue's names of a function that an administrator registered.
create function pgstate._reduce_by(p_reducer text, p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_oid oid;
  v_function text;
  v_strict boolean;
  v_new jsonb;
begin
  if pgstate._built_in(p_reducer) then
    return pgstate._reduce(p_reducer, p_current, p_operand);
  end if;
  v_oid := pgstate._own_reducer(p_reducer);
  select format('%I.%I', n.nspname, p.proname), p.proisstrict into v_function, v_strict
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = v_oid;
  if v_function is null then
    return null;
  elsif v_strict and p_current is null then
    -- as with the built-in ones: a missing key starts from the operand
    return p_operand;
  end if;
  begin
    execute 'select ' || v_function || '($1, $2)' into v_new using p_current, p_operand;
  exception when others then
    -- what it says may hold the value
    return null;
  end;
  return v_new;
end
$$;
comment on function pgstate._reduce_by(text, jsonb, jsonb) is 'Internal: applies a built-in or registered reducer.';

-- functions/policy/set_policy.sql
create function pgstate.set_policy(
  subtree text, reducer text default null, ttl interval default null, keep text default null, value_limit int default null,
  schema jsonb default null, agent text default null, max_attempts int default null, backoff interval default null,
  backoff_limit interval default null, dead_letter text default null, claimed_writes boolean default null,
  guard text default null, trust text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_policy(pgstate._enter(set_policy.agent), set_policy.subtree, set_policy.reducer, set_policy.ttl, set_policy.keep,
                              set_policy.value_limit, set_policy.schema, set_policy.max_attempts, set_policy.backoff,
                              set_policy.backoff_limit, set_policy.dead_letter, set_policy.claimed_writes, set_policy.guard,
                              set_policy.trust);
end
$$;
comment on function pgstate.set_policy(text, text, interval, text, int, jsonb, text, int, interval, interval, text, boolean, text, text) is
  'Rules for a key, a subtree (research/**) or everything (**): what is given is set, the rest stays as it is; for each key the nearest subtree that sets something decides it. reducer: default of merge(). ttl: of what is written without one, 0 for none. keep: history, as everything, 100 versions or an interval. value_limit: bytes, at most the installation''s. schema: JSON Schema that values written from now on must fit, of these keywords: type enum const properties required additionalProperties propertyNames items prefixItems minItems maxItems uniqueItems minProperties maxProperties minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf anyOf allOf oneOf not, $ref to #/$defs, and annotations. max_attempts: how often work is claimed in vain before it is given up, backoff and backoff_limit: the pause after its first failure, and the longest; dead_letter: the subtree (tasks/dead) that it is moved to then; claimed_writes: claimed entries may be written without the token. guard: what becomes of writes that hold a secret (keys of clouds and model providers, tokens, private keys, connection strings with passwords): refuse (which holds without a policy), redact, or off. trust: the most that what is written there is trusted, whoever writes it: external, agent, verified or operator. Needs admin on all of the subtree, and on that of dead_letter. PS002 PS005 PS007 PS010 PS060.';

-- functions/policy/drop_policy.sql
create function pgstate.drop_policy(subtree text, settings text[] default null, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_policy(pgstate._enter(drop_policy.agent), drop_policy.subtree, drop_policy.settings);
end
$$;
comment on function pgstate.drop_policy(text, text[], text) is 'Takes the policy on a key or subtree away, or only some of its settings (reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes); what a wider subtree sets holds then. Needs admin on all of the subtree. PS002 PS007 PS010.';

-- functions/policy/policies.sql
create function pgstate.policies(agent text default null) returns setof pgstate.policy_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._policies(pgstate._enter(policies.agent));
end
$$;
comment on function pgstate.policies(text) is 'The policies that hold for keys within the caller''s grants. PS010.';

-- functions/policy/explain_policy.sql
create function pgstate.explain_policy(key text, agent text default null) returns setof pgstate.policy_setting
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(explain_policy.agent, explain_policy.key);
begin
  if explain_policy.key is null or not pgstate._key_ok(explain_policy.key) then
    perform pgstate._bad_key(explain_policy.key);
  elsif not (v_actor.readable or v_actor.writable) then
    perform pgstate._deny();
  end if;
  return query select * from pgstate._explain_policy(v_actor, explain_policy.key);
end
$$;
comment on function pgstate.explain_policy(text, text) is 'What holds for a key, whether or not it exists: each setting, its value, and the subtree that it comes from (null when no policy sets it). Needs read or write on the key. PS001 PS010.';

-- functions/policy/register_reducer.sql
create function pgstate.register_reducer(name text, function regprocedure, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._register_reducer(pgstate._enter(register_reducer.agent), register_reducer.name, register_reducer.function);
end
$$;
comment on function pgstate.register_reducer(text, regprocedure, text) is 'Registers an immutable function (jsonb, jsonb) -> jsonb as a reducer that policies may name: it gets the current value (null for a missing key, unless STRICT: that starts from the operand) and the operand; null or an error means that the operand does not fit. It runs as pgstate_api and only as it was registered: register it again after replacing it. Needs admin on everything. PS007 PS010.';

-- functions/policy/drop_reducer.sql
create function pgstate.drop_reducer(name text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_reducer(pgstate._enter(drop_reducer.agent), drop_reducer.name);
end
$$;
comment on function pgstate.drop_reducer(text, text) is 'Forgets a registered reducer that no policy uses. Needs admin on everything. PS007 PS010.';

-- functions/policy/maintain.sql
create function pgstate.maintain("limit" int default 5000) returns pgstate.maintained
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_login();
  if maintain."limit" is null or maintain."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000';
  end if;
  return pgstate._maintain(pgstate._acting(), maintain."limit");
end
$$;
comment on function pgstate.maintain(int) is
  'Removes versions that no policy keeps, never the current one of a key and none that a cursor younger than install.cursor_window needs; and keys that were deleted, with all that was known of them, when their time has passed or one version is kept. Points of the feed become fewer with their age (pgstate.thinning). Looks at limit versions, 1 to 100000, for each age that policies name; and indexes for search what was there before set_search(), a tenth of limit keys. Every connected client calls it now and then, one at a time: status busy says that another is at it. more: call again. PS007 PS010.';

-- functions/audit/audit.sql
create function pgstate.audit(
  pattern text default '', events text[] default null, "limit" int default 100, before bigint default null, agent text default null
) returns setof pgstate.audit_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(audit.agent);
begin
  perform pgstate._check_pattern(audit.pattern);
  if audit."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query select * from pgstate._audit_rows(v_actor, audit.pattern, audit.events, audit."limit", audit.before);
end
$$;
comment on function pgstate.audit(text, text[], int, bigint, text) is
  'The audit trail, newest first: grants, revocations, administration, resolved secrets and denials that concern the keys and subtrees which match a pattern and which the caller administers; what concerns the installation is for those who administer everything. events: of these kinds only; limit 1 to 100000 (null: all); before: older than that id. A denial that was raised is here only if its client told of it (report_denial); of an agent denied more than 60 times a minute, an entry without a key says when that minute is over how many more they were (detail more). PS002 PS007 PS010.';

-- functions/audit/report_denial.sql
-- A denial that is raised rolls its transaction back, and so whatever it would have recorded. So clients tell of it
-- afterwards. Nobody can be made to; what is told is about the caller alone.
create function pgstate.report_denial(asked text, key text default null, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
begin
  perform pgstate._check_login();
  begin
    v_actor := pgstate._enter(report_denial.agent);
  exception when sqlstate 'PS010' then
    -- it named an agent that it may not act for, which is what was denied
    null;
  end;
  perform pgstate._audit_denied(v_actor, report_denial.key, jsonb_build_object(
    'asked', pgstate._audit_text(report_denial.asked, 200), 'told', 'client',
    'named', case when v_actor.id is null then pgstate._audit_text(split_part(report_denial.agent, '/', 1), 128) end));
end
$$;
comment on function pgstate.report_denial(text, text, text) is
  'Records in the audit trail that the caller was denied something: a denial that is raised undoes its transaction, and cannot record itself. The Python client does it. At most 60 a minute are kept, of the others how many they were. PS010 for a login that is not registered.';

-- functions/audit/set_audit.sql
create function pgstate.set_audit(keep interval, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_audit(pgstate._enter(set_audit.agent), set_audit.keep);
end
$$;
comment on function pgstate.set_audit(interval, text) is
  'How long entries of the audit trail are kept: a day at least, null for ever, which it is at first. maintain() removes older ones, and nobody can remove others. Needs admin on everything. PS007 PS010.';

-- functions/audit/set_audit_chain.sql
create function pgstate.set_audit_chain(subtree text, active boolean default true, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_audit_chain(pgstate._enter(set_audit_chain.agent), set_audit_chain.subtree, set_audit_chain.active);
end
$$;
comment on function pgstate.set_audit_chain(text, boolean, text) is
  'From now on entries of the audit trail that concern a key, a subtree or everything (**) are linked by hashes, each over the entry and the link before, so that verify_audit() finds what somebody with the owner''s rights changed or removed. maintain() links them, within seconds where a client is connected: what is changed before is not found. active false: no new ones are. Needs admin on all of it. PS002 PS007 PS010 PS060.';

-- functions/audit/verify_audit.sql
create function pgstate.verify_audit(subtree text, noted text default null, agent text default null) returns pgstate.audit_checked
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._verify_audit(pgstate._enter(verify_audit.agent), verify_audit.subtree, verify_audit.noted);
end
$$;
comment on function pgstate.verify_audit(text, text, text) is
  'Computes the chain of a subtree anew, from the entries of the audit trail: sound, or the first fault. Who can rewrite an entry can rewrite the chain after it, so note the head elsewhere: noted is an earlier one, which must still be in it. What waits for its link is linked before, but on a standby. Needs admin on all of it. PS002 PS007 PS010.';

-- functions/admin/agents.sql
create function pgstate.agents(agent text default null) returns setof pgstate.agent_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._agents(pgstate._enter(agents.agent));
end
$$;
comment on function pgstate.agents(text) is 'The registered agents; without admin on everything, only the caller itself. PS010.';

-- functions/admin/add_to_group.sql
create function pgstate.add_to_group(name text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_member(add_to_group.name, add_to_group.agent, true);
end
$$;
comment on function pgstate.add_to_group(text, text) is
  'Adds an agent to a group: what the group may and may not holds for it from then on. Not the administrator, and no other group. Needs admin on everything. PS007 PS010.';

-- functions/admin/create_group.sql
create function pgstate.create_group(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._add_group(create_group.name);
end
$$;
comment on function pgstate.create_group(text) is
  'Registers a group of agents. Rights are granted and denied to it as to an agent, by its name, and hold for each member; {agent} stands for the member. Needs admin on everything. PS007 PS010.';

-- functions/admin/drop_group.sql
create function pgstate.drop_group(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_group(drop_group.name);
end
$$;
comment on function pgstate.drop_group(text) is
  'Removes a group with what it was granted and denied; its members stay. Needs admin on everything. PS007 PS010.';

-- functions/admin/remove_from_group.sql
create function pgstate.remove_from_group(name text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_member(remove_from_group.name, remove_from_group.agent, false);
end
$$;
comment on function pgstate.remove_from_group(text, text) is
  'Removes an agent from a group; open watches lose at once what they had through it. Needs admin on everything. PS007 PS010.';

-- functions/admin/groups.sql
create function pgstate.groups(agent text default null) returns setof pgstate.group_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._groups(pgstate._enter(groups.agent));
end
$$;
comment on function pgstate.groups(text) is 'The groups of agents with their members; without admin on everything, the caller''s own, and of the members only itself. PS010.';

-- functions/admin/effective.sql
create function pgstate.effective(agent text default null) returns setof pgstate.effective_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- the login itself asks about others, as with all administration
  v_actor pgstate._actor := pgstate._enter(null);
begin
  return query select * from pgstate._effective(v_actor, coalesce(effective.agent, v_actor.name));
end
$$;
comment on function pgstate.effective(text) is
  'What an agent may and may not, its own grants and denials and those of its groups, and which of them are in force, denied, partly denied, or ended. About others than the caller: needs admin on everything. PS007 PS010.';

-- functions/admin/explain_access.sql
create function pgstate.explain_access(agent text, key text, "right" text) returns setof pgstate.access_reason
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._explain_access(pgstate._enter(null), explain_access.agent, explain_access.key, explain_access."right");
end
$$;
comment on function pgstate.explain_access(text, text, text) is
  'Why an agent has a right on a key, or not: the grants and denials that cover the key now, the one that decides first (any denial before all grants, then the nearest); without any, one row that says so. About others than the caller: needs admin on the key. PS001 PS007 PS010.';

-- functions/tickets/issue_ticket.sql
create function pgstate.issue_ticket(login text, agent text, ttl interval default '5 minutes') returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._issue_ticket(pgstate._enter(null), issue_ticket.login, issue_ticket.agent, issue_ticket.ttl);
end
$$;
comment on function pgstate.issue_ticket(text, text, interval) is
  'A signed ticket by which a gateway names an agent, in place of its name: agent => ticket. It is good for this login and agent, for a second to a day. For those who administer everything, and an agent about itself. Not through a gateway: who took that over could ask for ever newer ones. PS007 PS010.';

-- functions/tickets/require_tickets.sql
create function pgstate.require_tickets(login text, required boolean default true) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._require_tickets(pgstate._enter(null), require_tickets.login, require_tickets.required);
end
$$;
comment on function pgstate.require_tickets(text, boolean) is
  'From now on a gateway names agents by tickets (issue_ticket) alone, and a mere name is denied: SQL that is injected into it acts for nobody whose ticket it does not have. Needs admin on everything. PS007 PS010.';

-- functions/tickets/rotate_ticket_keys.sql
create function pgstate.rotate_ticket_keys(grace interval default '1 hour') returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rotate_ticket_keys(pgstate._enter(null), rotate_ticket_keys.grace);
end
$$;
comment on function pgstate.rotate_ticket_keys(interval) is 'Signs tickets with a new key, whose number it returns, from now on. Those that are about are taken for the time of grace yet, a day at most; 0 ends all of them at once. Needs admin on everything. PS007 PS010.';

-- functions/quota/set_quota.sql
create function pgstate.set_quota(agent text, entries bigint default null, bytes bigint default null, writes_per_minute int default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_quota(set_quota.agent, set_quota.entries, set_quota.bytes, set_quota.writes_per_minute);
end
$$;
comment on function pgstate.set_quota(text, bigint, bigint, int) is
  'How many entries an agent may keep (those whose newest version is its), how many bytes it may keep in their values and the vectors that it gives with them, and in checkpoints, pending writes, steps, signals, inputs and results of runs (those that it wrote since it has a quota, until they are collected), and how many times it may write in a minute of the clock (versions, which saves and steps make too, put_writes(), each op_id besides what is done under it, a new lane, and what the audit trail records of it other than denials, unless it administers everything); null for no limit, all null for no quota. Writes beyond it raise PS060 and write nothing; others are not held up, nor are its own. What several of its transactions write at the same time may come to more. Needs admin on everything. PS007 PS010.';

-- functions/trust/set_trust.sql
create function pgstate.set_trust(agent text, trust text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_trust(set_trust.agent, set_trust.trust);
end
$$;
comment on function pgstate.set_trust(text, text) is
  'The most that what an agent writes is trusted: external, agent (which holds until it is set), verified or operator. It holds for calls that begin afterwards; versions that there are keep theirs. Needs admin on everything. PS007 PS010.';

-- functions/trust/endorse.sql
create function pgstate.endorse(key text, version bigint, trust text, agent text default null) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(endorse.agent, null, null, endorse.key);
begin
  if endorse.key is null or not pgstate._key_ok(endorse.key) then
    perform pgstate._bad_key(endorse.key);
  end if;
  return pgstate._endorse(v_actor, endorse.key, endorse.version, endorse.trust);
end
$$;
comment on function pgstate.endorse(text, bigint, text, text) is
  'Raises the trust of what a key holds, up to the caller''s own and whatever the policies say: a new version with the same value, which tells who endorsed what. Status ok with its version, conflict when version is not the current one, held while it is claimed, or missing. Needs admin on the key. PS001 PS007 PS010 PS040.';

-- functions/quarantine/suspend_agent.sql
create function pgstate.suspend_agent(agent text) returns setof pgstate.open_transaction
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_done text[] := pgstate._suspend(v_actor, suspend_agent.agent);
begin
  return query select t.* from pgstate._open_transactions(pgstate._agent_id(suspend_agent.agent)) t;
end
$$;
comment on function pgstate.suspend_agent(text) is
  'Stops an agent: nobody acts as it, by its login, a gateway or a ticket, whatever it is granted meanwhile, until resume_agent(). Its claims are given back, its watches get nothing more. What it wrote stays: quarantine() is for that. The rows are transactions under way that have called us, of its login, of a gateway of its or of the login that installed, which may still commit: ask again until there are none, or end them (pg_terminate_backend). Needs admin on everything. PS007 PS010.';

-- functions/quarantine/resume_agent.sql
create function pgstate.resume_agent(agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._resume(pgstate._enter(null), resume_agent.agent);
end
$$;
comment on function pgstate.resume_agent(text) is
  'Lets a suspended agent act again, with the grants that it has by now. What quarantine() did stays. Needs admin on everything. PS007 PS010.';

-- functions/quarantine/quarantine.sql
-- In one transaction, in the order that an attack is answered in: nobody acts as the agent, its claims end, what it wrote is undone or
-- at least not trusted, and what remains to be looked at is named. What it keeps locked is told, and holds nothing of this up; nor does
-- how much it wrote: what is over the limit is left, and told. What was under way when this began is told even if it is over by the end,
-- since statements before may not have seen what it wrote.
create function pgstate.quarantine(
  agent text, since timestamptz default null, cursor text default null, rollback boolean default false, force boolean default false,
  dry_run boolean default false, after text default null, "limit" int default 100000
) returns setof pgstate.quarantined
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(null);
  v_id int;
  v_moment pgstate._moment;
  v_suspended_at timestamptz;
  v_claimed text[];
  v_open pgstate.open_transaction[];
  v_keys text[];
  v_versions bigint[];
  v_more text;
  v_ranges pgstate.keymultirange;
  v_rows pgstate.rolled_back[] := '{}';
  v_failed boolean := false;
  v_refused jsonb;
  v_spared text[] := '{}';
begin
  perform pgstate._check_admin(v_actor, '**');
  if num_nonnulls(quarantine.since, quarantine.cursor) <> 1 then
    raise exception using errcode = 'PS007', message = 'since when: give a time (since), or a cursor';
  elsif quarantine.rollback is null or quarantine.force is null or quarantine.dry_run is null then
    raise exception using errcode = 'PS007', message = 'rollback, force and dry_run are true or false';
  elsif quarantine.force and not quarantine.rollback then
    raise exception using errcode = 'PS007', message = 'force is for a rollback: it undoes what others wrote on top, too';
  elsif quarantine."limit" is null or quarantine."limit" not between 0 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 0 to 100000';
  end if;
  v_id := pgstate._agent_id(quarantine.agent);
  v_suspended_at := pgstate._suspended_at(quarantine.agent);
  -- a later part of one that was begun has no more to do here
  if quarantine.after is null or v_suspended_at is null then
    if quarantine.dry_run then
      v_claimed := pgstate._claimed_by(quarantine.agent);
    else
      v_claimed := pgstate._suspend(v_actor, quarantine.agent);
    end if;
    return next row('suspend', null, case when v_suspended_at is not null then 'there' when quarantine.dry_run then 'to do' else 'ok' end,
                    null, null, null, null, null, null)::pgstate.quarantined;
    return query select 'release', k, case when quarantine.dry_run then 'to do' else 'ok' end, null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                   from unnest(v_claimed) k order by k collate "C";
    return query select 'release', k, 'locked', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                   from unnest(pgstate._claimed_by(quarantine.agent)) k where not quarantine.dry_run order by k collate "C";
  end if;
  v_open := array(select t from pgstate._open_transactions(v_id) t);
  -- after the wait for locks
  v_moment := pgstate._moment(v_actor, quarantine.cursor, quarantine.since);

  if quarantine."limit" = 0 then
    v_more := coalesce(quarantine.after, '');
  else
    select array_agg(k.key order by k.key collate "C") filter (where not k.beyond), array_agg(k.version order by k.key collate "C") filter (where not k.beyond),
           case when bool_or(k.beyond) then max(k.key collate "C") filter (where not k.beyond) end
      into v_keys, v_versions, v_more
      from pgstate._keys_since(quarantine.agent, v_moment, coalesce(quarantine.after, ''), quarantine."limit") k;
  end if;

  if quarantine.rollback and v_keys is not null then
    v_actor.reads := v_actor.reads + '{}';
    v_actor.writes := v_actor.writes + '{}';
    v_ranges := (select range_agg(pgstate.keyrange(k, k, '[]')) from unnest(v_keys) k) * v_actor.reads;
    return query
      select 'undo', k, 'denied', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
        from unnest(v_keys) k where not v_actor.reads @> k order by k collate "C";
    begin
      v_rows := pgstate._undo(v_actor, null, v_ranges, null, null, v_moment, quarantine.agent, quarantine.force, quarantine.dry_run, false, true);
    exception
      when lock_not_available then
        v_refused := jsonb_build_object('status', 'locked');
      when sqlstate 'PS004' or sqlstate 'PS006' or sqlstate 'PS008' or sqlstate 'PS009' or sqlstate 'PS060' then
        -- what was there is not allowed by now
        v_refused := jsonb_build_object('status', 'refused', 'detail', jsonb_build_object('error', sqlerrm));
    end;
    if v_refused is not null then
      v_rows := array(
        select row(r.key, case when r.status = 'ok' then v_refused ->> 'status' else r.status end, r.action, null, r.from_version, r.to_version, r.old_value,
                   r.new_value, r.expires_at, null)::pgstate.rolled_back
          from unnest(pgstate._undo(v_actor, null, v_ranges, null, null, v_moment, quarantine.agent, quarantine.force, true, false, true)) r);
    end if;
    -- all or nothing: what is held, or locked, keeps the rest as it is
    v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied', 'locked', 'refused'));
    if quarantine.dry_run and not v_failed then
      -- what would be undone needs no more to be done about it
      v_spared := array(select r.key from unnest(v_rows) r where r.status = 'ok');
    end if;
    return query
      select r.action, r.key, case when not quarantine.dry_run or r.status <> 'ok' then r.status when v_failed then 'skipped' else 'to do' end,
             r.version, r.from_version, r.to_version, r.old_value, r.new_value, case r.status when 'refused' then v_refused -> 'detail' end
        from unnest(v_rows) r where r.action <> 'none';
  end if;

  return query
    select 'distrust', d.key, d.status, d.version, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_build_object('from', d.trust)
      from (select array_agg(u.key) as keys, array_agg(u.version) as versions
              from unnest(v_keys, v_versions) as u (key, version) left join unnest(v_spared) s (key) on s.key = u.key where s.key is null) w
     cross join lateral pgstate._distrust(v_actor, quarantine.agent, w.keys, w.versions, quarantine.dry_run) d;
  -- what is left is told once, with the last part
  if v_more is null then
    return query
      with written as materialized (
        select case when w.writer = quarantine.agent then w.kind else 'derived' end as action, w.key, max(w.version) as version, nullif(w.writer, quarantine.agent) as writer
          from pgstate._written_since(quarantine.agent, v_moment) w
         where w.writer <> quarantine.agent or w.kind <> 'value'
         group by w.writer, w.kind, w.key
      ), held as materialized (
        select 'thread' as action, t.key, t.pending_writes from pgstate._threads_since(quarantine.agent, v_moment) t
      )
      select action, key, 'left', w.version, null::bigint, null::bigint, null::jsonb, null::jsonb,
             jsonb_strip_nulls(jsonb_build_object('writer', w.writer, 'pending_writes', h.pending_writes))
        from written w full join held h using (action, key)
       order by key collate "C", action;
  end if;
  return query
    select 'open', null, 'left', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_strip_nulls(to_jsonb(t))
      from (select * from unnest(v_open) union select * from pgstate._open_transactions(v_id)) t;
  if v_more is not null then
    return next row('more', v_more, 'left', null, null, null, null, null, null)::pgstate.quarantined;
  end if;
  if quarantine.dry_run then
    return;
  end if;
  -- of this transaction, or of one that has ended after it began, which costs no more than asking again
  if coalesce(v_suspended_at >= pgstate._now() - (clock_timestamp() - transaction_timestamp()), true) or current_setting('transaction_isolation') <> 'read committed' then
    return next row('again', null, 'left', null, null, null, null, null, null)::pgstate.quarantined;
  end if;
  perform pgstate._audit(v_actor, 'quarantine', null, jsonb_build_object(
    'agent', quarantine.agent, 'since', coalesce(to_jsonb(quarantine.since), to_jsonb(quarantine.cursor)), 'rollback', quarantine.rollback,
    'undone', (select count(*) from unnest(v_rows) r where r.status = 'ok')));
end
$$;
comment on function pgstate.quarantine(text, timestamptz, text, boolean, boolean, boolean, text, int) is
  'Answers to an agent that has been taken over; call suspend_agent() before, in a transaction of its own, since what begins before a suspension is committed is not stopped by it. Suspends it if it is not, gives back its claims, and has what it wrote since a time or cursor, and what is still there of that, trusted as external (distrust), or with rollback undoes it (as rollback() with writer: entries that others wrote too are told as conflict and distrusted, unless force). It does so for the keys after after, in their order, at most limit of them (0 to 100000) and 64 MB of values: more says that there are others: call again, after => its key. A row for each thing done (ok), or with dry_run to be done (to do), and for what is left to whoever asks, with the last of them: derived, versions of others that name its writes as sources; thread and run, in which it recorded, and forks that hold checkpoints of its, or writes of tasks (pending_writes, how many). open: transactions of its, of a gateway of its or of the login that installed, that were under way, or are: end them, or wait, and ask again, which does the rest; again: the suspension is not committed yet, or the isolation is not READ COMMITTED, so what the agent did meanwhile was not seen: ask again in another transaction. held, locked: a claim or a transaction of somebody is in the way; refused: a rule of today does not take what was there (detail); denied: not the caller''s to read or write: of these keys nothing is rolled back. Needs admin on everything. PS007 PS010 PS020 PS021 PS022 PS023.';

-- functions/credentials/allow_credential.sql
create function pgstate.allow_credential(agent text, name text, purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._allow_credential(allow_credential.agent, allow_credential.name, allow_credential.purpose, true);
end
$$;
comment on function pgstate.allow_credential(text, text, text) is
  'Lets an agent have $CRED{name} resolved for a purpose; * is any. Needs admin on everything. PS007 PS010.';

-- functions/credentials/disallow_credential.sql
create function pgstate.disallow_credential(agent text, name text, purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._allow_credential(disallow_credential.agent, disallow_credential.name, disallow_credential.purpose, false);
end
$$;
comment on function pgstate.disallow_credential(text, text, text) is
  'Takes back exactly what allow_credential() gave. Needs admin on everything. PS007 PS010.';

-- functions/credentials/credentials.sql
create function pgstate.credentials(agent text default null) returns setof pgstate.credential_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._credentials(pgstate._enter(credentials.agent));
end
$$;
comment on function pgstate.credentials(text) is
  'The credentials that agents may have resolved, and for what; without admin on everything, only the caller''s own. PS010.';

-- functions/credentials/use_credential.sql
-- The check before a resolver is asked; the database never has the credential. What is denied is the same for a name that
-- nobody was allowed.
create function pgstate.use_credential(name text, purpose text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._use_credential(pgstate._enter(use_credential.agent), use_credential.name, use_credential.purpose);
end
$$;
comment on function pgstate.use_credential(text, text, text) is
  'May the acting agent have $CRED{name} resolved for this purpose? Recorded in the audit trail. PS010.';

-- functions/quota/quotas.sql
create function pgstate.quotas(agent text default null) returns setof pgstate.quota_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._quotas(pgstate._enter(quotas.agent));
end
$$;
comment on function pgstate.quotas(text) is 'The quotas of agents and what they have used, at most: what others overwrote or removed is taken off before anything is refused. Without admin on everything, only the caller''s own. PS010.';

-- functions/admin/deny_access.sql
create function pgstate.deny_access(agent text, subtree text, "right" text, ttl interval default null, until timestamptz default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(deny_access.agent, deny_access.subtree, deny_access."right", true, true, deny_access.ttl, deny_access.until);
end
$$;
comment on function pgstate.deny_access(text, text, text, interval, timestamptz) is
  'Denies an agent, or each member of a group, read, write or admin on a key or subtree, whatever is granted there, to it or to a group: denials win. Each right is denied by itself, and who keeps admin there could take a denial back. ttl or until: when it ends by itself. Not for the administrator. revoke_access(..., deny => true) takes it back. The caller needs admin on all of it, and on everything to deny admin. PS002 PS007 PS010 PS060.';

-- functions/admin/delegate.sql
create function pgstate.delegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(delegate.login, delegate.agent, true);
end
$$;
comment on function pgstate.delegate(text, text) is 'Lets a gateway act for an agent. Needs admin on everything. 55P03, which names them, while open transactions have changed what the agent may. PS007 PS010.';

-- functions/admin/drop_agent.sql
create function pgstate.drop_agent(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_agent(drop_agent.name);
end
$$;
comment on function pgstate.drop_agent(text) is
  'Removes an agent with its grants, delegations, login and watches, and gives its claims back. What it wrote stays, memory/{agent}/** too, and the history keeps its name, which create_agent() then refuses unless told reuse => true. The database role of its login stays: DROP ROLE removes that. Asked again, it gives back what a transaction had locked or claimed that was under way. The administrator cannot be dropped. Needs admin on everything. PS007 PS010.';

-- functions/admin/drop_gateway.sql
create function pgstate.drop_gateway(login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_gateway(drop_gateway.login);
end
$$;
comment on function pgstate.drop_gateway(text) is
  'Removes a gateway and its delegations. The agents stay, with the claims that they took through it. The database role stays: DROP ROLE removes that. Needs admin on everything. 55P03, which names them, while open transactions have changed what its agents may. PS007 PS010.';

-- functions/admin/grant_access.sql
create function pgstate.grant_access(agent text, subtree text, "right" text, ttl interval default null, until timestamptz default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(grant_access.agent, grant_access.subtree, grant_access."right", true, false, grant_access.ttl, grant_access.until);
end
$$;
comment on function pgstate.grant_access(text, text, text, interval, timestamptz) is
  'Grants an agent, or each member of a group, read, write or admin on a key, a subtree (research/**) or everything (**); {agent} as a segment stands for the agent''s name. ttl or until: when it ends by itself; granted again, it ends as is said then. The caller needs admin on all of it. PS002 PS007 PS010 PS060.';

-- functions/admin/grants.sql
create function pgstate.grants(agent text default null) returns setof pgstate.grant_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._grants(pgstate._enter(grants.agent));
end
$$;
comment on function pgstate.grants(text) is 'All grants; without admin on everything, only the caller''s own. PS010.';

-- functions/admin/revoke_access.sql
create function pgstate.revoke_access(agent text, subtree text, "right" text, deny boolean default false) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(revoke_access.agent, revoke_access.subtree, revoke_access."right", false, revoke_access.deny);
end
$$;
comment on function pgstate.revoke_access(text, text, text, boolean) is 'Takes a grant back, or with deny a denial, exactly as it was given; open watches lose what was granted at once. PS002 PS007 PS010.';

-- functions/admin/undelegate.sql
create function pgstate.undelegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(undelegate.login, undelegate.agent, false);
end
$$;
comment on function pgstate.undelegate(text, text) is 'Ends a delegation. 55P03, which names them, while open transactions have changed what the agent may. PS007 PS010.';

-- functions/threads/_thread_lock.sql
-- Start of every change of a thread or run: may the caller, and is there one? Locks its entry, before all else that
-- belongs to it. A status says that it may not be changed: missing, held or stale. p_create: one that is absent is locked by
-- a tombstone, and comes back with live false. p_claims false: who holds it is for the caller to look at.
create function pgstate._thread_lock(p_actor pgstate._actor, p_key text, p_token bigint, p_create boolean, p_kind pgstate.entry_kind default 'thread', p_claims boolean default true)
returns pgstate._thread_head
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_entry record;
  v_head pgstate._thread_head;
  v_claim record;
  v_trust pgstate.trust;
  v_rule text;
begin
  for v_try in 1 .. 3 loop
    if (p_actor.readable and p_actor.writable) is true then
      select e.version, e.value, e.kind, e.expires_at into v_entry from pgstate.entry e where e.key = p_key for no key update;
      exit when v_entry.version is not null;
    end if;
    -- one that is there is in order
    if p_key is null or not pgstate._key_ok(p_key) then
      perform pgstate._bad_key(p_key);
    elsif (p_actor.readable and p_actor.writable) is not true then
      perform pgstate._deny();
    end if;
    exit when not p_create;
    v_rule := pgstate._secret_in(p_actor, p_key, p_key);
    if v_rule is not null then
      perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || v_rule);
    end if;
    insert into pgstate.entry (key, parent, version, live, writer, via, created_at, updated_at)
    values (p_key, left(p_key, -strpos(reverse(p_key), '/')), 0, false, p_actor.name, session_user, pgstate._now(), pgstate._now())
        on conflict on constraint entry_pkey do nothing;
  end loop;
  v_head.at := pgstate._now();
  v_head.version := v_entry.version;
  v_head.live := v_entry.value is not null;
  if v_head.live and v_entry.expires_at <= v_head.at then
    -- what stood here has expired: history says so first
    update pgstate.entry e
       set version = e.version + 1, live = false, value = null, writer = 'pgstate', via = session_user, updated_at = v_head.at,
           expires_at = null, full_version = null
     where e.key = p_key returning e.version, e.trust into v_head.version, v_trust;
    insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
    values (p_key, v_head.version, p_actor.epoch, 'expire', 'pgstate', session_user, v_head.at, v_trust);
    delete from pgstate.claim c where c.key = p_key;
    perform pgstate._detach_threads(array[p_key]);
    v_head.live := false;
  end if;
  if not v_head.live then
    if not p_create then
      v_head.status := 'missing';
    elsif v_head.version = 0 then
      -- see _insert_entries()
      v_head.version := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
    end if;
    if p_token is not null then
      v_head.status := 'stale';
    end if;
    return v_head;
  elsif v_entry.kind <> p_kind then
    perform pgstate._raise('PS040', p_key);
  end if;
  v_head.value := v_entry.value;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(array[p_key]);
  end if;
  if not p_claims then
    return v_head;
  end if;
  -- in a statement of its own: see _put_existing()
  select c.token, c.holder_id into v_claim from pgstate.claim c where c.key = p_key and c.lease_until > v_head.at;
  if p_token is not null then
    if (v_claim.token = p_token and v_claim.holder_id = p_actor.id) is not true then
      v_head.status := 'stale';
    end if;
  elsif v_claim.token is not null and not (p_actor.policies and pgstate._claimed_writes(p_key)) then
    v_head.status := 'held';
  end if;
  return v_head;
end
$$;
comment on function pgstate._thread_lock(pgstate._actor, text, bigint, boolean, pgstate.entry_kind, boolean) is 'Internal: locks the entry of a thread or run for a change.';

-- functions/threads/_thread_write.sql
-- End of every change of a thread or run: its entry says what it is now, in a new version, which it returns. A time to live begins
-- anew with each change: the one given, else its own, else the policy's.
create function pgstate._thread_write(p_actor pgstate._actor, p_key text, p_head pgstate._thread_head, p_value jsonb, p_ttl interval, p_kind pgstate.entry_kind default 'thread')
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_value jsonb := p_value;
  v_ttl interval := p_ttl;
  v_trust pgstate.trust := p_actor.trust;
  v_rules pgstate._policy;
begin
  if v_ttl is not null then
    if not pgstate._span_or_0(v_ttl) then
      perform pgstate._raise('PS007', p_key);
    end if;
    -- 0 too, or the next change would go by the policy
    v_value := v_value || jsonb_build_object('ttl', extract(epoch from v_ttl));
  elsif p_head.value ? 'ttl' then
    v_ttl := make_interval(secs => (p_head.value ->> 'ttl')::float8);
    v_value := v_value || jsonb_build_object('ttl', p_head.value -> 'ttl');
  end if;
  if p_actor.policies then
    v_rules := pgstate._policy_of(p_key);
    v_trust := least(v_trust, v_rules.trust);
    v_ttl := coalesce(v_ttl, v_rules.ttl);
  end if;
  with changed as (
    update pgstate.entry e
       set kind = p_kind, version = p_head.version + 1, live = true, value = v_value, writer = p_actor.name, via = session_user,
           created_at = case when p_head.live then e.created_at else p_head.at end, updated_at = p_head.at,
           expires_at = p_head.at + nullif(v_ttl, interval '0'), priority = case when p_head.live then e.priority else 0 end,
           not_before = case when p_head.live then e.not_before end, full_version = null, trust = v_trust
     where e.key = p_key
    returning e.version, e.expires_at
  )
  insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
  select p_key, c.version, p_actor.epoch, 'put', not p_head.live, v_value, p_actor.name, session_user, p_head.at, c.expires_at, v_trust from changed c;
  if not found then
    -- the right was taken while the lock was waited for, and what goes with the entry must not be changed without it
    perform pgstate._deny();
  end if;
  return p_head.version + 1;
end
$$;
comment on function pgstate._thread_write(pgstate._actor, text, pgstate._thread_head, jsonb, interval, pgstate.entry_kind) is 'Internal: writes the entry of a thread or run.';

-- functions/threads/_save_error.sql
-- The text of a refused save, the same for a single one that raises it and a set-based one that returns it.
create function pgstate._save_error(p_code text, p_key text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_code
    when 'PS004' then format('the checkpoint of %s is larger than %s MB, the most that one may have: keep large parts elsewhere, and in it where they are', p_key, pgstate._checkpoint_limit() >> 20)
    when 'PS007' then 'an id has 1 to 256 bytes and is to be given, above the latest, where those of the namespace are the callers'' own; a namespace and the name of a run have at most 1900, a ttl is positive and at most 100 years, or 0'
    else pgstate._error_text(p_code, p_key)
  end;
end
$$;
comment on function pgstate._save_error(text, text) is 'Internal: why a checkpoint was refused and what to do, by SQLSTATE.';

-- functions/threads/save_checkpoint.sql
-- A save is one statement: the new chunks, the checkpoint, the thread's entry, its version in the feed. lane, turn, wake
-- and lock_timeout as in write_one().
create function pgstate.save_checkpoint(
  key text, names text[], types text[], data bytea[], versions text[] default null, chunk_types text[] default null,
  chunk_data bytea[] default null, metadata jsonb default null, id text default null, parent text default null, ns text default '',
  header bytea default null, whole boolean default true, expect_head text default null, guard text[] default null,
  ttl interval default null, run_id text default null, token bigint default null, lane uuid default null, turn bigint default null,
  wake boolean default true, lock_timeout text default null, may_begin boolean default true, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(save_checkpoint.agent, save_checkpoint.lane, save_checkpoint.turn, save_checkpoint.key);
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_out pgstate.saved;
  v_count int := cardinality(save_checkpoint.names);
  v_wake text;
  v_fit boolean;
  v_plain boolean;
  v_guarded record;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_actor.kept is not null then
    return row('ok', v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint, v_actor.kept ->> 2, null, true)::pgstate.saved;
  end if;
  -- what is unusual is told apart in few expressions, here and below: each is initialised anew in every transaction
  v_fit := v_count = all (array[cardinality(save_checkpoint.types), cardinality(save_checkpoint.data), coalesce(cardinality(save_checkpoint.versions), v_count)])
    and array_position(save_checkpoint.names, null) is null;
  if v_fit and (save_checkpoint.chunk_types is not null or save_checkpoint.chunk_data is not null) then
    v_fit := cardinality(save_checkpoint.chunk_types) is not distinct from cardinality(save_checkpoint.chunk_data)
      and array_position(save_checkpoint.chunk_types, null) is null and array_position(save_checkpoint.chunk_data, null) is null;
  end if;
  if (octet_length(concat(save_checkpoint.id, save_checkpoint.parent, save_checkpoint.ns, save_checkpoint.run_id)) <= 256 and save_checkpoint.id <> ''
      and save_checkpoint.ns is not null) is not true then
    if (octet_length(save_checkpoint.ns) <= 1900 and coalesce(octet_length(save_checkpoint.id), 1) between 1 and 256
        and coalesce(octet_length(save_checkpoint.parent), 0) <= 256 and coalesce(octet_length(save_checkpoint.run_id), 0) <= 1900) is not true then
      raise exception using errcode = 'PS007', message = 'an id has 1 to 256 bytes, a namespace and the name of a run at most 1900';
    end if;
  end if;
  if v_fit is not true then
    raise exception using errcode = 'PS007', message = 'names, types, data and versions must be of equal length, and so must chunk_types and chunk_data';
  end if;
  if save_checkpoint.lock_timeout is not null then
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', save_checkpoint.lock_timeout, true);
  end if;
  if (v_actor.readable and v_actor.writable
      and pgstate._suspect_parts(
        save_checkpoint.names, save_checkpoint.types || save_checkpoint.chunk_types, save_checkpoint.data || save_checkpoint.chunk_data, save_checkpoint.metadata,
        concat_ws(' ', save_checkpoint.id, save_checkpoint.ns, save_checkpoint.run_id, array_to_string(save_checkpoint.versions, ' ')))) is true then
    v_guarded := pgstate._guarded_parts(
      v_actor, save_checkpoint.key, save_checkpoint.names, save_checkpoint.types, save_checkpoint.data, save_checkpoint.metadata, save_checkpoint.chunk_types,
      save_checkpoint.chunk_data,
      concat_ws(' ', save_checkpoint.id, save_checkpoint.ns, save_checkpoint.run_id, array_to_string(save_checkpoint.versions, ' ')));
    if v_guarded.rule is not null then
      perform pgstate._raise('PS009', save_checkpoint.key, pgstate._error_text('PS009', save_checkpoint.key) || ': ' || v_guarded.rule);
    end if;
    save_checkpoint.data := v_guarded.data;
    save_checkpoint.metadata := v_guarded.metadata;
  end if;
  -- the entry is locked with the rest, unless it must be made or looked at more closely
  v_plain := v_actor.readable and v_actor.writable and current_setting('transaction_isolation') = 'read committed';
  loop
    if v_plain is not true then
      v_head := pgstate._thread_lock(v_actor, save_checkpoint.key, save_checkpoint.token, coalesce(save_checkpoint.parent, '') = '' and coalesce(save_checkpoint.may_begin, true), p_claims => false);
      exit when v_head.status is not null;
    end if;
    v_stored := pgstate._store_checkpoint(
      v_actor, save_checkpoint.key, v_head.at, save_checkpoint.token, save_checkpoint.ns, save_checkpoint.id, save_checkpoint.parent,
      save_checkpoint.names, save_checkpoint.versions, save_checkpoint.types, save_checkpoint.data, save_checkpoint.chunk_types,
      save_checkpoint.chunk_data, save_checkpoint.header, coalesce(save_checkpoint.whole, true), save_checkpoint.metadata,
      save_checkpoint.run_id, save_checkpoint.expect_head, save_checkpoint.guard);
    exit when v_stored.status is distinct from 'unlocked';
    v_plain := false;
  end loop;
  if v_plain then
    v_head := row(null, v_stored.version, v_stored.value, true, v_stored.at)::pgstate._thread_head;
  end if;
  v_out := row(coalesce(v_head.status, v_stored.status, 'ok'), v_stored.id, null, v_stored.head, v_stored.missing, null)::pgstate.saved;
  if v_out.status = 'ok' and v_stored.added is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    v_done := set_config('pgstate.wake', case when save_checkpoint.wake then v_wake else 'off' end, true);
    if v_plain and save_checkpoint.ttl is null and not v_head.value ? 'ttl' and not (v_actor.policies and pgstate._has_rules(array[save_checkpoint.key])) then
      -- as _thread_write() does where nothing is said of times; the policies bind what was locked by the owner
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, writer = v_actor.name, via = session_user, updated_at = v_head.at, full_version = null, trust = v_actor.trust,
               value = jsonb_build_object(
                 'checkpoint', v_out.id, 'ns', save_checkpoint.ns,
                 'checkpoints', coalesce((e.value -> 'checkpoints')::bigint, 0) + v_stored.added,
                 'bytes', coalesce((e.value -> 'bytes')::bigint, 0) + v_stored.bytes)
         where e.key = save_checkpoint.key
        returning e.version, e.value, e.via
      )
      insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, trust)
      select save_checkpoint.key, c.version, v_actor.epoch, 'put', false, c.value, v_actor.name, c.via, v_head.at, v_actor.trust from changed c;
      if not found then
        perform pgstate._deny();
      end if;
      v_out.version := v_head.version + 1;
    else
      v_out.version := pgstate._thread_write(v_actor, save_checkpoint.key, v_head, jsonb_build_object(
        'checkpoint', v_out.id, 'ns', save_checkpoint.ns,
        'checkpoints', coalesce((v_head.value -> 'checkpoints')::bigint, 0) + v_stored.added,
        'bytes', coalesce((v_head.value -> 'bytes')::bigint, 0) + v_stored.bytes), save_checkpoint.ttl);
    end if;
    if save_checkpoint.lane is not null or (v_stored.watching and save_checkpoint.wake is not true) then
      v_out.watched := pgstate._finish(save_checkpoint.lane, save_checkpoint.turn, jsonb_build_array(v_out.id, v_out.version, v_out.head),
                                       case when v_stored.watching and save_checkpoint.wake is not true then array[save_checkpoint.key] end,
                                       save_checkpoint.wake is null, v_head.at);
    end if;
    v_done := set_config('pgstate.wake', v_wake, true);
  elsif v_out.status = 'ok' then
    v_out.version := v_head.version;
  elsif v_out.status = 'large' then
    perform pgstate._raise('PS004', save_checkpoint.key, pgstate._save_error('PS004', save_checkpoint.key));
  elsif v_out.status = 'unnamed' then
    perform pgstate._raise('PS007', save_checkpoint.key, pgstate._save_error('PS007', save_checkpoint.key));
  else
    v_out.id := null;
  end if;
  return v_out;
end
$$;
comment on function pgstate.save_checkpoint(text, text[], text[], bytea[], text[], text[], bytea[], jsonb, text, text, text, bytea, boolean, text, text[], interval, text, bigint, uuid, bigint, boolean, text, boolean, text) is
  'Saves a checkpoint of a thread: of channel names[i], types[i] is a serializer''s type and data[i] the value; or types[i] is @ or #0, #1 … and data[i] the hashes of its chunks, see the table checkpoint. chunk_types and chunk_data are those that are new. id null: one above all of the namespace; one that is there is replaced, and nothing changes when it is the same. parent null: the latest; '''': none, which begins a thread, unless may_begin is false. expect_head: the latest must be this one ('''': none). guard: channels that must not have changed between the parent and the latest. whole false: its channels without a value are to be had from its parents, which stay as long. ttl begins anew with each save; 0: none. Status ok, conflict (head: the latest), missing (the parent, or a thread that was deleted), incomplete (missing: chunks to send as well), held, stale. At most 512 MB are sent for one. Needs read and write. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';

-- functions/threads/save_checkpoints.sql
-- Checkpoints of any number of threads in one statement: what clients gather into. Each is decided by itself, in the order
-- of the input, as save_checkpoint() would; what they have in common (entering, locks, claims, entries, versions, the lane)
-- is done once for all.
--
-- Order of locks: the entries that exist in key order, then missing ones in key order by making them, then threads.
create function pgstate.save_checkpoints(
  keys text[], counts int[], names text[], types text[], data bytea[], versions text[] default null, chunk_counts int[] default null,
  chunk_types text[] default null, chunk_data bytea[] default null, metadatas jsonb[] default null, ids text[] default null,
  parents text[] default null, namespaces text[] default null, headers bytea[] default null, wholes boolean[] default null,
  expect_heads text[] default null, guard_counts int[] default null, guards text[] default null, ttls interval[] default null,
  run_ids text[] default null, tokens bigint[] default null, may_begins boolean[] default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null
) returns setof pgstate.save_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(save_checkpoints.agent, save_checkpoints.lane, save_checkpoints.turn);
  v_count int := coalesce(cardinality(save_checkpoints.keys), 0);
  v_codes text[];
  v_keys text[];
  v_heads pgstate._thread_head[];
  v_plain boolean;
  v_suspect boolean;
  v_guarded record;
  v_now timestamptz;
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_row record;
  v_at int;
  v_ttl interval;
  v_status text;
  v_value jsonb;
  v_out pgstate.save_outcome[] := '{}';
  v_written text[] := '{}';
  v_numbers bigint[] := '{}';
  v_values jsonb[] := '{}';
  v_created boolean[] := '{}';
  v_expiries timestamptz[] := '{}';
  v_watched boolean;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_count <> any (array[
       coalesce(cardinality(save_checkpoints.counts), 0), coalesce(cardinality(save_checkpoints.chunk_counts), v_count),
       coalesce(cardinality(save_checkpoints.metadatas), v_count), coalesce(cardinality(save_checkpoints.ids), v_count),
       coalesce(cardinality(save_checkpoints.parents), v_count), coalesce(cardinality(save_checkpoints.namespaces), v_count),
       coalesce(cardinality(save_checkpoints.headers), v_count), coalesce(cardinality(save_checkpoints.wholes), v_count),
       coalesce(cardinality(save_checkpoints.expect_heads), v_count), coalesce(cardinality(save_checkpoints.guard_counts), v_count),
       coalesce(cardinality(save_checkpoints.ttls), v_count), coalesce(cardinality(save_checkpoints.run_ids), v_count),
       coalesce(cardinality(save_checkpoints.tokens), v_count), coalesce(cardinality(save_checkpoints.may_begins), v_count)])
     or array_ndims(save_checkpoints.keys) <> 1 or array_lower(save_checkpoints.keys, 1) <> 1
     or array_position(save_checkpoints.counts, null) is not null or 0 > any (save_checkpoints.counts)
     or array_position(save_checkpoints.chunk_counts, null) is not null or 0 > any (save_checkpoints.chunk_counts)
     or 0 > any (save_checkpoints.guard_counts)
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.counts) c) <> any (array[
          coalesce(cardinality(save_checkpoints.names), 0), coalesce(cardinality(save_checkpoints.types), 0),
          coalesce(cardinality(save_checkpoints.data), 0),
          coalesce(cardinality(save_checkpoints.versions), cardinality(save_checkpoints.names), 0)])
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.chunk_counts) c) <> any (array[
          coalesce(cardinality(save_checkpoints.chunk_types), 0), coalesce(cardinality(save_checkpoints.chunk_data), 0)])
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.guard_counts) c) <> coalesce(cardinality(save_checkpoints.guards), 0) then
    raise exception using errcode = 'PS007',
      message = 'the arrays must be of equal length, have one dimension and begin at 1; counts, chunk_counts and guard_counts say how many of the others belong to each';
  elsif v_count = 0 then
    return;
  elsif v_actor.kept is not null then
    return query
      select o.ord::int, o.item ->> 0, o.item ->> 1, (o.item ->> 2)::bigint, o.item ->> 3,
             case when jsonb_typeof(o.item -> 4) = 'array' then array(select h::bytea from jsonb_array_elements_text(o.item -> 4) h) end,
             o.item ->> 5, pgstate._save_error(o.item ->> 5, save_checkpoints.keys[o.ord]), true
        from jsonb_array_elements(v_actor.kept) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;
  if save_checkpoints.lock_timeout is not null then
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', save_checkpoints.lock_timeout, true);
  end if;
  v_codes := array(
    select case when i.key is null or not pgstate._key_ok(i.key) then 'PS001'
                when not ((select v_actor.reads + '{}') @> i.key and (select v_actor.writes + '{}') @> i.key) then 'PS010'
                when octet_length(i.ns) > 1900 or octet_length(i.id) not between 1 and 256 or octet_length(i.parent) > 256 or octet_length(i.run_id) > 1900
                     or i.ttl is not null and not pgstate._span_or_0(i.ttl) then 'PS007' end
      from unnest(save_checkpoints.keys, save_checkpoints.ids, save_checkpoints.parents, save_checkpoints.namespaces, save_checkpoints.ttls,
                  save_checkpoints.run_ids) with ordinality as i (key, id, parent, ns, ttl, run_id, ord)
     order by i.ord);
  v_suspect := pgstate._suspect_parts(save_checkpoints.names, save_checkpoints.types || save_checkpoints.chunk_types,
                                      save_checkpoints.data || save_checkpoints.chunk_data)
    or (' ' || concat_ws(' ', array_to_string(save_checkpoints.metadatas, ' '), array_to_string(save_checkpoints.ids, ' '),
          array_to_string(save_checkpoints.namespaces, ' '), array_to_string(save_checkpoints.run_ids, ' '),
          array_to_string(save_checkpoints.versions, ' '))) ~ pgstate._secret_hint();
  -- below it is asked no more, and long ranges would be copied from function to function
  v_actor.reads := null;
  v_actor.writes := null;
  v_actor.readable := true;
  v_actor.writable := true;

  -- of an entry that is there: what it is in place of a status, and when it expires in place of the time
  select array_agg(i.key order by i.key),
         array_agg(row(case when e.kind <> 'thread' then 'PS040' end, e.version, e.value, e.value is not null, e.expires_at)::pgstate._thread_head order by i.key),
         bool_and(e.value is not null and e.kind = 'thread' and e.expires_at is null)
    into v_keys, v_heads, v_plain
    from (select distinct u.key collate "C" as key from unnest(save_checkpoints.keys, v_codes) u (key, code) where u.code is null order by 1) i
    left join lateral (
      select x.version, x.value, x.kind, x.expires_at from pgstate.entry x where x.key = i.key for no key update) e on true;
  v_now := pgstate._now();
  if v_plain is false then
    for v_index in 1 .. cardinality(v_keys) loop
      v_head := v_heads[v_index];
      if v_head.version is null and pgstate._secret_in(v_actor, v_keys[v_index], v_keys[v_index]) is not null then
        v_head.status := 'PS009';
        v_heads[v_index] := v_head;
      elsif v_head.live is not true or v_head.at <= v_now then
        v_head := pgstate._thread_lock(v_actor, v_keys[v_index], null, p_claims => false, p_create => exists (
          select from unnest(save_checkpoints.keys, save_checkpoints.parents, save_checkpoints.may_begins) u (key, parent, may_begin)
           where u.key = v_keys[v_index] and coalesce(u.parent, '') = '' and coalesce(u.may_begin, true)));
        v_head.status := null;
        v_heads[v_index] := v_head;
      end if;
    end loop;
    v_now := pgstate._now();
  end if;
  if v_keys is not null and current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(v_keys);
  end if;

  for v_row in
    select i.*, coalesce(i.parent, '') = '' and coalesce(i.may_begin, true) as begins, sum(i.count) over w as last,
           sum(i.chunks) over w as last_chunk, sum(i.guarded) over w as last_guard
      from unnest(save_checkpoints.keys, save_checkpoints.counts, save_checkpoints.chunk_counts, save_checkpoints.metadatas, save_checkpoints.ids,
                  save_checkpoints.parents, save_checkpoints.namespaces, save_checkpoints.headers, save_checkpoints.wholes,
                  save_checkpoints.expect_heads, save_checkpoints.guard_counts, save_checkpoints.ttls, save_checkpoints.run_ids,
                  save_checkpoints.tokens, save_checkpoints.may_begins, v_codes) with ordinality
           as i (key, count, chunks, metadata, id, parent, ns, header, whole, expect_head, guarded, ttl, run_id, token, may_begin, code, ord)
    window w as (order by i.ord rows unbounded preceding)
     order by i.ord
  loop
    v_at := array_position(v_keys, v_row.key);
    v_head := v_heads[v_at];
    v_stored := null;
    if v_row.code is null then
      v_row.code := nullif(v_head.status, 'written');
    end if;
    if v_row.code is null and v_suspect then
      v_guarded := pgstate._guarded_parts(
        v_actor, v_row.key, save_checkpoints.names[v_row.last - v_row.count + 1 : v_row.last],
        save_checkpoints.types[v_row.last - v_row.count + 1 : v_row.last], save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last],
        v_row.metadata, save_checkpoints.chunk_types[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk],
        save_checkpoints.chunk_data[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk],
        concat_ws(' ', v_row.id, v_row.ns, v_row.run_id, array_to_string(save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last], ' ')));
      if v_guarded.rule is not null then
        v_row.code := 'PS009';
      else
        v_row.metadata := v_guarded.metadata;
        if v_row.count > 0 then
          save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last] := v_guarded.data;
        end if;
      end if;
    end if;
    if v_row.code is not null then
      v_status := case v_row.code when 'PS010' then 'denied' else 'invalid' end;
    elsif not v_head.live and (v_row.token is not null or not v_row.begins) then
      v_status := case when v_row.token is null then 'missing' else 'stale' end;
    else
      v_stored := pgstate._store_checkpoint(
        v_actor, v_row.key, v_now, v_row.token, coalesce(v_row.ns, ''), v_row.id, v_row.parent,
        coalesce(save_checkpoints.names[v_row.last - v_row.count + 1 : v_row.last], '{}'),
        case when save_checkpoints.versions is not null
              and cardinality(array_remove(save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last], null)) > 0
             then save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last] end,
        save_checkpoints.types[v_row.last - v_row.count + 1 : v_row.last], save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last],
        case when v_row.chunks > 0 then save_checkpoints.chunk_types[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk] end,
        case when v_row.chunks > 0 then save_checkpoints.chunk_data[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk] end,
        v_row.header, coalesce(v_row.whole, true), v_row.metadata, v_row.run_id, v_row.expect_head,
        case when v_row.guarded is not null then coalesce(save_checkpoints.guards[v_row.last_guard - v_row.guarded + 1 : v_row.last_guard], '{}') end);
      v_status := coalesce(v_stored.status, 'ok');
      if v_status in ('large', 'unnamed') then
        v_row.code := case v_status when 'large' then 'PS004' else 'PS007' end;
        v_status := 'invalid';
      end if;
    end if;
    if v_status = 'ok' and v_stored.added is not null then
      -- as _thread_write() does
      v_ttl := v_row.ttl;
      v_value := jsonb_build_object(
        'checkpoint', v_stored.id, 'ns', coalesce(v_row.ns, ''),
        'checkpoints', coalesce((v_head.value -> 'checkpoints')::bigint, 0) + v_stored.added,
        'bytes', coalesce((v_head.value -> 'bytes')::bigint, 0) + v_stored.bytes);
      if v_ttl is not null then
        v_value := v_value || jsonb_build_object('ttl', extract(epoch from v_ttl));
      elsif v_head.value ? 'ttl' then
        v_ttl := make_interval(secs => (v_head.value ->> 'ttl')::float8);
        v_value := v_value || jsonb_build_object('ttl', v_head.value -> 'ttl');
      end if;
      if v_ttl is null and v_actor.policies then
        v_ttl := (pgstate._policy_of(v_row.key)).ttl;
      end if;
      v_written := v_written || v_row.key;
      v_created := v_created || not v_head.live;
      v_head := row('written', v_head.version + 1, v_value, true, v_now + nullif(v_ttl, interval '0'))::pgstate._thread_head;
      v_heads[v_at] := v_head;
      v_numbers := v_numbers || v_head.version;
      v_values := v_values || v_value;
      v_expiries := v_expiries || v_head.at;
    end if;
    v_out := v_out || row(v_row.ord, v_status, case when v_status = 'ok' then v_stored.id end, case when v_status = 'ok' then v_head.version end,
                          v_stored.head, v_stored.missing, v_row.code, null, null)::pgstate.save_outcome;
  end loop;

  if v_written <> '{}' then
    if save_checkpoints.wake is not true then
      v_done := set_config('pgstate.wake', 'off', true);
    end if;
    with changed as (
      update pgstate.entry e
         set kind = 'thread', version = h.version, live = true, value = h.value, writer = v_actor.name, via = session_user,
             created_at = case when e.value is not null then e.created_at else v_now end, updated_at = v_now, expires_at = h.expires_at,
             priority = case when e.value is not null then e.priority else 0 end,
             not_before = case when e.value is not null then e.not_before end, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, e.key) else v_actor.trust end
        from unnest(v_keys, v_heads) as h (key, status, version, value, live, expires_at)
       where e.key = h.key and h.status = 'written'
    )
    insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
    select n.key, n.version, v_actor.epoch, 'put', n.created, n.value, v_actor.name, session_user, v_now, n.expires_at,
           case when v_actor.policies then pgstate._capped(v_actor.trust, n.key) else v_actor.trust end
      from unnest(v_written, v_numbers, v_created, v_values, v_expiries) as n (key, version, created, value, expires_at);
    if save_checkpoints.wake is not true then
      v_done := set_config('pgstate.wake', v_wake, true);
    end if;
  end if;
  if save_checkpoints.lane is not null or save_checkpoints.wake is not true then
    v_watched := pgstate._finish(
      save_checkpoints.lane, save_checkpoints.turn,
      (select jsonb_agg(jsonb_build_array(o.status, o.id, o.version, o.head, to_jsonb(o.missing), o.code) order by o.ord) from unnest(v_out) o),
      case when save_checkpoints.wake is not true then v_written end, save_checkpoints.wake is null, v_now);
  end if;
  return query
    select o.ord, o.status, o.id, o.version, o.head, o.missing, o.code,
           case when o.code is not null then pgstate._save_error(o.code, save_checkpoints.keys[o.ord]) end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.save_checkpoints(text[], int[], text[], text[], bytea[], text[], int[], text[], bytea[], jsonb[], text[], text[], text[], bytea[], boolean[], text[], int[], text[], interval[], text[], bigint[], boolean[], uuid, bigint, boolean, text, text) is
  'Saves checkpoints of any number of threads in one statement, each as save_checkpoint() would: one outcome per row, in the order of the input; a refused row (code, message) harms no other, and a thread may occur several times. Of names, types, data and versions counts[i] belong to row i, of chunk_types and chunk_data chunk_counts[i], of guards guard_counts[i] (null: no guard). PS007 PS031.';

-- functions/threads/put_writes.sql
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

-- functions/threads/get_checkpoint.sql
create function pgstate.get_checkpoint(key text, id text default null, ns text default '', agent text default null) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_checkpoint.agent, get_checkpoint.key, false);
begin
  if get_checkpoint.key is null or not pgstate._key_ok(get_checkpoint.key) then
    perform pgstate._bad_key(get_checkpoint.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._get_checkpoint(get_checkpoint.key, get_checkpoint.id, get_checkpoint.ns);
end
$$;
comment on function pgstate.get_checkpoint(text, text, text, text) is
  'A checkpoint of a thread, the latest unless an id is given, of the namespace ns: its root, all chunks that it reaches, and the writes that came after it. Status ok, or missing. checkpoint_state() shows its values. PS001 PS010.';

-- functions/threads/get_checkpoints.sql
create function pgstate.get_checkpoints(key text, ids text[], ns text default '', agent text default null) returns setof pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_checkpoints.agent, get_checkpoints.key, false);
begin
  if get_checkpoints.key is null or not pgstate._key_ok(get_checkpoints.key) then
    perform pgstate._bad_key(get_checkpoints.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select c.* from pgstate._get_checkpoints(get_checkpoints.key, coalesce(get_checkpoints.ids, '{}'), get_checkpoints.ns) c;
end
$$;
comment on function pgstate.get_checkpoints(text, text[], text, text) is 'get_checkpoint() for several of a namespace: those that are there, in no order. PS001 PS010.';

-- functions/threads/checkpoints.sql
create function pgstate.checkpoints(
  pattern text default '', ns text default null, before text default null, "limit" int default 1000, filter jsonb default null,
  run_id text default null, after_key text default null, after_ns text default null, agent text default null
) returns setof pgstate.checkpoint_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoints.agent);
  v_ranges pgstate.keymultirange;
  v_key text := case when pgstate._key_ok(checkpoints.pattern) and checkpoints.pattern !~ '[*?]' then checkpoints.pattern end;
begin
  v_ranges := pgstate._page_ranges(v_actor, checkpoints.pattern, checkpoints."limit", null);
  return query
    select c.* from pgstate._checkpoints(v_key, v_ranges, pgstate._pattern_regex(checkpoints.pattern), checkpoints.ns, checkpoints.before,
                                         checkpoints."limit", checkpoints.filter, checkpoints.run_id,
                                         checkpoints.after_key, checkpoints.after_ns) c;
end
$$;
comment on function pgstate.checkpoints(text, text, text, int, jsonb, text, text, text, text) is
  'Checkpoints of a thread, or of all threads that match a pattern and that the caller may read, the highest id first, without what their chunks hold. ns: only this namespace; before: only ids below this one, for the next page (with after_key and after_ns, those of the last row, also those with the same id behind it: forks have the ids of what they come from); filter: metadata that contains this; run_id: of this run. limit 1 to 100000 (null: all). PS002 PS007 PS010.';

-- functions/threads/checkpoint_parts.sql
create function pgstate.checkpoint_parts(key text, ids text[], ns text default '', agent text default null) returns pgstate.checkpoint_parts
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoint_parts.agent, checkpoint_parts.key, false);
begin
  if checkpoint_parts.key is null or not pgstate._key_ok(checkpoint_parts.key) then
    perform pgstate._bad_key(checkpoint_parts.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._checkpoint_parts(checkpoint_parts.key, checkpoint_parts.ids, checkpoint_parts.ns);
end
$$;
comment on function pgstate.checkpoint_parts(text, text[], text, text) is
  'What checkpoints of a namespace hold, for those that checkpoints() lists: the chunks that their roots reach, each once however many share it, and the writes that came after each. Ids that are not there are passed over. PS001 PS010.';

-- functions/threads/channel_history.sql
create function pgstate.channel_history(
  key text, channels text[], id text default null, ns text default '', agent text default null
) returns pgstate.channel_history
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(channel_history.agent, channel_history.key, false);
begin
  if channel_history.key is null or not pgstate._key_ok(channel_history.key) then
    perform pgstate._bad_key(channel_history.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._channel_history(channel_history.key, channel_history.channels, channel_history.id, channel_history.ns);
end
$$;
comment on function pgstate.channel_history(text, text[], text, text, text) is
  'What channels are made of that a checkpoint (the latest, unless an id is given) does not hold itself: going up its parents, the first value of each, with the chunks that these reach, and the writes to it that came after that one and later ones, the oldest first. A channel that nobody has a value of has no seed, and all writes to it. PS001 PS010.';

-- functions/threads/checkpoint_state.sql
create function pgstate.checkpoint_state(key text, id text default null, ns text default '', agent text default null) returns setof pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoint_state.agent, checkpoint_state.key, false);
begin
  if checkpoint_state.key is null or not pgstate._key_ok(checkpoint_state.key) then
    perform pgstate._bad_key(checkpoint_state.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select s.* from pgstate._checkpoint_state(checkpoint_state.key, checkpoint_state.id, coalesce(checkpoint_state.ns, '')) s;
end
$$;
comment on function pgstate.checkpoint_state(text, text, text, text) is
  'The channels of a checkpoint, the latest of the namespace unless an id is given: the value of each where it is JSON, else null and its serializer''s type. No rows when there is no such checkpoint. PS001 PS010.';

-- functions/threads/delete_thread.sql
create function pgstate.delete_thread(
  key text, token bigint default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(delete_thread.agent, delete_thread.lane, delete_thread.turn, delete_thread.key);
  v_head pgstate._thread_head;
  v_out pgstate.written;
  v_done boolean;
  v_trust pgstate.trust;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint, null)::pgstate.written;
  end if;
  v_head := pgstate._thread_lock(v_actor, delete_thread.key, delete_thread.token, false);
  v_out.status := coalesce(v_head.status, 'ok');
  v_out.version := 0;
  if v_head.status is null then
    update pgstate.entry e
       set version = v_head.version + 1, live = false, value = null, writer = v_actor.name, via = session_user, updated_at = v_head.at,
           expires_at = null, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, delete_thread.key) else v_actor.trust end
     where e.key = delete_thread.key returning e.version, e.trust into v_out.version, v_trust;
    insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
    values (delete_thread.key, v_out.version, v_actor.epoch, 'delete', v_actor.name, session_user, v_head.at, v_trust);
    delete from pgstate.claim c where c.key = delete_thread.key;
    perform pgstate._drop_thread(delete_thread.key);
  end if;
  if delete_thread.lane is not null then
    v_done := pgstate._lane_end(delete_thread.lane, delete_thread.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.delete_thread(text, bigint, uuid, bigint, text) is
  'Deletes a thread with all its checkpoints and writes, of all namespaces. Who still saves to it is refused (missing); a save without a parent begins it anew. Chunks that its forks need stay for them. Status ok, missing, held or stale. Needs read and write. PS001 PS010 PS031 PS040.';

-- functions/threads/prune_thread.sql
create function pgstate.prune_thread(
  key text, keep int default 1, ns text default null, token bigint default null, lane uuid default null, turn bigint default null,
  agent text default null, ids text[] default null
) returns pgstate.pruned
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(prune_thread.agent, prune_thread.lane, prune_thread.turn, prune_thread.key);
  v_head pgstate._thread_head;
  v_removed pgstate._removed;
  v_out pgstate.pruned;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint)::pgstate.pruned;
  elsif (prune_thread.keep >= 1) is not true then
    raise exception using errcode = 'PS007', message = 'keep is at least 1: delete_thread() removes all';
  end if;
  v_head := pgstate._thread_lock(v_actor, prune_thread.key, prune_thread.token, false);
  v_out.status := coalesce(v_head.status, 'ok');
  if v_head.status is null then
    v_removed := pgstate._remove_checkpoints(prune_thread.key, prune_thread.ns, prune_thread.keep, null, prune_thread.ids);
    v_out.removed := v_removed.removed;
    if v_removed.value is not null then
      perform pgstate._thread_write(v_actor, prune_thread.key, v_head, v_removed.value, null);
    end if;
  end if;
  if prune_thread.lane is not null then
    v_done := pgstate._lane_end(prune_thread.lane, prune_thread.turn, jsonb_build_array(v_out.status, v_out.removed));
  end if;
  return v_out;
end
$$;
comment on function pgstate.prune_thread(text, int, text, bigint, uuid, bigint, text, text[]) is
  'Removes the checkpoints of a thread but the newest keep of each namespace (or of ns alone), those that they cannot be read without, and what is left of no checkpoint. ids: these go too, though they are the newest. Status ok with the number removed, missing, held or stale. Needs read and write. PS001 PS007 PS010 PS031 PS040.';

-- functions/threads/delete_runs.sql
create function pgstate.delete_runs(run_ids text[], lane uuid default null, turn bigint default null, agent text default null) returns pgstate.pruned
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(delete_runs.agent, delete_runs.lane, delete_runs.turn);
  v_head pgstate._thread_head;
  v_removed pgstate._removed;
  v_key text;
  v_out pgstate.pruned := row('ok', 0)::pgstate.pruned;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint)::pgstate.pruned;
  end if;
  -- in key order, as everywhere
  foreach v_key in array pgstate._keys_of_runs(coalesce(delete_runs.run_ids, '{}'), v_actor.reads * v_actor.writes) loop
    v_actor.readable := true;
    v_actor.writable := true;
    v_head := pgstate._thread_lock(v_actor, v_key, null, false);
    if v_head.status = 'held' then
      v_out.status := 'held';
    elsif v_head.status is null then
      v_removed := pgstate._remove_checkpoints(v_key, null, null, delete_runs.run_ids);
      v_out.removed := v_out.removed + v_removed.removed;
      if v_removed.value is not null then
        perform pgstate._thread_write(v_actor, v_key, v_head, v_removed.value, null);
      end if;
    end if;
  end loop;
  if delete_runs.lane is not null then
    v_done := pgstate._lane_end(delete_runs.lane, delete_runs.turn, jsonb_build_array(v_out.status, v_out.removed));
  end if;
  return v_out;
end
$$;
comment on function pgstate.delete_runs(text[], uuid, bigint, text) is
  'Removes the checkpoints that these runs made (metadata run_id), of all threads that the caller may read and write, but those that others cannot be read without. Status ok, or held when a thread that somebody has claimed was left out; how many were removed. PS010 PS031.';

-- functions/threads/fork_thread.sql
create function pgstate.fork_thread(
  key text, target text, id text default null, ns text default '', history boolean default false, ttl interval default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fork_thread.agent, fork_thread.lane, fork_thread.turn);
  v_head pgstate._thread_head;
  v_value jsonb;
  v_out pgstate.saved;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, v_actor.kept ->> 1, (v_actor.kept ->> 2)::bigint, v_actor.kept ->> 1, null, true)::pgstate.saved;
  elsif fork_thread.key is null or not pgstate._key_ok(fork_thread.key) then
    perform pgstate._bad_key(fork_thread.key);
  elsif (v_actor.reads @> fork_thread.key) is not true then
    perform pgstate._deny();
  end if;
  v_actor.readable := v_actor.reads @> fork_thread.target;
  v_actor.writable := v_actor.writes @> fork_thread.target;
  v_head := pgstate._thread_lock(v_actor, fork_thread.target, null, true);
  if v_head.live then
    v_out.status := 'conflict';
    v_out.head := v_head.value ->> 'checkpoint';
  else
    v_value := pgstate._fork_thread(fork_thread.key, fork_thread.target, fork_thread.id, coalesce(fork_thread.ns, ''),
                                    coalesce(fork_thread.history, false), v_head.at, case when v_actor.quota then v_actor.id end);
    v_out.status := case when v_value is null then 'missing' else 'ok' end;
    if v_value is not null then
      v_out.id := v_value ->> 'checkpoint';
      v_out.head := v_out.id;
      v_out.version := pgstate._thread_write(v_actor, fork_thread.target, v_head, v_value, fork_thread.ttl);
    end if;
  end if;
  if fork_thread.lane is not null then
    v_done := pgstate._lane_end(fork_thread.lane, fork_thread.turn, jsonb_build_array(v_out.status, v_out.id, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.fork_thread(text, text, text, text, boolean, interval, uuid, bigint, text) is
  'Makes a thread under another key from a checkpoint of one, the latest of the namespace unless an id is given, with the writes after it; or, with history, from all its checkpoints of all namespaces. Their values are not copied. Status ok, conflict when there is a thread under target, missing. Needs read on key, read and write on target. PS001 PS007 PS009 PS010 PS031 PS040.';

-- functions/threads/rollback_thread.sql
create function pgstate.rollback_thread(
  key text, id text, ns text default '', metadata jsonb default null, token bigint default null, lane uuid default null,
  turn bigint default null, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(rollback_thread.agent, rollback_thread.lane, rollback_thread.turn, rollback_thread.key);
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_out pgstate.saved;
  v_done boolean;
  v_guarded record;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, v_actor.kept ->> 1, (v_actor.kept ->> 2)::bigint, v_actor.kept ->> 1, null, true)::pgstate.saved;
  end if;
  if (v_actor.readable and v_actor.writable and pgstate._suspect_parts(null, null, null, rollback_thread.metadata)) is true then
    v_guarded := pgstate._guarded_parts(v_actor, rollback_thread.key, null, '{}', null, rollback_thread.metadata, null, null, null);
    if v_guarded.rule is not null then
      perform pgstate._raise('PS009', rollback_thread.key, pgstate._error_text('PS009', rollback_thread.key) || ': ' || v_guarded.rule);
    end if;
    rollback_thread.metadata := v_guarded.metadata;
  end if;
  v_head := pgstate._thread_lock(v_actor, rollback_thread.key, rollback_thread.token, false);
  v_out.status := v_head.status;
  if v_head.status is null then
    v_stored := pgstate._repeat_checkpoint(v_actor, rollback_thread.key, rollback_thread.id, coalesce(rollback_thread.ns, ''),
                                           rollback_thread.metadata, v_head.at);
    v_out := row(coalesce(v_stored.status, 'ok'), v_stored.id, null, v_stored.head, null, null)::pgstate.saved;
    if v_out.status = 'ok' then
      v_out.version := pgstate._thread_write(v_actor, rollback_thread.key, v_head, jsonb_build_object(
        'checkpoint', v_out.id, 'ns', coalesce(rollback_thread.ns, ''), 'checkpoints', (v_head.value -> 'checkpoints')::bigint + 1,
        'bytes', (v_head.value -> 'bytes')::bigint + v_stored.bytes), null);
    end if;
  end if;
  if rollback_thread.lane is not null then
    v_done := pgstate._lane_end(rollback_thread.lane, rollback_thread.turn, jsonb_build_array(v_out.status, v_out.id, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.rollback_thread(text, text, text, jsonb, bigint, uuid, bigint, text) is
  'Goes back to a checkpoint of a thread by a new one with the same channels, which becomes the latest; those between stay. Values are not copied. Status ok with its id, missing, held or stale. Needs read and write. PS001 PS007 PS009 PS010 PS031 PS040.';

-- functions/threads/threads.sql
create function pgstate.threads(pattern text default '', "limit" int default 1000, after text default null, agent text default null)
returns setof pgstate.thread_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(threads.agent);
  v_ranges pgstate.keymultirange;
begin
  v_ranges := pgstate._page_ranges(v_actor, threads.pattern, threads."limit", threads.after);
  return query select t.* from pgstate._threads(v_ranges, pgstate._pattern_regex(threads.pattern), threads."limit", v_actor.reads) t;
end
$$;
comment on function pgstate.threads(text, int, text, text) is
  'Threads that match a pattern and that the caller may read, in key order: what was saved last, how many checkpoints there are, the bytes that were sent for them, when it was last changed. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';

-- functions/encryption/sealed_parts.sql
create function pgstate.sealed_parts(agent text default null) returns setof pgstate.sealed_part
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._sealed_parts(pgstate._enter(sealed_parts.agent));
end
$$;
comment on function pgstate.sealed_parts(text) is
  'What clients may have sealed (connect(encryption=…)), in the order in which it is to be sealed anew, and the blocks of its tables, to be gone through by sealed_data(). Needs admin on everything. PS010.';

-- functions/encryption/sealed_keys.sql
create function pgstate.sealed_keys(part text, agent text default null) returns setof pgstate.sealed_count
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._sealed_keys(pgstate._enter(sealed_keys.agent), sealed_keys.part);
end
$$;
comment on function pgstate.sealed_keys(text, text) is
  'How many payloads of a part are sealed under which key, all of them at one moment. Not those in outcomes that are kept for retries, for minutes. Needs admin on everything. PS007 PS010.';

-- functions/encryption/sealed_data.sql
create function pgstate.sealed_data(
  part text, first_block bigint, blocks int, "current" text, after_place text default null, agent text default null
) returns setof pgstate.sealed_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select * from pgstate._sealed_data(pgstate._enter(sealed_data.agent), sealed_data.part, sealed_data.first_block, sealed_data.blocks,
                                       sealed_data."current", sealed_data.after_place);
end
$$;
comment on function pgstate.sealed_data(text, bigint, int, text, text, text) is
  'The payloads in these blocks that are sealed under another key than current, to be sealed anew and given to rekey_data(): 8 MB of them, and one row more; then more is true, and after_place, the last place, goes on. key and name tell people where it is. Needs admin on everything. PS007 PS010.';

-- functions/encryption/rekey_data.sql
create function pgstate.rekey_data(
  part text, places text[], fields int[], digests bytea[], data bytea[], agent text default null
) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_data(pgstate._enter(rekey_data.agent), rekey_data.part, rekey_data.places, rekey_data.fields, rekey_data.digests, rekey_data.data);
end
$$;
comment on function pgstate.rekey_data(text, text[], int[], bytea[], bytea[], text) is
  'Puts payloads of sealed_data() that were sealed anew in their places, each if the SHA-256 of what is there is still its digest and nobody has locked it; how many. Chunks are then named by rekey_refs(). Needs admin on everything. PS007 PS010.';

-- functions/encryption/rekey_refs.sql
create function pgstate.rekey_refs(depth int, first_block bigint, blocks int, agent text default null) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_refs(pgstate._enter(rekey_refs.agent), rekey_refs.depth, rekey_refs.first_block, rekey_refs.blocks);
end
$$;
comment on function pgstate.rekey_refs(int, bigint, int, text) is
  'Has pages of chunks of a depth, from 0 on, or with null the roots of checkpoints, in these blocks of the parts chunk and checkpoint name the chunks that rekey_data() has sealed anew; how many, or null where there are none of that depth. Needs admin on everything. PS007 PS010.';

-- functions/encryption/rekey_collect.sql
create function pgstate.rekey_collect(agent text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_collect(pgstate._enter(rekey_collect.agent));
end
$$;
comment on function pgstate.rekey_collect(text) is
  'Removes the chunks that rekey_refs() has left without a name, and what else threads do not need any more, and what deleted runs held, as maintain() does; is there more? Needs admin on everything. PS010.';

-- functions/runs/_end_run.sql
-- Writes the end of a run whose entry is locked; the version of that.
create function pgstate._end_run(p_actor pgstate._actor, p_key text, p_head pgstate._thread_head, p_state text, p_type text, p_data bytea)
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_wakes boolean := pgstate._wake_parent(p_key);
  v_version bigint;
begin
  v_version := pgstate._thread_write(p_actor, p_key, p_head, p_head.value - 'cancelling' || jsonb_build_object('status', p_state)
    -- workers look for who waited for this
    || case when v_wakes then '{"wakes": true}'::jsonb else '{}' end
    || case when p_state = 'failed' and p_type = 'error' then jsonb_build_object('error', left(pgstate._text_of(p_data), 2000)) else '{}' end, null, 'run');
  perform pgstate._close_run(p_key, p_state, p_type, p_data, case when p_actor.quota then p_actor.id end);
  delete from pgstate.claim c where c.key = p_key;
  return v_version;
end
$$;
comment on function pgstate._end_run(pgstate._actor, text, pgstate._thread_head, text, text, bytea) is 'Internal: ends a run.';

-- functions/runs/start_run.sql
-- One statement begins a run or goes on with it: the run, its claim, and all that was done of it.
create function pgstate.start_run(
  key text, lease interval default null, name text default null, input_type text default null, input bytea default null, code text default null,
  priority int default null, ready_at timestamptz default null, timeout interval default null, ttl interval default null, parent text default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.run_full
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(start_run.agent, start_run.lane, start_run.turn, start_run.key);
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_claim pgstate.claim;
  v_status text := 'ok';
  v_value jsonb;
  v_created boolean := false;
  v_out pgstate.run_full;
  v_rule text;
  v_done boolean;
begin
  if start_run.lease is not null then
    perform pgstate._check_lease(start_run.lease);
  end if;
  if octet_length(start_run.name) not between 1 and 256 or not pgstate._span_ok(start_run.timeout)
     or start_run.ready_at not between '1970-01-01' and '9999-12-01' then
    raise exception using errcode = 'PS007', message = 'a name has 1 to 256 bytes, a timeout is positive and at most 100 years, ready_at lies between 1970 and 9999';
  elsif greatest(octet_length(start_run.input), octet_length(start_run.input_type), octet_length(start_run.code)) > v_actor.value_limit then
    perform pgstate._raise('PS004', start_run.key);
  elsif v_actor.kept is not null then
    -- the lane says that this was asked, and neither of which run nor what the caller may by now
    if (v_actor.readable and v_actor.writable) is not true then
      perform pgstate._deny();
    end if;
    select c.* into v_claim from pgstate.claim c where c.key = start_run.key;
    -- not as its own what another worker of the same agent has taken over since
    v_status := v_actor.kept ->> 0;
    if v_status = 'ok' and (v_claim.token = (v_actor.kept ->> 2)::bigint and v_claim.lease_until > pgstate._now()) is not true then
      v_status := 'held';
    end if;
    return pgstate._run_full(start_run.key, v_status, v_claim, (v_actor.kept ->> 1)::boolean);
  end if;
  -- who may not is denied below, and learns of no guard
  if (v_actor.readable and v_actor.writable) is true then
    v_rule := pgstate._secret_in(v_actor, start_run.key, concat_ws(' ', start_run.name, start_run.code, start_run.parent, start_run.input_type));
    if v_rule is not null then
      perform pgstate._raise('PS009', start_run.key, pgstate._error_text('PS009', start_run.key) || ': ' || v_rule);
    end if;
    start_run.input := pgstate._guarded_data(v_actor, start_run.key, start_run.input_type, start_run.input, true);
  end if;
  v_head := pgstate._thread_lock(v_actor, start_run.key, null, true, 'run');
  v_run := case when v_head.live then pgstate._run_of(start_run.key) end;
  if not v_head.live then
    if start_run.parent is not null and (pgstate._reachable('write') @> start_run.parent) is not true then
      -- its end locks the parent's row, and tells whether that waited: nobody else's run is held up, or found out, by naming it
      perform pgstate._deny();
    end if;
    perform pgstate._add_run(start_run.key, start_run.name, start_run.code, start_run.input_type, start_run.input, start_run.priority,
                             start_run.ready_at, start_run.timeout, start_run.parent, v_head.at, case when v_actor.quota then v_actor.id end);
    v_created := true;
    v_value := jsonb_build_object('steps', 0) || case when start_run.name is not null then jsonb_build_object('run', start_run.name) else '{}' end;
  elsif start_run.lease is null or v_run.state in ('done', 'cancelled') then
    v_status := case when v_run.state = 'open' then 'exists' else 'ended' end;
  elsif v_run.state = 'failed' then
    v_value := v_head.value - 'error' || jsonb_build_object('steps', pgstate._reopen_run(start_run.key));
  elsif v_head.value ->> 'status' <> 'running' then
    v_value := v_head.value;
  end if;
  if v_status = 'ok' and start_run.lease is not null then
    v_claim := (pgstate._take(v_actor, array[start_run.key], start_run.lease))[1];
    if v_claim.key is null then
      v_status := 'held';
      select c.* into v_claim from pgstate.claim c where c.key = start_run.key;
    elsif not v_created then
      if v_run.asleep then
        perform pgstate._wake_run(start_run.key);
      end if;
      if v_run.code is distinct from start_run.code then
        perform pgstate._new_code(start_run.key, start_run.code);
      end if;
    end if;
  elsif v_created then
    v_status := 'created';
  end if;
  if v_value is not null and v_status <> 'held' then
    v_done := pgstate._thread_write(v_actor, start_run.key, v_head,
      v_value || jsonb_build_object('status', case v_status when 'ok' then 'running' else 'waiting' end), start_run.ttl, 'run') is not null;
  end if;
  v_out := pgstate._run_full(start_run.key, v_status, v_claim, v_created);
  if start_run.lane is not null then
    v_done := pgstate._lane_end(start_run.lane, start_run.turn, jsonb_build_array(v_status, v_created, v_claim.token));
  end if;
  return v_out;
end
$$;
comment on function pgstate.start_run(text, interval, text, text, bytea, text, int, timestamptz, interval, interval, text, uuid, bigint, text) is
  'Begins a run, or goes on with it: claims it for lease and returns what was done of it. Without lease it is left to workers. name: the workflow that workers know; input of a serializer''s form input_type; code: the version of the code; ready_at: not before; timeout: fails unless it has ended; ttl: how long it stays after each change. What is given for a run that is there already changes nothing, but code. A failed one is tried again. Status ok with a token, created or exists without lease, ended (done or cancelled), held (retry_in). Needs read and write, and to begin one with a parent write on that. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';

-- functions/runs/take_runs.sql
create function pgstate.take_runs(
  names text[], "limit" int, lease interval, pattern text default '', codes text[] default null, lane uuid default null, turn bigint default null, agent text default null
) returns setof pgstate.run_full
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(take_runs.agent, take_runs.lane, take_runs.turn);
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_taken jsonb := '[]';
  v_claims pgstate.claim[];
  v_claim pgstate.claim;
  v_out pgstate.run_full;
  v_outs pgstate.run_full[] := '{}';
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_rules pgstate._claim_rules;
  v_done boolean;
begin
  perform pgstate._check_lease(take_runs.lease);
  perform pgstate._check_pattern(take_runs.pattern);
  if (take_runs."limit" between 1 and 1000) is not true then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 1000';
  elsif cardinality(take_runs.codes) <> cardinality(take_runs.names) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length';
  elsif octet_length(array_to_string(take_runs.codes, '')) > v_actor.value_limit then
    perform pgstate._raise('PS004', take_runs.pattern);
  end if;
  v_ranges := pgstate._pattern_ranges(take_runs.pattern) * v_actor.reads * v_actor.writes;
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  v_regex := pgstate._pattern_regex(take_runs.pattern);
  if v_actor.kept is not null then
    for v_claim in
      -- not those that another worker of the same agent has taken over since, or that are the caller's no more
      select c.* from jsonb_array_elements(v_actor.kept) with ordinality k (claim, ord)
        join pgstate.claim c on c.key = k.claim ->> 0 and c.token = (k.claim -> 1)::bigint and c.lease_until > pgstate._now() and v_ranges @> c.key
       order by k.ord
    loop
      return next pgstate._run_full(v_claim.key, 'ok', v_claim, false);
    end loop;
    return;
  end if;
  -- what is ready lies within both
  v_actor.readable := true;
  v_actor.writable := true;
  v_claims := pgstate._take(v_actor, pgstate._ready_runs(take_runs.names, v_ranges, v_regex, take_runs."limit"), take_runs.lease);
  for v_index in 1 .. coalesce(cardinality(v_claims), 0) loop
    v_claim := v_claims[v_index];
    v_head := pgstate._thread_lock(v_actor, v_claim.key, v_claim.token, false, 'run');
    continue when v_head.status is not null;
    if v_actor.policies and v_claim.attempts - v_claim.released > 1 then
      v_rules := pgstate._claim_rules_of(v_claim.key);
      if v_claim.attempts - v_claim.released > v_rules.max_attempts then
        v_done := pgstate._end_run(v_actor, v_claim.key, v_head, 'failed', 'error',
          convert_to('given up after ' || v_rules.max_attempts || ' workers: the lease of the last one ended', 'UTF8')) is not null;
        continue;
      end if;
    end if;
    if v_head.value ->> 'status' <> 'running' then
      v_head.value := v_head.value || '{"status": "running"}';
      v_head.version := pgstate._thread_write(v_actor, v_claim.key, v_head, v_head.value, null, 'run');
    end if;
    v_run := pgstate._run_of(v_claim.key);
    if v_run.code is distinct from take_runs.codes[array_position(take_runs.names, v_run.name)] then
      v_done := pgstate._new_code(v_claim.key, take_runs.codes[array_position(take_runs.names, v_run.name)]) is not null;
    end if;
    begin
      v_out := pgstate._run_full(v_claim.key, 'ok', v_claim, false);
    exception when program_limit_exceeded then
      -- nobody could go on with it, and nobody take the others after it
      v_done := pgstate._end_run(v_actor, v_claim.key, v_head, 'failed', 'error',
        convert_to('given up: what its steps have recorded is more than can be read at once (1 GB)', 'UTF8')) is not null;
      continue;
    end;
    v_taken := v_taken || jsonb_build_array(jsonb_build_array(v_claim.key, v_claim.token));
    v_outs := v_outs || v_out;
  end loop;
  if jsonb_array_length(v_taken) < take_runs."limit" then
    v_out := null;
    v_out.status := 'missing';
    v_out.retry_in := pgstate._next_ready(take_runs.names, v_ranges, v_regex);
    v_outs := v_outs || v_out;
  end if;
  if take_runs.lane is not null then
    v_done := pgstate._lane_end(take_runs.lane, take_runs.turn, v_taken);
  end if;
  return query select o.* from unnest(v_outs) o;
end
$$;
comment on function pgstate.take_runs(text[], int, interval, text, text[], uuid, bigint, text) is
  'Claims up to limit open runs of these workflows that match the pattern and that nobody works on, those of a dead worker among them, the highest priority first; as start_run() returns them. codes: the version of the code of each workflow. Fewer: the last row has status missing, and retry_in tells when to look again. A run that its policy''s max_attempts of workers died with fails. Needs read and write. PS002 PS007 PS010 PS031.';

-- functions/runs/finish_steps.sql
-- Steps of any number of runs in one statement: their records, and for each a version of its run's entry. The entries are
-- locked in key order; everything after that costs the same however many steps there were before.
create function pgstate.finish_steps(
  keys text[], tokens bigint[], steps text[], names text[], kinds text[], positions int[], mains boolean[], states text[], types text[],
  data bytea[], attempts int[], elapsed float8[], due_ats timestamptz[] default null, lane uuid default null, turn bigint default null,
  wake boolean default true, agent text default null
) returns setof pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(finish_steps.agent, finish_steps.lane, finish_steps.turn);
  v_count int := coalesce(cardinality(finish_steps.keys), 0);
  v_codes text[];
  -- null unless a step is there twice
  v_firsts bigint[];
  v_locked text[];
  v_values jsonb[];
  v_recorded pgstate._step_done[];
  v_versions bigint[];
  v_lost boolean;
  v_now timestamptz := pgstate._now();
  v_watched boolean;
  v_plain boolean := false;
  v_out pgstate.step_outcome;
  v_written text[];
  v_outcome jsonb := v_actor.kept;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  -- assigning is an expression, PERFORM is a query: 5 us
  v_set text;
begin
  if v_count <> any (array[
       coalesce(cardinality(finish_steps.tokens), 0), coalesce(cardinality(finish_steps.steps), 0), coalesce(cardinality(finish_steps.names), 0),
       coalesce(cardinality(finish_steps.kinds), 0), coalesce(cardinality(finish_steps.positions), 0), coalesce(cardinality(finish_steps.mains), 0),
       coalesce(cardinality(finish_steps.states), 0), coalesce(cardinality(finish_steps.types), 0), coalesce(cardinality(finish_steps.data), 0),
       coalesce(cardinality(finish_steps.attempts), 0), coalesce(cardinality(finish_steps.elapsed), 0),
       coalesce(cardinality(finish_steps.due_ats), v_count)])
     or array_ndims(finish_steps.keys) <> 1 or array_lower(finish_steps.keys, 1) <> 1 then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, have one dimension and begin at 1';
  elsif v_count = 0 then
    return;
  elsif v_outcome is not null then
    return query
      select o.ord::int, o.item ->> 0, (o.item ->> 1)::bigint, (o.item ->> 2)::boolean, o.item ->> 3,
             pgstate._error_text(o.item ->> 3, finish_steps.keys[o.ord]), true
        from jsonb_array_elements(v_outcome) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;
  if finish_steps.wake is not true then
    v_set := set_config('pgstate.wake', 'off', true);
  end if;
  v_codes := array(
    select case when i.key is null or not pgstate._key_ok(i.key) then 'PS001'
                when not ((select v_actor.reads + '{}') @> i.key and (select v_actor.writes + '{}') @> i.key) then 'PS010'
                when octet_length(i.data) > v_actor.value_limit then 'PS004'
                when i.token is null or i.position is null or i.main is null or i.attempts is null or i.attempts < 0
                     or (octet_length(i.step) between 1 and 512) is not true or (octet_length(i.name) between 1 and 256) is not true
                     or (i.kind in ('step', 'map', 'sleep', 'signal', 'child', 'now', 'undo')) is not true
                     or (i.state in ('done', 'failed')) is not true
                     or (i.elapsed is null or i.elapsed between 0 and 3e9) is not true
                     or i.due_at not between '1970-01-01' and '9999-12-01' then 'PS007' end
      from unnest(finish_steps.keys, finish_steps.tokens, finish_steps.steps, finish_steps.names, finish_steps.kinds, finish_steps.positions,
                  finish_steps.mains, finish_steps.states, finish_steps.data, finish_steps.attempts, finish_steps.elapsed, finish_steps.due_ats) with ordinality
           as i (key, token, step, name, kind, position, main, state, data, attempts, elapsed, due_at, ord)
     order by i.ord);
  if pgstate._suspect_parts(finish_steps.steps || finish_steps.names, finish_steps.types, finish_steps.data) then
    -- whatever their bounds, as unnest() takes them
    finish_steps.steps := array(select unnest(finish_steps.steps));
    finish_steps.names := array(select unnest(finish_steps.names));
    finish_steps.types := array(select unnest(finish_steps.types));
    finish_steps.data := array(select unnest(finish_steps.data));
    for v_index in 1 .. v_count loop
      continue when v_codes[v_index] is not null;
      if pgstate._secret_in(v_actor, finish_steps.keys[v_index], finish_steps.steps[v_index] || ' ' || finish_steps.names[v_index]) is not null then
        v_codes[v_index] := 'PS009';
      else
        -- not refused, whatever the policy: a result would be lost, and the step done again
        finish_steps.data[v_index] := pgstate._guarded_data(v_actor, finish_steps.keys[v_index], finish_steps.types[v_index], finish_steps.data[v_index], false);
      end if;
    end loop;
  end if;
  if v_count > 1 then
    select array_agg(f.first order by f.ord) into v_firsts
      from (select i.ord, min(i.ord) filter (where i.code is null) over (partition by i.key, i.token, i.step) as first
              from unnest(finish_steps.keys, finish_steps.tokens, finish_steps.steps, v_codes) with ordinality as i (key, token, step, code, ord)) f
    having bool_or(f.first < f.ord);
  end if;
  select array_agg(e.key order by e.key), array_agg(e.value order by e.key) into v_locked, v_values
    from (select distinct u.key collate "C" as key from unnest(finish_steps.keys, v_codes) u (key, code) where u.code is null order by 1) i
    cross join lateral (
      select x.key, x.value, x.expires_at from pgstate.entry x
       where x.key = i.key and x.value is not null and x.kind = 'run' for no key update) e
   where e.expires_at is null or e.expires_at > pgstate._now();
  if v_locked is not null then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(v_locked);
    end if;
    v_now := pgstate._now();
    v_plain := array_to_string(v_codes, '') = '' and finish_steps.keys <@ v_locked and v_firsts is null;
    -- of the others nothing is asked: keys that were not locked go along as null
    v_recorded := pgstate._add_steps(v_actor, v_now,
      case when v_plain then finish_steps.keys else array(
        select case when u.code is null and u.key = any (v_locked) and (v_firsts is null or v_firsts[u.ord] = u.ord) then u.key end
          from unnest(finish_steps.keys, v_codes) with ordinality u (key, code, ord) order by u.ord) end,
      finish_steps.tokens, finish_steps.steps, finish_steps.names, finish_steps.kinds, finish_steps.positions, finish_steps.mains,
      finish_steps.states, finish_steps.types, finish_steps.data, finish_steps.attempts, finish_steps.elapsed, finish_steps.due_ats);
    if v_firsts is not null then
      for v_index in 1 .. v_count loop
        if v_firsts[v_index] < v_index then
          v_recorded[v_index].status := replace(v_recorded[v_firsts[v_index]].status, 'ok', 'exists');
          v_recorded[v_index].cancelled := v_recorded[v_firsts[v_index]].cancelled;
        end if;
      end loop;
    end if;
    with good as materialized (
      select d.ord, finish_steps.keys[d.ord] as key, finish_steps.steps[d.ord] as step,
             row_number() over (partition by finish_steps.keys[d.ord] order by d.ord) as n,
             count(*) over (partition by finish_steps.keys[d.ord]) as total,
             v_values[array_position(v_locked, finish_steps.keys[d.ord])] as value
        from unnest(v_recorded) d where d.status = 'ok'
    ), news as materialized (
      select g.*, g.value || jsonb_build_object('step', g.step, 'steps', coalesce((g.value -> 'steps')::bigint, 0) + g.n) as new,
             v_now + case when g.value ? 'ttl' then nullif(make_interval(secs => (g.value -> 'ttl')::float8), interval '0')
                          when v_actor.policies then (pgstate._policy_of(g.key)).ttl end as expires_at
        from good g
    ), heads as (
      update pgstate.entry e
         set version = e.version + g.total, value = g.new, writer = v_actor.name, via = session_user, updated_at = v_now, expires_at = g.expires_at,
             trust = case when v_actor.policies then pgstate._capped(v_actor.trust, e.key) else v_actor.trust end
        from news g where e.key = g.key and g.n = g.total
      returning e.key, e.version, e.trust
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select g.key, h.version - g.total + g.n, v_actor.epoch, 'put', g.new, v_actor.name, session_user, v_now, g.expires_at, h.trust
        from news g join heads h on h.key = g.key order by g.key, g.n
    )
    select array_agg(h.version - g.total + g.n order by d.ord), bool_or(d.status = 'ok' and h.version is null) into v_versions, v_lost
      from unnest(v_recorded) d left join news g on g.ord = d.ord left join heads h on h.key = g.key;
    if v_lost then
      -- the right was taken while the lock was waited for
      perform pgstate._deny();
    end if;
  end if;
  if finish_steps.wake is not true then
    v_set := set_config('pgstate.wake', v_wake, true);
  end if;
  if v_plain and v_count = 1 then
    -- without queries: most steps come alone
    v_out := row(1, v_recorded[1].status, v_versions[1], v_recorded[1].cancelled, null, null, null)::pgstate.step_outcome;
    v_outcome := jsonb_build_array(jsonb_build_array(v_out.status, v_out.version, v_out.cancelled, null));
    v_written := case when v_out.status = 'ok' then finish_steps.keys else '{}' end;
  elsif finish_steps.lane is not null or finish_steps.wake is not true then
    v_outcome := (
      select jsonb_agg(jsonb_build_array(case when u.code is null then coalesce((v_recorded[u.ord]).status, 'missing') when u.code = 'PS010' then 'denied' else 'invalid' end,
                                         v_versions[u.ord], (v_recorded[u.ord]).cancelled, u.code) order by u.ord)
        from unnest(v_codes) with ordinality u (code, ord));
    v_written := array(select finish_steps.keys[d.ord] from unnest(v_recorded) d where d.status = 'ok');
  end if;
  if finish_steps.lane is not null or finish_steps.wake is not true then
    v_watched := pgstate._finish(finish_steps.lane, finish_steps.turn, v_outcome, case when finish_steps.wake is not true then v_written end,
                                 finish_steps.wake is null, v_now);
  end if;
  if v_out.status is not null then
    v_out.watched := v_watched;
    return next v_out;
    return;
  end if;
  return query
    select u.ord::int, case when u.code is null then coalesce((v_recorded[u.ord]).status, 'missing') when u.code = 'PS010' then 'denied' else 'invalid' end,
           v_versions[u.ord], (v_recorded[u.ord]).cancelled, u.code,
           case when u.code is not null then pgstate._error_text(u.code, finish_steps.keys[u.ord]) end, v_watched
      from unnest(v_codes) with ordinality u (code, ord);
end
$$;
comment on function pgstate.finish_steps(text[], bigint[], text[], text[], text[], int[], boolean[], text[], text[], bytea[], int[], float8[], timestamptz[], uuid, bigint, boolean, text) is
  'Records finished steps of runs that the caller holds by their tokens, each with a version of its run''s entry, in one statement: one outcome per row, in the order of the input; a refused row harms no other. states: done, with data of a serializer''s form types, or failed (type error, data the message). positions and mains: which step of the code it is, and whether its order counts. elapsed: seconds. due_ats: until when a sleep lasts. wake as in write_one(). Status ok, stale, missing, ended, exists (there is a record, which stays). Secrets are redacted in what is JSON, unless the guard of the key is off. PS007 PS010 PS031.';

-- functions/runs/end_run.sql
create function pgstate.end_run(
  key text, token bigint, state text, type text default null, data bytea default null, ready_in interval default null, lane uuid default null,
  turn bigint default null, agent text default null, waits_for text[] default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- for one key the actor has no ranges, which the runs that it waits for are compared with
  v_children boolean := coalesce(cardinality(end_run.waits_for), 0) > 0;
  v_actor pgstate._actor := pgstate._enter_write(end_run.agent, end_run.lane, end_run.turn, case when not v_children then end_run.key end);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_sleeps boolean;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif end_run.token is null or end_run.state is null or end_run.state not in ('done', 'failed', 'cancelled', 'open')
        or end_run.ready_in is not null and not pgstate._span_or_0(end_run.ready_in) then
    raise exception using errcode = 'PS007', message = 'a run ends as done, failed or cancelled, or is given back as open, by its token; ready_in is at most 100 years, or 0';
  elsif octet_length(end_run.data) > v_actor.value_limit then
    perform pgstate._raise('PS004', end_run.key);
  end if;
  if v_children then
    v_actor.readable := v_actor.reads @> end_run.key;
    v_actor.writable := v_actor.writes @> end_run.key;
  end if;
  end_run.data := pgstate._guarded_data(v_actor, end_run.key, end_run.type, end_run.data, false);
  v_head := pgstate._thread_lock(v_actor, end_run.key, end_run.token, false, 'run');
  v_out.status := coalesce(v_head.status, 'ok');
  if v_head.status is null and end_run.state <> 'open' then
    v_out.version := pgstate._end_run(v_actor, end_run.key, v_head, end_run.state, end_run.type, end_run.data);
  elsif v_head.status is null then
    update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, released = c.released + 1 where c.key = end_run.key;
    v_sleeps := end_run.waits_for is not null and pgstate._set_down_run(end_run.key, end_run.ready_in,
      array(select k from unnest(end_run.waits_for) k where v_actor.reads @> k));
    v_out.version := pgstate._thread_write(v_actor, end_run.key, v_head,
      v_head.value || jsonb_build_object('status', case when v_sleeps then 'asleep' else 'waiting' end), null, 'run');
    if end_run.waits_for is null and end_run.ready_in > interval '0' then
      perform pgstate._delay_run(end_run.key, end_run.ready_in);
    end if;
  end if;
  if end_run.lane is not null then
    v_done := pgstate._lane_end(end_run.lane, end_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.end_run(text, bigint, text, text, bytea, interval, uuid, bigint, text, text[]) is
  'Ends a run that the caller holds: state done with its result, failed (type error, data the message), cancelled; or gives it back to other workers (open), for ready_in at the earliest. With waits_for it sleeps: until ready_in is over, if it is given, a signal comes that one of its steps waits for, a run of these keys that it has started ends, or it is cancelled. Status ok with the version of its entry, stale or missing. PS001 PS004 PS007 PS010 PS031 PS040.';

-- functions/runs/signal_run.sql
create function pgstate.signal_run(
  key text, name text, type text default null, data bytea default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(signal_run.agent, signal_run.lane, signal_run.turn, signal_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_rule text;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif (octet_length(signal_run.name) between 1 and 256) is not true then
    raise exception using errcode = 'PS007', message = 'the name of a signal has 1 to 256 bytes';
  elsif octet_length(signal_run.data) > v_actor.value_limit then
    perform pgstate._raise('PS004', signal_run.key);
  end if;
  -- who may not is denied below, and learns of no guard
  if (v_actor.readable and v_actor.writable) is true then
    v_rule := pgstate._secret_in(v_actor, signal_run.key, signal_run.name);
    if v_rule is not null then
      perform pgstate._raise('PS009', signal_run.key, pgstate._error_text('PS009', signal_run.key) || ': ' || v_rule);
    end if;
    signal_run.data := pgstate._guarded_data(v_actor, signal_run.key, signal_run.type, signal_run.data, true);
  end if;
  v_head := pgstate._thread_lock(v_actor, signal_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif pgstate._add_signal(v_actor, signal_run.key, signal_run.name, signal_run.type, signal_run.data, v_head.at) then
    v_out.status := 'ok';
    v_out.version := pgstate._thread_write(v_actor, signal_run.key, v_head, v_head.value || jsonb_build_object('signal', signal_run.name)
      || case when v_head.value ->> 'status' = 'asleep' and not (pgstate._run_of(signal_run.key)).asleep then '{"status": "waiting"}'::jsonb else '{}' end, null, 'run');
  else
    v_out.status := 'ended';
  end if;
  if signal_run.lane is not null then
    v_done := pgstate._lane_end(signal_run.lane, signal_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.signal_run(text, text, text, bytea, uuid, bigint, text) is
  'Sends a signal to a run, whether or not anybody works on it: kept until a step of that name takes it, once. data is of a serializer''s form type. Status ok, missing, or ended. Needs read and write. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';

-- functions/runs/take_signal.sql
create function pgstate.take_signal(
  key text, token bigint, step text, name text, "position" int, main boolean, timeout interval default null, lane uuid default null,
  turn bigint default null, agent text default null
) returns pgstate.signalled
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(take_signal.agent, take_signal.lane, take_signal.turn, take_signal.key);
  v_head pgstate._thread_head;
  v_out pgstate.signalled;
  v_done boolean;
  v_rule text;
begin
  if v_actor.kept is not null then
    return jsonb_populate_record(null::pgstate.signalled, v_actor.kept);
  elsif take_signal.token is null or take_signal.main is null or (octet_length(take_signal.step) between 1 and 512) is not true
     or (octet_length(take_signal.name) between 1 and 256) is not true
     or take_signal.timeout is not null and not pgstate._span_or_0(take_signal.timeout) then
    raise exception using errcode = 'PS007', message = 'a step has 1 to 512 bytes, the name of a signal 1 to 256, a timeout is at most 100 years; a token is needed';
  end if;
  v_head := pgstate._thread_lock(v_actor, take_signal.key, take_signal.token, false, 'run');
  v_rule := pgstate._secret_in(v_actor, take_signal.key, take_signal.step || ' ' || take_signal.name);
  if v_rule is not null then
    perform pgstate._raise('PS009', take_signal.key, pgstate._error_text('PS009', take_signal.key) || ': ' || v_rule);
  end if;
  v_out.status := v_head.status;
  if v_head.status is null then
    v_out := pgstate._take_signal(take_signal.key, take_signal.token, take_signal.step, take_signal.name, take_signal."position", take_signal.main,
                                  take_signal.timeout, v_head.at, case when v_actor.quota then v_actor.id end);
    if v_out.status in ('ok', 'timeout') then
      v_out.version := pgstate._thread_write(v_actor, take_signal.key, v_head, v_head.value - 'waits' || jsonb_build_object(
        'step', take_signal.step, 'steps', coalesce((v_head.value -> 'steps')::bigint, 0) + 1), null, 'run');
    elsif v_out.status = 'pending' and v_head.value ->> 'waits' is distinct from take_signal.name then
      v_out.version := pgstate._thread_write(v_actor, take_signal.key, v_head, v_head.value || jsonb_build_object('waits', take_signal.name), null, 'run');
    end if;
  end if;
  if take_signal.lane is not null then
    v_done := pgstate._lane_end(take_signal.lane, take_signal.turn, to_jsonb(v_out));
  end if;
  return v_out;
end
$$;
comment on function pgstate.take_signal(text, bigint, text, text, int, boolean, interval, uuid, bigint, text) is
  'A step of a run that the caller holds takes the oldest signal of a name, and is recorded with it: status ok; or waits (pending, until due_at, which timeout sets when it begins to wait), or has waited for too long (timeout). Status also stale, missing, ended, exists. Needs read and write. PS001 PS007 PS009 PS010 PS031 PS040.';

-- functions/runs/cancel_run.sql
create function pgstate.cancel_run(key text, lane uuid default null, turn bigint default null, agent text default null) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(cancel_run.agent, cancel_run.lane, cancel_run.turn, cancel_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  end if;
  v_head := pgstate._thread_lock(v_actor, cancel_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif (pgstate._run_of(cancel_run.key)).state <> 'open' then
    v_out.status := 'ended';
  elsif exists (select from pgstate.claim c where c.key = cancel_run.key and c.lease_until > v_head.at) then
    v_out.status := 'pending';
    if not v_head.value ? 'cancelling' then
      v_done := pgstate._cancel_run(cancel_run.key, v_head.at);
      v_out.version := pgstate._thread_write(v_actor, cancel_run.key, v_head, v_head.value || '{"cancelling": true}', null, 'run');
    end if;
  elsif pgstate._cancel_run(cancel_run.key, v_head.at) then
    v_out.status := 'pending';
    if not v_head.value ? 'cancelling' then
      v_out.version := pgstate._thread_write(v_actor, cancel_run.key, v_head, v_head.value || '{"cancelling": true, "status": "waiting"}', null, 'run');
    end if;
  else
    v_out.status := 'ok';
    v_out.version := pgstate._end_run(v_actor, cancel_run.key, v_head, 'cancelled', null, null);
  end if;
  if cancel_run.lane is not null then
    v_done := pgstate._lane_end(cancel_run.lane, cancel_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.cancel_run(text, uuid, bigint, text) is
  'Cancels a run: status ok; or pending while there may be something to undo: who works on it is told, else the next worker that knows its workflow does it. One that has no workflow, or has done nothing, ends at once. Also missing, ended. Needs read and write. PS001 PS010 PS031 PS040.';

-- functions/runs/cancelled_runs.sql
create function pgstate.cancelled_runs(keys text[], agent text default null) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(cancelled_runs.agent);
  v_key text;
begin
  for v_key in select k from unnest(cancelled_runs.keys) k where (select v_actor.reads + '{}') @> k loop
    if (pgstate._run_of(v_key)).cancel_at is not null then
      return next v_key;
    end if;
  end loop;
end
$$;
comment on function pgstate.cancelled_runs(text[], text) is 'Which of these runs, of those that the caller may read, have been told to end. For who works on them. PS010.';

-- functions/runs/retry_run.sql
create function pgstate.retry_run(key text, lane uuid default null, turn bigint default null, agent text default null) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(retry_run.agent, retry_run.lane, retry_run.turn, retry_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  end if;
  v_head := pgstate._thread_lock(v_actor, retry_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif (pgstate._run_of(retry_run.key)).state in ('open', 'done') then
    v_out.status := (pgstate._run_of(retry_run.key)).state;
  else
    v_out.status := 'ok';
    v_out.version := pgstate._thread_write(v_actor, retry_run.key, v_head, v_head.value - 'error' - 'cancelling' || jsonb_build_object(
      'status', 'waiting', 'steps', pgstate._reopen_run(retry_run.key)), null, 'run');
  end if;
  if retry_run.lane is not null then
    v_done := pgstate._lane_end(retry_run.lane, retry_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.retry_run(text, uuid, bigint, text) is
  'Lets a failed or cancelled run go on: its workers take it again. The steps that it failed with are done again; one that undid what it had done begins anew. Status ok, open or done (nothing to retry), missing. Needs read and write. PS001 PS010 PS031 PS040.';

-- functions/runs/fork_run.sql
create function pgstate.fork_run(
  key text, target text, from_step text default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fork_run.agent, fork_run.lane, fork_run.turn);
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_steps bigint;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif fork_run.key is null or not pgstate._key_ok(fork_run.key) then
    perform pgstate._bad_key(fork_run.key);
  elsif (v_actor.reads @> fork_run.key) is not true then
    perform pgstate._deny();
  end if;
  v_actor.readable := v_actor.reads @> fork_run.target;
  v_actor.writable := v_actor.writes @> fork_run.target;
  v_head := pgstate._thread_lock(v_actor, fork_run.target, null, true, 'run');
  v_run := pgstate._run_of(fork_run.key);
  if v_head.live then
    v_out.status := 'conflict';
  elsif v_run.id is null or not exists (select from pgstate.entry e where e.key = fork_run.key and (e.expires_at is null or e.expires_at > v_head.at)) then
    v_out.status := 'missing';
  else
    v_steps := pgstate._fork_run(fork_run.key, fork_run.target, fork_run.from_step, v_head.at, case when v_actor.quota then v_actor.id end);
    v_out.status := case when v_steps is null then 'missing' else 'ok' end;
    if v_steps is not null then
      v_out.version := pgstate._thread_write(v_actor, fork_run.target, v_head, jsonb_build_object('status', 'waiting', 'steps', v_steps)
        || case when v_run.name is not null then jsonb_build_object('run', v_run.name) else '{}' end, null, 'run');
    end if;
  end if;
  if fork_run.lane is not null then
    v_done := pgstate._lane_end(fork_run.lane, fork_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.fork_run(text, text, text, uuid, bigint, text) is
  'Makes a run under another key with the results that one had before a step (all, when from_step is null), to go on its own way from there. Status ok, conflict when there is a run under target, missing (the run, or its step). Needs read on key, read and write on target. PS001 PS009 PS010 PS031 PS040.';

-- functions/runs/delete_run.sql
create function pgstate.delete_run(
  key text, token bigint default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(delete_run.agent, delete_run.lane, delete_run.turn, delete_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.written;
  v_done boolean;
  v_trust pgstate.trust;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint, null)::pgstate.written;
  end if;
  v_head := pgstate._thread_lock(v_actor, delete_run.key, delete_run.token, false, 'run');
  v_out.status := coalesce(v_head.status, 'ok');
  v_out.version := 0;
  if v_head.status is null then
    update pgstate.entry e
       set version = v_head.version + 1, live = false, value = null, writer = v_actor.name, via = session_user, updated_at = v_head.at,
           expires_at = null, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, delete_run.key) else v_actor.trust end
     where e.key = delete_run.key returning e.version, e.trust into v_out.version, v_trust;
    insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
    values (delete_run.key, v_out.version, v_actor.epoch, 'delete', v_actor.name, session_user, v_head.at, v_trust);
    delete from pgstate.claim c where c.key = delete_run.key;
    perform pgstate._detach_threads(array[delete_run.key]);
  end if;
  if delete_run.lane is not null then
    v_done := pgstate._lane_end(delete_run.lane, delete_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.delete_run(text, bigint, uuid, bigint, text) is
  'Deletes a run with its steps and signals; maintain() removes them. Status ok, missing, held or stale. Needs read and write. PS001 PS010 PS031 PS040.';

-- functions/runs/runs.sql
create function pgstate.runs(
  pattern text default '', "limit" int default 1000, after text default null, states text[] default null, agent text default null
) returns setof pgstate.run_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(runs.agent);
  v_ranges pgstate.keymultirange;
begin
  if not coalesce(runs.states <@ array['waiting', 'running', 'done', 'failed', 'cancelled'], true) then
    raise exception using errcode = 'PS007', message = 'states are waiting, running, done, failed and cancelled';
  end if;
  v_ranges := pgstate._page_ranges(v_actor, runs.pattern, runs."limit", runs.after);
  return query select r.* from pgstate._runs(v_ranges, pgstate._pattern_regex(runs.pattern), runs.states, runs."limit", v_actor.reads) r;
end
$$;
comment on function pgstate.runs(text, int, text, text[], text) is
  'Runs that match a pattern and that the caller may read, in key order: their state, the step that was finished last, who works on them. states: only these. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';

-- functions/runs/run_steps.sql
create function pgstate.run_steps(key text, agent text default null) returns setof pgstate.step_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(run_steps.agent, run_steps.key, false);
begin
  if run_steps.key is null or not pgstate._key_ok(run_steps.key) then
    perform pgstate._bad_key(run_steps.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select s.* from pgstate._run_steps(run_steps.key) s;
end
$$;
comment on function pgstate.run_steps(text, text) is 'The steps of a run in the order of its code, with their results where those are JSON. PS001 PS010.';

-- functions/as_installer.sql
-- What follows belongs to whoever installs: it creates roles, which only an administrator can.
reset role;

-- functions/admin/_ensure_login.sql
-- These make roles, which only an administrator with CREATEROLE can: they run as the caller, and the functions below them
-- check pgstate's own admin right.
create function pgstate._ensure_login(p_login text, p_group text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if p_login is null or p_login = '' or octet_length(p_login) > 63 then
    raise exception using errcode = 'PS007', message = 'a login is the name of a database role, 1 to 63 bytes';
  elsif p_login ~ '^pgstate_(owner|api|agent|reader)$' then
    raise exception using errcode = 'PS007', message = format('%L is a role of pgstate itself', p_login);
  end if;
  -- who has no CREATEROLE may let in logins that an administrator made
  if not exists (select from pg_roles r where r.rolname = p_login) then
    begin
      execute format('create role %I login', p_login);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end if;
  if not pg_has_role(p_login, p_group, 'MEMBER') then
    execute format('grant %I to %I', p_group, p_login);
  end if;
end
$$;
comment on function pgstate._ensure_login(text, text) is 'Internal: makes a login role if there is none, and puts it into a group.';

-- functions/admin/create_agent.sql
create function pgstate.create_agent(name text, login text default null, reuse boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_agent(create_agent.name, create_agent.login, array['read memory/{agent}/**', 'write memory/{agent}/**'],
                             create_agent.reuse);
  if create_agent.login is not null then
    perform pgstate._ensure_login(create_agent.login, 'pgstate_agent');
  end if;
end
$$;
comment on function pgstate.create_agent(text, text, boolean) is
  'Registers an agent with read and write on memory/{agent}/**. login: a database login of its own, made without a password if there is none (ALTER ROLE ... PASSWORD sets one). reuse: also under the name of an agent that was dropped, whose memory it then reads. Needs admin on everything, and CREATEROLE when a login is given. PS007 PS010.';

-- functions/admin/create_gateway.sql
create function pgstate.create_gateway(login text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_gateway(create_gateway.login);
  perform pgstate._ensure_login(create_gateway.login, 'pgstate_agent');
end
$$;
comment on function pgstate.create_gateway(text) is
  'Registers a login that acts for the agents delegated to it, named by each call''s agent argument or the transaction-local setting pgstate.agent. Needs admin on everything and CREATEROLE. PS007 PS010.';

-- functions/admin/create_reader.sql
create function pgstate.create_reader(login text, pattern text, reuse boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_agent(create_reader.login, create_reader.login, array['read ' || coalesce(create_reader.pattern, '')], create_reader.reuse);
  perform pgstate._ensure_login(create_reader.login, 'pgstate_agent');
  perform pgstate._ensure_login(create_reader.login, 'pgstate_reader');
end
$$;
comment on function pgstate.create_reader(text, text, boolean) is
  'A login for trusted people: plain SELECT on the views, row-level security in force, and read on a key or subtree. The planner''s estimates can show that hidden rows exist: not for agents. reuse: also under the name of an agent or reader that was dropped. Needs admin on everything and CREATEROLE. PS002 PS007 PS010.';

-- functions/admin/set_login.sql
create function pgstate.set_login(agent text, login text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._set_login(set_login.agent, set_login.login);
  if set_login.login is not null then
    perform pgstate._ensure_login(set_login.login, 'pgstate_agent');
  end if;
end
$$;
comment on function pgstate.set_login(text, text) is
  'Moves an agent to another database login, made without a password if there is none; null: it has none of its own and acts through gateways. The login that it had is nobody''s from then on, its database role stays: DROP ROLE removes that. For the login of a reader use drop_agent() and create_reader(). Needs admin on everything, and CREATEROLE when a login is given. PS007 PS010.';

-- functions/admin/harden.sql
-- From one login for everything to a gateway, or to a login for each agent. All of it or nothing, and again without effect.
create function pgstate.harden(
  gateway text default null, agents text[] default null, logins boolean default false, prefix text default '',
  tickets boolean default false, dry_run boolean default false
) returns setof pgstate.harden_step
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  v_step pgstate.harden_step;
  v_role pg_roles;
begin
  for v_step in
    select p.* from pgstate._harden_plan(harden.gateway, harden.agents, harden.logins, harden.prefix, harden.tickets) p
  loop
    if v_step.action = 'note' then
      return next v_step;
      continue;
    end if;
    v_role := null;
    if v_step.action = 'create_role' then
      -- as it was before
      select r.* into v_role from pg_roles r where r.rolname = v_step.login;
    end if;
    if v_step.state::boolean then
      v_step.state := 'there';
    elsif harden.dry_run then
      v_step.state := 'to do';
    else
      case v_step.action
        when 'create_role' then perform pgstate._ensure_login(v_step.login, 'pgstate_agent');
        when 'create_gateway' then perform pgstate.create_gateway(v_step.login);
        when 'create_agent' then perform pgstate.create_agent(v_step.agent);
        when 'delegate' then perform pgstate.delegate(v_step.login, v_step.agent);
        when 'set_login' then perform pgstate.set_login(v_step.agent, v_step.login);
        when 'require_tickets' then perform pgstate.require_tickets(v_step.login);
      end case;
      v_step.state := 'done';
    end if;
    if v_step.action = 'create_role' then
      v_step.note := nullif(concat_ws(' ',
        case when v_role.oid is null then E'It has no password yet: ALTER ROLE ... PASSWORD, or \\password in psql.'
             when v_step.state <> 'there' then 'It was there: who logs in by it acts so from now on.' end,
        case when not v_role.rolcanlogin then 'It may not log in: ALTER ROLE ... LOGIN.' end,
        case when not has_database_privilege(coalesce(v_role.oid, to_regrole(quote_ident(v_step.login))), current_database(), 'CONNECT')
             then 'It may not connect: GRANT CONNECT ON DATABASE.' end), '');
    end if;
    return next v_step;
  end loop;
end
$$;
comment on function pgstate.harden(text, text[], boolean, text, boolean, boolean) is
  'Goes from one login for everything to isolation: a gateway, which acts for the agents delegated to it, or with logins => true a login for each agent, called as the agent with a prefix. agents: these, made if there are none; without, all that are registered, but for readers. tickets: the gateway names agents by tickets alone. Makes what is missing, database roles too, without passwords, and tells each step; dry_run: tells them alone. Needs admin on everything and CREATEROLE. PS007 PS010.';

-- functions/as_owner.sql
-- What follows belongs to the tables' owner.
set local role pgstate_owner;

-- functions/admin/_register.sql
-- Run as the owner. The role that installs is agent admin with all rights, so that a quick start works.
insert into pgstate.install (identity, table_oid, timeline) values (pgstate._identity(), 'pgstate.install'::regclass, pgstate._timeline()) on conflict do nothing;
insert into pgstate.sweep (delay) values ('0') on conflict do nothing;
insert into pgstate.thinning (older, every)
select t.* from (values (interval '1 day', interval '1 minute'), ('30 days', '1 hour')) t where not exists (select from pgstate.thinning);
insert into pgstate.agent (name, root, trust) values ('admin', true, 'operator') on conflict do nothing;
insert into pgstate.login (login, agent_id, root) select session_user, a.id, true from pgstate.agent a where a.name = 'admin' on conflict do nothing;
insert into pgstate.access_grant (agent_id, subtree, "right", granted_by)
select a.id, '**', r, 'admin' from pgstate.agent a cross join unnest(array['read', 'write', 'admin']) r where a.name = 'admin'
    on conflict do nothing;
select pgstate._fold_grants(a.id) from pgstate.agent a;
select pgstate._settle_identity();

-- triggers/version_wake.sql
-- Wakes watchers in the writing transaction, so that any client does: psql, an ORM, a function of the application. The
-- Python client turns it off for its own writes and wakes after the commit: NOTIFY holds a lock of the whole cluster from
-- before the commit's flush until after it (5,500 inserts/s with it, 24,800 without, 17,800 with the NOTIFY apart).
--
-- No WHEN and no transition table: both cost every write 25 us, wanted or not. What is new is found by the transaction's id
-- instead, from the last seq on that an earlier statement of the transaction woke for.
create function pgstate._wake_written() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[];
  v_last text;
begin
  if not exists (select from pgstate.watcher) then
    return;
  end if;
  select array_agg(distinct v.key), max(v.seq)::text into v_keys, v_last
    from pgstate.version v
   where v.epoch = (select i.epoch from pgstate.install i) and v.xid = pg_current_xact_id()
     and v.seq > coalesce(nullif(current_setting('pgstate.woken', true), ''), '0')::bigint;
  if v_last is not null then
    perform pgstate._wake(v_keys);
    perform set_config('pgstate.woken', v_last, true);
  end if;
end
$$;
comment on function pgstate._wake_written() is 'Internal: wakes the watchers of what this transaction has written since it last did.';

-- Runs with every write of the Python client, to find that it has nothing to do: as its caller, and without a search_path of
-- its own, which cost more than all the rest of it.
create function pgstate._on_version() returns trigger
language plpgsql volatile
as $$
begin
  if (pg_catalog.current_setting('pgstate.wake', true) operator(pg_catalog.=) 'off'
      and (pg_catalog.current_setting('pgstate.quota', true) operator(pg_catalog.=) 'on') is not true) is not true then
    -- which only _enter_write() can have set after the statement began
    if pg_catalog.current_setting('pgstate.quota', true) operator(pg_catalog.=) 'on' then
      perform pgstate._charge();
    end if;
    if (pg_catalog.current_setting('pgstate.wake', true) operator(pg_catalog.=) 'off') is not true then
      perform pgstate._wake_written();
    end if;
  end if;
  return null;
end
$$;
comment on function pgstate._on_version() is 'Internal: counts what a statement wrote where the agent has a quota, and wakes its watchers.';

create trigger version_wake after insert on pgstate.version for each statement execute function pgstate._on_version();

-- triggers/version_search.sql
-- Where there are rules already: see _follow_writes().
select pgstate._follow_writes();

-- triggers/audit.sql
-- The audit trail is only added to. Retention lets go of what its time has passed for, and of its links after it; there is
-- no other way, for the tables' owner neither, short of removing these triggers.
create function pgstate._keep_audit() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if tg_op = 'DELETE' then
    if tg_table_name = 'audit' then
      if old.at < pgstate._now() - (select i.audit_keep from pgstate.install i) then
        return old;
      end if;
    elsif not exists (select from pgstate.audit a where a.id = old.audit_id) then
      return old;
    end if;
  end if;
  raise exception using errcode = 'PS010', message = 'the audit trail is only added to',
    hint = 'set_audit(keep) says after which time its entries are removed.';
end
$$;
comment on function pgstate._keep_audit() is 'Internal: refuses to change or remove what the audit trail holds.';

create trigger audit_kept before update or delete on pgstate.audit for each row execute function pgstate._keep_audit();
create trigger audit_kept_whole before truncate on pgstate.audit for each statement execute function pgstate._keep_audit();
create trigger audit_link_kept before update or delete on pgstate.audit_link for each row execute function pgstate._keep_audit();
create trigger audit_link_kept_whole before truncate on pgstate.audit_link for each statement execute function pgstate._keep_audit();

-- triggers/delegation_named.sql
-- A function of the revision before that was under way when this came knows no such column. What it adds takes the long way until the
-- reach is folded anew.
create function pgstate._on_delegation() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  new.agent_name := (select a.name from pgstate.agent a where a.id = new.agent_id);
  return new;
end
$$;
comment on function pgstate._on_delegation() is 'Internal: has a delegation name its agent.';

create trigger delegation_named before insert on pgstate.delegation for each row when (new.agent_name is null) execute function pgstate._on_delegation();

-- triggers/reach_delegated.sql
-- Delegations keep what their agents reach. By a trigger: whatever changes the reach, a function of the revision before too that
-- was under way when this came, leaves none behind.
create function pgstate._on_reach() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  update pgstate.delegation d
     set reads = new.reads, writes = new.writes, touches = new.touches, folded_until = new.folded_until, quota = new.quota, trust = new.trust
   where d.agent_name = (select a.name from pgstate.agent a where a.id = new.agent_id)
     -- a gateway more writes no other's row
     and (d.reads, d.writes, d.touches, d.folded_until, d.quota, d.trust)
         is distinct from (new.reads, new.writes, new.touches, new.folded_until, new.quota, new.trust);
  return null;
end
$$;
comment on function pgstate._on_reach() is 'Internal: copies what an agent reaches to its delegations.';

create trigger reach_delegated after insert or update on pgstate.reach for each row execute function pgstate._on_reach();

-- policies/policies.sql
-- The second wall: under the functions, which check first, policies bind pgstate_api itself. They compare the key with
-- the acting agent's cached ranges; the scalar subquery is computed once per statement. A lone put has six, a fifth of its time, so nothing that
-- is inserted is RETURNING what is known (it is checked once more), and equal expressions of the SELECT and UPDATE policies of
-- a table are folded into one: so an UPDATE sees what a SELECT sees, its new row must be writable, and the key, which alone
-- says what is writable, cannot be updated. For readers, a union with '{}' detoasts what the function returns once.
alter table pgstate.install enable row level security;
alter table pgstate.agent enable row level security;
alter table pgstate.login enable row level security;
alter table pgstate.delegation enable row level security;
alter table pgstate.access_grant enable row level security;
alter table pgstate.reach enable row level security;
alter table pgstate.watcher enable row level security;
alter table pgstate.entry enable row level security;
alter table pgstate.version enable row level security;
alter table pgstate.claim enable row level security;
alter table pgstate.claim_log enable row level security;
alter table pgstate.lane enable row level security;
alter table pgstate.op enable row level security;
alter table pgstate.policy enable row level security;
alter table pgstate.reducer enable row level security;
alter table pgstate.mark enable row level security;
alter table pgstate.sweep enable row level security;
alter table pgstate.review enable row level security;
alter table pgstate.thinning enable row level security;

create policy entry_see on pgstate.entry for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy entry_add on pgstate.entry for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy entry_change on pgstate.entry for update to pgstate_api
  using ((select r.touches from pgstate._acting_reach r) @> key) with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy entry_read on pgstate.entry for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

create policy version_see on pgstate.version for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy version_add on pgstate.version for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy version_read on pgstate.version for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

create policy claim_see on pgstate.claim for select to pgstate_api using ((select r.touches from pgstate._acting_reach r) @> key);
create policy claim_take on pgstate.claim for insert to pgstate_api with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_change on pgstate.claim for update to pgstate_api
  using ((select r.touches from pgstate._acting_reach r) @> key) with check ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_end on pgstate.claim for delete to pgstate_api using ((select r.writes from pgstate._acting_reach r) @> key);
create policy claim_read on pgstate.claim for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);

-- The functions reach the tables of threads and runs as their owner, having asked for the key; readers see what belongs to keys they read.
-- Each policy names a function of ours, or an internal view, by which clear.sql knows it.
create policy thread_read on pgstate.thread for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);
create policy checkpoint_read on pgstate.checkpoint for select to pgstate_reader using (thread_id in (select t.id from pgstate.thread t where (select pgstate._reachable('read') + '{}') @> t.key));
create policy run_read on pgstate.run for select to pgstate_reader using ((select pgstate._reachable('read') + '{}') @> key);
create policy step_read on pgstate.step for select to pgstate_reader using (run_id in (select r.id from pgstate.run r where (select pgstate._reachable('read') + '{}') @> r.key));

-- views/entries.sql
-- What people with SQL meet. security_invoker: a view of the owner's would go around row-level security.
create or replace view pgstate.entries with (security_invoker = true) as
select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value,
       e.version, e.kind::text as kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before, e.trust::text as trust
  from pgstate.entry e
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.entries is 'What every key holds now; expired and deleted ones are not here.';
comment on column pgstate.entries.key is 'The key: segments joined by /, in byte order.';
comment on column pgstate.entries.value is 'The current value.';
comment on column pgstate.entries.version is 'Number of the current version; rises by one with every change and never restarts.';
comment on column pgstate.entries.kind is 'value, thread or run.';
comment on column pgstate.entries.writer is 'The agent that wrote the current version.';
comment on column pgstate.entries.via is 'The database login that the writer came through.';
comment on column pgstate.entries.created_at is 'When the key came into being, last.';
comment on column pgstate.entries.updated_at is 'When the current version was written.';
comment on column pgstate.entries.expires_at is 'When the entry becomes invisible; null for never.';
comment on column pgstate.entries.priority is 'Higher ones are claimed first.';
comment on column pgstate.entries.not_before is 'Not claimable before this time.';
comment on column pgstate.entries.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';

-- views/versions.sql
create or replace view pgstate.versions with (security_invoker = true) as
select v.key, v.version, v.op::text as op,
       case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end as value, v.writer, v.via, v.at, v.expires_at, v.created, v.seq, v.trust::text as trust
  from pgstate.version v;
comment on view pgstate.versions is 'Every version of every key: who wrote what, through which login, and when.';
comment on column pgstate.versions.key is 'The key.';
comment on column pgstate.versions.version is 'Number of the version; dense for each key.';
comment on column pgstate.versions.value is 'The value; null where the key was removed.';
comment on column pgstate.versions.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.versions.via is 'The database login that the writer came through.';
comment on column pgstate.versions.at is 'When it was written.';
comment on column pgstate.versions.expires_at is 'When this version was to expire.';
comment on column pgstate.versions.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.versions.created is 'The key did not exist just before.';
comment on column pgstate.versions.seq is 'Order within the feed; not a cursor: a lower one may become visible after a higher one.';
comment on column pgstate.versions.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';

-- views/threads.sql
create or replace view pgstate.threads with (security_invoker = true) as
select e.key, e.value ->> 'checkpoint' as checkpoint, e.value ->> 'ns' as ns, (e.value -> 'checkpoints')::bigint as checkpoints,
       (e.value -> 'bytes')::bigint as bytes, e.version, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, t.forked_from, t.forked_id
  from pgstate.entry e join pgstate.thread t on t.key = e.key
 where e.live and t.begun_at is not null and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.threads is 'Recorded executions; expired and deleted ones are not here.';
comment on column pgstate.threads.key is 'The key.';
comment on column pgstate.threads.checkpoint is 'The checkpoint that was saved last.';
comment on column pgstate.threads.ns is 'Its namespace.';
comment on column pgstate.threads.checkpoints is 'How many checkpoints there are, in all namespaces.';
comment on column pgstate.threads.bytes is 'Bytes that were sent for them, before compression; what an earlier one holds already is not sent again.';
comment on column pgstate.threads.version is 'Version of the entry.';
comment on column pgstate.threads.writer is 'The agent that changed it last.';
comment on column pgstate.threads.via is 'The database login that the writer came through.';
comment on column pgstate.threads.created_at is 'When it began.';
comment on column pgstate.threads.updated_at is 'When it was last changed.';
comment on column pgstate.threads.expires_at is 'When it becomes invisible unless it is changed before; null for never.';
comment on column pgstate.threads.forked_from is 'The key of the thread that it was forked from.';
comment on column pgstate.threads.forked_id is 'The checkpoint that it was forked from; null for a copy of all.';

-- views/checkpoints.sql
create or replace view pgstate.checkpoints with (security_invoker = true) as
select t.key, c.ns, c.id, c.parent, c.metadata, c.run_id, c.names as channels, c.size, c.created_at, c.writer, c.via
  from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id join pgstate.entry e on e.key = t.key
 where e.live and t.begun_at is not null and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.checkpoints is 'Points of threads, without what they hold: see checkpoint_state().';
comment on column pgstate.checkpoints.key is 'The thread.';
comment on column pgstate.checkpoints.ns is 'The namespace within the thread: those of nested agents; empty for its own.';
comment on column pgstate.checkpoints.id is 'Compared as text: the highest of a namespace is its latest.';
comment on column pgstate.checkpoints.parent is 'The checkpoint that it came after; null for none.';
comment on column pgstate.checkpoints.metadata is 'What was said of it.';
comment on column pgstate.checkpoints.run_id is 'The run that made it.';
comment on column pgstate.checkpoints.channels is 'Names of what it holds.';
comment on column pgstate.checkpoints.size is 'Bytes that were sent for it.';
comment on column pgstate.checkpoints.created_at is 'When it was saved.';
comment on column pgstate.checkpoints.writer is 'The agent that saved it.';
comment on column pgstate.checkpoints.via is 'The database login that the writer came through.';

-- views/runs.sql
create or replace view pgstate.runs with (security_invoker = true) as
select e.key, r.name, case when r.state <> 'open' then r.state when c.lease_until > pgstate._now() then 'running' else 'waiting' end as state,
       e.value ->> 'step' as step, (e.value -> 'steps')::bigint as steps, case when c.lease_until > pgstate._now() then c.holder end as holder,
       case when c.lease_until > pgstate._now() then c.lease_until end as lease_until, r.priority, r.ready_at, r.deadline,
       e.value ->> 'error' as error, e.value ->> 'waits' as waits, r.code, r.parent, r.forked_from, r.forked_step, e.version,
       r.begun_at as created_at, e.updated_at, r.ended_at, e.expires_at
  from pgstate.run r join pgstate.entry e on e.key = r.key left join pgstate.claim c on c.key = r.key
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.runs is 'Durable executions; expired and deleted ones are not here.';
comment on column pgstate.runs.key is 'The key.';
comment on column pgstate.runs.name is 'The workflow, by which workers find it.';
comment on column pgstate.runs.state is 'waiting, running, done, failed or cancelled.';
comment on column pgstate.runs.step is 'The step that was finished last.';
comment on column pgstate.runs.steps is 'How many are finished.';
comment on column pgstate.runs.holder is 'The agent that works on it.';
comment on column pgstate.runs.lease_until is 'Until when, unless it renews its claim.';
comment on column pgstate.runs.priority is 'Higher ones are taken first.';
comment on column pgstate.runs.ready_at is 'No worker takes it before.';
comment on column pgstate.runs.deadline is 'When it fails unless it has ended; null for never.';
comment on column pgstate.runs.error is 'What it failed with.';
comment on column pgstate.runs.waits is 'The signal that it waits for.';
comment on column pgstate.runs.code is 'The version of the code.';
comment on column pgstate.runs.parent is 'The run that started it.';
comment on column pgstate.runs.forked_from is 'The run that it was forked from.';
comment on column pgstate.runs.forked_step is 'The step from which on it goes its own way.';
comment on column pgstate.runs.version is 'Version of the entry.';
comment on column pgstate.runs.created_at is 'When it was made.';
comment on column pgstate.runs.updated_at is 'When it was last changed.';
comment on column pgstate.runs.ended_at is 'When it ended.';
comment on column pgstate.runs.expires_at is 'When it becomes invisible unless it is changed before; null for never.';

-- views/steps.sql
create or replace view pgstate.steps with (security_invoker = true) as
select r.key, s.id as step, s.name, s.kind, s.state, s.position, case when s.type = 'json' then pgstate._json_of(s.data) end as result,
       case s.type when 'error' then pgstate._text_of(s.data) when 'timeout' then 'no signal in time' end collate "C" as error,
       s.attempts, s.started_at, s.finished_at, s.due_at, s.token
  from pgstate.step s join pgstate.run r on r.id = s.run_id join pgstate.entry e on e.key = r.key
 where e.live and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.steps is 'Steps of runs: what is recorded is not done again.';
comment on column pgstate.steps.key is 'The run.';
comment on column pgstate.steps.step is 'The name, with #n for its nth occurrence from the second on, and [i] for the ith element of a map.';
comment on column pgstate.steps.name is 'The name.';
comment on column pgstate.steps.kind is 'step, map, sleep, signal, child, now or undo.';
comment on column pgstate.steps.state is 'pending, done or failed.';
comment on column pgstate.steps.position is 'The how many-eth step of the code it is; elements of a map share one.';
comment on column pgstate.steps.result is 'What it returned, where that is JSON.';
comment on column pgstate.steps.error is 'What it failed with.';
comment on column pgstate.steps.attempts is 'How often it was tried by who finished it.';
comment on column pgstate.steps.started_at is 'When it began, for the last time.';
comment on column pgstate.steps.finished_at is 'When it was recorded; null while it is pending.';
comment on column pgstate.steps.due_at is 'Until when it sleeps, or waits for a signal.';
comment on column pgstate.steps.token is 'Fencing token of the worker that recorded it.';

-- views/claims.sql
create or replace view pgstate.claims with (security_invoker = true) as
select c.key, c.token, c.holder, c.lease_until, c.attempts, c.claimed_at
  from pgstate.claim c
 where c.lease_until > pgstate._now();
comment on view pgstate.claims is 'Who holds what now, and until when.';
comment on column pgstate.claims.key is 'The claimed entry.';
comment on column pgstate.claims.holder is 'The agent that holds it.';
comment on column pgstate.claims.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.claims.claimed_at is 'When it was claimed.';
comment on column pgstate.claims.token is 'The fencing token of the current claim.';
comment on column pgstate.claims.attempts is 'How often the entry was claimed.';

-- views/tasks.sql
create or replace view pgstate.tasks with (security_invoker = true) as
select e.key, s.state, e.priority, case when s.state = 'claimed' then c.holder end as holder,
       case when s.state = 'claimed' then c.lease_until end as lease_until, case when s.state = 'claimed' then c.lease_until - pgstate._now() end as lease_left,
       coalesce(c.attempts, 0) as attempts, c.error,
       case when s.state = 'waiting' and greatest(e.not_before, c.retry_at) > pgstate._now() then greatest(e.not_before, c.retry_at) end as next_try,
       e.version, e.created_at, e.updated_at
  from pgstate.entry e
  left join pgstate.claim c on c.key = e.key
  cross join lateral (
    select case when e.value is null then
             case when (select v.op from pgstate.version v where v.key = e.key and v.version = e.version) = 'complete' then 'finished' end
           when e.expires_at <= pgstate._now() then null
           when c.lease_until > pgstate._now() then 'claimed'
           when c.retry_at = 'infinity' then 'failed'
           else 'waiting' end as state) s
 where e.kind = 'value' and s.state is not null;
comment on view pgstate.tasks is 'Entries as pieces of work: which are waiting, claimed, failed or finished.';
comment on column pgstate.tasks.key is 'The key.';
comment on column pgstate.tasks.state is 'waiting, claimed, failed (given up) or finished (completed).';
comment on column pgstate.tasks.priority is 'Higher ones are claimed first.';
comment on column pgstate.tasks.holder is 'The agent that holds it.';
comment on column pgstate.tasks.lease_until is 'When the claim ends unless it is renewed.';
comment on column pgstate.tasks.lease_left is 'How long that is still.';
comment on column pgstate.tasks.attempts is 'How often it was claimed; of a finished one that is not kept: 0.';
comment on column pgstate.tasks.error is 'What its last failure said.';
comment on column pgstate.tasks.next_try is 'When one that waits may be claimed; null for at once.';
comment on column pgstate.tasks.version is 'Number of the current version.';
comment on column pgstate.tasks.created_at is 'When it came into being.';
comment on column pgstate.tasks.updated_at is 'When it was last written; for a finished one, when it was completed.';

-- views/activity.sql
-- What happened lately, and by whom: no value is put together here, so that a look at the newest rows costs those rows.
-- Ordered along the index on seq: a LIMIT outside stops it.
create or replace view pgstate.activity with (security_invoker = true) as
select v.at, v.writer, v.via, v.op::text as op, v.key, v.version, v.created, pg_catalog.pg_column_size(v.value) as size, v.expires_at, v.xid, v.seq, v.trust::text as trust
  from pgstate.version v
 order by v.seq desc;
comment on view pgstate.activity is 'What happened lately and by whom, newest first: the history without its values. Give it a LIMIT.';
comment on column pgstate.activity.at is 'When it was written; rows of one transaction differ.';
comment on column pgstate.activity.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.activity.via is 'The database login that the writer came through.';
comment on column pgstate.activity.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.activity.key is 'The key.';
comment on column pgstate.activity.version is 'Number of the version that it made; its value is in pgstate.versions.';
comment on column pgstate.activity.created is 'The key did not exist just before.';
comment on column pgstate.activity.size is 'Bytes stored with this version, compressed; of a value that grows by merges, what was merged. Null where the key was removed.';
comment on column pgstate.activity.expires_at is 'When this version was to expire.';
comment on column pgstate.activity.xid is 'The transaction: alike for what was written together. Xids of before a restore mean nothing.';
comment on column pgstate.activity.seq is 'Order within the feed; not a cursor: a lower one may become visible after a higher one.';
comment on column pgstate.activity.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';

-- views/audit_log.sql
create or replace view pgstate.audit_log with (security_invoker = true) as
select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail from pgstate.audit("limit" => null) a;
comment on view pgstate.audit_log is 'The audit trail, where the reader administers.';
comment on column pgstate.audit_log.id is 'Number; rises.';
comment on column pgstate.audit_log.at is 'When it was.';
comment on column pgstate.audit_log.event is 'What was done: grant, revoke, create_agent, set_policy, denied …';
comment on column pgstate.audit_log.agent is 'Who did it, or was denied it.';
comment on column pgstate.audit_log.via is 'The database login.';
comment on column pgstate.audit_log.key is 'The key or subtree that it is about; null for the installation as a whole.';
comment on column pgstate.audit_log.detail is 'What else there is to know; of a denial the words of who was denied.';

-- views/agents.sql
-- These three are the functions of the same names, which decide what the caller may see.
create or replace view pgstate.agents with (security_invoker = true) as
select a.name, a.login, a.gateways, a.root, a.created_at, a.trust, a.suspended_at from pgstate.agents() a;
comment on view pgstate.agents is 'The registered agents; without admin on everything, only the reader itself.';
comment on column pgstate.agents.name is 'The agent.';
comment on column pgstate.agents.login is 'Its own database login, if it has one.';
comment on column pgstate.agents.gateways is 'Logins that may act for it.';
comment on column pgstate.agents.root is 'Registered by the installation, with all rights, which cannot be revoked.';
comment on column pgstate.agents.created_at is 'When it was registered.';
comment on column pgstate.agents.trust is 'The most that what it writes is trusted.';
comment on column pgstate.agents.suspended_at is 'Since when it is suspended: nobody acts as it.';

-- views/grants.sql
create or replace view pgstate.grants with (security_invoker = true) as
select g.agent, g.subtree, g."right", g.granted_by, g.granted_at, g.deny, g.until from pgstate.grants() g;
comment on view pgstate.grants is 'Rights of agents on keys and subtrees; without admin on everything, only the reader''s own.';
comment on column pgstate.grants.agent is 'Who has the right.';
comment on column pgstate.grants.subtree is 'A key, a subtree (a/b/**) or ** for everything; {agent} stands for the agent''s name.';
comment on column pgstate.grants."right" is 'read, write or admin.';
comment on column pgstate.grants.granted_by is 'The agent that granted it.';
comment on column pgstate.grants.granted_at is 'When it was granted.';
comment on column pgstate.grants.deny is 'A denial, which wins over grants.';
comment on column pgstate.grants.until is 'When it ends by itself; null for never.';

-- views/policies.sql
create or replace view pgstate.policies with (security_invoker = true) as
select p.subtree, p.reducer, p.ttl, p.keep, p.value_limit, p.schema, p.set_by, p.set_at,
       p.max_attempts, p.backoff, p.backoff_limit, p.dead_letter, p.claimed_writes, p.guard, p.trust
  from pgstate.policies() p;
comment on view pgstate.policies is 'Rules that hold for keys which the reader may read; null where a policy does not set something.';
comment on column pgstate.policies.subtree is 'A key, a subtree (a/b/**) or ** for everything; for each key the nearest that sets something decides it.';
comment on column pgstate.policies.reducer is 'The default of merge().';
comment on column pgstate.policies.ttl is 'Time to live of what is written without one; 0 for none.';
comment on column pgstate.policies.keep is 'The history kept: so many versions, so long, or everything.';
comment on column pgstate.policies.value_limit is 'The largest value, in bytes.';
comment on column pgstate.policies.schema is 'The JSON Schema that values must fit.';
comment on column pgstate.policies.set_by is 'The agent that set it last.';
comment on column pgstate.policies.set_at is 'When it was set last.';
comment on column pgstate.policies.max_attempts is 'Work that was claimed this often and not finished is given up.';
comment on column pgstate.policies.backoff is 'How long after its first failure work is not claimed again; doubled with each further one.';
comment on column pgstate.policies.backoff_limit is 'The longest such pause.';
comment on column pgstate.policies.dead_letter is 'Where work that was given up goes to.';
comment on column pgstate.policies.claimed_writes is 'Claimed entries may be written without the token.';
comment on column pgstate.policies.guard is 'What becomes of writes that hold a secret: refuse, redact or off.';
comment on column pgstate.policies.trust is 'The most that what is written there is trusted.';

-- grants/grants.sql
-- Agents execute the agent-facing functions and touch no table; pgstate_api reaches the tables that policies guard; readers
-- select. Nothing is PUBLIC's.
grant select on pgstate.entry, pgstate.version, pgstate.claim, pgstate._acting_reach to pgstate_api;
grant insert on pgstate.entry, pgstate.claim to pgstate_api;
-- not the key: the policies on updates rely on that
grant update (kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
  full_version, tail_count, tail_bytes, full_bytes, full_type, trust) on pgstate.entry to pgstate_api;
grant update (token, holder, holder_id, lease_until, attempts, claimed_at, retry_at, error, released) on pgstate.claim to pgstate_api;
grant insert on pgstate.version to pgstate_api;
grant delete on pgstate.claim to pgstate_api;
grant usage on sequence pgstate.version_seq, pgstate.claim_token_seq to pgstate_api;
grant select on sequence pgstate.version_floor to pgstate_api;

grant select on pgstate.entry, pgstate.version, pgstate.claim, pgstate.entries, pgstate.versions, pgstate.claims, pgstate.tasks,
  pgstate.activity, pgstate.audit_log, pgstate.agents, pgstate.grants, pgstate.policies to pgstate_reader;
grant select on pgstate.thread, pgstate.checkpoint, pgstate.threads, pgstate.checkpoints to pgstate_reader;
grant select on pgstate.run, pgstate.step, pgstate.runs, pgstate.steps to pgstate_reader;

-- grants/execute.sql
-- Run as each owner of functions, who alone can grant them. By catalogue, so that none is forgotten: nothing is PUBLIC's;
-- what starts with _ is internal and goes to pgstate_api, everything else is agent-facing.
do $grants$
declare
  v_object record;
  v_to text;
begin
  for v_object in
    select p.oid::pg_catalog.regprocedure::text as name, p.proname
      from pg_catalog.pg_proc p
     where p.pronamespace = 'pgstate'::pg_catalog.regnamespace and p.proowner = current_user::pg_catalog.regrole
  loop
    execute pg_catalog.format('revoke all on routine %s from public', v_object.name);
    v_to := case
      when v_object.proname in ('_now', '_reachable', '_grown', '_value_at', '_json_of', '_text_of') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login', '_harden_plan') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname = '_filter_path' then 'pgstate_agent, pgstate_api, pgstate_owner'  -- matches() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'e', 'r')
  loop
    execute pg_catalog.format('revoke all on type %s from public', v_object.name);
    execute pg_catalog.format('grant usage on type %s to pgstate_api', v_object.name);
  end loop;
end
$grants$;

-- functions/as_api.sql
-- What follows belongs to pgstate_api, which owns no table: row-level security binds it.
set local role pgstate_api;

-- grants/execute.sql
-- Run as each owner of functions, who alone can grant them. By catalogue, so that none is forgotten: nothing is PUBLIC's;
-- what starts with _ is internal and goes to pgstate_api, everything else is agent-facing.
do $grants$
declare
  v_object record;
  v_to text;
begin
  for v_object in
    select p.oid::pg_catalog.regprocedure::text as name, p.proname
      from pg_catalog.pg_proc p
     where p.pronamespace = 'pgstate'::pg_catalog.regnamespace and p.proowner = current_user::pg_catalog.regrole
  loop
    execute pg_catalog.format('revoke all on routine %s from public', v_object.name);
    v_to := case
      when v_object.proname in ('_now', '_reachable', '_grown', '_value_at', '_json_of', '_text_of') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login', '_harden_plan') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname = '_filter_path' then 'pgstate_agent, pgstate_api, pgstate_owner'  -- matches() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'e', 'r')
  loop
    execute pg_catalog.format('revoke all on type %s from public', v_object.name);
    execute pg_catalog.format('grant usage on type %s to pgstate_api', v_object.name);
  end loop;
end
$grants$;

-- functions/as_installer.sql
-- What follows belongs to whoever installs: it creates roles, which only an administrator can.
reset role;

-- grants/execute.sql
-- Run as each owner of functions, who alone can grant them. By catalogue, so that none is forgotten: nothing is PUBLIC's;
-- what starts with _ is internal and goes to pgstate_api, everything else is agent-facing.
do $grants$
declare
  v_object record;
  v_to text;
begin
  for v_object in
    select p.oid::pg_catalog.regprocedure::text as name, p.proname
      from pg_catalog.pg_proc p
     where p.pronamespace = 'pgstate'::pg_catalog.regnamespace and p.proowner = current_user::pg_catalog.regrole
  loop
    execute pg_catalog.format('revoke all on routine %s from public', v_object.name);
    v_to := case
      when v_object.proname in ('_now', '_reachable', '_grown', '_value_at', '_json_of', '_text_of') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login', '_harden_plan') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname = '_filter_path' then 'pgstate_agent, pgstate_api, pgstate_owner'  -- matches() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'e', 'r')
  loop
    execute pg_catalog.format('revoke all on type %s from public', v_object.name);
    execute pg_catalog.format('grant usage on type %s to pgstate_api', v_object.name);
  end loop;
end
$grants$;
