"""`pgstate doctor`: each finding appears when it is so, and only then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from _server import SUPERUSER, Cluster
from client._cli import invoke
from conftest import INSTALLER, Database, clone, prepare
from pgstate import _postmaster, errors, migrate
from pgstate.doctor import _CHECKS, PATCHED, Finding, examine

# Why a test's server is no good: it is older than its newest minor, lets everybody in, and does not clean up by itself.
_OF_TESTS = {"version", "trust", "autovacuum", "durability"}


async def found(database: Database, login: str = SUPERUSER, **options: Any) -> dict[str, list[Finding]]:
    by_name: dict[str, list[Finding]] = {}
    for finding in await examine(database.dsn(login), **options):
        assert finding.what and finding.remedy
        by_name.setdefault(finding.check, []).append(finding)
    return by_name


@pytest.mark.core
async def test_an_installer_sees_most_and_says_what_not(database: Database) -> None:
    seen = await found(database, INSTALLER)
    unseen = {name: first.remedy for name, (first, *_) in seen.items() if first.level == "unseen"}
    assert unseen.keys() == {"trust", "long transactions"}
    # it is that role already
    assert not any("the role that installed" in remedy for remedy in unseen.values())
    assert seen.keys() - _OF_TESTS <= {"long transactions", "createrole"}
    # a superuser sees all of it, and is told that it is one
    assert {first.level for first, *_ in (await found(database)).values()} <= {"problem", "note"}
    assert "superuser" in await found(database)


@pytest.mark.core
async def test_an_agent_sees_what_the_catalogue_shows(database: Database, login_name: Callable[[str], str]) -> None:
    login = login_name("alice")
    database.sql(f"select pgstate.create_agent('alice', '{login}')", INSTALLER)
    seen = await found(database, login)
    unseen = {name for name, (first, *_) in seen.items() if first.level == "unseen"}
    assert unseen == {
        "trust",
        "long transactions",
        "logins",
        "reach",
        "data",
        "restored",
        "sequences",
        "feed",
        "retention",
    }


async def test_a_login_that_pgstate_does_not_know_sees_the_server(
    database: Database, login_name: Callable[[str], str]
) -> None:
    login = login_name("nobody")
    database.sql(f"create role {login} login")
    unseen = {name for name, (first, *_) in (await found(database, login)).items() if first.level == "unseen"}
    assert unseen >= {"trust", "long transactions", "restored"}


@pytest.mark.core
async def test_old_minors_and_open_doors(database: Database) -> None:
    seen = await found(database)
    number = int(database.sql("show server_version_num")[0][0])
    assert ("version" in seen) == (number % 10000 < PATCHED[number // 10000])
    assert all("without a password" in finding.what for finding in seen["trust"])
    assert "autovacuum" in seen


_STATEMENTS = {
    "bypass": "alter role {login} bypassrls",
    "owner": "grant pgstate_owner to {login}",
    "createrole": "alter role {login} createrole",
    "row security": "alter table pgstate.entry disable row level security",
    "ownership": "alter table pgstate.entry owner to postgres",
    "privileges": "revoke usage on schema pgstate from pgstate_agent",
    "public": "grant select on pgstate.version to public; grant execute on function pgstate._now() to public; grant usage on schema pgstate to public",
    "durability": "alter database {database} set synchronous_commit = off",
    "logging": "alter database {database} set log_statement = 'all'",
    "limits": "alter role {login} connection limit -1",
    "large objects": "select lo_from_bytea(4711, 'a'); alter large object 4711 owner to {login}",
    "bloat": "insert into pgstate.mark select now() - n * interval '1 s', 1, '1' from generate_series(1, 10001) n; delete from pgstate.mark;"
             " select pg_stat_force_next_flush()",
    "restored": "update pgstate.install set table_oid = 1",
    "logins": "update pgstate.login set login = 'nobody at all' where login = '{login}'",
    "reach": "insert into pgstate.login (login, gateway) values ('gate', true); insert into pgstate.delegation (login, agent_id, agent_name, folded_until)"
             " select 'gate', id, name, null from pgstate.agent where name = 'alice'",
    "data": "truncate pgstate.install",
    "sequences": "select pgstate.put('a', '1'); alter sequence pgstate.version_seq restart",
    "feed": "select pgstate.put('a', '1'); delete from pgstate.feed_point; update pgstate.version set at = now() - interval '1 hour'",
    "retention": "select pgstate.set_policy('a/**', keep => '3 versions'); update pgstate.install set installed_at = now() - interval '2 hours'",
}  # fmt: skip
_UNDO = {
    "owner": "revoke pgstate_owner from {login}",
    "bypass": "alter role {login} nobypassrls",
    "createrole": "alter role {login} nocreaterole",
}


@pytest.mark.core("every case")
@pytest.mark.parametrize("name", _STATEMENTS)
async def test_it_is_found_when_it_is_so(database: Database, login_name: Callable[[str], str], name: str) -> None:
    login = login_name("alice")
    database.sql(f"select pgstate.create_agent('alice', '{login}')", INSTALLER)
    database.sql(f"alter role {login} connection limit 3; alter role {login} set statement_timeout = '1 min'")
    before = (await found(database)).get(name, [])
    assert before == [] or name == "durability"
    try:
        for statement in _STATEMENTS[name].split("; "):
            caller = INSTALLER if "pgstate.put" in statement or "set_policy" in statement else SUPERUSER
            database.sql(statement.format(login=login, database=database.name), caller)
        now = (await found(database)).get(name, [])
        if name == "createrole" and database.sql("show server_version_num")[0][0] >= "160000":
            assert now == []
        else:
            assert len(now) > len(before)
            assert login in now[0].what or name not in ("bypass", "owner", "createrole", "limits")
    finally:
        if name in _UNDO:
            database.sql(_UNDO[name].format(login=login))


@pytest.mark.core
async def test_what_a_login_may_become_is_told(database: Database, login_name: Callable[[str], str]) -> None:
    login, power = login_name("alice"), login_name("power")
    database.sql(f"select pgstate.create_agent('alice', '{login}')", INSTALLER)
    database.sql(f"create role {power}")
    assert "bypass" not in await found(database)
    # what it does not inherit it takes by SET ROLE
    database.sql(f"alter role {login} noinherit; grant {power} to {login}")
    assert "bypass" not in await found(database)
    for attribute in ("superuser", "bypassrls", "replication"):
        database.sql(f"alter role {power} {attribute}")
        (finding,) = (await found(database))["bypass"]
        assert f"{login} is" in finding.what and f"may become {power} ({attribute.upper()})" in finding.what
        database.sql(f"alter role {power} no{attribute}")
    for role in (
        "pg_read_all_data", "pg_write_all_data", "pg_read_all_stats", "pg_monitor", "pg_read_server_files",
        "pg_write_server_files", "pg_execute_server_program",
    ):  # fmt: skip
        database.sql(f"grant {role} to {power}")
        (finding,) = (await found(database))["bypass"]
        assert f"in {'pg_read_all_stats' if role == 'pg_monitor' else role}" in finding.what
        database.sql(f"revoke {role} from {power}")
    assert "bypass" not in await found(database)


@pytest.mark.core
async def test_an_agent_does_not_set_itself_a_limit_that_is_none(
    database: Database, login_name: Callable[[str], str], connect_as: Any
) -> None:
    login = login_name("alice")
    database.sql(f"select pgstate.create_agent('alice', '{login}')", INSTALLER)
    database.sql(f"alter role {login} connection limit 3")
    own = await connect_as(login)
    for said in (
        "set statement_timeout = 0",
        "set statement_timeout = '0s'",
        "in database postgres set statement_timeout = 1000",
    ):
        await own.execute(f"alter role {login} {said}")
        (finding,) = (await found(database))["limits"]
        assert "statement_timeout" in finding.what and login in finding.what, said
    database.sql(f"alter role all in database {database.name} set statement_timeout = '1 min'")
    assert "limits" in await found(database)
    await own.execute(f"alter role {login} reset statement_timeout")
    assert "limits" not in await found(database)


async def test_transactions_that_stay_open(database: Database, connect_as: Any) -> None:
    other = await connect_as()
    transaction = other.transaction()
    await transaction.start()
    await other.execute("select 1")
    assert "long transactions" not in await found(database)
    findings = (await found(database, long=0.0))["long transactions"]
    assert f"session {other.get_server_pid()} " in "".join(finding.what for finding in findings)
    await transaction.rollback()


async def test_what_only_another_server_has(
    new_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = _postmaster.launch

    def elsewhere(*arguments: Any) -> int:
        # this machine's own too, but the check knows only its usual addresses
        return launch(*arguments[:-1], {**arguments[-1], "listen_addresses": "127.0.0.1,127.0.0.2"})

    monkeypatch.setattr(_postmaster, "launch", elsewhere)
    cluster = new_cluster(tcp=True, settings={"max_prepared_transactions": "2"})
    await asyncio.to_thread(prepare, cluster)
    database = clone(cluster)
    assert "tls" in await found(database)
    cluster.sql("begin; create table t (); prepare transaction 'mine'", database.name)
    assert "prepared transactions" not in await found(database)
    (finding,) = (await found(database, long=0.0))["prepared transactions"]
    assert "'mine'" in finding.what
    cluster.sql("rollback prepared 'mine'", database.name)
    # in another database it keeps history here all the same, and so does who has written there
    bare = Database(cluster, cluster.create_database())
    cluster.sql("create table t (); begin; drop table t; prepare transaction 'theirs'", bare.name)
    with psycopg.connect(bare.dsn(SUPERUSER)) as other, psycopg.connect(bare.dsn(SUPERUSER)) as reading:
        other.execute("select pg_current_xact_id()")
        reading.execute("select 1")
        seen = await found(database, long=0.0)
    (finding,) = seen["prepared transactions"]
    assert f"'theirs' of postgres, database {bare.name}," in finding.what
    assert [f"database {bare.name})" in finding.what for finding in seen["long transactions"]].count(True) == 1
    cluster.sql("rollback prepared 'theirs'", bare.name)
    with pytest.raises(errors.SchemaMissing):
        await examine(bare.dsn(SUPERUSER))


async def test_a_schema_that_is_older_than_the_checks(cluster: Cluster, pgstate_databases: Any) -> None:
    database = Database(cluster, cluster.create_database(owner=INSTALLER))
    try:
        await migrate.upgrade_async(database.dsn(), "0001")
        seen = await found(database)
        (finding,) = seen["restored"]
        assert finding.level == "unseen" and "older" in finding.what and "pgstate migrate" in finding.remedy
        assert "autovacuum" in seen
    finally:
        database.drop()


async def test_addresses_for_listening(database: Database) -> None:
    assert "listener" not in await found(database, listen_dsn=database.dsn(INSTALLER))
    for wrong, word in (
        (database.cluster.dsn("postgres"), "another"),
        (database.dsn(SUPERUSER).replace("port=", "port=1"), "reached"),
    ):
        (finding,) = (await found(database, listen_dsn=wrong))["listener"]
        assert word in finding.what
    with pytest.raises(errors.Unreachable, match="cannot connect to the server: .*Is the address right"):
        await examine(database.dsn(SUPERUSER).replace("port=", "port=1"))


def test_on_the_command_line(database: Database) -> None:
    done = invoke("--json", "doctor", dsn=database.dsn(SUPERUSER))
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert {"check", "level", "what", "remedy"} == rows[0].keys() and rows[0]["level"] == "problem"
    assert done.code == 1 and "mending" in done.err
    # what several findings want is said once, below them
    trusting = [row for row in rows if row["check"] == "trust"]
    said = invoke("doctor", dsn=database.dsn(SUPERUSER)).out
    assert len(trusting) > 1 and said.count("! trust: line") == len(trusting)
    assert said.count(trusting[0]["remedy"]) == 1
    said = invoke("doctor", dsn=database.dsn(INSTALLER))
    assert "? trust: this login may not see it" in said.out and "Run it as" in said.out


def test_every_check_has_a_test() -> None:
    there = {check.name for check in _CHECKS}
    assert there == _STATEMENTS.keys() | {
        "version",
        "trust",
        "superuser",
        "autovacuum",
        "tls",
        "long transactions",
        "prepared transactions",
        # tests/faults/test_full_queue.py
        "wake-ups",
        # tests/migration/test_migrate.py
        "membership",
    }
