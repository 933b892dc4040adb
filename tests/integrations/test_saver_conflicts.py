"""Runs on one thread at the same time: each adds 1 to what it read. LangGraph's saver lets all of them succeed, and all
but one are lost; this one too unless told not to."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.errors import EmptyInputError, InvalidUpdateError
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from integrations import _graphs
from integrations._checkpoints import at, ids, put, read, until_saved
from integrations.conftest import MakeSaver
from pgstate import State, errors
from pgstate.integrations.langgraph import PgStateSaver, PgStateStore, _turns

RUNS = 8
ADDER = Path(__file__).with_name("_adder.py")


class Together:
    """A graph that adds 1, in which runs wait for each other between reading and writing."""

    def __init__(self, parties: int) -> None:
        self._barrier = asyncio.Barrier(parties)

    async def _add(self, state: _graphs.Count) -> dict[str, int]:
        await self._barrier.wait()
        return {"n": state["n"] + 1}

    def compile(self, saver: PgStateSaver) -> Any:
        graph = StateGraph(_graphs.Count)
        graph.add_node("add", self._add)
        graph.add_edge(START, "add")
        return graph.compile(checkpointer=saver)


async def begun(saver: PgStateSaver) -> Any:
    graph = _graphs.add_one().compile(checkpointer=saver)
    await graph.aupdate_state(at("t"), {"n": 1})
    return graph


async def test_without_on_conflict_all_but_one_are_lost(saver: PgStateSaver) -> None:
    await begun(saver)
    graph = Together(RUNS).compile(saver)
    await asyncio.gather(*(graph.ainvoke({}, at("t")) for _ in range(RUNS)))
    assert (await graph.aget_state(at("t"))).values == {"n": 2}


async def test_refused(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="refuse")
    graph = await begun(saver)
    ended = await asyncio.gather(*(graph.ainvoke({}, at("t")) for _ in range(RUNS)), return_exceptions=True)
    won = [end for end in ended if isinstance(end, dict)]
    lost = [end for end in ended if isinstance(end, errors.Conflict)]
    assert len(won) + len(lost) == RUNS and won
    # as many as succeeded have been added, none lost
    assert (await graph.aget_state(at("t"))).values == {"n": 1 + len(won)}


async def test_a_second_run_is_refused_while_one_is_under_way(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="refuse")
    await begun(saver)
    graph = Together(2).compile(saver)
    first, second = (asyncio.create_task(graph.ainvoke({}, at("t"))) for _ in range(2))
    ended = await asyncio.gather(first, second, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["CheckpointConflict", "dict"]
    assert (await graph.aget_state(at("t"))).values == {"n": 2}


async def test_waited_for(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="wait")
    graph = await begun(saver)
    ended = await asyncio.gather(*(graph.ainvoke({}, at("t")) for _ in range(RUNS)))
    assert sorted(end["n"] for end in ended) == [*range(2, 2 + RUNS)]
    assert (await graph.aget_state(at("t"))).values == {"n": 1 + RUNS}


async def test_none_as_a_checkpoint_is_the_latest(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="wait")
    graph = await begun(saver)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_id": None}}
    await asyncio.gather(*(graph.ainvoke({}, config) for _ in range(RUNS)))
    assert (await graph.aget_state(at("t"))).values == {"n": 1 + RUNS}


async def test_waited_for_by_clients(make_saver: MakeSaver, dsn: str) -> None:
    graph = await begun(make_saver(on_conflict="wait"))

    async def run() -> None:
        async with PgStateSaver.from_conn_string(dsn, on_conflict="wait") as saver:
            for _ in range(2):
                await _graphs.add_one().compile(checkpointer=saver).ainvoke({}, at("t"))

    await asyncio.gather(*(run() for _ in range(4)))
    assert (await graph.aget_state(at("t"))).values == {"n": 9}


@pytest.mark.thorough
async def test_waited_for_by_processes(make_saver: MakeSaver, dsn: str) -> None:
    graph = await begun(make_saver(on_conflict="wait"))
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, ADDER, dsn, "4", stdin=pipe, stdout=pipe) for _ in range(2)
    ]
    async with asyncio.timeout(300):
        for process in processes:
            assert process.stdout is not None and await process.stdout.readline() == b"ready\n"
        await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0]
    assert (await graph.aget_state(at("t"))).values == {"n": 9}


async def test_waited_for_in_threads(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="wait")
    graph = await begun(saver)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            graph.invoke({}, at("t"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert failed == []
    assert (await graph.aget_state(at("t"))).values == {"n": 1 + RUNS}


async def test_a_new_thread_is_waited_for(make_saver: MakeSaver) -> None:
    counting = StateGraph(_graphs.Count)
    counting.add_node("add", lambda state: {"n": state.get("n", 1) + 1})
    counting.add_edge(START, "add")
    graph = counting.compile(checkpointer=make_saver(on_conflict="wait"))
    await asyncio.gather(*(graph.ainvoke({}, at("new")) for _ in range(RUNS)))
    assert (await graph.aget_state(at("new"))).values == {"n": 1 + RUNS}


async def test_a_turn_ends_however_the_run_does(make_saver: MakeSaver) -> None:
    """Interrupted, failed, cancelled, stopped before a node: the next run does not wait for it."""
    saver = make_saver(on_conflict="wait")
    review = _graphs.review().compile(checkpointer=saver)
    async with asyncio.timeout(120):
        for _ in range(3):
            await review.ainvoke({"topic": "owls", "notes": []}, at("r"))
            await review.ainvoke(Command(resume="yes"), at("r"))
            await asyncio.to_thread(review.invoke, {"topic": "owls", "notes": []}, at("r"))
            await review.ainvoke(None, at("r"), interrupt_before=["publish"])
            await asyncio.to_thread(review.invoke, None, at("r"), interrupt_after=["write"])
            await asyncio.to_thread(review.invoke, {"topic": "owls", "notes": []}, at("r"), interrupt_before=["ask"])

        def fail(_: Any) -> Any:
            raise ValueError("no")

        failing = StateGraph(_graphs.Count)
        failing.add_node("fail", fail)
        failing.add_edge(START, "fail")
        graph = failing.compile(checkpointer=saver)
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await graph.ainvoke({"n": 1}, at("f"))
            with pytest.raises(ValueError, match="no"):
                await asyncio.to_thread(graph.invoke, {"n": 1}, at("f"))

        stuck = Together(2).compile(saver)
        for _ in range(2):
            run = asyncio.create_task(stuck.ainvoke({"n": 1}, at("c")))
            while len(await ids(saver, at("c"))) % 2 or not await ids(saver, at("c")):
                await asyncio.sleep(0.01)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            del run
            gc.collect()


async def test_a_run_that_fails_where_it_begins_does_not_hold_its_turn(make_saver: MakeSaver) -> None:
    """However long its error is kept."""

    def ask(count: _graphs.Count) -> dict[str, int]:
        return {} if count["n"] else {"n": interrupt("how many?")}

    asking = StateGraph(_graphs.Count)
    for name in ("one", "two"):
        asking.add_node(name, ask)
        asking.add_edge(START, name)
    graph = asking.compile(checkpointer=make_saver(on_conflict="wait", wait=5))
    for way in ("async", "sync"):

        async def run(asked: Any, way: str = way) -> Any:
            return await (
                graph.ainvoke(asked, at(way)) if way == "async" else asyncio.to_thread(graph.invoke, asked, at(way))
            )

        with pytest.raises(EmptyInputError) as kept:
            await run(None)
        await run({"n": 0})
        with pytest.raises(RuntimeError, match="multiple pending interrupts") as kept_too:
            await run(Command(resume=1))
        assert await run({"n": 1}) == {"n": 1}
        del kept, kept_too


@pytest.mark.parametrize("way", ["address", "pool", "engine", "sync"])
async def test_what_a_run_leaves_behind_does_not_hold_its_turn(dsn: str, way: str) -> None:
    """Connections that a node opens, statements that it prepares: by a graph within, and a store."""
    async with AsyncExitStack() as stack:
        given: dict[str, Any] = {"dsn": dsn}
        if way == "pool":
            given = {"pool": await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=5))}
        elif way == "engine":
            engine = create_async_engine("postgresql+asyncpg" + dsn.removeprefix("postgresql"))
            stack.push_async_callback(engine.dispose)
            given = {"engine": engine}
        state = await stack.enter_async_context(pgstate.connect(**given))

        async def look(doc: _graphs.Doc, runtime: Runtime[None]) -> dict[str, Any]:
            assert runtime.store is not None
            await runtime.store.aput(("topics",), doc["topic"], {"seen": True})
            return {"notes": [item.key for item in await runtime.store.asearch(("topics",))]}

        def look_sync(doc: _graphs.Doc, runtime: Runtime[None]) -> dict[str, Any]:
            assert runtime.store is not None
            runtime.store.put(("topics",), doc["topic"], {"seen": True})
            return {"notes": [item.key for item in runtime.store.search(("topics",))]}

        builder = _graphs.nested()
        builder.add_node("look", look_sync if way == "sync" else look)
        builder.add_edge("review", "look")
        saver = PgStateSaver(state, on_conflict="wait", wait=5)
        graph = builder.compile(checkpointer=saver, store=PgStateStore(state))

        async def run(asked: Any) -> Any:
            return await (
                asyncio.to_thread(graph.invoke, asked, at("t")) if way == "sync" else graph.ainvoke(asked, at("t"))
            )

        for _ in range(3):
            await run({"topic": "owls", "notes": []})
            notes = (await run(Command(resume="yes")))["notes"]
            assert {"after", "owls"} <= set(notes)


async def test_a_run_ends_before_the_timers_that_it_leaves(make_saver: MakeSaver) -> None:
    """An HTTP client's timeout, say: the loop keeps the timer, and the context it was made in, long after it was
    cancelled."""
    reached = asyncio.Event()

    async def ask(count: _graphs.Count) -> dict[str, int]:
        async with asyncio.timeout(3600):
            if count["n"] < 0:
                reached.set()
                await asyncio.Event().wait()
            return {"n": count["n"] + 1}

    asking = StateGraph(_graphs.Count)
    asking.add_node("ask", ask)
    asking.add_edge(START, "ask")
    graph = asking.compile(checkpointer=make_saver(on_conflict="wait"))
    async with asyncio.timeout(120):
        for _ in range(3):
            await graph.ainvoke({"n": 1}, at("t"))
            async for _ in graph.astream({"n": 1}, at("t")):
                break
            run = asyncio.create_task(graph.ainvoke({"n": -1}, at("t")))
            await reached.wait()
            reached.clear()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run


async def test_a_run_that_goes_on_after_an_error_keeps_its_turn(make_saver: MakeSaver, state: State) -> None:
    def fail(_: _graphs.Count) -> dict[str, int]:
        raise ValueError("no")

    async def mend(_: _graphs.Count) -> dict[str, int]:
        # it would be given back behind the scenes
        for _ in range(30):
            held.add(len(await state.claims()))
        return {"n": 7}

    held: set[int] = set()
    mending = StateGraph(_graphs.Count)
    mending.add_node("fail", fail, error_handler=mend)
    mending.add_edge(START, "fail")
    graph = mending.compile(checkpointer=make_saver(on_conflict="wait"))
    assert await graph.ainvoke({"n": 1}, at("t")) == {"n": 7}
    assert held == {1}


@pytest.mark.parametrize("way", ["async", "sync"])
async def test_updates_wait_too(make_saver: MakeSaver, way: str) -> None:
    """They are applied to what the one before has saved: none is refused, nor lost, nor mixed into another's."""
    logs = _graphs.delta().compile(checkpointer=make_saver(on_conflict="wait"))
    await logs.ainvoke({"n": 0, "log": []}, at("t"))

    async def update(number: int) -> None:
        call = at("t"), {"log": [f"update {number}"]}, "two"
        await (logs.aupdate_state(*call) if way == "async" else asyncio.to_thread(logs.update_state, *call))
        assert call[0] == at("t")

    await asyncio.gather(*(update(number) for number in range(RUNS)))
    log = (await logs.aget_state(at("t"))).values["log"]
    assert log[:2] == ["one 0", "two 0"]
    assert sorted(log[2:]) == [f"update {number}" for number in range(RUNS)]


async def test_an_update_waits_for_the_run(make_saver: MakeSaver) -> None:
    reached, ended = asyncio.Event(), asyncio.Event()
    saver = make_saver(on_conflict="wait")

    async def add(count: _graphs.Count) -> dict[str, int]:
        reached.set()
        await ended.wait()
        return {"n": count["n"] + 1}

    adding = StateGraph(_graphs.Count)
    adding.add_node("add", add)
    adding.add_edge(START, "add")
    graph = adding.compile(checkpointer=saver)
    run = asyncio.create_task(graph.ainvoke({"n": 1}, at("t")))
    await reached.wait()
    await until_saved(saver, at("t"), 2)
    update = asyncio.create_task(graph.aupdate_state(at("t"), {"n": 7}))
    # what it is to come after is not read before
    assert (await graph.aget_state(at("t"))).values == {"n": 1}
    ended.set()
    assert await run == {"n": 2}
    await update
    assert (await graph.aget_state(at("t"))).values == {"n": 7}


async def test_an_update_that_fails_does_not_hold_its_turn(
    make_saver: MakeSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = await begun(make_saver(on_conflict="wait", wait=5))
    with pytest.raises(InvalidUpdateError):
        await graph.aupdate_state(at("t"), {"n": 2}, as_node="nobody")
    await graph.ainvoke({}, at("t"))
    # while the error is kept, not for long
    monkeypatch.setattr(_turns, "_LONGEST_UPDATE", 0.1)
    with pytest.raises(InvalidUpdateError) as kept:
        await graph.aupdate_state(at("t"), {"n": 2}, as_node="nobody")
    assert await graph.ainvoke({}, at("t")) == {"n": 3}
    del kept


@pytest.mark.parametrize("call", ["aget_state", "aupdate_state"])
async def test_a_node_that_looks_at_another_thread_takes_no_turn_there(make_saver: MakeSaver, call: str) -> None:
    """With its own configuration, that is: in it is the run."""
    looked, ended = asyncio.Event(), asyncio.Event()
    saver = make_saver(on_conflict="wait", wait=5)
    other = _graphs.add_one().compile(checkpointer=saver)

    async def look(_: Any, config: RunnableConfig) -> dict[str, int]:
        named = {**config["configurable"], "thread_id": "other", "checkpoint_ns": ""}
        await getattr(other, call)({"configurable": named}, *([{"n": 3}] if call == "aupdate_state" else []))
        looked.set()
        await ended.wait()
        return {}

    looking = StateGraph(_graphs.Count)
    looking.add_node("look", look)
    looking.add_edge(START, "look")
    await other.ainvoke({"n": 1}, at("other"))
    run = asyncio.create_task(looking.compile(checkpointer=saver).ainvoke({"n": 0}, at("t")))
    await looked.wait()
    assert await other.ainvoke({"n": 7}, at("other")) == {"n": 8}
    ended.set()
    await run


async def test_a_deleted_thread_leaves_no_turn(
    make_saver: MakeSaver, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keys() -> list[str]:
        return [entry.key for entry in await state.list("threads/**")]

    saver = make_saver(on_conflict="wait")
    graph = await begun(saver)
    await graph.ainvoke({}, at("t"))
    assert await keys() == ["threads/t", "threads/t/turn"]
    await saver.adelete_thread("t")
    assert await keys() == []
    await graph.aupdate_state(at("u"), {"n": 1})
    await asyncio.to_thread(saver.prune, ["u"], strategy="delete")
    assert await keys() == []
    # a run that goes on keeps it
    monkeypatch.setattr(_turns, "_FAREWELL", 0.0)
    await state.put("threads/t/turn", None)
    await take(state)
    await saver.adelete_thread("t")
    assert await keys() == ["threads/t/turn"]


async def take(state: State) -> None:
    """The turn, as a process that died leaves it."""
    # the one before is given back behind the scenes
    async with asyncio.timeout(60):
        while True:
            with suppress(errors.ClaimHeld):
                await state.claim("threads/t/turn", 30)
                return
            await asyncio.sleep(0.01)


async def test_a_dead_process_is_waited_for_no_longer_than_its_lease(
    make_saver: MakeSaver, state: State, clock: Any
) -> None:
    graph = await begun(make_saver(on_conflict="wait", lease=30))
    await take(state)
    run = asyncio.create_task(graph.ainvoke({}, at("t")))
    async with asyncio.timeout(20):
        await clock.advance(31)
        assert await run == {"n": 2}


async def test_patience_ends(make_saver: MakeSaver, state: State) -> None:
    graph = await begun(make_saver(on_conflict="wait", wait=0))
    await take(state)
    with pytest.raises(errors.ClaimHeld):
        await graph.ainvoke({}, at("t"))


@pytest.mark.parametrize("way", ["ainvoke", "aupdate_state", "invoke", "update_state"])
async def test_a_node_that_waits_for_its_own_run_is_told_so(make_saver: MakeSaver, way: str) -> None:
    saver = make_saver(on_conflict="wait", wait=0.05)
    inner = _graphs.add_one().compile(checkpointer=saver)

    def graph_of(node: Any) -> Any:
        graph = StateGraph(_graphs.Count)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        return graph.compile(checkpointer=saver)

    def change(state: _graphs.Count) -> Any:
        change = getattr(inner, way)
        return change(at("t"), {"n": 5}) if "update" in way else change({"n": 5}, at("t"))

    async def change_later(state: _graphs.Count) -> Any:
        await change(state)

    with pytest.raises(errors.ClaimHeld, match=r"run on the thread threads/t that this was called in"):
        if way.startswith("a"):
            await graph_of(change_later).ainvoke({"n": 1}, at("t"))
        else:
            await asyncio.to_thread(graph_of(change).invoke, {"n": 1}, at("t"))
    graph = _graphs.add_one().compile(checkpointer=make_saver(on_conflict="wait"))
    assert await graph.ainvoke({"n": 1}, at("t")) == {"n": 2}


async def test_a_turn_is_given_back_when_the_client_closes(make_saver: MakeSaver, dsn: str) -> None:
    graph = await begun(make_saver(on_conflict="wait"))
    reached = asyncio.Event()

    async def wait(_: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    waiting = StateGraph(_graphs.Count)
    waiting.add_node("wait", wait)
    waiting.add_edge(START, "wait")
    async with PgStateSaver.from_conn_string(dsn, on_conflict="wait", lease=600) as other:
        run = asyncio.create_task(waiting.compile(checkpointer=other).ainvoke({}, at("t")))
        await reached.wait()
    async with asyncio.timeout(60):
        # long before the end of the lease
        await graph.ainvoke({}, at("t"))
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_time_travel_is_no_conflict(make_saver: MakeSaver) -> None:
    for way in ("refuse", "wait"):
        saver = make_saver(on_conflict=way, prefix=way)
        graph = await begun(saver)
        for _ in range(2):
            await graph.ainvoke({}, at("t"))
        old = [s async for s in graph.aget_state_history(at("t"))][2]
        changed = await graph.aupdate_state(old.config, {"n": 40})
        assert (await graph.ainvoke({}, changed))["n"] == 41
        assert (await graph.ainvoke({}, at("t")))["n"] == 42
        copied = await graph.aupdate_state(old.config, None, as_node="__copy__")
        assert (await graph.aget_state(copied)).values == old.values
        forked = await asyncio.to_thread(graph.update_state, old.config, {"n": 50})
        assert (await asyncio.to_thread(graph.invoke, {}, forked))["n"] == 51
        await graph.ainvoke(None, old.config)


async def test_a_stale_update_is_refused(make_saver: MakeSaver) -> None:
    saver = make_saver(on_conflict="refuse")
    first = await put(saver, at("t"), {"n": 1})
    await put(saver, first, {"n": 2}, {"n": 2})
    with pytest.raises(errors.Conflict):
        await put(saver, first, {"n": 3}, {"n": 2})
    with pytest.raises(errors.Conflict):
        await put(saver, at("t"), {"n": 3})
    assert (await read(saver, at("t"))).checkpoint["channel_values"] == {"n": 2}
    # namespaces have heads of their own
    await put(saver, at("t", ns="child:1"), {"n": 3})
    assert len(await ids(saver, {"configurable": {"thread_id": "t"}})) == 3


def test_ways_are_checked(make_saver: MakeSaver) -> None:
    with pytest.raises(errors.InvalidArgument):
        make_saver(on_conflict="ignore")
