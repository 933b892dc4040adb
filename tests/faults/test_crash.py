"""Processes killed under load: what was acknowledged is there, once, and watches tell all of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import pgstate
from _cases import first_of
from client._promises import check, check_cursors, drain
from conftest import Database
from faults._server import crash, log_of
from pgstate import Change, State, errors, ops

END = "end"
# the name of their sessions
_WRITER = "writer"


@dataclass
class Load:
    """Writers, what was acknowledged to them, and consumers that nothing stops."""

    database: Database
    chance: random.Random
    acknowledged: list[tuple[str, int, Any]] = field(default_factory=list)
    added: int = 0
    stopping: bool = False
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def progress(self, count: int) -> None:
        """Returns when so many more writes have been acknowledged, or when there will be no more."""
        target = len(self.acknowledged) + count
        async with asyncio.timeout(60), self._moved:
            await self._moved.wait_for(lambda: len(self.acknowledged) >= target or self.stopping)

    async def stop(self) -> None:
        self.stopping = True
        await self._note()

    async def _note(self, *written: tuple[str, int, Any]) -> None:
        async with self._moved:
            self.acknowledged += written
            self._moved.notify_all()

    async def values(self, state: State, name: str) -> None:
        """Every value is written once, so that one that was written twice shows."""
        for number in itertools.count():
            if self.stopping:
                return
            rows = [(f"{name}/{self.chance.randrange(5)}", f"{name} {number} {part}") for part in range(4)]
            versions = await asyncio.gather(*(state.put(key, value) for key, value in rows))
            await self._note(*((key, version, value) for (key, value), version in zip(rows, versions, strict=True)))

    async def sums(self, state: State) -> None:
        while not self.stopping:
            version = await state.merge("sum", 1, "add")
            self.added += 1
            await self._note(("sum", version, None))

    async def transfers(self, state: State, name: str) -> None:
        """Several keys at once, as a worker finishes a task."""
        for number in itertools.count():
            if self.stopping:
                return
            await state.put(f"tasks/{name}", number)
            claim = await state.claim(f"tasks/{name}", 3600)
            assert claim is not None and claim.value == number
            done = await state.apply(
                guards=[ops.token(claim.key, claim.token)],
                operations=[
                    ops.merge("done", 1, "add"),
                    ops.put(f"last/{name}", number),
                    ops.complete(claim.key, claim.token),
                ],
            )
            self.added += 1
            await self._note((f"last/{name}", done[2].version or 0, number))

    async def session(self, home: str) -> None:
        """An SQL session: transactions that are lost with the server are just lost."""
        while not self.stopping:
            try:
                connection = await asyncpg.connect(self.database.dsn())
                try:
                    while not self.stopping:
                        async with connection.transaction():
                            for _ in range(self.chance.choice([1, 3])):
                                key = f"{home}/{self.chance.randrange(3)}"
                                await connection.fetch(
                                    "select pgstate.put($1, to_jsonb($2::int))", key, self.chance.randrange(100)
                                )
                            if self.chance.random() < 0.3:
                                await self.progress(20)
                finally:
                    connection.terminate()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await asyncio.sleep(0)

    async def follow(self, state: State, cursor: str) -> list[Change]:
        found: list[Change] = []
        async for change in state.watch(since=cursor):
            found.append(change)
            if change.key == END:
                return found
        raise AssertionError

    async def follow_in_pieces(self, cursor: str) -> list[Change]:
        """Each time in a new client."""
        found: list[Change] = []
        while not found or found[-1].key != END:
            try:
                async with (
                    pgstate.connect(self.database.dsn(), timeout=60) as state,
                    state.watch(since=cursor) as watch,
                ):
                    for _ in range(self.chance.randrange(1, 120)):
                        found.append(await anext(watch))
                        cursor = found[-1].cursor
                        if found[-1].key == END:
                            break
            except errors.Unreachable:
                await asyncio.sleep(0.01)
        return found

    async def follow_by_page(self, state: State, cursor: str) -> list[Change]:
        found: list[Change] = []
        while not found or found[-1].key != END:
            page = await state.changes(cursor, limit=self.chance.randrange(1, 21))
            stop = self.chance.randrange(1, len(page) + 1) if len(page) else 0
            found += page.changes[:stop]
            cursor = page.changes[stop - 1].cursor if stop else page.cursor
            if not page.changes and not self.stopping:
                await self.progress(1)
        return found


@pytest.fixture
async def connect(doomed: Database) -> AsyncIterator[Callable[[], Any]]:
    opened: list[State] = []

    async def make() -> State:
        opened.append(await pgstate.connect(doomed.dsn(), timeout=60))
        return opened[-1]

    yield make
    for state in opened:
        await state.close()


@pytest.mark.parametrize("kills", first_of([4, 15]))
async def test_a_server_killed_again_and_again(doomed: Database, connect: Callable[[], Any], kills: int) -> None:
    load = Load(doomed, random.Random(1))
    writer, worker, other, reader = [await connect() for _ in range(4)]
    start = await reader.cursor()
    async with asyncio.timeout(150), asyncio.TaskGroup() as group:
        consumers = [
            group.create_task(load.follow(reader, start)),
            group.create_task(load.follow(writer, start)),
            group.create_task(load.follow_in_pieces(start)),
            group.create_task(load.follow_by_page(other, start)),
        ]
        writers = [group.create_task(load.values(writer, f"v{n}")) for n in range(3)]
        writers += [group.create_task(load.sums(state)) for state in (writer, writer, other)]
        writers += [group.create_task(load.transfers(worker, f"t{n}")) for n in range(2)]
        writers += [group.create_task(load.session(f"s{n}")) for n in range(2)]
        for _ in range(kills):
            await load.progress(load.chance.randrange(20, 200))
            await asyncio.to_thread(crash, doomed.cluster)
            await asyncio.to_thread(doomed.cluster.start)
        await load.progress(150)
        await load.stop()
        await asyncio.wait(writers)
        await writer.put(END, True)
    log = await log_of(doomed)
    by_id = {row.id: row for row in log}
    assert len(by_id) == len(log)
    # each acknowledged write is in the history, as it was acknowledged, and no other has its value
    for key, version, value in load.acknowledged:
        assert value is None or by_id[key, version].value == _json(value), (key, version, value)
    for name in ("v0", "v1", "v2"):
        written = [row.value for row in log if row.key.startswith(f"{name}/")]
        assert len(written) == len(set(written))
    # sums are exact: every increment was acknowledged in the end, and none was made twice
    sums = [int(row.value) for row in log if row.key == "sum"]
    assert sums == list(range(1, len(sums) + 1))
    finished = [int(row.value) for row in log if row.key == "done"]
    assert finished == list(range(1, len(finished) + 1))
    assert len(sums) + len(finished) == load.added
    for name in ("t0", "t1"):
        last = [int(row.value) for row in log if row.key == f"last/{name}"]
        assert last == list(range(len(last)))
    # nothing lost, nothing twice, nothing out of order, whatever died
    for consumer in consumers:
        check(consumer.result(), log)
    received = consumers[2].result()
    places = load.chance.sample(range(len(received)), 5)
    async with pgstate.connect(doomed.dsn()) as fresh:
        await check_cursors(fresh, received, log, places, limits=[20, 7, 1000])
        check(await drain(fresh, start), log)
    assert writer.stats.retries + worker.stats.retries + other.stats.retries > 0


@pytest.mark.parametrize("rounds", first_of([1, 3]))
async def test_writers_killed(database: Database, rounds: int) -> None:
    """A writer's death takes at most the write that it was waiting for, and leaves nothing half done."""
    printed: dict[str, int] = {}
    async with pgstate.connect(database.dsn()) as state:
        start = await state.cursor()
        following = asyncio.create_task(Load(database, random.Random(2)).follow(state, start))
        for round_ in range(rounds):
            names = [f"p{round_}{part}" for part in range(2)]
            processes = [await _start(database.dsn(), name) for name in names]
            for name, process in zip(names, processes, strict=True):
                assert process.stdout is not None
                async with asyncio.timeout(60):
                    for _ in range(20 + 10 * round_):
                        printed[name] = int(await process.stdout.readline())
            for name, process in zip(names, processes, strict=True):
                os.kill(process.pid, signal.SIGKILL)
                assert process.stdout is not None
                for line in (await process.stdout.read()).splitlines(keepends=True):
                    printed[name] = int(line) if line.endswith(b"\n") else printed[name]
                await process.wait()
        # what they sent before they died is done, or undone, once their sessions are gone
        async with asyncio.timeout(60):
            while await asyncio.to_thread(_others, database) > 0:
                await asyncio.sleep(0.01)
        for name, count in printed.items():
            values = [version.value for version in reversed(await state.history(f"{name}/log", limit=None))]
            assert values == list(range(1, len(values) + 1))
            assert count <= len(values) <= count + 1
        entry = await state.get("total")
        assert entry is not None
        assert sum(printed.values()) <= entry.value <= sum(printed.values()) + len(printed)
        assert entry.value == entry.version
        await state.put(END, True)
        async with asyncio.timeout(60):
            received = await following
        check(received, await log_of(database))


async def _start(dsn: str, name: str) -> asyncio.subprocess.Process:
    program = Path(__file__).with_name("_writer.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(pgstate.__file__).parents[1])}
    dsn += ("&" if "?" in dsn else "?") + f"application_name={_WRITER}"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(program), dsn, name, stdout=asyncio.subprocess.PIPE, env=environment
    )


def _others(database: Database) -> int:
    """How many sessions of killed writers the server still has."""
    # idle ones too: what they were sent last they may not have begun yet
    ((count,),) = database.sql(f"select count(*) from pg_stat_activity where application_name = '{_WRITER}'")
    return int(count)


def _json(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
