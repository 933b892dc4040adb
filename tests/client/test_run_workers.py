"""Workers of durable runs: in this process and, after a death, in another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import pgstate
from client._watching import GUARD, attached
from client.conftest import Connect
from conftest import Clock, Database
from pgstate import State, errors
from pgstate._calls import claims, runs
from pgstate._calls._run import ReadOnly


class Worker:
    """A worker under way, which the test stops."""

    def __init__(self, state: State, handlers: Any, **options: Any) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            state.runs.worker(handlers, stop=self.stop, signals=(), **{"grace": 0, **options})
        )

    async def end(self) -> int:
        self.stop.set()
        return await self.task


async def double(number: int) -> int:
    return number * 2


async def workflow(run: pgstate.Run, input: Any) -> Any:
    return await run.step("double", double, input["number"])


@pytest.mark.core
async def test_a_worker_takes_what_was_started(state: State) -> None:
    assert await state.runs.start("r/1", "w", {"number": 1})
    assert not await state.runs.start("r/1", "w", {"number": 7})
    # a result is there before its worker has heard so
    worker = Worker(state, {"w": workflow}, grace=30)
    assert await state.runs.result("r/1", wait=30) == 2
    # one that is started later is heard of
    await state.runs.start("r/2", "w", {"number": 2})
    assert await state.runs.result("r/2", wait=30) == 4
    assert await worker.end() == 2
    with pytest.raises(errors.Timeout):
        await state.runs.start("r/3", "w", {"number": 3})
        await state.runs.result("r/3")
    with pytest.raises(errors.RunMissing):
        await state.runs.result("r/none")


@pytest.mark.parametrize("by", ["start_run", "take_runs"])
async def test_who_is_cancelled_as_it_takes_a_run_leaves_it_to_others(
    state: State, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    await state.runs.start("r/1", "w")
    taken, goes_on, plain = asyncio.Event(), asyncio.Event(), getattr(runs, by)

    async def take(*args: Any, **options: Any) -> Any:
        answer = await plain(*args, **options)
        taken.set()
        await goes_on.wait()
        return answer

    async def block() -> None:
        async with state.run("r/1", lease=3600):
            raise AssertionError

    async def start(run: pgstate.Run, input: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(runs, by, take)
    taking: asyncio.Task[Any] = (
        asyncio.create_task(block()) if by == "start_run" else Worker(state, {"w": start}, lease=3600).task
    )
    await taken.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    monkeypatch.undo()
    goes_on.set()
    async with state.run("r/1", wait=10):
        pass


async def test_a_run_of_a_dead_worker_goes_on(state: State, connect: Connect, clock: Clock) -> None:
    done: list[str] = []

    async def first() -> None:
        done.append("first")

    async def second() -> None:
        done.append("second")

    async def code(run: pgstate.Run, input: Any) -> str:
        await run.step("first", first)
        await run.step("second", second)
        return "done"

    await state.runs.start("r", "w")
    # taken by somebody who does a step and is not heard of again
    (row, *_) = await state.runs._take({"w": None}, 1, timedelta(seconds=30), "")
    columns = [
        [value] for value in ("r", row["token"], "first", "first", "step", 1, True, "done", "json", b"null", 1, 0.0)
    ]
    await state.runs._core.once(
        lambda c: runs.finish_steps(c, [*columns, None], None, None, None, None, timeout=10), 10
    )
    worker = Worker(await connect(), {"w": code})
    await clock.advance(31)
    assert await state.runs.result("r", wait=30) == "done"
    assert done == ["second"]
    await worker.end()


async def test_a_worker_that_stops_gives_its_runs_back(state: State, connect: Connect) -> None:
    going = asyncio.Event()
    attempts: list[int] = []

    async def stuck(ctx: pgstate.Context) -> int:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            going.set()
            await asyncio.Event().wait()
        return 7

    async def code(run: pgstate.Run, input: Any) -> int:
        return await run.step("stuck", stuck)

    await state.runs.start("r", "w")
    first = Worker(state, {"w": code})
    await going.wait()
    second = Worker(await connect(), {"w": code}, grace=30)
    assert await first.end() == 0
    assert await state.runs.result("r", wait=30) == 7
    assert await second.end() == 1


async def test_what_a_workflow_raises_fails_its_run_alone(state: State) -> None:
    async def bad(run: pgstate.Run, input: Any) -> None:
        raise ValueError("no owls")

    await state.runs.start("r/bad", "bad")
    await state.runs.start("r/good", "w", {"number": 1})
    worker = Worker(state, {"bad": bad, "w": workflow})
    with pytest.raises(errors.StepFailed, match="no owls"):
        await state.runs.result("r/bad", wait=30)
    assert await state.runs.result("r/good", wait=30) == 2
    await worker.end()
    (failed,) = await state.runs.list("r/*", states=["failed"])
    assert (failed.key, failed.error) == ("r/bad", "ValueError: no owls")
    # the worker takes it again
    assert await state.runs.retry("r/bad")
    (waiting,) = await state.runs.list("r/*", states=["waiting"])
    assert waiting.key == "r/bad"


async def test_children(state: State) -> None:
    async def parent(run: pgstate.Run, input: Any) -> list[Any]:
        good = await run.child("w", {"number": 4})
        with pytest.raises(errors.StepFailed, match="no owls"):
            await run.child("bad", name="other")
        return [good]

    async def bad(run: pgstate.Run, input: Any) -> None:
        raise ValueError("no owls")

    await state.runs.start("r", "parent")
    worker = Worker(state, {"parent": parent, "bad": bad, "w": workflow})
    assert await state.runs.result("r", wait=30) == [8]
    await worker.end()
    (other, child) = await state.runs.list("r/*")
    assert (child.key, child.parent, child.state, other.state) == ("r/w", "r", "done", "failed")
    assert [(step.kind, step.state) for step in await state.runs.steps("r")] == [("child", "done"), ("child", "failed")]


async def test_a_schedule_starts_runs(state: State, clock: Clock) -> None:
    with pytest.raises(errors.InvalidArgument):
        await state.runs.schedule("plans/a", "w", "61 * * * *")
    with pytest.raises(errors.InvalidArgument):
        await state.runs.schedule("plans/a", "w", "* * * * *", timezone="Mars/Olympus")
    due = await state.runs.schedule("plans/a", "w", "0 9 * * *", {"number": 3}, timezone="Europe/Berlin")
    worker = Worker(state, {"w": workflow}, schedules="plans/*")
    await clock.advance((due - await clock.now()).total_seconds() + 1)
    key = f"plans/a/{due:%Y-%m-%dT%H:%M:%SZ}"
    async with state.watch(key, initial=True) as changes:
        async for change in changes:
            if change.value["status"] == "done":
                break
    assert await state.runs.result(key) == 6
    await worker.end()


async def test_no_workflows_no_worker(state: State) -> None:
    with pytest.raises(errors.InvalidArgument):
        await state.runs.worker({})
    with pytest.raises(errors.InvalidArgument):
        await state.runs.worker({"w": workflow}, concurrency=0)


async def test_a_worker_with_other_code_goes_by_the_names_alone(state: State) -> None:
    async def other(run: pgstate.Run, input: Any) -> int:
        await run.step("before", double, 1)
        return await run.step("double", double, 21)

    going = asyncio.Event()

    async def begin() -> None:
        async with state.run("r", name="w", version="1") as run:
            assert await run.step("double", double, 5) == 10
            going.set()
            await asyncio.Event().wait()

    # it ends as a process does that is told to
    working = asyncio.create_task(begin())
    await going.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    worker = Worker(state, {"w": other}, version="2")
    assert await state.runs.result("r", wait=30) == 10
    await worker.end()
    found = await state.runs.get("r")
    assert found is not None and (found.code, found.steps) == ("2", 2)


async def test_who_waits_outlasts_that_the_feed_begins_anew(state: State, connect: Connect, database: Database) -> None:
    async def waits(run: pgstate.Run, input: Any) -> Any:
        return await run.wait_signal("go")

    worker = Worker(state, {"w": workflow, "waits": waits}, grace=30)

    async def here() -> Any:
        async with state.run("r/here") as run:
            run.result = await waits(run, None)
        return run.result

    run = asyncio.create_task(here())
    await state.runs.start("r/worked", "waits")
    told = asyncio.create_task(state.runs.result("r/worked", wait=GUARD))
    watch = state.watch("k")
    (first,) = await attached(state, watch)
    await state.put("k", 0)
    await first
    following = asyncio.ensure_future(anext(watch))
    # the watch, the worker, who waits for a result, and the run here
    while len(state._core.hub._taps) < 4:
        await asyncio.sleep(0.005)
    # promoted, or restored elsewhere: no cursor of before means anything
    database.sql("update pgstate.install set identity = '1:1'")
    await (await connect()).put("k", 1)
    with pytest.raises(errors.CursorExpired):
        await following
    await state.runs.start("r/1", "w", {"number": 1})
    assert await state.runs.result("r/1", wait=GUARD) == 2
    for key in ("r/here", "r/worked"):
        await state.runs.signal(key, "go", 5)
    assert await asyncio.gather(run, told) == [5, 5]
    assert await worker.end() == 2


async def test_a_worker_outlasts_a_standby(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused_once(plain: Any) -> Any:
        told = [ReadOnly("cannot execute INSERT in a read-only transaction", "25006")]

        async def call(*args: Any, **options: Any) -> Any:
            if told:
                raise told.pop()
            return await plain(*args, **options)

        return call

    monkeypatch.setattr(runs, "take_runs", refused_once(runs.take_runs))
    monkeypatch.setattr(claims, "claim_many", refused_once(claims.claim_many))
    await state.runs.start("r", "w", {"number": 1})
    await state.runs.schedule("plan", "w", "0 0 * * *")
    worker = Worker(state, {"w": workflow}, grace=30, schedules="plan")
    assert await state.runs.result("r", wait=GUARD) == 2
    assert await worker.end() == 1


async def test_a_workflow_that_awaits_what_was_cancelled_has_failed(state: State) -> None:
    tried = 0

    async def wait(run: pgstate.Run, input: Any) -> None:
        nonlocal tried
        tried += 1
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    await state.runs.start("r/1", "w")
    worker = Worker(state, {"w": wait})
    with pytest.raises(errors.StepFailed, match="was not cancelled itself"):
        await state.runs.result("r/1", wait=30)
    await worker.end()
    # not given back to be tried for ever
    assert tried == 1


async def test_children_may_be_called_anything_and_none_is_taken_for_another(state: State) -> None:
    async def parent(run: pgstate.Run, input: Any) -> list[Any]:
        first = await run.child("double it!", 1)
        second = await run.child("double it!", 2)
        named = await run.child("double it!", 3, name="a/b")
        await run.child("double it!", 4, name="page")
        await run.child("double it!", 5, name="page-2")
        with pytest.raises(errors.InvalidArgument, match=r"page-2 and page#2 .*give one a key"):
            await run.child("double it!", 6, name="page")
        return [first, second, named]

    async def double_it(run: pgstate.Run, input: int) -> int:
        return input * 2

    worker = Worker(state, {"parent": parent, "double it!": double_it})
    await state.runs.start("r/1", "parent")
    assert await state.runs.result("r/1", wait=30) == [2, 4, 6]
    await worker.end()
    assert {run.key for run in await state.runs.list("r/1/**")} >= {
        "r/1/double%20it%21", "r/1/double%20it%21-2", "r/1/a/b", "r/1/page", "r/1/page-2",
    }  # fmt: skip


async def test_a_worker_that_is_cancelled_twice_leaves_no_run_under_way(state: State) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(run: pgstate.Run, input: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await state.runs.start("r/1", "w")
    worker = Worker(state, {"w": wait}, grace=3600)
    await begun.wait()
    worker.task.cancel()
    # told to stop, it lets the run end
    await worker.stop.wait()
    worker.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker.task
    async with asyncio.timeout(30):
        await ended.wait()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (object(), "InvalidValue: the value cannot be JSON"),
        ("x" * 2_000_000, "ValueTooLarge: "),
        (ValueError("x" * 2_000_000), "ValueError: xxx"),
        (Unspeakable(), "Unspeakable: its text raises RuntimeError"),
    ],
    ids=["no JSON", "too large", "too large an error", "an error without a text"],
)
async def test_a_run_ends_whatever_it_ends_with(state: State, result: Any, said: str) -> None:
    tried, undone = 0, []

    async def workflow(run: pgstate.Run, input: Any) -> Any:
        nonlocal tried
        tried += 1
        await run.step("double", double, 2, undo=undone.append)
        if isinstance(result, Exception):
            raise result
        return result

    await state.runs.start("r/1", "w")
    worker = Worker(state, {"w": workflow})
    with pytest.raises(errors.StepFailed) as failed:
        await state.runs.result("r/1", wait=30)
    await worker.end()
    assert failed.value.error.startswith(said) and len(failed.value.error) <= 2000
    # what would come to the same again is not left to others
    assert tried == 1 and undone == [4]


async def test_a_step_fails_whatever_its_error_is(state: State) -> None:
    async def fail(error: Exception) -> None:
        raise error

    for key, error in (("r/1", ValueError("x" * 2_000_000)), ("r/2", Unspeakable())):
        with pytest.raises(errors.StepFailed):
            async with state.run(key) as run:
                await run.step("fail", fail, error)
        (step,) = await state.runs.steps(key)
        assert step.state == "failed" and type(error).__name__ in (step.error or "")
    await state.put("tasks/1", 1)
    with pytest.raises(Unspeakable):
        async with state.claim_next("tasks/*"):
            raise Unspeakable
    (task,) = await state.tasks("tasks/*")
    assert task.error == "Unspeakable: its text raises RuntimeError"
