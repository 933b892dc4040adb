"""The server's queue of NOTIFY is full, as any session can have it that listens and keeps a transaction open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

import pgstate
from _server import SUPERUSER, Cluster
from conftest import INSTALLER, Database, prepare
from pgstate import doctor, migrate

_GUARD = 30
_FULL = "select count(pg_notify('noise', repeat('x', 7000) || n)) from generate_series(1, 64) n"


@pytest.fixture
def database(new_cluster: Callable[..., Cluster]) -> Database:
    # which is a setting from 17 on
    cluster = new_cluster(major=18, settings={"max_notify_queue_pages": "64"})
    prepare(cluster)
    database = Database(cluster, cluster.create_database(owner=INSTALLER))
    migrate.upgrade_dsn(database.dsn())
    return database


@pytest.fixture
async def noise(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Of a session that listens to it in a transaction."""
    listening = await asyncpg.connect(database.dsn(SUPERUSER))
    noisy = await asyncpg.connect(database.dsn(SUPERUSER))
    await listening.execute("listen noise")
    async with listening.transaction():
        await listening.execute("select")
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            while True:
                await noisy.execute(_FULL)
        while await noisy.fetchval("select pg_notification_queue_usage()") < 0.9:
            await noisy.execute("select pg_notify('noise', repeat('x', 7000))")
        yield noisy
    await listening.close()
    await noisy.close()


async def test_writes_go_on_and_watches_poll(database: Database, noise: asyncpg.Connection) -> None:
    by_hand = await asyncpg.connect(database.dsn())
    async with (
        pgstate.connect(database.dsn()) as state,
        pgstate.connect(database.dsn()) as other,
        asyncio.timeout(_GUARD),
    ):
        async with other.watch("a/*") as watch:
            first = asyncio.ensure_future(anext(watch))
            while not await noise.fetchval("select count(*) from pgstate.watcher"):
                await asyncio.sleep(0.005)
            assert await state.put("a/lone", 1) == 1
            # alone, one of several, and by SQL, where the trigger wakes
            await asyncio.gather(*(state.put(f"a/{number}", number) for number in range(20)))
            await by_hand.execute("select pgstate.put('a/sql', '1')")
            seen = {(await first).key}
            while len(seen) < 22:
                seen.add((await anext(watch)).key)
        assert [f.level for f in await doctor.examine(database.dsn()) if f.check == "wake-ups"] == ["problem"]
    await by_hand.close()
