"""Threads and checkpoints: what is stored, who may, what stays deleted, and that nothing that is needed is collected."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import Clock
from pgstate._codec import Encoded, decode
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import LONG, among, hashes, ids, load, save, saved

__all__ = ["among"]

pytestmark = pytest.mark.core
MESSAGES = [{"id": str(n), "text": f"{n} " + "word " * 150} for n in range(100)]


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, to look into the tables."""
    return await session(SUPERUSER)


async def count(inside: Caller, table: str) -> int:
    found: int = await inside.fetchval(f"select count(*) from pgstate.{table}")
    return found


async def test_each_save_is_a_change_of_the_entry(root: Caller) -> None:
    cursor = await root("cursor")
    first = await saved(root, "t/1", {"step": 1, "text": LONG}, metadata={"run_id": "r", "n": 1})
    second = await saved(root, "t/1", {"step": 2, "text": LONG}, known=hashes({"text": LONG}))
    entry = await root("get", "t/1")
    assert (entry["kind"], entry["version"], entry["writer"]) == ("thread", 2, "admin")
    assert entry["value"] == {"checkpoint": second, "ns": "", "checkpoints": 2, "bytes": len(LONG) + 2 + 2 * (1 + 16)}
    changes = [row for row in await root.rows("changes", cursor, ["t/*"]) if row["key"]]
    assert [(row["op"], row["version"], row["value"]["checkpoint"]) for row in changes] == [("put", 1, first), ("put", 2, second)]  # fmt: skip
    assert [(row["key"], row["kind"]) for row in await root.rows("list", "t/*")] == [("t/1", "thread")]
    assert first < second
    assert await load(root, "t/1") == {"step": 2, "text": LONG}
    assert await load(root, "t/1", first) == {"step": 1, "text": LONG}
    row = await root("get_checkpoint", "t/1", first)
    assert (row["parent"], row["metadata"], row["run_id"]) == (None, {"run_id": "r", "n": 1}, "r")
    assert (await root("get_checkpoint", "t/1"))["parent"] == first


async def test_a_long_list_grows_by_little(root: Caller, inside: Caller) -> None:
    await saved(root, "t/1", {"messages": MESSAGES})
    chunks, known = await count(inside, "chunk"), hashes({"messages": MESSAGES})
    longer = {"messages": [*MESSAGES, {"id": "new", "text": LONG}]}
    await saved(root, "t/1", longer, known=known)
    assert await count(inside, "chunk") <= chunks + 2  # the message and the last page
    assert await load(root, "t/1") == longer


async def test_the_server_hashes_what_is_sent(root: Caller, inside: Caller) -> None:
    await saved(root, "t/1", {"text": LONG})
    assert {row["hash"] for row in await inside.fetch("select hash from pgstate.chunk")} == hashes({"text": LONG})


async def test_what_is_missing_is_asked_for(root: Caller) -> None:
    wanted = hashes({"text": LONG})
    row = await save(root, "t/1", {"text": LONG}, known=wanted)
    assert (row["status"], set(row["missing"]), row["id"], row["version"]) == ("incomplete", wanted, None, None)
    assert await load(root, "t/1") is None
    assert (await root("get", "t/1"))["status"] == "missing"
    assert await root.rows("threads") == []
    # what was sent stays, for the next call
    more = {"text": LONG, "messages": MESSAGES[:3]}
    row = await save(root, "t/1", more, known=hashes({"messages": MESSAGES[:1]}) | hashes(more) - wanted)
    assert row["status"] == "incomplete" and wanted.isdisjoint(row["missing"])
    assert (await save(root, "t/1", more, known=wanted))["status"] == "ok"
    assert await load(root, "t/1") == more


@pytest.mark.parametrize("call", ["put('t/1', '1')", "merge('t/1', '1', 'add')", "delete('t/1')", "rollback('t/1', version => 1)",
                                  "complete('t/1', 1)"])  # fmt: skip
async def test_other_functions_do_not_write_threads(root: Caller, call: str) -> None:
    await saved(root, "t/1", {"step": 1})
    await root.refuses("PS040", call)
    outcomes = await root.rows("write_many", ["put", "delete"], ["t/1", "t/1"], [1, None])
    assert {row["code"] for row in outcomes} == {"PS040"}
    assert await load(root, "t/1") == {"step": 1}
    await root("put", "value", 1)
    for key in ("value",):
        with refused("PS040"):
            await saved(root, key, {"step": 1})
        with refused("PS040"):
            await root("put_writes", key, "c", "task", [0], ["a"], ["json"], [b"1"])
        for function in ("delete_thread", "prune_thread"):
            with refused("PS040"):
                await root(function, key)
    assert (await root("get", "value"))["value"] == 1


async def test_a_deleted_thread_stays_deleted(root: Caller, inside: Caller) -> None:
    old = await saved(root, "t/1", {"text": LONG})
    await root("put_writes", "t/1", old, "task", [0], ["a"], ["json"], [b"1"])
    assert dict(await root("delete_thread", "t/1")) == {"status": "ok", "version": 2, "value": None}
    assert (await root("delete_thread", "t/1"))["status"] == "missing"
    for table in ("thread", "checkpoint", "chunk", "pending_write"):
        assert await count(inside, table) == 0, table
    # who was still at it
    assert (await save(root, "t/1", {"text": LONG}, parent=old))["status"] == "missing"
    assert (await save(root, "t/1", {"text": LONG}, parent=old, expect_head=old))["status"] == "missing"
    await root("put_writes", "t/1", old, "task", [0], ["a"], ["json"], [b"1"])
    assert (await root("get", "t/1"))["status"] == "missing"
    assert await root.rows("threads") == [] == await root.rows("checkpoints")
    assert await load(root, "t/1") is None
    # a new one
    new = await saved(root, "t/1", {"step": 1}, parent="")
    assert (await root("get", "t/1"))["version"] == 3
    assert (await save(root, "t/1", {"step": 2}, parent=old))["status"] == "missing"
    assert await ids(root, "t/1") == [new]
    assert [row["op"] for row in await root.rows("history", "t/1")] == ["put", "delete", "put"]
    # which was pruned: of its own checkpoints the parent may be gone
    await saved(root, "t/1", {"step": 2})
    assert (await root("prune_thread", "t/1"))["removed"] == 1
    assert (await save(root, "t/1", {"step": 3}, parent=old))["status"] == "missing"
    await saved(root, "t/1", {"step": 3}, parent=new)
    # and of a fork's, from before it was made
    assert (await root("fork_thread", "t/1", "t/2", history=True))["status"] == "ok"
    (*_, kept) = await ids(root, "t/2")
    assert (await root("prune_thread", "t/2"))["removed"] == 1
    await saved(root, "t/2", {"step": 4}, parent=kept)


async def test_a_value_in_place_of_a_deleted_thread(root: Caller) -> None:
    await saved(root, "t/1", {"step": 1})
    await root("delete_thread", "t/1")
    await root.refuses("PS040", "rollback('t/1', version => 1)")
    assert (await root("put", "t/1", 1))["version"] == 3
    assert (await root("get", "t/1"))["kind"] == "value"
    await root("delete", "t/1")
    await saved(root, "t/1", {"step": 1})
    assert ((await root("get", "t/1"))["kind"], await load(root, "t/1")) == ("thread", {"step": 1})


async def test_writes_may_come_before_their_checkpoint(root: Caller, inside: Caller, clock: Clock) -> None:
    await root("put_writes", "t/1", "c1", "task", [0, 1], ["a", "b"], ["json", "json"], [b"1", b"2"])
    assert await root.rows("threads") == []
    await saved(root, "t/1", {"step": 1}, id="c1")
    row = await root("get_checkpoint", "t/1")
    assert (row["write_channels"], row["write_data"]) == (["a", "b"], [b"1", b"2"])
    # those that nothing came of
    await root("put_writes", "t/2", "c1", "task", [0], ["a"], ["json"], [b"1"])
    assert await count(inside, "thread") == 2
    await root("maintain")
    assert await count(inside, "thread") == 2
    await clock.advance(3601)
    await root("maintain")
    assert (await count(inside, "thread"), await count(inside, "pending_write")) == (1, 2)
    assert (await root("get_checkpoint", "t/1"))["status"] == "ok"


async def test_writes_are_kept_once_and_read_in_order(root: Caller) -> None:
    id = await saved(root, "t/1", {"step": 1})

    async def put(task: str, idxs: list[int], data: list[bytes], **named: Any) -> None:
        channels = [f"c{idx}" for idx in idxs]
        await root("put_writes", "t/1", id, task, idxs, channels, ["json"] * len(idxs), data, **named)

    await put("b", [1, 0], [b"1", b"0"], task_path="1")
    await put("a", [0], [b"2"], task_path="2")
    await put("a", [0], [b"changed"], task_path="2")
    await put("b", [-1, -1], [b"e1", b"e2"], task_path="1", replace=True)
    await put("b", [-1], [b"e3"], task_path="1", replace=True)
    row = await root("get_checkpoint", "t/1")
    read = [*zip(row["write_task_paths"], row["write_task_ids"], row["write_idxs"], row["write_data"], strict=True)]
    assert read == [("1", "b", -1, b"e3"), ("1", "b", 0, b"0"), ("1", "b", 1, b"1"), ("2", "a", 0, b"2")]
    assert (await root("get", "t/1"))["version"] == 1


async def test_what_is_expected_of_the_head(root: Caller) -> None:
    assert (await save(root, "t/1", {"n": 1}, expect_head="x"))["status"] == "conflict"
    first = await saved(root, "t/1", {"n": 1}, expect_head="")
    row = await save(root, "t/1", {"n": 1}, expect_head="")
    assert (row["status"], row["head"], row["version"]) == ("conflict", first, None)
    second = await saved(root, "t/1", {"n": 2}, expect_head=first)
    row = await save(root, "t/1", {"n": 3}, expect_head=first)
    assert (row["status"], row["head"]) == ("conflict", second)
    assert await load(root, "t/1") == {"n": 2}
    # another namespace has a head of its own
    await saved(root, "t/1", {"n": 1}, expect_head="", ns="sub")


async def test_a_checkpoint_that_is_sent_again(root: Caller, inside: Caller) -> None:
    """With an id of the caller's, as it is when a reply was lost: it is there, and nothing changes."""
    for again in range(2):
        row = await save(root, "t/1", {"n": 1}, id="a", parent="", expect_head="", header=b"h")
        assert (row["status"], row["id"], row["version"], row["head"]) == ("ok", "a", 1, "a"), again
    row = await save(root, "t/1", {"n": 2}, id="a", parent="", expect_head="", header=b"h")
    assert (row["status"], row["version"]) == ("ok", 2)
    await save(root, "t/1", {"n": 3}, id="b", parent="a", expect_head="a")
    # behind what came after it, it is a conflict as any other
    assert (await save(root, "t/1", {"n": 2}, id="a", parent="", expect_head=""))["status"] == "conflict"
    # without a word of what it comes after, it does not come after itself
    for id, n in [("b", 3), ("a", 2)]:
        row = await save(root, "t/1", {"n": n}, id=id, header=b"h" if id == "a" else None)
        assert (row["status"], row["version"], row["head"]) == ("ok", 3, "b")
    assert [(r["id"], r["parent"]) for r in await root.rows("checkpoints", "t/1")] == [("b", "a"), ("a", None)]


async def test_channels_that_must_not_have_changed(root: Caller) -> None:
    base = await saved(root, "t/1", {"a": 1, "b": 1}, versions=["1", "1"])
    await saved(root, "t/1", {"a": 2, "b": 1}, versions=["2", "1"])
    assert (await save(root, "t/1", {"a": 3}, parent=base, guard=["a"], versions=["2"]))["status"] == "conflict"
    # another channel, which nobody touched
    await saved(root, "t/1", {"a": 1, "b": 2}, parent=base, guard=["b"], versions=["1", "2"])
    # without versions it is the content that counts
    base = await saved(root, "t/2", {"a": 1, "b": 1})
    await saved(root, "t/2", {"a": 2, "b": 1})
    assert (await save(root, "t/2", {"a": 3}, parent=base, guard=["b", "a"]))["status"] == "conflict"
    await saved(root, "t/2", {"a": 1, "b": 2}, parent=base, guard=["b"])
    # from nothing
    assert (await save(root, "t/2", {"a": 3}, parent="", guard=["a"]))["status"] == "conflict"
    await saved(root, "t/2", {"new": 3}, parent="", guard=["new"])


async def test_ids_rise_whatever_the_clock_says(root: Caller, clock: Clock) -> None:
    first = await saved(root, "t/1", {})
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    await clock.advance(-3600)
    second = await saved(root, "t/1", {})
    assert first < second < await saved(root, "t/1", {})
    await saved(root, "t/1", {"mine": 1}, id="~")
    with refused("PS007"):
        await save(root, "t/1", {})
    # given again: replaced
    await saved(root, "t/1", {"mine": 2}, id="~")
    assert await load(root, "t/1", "~") == {"mine": 2}
    assert (await root("get", "t/1"))["value"]["checkpoints"] == 4


async def test_arguments(root: Caller) -> None:
    for arguments in (
        "names => '{a}', types => '{json}', data => '{}'",
        "names => '{a,null}', types => '{json,json}', data => '{1,1}'",
        "names => '{a}', types => '{json}', data => '{1}', versions => '{}'",
        "names => '{a}', types => '{json}', data => '{1}', chunk_types => '{json}'",
        "names => '{a}', types => '{json}', data => '{1}', chunk_types => '{json}', chunk_data => '{null}'",
        "names => null, types => '{json}', data => '{1}'",
        "names => '{}', types => '{}', data => '{}', id => ''",
        "names => '{}', types => '{}', data => '{}', ns => null",
        "names => '{}', types => '{}', data => '{}', ttl => interval '-1 s'",
        "names => '{}', types => '{}', data => '{}', ttl => interval '1200 mon -36000 days'",
        "names => '{}', types => '{}', data => '{}', id => 'a', run_id => repeat('r', 1901)",
    ):
        await root.refuses("PS007", f"save_checkpoint('t/1', {arguments})")
    await root.refuses("PS001", "save_checkpoint('/', '{}', '{}', '{}')", "get_checkpoint('/')", "checkpoint_state('/')",
                       "delete_thread('/')", "fork_thread('/', 'a')", "fork_thread('a', '/')", "get_checkpoints('/', '{}')",
                       "put_writes('/', 'c', 't', '{}', '{}', '{}', '{}')", "threads(after => '/')")  # fmt: skip
    await root.refuses("PS002", "threads('/')", "checkpoints('/')")
    await root.refuses("PS007", "prune_thread('t/1', 0)", "prune_thread('t/1', null)", 'threads("limit" => 0)', 'checkpoints("limit" => 0)',
                       "put_writes('t/1', 'c', 't', '{1}', '{}', '{}', '{}')", "put_writes('t/1', '', 't', '{}', '{}', '{}', '{}')")  # fmt: skip
    for nulls in ("'{null}', '{a}', '{json}', '{1}'", "'{1}', '{null}', '{json}', '{1}'", "'{1}', '{a}', '{null}', '{1}'",
                  "'{1}', '{a}', '{json}', '{null}'"):  # fmt: skip
        await root.refuses("PS007", f"put_writes('t/1', 'c', 't', {nulls})")
    assert await root.rows("threads") == []


async def test_one_that_may_not_see_it(root: Caller, agent: MakeAgent) -> None:
    id = await saved(root, "hid/t", {"text": LONG}, metadata={"run_id": "r"})
    await saved(root, "ro/t", {"text": LONG}, metadata={"run_id": "r"})
    alice = await agent("alice", "read ro/**", "write wo/**", "read rw/**", "write rw/**")
    said = await alice.refuses("PS010", "get_checkpoint('hid/t')", "get_checkpoint('hid/none')", f"get_checkpoints('hid/t', '{{{id}}}')",
                               "checkpoint_state('hid/t')", "checkpoints('hid/t')", "checkpoints('hid/none')", "threads('hid/*')", "delete_thread('hid/t')",
                               "delete_thread('hid/none')", "prune_thread('hid/t')", f"rollback_thread('hid/t', '{id}')", "fork_thread('hid/t', 'rw/t')",
                               "fork_thread('hid/none', 'rw/t')", "fork_thread('ro/t', 'hid/t')", "fork_thread('ro/t', 'ro/f')",
                               "save_checkpoint('hid/t', '{}', '{}', '{}')", "save_checkpoint('ro/t', '{}', '{}', '{}')",
                               "save_checkpoint('wo/t', '{}', '{}', '{}')", "delete_thread('ro/t')", "prune_thread('ro/t')",
                               "put_writes('hid/t', 'c', 't', '{}', '{}', '{}', '{}')", "put_writes('ro/t', 'c', 't', '{}', '{}', '{}', '{}')",
                               "put_writes('wo/t', 'c', 't', '{}', '{}', '{}', '{}')")  # fmt: skip
    assert len(said) == 1
    assert [row["key"] for row in await alice.rows("threads")] == ["ro/t"]
    assert [row["key"] for row in await alice.rows("checkpoints")] == ["ro/t"]
    assert [row["key"] for row in await alice.rows("checkpoints", run_id="r")] == ["ro/t"]
    assert dict(await alice("delete_runs", ["r"])) == {"status": "ok", "removed": 0}
    assert await load(root, "hid/t") == await load(alice, "ro/t") == {"text": LONG}
    # a hash is no way to what another thread holds
    row = await save(alice, "rw/t", {"text": LONG}, known=hashes({"text": LONG}))
    assert (row["status"], set(row["missing"])) == ("incomplete", hashes({"text": LONG}))


async def test_a_fork_knows_what_its_checkpoint_reaches_and_no_more(
    root: Caller, agent: MakeAgent, inside: Caller
) -> None:
    hidden, shown = {"secret": LONG + "4711"}, {"text": LONG, "messages": MESSAGES}
    await saved(root, "hid/t", hidden)
    await saved(root, "hid/t", hidden, ns="sub")
    await saved(root, "hid/t", shown)
    await root("fork_thread", "hid/t", "rw/t")
    alice = await agent("alice", "read rw/**", "write rw/**")
    assert await load(alice, "rw/t") == shown
    row = await save(alice, "rw/t", hidden, known=hashes(hidden))
    assert (row["status"], set(row["missing"])) == ("incomplete", hashes(hidden))
    # what it had from there need not be sent
    longer = {**shown, "messages": [*MESSAGES, {"text": "more"}]}
    before = await count(inside, "chunk")
    await saved(alice, "rw/t", longer, known=hashes(shown))
    assert await count(inside, "chunk") <= before + 2
    assert await load(alice, "rw/t") == longer
    # what is sent is its own, though the other thread has it: as if that were not there
    before = await count(inside, "chunk")
    row = await root("get", "rw/t")
    await saved(alice, "rw/t", hidden)
    assert await count(inside, "chunk") == before + 1
    assert (await root("get", "rw/t"))["value"]["bytes"] == row["value"]["bytes"] + len(hidden["secret"]) + 2 + 16


async def test_forks_outlive_what_they_came_from(root: Caller, inside: Caller) -> None:
    first = await saved(root, "t/1", {"messages": MESSAGES})
    await saved(root, "t/1", {"messages": [*MESSAGES, LONG]}, known=hashes({"messages": MESSAGES}))
    chunks = await count(inside, "chunk")
    row = await root("fork_thread", "t/1", "t/2", first)
    assert (row["status"], row["id"], row["version"]) == ("ok", first, 1)
    assert await count(inside, "chunk") == chunks
    (info,) = await root.rows("threads", "t/2")
    assert (info["forked_from"], info["forked_id"], info["checkpoints"]) == ("t/1", first, 1)
    assert (await root("fork_thread", "t/1", "t/2"))["status"] == "conflict"
    assert (await root("fork_thread", "t/1", "t/3", "none"))["status"] == "missing"
    assert (await root("fork_thread", "none", "t/3"))["status"] == "missing"
    assert (await root("get", "t/3"))["status"] == "missing"
    await root("delete_thread", "t/1")
    # what the second checkpoint alone had is gone
    assert await count(inside, "chunk") == len(hashes({"messages": MESSAGES}))
    assert await load(root, "t/2") == {"messages": MESSAGES}
    await root("fork_thread", "t/2", "t/3")
    await root("delete_thread", "t/2")
    assert await load(root, "t/3") == {"messages": MESSAGES}
    assert await root.rows("checkpoint_state", "t/3") != []
    await root("delete_thread", "t/3")
    await root("maintain")
    await root("maintain")
    assert (await count(inside, "chunk"), await count(inside, "thread")) == (0, 0)


async def test_a_long_line_of_forks(root: Caller, inside: Caller) -> None:
    await saved(root, "t/0", {"messages": MESSAGES, "n": 0})
    for number in range(1, 20):
        await root("fork_thread", f"t/{number - 1}", f"t/{number}")
        await saved(root, f"t/{number}", {"messages": MESSAGES, "n": number}, known=hashes({"messages": MESSAGES}))
    assert await inside.fetchval("select max(cardinality(bases)) from pgstate.thread") < 8
    for number in range(19):
        await root("delete_thread", f"t/{number}")
    await root("maintain")
    assert await load(root, "t/19") == {"messages": MESSAGES, "n": 19}


async def test_a_fork_with_its_history(root: Caller) -> None:
    line = [await saved(root, "t/1", {"n": n, "text": LONG}) for n in range(3)]
    await saved(root, "t/1", {"nested": 1}, ns="sub")
    await root("put_writes", "t/1", line[1], "task", [0], ["a"], ["json"], [b"1"])
    await root("fork_thread", "t/1", "t/2", history=True)
    assert await ids(root, "t/2", ns="") == line[::-1]
    assert (await root("get_checkpoint", "t/2", line[1]))["write_data"] == [b"1"]
    assert await load(root, "t/2", ns="sub") == {"nested": 1}
    assert (await root("get_checkpoint", "t/2", line[2]))["parent"] == line[1]
    (info,) = await root.rows("threads", "t/2")
    assert (info["checkpoints"], info["forked_id"]) == (4, None)
    # from one of them: that one, and nothing before it
    await root("fork_thread", "t/1", "t/3", line[1])
    assert (await ids(root, "t/3"), (await root("get_checkpoint", "t/3"))["parent"]) == ([line[1]], None)
    assert (await root("get_checkpoint", "t/3"))["write_data"] == [b"1"]


async def test_rollback(root: Caller, inside: Caller) -> None:
    first = await saved(root, "t/1", {"n": 1, "text": LONG})
    second = await saved(root, "t/1", {"n": 2, "text": LONG})
    row = await root("rollback_thread", "t/1", first)
    assert (row["status"], row["version"]) == ("ok", 3) and row["id"] > second
    assert await load(root, "t/1") == {"n": 1, "text": LONG}
    assert await ids(root, "t/1") == [row["id"], second, first]
    found = await root("get_checkpoint", "t/1")
    assert (found["parent"], found["metadata"]) == (first, {"source": "rollback", "checkpoint": first})
    assert (await root("rollback_thread", "t/1", "none"))["status"] == "missing"
    assert (await root("rollback_thread", "t/none", first))["status"] == "missing"
    assert await count(inside, "chunk") == 1


async def test_prune_keeps_the_newest_of_each_namespace(root: Caller, inside: Caller) -> None:
    for number in range(4):
        await saved(root, "t/1", {"n": number, "text": f"{number}" + LONG})
        await saved(root, "t/1", {"n": number}, ns="sub")
    old = (await ids(root, "t/1", ns=""))[-1]
    await root("put_writes", "t/1", old, "task", [0], ["a"], ["json"], [b"1"])
    assert dict(await root("prune_thread", "t/1", 2)) == {"status": "ok", "removed": 4}
    left = [row for row in await root.rows("checkpoints", "t/1") if row["ns"] == "sub"]
    assert [row["parent"] for row in left] == [left[1]["id"], None]
    assert (await count(inside, "chunk"), await count(inside, "pending_write")) == (2, 0)
    entry = await root("get", "t/1")
    size = 2 * (len(LONG) + 3 + 1 + 16 + 1)
    assert (entry["version"], entry["value"]["checkpoints"], entry["value"]["bytes"]) == (9, 4, size)
    assert dict(await root("prune_thread", "t/1", 2)) == {"status": "ok", "removed": 0}
    assert (await root("get", "t/1"))["version"] == 9
    assert dict(await root("prune_thread", "t/1", 1, "sub")) == {"status": "ok", "removed": 1}
    assert (await root("prune_thread", "t/none"))["status"] == "missing"
    # of a namespace the newest too
    gone = [*await ids(root, "t/1", ns="sub"), "none"]
    assert dict(await root("prune_thread", "t/1", 2, None, None, None, None, None, gone)) == {
        "status": "ok",
        "removed": 1,
    }
    assert (await ids(root, "t/1", ns="sub"), len(await ids(root, "t/1", ns=""))) == ([], 2)
    # it goes on, though the parent is gone
    await saved(root, "t/1", {"n": 9}, parent=old)
    assert await load(root, "t/1") == {"n": 9}


async def delta(root: Caller, key: str, number: int, **channels: Any) -> str:
    """A checkpoint whose channels that are None are to be had from those before it."""
    data = [None if value is None else str(value).encode() for value in channels.values()]
    types = [None if value is None else "json" for value in channels.values()]
    named = {"whole": None not in channels.values(), "metadata": {"run_id": f"r{number}"}}
    row = await root("save_checkpoint", key, [*channels], types, data, **named)
    assert row["status"] == "ok"
    return str(row["id"])


async def test_what_others_cannot_be_read_without_is_kept(root: Caller) -> None:
    # a and b have their values at different places, so that no checkpoint after the first has both
    values = [(1, 1), (1, 1), (None, 1), (1, None), (None, 1), (None, None), (1, 1)]
    c = [await delta(root, "t/1", n, a=a, b=b) for n, (a, b) in enumerate(values)]
    await root("fork_thread", "t/1", "t/2", c[5])
    # a is had from 3, b from 4
    assert await ids(root, "t/2") == [c[5], c[4], c[3]]
    assert (await root("get_checkpoint", "t/2", c[3]))["parent"] is None
    assert (await root("prune_thread", "t/1", 2))["removed"] == 3
    assert await ids(root, "t/1") == [c[6], c[5], c[4], c[3]]
    assert dict(await root("delete_runs", ["r3", "r4", "r6"])) == {"status": "ok", "removed": 1}
    assert await ids(root, "t/1") == [c[5], c[4], c[3]] == await ids(root, "t/2")
    # back to one of them: it stands on what that stands on, and not on what was written after it
    again = await root("rollback_thread", "t/2", c[4], metadata={"why": 1})
    row = await root("get_checkpoint", "t/2", again["id"])
    assert (row["parent"], row["whole"], row["metadata"]) == (c[3], False, {"why": 1})
    # nothing needs it any more
    await delta(root, "t/2", 8, a=1, b=1)
    assert (await root("prune_thread", "t/2", 1))["removed"] == 4


async def test_deleting_runs(root: Caller) -> None:
    for key in ("t/1", "t/2"):
        for run in ("r1", "r2"):
            await saved(root, key, {"text": run + LONG}, metadata={"run_id": run})
    await saved(root, "t/3", {"n": 1}, run_id="r1")
    assert dict(await root("delete_runs", ["r1", "none"])) == {"status": "ok", "removed": 3}
    assert [row["run_id"] for row in await root.rows("checkpoints")] == ["r2", "r2"]
    assert await load(root, "t/3") is None
    assert (await root("get", "t/3"))["value"]["checkpoints"] == 0


async def test_listing(root: Caller) -> None:
    line = [await saved(root, "t/1", {"n": n}, metadata={"n": n, "even": n % 2 == 0, "run_id": "r"}) for n in range(5)]
    sub = await saved(root, "t/1", {"n": 0}, ns="sub")
    other = await saved(root, "t/2", {"n": 0}, metadata={"run_id": "r", "even": True})
    assert await ids(root, "t/1") == [sub, *line[::-1]]
    assert await ids(root, "t/*") == [other, sub, *line[::-1]] == await ids(root, "")
    assert await ids(root, "t/1", ns="") == line[::-1]
    assert await ids(root, "t/1", ns="", limit=2) == line[:2:-1]
    assert await ids(root, "t/1", ns="", before=line[3], limit=2) == [line[2], line[1]]
    assert await ids(root, "t/1", filter={"even": True}) == [line[4], line[2], line[0]]
    assert await ids(root, "", filter={"even": True}, run_id="r") == [other, line[4], line[2], line[0]]
    assert await ids(root, "t/1", run_id="r", before=line[1]) == [line[0]]
    assert await ids(root, "t/none") == [] == await ids(root, "t/1", ns="none")
    rows = await root.rows("get_checkpoints", "t/1", [line[0], line[3], "none"])
    assert {row["id"] for row in rows} == {line[0], line[3]}


async def test_threads_by_page(root: Caller) -> None:
    for number in range(5):
        await saved(root, f"t/{number}", {"n": 1})
    await root("put", "t/value", 1)
    keys = [row["key"] for row in await root.rows("threads", "t/*", 2)]
    assert keys == ["t/0", "t/1"]
    assert [row["key"] for row in await root.rows("threads", "t/*", 2, "t/1")] == ["t/2", "t/3"]
    assert [row["key"] for row in await root.rows("threads", "t/4")] == ["t/4"]
    assert [row["key"] for row in await root.fetch("select key from pgstate.threads order by 1")] == [
        f"t/{n}" for n in range(5)
    ]


async def test_the_state_in_sql(root: Caller) -> None:
    state = {
        "n": 1,
        "text": LONG,
        "messages": MESSAGES,
        "small": ["a", 1, None],
        "mixed": [1, "x" * 30] * 200,
        "none": None,
    }
    await saved(root, "t/1", state)
    rows = await root.rows("checkpoint_state", "t/1")
    assert {row["channel"]: row["value"] if row["channel"] != "none" else None for row in rows} == state
    assert {row["type"] for row in rows} == {"json"}
    # what jsonb cannot hold, and other serializers
    await saved(root, "t/2", {"nul": "\0", "nan": [float("nan")], "surrogate": "\ud800"})
    assert [(row["type"], row["value"]) for row in await root.rows("checkpoint_state", "t/2")] == [("json", None)] * 3
    await root(
        "save_checkpoint",
        "t/3",
        ["a", "b", "gone"],
        ["msgpack", "json", None],
        [b"\x01", b"1", None],
        ["v1", None, "v2"],
    )
    rows = await root.rows("checkpoint_state", "t/3")
    assert [tuple(row) for row in rows] == [
        ("a", "msgpack", "v1", None),
        ("b", "json", None, 1),
        ("gone", None, "v2", None),
    ]
    assert await root.rows("checkpoint_state", "t/none") == []


@pytest.mark.thorough
async def test_pages_that_nobody_can_have_made(root: Caller) -> None:
    """They are what a client says they are: reading them ends."""
    encoded = Encoded()
    page = encoded.chunk("json", b"1")
    for depth in range(8):
        page = encoded.chunk(f"#{depth}", page * 96)
    types, data = map(list, zip(*encoded.chunks.values(), strict=True))
    names = ["long", "deep", "wrong"]
    row = await root("save_checkpoint", "t/1", names, ["#8", "#99999", "#x"], [page, page, page], None, types, data)
    assert row["status"] == "ok"
    rows = await root.rows("checkpoint_state", "t/1")
    assert [(row["channel"], row["type"], row["value"]) for row in rows] == [
        ("long", "#8", None),
        ("deep", "#99999", None),
        ("wrong", "#x", None),
    ]
    row = await root("get_checkpoint", "t/1")
    assert len(row["chunk_hashes"]) == 9


async def test_a_time_to_live_begins_anew_with_each_save(root: Caller, inside: Caller, clock: Clock) -> None:
    first = await saved(root, "t/1", {"text": LONG}, ttl=seconds(60))
    await clock.advance(50)
    await saved(root, "t/1", {"text": LONG})
    await clock.advance(50)
    assert await load(root, "t/1") == {"text": LONG}
    await clock.advance(20)
    # at once, to everybody
    assert await load(root, "t/1") is None
    assert (
        await root.rows("threads")
        == []
        == await root.rows("checkpoints")
        == await root.fetch("select from pgstate.threads")
    )
    assert (await root("fork_thread", "t/1", "t/2"))["status"] == "missing"
    assert (await root("prune_thread", "t/1"))["status"] == "missing"
    assert (await save(root, "t/1", {"n": 1}, parent=first))["status"] == "missing"
    await root("expire")
    await root("maintain")
    assert (await count(inside, "chunk"), await count(inside, "checkpoint"), await count(inside, "thread")) == (0, 0, 0)
    await saved(root, "t/1", {"n": 1}, ttl=seconds(60))
    await saved(root, "t/1", {"n": 1}, ttl=timedelta(0))
    assert (await root("get", "t/1"))["expires_at"] is None


@pytest.mark.parametrize("other", ["save", "put"])
async def test_in_place_of_one_that_has_expired(root: Caller, inside: Caller, clock: Clock, other: str) -> None:
    old = await saved(root, "t/1", {"text": LONG}, ttl=seconds(60))
    await clock.advance(61)
    if other == "save":
        await saved(root, "t/1", {"n": 2}, expect_head="")
        assert await load(root, "t/1", old) is None
    else:
        assert (await root("put", "t/1", 2))["version"] == 3
    assert [row["op"] for row in await root.rows("history", "t/1")] == ["put", "expire", "put"]
    await root("maintain")
    assert await count(inside, "chunk") == 0
    assert await count(inside, "thread") == (other == "save")


async def test_the_policy_of_its_prefix(root: Caller, clock: Clock, inside: Caller) -> None:
    await root("set_policy", "t/**", ttl=seconds(60), keep="1 version", schema={"type": "string"}, value_limit=64)
    for number in range(5):
        await saved(root, "t/1", {"n": number, "text": LONG})
    await root("maintain")
    await clock.advance(7200 - 7201)
    await inside.execute("update pgstate.mark set at = at - interval '2 h'")
    await root("maintain")
    # versions of the entry go, checkpoints do not
    assert len(await root.rows("history", "t/1")) < 5
    assert len(await ids(root, "t/1")) == 5
    assert await load(root, "t/1", (await ids(root, "t/1"))[-1]) == {"n": 0, "text": LONG}
    await clock.advance(62)
    assert await load(root, "t/1") is None


async def test_one_that_is_to_stay_whatever_the_policy_says(root: Caller) -> None:
    await root("set_policy", "t/**", ttl=seconds(60))

    async def ends(key: str) -> bool:
        return (await root("get", key))["expires_at"] is not None

    first = await saved(root, "t/1", {"n": 0}, ttl=timedelta(0))
    assert await ends("t/1") is False
    await saved(root, "t/1", {"n": 1})
    assert await ends("t/1") is False
    await root("rollback_thread", "t/1", first)
    await root("prune_thread", "t/1")
    assert await ends("t/1") is False
    await root("fork_thread", "t/1", "t/2", ttl=timedelta(0))
    await saved(root, "t/2", {"n": 2})
    assert await ends("t/2") is False
    await root("fork_thread", "t/1", "t/3")
    assert await ends("t/3") is True


async def test_the_claim_of_a_thread(root: Caller, agent: MakeAgent) -> None:
    id = await saved(root, "t/1", {"n": 1})
    alice = await agent("alice", "read t/**", "write t/**")
    claim = await alice("claim", "t/1", seconds(60))
    for caller in (root, alice):
        assert (await save(caller, "t/1", {"n": 2}))["status"] == "held"
        assert (await caller("delete_thread", "t/1"))["status"] == "held"
        assert (await caller("prune_thread", "t/1"))["status"] == "held"
        assert (await caller("rollback_thread", "t/1", id))["status"] == "held"
    assert (await save(root, "t/1", {"n": 2}, token=claim["token"]))["status"] == "stale"
    assert (await save(alice, "t/1", {"n": 2}, token=claim["token"] + 1))["status"] == "stale"
    await saved(alice, "t/1", {"n": 2}, token=claim["token"])
    await alice("release", "t/1", claim["token"])
    assert (await save(alice, "t/1", {"n": 2}, token=claim["token"]))["status"] == "stale"
    await saved(root, "t/1", {"n": 3})
    assert (await root("delete_thread", "t/1", token=7))["status"] == "stale"


async def test_a_statement_that_is_sent_again(root: Caller) -> None:
    lane = "11111111-2222-4333-8444-555555555555"
    first = await save(root, "t/1", {"n": 1}, lane=lane, turn=1)
    again = await save(root, "t/1", {"n": 1}, lane=lane, turn=1)
    assert (again["id"], again["version"]) == (first["id"], 1)
    assert len(await ids(root, "t/1")) == 1
    for turn, call in enumerate(
        [
            ("rollback_thread", "t/1", first["id"]), ("fork_thread", "t/1", "t/2"), ("prune_thread", "t/1"),
            ("delete_runs", ["none"]), ("delete_thread", "t/1"),
        ], 2,
    ):  # fmt: skip
        once, twice = [await root(*call, lane=lane, turn=turn) for _ in range(2)]
        assert once["status"] == "ok"
        told = {"id", "version", "removed"} & set(once.keys())
        assert [once[name] for name in told] == [twice[name] for name in told], call


async def test_big_threads_are_collected_in_steps(root: Caller, inside: Caller) -> None:
    await saved(root, "t/1", {"messages": MESSAGES})
    for number in range(4):
        await saved(root, "t/1", {"n": number})
    await inside.execute("update pgstate.thread set key = null, collect_at = now()")
    await inside.execute("update pgstate.entry set live = false, value = null")
    steps = 0
    while await count(inside, "thread"):
        before = await count(inside, "chunk") + await count(inside, "checkpoint")
        await root("maintain", 20)
        assert before - await count(inside, "chunk") - await count(inside, "checkpoint") <= 40
        steps += 1
    assert steps > 4
    assert (await count(inside, "chunk"), await count(inside, "checkpoint")) == (0, 0)


async def test_what_is_collected_in_steps_is_not_found_in_part(root: Caller, inside: Caller) -> None:
    """A page that is there is taken for complete by a save that names it."""

    def chunk(type_: str, data: bytes) -> tuple[bytes, str, bytes]:
        return sha256(type_.encode() + b"\0" + data).digest()[:16], type_, data

    # the last ones first, so that pages come in between what they name however the table is read
    leaves = [chunk("json", f'"{n}"'.encode()) for n in range(40)]
    pages = [chunk("#0", b"".join(digest for digest, *_ in leaves[n : n + 4])) for n in range(0, 40, 4)]
    top = chunk("#1", b"".join(digest for digest, *_ in pages))
    below = {top[0]: 50, **{digest: 4 for digest, *_ in pages}}
    sent = [top, *pages, *leaves]
    random.Random(3).shuffle(sent)
    types, data = [type_ for _, type_, _ in sent], [data for *_, data in sent]
    row = await root("save_checkpoint", "t/1", ["m"], ["#2"], [top[0]], chunk_types=types, chunk_data=data)
    await saved(root, "t/1", {"n": 1}, parent=row["id"])
    await inside.execute("delete from pgstate.checkpoint where id = $1", row["id"])
    await inside.execute("update pgstate.thread set collect_at = now()")
    found: set[tuple[str, str]] = set()
    while left := await count(inside, "chunk"):
        await root("maintain", 6)
        assert left - 6 <= await count(inside, "chunk") < left
        for digest, names in below.items():
            type_ = "#2" if digest == top[0] else "#1"
            transaction = root.transaction()
            await transaction.start()
            row = await root("save_checkpoint", "t/1", ["m"], [type_], [digest])
            if row["status"] == "ok":
                assert len((await root("get_checkpoint", "t/1"))["chunk_hashes"]) == 1 + names
            found.add((type_, row["status"]))
            await transaction.rollback()
    assert found == {("#2", "incomplete"), ("#1", "ok"), ("#1", "incomplete")}


async def test_what_a_long_thread_does_not_need_is_left_to_maintenance(root: Caller, inside: Caller) -> None:
    """To find it takes a look at all checkpoints, also of forks: prune() does not wait for that."""
    first = await saved(root, "t/1", {"text": LONG, "only": LONG + "first"})
    await root("fork_thread", "t/1", "t/2", first)
    await saved(root, "t/1", {"text": LONG, "only": LONG + "second"})
    await saved(root, "t/1", {"text": LONG})
    await inside.execute(
        "insert into pgstate.checkpoint (thread_id, ns, id, names, types, data, whole, size, created_at, writer, via)"
        " select thread_id, 'n' || n, id, '{n}', '{json}', array['1'::bytea], true, 1, created_at, writer, via"
        " from pgstate.checkpoint c, generate_series(1, 1000) n where id = $1 and whole and parent is null"
        " and thread_id = (select id from pgstate.thread where key = 't/1')",
        first,
    )
    assert (await root("prune_thread", "t/1", 1, ""))["removed"] == 2
    assert await count(inside, "chunk") == 3
    assert not (await root("maintain"))["more"]
    # of the first all is the fork's
    assert await count(inside, "chunk") == 2
    assert await load(root, "t/2") == {"text": LONG, "only": LONG + "first"}
    assert await load(root, "t/1") == {"text": LONG}
    assert await inside.fetchval("select count(*) from pgstate.thread where collect_at is not null") == 0
    # what a short one does not need goes at once
    await saved(root, "t/3", {"text": LONG})
    await saved(root, "t/3", {"n": 1})
    assert (await root("prune_thread", "t/3"))["removed"] == 1
    assert await count(inside, "chunk") == 2


async def test_readers_see_threads_of_keys_they_read(root: Caller, session: MakeAgent, login_name: Any) -> None:
    login = login_name("ana")
    await root("create_reader", login, "a/**")
    for key in ("a/t", "b/t"):
        await saved(root, key, {"text": LONG}, metadata={"n": 1})
    await root("put_writes", "a/none", "c", "task", [0], ["a"], ["json"], [b"1"])
    ana = await session(login)
    for view in ("threads", "checkpoints"):
        assert [row["key"] for row in await ana.fetch(f"select * from pgstate.{view}")] == ["a/t"]
    (row,) = await ana.fetch("select * from pgstate.checkpoints")
    assert (row["channels"], row["metadata"], row["writer"]) == (["text"], {"n": 1}, "admin")
    for table in ("chunk", "pending_write"):
        with refused("42501"):
            await ana.fetch(f"select * from pgstate.{table}")


async def test_work_functions_leave_threads_alone(root: Caller) -> None:
    await root("set_policy", "t/**", max_attempts=1, dead_letter="dead")
    await saved(root, "t/1", {"text": LONG})
    claim = await root("claim", "t/1", seconds(60))
    with refused("PS040"):
        await root("complete", "t/1", claim["token"], move_to="done/1")
    assert (await root("fail", "t/1", claim["token"], "no"))["moved_to"] is None
    assert await load(root, "t/1") == {"text": LONG}
    assert await root.rows("list", "dead/**") == []
    assert (await root("release", "t/1", force=True))["status"] == "ok"
    await saved(root, "t/1", {"text": LONG})
    guards = [{"key": "t/1", "exists": True}, {"key": "t/1", "version": 2}]
    rows = await root.rows("apply", guards, [{"op": "put", "key": "other", "value": 1}])
    assert [row["status"] for row in rows] == ["ok"] * 3


async def test_leaves_that_nobody_can_have_made(root: Caller) -> None:
    """Of a checkpoint that holds some the other channels are read all the same."""
    encoded = Encoded()
    large, short = encoded.chunk("json", b'"' + b"x" * (1 << 20) + b'"'), encoded.chunk("+json", b"x")
    types, data = map(list, zip(*encoded.chunks.values(), strict=True))
    row = await root(
        "save_checkpoint",
        "t/1",
        ["large", "short", "n"],
        ["#0", "#0", "json"],
        [large * 1024, short, b"1"],
        None,
        types,
        data,
    )
    assert row["status"] == "ok"
    rows = await root.rows("checkpoint_state", "t/1")
    assert [(row["channel"], row["type"], row["value"]) for row in rows] == [
        ("large", "#0", None),
        ("short", "json", []),
        ("n", "json", 1),
    ]


async def test_pages_that_go_on_for_ever(root: Caller) -> None:
    """What is read of them is what a list can have, so that their number makes nobody wait."""
    encoded = Encoded()
    page = encoded.chunk("json", b"1")
    for depth in range(8):
        page = encoded.chunk(f"#{depth}", page)
    last = page
    for _ in range(1000):
        page = encoded.chunk("#0", page)
    types, data = map(list, zip(*encoded.chunks.values(), strict=True))
    row = await root("save_checkpoint", "t/1", ["endless", "deep"], ["#0", "#8"], [page, last], None, types, data)
    assert row["status"] == "ok"
    row = await root("get_checkpoint", "t/1")
    assert len(row["chunk_hashes"]) == 9 + 9
    chunks = dict(zip(row["chunk_hashes"], zip(row["chunk_types"], row["chunk_data"], strict=True), strict=True))
    assert decode(["deep"], ["#8"], [last], chunks) == {"deep": [1]}


@pytest.mark.core
async def test_a_thread_that_takes_too_long_keeps_no_maintenance_from_being_done(
    root: Caller, inside: Caller, clock: Clock
) -> None:
    """How long it takes is for whoever may write it to say."""
    for key in ("t/slow", "t/1"):
        await saved(root, key, {"text": LONG})
        await saved(root, key, {"n": 1})
        await root("prune_thread", key)
    slow = await inside.fetchval("select id from pgstate.thread where key = 't/slow'")
    await inside.execute("alter function pgstate._collect_thread rename to _collected")
    await inside.execute(f"""
        create function pgstate._collect_thread(p_id bigint, p_limit int, p_most int default null) returns boolean
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
        begin
          if p_id = {slow} and (select pg_advisory_xact_lock(1)) is null then
            null;
          end if;
          return pgstate._collected(p_id, p_limit, p_most);
        end $$;
        alter function pgstate._collect_thread owner to pgstate_owner;
        update pgstate.thread set collect_at = now() - case when id = {slow} then interval '1 minute' else '0' end;
        select pg_advisory_lock(1)""")
    keeping = asyncio.create_task(root("maintain"))
    await wait_until_blocked(inside.connection, root.pid)
    # as a statement_timeout does
    await inside.execute(f"select pg_cancel_backend({root.pid})")
    assert (await keeping)["more"]
    assert not (await root("maintain"))["more"]
    due = "select key from pgstate.thread where collect_at is not null"
    assert [row["key"] for row in await inside.fetch(due)] == ["t/slow"]
    await inside.execute("select pg_advisory_unlock(1)")
    await clock.advance(3601)
    assert not (await root("maintain"))["more"]
    assert await inside.fetch(due) == []


@pytest.mark.core
async def test_pruning_takes_time_with_how_many_there_are(root: Caller, inside: Caller) -> None:
    """And not with their square: of checkpoints that are not to be read without all of those before, and of those that stay.
    Most threads are short, so that is what the planner expects."""
    await root("save_checkpoint", "t/0", ["a"], ["json"], [b"1"], id="0")
    await inside.execute(
        "insert into pgstate.checkpoint (thread_id, ns, id, names, types, data, whole, size, created_at, writer, via)"
        " select -n, ns, id, names, types, data, whole, size, created_at, writer, via"
        " from pgstate.checkpoint c, generate_series(1, 5000) n"
    )
    await inside.execute("analyze pgstate.checkpoint")
    for key, whole in (("t/delta", False), ("t/whole", True)):
        await root("save_checkpoint", key, ["a", "b"], ["json", "json"], [b"1", b"1"], id="0000")
        await inside.execute(
            "insert into pgstate.checkpoint (thread_id, ns, id, parent, names, types, data, whole, size, created_at, writer, via)"
            " select thread_id, ns, lpad(n::text, 4, '0'), lpad((n - 1)::text, 4, '0'), names,"
            "        array['json', case when $2 then 'json' end], array['1', case when $2 then '1' end]::bytea[], $2,"
            "        1, created_at, writer, via"
            " from pgstate.checkpoint c, generate_series(1, 5000) n"
            " where thread_id = (select id from pgstate.thread where key = $1)",
            key,
            whole,
        )
    await root.execute("set statement_timeout = '5 s'")  # far more than it takes
    assert (await root("prune_thread", "t/delta", 1))["removed"] == 0
    assert (await root("prune_thread", "t/delta", 2000))["removed"] == 0
    assert (await root("prune_thread", "t/whole", 2000))["removed"] == 3001
    left = [(row["id"], row["parent"]) for row in await root.rows("checkpoints", "t/whole", limit=5000)]
    assert left == [(str(n), str(n - 1) if n > 3001 else None) for n in range(5000, 3000, -1)]
