"""Durable runs for synchronous code: the same engine, called from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel

import pgstate.sync
from conftest import Database
from pgstate import Retry, errors
from pgstate._areas import _held
from pgstate.sync import Context, Run, State

GUARD = 30


class Plan(BaseModel):
    questions: list[str]


@pytest.fixture
def sync(database: Database) -> Iterator[State]:
    with pgstate.sync.connect(database.dsn("installer")) as state:
        yield state


@pytest.fixture
def other(database: Database) -> Iterator[State]:
    with pgstate.sync.connect(database.dsn("installer")) as state:
        yield state


class Killed(BaseException):
    pass


class Pipeline:
    def __init__(self) -> None:
        self.made: list[Any] = []
        self.together = threading.Barrier(3)
        self.dies = True

    def plan(self, topic: str) -> Plan:
        self.made.append(topic)
        return Plan(questions=["a", "b", "c"])

    def find(self, question: str, ctx: Context) -> str:
        # all at once, in threads of their own
        self.together.wait(GUARD)
        self.made.append(question)
        assert ctx.step.startswith("facts[") and ctx.attempt == 1 and not ctx.cancelled
        ctx.state.merge("count", 1, "add")
        return f"{question}!"

    def write(self, facts: list[str]) -> str:
        if self.dies:
            raise Killed
        self.made.append("write")
        return " ".join(facts)

    def __call__(self, run: Run, topic: str) -> str:
        plan = run.step("plan", self.plan, topic)
        assert isinstance(plan, Plan)
        facts = run.map("facts", self.find, plan.questions, concurrency=3)
        return run.step("write", self.write, facts)


def test_a_run_goes_on_where_it_stopped(sync: State, other: State) -> None:
    pipeline = Pipeline()
    with pytest.raises(Killed), sync.run("r", lease=30) as run:
        pipeline(run, "owls")
    pipeline.dies = False
    assert pipeline.made[0] == "owls" and sorted(pipeline.made[1:]) == ["a", "b", "c"]
    # whatever broke it off, another may go on at once
    pipeline.dies = False
    with other.run("r") as run:
        run.result = pipeline(run, "owls")
    assert pipeline.made[4:] == ["write"] and other.runs.result("r") == "a! b! c!"
    count = other.get("count")
    assert count is not None and count.value == 3


def test_what_is_no_exception_leaves_a_map_too(sync: State) -> None:
    def leave(number: int) -> int:
        raise SystemExit(number)

    with pytest.raises(SystemExit) as caught, sync.run("r") as run:
        run.map("leave", leave, [7])
    assert caught.value.code == 7
    found = sync.runs.get("r")
    assert found is not None and (found.state, found.steps) == ("waiting", 0)


def test_signals_sleeps_children_and_time(sync: State, other: State) -> None:
    with ThreadPoolExecutor(1) as threads, sync.run("r", name="w", input={"n": 1}) as run:
        assert (run.name, run.input, run.finished, run.key) == ("w", {"n": 1}, False, "r")
        run.sleep(0.01)
        threads.submit(other.runs.signal, "r", "go", {"by": "ana"})
        assert run.wait_signal("go", timeout=GUARD) == {"by": "ana"}
        with pytest.raises(errors.SignalTimeout):
            run.wait_signal("never", timeout=0.01)
        chance = [run.random(), run.uuid(), run.now()]
        run.result = 7
    assert sync.runs.result("r") == 7
    with sync.run("r") as run:
        assert run.finished and run.result == 7
        run.sleep(0.01)
        assert run.wait_signal("go") == {"by": "ana"}
        with pytest.raises(errors.SignalTimeout):
            run.wait_signal("never")
        assert [run.random(), run.uuid(), run.now()] == chance


def test_the_order_of_its_thread_counts_and_that_of_others_does_not(sync: State) -> None:
    def name(what: str) -> str:
        return what

    with ThreadPoolExecutor(4) as threads, sync.run("r") as run:
        run.step("first", name, "first")
        assert sorted(threads.map(lambda n: run.step(f"n{n}", name, n), "abcd")) == [*"abcd"]
        run.step("last", name, "last")
    with sync.run("r") as run:
        run.step("first", name, "")
        assert [run.step(f"n{n}", name, "") for n in ()] == []
        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(lambda n: run.step(f"n{n}", name, ""), "dcba")] == [*"dcba"]
        assert run.step("last", name, "") == "last"
    with pytest.raises(errors.StepMismatch), sync.run("r") as run:
        run.step("last", name, "")


def test_failures_retries_and_undoing(sync: State) -> None:
    done: list[str] = []

    def book(what: str, ctx: Context) -> str:
        if ctx.attempt == 1:
            raise ValueError("not yet")
        done.append(what)
        return what

    with pytest.raises(errors.StepFailed, match="no owls"), sync.run("r") as run:
        run.step("a", book, "a", retry=Retry(attempts=2, backoff=0), undo=lambda what: done.append(f"-{what}"))
        run.on_failure("tell", done.append, "told")
        run.step("b", _fail, "no owls")
    # which no future takes
    with pytest.raises(errors.StepFailed, match="next raised StopIteration"), sync.run("t") as run:
        run.step("a", next, iter(()))
    assert done == ["a", "told", "-a"]
    with pytest.raises(ValueError, match="plain"), sync.run("s"):
        raise ValueError("plain")
    found = sync.runs.get("s")
    assert found is not None and (found.state, found.error) == ("failed", "ValueError: plain")


def _fail(said: str) -> None:
    raise ValueError(said)


@pytest.mark.parametrize("where", ["waiting", "between", "ending", "other thread"])
def test_a_thread_hears_that_its_run_is_cancelled(sync: State, other: State, where: str) -> None:
    undone: list[str] = []
    with pytest.raises(errors.RunCancelled), sync.run("r") as run:
        run.step("a", str, "a", undo=undone.append)
        if where == "waiting":
            with ThreadPoolExecutor(1) as threads:
                threads.submit(other.runs.cancel, "r")
                run.wait_signal("never")
        elif where == "other thread":
            with ThreadPoolExecutor(1) as threads:
                waiting = threads.submit(run.wait_signal, "never")
                other.runs.cancel("r")
                assert isinstance(waiting.exception(GUARD), errors.RunCancelled)
            assert undone == []
        else:
            assert not other.runs.cancel("r")
            _until(lambda: run.cancelled)
            # nothing is undone while the thread is in the block
            assert undone == []
            if where == "between":
                run.step("b", undone.append, "never")
    assert undone == ["a"]
    found = sync.runs.get("r")
    assert found is not None and found.state == "cancelled"


def _until(met: Callable[[], bool]) -> None:
    event = threading.Event()
    for _ in range(GUARD * 100):
        if met():
            return
        event.wait(0.01)
    raise AssertionError("not met")


def test_a_lost_lease_is_told_by_the_next_call(sync: State, other: State, monkeypatch: pytest.MonkeyPatch) -> None:
    # ten times a second, and held for longer than any stall of a busy machine
    monkeypatch.setattr(_held, "_RENEWALS", 600)
    done: list[int] = []
    with pytest.raises(errors.LeaseLost), sync.run("r", lease=60) as run:
        assert other.release("r", force=True)
        _until(lambda: run.lost)
        run.step("a", done.append, 1)
    assert done == [] and sync.runs.steps("r") == []
    with sync.run("r") as run:
        with pytest.raises(errors.RunHeld), other.run("r"):
            pass
        run.step("a", done.append, 2)
    assert done == [2]


@pytest.mark.parametrize("stopped", ["in time", "in the middle"])
def test_a_worker(sync: State, other: State, stopped: str) -> None:
    stop, going, go_on = threading.Event(), threading.Event(), threading.Event()
    done: list[int] = []
    begun: list[Run] = []

    def slow(number: int) -> int:
        done.append(number)
        if stopped == "in the middle":
            going.set()
            assert go_on.wait(GUARD)
        return 2 * number

    def double(run: Run, input: Any) -> int:
        begun.append(run)
        first = run.step("double", slow, input["number"])
        return run.step("again", slow, first)

    def failing(run: Run, input: Any) -> None:
        raise ValueError("no owls")

    sync.runs.start("r/1", "double", {"number": 4})
    sync.runs.start("r/2", "failing")
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(
            sync.runs.worker, {"double": double, "failing": failing}, stop=stop, grace=0.01, signals=()
        )
        if stopped == "in time":
            assert other.runs.result("r/1", wait=GUARD) == 16
            with pytest.raises(errors.StepFailed, match="no owls"):
                other.runs.result("r/2", wait=GUARD)
            stop.set()
            assert working.result(GUARD) == 1
            return
        assert going.wait(GUARD)
        stop.set()
        _until(lambda: begun[0]._line._interrupted)
        go_on.set()
        assert working.result(GUARD) == 0
    found = sync.runs.get("r/1")
    assert found is not None and found.state == "waiting"


def test_sleeping_runs_need_no_thread(sync: State, other: State) -> None:
    stop = threading.Event()
    threads: set[str] = set()

    def parent(run: Run, input: Any) -> Any:
        threads.add(threading.current_thread().name)
        try:
            child = run.child("child", 20)
            return [child, run.wait_signal("go")]
        except Exception as error:  # what sets it down is none
            return repr(error)

    def child(run: Run, input: Any) -> int:
        threads.add(threading.current_thread().name)
        return input + 1

    sync.runs.start("r", "parent")
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(
            sync.runs.worker, {"parent": parent, "child": child}, concurrency=1, stop=stop, signals=()
        )
        with sync.watch("r", initial=True) as changes:
            for change in changes:
                if change.value.get("steps") == 1 and change.value["status"] == "asleep":
                    break
        other.runs.signal("r", "go", "signal")
        assert other.runs.result("r", wait=GUARD) == [21, "signal"]
        stop.set()
        # the parent, its child, and it again
        assert working.result(GUARD) == 2


@pgstate.workflow
async def brief(topic: str) -> str:
    return topic.upper()


def test_a_worker_takes_workflows_that_are_coroutines_too(sync: State) -> None:
    stop = threading.Event()

    def long(run: Run, input: str) -> str:
        return f"long {input}"

    sync.runs.start("r/1", "brief", {"topic": "owls"})
    sync.runs.start("r/2", "long", "owls")
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(sync.runs.worker, {"brief": brief, "long": long}, stop=stop, signals=())
        assert [sync.runs.result(key, wait=GUARD) for key in ("r/1", "r/2")] == ["OWLS", "long owls"]
        stop.set()
        assert working.result(GUARD) == 2


def test_a_step_in_a_thread_that_was_told_of_what_was_cancelled_has_failed(sync: State) -> None:
    def wait() -> None:
        others: Future[None] = Future()
        others.cancel()
        others.result()

    with pytest.raises(errors.StepFailed, match="was not cancelled itself"), sync.run("r/1") as run:
        run.step("wait", wait)
    assert sync.runs.steps("r/1")[0].state == "failed"
