"""Delegations keep their agents' reach from 0013 on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import INSTALLER, Database
from pgstate import migrate
from sql.test_delegations import APART


def test_those_that_are_there_have_it_too(database: Database) -> None:
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0012")
    login = database.login("gateway")
    database.sql(
        f"""
        select pgstate.create_gateway('{login}');
        select pgstate.create_agent(name), pgstate.grant_access(name, 'a/**', 'write'), pgstate.delegate('{login}', name)
          from unnest('{{plain,timed,quiet,meek}}'::text[]) name;
        select pgstate.grant_access('timed', 'b/**', 'read', interval '1 hour');
        select pgstate.suspend_agent('quiet');
        select pgstate.set_quota('meek', 5), pgstate.set_trust('meek', 'external');
        """,
        INSTALLER,
    )
    migrate.upgrade_dsn(database.dsn(INSTALLER))
    assert database.sql(APART) == []
    kept = "select agent_name, writes @> 'a/1'::text, folded_until is null, quota, trust::text from pgstate.delegation order by 1"
    assert database.sql(kept) == [
        ("meek", True, True, True, "external"),
        ("plain", True, True, False, "agent"),
        ("quiet", False, False, False, "agent"),
        ("timed", True, False, False, "agent"),
    ]
    put = "select status from pgstate.put('a/1', '1', agent => 'plain')"
    assert database.sql(put, login) == [("ok",)]
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0012")
    assert database.sql(put, login) == [("ok",)]


async def test_calls_that_came_while_it_ran(
    database: Database, connect_as: Callable[..., Awaitable[asyncpg.Connection]]
) -> None:
    """The functions of the revision before have begun, and go on when it lets go of the tables."""
    await asyncio.to_thread(migrate.downgrade_dsn, database.dsn(INSTALLER), "0012")
    login = database.login("gateway")
    database.sql(
        f"""
        select pgstate.create_gateway('{login}');
        select pgstate.create_agent(name), pgstate.grant_access(name, 'a/**', 'write') from unnest('{{alice,bob,carol}}'::text[]) name;
        select pgstate.delegate('{login}', name) from unnest('{{bob,carol}}'::text[]) name;
        """,
        INSTALLER,
    )
    calls = [
        f"delegate('{login}', 'alice')",
        "revoke_access('bob', 'a/**', 'write')",
        "suspend_agent('carol')",
        "set_trust('bob', 'external')",
    ]
    migrating, superuser = await connect_as(INSTALLER), await connect_as(SUPERUSER)
    waiting = []
    for call in calls:
        connection = await connect_as(INSTALLER)
        # the first call of a session reads its functions
        await connection.execute("select pgstate.me()")
        waiting.append((connection, call))
    script, commit, _ = migrate.sql("0013", start="0012").rpartition("COMMIT;")
    await migrating.execute(script)
    tasks = []
    for connection, call in waiting:
        tasks.append(asyncio.create_task(connection.execute(f"select pgstate.{call}")))
        await wait_until_blocked(superuser, connection.get_server_pid())
    await migrating.execute(commit)
    await asyncio.gather(*tasks)
    assert [tuple(row) for row in await superuser.fetch(APART) if row["agent_name"] != "alice"] == []
    gateway = await connect_as(login)
    may = {name: f"select status from pgstate.put('a/1', '1', agent => '{name}')" for name in ("alice", "bob", "carol")}
    assert await gateway.fetchval(may["alice"]) == "ok"
    for name in ("bob", "carol"):
        try:
            raise AssertionError(await gateway.fetchval(may[name]))
        except asyncpg.PostgresError as error:
            assert error.sqlstate == "PS010"
    await migrating.execute("select pgstate.revoke_access('alice', 'a/**', 'write')")
    assert await superuser.fetch(APART) == []
