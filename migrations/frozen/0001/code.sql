-- Built by migrations/freeze.py from sql/: change it there.

-- functions/as_owner.sql
-- What follows belongs to the tables' owner.
set local role pgstate_owner;

-- views/_acting.sql
-- Which agent acts: decided by session_user, which no SET, SET ROLE or SECURITY DEFINER changes. The settings only choose
-- among the agents that this login may act for: a gateway's delegated ones, or any for the role that installed.
-- A view, so that the rule stands once and is planned into the lookups of every policy; the owner's functions alone read it.
create view pgstate._acting as
select case when n.name is null or not (l.gateway or l.root) then l.agent_id
            when l.root then (select a.id from pgstate.agent a where a.name = n.name)
            else (select d.agent_id from pgstate.agent a join pgstate.delegation d on d.agent_id = a.id
                   where a.name = n.name and d.login = l.login)
       end as agent_id
  from pgstate.login l
  cross join lateral (
    select coalesce(nullif(pg_catalog.current_setting('pgstate.call_agent', true), ''),
                    nullif(pg_catalog.current_setting('pgstate.agent', true), '')) as name) n
 where l.login = session_user::text;
comment on view pgstate._acting is 'Internal: the acting agent.';

-- functions/access/_acting.sql
create function pgstate._acting() returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select a.agent_id from pgstate._acting a);
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
      join pgstate.agent a on a.name = any (string_to_array(v_names, ' '))
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

-- functions/access/_enter.sql
-- Start of every function: who acts, and what they reach, or for one key whether they may read and write it. Raises PS010
-- for nobody. The call's agent goes into a transaction-local setting, because policies must see it; every function sets it
-- anew, so that what an earlier call of the same transaction named never carries over. (A SET clause on the functions
-- would end it with the call, but only a superuser may attach one for a custom parameter.)
create function pgstate._enter(p_agent text, p_key text default null) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
begin
  -- the login's own agent, named or not: as in _reachable()
  select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
         case when p_key is null then l.writes end, i.identity, l.reads @> p_key, l.writes @> p_key into v_actor
    from pgstate.login l cross join pgstate.install i
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '');
  if v_actor.id is null then
    return pgstate._enter_named(p_agent, p_key);
  elsif coalesce(current_setting('pgstate.call_agent', true), '') || coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_done := set_config('pgstate.call_agent', '', true) || set_config('pgstate.call_agents', '', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter(text, text) is 'Internal: resolves and returns the acting agent, PS010 for nobody.';

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
  select a.id, a.name, i.epoch, i.value_limit, case when p_key is null then r.reads end, case when p_key is null then r.writes end,
         i.identity, r.reads @> p_key, r.writes @> p_key into v_actor
    from pgstate._acting who join pgstate.agent a on a.id = who.agent_id join pgstate.reach r on r.agent_id = a.id
    cross join pgstate.install i;
  if v_actor.id is null or v_actor.name <> nullif(p_agent, '') then
    if coalesce(p_agent, '') = '' and coalesce(current_setting('pgstate.agent', true), '') = ''
       and exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This login is a gateway: name the agent that acts, by the argument agent => ''…'', by set pgstate.agent, or in Python by as_agent(name).';
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
  -- names travel in one setting, separated by blanks, which no agent's name holds
  if exists (select from unnest(p_agents) n where n is null or n !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$') then
    perform pgstate._deny();
  end if;
  perform set_config('pgstate.call_agent', '', true);
  perform set_config('pgstate.call_agents', array_to_string(p_agents, ' '), true);
  if cardinality(pgstate._acting_ids()) <> cardinality(p_agents) then
    perform pgstate._deny();
  end if;
  select i.epoch, i.identity into v_actor.epoch, v_actor.identity from pgstate.install i;
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
begin
  -- the login's own agent and a lane that goes on as it should, in one query: as in _enter() and _lane_begin()
  select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
         case when p_key is null then l.writes end, i.identity, l.reads @> p_key, l.writes @> p_key,
         p_lane is null or n.agent_id = l.agent_id and p_turn > n.turn into v_actor
    from pgstate.login l cross join pgstate.install i
    left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '');
  if v_actor.lane_ready is not true
     or coalesce(current_setting('pgstate.call_agent', true), '') || coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_actor := pgstate._enter(p_agent, p_key);
    if p_lane is not null then
      v_actor.kept := pgstate._lane_begin(v_actor, p_lane, p_turn);
    end if;
  end if;
  if (v_actor.identity = current_setting('pgstate.identity', true) and current_setting('synchronous_commit') <> 'off') is not true then
    perform pgstate._settle_identity();
    select i.epoch, i.identity into v_actor.epoch, v_actor.identity from pgstate.install i;
    if current_setting('synchronous_commit') = 'off' then
      v_done := set_config('synchronous_commit', 'on', true);
    end if;
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
  return (select row('0001', null, null, i.value_limit, i.epoch)::pgstate.about from pgstate.install i);
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
create function pgstate._now() returns timestamptz
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ begin return pg_catalog.clock_timestamp(); end $$;
comment on function pgstate._now() is 'Internal: the clock of every decision about time.';

-- functions/access/_settle_identity.sql
-- After a restore into another cluster or database the rows of before are old: a new epoch begins. Checked once per
-- session: pg_control_system() reads a file.
create function pgstate._settle_identity() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_identity text := pgstate._identity();
begin
  update pgstate.install i set identity = v_identity, epoch = i.epoch + 1 where i.identity <> v_identity;
  perform set_config('pgstate.identity', v_identity, false);
end
$$;
comment on function pgstate._settle_identity() is 'Internal: begins a new epoch when this database was restored elsewhere.';

-- functions/access/_reachable.sql
-- What policies compare keys with: the acting agent's reach with one right. One call per statement and policy, which wrap
-- it in a scalar subquery. The union with '{}' detoasts here; without it the stored datum is detoasted for every row.
-- pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens reading to all the agents it names.
-- Few expressions and one relation in the usual case: a write calls this four times, and each expression is initialised
-- anew in every transaction (the policies' own subqueries, in place of this function, cost more: the executor sets them up
-- whether or not they are reached).
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if coalesce(current_setting('pgstate.call_agents', true), '') || coalesce(current_setting('pgstate.call_agent', true), '')
     || coalesce(current_setting('pgstate.agent', true), '') = '' then
    -- nobody is named, so the login's own agent acts: the short form of _acting
    return (select case p_right when 'touch' then l.touches when 'write' then l.writes when 'read' then l.reads end + '{}'
              from pgstate.login l where l.login = session_user::text);
  elsif coalesce(current_setting('pgstate.call_agents', true), '') = '' then
    return (select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end + '{}'
              from pgstate._acting a join pgstate.reach r on r.agent_id = a.agent_id);
  elsif p_right = 'write' then
    return '{}';
  end if;
  return (select range_agg(u) from pgstate.reach r, unnest(r.reads) u where r.agent_id = any (pgstate._acting_ids()));
end
$$;
comment on function pgstate._reachable(text) is 'Internal: what the acting agent may read, write, or touch (either).';

-- functions/keys/_bad_key.sql
create function pgstate._bad_key(p_key text) returns void
language plpgsql immutable
as $$
begin
  raise exception using errcode = 'PS001', message = pg_catalog.format('invalid key %L', pg_catalog.left(p_key, 80)),
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
       or p_pattern ~ '(?:^|/)\.\.?(?:/|$)'
       or p_pattern ~ '[^/]\*\*|\*\*[^/]'
       -- the cost of a regular expression grows with them
       or p_pattern ~ '(?:[*?]+[^*?]*){17}')
  then
    raise exception using errcode = 'PS002', message = format('invalid pattern %L', left(p_pattern, 80)),
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
     and (pg_catalog.strpos(p_key, '.') = 0 or p_key !~ '(?:^|/)\.\.?(?:/|$)');
end
$$;
comment on function pgstate._key_ok(text) is 'Internal: is this a valid key?';

-- functions/keys/_pattern_ranges.sql
-- The ranges that hold every match. DEL sorts after every character of a key.
create function pgstate._pattern_ranges(p_pattern text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_stem text;
begin
  if p_pattern in ('', '**') then
    return pgstate.keymultirange(pgstate.keyrange(null, null, '()'));
  elsif p_pattern !~ '[*?]' then
    return pgstate.keymultirange(pgstate.keyrange(p_pattern, p_pattern, '[]'));
  end if;
  v_stem := substring(p_pattern from '^[^*?]*');
  if p_pattern = v_stem || '**' then
    v_stem := left(v_stem, -1);
    return pgstate.keymultirange(pgstate.keyrange(v_stem, v_stem, '[]'), pgstate.keyrange(v_stem || '/', v_stem || '0', '[)'));
  elsif p_pattern = v_stem || '*/**' and right(v_stem, 1) = '/' then
    -- everything below a key
    return pgstate.keymultirange(pgstate.keyrange(v_stem, left(v_stem, -1) || '0', '[)'));
  elsif p_pattern ~ '^[^*?]+/\*\*(?:/\*\*)+$' then
    -- a/**/** includes a
    v_stem := left(v_stem, -1);
  elsif v_stem = '' then
    return pgstate.keymultirange(pgstate.keyrange(null, null, '()'));
  end if;
  return pgstate.keymultirange(pgstate.keyrange(v_stem, v_stem || chr(127), '[)'));
end
$$;
comment on function pgstate._pattern_ranges(text) is 'Internal: key ranges that hold every key which the pattern matches.';

-- functions/keys/_pattern_regex.sql
-- Null when the ranges alone decide: everything, one key, a subtree, or what is below a key.
create function pgstate._pattern_regex(p_pattern text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_regex text := p_pattern;
begin
  if p_pattern in ('', '**') or p_pattern !~ '[*?]' or p_pattern ~ '^[^*?]+/(?:\*/)?\*\*$' then
    return null;
  elsif p_pattern ~ '^[^*?]+/\*$' then
    -- the most frequent one, without the replacements
    return '^' || regexp_replace(left(p_pattern, -1), '([.+])', '\\\1', 'g') || '[^/]*$';
  end if;
  -- letters that keys cannot hold stand for the parts, so that no replacement touches another's result
  v_regex := regexp_replace(v_regex, '(^|/)(?:\*\*/)+', '\1**/', 'g');
  v_regex := regexp_replace(v_regex, '([.+])', '\\\1', 'g');
  v_regex := regexp_replace(v_regex, '/\*\*(?=/|$)', '<', 'g');
  v_regex := regexp_replace(v_regex, '^\*\*(?=<|$)', '#', 'g');
  v_regex := regexp_replace(v_regex, '^\*\*/', '>', 'g');
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
      v_regex := regexp_replace(v_pattern, '([.+])', '\\\1', 'g');
      v_regex := '^' || regexp_replace(regexp_replace(v_regex, '/\*/\*\*$', '/.+'), '/\*\*$', '(?:/.*)?') || '$';
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
      return row(pgstate.keymultirange(pgstate.keyrange(left(v_pattern, -3), left(v_pattern, -3), '[]'),
                                       pgstate.keyrange(left(v_pattern, -2), left(v_pattern, -3) || '0', '[)')), null)::pgstate._wanted;
    elsif right(v_pattern, 2) = '/*' then
      return row(pgstate.keymultirange(pgstate.keyrange(left(v_pattern, -1), left(v_pattern, -2) || '0', '[)')),
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
  elsif v_subtree is null or not pgstate._key_ok(regexp_replace(v_subtree, '/\*\*$', '')) then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', left(p_subtree, 80)),
      hint = 'Rights are granted on one key, on a subtree such as research/**, or on ** for everything; {agent} may stand for a segment. Other wildcards are for reading.';
  end if;
  return pgstate._pattern_ranges(v_subtree);
end
$$;
comment on function pgstate._subtree_ranges(text, text) is 'Internal: key ranges of a granted subtree for one agent. PS002 when it is not a key or a subtree.';

-- functions/values/_expire.sql
-- Writes the expiry version of entries whose time has come; they were invisible since. Any client may ask: which keys
-- there were is told to nobody. As the owner, because expiry must not depend on anybody's grants.
create function pgstate._expire(p_limit int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := pgstate._now();
  v_keys text[];
begin
  -- callers' idempotency keys are kept for a week
  delete from pgstate.op o where o.at < v_now - interval '7 days';
  v_keys := array(
    select e.key from pgstate.entry e
     where e.live and e.expires_at <= v_now
     order by e.expires_at limit p_limit for update skip locked);
  if cardinality(v_keys) = 0 then
    return;
  end if;
  -- as in _enter_write()
  perform pgstate._settle_identity();
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  update pgstate.entry e
     set version = e.version + 1, live = false, value = null, writer = 'pgstate', via = session_user, updated_at = v_now, expires_at = null
   where e.key = any (v_keys);
  insert into pgstate.version (key, version, epoch, op, writer, via, at)
  select e.key, e.version, i.epoch, 'expire', 'pgstate', session_user, v_now
    from pgstate.entry e cross join pgstate.install i where e.key = any (v_keys) order by e.key;
  delete from pgstate.claim c where c.key = any (v_keys);
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
    if v_identity <> p_actor.identity then
      raise exception using errcode = 'PS022', message = 'this database was restored elsewhere and nothing has been written since',
        hint = 'The first write, or pgstate migrate, begins a new epoch; then list again and go on from a new cursor.';
    end if;
    perform set_config('pgstate.identity', v_identity, false);
  end if;
  -- the control file lags after a promotion, the name of the current log segment does not
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

-- functions/feed/_position.sql
create function pgstate._position(p_cursor text, p_place text) returns pgstate._position
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
        and p_cursor ~ '^1\.[0-9]{1,20}:[0-9]{1,10}\.[0-9]{1,9}\.[0-9A-F]{8}(?:\.[0-9:,]+){1,4}$' then
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
  return v_position;
end
$$;
comment on function pgstate._position(text, text) is 'Internal: checks a cursor and takes it apart. PS020, PS021.';

-- functions/feed/_reads_of.sql
-- For changes_for() only, which has checked that the login may act for these agents; checked here again.
create function pgstate._reads_of(p_agent text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select r.reads + '{}' from pgstate.agent a join pgstate.reach r on r.agent_id = a.id
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
-- and lives for another 90 seconds.
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
    join pgstate.agent a on a.name = s.name and a.id = any (v_ids)
    join pgstate.reach r on r.agent_id = a.id
    cross join lateral unnest(pgstate._patterns_ranges(array[s.pattern]) * r.reads) u;
  if v_channel is null and (select count(*) from pgstate.watcher w where w.login = session_user::text) >= 500 then
    raise exception using errcode = 'PS007', message = 'this login has 500 registrations: one per process is enough';
  elsif v_channel is null then
    v_channel := 'pgstate_' || replace(gen_random_uuid()::text, '-', '');
  end if;
  insert into pgstate.watcher as w (channel, login, agent_ids, ranges, expires_at)
  values (v_channel, session_user, v_ids, v_ranges, pgstate._now() + interval '90 s')
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

-- functions/feed/_wake.sql
-- Wake-ups are hints: an empty payload on a channel that only its subscriber was told. What changed is read from the
-- feed, through the reader's own rights.
create function pgstate._wake(p_keys text[], p_within pgstate.keymultirange default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pg_notify(w.channel, '')
     from pgstate.watcher w
    where w.expires_at > pgstate._now()
      -- the registration may be older than a revocation: what counts is what may be read now
      and exists (select from unnest(p_keys) k
                   where w.ranges @> k and (p_within is null or p_within @> k)
                     and exists (select from pgstate.reach r where r.agent_id = any (w.agent_ids) and r.reads @> k));
end
$$;
comment on function pgstate._wake(text[], pgstate.keymultirange) is 'Internal: notifies the channels that watch any of the keys, of those within some ranges.';

-- functions/feed/_wake_lane.sql
-- As _wake(), for what a lane wrote last: whom, was found then, by _finish(), which looked at their rights.
create function pgstate._wake_lane(p_lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pg_notify(c, '') from pgstate.lane l cross join unnest(l.channels) c where l.lane = p_lane;
  return found;
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
    raise exception using errcode = 'PS007', message = format('invalid agent name %L', left(p_name, 80)),
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
end
$$;
comment on function pgstate._add_agent(text, text, text[], boolean) is 'Internal: registers an agent with its first grants ("right subtree").';

-- functions/admin/_add_gateway.sql
create function pgstate._add_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
  if p_login is null then
    raise exception using errcode = 'PS007', message = 'a gateway is a login: name a database role';
  elsif exists (select from pgstate.login l where l.login = p_login) then
    raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
      hint = 'A login is one agent''s or a gateway''s.';
  end if;
  insert into pgstate.login (login, gateway) values (p_login, true);
end
$$;
comment on function pgstate._add_gateway(text) is 'Internal: registers a gateway.';

-- functions/admin/_agent_id.sql
create function pgstate._agent_id(p_name text) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := (select a.id from pgstate.agent a where a.name = p_name);
begin
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no agent %L', p_name), hint = 'create_agent(name) makes one.';
  end if;
  return v_id;
end
$$;
comment on function pgstate._agent_id(text) is 'Internal: id of an agent by name, PS007 when there is none.';

-- functions/admin/_agents.sql
create function pgstate._agents(p_actor pgstate._actor) returns setof pgstate.agent_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, (select l.login from pgstate.login l where l.agent_id = a.id limit 1),
           array(select d.login from pgstate.delegation d where d.agent_id = a.id order by 1), a.root, a.created_at
      from pgstate.agent a
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate.reach r where r.agent_id = p_actor.id)
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
  if not coalesce((select r.admins from pgstate.reach r where r.agent_id = p_actor.id)
                  @> pgstate._subtree_ranges(regexp_replace(p_subtree, '(^|/)\{agent\}(/.*)?$', '\1**'), p_actor.name), false) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._check_admin(pgstate._actor, text) is 'Internal: raises PS010 unless the caller administers the whole subtree.';

-- functions/admin/_delegate.sql
create function pgstate._delegate(p_login text, p_agent text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
  v_id := pgstate._agent_id(p_agent);
  if not exists (select from pgstate.login l where l.login = p_login and l.gateway) then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login), hint = 'create_gateway(login) makes one.';
  end if;
  if p_on then
    insert into pgstate.delegation (login, agent_id) values (p_login, v_id) on conflict do nothing;
  else
    delete from pgstate.delegation d where d.login = p_login and d.agent_id = v_id;
    perform pgstate._drop_watchers(v_id, p_login);
  end if;
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

-- functions/admin/_drop_agent.sql
-- Its grants, delegations and login go with its row. What it holds is given back at once: nobody could renew it. But an
-- agent must not be able to hold up its own end: a claim that a transaction keeps locked, or takes that began before, is
-- given back when somebody asks again.
create function pgstate._drop_agent(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
  v_keys text[];
begin
  perform pgstate._check_admin(v_actor, '**');
  -- a grant to it at the same time waits, and then finds no such agent
  select a.id, a.root into v_id, v_root from pgstate.agent a where a.name = p_name for update;
  if v_id is null and not exists (select from pgstate.former_agent f where f.name = p_name) then
    perform pgstate._agent_id(p_name);
  elsif v_root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be dropped';
  end if;
  perform pgstate._drop_watchers(v_id, null);
  begin
    -- in the order of keys, as everybody locks claims
    perform from pgstate.claim c where c.holder = p_name order by c.key for update;
  exception when lock_not_available then
    null;
  end;
  v_keys := array(
    select c.key from pgstate.claim c
     where c.holder = p_name and (c.holder_id = v_id or not exists (select from pgstate.agent a where a.id = c.holder_id))
     order by c.key for update skip locked);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null where c.key = any (v_keys);
  delete from pgstate.agent a where a.id = v_id;
  insert into pgstate.former_agent (name, dropped_by) values (p_name, v_actor.name)
      on conflict on constraint former_agent_pkey do update set dropped_at = excluded.dropped_at, dropped_by = excluded.dropped_by;
  if v_keys <> '{}' then
    -- no version tells of it, and somebody may be waiting for these entries
    perform pgstate._wake(v_keys);
  end if;
end
$$;
comment on function pgstate._drop_agent(text) is 'Internal: removes an agent and all that it may do.';

-- functions/admin/_drop_gateway.sql
create function pgstate._drop_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
  -- its delegations go with it
  delete from pgstate.login l where l.login = p_login and l.gateway;
  if not found then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login);
  end if;
  -- locked ones are told nothing that their agents may not read, and end by themselves
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.login = p_login for update skip locked);
end
$$;
comment on function pgstate._drop_gateway(text) is 'Internal: removes a gateway.';

-- functions/admin/_fold_grants.sql
create function pgstate._fold_grants(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- two grants to one agent at the same time must not each fold without the other's row
  perform from pgstate.agent a where a.id = p_agent_id for no key update;
  insert into pgstate.reach as r (agent_id, reads, writes, admins, touches)
  select p_agent_id, f.reads, f.writes, f.admins, f.reads + f.writes
    from (select coalesce(range_agg(u) filter (where g."right" = 'read'), '{}') as reads,
                 coalesce(range_agg(u) filter (where g."right" = 'write'), '{}') as writes,
                 coalesce(range_agg(u) filter (where g."right" = 'admin'), '{}') as admins
            from pgstate.access_grant g join pgstate.agent a on a.id = g.agent_id
            cross join lateral unnest(pgstate._subtree_ranges(g.subtree, a.name)) u
           where g.agent_id = p_agent_id) f
      on conflict on constraint reach_pkey do update
     set reads = excluded.reads, writes = excluded.writes, admins = excluded.admins, touches = excluded.touches;
  update pgstate.login l set agent_name = a.name, reads = r.reads, writes = r.writes, touches = r.touches
    from pgstate.agent a join pgstate.reach r on r.agent_id = a.id
   where a.id = p_agent_id and l.agent_id = p_agent_id;
end
$$;
comment on function pgstate._fold_grants(int) is 'Internal: folds an agent''s grants into multiranges, for the agent and for its logins.';

-- functions/admin/_grant.sql
create function pgstate._grant(p_agent text, p_subtree text, p_right text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  if p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  end if;
  perform pgstate._check_admin(v_actor, p_subtree);
  v_id := pgstate._agent_id(p_agent);
  perform pgstate._subtree_ranges(p_subtree, p_agent);
  if p_on then
    insert into pgstate.access_grant (agent_id, subtree, "right", granted_by) values (v_id, p_subtree, p_right, v_actor.name)
        on conflict do nothing;
  elsif exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator''s own rights cannot be revoked';
  else
    delete from pgstate.access_grant g where g.agent_id = v_id and g.subtree = p_subtree and g."right" = p_right;
    if not found then
      -- a misspelt subtree must not pass for a right taken away
      raise exception using errcode = 'PS007', message = format('%s has no grant of %s on %s', p_agent, p_right, p_subtree),
        hint = 'Revoke exactly what was granted: pgstate.grants() lists it.';
    end if;
    perform pgstate._drop_watchers(v_id, null);
  end if;
  perform pgstate._fold_grants(v_id);
end
$$;
comment on function pgstate._grant(text, text, text, boolean) is 'Internal: grants or revokes a right.';

-- functions/admin/_grants.sql
create function pgstate._grants(p_actor pgstate._actor) returns setof pgstate.grant_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.subtree, g."right", g.granted_by, g.granted_at
      from pgstate.access_grant g join pgstate.agent a on a.id = g.agent_id
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate.reach r where r.agent_id = p_actor.id)
     order by a.name, g.subtree, g."right";
end
$$;
comment on function pgstate._grants(pgstate._actor) is 'Internal: grants that the caller may see.';

-- functions/admin/_set_login.sql
create function pgstate._set_login(p_agent text, p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
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
    -- a new client: those that were last used a day ago have no statement left to send again
    delete from pgstate.lane l where l.at < pgstate._now() - interval '1 day';
    insert into pgstate.lane (lane, agent_id, turn) values (p_lane, p_actor.id, 0) on conflict do nothing;
  end loop;
  if v_lane.agent_id <> p_actor.id or p_turn is null or p_turn < greatest(v_lane.turn, 1) then
    raise exception using errcode = 'PS031', message = 'lane out of step',
      hint = 'A lane belongs to one agent, has one statement in flight, and its turns rise from 1.';
  end if;
  return case when p_turn = v_lane.turn then v_lane.outcome end;
end
$$;
comment on function pgstate._lane_begin(pgstate._actor, uuid, bigint) is 'Internal: locks a lane; the stored outcome when this turn was done before.';

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
-- End of a write, in one query: stores the lane's outcome and whom to wake, and tells whether there is anybody. The keys are
-- those that were written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_watched boolean;
begin
  with watching as materialized (
    select array_agg(w.channel) as channels
      from pgstate.watcher w
     where p_keys is not null and w.expires_at > pgstate._now()
       -- as in _wake(): a registration that was kept locked has outlasted a revocation
       and exists (select from unnest(p_keys) k
                    where w.ranges @> k
                      and exists (select from pgstate.reach r where r.agent_id = any (w.agent_ids) and r.reads @> k))
  ), kept as (
    update pgstate.lane l
       set turn = p_turn, outcome = p_outcome, at = pgstate._now(),
           -- few: the row is written with every statement
           channels = case when cardinality(w.channels) <= 8 then w.channels end
      from watching w where l.lane = p_lane
  )
  select case when p_keys is not null then w.channels is not null end into v_watched from watching w;
  return v_watched;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[]) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';

-- functions/values/_op_begin.sql
-- A write happens once, for op_ids: inserted in order before any key is locked. Returns for each row 'new', 'replay' or
-- 'reused' (another request under the same id), 'known' (to be looked at by _op_known()) or 'invalid' (1 to 256 bytes). A
-- second insert of an id waits for the first one's transaction.
create function pgstate._op_begin(p_actor pgstate._actor, p_op_ids text[], p_requests text[]) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_states text[];
begin
  with request as materialized (
    select i.op_id, sha256(convert_to(i.request, 'UTF8')) as hash, i.ord
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
                        else 'known' end order by r.ord)
    into v_states
    from request r left join added a on a.op_id = r.op_id left join first f on f.op_id = r.op_id;
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
    delete from pgstate.op o where o.agent_id = p_actor.id and o.op_id = p_op_id;
  else
    update pgstate.op o set outcome = p_outcome where o.agent_id = p_actor.id and o.op_id = p_op_id;
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
      left join pgstate.op o on o.agent_id = p_actor.id and o.op_id = i.op_id);
end
$$;
comment on function pgstate._op_known(pgstate._actor, text[], text[], text[]) is 'Internal: tells replays from reused op_ids.';

-- functions/values/_op_outcome.sql
create function pgstate._op_outcome(p_actor pgstate._actor, p_op_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select o.outcome from pgstate.op o where o.agent_id = p_actor.id and o.op_id = p_op_id);
end
$$;
comment on function pgstate._op_outcome(pgstate._actor, text) is 'Internal: the stored outcome of an op_id.';

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
comment on function pgstate.info(text) is 'Revision of the schema, the acting agent (null for a gateway that names none), the login, the largest value in bytes and the epoch. PS010 for a login that is not registered.';

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
    when 'PS001' then format('invalid key %L: 1 to 512 bytes, segments of A-Z a-z 0-9 . _ ~ : @ = + , %% - joined by /, none empty, . or ..; quote other text with pgstate.key()', left(p_key, 80))
    when 'PS003' then 'no value: pass JSON (the JSON null is ''null''), or delete the key'
    when 'PS004' then 'the value is too large for this installation (see value_limit in pgstate.info()): store it in parts or elsewhere'
    when 'PS005' then 'unknown reducer: use replace, append, add, max, min, union, merge, deep_merge, messages or first'
    when 'PS006' then 'the operand does not fit the current value: add takes numbers, max and min numbers or strings, append, union and messages lists, merge and deep_merge objects'
    when 'PS007' then 'invalid argument: expect is 0 or a version, ttl is positive and at most 100 years, not_before lies between 1970 and 9999, complete needs a token, an op_id has 1 to 256 bytes'
    when 'PS010' then 'access denied'
    when 'PS030' then 'this op_id was used for another request: a new request needs a new op_id'
    when 'PS040' then 'the key holds a thread or a run: write it through its own functions'
  end;
end
$$;
comment on function pgstate._error_text(text, text) is 'Internal: what is wrong and what to do, by SQLSTATE.';

-- functions/values/_insert_entries.sql
-- Inserts missing entries in key order; false when another transaction created one of them meanwhile.
create function pgstate._insert_entries(p_entries pgstate.entry[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_count bigint;
begin
  insert into pgstate.entry (key, parent, kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before)
  select n.key, left(n.key, -strpos(reverse(n.key), '/')), n.kind, n.version, n.live, n.value, n.writer, n.via, n.created_at, n.updated_at, n.expires_at, n.priority, n.not_before
    from unnest(p_entries) n
      on conflict on constraint entry_pkey do nothing;
  get diagnostics v_count = row_count;
  return v_count = cardinality(p_entries);
end
$$;
comment on function pgstate._insert_entries(pgstate.entry[]) is 'Internal: inserts entries that were missing; false when one is there by now.';

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
create function pgstate._raise(p_code text, p_key text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code = 'PS010' then
    perform pgstate._deny();
  elsif p_code = 'PS001' then
    perform pgstate._bad_key(p_key);
  end if;
  raise exception using errcode = p_code, message = pgstate._error_text(p_code, p_key);
end
$$;
comment on function pgstate._raise(text, text) is 'Internal: raises a refused row as an error.';

-- functions/values/_written.sql
create function pgstate._written(p_outcome pgstate.outcome, p_key text) returns pgstate.written
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_outcome.code is not null then
    perform pgstate._raise(p_outcome.code, p_key);
  end if;
  return row(p_outcome.status, p_outcome.version, p_outcome.value)::pgstate.written;
end
$$;
comment on function pgstate._written(pgstate.outcome, text) is 'Internal: what a single call returns, or raises when it was refused.';

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
  case p_reducer
    when 'replace' then
      return p_operand;
    when 'first' then
      return coalesce(p_current, p_operand);
    when 'add' then
      if jsonb_typeof(p_operand) <> 'number' or v_type <> 'number' then
        return null;
      end if;
      -- far beyond every float; at 1e131072 numeric overflows
      if abs(p_operand::numeric) >= 1e400 or abs(p_current::numeric) >= 1e400 then
        return null;
      end if;
      return case when p_current is null then p_operand else to_jsonb(p_current::numeric + p_operand::numeric) end;
    when 'max', 'min' then
      if jsonb_typeof(p_operand) not in ('number', 'string') or v_type <> jsonb_typeof(p_operand) then
        return null;
      elsif p_current is null then
        return p_operand;
      elsif v_type = 'number' then
        return case when (p_operand::numeric > p_current::numeric) = (p_reducer = 'max') and p_operand <> p_current
                    then p_operand else p_current end;
      end if;
      return case when ((p_operand #>> '{}') collate "C" > (p_current #>> '{}') collate "C") = (p_reducer = 'max')
                  then p_operand else p_current end;
    when 'append', 'union', 'messages' then
      if v_type <> 'array' then
        return null;
      end if;
      v_list := case when jsonb_typeof(p_operand) = 'array' then p_operand else jsonb_build_array(p_operand) end;
      if p_reducer = 'append' then
        return coalesce(p_current, '[]') || v_list;
      elsif p_reducer = 'union' then
        return coalesce(p_current, '[]') || coalesce((
          select jsonb_agg(n.element order by n.place)
            from (select e.element, min(e.place) as place
                    from jsonb_array_elements(v_list) with ordinality as e (element, place) group by e.element) n
           where p_current is null or not exists (select from jsonb_array_elements(p_current) c where c.value = n.element)), '[]');
      elsif exists (select from jsonb_array_elements(v_list) e where jsonb_typeof(e.value) <> 'object') then
        return null;
      end if;
      return coalesce(pgstate._merge_messages(coalesce(p_current, '[]'), v_list), '[]');
    when 'merge', 'deep_merge' then
      if jsonb_typeof(p_operand) <> 'object' or v_type <> 'object' then
        return null;
      elsif p_current is null then
        return p_operand;
      end if;
      return case p_reducer when 'merge' then p_current || p_operand else pgstate._deep_merge(p_current, p_operand, 200) end;
    else
      return null;
  end case;
end
$$;
comment on function pgstate._reduce(text, jsonb, jsonb) is 'Internal: applies a built-in reducer.';

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
create function pgstate._put_existing(
  p_actor pgstate._actor, p_keys text[], p_values jsonb[], p_expects bigint[], p_ttls interval[], p_priorities int[],
  p_not_befores timestamptz[]
) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_versions bigint[];
  v_now timestamptz := pgstate._now();
begin
  begin
    with input as materialized (
      select u.*
        from unnest(p_keys, p_values, p_expects, p_ttls, p_priorities, p_not_befores) with ordinality
             as u (key, value, expect, ttl, priority, not_before, ord)
       -- a key that occurs twice needs its operations decided one after the other
       where (select count(distinct k collate "C") from unnest(p_keys) k) = cardinality(p_keys)
         and p_actor.writes @> u.key and (u.expect is null or u.expect > 0 and p_actor.reads @> u.key)
         and pg_column_size(u.value) <= p_actor.value_limit
         and (u.ttl is null or pgstate._span_ok(u.ttl))
         and (u.not_before is null or u.not_before between '1970-01-01' and '9999-12-01')
       order by u.key collate "C"
    ), updated as (
      update pgstate.entry e
         set version = e.version + 1, value = i.value, writer = p_actor.name, via = session_user, updated_at = v_now,
             expires_at = v_now + i.ttl, priority = coalesce(i.priority, e.priority),
             not_before = coalesce(i.not_before, e.not_before)
        from input i
       where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
         and (i.expect is null or e.version = i.expect)
      returning i.ord, e.key, e.version, i.value, e.expires_at
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at)
      select u.key, u.version, p_actor.epoch, 'put', u.value, p_actor.name, session_user, v_now, u.expires_at
        from updated u
    )
    select array_agg(case when p_actor.reads @> u.key then u.version end order by u.ord) into v_versions
      from updated u;
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
  p_return_values boolean[], p_atomic boolean
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
  v_versions pgstate.version[];
  v_unclaim text[];
  v_now timestamptz;
  v_via text := session_user;
  v_failed boolean;
  s pgstate._slot;
  -- the entry that the loop is at
  v_last int;
  v_key text;
  v_found boolean;
  v_version bigint;
  v_live boolean;
  v_lapsed boolean;
  v_value jsonb;
  v_writer text;
  v_created_at timestamptz;
  v_expires_at timestamptz;
  v_priority int;
  v_not_before timestamptz;
  v_dirty boolean;
  v_token bigint;
  -- the decision about one operation
  v_status text;
  v_code text;
  v_message text;
  v_op text;
  v_new jsonb;
begin
  select array_agg(row(
           i.ord, i.op, i.key, i.operand, i.expect, i.expect_value, i.ttl, i.token, i.priority, i.not_before, i.reducer,
           i.return_value, i.code, i.readable, e.key is not null, e.kind, coalesce(e.version, 0), coalesce(e.live, false),
           e.value, e.created_at, e.expires_at, coalesce(e.priority, 0), e.not_before)::pgstate._slot)
    into v_slots
    from (
      select u.*, p_actor.reads @> u.key as readable,
             case
               when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
               when u.op = 'replay' then 'PS000'
               when not (p_actor.writes @> u.key and (
                      p_actor.reads @> u.key
                      -- blind writes need no right to read, whatever compares or returns does
                      or u.op in ('put', 'merge', 'delete') and u.expect is null and u.expect_value is null
                         and u.token is null and not coalesce(u.return_value, false))) then 'PS010'
               when u.op in ('put', 'merge') and u.operand is null then 'PS003'
               when u.op in ('put', 'merge') and pg_column_size(u.operand) > p_actor.value_limit then 'PS004'
               when u.op = 'merge' and coalesce(u.reducer, '') not in
                    ('replace', 'append', 'add', 'max', 'min', 'union', 'merge', 'deep_merge', 'messages', 'first') then 'PS005'
               when not pgstate._span_ok(u.ttl) or u.expect < 0 or u.not_before not between '1970-01-01' and '9999-12-01'
                    or u.op = 'complete' and u.token is null then 'PS007'
               when u.op is null or u.op not in ('put', 'merge', 'delete', 'complete', 'check', 'exists', 'absent') then 'PS007'
             end as code
        from unnest(p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities, p_not_befores,
                    p_reducers, p_return_values) with ordinality
             as u (op, key, operand, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, ord)
       order by u.key collate "C", u.ord
    ) i
    left join lateral (
      select * from pgstate.entry x where x.key = i.key and i.code is null for update
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
  v_versions := '{}';
  v_unclaim := '{}';
  v_failed := false;
  v_key := null;
  v_last := cardinality(v_slots);

  for v_index in 1 .. v_last loop
    s := v_slots[v_index];
    v_status := 'ok';
    v_code := s.code;
    v_message := null;
    v_op := null;

    if v_code is null and v_key is distinct from s.key then
      v_key := s.key;
      v_found := s.found;
      v_version := s.version;
      v_value := s.value;
      v_created_at := s.created_at;
      v_expires_at := s.expires_at;
      v_priority := s.old_priority;
      v_not_before := s.old_not_before;
      v_lapsed := s.live and coalesce(s.expires_at <= v_now, false);
      v_live := s.live and not v_lapsed;
      v_writer := null;
      v_dirty := false;
      v_token := null;
      if v_claims is not null and v_live then
        select c.token into v_token from unnest(v_claims) c where c.key = v_key and c.lease_until > v_now;
      end if;
    end if;

    if v_code is null then
      if v_live and s.kind <> 'value' and s.op not in ('check', 'exists', 'absent') then
        v_code := 'PS040';
      elsif s.token is not null and (v_token is distinct from s.token or not exists (
              select from unnest(v_claims) c where c.key = v_key and c.token = s.token and c.holder_id = p_actor.id)) then
        v_status := 'stale';
      elsif s.token is null and v_token is not null and s.op in ('put', 'merge', 'delete') then
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
      else
        v_new := pgstate._reduce(s.reducer, case when v_live then v_value end, s.operand);
        if v_new is null then
          v_code := 'PS006';
        elsif pg_column_size(v_new) > p_actor.value_limit then
          v_code := 'PS004';
        elsif not v_live or v_new <> v_value or s.ttl is not null then
          v_op := 'merge';
        end if;
      end if;
    end if;

    if v_op is not null then
      if v_lapsed then
        -- what stood here expired before this write: history says so first
        v_version := v_version + 1;
        v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, 'expire', false, null, 'pgstate', v_via,
                                        v_now, null, null)::pgstate.version;
        v_unclaim := v_unclaim || v_key;
        v_lapsed := false;
      end if;
      v_version := v_version + 1;
      v_expires_at := case when v_op = 'put' or not v_live then v_now + s.ttl
                           when v_op = 'merge' then coalesce(v_now + s.ttl, v_expires_at) end;
      if v_new is null then
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
      v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, v_op, v_new is not null and not v_live,
                                      v_new, p_actor.name, v_via, v_now, v_expires_at, null)::pgstate.version;
      v_live := v_new is not null;
      v_value := v_new;
      v_writer := p_actor.name;
      v_dirty := true;
    end if;

    if v_code is not null then
      v_status := case v_code when 'PS010' then 'denied' else 'invalid' end;
      v_out[s.ord] := row(s.ord, v_status, null, null, v_code, null, null)::pgstate.outcome;
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
      if v_found then
        v_updates := v_updates || row(v_key, null, 'value', v_version, v_live, v_value, v_writer, v_via, v_created_at, v_now,
                                      v_expires_at, v_priority, v_not_before)::pgstate.entry;
      else
        v_inserts := v_inserts || row(v_key, null, 'value', v_version, v_live, v_value, coalesce(v_writer, p_actor.name), v_via,
                                      coalesce(v_created_at, v_now), v_now, v_expires_at, v_priority, v_not_before)::pgstate.entry;
      end if;
      v_dirty := false;
    end if;
  end loop;

  if p_atomic and v_failed then
    for v_index in 1 .. v_last loop
      if v_out[v_index].status = 'ok' then
        v_out[v_index] := row(v_index, 'skipped', null, null, null, null, null)::pgstate.outcome;
      end if;
    end loop;
    return v_out;
  end if;

  if cardinality(v_inserts) > 0 and not pgstate._insert_entries(v_inserts) then
    return null;
  end if;

  if cardinality(v_updates) > 0 then
    update pgstate.entry e
       set kind = n.kind, version = n.version, live = n.live, value = n.value, writer = n.writer, via = n.via, created_at = n.created_at,
           updated_at = n.updated_at, expires_at = n.expires_at, priority = n.priority, not_before = n.not_before
      from unnest(v_updates) n
     where e.key = n.key;
  end if;
  if cardinality(v_versions) > 0 then
    insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at)
    select n.key, n.version, n.epoch, n.op, n.created, n.value, n.writer, n.via, n.at, n.expires_at
      from unnest(v_versions) n;
  end if;
  if cardinality(v_unclaim) > 0 then
    delete from pgstate.claim c where c.key = any (v_unclaim);
  end if;
  return v_out;
end
$$;
comment on function pgstate._try_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean) is
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
  p_return_values boolean[], p_atomic boolean
) returns pgstate.outcome[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.outcome[];
begin
  for v_try in 1 .. 20 loop
    if cardinality(p_keys) = 1 then
      v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                 p_not_befores, p_reducers, p_return_values, p_atomic);
    else
      begin
        v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                   p_not_befores, p_reducers, p_return_values, p_atomic);
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
comment on function pgstate._write_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean) is
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
                 when 'put' then '{op,key,value,expect,expect_value,ttl,token,priority,not_before}'::text[]
                 when 'merge' then '{op,key,operand,reducer,ttl,token}'::text[]
                 when 'delete' then '{op,key,expect,token}'::text[]
                 else '{op,key,token}'::text[] end)))
       -- strict: the casts below take a number, a text and so on, and null is no way to leave a guard open
       or exists (select from jsonb_each(v_row.item) f where
            f.key in ('version', 'token', 'expect', 'priority') and (jsonb_typeof(f.value) <> 'number' or f.value::text !~ '^[0-9-]{1,18}$')
            or f.key in ('reducer', 'not_before') and jsonb_typeof(f.value) <> 'string'
            or f.key = 'ttl' and jsonb_typeof(f.value) not in ('string', 'number'))
    then
      raise exception using errcode = 'PS007', message = format('invalid %s %s', case when v_row.is_guard then 'guard' else 'operation' end, left(v_row.item::text, 200)),
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
             array_agg(r.item ->> 'reducer' order by r.ord) as reducers
        into v_a
        from jsonb_array_elements(v_rows) with ordinality as r (item, ord);
    exception when data_exception then
      raise exception using errcode = 'PS007', message = 'invalid guard or operation: ' || sqlerrm;
    end;
    select jsonb_agg(pgstate._pack(o) order by o.ord), bool_or(o.watched) into v_outcome, v_watched
      from pgstate.write_many(coalesce(v_a.ops, '{}'), coalesce(v_a.keys, '{}'), v_a.vals, v_a.expects, v_a.expect_values, v_a.ttls,
                              v_a.tokens, v_a.priorities, v_a.not_befores, v_a.reducers, wake => apply.wake, "atomic" => true,
                              agent => apply.agent) o;
    -- a refused row is an error of the call
    select r.item ->> 'key' as key, o.item ->> 2 as code into v_row
      from jsonb_array_elements(v_outcome) with ordinality as o (item, ord)
      join jsonb_array_elements(v_rows) with ordinality as r (item, ord) using (ord)
     where o.item ->> 2 is not null order by ord limit 1;
    if found then
      perform pgstate._raise(v_row.code, v_row.key);
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
  'Several keys, all or nothing. guards: [{"key", one of "exists": true, "absent": true, "version": n, "value": json, "token": n}]; operations: [{"op": "put"|"merge"|"delete"|"complete", "key", and the arguments of that function}] (merge takes "operand", ttl is seconds or an interval). One row per guard, then per operation: ok everywhere, or nothing was done and the failing rows say conflict, held, stale or missing and the others skipped. PS001 PS003 PS004 PS005 PS006 PS007 PS010 PS030 PS031 PS040.';

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

-- functions/values/expire.sql
create function pgstate.expire() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_login();
  perform pgstate._expire(5000);
end
$$;
comment on function pgstate.expire() is 'Writes the expiry versions that are due, 5000 at most; every connected client calls it each second. Expired entries are invisible to reads without it.';

-- functions/values/get.sql
create function pgstate.get(key text, agent text default null) returns pgstate.entry_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get.agent, get.key);
  v_row pgstate.entry_row;
begin
  if get.key is null or not pgstate._key_ok(get.key) then
    perform pgstate._bad_key(get.key);
  elsif not v_actor.readable then
    perform pgstate._deny();
  end if;
  select 'ok', e.key, e.value, e.version, e.kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before
    into v_row
    from pgstate.entry e
   where e.key = get.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now());
  if v_row.key is null then
    v_row.status := 'missing';
    v_row.key := get.key;
  end if;
  return v_row;
end
$$;
comment on function pgstate.get(text, text) is 'One entry: status ok with its columns, or missing. PS001 for an invalid key, PS010 outside the caller''s grants, whether or not the key exists.';

-- functions/values/get_many.sql
create function pgstate.get_many(keys text[], agent text default null) returns setof pgstate.entry_item
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_many.agent);
  v_now timestamptz := pgstate._now();
begin
  v_actor.reads := v_actor.reads + '{}';
  return query
    select k.ord::int,
           case when k.code = 'PS010' then 'denied' when k.code is not null then 'invalid' when e.key is null then 'missing' else 'ok' end,
           k.key, e.value, e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before,
           k.code, case when k.code is not null then pgstate._error_text(k.code, k.key) end
      from (select u.key, u.ord,
                   case when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
                        when not v_actor.reads @> u.key then 'PS010' end as code
              from unnest(get_many.keys) with ordinality as u (key, ord)) k
      left join lateral (
        select x.* from pgstate.entry x
         where k.code is null and x.key = k.key and x.value is not null and (x.expires_at is null or x.expires_at > v_now)
        offset 0
      ) e on true
     order by k.ord;
end
$$;
comment on function pgstate.get_many(text[], text) is 'Many entries in one statement: a row per key in the order of the input, status ok, missing, denied or invalid.';

-- functions/values/history.sql
create function pgstate.history(key text, "limit" int default 100, before bigint default null, agent text default null)
returns setof pgstate.version_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(history.agent, history.key);
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
    select v.key, v.version, v.op::text, v.value, v.writer, v.via, v.at, v.expires_at, v.created
      from pgstate.version v
     where v.key = history.key and v.version < v_before
     order by v.version desc limit history."limit";
end
$$;
comment on function pgstate.history(text, int, bigint, text) is 'Versions of a key, newest first: what each was, who wrote it through which login, and when. before: only older ones, for the next page. PS001 PS007 PS010.';

-- functions/values/list.sql
-- Checked first, then read by range: only the ranges that both the pattern and the grants cover are touched, so that
-- hidden keys cost no time.
create function pgstate.list(pattern text default '', "limit" int default 1000, after text default null, bookmark boolean default false, agent text default null)
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
begin
  perform pgstate._check_pattern(list.pattern);
  if list."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  elsif list.after is not null and not pgstate._key_ok(list.after) then
    perform pgstate._bad_key(list.after);
  end if;
  v_ranges := pgstate._pattern_ranges(list.pattern) * v_actor.reads;
  if isempty(v_ranges) and list.pattern <> '' then
    perform pgstate._deny();
  end if;
  if list.after is not null then
    v_ranges := v_ranges * pgstate.keymultirange(pgstate.keyrange(list.after, null, '()'));
  end if;
  v_regex := pgstate._pattern_regex(list.pattern);
  v_cursor := pgstate._cursor(v_actor);
  -- The lateral subquery forces a nested loop over the ranges in their order, so rows come in key order without a sort,
  -- and the outer limit ends the scan with the page. The bounds are columns, because under row-level security a key is
  -- looked up in the index only by what no function computes there. Casting the kind takes a tenth of the time of a row.
  return query
    with span as materialized (
      -- half open, exactly: no key holds chr(1)
      select coalesce(case when lower_inc(r) then lower(r) else lower(r) || chr(1) end, '') as low,
             coalesce(case when upper_inc(r) then upper(r) || chr(1) else upper(r) end, chr(127)) as high
        from unnest(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, e.value, e.version, case when e.kind = 'value' then 'value' else e.kind::text end, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority,
               e.not_before, case when not list.bookmark then v_cursor end
          from pgstate.entry e
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
         order by e.key limit list."limit"
      ) m
     limit list."limit";
  if list.bookmark then
    return next row(null, null, null, null, null, null, null, null, null, null, null, v_cursor)::pgstate.listed;
  end if;
end
$$;
comment on function pgstate.list(text, int, text, boolean, text) is
  'Entries that match a pattern and that the caller may read, in key order. limit 1 to 100000 (null: all), after: the last key of the page before. Every row carries the cursor of this statement; with bookmark only one more row does, the last, whose key is null: it comes even when nothing is listed. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';

-- functions/values/merge.sql
-- Never conflicts: concurrent merges into one key all take effect.
create function pgstate.merge(
  key text, operand jsonb, reducer text, ttl interval default null, op_id text default null, token bigint default null,
  return_value boolean default false, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('merge', merge.key, merge.operand, ttl => merge.ttl, token => merge.token,
    reducer => merge.reducer, return_value => merge.return_value, op_id => merge.op_id, agent => merge.agent), merge.key);
end
$$;
comment on function pgstate.merge(text, jsonb, text, interval, text, bigint, boolean, text) is
  'Merges an operand into a key inside the database, by replace, append, add, max, min, union, merge, deep_merge, messages or first; a missing key starts from the operand. Status as put(); the merged value when return_value. A merge that changes nothing makes no version, unless it gives a ttl. PS001 PS003 PS004 PS005 PS006 PS010 PS030 PS040.';

-- functions/values/merge_many.sql
-- The set-based merge.
create function pgstate.merge_many(
  keys text[], operands jsonb[], reducers text[], tokens bigint[] default null, op_ids text[] default null,
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
  op_id text default null, token bigint default null, priority int default null, not_before timestamptz default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('put', put.key, put.value, put.expect, put.expect_value, put.ttl, put.token, put.priority,
    put.not_before, op_id => put.op_id, agent => put.agent), put.key);
end
$$;
comment on function pgstate.put(text, jsonb, bigint, jsonb, interval, text, bigint, int, timestamptz, text) is
  'Writes a key. expect: null writes regardless, 0 creates only, n replaces version n; expect_value compares the value. Status ok with the new version, or conflict (current version and value), held (somebody else''s claim), stale (token). ttl null: no expiry. PS001 PS003 PS004 PS007 PS010 PS030 PS040.';

-- functions/values/put_many.sql
-- The set-based put.
create function pgstate.put_many(
  keys text[], "values" jsonb[], expects bigint[] default null, ttls interval[] default null,
  tokens bigint[] default null, op_ids text[] default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('put'::text, array[coalesce(cardinality(put_many.keys), 0)]), put_many.keys,
    "values" => put_many."values", expects => put_many.expects, ttls => put_many.ttls, tokens => put_many.tokens,
    op_ids => put_many.op_ids, agent => put_many.agent) o;
end
$$;
comment on function pgstate.put_many(text[], jsonb[], bigint[], interval[], bigint[], text[], text) is
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
  "atomic" boolean default false, lock_timeout text default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_many.agent, write_many.lane, write_many.turn);
  v_ops text[] := write_many.ops;
  v_count int := coalesce(cardinality(write_many.keys), 0);
  v_out pgstate.outcome[];
  v_outcome jsonb;
  v_states text[];
  v_requests text[];
  v_versions bigint[];
  v_written text[];
  v_watched boolean;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_count <> coalesce(cardinality(v_ops), 0)
     or v_count <> any (array[
          coalesce(cardinality(write_many."values"), v_count), coalesce(cardinality(write_many.expects), v_count),
          coalesce(cardinality(write_many.expect_values), v_count), coalesce(cardinality(write_many.ttls), v_count),
          coalesce(cardinality(write_many.tokens), v_count), coalesce(cardinality(write_many.priorities), v_count),
          coalesce(cardinality(write_many.not_befores), v_count), coalesce(cardinality(write_many.reducers), v_count),
          coalesce(cardinality(write_many.return_values), v_count), coalesce(cardinality(write_many.op_ids), v_count)])
  then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
  elsif v_count = 0 then
    return;
  elsif array_ndims(v_ops) <> 1 or array_lower(v_ops, 1) <> 1 or array_ndims(write_many.keys) <> 1 or array_lower(write_many.keys, 1) <> 1
        or array_ndims(write_many.op_ids) <> 1 or array_lower(write_many.op_ids, 1) <> 1 then
    -- rows are counted from 1 below
    raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
  elsif write_many."atomic" and write_many.op_ids is not null then
    raise exception using errcode = 'PS007', message = 'an atomic write has one op_id: use apply()';
  end if;

  if v_actor.kept is not null then
    return query
      select u.* from jsonb_array_elements(v_actor.kept) with ordinality as o (item, ord)
       cross join lateral pgstate._unpack(o.ord::int, o.item, write_many.keys[o.ord]) u
       order by u.ord;
    return;
  end if;
  if not write_many.wake or write_many.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_many.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_many.wake then v_wake else 'off' end, true);
  end if;

  if write_many.op_ids is not null then
    v_requests := array(
      select jsonb_build_array(u.op, u.key, u.value, u.expect, u.expect_value, u.ttl, u.token, u.priority, u.not_before, u.reducer,
                               u.return_value)::text
        from unnest(v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values, write_many.ttls,
                    write_many.tokens, write_many.priorities, write_many.not_befores, write_many.reducers, write_many.return_values)
             with ordinality as u (op, key, value, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, ord)
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

  if v_states is null and write_many.tokens is null and write_many.expect_values is null and write_many.return_values is null
     and not write_many."atomic" and 'put' = all (v_ops) and (0 = any (write_many.expects)) is not true then
    v_versions := pgstate._put_existing(v_actor, write_many.keys, write_many."values", write_many.expects, write_many.ttls,
                                        write_many.priorities, write_many.not_befores);
  end if;
  if v_versions is null then
    v_out := pgstate._write_each(v_actor, v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values,
                                 write_many.ttls, write_many.tokens, write_many.priorities, write_many.not_befores,
                                 write_many.reducers, write_many.return_values, write_many."atomic");
  end if;
  if not write_many.wake then
    v_done := set_config('pgstate.wake', v_wake, true);
    if v_versions is null then
      v_written := array(select write_many.keys[o.ord] from unnest(v_out) o where o.status = 'ok');
    else
      v_written := write_many.keys;
    end if;
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

  if v_versions is not null then
    v_outcome := to_jsonb(v_versions);
  elsif write_many.lane is not null then
    v_outcome := (select jsonb_agg(pgstate._pack(o) order by o.ord) from unnest(v_out) o);
  end if;
  if write_many.lane is not null or not write_many.wake then
    v_watched := pgstate._finish(write_many.lane, write_many.turn, v_outcome, v_written);
  end if;
  if v_versions is null then
    return query
      select o.ord, o.status, o.version, o.value, o.code,
             case when o.code is not null then pgstate._error_text(o.code, write_many.keys[o.ord]) end, v_watched
        from unnest(v_out) o;
  else
    return query
      select v.ord::int, 'ok', v.version, null::jsonb, null, null, v_watched
        from unnest(v_versions) with ordinality as v (version, ord);
  end if;
end
$$;
comment on function pgstate.write_many(text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], text[], uuid, bigint, boolean, boolean, text, text) is
  'Writes any number of rows in one statement: ops is put, merge, delete or complete for each key, the other arrays run alongside and may be null. One outcome per row, in order; a refused row (code, message) harms no other. A key may occur several times. atomic: all or nothing. lock_timeout as in write_one().';

-- functions/values/write_one.sql
-- Any write of one row, as write_many() takes it: what clients send that have just one, and what put(), merge(), delete()
-- and complete() are. A plain put of a key that exists goes a short way, in plain statements; everything else is decided by
-- write_many(), which finds the entry locked already.
--
-- The short way: the entry is locked first and written by a second statement, whose snapshot shows every claim that there
-- is (claims are taken under the entry's lock), and whose time is the one after the wait for the lock.
create function pgstate.write_one(
  op text, key text, value jsonb default null, expect bigint default null, expect_value jsonb default null,
  ttl interval default null, token bigint default null, priority int default null, not_before timestamptz default null,
  reducer text default null, return_value boolean default null, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null
) returns pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_one.agent, write_one.lane, write_one.turn, write_one.key);
  v_version bigint;
  v_now timestamptz;
  v_out pgstate.outcome;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_actor.kept is not null then
    return pgstate._unpack(1, v_actor.kept -> 0, write_one.key);
  end if;
  if not write_one.wake or write_one.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_one.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_one.wake then v_wake else 'off' end, true);
  end if;
  if write_one.op = 'put' and write_one.expect is distinct from 0 and write_one.expect_value is null and write_one.token is null
     and write_one.return_value is null and write_one.op_id is null and v_actor.writable
     and (write_one.expect is null or v_actor.readable) and pg_column_size(write_one.value) <= v_actor.value_limit
     and (write_one.ttl is null or pgstate._span_ok(write_one.ttl))
     and (write_one.not_before is null or write_one.not_before between '1970-01-01' and '9999-12-01') then
    -- lives are told by the value: see _put_existing()
    select e.version into v_version
      from pgstate.entry e
     where e.key = write_one.key and e.value is not null and e.kind = 'value'
       and (write_one.expect is null or e.version = write_one.expect) for no key update;
    if v_version is not null then
      if current_setting('transaction_isolation') <> 'read committed' then
        perform pgstate._check_claims_seen(array[write_one.key]);
      end if;
      v_now := pgstate._now();
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, value = write_one.value, writer = v_actor.name, via = session_user, updated_at = v_now,
               expires_at = v_now + write_one.ttl, priority = coalesce(write_one.priority, e.priority),
               not_before = coalesce(write_one.not_before, e.not_before)
         where e.key = write_one.key and (e.expires_at is null or e.expires_at > v_now)
           and not exists (select from pgstate.claim c where c.key = write_one.key and c.lease_until > v_now)
        returning e.version, e.expires_at
      )
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at)
      select write_one.key, c.version, v_actor.epoch, 'put', write_one.value, v_actor.name, session_user, v_now, c.expires_at
        from changed c
      returning version into v_version;
    end if;
  end if;
  if v_version is not null then
    v_out := row(1, 'ok', case when v_actor.readable then v_version end, null, null, null, null)::pgstate.outcome;
    if write_one.lane is not null or not write_one.wake then
      v_out.watched := pgstate._finish(write_one.lane, write_one.turn, jsonb_build_array(v_out.version),
                                       case when not write_one.wake then array[write_one.key] end);
    end if;
  else
    select o.* into v_out
      from pgstate.write_many(array[write_one.op], array[write_one.key], array[write_one.value], array[write_one.expect],
             array[write_one.expect_value], array[write_one.ttl], array[write_one.token], array[write_one.priority],
             array[write_one.not_before], array[write_one.reducer], array[write_one.return_value],
             case when write_one.op_id is not null then array[write_one.op_id] end, wake => write_one.wake, agent => write_one.agent) o;
    if write_one.lane is not null then
      v_done := pgstate._lane_end(write_one.lane, write_one.turn, jsonb_build_array(pgstate._pack(v_out)));
    end if;
  end if;
  if not write_one.wake then
    v_done := set_config('pgstate.wake', v_wake, true);
  end if;
  return v_out;
end
$$;
comment on function pgstate.write_one(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, boolean, text, text) is
  'One write: op is put, merge, delete or complete, the rest as in write_many(). A refused write is an outcome with code and message, not an error. lock_timeout is set for the rest of the transaction, for clients that have other writes waiting: 55P03.';

-- functions/values/write_and_wake.sql
-- write_one(), its commit, and the wake-up when somebody watches the key, in one round trip: only a procedure can commit in
-- between, and a NOTIFY inside the writing transaction serialises all commits of the cluster. It runs as its caller, since
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
    return_value, op_id, lane, turn, false, lock_timeout, agent);
begin
  status := v_out.status;
  version := v_out.version;
  if v_out.status <> 'ok' or v_out.value is not null then
    value := v_out.value::text;
    code := v_out.code;
    message := v_out.message;
  end if;
  watched := v_out.watched and v_out.status = 'ok';
  if watched then
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

-- functions/claims/_check_claimant.sql
create function pgstate._check_claimant(p_actor pgstate._actor, p_key text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_key is null or not pgstate._key_ok(p_key) then
    perform pgstate._bad_key(p_key);
  elsif not (p_actor.reads @> p_key and p_actor.writes @> p_key) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._check_claimant(pgstate._actor, text) is 'Internal: claims need read and write.';

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

-- functions/claims/_claim_again.sql
create function pgstate._claim_again(p_outcome jsonb) returns pgstate.claimed
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claimed pgstate.claimed := jsonb_populate_record(null::pgstate.claimed, p_outcome);
begin
  if v_claimed.status = 'ok' then
    select e.value into v_claimed.value from pgstate.entry e where e.key = v_claimed.key and e.version = v_claimed.version;
  end if;
  return v_claimed;
end
$$;
comment on function pgstate._claim_again(jsonb) is 'Internal: the first outcome of a claim that was sent again.';

-- functions/claims/_claim_outcome.sql
-- A claim for keeping with a lane, and back.
create function pgstate._claim_outcome(p_claimed pgstate.claimed) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$ begin return to_jsonb(p_claimed) - 'value'; end $$;
comment on function pgstate._claim_outcome(pgstate.claimed) is 'Internal: a claim''s outcome for keeping.';

-- functions/claims/_take.sql
-- Takes the claim of an entry that the caller has locked. Null when somebody holds it.
create function pgstate._take(p_actor pgstate._actor, p_key text, p_lease interval) returns pgstate.claim
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claim pgstate.claim;
  v_now timestamptz := pgstate._now();
begin
  insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
  values (p_key, nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now)
      on conflict on constraint claim_pkey do update
     set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
         attempts = c.attempts + 1, claimed_at = excluded.claimed_at
   where c.lease_until <= v_now
  returning c.* into v_claim;
  return v_claim;
end
$$;
comment on function pgstate._take(pgstate._actor, text, interval) is 'Internal: claims a locked entry.';

-- functions/claims/claim.sql
create function pgstate.claim(key text, lease interval, lane uuid default null, turn bigint default null, agent text default null)
returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim.agent);
  v_entry record;
  v_claim pgstate.claim;
  v_out pgstate.claimed;
  v_outcome jsonb;
begin
  perform pgstate._check_lease(claim.lease);
  perform pgstate._check_claimant(v_actor, claim.key);
  if claim.lane is not null then
    v_outcome := pgstate._lane_begin(v_actor, claim.lane, claim.turn);
    if v_outcome is not null then
      return pgstate._claim_again(v_outcome);
    end if;
  end if;
  select e.version, e.value into v_entry
    from pgstate.entry e
   where e.key = claim.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) for update;
  v_out.key := claim.key;
  if not found then
    v_out.status := 'missing';
  else
    v_claim := pgstate._take(v_actor, claim.key, claim.lease);
    if v_claim.key is not null then
      v_out := row('ok', claim.key, v_entry.value, v_entry.version, v_claim.token, v_claim.lease_until, v_claim.attempts, null)::pgstate.claimed;
    else
      v_out.status := 'held';
      v_out.version := v_entry.version;
      select c.lease_until - pgstate._now() into v_out.retry_in from pgstate.claim c where c.key = claim.key;
    end if;
  end if;
  if claim.lane is not null then
    perform pgstate._lane_end(claim.lane, claim.turn, pgstate._claim_outcome(v_out));
  end if;
  return v_out;
end
$$;
comment on function pgstate.claim(text, interval, uuid, bigint, text) is
  'Claims one entry until the lease ends: status ok with the fencing token, held (retry_in: until the lease ends) or missing. Makes no version. A claim must be given back or renewed with its token; the agent that holds it gets held too. Needs read and write. PS001 PS007 PS010.';

-- functions/claims/claim_next.sql
-- The best waiting entry: highest priority, then oldest. The entry is locked with SKIP LOCKED, then claimed in a statement
-- of its own: one that another has just claimed looks free in the snapshot that found it, and the claim tells.
create function pgstate.claim_next(pattern text, lease interval, lane uuid default null, turn bigint default null, agent text default null)
returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_next.agent);
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_parent text;
  v_entry record;
  v_claim pgstate.claim;
  v_out pgstate.claimed;
  v_outcome jsonb;
  v_now timestamptz;
  v_locked boolean;
begin
  perform pgstate._check_lease(claim_next.lease);
  perform pgstate._check_pattern(claim_next.pattern);
  v_ranges := pgstate._pattern_ranges(claim_next.pattern) * v_actor.reads * v_actor.writes;
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  if claim_next.lane is not null then
    v_outcome := pgstate._lane_begin(v_actor, claim_next.lane, claim_next.turn);
    if v_outcome is not null then
      return pgstate._claim_again(v_outcome);
    end if;
  end if;
  v_regex := pgstate._pattern_regex(claim_next.pattern);
  v_parent := substring(claim_next.pattern from '^([^*?]+)/[^/]*[*?][^/]*$');
  -- by directory only where all of it is the caller's: a look at hidden siblings would show in the caller's statistics
  if claim_next.pattern ~ '/\*\*$'
     or not v_actor.reads * v_actor.writes @> pgstate.keyrange(v_parent || '/', v_parent || '0', '[)') then
    v_parent := null;
  end if;
  v_out.status := 'missing';
  loop
    v_now := pgstate._now();
    if v_parent is not null then
      select e.key, e.version, e.value into v_entry
        from pgstate.entry e
       where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
         and (e.expires_at is null or e.expires_at > v_now) and v_ranges @> e.key and e.key ~ v_regex
         and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now)
       order by e.priority desc, e.created_at, e.key limit 1 for update of e skip locked;
    else
      select e.key, e.version, e.value into v_entry
        from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                from unnest(v_ranges) r offset 0) span
        cross join lateral (
          select x.key, x.priority, x.created_at from pgstate.entry x
           where x.key >= span.low and x.key <= span.high and span.range @> x.key
             and x.live and x.kind = 'value' and (x.not_before is null or x.not_before <= v_now)
             and (x.expires_at is null or x.expires_at > v_now) and (v_regex is null or x.key ~ v_regex)
             and not exists (select from pgstate.claim c where c.key = x.key and c.lease_until > v_now)) m
        -- looked at again on the row as locked: it may have gone since the snapshot
        join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
         and (e.expires_at is null or e.expires_at > v_now)
       order by m.priority desc, m.created_at, m.key limit 1 for update of e skip locked;
    end if;
    exit when not found;
    v_claim := pgstate._take(v_actor, v_entry.key, claim_next.lease);
    if v_claim.key is not null then
      v_out := row('ok', v_entry.key, v_entry.value, v_entry.version, v_claim.token, v_claim.lease_until, v_claim.attempts, null)::pgstate.claimed;
      exit;
    end if;
  end loop;
  if v_out.status = 'missing' then
    -- what is only locked is to be looked for again soon: no version will tell that a rolled-back write, or a claimer that
    -- died, has let go of it
    if v_parent is not null then
      v_locked := exists (
        select from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and v_ranges @> e.key and e.key ~ v_regex
           and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now));
    else
      v_locked := exists (
        select from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                       from unnest(v_ranges) r offset 0) span
          join pgstate.entry e on e.key >= span.low and e.key <= span.high and span.range @> e.key
         where e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now));
    end if;
    -- otherwise the next moment at which something becomes claimable without a write
    select least(
      case when v_locked then v_now + interval '50 ms' end,
      (select min(c.lease_until)
         from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                 from unnest(v_ranges) r offset 0) span
         join pgstate.claim c on c.key >= span.low and c.key <= span.high and span.range @> c.key
        where c.lease_until > v_now and (v_regex is null or c.key ~ v_regex)),
      (select min(e.not_before) from pgstate.entry e
        where e.not_before is not null and e.live and e.not_before > v_now and (v_parent is null or e.parent = v_parent)
          and v_ranges @> e.key and (v_regex is null or e.key ~ v_regex))) - v_now
      into v_out.retry_in;
  end if;
  if claim_next.lane is not null then
    perform pgstate._lane_end(claim_next.lane, claim_next.turn, pgstate._claim_outcome(v_out));
  end if;
  return v_out;
end
$$;
comment on function pgstate.claim_next(text, interval, uuid, bigint, text) is
  'Claims the entry that waits with the highest priority, then longest, among those that match: status ok with key, value and the fencing token, or missing (retry_in: when a lease or not_before next ends, null when nothing waits). Entries whose not_before lies ahead, or that somebody holds, are passed over; an ended lease is taken over. Needs read and write. PS002 PS007 PS010.';

-- functions/claims/complete.sql
create function pgstate.complete(key text, token bigint, op_id text default null, agent text default null) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('complete', complete.key, token => complete.token, op_id => complete.op_id,
    agent => complete.agent), complete.key);
end
$$;
comment on function pgstate.complete(text, bigint, text, text) is 'Finishes claimed work: removes the entry with op complete, if the token is the current claim''s: status ok, stale or missing. PS001 PS007 PS010.';

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
  perform pgstate._check_pattern(list_claims.pattern);
  v_ranges := pgstate._pattern_ranges(list_claims.pattern) * v_actor.reads;
  if isempty(v_ranges) and list_claims.pattern <> '' then
    perform pgstate._deny();
  end if;
  v_regex := pgstate._pattern_regex(list_claims.pattern);
  return query
    with span as materialized (
      -- half open, exactly: no key holds chr(1)
      select coalesce(case when lower_inc(r) then lower(r) else lower(r) || chr(1) end, '') as low,
             coalesce(case when upper_inc(r) then upper(r) || chr(1) else upper(r) end, chr(127)) as high
        from unnest(v_ranges) r
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
create function pgstate.release(key text, token bigint, agent text default null) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(release.agent);
  v_out pgstate.claimed;
begin
  perform pgstate._check_claimant(v_actor, release.key);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null
   where c.key = release.key and c.token = release.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now();
  -- given back before with this token: the reply may have been lost
  v_out.status := case when found or exists (
    select from pgstate.claim c where c.key = release.key and c.token = release.token and c.lease_until = '-infinity')
    then 'ok' else 'stale' end;
  v_out.key := release.key;
  if found then
    -- no version tells of it, and somebody may be waiting for this entry
    perform pgstate._wake(array[release.key]);
  end if;
  return v_out;
end
$$;
comment on function pgstate.release(text, bigint, text) is 'Gives a claim back, so that others may claim the entry at once: status ok, or stale. PS001 PS010.';

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
  v_out.key := renew.key;
  return v_out;
end
$$;
comment on function pgstate.renew(text, bigint, interval, text) is 'Lets a claim''s lease end lease from now: status ok, or stale when the token is not the current claim''s, or its lease has ended. PS001 PS007 PS010.';

-- functions/feed/changes_for.sql
-- A page of changes not visible in the cursor's snapshot and visible in the current one, in order of seq, for all the watches
-- of a process, whichever of its agents they belong to. Agents' ranges are cut to what they may read; row-level security is
-- in force as well. The last row is the bookmark. STABLE, like all that it calls: every statement inside must read the
-- caller's one snapshot. One function, and few expressions in it: it is on the way from a write to its watchers.
create function pgstate.changes_for(cursor text, agents text[], patterns text[], "limit" int default 1000, upto text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor;
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
  v_page pgstate.version[];
  v_full boolean;
  v_last bigint;
  v_head text;
  v_change pgstate.change;
begin
  if (cardinality(changes_for.agents) > 0 and cardinality(changes_for.agents) = cardinality(changes_for.patterns)
      and changes_for."limit" between 1 and 10000) is not true then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1; limit is 1 to 10000';
  elsif changes_for.agents[1] = all (changes_for.agents) then
    -- most processes have one agent
    v_actor := pgstate._enter(changes_for.agents[1]);
    v_wanted := pgstate._wanted(changes_for.patterns);
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
          from (select w.name, pgstate._wanted(array_agg(w.pattern)) as wanted
                  from unnest(changes_for.agents, changes_for.patterns) w (name, pattern) group by w.name offset 0) g) a;
  end if;

  v_place := pgstate._feed_place(v_actor);
  v_position := pgstate._position(changes_for.cursor, v_place);
  v_upto := v_position.upto;
  v_base := v_position.base;
  v_top := pg_snapshot_xmax(v_base);
  if pg_snapshot_xmin(v_base) < v_top then
    v_running := array(select pg_snapshot_xip(v_base));
  end if;
  if v_upto is null then
    if changes_for.upto is null then
      v_window := pgstate._window(v_actor.epoch, v_top, v_running, 1000);
      v_upto := v_window.upto;
      v_start := v_window.start;
    else
      v_upto := (pgstate._position(changes_for.upto, v_place)).base;
      if v_top > pg_snapshot_xmax(v_upto) or exists (select from pg_snapshot_xip(v_upto) x where pg_visible_in_snapshot(x, v_base)) then
        raise exception using errcode = 'PS020', message = 'upto lies before the cursor';
      end if;
      v_start := pgstate._window_start(v_actor.epoch, v_top, v_running, 1000);
    end if;
  else
    v_start := v_position.after;
  end if;

  if v_start is null and v_running is null and cardinality(v_agents) = 1 then
    -- what a watch reads when little happens
    v_page := array(
      select row(c.*)::pgstate.version
        from (select v.* from pgstate.version v where v.epoch = v_actor.epoch and v.xid >= v_top order by v.xid limit 1001) c
       where pg_visible_in_snapshot(c.xid, v_upto) and v_ranges[1] @> c.key and (v_regexes[1] is null or c.key ~ v_regexes[1])
       order by c.seq limit changes_for."limit" + 1);
  elsif v_start is null then
    v_page := array(
      select row(c.*)::pgstate.version
        from (
          (select v.* from pgstate.version v where v.epoch = v_actor.epoch and v.xid >= v_top order by v.xid limit 1001)
          union all
          select v.* from unnest(v_running) r cross join lateral (
            select x.* from pgstate.version x where x.epoch = v_actor.epoch and x.xid = r offset 0) v
        ) c
       where pg_visible_in_snapshot(c.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> c.key and (w.regex is null or c.key ~ w.regex))
       order by c.seq limit changes_for."limit" + 1);
  else
    v_page := array(
      select row(v.*)::pgstate.version
        from pgstate.version v
       where v.seq > v_start and v.epoch = v_actor.epoch
         and not pg_visible_in_snapshot(v.xid, v_base) and pg_visible_in_snapshot(v.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> v.key and (w.regex is null or v.key ~ w.regex))
       order by v.seq limit changes_for."limit" + 1);
  end if;
  v_full := cardinality(v_page) > changes_for."limit";
  if v_full then
    v_page := v_page[1 : changes_for."limit"];
  end if;
  v_last := v_page[cardinality(v_page)].seq;
  v_head := '1.' || v_place || '.';

  if cardinality(v_page) = 1 and not v_full and cardinality(v_agents) = 1 then
    -- what a watch reads when little happens, without the plan for many
    return next row(v_agents[1], v_page[1].key, v_page[1].version, v_page[1].op, v_page[1].value,
                    (select v.value from pgstate.version v where v.key = v_page[1].key and v.version = v_page[1].version - 1),
                    v_page[1].created, v_page[1].writer, v_page[1].via, v_page[1].at, v_page[1].expires_at,
                    v_head || v_base || '.' || v_upto || '.' || v_last || '.' || greatest(v_position.until, v_last),
                    v_position.until <= v_last)::pgstate.change;
  elsif cardinality(v_page) > 0 then
    for v_change in
      with page as materialized (
        -- prior is a column: under row-level security an expression over one is no index condition
        select u.*, u.version - 1 as prior from unnest(v_page) u
      ), ending as materialized (
        -- where each transaction of the page ends, among the changes that this reader gets
        select p.xid, greatest(max(p.seq), case when v_full then (
                 select max(v.seq) from pgstate.version v
                  where v.epoch = v_actor.epoch and v.xid = p.xid and v.seq > v_last
                    and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex)
                                 where w.ranges @> v.key and (w.regex is null or v.key ~ w.regex))) end) as seq
          from page p group by p.xid
      ), marked as (
        -- until: where the last of the transactions begun so far in this window ends; earlier pages count
        select p.*, greatest(v_position.until, max(e.seq) over (order by p.seq)) as until from page p join ending e on e.xid = p.xid
      )
      select w.agent, m.key, m.version, m.op::text, m.value, before.value, m.created, m.writer, m.via, m.at, m.expires_at,
             v_head || v_base || '.' || v_upto || '.' || m.seq || '.' || m.until, m.until <= m.seq
        from marked m
        join unnest(v_agents, v_ranges, v_regexes) w (agent, ranges, regex) on w.ranges @> m.key and (w.regex is null or m.key ~ w.regex)
        left join lateral (
          select v.value from pgstate.version v where v.key = m.key and v.version = m.prior) before on true
       order by m.seq, w.agent
    loop
      return next v_change;
    end loop;
  end if;
  return next row(null, null, null, 'bookmark', null, null, null, null, null, null, null,
                  case when v_full then v_change.cursor else v_head || v_upto end,
                  -- a cursor from inside a page is read to that page's end first: what came since is next
                  not v_full and v_position.upto is null)::pgstate.change;
end
$$;
comment on function pgstate.changes_for(text, text[], text[], int, text) is
  'changes() for several watches at once: agents and patterns side by side, each agent one that the login may act for; every row names the agent that it is for. PS002 PS007 PS010 PS020 PS021 PS022.';

-- functions/feed/changes.sql
create function pgstate.changes(cursor text, patterns text[] default array[''], "limit" int default 1000, upto text default null, agent text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(changes.agent);
  -- refuses what is no pattern first
  v_wanted pgstate._wanted := pgstate._wanted(changes.patterns);
begin
  -- each pattern by itself: one that reaches nothing must not hide behind another
  if exists (select from unnest(changes.patterns) p where p <> '' and isempty(pgstate._pattern_ranges(p) * v_actor.reads)) then
    perform pgstate._deny();
  end if;
  return query
    select c.* from pgstate.changes_for(changes.cursor, array_fill(v_actor.name, array[cardinality(changes.patterns)]), changes.patterns,
                                        changes."limit", changes.upto) c;
end
$$;
comment on function pgstate.changes(text, text[], int, text, text) is
  'What happened after a cursor, in order, for keys that match any of the patterns and that the caller may read; limit 1 to 10000. Each row carries the cursor to go on from after it. The last row is a bookmark (op bookmark, key null): go on from its cursor; whole false there says that the page was full and more is waiting. previous is the value before. upto: no further than that cursor. PS002 PS010 PS020 PS021 PS022.';

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
  end if;
  perform pgstate._enter_for(v_names);
  return pgstate._subscribe(subscribe.agents, subscribe.patterns, subscribe.channel);
end
$$;
comment on function pgstate.subscribe(text[], text[], text) is
  'Registers for wake-ups: returns the channel to LISTEN on. agents and patterns side by side. Register again within 90 seconds, with the channel. PS002 PS007 PS010.';

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

-- functions/admin/delegate.sql
create function pgstate.delegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(delegate.login, delegate.agent, true);
end
$$;
comment on function pgstate.delegate(text, text) is 'Lets a gateway act for an agent. Needs admin on everything. PS007 PS010.';

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
  'Removes a gateway and its delegations. The agents stay, with the claims that they took through it. The database role stays: DROP ROLE removes that. Needs admin on everything. PS007 PS010.';

-- functions/admin/grant_access.sql
create function pgstate.grant_access(agent text, subtree text, "right" text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(grant_access.agent, grant_access.subtree, grant_access."right", true);
end
$$;
comment on function pgstate.grant_access(text, text, text) is
  'Grants read, write or admin on a key, a subtree (research/**) or everything (**); {agent} as a segment stands for the agent''s name. The caller needs admin on all of it. PS002 PS007 PS010.';

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
create function pgstate.revoke_access(agent text, subtree text, "right" text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(revoke_access.agent, revoke_access.subtree, revoke_access."right", false);
end
$$;
comment on function pgstate.revoke_access(text, text, text) is 'Takes a grant back, exactly as it was given; open watches lose it at once. PS002 PS007 PS010.';

-- functions/admin/undelegate.sql
create function pgstate.undelegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(undelegate.login, undelegate.agent, false);
end
$$;
comment on function pgstate.undelegate(text, text) is 'Ends a delegation. PS007 PS010.';

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
  begin
    execute format('create role %I login', p_login);
  exception when duplicate_object or unique_violation then
    null;
  end;
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
  perform pgstate._add_agent(create_reader.login, create_reader.login, array['read ' || create_reader.pattern], create_reader.reuse);
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

-- functions/as_owner.sql
-- What follows belongs to the tables' owner.
set local role pgstate_owner;

-- functions/admin/_register.sql
-- Run as the owner. The role that installs is agent admin with all rights, so that a quick start works.
insert into pgstate.install (identity) values (pgstate._identity()) on conflict do nothing;
insert into pgstate.agent (name, root) values ('admin', true) on conflict do nothing;
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
create function pgstate._on_version() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[];
  v_last text;
begin
  -- apart from the subquery, which is run as a query of its own wherever it stands
  if current_setting('pgstate.wake', true) = 'off' then
    return null;
  elsif not exists (select from pgstate.watcher) then
    return null;
  end if;
  select array_agg(distinct v.key), max(v.seq)::text into v_keys, v_last
    from pgstate.version v
   where v.epoch = (select i.epoch from pgstate.install i) and v.xid = pg_current_xact_id()
     and v.seq > coalesce(nullif(current_setting('pgstate.woken', true), ''), '0')::bigint;
  if v_last is not null then
    perform pgstate._wake(v_keys);
    perform set_config('pgstate.woken', v_last, true);
  end if;
  return null;
end
$$;
comment on function pgstate._on_version() is 'Internal: wakes the watchers of the keys that a statement wrote.';

create trigger version_wake after insert on pgstate.version for each statement execute function pgstate._on_version();

-- policies/policies.sql
-- The second wall: under the functions, which check first, policies bind pgstate_api itself. They compare the key with
-- the acting agent's cached ranges; the scalar subquery is computed once per statement. Each such subquery costs about
-- 10 us, and equal expressions of the SELECT and UPDATE policies of a table are folded into one: so an UPDATE sees what a
-- SELECT sees, its new row must be writable, and the key, which alone says what is writable, cannot be updated.
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
alter table pgstate.lane enable row level security;
alter table pgstate.op enable row level security;

create policy entry_see on pgstate.entry for select to pgstate_api using ((select pgstate._reachable('touch')) @> key);
create policy entry_add on pgstate.entry for insert to pgstate_api with check ((select pgstate._reachable('write')) @> key);
create policy entry_change on pgstate.entry for update to pgstate_api
  using ((select pgstate._reachable('touch')) @> key) with check ((select pgstate._reachable('write')) @> key);
create policy entry_read on pgstate.entry for select to pgstate_reader using ((select pgstate._reachable('read')) @> key);

create policy version_see on pgstate.version for select to pgstate_api using ((select pgstate._reachable('touch')) @> key);
create policy version_add on pgstate.version for insert to pgstate_api with check ((select pgstate._reachable('write')) @> key);
create policy version_read on pgstate.version for select to pgstate_reader using ((select pgstate._reachable('read')) @> key);

create policy claim_see on pgstate.claim for select to pgstate_api using ((select pgstate._reachable('touch')) @> key);
create policy claim_take on pgstate.claim for insert to pgstate_api with check ((select pgstate._reachable('write')) @> key);
create policy claim_change on pgstate.claim for update to pgstate_api
  using ((select pgstate._reachable('touch')) @> key) with check ((select pgstate._reachable('write')) @> key);
create policy claim_end on pgstate.claim for delete to pgstate_api using ((select pgstate._reachable('write')) @> key);
create policy claim_read on pgstate.claim for select to pgstate_reader using ((select pgstate._reachable('read')) @> key);

-- views/entries.sql
-- What people with SQL meet. security_invoker: a view of the owner's would go around row-level security.
create view pgstate.entries with (security_invoker = true) as
select e.key, e.value, e.version, e.kind::text as kind, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before
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

-- views/versions.sql
create view pgstate.versions with (security_invoker = true) as
select v.key, v.version, v.op::text as op, v.value, v.writer, v.via, v.at, v.expires_at, v.created, v.seq
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

-- views/claims.sql
create view pgstate.claims with (security_invoker = true) as
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

-- grants/grants.sql
-- Agents execute the agent-facing functions and touch no table; pgstate_api reaches the tables that policies guard; readers
-- select. Nothing is PUBLIC's.
grant select on pgstate.entry, pgstate.version, pgstate.claim to pgstate_api;
grant insert on pgstate.entry, pgstate.claim to pgstate_api;
-- not the key: the policies on updates rely on that
grant update (kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before) on pgstate.entry to pgstate_api;
grant update (token, holder, holder_id, lease_until, attempts, claimed_at) on pgstate.claim to pgstate_api;
grant insert on pgstate.version to pgstate_api;
grant delete on pgstate.claim to pgstate_api;
grant usage on sequence pgstate.version_seq, pgstate.claim_token_seq to pgstate_api;

grant select on pgstate.entry, pgstate.version, pgstate.claim, pgstate.entries, pgstate.versions, pgstate.claims to pgstate_reader;

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
      when v_object.proname in ('_now', '_reachable') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'r')
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
      when v_object.proname in ('_now', '_reachable') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'r')
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
      when v_object.proname in ('_now', '_reachable') then 'pgstate_api, pgstate_reader'  -- views and policies of readers
      when v_object.proname in ('_add_agent', '_add_gateway', '_set_login', '_ensure_login') then 'pgstate_api, pgstate_agent'  -- create_agent() runs as its caller
      when v_object.proname like '\_%' then 'pgstate_api, pgstate_owner'
      else 'pgstate_agent, pgstate_api, pgstate_owner' end;
    execute pg_catalog.format('grant execute on routine %s to %s', v_object.name, v_to);
  end loop;
  for v_object in
    select t.oid::pg_catalog.regtype::text as name
      from pg_catalog.pg_type t left join pg_catalog.pg_class c on c.oid = t.typrelid
     where t.typnamespace = 'pgstate'::pg_catalog.regnamespace and t.typowner = current_user::pg_catalog.regrole
       and t.typtype in ('c', 'd', 'r')
  loop
    execute pg_catalog.format('revoke all on type %s from public', v_object.name);
    execute pg_catalog.format('grant usage on type %s to pgstate_api', v_object.name);
  end loop;
end
$grants$;
