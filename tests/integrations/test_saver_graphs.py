"""Compiled graphs, sync and async, on this saver and on InMemorySaver beside it: what they do is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, StateSnapshot

import pgstate
from integrations import _graphs
from integrations._checkpoints import at
from pgstate.integrations.langgraph import PgStateSaver


class Sync:
    """A compiled graph by its sync methods, each in a thread as an application would call them."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    async def invoke(self, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self._graph.invoke, *args, **options)

    async def state(self, config: Any, **options: Any) -> StateSnapshot:
        return await asyncio.to_thread(self._graph.get_state, config, **options)

    async def history(self, config: Any, **options: Any) -> list[StateSnapshot]:
        return await asyncio.to_thread(lambda: [*self._graph.get_state_history(config, **options)])

    async def update(self, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self._graph.update_state, *args, **options)


class Async:
    """By its async methods."""

    def __init__(self, graph: Any) -> None:
        self.invoke = graph.ainvoke
        self.state = graph.aget_state
        self.update = graph.aupdate_state
        self._history = graph.aget_state_history

    async def history(self, config: Any, **options: Any) -> list[StateSnapshot]:
        return [found async for found in self._history(config, **options)]


Compile = Callable[..., tuple[Any, Any]]


@pytest.fixture(params=["async", "sync"])
def both(request: pytest.FixtureRequest, saver: PgStateSaver) -> Compile:
    """`both(builder)`: the graph on this saver, and on InMemorySaver."""
    way = Async if request.param == "async" else Sync

    def compile_(builder: StateGraph[Any], **options: Any) -> tuple[Any, Any]:
        return way(builder.compile(checkpointer=saver, **options)), way(
            builder.compile(checkpointer=InMemorySaver(), **options)
        )

    return compile_


def seen(found: StateSnapshot) -> Any:
    """What a snapshot tells but ids and times."""
    tasks = [
        (
            t.name,
            t.path,
            str(t.error),
            [i.value for i in t.interrupts],
            t.result and sorted(t.result.items()),
            _sub(t.state),
        )
        for t in found.tasks
    ]
    metadata = {k: v for k, v in (found.metadata or {}).items() if k != "parents"}
    return found.values, found.next, metadata, tasks


def _sub(state: Any) -> Any:
    return seen(state) if isinstance(state, StateSnapshot) else None


async def same_history(mine: Any, theirs: Any) -> list[StateSnapshot]:
    found = await mine.history(at("t"))
    assert [seen(s) for s in found] == [seen(s) for s in await theirs.history(at("t"))]
    return found


async def test_interrupted_and_resumed(both: Compile) -> None:
    mine, theirs = both(_graphs.review())
    for graph in (mine, theirs):
        said = await graph.invoke({"topic": "owls", "notes": []}, at("t"))
        assert said["__interrupt__"][0].value == {"review": "draft of owls"}
    assert seen(await mine.state(at("t"))) == seen(await theirs.state(at("t")))
    for graph in (mine, theirs):
        said = await graph.invoke(Command(resume="yes"), at("t"))
        assert said["notes"] == ["draft of owls", "reviewed: yes", "published"]
    await same_history(mine, theirs)


async def test_subgraphs(both: Compile) -> None:
    mine, theirs = both(_graphs.nested())
    for graph in (mine, theirs):
        await graph.invoke({"topic": "owls", "notes": []}, at("t"))
    inside = [await graph.state(at("t"), subgraphs=True) for graph in (mine, theirs)]
    assert seen(inside[0]) == seen(inside[1])
    assert inside[0].tasks[0].state.values["notes"] == ["before", "draft of owls"]
    # changed inside, then resumed
    for graph, found in zip((mine, theirs), inside, strict=True):
        await graph.update(found.tasks[0].state.config, {"notes": ["by hand"]}, as_node="write")
        said = await graph.invoke(Command(resume="no"), at("t"))
        assert said["notes"][-2:] == ["rejected", "after"] and "by hand" in said["notes"]
    await same_history(mine, theirs)


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_subgraphs_are_saved_however_late_the_run_is(both: Compile, durability: str) -> None:
    """On exit they come before the run's own first checkpoint."""
    mine, theirs = both(_graphs.nested())
    for graph in (mine, theirs):
        await graph.invoke({"topic": "owls", "notes": []}, at("t"), durability=durability)
    inside = [await graph.state(at("t"), subgraphs=True) for graph in (mine, theirs)]
    assert seen(inside[0]) == seen(inside[1]) and inside[0].tasks[0].state.values["notes"][-1] == "draft of owls"
    for graph in (mine, theirs):
        assert (await graph.invoke(Command(resume="yes"), at("t"), durability=durability))["notes"][-1] == "after"


async def test_fan_out(both: Compile) -> None:
    mine, theirs = both(_graphs.fan_out())
    for graph in (mine, theirs):
        assert (await graph.invoke({"n": 20, "done": []}, at("t")))["n"] == sum(n**2 for n in range(20))
    await same_history(mine, theirs)


async def test_fan_out_stopped_half_way(both: Compile) -> None:
    mine, theirs = both(_graphs.fan_out(), interrupt_after=["work"])
    for graph in (mine, theirs):
        assert len((await graph.invoke({"n": 5, "done": []}, at("t")))["done"]) == 5
    assert seen(await mine.state(at("t"))) == seen(await theirs.state(at("t")))
    for graph in (mine, theirs):
        assert (await graph.invoke(None, at("t")))["n"] == 30


async def test_time_travel(both: Compile) -> None:
    mine, theirs = both(_graphs.review())
    for graph in (mine, theirs):
        await graph.invoke({"topic": "owls", "notes": []}, at("t"))
        await graph.invoke(Command(resume="yes"), at("t"))
        before = next(s for s in await graph.history(at("t")) if s.next == ("write",))
        changed = await graph.update(before.config, {"topic": "bats"})
        said = await graph.invoke(None, changed)
        assert said["__interrupt__"][0].value == {"review": "draft of bats"}
        said = await graph.invoke(Command(resume="no"), at("t"))
        assert said["notes"] == ["draft of bats", "reviewed: no", "rejected"]
    found = await same_history(mine, theirs)
    # the first branch is there still
    assert [s.values["notes"][-1] for s in found if s.values.get("approved")] == ["published", "reviewed: yes"]
    assert len(await mine.history(at("t"), limit=2, before=found[3].config)) == 2
    assert [s.metadata["source"] for s in await mine.history(at("t"), filter={"source": "update"})] == ["update"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_delta_channels(both: Compile, durability: str) -> None:
    mine, theirs = both(_graphs.delta())
    for graph in (mine, theirs):
        for number in range(5):
            said = await graph.invoke({"log": [f"in {number}"], "n": number}, at("t"), durability=durability)
            assert said["log"][-3:] == [f"in {number}", f"one {number}", f"two {number}"]
        assert len(said["log"]) == 15
    found = await same_history(mine, theirs)
    # a branch from the middle
    middle = len(found) // 2
    for graph in (mine, theirs):
        branch = await graph.update((await graph.history(at("t")))[middle].config, {"log": ["branched"]}, as_node="two")
        assert (await graph.state(branch)).values["log"] == [*found[middle].values["log"], "branched"]
        await graph.invoke({"log": ["on"], "n": 9}, at("t"), durability=durability)
    await same_history(mine, theirs)


async def test_delta_channels_pruned(saver: PgStateSaver) -> None:
    graph = _graphs.delta().compile(checkpointer=saver)
    for number in range(5):
        await graph.ainvoke({"log": [f"in {number}"], "n": number}, at("t"))
    before = await graph.aget_state(at("t"))
    count = len([s async for s in graph.aget_state_history(at("t"))])
    await saver.aprune(["t"])
    assert (await graph.aget_state(at("t"))).values == before.values
    assert len([s async for s in graph.aget_state_history(at("t"))]) < count
    assert (await graph.ainvoke({"log": ["on"], "n": 9}, at("t")))["log"][:15] == before.values["log"]


async def test_messages(both: Compile) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda s: {"messages": [AIMessage(f"{len(s['messages'])}", id=f"a{len(s['messages'])}")]})
    graph.add_edge(START, "answer")
    mine, theirs = both(graph)
    for on in (mine, theirs):
        for number in range(4):
            await on.invoke({"messages": [HumanMessage("hi", id=f"h{number}")]}, at("t"))
        await on.update(at("t"), {"messages": [RemoveMessage(id="h1"), HumanMessage("changed", id="h2")]})
    assert [m.id for m in (await mine.state(at("t"))).values["messages"]] == ["h0", "a1", "a3", "h2", "a5", "h3", "a7"]
    await same_history(mine, theirs)


async def test_a_failed_node_goes_on(both: Compile) -> None:
    tries: list[str] = []

    def flaky(state: Any) -> dict[str, Any]:
        tries.append("flaky")
        if tries.count("flaky") == 1:
            raise ValueError("not yet")
        return {"done": [2]}

    def steady(_: Any) -> dict[str, Any]:
        tries.append("steady")
        return {"done": [1]}

    graph = StateGraph(_graphs.Work)
    graph.add_node("steady", steady)
    graph.add_node("flaky", flaky)
    graph.add_edge(START, "steady")
    graph.add_edge("steady", "flaky")
    mine, theirs = both(graph)
    for on in (mine, theirs):
        tries.clear()
        with pytest.raises(ValueError, match="not yet"):
            await on.invoke({"n": 1, "done": []}, at("t"))
        assert (await on.invoke(None, at("t")))["done"] == [1, 2]
        assert tries == ["steady", "flaky", "flaky"]
    await same_history(mine, theirs)


async def test_the_functional_api(saver: PgStateSaver) -> None:
    calls: list[int] = []

    @task
    async def double(n: int) -> int:
        calls.append(n)
        return 2 * n

    @entrypoint(checkpointer=saver)
    async def flow(n: int, *, previous: int | None = None) -> Any:
        total = sum([await double(n), await double(n + 1)]) + (previous or 0)
        from langgraph.types import interrupt

        return entrypoint.final(value=interrupt(total), save=total)

    assert (await flow.ainvoke(1, at("t")))["__interrupt__"][0].value == 6
    assert await flow.ainvoke(Command(resume="go"), at("t")) == "go"
    assert calls == [1, 2]
    assert (await flow.ainvoke(10, at("t")))["__interrupt__"][0].value == 48


async def test_another_process_sees_it(saver: PgStateSaver, dsn: str) -> None:
    await _graphs.review().compile(checkpointer=saver).ainvoke({"topic": "owls", "notes": []}, at("t"))
    async with pgstate.connect(dsn) as other:
        resumed = _graphs.review().compile(checkpointer=PgStateSaver(other))
        assert (await resumed.ainvoke(Command(resume="yes"), at("t")))["notes"][-1] == "published"
