"""Durable runs through the client: what is recorded is not done again."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from datetime import timedelta
from enum import IntEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import pgstate
from client._locks import Locks
from client._proxy import Proxy
from client.conftest import Connect
from pgstate import Retry, State, errors
from pgstate._areas._step import Transaction
from pgstate._calls._run import ReadOnly


class Plan(BaseModel):
    topic: str
    questions: list[str]


class Calls:
    """Counts what was done."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    async def plan(self, topic: str) -> Plan:
        self.made.append("plan")
        return Plan(topic=topic, questions=["a", "b", "c"])

    async def find(self, question: str) -> dict[str, Any]:
        self.made.append(question)
        return {"about": question}

    def write(self, facts: list[Any]) -> str:
        self.made.append("write")
        return f"{len(facts)} facts"


async def pipeline(run: pgstate.Run, calls: Calls) -> str:
    plan = await run.step("plan", calls.plan, "owls")
    facts = await run.map("facts", calls.find, plan.questions, concurrency=2)
    return await run.step("write", calls.write, facts)


class Died(Exception):
    pass


@pytest.mark.core
async def test_a_run_goes_on_where_it_stopped(state: State) -> None:
    calls = Calls()
    with pytest.raises(Died):
        async with state.run("research/r") as run:
            await run.step("plan", calls.plan, "owls")
            raise Died
    assert calls.made == ["plan"]
    found = await state.runs.get("research/r")
    assert found is not None and (found.state, found.error, found.steps) == ("failed", "Died: ", 1)
    async with state.run("research/r") as run:
        assert not run.finished
        run.result = await pipeline(run, calls)
    assert sorted(calls.made) == ["a", "b", "c", "plan", "write"]
    # one that is done is replayed
    async with state.run("research/r") as run:
        assert run.finished and run.result == "3 facts"
        assert await pipeline(run, calls) == "3 facts"
    assert len(calls.made) == 5
    assert [(step.step, step.kind, step.state) for step in await state.runs.steps("research/r")] == [
        ("plan", "step", "done"),
        ("facts[0]", "map", "done"),
        ("facts[1]", "map", "done"),
        ("facts[2]", "map", "done"),
        ("write", "step", "done"),
    ]
    assert await state.runs.result("research/r") == "3 facts"
    with pytest.raises(errors.StepMismatch, match="has ended"):
        async with state.run("research/r") as run:
            await pipeline(run, calls)
            await run.step("more", calls.write, [])


async def test_watchers_see_steps_finish(state: State) -> None:
    async with state.watch("research/**") as changes:
        async with state.run("research/r") as run:
            await pipeline(run, Calls())
        seen = []
        async for change in changes:
            seen.append((change.value["status"], change.value.get("step")))
            if change.value["status"] == "done":
                break
    assert [step for _, step in seen] == [None, "plan", *(s for _, s in seen[2:5]), "write", "write"]
    assert {step for _, step in seen[2:5]} == {"facts[0]", "facts[1]", "facts[2]"}


async def test_one_worker_at_a_time(state: State, connect: Connect) -> None:
    other = await connect()
    async with state.run("r") as run:
        await run.step("a", Calls().plan, "x")
        with pytest.raises(errors.RunHeld):
            async with other.run("r"):
                pass
        waiting = asyncio.create_task(other.run("r", wait=30).__aenter__())
        await asyncio.sleep(0)
    # it ended, and whoever waited replays it
    assert (await waiting).finished


async def test_a_stale_worker_records_nothing(state: State, connect: Connect) -> None:
    calls = Calls()
    slow, late = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with state.run("r") as run:
            await run.step("a", calls.plan, "x")
            slow.set()
            await late.wait()
            await run.step("b", calls.plan, "x")

    working = asyncio.create_task(work())
    await slow.wait()
    other = await connect()
    assert await other.release("r", force=True)
    async with other.run("r") as theirs:
        await theirs.step("a", calls.plan, "x")
        late.set()
        with pytest.raises(errors.LeaseLost):
            await working
        await theirs.step("b", calls.plan, "y")
    assert [step.result["topic"] for step in await state.runs.steps("r")] == ["x", "y"]
    assert calls.made == ["plan"] * 3


async def test_a_changed_order_is_told(state: State) -> None:
    calls = Calls()
    with pytest.raises(Died):
        async with state.run("r") as run:
            await run.step("a", calls.find, "a")
            await run.step("b", calls.find, "b")
            raise Died
    with pytest.raises(errors.StepMismatch, match="step 1 of run r is b in the code, and recorded is a"):
        async with state.run("r") as run:
            await run.step("b", calls.find, "b")
    with pytest.raises(errors.StepMismatch, match="step 2 of run r is c"):
        async with state.run("r") as run:
            await run.step("a", calls.find, "a")
            await run.step("c", calls.find, "c")
    with pytest.raises(errors.StepMismatch, match="ended after 1 steps"):
        async with state.run("r") as run:
            await run.step("a", calls.find, "a")
    assert calls.made == ["a", "b"]
    # workers of the same code would only do the same, again and again
    found = await state.runs.get("r")
    assert found is not None and found.ready_at is not None
    assert found.ready_at - found.updated_at >= timedelta(seconds=30)
    # meant: names alone tell
    async with state.run("r", version="2") as run:
        await run.step("b", calls.find, "b")
        await run.step("c", calls.find, "c")
    assert calls.made == ["a", "b", "c"]


async def test_occurrences_and_branches(state: State) -> None:
    calls = Calls()

    async def code(run: pgstate.Run) -> list[Any]:
        out = [await run.step("loop", calls.find, number) for number in range(3)]
        out += await asyncio.gather(*(run.step(f"branch-{n}", calls.find, f"b{n}") for n in range(3)))
        assert await run.map("none", calls.find, []) == []
        return out

    with pytest.raises(Died):
        async with state.run("r") as run:
            first = await code(run)
            raise Died
    async with state.run("r") as run:
        assert await code(run) == first
    assert len(calls.made) == 6
    assert {step.step for step in await state.runs.steps("r")} == {
        "loop", "loop#2", "loop#3", "branch-0", "branch-1", "branch-2", "none",
    }  # fmt: skip
    with pytest.raises(errors.InvalidArgument):
        async with state.run("s") as run:
            await run.step("a#2", calls.find, 1)


async def test_retries_and_what_a_step_failed_with(state: State) -> None:
    tries: list[int] = []

    async def shaky(ctx: pgstate.Context) -> int:
        tries.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    async def broken() -> None:
        raise KeyError("no")

    retry = Retry(attempts=5, backoff=0, on=(ValueError,))
    async with state.run("r") as run:
        assert await run.step("shaky", shaky, retry=retry) == 3
        for _ in range(2):
            with pytest.raises(errors.StepFailed, match="KeyError") as caught:
                await run.step("broken", broken, retry=retry)
            assert isinstance(caught.value.__cause__, KeyError) and caught.value.error == "KeyError: 'no'"
        with pytest.raises(errors.StepFailed, match="TimeoutError"):
            await run.step("slow", asyncio.sleep, 60, timeout=0.01)
    assert tries == [1, 2, 3]
    # caught by the code, and so they are part of the run
    async with state.run("r") as run:
        assert await run.step("shaky", shaky) == 3
        for name in ("broken", "broken", "slow"):
            with pytest.raises(errors.StepFailed):
                await run.step(name, broken)
    steps = await state.runs.steps("r")
    assert [(step.state, step.attempts, step.error) for step in steps[:2]] == [
        ("done", 3, None),
        ("failed", 1, "KeyError: 'no'"),
    ]


async def test_a_function_in_a_thread_that_raises_what_no_future_takes(state: State) -> None:
    with pytest.raises(errors.StepFailed, match="RuntimeError: next raised StopIteration"):
        async with state.run("r") as run:
            await run.step("a", next, iter(()))


async def test_a_step_writes_with_its_record(state: State) -> None:
    async def save(value: int, ctx: pgstate.Context) -> int:
        await ctx.state.put("results/r", value)
        if value == 0 and ctx.attempt == 1:
            raise ValueError
        return value

    async with state.run("r") as run:
        await run.step("one", save, 1)
        with pytest.raises(errors.StepFailed):
            await run.step("none", save, 0)
    entry = await state.get("results/r")
    assert entry is not None and (entry.value, entry.version) == (1, 1)
    xids = await state.history("results/r"), await state.history("r")
    assert xids[0][0].at <= xids[1][-2].at


async def _save(value: int, ctx: pgstate.Context) -> int:
    await ctx.state.put("results/r", value)
    return value


async def test_a_commit_whose_reply_is_lost_is_found(state: State, connect: Connect, proxy: Proxy) -> None:
    far = await connect(dsn=proxy.dsn)
    async with far.run("r") as run:
        lost = proxy.lose_reply(b"COMMIT")
        assert await run.step("save", _save, 7) == 7
        assert lost.is_set()
    assert [version.value for version in await state.history("results/r")] == [7]


async def test_a_commit_that_never_arrives_has_written_nothing(state: State, connect: Connect, proxy: Proxy) -> None:
    far = await connect(dsn=proxy.dsn)
    with pytest.raises(errors.Unreachable):
        async with far.run("r") as run:
            lost = proxy.lose_request(b"COMMIT")
            await run.step("save", _save, 7)
    assert lost.is_set() and await state.get("results/r") is None
    found = await state.runs.get("r")
    assert found is not None and (found.state, found.steps) == ("waiting", 0)
    async with far.run("r") as run:
        assert await run.step("save", _save, 8) == 8
    assert [version.value for version in await state.history("results/r")] == [8]


async def test_an_interrupted_step_leaves_no_transaction_open(state: State, connect: Connect, locks: Locks) -> None:
    """What comes after it on the same connection would be answered, and never be committed."""
    narrow = await connect(connections=1)
    await state.put("results/r", 0)

    async def work() -> None:
        async with narrow.run("r") as run:
            await run.step("save", _save, 7)

    async with locks.on("results/r"):
        working = asyncio.create_task(work())
        # in the middle of a statement
        await locks.waited_for(1)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        await narrow.put("after", 1)
        entry = await state.get("after")
        assert entry is not None and entry.value == 1
    assert [version.value for version in await state.history("results/r")] == [0]


class _Doubtful:
    """A connection whose transaction is interrupted at a point, and what gives it out."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.source = self
        self.did: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def act(*_: Any) -> Any:
            self.did.append(name)
            if name == self.point:
                raise asyncio.CancelledError
            return self

        return act

    def transaction(self) -> Any:
        return self

    def terminate(self) -> None:
        self.did.append("terminate")


async def test_what_a_step_leaves_behind_writes_nothing(state: State, connect: Connect) -> None:
    own = await connect(connections=1)
    left: list[pgstate.BoundState] = []

    async def keep(ctx: pgstate.Context) -> None:
        await ctx.state.put("a", 1)
        left.append(ctx.state)

    async with own.run("r") as run:
        await run.step("keep", keep)
        with pytest.raises(errors.InTransaction):
            await left[0].put("b", 1)
        # whose connection would be gone
        assert await own.get("b") is None


async def test_a_transaction_that_ended_before_it_had_a_connection_gives_it_back() -> None:
    connection = _Doubtful("none")
    transaction = Transaction(connection, 1.0)  # type: ignore[arg-type]
    beginning = asyncio.ensure_future(transaction.connection())
    await transaction.end(commit=False)
    with pytest.raises(errors.InTransaction):
        await beginning
    assert connection.did in ([], ["take", "start", "terminate", "give"])


class Colour(IntEnum):
    RED = 1


async def test_the_first_time_gives_what_a_replay_gives(state: State) -> None:
    found = []
    for _ in range(2):
        async with state.run("r") as run:
            found.append(await run.step("colour", lambda: Colour.RED))
    assert [type(value) for value in found] == [int, int]


async def test_a_standby_is_not_the_runs_failure(state: State) -> None:
    with pytest.raises(ReadOnly):
        async with state.run("r") as run:
            raise ReadOnly("cannot execute INSERT in a read-only transaction", "25006")
    found = await state.runs.get("r")
    assert found is not None and (found.state, found.error) == ("waiting", None)
    assert not run.lost


@pytest.mark.parametrize("point", ["start", "commit", "rollback", "none"])
async def test_a_transaction_that_was_interrupted_takes_its_connection_with_it(point: str) -> None:
    connection = _Doubtful(point)
    transaction = Transaction(connection, 1.0)  # type: ignore[arg-type]
    try:
        await transaction.connection()
        await transaction.end(commit=point != "rollback")
    except asyncio.CancelledError:
        assert connection.did[-3:] == [point, "terminate", "give"]
    else:
        assert connection.did == ["take", "start", "commit", "give"]
    # given back once
    await transaction.end(commit=False)
    assert connection.did.count("give") == 1


async def test_failed_elements_only_are_done_again(state: State) -> None:
    done: list[int] = []
    broken = {3}

    async def work(number: int) -> int:
        if number in broken:
            raise ValueError(number)
        done.append(number)
        return number * 2

    with pytest.raises(errors.StepFailed, match=r"all\[3\]"):
        async with state.run("r") as run:
            await run.map("all", work, range(6), concurrency=1)
    assert done == [0, 1, 2]
    broken.clear()
    async with state.run("r") as run:
        assert await run.map("all", work, range(6), concurrency=4) == [0, 2, 4, 6, 8, 10]
    assert sorted(done) == [0, 1, 2, 3, 4, 5]


async def test_signals(state: State, connect: Connect) -> None:
    await state.runs.start("r", "w")
    await state.runs.signal("r", "approve", {"by": "ana"})
    async with state.run("r") as run:
        assert await run.wait_signal("approve") == {"by": "ana"}
        waiting = asyncio.create_task(run.wait_signal("approve", timeout=timedelta(days=2)))
        async with state.watch("r", initial=True) as changes:
            async for change in changes:
                if change.value.get("waits") == "approve":
                    break
        await (await connect()).runs.signal("r", "approve", 2)
        assert await waiting == 2
        with pytest.raises(errors.SignalTimeout):
            await run.wait_signal("never", timeout=0.01)
    async with state.run("r") as run:
        assert await run.wait_signal("approve") == {"by": "ana"}
        assert await asyncio.create_task(run.wait_signal("approve")) == 2
        with pytest.raises(errors.SignalTimeout):
            await run.wait_signal("never")
    with pytest.raises(errors.RunEnded):
        await state.runs.signal("r", "approve")
    with pytest.raises(errors.RunMissing):
        await state.runs.signal("none", "approve")


async def test_chance_and_time_are_the_same_in_a_replay(state: State) -> None:
    async def code(run: pgstate.Run) -> list[Any]:
        return [run.random(), run.random(), run.uuid(), run.uuid(), await run.now()]

    async with state.run("r") as run:
        first = await code(run)
        await run.sleep(0.01)
    assert len({*first}) == 5
    async with state.run("r") as run:
        assert await code(run) == first
        await run.sleep(3600)
    async with state.run("s") as run:
        assert not {*await code(run)} & {*first}


async def test_a_step_under_way_notices_that_its_run_is_cancelled(state: State, connect: Connect) -> None:
    undone: list[Any] = []
    going = asyncio.Event()

    async def book(what: str) -> str:
        return what

    async def forever() -> None:
        going.set()
        await asyncio.Event().wait()

    async def work() -> None:
        async with state.run("r") as run:
            await run.step("hotel", book, "hotel", undo=undone.append)
            await run.step("flight", book, "flight", undo=undone.append)
            run.on_failure("tell", undone.append, "told")
            await run.step("forever", forever)

    working = asyncio.create_task(work())
    await going.wait()
    assert not await (await connect()).runs.cancel("r")
    with pytest.raises(errors.RunCancelled):
        await working
    assert undone == ["told", "flight", "hotel"]
    found = await state.runs.get("r")
    assert found is not None and found.state == "cancelled"
    with pytest.raises(errors.RunCancelled):
        async with state.run("r"):
            pass
    # what was undone is done anew
    assert await state.runs.retry("r")
    async with state.run("r") as run:
        assert await run.step("hotel", book, "other") == "other"


async def test_a_run_takes_too_long(state: State) -> None:
    with pytest.raises(errors.RunTimeout):
        async with state.run("r", timeout=0.05) as run:
            await run.step("forever", asyncio.Event().wait)
    found = await state.runs.get("r")
    assert found is not None and found.state == "failed" and "RunTimeout" in str(found.error)


async def test_who_cancels_the_task_leaves_the_run_open(state: State) -> None:
    going = asyncio.Event()

    async def work() -> None:
        async with state.run("r") as run:
            await run.step("a", Calls().find, 1)
            going.set()
            await run.sleep(3600)

    working = asyncio.create_task(work())
    await going.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    found = await state.runs.get("r")
    assert found is not None and (found.state, found.steps) == ("waiting", found.steps) and found.holder is None


async def test_fork(state: State) -> None:
    calls = Calls()
    async with state.run("r") as run:
        await pipeline(run, calls)
    await state.runs.fork("r", "f", "write")
    calls.made.clear()
    async with state.run("f") as run:
        assert await pipeline(run, calls) == "3 facts"
    assert calls.made == ["write"]
    with pytest.raises(errors.RunHeld):
        await state.runs.fork("r", "f")
    with pytest.raises(errors.RunMissing):
        await state.runs.fork("r", "g", "no such step")
    assert await state.runs.delete("f") and not await state.runs.delete("f")


async def test_not_in_a_transaction_but_started_there(state: State, connect_as: Any) -> None:
    connection = await connect_as()
    transaction = connection.transaction()
    await transaction.start()
    bound = state.bind(connection)
    assert await bound.runs.start("r", "w", {"order": 7})
    with pytest.raises(errors.InTransaction):
        async with bound.run("s"):
            pass
    await transaction.rollback()
    assert await state.runs.get("r") is None


async def awaits_what_was_cancelled(item: int = 0) -> int:
    if item == 1:
        return item
    other: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    other.cancel()
    return await other


async def test_a_step_that_awaits_what_was_cancelled_has_failed(state: State) -> None:
    with pytest.raises(errors.StepFailed, match="was not cancelled itself"):
        async with state.run("r/1") as run:
            await run.step("wait", awaits_what_was_cancelled, retry=Retry(attempts=2, backoff=0))
    (step,) = await state.runs.steps("r/1")
    assert (step.state, step.attempts) == ("failed", 2)
    # not an item without a result, and those behind it passed over
    with pytest.raises(errors.StepFailed, match=r"items\[1\]"):
        async with state.run("r/2") as run:
            await run.map("items", awaits_what_was_cancelled, [1, 2, 1], concurrency=1)


class Counted(dict[str, int]):
    """No type that Pydantic takes."""


class Unfinished(BaseModel):
    next: "Nowhere | None" = None  # type: ignore[name-defined]  # noqa: F821, UP037


async def test_a_result_is_given_back_whatever_its_annotation_is(state: State) -> None:
    async def later() -> Plan:
        return Plan(topic="owls", questions=[])

    def awaited() -> Awaitable[Plan]:
        return later()

    async def counted() -> Counted:
        return Counted(a=1)

    def bare() -> Awaitable:  # type: ignore[type-arg]
        return counted()

    def numbers() -> Iterator:  # type: ignore[type-arg]
        yield 1

    async def unfinished() -> Unfinished:
        return {"next": None}  # type: ignore[return-value]

    async def noted() -> Annotated[list[Plan], {"unit": "plans"}]:
        return [await later()]

    def listed() -> Iterable[Plan]:
        yield Plan(topic="owls", questions=[])

    def perhaps() -> Iterable[Plan] | None:
        return listed()

    plan = Plan(topic="owls", questions=[])
    for _ in range(2):
        async with state.run("r/1") as run:
            assert await run.step("perhaps", perhaps) == [plan]
            assert await run.step("as_", listed, as_=Iterable[Plan]) == [plan]
            # not to be gone through once only
            assert await run.step("listed", listed) == [plan]
            assert await run.step("awaited", awaited) == plan
            assert await run.step("counted", counted) == {"a": 1}
            assert await run.step("bare", bare) == {"a": 1}
            assert await run.step("numbers", numbers) == [1]
            assert await run.step("noted", noted) == [plan]
            assert await run.step("unfinished", unfinished) == {"next": None}


async def test_a_type_that_nothing_is_validated_by_is_refused_before_the_step(state: State) -> None:
    calls = Calls()
    async with state.run("r/1") as run:
        with pytest.raises(errors.InvalidArgument, match="Pydantic does not take this type"):
            await run.step("find", calls.find, "a", as_=Counted)
        # of names that mean nothing here either
        for unknown in ("Nowhere", list["Nowhere"], Unfinished):  # type: ignore[name-defined]  # noqa: F821
            with pytest.raises(errors.InvalidArgument, match="Pydantic does not take this type"):
                await run.step("find", calls.find, "a", as_=unknown)
        with pytest.raises(errors.InvalidArgument):
            await run.map("find", calls.find, ["a"], as_=Counted)
        with pytest.raises(errors.InvalidArgument):
            await run.wait_signal("go", as_=Counted)
        with pytest.raises(errors.InvalidArgument):
            await run.child("w", as_=Counted)
        assert not calls.made
        assert await run.step("find", calls.find, "a") == {"about": "a"}


async def test_a_step_that_has_written_ends_with_its_lease_where_the_server_is_silent(proxy: Proxy) -> None:
    async def go(ctx: pgstate.Context) -> None:
        await ctx.state.put("k", 1)
        proxy.fall_silent()
        await asyncio.Event().wait()

    async with pgstate.connect(proxy.dsn) as state:
        # not with the rollback, which nobody answers
        with pytest.raises(errors.LeaseLost):
            async with asyncio.timeout(30), state.run("r/1", lease=1) as run:
                await run.step("go", go)
        proxy.speak()
        assert await state.get("k") is None


async def test_undoing_for_a_result_that_cannot_be_kept_ends_with_the_lease(proxy: Proxy) -> None:
    async def undo(_: int) -> None:
        proxy.fall_silent()
        await asyncio.Event().wait()

    async with pgstate.connect(proxy.dsn) as state:
        with pytest.raises(errors.LeaseLost):
            async with asyncio.timeout(30), state.run("r/1", lease=1) as run:
                await run.step("book", asyncio.sleep, 0, 1, undo=undo)
                run.result = "x" * 2_000_000
        proxy.speak()


async def test_a_step_that_is_cancelled_as_it_waits_for_a_lock_keeps_none(state: State, locks: Locks) -> None:
    async def go(ctx: pgstate.Context) -> None:
        await ctx.state.put("free", 1)
        await ctx.state.put("k", 1)

    async def work() -> None:
        async with state.run("r/1") as run:
            await run.step("go", go)

    await state.put("k", 0)
    async with locks.on("k"):
        working = asyncio.create_task(work())
        await locks.waited_for(1)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await state.put("free", 2) == 1


async def test_a_block_may_be_left_in_another_context(state: State) -> None:
    async def lent() -> AsyncIterator[pgstate.Run]:
        async with state.run("r/1", lease=3600) as run:
            run.result = await run.step("now", asyncio.sleep, 0, "done")
            yield run

    # each task has a context of its own, as a fixture's beginning and end may have
    runs = lent()

    async def go_on() -> pgstate.Run | None:
        return await anext(runs, None)

    assert await asyncio.create_task(go_on()) is not None
    assert await asyncio.create_task(go_on()) is None
    assert await state.runs.result("r/1") == "done"


async def test_a_task_that_outlives_its_block_does_no_steps_and_interrupts_nobody(state: State) -> None:
    over, begun, calls = asyncio.Event(), asyncio.Event(), Calls()

    async def late(run: pgstate.Run) -> Any:
        await over.wait()
        return await run.step("late", calls.plan, "owls")

    async def slow() -> str:
        begun.set()
        await over.wait()
        return "done"

    async with state.run("r/1", lease=3600) as run:
        tasks = [asyncio.create_task(late(run)), asyncio.create_task(run.step("slow", slow))]
        await begun.wait()
    over.set()
    await asyncio.wait(tasks)
    unstarted, unrecorded = tasks
    assert isinstance(unstarted.exception(), errors.RunEnded) and not calls.made
    assert isinstance(unrecorded.exception(), errors.LeaseLost)
    found = await state.runs.get("r/1")
    assert found is not None and found.state == "done"


@pytest.mark.parametrize("name", ["", "a#b", "a[b", "a\0b", "a\ud800", "\u00e9" * 129], ids=ascii)
async def test_a_name_that_cannot_be_recorded_is_refused_before_the_step(state: State, name: str) -> None:
    calls = Calls()
    async with state.run("r/1") as run:
        with pytest.raises(errors.InvalidArgument, match="the name of a step"):
            await run.step(name, calls.plan, "owls")
    assert not calls.made


async def test_what_a_function_holds_is_not_kept_behind_its_step(state: State) -> None:
    class Large:
        def read(self) -> str:
            return "read"

    large = Large()
    gone = weakref.ref(large)
    async with state.run("r/1") as run:
        assert await run.step("closure", (lambda what: lambda: what.read())(large)) == "read"
        assert await run.step("method", large.read) == "read"
        assert await run.step("partial", functools.partial(Large.read, large)) == "read"
    del large
    # one that has told a result lets go of its function a moment later
    await asyncio.get_running_loop().shutdown_default_executor()
    gc.collect()
    assert gone() is None


async def test_what_is_no_time_is_refused(state: State) -> None:
    async with state.run("r/1") as run:
        with pytest.raises(errors.InvalidArgument, match="so far away"):
            await run.sleep(1e12)
    for cron, zone in (
        ("0 9 * *", "UTC"),
        ("0 0 30 2 *", "UTC"),
        (5, "UTC"),
        ("0 9 * * *", "Nowhere"),
        ("0 9 * * *", 5),
    ):
        with pytest.raises(errors.InvalidArgument, match="not a cron expression or time zone"):
            await state.runs.schedule("plans/daily", "report", cron, timezone=zone)  # type: ignore[arg-type]
    assert await state.get("plans/daily") is None
