"""Each method of the saver, beyond what LangGraph's own suite looks at; where it can, beside LangGraph's saver."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import secrets
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from langchain_core.agents import AgentAction, AgentFinish, AgentStep
from langchain_core.messages import HumanMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValueConcrete, StringPromptValue
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, TASKS, _DeltaSnapshot
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine

import pgstate
from client._cli import invoke
from client._proxy import Proxy
from conftest import INSTALLER, Database
from integrations._checkpoints import at, id_of, ids, make, put, read
from integrations.conftest import MakeSaver
from pgstate import State, errors
from pgstate._calls import threads as calls
from pgstate.integrations.langgraph import PgStateSaver, PgStateStore, _listing, _memory
from pgstate.integrations.langgraph._records import contains

# what a saver keeps of a thread, read through its interface
Told = list[tuple[Any, ...]]


async def told(saver: BaseCheckpointSaver[Any], thread: str) -> Told:
    found = [
        (t.config["configurable"], t.checkpoint, dict(t.metadata), t.parent_config, t.pending_writes)
        async for t in saver.alist({"configurable": {"thread_id": thread}})
    ]
    return sorted(found, key=lambda row: (row[0]["checkpoint_ns"], row[0]["checkpoint_id"]))


# channels


async def test_the_shell_shows_them(
    saver: PgStateSaver, state: State, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As JSON has them; what of a value is no data of LangGraph's keeps nothing else from being shown."""
    long = [HumanMessage("owls " * 50, id=str(n)) for n in range(40)]
    values = {
        "messages": long,
        "n": float("nan"),
        "done": {"a", "b"},
        "file": b"\xff",
        "none": None,
        "plan": Planned(title="owls"),
    }
    config = await put(saver, at("t"), values)
    await put(saver, config, {**values, "n": 1}, {"n": 2}, new={"n": 2})

    async def shown(*more: str) -> dict[str, Any]:
        said = await asyncio.to_thread(invoke, "thread", "show", "threads/t", *more, "--json", dsn=dsn)
        assert said.code == 0 and said.err == "", said
        return {row["channel"]: row["value"] for row in map(json.loads, said.out.splitlines())}

    found = await shown()
    assert [message["content"] for message in found["messages"]] == ["owls " * 50] * 40
    assert (found["n"], sorted(found["done"]), found["none"]) == (1, ["a", "b"], None)
    assert found.keys() == values.keys() and found["plan"] == {"title": "owls"}
    assert "Blocked" not in caplog.text
    assert (await shown(id_of(config)))["n"] is None
    # bytes that nobody can read, and another form
    await state.thread("threads/t", serializer=Torn()).save({"torn": 1, "n": [2] * 500})
    assert await shown() == {"torn": None, "n": None}


class Planned(BaseModel):
    title: str


class Torn:
    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        return "msgpack", b"\x92\x01"

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        raise NotImplementedError


async def test_an_unchanged_channel_is_that_of_the_parent(saver: PgStateSaver) -> None:
    big = [secrets.token_hex(8) for _ in range(200)]
    config = await put(saver, at("t"), {"big": big, "n": 1})
    # nobody else knows of the parent: another client, with nothing remembered
    again = await put(saver, config, {"big": big, "n": 2}, {"big": 1, "n": 2}, new={"n": 2})
    assert (await read(saver, again)).checkpoint["channel_values"] == {"big": big, "n": 2}


async def test_a_client_that_has_seen_nothing_goes_on(saver: PgStateSaver, dsn: str) -> None:
    big = [secrets.token_hex(8) for _ in range(200)]
    config = await put(saver, at("t"), {"big": big, "n": 1})
    async with pgstate.connect(dsn) as other:
        second = PgStateSaver(other)
        again = await put(second, config, {"big": big, "n": 2}, {"big": 1, "n": 2}, new={"n": 2})
    assert (await read(saver, again)).checkpoint["channel_values"] == {"big": big, "n": 2}


async def test_what_was_remembered_may_be_gone(saver: PgStateSaver, dsn: str) -> None:
    """A thread that was deleted or pruned by another client, and what this one takes for stored."""
    big = [secrets.token_hex(8) for _ in range(200)]
    await put(saver, at("t"), {"big": big})
    async with pgstate.connect(dsn) as other:
        # its chunks go with it
        await PgStateSaver(other).adelete_thread("t")
    config = await put(saver, at("t"), {"big": [*big, "more"]})
    assert (await read(saver, config)).checkpoint["channel_values"] == {"big": [*big, "more"]}


@pytest.mark.parametrize("change", ["append", "prepend", "remove", "replace", "empty", "double"])
async def test_lists_that_change(saver: PgStateSaver, change: str) -> None:
    before = [{"id": n, "text": "x" * 50} for n in range(300)]
    after = {
        "append": [*before, {"id": 300}],
        "prepend": [{"id": -1}, *before],
        "remove": before[:100] + before[150:],
        "replace": [*before[:10], "other", *before[11:]],
        "empty": [],
        "double": before + before,
    }[change]
    first = await put(saver, at("t"), {"items": before})
    second = await put(saver, first, {"items": after}, {"items": 2})
    assert (await read(saver, second)).checkpoint["channel_values"] == {"items": after}
    assert (await read(saver, first)).checkpoint["channel_values"] == {"items": before}


async def test_a_fork_has_what_its_parent_has(saver: PgStateSaver, reference: AsyncPostgresSaver) -> None:
    """Also where LangGraph looks what is the latest before it saves one, and a node changes values in place."""
    each: BaseCheckpointSaver[Any]
    for each in (saver, reference):
        first = await put(each, at("t"), {"l": [["one"]]}, {"l": "1"})
        await put(each, first, {"l": [["two"]]}, {"l": "2"})
        read_before = (await read(each, first)).checkpoint["channel_values"]
        looked: Any = {"configurable": {**at("t")["configurable"], "checkpoint_id": None}}
        await each.aget_tuple(looked)
        read_before["l"][0].append("by the node")
        fork = await put(each, first, read_before, {"l": "1"}, new={})
        assert (await read(each, fork)).checkpoint["channel_values"] == {"l": [["one"]]}


async def test_a_channel_saved_again_at_its_version(saver: PgStateSaver) -> None:
    """Versions are LangGraph's: each checkpoint has the values that were put with it."""
    first = await put(saver, at("t"), {"a": "one", "b": [1]})
    second = await put(saver, first, {"a": "two", "b": [2]})
    assert (await read(saver, first)).checkpoint["channel_values"] == {"a": "one", "b": [1]}
    assert (await read(saver, second)).checkpoint["channel_values"] == {"a": "two", "b": [2]}


async def test_a_checkpoint_saved_again_is_replaced(saver: PgStateSaver) -> None:
    checkpoint = make({"a": [1, 2]})
    config = await saver.aput(at("t"), checkpoint, {"source": "loop", "step": 1}, {"a": 1})
    again = {**checkpoint, "channel_values": {"a": [3]}}
    assert await saver.aput(at("t"), again, {"source": "update", "step": 2}, {"a": 1}) == config  # type: ignore[arg-type]
    found = await read(saver, config)
    assert found.checkpoint["channel_values"] == {"a": [3]} and found.metadata["source"] == "update"
    assert len(await ids(saver, at("t"))) == 1


async def test_versions_keep_their_types(saver: PgStateSaver) -> None:
    versions = {"a": 1, "b": 1.5, "c": "00000000000000000000000000000002.0.5"}
    config = await put(saver, at("t"), {"a": 1, "b": 2, "c": 3}, versions)
    assert (await read(saver, config)).checkpoint["channel_versions"] == versions


def test_next_versions_are_those_of_the_reference(saver: PgStateSaver) -> None:
    first = saver.get_next_version(None, None)
    assert first.startswith("00000000000000000000000000000001.")
    assert saver.get_next_version(first, None) > first
    # integers are what other savers number by
    assert saver.get_next_version(7, None).startswith("00000000000000000000000000000008.")


# writes


async def test_writes_come_in_the_order_of_their_tasks(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})
    await saver.aput_writes(config, [("b", 1), ("c", 2)], "task-2", "~b")
    await saver.aput_writes(config, [("a", 3)], "task-3", "~a")
    await saver.aput_writes(config, [("d", 4)], "task-1")
    assert (await read(saver, config)).pending_writes == [
        ("task-1", "d", 4),
        ("task-3", "a", 3),
        ("task-2", "b", 1),
        ("task-2", "c", 2),
    ]


async def test_writes_of_special_channels_replace(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})
    for value in ("first", "second"):
        await saver.aput_writes(config, [("n", value), ("m", value)], "regular")
        await saver.aput_writes(config, [(INTERRUPT, value), (RESUME, value)], "special")
        await saver.aput_writes(config, [(ERROR, value), ("n", value)], "mixed")
    assert (await read(saver, config)).pending_writes == [
        ("mixed", ERROR, "first"),
        ("mixed", "n", "first"),
        ("regular", "n", "first"),
        ("regular", "m", "first"),
        ("special", RESUME, "second"),
        ("special", INTERRUPT, "second"),
    ]


async def test_writes_may_come_before_their_checkpoint(saver: PgStateSaver) -> None:
    """LangGraph saves both in the background, in no order."""
    checkpoint = make({"n": 1})
    await saver.aput_writes(at("t", checkpoint["id"]), [("n", 2)], "task")
    assert await saver.aget_tuple(at("t")) is None
    config = await saver.aput(at("t"), checkpoint, {}, {"n": 1})
    assert (await read(saver, config)).pending_writes == [("task", "n", 2)]


async def test_no_writes(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})
    await saver.aput_writes(config, [], "task")
    assert (await read(saver, config)).pending_writes == []


async def test_sends_of_old_checkpoints(saver: PgStateSaver) -> None:
    """Before format 4 what a step sent lay with the writes of the parent."""
    parent = await saver.aput(at("t"), make({"n": 1}, v=3), {"source": "loop", "step": 0}, {"n": 1})
    await saver.aput_writes(parent, [(TASKS, "to b"), ("n", 5)], "task-2", "~b")
    await saver.aput_writes(parent, [(TASKS, "to a")], "task-1", "~a")
    child = await saver.aput(parent, make({"n": 2}, {"n": 2}, v=3), {"source": "loop", "step": 1}, {"n": 2})
    found = await read(saver, child)
    assert found.checkpoint["channel_values"] == {"n": 2, TASKS: ["to a", "to b"]}
    assert found.checkpoint["channel_versions"] == {"n": 2, TASKS: 2}
    assert [t.checkpoint async for t in saver.alist(at("t"), limit=1)] == [found.checkpoint]
    new = await saver.aput(parent, make({"n": 2}, {"n": 2}), {"source": "loop", "step": 1}, {"n": 2})
    assert (await read(saver, new)).checkpoint["channel_values"] == {"n": 2}


# metadata and lists


async def test_metadata_takes_in_what_the_config_says(saver: PgStateSaver) -> None:
    config = at("t", user="ana", __private="x", langgraph_node="n", deep={"not": "scalar"})
    config["metadata"] = {"tenant": 7, "user": "not this", "flag": True, "note": "a\x00b"}
    stored = await saver.aput(config, make({}), {"source": "input", "step": -1, "writes": {"x": 1}}, {})  # type: ignore[typeddict-unknown-key]
    # of the configurable what metadata does not say
    assert (await read(saver, stored)).metadata == {
        "source": "input", "step": -1, "tenant": 7, "user": "not this", "flag": True, "note": "ab",
    }  # fmt: skip


async def test_lists_filter_by_what_metadata_contains(saver: PgStateSaver) -> None:
    await put(saver, at("t"), {}, tags={"a": 1, "b": [1, 2]}, n=1, x=None)
    second = await put(saver, at("t"), {}, tags={"a": 2}, n=1.5, flag=True)
    assert await ids(saver, at("t"), filter={"tags": {"a": 2}}) == [id_of(second)]
    assert await ids(saver, at("t"), filter={"tags": {"b": [2]}, "x": None}) != []
    assert await ids(saver, at("t"), filter={"n": 1.5, "flag": True}) == [id_of(second)]
    assert await ids(saver, at("t"), filter={"flag": 1}) == []
    assert len(await ids(saver, at("t"), filter={})) == 2


async def test_lists_go_over_threads_and_namespaces(saver: PgStateSaver, make_saver: MakeSaver) -> None:
    made = [
        id_of(await put(saver, at(thread, ns=ns), {"at": [thread, ns]}))
        for thread in ("b", "a")
        for ns in ("", "child", "child:1")
    ]
    await put(make_saver(prefix="other"), at("a"), {})
    assert await ids(saver, None) == made[::-1]
    assert await ids(saver, None, before=at("x", made[3]), limit=2) == [made[2], made[1]]
    assert await ids(saver, {"configurable": {"thread_id": "a"}}) == made[:2:-1]
    assert await ids(saver, at("a", ns="child")) == [made[4]]
    assert await ids(saver, at("a", made[4], "child")) == [made[4]]
    assert await ids(saver, at("a", made[4], "")) == []
    assert await ids(saver, at("a"), limit=0) == []
    found = [t async for t in saver.alist(None)]
    assert [t.checkpoint["channel_values"]["at"] for t in found] == [
        [t.config["configurable"]["thread_id"], t.config["configurable"]["checkpoint_ns"]] for t in found
    ]


THREADS = ["plain", "with space", "a/b", "*", "a%2Fb", "..", "ünï", "🦉", "x" * 504, "-", "a\tb", "\0", "", "%", 7]


@pytest.mark.one_database
@pytest.mark.parametrize("thread", THREADS, ids=repr)
async def test_any_text_names_a_thread(saver: PgStateSaver, thread: Any) -> None:
    config = await put(saver, at(thread), {"n": 1})
    found = await read(saver, at(thread))
    assert found.config == config and config["configurable"]["thread_id"] == thread
    assert await ids(saver, None) == [id_of(config)]
    await saver.adelete_thread(thread)
    assert await ids(saver, None) == []


@pytest.mark.parametrize("thread", ["x" * 505, "\u00e9" * 100, "\ud800"], ids=["long", "quoted", "surrogate"])
async def test_a_thread_id_that_does_not_fit_is_told_so(saver: PgStateSaver, thread: str) -> None:
    with pytest.raises(errors.InvalidKey, match=r"a thread's id is quoted, behind threads/.*(512 bytes|surrogate)"):
        await put(saver, at(thread), {"n": 1})


@pytest.mark.parametrize("method", ["aget_tuple", "adelete_thread", "aput", "alist", "acopy_thread"])
async def test_none_is_no_thread(saver: PgStateSaver, method: str) -> None:
    """Sessions without an id would share the thread "None"."""
    with pytest.raises(errors.InvalidKey, match="thread_id is None"):
        if method == "aput":
            await put(saver, at(None), {"n": 1})  # type: ignore[arg-type]
        elif method == "alist":
            await ids(saver, at(None))  # type: ignore[arg-type]
        elif method == "acopy_thread":
            await saver.acopy_thread("t", None)  # type: ignore[arg-type]
        else:
            await getattr(saver, method)(at(None) if method == "aget_tuple" else None)  # type: ignore[arg-type]


async def test_a_thread_is_an_entry(saver: PgStateSaver, state: State) -> None:
    await put(saver, at("my thread"), {"n": 1})
    (entry,) = await state.list("threads/**")
    assert entry.key == pgstate.key("threads", "my thread") and entry.kind == "thread"


# deleting, copying, pruning


async def test_delete_for_runs_takes_their_writes_along(saver: PgStateSaver) -> None:
    first = await put(saver, at("t"), {"l": [1]}, run_id="a")
    second = await put(saver, first, {"l": [1, 2]}, {"l": 2}, run_id="b")
    other = await put(saver, at("u", ns="child"), {"l": [1]}, run_id="a")
    await saver.aput_writes(first, [("l", [2])], "task")
    await saver.adelete_for_runs(["a", "unknown"])
    assert await ids(saver, None) == [id_of(second)]
    assert await saver.aget_tuple(other) is None
    found = await read(saver, second)
    assert found.checkpoint["channel_values"] == {"l": [1, 2]}
    # the thread goes on where it was
    assert found.parent_config == first
    await put(saver, second, {"l": [1, 2, 3]}, {"l": 3}, run_id="c")


async def test_a_copy_is_a_thread_of_its_own(saver: PgStateSaver) -> None:
    first = await put(saver, at("a"), {"l": [1], "s": "text"})
    second = await put(saver, first, {"l": [1, 2], "s": "text"}, {"l": 2, "s": 1})
    child = await put(saver, at("a", ns="child"), {"x": 1})
    await saver.aput_writes(second, [("l", [3])], "task", "~path")
    await saver.acopy_thread("a", "b")
    copied = json.loads(json.dumps(await told(saver, "a")).replace('"thread_id": "a"', '"thread_id": "b"'))
    assert json.loads(json.dumps(await told(saver, "b"))) == copied
    await put(saver, at("b", id_of(second)), {"l": [1, 2, 4]}, {"l": 3})
    assert (await read(saver, at("a"))).config == second
    await saver.adelete_thread("a")
    assert (await read(saver, at("b"))).checkpoint["channel_values"]["l"] == [1, 2, 4]
    assert (await read(saver, at("b", ns="child"))).checkpoint["id"] == id_of(child)
    assert (await read(saver, at("b", id_of(second)))).pending_writes == [("task", "l", [3])]


async def test_prune_keeps_the_latest_whole(saver: PgStateSaver, size: Callable[[], int]) -> None:
    config = at("t")
    for number in range(5):
        config = await put(saver, config, {"l": [*range(number)]}, {"l": number})
        await saver.aput_writes(config, [("l", number)], "task")
    child = await put(saver, at("t", ns="child"), {"x": 1})
    await saver.aprune(["t"], strategy="keep_latest")
    assert await ids(saver, at("t")) == [id_of(config)]
    found = await read(saver, config)
    assert found.checkpoint["channel_values"] == {"l": [0, 1, 2, 3]}
    assert found.pending_writes == [("task", "l", 4)]
    assert found.parent_config is None
    assert (await read(saver, child)).checkpoint["channel_values"] == {"x": 1}
    assert id_of(await put(saver, config, {"l": [9]}, {"l": 9})) == (await ids(saver, at("t")))[0]


async def test_prune_takes_calls_of_subgraphs_along(
    saver: PgStateSaver, encrypted: PgStateSaver, reference: AsyncPostgresSaver
) -> None:
    """Those by checkpoints that go, as with LangGraph's saver: else a thread keeps what is left of one for each turn."""
    each: BaseCheckpointSaver[Any]
    for thread, each in ("t", saver), ("u", encrypted), ("v", reference):
        root = await put(each, at(thread), {"n": 1})
        over = await put(each, at(thread, ns="sub:1f0"), {"n": 2})
        await put(each, over, {"n": 3}, parents={"": id_of(root)})
        await put(each, at(thread, ns="sub:1f0|inner:2"), {"n": 4}, parents={"": id_of(root), "sub:1f0": id_of(over)})
        # its state outlives each call
        lasting = await put(each, at(thread, ns="sub"), {"n": 5}, parents={"": id_of(root)})
        latest = await put(each, root, {"n": 6})
        going_on = await put(each, at(thread, ns="sub:1f1"), {"n": 7}, parents={"": id_of(latest)})
        # the run saves behind the scenes what it is called from
        early = await put(each, at(thread, ns="sub:1f2"), {"n": 8}, parents={"": str(uuid6(clock_seq=-2))})
        await each.aprune([thread, "none"])
        left = [id_of(config) for config in (early, going_on, latest, lasting)]
        assert await ids(each, {"configurable": {"thread_id": thread}}) == left
        assert (await read(each, at(thread, ns="sub:1f1"))).checkpoint["channel_values"] == {"n": 7}
        await put(each, latest, {"n": 10})
        await each.aprune([thread])
        assert await ids(each, at(thread, ns="sub:1f1")) == []


@pytest.mark.parametrize(
    ("threads", "strategy", "error"), [("t", "keep_latest", TypeError), (["t"], "keep_some", ValueError)]
)
async def test_prune_refuses(saver: PgStateSaver, threads: Any, strategy: str, error: type[Exception]) -> None:
    await put(saver, at("t"), {})
    with pytest.raises(error):
        await saver.aprune(threads, strategy=strategy)
    assert len(await ids(saver, None)) == 1


# DeltaChannel: the value is what the nearest ancestor has, and all that was written since


# by this in its metadata a checkpoint says which DeltaChannels there are
COUNTERS = {"log": (1, 1), "plain": (1, 1), "none": (1, 1)}


async def chain(saver: BaseCheckpointSaver[Any], thread: str) -> list[dict[str, Any]]:
    """Six checkpoints and a fork; `log` has a snapshot in the second, `plain` an ordinary value in the first only, and
    `none` nothing anywhere."""
    made: list[Any] = []
    config = at(thread)
    for number in range(6):
        values: dict[str, Any] = {"n": number}
        if number == 1:
            values["log"] = _DeltaSnapshot(["snapshot"])
        if number == 0:
            values["plain"] = "seed"
        versions = {"n": number + 1, "log": number + 1, "plain": number + 1, "none": number + 1}
        config = await put(saver, config, values, versions, counters_since_delta_snapshot=COUNTERS)
        await saver.aput_writes(config, [("log", [f"{number} late"]), ("plain", number)], f"b-{number}", "~b")
        await saver.aput_writes(config, [("log", [f"{number} early"]), ("none", number)], f"z-{number}", "~a")
        made.append(config)
    versions = dict.fromkeys(("n", "log", "plain", "none"), 100)
    fork = await put(saver, made[2], {"n": 100}, versions, counters_since_delta_snapshot=COUNTERS)
    return [*made, fork]


async def test_delta_histories_are_those_of_the_interface(saver: PgStateSaver) -> None:
    channels = ["log", "plain", "none", "unknown"]
    made = await chain(saver, "t")
    for config in (*made, at("t"), at("other"), at("t", "1f000000-0000-6000-8000-000000000000")):
        walked = await BaseCheckpointSaver.aget_delta_channel_history(saver, config=config, channels=channels)
        assert await saver.aget_delta_channel_history(config=config, channels=channels) == walked
    assert walked == {channel: {"writes": []} for channel in channels}
    assert await saver.aget_delta_channel_history(config=made[3], channels=[]) == {}
    last = await saver.aget_delta_channel_history(config=made[3], channels=["log"])
    assert last["log"]["seed"] == _DeltaSnapshot(["snapshot"])
    assert [w[2] for w in last["log"]["writes"]] == [["1 early"], ["1 late"], ["2 early"], ["2 late"]]


async def test_a_delta_channel_stays_whole_until_it_is_written(
    saver: PgStateSaver, reference: AsyncPostgresSaver, dsn: str
) -> None:
    """As with the reference, which finds a channel by its version: nobody walks back to the snapshot for it."""
    async with pgstate.connect(dsn) as other:
        for first_saver, next_saver in ((reference, reference), (saver, saver), (saver, PgStateSaver(other))):
            await first_saver.adelete_thread("t")
            counters: Any = {"counters_since_delta_snapshot": {"log": (0, 1)}}
            versions = {"log": "1.5"}
            config = await put(first_saver, at("t"), {"log": _DeltaSnapshot(["a"])}, versions)
            await first_saver.aput_writes(config, [("log", ["of another branch"])], "task")
            for number in range(2, 4):
                await read(next_saver, config)
                new = {"n": f"{number}.5"}
                config = await put(next_saver, config, {"n": number}, {**versions, **new}, new=new, **counters)
            found = (await read(next_saver, config)).checkpoint["channel_values"]
            assert found == {"log": _DeltaSnapshot(["a"]), "n": 3}
            new = {"log": "4.5"}
            written = await put(next_saver, config, {"n": 3}, {"n": "3.5", **new}, new=new, **counters)
            assert (await read(next_saver, written)).checkpoint["channel_values"] == {"n": 3}
            await saver.aprune(["t"], strategy="keep_latest")
            found = await next_saver.aget_delta_channel_history(config=written, channels=["log"])
            assert found == {"log": {"writes": [], "seed": _DeltaSnapshot(["a"])}}


async def test_a_delta_history_is_one_statement(saver: PgStateSaver, state: State) -> None:
    made = await chain(saver, "t")
    before = state.stats.statements
    await saver.aget_delta_channel_history(config=made[5], channels=["log", "plain"])
    assert state.stats.statements - before == 1


async def test_prune_never_cuts_a_delta_chain(saver: PgStateSaver) -> None:
    made = await chain(saver, "t")
    channels = ["log", "plain", "none"]
    before = await saver.aget_delta_channel_history(config=made[-1], channels=channels)
    await saver.aprune(["t"], strategy="keep_latest")
    assert await saver.aget_delta_channel_history(config=made[-1], channels=channels) == before
    left = await ids(saver, at("t"))
    # `none` goes back to the root; what the fork left is not needed
    assert left == [id_of(made[n]) for n in (6, 2, 1, 0)]


async def test_copies_have_the_whole_delta_chain(saver: PgStateSaver) -> None:
    made = await chain(saver, "t")
    await saver.acopy_thread("t", "u")
    for config in made:
        copied = await saver.aget_delta_channel_history(config=at("u", id_of(config)), channels=["log", "plain"])
        assert copied == await saver.aget_delta_channel_history(config=config, channels=["log", "plain"])


async def test_delete_for_runs_keeps_what_delta_channels_need(saver: PgStateSaver) -> None:
    counters = {"log": (1, 1)}
    first = await put(saver, at("t"), {"log": _DeltaSnapshot(["a"])}, {"log": 1}, run_id="one")
    await saver.aput_writes(first, [("log", ["b"])], "task")
    second = await put(saver, first, {"n": 1}, {"log": 2, "n": 1}, run_id="two", counters_since_delta_snapshot=counters)
    await saver.adelete_for_runs(["one"])
    history = await saver.aget_delta_channel_history(config=second, channels=["log"])
    assert history == {"log": {"seed": _DeltaSnapshot(["a"]), "writes": [("task", "log", ["b"])]}}
    await saver.adelete_for_runs(["one", "two"])
    assert await ids(saver, at("t")) == []


# serializers


class Reverse(CipherProtocol):
    """Not a cipher, but nothing that goes through it is readable."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reverse", bytes(byte ^ 0xA5 for byte in plaintext[::-1]) + secrets.token_bytes(4)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "reverse"
        return bytes(byte ^ 0xA5 for byte in ciphertext[:-4])[::-1]


SECRET = "verysecret"


async def dump(database: Database) -> bytes:
    """All that the pgstate schema holds, as it is stored."""
    return database.cluster.program(
        "pg_dump", "--data-only", "--schema=pgstate", "--inserts", "--dbname", database.dsn("postgres")
    ).encode()


@pytest.fixture
def encrypted(make_saver: MakeSaver) -> PgStateSaver:
    return make_saver(serde=EncryptedSerializer(Reverse()))


async def test_nothing_readable_is_stored(encrypted: PgStateSaver, database: Database) -> None:
    values = {"text": SECRET, "list": [SECRET, SECRET], "dict": {SECRET: SECRET}, "n": 31415926}
    config = await put(encrypted, at("t"), values, user=SECRET, run_id=f"run-{SECRET}")
    await encrypted.aput_writes(config, [("text", SECRET)], "task")
    stored = await dump(database)
    for shown in (SECRET, SECRET.encode().hex(), "31415926"):
        assert shown.encode() not in stored
    found = await read(encrypted, config)
    assert found.checkpoint["channel_values"] == values
    assert found.metadata["user"] == SECRET  # type: ignore[typeddict-item]
    assert found.pending_writes == [("task", "text", SECRET)]


async def test_equal_values_are_not_told_by_their_hashes(encrypted: PgStateSaver, database: Database) -> None:
    """A hash of a plaintext would let who reads the tables try out what it may be."""
    import hashlib

    await put(encrypted, at("t"), {"pin": 1234, "list": ["1234"]})
    stored = (await dump(database)).decode()
    for value in (1234, "1234"):
        for typed in JsonPlusSerializer().dumps_typed(value)[1:]:
            assert hashlib.sha256(typed).hexdigest() not in stored


async def test_encrypted_metadata_is_filtered(encrypted: PgStateSaver) -> None:
    first = await put(encrypted, at("t"), {"n": 1}, user="ana", run_id="a", tags={"x": [1, 2]})
    second = await put(encrypted, first, {"n": 2}, user="bo", run_id="b")
    assert await ids(encrypted, at("t"), filter={"user": "ana"}) == [id_of(first)]
    assert await ids(encrypted, at("t"), filter={"tags": {"x": [2]}}) == [id_of(first)]
    assert await ids(encrypted, None, filter={"user": "bo"}, limit=1) == [id_of(second)]
    assert await ids(encrypted, at("t"), filter={"user": "bo", "run_id": "a"}) == []
    await encrypted.adelete_for_runs(["a"])
    assert await ids(encrypted, at("t")) == [id_of(second)]


async def test_what_grows_is_encrypted_once(
    encrypted: PgStateSaver, make_saver: MakeSaver, size: Callable[[], int]
) -> None:
    """Also by a process that has not encrypted it itself, but read it."""
    lines = [secrets.token_hex(500)]
    config = await put(encrypted, at("t"), {"lines": lines})
    before = size()
    for number in range(60):
        if number == 30:
            encrypted = make_saver(serde=EncryptedSerializer(Reverse()))
            await read(encrypted, at("t"))
        lines = [*lines, secrets.token_hex(500)]
        config = await put(encrypted, config, {"lines": lines}, {"lines": number + 2})
    # 60 kB of lines; written anew each time, 1.8 MB
    assert size() - before < 600_000
    assert (await read(encrypted, at("t"))).checkpoint["channel_values"] == {"lines": lines}


async def test_encryption_may_begin_later(saver: PgStateSaver, encrypted: PgStateSaver) -> None:
    first = await put(saver, at("t"), {"l": [1, "a"], "s": "x"}, user="ana")
    second = await put(encrypted, first, {"l": [1, "a", "b"], "s": "x"}, {"l": 2, "s": 1}, new={"l": 2}, user="bo")
    assert (await read(encrypted, first)).checkpoint["channel_values"] == {"l": [1, "a"], "s": "x"}
    found = await read(encrypted, second)
    assert found.checkpoint["channel_values"] == {"l": [1, "a", "b"], "s": "x"}
    assert await ids(encrypted, at("t"), filter={"user": "ana"}) == [id_of(first)]


class Own:
    """A type of nobody's allowlist."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and other.value == self.value

    def _asdict(self) -> dict[str, int]:
        return {"value": self.value}


async def test_types_of_nobodys_allowlist_are_not_made(saver: PgStateSaver, make_saver: MakeSaver) -> None:
    """A checkpoint that somebody changed could call anything else."""
    config = await put(saver, at("t"), {"own": Own(1), "owns": [Own(2)]})
    found = (await read(saver, config)).checkpoint["channel_values"]
    assert found == {"own": {"value": 1}, "owns": [{"value": 2}]}
    found = (await read(make_saver(allow=[Own]), config)).checkpoint["channel_values"]
    assert found == {"own": Own(1), "owns": [Own(2)]}


async def test_what_chains_hand_on_comes_back_as_it_was(saver: PgStateSaver) -> None:
    action = AgentAction(tool="look", tool_input={"q": 1}, log="I look")
    values = {
        "action": action,
        "steps": [AgentStep(action=action, observation="nothing"), AgentStep(action=action, observation="more")],
        "outcome": AgentFinish({"answer": 42}, "done"),
        "prompts": [StringPromptValue(text="a"), ChatPromptValueConcrete(messages=[HumanMessage("b", id="1")])],
        "result": LLMResult(generations=[[Generation(text="c")]]),
    }
    assert (await read(saver, await put(saver, at("t"), values))).checkpoint["channel_values"] == values


async def test_shallow_copies_share_the_connection(saver: PgStateSaver, state: State) -> None:
    config = await put(saver, at("t"), {"own": Own(1)})
    copy = saver.with_allowlist([(Own.__module__, Own.__name__)])
    assert copy is not saver and isinstance(copy, PgStateSaver)
    assert (await read(copy, config)).checkpoint["channel_values"] == {"own": Own(1)}
    assert copy.get_tuple(config) == await copy.aget_tuple(config)
    assert (await read(saver, config)).checkpoint["channel_values"] == {"own": {"value": 1}}
    await put(copy, config, {"own": Own(2)}, {"own": 2})
    assert len(await ids(saver, at("t"))) == 2


# ways to make one


async def test_from_an_address(dsn: str) -> None:
    async with PgStateSaver.from_conn_string(dsn) as saver:
        await saver.setup()
        config = await put(saver, at("t"), {"n": 1})
        assert await ids(saver, None) == [id_of(config)]
    with PgStateSaver.from_conn_string(dsn, prefix="threads") as saver:
        saver.setup()
        found = saver.get_tuple(at("t"))
        assert found is not None and found.checkpoint["channel_values"] == {"n": 1}
        again = saver.put(config, make({"n": 2}), {"source": "loop"}, {"n": 1})
        saver.put_writes(again, [("n", 3)], "task")
        assert [t.pending_writes for t in saver.list(at("t"))] == [[("task", "n", 3)], []]
        saver.copy_thread("t", "u")
        saver.prune(["u"])
        assert len([*saver.list(at("u"))]) == 1
        assert saver.get_delta_channel_history(config=again, channels=["n"])["n"]["seed"] == 1
        saver.delete_for_runs(["nobody"])
        saver.delete_thread("t")
        assert saver.get_tuple(at("t")) is None


async def test_agents_see_their_own_threads(saver: PgStateSaver, state: State, dsn: str) -> None:
    await state.create_agent("ana")
    await state.grant_access("ana", "threads/ana/**", "read")
    await state.grant_access("ana", "threads/ana/**", "write")
    hers = PgStateSaver(state.as_agent("ana"), prefix="threads/ana")
    config = await put(hers, at("t"), {"n": 1})
    await hers.aput_writes(config, [("n", 2)], "task")
    assert (await read(hers, config)).pending_writes == [("task", "n", 2)]
    others = PgStateSaver(state.as_agent("ana"))
    await put(saver, at("secret"), {"n": 1})
    for refused in (
        others.aget_tuple(at("secret")),
        put(others, at("secret"), {"n": 2}),
        others.aput_writes(at("secret", "x"), [("n", 2)], "task"),
        others.adelete_thread("secret"),
        others.acopy_thread("secret", "ana/copy"),
        others.aprune(["secret"]),
    ):
        with pytest.raises(errors.AccessDenied):
            await refused
    await others.adelete_for_runs(["x"])
    assert [t.config["configurable"]["thread_id"] async for t in hers.alist(None)] == ["t"]


async def test_on_a_pool_and_an_engine(dsn: str) -> None:
    """Their connections are of one loop: what is not on it says so, in place of waiting for ever."""
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=3) as pool,
        pgstate.connect(pool=pool) as on_pool,
        pgstate.connect(engine=engine) as on_engine,
    ):
        for thread, state in (("pool", on_pool), ("engine", on_engine)):
            saver = PgStateSaver(state)
            config = await put(saver, at(thread), {"n": 1})
            with pytest.raises(errors.InvalidArgument, match="dsn"):
                saver.get_tuple(config)
            with pytest.raises(errors.InvalidArgument, match="dsn"):
                await asyncio.to_thread(saver.get_tuple, config)
            assert (await read(saver, at(thread))).config == config
    await engine.dispose()


async def test_connections_and_addresses_are_no_states(dsn: str) -> None:
    """What LangGraph's own savers take."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        for given in (dsn, pool, PgStateSaver.from_conn_string(dsn)):
            for kind in (PgStateSaver, PgStateStore):
                with pytest.raises(errors.InvalidArgument, match="is no state"):
                    kind(given)


async def test_from_another_loop(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"n": 1})

    async def elsewhere() -> Any:
        found = await saver.aget_tuple(at("t"))
        assert found is not None
        await put(saver, found.config, {"n": 2}, {"n": 2})
        return [t.checkpoint["channel_values"] async for t in saver.alist(at("t"))]

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == [{"n": 2}, {"n": 1}]
    assert (await read(saver, at("t"))).parent_config == config


async def test_a_save_whose_reply_was_lost_is_done_once(database: Database, state: State) -> None:
    proxy = Proxy(database.cluster.data / f".s.PGSQL.{database.cluster.port}", INSTALLER, database.name)
    await proxy.start()
    try:
        for way in (None, "refuse"):
            thread = f"t-{way}"
            async with pgstate.connect(proxy.dsn) as other:
                saver = PgStateSaver(other, on_conflict=way)
                config = await put(saver, at(thread), {"n": 1})
                for marker, number in ((b"one", 2), (b"two", 3)):
                    lost = proxy.lose_reply(marker)
                    config = await put(
                        saver, config, {"text": marker.decode() * 100, "n": number}, {"text": number, "n": number}
                    )
                    assert lost.is_set()
                lost = proxy.lose_reply(b"three")
                await saver.aput_writes(config, [("n", "three" * 100)], "task")
                assert lost.is_set()
                assert (await read(saver, config)).pending_writes == [("task", "n", "three" * 100)]
            history = await state.history(f"threads/{thread}")
            assert [version.value["checkpoints"] for version in history] == [3, 2, 1]
    finally:
        await proxy.stop()


async def test_a_list_of_large_checkpoints_reads_few_at_a_time(
    saver: PgStateSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listing, "_MOST", 5000)
    config, made = at("t"), []
    for number in range(7):
        config = await put(saver, config, {"l": f"{number}" * 2000}, {"l": number})
        made.append(id_of(config))
    read_at_once: list[int] = []
    plain = calls.checkpoint_parts

    async def spy(connection: Any, key: str, ids: list[str], *args: Any, **named: Any) -> Any:
        read_at_once.append(len(ids))
        return await plain(connection, key, ids, *args, **named)

    monkeypatch.setattr(calls, "checkpoint_parts", spy)
    found = [t async for t in saver.alist(at("t"))]
    assert [t.checkpoint["channel_values"]["l"][0] for t in found] == list("6543210")
    assert read_at_once == [2, 2, 2, 1]
    assert await ids(saver, at("t"), limit=3) == made[:3:-1]
    assert await ids(saver, at("t"), limit=4, before=at("t", made[5])) == made[4:0:-1]


async def test_what_no_saver_has_written_keeps_no_other_from_being_listed(
    saver: PgStateSaver, admin: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """As a thread of `State.thread` under the same prefix, or of somebody who means no good."""
    await put(saver, at("t"), {"n": 1})
    headers = [
        None, b"msgpack\0", b"other\0x", b"json\0{}", b"json\0[]", b"null\0", b'json\0{"v": 4, "channel_versions": 1}',
        b'json\0{"v": "4", "channel_versions": {}}', b'json\0{"v": 4, "channel_versions": {}}',
    ]  # fmt: skip
    for number, header in enumerate(headers):
        for _ in range(2):
            await admin.execute(
                "select pgstate.save_checkpoint($1, '{a}', '{json}', '{1}', header => $2, metadata => '[1]')",
                f"threads/{number}",
                header,
            )
    (found,) = [t async for t in saver.alist(None)]
    assert found.config["configurable"]["thread_id"] == "t"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == len(headers) and all("threads/" in warning for warning in warnings)
    assert await ids(saver, None, limit=1) == [found.checkpoint["id"]]
    for number in range(len(headers)):
        for call in (read, ids):
            with pytest.raises(errors.InvalidValue, match="none that a saver has written"):
                await call(saver, at(str(number)))


async def test_a_thread_that_is_too_large_to_read_keeps_no_other_from_being_listed(
    saver: PgStateSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(saver, at("large"), {"n": 1})
    await put(saver, at("t"), {"n": 1})
    plain = calls.checkpoint_parts

    async def parts(connection: Any, key: str, *args: Any, **named: Any) -> Any:
        if key == "threads/large":
            raise errors.ValueTooLarge("960 MB")
        return await plain(connection, key, *args, **named)

    monkeypatch.setattr(calls, "checkpoint_parts", parts)
    found = {t.config["configurable"]["thread_id"]: t async for t in saver.alist(None)}
    assert found["t"].checkpoint["channel_values"] == {"n": 1} and found["large"].metadata["step"] == 0
    with pytest.raises(errors.ValueTooLarge):
        assert found["large"].checkpoint


async def test_what_is_listed_is_loaded_when_it_is_looked_at(saver: PgStateSaver) -> None:
    config = await put(saver, at("t"), {"l": [1, 2], "own": Own(1)})
    await saver.aput_writes(config, [("l", 3)], "task")
    whole = await read(saver, config)
    (found,) = [t async for t in saver.alist(at("t"))]
    assert found.config == whole.config and found.metadata == whole.metadata and "_loaded" not in vars(found)
    assert found == whole and whole == found and found != whole._replace(metadata={})
    assert tuple(found) == tuple(whole) and found[1] == whole.checkpoint and found[:] == tuple(whole)
    assert type(found.checkpoint) is dict and type(found.checkpoint["channel_values"]) is dict
    for made in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found)), found._replace()):
        assert type(made) is CheckpointTuple and made == whole
    assert repr(found) == repr(whole) and found._asdict() == whole._asdict()


CONTAINED = [
    ({"a": 1}, {"a": 1}), ({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": True}), ({"a": True}, {"a": 1}), ({"a": None}, {"a": None}),
    ({}, {"a": None}), ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}), ({"a": {"b": 1}}, {"a": {}}), ({"a": [1, 2]}, {"a": [2]}),
    ({"a": [1, 2]}, {"a": [2, 2, 1]}), ({"a": [1, 2]}, {"a": []}), ({"a": [1]}, {"a": [1, 2]}), ({"a": [{"b": 1, "c": 2}]}, {"a": [{"c": 2}]}),
    ({"a": [[1, 2], [3]]}, {"a": [[2]]}), ({"a": [[1, 2], [3]]}, {"a": [[1, 3]]}), ({"a": {"b": [1]}}, {"a": [1]}), ({"a": "x"}, {"a": "xy"}),
    ({"a": [1]}, {"a": {}}), ({"a": {}}, {"a": []}), ({"a": "1"}, {"a": 1}), ({"a": [None]}, {"a": [None]}), ({"a": False}, {"a": None}),
]  # fmt: skip


async def test_filters_here_are_those_of_the_database(admin: asyncpg.Connection) -> None:
    for found, wanted in CONTAINED:
        there = await admin.fetchval("select $1::text::jsonb @> $2::text::jsonb", json.dumps(found), json.dumps(wanted))
        assert contains(found, wanted) == there, (found, wanted)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_HASHES", 50)
    memory = _memory.Memory()
    root = _memory.Root(1, "@", b"x", frozenset(bytes([n]) * 16 for n in range(10)))
    for number in range(20):
        memory.keep((None, f"t/{number}", ""), _memory.Seen(str(number), {"a": root}))
    kept = [number for number in range(20) if memory.last((None, f"t/{number}", "")).id]
    assert kept == [16, 17, 18, 19]
    memory.keep((None, "t/19", ""), _memory.Seen("again", {}))
    memory.forget((None, "t/18", ""))
    memory.forget((None, "t/18", ""))
    assert memory._count == 2 * 12 + 1
    # one that is larger than all is kept as long as it is the last
    memory.keep((None, "large", ""), _memory.Seen("l", {str(n): root for n in range(9)}))
    assert memory.last((None, "large", "")).id == "l" and not memory.last((None, "t/19", "")).id


def test_what_is_remembered_of_lists_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_BYTES", 1000)
    memory, seen = _memory.Memory(), _memory.Seen("1", {})
    places = [(None, f"t/{number}", "") for number in range(4)]
    leaves = {"messages": {0: (("json", b"x" * 400), b"hash")}}
    for place in places[:3]:
        memory.keep(place, seen, leaves)
    assert [memory.leaves(place) for place in places] == [{}, leaves, leaves, {}]
    # the thread that was saved again is the one that stays
    memory.keep(places[1], seen, leaves)
    memory.keep(places[3], seen, leaves)
    assert [memory.leaves(place) for place in places] == [{}, leaves, {}, leaves]
    memory.forget(places[1])
    memory.keep(places[3], seen)
    assert memory._bytes == 0 and not any(memory.leaves(place) for place in places)
    memory.keep(places[0], seen, {"messages": {0: (("json", b"x" * 2000), b"hash")}})
    assert memory._bytes == 0 and memory.last(places[0]) == seen
