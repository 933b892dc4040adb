"""pgstate.sync: the whole API for synchronous code, from threads, running loops, callbacks, and forked processes."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import os
import pickle
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from operator import add
from types import FrameType
from typing import Annotated, Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

import pgstate
import pgstate.sync
from conftest import Database
from pgstate import errors, ops
from pgstate._areas import _held
from pgstate.sync import _bridge, _generate, _loop, _state


@pytest.fixture
def sync(database: Database) -> Iterator[pgstate.sync.State]:
    with pgstate.sync.connect(database.dsn("installer")) as state:
        yield state


def test_what_is_generated_is_up_to_date() -> None:
    assert _generate.TARGET.read_text() == _generate.source()


@pytest.mark.parametrize(
    ("plain", "asynchronous"),
    [
        (pgstate.sync.State, pgstate.State),
        (pgstate.sync.TypedState, pgstate.TypedState),
        (pgstate.sync.Thread, pgstate.Thread),
        (pgstate.sync.Task, pgstate.Task),
        (pgstate.sync.Lock, pgstate.Lock),
        (pgstate.sync.Runs, pgstate.Runs),
        (pgstate.sync.Run, pgstate.Run),
        (pgstate.sync.Context, pgstate.Context),
    ],
)
def test_it_has_all_that_the_asynchronous_one_has(plain: type, asynchronous: type) -> None:
    names = [name for name in dir(asynchronous) if not name.startswith("_")]
    assert [name for name in names if not hasattr(plain, name)] == []
    for name in names:
        ours, theirs = getattr(plain, name), getattr(asynchronous, name)
        doc = inspect.getdoc(ours) or ""
        assert bool(doc) == bool(inspect.getdoc(theirs)), name
        assert "async " not in doc and "await " not in doc, name
        if inspect.isfunction(theirs):
            assert not inspect.iscoroutinefunction(ours)
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name


@pytest.mark.core
def test_calls(sync: pgstate.sync.State) -> None:
    assert sync.put("a/1", {"n": 1}) == 1
    with pytest.raises(errors.VersionConflict) as caught:
        sync.put("a/1", {}, expect=7)
    assert caught.value.current is not None and caught.value.current.value == {"n": 1}
    sync.merge("a/2", ["x"], "append")
    assert [entry.key for entry in sync.list("a/*")] == ["a/1", "a/2"]
    assert sync.namespace("a").get("1").value == {"n": 1}
    assert sync.namespace("a").as_agent("admin").with_timeout(3).get("2").value == ["x"]
    assert [version.version for version in sync.history("a/1")] == [1]
    assert [found.key for found in sync.search("a/**", filter={"n": 1})] == ["a/1"]
    sync.apply(guards=[ops.version("a/1", 1)], operations=[ops.put("a/3", 3)])
    assert [entry and entry.value for entry in sync.get_many(["a/3", "a/4"])] == [3, None]
    assert sync.stats.writes >= 3


def test_in_a_running_loop_and_from_many_threads(sync: pgstate.sync.State) -> None:
    async def cell() -> int:
        return sync.put("k", 0)

    assert asyncio.run(cell()) == 1
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: sync.merge("n", 1, "add"), range(200)))
    assert sync.get("n").value == 200
    assert sync.stats.largest_batch > 1


def test_a_function_of_the_caller_may_call_it_too(sync: pgstate.sync.State) -> None:
    sync.put("other", 5)
    assert sync.update("k", lambda value: (value or 0) + sync.get("other").value).value == 5

    async def coroutine(value: Any) -> Any:
        return sync.get("other").value

    with pytest.raises(RuntimeError, match="its own event loop"):
        sync.update("k", coroutine)

    def leave(value: Any) -> Any:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        sync.update("k", leave)
    assert caught.value.code == 3

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        sync.update("k", lambda value: next(iter(())))

    async def leave_the_loop(value: Any) -> Any:
        raise SystemExit(4)

    with pytest.raises(SystemExit) as caught:
        sync.update("k", leave_the_loop)
    assert caught.value.code == 4
    assert sync.get("k").value == 5


def test_a_function_of_the_caller_has_its_context(sync: pgstate.sync.State) -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    who.set("me")
    assert sync.update("k", lambda value: who.get()).value == "me"
    stop = threading.Event()

    def handle(run: pgstate.sync.Run, input: Any) -> Any:
        with pytest.raises(LookupError):  # it would be the asynchronous one
            pgstate.current_run()
        stop.set()
        return run.step("who", who.get)

    sync.runs.start("r", "w")
    assert sync.runs.worker({"w": handle}, stop=stop) == 1
    assert sync.runs.result("r") == "me"


def test_an_interrupt_cancels_what_is_waited_for(sync: pgstate.sync.State) -> None:
    main, gone = threading.main_thread(), threading.Event()
    assert main.ident is not None
    if threading.current_thread() is not main:
        pytest.skip("signals reach the main thread only")

    def interrupt(value: Any) -> Any:
        assert main.ident is not None
        signal.pthread_kill(main.ident, signal.SIGINT)
        assert gone.wait(30)
        return "too late"

    try:
        with pytest.raises(KeyboardInterrupt):
            sync.update("k", interrupt)
    finally:
        gone.set()
    assert sync.get("k") is None
    assert sync.update("k", lambda value: "again").value == "again"


@pytest.mark.parametrize("when", ["before", "behind", "as it begins"])
def test_an_interrupt_before_the_waiting(sync: pgstate.sync.State, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    loop = _loop.current()._loop
    plain = loop.call_soon_threadsafe

    def interrupt_next_call() -> None:
        def interrupted(start: Callable[[], None]) -> None:
            def told_with_it(stop: Callable[[], None]) -> None:
                monkeypatch.undo()
                plain(lambda: [call() for call in (start, stop)])

            monkeypatch.undo()
            if when == "behind":
                plain(start)
            elif when == "as it begins":
                monkeypatch.setattr(loop, "call_soon_threadsafe", told_with_it)
            raise KeyboardInterrupt

        monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)

    interrupt_next_call()
    with pytest.raises(KeyboardInterrupt), sync.lock("held", lease=30):
        pass
    with pytest.raises(KeyboardInterrupt), sync.lock("held", lease=30):
        interrupt_next_call()
    with sync.lock("held", lease=30):
        pass
    thread = sync.thread("t")
    thread.save({})
    history = thread.history()
    interrupt_next_call()
    with pytest.raises(KeyboardInterrupt):
        next(history)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # which it came before
def test_an_interrupt_at_any_line_leaves_the_loop_running(sync: pgstate.sync.State) -> None:
    left = 0

    def interrupt(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if "weakref" in frame.f_code.co_filename:
            return None  # what is raised there is lost
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    with ThreadPoolExecutor(1) as beside:
        for line in count(1):
            left = line
            gc.disable()  # what is raised in a finalizer is lost as well
            sys.settrace(interrupt)
            try:
                sync.put("k", line)
            except KeyboardInterrupt:
                pass
            else:
                break
            finally:
                sys.settrace(before)
                gc.enable()
            assert beside.submit(sync.put, "other", line).result(30) == line
    assert line > 50


def test_what_comes_with_an_interrupt_is_not_lost(sync: pgstate.sync.State, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(_loop.Outcome[Any]):
        def wait(self) -> None:
            super().wait()
            if _loop.Outcome is Interrupted:
                monkeypatch.undo()
                raise KeyboardInterrupt

    with sync.watch("k/*") as changes:
        for number in range(3):
            sync.put("k/1", number)
        for number, wait in enumerate((lambda: next(changes), lambda: changes.next(timeout=30))):
            assert next(changes).value == number
            before = changes.cursor
            monkeypatch.setattr(_loop, "Outcome", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                wait()
            assert changes.cursor == before
        assert next(changes).value == 2
        assert changes.cursor != before


def test_what_is_collected_on_the_loop_waits_for_nothing(
    sync: pgstate.sync.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    async def items() -> Any:
        try:
            yield 1
            yield 2
        finally:
            ended.set()

    async def collect(value: Any) -> Any:
        gc.collect()

    around: list[Any] = [_bridge.each_sync(sync, lambda _: items())]
    around.append(around)
    assert next(around[0]) == 1
    del around
    sync.update("k", collect)
    assert ended.wait(30)
    assert told == []


def test_a_block_that_is_collected_on_the_loop_ends(
    sync: pgstate.sync.State, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    beside: list[Any] = []

    def hold() -> Iterator[None]:
        with pgstate.sync.connect(database.dsn("installer")) as other, other.watch("k"):
            beside.append(weakref.ref(other._its._core))
            with sync.lock("held", lease=30):
                yield

    async def collect(value: Any) -> Any:
        gc.collect()

    around: list[Any] = [hold()]
    around.append(around)
    next(around[0])
    del around
    sync.update("k", collect)
    assert told == []
    with sync.lock("held", wait=30):
        pass
    for _ in range(2000):
        if beside[0]() is None or beside[0]().closed:
            return
        time.sleep(0.005)
    raise AssertionError("still connected")


def test_a_block_that_is_under_way_is_not_entered_again(sync: pgstate.sync.State) -> None:
    for block in (sync.lock("held", lease=30), sync.run("run", lease=30)):
        with block, pytest.raises(RuntimeError, match="make a new one"), block:
            raise AssertionError
        with sync.lock("held"), sync.run("run"):
            pass


def test_claimed_work(sync: pgstate.sync.State) -> None:
    sync.put_many({f"tasks/{n}": n for n in range(4)})
    with sync.claim_next("tasks/*") as task:
        assert (task.key, task.value, task.attempts) == ("tasks/0", 0, 1)
        sync.put(task.key, "half", token=task.token)
    assert sync.get("tasks/0") is None
    with sync.claim_next("tasks/*") as task:
        task.complete("result", move_to="done/*")
    assert sync.get("done/1").value == "result"
    with pytest.raises(ZeroDivisionError) as caught, sync.claim_next("tasks/*") as task:
        1 / 0  # noqa: B018
    assert [line.name for line in caught.traceback][-1] == "test_claimed_work"
    assert [(state.key, state.state, state.error) for state in sync.tasks("tasks/2")] == [
        ("tasks/2", "waiting", "ZeroDivisionError: division by zero")
    ]
    with pytest.raises(StopIteration), sync.claim_next("tasks/*") as task:
        next(iter(()))
    with pytest.raises(KeyboardInterrupt), sync.claim_next("tasks/*", wait=30) as task:
        raise KeyboardInterrupt
    assert sync.claim_next("none/*").take() is None
    with sync.claim_next("none/*") as nothing:
        assert nothing is None
    sync.put("tasks/9", 9)
    claim = sync.claim_next("tasks/9").take()
    assert sync.release(claim.key, claim.token)


def test_an_interrupted_block_gives_its_claim_back(sync: pgstate.sync.State) -> None:
    sync.put("tasks/1", 1)
    with pytest.raises(KeyboardInterrupt), sync.claim_next("tasks/*"):
        raise KeyboardInterrupt
    # to be claimed again at once, and not failed
    assert [(task.state, task.error) for task in sync.tasks("tasks/*")] == [("waiting", None)]
    with sync.claim_next("tasks/*") as task:
        assert task.key == "tasks/1"


def test_locks(sync: pgstate.sync.State) -> None:
    with sync.lock("deploy", lease=30) as lock:
        sync.put("deploy", {"by": "me"}, token=lock.token)
        with pytest.raises(errors.ClaimHeld), sync.lock("deploy"):
            raise AssertionError
        assert not lock.lost
    with sync.semaphore("slots", 2), sync.semaphore("slots", 2) as second:
        assert second.key == "slots/2"
    holding = sync.lock("deploy")
    for _ in range(2):
        with holding as lock:
            assert lock.key == "deploy"


def test_a_lost_lock_is_told_at_the_end_of_the_block(sync: pgstate.sync.State, monkeypatch: pytest.MonkeyPatch) -> None:
    # ten times a second, and held for longer than any stall of a busy machine
    monkeypatch.setattr(_held, "_RENEWALS", 600)

    def lose(lock: pgstate.sync.Lock) -> None:
        assert sync.release("deploy", force=True)
        for _ in range(2000):
            if lock.lost:
                return
            time.sleep(0.005)
        raise AssertionError("not noticed")

    with pytest.raises(errors.LeaseLost), sync.lock("deploy", lease=60) as lock:
        lose(lock)
        with pytest.raises(errors.StaleToken):
            sync.put("deploy", 1, token=lock.token)
    # what the block raised itself is not hidden
    with pytest.raises(ZeroDivisionError), sync.lock("deploy", lease=60) as lock:
        lose(lock)
        1 / 0  # noqa: B018
    told: queue.Queue[Any] = queue.Queue()
    with sync.leader("deploy", lease=60, on_loss=lambda loss: told.put((loss, sync.get("deploy").value))) as lock:
        lose(lock)
        loss, value = told.get(timeout=30)
    assert isinstance(loss, errors.LeaseLost) and value is None


def test_watching(sync: pgstate.sync.State) -> None:
    sync.put("k/1", 1)
    with sync.watch("k/*", initial=True) as changes:
        assert next(changes).value == 1
        with pytest.raises(TimeoutError):
            changes.next(timeout=0.01)
        sync.put("k/2", 2)
        assert changes.next(timeout=30).value == 2
        threading.Timer(0.01, sync.put, ("k/3", 3)).start()
        for change in changes:
            assert (change.key, change.value) == ("k/3", 3)
            break
        assert changes.cursor is not None
        threading.Timer(0.01, changes.close).start()
        assert list(changes) == []
    assert [change.key for change in sync.changes(sync.cursor()).changes] == []


@dataclass
class Research:
    topic: str = ""
    findings: Annotated[list[str], add] = field(default_factory=list)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
def test_what_was_read_goes_to_another_process(sync: pgstate.sync.State, way: Callable[[Any], Any]) -> None:
    sync.put("a/k", {"topic": "owls"})
    space, start = sync.namespace("a"), sync.cursor()
    sync.put("a/k", {"topic": "bats"})
    found: list[Any] = [
        space.get("k"), space.get("k", as_=Research), *space.get_many(["k"]), *space.list("*"), *space.history("k"),
        *space.search("*"), *space.list("*", as_of=start), *space.changes(start),
    ]  # fmt: skip
    assert len(found) == 9
    for one in found:
        twin = way(one)
        assert (type(twin), twin, twin.writer) == (type(one), one, "admin")
    twin = way(found[-1])
    assert twin.previous == {"topic": "owls"}
    for page in (space.list("*", limit=1), space.search("*", limit=1)):
        twin = way(page)
        assert (list(twin), twin.after) == (list(page), "k")
    with pytest.raises(errors.VersionConflict) as conflict:
        space.put("k", 1, expect=7)
    assert way(conflict.value).current.value == {"topic": "bats"}


def test_typed_state(sync: pgstate.sync.State) -> None:
    view = sync.typed(Research, "research/7")
    with view.watch() as states:
        assert next(states) is None
        view.update(topic="owls", findings=["a"])
        assert next(states) == Research("owls", ["a"])
    view.update(findings="b")

    def shout(old: Research | None) -> Research:
        assert old is not None and sync.get("research/7/topic").value == "owls"
        return Research(old.topic.upper(), old.findings)

    view.modify(shout)
    assert view.load() == Research("OWLS", ["a", "b"])
    assert view.path == "research/7"


def test_threads(sync: pgstate.sync.State) -> None:
    thread = sync.thread("research/t-1")
    ids = [thread.save({"step": step}) for step in range(5)]
    latest = thread.latest()
    assert latest is not None and latest.id == ids[-1]
    assert [info.id for info in thread.history()] == ids[::-1]
    other = thread.fork(ids[2], "research/t-2")
    assert (other.key, [info.id for info in other.history(limit=1)]) == ("research/t-2", [ids[2]])
    assert sorted(info.key for info in sync.threads("research/*")) == ["research/t-1", "research/t-2"]


@pytest.mark.parametrize("told_by", ["event", "signal"])
def test_work(sync: pgstate.sync.State, told_by: str) -> None:
    sync.put_many({f"tasks/{n}": n for n in range(8)})
    # what fails is not tried again before the end
    sync.set_policy("tasks/**", backoff=3600)
    stop, together = threading.Event(), threading.Barrier(4)
    before = signal.getsignal(signal.SIGTERM)

    def handle(task: pgstate.sync.Task) -> Any:
        together.wait(30)  # four at once
        if task.value == 7:
            raise ValueError("seven")
        return {"was": task.value, "read": sync.get(task.key).value}

    def end() -> None:
        with sync.watch("done/*", initial=True) as changes:
            for number, _ in enumerate(changes):
                if number == 6:
                    break
        if told_by == "event":
            stop.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    ending = threading.Thread(target=end)
    ending.start()
    assert sync.work("tasks/*", handle, concurrency=4, move_to="done/*", stop=stop) == 7
    ending.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert [entry.value for entry in sync.list("done/*")] == [{"was": n, "read": n} for n in range(7)]
    assert [(task.key, task.error) for task in sync.tasks("tasks/*", states=["waiting"])] == [
        ("tasks/7", "ValueError: seven")
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(3), "the handler's thread was left by SystemExit(3)"),
        (StopIteration(), "handle raised StopIteration"),
    ],
)
def test_work_that_is_left_has_failed(sync: pgstate.sync.State, error: BaseException, told: str) -> None:
    sync.put("tasks/1", 1)
    stop = threading.Event()

    def handle(task: pgstate.sync.Task) -> Any:
        stop.set()
        raise error

    handle.__qualname__ = "handle"
    assert sync.work("tasks/*", handle, stop=stop) == 0
    assert [task.error for task in sync.tasks("tasks/*")] == [f"RuntimeError: {told}"]


def test_work_that_is_refused_ends(sync: pgstate.sync.State) -> None:
    with pytest.raises(errors.InvalidPattern):
        sync.work("a b", print)


@pytest.fixture(params=["psycopg", "connection", "session", "scoped"])
def begun(request: pytest.FixtureRequest, database: Database) -> Iterator[tuple[Any, Any]]:
    """A connection of the caller's that is bound, and what runs SQL on it."""
    if request.param == "psycopg":
        with psycopg.connect(database.dsn("installer")) as connection:
            yield connection, connection.execute
        return
    engine = create_engine(database.dsn("installer").replace("postgresql:", "postgresql+psycopg:"))
    if request.param == "connection":
        with engine.connect() as connection:
            yield connection, lambda sql: connection.execute(text(sql))
    else:
        made = sessionmaker(engine)
        session = scoped_session(made) if request.param == "scoped" else made()
        yield session, lambda sql: session.execute(text(sql))
        session.close()
    engine.dispose()


def test_in_a_transaction_of_the_callers(sync: pgstate.sync.State, begun: tuple[Any, Any]) -> None:
    connection, execute = begun
    execute("create table public.orders (id int)")
    connection.commit()
    bound = sync.bind(connection)
    with sync.watch("o/*") as changes:
        execute("insert into public.orders values (1)")
        assert bound.put("o/1", {"order": 1}) == 1
        with pytest.raises(errors.VersionConflict):
            bound.put("o/1", {}, expect=7)
        assert bound.get("o/1").value == {"order": 1} and sync.get("o/1") is None
        assert bound.namespace("o").update("1", lambda value: {**value, "more": True}).version == 2
        connection.commit()
        assert [next(changes).version, next(changes).version] == [1, 2]
        execute("insert into public.orders values (2)")
        bound.put_many({"o/2": 2, "o/3": 3})
        assert [entry.key for entry in bound.list("o/*")] == ["o/1", "o/2", "o/3"]
        connection.rollback()
    assert [row[0] for row in execute("select id from public.orders")] == [1]
    assert [entry.key for entry in sync.list("o/*")] == ["o/1"]
    with pytest.raises(errors.InTransaction):
        bound.watch("o/*")


def test_a_bound_call_that_takes_too_long_is_cancelled(sync: pgstate.sync.State, database: Database) -> None:
    sync.put("k", 1)
    with psycopg.connect(database.dsn("installer")) as one, psycopg.connect(database.dsn("installer")) as two:
        sync.bind(one).put("k", 2)
        with pytest.raises(errors.Timeout):
            sync.with_timeout(0.2).bind(two).put("k", 3)
        two.rollback()
        one.commit()
        assert sync.bind(two).get("k").value == 2


def test_what_cannot_be_bound(sync: pgstate.sync.State, database: Database) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"not to a builtins\.str"):
        sync.bind("postgresql://")
    engine = create_engine(database.dsn("installer").replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as connection, pytest.raises(errors.InvalidArgument, match="this one is on psycopg2"):
        sync.bind(connection).get("k")
    engine.dispose()


def test_after_close(sync: pgstate.sync.State, database: Database) -> None:
    with pgstate.sync.connect(database.dsn("installer")) as other:
        view = other.namespace("a")
    with pytest.raises(errors.Closed):
        view.put("b", 1)
    other.close()


_FORKING = """
    import os, sys
    import pgstate.sync


    state = pgstate.sync.connect(sys.argv[1])
    view = state.namespace("a")
    view.put("from", "parent")
    for number in range(3):
        view.thread("t").save({"n": number})
    history, other = view.thread("t").history(), view.thread("t").history()
    next(history), next(other)
    changes = state.watch("a/*")
    changes.__enter__()
    with state.lock("held", lease=30) as lock:
        child = os.fork()
        if not child:
            try:
                assert view.get("from").value == "parent"
                view.put("from", "child")
                try:
                    next(changes)
                except pgstate.errors.Closed:
                    pass
                else:
                    os._exit(3)
                other.close()
                try:
                    next(history)
                except pgstate.errors.Closed:
                    pass
                else:
                    os._exit(6)
                try:
                    lock.token
                except pgstate.errors.Closed:
                    pass
                else:
                    os._exit(4)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(5)
            # the end of the block, and of the process, are the parent's affair
        else:
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, status
            assert next(changes).value == "child"
            state.put("held", 1, token=lock.token)
            assert view.put("from", "parent again") > 0
            assert next(changes).value == "parent again"
            assert len([*history, *other]) == 4
    if child:
        print("whole")
"""


def _script(text: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:This process:DeprecationWarning",
            "-c",
            textwrap.dedent(text),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def test_a_forked_child_has_connections_of_its_own(database: Database) -> None:
    done = _script(_FORKING, database.dsn("installer"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")


def test_what_is_left_open_is_closed_at_the_end(database: Database, sync: pgstate.sync.State) -> None:
    done = _script(
        """
        import sys
        import pgstate.sync
        state = pgstate.sync.connect(sys.argv[1])
        with state.watch("**") as changes:
            state.put("k", 1)
            assert next(changes).key == "k"
        state.watch("**").__enter__()
        """,
        database.dsn("installer"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # closing records where the feed was
    assert database.sql("select count(*) from pgstate.feed_point") != [(0,)]


def test_a_thread_goes_on_when_the_main_one_has_ended(database: Database, sync: pgstate.sync.State) -> None:
    done = _script(
        """
        import sys, threading
        import pgstate.sync
        state = pgstate.sync.connect(sys.argv[1])
        state.put("tasks/1", 1)
        def work():
            threading.main_thread().join()
            stop = threading.Event()
            state.work("tasks/*", lambda task: stop.set(), stop=stop, move_to="done/*")
        threading.Thread(target=work).start()
        """,
        database.dsn("installer"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [entry.key for entry in sync.list("done/*")] == ["done/1"]


def test_what_nobody_waits_for_ends_with_the_process_and_says_nothing(database: Database) -> None:
    done = _script(
        """
        import sys, threading
        import pgstate.sync
        state = pgstate.sync.connect(sys.argv[1])
        beginning = threading.Barrier(3)
        def watch():
            with state.watch("**") as changes:
                beginning.wait()
                next(changes)
        def update():
            state.update("k", lambda value: beginning.wait() and None or threading.Event().wait())
        for target in (watch, update):
            threading.Thread(target=target, daemon=True).start()
        beginning.wait()
        """,
        database.dsn("installer"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_LEFT_TO_THE_INTERPRETER = {
    "an iteration": "left = state.thread('t').history(); next(left)",
    "a watch": """
        def changes():
            with state.watch("**", initial=True) as watch:
                yield from watch
        left = changes(); next(left)
        """,
    "a block": """
        def held():
            with state.lock("held", lease=30) as lock:
                yield lock
        left = held(); next(left)
        """,
    "a state": """
        def opened():
            with pgstate.sync.connect(sys.argv[1]) as other:
                yield other
        left = opened(); next(left)
        """,
    "a saver": """
        import warnings
        warnings.simplefilter("default")
        from pgstate.integrations.langgraph import PgStateSaver
        def opened():
            with PgStateSaver.from_conn_string(sys.argv[1]) as saver:
                yield saver
        left = opened(); next(left)
        """,
    "a call": """
        class Last:
            def __del__(self):
                try:
                    state.put("last", 1)
                except pgstate.errors.Closed as error:
                    print(error)
        left = Last()
        """,
}


@pytest.mark.parametrize("left", _LEFT_TO_THE_INTERPRETER)
def test_what_the_interpreter_ends_waits_for_nothing(database: Database, left: str) -> None:
    done = _script(
        "import sys, pgstate.sync\n"
        "state = pgstate.sync.connect(sys.argv[1])\n"
        "state.thread('t').save({'step': 1})\n"
        "state.thread('t').save({'step': 2})\n" + textwrap.dedent(_LEFT_TO_THE_INTERPRETER[left]),
        database.dsn("installer"),
    )
    told = "the process is ending\n" if left == "a call" else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")


async def test_synchronous_work_for_an_asynchronous_state(state: pgstate.State, database: Database) -> None:
    """On the very loop of the state, and in a thread that this loop waits for."""
    await state.put("a/k", 1)
    view = state.namespace("a")

    async def read(other: pgstate.State) -> Any:
        entry = await other.get("k")
        assert entry is not None
        return entry.value, other is view

    assert _bridge.run_sync(view, read) == (1, False)
    with ThreadPoolExecutor(1) as threads:
        # the loop is blocked until that thread is done
        assert threads.submit(_bridge.run_sync, view, read).result() == (1, False)
    assert await asyncio.to_thread(_bridge.run_sync, view, read) == (1, False)
    assert await _bridge.run_async(view, read) == (1, True)

    def elsewhere() -> Any:
        return asyncio.run(_bridge.run_async(view, read))

    assert await asyncio.to_thread(elsewhere) == (1, False)
    twin = view._core.kept[_bridge._near][1]
    assert not twin.closed
    await state.close()
    assert twin.closed
    with pytest.raises(errors.Closed):
        _bridge.run_sync(view, read)


async def test_iterating_from_anywhere(state: pgstate.State, sync: pgstate.sync.State) -> None:
    ended = 0

    async def numbers(other: pgstate.State) -> Any:
        nonlocal ended
        try:
            for number in range(200):
                yield number, (await other.me())
        finally:
            ended += 1

    wanted = [(number, "admin") for number in range(200)]
    assert list(_bridge.each_sync(state, numbers)) == wanted
    assert list(_bridge.each_sync(sync, numbers)) == wanted
    assert [item async for item in _bridge.each_async(state, numbers)] == wanted
    assert [item async for item in _bridge.each_async(sync, numbers)] == wanted
    assert ended == 4
    some = _bridge.each_sync(sync, numbers)
    assert next(some) == wanted[0]
    some.close()
    assert ended == 5


async def test_a_state_on_a_pool_is_of_one_loop(database: Database) -> None:
    async with (
        asyncpg.create_pool(database.dsn("installer"), min_size=0) as pool,
        pgstate.connect(pool=pool) as state,
    ):
        with pytest.raises(errors.InvalidArgument, match="connect with a dsn"):
            _bridge.run_sync(state, lambda other: other.me())
        assert await _bridge.run_async(state, lambda other: other.me()) == "admin"


def test_names_of_the_package() -> None:
    assert sorted(pgstate.sync.__all__) == [
        "BoundState", "Claiming", "Context", "Lock", "Locking", "Run", "Running", "Runs", "State", "Task", "Thread", "TypedState", "TypedWatch", "Watch", "connect",
    ]  # fmt: skip
    assert [name for name in pgstate.sync.__all__ if not inspect.getdoc(getattr(pgstate.sync, name))] == []
    assert _loop.current() is _loop.current()
    assert _state.State is pgstate.sync.State
