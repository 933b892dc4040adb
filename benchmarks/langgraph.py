"""LangGraph's checkpoints beside AsyncPostgresSaver and InMemorySaver: `python -m benchmarks.langgraph`."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, MessagesState, StateGraph

import pgstate
from benchmarks._least import Least, least
from benchmarks._measure import Comparison, Effort, compare, median
from benchmarks._run import run
from benchmarks._server import AREAS, Actor, Database, Server
from benchmarks._table import Line, Report
from pgstate.integrations.langgraph import PgStateSaver

_STEPS = 1000
_END = 50  # further steps, by which the time at the end is taken
_LEAST = 1 / 50
_SIZE = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname in ('public', 'pgstate')
"""

_SAVE = "select least.save('threads/known-0', $1, $2, $3, $4, $5, $6, $7, $8)"

Saver = BaseCheckpointSaver[Any]


@dataclass
class Grown:
    """What a thread of so many messages cost."""

    saver: Saver
    bytes: int = 0
    wal: int = 0
    last: float = 0.0
    listing: float = 0.0


async def measure(server: Server, quick: bool) -> Report:
    """A thread that grows by a message of 1 KiB a step; small states; lists."""
    steps = 200 if quick else _STEPS
    effort = Effort(3, 0.25) if quick else Effort(7, 0.5)
    report = Report("langgraph: checkpoints", "AsyncPostgresSaver")
    async with AsyncExitStack() as stack:
        database, actor = await _database(stack, server)
        ours, theirs = await _savers(stack, server, database, actor)
        mine, other, memory = Grown(ours[0]), Grown(theirs[0]), Grown(InMemorySaver())
        for grown, dsn in ((mine, ours[1]), (other, theirs[1]), (memory, None)):
            await _grow(grown, dsn, steps)
        for grown in (mine, other):
            grown.listing = await _list(grown.saver, steps)
        await server.settle()
        turns = asyncio.Lock()
        await asyncio.gather(*(_continue(grown, steps + _END, turns) for grown in (mine, other, memory)))
        report.lines += _lines(mine, other, memory, steps)
        await server.settle()
        comparisons = _small(ours[0], theirs[0])
        if server.own:
            known = await stack.enter_async_context(least(database.dsn, actor.dsn, "threads/known"))
            comparisons.append(await _by_hand(known, ours[0], theirs[0]))
        await compare(comparisons, effort)
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"A graph of one node that adds a message of 1 KiB {steps:,} times in one run, each step saved before the next "
        "(durability sync); tables with indexes and WAL right after, default settings; a step at the end is the median "
        f"of {_END} more, in turns. The list takes metadata, ids and parents of all checkpoints. Small states: three "
        f"channels, 64 bytes each. {effort}. AsyncPostgresSaver is made by from_conn_string; as it holds a lock around "
        f"each call, a pool of connections would not help it. Ours as an agent with {len(AREAS) + 1} granted subtrees. "
        "By hand: a function for this case alone (least.sql), called on one connection, without a client"
    )
    return report


async def _database(stack: AsyncExitStack, server: Server) -> tuple[Database, Actor]:
    database = await stack.enter_async_context(server.database())
    return database, await database.agent("agent", [*(f"{subtree}/**" for subtree in AREAS), "threads/**"])


async def _savers(
    stack: AsyncExitStack, server: Server, mine: Database, actor: Actor
) -> tuple[tuple[Saver, str], tuple[Saver, str]]:
    state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
    theirs = await stack.enter_async_context(server.empty())
    reference = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(theirs))
    await reference.setup()
    return (PgStateSaver(state), mine.dsn), (reference, theirs)


async def _grow(grown: Grown, dsn: str | None, steps: int) -> None:
    size, wal = await _measured(dsn)
    await _run(grown.saver, steps, _nothing)
    after, written = await _measured(dsn)
    grown.bytes, grown.wal = after - size, written - wal


async def _continue(grown: Grown, steps: int, turns: asyncio.Lock) -> None:
    """More steps of a thread, in turns with those of others: one at a time, each waits for all others' next one."""
    spans: list[float] = []
    began = 0.0

    async def take_turn() -> None:
        nonlocal began
        if began:
            spans.append(time.perf_counter() - began)
            turns.release()
        await turns.acquire()
        began = time.perf_counter()

    await _run(grown.saver, steps, take_turn)
    turns.release()
    grown.last = median(spans)


async def _run(saver: Saver, steps: int, between: Callable[[], Awaitable[None]]) -> None:
    chance = random.Random(7)

    async def add(state: MessagesState) -> dict[str, Any]:
        await between()
        return {"messages": [AIMessage(chance.randbytes(512).hex(), id=str(len(state["messages"])))]}

    graph = StateGraph(MessagesState)
    graph.add_node("add", add)
    graph.add_edge(START, "add")
    graph.add_conditional_edges("add", lambda state: "add" if len(state["messages"]) < steps else "__end__")
    await graph.compile(checkpointer=saver).ainvoke(
        {"messages": []}, {**_at("grown"), "recursion_limit": steps + 10}, durability="sync"
    )


async def _nothing() -> None:
    pass


async def _measured(dsn: str | None) -> tuple[int, int]:
    """Bytes of tables, and of WAL so far."""
    if dsn is None:
        return 0, 0
    connection = await asyncpg.connect(dsn)
    try:
        return tuple(await connection.fetchrow(f"select ({_SIZE}), (pg_current_wal_lsn() - '0/0')::bigint"))
    finally:
        await connection.close()


async def _list(saver: Saver, steps: int) -> float:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        found = [(t.metadata, t.config, t.parent_config) async for t in saver.alist(_at("grown"))]
        times.append(time.perf_counter() - began)
        assert len(found) > steps
    return median(times)


def _lines(mine: Grown, other: Grown, memory: Grown, steps: int) -> list[Line]:
    def line(
        name: str, measured: float, peer: float, at_most: float, show: Callable[[float], str], wanted: str
    ) -> Line:
        return Line(name, show(measured), show(peer), f"{measured / peer:.3f}", wanted, measured / peer <= at_most)

    def megabytes(size: float) -> str:
        return f"{size / 1e6:.1f} MB"

    def milliseconds(span: float) -> str:
        return f"{span * 1e3:.2f} ms"

    return [
        line(f"{steps:,} steps: tables", mine.bytes, other.bytes, _LEAST, megabytes, "at most 1/50"),
        line(f"{steps:,} steps: WAL", mine.wal, other.wal, _LEAST, megabytes, "at most 1/50"),
        line("a step at the end", mine.last, other.last, 1 / 3, milliseconds, "at most 1/3"),
        line("a step at the end; peer: InMemorySaver", mine.last, memory.last, 2, milliseconds, "at most 2"),
        line(f"list of {steps + 2:,}, metadata", mine.listing, other.listing, _LEAST, milliseconds, "at most 1/50"),
    ]


def _small(mine: Saver, other: Saver) -> list[Comparison]:
    comparisons = []
    for tasks, at_least in ((1, 1.0), (64, 1.5)):
        for name, call in (("put", _put), ("get_tuple", _get), ("put_writes", _write)):
            called = f"{name}, {tasks} thread{'s' if tasks > 1 else ''}"
            comparisons.append(Comparison(called, call(mine, tasks), call(other, tasks), tasks, at_least))
    return comparisons


_TEXTS = [random.Random(n).randbytes(32).hex() for n in range(1000)]


def _at(thread: str, checkpoint: str | None = None) -> Any:
    named = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": named if checkpoint is None else {**named, "checkpoint_id": checkpoint}}


def _checkpoint(number: int) -> Checkpoint:
    versions: Any = dict.fromkeys(("topic", "notes", "answer"), f"{number + 1:032}.0.5")
    return Checkpoint(
        v=4,
        id=str(uuid6(clock_seq=number)),
        ts="2026-11-25T00:00:00+00:00",
        channel_values={
            "topic": _TEXTS[number % 1000],
            "notes": [_TEXTS[(number + 1) % 1000]],
            "answer": {"text": _TEXTS[(number + 2) % 1000]},
        },
        channel_versions=versions,
        versions_seen={"node": versions},
        updated_channels=None,
    )


class _Threads:
    """As many threads as tasks; the tasks take turns, so that each has one to itself."""

    def __init__(self, saver: Saver, tasks: int, name: str = "small") -> None:
        self._saver = saver
        self._free = [_at(f"{name}-{number}") for number in range(tasks)]

    async def put(self, number: int) -> None:
        config, checkpoint = self._free.pop(0), _checkpoint(number)
        metadata: Any = {"source": "loop", "step": number, "parents": {}}
        saved = await self._saver.aput(config, checkpoint, metadata, checkpoint["channel_versions"])
        self._free.append(saved)

    async def get(self, _: int) -> None:
        config = self._free.pop(0)
        assert await self._saver.aget_tuple(_at(config["configurable"]["thread_id"])) is not None
        self._free.append(config)

    async def write(self, number: int) -> None:
        config = self._free.pop(0)
        await self._saver.aput_writes(config, [("topic", _TEXTS[number % 1000]), ("branch:to:node", None)], str(number))
        self._free.append(config)


async def _by_hand(known: Least, mine: Saver, other: Saver) -> Comparison:
    await _Threads(mine, 1, "known").put(0)

    async def put(number: int) -> None:
        checkpoint = _checkpoint(number + 1)
        versions = checkpoint["channel_versions"]
        types, data = zip(
            *(mine.serde.dumps_typed(value) for value in checkpoint["channel_values"].values()), strict=True
        )
        metadata = json.dumps({"source": "loop", "step": number, "parents": {}})
        await known.run(_SAVE, checkpoint["id"], list(versions), list(versions.values()), types, data, metadata)

    return Comparison("put, 1 thread; by hand, all that is promised", put, _put(other, 1))


_made: dict[tuple[int, int], _Threads] = {}


def _threads(saver: Saver, tasks: int) -> _Threads:
    return _made.setdefault((id(saver), tasks), _Threads(saver, tasks))


def _put(saver: Saver, tasks: int) -> Any:
    return _threads(saver, tasks).put


def _get(saver: Saver, tasks: int) -> Any:
    return _threads(saver, tasks).get


def _write(saver: Saver, tasks: int) -> Any:
    return _threads(saver, tasks).write


if __name__ == "__main__":
    run([measure], __doc__)
