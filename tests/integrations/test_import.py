"""Threads of langgraph-checkpoint-postgres brought over: a graph that ran on its saver goes on with this one."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.postgres.shallow import AsyncShallowPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import RESUME, TASKS
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import GetOp, PutOp
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.types import Command, interrupt

from _pgbouncer import PgBouncer, program
from client._cli import invoke, on_terminal
from conftest import INSTALLER, Database
from integrations import _graphs
from integrations._checkpoints import at, id_of, ids, make, put, read
from integrations._letters import Letters
from pgstate import State, errors
from pgstate.integrations.langgraph import PgStateSaver, PgStateStore, _import, _import_items, _import_source, _msgpack
from pgstate.integrations.langgraph._import import Imported, import_threads
from pgstate.integrations.langgraph._import_items import import_items
from sql.test_vectors import pgvector

__all__ = ["pgvector"]

Connect = Callable[..., Any]


async def whole(saver: BaseCheckpointSaver[Any], thread: str) -> list[Any]:
    """Everything that a saver tells of a thread, in order."""
    found = [t async for t in saver.alist({"configurable": {"thread_id": thread}})]
    return sorted(found, key=lambda t: (t.config["configurable"]["checkpoint_ns"], t.checkpoint["id"]))


async def test_interrupted_there_and_resumed_here(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    await _graphs.nested().compile(checkpointer=reference).ainvoke({"topic": "owls", "notes": []}, at("t"))
    there = await whole(reference, "t")
    writes = sum(len(found.pending_writes) for found in there)
    assert await import_threads(dsn, state) == Imported(1, len(there), writes)
    graph = _graphs.nested().compile(checkpointer=saver)
    assert (await graph.aget_state(at("t"))).tasks[0].interrupts[0].value == {"review": "draft of owls"}
    said = await graph.ainvoke(Command(resume="yes"), at("t"))
    assert said["notes"] == ["before", *said["notes"][1:-1], "after"] and "published" in said["notes"]
    # it stays there as it was
    assert await whole(reference, "t") == there


async def test_all_that_was_there(saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str) -> None:
    chat = StateGraph(MessagesState)
    chat.add_node("answer", lambda s: {"messages": [AIMessage("x" * 600, id=str(len(s["messages"])))]})
    chat.add_edge(START, "answer")
    for number in range(5):
        await chat.compile(checkpointer=reference).ainvoke(
            {"messages": [HumanMessage("hi" * 300, id=f"h{number}")]}, at("chat")
        )
    await _graphs.fan_out().compile(checkpointer=reference).ainvoke({"n": 6, "done": []}, at("a/b *"))
    for number in range(5):
        await _graphs.delta().compile(checkpointer=reference).ainvoke({"log": ["in"], "n": number}, at("delta"))
    values = {
        "none": None,
        "true": True,
        "big": 10**15,
        "float": 1.5,
        "text": "ü" * 300,
        "list": [None, b"x", [1]],
        "one": [1],
    }
    config = await put(reference, at("values"), values, user="ana", run_id="r")
    await reference.aput_writes(config, [("list", [1]), ("text", "x")], "task", "~p")
    parent = await reference.aput(at("old"), make({"n": 1}, v=3), {"source": "loop", "step": 0}, {"n": 1})
    await reference.aput_writes(parent, [(TASKS, "sent")], "task")
    await reference.aput(parent, make({"n": 2}, {"n": 2}, v=3), {"source": "loop", "step": 1}, {"n": 2})

    done = await import_threads(dsn, state)
    assert done.threads == 5 and done.present == 0
    for thread in ("chat", "a/b *", "delta", "values", "old"):
        assert await whole(saver, thread) == await whole(reference, thread)
    assert (await read(saver, at("old"))).checkpoint["channel_values"] == {"n": 2, TASKS: ["sent"]}
    theirs, mine = (_graphs.delta().compile(checkpointer=on) for on in (reference, saver))
    assert (await mine.aget_state(at("delta"))).values == (await theirs.aget_state(at("delta"))).values
    # what a client that goes on saves is shared with what was brought over
    again = chat.compile(checkpointer=saver)
    await again.ainvoke({"messages": [HumanMessage("more", id="h9")]}, at("chat"))
    assert len((await again.aget_state(at("chat"))).values["messages"]) == 12
    await saver.adelete_for_runs(["r"])
    assert await ids(saver, at("values")) == []


async def test_begun_again(saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str) -> None:
    configs = [at("t")]
    for number in range(120):
        configs.append(await put(reference, configs[-1], {"l": [*range(number)]}, {"l": number}))
        await reference.aput_writes(configs[-1], [("l", number)], "task")

    class Stop(Exception):
        pass

    steps: list[int] = []

    def stop(count: int) -> None:
        steps.append(count)
        if sum(steps) == 80:
            raise Stop

    with pytest.raises(Stop):
        await import_threads(dsn, state, step=stop)
    assert len(await ids(saver, at("t"))) == 80
    # there it goes on meanwhile
    await reference.aput_writes(configs[-1], [("m", "late")], "another")
    configs.append(await put(reference, configs[-1], {"l": [1]}, {"l": 200}))
    totals: list[int] = []
    done = await import_threads(dsn, state, begin=totals.append)
    assert (done.present, done.checkpoints, totals) == (80, 41, [121])
    assert await whole(saver, "t") == await whole(reference, "t")
    await reference.aput_writes(configs[-1], [("m", "later still")], "another")
    done = await import_threads(dsn, state)
    assert (done.present, done.checkpoints) == (121, 0)
    assert await whole(saver, "t") == await whole(reference, "t")


async def test_questions_that_were_answered_there_meanwhile(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    """All of one node, and so after one checkpoint, of which the writes are replaced."""

    def ask(found: MessagesState) -> Any:
        return {"messages": [HumanMessage("".join(interrupt(f"question {n}") for n in range(4)), id="all")]}

    chat = StateGraph(MessagesState)
    chat.add_node("ask", ask)
    chat.add_edge(START, "ask")
    theirs, mine = (chat.compile(checkpointer=on) for on in (reference, saver))
    await theirs.ainvoke({"messages": []}, at("t"))
    for answer in "ab":
        await import_threads(dsn, state)
        await theirs.ainvoke(Command(resume=answer), at("t"))
    assert (await import_threads(dsn, state)).left == []
    assert await whole(saver, "t") == await whole(reference, "t")
    # what was answered here since is not asked again, though it was not there
    await mine.ainvoke(Command(resume="c"), at("t"))
    await import_threads(dsn, state)
    assert (await mine.aget_state(at("t"))).tasks[0].interrupts[0].value == "question 3"
    said = await mine.ainvoke(Command(resume="d"), at("t"))
    assert [message.content for message in said["messages"]] == ["abcd"]


async def test_answers_that_came_while_it_was_stopped(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    config = await put(reference, at("t"), {"n": 1})
    await reference.aput_writes(config, [(RESUME, ["a"])], "task")
    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(_import._Importing, "_checkpoints", killed)
        await import_threads(dsn, state)
    await reference.aput_writes(config, [(RESUME, ["a", "b"])], "task")
    assert (await import_threads(dsn, state)).left == []
    assert await whole(saver, "t") == await whole(reference, "t")


async def test_what_was_gone_on_with_on_both_sides_is_named(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    theirs, mine = (_graphs.delta().compile(checkpointer=on) for on in (reference, saver))
    for thread in ("both", "here first", "there"):
        await theirs.ainvoke({"log": ["in"], "n": 1}, at(thread))
    await import_threads(dsn, state)
    here = await mine.ainvoke({"log": ["here"], "n": 1}, at("here first"))
    for thread in ("both", "here first", "there"):
        await theirs.ainvoke({"log": ["there"], "n": 1}, at(thread))
    await mine.ainvoke({"log": ["here"], "n": 1}, at("both"))
    done = await import_threads(dsn, state)
    assert [line.split(" was gone on with here and there")[0] for line in done.left] == [
        "thread 'both': threads/both",
        "thread 'here first': threads/here%20first",
    ]
    # who goes on here does so with what was latest here
    assert (await mine.aget_state(at("here first"))).values == here
    assert await whole(saver, "there") == await whole(reference, "there")
    # what was begun here from an earlier one is hidden by nothing either
    old = [found async for found in mine.aget_state_history(at("there"))][-2]
    await mine.aupdate_state(old.config, {"log": ["elsewhere"]}, as_node="one")
    await theirs.ainvoke({"log": ["more"], "n": 1}, at("there"))
    assert len((await import_threads(dsn, state)).left) == 3
    assert (await import_threads(dsn, state, prefix="again")).left == []


async def test_writes_that_came_after_earlier_ones_since(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    """As those of a graph that went on from there, or of one that ran while it was brought over."""
    configs = [at("t")]
    for number in range(60):
        configs.append(await put(reference, configs[-1], {"n": number}, {"n": number}))
    tip = await put(reference, configs[2], {"n": 60}, {"n": 60})
    await reference.aput_writes(configs[2], [("n", 1)], "task")
    await reference.aput_writes(configs[3], [(RESUME, "no")], str(UUID(int=0)))
    await import_threads(dsn, state)
    await reference.aput_writes(configs[3], [(RESUME, "yes")], str(UUID(int=0)))
    await put(reference, configs[3], {"n": 61}, {"n": 61})
    for config in (configs[2], configs[3], configs[59], configs[60], tip):
        await reference.aput_writes(config, [("n", 2)], "another", "~p")
    assert await import_threads(dsn, state) == Imported(1, 1, 6, present=61)
    assert await whole(saver, "t") == await whole(reference, "t")
    # not where it was gone on from here, with other writes
    there, found = await put(reference, at("u"), {"n": 1}), await put(reference, at("u"), {"n": 2})
    await import_threads(dsn, state, thread_ids=["u"])
    await saver.aput_writes(found, [("n", 3)], "task")
    await put(saver, found, {"n": 3}, {"n": 2})
    await reference.aput_writes(found, [("n", 4)], "another")
    await reference.aput_writes(there, [("n", 4)], "another")
    assert (await import_threads(dsn, state, thread_ids=["u"])).writes == 1
    assert (await read(saver, found)).pending_writes == [("task", "n", 3)]


async def test_it_has_patience(reference: AsyncPostgresSaver, state: State, dsn: str) -> None:
    """With checkpoints that take longer than a client waits."""
    await put(reference, at("t"), {"n": 1})
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.aput(("one",), "k", {"n": 1})
    hasty = state.with_timeout(1e-6)
    done = await import_threads(dsn, hasty)
    await import_items(dsn, hasty, done)
    assert done == Imported(1, 1, items=1)


async def test_what_is_read_back_must_be_the_same(
    reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect
) -> None:
    superuser = await connect_as("postgres")
    await put(reference, at("t"), {"l": ["x" * 300, "y" * 300]})
    # as storage that returns something else
    await superuser.execute(
        "create function public.spoil() returns trigger language plpgsql as "
        "$$ begin new.data := 'spoiled'; return new; end $$; "
        "create trigger spoil before insert on pgstate.chunk for each row execute function public.spoil()"
    )
    for _ in range(2):
        # nor does it pass for done when asked again
        done = await import_threads(dsn, state)
        assert (done.threads, len(done.left)) == (0, 1) and done.left[0].startswith("thread 't': ")


@pytest.mark.parametrize("column", ["parent", "metadata"])
async def test_nor_is_what_is_around_it(
    reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect, column: str
) -> None:
    superuser = await connect_as("postgres")
    await put(reference, await put(reference, at("t"), {"n": 1}), {"n": 2}, {"n": 2})
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.abatch([PutOp(("a",), str(n), {"v": value}) for n, value in enumerate((True, 1, "x"))])
    await superuser.execute(
        "create function public.spoil() returns trigger language plpgsql as "
        f"$$ begin new.{column} := null; return new; end $$; "
        "create trigger spoil before insert on pgstate.checkpoint for each row execute function public.spoil(); "
        "create function public.one() returns trigger language plpgsql as "
        """$$ begin new.value := '{"v": 1}'; return new; end $$; """
        "create trigger one before insert on pgstate.entry for each row when (new.key ^@ 'store/') "
        "execute function public.one()"
    )
    done = await import_threads(dsn, state)
    assert (done.threads, len(done.left)) == (0, 1)
    await import_items(dsn, state, done)
    assert [left.split(":")[0] for left in done.left[1:]] == ["item store/a/0", "item store/a/2"]


async def test_one_made_where_the_clock_was_behind(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    """It comes after a checkpoint with a higher id."""
    low, *rest, high = (make({"n": n}) for n in range(4))
    config = await reference.aput(at("t"), high, {"source": "loop"}, {"n": 1})
    for checkpoint in (low, *rest):
        config = await reference.aput(config, checkpoint, {"source": "loop"}, {"n": 1})
    assert await import_threads(dsn, state) == Imported(1, 4)
    assert await whole(saver, "t") == await whole(reference, "t")
    assert (await import_threads(dsn, state)).present == 4


async def test_numbers_beyond_64_bits(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    """In the columns of JSON there a large float is an integer."""
    await put(reference, at("integer"), {"n": 2**100})
    await put(reference, at("metadata"), {"n": 1}, score=[0.5, 2**100])
    # nor is what the database itself refuses, for what is not foreseen
    await put(reference, at("run"), {"n": 1}, run_id=secrets.token_hex(4000))
    await put(reference, at("t"), {"n": 1e300, "m": -1e19, "o": 2**64 - 1})
    done = await import_threads(dsn, state)
    assert done.checkpoints == 1 and [line.partition(":")[0] for line in done.left] == [
        "thread 'integer'",
        "thread 'metadata'",
        "thread 'run'",
    ]
    assert (await read(saver, at("t"))).checkpoint["channel_values"] == {"n": 1e300, "m": -1e19, "o": 2**64 - 1}


async def test_large_ones_go_by_themselves(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_import_source, "_MOST", 5000)
    monkeypatch.setattr(_import_items, "_MOST", 5000)
    config = at("t")
    for number, size in enumerate((10, 6000, 10, 10, 3000, 10)):
        config = await put(reference, config, {"l": f"{number}" * size}, {"l": number})
    await reference.aput_writes(config, [("l", "x" * 4000)], "task")
    steps: list[int] = []
    assert (await import_threads(dsn, state, step=steps.append)).checkpoints == 6
    assert steps == [0, 1, 1, 3, 1]
    assert await whole(saver, "t") == await whole(reference, "t")
    assert (await import_threads(dsn, state)).present == 6
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        sizes = dict(enumerate((3000, 3000, 10, 6000)))
        await theirs.abatch([PutOp(("a",), str(n), {"v": "x" * size}) for n, size in sizes.items()])
    steps.clear()
    done = Imported()
    await import_items(dsn, state, done, step=steps.append)
    assert (steps, done.items) == ([1, 2, 1], 4)


async def test_tables_of_former_versions(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect
) -> None:
    config = await put(reference, at("t"), {"n": 1, "l": [1, 2]})
    await reference.aput_writes(config, [("n", 2)], "task")
    there = await whole(reference, "t")
    installer = await connect_as(INSTALLER)
    await installer.execute("alter table checkpoint_writes drop column task_path")
    assert await import_threads(dsn, state) == Imported(1, 1, 1)
    assert await whole(saver, "t") == there


@pytest.mark.filterwarnings("ignore:.*ShallowPostgresSaver is deprecated:DeprecationWarning")
async def test_savers_that_keep_the_latest_only(saver: PgStateSaver, state: State, new_database: Any) -> None:
    source = new_database()
    async with AsyncShallowPostgresSaver.from_conn_string(source) as shallow:
        await shallow.setup()
        theirs, mine = (_graphs.nested().compile(checkpointer=on) for on in (shallow, saver))
        for thread in ("a", "b", "c"):
            await theirs.ainvoke({"topic": "owls", "notes": []}, at(thread))
        for _ in range(2):
            done = await import_threads(source, state)
            assert (done.threads, done.checkpoints + done.present, done.left) == (3, 6, [])
            there, here = [(await read(on, at("a")))._replace(parent_config=None) for on in (shallow, saver)]
            there.checkpoint.pop("pending_sends")  # type: ignore[typeddict-item]
            assert here == there
        said = [await graph.ainvoke(Command(resume="yes"), at("a")) for graph in (theirs, mine)]
        assert said[0] == said[1] and said[0]["notes"][-2:] == ["published", "after"]
        # gone on with on both sides, there alone, and what a former LangGraph saved
        await theirs.ainvoke({"topic": "bats", "notes": []}, at("a"))
        await theirs.ainvoke(Command(resume="no"), at("b"))
        async with await psycopg.AsyncConnection.connect(source, autocommit=True) as connection:
            await connection.execute(
                """update checkpoints set checkpoint = checkpoint || '{"v": 3, "id": "2"}' where thread_id = 'c'"""
            )
        done = await import_threads(source, state)
        assert [left.split(":")[0] for left in done.left] == ["thread 'a'", "thread 'c'"]
        assert (await mine.aget_state(at("b"))).values == (await theirs.aget_state(at("b"))).values
        assert (await mine.aget_state(at("a"))).values == said[0]


async def test_what_cannot_be_here_stops_nothing_else(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str
) -> None:
    secret = "AKIA" + "Q" * 16
    await put(reference, at("a" * 600), {"n": 1})
    await put(reference, at("b"), {"n": 2}, metadata={"source": "loop", "step": 1, "parents": {}, "key": secret})
    await put(reference, at("c"), {"n": 3})
    await state.put("threads/d", "no thread")
    await put(reference, at("d"), {"n": 4})
    await put(reference, at("e"), {"n": 5})
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        values: dict[str, Any] = {"a" * 600: 1, "b": secret, "c": "x" * 1_100_000, "d": "here"}
        await theirs.abatch([PutOp(("one",), key, {"v": value}) for key, value in values.items()])
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--json", dsn=dsn)
    counts = {"threads": 2, "checkpoints": 2, "writes": 0, "present": 0, "items": 1, "left": 6}
    assert (said.code, json.loads(said.out)) == (1, counts), said
    *left, last = said.err.splitlines()
    assert [line.split(":")[0] for line in left] == [
        f"thread '{'a' * 600}'",
        "thread 'b'",
        "thread 'd'",
        f"item '{'a' * 600}' of 'one'",
        "item store/one/b",
        "item store/one/c",
    ]
    assert last == "error: 6 of what is there could not be brought over; all else was" and secret not in said.err
    assert await whole(saver, "c") == await whole(reference, "c")
    assert [item.key for item in await PgStateStore(state).asearch(("one",))] == ["d"]


async def test_rows_that_no_saver_wrote_stop_nothing_else(
    reference: AsyncPostgresSaver, state: State, database: Database
) -> None:
    await put(reference, at("last"), {"n": 1})
    database.sql(
        "insert into checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata) values"
        " ('a', '', '1', '{}', '{}'), ('b', '', '1', '[]', '{}'), ('c', '', '1', 'null', '{}'),"
        " ('d', '', '1', '{\"channel_versions\": [1]}', '{}'), ('e', '', '1', '{\"channel_versions\": {}}', '[1]')"
    )
    done = await import_threads(database.dsn(), state)
    assert done.threads == done.checkpoints == 1
    assert [left.split(":")[:2] for left in done.left] == [
        [f"thread '{id_}'", " it is not as LangGraph keeps threads"] for id_ in "abcde"
    ]


async def test_what_is_about_all_ends_it(reference: AsyncPostgresSaver, state: State, database: Database) -> None:
    """Not one thread after the other, each with the same words."""
    for id_ in "abc":
        await put(reference, at(id_), {"n": 1})
    database.sql(
        "create function full_disk() returns trigger language plpgsql as"
        " $$begin raise 'no space' using errcode = 'disk_full'; end$$;"
        "create trigger full_disk before insert on pgstate.checkpoint for each row execute function full_disk()"
    )
    with pytest.raises(errors.DatabaseError, match="no space"):
        await import_threads(database.dsn(), state)
    # of a connection that is gone asyncpg says so in more than one way
    with pytest.raises(errors.Unreachable):
        async with _import_source.opened(database.dsn()):
            raise asyncpg.InternalClientError("cannot switch to state 11")


async def test_where_the_store_alone_was_used(state: State, dsn: str) -> None:
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.aput(("one",), "k", {"n": 1})
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--json", dsn=dsn)
    assert (said.code, json.loads(said.out)["items"]) == (0, 1), said


async def test_a_chain_that_was_cut_there(
    saver: PgStateSaver, reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect
) -> None:
    first = await put(reference, at("t"), {"n": 1})
    second = await put(reference, first, {"n": 2}, {"n": 2})
    await (await connect_as(INSTALLER)).execute("delete from checkpoints where checkpoint_id = $1", id_of(first))
    await import_threads(dsn, state)
    found = await read(saver, at("t"))
    assert found.config == second and found.parent_config is None


async def test_by_the_command_line(reference: AsyncPostgresSaver, saver: PgStateSaver, dsn: str) -> None:
    for thread in ("a", "b", "c"):
        await put(reference, at(thread), {"n": 1})
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--thread", "a", "--json", dsn=dsn)
    assert said.code == 0, said
    assert json.loads(said.out) == {"threads": 1, "checkpoints": 1, "writes": 0, "present": 0, "items": 0, "left": 0}
    shown = await asyncio.to_thread(on_terminal, "import-langgraph", "--from", dsn, dsn=dsn)
    assert "3 threads: 2 checkpoints and 0 writes brought over and read back, 0 items of the store" in shown
    assert "1 of all were here already" in " ".join(shown.split())
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--prefix", "old", dsn=dsn)
    assert said.out == "3\t3\t0\t0\t0\t0\n"
    assert len(await ids(saver, None)) == 3


async def test_items_of_the_store(reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect) -> None:
    values = {f"key {n}": {"n": n, "text": "ü" * n, "deep": [1.5, None, {"a": True}]} for n in range(600)}
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.abatch([PutOp(("users", "ana"), key, value) for key, value in values.items()])
        await theirs.aput(("other",), "lives", {"n": 1}, ttl=60)
        await theirs.aput(("other",), "gone", {"n": 2}, ttl=60)
        await (await connect_as(INSTALLER)).execute("update store set expires_at = now() where key = 'gone'")
    mine = PgStateStore(state)
    # what is here already stays
    await mine.aput(("users", "ana"), "key 7", {"mine": True})
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--json", dsn=dsn)
    assert said.code == 0, said
    assert json.loads(said.out) == {"threads": 0, "checkpoints": 0, "writes": 0, "present": 1, "items": 600, "left": 0}
    found = await mine.abatch([GetOp(("users", "ana"), key) for key in values])
    assert [item.value for item in found] == [{"mine": True} if n == 7 else v for n, v in enumerate(values.values())]
    entry = await state.get("store/other/lives")
    # what was left when it was read, from when it was written
    assert entry is not None and 3000 < (entry.expires_at - entry.updated_at).total_seconds() < 3900
    assert await mine.aget(("other",), "gone") is None
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--json", dsn=dsn)
    assert json.loads(said.out)["present"] == 601


async def test_items_live_on_as_long_as_there(
    reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect
) -> None:
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.abatch([PutOp(("a",), key, {"n": 1}, ttl=60) for key in ("read", "unread")])
    await (await connect_as(INSTALLER)).execute("update store set expires_at = now() + interval '3 min'")
    await import_items(dsn, state, Imported())
    mine = PgStateStore(state)
    assert await mine.aget(("a",), "read") is not None
    for key, minutes in (("read", 60), ("unread", 3)):
        entry = await state.get(f"store/a/{key}")
        assert entry is not None and 0.9 < (entry.expires_at - entry.updated_at).total_seconds() / 60 / minutes <= 1.1


async def test_items_that_were_changed_there_since(
    reference: AsyncPostgresSaver, state: State, dsn: str, connect_as: Connect
) -> None:
    mine = PgStateStore(state)
    async with AsyncPostgresStore.from_conn_string(dsn) as theirs:
        await theirs.setup()
        await theirs.abatch([PutOp(("a",), key, {"n": 1}) for key in ("there", "both", "here", "neither")])
        await import_items(dsn, state, Imported())
        for store, key in ((theirs, "there"), (mine, "both"), (theirs, "both"), (theirs, "here"), (mine, "here")):
            await store.aput(("a",), key, {"n": 2, "by": type(store).__name__})
    done = Imported()
    await import_items(dsn, state, done)
    assert (done.items, done.present, done.left) == (2, 2, [])
    found = {item.key: item.value.get("by") for item in await mine.asearch(("a",))}
    assert found == {
        "there": "AsyncPostgresStore",
        "both": "AsyncPostgresStore",
        "here": "PgStateStore",
        "neither": None,
    }


@pytest.mark.parametrize("type_", ["vector", pytest.param("halfvec", marks=pytest.mark.thorough)])
async def test_items_with_vectors(pgvector: None, state: State, dsn: str, database: Database, type_: str) -> None:
    index: Any = {"dims": 32, "embed": Letters(), "fields": ["text[*]"], "ann_index_config": {"vector_type": type_}}
    async with AsyncPostgresStore.from_conn_string(dsn, index=index) as theirs:
        await theirs.setup()
        for key, text in (("k", ["aaa", "bbb"]), ("l", ["zzz", "ccc"]), ("l", ["ddd"]), ("m", ["aab"])):
            await theirs.aput(("n",), key, {"text": text})
        await theirs.aput(("n",), "none", {"text": ["aaa"]}, index=False)
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--vectors", dsn=dsn)
    assert said.code == 2 and "nothing is found by vectors of 32 dimensions under store/**" in said.err
    mine = PgStateStore(state, index=index)
    await mine.setup()
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, dsn=dsn)
    assert said.code == 0 and "items there have vectors, which were not brought over" in said.err
    assert await mine.asearch(("n",), query="aaa") == []
    # as was said there
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--vectors", "--json", dsn=dsn)
    assert (said.code, json.loads(said.out)["items"], said.err) == (0, 3, "")
    assert [item.key for item in await mine.asearch(("n",), query="aaa")] == ["k", "m", "l"]
    # of a value that an item has no more there are none
    nearest = await mine.asearch(("n",), query="zzz")
    assert max(item.score or 0 for item in nearest) < 0.1
    # and the first time
    done = Imported()
    other = PgStateStore(state, prefix="other", index=index)
    await other.setup()
    assert not await import_items(dsn, state, done, prefix="other", vectors=True)
    assert [item.key for item in await other.asearch(("n",), query="bbb")][:1] == ["k"] and done.items == 4


def test_without_checkpoints_there(dsn: str) -> None:
    said = invoke("import-langgraph", "--from", dsn, dsn=dsn)
    assert said.code == 2 and "no checkpoints of LangGraph there" in said.err


async def test_tables_that_are_not_to_be_read(reference: AsyncPostgresSaver, dsn: str, database: Database) -> None:
    database.sql("create schema other; create table other.checkpoints as select 't' as thread_id", INSTALLER)
    other = f"{dsn}&options=-csearch_path%3Dother"
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", other, dsn=dsn)
    assert said.code == 2 and "not as its saver and store make it: column" in said.err, said
    database.sql("drop table other.checkpoints; alter table checkpoints set schema other", INSTALLER)
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, dsn=dsn)
    assert said.code == 2 and "options=-csearch_path%3Dname in the address" in said.err, said
    # what a superuser has made
    database.sql("alter table other.checkpoints owner to postgres; alter table other.checkpoints set schema public")
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, dsn=dsn)
    assert (said.code, said.err) == (5, "error: LangGraph's database: permission denied for table checkpoints\n"), said


def test_where_there_is_nobody(dsn: str) -> None:
    said = invoke("import-langgraph", "--from", "postgresql://nobody@127.0.0.1:1/none", dsn=dsn)
    assert said.code == 6 and "cannot connect to LangGraph's database" in said.err


async def test_a_thread_that_is_not_there(reference: AsyncPostgresSaver, saver: PgStateSaver, dsn: str) -> None:
    await put(reference, at("a"), {"n": 1})
    said = await asyncio.to_thread(invoke, "import-langgraph", "--from", dsn, "--thread", "b", "--thread", "a", dsn=dsn)
    assert said.code == 1 and "thread 'b': there is none" in said.err
    assert len(await ids(saver, None)) == 1


@pytest.mark.skipif(program() is None, reason="no pgbouncer on this machine: apt-get install pgbouncer")
async def test_from_behind_a_pooler(reference: AsyncPostgresSaver, state: State, database: Database, dsn: str) -> None:
    for thread in ("a", "b"):
        await put(reference, at(thread), {"n": 1})
    bouncer = PgBouncer(database.cluster, (INSTALLER,), "transaction", default_pool_size=2)
    address = bouncer.dsn(database.name, INSTALLER)
    try:
        with psycopg.connect(address) as other:
            # from the first thread on another client has the server process that the import began with
            done = await import_threads(address, state, step=lambda _: other.execute("select 1"))
        assert (done.threads, done.left) == (2, [])
    finally:
        bouncer.stop()


async def test_agents_import_where_they_may_write(reference: AsyncPostgresSaver, state: State, dsn: str) -> None:
    await put(reference, at("t"), {"n": 1})
    await state.create_agent("ana")
    with pytest.raises(errors.AccessDenied):
        await import_threads(dsn, state.as_agent("ana"))


nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner) | st.sets(st.integers(-9, 9))
    ),
    max_leaves=20,
)


@given(st.lists(nested, max_size=40))
def test_arrays_are_taken_apart(values: list[Any]) -> None:
    serde = JsonPlusSerializer(allowed_msgpack_modules=None)
    type_, data = serde.dumps_typed(values)
    parts = _msgpack.elements(data)
    assert type_ == "msgpack" and parts is not None
    assert parts == [serde.dumps_typed([value])[1][1:] for value in values]
    assert _msgpack.array(parts) == data


@pytest.mark.parametrize("count", [0, 1, 15, 16, 0xFFFF, 0x10000])
def test_arrays_of_all_lengths(count: int) -> None:
    data = JsonPlusSerializer().dumps_typed([7] * count)[1]
    assert _msgpack.elements(data) == [b"\x07"] * count


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc0", b"\xa1x", b"\xdc\x00\x01\xc0", b"\xdd\x00\x00\x00\x01\xc0"])
def test_no_array_or_not_as_it_would_be_made(data: bytes) -> None:
    assert _msgpack.elements(data) is None
