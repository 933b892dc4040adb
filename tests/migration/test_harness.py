"""The fixtures that the other tests stand on: each test's own database, the clock, the waits, servers that die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from _server import SUPERUSER, Cluster
from _sync import wait_until_blocked, wait_until_gone
from conftest import INSTALLER, Clock, Database

Connect = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.mark.every_version
async def test_the_installer_is_the_agent_admin_and_no_superuser(admin: asyncpg.Connection, database: Database) -> None:
    assert await admin.fetchval("select current_setting('is_superuser')") == "off"
    assert await admin.fetchval("select pgstate.me()") == "admin"
    assert await admin.fetchval("select current_database()") == database.name
    # A clone that pgstate took for a restored database would begin its second epoch with the first write.
    await admin.execute("""select pgstate.put('a', '1')""")
    assert await admin.fetchval("select epoch from pgstate.info()") == 1


async def test_a_login_role_of_a_test_goes_with_its_database(
    cluster: Cluster,
    login_name: Callable[[str], str],
    admin: asyncpg.Connection,
    connect_as: Connect,
    database: Database,
) -> None:
    login = login_name("alice")
    assert login != login_name("alice")
    await admin.execute(f"create role {login} login")
    alice = await connect_as(login)
    assert await alice.fetchval("select session_user") == login
    extra = Database(cluster, cluster.create_database(owner=INSTALLER), logins=[login_name("bob")])
    cluster.sql(f"create role {extra.logins[0]} login")
    extra.sql(f"create schema s authorization {extra.logins[0]}")
    extra.drop()
    left = "select count(*) from pg_database d, pg_roles r where d.datname = %s or r.rolname = %s"
    assert cluster.sql(left.replace("%s", f"'{extra.name}'", 1).replace("%s", f"'{extra.logins[0]}'")) == [(0,)]


async def test_the_clock_moves_for_every_session_and_plan(
    admin: asyncpg.Connection, connect_as: Connect, clock: Clock
) -> None:
    other = await connect_as(SUPERUSER)
    look = await other.prepare("select pgstate._now() - pg_catalog.clock_timestamp()")
    assert abs(await look.fetchval()) < timedelta(minutes=1)
    await clock.advance(3600)
    assert timedelta(minutes=59) < await look.fetchval() <= timedelta(minutes=60)
    await admin.execute("select pgstate.put('short', '1', ttl => '1 minute')")
    assert await admin.fetchval("select status from pgstate.get('short')") == "ok"
    await clock.advance(61)
    assert await admin.fetchval("select status from pgstate.get('short')") == "missing"


async def test_waiting_for_a_lock_and_for_a_session_to_end(connect_as: Connect) -> None:
    holder, waiter, watcher = [await connect_as() for _ in range(3)]
    await holder.execute("create table public.row (id int primary key); insert into public.row values (1)")
    async with holder.transaction():
        await holder.execute("update public.row set id = id")
        blocked = asyncio.create_task(waiter.execute("update public.row set id = id"))
        await wait_until_blocked(watcher, waiter.get_server_pid())
        assert not blocked.done()
    await blocked
    pid = holder.get_server_pid()
    await holder.close()
    await wait_until_gone(watcher, pid)


def test_a_server_dies_and_comes_back(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(tcp=True)
    cluster.sql("create table public.kept (id int)")
    cluster.sql("insert into public.kept values (1)")
    cluster.kill()
    assert not cluster.running
    cluster.start()
    assert cluster.sql("select * from public.kept") == [(1,)]
    for mode in ("fast", "immediate", "smart"):
        cluster.restart(mode)
        assert cluster.sql("select * from public.kept") == [(1,)]
    assert asyncio.run(_over_tcp(cluster)) == 1


async def _over_tcp(cluster: Cluster) -> object:
    connection = await asyncpg.connect(cluster.dsn(tcp=True))
    try:
        return await connection.fetchval("select count(*) from public.kept")
    finally:
        await connection.close()
