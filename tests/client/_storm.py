"""Writers of every kind at once: the Python client's, and SQL sessions that hold transactions open, roll back and use
savepoints. What is done next hangs on what others have done, never on time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from client._promises import Id
from pgstate import State, errors, ops

END = "end"


@dataclass
class Storm:
    """`async with asyncio.TaskGroup() as group: storm.start(group)`, then `await storm.over.wait()`."""

    chance: random.Random
    clients: list[State]
    sessions: list[asyncpg.Connection]
    steps: int = 30
    # cursors that were taken inside writing transactions, and what had been seen there
    cursors: list[tuple[str, set[Id]]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _ticks: int = 0
    finished: bool = False
    _busy: int = 0
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    def start(self, group: asyncio.TaskGroup) -> None:
        group.create_task(self._run())

    async def passed(self, ticks: int) -> None:
        """Returns when others have written this many times, or when nobody is left who could."""
        target = self._ticks + ticks
        async with self._moved:
            await self._moved.wait_for(lambda: self._ticks >= target or self._busy == 0)

    async def _run(self) -> None:
        self._busy = len(self.clients)
        # one of each operation at least, whatever chance brings
        first = self.clients[0]
        await first.put("shared/0", 0)
        await first.delete("shared/0")
        await first.merge("sums/shared/0", 1, "add")
        await first.put("short/0", 0, ttl=timedelta(milliseconds=1))
        writers: list[Awaitable[None]] = [self._free(self._client(client)) for client in self.clients]
        writers += [self._session(session, f"w{number}") for number, session in enumerate(self.sessions)]
        await asyncio.gather(*writers)
        self.finished = True
        await self._expired(self.sessions[0])
        await self.clients[0].put(END, True)
        self.over.set()

    async def _free(self, work: Awaitable[None]) -> None:
        # clients hold nothing open, so that whoever waits for their progress waits for an end
        try:
            await work
        finally:
            self._busy -= 1
            await self._tick()

    async def _tick(self) -> None:
        async with self._moved:
            self._ticks += 1
            self._moved.notify_all()

    async def _client(self, state: State) -> None:
        for step in range(self.steps):
            keys = [f"shared/{self.chance.randrange(6)}" for _ in range(self.chance.choice([1, 1, 3]))]
            calls: dict[str, Callable[[], list[Awaitable[object]]]] = {
                "put": lambda: [state.put(key, step) for key in keys],  # noqa: B023
                "merge": lambda: [state.merge(f"sums/{key}", 1, "add") for key in keys],  # noqa: B023
                "delete": lambda: [state.delete(key) for key in keys],  # noqa: B023
                "ttl": lambda: [state.put(f"short/{step % 3}", step, ttl=timedelta(milliseconds=1))],  # noqa: B023
                "apply": lambda: [state.apply(operations=[ops.put(key, step) for key in [*keys, "z/all"]])],  # noqa: B023
                "refused": lambda: [state.apply(guards=[ops.absent("a")], operations=[ops.put(keys[0], 0)])],  # noqa: B023
            }
            what = self.chance.choices(list(calls), [5, 3, 2, 2, 2, 1])[0]
            for outcome in await asyncio.gather(*calls[what](), return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, errors.VersionConflict):
                    raise outcome
            await self._tick()

    async def _session(self, session: asyncpg.Connection, home: str) -> None:
        for step in range(self.steps // 2):
            transaction = session.transaction()
            await transaction.start()
            mine: set[Id] = set()
            for _ in range(self.chance.choice([1, 1, 2, 5])):
                mine.add(await self._put(session, f"{home}/{self.chance.randrange(4)}", step))
                if self.chance.random() < 0.4:
                    inner = session.transaction()
                    await inner.start()
                    nested = await self._put(session, f"{home}/{self.chance.randrange(4)}", -step)
                    if self.chance.random() < 0.5:
                        await inner.rollback()
                    else:
                        await inner.commit()
                        mine.add(nested)
                if self.chance.random() < 0.3:
                    await self.passed(self.chance.randrange(1, 12))
                if self.chance.random() < 0.3:
                    row = await session.fetchrow(
                        "select pgstate.cursor() as cursor, array(select v.key || ' ' || v.version from pgstate.versions v) as seen"
                    )
                    assert row is not None
                    seen = {(key, int(version)) for key, _, version in (text.partition(" ") for text in row["seen"])}
                    self.cursors.append((row["cursor"], seen - mine))
            if self.chance.random() < 0.3:
                await transaction.rollback()
            else:
                await transaction.commit()
            await self._tick()

    async def _put(self, session: asyncpg.Connection, key: str, value: int) -> Id:
        sql = "select version from pgstate.put($1, $2::text::jsonb)"
        return key, await session.fetchval(sql, key, json.dumps(value))

    async def _expired(self, session: asyncpg.Connection) -> None:
        async with asyncio.timeout(20):
            while await session.fetchval(
                "select exists (select from pgstate.entry where live and expires_at is not null)"
            ):
                await session.execute("select pgstate.expire()")
