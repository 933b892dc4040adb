"""The change feed: every committed change exactly once per cursor, whatever is open, rolled back or paged."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from _cases import first_of
from _server import SUPERUSER
from conftest import Clock, Database
from sql._caller import NULL, Caller, MakeAgent, refused, seconds

Change = Any


async def window(caller: Caller, cursor: str, *patterns: str, limit: int = 1000) -> tuple[list[Change], str]:
    """The pages from a cursor up to the end of what their first one saw, and the cursor there."""
    found: list[Change] = []
    while True:
        *page, bookmark = await caller.rows("changes", cursor, list(patterns) or [""], limit)
        assert (bookmark["op"], bookmark["key"], len(page) <= limit) == ("bookmark", None, True)
        assert all(change["op"] != "bookmark" for change in page)
        found += page
        cursor = bookmark["cursor"]
        # no longer inside of a page
        if len(cursor.split(".")) == 5:
            return found, cursor


async def drain(caller: Caller, cursor: str, *patterns: str, limit: int = 1000) -> tuple[list[Change], str]:
    """All that follows a cursor: a cursor from inside a page is followed by what came after that page's snapshot."""
    found: list[Change] = []
    while True:
        more, after = await window(caller, cursor, *patterns, limit=limit)
        if not more and after == cursor:
            return found, cursor
        found += more
        cursor = after


def what(changes: list[Change]) -> list[tuple[str, int]]:
    return [(change["key"], change["version"]) for change in changes]


@pytest.mark.every_version
async def test_a_change_says_what_happened(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    start = await root("cursor")
    await alice("put", "a/x", 1)
    await alice("put", "a/x", NULL, ttl=seconds(50))
    await root("put", "b/hidden", 1)
    await alice("merge", "a/x", 2, "replace")
    await alice("delete", "a/x")
    await alice("put", "a/x", 3, ttl=seconds(1))
    await clock.advance(2)
    await root("expire")
    await alice("put", "a/t", 1)
    await alice("complete", "a/t", (await alice("claim", "a/t", seconds(9)))["token"])
    changes, end = await drain(alice, start)
    shown = [(c["key"], c["version"], c["op"], c["value"], c["previous"], c["created"]) for c in changes]
    assert shown == [
        ("a/x", 1, "put", 1, None, True),
        ("a/x", 2, "put", NULL, 1, False),
        ("a/x", 3, "merge", 2, NULL, False),
        ("a/x", 4, "delete", None, 2, False),
        ("a/x", 5, "put", 3, None, True),
        ("a/x", 6, "expire", None, 3, False),
        ("a/t", 1, "put", 1, None, True),
        ("a/t", 2, "complete", None, 1, False),
    ]
    login = await alice.fetchval("select session_user::text")
    assert {(c["writer"], c["via"]) for c in changes} == {("alice", login), ("pgstate", "installer")}
    assert {c["agent"] for c in changes} == {"alice"}
    assert abs(changes[1]["expires_at"] - changes[1]["at"] - seconds(50)) < seconds(0.001)
    assert all(c["whole"] for c in changes)
    assert await drain(alice, end) == ([], end)


@pytest.mark.every_version
@pytest.mark.parametrize("limit", first_of([1, 20, 2, 3, 4, 5], 2))
async def test_pages_and_every_cursor_in_them_resume_exactly(root: Caller, limit: int) -> None:
    start = await root("cursor")
    for size in (1, 3, 1, 4, 2):
        await root.rows("put_many", [f"k{n}" for n in range(size)], [1] * size)
    everything, end = await drain(root, start)
    assert len(everything) == 11
    paged, paged_end = await drain(root, start, limit=limit)
    assert (what(paged), paged_end) == (what(everything), end)
    for number, change in enumerate(paged, 1):
        rest, rest_end = await drain(root, change["cursor"], limit=limit)
        assert (what(rest), rest_end) == (what(everything)[number:], end)
    # one transaction split by the limit is not whole until its last change
    ends = {1, 4, 5, 9, 11}
    assert [n for n, change in enumerate(paged, 1) if change["whole"]] == sorted(ends)


@pytest.mark.every_version
async def test_patterns_and_grants_choose_what_comes(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write b/**", "read c")
    start = await alice("cursor")
    keys = ["a", "a-secret", "a/1", "a/b/2", "b/1", "c", "c/1", "memory/alice/x"]
    await root.rows("put_many", keys, [1] * len(keys))

    async def keys_of(caller: Caller, *patterns: str, limit: int = 2) -> list[str]:
        return [c["key"] for c in (await drain(caller, start, *patterns, limit=limit))[0]]

    assert await keys_of(root) == keys
    assert await keys_of(root, "a/*", "**/2", "c") == ["a/1", "a/b/2", "c"]
    assert await keys_of(root, "a/**", "a/b/**") == ["a", "a/1", "a/b/2"]
    assert await keys_of(alice) == ["a", "a/1", "a/b/2", "c", "memory/alice/x"]
    # a hidden pattern does not pass behind a readable one
    await alice.refuses("PS010", f"changes('{start}', array['a/*', 'b/*'])")
    await alice.refuses("PS010", *(f"changes('{start}', array['{p}'])" for p in ("b/**", "b/1", "a-secret", "none/*")))
    await alice.refuses("PS002", f"changes('{start}', array['a**'])", f"changes('{start}', array[null]::text[])")
    await alice.refuses("PS007", *(f"changes('{start}', array['a/*'], {n})" for n in ("0", "10001", "null")))
    await alice.refuses("PS002", f"changes('{start}', null)")
    await alice.refuses("PS002", f"changes('{start}', '{{}}')")


@pytest.mark.every_version
async def test_a_cursor_taken_inside_a_writing_transaction(root: Caller, session: MakeAgent) -> None:
    other = await session()
    await other("put", "before", 1)
    for isolation in ("read_committed", "repeatable_read"):
        async with root.transaction(isolation=isolation):
            first = await root("cursor")
            await root("put", "own1", 1)
            inside = await root("cursor")
            listed = (await root.rows("list", "own1"))[0]["cursor"]
            await root("put", "own2", 1)
            await other("put", "other", 1)
            # its own changes come after the commit, to itself too
            own = [c["key"] for c in (await drain(root, first))[0]]
            assert own == (["other"] if isolation == "read_committed" else [])
            late = await root("cursor")
        expected = {"own1", "own2", "other"}
        for cursor, missing in ((first, set()), (inside, set()), (listed, set()), (late, {"other"})):
            for limit in (1, 1000):
                found = [c["key"] for c in (await drain(other, cursor, limit=limit))[0]]
                assert len(found) == len(set(found))
                assert set(found) == expected - (missing if isolation == "read_committed" else set())


@pytest.mark.every_version
async def test_rollbacks_and_savepoints_leave_no_trace(root: Caller, session: MakeAgent) -> None:
    writer = await session()
    start = await root("cursor")
    transaction = writer.transaction()
    await transaction.start()
    await writer("put", "a", 1)
    savepoint = writer.transaction()
    await savepoint.start()
    await writer("put", "a", 2)
    await writer("put", "b", 1)
    await savepoint.rollback()
    async with writer.transaction():
        await writer("put", "c", 1)
    middle = await root("cursor")
    assert (await drain(root, start))[0] == []
    await root("put", "d", 1)
    seen, after = await drain(root, start)
    assert what(seen) == [("d", 1)]
    await transaction.commit()
    assert what((await drain(root, after))[0]) == [("a", 1), ("c", 1)]
    assert what((await drain(root, middle))[0]) == [("a", 1), ("c", 1), ("d", 1)]
    undone = writer.transaction()
    await undone.start()
    await writer("put", "a", 9)
    open_ = await root("cursor")
    await undone.rollback()
    assert (await drain(root, open_))[0] == []


@pytest.mark.every_version
async def test_an_older_snapshot_cannot_follow_a_newer_cursor(root: Caller, session: MakeAgent) -> None:
    writer = await session()
    old = await root("cursor")
    await writer("put", "a", 1)
    transaction = root.transaction(isolation="repeatable_read")
    await transaction.start()
    middle = await root("cursor")
    await writer("put", "b", 1)
    new = await writer("cursor")
    assert what((await drain(root, old))[0]) == [("a", 1)]
    assert (await drain(root, middle))[0] == []
    savepoint = root.transaction()
    await savepoint.start()
    with refused("PS020"):
        await root("changes", new)
    await savepoint.rollback()
    assert (await drain(root, middle))[0] == []
    await transaction.commit()
    assert what((await drain(root, middle))[0]) == [("b", 1)]
    assert (await drain(root, new))[0] == []


async def test_cursors_that_nobody_gave_out(root: Caller, session: MakeAgent) -> None:
    writer = await session()
    async with writer.transaction():
        await writer("put", "open", 1)
        for n in range(3):
            await root("put", "k", n)
        cursor = await root("cursor")
        page = (await root.rows("changes", await _beginning(root), [""], 1))[0]["cursor"]
    place, snapshot = cursor.rsplit(".", 1)
    base, upto, after, until = page.split(".")[4:]
    xmin, xmax, _ = snapshot.split(":")
    for bad in (
        None, "", "x", "1", cursor[:-1] + "x", cursor + ".", "2" + cursor[1:], cursor.replace(".", ","), place,
        f"{place}.5:3:", f"{place}.5:9:9", f"{place}.5:9:4", f"{place}.1:2:3:4", f"{place}.-1:5:",
        f"{place}.1:9999999999999999999:", f"{place}.{xmin}:{int(xmax) + 100000}:",
        f"{place}.{base}.{upto}", f"{place}.{base}.{upto}.{after}", f"{place}.{base}.{upto}.-1.{until}", f"{place}.{base}.{upto}.x.{until}",
        f"{place}.{base}.{upto}.{'9' * 19}.{until}", f"{place}.{upto}.3:3:.{after}.{until}", f"{place}.{base}.1:{10**17}:.{after}.{until}",
        f"{page}.1", f"{page} ", f"{cursor}\n",
    ):  # fmt: skip
        with refused("PS020"):
            await root.rows("changes", bad)


async def _beginning(root: Caller) -> str:
    """A cursor from before everything."""
    place = (await root("cursor")).rsplit(".", 1)[0]
    return f"{place}.3:3:"


@pytest.mark.every_version
async def test_cursors_of_another_history_are_refused(root: Caller, database: Database, session: MakeAgent) -> None:
    await root("put", "k", 1)
    cursor = await root("cursor")
    identity, epoch, timeline = cursor.split(".")[1:4]
    with refused("PS021"):
        await root("changes", cursor.replace(identity, "1" + identity))
    with refused("PS021"):
        await root("changes", cursor.replace(f".{timeline}.", ".0000000A."))
    # as after a restore into another cluster: refused until a write begins the next epoch
    database.sql("update pgstate.install set identity = '1:1'")
    await root.refuses("PS022", "cursor()", "list()", f"changes('{cursor}')")
    fresh = await session()
    assert await fresh("put", "k", 2) == ("ok", 2, None)
    assert (await root("info"))["epoch"] > int(epoch)
    for caller in (root, fresh):
        with refused("PS021"):
            await caller("changes", cursor)
        assert [r["version"] for r in await caller.rows("list")] == [2]
    # what came before the restore is old, not new and not lost
    beginning = await _beginning(fresh)
    changes, end = await drain(fresh, beginning)
    assert [(c["key"], c["version"], c["previous"]) for c in changes] == [("k", 2, 1)]
    await root("put", "k", 3)
    assert what((await drain(root, end))[0]) == [("k", 3)]
    assert [v["version"] for v in await root.rows("history", "k")] == [3, 2, 1]


@pytest.mark.every_version
@pytest.mark.parametrize("limit", [7, 400, 10_000])
async def test_a_window_of_thousands_behind_a_long_transaction(root: Caller, session: MakeAgent, limit: int) -> None:
    early, late = await session(), await session()
    start = await root("cursor")
    first, second = early.transaction(), late.transaction()
    await first.start()
    await early("put", "early/1", 1)
    count = 1200 if limit > 7 else 1010
    for part in range(0, count, 500):
        size = min(500, count - part)
        await root.rows("put_many", [f"bulk/{n:04}" for n in range(part, part + size)], [0] * size)
        if part == 0:
            await second.start()
            await late("put", "late/1", 1)
            await early("put", "early/2", 1)
    found, cursor = await drain(root, start, limit=limit)
    assert what(found) == [(f"bulk/{n:04}", 1) for n in range(count)]
    *page, _ = await root.rows("changes", start, [""], min(limit, 50))
    half = page[-1]["cursor"]
    await early("put", "early/3", 1)
    await first.commit()
    # what was read up to is fixed: the page goes on as if nothing had committed since
    rest, after = await window(root, half, limit=limit)
    assert what(rest) == what(found)[len(page) :]
    assert [c["key"] for c in (await drain(root, after, limit=limit))[0]] == ["early/1", "early/2", "early/3"]
    again, cursor = await drain(root, cursor, limit=limit)
    assert [c["key"] for c in again] == ["early/1", "early/2", "early/3"]
    await second.commit()
    assert [c["key"] for c in (await drain(root, cursor, limit=limit))[0]] == ["late/1"]
    everything = [c["key"] for c in (await drain(root, start, "early/*", "late/*", "bulk/01*", limit=limit))[0]]
    assert sorted(everything) == sorted(
        ["early/1", "early/2", "early/3", "late/1"] + [f"bulk/{n:04}" for n in range(count) if 100 <= n < 200]
    )


async def test_a_page_that_was_left_in_the_middle_is_not_the_end(root: Caller) -> None:
    start = await root("cursor")
    for n in range(4):
        await root("put", "k", n)
    first, *_ = await root.rows("changes", start)
    await root("put", "k", 4)
    *rest, bookmark = await root.rows("changes", first["cursor"])
    assert ([c["value"] for c in rest], bookmark["whole"]) == ([1, 2, 3], False)
    *rest, bookmark = await root.rows("changes", bookmark["cursor"])
    assert ([c["value"] for c in rest], bookmark["whole"]) == ([4], True)


@pytest.mark.thorough
async def test_a_page_of_large_values_ends_early_and_the_rest_follows(
    root: Caller, agent: MakeAgent, gateway: MakeAgent
) -> None:
    for name in ("alice", "bob"):
        await agent(name, "read **")
    both = await gateway("alice", "bob")
    start = await both("cursor", agent="alice")
    # incompressible, and of one transaction: 24 changes of 1 MB; nothing that secrets begin with, which takes a second each
    drawn = (base64.b32encode(random.Random(n).randbytes(625_000)).decode() for n in range(24))
    values = [text.lower().replace("x", "0") for text in drawn]
    await root.rows("put_many", [f"k{n:02}" for n in range(24)], values)
    for agents in (["alice"], ["alice", "bob"]):
        cursor, pages, found = start, [], []
        whole = False
        while not whole:
            *page, bookmark = await both.rows("changes_for", cursor, agents, [""] * len(agents), 1000)
            found += [(c["agent"], c["key"], c["value"] == values[int(c["key"][1:])]) for c in page]
            pages.append(len(page))
            cursor, whole = bookmark["cursor"], bookmark["whole"]
        assert found == [(name, f"k{n:02}", True) for n in range(24) for name in agents]
        # each page has all agents' rows of its last change; where it ends early, the transaction is split
        assert len(pages) > 2 and all(n % len(agents) == 0 for n in pages) and max(pages) <= 18


async def test_upto_reads_no_further_than_another_cursor(root: Caller) -> None:
    start = await root("cursor")
    await root("put", "a", 1)
    middle = await root("cursor")
    await root("put", "b", 1)
    end = await root("cursor")
    *changes, bookmark = await root.rows("changes", start, upto=middle)
    assert what(changes) == [("a", 1)]
    assert bookmark["cursor"].split(".")[4:] == middle.split(".")[4:]
    *changes, bookmark = await root.rows("changes", middle, upto=end)
    assert what(changes) == [("b", 1)]
    # a bookmark before the cursor would deliver again what was delivered
    with refused("PS020"):
        await root.rows("changes", end, upto=start)


@pytest.mark.every_version
async def test_one_read_for_several_agents(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    for name, *rights in (("alice", "read a/**", "read s/**"), ("bob", "read b/**", "read s/**"), ("carol", "read **")):
        await agent(name, *rights)
    both = await gateway("alice", "bob")
    start = await both("cursor", agent="alice")
    await root.rows("put_many", ["a/1", "b/1", "s/1", "c/1"], [1] * 4)

    async def read(caller: Caller, agents: list[str], patterns: list[str], limit: int) -> list[tuple[str, str]]:
        found, cursor = [], start
        while True:
            *page, bookmark = await caller.rows("changes_for", cursor, agents, patterns, limit)
            found += [(c["agent"], c["key"]) for c in page]
            assert bookmark["agent"] is None
            cursor = bookmark["cursor"]
            if bookmark["whole"]:
                return found

    for limit in (1, 2, 1000):
        assert await read(both, ["alice", "bob"], ["", ""], limit) == [
            ("alice", "a/1"), ("bob", "b/1"), ("alice", "s/1"), ("bob", "s/1"),
        ]  # fmt: skip
        assert await read(both, ["alice", "alice", "bob"], ["s/*", "a/*", "a/1"], limit) == [
            ("alice", "a/1"), ("alice", "s/1"),
        ]  # fmt: skip
        assert await read(root, ["carol", "admin"], ["c/*", "a/*"], limit) == [("admin", "a/1"), ("carol", "c/1")]
    # nothing of it carries over to the next call of the same transaction
    async with both.transaction():
        await both.rows("changes_for", start, ["alice", "bob"], ["", ""])
        assert [r["key"] for r in await both.rows("list", agent="alice")] == ["a/1", "s/1"]
        changes = await both.rows("changes", start, agent="bob")
        assert [c["key"] for c in changes] == ["b/1", "s/1", None]
    for agents in ("{carol}", "{alice,carol}", "{nobody}", "{NULL}", '{""}', '{"alice bob"}', '{"alice bob",alice}'):
        patterns = "{" + ",".join(['""'] * (agents.count(",") + 1)) + "}"
        await both.refuses("PS010", f"changes_for('{start}', '{agents}', '{patterns}')")
        await both.refuses("PS010", f"subscribe('{agents}', '{patterns}')")
    await both.refuses("PS007", f"changes_for('{start}', '{{}}', '{{}}')", f"changes_for('{start}', '{{alice}}', null)")


@pytest.mark.every_version
@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_nothing_lost_nothing_twice_in_any_interleaving(root: Caller, session: MakeAgent, seed: int) -> None:
    """Writers that commit, roll back and use savepoints, and a consumer that is killed after any change."""
    chance = random.Random(seed)
    writers = [await session() for _ in range(3)]
    inspector = await session(SUPERUSER)
    open_: list[list[Any]] = [[] for _ in writers]
    cursor = start = await root("cursor")
    delivered: list[Change] = []

    async def consume() -> None:
        nonlocal cursor
        *page, bookmark = await root.rows("changes", cursor, [""], chance.choice([1, 2, 3, 4, 5, 20]))
        stop = chance.randrange(len(page) + 1)
        delivered.extend(page[:stop] if stop else page)
        cursor = page[stop - 1]["cursor"] if stop else bookmark["cursor"]

    for step in range(150):
        number = chance.randrange(len(writers))
        writer, stack = writers[number], open_[number]
        action = chance.choices(["put", "begin", "commit", "rollback", "read"], [5, 2, 2, 1, 4])[0]
        if action == "put":
            keys = [f"w{number}/{chance.randrange(3)}" for _ in range(chance.choice([1, 1, 3]))]
            await writer.rows("put_many", keys, [step] * len(keys))
        elif action == "begin" and len(stack) < 3:
            stack.append(writer.transaction())
            await stack[-1].start()
        elif action in ("commit", "rollback") and stack:
            await getattr(stack.pop(), action)()
        elif action == "read":
            await consume()
    for stack in open_:
        while stack:
            await stack.pop().commit()
    rest, _ = await drain(root, cursor, limit=3)
    delivered += rest
    rows = await inspector.fetch("select key, version, xid::text::bigint as xid, seq from pgstate.version order by seq")
    assert sorted(what(delivered)) == sorted((r["key"], r["version"]) for r in rows)
    for key in {r["key"] for r in rows}:
        versions = [version for found, version in what(delivered) if found == key]
        assert versions == list(range(1, len(versions) + 1))
    # in one window: by seq, and `whole` where no transaction has been delivered in part, however small the pages
    order = [(r["key"], r["version"]) for r in rows]
    xids = [r["xid"] for r in rows]
    whole = [not set(xids[:n]) & set(xids[n:]) for n in range(1, len(xids) + 1)]
    for limit in (1, 2, 7, 1000):
        found, _ = await drain(root, start, limit=limit)
        assert what(found) == order
        marked = [change["whole"] for change in found]
        wrong = [n for n, (said, is_) in enumerate(zip(marked, whole, strict=True), 1) if said != is_]
        assert not wrong, f"limit {limit}: `whole` is wrong after changes {wrong}"
