"""Every call, cancelled at every point where it waits: it has happened or not, its neighbours know nothing of it, and
nothing of it stays: no task, no connection, no claim, no place in a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from _cases import first_of
from client._bound import KINDS, address, opened
from client._history import written
from client._typed import Research
from client.conftest import Connect
from conftest import Database
from faults._cancelling import MOMENTS, cancelled_at
from pgstate import State, ops

GUARD = 60
CONNECTIONS = 2
# what a client keeps running; the feed reader and wake-ups come and go by themselves
OWN = {"pgstate-pulse", "pgstate-feed", "pgstate-wake"}


async def _locked(held: Any) -> None:
    async with held:
        await asyncio.sleep(0)


async def _worked(state: State, key: str) -> None:
    async with state.claim_next(f"{key}*", lease=60, wait=5) as task:
        assert task is not None
        await state.put(key, "worked on", token=task.token)


async def _work(state: State, key: str) -> None:
    stop = asyncio.Event()

    async def handle(task: pgstate.Task) -> str:
        await state.put(key, "worked on", token=task.token)
        stop.set()
        return "done"

    await state.work(f"{key}*", handle, concurrency=2, stop=stop, move_to="done/*")


async def _claimed_and(state: State, key: str, claiming: Awaitable[Any]) -> None:
    got = await claiming
    claims = got if isinstance(got, list) else [got]
    # what the caller knows of, it gives back
    release = asyncio.gather(*(state.release(claim.key, claim.token) for claim in claims))
    try:
        await asyncio.shield(release)
    except asyncio.CancelledError:
        await release
        raise


async def _first(watch: Any) -> None:
    try:
        await anext(watch)
    finally:
        await watch.aclose()


async def _watched(state: State, key: str) -> None:
    async with state.watch(key) as watch:
        await asyncio.gather(state.put(key, "seen"), _first(watch))


CALLS: dict[str, Callable[[State, str], Awaitable[Any]]] = {
    "put": lambda s, k: s.put(k, 2),
    "put expecting": lambda s, k: s.put(k, 2, expect=1),
    "get": lambda s, k: s.get(k),
    "get_many": lambda s, k: s.get_many([k, "none"]),
    "list": lambda s, k: s.list(f"{k}*"),
    "history": lambda s, k: s.history(k),
    "changes": lambda s, k: _changes(s, k),
    "merge": lambda s, k: s.merge(k, 1, "add"),
    "delete": lambda s, k: s.delete(k),
    "put_many": lambda s, k: s.put_many({k: 2, f"{k}/b": 2}),
    "apply": lambda s, k: s.apply(guards=[ops.version(k, 1)], operations=[ops.put(k, 2), ops.put(f"{k}/b", 2)]),
    "update": lambda s, k: s.update(k, lambda value: value + 1),
    "rollback": lambda s, k: s.rollback(k, 1),
    "claim_next": lambda s, k: _locked(s.claim_next(f"{k}*", wait=5)),
    "claim_next and put": _worked,
    "claim_next for nothing": lambda s, k: _locked(s.claim_next(f"{k}/none*")),
    "claim_next that waits": lambda s, k: _locked(s.claim_next(f"{k}/none*", wait=0.02)),
    "claim": lambda s, k: _claimed_and(s, k, s.claim(k)),
    "claim_many": lambda s, k: _claimed_and(s, k, s.claim_many(f"{k}*", 2)),
    "lock": lambda s, k: _locked(s.lock(k)),
    "lock of a new key": lambda s, k: _locked(s.lock(f"{k}/lock", wait=5)),
    "semaphore": lambda s, k: _locked(s.semaphore(k, 2)),
    "leader": lambda s, k: _locked(s.leader(f"{k}/leader")),
    "work": _work,
    "watch": _watched,
    "watch, initial": lambda s, k: _first(s.watch(k, initial=True)),
    "thread.save": lambda s, k: s.thread(f"{k}/thread").save({"a": [1, 2], "b": "text"}),
    "thread.latest": lambda s, k: s.thread(f"{k}/thread").latest(),
    "typed.set": lambda s, k: _typed(s, k).set(Research("a")),
    "typed.update": lambda s, k: _typed(s, k).update(topic="b", steps=1),
    "typed.modify": lambda s, k: _typed(s, k).modify(lambda _: Research("c")),
    "typed.load": lambda s, k: _typed(s, k).load(),
}  # fmt: skip


def _typed(state: State, key: str) -> Any:
    return state.typed(Research, f"{key}/typed")


async def _changes(state: State, key: str) -> None:
    await state.changes(await state.cursor(), key)


_SESSIONS = """
select state, wait_event, query from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


@dataclass
class Scene:
    """A client with few connections, and a look at the server."""

    far: State
    looker: asyncpg.Connection
    # how many connections are in use
    used: Callable[[], int]
    # sessions and tasks that were there before
    sessions: int
    tasks: set[asyncio.Task[Any]]

    async def settled(self) -> None:
        """Returns when nothing of any call is left, in this process and in the server: what was cancelled may be just ending."""
        left: list[str] = []
        try:
            async with asyncio.timeout(GUARD):
                while left := [*self._here(), *await self._there()]:
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"this is left: {left}") from None

    def _here(self) -> list[str]:
        core = self.far._core
        left = [
            f"task {t}" for t in asyncio.all_tasks() - {asyncio.current_task(), *self.tasks} if t.get_name() not in OWN
        ]
        if (used := self.used()) > (core.hub._task is not None and not core.hub._task.done()):
            left.append(f"{used} connections")
        for (kind, *_), queue in core._queues.items():
            if len(queue._idle) != queue._lanes or len(queue._side) != queue._side_room._value:
                left.append(f"lanes of {kind}: {queue._idle} {queue._side}")
            if places := (queue._waiting, queue._given, queue._apart):
                left += [f"places in {kind}: {places}"] if any(places) else []
            if queue._queue or queue._parked or queue._busy or queue._under_way:
                left.append(f"operations of {kind}: {queue._queue} {queue._parked} {queue._busy} {queue._under_way}")
        # those who wait for the same claims; other things are kept for good
        left += [f"waiting {name}" for name in core.kept if isinstance(name, tuple)]
        if core._calls or core._tasks:
            left.append(f"{core._calls} calls, {core._tasks}")
        return left + [f"taps {taps}" for taps in (core.hub._taps, core.hub._joining) if taps]

    async def _there(self) -> list[str]:
        sessions = await self.looker.fetch(_SESSIONS)
        left = [f"session {tuple(row)}" for row in sessions if row["state"] != "idle"]
        if len(sessions) > self.sessions + CONNECTIONS + 1:
            left.append(f"{len(sessions)} sessions")
        claims = await self.looker.fetch("select key, holder, lease_until from pgstate.list_claims()")
        return left + [f"claim {tuple(row)}" for row in claims]


@pytest.fixture(params=first_of(["dsn", "pool", "engine"]))
async def scene(
    request: pytest.FixtureRequest, connect: Connect, admin: asyncpg.Connection, dsn: str
) -> AsyncIterator[Scene]:
    # one more of an application's, for the feed reader
    pool = engine = None
    used: Callable[[], int]
    if request.param == "pool":
        pool = await asyncpg.create_pool(dsn, min_size=0, max_size=CONNECTIONS + 1)
        far = await connect(pool=pool)
        used = lambda: pool.get_size() - pool.get_idle_size()  # noqa: E731
    elif request.param == "engine":
        engine = create_async_engine(address(dsn, "asyncpg"), pool_size=CONNECTIONS + 1, max_overflow=0)
        far = await connect(engine=engine)
        used = lambda: engine.pool.checkedout()  # type: ignore[attr-defined]  # noqa: E731
    else:
        far = await connect(connections=CONNECTIONS)
        source = far._core.source
        used = lambda: CONNECTIONS - source._room._value  # type: ignore[attr-defined]  # noqa: E731
    # what nobody awaited
    lost: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    yield Scene(far, admin, used, len(await admin.fetch(_SESSIONS)) - 1, asyncio.all_tasks())
    await far.close()
    assert not lost
    if pool is not None:
        async with asyncio.timeout(GUARD):
            await pool.close()
    if engine is not None:
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await engine.dispose()


@pytest.mark.parametrize("moment", MOMENTS)
async def test_every_call(scene: Scene, moment: str) -> None:
    far = scene.far
    cancelled = 0
    total = 0
    for name, call in CALLS.items():
        for company in (0, 3):
            at, more = 0, True
            while more:
                at += 1
                key = f"{name.replace(' ', '-').replace(',', '')}/{company}/{at}"
                await far.put(key, 1)
                neighbours = [asyncio.create_task(far.merge("total", 1, "add")) for _ in range(company)]
                if company:
                    # they stand in the queue
                    await asyncio.sleep(0)
                try:
                    more = await cancelled_at(call(far, key), at, moment)
                    assert sorted(await asyncio.gather(*neighbours)) == list(range(total + 1, total + company + 1))
                    total += company
                    await scene.settled()
                    await _judge(far, key, name)
                except BaseException as error:
                    raise AssertionError(f"{name}, cancelled at step {at}: {error!r}") from error
                cancelled += more
    assert cancelled > 2 * len(CALLS)
    assert await written(far, "total") == list(range(1, total + 1))


async def _judge(state: State, key: str, name: str) -> None:
    """It has happened once or not at all."""
    history = await state.history(key)
    assert [version.version for version in reversed(history)] == list(range(1, len(history) + 1))
    happened = [version.op for version in reversed(history)][1:]
    most = {
        "work": ["put", "complete"], "claim_next and put": ["put", "complete"], "claim_next": ["complete"], "watch": ["put"],
        "merge": ["merge"], "delete": ["delete"], "rollback": [],
    }.get(name, ["put"] if name.startswith(("put", "apply", "update")) else [])  # fmt: skip
    # work that was cancelled after it had written goes back, with what it had written
    assert happened == most[: len(happened)], happened
    if name == "apply":
        assert (await state.get(f"{key}/b") is not None) is bool(happened)
    if name == "work":
        assert (await state.get(f"done/{key.rsplit('/', 1)[-1]}") is not None) >= ("complete" in happened)
    if name.startswith("typed."):
        fields = await state.list(f"{key}/typed/*")
        # a whole, or nothing
        assert len(fields) in ((0, 5) if name in ("typed.set", "typed.modify") else (0, 2)), fields
    shown = {"complete": ["finished"], "delete": []}.get("".join(happened[-1:]), ["waiting"])
    assert [one.state for one in await state.tasks(key)] == shown


@pytest.mark.parametrize("moment", MOMENTS)
async def test_connecting(database: Database, admin: asyncpg.Connection, dsn: str, moment: str) -> None:
    before = asyncio.all_tasks()
    for listen in (None, dsn):
        at, more = 0, True
        while more:
            at += 1
            made: list[State] = []

            async def connect(listen: str | None = listen, made: list[State] = made) -> None:
                made.append(await pgstate.connect(dsn, listen_dsn=listen))

            more = await cancelled_at(connect(), at, moment)
            for state in made:
                await state.close()
            async with asyncio.timeout(GUARD):
                while asyncio.all_tasks() - before or len(await admin.fetch(_SESSIONS)) > 0:
                    await asyncio.sleep(0.002)
        assert at > 2


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", first_of(KINDS, 2))
async def test_inside_a_transaction(state: State, dsn: str, kind: str, moment: str) -> None:
    """The transaction is lost with the call, and the connection of the application's is not."""
    calls: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
        name: CALLS[name] for name in ("put", "get_many", "apply", "update", "merge", "rollback", "typed.set")
    }
    async with opened(kind, dsn) as app:
        for name, call in calls.items():
            at, more = 0, True
            while more:
                at += 1
                key = f"{name}/{at}"
                await state.put(key, 1)
                more = False

                async def run(key: str = key, call: Any = call, at: int = at) -> bool:
                    async with app.transaction():
                        bound = state.bind(app.raw)
                        await bound.put(f"{key}/before", 1)
                        more = await cancelled_at(call(bound, key), at, moment)
                        if more:
                            raise asyncio.CancelledError
                    return more

                try:
                    await run()
                except asyncio.CancelledError:
                    more = True
                async with app.transaction():
                    assert await app.run("select 1") == 1
                assert (await state.get(f"{key}/before") is None) is more
                assert len(await state.history(key)) in ((1,) if more else (1, 2))
