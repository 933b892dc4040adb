"""Updates of typed states merge as a fold in plain Python does, and none of them is lost, whoever else writes."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client._typed import FOLDS, Folded, Report, Research
from client.conftest import Connect
from pgstate import State, TypedState

OpenConnection = Callable[..., Awaitable[asyncpg.Connection]]

_small = st.integers(-3, 3)
_leaves = st.none() | _small | st.text("ab", max_size=2)
_deep = st.recursive(
    st.dictionaries(st.sampled_from("pq"), _leaves, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("pq"), inner | _leaves, max_size=2),
    max_leaves=4,
)
_message = st.fixed_dictionaries({"id": st.sampled_from("123"), "t": _small})
_fields: dict[str, st.SearchStrategy[Any]] = {
    "plain": st.text("ab", max_size=2),
    "first": _small,
    "listed": st.lists(_small, max_size=3),
    "total": _small,
    "most": _small,
    "least": st.text("aBé", max_size=2),
    "tags": st.sets(_small, max_size=3),
    "facts": st.dictionaries(st.sampled_from("pq"), _small, max_size=2),
    "deep": _deep,
    # one id twice in an operand is settled by the database alone
    "log": st.lists(_message, max_size=2, unique_by=lambda message: message["id"]),
    "computed": _small,
}
_updates = st.fixed_dictionaries({}, optional=_fields)


def fold(updates: list[dict[str, Any]]) -> dict[str, Any] | None:
    state: dict[str, Any] = {}
    for update in updates:
        for name, value in update.items():
            state[name] = FOLDS[name](state[name], value) if name in state else value
    return state or None


async def test_updates_equal_a_fold_in_python(connect: Connect, at_length: bool) -> None:
    """Split over two clients, some of them set out at once, which keeps their order within a client."""
    loop = asyncio.get_running_loop()
    clients = [await connect() for _ in range(2)]
    numbers = itertools.count()

    async def run(batches: list[tuple[int, list[dict[str, Any]]]]) -> None:
        path = f"folded/{next(numbers)}"
        views = [client.typed(Folded, path, fallback="cas") for client in clients]
        done: list[dict[str, Any]] = []
        for which, updates in batches:
            if any("computed" in update for update in updates):
                for update in updates:
                    await views[which].update(update)
            else:
                await asyncio.gather(*(views[which].update(update) for update in updates))
            done += updates
            assert await views[1 - which].load() == fold(done)

    @settings(
        max_examples=settings().max_examples if settings().max_examples > 100 else 60 if at_length else 25,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.integers(0, 1), st.lists(_updates, min_size=1, max_size=4)), max_size=6))
    def check(batches: list[tuple[int, list[dict[str, Any]]]]) -> None:
        asyncio.run_coroutine_threadsafe(run(batches), loop).result(60)

    await asyncio.to_thread(check)


async def test_concurrent_updates_from_two_clients_all_take_effect(connect: Connect, admin: asyncpg.Connection) -> None:
    views = [(await connect()).typed(Research, "busy") for _ in range(2)]

    async def work(view: TypedState[Research], worker: str) -> None:
        for number in range(25):
            await view.update(
                topic=worker, findings=[f"{worker}-{number}"], steps=1, best=float(number), tags={worker, str(number)}
            )

    async def somebody_with_sql() -> None:
        for number in range(25):
            await admin.execute(
                "select pgstate.merge('busy/findings', to_jsonb($1::text), 'append'), pgstate.merge('busy/steps', '1', 'add')",
                f"sql-{number}",
            )

    async with asyncio.timeout(60):
        workers = [work(view, f"w{which}{task}") for which, view in enumerate(views) for task in range(6)]
        await asyncio.gather(*workers, somebody_with_sql())
    state = await views[0].load()
    assert state is not None
    names = [f"w{which}{task}" for which in range(2) for task in range(6)]
    assert Counter(state.findings) == Counter(f"{name}-{number}" for name in [*names, "sql"] for number in range(25))
    assert (state.steps, state.best) == (13 * 25, 24.0)
    assert state.tags == {*names, *(str(number) for number in range(25))}
    for name in [*names, "sql"]:
        # one after the other, as they were awaited
        assert [f for f in state.findings if f.startswith(f"{name}-")] == [f"{name}-{number}" for number in range(25)]


async def test_functions_and_modifications_of_several_clients_lose_nothing(connect: Connect) -> None:
    views = [(await connect()).typed(Report, "report", fallback="cas") for _ in range(2)]
    counted = [client_view for client_view in views for _ in range(5)]

    def both(report: Report | None) -> Report:
        report = report or Report()
        return report.model_copy(update={"left": report.left + 1, "right": report.right + 1})

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(view.modify(both, attempts=100) for view in counted), *(view.update(left=1, right=1) for view in counted)
        )
    report = await views[0].load()
    assert report is not None and (report.left, report.right) == (20, 20)


async def test_every_update_is_there_as_a_whole_or_not_at_all(
    state: State, connect: Connect, connect_as: OpenConnection
) -> None:
    """Among them many that the database refuses, in the same statements."""
    writer = await connect()
    over = asyncio.Event()
    reader = state.typed(Report, "report", fallback="cas")
    good, bad = (writer.typed(Report, path, fallback="cas") for path in ("report", "bad"))
    await state.put("bad/right", "text")

    async def write() -> None:
        for number in range(30):
            await asyncio.gather(
                *(made for _ in range(4) for made in (good.update(left=1, right=1), bad.update(left=1, right=1))),
                return_exceptions=True,
            )
            if number % 10 == 0:
                await good.set(Report(left=number, right=number))
            # the reader has begun to look since, and seen it
            looked = looks + 2
            while number < 5 and looks < looked:
                await asyncio.sleep(0)
        over.set()

    looks = 0
    seen = set()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(write())
        while not over.is_set():
            # a mixture would not be balanced, and so not be valid
            report = await reader.load()
            seen.add(report.left if report else None)
            looks += 1
    assert len(seen) > 3
    last = await reader.load()
    assert last is not None and last.left == 20 + 4 * 9
    assert [entry.key for entry in await state.list("bad/*")] == ["bad/right"]


@pytest.mark.parametrize("tasks", [1, 40])
async def test_many_updates_share_statements(connect: Connect, tasks: int) -> None:
    client = await connect()
    views = [client.typed(Research, f"t{number}") for number in range(tasks)]
    await asyncio.gather(*(view.update(topic="x", steps=1, findings="a") for view in views))
    before = client.stats.statements
    for _ in range(5):
        await asyncio.gather(*(view.update(topic="x", steps=1, findings="a") for view in views))
    assert client.stats.statements - before <= 5 * (1 + tasks // 10)
    assert [(await view.load()).steps for view in views] == [6] * tasks  # type: ignore[union-attr]
