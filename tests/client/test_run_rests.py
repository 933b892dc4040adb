"""Runs that wait have no worker, and what a run had done is undone whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pgstate
from client.conftest import Connect
from client.test_run_workers import Worker, workflow
from conftest import Clock
from pgstate import Run, State, errors
from pgstate._areas._run_worker import RunWorker


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs their workers had, each time that one was taken or let go."""
    seen: list[int] = []
    begin, end = RunWorker._begin, RunWorker._end

    def began(self: RunWorker, *args: Any) -> None:
        begin(self, *args)
        seen.append(len(self._tasks))

    def ended(self: RunWorker, *args: Any) -> None:
        end(self, *args)
        seen.append(len(self._tasks))

    monkeypatch.setattr(RunWorker, "_begin", began)
    monkeypatch.setattr(RunWorker, "_end", ended)
    return seen


async def until(state: State, pattern: str, wanted: Callable[[list[pgstate.Entry]], bool]) -> None:
    async with asyncio.timeout(60), state.watch(pattern, initial=True) as changes:
        async for _ in changes:
            if wanted([*await state.list(pattern, limit=None)]):
                return


def statuses(*wanted: str) -> Callable[[list[pgstate.Entry]], bool]:
    return lambda entries: bool(entries) and {entry.value["status"] for entry in entries} <= {*wanted}


@pytest.mark.thorough
async def test_sleeping_runs_take_no_place(state: State, clock: Clock, slots: list[int]) -> None:
    async def sleeper(run: pgstate.Run, input: Any) -> int:
        await run.step("double", workflow_double, input)
        await run.sleep(3600)
        return await run.step("again", workflow_double, input)

    for number in range(40):
        await state.runs.start(f"s/{number:02}", "s", number)
    worker = Worker(state, {"s": sleeper, "w": workflow}, concurrency=2)
    await until(state, "s/*", statuses("asleep"))
    # all of them sleep, and the worker has all its places for others
    await state.runs.start("w/1", "w", {"number": 4})
    assert await state.runs.result("w/1", wait=30) == 8
    async with asyncio.timeout(30):
        # a result is there to be seen before its worker has heard that it is
        while slots[-1]:
            await asyncio.sleep(0)
    assert max(slots) <= 2
    assert {info.state for info in await state.runs.list("s/*")} == {"waiting"}
    assert {info.attempts for info in await state.runs.list("s/*")} == {0}
    await clock.advance(3601)
    await until(state, "s/*", statuses("done"))
    assert await state.runs.result("s/07") == 14
    # each was taken twice, and none of its steps done twice
    assert [step.attempts for step in await state.runs.steps("s/07")] == [1, 1, 1]
    await worker.end()


async def workflow_double(number: int) -> int:
    return number * 2


async def test_whoever_waits_for_a_signal_is_taken_up_by_any_worker(state: State, connect: Connect, slots: list[int]) -> None:  # fmt: skip
    begun: list[str] = []

    def waiter(worker: str) -> Any:
        async def wait(run: pgstate.Run, input: Any) -> Any:
            begun.append(worker)
            return await run.wait_signal("go", timeout=86_400)

        return wait

    await state.runs.start("r", "w")
    first = Worker(state, {"w": waiter("first")}, concurrency=1)
    await until(state, "r", statuses("asleep"))
    await first.end()
    assert begun == ["first"] and slots[-1] == 0
    second = Worker(await connect(), {"w": waiter("second")}, concurrency=1)
    await state.runs.signal("r", "go", {"by": "ana"})
    assert await state.runs.result("r", wait=30) == {"by": "ana"}
    assert begun == ["first", "second"]
    await second.end()


async def test_a_parent_of_many_needs_no_place_of_theirs(state: State, slots: list[int]) -> None:
    """One place for a parent and its children: while it waits for them they have it."""

    async def parent(run: pgstate.Run, input: Any) -> Any:
        one = await run.child("w", {"number": 1})
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(run.child("w", {"number": n}, name=f"c{n}")) for n in (2, 3)]
        return [one, *(task.result() for task in others)]

    await state.runs.start("p", "parent")
    worker = Worker(state, {"parent": parent, "w": workflow}, concurrency=1, grace=30)
    assert await state.runs.result("p", wait=60) == [2, 4, 6]
    assert max(slots) == 1
    await worker.end()


async def test_a_run_that_does_something_besides_is_not_set_down(state: State) -> None:
    begun: list[int] = []
    going, go_on = asyncio.Event(), asyncio.Event()

    async def busy() -> int:
        going.set()
        await go_on.wait()
        return 7

    async def both(run: pgstate.Run, input: Any) -> Any:
        begun.append(1)
        return await asyncio.gather(run.wait_signal("go"), run.step("busy", busy))

    await state.runs.start("r", "w")
    worker = Worker(state, {"w": both}, grace=30)
    await going.wait()
    # when it has nothing to do but to wait it is, and never before
    async with state.watch("r") as changes:
        go_on.set()
        async for change in changes:
            if change.value["status"] == "asleep":
                break
    assert begun == [1]
    await state.runs.signal("r", "go", 1)
    assert await state.runs.result("r", wait=30) == [1, 7]
    assert len(begun) == 2
    await worker.end()


async def test_a_run_is_not_set_down_in_the_middle_of_a_step(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    considered, consider = asyncio.Event(), Run._consider

    def looked(self: Run) -> None:
        consider(self)
        considered.set()

    monkeypatch.setattr(Run, "_consider", looked)
    performed: list[int] = []

    async def busy() -> int:
        performed.append(1)
        # by then it has been looked whether all of the run waits, of which one branch does
        await considered.wait()
        return 7

    async def both(run: pgstate.Run, input: Any) -> Any:
        waiting = asyncio.create_task(run.wait_signal("go"))
        return [await run.step("busy", busy), await waiting]

    await state.runs.start("r", "w")
    worker = Worker(state, {"w": both}, grace=30)
    async with asyncio.timeout(30):
        await considered.wait()
    await state.runs.signal("r", "go", 1)
    assert await state.runs.result("r", wait=30) == [7, 1]
    assert performed == [1]
    await worker.end()


async def test_what_catches_everything_is_set_down_all_the_same(state: State, clock: Clock) -> None:
    async def stubborn(run: pgstate.Run, input: Any) -> str:
        try:
            await run.sleep(3600)
        except BaseException:
            if not input["raises"]:
                return "gave up"
            raise ValueError("cleaning up went wrong") from None
        return "slept"

    for raises in (True, False):
        await state.runs.start(f"r/{raises}", "w", {"raises": raises})
    worker = Worker(state, {"w": stubborn})
    await until(state, "r/*", statuses("asleep"))
    await clock.advance(3601)
    assert [await state.runs.result(f"r/{raises}", wait=30) for raises in (True, False)] == ["slept"] * 2
    await worker.end()


async def test_a_run_that_sleeps_takes_too_long(state: State, clock: Clock) -> None:
    async def sleeper(run: pgstate.Run, input: Any) -> None:
        await run.wait_signal("never")

    await state.runs.start("r", "w", timeout=600)
    worker = Worker(state, {"w": sleeper})
    await until(state, "r", statuses("asleep"))
    await clock.advance(601)
    with pytest.raises(errors.StepFailed, match="RunTimeout"):
        await state.runs.result("r", wait=30)
    await worker.end()


class Trip:
    """Books three things, two of them at once, and waits; what is booked can be cancelled."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.at: Callable[[str], Awaitable[None]] | None = None

    async def book(self, what: str) -> str:
        self.done.append(f"+{what}")
        return what

    async def cancel(self, what: str) -> None:
        if self.at is not None:
            await self.at(what)
        self.done.append(f"-{what}")

    async def __call__(self, run: pgstate.Run, input: Any) -> None:
        await run.step("hotel", self.book, "hotel", undo=self.cancel)
        run.on_failure("tell", self.cancel, "tell")
        await run.step("flight", self.book, "flight", undo=self.cancel)
        if input == "fails":
            raise ValueError("no owls")
        await run.wait_signal("go")
        await run.step("car", self.book, "car", undo=self.cancel)


async def test_a_run_that_is_cancelled_while_nobody_has_it_is_undone(state: State, connect: Connect) -> None:
    trip = Trip()
    await state.runs.start("r", "trip")
    worker = Worker(state, {"trip": trip})
    await until(state, "r", statuses("asleep"))
    await worker.end()
    # what it was asking for when it was told to stop may yet be answered, and is given back
    while state._core._tasks:
        await asyncio.sleep(0.005)
    assert not await state.runs.cancel("r")
    found = await state.runs.get("r")
    assert found is not None and found.state == "waiting"
    worker = Worker(await connect(), {"trip": trip})
    with pytest.raises(errors.RunCancelled):
        await state.runs.result("r", wait=30)
    await worker.end()
    assert trip.done == ["+hotel", "+flight", "-flight", "-tell", "-hotel"]
    assert [step.step for step in await state.runs.steps("r") if step.kind == "undo"][1:] == [
        "undo:flight", "undo:tell", "undo:hotel",
    ]  # fmt: skip


async def _silence(self: Run, ready_in: Any) -> None:
    pass


@pytest.mark.parametrize("why", ["fails", "cancelled"])
async def test_who_dies_while_it_undoes_leaves_the_rest_to_the_next(state: State, connect: Connect, clock: Clock, why: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    trip = Trip()
    reached = asyncio.Event()

    async def die(what: str) -> None:
        if what == "tell":
            reached.set()
            await asyncio.Event().wait()

    trip.at = die
    await state.runs.start("r", "trip", why)
    dying = await connect()
    first = Worker(dying, {"trip": trip}, lease=30)
    if why == "cancelled":
        await until(state, "r", statuses("asleep"))
        await state.runs.cancel("r")
    await reached.wait()
    with monkeypatch.context() as patched:
        # no word of it is heard again
        patched.setattr(Run, "_give_back", _silence)
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
    assert [claim.key for claim in await state.claims("r")] == ["r"]
    trip.at = None
    await clock.advance(31)
    second = Worker(await connect(), {"trip": trip})
    with pytest.raises(errors.RunCancelled if why == "cancelled" else errors.StepFailed):
        await state.runs.result("r", wait=30)
    await second.end()
    assert trip.done == ["+hotel", "+flight", "-flight", "-tell", "-hotel"]
    if why == "fails":
        found = await state.runs.get("r")
        assert found is not None and found.error == "ValueError: no owls"


async def test_what_was_done_last_is_undone_first_in_whatever_order_it_is_replayed(state: State) -> None:
    second_is_done = asyncio.Event()
    undone: list[str] = []

    async def first() -> str:
        await second_is_done.wait()
        return "first"

    async def code(run: pgstate.Run) -> None:
        async def second() -> None:
            await run.step("second", lambda: "second", undo=undone.append)
            second_is_done.set()

        await asyncio.gather(run.step("first", first, undo=undone.append), second())

    with pytest.raises(asyncio.CancelledError):
        async with state.run("r") as run:
            await code(run)
            # it ends as a process does, and others go on
            raise asyncio.CancelledError
    with pytest.raises(LookupError):
        async with state.run("r") as run:
            await code(run)
            raise LookupError("broken")
    assert undone == ["first", "second"]


async def test_code_that_would_go_on_is_undone_when_that_had_begun(state: State, clock: Clock) -> None:
    """What it failed with does not come again: half of what it had done is undone, so the rest is."""
    done: list[str] = []
    fails = [True]
    stuck, undoing = asyncio.Event(), asyncio.Event()

    async def book() -> str:
        done.append("+")
        return "it"

    async def undo(what: str) -> None:
        if fails[0]:
            undoing.set()
            await stuck.wait()
        done.append("-")

    async def code(run: pgstate.Run, input: Any) -> str:
        await run.step("book", book, undo=undo)
        if fails[0]:
            raise ValueError("only once")
        return await run.step("go on", book)

    await state.runs.start("r", "w")
    first = Worker(state, {"w": code})
    await undoing.wait()
    first.task.cancel()
    await asyncio.gather(first.task, return_exceptions=True)
    fails[0] = False
    second = Worker(state, {"w": code})
    with pytest.raises(errors.StepFailed, match="only once"):
        await state.runs.result("r", wait=30)
    assert done == ["+", "-"]
    await second.end()


async def test_undoing_goes_on_when_one_of_it_fails(state: State, connect: Connect) -> None:
    undone: list[str] = []
    going = asyncio.Event()

    async def book() -> str:
        return "it"

    async def bad(what: str) -> None:
        undone.append("bad")
        raise ValueError("cannot be undone")

    async def good(what: str) -> None:
        undone.append("good")

    async def forever() -> None:
        going.set()
        await asyncio.Event().wait()

    async def work() -> None:
        async with state.run("r") as run:
            await run.step("a", book, undo=good)
            await run.step("b", book, undo=bad)
            await run.step("forever", forever)

    working = asyncio.create_task(work())
    await going.wait()
    await (await connect()).runs.cancel("r")
    with pytest.raises(errors.RunCancelled):
        await working
    assert undone == ["bad", "good"]
    steps = {step.step: step for step in await state.runs.steps("r")}
    assert steps["undo:b"].error == "ValueError: cannot be undone" and steps["undo:a"].state == "done"
    # one of the same name is another
    async with state.run("s") as run:
        run.on_failure("a", good, "1")
        run.on_failure("a", good, "2")
        with pytest.raises(errors.InvalidArgument):
            await run.step("undo#2:a", book)
    assert undone == ["bad", "good"]
    with pytest.raises(ValueError):
        async with state.run("t") as run:
            run.on_failure("a", good, "1")
            run.on_failure("a", good, "2")
            raise ValueError
    assert undone == ["bad", "good", "good", "good"]


class Pickle:
    """Another serializer than JSON."""

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        return "pickle", pickle.dumps(value)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return pickle.loads(data[1])


async def test_a_worker_with_another_serializer(state: State) -> None:
    runs = state.runs.with_serializer(Pickle())
    await runs.start("r", "w", {1, 2})

    async def unite(run: pgstate.Run, input: set[int]) -> set[int]:
        got: set[int] = await run.wait_signal("more")
        return input | got | await run.step("mine", lambda: {5})

    stop = asyncio.Event()
    working = asyncio.create_task(runs.worker({"w": unite}, stop=stop, signals=()))
    await runs.signal("r", "more", {9})
    assert await runs.result("r", wait=30) == {1, 2, 5, 9}
    with pytest.raises(errors.InvalidValue, match="is pickle, not JSON: give the serializer"):
        await state.runs.result("r")
    stop.set()
    assert await working == 1


async def test_what_a_user_is_told(state: State) -> None:
    with pytest.raises(errors.RunMissing, match="^there is no run none$"):
        await state.runs.result("none")
    async with state.run("r") as run:
        with pytest.raises(errors.StepFailed, match=r"TimeoutError: it took longer than 0.05 s"):
            await run.step("slow", asyncio.Event().wait, timeout=0.05)
    with pytest.raises(errors.RunMissing, match="there is no run r, or it has no step none"):
        await state.runs.fork("r", "s", "none")


async def test_a_child_that_was_deleted_is_started_again(state: State, clock: Clock) -> None:
    async def parent(run: pgstate.Run, input: Any) -> Any:
        return await run.child("w", {"number": 4})

    await state.runs.start("p", "parent")
    first = Worker(state, {"parent": parent})
    await until(state, "p", statuses("asleep"))
    await first.end()
    assert await state.runs.delete("p/w")
    # nobody is told: it looks after them now and then
    await clock.advance(301)
    second = Worker(state, {"parent": parent, "w": workflow})
    assert await state.runs.result("p", wait=30) == 8
    await second.end()


async def test_a_run_that_somebody_else_has_started_is_waited_for_in_place(state: State, slots: list[int]) -> None:
    async def parent(run: pgstate.Run, input: Any) -> Any:
        going.set()
        return await run.child("w", key="theirs")

    going = asyncio.Event()
    await state.runs.start("theirs", "w", {"number": 4})
    await state.runs.start("p", "parent")
    worker = Worker(state, {"parent": parent})
    await going.wait()
    other = Worker(state, {"w": workflow})
    assert await state.runs.result("p", wait=30) == 8
    # it was taken once, and never set down
    assert [step.kind for step in await state.runs.steps("p")] == ["child"]
    assert [version.value["status"] for version in await state.history("p")] == [
        "done",
        "running",
        "running",
        "waiting",
    ]
    await worker.end()
    await other.end()
