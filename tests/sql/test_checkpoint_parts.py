"""What many checkpoints hold, and what channels are made of that a checkpoint does not hold itself."""

from __future__ import annotations

from typing import Any

import pytest

from pgstate._codec import decode
from sql._caller import Caller, MakeAgent
from sql._threads import LONG, ids, save, saved

pytestmark = pytest.mark.core


def chunks(row: Any) -> dict[bytes, tuple[str, bytes]]:
    """The chunks of a row, each once."""
    found = dict(zip(row["chunk_hashes"], zip(row["chunk_types"], row["chunk_data"], strict=True), strict=True))
    assert len(found) == len(row["chunk_hashes"])
    return found


async def write(
    root: Caller, checkpoint: str, task: str, channel: str, value: bytes, path: str = "", **named: Any
) -> None:
    await root("put_writes", "t/1", checkpoint, task, [0], [channel], ["json"], [value], task_path=path, **named)


async def test_chunks_that_many_share_come_once(root: Caller) -> None:
    made, messages = [], []
    for number in range(60):
        messages.append(f"{number} {LONG}")
        made.append(await saved(root, "t/1", {"messages": messages, "rules": LONG, "n": number}))
    await saved(root, "t/1", {"other": "another " * 100}, ns="sub")
    row = await root("checkpoint_parts", "t/1", made)
    parts = chunks(row)
    rows = {r["id"]: r for r in await root.rows("checkpoints", "t/1", "")}
    for number, id_ in enumerate(made):
        found = decode(rows[id_]["names"], rows[id_]["types"], rows[id_]["data"], parts)
        assert found == {"messages": messages[: number + 1], "rules": LONG, "n": number}
    # 60 messages, rules, and pages that differ
    assert len(parts) <= 60 + 1 + 60
    assert chunks(await root("checkpoint_parts", "t/1", made[:1])).keys() < parts.keys()
    nothing = await root("checkpoint_parts", "t/1", ["none"])
    assert not nothing["chunk_hashes"] and nothing["write_data"] is None


async def test_writes_of_many_in_their_order(root: Caller) -> None:
    first = await saved(root, "t/1", {"n": 1})
    second = await saved(root, "t/1", {"n": 2})
    await write(root, second, "b", "x", b"1", "~2")
    await write(root, second, "c", "x", b"2", "~1")
    await write(root, first, "a", "x", b"3", "~3")
    await write(root, first, "a", "x", b"4", ns="sub")
    row = await root("checkpoint_parts", "t/1", [first, second])
    assert [*zip(row["write_checkpoints"], row["write_task_ids"], row["write_data"], strict=True)] == [
        (second, "c", b"2"), (second, "b", b"1"), (first, "a", b"3"),
    ]  # fmt: skip


async def test_channels_are_followed_up_the_parents(root: Caller) -> None:
    made = [await saved(root, "t/1", {"log": [LONG, "x"], "old": 0}, id=f"{n}") for n in range(1)]
    for number in range(1, 5):
        state = {"n": number} if number != 2 else {"n": number, "log": [LONG, "y"]}
        made.append(await saved(root, "t/1", state, id=f"{number}", parent=made[-1]))
    for number in range(5):
        await write(root, f"{number}", "b", "log", b"%d" % number, "~2")
        await write(root, f"{number}", "a", "log", b"%d0" % number, "~1")
        await write(root, f"{number}", "z", "old", b"%d" % number)
    row = await root("channel_history", "t/1", ["log", "old", "none"])
    seeds = decode(row["seed_channels"], row["seed_types"], row["seed_data"], chunks(row))
    assert seeds == {"log": [LONG, "y"], "old": 0}
    found = [*zip(row["write_channels"], row["write_data"], strict=True)]
    # not those after the checkpoint itself, which are for the next one, nor those before the value
    assert [data for channel, data in found if channel == "log"] == [b"20", b"2", b"30", b"3"]
    assert [data for channel, data in found if channel == "old"] == [b"0", b"1", b"2", b"3"]
    row = await root("channel_history", "t/1", ["log"], "1")
    assert decode(row["seed_channels"], row["seed_types"], row["seed_data"], chunks(row)) == {"log": [LONG, "x"]}
    for nothing in (("t/1", ["log"], "none"), ("t/1", ["log"], "0"), ("t/2", ["log"]), ("t/1", [])):
        row = await root("channel_history", *nothing)
        assert row["seed_channels"] is None and row["write_data"] is None, nothing


async def test_parents_that_go_round_end(root: Caller) -> None:
    await saved(root, "t/1", {"n": 1}, id="a", parent="")
    await saved(root, "t/1", {"n": 2}, id="b", parent="a")
    await write(root, "a", "task", "log", b"1")
    assert (await save(root, "t/1", {"n": 1}, id="a", parent="b"))["status"] == "ok"
    row = await root("channel_history", "t/1", ["log"])
    assert row["write_data"] == [b"1"]


async def test_forks_read_what_they_come_from(root: Caller) -> None:
    made = await saved(root, "t/1", {"messages": [LONG, f"2 {LONG}"]})
    await saved(root, "t/1", {"n": 1}, whole=False)
    assert (await root("fork_thread", "t/1", "t/2", history=True))["status"] == "ok"
    row = await root("checkpoint_parts", "t/2", [made])
    assert len(chunks(row)) == 2
    row = await root("channel_history", "t/2", ["messages"])
    assert decode(row["seed_channels"], row["seed_types"], row["seed_data"], chunks(row)) == {
        "messages": [LONG, f"2 {LONG}"]
    }


async def test_pages_go_on_among_the_same_ids(root: Caller) -> None:
    for key in ("t/1", "t/2", "u/1"):
        for ns in ("", "sub"):
            for id_ in ("a", "b"):
                await saved(root, key, {"n": 1}, id=id_, parent="", ns=ns)
    listed, place = [], {}
    while page := await root.rows("checkpoints", "t/*", limit=1, **place):
        listed += [(row["id"], row["key"], row["ns"]) for row in page]
        place = {"before": page[-1]["id"], "after_key": page[-1]["key"], "after_ns": page[-1]["ns"]}
    assert listed == [(id_, key, ns) for id_ in ("b", "a") for key in ("t/1", "t/2") for ns in ("", "sub")]
    listed, place = [], {}
    while page := await root.rows("checkpoints", "t/1", limit=3, **place):
        listed += [(row["id"], row["ns"]) for row in page]
        place = {"before": page[-1]["id"], "after_key": page[-1]["key"], "after_ns": page[-1]["ns"]}
    assert listed == [("b", ""), ("b", "sub"), ("a", ""), ("a", "sub")]
    assert await ids(root, "t/1", before="b") == ["a", "a"]


async def test_a_save_that_must_not_begin_a_thread(root: Caller) -> None:
    assert (await save(root, "t/1", {"n": 1}, parent="", ns="sub", may_begin=False))["status"] == "missing"
    assert (await root("get", "t/1"))["status"] == "missing"
    await saved(root, "t/1", {"n": 1})
    await saved(root, "t/1", {"n": 1}, parent="", ns="sub", may_begin=False)
    await root("delete_thread", "t/1")
    assert (await save(root, "t/1", {"n": 1}, parent="", ns="sub", may_begin=False))["status"] == "missing"
    assert await ids(root, "t/1") == []


async def test_who_may(root: Caller, agent: MakeAgent) -> None:
    made = await saved(root, "t/1", {"text": LONG})
    reader, writer, other = (
        await agent("reader", "read t/**"),
        await agent("writer", "write t/**"),
        await agent("other"),
    )
    for function, arguments in (("checkpoint_parts", ([made],)), ("channel_history", (["text"],))):
        await reader(function, "t/1", *arguments)
        for caller in (writer, other):
            for key in ("t/1", "t/none"):
                with pytest.raises(Exception, match="access denied"):
                    await caller(function, key, *arguments)
        with pytest.raises(Exception, match="invalid key"):
            await root(function, "no key", *arguments)
