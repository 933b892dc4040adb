"""claim_next(wait=...): nobody polls, and whatever makes an entry claimable ends the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from client._watching import attached
from client.conftest import Connect, MakeLogin
from conftest import Database
from pgstate import Claim, State, _hub, errors, ops
from pgstate._calls import claims, feed

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]
_GUARD = 20


@pytest.fixture
def nothing_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "_POLL", 3600.0)
    monkeypatch.setattr(_hub, "_SETTLE_LIMIT", -1.0)


def _waiters(state: State) -> int:
    return sum(len(claimer._waiters) for claimer in state._core.kept.values())


async def waiting_for(state: State, pattern: str, count: int = 1, **how: float) -> list[asyncio.Task[Claim | None]]:
    """Workers that have found nothing, and whom the feed reader would wake; or that found what became claimable by
    itself before they were that far."""
    tasks = [asyncio.ensure_future(state.claim_next(pattern, wait=60, **how)) for _ in range(count)]

    async def until(reached: Callable[[], bool]) -> None:
        while not reached() and not all(task.done() for task in tasks):
            await asyncio.sleep(0.005)

    async with asyncio.timeout(_GUARD):
        await until(lambda: bool(state._core.hub._taps) and _waiters(state) >= count)
        # each looks once more after it was taken on
        statements = state.stats.statements
        await state.cursor()
        await until(lambda: state.stats.statements > statements)
    return tasks


async def done(task: asyncio.Task[Claim | None]) -> Claim:
    async with asyncio.timeout(_GUARD):
        claim = await task
    assert claim is not None
    return claim


@pytest.mark.parametrize("writer", ["the same client", "another client", "SQL", "apply"])
async def test_a_new_task_ends_the_wait(
    nothing_polls: None, state: State, connect: Connect, admin: asyncpg.Connection, writer: str
) -> None:
    other = await connect()
    (waiting,) = await waiting_for(state, "tasks/*")
    if writer == "SQL":
        await admin.execute("select pgstate.put('tasks/1', '1')")
    elif writer == "apply":
        await other.apply(operations=[ops.put("tasks/1", 1)])
    else:
        await (state if writer == "the same client" else other).put("tasks/1", 1)
    assert (await done(waiting)).key == "tasks/1"


@pytest.mark.parametrize("how", ["release", "lease", "not_before", "retry", "drop"])
async def test_what_becomes_claimable_ends_the_wait(
    nothing_polls: None, state: State, agent: Connect, how: str
) -> None:
    other = await agent("other", "read tasks/**", "write tasks/**")
    await state.put("tasks/1", 1)
    lease = 0.1 if how == "lease" else 60.0
    claim = await other.claim("tasks/1", lease)
    assert claim is not None
    if how == "not_before":
        from datetime import UTC, datetime, timedelta

        soon = datetime.now(UTC) + timedelta(seconds=0.1)
        await other.put("tasks/1", 2, token=claim.token, not_before=soon)
        await other.release("tasks/1", claim.token)
    (waiting,) = await waiting_for(state, "tasks/*")
    if how == "release":
        assert await other.release("tasks/1", claim.token)
    elif how == "drop":
        await state.drop_agent("other")
        with pytest.raises(errors.AccessDenied):
            await other.renew("tasks/1", claim.token)
    elif how == "retry":
        # finished and posted again
        await other.complete("tasks/1", claim.token)
        await other.put("tasks/1", 3)
    taken = await done(waiting)
    assert taken.token > claim.token
    assert taken.attempts == (1 if how == "retry" else 2)


async def test_each_task_goes_to_one_of_many(nothing_polls: None, state: State, connect: Connect) -> None:
    others = [state, await connect(), await connect()]
    workers = [task for worker in others for task in await waiting_for(worker, "tasks/**", 5)]
    await asyncio.gather(*(state.put(f"tasks/{number}", number) for number in range(15)))
    claims = [await done(worker) for worker in workers]
    assert sorted(claim.value for claim in claims) == list(range(15))
    assert len({claim.token for claim in claims}) == 15
    assert await state.claim_next("tasks/**") is None


async def test_the_wait_has_an_end(state: State) -> None:
    assert await state.claim_next("tasks/*", wait=0) is None
    assert await state.claim_next("tasks/*", wait=0.01) is None
    await state.put("tasks/1", 1)
    assert await state.claim_next("tasks/*", wait=0) is not None


async def test_a_cancelled_wait_takes_nothing_with_it(state: State) -> None:
    first, second = await waiting_for(state, "tasks/*", 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await state.put("tasks/1", 1)
    assert (await done(second)).attempts == 1


async def test_what_ends_a_watch_ends_a_wait(
    state: State, connect: Connect, gateway: Connect, make_agent: MakeLogin
) -> None:
    for name in ("alice", "bob"):
        await make_agent(name, "read tasks/**", "write tasks/**")
    shared = await gateway("alice", "bob")
    login = (await shared.info()).login
    alice = asyncio.ensure_future(shared.as_agent("alice").claim_next("tasks/*", wait=60))
    (bob,) = await waiting_for(shared.as_agent("bob"), "tasks/*", 1)
    async with asyncio.timeout(_GUARD):
        while len(shared._core.hub._taps) < 2:
            await asyncio.sleep(0.005)
    await state.undelegate(login, "alice")
    await state.put("tasks/1", 1)
    with pytest.raises(errors.AccessDenied):
        await done(alice)
    assert (await done(bob)).key == "tasks/1"
    (last,) = await waiting_for(shared.as_agent("bob"), "tasks/*")
    await shared.close()
    with pytest.raises(errors.Closed):
        await done(last)


async def test_waiting_needs_rights_and_sense(state: State, agent: Connect) -> None:
    alice = await agent("alice", "read a/**", "write b/**")
    for pattern in ("a/*", "b/*", "c/*"):
        with pytest.raises(errors.AccessDenied):
            await alice.claim_next(pattern, wait=1)
    for bad in (0, -1, 10**9, float("nan"), "soon"):
        with pytest.raises(errors.InvalidArgument):
            await state.claim_next("a/*", bad, wait=1)  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidArgument):
            await state.claim("a/x", bad)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidPattern):
        await state.claim_next("a**", wait=1)


async def test_a_statement_under_way_does_not_answer_who_comes_later(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have looked before the task was written that the later one knows of."""
    sent, go_on = asyncio.Event(), asyncio.Event()
    ask = claims.claim_many

    async def slow(*args: Any, **more: Any) -> Any:
        rows = await ask(*args, **more)
        sent.set()
        await go_on.wait()
        return rows

    monkeypatch.setattr(claims, "claim_many", slow)
    first = asyncio.ensure_future(state.claim_next("tasks/*"))
    await sent.wait()
    await state.put("tasks/1", 1)
    second = asyncio.ensure_future(state.claim_next("tasks/*"))
    await asyncio.sleep(0)
    go_on.set()
    assert await first is None
    assert (await done(second)).key == "tasks/1"


async def test_who_begins_to_wait_as_the_feed_begins_anew(
    state: State, connect: Connect, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = state.watch("k")
    (first,) = await attached(state, watch)
    await state.put("k", 0)
    await first
    following = asyncio.ensure_future(anext(watch))
    goes_on, plain = asyncio.Event(), feed.changes_for

    async def held(*args: Any, **options: Any) -> Any:
        await goes_on.wait()
        return await plain(*args, **options)

    monkeypatch.setattr(feed, "changes_for", held)
    # promoted, or restored elsewhere: the feed reader's position means nothing any more, and it does not know yet
    database.sql("update pgstate.install set identity = '1:1'")
    other = await connect()
    await other.put("x", 1)
    claiming = asyncio.ensure_future(state.claim_next("t/*", wait=_GUARD)._take())
    while not state._core.hub._joining:
        await asyncio.sleep(0.005)
    goes_on.set()
    with pytest.raises(errors.CursorExpired):
        await following
    while not (state._core.hub._taps or claiming.done()):
        await asyncio.sleep(0.005)
    await other.put("t/1", 1)
    claim = await claiming
    assert claim is not None and claim.key == "t/1"
