"""Counters that many clients increment while backends are terminated and the server is killed, and watchers of them: the
sum is exact, each acknowledged increment is in the history once, and what watchers were told is the log."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pgstate
from _cases import first_of
from _server import SUPERUSER
from client._promises import check
from conftest import Database
from faults._server import crash, log_of
from pgstate import Change, State

CLIENTS = 16
END = "end"
_GUARD = 600


@dataclass(frozen=True)
class Told:
    """A change, as a watcher's process printed it."""

    key: str
    version: int
    op: str
    value: Any
    previous: Any
    created: bool
    writer: str
    whole: bool
    cursor: str


@pytest.fixture
async def clients(doomed: Database) -> AsyncIterator[list[State]]:
    async def open_(number: int) -> State:
        return await pgstate.connect(doomed.dsn(), timeout=120, connections=2)

    opened = await asyncio.gather(*map(open_, range(CLIENTS + 1)))
    yield opened
    await asyncio.gather(*(state.close() for state in opened))


class Storm:
    """Increments, and what becomes of them."""

    def __init__(self, total: int) -> None:
        # versions that were acknowledged
        self.added: list[int] = []
        self.compared: list[int] = []
        self._left = {"added": total // 2, "compared": total - total // 2}
        # more than these are made as long as something is to die, which must meet some that are under way
        self.going_on = True
        self._moved = asyncio.Condition()

    def _take(self, counter: str) -> bool:
        self._left[counter] -= 1
        return self.going_on or self._left[counter] >= 0

    @property
    def count(self) -> int:
        return len(self.added) + len(self.compared)

    async def _note(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def passed(self, count: int) -> None:
        """Returns when so many have been acknowledged."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.count >= count)

    async def add(self, state: State) -> None:
        while self._take("added"):
            self.added.append(await state.merge("added", 1, "add"))
            await self._note()

    async def compare(self, state: State) -> None:
        while self._take("compared"):
            entry = await state.update("compared", lambda value: (value or 0) + 1, attempts=10_000)
            assert entry.value == entry.version
            self.compared.append(entry.version)
            await self._note()


async def _follow(state: State, cursor: str) -> list[Change]:
    found: list[Change] = []
    async for change in state.watch(since=cursor):
        found.append(change)
        if change.key == END:
            break
    return found


class Follower:
    """Processes, one after the other, each killed, the next one from the last cursor of the one before."""

    def __init__(self, dsn: str, cursor: str) -> None:
        self._dsn = dsn
        self._cursor = cursor
        self.told: list[Told] = []
        self.processes = 0

    async def run(self, chance: random.Random, every: int) -> None:
        program = Path(__file__).with_name("_watcher.py")
        environment = {**os.environ, "PYTHONPATH": str(Path(pgstate.__file__).parents[1])}
        while not self.told or self.told[-1].key != END:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", str(program), self._dsn, self._cursor,
                stdout=asyncio.subprocess.PIPE, env=environment, limit=1 << 24,
            )  # fmt: skip
            self.processes += 1
            assert process.stdout is not None
            until = len(self.told) + chance.randrange(every)
            try:
                while len(self.told) < until and (not self.told or self.told[-1].key != END):
                    self._hear(await process.stdout.readline())
            finally:
                process.kill()
            # what it had said by then counts, but not half a line
            for line in (await process.stdout.read()).splitlines(keepends=True):
                if line.endswith(b"\n"):
                    self._hear(line)
            await process.wait()

    def _hear(self, line: bytes) -> None:
        assert line, "a watcher ended by itself"
        self.told.append(Told(*json.loads(line)))
        self._cursor = self.told[-1].cursor


def _terminate(database: Database, share: float) -> int:
    """Ends some of the clients' sessions, one at least."""
    ended = database.sql(
        "with theirs as (select pid from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and backend_type = 'client backend') "
        "select pg_terminate_backend(pid) from theirs order by random() "
        f"limit (select ceil({share} * count(*)) from theirs)",
        SUPERUSER,
    )
    return len(ended)


@pytest.mark.parametrize(("total", "kills"), first_of([(400, 1), (1_200, 3)]))
async def test_counters(doomed: Database, clients: list[State], at_length: bool, total: int, kills: int) -> None:
    total, kills = (10_000, 10) if at_length else (total, kills)
    chance = random.Random(3)
    storm = Storm(total)
    *writers, reader = clients
    start = await reader.cursor()
    follower = Follower(doomed.dsn(), start)
    terminated = 0
    async with asyncio.timeout(_GUARD), asyncio.TaskGroup() as group:
        following = [group.create_task(_follow(state, start)) for state in (reader, writers[0])]
        apart = group.create_task(follower.run(chance, total // 4))
        writing = [
            group.create_task((storm.add if number % 2 else storm.compare)(state))
            for number, state in enumerate(writers)
        ]
        for turn in range(3 * kills):
            await storm.passed((turn + 1) * total // (3 * kills + 1))
            if turn % 3 == 2:
                await asyncio.to_thread(crash, doomed.cluster)
                await asyncio.to_thread(doomed.cluster.start)
            else:
                terminated += await asyncio.to_thread(_terminate, doomed, chance.choice([0.2, 0.5, 1.0]))
        storm.going_on = False
        await asyncio.wait(writing)
        await reader.put(END, True)
        await asyncio.wait([*following, apart])
    # every increment was acknowledged in the end, and each acknowledgement names another version: none is there twice
    log = await log_of(doomed)
    for counter, acknowledged in (("added", storm.added), ("compared", storm.compared)):
        assert sorted(acknowledged) == list(range(1, len(acknowledged) + 1))
        assert [int(row.value) for row in log if row.key == counter] == sorted(acknowledged)
        entry = await reader.get(counter)
        assert entry is not None and entry.value == len(acknowledged)
    assert storm.count >= total
    for consumer in following:
        check(consumer.result(), log)
    check(follower.told, log)  # type: ignore[arg-type]
    assert follower.processes > 1
    assert terminated > 0
    assert sum(state.stats.retries for state in clients) > 0
