"""How large a checkpoint may be, with a limit of 1 MB in place of 512."""

from __future__ import annotations

from typing import Any

import pytest

from _server import SUPERUSER
from pgstate._areas import _threads
from pgstate._codec import encode
from sql._caller import Caller, MakeAgent, refused
from sql._threads import among, ids, load, save, saved
from sql.test_save_checkpoints import LANE, save_all

__all__ = ["among"]

pytestmark = pytest.mark.core
MB = 1 << 20
# JSON has two quotes more
WHOLE = "x" * (MB - 2)


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, who sets the limit and looks into the tables."""
    caller = await session(SUPERUSER)
    assert await caller.fetchval("select pgstate._checkpoint_limit()") == _threads._MOST_BYTES
    await caller.execute(
        "create or replace function pgstate._checkpoint_limit() returns bigint language sql immutable as 'select 1048576'"
    )
    return caller


def part(number: int) -> str:
    return f"{number} " + "y" * 300_000


async def test_one_byte_too_many(root: Caller, inside: Caller) -> None:
    # the root names the chunk by 16 bytes
    at_most = {"text": WHOLE[16:]}
    row = await save(root, "t/1", at_most)
    assert row["status"] == "ok"
    assert await load(root, "t/1") == at_most
    chunks = "select thread_id, hash from pgstate.chunk"
    kept = await inside.fetch(chunks)
    over: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"text": WHOLE[15:]}, {}),
        ({"parts": [part(n) for n in range(4)]}, {}),
        ({"n": 1}, {"header": b"h" * MB}),
        ({"n": 1, "text": "z" * 600_000}, {"header": b"h" * 600_000}),
    ]
    for state, named in over:
        for key in ("t/1", "t/new"):
            with refused("PS004") as caught:
                await save(root, key, state, **named)
            assert f"{key} is larger than 1 MB" in str(caught.value)
    assert await ids(root, "t/**") == [row["id"]]
    assert await inside.fetch(chunks) == kept
    assert await inside.fetchval("select count(*) from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id where t.key like 't/%'") == 1  # fmt: skip


async def test_another_refusal_comes_first(root: Caller, inside: Caller) -> None:
    first = await saved(root, "t/1", {"n": 1})
    large = {"text": WHOLE}
    assert (await save(root, "t/1", large, expect_head=""))["status"] == "conflict"
    assert (await save(root, "t/1", large, parent="none"))["status"] == "missing"
    assert await ids(root, "t/1") == [first]


async def test_a_refused_one_among_others_that_is_sent_again(root: Caller, inside: Caller) -> None:
    saves = [("t/1", {"n": 1}, {}), ("t/2", {"text": WHOLE}, {}), ("t/3", {"n": 3}, {})]
    first = await save_all(root, *saves, lane=LANE, turn=1)
    assert [(row["status"], row["code"]) for row in first] == [("ok", None), ("invalid", "PS004"), ("ok", None)]
    assert "t/2 is larger than 1 MB" in first[1]["message"]
    again = await save_all(root, *saves, lane=LANE, turn=1)
    assert [(row["id"], row["code"], row["message"]) for row in again] == [
        (row["id"], row["code"], row["message"]) for row in first
    ]


async def test_what_reaches_more_than_can_be_read_at_once(root: Caller, inside: Caller) -> None:
    halves = [{f"text {n}": part(n) for n in range(first, first + 3)} for first in (0, 3, 6)]
    names = [await saved(root, "t/1", half) for half in halves]
    for id, half in zip(names, halves, strict=True):
        assert await load(root, "t/1", id) == half
    assert len((await root("checkpoint_parts", "t/1", names[:2]))["chunk_hashes"]) == 6
    encoded = encode(dict(pair for half in halves for pair in half.items()))
    row = await root("save_checkpoint", "t/1", encoded.names, encoded.types, encoded.data)
    assert row["status"] == "ok"
    for call in (
        ("get_checkpoint", "t/1"),
        ("get_checkpoints", "t/1", [row["id"]]),
        ("checkpoint_parts", "t/1", names),
    ):
        with refused("PS004") as caught:
            await root(*call)
        assert "fewer checkpoints" in (caught.value.hint or "")
    state = {channel["channel"]: channel["value"] for channel in await root.rows("checkpoint_state", "t/1")}
    assert state == dict(pair for half in halves for pair in half.items())
