"""Installing, removing, installing again: online, as text for psql, by many at once, in two databases of a server."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import asyncpg
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from _server import SUPERUSER, Cluster
from _sync import wait_until_blocked
from conftest import INSTALLER, Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import _migration_sql, _paths, doctor, errors, migrate

ROOT = Path(__file__).resolve().parents[2]
MIGRATE = "import sys; from pgstate import migrate; print(*migrate.upgrade_dsn(sys.argv[1]))"


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(_paths.migrations()))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


@pytest.mark.core
def test_installs_without_superuser_and_finds_nothing_left_to_do(empty: Callable[[], Database]) -> None:
    database = empty()
    assert database.sql("select rolsuper, rolcreaterole from pg_roles where rolname = 'installer'") == [(False, True)]
    assert migrate.current_dsn(database.dsn()) is None
    assert migrate.upgrade_dsn(database.dsn()) == REVISIONS
    assert migrate.current_dsn(database.dsn()) == migrate.HEAD
    assert migrate.upgrade_dsn(database.dsn()) == []


@pytest.mark.core
def test_the_printed_sql_gives_the_same_catalogue(empty: Callable[[], Database]) -> None:
    online, printed = empty(), empty()
    migrate.upgrade_dsn(online.dsn())
    # as psql's is in a terminal of another encoding
    psql(printed, "set client_encoding = 'WIN1252';\n" + migrate.sql())
    assert dump(printed) == dump(online)
    assert migrate.upgrade_dsn(printed.dsn()) == []


def _refused(database: Database, text: str, *options: str, login: str = INSTALLER) -> subprocess.CompletedProcess[str]:
    """psql as people call it, given a script that must not do anything; what it said, without the places in the script."""
    before = dump(database)
    command = (database.cluster.bindir / "psql", "--no-psqlrc", *options, "--dbname", database.dsn(login))
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True)
    assert dump(database) == before
    return done


@pytest.mark.thorough
@pytest.mark.core
def test_the_printed_sql_says_at_once_that_it_is_not_for_this_database(empty: Callable[[], Database]) -> None:
    database = empty()
    script = migrate.sql()
    psql(database, script)
    database.sql("select pgstate.put('a', '1')", INSTALLER)
    for start in ("", f"{migrate.HEAD}:"):
        # with the option that stops at the first error, and without
        stopped, gone_on = (
            _refused(database, migrate.sql(f"{start}head"), *options) for options in (("-v", "ON_ERROR_STOP=1"), ())
        )
        if start:
            assert (stopped.returncode, gone_on.returncode) == (0, 0), "it leads nowhere, from where the database is"
            continue
        assert stopped.returncode == 3
        first = stopped.stderr.splitlines()
        assert first[0].endswith(
            f"pgstate is in this database already, at revision {migrate.HEAD}, where this script leads"
        )
        assert first[1] == "HINT:  Nothing was changed, and there is nothing to do."
        assert stopped.stderr.count("ERROR") == 1
        assert gone_on.stderr.splitlines()[:2] == first[:2]
        assert "ROLLBACK" in gone_on.stdout
    database.sql("update pgstate.alembic_version set version_num = '0000'")
    said = _refused(database, script, "-v", "ON_ERROR_STOP=1").stderr
    assert "at revision 0000, and this script installs it" in said
    assert 'what "pgstate migrate --sql --from 0000" prints' in said
    said = _refused(database, migrate.sql("0001:head"), "-v", "ON_ERROR_STOP=1").stderr
    assert "at revision 0000, and this script goes on from revision 0001" in said
    assert database.sql("select value from pgstate.entries") == [(1,)]
    database.sql("update pgstate.alembic_version set version_num = '0001'")
    other = f"{database.name}_other"
    database.logins.append(other)
    database.sql(f'create role "{other}" login createrole; grant create on database "{database.name}" to "{other}"')
    said = _refused(database, script, "-v", "ON_ERROR_STOP=1", login=other).stderr
    assert "in this database already, installed by another role" in said
    said = _refused(empty(), migrate.sql("0001:head"), "-v", "ON_ERROR_STOP=1").stderr
    assert "pgstate is not in this database, and this script goes on from revision 0001" in said


@pytest.mark.core
def test_down_leaves_nothing_and_up_again_gives_the_same(empty: Callable[[], Database]) -> None:
    database = empty()
    before = dump(database)
    migrate.upgrade_dsn(database.dsn())
    first = dump(database)
    assert migrate.downgrade_dsn(database.dsn(), "base", data_loss=True) == REVISIONS[::-1]
    assert dump(database) == before
    assert migrate.current_dsn(database.dsn()) is None
    assert migrate.upgrade_dsn(database.dsn()) == REVISIONS
    assert dump(database) == first


@pytest.mark.every_version
def test_a_migrated_database_is_what_sql_describes(freeze: ModuleType, empty: Callable[[], Database]) -> None:
    """What people read, in the manifest's order, gives the catalogue that the revisions lead to step by step."""
    migrated, described = empty(), empty()
    migrate.upgrade_dsn(migrated.dsn())
    sql = ROOT / "sql"
    files = "\n".join((sql / name).read_text() for name in freeze.read_manifest(sql))
    psql(described, f"begin;\n{_migration_sql.opening(_migration_sql.Options())}\n{files}\nreset role;\ncommit;")
    assert dump(described) == dump(migrated, "--exclude-table=pgstate.alembic_version")


@pytest.mark.thorough
@pytest.mark.every_version
def test_each_revision_up_and_down_with_data_in_place(empty: Callable[[], Database]) -> None:
    """Online, and printed and run by psql."""
    database, other = empty(), empty()

    def up(first: str | None, to: str) -> None:
        assert migrate.upgrade_dsn(database.dsn(), to) == [to]
        psql(other, migrate.sql(f"{first}:{to}" if first else to))

    dumps, before = {}, None
    for revision in REVISIONS:
        up(before, revision)
        dumps[revision], before = dump(database), revision
        assert dump(other) == dumps[revision]
        for one in (database, other):
            assert migrate.current_dsn(one.dsn()) == revision
            # each revision reads what the one before has written, and writes
            put = f"select pgstate.put('k', '\"{revision}\"'), pgstate.put('t', '1', ttl => '1 h')"
            one.sql(f"{put}, pgstate.claim('k', '1 h'), pgstate.delete('t')", INSTALLER)
            one.sql("select pgstate.release('k', token) from pgstate.claims", INSTALLER)
    history = [(int(revision), revision) for revision in REVISIONS]
    for one in (database, other):
        assert one.sql("select version, value #>> '{}' from pgstate.history('k') order by 1", INSTALLER) == history
    for before, revision in reversed(list(itertools.pairwise(REVISIONS))):
        assert migrate.downgrade_dsn(database.dsn(), before, data_loss=True) == [revision]
        assert dump(database) == dumps[before]
        assert database.sql("select revision from pgstate.info()", INSTALLER) == [(before,)]
        assert database.sql("select version, value #>> '{}' from pgstate.history('k') order by 1", INSTALLER) == history
        assert database.sql("select status from pgstate.put('k', '0', expect => 1)", INSTALLER) == [("conflict",)]
    for revision in REVISIONS[1:]:
        assert migrate.upgrade_dsn(database.dsn(), revision) == [revision]
        assert dump(database) == dumps[revision]
    assert database.sql("select version, value #>> '{}' from pgstate.history('k') order by 1", INSTALLER) == history


@pytest.mark.thorough
def test_a_run_that_sleeps_without_a_time_is_taken_up_below(empty: Callable[[], Database]) -> None:
    """Before 0005 runs wait with their workers."""
    database = empty()
    migrate.upgrade_dsn(database.dsn())
    database.sql("select pgstate.start_run('r', '1 h', name => 'w')", INSTALLER)
    database.sql("select pgstate.end_run('r', token, 'open', waits_for => '{}') from pgstate.claims", INSTALLER)
    take = "select key from pgstate.take_runs('{w}', 1, '1 h')"
    assert database.sql(take, INSTALLER) == [(None,)]
    migrate.downgrade_dsn(database.dsn(), "0004", data_loss=True)
    assert database.sql(take, INSTALLER) == [("r",)]
    migrate.upgrade_dsn(database.dsn())
    assert database.sql("select key, state from pgstate.runs()", INSTALLER) == [("r", "running")]


@pytest.mark.thorough
def test_every_way_between_two_revisions_leads_to_what_a_new_installation_has(
    empty: Callable[..., Database], at_length: bool
) -> None:
    """Between two that are released none can change any more, so those are for --long."""
    made = {revision: empty() for revision in REVISIONS}
    for revision, database in made.items():
        migrate.upgrade_dsn(database.dsn(), revision)
    fresh = {revision: dump(database) for revision, database in made.items()}
    for before, after in itertools.combinations(REVISIONS, 2):
        if after != migrate.HEAD and not at_length:
            continue
        up, down = empty(made[before]), empty(made[after])
        migrate.upgrade_dsn(up.dsn(), after)
        assert dump(up) == fresh[after], (before, after)
        psql(down, migrate.sql(before, start=after, data_loss=True))
        assert dump(down) == fresh[before], (after, before)


@pytest.mark.thorough
@pytest.mark.core
def test_at_once_and_step_by_step_come_to_the_same(empty: Callable[[], Database]) -> None:
    """At once, code is left out that the next revision would clear; what it writes, the last one's writes as well."""
    at_once, steps = empty(), empty()
    migrate.upgrade_dsn(at_once.dsn())
    for revision in REVISIONS:
        assert migrate.upgrade_dsn(steps.dsn(), revision) == [revision]
    assert dump(at_once) == dump(steps)
    tables = [name for (name,) in at_once.sql("select relname from pg_class where relkind = 'r' and relnamespace = 'pgstate'::regnamespace")]  # fmt: skip
    assert {"agent", "login", "access_grant", "reach", "install"} <= set(tables)
    # but for what tells one database and one moment from another
    query = "select to_jsonb(t) - '{{identity,table_oid,installed_at,granted_at,created_at,updated_at,at}}'::text[] from pgstate.{} t order by 1"
    for table in tables:
        assert at_once.sql(query.format(table)) == steps.sql(query.format(table)), table


def test_code_that_the_next_step_would_clear_is_not_made() -> None:
    """Each function takes a lock, of which a small server has some thousands for all of its sessions."""
    made = {way: migrate.sql(way, data_loss=True).count("create function pgstate.me(") for way in ("0001:0013", "0013:0003", "0013:0001")}  # fmt: skip
    # but where a step needs it: 0005 going up, 0002 going down
    assert made == {"0001:0013": 2, "0013:0003": 1, "0013:0001": 2}


@pytest.mark.thorough
def test_values_that_grew_by_operands_are_written_out_on_the_way_back(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn())
    database.sql(
        "select pgstate.put('k', jsonb_build_array((select string_agg(md5(n::text), '') from generate_series(1, 200) n)))",
        INSTALLER,
    )
    for number in range(30):
        database.sql(f"select pgstate.merge('k', '{number}', 'append')", INSTALLER)
    database.sql("select pgstate.put('other', '[1]'), pgstate.merge('other', '2', 'append')", INSTALLER)
    assert database.sql("select count(*) from pgstate.version where reducer is not null") == [(30,)]
    entries = "select key, value, version from pgstate.entries order by key"
    versions = "select key, version, value from pgstate.versions order by key, version"
    before = database.sql(entries, INSTALLER), database.sql(versions, INSTALLER)
    migrate.downgrade_dsn(database.dsn(), "0001", data_loss=True)
    assert (database.sql(entries, INSTALLER), database.sql(versions, INSTALLER)) == before
    migrate.upgrade_dsn(database.dsn())
    assert (database.sql(entries, INSTALLER), database.sql(versions, INSTALLER)) == before
    database.sql("select pgstate.merge('k', '30', 'append')", INSTALLER)
    assert database.sql("select jsonb_array_length(value) from pgstate.entries where key = 'k'", INSTALLER) == [(32,)]


@pytest.mark.thorough
@pytest.mark.every_version
def test_what_was_there_before_the_past_could_be_read(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0001")
    database.sql("select pgstate.put('k', '1'), pgstate.put('gone', '1')", INSTALLER)
    database.sql("select pgstate.delete('gone')", INSTALLER)
    ((before,),) = database.sql("select clock_timestamp()::text")
    migrate.upgrade_dsn(database.dsn())
    ((after,),) = database.sql("select clock_timestamp()::text")
    database.sql("select pgstate.put('k', '2')", INSTALLER)
    # by version all of it, by time from the migration on
    assert database.sql("select value::text from pgstate.get_as_of('gone', version => 1)", INSTALLER) == [("1",)]
    listed = f"select key, value::text from pgstate.list_as_of(at => '{after}')"
    assert database.sql(listed, INSTALLER) == [("k", "1")]
    with pytest.raises(psycopg.Error) as caught:
        database.sql(f"select pgstate.get_as_of('k', at => '{before}')", INSTALLER)
    assert caught.value.sqlstate == "PS023"
    # a later run records what was written since
    migrate.upgrade_dsn(database.dsn())
    assert database.sql("select value::text from pgstate.get_as_of('k', at => clock_timestamp())", INSTALLER) == [
        ("2",)
    ]


def test_only_who_installed_changes_the_revision(empty: Callable[[], Database], cluster: Cluster) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), REVISIONS[0])
    other = f"{database.name}_other"
    database.logins.append(other)
    cluster.sql(f"create role {other} login createrole; grant pgstate_owner, pgstate_api to {other}")
    database.sql(f'grant create on database "{database.name}" to {other}')
    database.sql(f"grant all on pgstate.alembic_version to {other}; grant usage on schema pgstate to {other}")
    with pytest.raises(errors.AccessDenied, match=f"installed here by the role {INSTALLER}"):
        migrate.upgrade_dsn(database.dsn(other))
    assert migrate.current_dsn(database.dsn()) == REVISIONS[0]


def test_who_installed_may_be_renamed(empty: Callable[[], Database], cluster: Cluster) -> None:
    """What pgstate knows is the name: who owns the schema is the administrator again when it has migrated, with nothing to
    do, too."""
    database = empty()
    before, after = (f"{database.name}_{name}" for name in ("before", "after"))
    database.logins += [before, after]
    cluster.sql(
        f"create role {before} login createrole; grant create on database {database.name} to {before};"
        f"grant pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to {before} with admin option"
    )
    migrate.upgrade_dsn(database.dsn(before))
    database.sql("select pgstate.put('k', '1')", before)
    cluster.sql(f"alter role {before} rename to {after}")
    with pytest.raises(psycopg.Error, match="access denied"):
        database.sql("select pgstate.put('k', '2')", after)
    (finding,) = [found for found in asyncio.run(doctor.examine(database.dsn(after))) if found.check == "logins"]
    assert f"no role {before}: whoever makes one of that name acts as agent admin" in finding.what
    assert migrate.upgrade_dsn(database.dsn(after)) == []
    assert database.sql("select version, agent from pgstate.put('k', '2'), pgstate.info()", after) == [(2, "admin")]
    cluster.sql(f"create role {before} login")
    (finding,) = [found for found in asyncio.run(doctor.examine(database.dsn(after))) if found.check == "logins"]
    assert (
        f"the login {before} acts as agent admin, and for any agent, though the schema is that of {after}"
        in finding.what
    )
    database.sql(f"set role pgstate_owner; delete from pgstate.login where login = '{before}'", after)
    assert "logins" not in {found.check for found in asyncio.run(doctor.examine(database.dsn(after)))}
    # others who migrate are not
    migrate.upgrade_dsn(database.dsn(SUPERUSER))
    assert database.sql("select login from pgstate.login") == [(after,)]


@pytest.mark.core
def test_who_installed_may_have_come_without_its_memberships(empty: Callable[[], Database], cluster: Cluster) -> None:
    """pg_dumpall of 15 names who granted them, which a later server does not take; and to give them was a matter of CREATEROLE."""
    database = empty()
    migrate.upgrade_dsn(database.dsn())
    role, login = (f"{database.name}_{name}" for name in ("admin", "login"))
    database.logins += [login, role]
    cluster.sql(f"create role {role} login createrole")
    database.sql(
        f"alter schema pgstate owner to {role}; alter table pgstate.alembic_version owner to {role};"
        f"alter function pgstate.create_agent owner to {role}; alter function pgstate._ensure_login owner to {role}"
    )
    with pytest.raises(errors.AccessDenied, match=f"the role {role} installed pgstate, and is no member of pgstate_owner"):  # fmt: skip
        migrate.upgrade_dsn(database.dsn(role))

    def found() -> list[str]:
        return [finding.what for finding in asyncio.run(doctor.examine(database.dsn(role))) if finding.check == "membership"]  # fmt: skip

    members = [f"{role}, who installed, is no member of pgstate_api, pgstate_owner"]
    givers = [f"{role}, who installed, may give no login what is of pgstate_agent, pgstate_reader"]
    assert found() == members + (givers if cluster.major >= 16 else [])
    cluster.sql(f"grant pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to {role}")
    assert found() == (givers if cluster.major >= 16 else [])
    cluster.sql(f"grant pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to {role} with admin option")
    assert found() == [] == migrate.upgrade_dsn(database.dsn(role))
    assert database.sql(f"select pgstate.create_agent('a', '{login}')", role)


async def _migrate_in_processes(addresses: list[str]) -> list[tuple[int | None, str]]:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            MIGRATE,
            address,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for address in addresses
    ]
    said = [(await process.communicate())[0].decode() for process in processes]
    return [(process.returncode, text.strip()) for process, text in zip(processes, said, strict=True)]


@pytest.mark.thorough
def test_several_at_once_in_two_databases_of_a_new_server(
    new_cluster: Callable[..., Cluster], cluster: Cluster, at_length: bool
) -> None:
    """The roles do not exist yet, so the runs race for them across the databases as well."""
    each = 4 if at_length else 2
    fresh = new_cluster(cluster.major)
    fresh.sql(f"create role {INSTALLER} login createrole")
    one, two = (Database(fresh, fresh.create_database(owner=INSTALLER)) for _ in range(2))
    done = asyncio.run(_migrate_in_processes([one.dsn(), two.dsn()] * each))
    assert [code for code, _ in done] == [0] * 2 * each, done
    assert sorted(text for _, text in done) == [""] * 2 * (each - 1) + [" ".join(REVISIONS)] * 2

    migrate.downgrade_dsn(one.dsn(), "base", data_loss=True)
    assert migrate.current_dsn(two.dsn()) == migrate.HEAD
    assert two.sql("select agent from pgstate.info()", INSTALLER) == [("admin",)]
    # The roles serve the other database still; the last one to leave takes them along.
    roles = "select count(*) > 0 from pg_roles where rolname like 'pgstate%'"
    assert fresh.sql(roles) == [(True,)]
    migrate.downgrade_dsn(two.dsn(), "base", data_loss=True)
    assert fresh.sql(roles) == [(False,)]


async def test_a_second_run_waits_for_the_first_and_then_finds_it_done(empty: Callable[[], Database]) -> None:
    database = empty()
    holder = await asyncpg.connect(database.dsn())
    watcher = await asyncpg.connect(database.dsn())
    try:
        await holder.execute("begin")
        await holder.execute(_migration_sql.opening(_migration_sql.Options()))
        run = asyncio.create_task(migrate.upgrade_async(database.dsn()))
        waiting = None
        for _ in range(12_000):
            waiting = await watcher.fetchval(
                "select pid from pg_locks where locktype = 'advisory' and not granted and database ="
                " (select oid from pg_database where datname = current_database())"
            )
            if waiting is not None:
                break
            await asyncio.sleep(0.005)
        assert waiting is not None
        await wait_until_blocked(watcher, waiting)
        assert not run.done()
        await holder.execute("rollback")
        assert await run == REVISIONS
    finally:
        holder.terminate()
        watcher.terminate()


def test_runs_in_threads_do_not_take_each_others_connection(empty: Callable[[], Database]) -> None:
    databases = [empty() for _ in range(3)]

    async def together() -> list[list[str]]:
        return await asyncio.gather(*(migrate.upgrade_async(database.dsn()) for database in databases))

    assert asyncio.run(together()) == [REVISIONS] * 3
    assert [migrate.current_dsn(database.dsn()) for database in databases] == [migrate.HEAD] * 3


def test_takes_a_sqlalchemy_address(empty: Callable[[], Database]) -> None:
    database = empty()
    address = database.dsn().replace("postgresql://", "postgresql+asyncpg://")
    assert migrate.upgrade_dsn(address) == REVISIONS
    assert migrate.current_dsn(address) == migrate.HEAD


def test_a_failed_run_leaves_nothing(empty: Callable[[], Database]) -> None:
    database = empty()
    before = dump(database)
    # Stops the run in its last statements, after everything was created.
    database.sql(
        "create function public.refuse() returns event_trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$;"
    )
    database.sql(
        "create event trigger refuse on ddl_command_start when tag in ('REVOKE') execute function public.refuse()"
    )
    with pytest.raises(asyncpg.RaiseError):
        migrate.upgrade_dsn(database.dsn())
    database.sql("drop event trigger refuse")
    database.sql("drop function public.refuse()")
    assert dump(database) == before


def test_a_foreign_schema_of_that_name_is_left_alone(empty: Callable[[], Database]) -> None:
    database = empty()
    database.sql("create schema pgstate; create table pgstate.mine (id int)")
    with pytest.raises(asyncpg.DuplicateSchemaError, match="did not make"):
        migrate.upgrade_dsn(database.dsn())
    assert database.sql("select count(*) from pgstate.mine") == [(0,)]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
@pytest.mark.usefixtures("pgstate_databases")
def test_a_database_that_cannot_hold_every_text_is_refused(cluster: Cluster, encoding: str) -> None:
    # the installer comes with the template
    database = Database(cluster, f"encoding_{encoding.lower()}", INSTALLER)
    cluster.sql(
        f"create database {database.name} template template0 encoding '{encoding}' locale_provider libc locale 'C' owner {INSTALLER}"
    )
    try:
        with pytest.raises(asyncpg.FeatureNotSupportedError, match=f"the encoding {encoding}, and pgstate needs UTF8"):
            migrate.upgrade_dsn(database.dsn())
        assert "pgstate needs UTF8" in _refused(database, migrate.sql(), "-v", "ON_ERROR_STOP=1").stderr
        assert database.sql("select to_regnamespace('pgstate')") == [(None,)]
    finally:
        database.drop()


def test_settings_of_the_database_do_not_get_in_the_way(empty: Callable[[], Database]) -> None:
    database, plain = empty(), empty()
    database.sql("create domain public.text as int")
    for setting in (
        "search_path = public, pg_catalog, pg_temp",
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1min'",
        "check_function_bodies = off",
        "row_security = off",
        "quote_all_identifiers = on",
        "plpgsql.extra_errors = 'all'",
        "idle_in_transaction_session_timeout = '1min'",
        *["transaction_timeout = '1min'"] * (database.cluster.major >= 17),
    ):
        database.cluster.sql(f'alter database "{database.name}" set {setting}')
    other = f"{database.name} Other"
    database.logins.append(other)
    database.cluster.sql(f'create role "{other}"')
    for objects in ("tables", "schemas"):
        database.sql(f'alter default privileges for role {INSTALLER} grant all on {objects} to public, "{other}"')
    timeouts = ["statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"]
    database.sql(
        f"""
        create table public.seen (timeouts pg_catalog.text);
        create function public.look() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
        as $$ begin
          insert into public.seen select string_agg(current_setting(n, true), ' ') from unnest(array{timeouts}) n;
        end $$;
        create event trigger look on ddl_command_end execute function public.look();
        """
    )
    assert migrate.upgrade_dsn(database.dsn()) == REVISIONS
    # however long it takes
    (seen,) = database.sql("select distinct timeouts from public.seen")
    assert {*seen[0].split()} == {"0"}
    migrate.upgrade_dsn(plain.dsn())
    public = (
        "select count(*) from pg_class c, aclexplode(c.relacl) a where a.grantee = 0 and relname = 'alembic_version'"
    )
    assert database.sql(public) == plain.sql(public) == [(0,)]
    # who may write there decides which revisions are run, and who may make functions here overloads those that others call
    for rights in (
        "aclexplode((select nspacl from pg_namespace where nspname = 'pgstate')) a where",
        "aclexplode((select relacl from pg_class where relname = 'alembic_version')) a where privilege_type <> 'SELECT' and",
    ):
        others = f"select count(*) from {rights} grantee in (0, (select oid from pg_roles where rolname = '{other}'))"
        assert database.sql(others) == plain.sql(others) == [(0,)]


def test_a_database_that_is_read_only_is_told_so(empty: Callable[[], Database]) -> None:
    database = empty()
    database.sql(f'alter database "{database.name}" set default_transaction_read_only = on')
    with pytest.raises(errors.SchemaError, match="CREATE SCHEMA in a read-only transaction: this is a standby.* or default_transaction_read_only is on"):  # fmt: skip
        migrate.upgrade_dsn(database.dsn())


def test_a_role_without_the_rights_is_told_what_it_needs(cluster: Cluster, empty: Callable[[], Database]) -> None:
    database = empty()
    role = f"{database.name}_other"
    cluster.sql(f"create role {role} login")
    database.logins.append(role)
    with pytest.raises(errors.AccessDenied, match="CREATEROLE"):
        migrate.upgrade_dsn(database.dsn(role))


def test_a_second_installing_role_is_told_what_it_needs(new_cluster: Callable[..., Cluster], cluster: Cluster) -> None:
    fresh = new_cluster(cluster.major)
    addresses = []
    for name in ("first", "second"):
        fresh.sql(f"create role {name} login createrole")
        addresses.append(fresh.dsn(fresh.create_database(owner=name), name))
    migrate.upgrade_dsn(addresses[0])
    if fresh.major >= 16:
        with pytest.raises(errors.AccessDenied, match="must grant pgstate_owner.*with admin option"):
            migrate.upgrade_dsn(addresses[1])
        roles = "pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader"
        fresh.sql(f"set role first; grant {roles} to second with admin option; reset role")
    assert migrate.upgrade_dsn(addresses[1]) == REVISIONS


def test_an_address_where_nothing_answers_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(errors.Unreachable):
        migrate.upgrade_dsn(f"postgresql:///nothing?host={tmp_path}")


def test_a_database_of_a_newer_pgstate_is_left_alone(database: Database) -> None:
    database.sql("update pgstate.alembic_version set version_num = '9999'")
    with pytest.raises(errors.SchemaTooNew, match="9999"):
        migrate.upgrade_dsn(database.dsn())


def test_an_unknown_revision_is_named(empty: Callable[[], Database]) -> None:
    with pytest.raises(ValueError, match="no revision 0999"):
        migrate.upgrade_dsn(empty().dsn(), "0999")
