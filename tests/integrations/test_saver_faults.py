"""What users report of langgraph-checkpoint-postgres, each a case that this saver passes. (The store's are with the
store.)"""

from __future__ import annotations

import asyncio
import enum
import math
import operator
import secrets
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

import pgstate
from _pgbouncer import PgBouncer, program
from conftest import INSTALLER, SUPERUSER, Database
from integrations._checkpoints import at, id_of, ids, put, read, until_saved
from integrations.conftest import MakeSaver
from pgstate import State, errors
from pgstate.integrations.langgraph import PgStateSaver

Connect = Callable[..., Any]


class Lines(TypedDict):
    lines: Annotated[list[str], operator.add]
    rules: str


def grow() -> Any:
    """A graph that adds a line of 1 KiB each time, under rules of 100 kB that stay."""
    graph = StateGraph(Lines)
    graph.add_node("add", lambda _: {"lines": [secrets.token_hex(512)]})
    graph.add_edge(START, "add")
    return graph


# 1: the whole list written again each step, and every string in each checkpoint


async def test_growth_is_linear(saver: PgStateSaver, size: Callable[[], int]) -> None:
    graph = grow().compile(checkpointer=saver)
    rules = secrets.token_hex(50_000)
    await graph.ainvoke({"lines": [], "rules": rules}, at("t"))
    before = size()
    for _ in range(100):
        await graph.ainvoke({"lines": []}, at("t"))
    # 100 kB of lines; with each step written whole, 5 MB of lines and 30 MB of rules
    assert size() - before < 4_000_000
    assert len((await graph.aget_state(at("t"))).values["lines"]) == 101
    assert (await graph.aget_state(at("t"))).values["rules"] == rules


# 2: no retention, no time to live


async def test_threads_expire(saver: PgStateSaver, state: State, clock: Any) -> None:
    await state.set_policy("threads/visits/**", ttl=60)
    visitors = PgStateSaver(state, prefix="threads/visits")
    await put(visitors, at("a"), {"n": 1})
    await put(saver, at("b"), {"n": 1})
    await clock.advance(61)
    assert await visitors.aget_tuple(at("a")) is None
    assert [t async for t in visitors.alist(None)] == []
    assert (await read(saver, at("b"))).checkpoint["channel_values"] == {"n": 1}


# 3 is in test_saver_conflicts


# 4: one lock around each operation


async def test_one_call_that_waits_holds_up_no_other(saver: PgStateSaver, connect_as: Connect) -> None:
    stuck = await put(saver, at("stuck"), {"n": 1})
    holder, looker = await connect_as(SUPERUSER), await connect_as(SUPERUSER)
    async with holder.transaction():
        await holder.execute("select from pgstate.entry where key = 'threads/stuck' for update")
        waiting = asyncio.create_task(put(saver, stuck, {"n": 2}))
        while not await looker.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        others = [put(saver, at(f"free-{n}"), {"n": n}) for n in range(20)]
        async with asyncio.timeout(60):
            await asyncio.gather(*others, *(read(saver, at("stuck")) for _ in range(20)))
        assert not waiting.done()
    await waiting
    assert (await read(saver, at("stuck"))).checkpoint["channel_values"] == {"n": 2}


# 5: a killed connection is never replaced


async def test_killed_connections_are_replaced(saver: PgStateSaver, connect_as: Connect) -> None:
    killer = await connect_as(SUPERUSER)
    config = at("t")
    for number in range(5):
        config = await put(saver, config, {"n": number})
        await saver.aput_writes(config, [("n", number)], f"task-{number}")
        killed = await killer.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and usename = $1 and pid <> pg_backend_pid()",
            INSTALLER,
        )
        assert killed
        found = await read(saver, at("t"))
        assert found.checkpoint["channel_values"] == {"n": number}
        assert found.pending_writes == [(f"task-{number}", "n", number)]
    assert len(await ids(saver, at("t"))) == 5


# 6: PgBouncer in transaction mode


@pytest.mark.skipif(program() is None, reason="no pgbouncer on this machine: apt-get install pgbouncer")
async def test_through_pgbouncer(database: Database) -> None:
    bouncer = PgBouncer(database.cluster, (INSTALLER, SUPERUSER), "transaction")
    try:
        async with pgstate.connect(bouncer.dsn(database.name, INSTALLER)) as state:
            saver = PgStateSaver(state)
            graph = grow().compile(checkpointer=saver)
            await asyncio.gather(
                *(graph.ainvoke({"lines": ["x"], "rules": ""}, at(f"t{n}")) for n in range(20)),
            )
            for number in range(20):
                assert len((await graph.aget_state(at(f"t{number}"))).values["lines"]) == 2
            # from a thread, whose loop has connections of its own
            assert (await asyncio.to_thread(saver.get_tuple, at("t1"))) is not None
    finally:
        bouncer.stop()


# 7: concurrent first setups


async def test_concurrent_first_setups(new_database: Callable[[], str]) -> None:
    dsn = new_database()

    async def start(number: int) -> None:
        async with PgStateSaver.from_conn_string(dsn) as saver:
            await saver.setup()
            await put(saver, at(f"t{number}"), {"n": number})
            await saver.setup()

    await asyncio.gather(*(start(number) for number in range(6)))
    async with PgStateSaver.from_conn_string(dsn) as saver:
        assert len(await ids(saver, None)) == 6


async def test_without_setup_it_says_so(new_database: Callable[[], str]) -> None:
    async with PgStateSaver.from_conn_string(new_database()) as saver:
        with pytest.raises(errors.SchemaMissing, match="migrate"):
            await saver.aget_tuple(at("t"))
    with PgStateSaver.from_conn_string(new_database()) as saver:
        with pytest.raises(errors.SchemaMissing, match="migrate"):
            saver.get_tuple(at("t"))
        saver.setup()
        assert saver.get_tuple(at("t")) is None


# 8: the sync method on the saver's own loop deadlocks


async def test_sync_calls_on_the_own_loop(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})
    found = saver.get_tuple(at("t"))  # blocks this loop, on which the saver lives
    assert found is not None and found.config == config
    graph = grow().compile(checkpointer=saver)
    assert len(graph.invoke({"lines": ["x"], "rules": ""}, at("g"))["lines"]) == 2
    assert len([*saver.list(at("g"))]) == 3


async def test_sync_calls_from_threads(saver: PgStateSaver) -> None:
    graph = grow().compile(checkpointer=saver)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                graph.invoke({"lines": [], "rules": ""}, at(f"t{number}"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    # this loop is blocked meanwhile, and has async work of its own before and after
    for thread in threads:
        thread.join()
    assert failed == []
    for number in range(8):
        assert len((await read(saver, at(f"t{number}"))).checkpoint["channel_values"]["lines"]) == 3


# 9: a deleted thread comes back


async def test_a_deleted_thread_stays_deleted(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})
    await saver.adelete_thread("t")
    with pytest.raises(errors.PgStateError, match="deleted"):
        await put(saver, config, {"n": 2})
    await saver.aput_writes(config, [("n", 3)], "task")  # may be for a checkpoint that is still to come
    assert await saver.aget_tuple(at("t")) is None
    assert await ids(saver, None) == []
    # under the same name anew, from its beginning: nothing of the old one, nor does that come in now
    await put(saver, at("t"), {"n": 10})
    with pytest.raises(errors.PgStateError):
        await put(saver, config, {"n": 2})
    assert len(await ids(saver, at("t"))) == 1


async def test_a_run_on_a_deleted_thread_fails(saver: PgStateSaver) -> None:
    reached, deleted = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> dict[str, Any]:
        reached.set()
        await deleted.wait()
        return {"lines": ["late"]}

    graph = StateGraph(Lines)
    graph.add_node("wait", wait)
    graph.add_edge(START, "wait")
    run = asyncio.create_task(graph.compile(checkpointer=saver).ainvoke({"lines": [], "rules": ""}, at("t")))
    await reached.wait()
    await until_saved(saver, at("t"), 2)
    await saver.adelete_thread("t")
    deleted.set()
    with pytest.raises(errors.PgStateError, match="deleted"):
        await run
    assert await saver.aget_tuple(at("t")) is None


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_subgraphs_do_not_bring_it_back(saver: PgStateSaver, dsn: str, durability: Any) -> None:
    reached, deleted = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> dict[str, Any]:
        reached.set()
        await deleted.wait()
        return {}

    inner = StateGraph(Lines)
    inner.add_node("inner", lambda _: {"lines": ["inner"]})
    inner.add_edge(START, "inner")
    graph = StateGraph(Lines)
    graph.add_node("wait", wait)
    graph.add_node("sub", inner.compile())
    graph.add_edge(START, "wait")
    graph.add_edge("wait", "sub")
    compiled = graph.compile(checkpointer=saver)
    await compiled.aupdate_state(at("t"), {"lines": ["before"], "rules": ""}, as_node="__start__")
    run = asyncio.create_task(compiled.ainvoke({"lines": [], "rules": ""}, at("t"), durability=durability))
    async with asyncio.timeout(60):
        await reached.wait()
    async with pgstate.connect(dsn) as other:
        await PgStateSaver(other).adelete_thread("t")
    deleted.set()
    with pytest.raises(errors.PgStateError, match="deleted"):
        await run
    assert await ids(saver, None) == []


@pytest.mark.parametrize("more", [{}, {"checkpoint_ns": ""}], ids=["nested", "not nested"])
async def test_a_node_begins_another_thread_that_was_deleted(saver: PgStateSaver, more: dict[str, str]) -> None:
    """By a graph that it calls with its own configuration: neither the deleted thread nor the checkpoint that is named
    there is that of the run."""
    inner = StateGraph(Lines)
    inner.add_node("inner", lambda _: {"lines": ["inner"]})
    inner.add_edge(START, "inner")
    helper = inner.compile(checkpointer=saver)

    async def call(_: Any, config: RunnableConfig) -> Any:
        named = {**config["configurable"], "thread_id": "other", **more}
        return await helper.ainvoke({"lines": [], "rules": ""}, {"configurable": named})

    graph = StateGraph(Lines)
    graph.add_node("call", call)
    graph.add_edge(START, "call")
    await helper.ainvoke({"lines": [], "rules": ""}, at("other"))
    await saver.adelete_thread("other")
    assert (await graph.compile(checkpointer=saver).ainvoke({"lines": [], "rules": ""}, at("t")))["lines"] == ["inner"]
    assert len(await ids(saver, {"configurable": {"thread_id": "other"}})) == 3


# 10: a list without limit reads everything first


async def test_a_list_reads_what_is_taken_of_it(saver: PgStateSaver, state: State) -> None:
    config = at("t")
    for number in range(300):
        config = await put(saver, config, {"n": number})
    before = state.stats.statements
    listing = saver.alist(at("t"))
    assert (await anext(listing)).checkpoint["channel_values"] == {"n": 299}
    await listing.aclose()
    assert state.stats.statements - before <= 2
    assert len(await ids(saver, at("t"))) == 300
    assert [t.checkpoint["channel_values"]["n"] async for t in saver.alist(at("t"), before=config, limit=2)] == [
        298,
        297,
    ]


# 11: values


class Color(enum.StrEnum):
    RED = "red"


VALUES = [
    "a\x00b", "\x00", math.inf, -math.inf, 1e16, 10**15, 2**63, -(2**63), True, None, "", b"\x00\xff", bytearray(b"x"),
    [], {}, (), [None], [b"x", None, "a"], {"a": [1, {"b": "\x00"}]}, {1, 2}, {1: "int key"}, [[1, 2], [3]],
]  # fmt: skip


@pytest.mark.one_database
@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_values_come_back_as_they_were(saver: PgStateSaver, value: Any) -> None:
    config = await put(saver, at("t"), {"v": value}, note="a\x00b")
    await saver.aput_writes(config, [("v", value)], "task")
    found = await read(saver, config)
    # as msgpack has no tuples
    expected = list(value) if isinstance(value, tuple) else value
    back = found.checkpoint["channel_values"]["v"]
    assert back == expected and type(back) is type(expected)
    assert found.pending_writes == [("task", "v", expected)]


async def test_values_that_equal_nothing(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"nan": math.nan, "nans": [math.nan], "surrogate": "a\ud800"})
    found = (await read(saver, config)).checkpoint["channel_values"]
    assert math.isnan(found["nan"]) and math.isnan(found["nans"][0])
    # what the serializer makes of it
    assert found["surrogate"] == saver.serde.loads_typed(saver.serde.dumps_typed("a\ud800"))


async def test_enums_come_back_as_enums(make_saver: MakeSaver) -> None:
    saver = make_saver(allow=[Color])
    config = await put(saver, at("t"), {"color": Color.RED})
    assert (await read(saver, config)).checkpoint["channel_values"]["color"] is Color.RED


# 12: filtering on run_id alone scans the table; the plan is guarded in tests/plans


async def test_filter_by_run(saver: PgStateSaver) -> None:
    for number in range(4):
        config = await put(saver, at(f"t{number}"), {"n": number}, run_id=f"run-{number % 2}")
    assert len(await ids(saver, None, filter={"run_id": "run-1"})) == 2
    assert await ids(saver, None, filter={"run_id": "run-1"}, limit=1) == [id_of(config)]
    assert await ids(saver, None, filter={"run_id": "run"}) == []
