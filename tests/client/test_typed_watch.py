"""Typed states as they change: whole transactions only, and what differs between two cursors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from _cases import first_of
from client._typed import Report, Research
from client._watching import GUARD, attached
from client.conftest import Connect
from pgstate import UNSET, FieldChange, State, TypedState, TypedWatch, _hub, errors, ops
from pgstate._areas import _diff, _watch

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]


async def take(watch: TypedWatch[Any], count: int) -> list[Any]:
    async with asyncio.timeout(GUARD):
        return [await anext(watch) for _ in range(count)]


async def test_first_what_is_there_and_then_what_becomes_of_it(state: State) -> None:
    view = state.typed(Research, "t")
    async with view.watch() as watch:
        await view.update(topic="owls")
        assert await take(watch, 2) == [None, Research("owls")]
        await view.update(topic="bats", findings="x", steps=1)
        await state.put("t/other", 1)
        await state.put("t", 1)
        await view.update(steps=1)
        await view.set(Research("cats"))
        await view.delete()
        await view.update(topic="new")
        # all of it was written by the time that it is read: still one state a transaction
        assert await take(watch, 5) == [
            Research("bats", ["x"], 1), Research("bats", ["x"], 2), Research("cats"), None, Research("new"),
        ]  # fmt: skip
        late = view.watch()
        assert await take(late, 1) == [Research("new")]
        waiting = asyncio.ensure_future(anext(late))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(late)
        await late.aclose()
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(late)
    assert [found async for found in watch] == []
    unused = view.watch()
    await unused.aclose()
    assert [found async for found in unused] == []


async def test_a_state_that_is_not_valid_does_not_end_the_watch(state: State) -> None:
    view = state.typed(Research, "t")
    await view.update(steps=1)
    watch = view.watch()
    with pytest.raises(errors.InvalidValue, match="nothing stored for topic"):
        await take(watch, 1)
    await state.put("t/topic", 5)
    with pytest.raises(errors.InvalidValue, match="topic"):
        await take(watch, 1)
    await state.put("t/topic", "owls")
    assert await take(watch, 1) == [Research("owls", steps=1)]
    await watch.aclose()


async def test_a_cancelled_wait_loses_nothing(state: State) -> None:
    view = state.typed(Report, "t", fallback="cas")
    watch = view.watch()
    for call in (asyncio.ensure_future(anext(watch)), asyncio.ensure_future(anext(watch))):
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert await take(watch, 1) == [None]
    (waiting,) = await attached(state, watch)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await view.update(left=1, right=1)
    assert await take(watch, 1) == [Report(left=1, right=1)]
    await watch.aclose()


async def test_no_state_mixes_half_a_transaction(
    state: State, connect: Connect, connect_as: OpenConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients and two SQL sessions move both fields together, in several statements and with others in between; a
    mixture would not be balanced, and so not be valid. Pages are small enough to split transactions."""
    monkeypatch.setattr(_hub, "_PAGE", 3)
    monkeypatch.setattr(_watch, "_PAGE", 3)
    views = [(await connect()).typed(Report, "t", fallback="cas") for _ in range(2)]
    sessions = [await connect_as() for _ in range(2)]
    early = state.typed(Report, "t", fallback="cas").watch()
    await take(early, 1)

    async def update(view: TypedState[Report]) -> None:
        for _ in range(20):
            await view.update(left=1, right=1)

    async def transact(session: asyncpg.Connection, first: str, second: str) -> None:
        for number in range(20):
            async with session.transaction():
                await session.execute("select pgstate.merge($1, '1', 'add')", f"t/{first}")
                await session.execute("select pgstate.put($1, '1')", f"other/{number}")
                await session.execute("select pgstate.merge($1, '1', 'add')", f"t/{second}")

    async def follow(watch: TypedWatch[Report]) -> list[int]:
        found: list[int] = []
        while not found or found[-1] < 80:
            report = await anext(watch)
            found.append(report.left if report else 0)
        return found

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        # both take the locks in the same order
        writers = [update(view) for view in views] + [transact(session, "left", "right") for session in sessions]
        for writer in writers:
            group.create_task(writer)
        followers = [group.create_task(follow(early))]
        followers += [group.create_task(follow(view.watch())) for view in views for _ in range(2)]
    for follower in followers:
        found = follower.result()
        assert found == sorted(found) and found[-1] == 80
    assert len(set(followers[0].result())) > 3


@pytest.mark.parametrize("page", first_of([2, 1000, 3, 5], 2))
async def test_a_transaction_that_goes_on_for_others_ends_for_this_watch(
    state: State, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """The page with its changes is not the last one of the transaction, and no change of its own comes after."""
    monkeypatch.setattr(_hub, "_PAGE", page)
    watch, other = state.typed(Report, "t", fallback="cas").watch(), state.watch("z/**")
    plain = state.watch("t/*")
    await take(watch, 1)
    waiting, elsewhere, first = await attached(state, watch, other, plain)  # type: ignore[arg-type]
    async with admin.transaction():
        for key in ("t/left", "t/right", *(f"z/{number}" for number in range(9))):
            await admin.execute("select pgstate.put($1, '1')", key)
    async with asyncio.timeout(GUARD):
        assert await waiting == Report(left=1, right=1)  # type: ignore[comparison-overlap]
        assert (await elsewhere).key == "z/0"
        assert [(await anext(other)).key for _ in range(8)] == [f"z/{number}" for number in range(1, 9)]
        # one that is in the page to its end has ended with what this watch is told
        assert ((await first).whole, (await anext(plain)).whole) == (False, page == 1000)
    for ended in (watch, other, plain):
        await ended.aclose()


async def test_what_differs_between_two_states_of_a_watch(state: State) -> None:
    view = state.typed(Research, "t")
    watch = view.watch()
    await take(watch, 1)
    cursors = [watch.cursor]
    for fields in (
        {"topic": "owls", "steps": 1},
        {"findings": "x", "steps": 1, "tags": {"a"}},
        {"steps": -1, "topic": "bats"},
    ):
        await view.update(fields)
        await take(watch, 1)
        cursors.append(watch.cursor)
    await view.delete()
    await take(watch, 1)
    start, first, second, third, end = (str(cursor) for cursor in [*cursors, watch.cursor])
    assert await view.diff(first, second) == {
        "findings": FieldChange(UNSET, ["x"]), "steps": FieldChange(1, 2), "tags": FieldChange(UNSET, {"a"}),
    }  # fmt: skip
    # changed, and changed back
    assert await view.diff(first, third) == {
        "topic": FieldChange("owls", "bats"), "findings": FieldChange(UNSET, ["x"]), "tags": FieldChange(UNSET, {"a"}),
    }  # fmt: skip
    assert await view.diff(third, end) == {
        "topic": FieldChange("bats", UNSET), "findings": FieldChange(["x"], UNSET), "steps": FieldChange(1, UNSET),
        "tags": FieldChange({"a"}, UNSET),
    }  # fmt: skip
    assert await view.diff(start, end) == {} == await view.diff(end, end)
    for bad in (("nonsense", end), (end, "nonsense"), (second, first)):
        with pytest.raises(errors.CursorInvalid):
            await view.diff(*bad)
    await watch.aclose()
    await state.put("t/topic", 5)
    with pytest.raises(errors.InvalidValue, match=r"Research\.topic"):
        await view.diff(end, await state.cursor())


@pytest.mark.parametrize(("page", "every"), first_of([(2, 4), (1, 3), (1000, 3)]))
async def test_what_differs_between_any_two_cursors(
    state: State, monkeypatch: pytest.MonkeyPatch, page: int, every: int
) -> None:
    """Of the feed, of a listing, and of changes within pages of any size: each names a state, and the difference is
    that of the two."""
    monkeypatch.setattr(_diff, "_PAGE", page)
    view = state.typed(Research, "t")
    start = await state.cursor()
    states: list[dict[str, Any]] = [{}]
    points: list[tuple[int, str]] = [(0, start)]
    fields: list[dict[str, Any]] = [
        {"topic": "a"}, {"steps": 1}, {"findings": "x"}, {"steps": 2}, {"topic": "b"}, {"steps": -2},
    ]  # fmt: skip
    for number, update in enumerate(fields, 1):
        await view.update(update)
        await state.put(f"other/{number}", number)
        states.append(await view.load(partial=True))
        points.append((number, await state.cursor() if number % 2 else (await state.list("t/*")).cursor))
    for limit in (3, 1000):
        cursor, count = start, 0
        while (found := await state.changes(cursor, limit=limit)).changes:
            for change in found:
                count += change.key.startswith("t/")
                points.append((count, change.cursor))
            cursor = found.cursor
            points.append((count, cursor))
    for (before, since), (after, until) in itertools.product(points[::every], repeat=2):
        if before > after:
            with pytest.raises(errors.CursorInvalid):
                await view.diff(since, until)
            continue
        old, new = states[before], states[after]
        assert await view.diff(since, until) == {
            name: FieldChange(old.get(name, UNSET), new.get(name, UNSET))
            for name in ("topic", "findings", "steps")
            if old.get(name, UNSET) != new.get(name, UNSET)
        }


async def test_a_difference_is_read_by_whoever_may_read_the_fields(
    state: State, gateway: Connect, make_agent: Any
) -> None:
    await make_agent("bob", "read t/topic")
    bob = (await gateway("bob")).as_agent("bob").typed(Research, "t")
    start = await state.cursor()
    await state.typed(Research, "t").update(topic="x")
    with pytest.raises(errors.AccessDenied):
        await bob.diff(start, await state.cursor())
    await state.apply(operations=[ops.put("t/topic", "y")])
