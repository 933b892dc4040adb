"""Looks at a database and its server for what weakens pgstate: security, durability, and what keeps it from tidying up.

Changes nothing. Each check is one query, whose rows are what was found; one that the login may not run is told as
unseen. Works for any login; the role that installed sees most, a superuser all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import asyncpg

from pgstate import errors
from pgstate._address import driver_address, unreachable
from pgstate._calls import pooler
from pgstate._migration_errors import NO_ROLES

Level = Literal["problem", "note", "unseen"]

_PATIENCE = 10.0  # seconds
# The minor releases that mend what is known: an older server of these majors is told.
PATCHED = {18: 7, 17: 12, 16: 16, 15: 20}


@dataclass(frozen=True)
class Finding:
    """What a check found: `what` it is and the `remedy`. A problem wants mending, a note is to be known; unseen is a
    check that this login may not make."""

    check: str
    level: Level
    what: str
    remedy: str


@dataclass(frozen=True)
class _Check:
    name: str
    level: Level
    # each row of the query is a finding, its column what is said
    sql: str
    remedy: str
    # run as pgstate_owner, which the role that installed may become
    as_owner: bool = False
    # takes how old a transaction is that is called long
    aged: bool = False


_LOGINS = """
with recursive ours (oid) as (
  select r.oid from pg_roles r where r.rolname in ('pgstate_agent', 'pgstate_reader')
  union select m.member from pg_auth_members m join ours o on m.roleid = o.oid
), logins as (
  select r.* from pg_roles r join ours o on o.oid = r.oid
   where r.rolcanlogin and r.oid <> (select n.nspowner from pg_namespace n where n.nspname = 'pgstate')
)
"""
_RIGHTS = """
select a.what || ' ' || a.name || ': ' || string_agg(x.privilege_type, ', ' order by x.privilege_type) || ' for PUBLIC'
  from (select 'function' as what, p.oid::regprocedure::text as name, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
          from pg_proc p where p.pronamespace = to_regnamespace('pgstate') and p.prosrc !~ '^(multi)?range_constructor'
        union all
        select 'relation', c.oid::regclass::text, coalesce(c.relacl, acldefault('r', c.relowner))
          from pg_class c where c.relnamespace = to_regnamespace('pgstate') and c.relkind in ('r', 'p', 'v', 'm')
        union all
        select 'schema', n.nspname, n.nspacl from pg_namespace n where n.nspname = 'pgstate') a
  cross join lateral aclexplode(a.acl) x where x.grantee = 0
 group by a.what, a.name order by 1
"""
_CHECKS: Sequence[_Check] = (
    _Check(
        "version", "problem",
        "select 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ', and ' || v.major || '.' || v.minor || ' mends what is known'"
        f"  from (values {', '.join(f'({major}, {minor})' for major, minor in PATCHED.items())}) v (major, minor)"
        " where current_setting('server_version_num')::int / 10000 = v.major and current_setting('server_version_num')::int % 10000 < v.minor",
        "Install the newest minor release and restart the server: nothing else changes.",
    ),
    _Check(
        "trust", "problem",
        "select 'line ' || h.line_number || ' of pg_hba.conf lets in without a password: ' || concat_ws(' ', h.type, array_to_string(h.database, ','), array_to_string(h.user_name, ','), h.address)"
        "  from pg_hba_file_rules h where h.auth_method = 'trust' order by h.line_number",
        "Use scram-sha-256 (or peer, cert) there and reload: whoever reaches the server becomes any agent otherwise. The embedded server, on a socket that only its user enters, is for development.",
    ),
    _Check(
        "superuser", "problem",
        "select 'this login, ' || session_user || ', is a superuser: no grant and no policy binds it' from pg_roles r where r.rolname = session_user and r.rolsuper",
        "Install and run as a role with CREATEROLE only, applications as agents' logins or a gateway.",
    ),
    _Check(
        "bypass", "problem",
        _LOGINS + "select l.rolname || ' is an agent''s login, a gateway or a reader, and ' || string_agg(k.what, ', ' order by k.place, k.what)"
        "  from logins l cross join lateral ("
        "    select 1 as place, a.what from (values (l.rolsuper, 'superuser'), (l.rolbypassrls, 'BYPASSRLS'), (l.rolreplication, 'REPLICATION')) a (has, what) where a.has"
        # also what it does not inherit: SET ROLE takes it
        "    union all"
        "    select 2, 'may become ' || r.rolname || ' (' || concat_ws(', ', case when r.rolsuper then 'SUPERUSER' end, case when r.rolbypassrls then 'BYPASSRLS' end, case when r.rolreplication then 'REPLICATION' end) || ')'"
        "      from pg_roles r where (r.rolsuper or r.rolbypassrls or r.rolreplication) and r.oid <> l.oid and not l.rolsuper and pg_has_role(l.oid, r.oid, 'MEMBER')"
        "    union all"
        "    select 3, 'in ' || r.rolname from pg_roles r"
        "     where r.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_all_stats', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')"
        "       and not l.rolsuper and pg_has_role(l.oid, r.oid, 'MEMBER')) k"
        " where l.rolname <> session_user group by l.rolname order by 1",
        "Take that away: alter role … nosuperuser nobypassrls noreplication; revoke … from …. No grant binds what these give; pg_read_all_stats, which comes with pg_monitor, shows others' statements.",
    ),
    _Check(
        "owner", "problem",
        "select r.rolname || ' may become ' || o.rolname || ', whom no policy binds'"
        "  from pg_roles r join pg_roles o on o.rolname in ('pgstate_owner', 'pgstate_api')"
        " where r.rolcanlogin and not r.rolsuper and r.rolname <> session_user and pg_has_role(r.oid, o.oid, 'MEMBER')"
        "   and r.oid <> (select n.nspowner from pg_namespace n where n.nspname = 'pgstate') order by 1",
        "revoke pgstate_owner, pgstate_api from …: only the role that installed needs that.",
    ),
    _Check(
        "membership", "problem",
        "select o.rolname || ', who installed, ' || case when r.rolname in ('pgstate_owner', 'pgstate_api') then 'is no member of ' else 'may give no login what is of ' end || string_agg(r.rolname, ', ' order by r.rolname)"
        "  from pg_class c join pg_roles o on o.oid = c.relowner cross join pg_roles r where c.relnamespace = to_regnamespace('pgstate') and c.relname = 'alembic_version'"
        "   and case when r.rolname in ('pgstate_owner', 'pgstate_api') then not pg_has_role(o.oid, r.oid, 'MEMBER')"
        # before 16 that is enough
        "            when r.rolname in ('pgstate_agent', 'pgstate_reader') then not pg_has_role(o.oid, r.oid, 'MEMBER WITH ADMIN OPTION') and not (o.rolcreaterole and current_setting('server_version_num')::int < 160000) end"
        " group by o.rolname, r.rolname in ('pgstate_owner', 'pgstate_api') order by 1",
        "As after an upgrade from PostgreSQL 15, where CREATEROLE was enough: as a superuser, grant pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to … with admin option; what else pg_dumpall of 15 left out, that of the later one brings.",
    ),
    _Check(
        "createrole", "problem",
        "select r.rolname || ' has CREATEROLE and can grant itself pgstate_owner: before 16 nothing keeps it from that'"
        "  from pg_roles r where current_setting('server_version_num')::int < 160000 and r.rolcreaterole and r.rolcanlogin and not r.rolsuper"
        "   and r.rolname <> session_user and r.oid <> (select n.nspowner from pg_namespace n where n.nspname = 'pgstate') order by 1",
        "Take CREATEROLE from all but who installs, or move to PostgreSQL 16 or later.",
    ),
    _Check(
        "row security", "problem",
        "select 'row-level security is off on ' || c.oid::regclass from pg_class c where c.relnamespace = to_regnamespace('pgstate') and c.relkind in ('r', 'p')"
        " and not c.relrowsecurity and c.relname <> 'alembic_version' order by 1",
        "alter table … enable row level security, as pgstate_owner; partitions do not inherit it.",
    ),
    _Check(
        "ownership", "problem",
        "select count(*) || ' tables of the schema are those of ' || c.relowner::regrole || ', and not of pgstate_owner: pgstate''s functions act with the rights of ' || c.relowner::regrole"
        "  from pg_class c where c.relnamespace = to_regnamespace('pgstate') and c.relkind in ('r', 'p') and c.relname <> 'alembic_version' and c.relowner <> to_regrole('pgstate_owner')"
        " group by c.relowner order by 1",
        "pg_restore leaves owners away with --no-owner, and where they were not: restore again with them.",
    ),
    _Check(
        "privileges", "problem",
        "select 'agents may not use the schema' from pg_namespace n where n.nspname = 'pgstate' and not has_schema_privilege('pgstate_agent', n.oid, 'USAGE')",
        "pg_restore leaves privileges away with --no-privileges (--no-acl), and PostgreSQL lets everybody call functions then: restore again with them.",
    ),
    _Check("public", "problem", _RIGHTS, "revoke all on … from public: what agents may do is granted to pgstate_agent."),
    _Check(
        "durability", "problem",
        "select name || ' is off: ' || case name when 'synchronous_commit' then 'others'' commits may be lost in a crash; writes of pgstate turn it on' else 'a crash of the machine may corrupt the database' end"
        "  from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by 1",
        "Turn it on in postgresql.conf, or for the role or database that has it off.",
    ),
    _Check(
        "tls", "problem",
        "select 'the server listens on ' || current_setting('listen_addresses') || ' without TLS: passwords'' proofs and values cross the net in the open'"
        " where current_setting('ssl') = 'off' and exists (select from unnest(string_to_array(current_setting('listen_addresses'), ',')) a where btrim(a) not in ('localhost', '127.0.0.1', '::1', ''))",
        "Set ssl = on with a certificate, and hostssl in pg_hba.conf.",
    ),
    _Check(
        "logging", "note",
        "select 'log_statement is ' || setting || ': values and operands of agents come into the server''s log' from pg_settings where name = 'log_statement' and setting in ('mod', 'all')",
        "Keep the log from who may not read the values, or set log_statement to ddl.",
    ),
    _Check(
        "limits", "note",
        _LOGINS + "select count(*) || ' logins of agents, gateways and readers have no ' || k.what || ': ' || string_agg(l.rolname, ', ' order by l.rolname)"
        "  from logins l cross join (values ('CONNECTION LIMIT'), ('statement_timeout')) k (what)"
        " where l.rolname <> session_user and case k.what when 'CONNECTION LIMIT' then l.rolconnlimit = -1 else coalesce(("
        # the nearest decides, and a login may have set its own, to none or for a database that it does not use
        "   select c ~ '^statement_timeout=0*[a-z]*$' from pg_db_role_setting s cross join unnest(s.setconfig) c"
        "    where s.setrole in (l.oid, 0) and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database())) and c ~ '^statement_timeout='"
        "    order by s.setrole = 0, s.setdatabase = 0 limit 1), true) end"
        " group by k.what order by 1",
        "alter role … connection limit 20; alter role … set statement_timeout = '60s' (who runs SQL of its own may set it back): nothing inside keeps a session from using the server up.",
    ),
    _Check(
        "large objects", "note",
        _LOGINS + "select l.rolname || ' has made ' || count(*) || ' large objects: no quota counts them, no guard looks into them, and dumps hold them'"
        "  from logins l join pg_largeobject_metadata m on m.lomowner = l.oid group by l.rolname order by l.rolname",
        "select lo_unlink(oid) from pg_largeobject_metadata where lomowner = '…'::regrole; a superuser keeps them from making more: revoke execute on function lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea) from public.",
    ),
    _Check(
        "long transactions", "problem",
        # of another database only one that has written: it is under way for the feed and for retention here too
        "select 'session ' || a.pid || ' (' || coalesce(a.usename, '?') || case when a.datname <> current_database() then ', database ' || a.datname else '' end || ') has had a transaction open for ' || date_trunc('second', clock_timestamp() - a.xact_start)"
        "  from pg_stat_activity a where (a.datname = current_database() or a.backend_xid is not null) and a.xact_start < clock_timestamp() - $1::interval and a.backend_type = 'client backend' order by a.xact_start",
        "End it: pg_terminate_backend(pid). idle_in_transaction_session_timeout and transaction_timeout (17) do it by themselves. It keeps dead rows from being cleaned up and, if it has written, history from going; may hold locks of keys and of maintain().",
        aged=True,
    ),
    _Check(
        "prepared transactions", "problem",
        "select 'the prepared transaction ' || quote_literal(gid) || ' of ' || owner || case when database <> current_database() then ', database ' || database || ',' else '' end || ' has been open for ' || date_trunc('second', clock_timestamp() - prepared)"
        "  from pg_prepared_xacts where prepared < clock_timestamp() - $1::interval order by prepared",
        "commit prepared or rollback prepared it, in its database. It keeps dead rows from being cleaned up and history from going, and its locks.", aged=True,
    ),
    _Check(
        "wake-ups", "problem",
        "select 'the queue of NOTIFY is ' || round((100 * u)::numeric) || ' % full: from 90 % on nobody is woken, and watches poll' from pg_notification_queue_usage() u where u >= 0.25",
        "A session that listens keeps a transaction open, in any database of the server: end it, see long transactions.",
    ),
    _Check(
        "bloat", "note",
        "select s.relname || ': ' || s.n_dead_tup || ' dead rows beside ' || s.n_live_tup || case when s.last_autovacuum is null then ', and autovacuum was never here' else '' end"
        "  from pg_stat_user_tables s where s.schemaname = 'pgstate' and s.n_dead_tup > 10000 and s.n_dead_tup > s.n_live_tup order by s.n_dead_tup desc",
        "vacuum pgstate.…; if it comes again, see that autovacuum is on and that no transaction stays open for long.",
    ),
    _Check(
        "autovacuum", "problem",
        "select 'autovacuum is off: dead rows stay, and in the end the server stops taking writes' where current_setting('autovacuum') = 'off'",
        "Turn autovacuum on.",
    ),
    _Check(
        "logins", "problem",
        # a login that pgstate knows is a name, which outlives the role
        "select 'there is no role ' || l.login || ': whoever makes one of that name acts as ' || coalesce('agent ' || a.name, 'a gateway')"
        "  from pgstate.login l left join pgstate.agent a on a.id = l.agent_id where not exists (select from pg_roles r where r.rolname = l.login)"
        " union all"
        " select 'the login ' || l.login || ' acts as agent admin, and for any agent, though the schema is that of ' || n.nspowner::regrole"
        "  from pgstate.login l join pg_roles r on r.rolname = l.login join pg_namespace n on n.nspname = 'pgstate'"
        " where l.root and r.oid <> n.nspowner and not r.rolsuper"
        " order by 1",
        "Make the role if it is missing (pg_dumpall --roles-only), or take the login away: drop_agent(), drop_gateway(), set_login(agent, null); of an administrator who is none any more, set role pgstate_owner; delete from pgstate.login where login = '…'.",
        as_owner=True,
    ),
    _Check(
        "reach", "problem",
        "select 'the login ' || k.login || ' acts for agent ' || a.name || ' by other rights than that has now'"
        "  from (select l.login, l.agent_id, l.reads, l.writes, l.touches, l.folded_until, l.quota, l.trust from pgstate.login l where l.agent_id is not null"
        "        union all select d.login, d.agent_id, d.reads, d.writes, d.touches, d.folded_until, d.quota, d.trust from pgstate.delegation d) k"
        "  join pgstate.agent a on a.id = k.agent_id left join pgstate.reach r on r.agent_id = k.agent_id"
        # what has ended is not looked at
        " where k.folded_until is distinct from '-infinity' and (k.reads, k.writes, k.touches, k.folded_until, k.quota, k.trust)"
        "       is distinct from (r.reads, r.writes, r.touches, r.folded_until, r.quota, r.trust) order by 1",
        "As after a change with triggers off, or by hand: set role pgstate_owner; select pgstate._fold_grants(a.id) from pgstate.agent a where not a.grouping.",
        as_owner=True,
    ),
    _Check(
        "data", "problem",
        "select 'the schema is here without what was in its tables: nobody is let in' where not exists (select from pgstate.install)",
        "Restore its data too (pg_dump --data-only), or drop schema pgstate cascade and run pgstate migrate.", as_owner=True,
    ),
    _Check(
        "restored", "problem",
        "select 'the database was restored, cloned or upgraded, and nothing was written since: cursors and watches are refused'"
        "  from pgstate.install i where i.identity <> pgstate._identity() or i.table_oid is distinct from i.tableoid",
        "Run pgstate migrate, or write anything.", as_owner=True,
    ),
    _Check(
        "sequences", "problem",
        "select 'sequences are behind their tables: numbers will be given again'"
        "  from (select max(v.seq) as seq from pgstate.version v) v where v.seq > coalesce(pg_sequence_last_value('pgstate.version_seq'), 0)",
        "Logical replication brings rows only: run pgstate migrate here when it has ended, before anything is written.", as_owner=True,
    ),
    _Check(
        "feed", "note",
        "select 'no point of the feed was recorded since ' || coalesce(date_trunc('second', f.at)::text, 'ever') || ', and there are changes since: times of the past stand for the last one before'"
        "  from (select max(at) as at from pgstate.feed_point) f cross join lateral (select v.at from pgstate.version v order by v.seq desc limit 1) v"
        " where v.at < clock_timestamp() - interval '1 minute' and (f.at is null or v.at > f.at)",
        "Keep a client connected, or call pgstate.expire() from a schedule.", as_owner=True,
    ),
    _Check(
        "retention", "note",
        "select 'policies say how long history is kept, and nobody has looked since ' || coalesce(date_trunc('second', max(m.at))::text, 'ever')"
        "  from pgstate.mark m where exists (select from pgstate.policy p where p.keep_versions is not null or p.keep_age is not null)"
        " having coalesce(max(m.at), (select i.installed_at from pgstate.install i)) < clock_timestamp() - interval '1 hour'",
        "Keep a client connected, or run pgstate maintain from a schedule.", as_owner=True,
    ),
)  # fmt: skip
# to_regclass raises for who may not look into the schema
_MISSING = """
select case when has_schema_privilege(to_regnamespace('pgstate')::oid, 'usage') then to_regclass('pgstate.install') is null
            else to_regnamespace('pgstate') is null end
"""
_SEES_OTHERS = "select pg_has_role(session_user, 'pg_read_all_stats', 'USAGE') or (select rolsuper from pg_roles where rolname = session_user)"


# what the role that installed may not see either
_BEYOND_INSTALLER = {
    "trust": "Run it as a superuser.",
    "long transactions": "Run it as a superuser, or have one grant pg_read_all_stats to this login.",
}


async def examine(dsn: str, listen_dsn: str | None = None, *, long: float = 300.0) -> list[Finding]:
    """Everything that was found, problems first; `long` is from how many seconds on a transaction is called long. Raises
    Unreachable, SchemaMissing without pgstate, and SchemaError without its roles."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval(_MISSING):
            raise errors.SchemaMissing("this database has no pgstate: pgstate migrate installs it")
        if not await connection.fetchval("select to_regrole('pgstate_owner') is not null"):
            raise errors.SchemaError(f'role "pgstate_owner" does not exist: {NO_ROLES}')
        found = [finding for check in _CHECKS for finding in await _run(connection, check, long)]
        found += await _wake_ups(connection, dsn, listen_dsn)
    finally:
        await connection.close()
    order: list[Level] = ["problem", "note", "unseen"]
    return sorted(found, key=lambda finding: order.index(finding.level))


async def _run(connection: asyncpg.Connection, check: _Check, long: float) -> list[Finding]:
    """A query may be refused: in a transaction of its own, so that the others go on."""
    if check.name == "long transactions" and not await connection.fetchval(_SEES_OTHERS):
        return [_unseen(check.name, "other roles' sessions")]
    try:
        async with connection.transaction(readonly=True):
            await connection.execute("set local search_path = pg_catalog, pg_temp")
            if check.as_owner:
                await connection.execute("set local role pgstate_owner")
            rows = await connection.fetch(check.sql, *([timedelta(seconds=long)] if check.aged else []))
    except asyncpg.InsufficientPrivilegeError as error:
        return [_unseen(check.name, str(error))]
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
        what = f"the schema is older than what is looked at: {error}"
        return [Finding(check.name, "unseen", what, "Run pgstate migrate.")]
    return [Finding(check.name, check.level, row[0], check.remedy) for row in rows]


async def _wake_ups(connection: asyncpg.Connection, dsn: str, listen_dsn: str | None) -> list[Finding]:
    """Whether watches hear of changes: through a pooler in transaction mode they need an address beside it."""
    found = []
    if await pooler.leads_through(connection, timeout=_PATIENCE):
        other = await _connect(dsn)
        try:
            own = await pooler.has_session(connection, other, timeout=_PATIENCE)
        finally:
            await other.close()
        if not own and listen_dsn is None:
            found.append(
                Finding(
                    "pooler",
                    "problem",
                    "the address leads through a pooler that shares server processes (transaction mode): LISTEN does not "
                    "work, watches poll once a second",
                    "Give clients the server's own address too: listen_dsn, PGSTATE_LISTEN_DSN, --listen-dsn.",
                )
            )
    if listen_dsn is not None:
        found += await _listener(connection, listen_dsn)
    return found


async def _listener(connection: asyncpg.Connection, listen_dsn: str) -> list[Finding]:
    remedy = "Correct listen_dsn: it is the same database, past the pooler."
    try:
        listening = await _connect(listen_dsn)
    except errors.Unreachable as error:
        return [Finding("listener", "problem", f"listen_dsn cannot be reached: {error}", remedy)]
    try:
        if await pooler.leads_through(listening, timeout=_PATIENCE):
            return [Finding("listener", "problem", "listen_dsn leads through a pooler too", remedy)]
        places = [await pooler.place(one, timeout=_PATIENCE) for one in (connection, listening)]
        if places[0] != places[1]:
            return [Finding("listener", "problem", "listen_dsn is another database", remedy)]
    finally:
        await listening.close()
    return []


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(driver_address(dsn), statement_cache_size=0, timeout=_PATIENCE)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise unreachable("the server", error) from error


def _unseen(check: str, why: str) -> Finding:
    remedy = _BEYOND_INSTALLER.get(check, "Run it as the role that installed, or a superuser.")
    return Finding(check, "unseen", f"this login may not see it: {why}", remedy)
