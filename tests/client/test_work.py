"""The worker loop: everything is worked on, once; what fails is tried again; it ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from _server import SUPERUSER
from client._proxy import Proxy
from client.conftest import Connect
from conftest import Database
from pgstate import Run, State, Task, errors

_GUARD = 30


async def _finished(state: State, count: int, pattern: str = "tasks/*") -> None:
    async with asyncio.timeout(_GUARD):
        while len(await state.tasks(pattern, states=["finished"])) < count:
            await asyncio.sleep(0.01)


async def test_everything_is_worked_on_once(state: State, connect: Connect) -> None:
    await state.put_many({f"tasks/{n}": n for n in range(30)})
    ran: list[int] = []
    busiest = busy = 0
    stop = asyncio.Event()

    async def handle(task: Task) -> dict[str, int]:
        nonlocal busy, busiest
        busy += 1
        busiest = max(busiest, busy)
        await asyncio.sleep(0)
        ran.append(task.value)
        busy -= 1
        return {"square": task.value**2}

    other = await connect()
    works = [
        asyncio.create_task(one.work("tasks/*", handle, concurrency=4, move_to="done/*", stop=stop))
        for one in (state, other)
    ]
    await _finished(state, 30)
    # and what comes later
    await state.put("tasks/late", 100)
    await _finished(state, 31)
    stop.set()
    async with asyncio.timeout(_GUARD):
        assert sum(await asyncio.gather(*works)) == 31
    assert sorted(ran) == [*range(30), 100]
    assert 1 < busiest <= 8
    assert {entry.key: entry.value["square"] for entry in await state.list("done/*")} == {
        **{f"done/{n}": n * n for n in range(30)}, "done/late": 10000,
    }  # fmt: skip


async def test_what_fails_is_tried_again_and_given_up(state: State) -> None:
    await state.set_policy("tasks/**", max_attempts=2, backoff=0.01, dead_letter="dead")
    await state.put_many({"tasks/bad": 1, "tasks/good": 2, "tasks/own": 3})
    stop = asyncio.Event()

    def handle(task: Task) -> None:
        if task.key == "tasks/bad":
            raise ValueError("never")

    async def own(task: Task) -> None:
        if task.key == "tasks/own":
            await task.complete("by itself", move_to="done/*")
        else:
            handle(task)

    working = asyncio.create_task(state.work("tasks/*", own, stop=stop))
    async with asyncio.timeout(_GUARD):
        while not (dead := await state.tasks("dead/*")):
            await asyncio.sleep(0.01)
    stop.set()
    assert await working == 2
    assert [(one.key, one.state, one.attempts, one.error) for one in dead] == [
        ("dead/bad", "failed", 2, "ValueError: never")
    ]
    assert (await state.get("done/own")).value == "by itself"  # type: ignore[union-attr]


async def test_sigterm_lets_the_handlers_end(state: State) -> None:
    await state.put_many({f"tasks/{n}": n for n in range(5)})
    started, go_on = asyncio.Event(), asyncio.Event()
    before = signal.getsignal(signal.SIGTERM)

    async def handle(task: Task) -> None:
        started.set()
        await go_on.wait()

    working = asyncio.create_task(state.work("tasks/*", handle, concurrency=2))
    idle = asyncio.create_task(state.work("none/*", handle, concurrency=2))
    await asyncio.wait_for(started.wait(), _GUARD)
    async with asyncio.timeout(_GUARD):
        while len(await state.claims("tasks/*")) < 2:
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(idle, _GUARD) == 0
    assert not working.done()
    go_on.set()
    assert await asyncio.wait_for(working, _GUARD) == 2
    states = [one.state for one in await state.tasks("tasks/*")]
    assert sorted(states) == ["finished"] * 2 + ["waiting"] * 3
    assert signal.getsignal(signal.SIGTERM) == before


async def test_signals_do_afterwards_what_they_did_before(state: State) -> None:
    before = signal.getsignal(signal.SIGTERM)
    first, second = asyncio.Event(), asyncio.Event()
    works = [asyncio.create_task(state.work("tasks/*", print, stop=stop)) for stop in (first, second)]
    async with asyncio.timeout(_GUARD):
        while signal.getsignal(signal.SIGTERM) == before:
            await asyncio.sleep(0)
        # the one that came first goes first
        first.set()
        assert await works[0] == 0
        assert signal.getsignal(signal.SIGTERM) != before
        second.set()
        assert await works[1] == 0
    assert signal.getsignal(signal.SIGTERM) == before


async def test_a_signal_that_the_application_handles_is_left_to_it(state: State) -> None:
    heard, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        working = asyncio.create_task(state.work("tasks/*", print, stop=stop))
        await state.put("tasks/1", 1)
        await _finished(state, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), _GUARD)
        stop.set()
        assert await asyncio.wait_for(working, _GUARD) == 1
        heard.clear()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), _GUARD)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_only_what_was_completed_counts(state: State) -> None:
    await state.put_many({"tasks/1": 1, "tasks/2": 2, "tasks/3": 3})
    stop = asyncio.Event()
    seen: set[str] = set()

    async def handle(task: Task) -> None:
        if task.key == "tasks/1":
            await task.fail("no", retry_in=60)
        elif task.key == "tasks/2" and task.key not in seen:
            await task.release()
        seen.add(task.key)

    working = asyncio.create_task(state.work("tasks/*", handle, concurrency=1, stop=stop))
    await _finished(state, 2)
    stop.set()
    assert await asyncio.wait_for(working, _GUARD) == 2


async def test_a_cancelled_loop_gives_everything_back(state: State) -> None:
    await state.put_many({f"tasks/{n}": n for n in range(3)})
    started = asyncio.Event()

    async def handle(task: Task) -> None:
        started.set()
        await asyncio.Event().wait()

    working = asyncio.create_task(state.work("tasks/*", handle, concurrency=2))
    await asyncio.wait_for(started.wait(), _GUARD)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    async with asyncio.timeout(_GUARD):
        while await state.claims():
            await asyncio.sleep(0.01)
    assert {one.state for one in await state.tasks("tasks/*")} == {"waiting"}


async def test_a_server_that_is_away_is_waited_for(state: State, connect: Connect, proxy: Proxy) -> None:
    # as long as a busy machine takes for a statement
    worker = (await connect(dsn=proxy.dsn)).with_timeout(1)
    stop = asyncio.Event()
    working = asyncio.create_task(worker.work("tasks/*", lambda task: None, concurrency=2, stop=stop))
    await proxy.stop()
    await state.put("tasks/1", 1)
    tried = worker.stats.retries
    async with asyncio.timeout(_GUARD):
        # more often than one call does within that
        while worker.stats.retries < tried + 10:
            await asyncio.sleep(0.01)
    assert not working.done()
    await proxy.start()
    await _finished(state, 1)
    stop.set()
    assert await asyncio.wait_for(working, _GUARD) == 1


@pytest.mark.parametrize("of", ["tasks", "runs"])
async def test_a_server_that_gives_statements_up_is_waited_for(
    state: State, connect: Connect, connect_as: Any, database: Database, caplog: pytest.LogCaptureFixture, of: str
) -> None:
    """A statement_timeout that a busy server exceeds, say."""
    await state.put("tasks/1", 1)
    await state.runs.start("runs/1", "one")
    database.sql(f"alter database \"{database.name}\" set statement_timeout = '300ms'")
    worker, locking, stop = await connect(), await connect_as(SUPERUSER), asyncio.Event()

    async def one(run: Run, given: Any) -> int:
        return 1

    async with locking.transaction():
        await locking.execute("lock table pgstate.claim in access exclusive mode")
        if of == "tasks":
            working = asyncio.create_task(worker.work("tasks/*", lambda task: None, stop=stop))
        else:
            working = asyncio.create_task(worker.runs.worker({"one": one}, stop=stop))
        async with asyncio.timeout(_GUARD):
            while "statement timeout" not in caplog.text and not working.done():
                await asyncio.sleep(0.01)
        assert not working.done()
    if of == "tasks":
        await _finished(state, 1)
    else:
        assert await state.runs.result("runs/1", wait=_GUARD) == 1
    stop.set()
    assert await asyncio.wait_for(working, _GUARD) == 1


async def test_what_cannot_be_worked_on_is_said(state: State, agent: Connect) -> None:
    worker = await agent("worker", "read tasks/**")
    with pytest.raises(errors.AccessDenied):
        await worker.work("tasks/*", print)
    with pytest.raises(errors.InvalidArgument):
        await state.work("tasks/*", print, concurrency=0)


async def test_a_handler_that_awaits_what_was_cancelled_fails_its_task_and_ends_no_worker(state: State) -> None:
    await state.set_policy("tasks/**", max_attempts=1, dead_letter="dead")
    await state.put_many({"tasks/1": 1, "tasks/2": 2})
    stop = asyncio.Event()

    async def handle(task: Task) -> None:
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    working = asyncio.create_task(state.work("tasks/*", handle, concurrency=1, stop=stop))
    async with asyncio.timeout(_GUARD), state.watch("dead/*", initial=True) as changes:
        assert {(await anext(changes)).key, (await anext(changes)).key} == {"dead/1", "dead/2"}
    assert not working.done()
    stop.set()
    assert await working == 0


async def test_a_task_fails_with_an_error_that_postgresql_has_no_text_of(state: State) -> None:
    await state.put("tasks/1", 1)
    with pytest.raises(ValueError, match="b"):
        async with state.claim_next("tasks/*"):
            raise ValueError("a\0b\ud800c")
    (task,) = await state.tasks("tasks/*")
    assert task.error == "ValueError: a\\0b?c"


async def test_an_error_without_a_text_ends_no_worker(state: State, caplog: pytest.LogCaptureFixture) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def handle(task: Task) -> None:
        stop.set()
        raise Unspeakable

    await state.put("tasks/1", 1)
    stop = asyncio.Event()
    assert await state.work("tasks/*", handle, concurrency=1, stop=stop) == 0
    assert "Unspeakable: its text raises RuntimeError" in caplog.text
