"""What stores of key and value need of SQL: time to live that begins anew, namespaces, pages by number, vectors of writers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from _sync import wait_until_blocked
from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, refused, seconds
from sql.test_vectors import pgvector

__all__ = ["pgvector"]


async def expiry(caller: Caller, key: str) -> tuple[Any, Any]:
    """When the entry expires, and how long after its last write its version says that it does."""
    row = await caller("get", key)
    version = await caller.fetchval(
        "select expires_at - at from pgstate.version where key = $1 order by version desc", key
    )
    return row["expires_at"] and row["expires_at"] - row["updated_at"], version


@pytest.mark.core
async def test_touch_begins_the_time_to_live_anew(root: Caller, clock: Clock) -> None:
    await root("put", "a", 1, ttl=seconds(60))
    await root("put", "b", 1)
    assert await root("touch", ["b", "none"]) == 0
    await clock.advance(40)
    assert await root("touch", ["a", "a", "b"]) == 1
    await clock.advance(40)
    # also a second time it is what the write said
    assert await root("touch", ["a"]) == 1
    await clock.advance(40)
    assert (await root("get", "a"))["status"] == "ok"
    await clock.advance(20)
    assert (await root("get", "a"))["status"] == "missing"
    # gone, though nobody has swept it: nothing brings it back
    assert await root("touch", ["a"]) == 0
    assert (await root("get", "a"))["status"] == "missing"
    await root("put", "a", 2, ttl=seconds(10))
    await clock.advance(5)
    await root("touch", ["a"])
    await clock.advance(10)
    assert (await root("get", "a"))["status"] == "missing"


async def test_touch_may_let_less_time(root: Caller, clock: Clock) -> None:
    await root("put", "a", 1, ttl=seconds(1000))
    await root("put", "b", 1, ttl=seconds(1000))
    assert await root("touch", ["a", "b", "a", "c"], lives=[seconds(500), None, seconds(100), None]) == 2
    (entry, version), (other, _) = [await expiry(root, key) for key in "ab"]
    assert entry == version < seconds(300) < seconds(900) < other
    # until it is touched again, and never more than the write let it
    await root("touch", ["a"], lives=[seconds(5000)])
    assert seconds(900) < (await expiry(root, "a"))[0] < seconds(1500)
    await root("touch", ["a"], lives=[seconds(100)])
    await clock.advance(50)
    await root("touch", ["a"])
    await clock.advance(900)
    assert (await root("get", "a"))["status"] == "ok"
    for lives in ([seconds(1), seconds(1)], [seconds(-10)], [seconds(0)], [timedelta(days=40000)]):
        with refused("PS007"):
            await root("touch", ["a"], lives=lives)
    assert (await root("get", "a"))["status"] == "ok"


@pytest.mark.core
async def test_touch_makes_no_version_and_the_past_agrees(root: Caller, clock: Clock) -> None:
    await root("put", "a", 1, ttl=seconds(60))
    begin = await root("cursor")
    await clock.advance(50)
    await root("touch", ["a"])
    await clock.advance(50)
    late = await root("cursor")
    assert (await root("get", "a"))["version"] == 1
    assert [row["op"] for row in await root.rows("history", "a")] == ["put"]
    for cursor in (begin, late):
        assert (await root("get_as_of", "a", cursor=cursor))["status"] == "ok"
        assert [row["key"] for row in await root.rows("list_as_of", "**", cursor=cursor)] == ["a"]
    entry, version = await expiry(root, "a")
    assert entry == version > timedelta(seconds=100)
    # what grows by merges is touched like the rest
    await root("put", "g", ["x" * 3000], ttl=seconds(60))
    await root("merge", "g", ["y"], "append", ttl=seconds(60))
    await clock.advance(30)
    assert await root("touch", ["g"]) == 1
    entry, version = await expiry(root, "g")
    assert entry == version > timedelta(seconds=80)
    assert (await root("get", "g"))["value"] == ["x" * 3000, "y"]


@pytest.mark.core
async def test_touch_is_for_who_may_read_and_write(root: Caller, agent: MakeAgent) -> None:
    for key in ("a/1", "b/1", "c/1", "d/1"):
        await root("put", key, 1, ttl=seconds(60))
    ana = await agent("ana", "read a/**", "write a/**", "read b/**", "write c/**")
    before = [await expiry(root, key) for key in ("b/1", "c/1", "d/1")]
    # nor does the number tell of what is hidden
    assert await ana("touch", ["a/1", "b/1", "c/1", "d/1", "d/none", None, "not a key"]) == 1
    assert [await expiry(root, key) for key in ("b/1", "c/1", "d/1")] == before


async def test_touch_beside_a_writer(root: Caller, database: Database, session: Any) -> None:
    """A write that comes between has a time to live of its own, and is not changed."""
    await root("put", "a", 1, ttl=seconds(60))
    other = await session()
    async with root.transaction():
        await root("put", "a", 2, ttl=seconds(25))
        touching = asyncio.create_task(other("touch", ["a"]))
        await wait_until_blocked(root.connection, other.pid)
    await touching
    entry, version = await expiry(root, "a")
    assert entry == version
    assert (await root("get", "a"))["value"] == 2
    assert entry < timedelta(seconds=30)


@pytest.mark.parametrize("meanwhile", ["expired", "revoked"])
async def test_touch_that_waited_looks_at_what_is_there_then(
    root: Caller, agent: MakeAgent, clock: Clock, session: Any, meanwhile: str
) -> None:
    for key in ("a/1", "a/2"):
        await root("put", key, 1, ttl=seconds(60))
    ana = await agent("ana", "read a/**", "write a/**")
    other = await session()
    held = other.connection.transaction()
    await held.start()
    await other("put", "a/1", 2)
    touching = asyncio.create_task(ana("touch", ["a/1", "a/2"]))
    await wait_until_blocked(other.connection, ana.pid)
    if meanwhile == "expired":
        await clock.advance(100)
    else:
        await root("revoke_access", "ana", "a/**", "write")
        await clock.advance(30)
    await held.rollback()
    assert await touching == 0
    # nobody has seen it gone who sees it again
    await clock.advance(40)
    assert [(await root("get", key))["status"] for key in ("a/1", "a/2")] == ["missing", "missing"]


async def spaces(caller: Caller, *arguments: Any, **named: Any) -> list[str]:
    return [row[0] for row in await caller.rows("namespaces", *arguments, **named)]


@pytest.mark.core
async def test_namespaces(root: Caller, clock: Clock) -> None:
    for key in ("s/a/1", "s/a/2", "s/a/b/1", "s/a-b/1", "s/c/d/e/1", "s/top", "t/1", "one"):
        await root("put", key, 1)
    await root("put", "s/x/gone", 1, ttl=seconds(10))
    await root("put", "s/y/gone", 1)
    await root("delete", "s/y/gone")
    assert await spaces(root, "s/*/**") == ["s/a", "s/a-b", "s/a/b", "s/c/d/e", "s/x"]
    await clock.advance(10)
    assert await spaces(root, "s/**") == ["s", "s/a", "s/a-b", "s/a/b", "s/c/d/e"]
    assert await spaces(root, "") == ["s", "s/a", "s/a-b", "s/a/b", "s/c/d/e", "t"]
    assert await spaces(root, "s/a") == ["s/a"]
    assert await spaces(root, "s/a/**") == ["s/a", "s/a/b"]
    assert await spaces(root, "**/b") == ["s/a/b"]
    assert await spaces(root, "s/**", ["**/b", "s/a/**"]) == ["s/a/b"]
    assert await spaces(root, "s/**", ["t/**"]) == []
    assert await spaces(root, "s/*/**", depth=2) == ["s/a", "s/a-b", "s/c"]
    assert await spaces(root, "s/*/**", ["**/e"], depth=2) == ["s/c"]
    assert await spaces(root, "**", depth=1) == ["s", "t"]
    assert await spaces(root, "s/**", limit=2, offset=1) == ["s/a", "s/a-b"]
    assert await spaces(root, "s/**", depth=2, limit=1, offset=2) == ["s/a-b"]
    await root.refuses(
        "PS007",
        "namespaces('', \"limit\" => 0)",
        "namespaces('', \"limit\" => null)",
        "namespaces('', \"offset\" => -1)",
        "namespaces('', depth => 0)",
        "namespaces('', array_fill('a'::text, array[33]))",
    )
    await root.refuses("PS002", "namespaces('a b')", "namespaces('a', '{a b}')")


@pytest.mark.core
async def test_namespaces_of_what_the_caller_reads(root: Caller, agent: MakeAgent) -> None:
    for key in ("s/a/1", "s/a/b/1", "s/a-b/1", "s/b/c/1", "s/b/d/1", "s/e/1", "s/e/2"):
        await root("put", key, 1)
    ana = await agent("ana", "read s/a/**", "read s/b/d/**", "read s/e/2", "write s/b/c/**")
    assert await spaces(ana, "s/**") == ["s/a", "s/a/b", "s/b/d", "s/e"]
    assert await spaces(ana, "s/*/**", depth=2) == ["s/a", "s/b", "s/e"]
    assert await spaces(ana, "") == ["s/a", "s/a/b", "s/b/d", "s/e"]
    await ana.refuses("PS010", "namespaces('s/b/c/**')", "namespaces('none/**')", "namespaces('s/a-b')")
    # nothing that matches is nothing, whatever is hidden there
    assert await spaces(ana, "s/**", ["s/b/c/**"]) == await spaces(ana, "s/**", ["s/none/**"]) == []
    nobody = await agent("nobody")
    assert await spaces(nobody, "") == []


@pytest.mark.core
async def test_search_by_number_of_the_page_and_newest_first(root: Caller) -> None:
    for n in range(6):
        await root("put", f"k/{n}", {"n": n, "text": "owl" + " owl" * n})
    await root("put", "k/1", {"n": 10, "text": "owl owl"})

    async def found(**named: Any) -> list[str]:
        return [row["key"][2:] for row in await root.rows("search", "k/**", **named)]

    assert await found(order="newest") == ["1", "5", "4", "3", "2", "0"]
    assert await found(order="newest", limit=2, offset=3) == ["3", "2"]
    assert await found(order="newest", filter={"n": {"$gt": 3}}) == ["1", "5", "4"]
    assert await found(limit=2, offset=1) == ["1", "2"]
    assert await found(query="owl", limit=2, offset=2) == (await found(query="owl"))[2:4]
    # behind such a page it goes on
    page = await root.rows("search", "k/**", query="owl", limit=2, offset=2)
    assert await found(query="owl", after=page[-1]["after"]) == (await found(query="owl"))[4:]
    await root.refuses(
        "PS007",
        "search('', \"offset\" => -1)",
        "search('', \"offset\" => 1000001)",
        "search('', \"offset\" => null)",
        "search('', \"order\" => 'oldest')",
        "search('', 'owl', \"order\" => 'newest')",
        "search('', after => 'k/1', \"order\" => 'newest')",
    )


@pytest.mark.core
async def test_newest_first_of_many(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    """From 500 on the range is read in another way."""
    keys = [f"k/{n % 3}/{n:03}" for n in range(540)]
    values = [{"n": n % 4, "w": n} for n in range(540)]
    for start in range(0, 540, 180):
        await root.rows("put_many", keys[start : start + 180], values[start : start + 180])
        await clock.advance(1)
    # beside it, and between the subtree and its root
    for key in ("k", "k-", "k.a", "k0", "j/0/0", "k/0/gone"):
        await root("put", key, {"n": 1, "w": -1})
        await clock.advance(1)
    await root("delete", "k/0/gone")
    await root("put", "k/1/brief", {"n": 1}, ttl=seconds(5))
    # a value that grows has the rest of it elsewhere
    await root("put", "k/2/grown", {})
    await root("merge", "k/2/grown", {"filler": "x" * 200}, reducer="merge")
    await root("merge", "k/2/grown", {"n": 1, "w": -2}, reducer="merge")
    await clock.advance(10)

    async def found(caller: Caller, pattern: str, filter: dict[str, Any], **named: Any) -> list[str]:
        return [row["key"] for row in await caller.rows("search", pattern, filter=filter, order="newest", **named)]

    # of those that one statement wrote the first key comes first
    ones = [
        key for part in (2, 1, 0) for key in sorted(keys[n] for n in range(180 * part, 180 * part + 180) if n % 4 == 1)
    ]
    among = {"k/**": ["k/2/grown", "k", *ones], "k/*/*": ["k/2/grown", *ones], "k/2/*": [], "k/**/001": ["k/1/001"]}
    for pattern, wanted in among.items():
        wanted = wanted or ["k/2/grown", *(key for key in ones if key.startswith("k/2/"))]
        assert await found(root, pattern, {"n": 1}, limit=1000) == wanted, pattern
    assert await found(root, "k/**", {"n": 1}, limit=5, offset=7) == ["k/2/grown", "k", *ones][7:12]
    assert await found(root, "k/**", {"n": 1, "w": {"$gt": 534}}) == [key for key in ones if int(key[-3:]) > 534]
    assert await found(root, "k/**", {"n": 1, "w": -2}) == ["k/2/grown"]
    assert await found(root, "k/**", {"n": 9}) == []
    ana = await agent("ana", "read k/0/**", "read k/1/**")
    assert await found(ana, "k/**", {"n": 1}, limit=1000) == [key for key in ones if not key.startswith("k/2/")]


async def near(caller: Caller, vector: list[float], **named: Any) -> list[str]:
    return [row["key"] for row in await caller.rows("search", "g/**", vector=vector, **named)]


async def write(
    caller: Caller, values: dict[str, Any], vectors: dict[str, list[list[float]]], **named: Any
) -> list[str]:
    keys = list(values)
    rows = [(keys.index(key) + 1, vector) for key, several in vectors.items() for vector in several]
    done = await caller.rows(
        "write_embedded",
        ["delete" if value is None else "put" for value in values.values()],
        keys,
        list(values.values()),
        owners=[owner for owner, _ in rows],
        vectors=[vector for _, vector in rows],
        model=named.pop("model", "toy"),
        **named,
    )
    return [row["code"] or row["status"] for row in done]


@pytest.fixture
async def given(pgvector: None, root: Caller) -> Caller:
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", [], "simple", "v", [])
    return root


async def test_vectors_that_writers_give(given: Caller, database: Database) -> None:
    assert await write(given, {"g/1": "a", "g/2": "b"}, {"g/1": [[1, 0], [0, 1]], "g/2": [[1, 1]]}) == ["ok", "ok"]
    assert await near(given, [1, 0]) == ["g/1", "g/2"]
    assert await near(given, [1, 1]) == ["g/2", "g/1"]
    assert await given.rows("unembedded") == []
    # another version, by whatever writes it, has none of them
    await given("put", "g/1", "a")
    assert await near(given, [1, 0]) == ["g/2"]
    assert await write(given, {"g/1": "c", "g/2": None}, {"g/1": [[0, 1]]}) == ["ok", "ok"]
    assert await near(given, [1, 0]) == ["g/1"]
    assert database.sql("select count(*) from pgstate.embedding") == [(1,)]
    # what is not written changes no vectors
    assert await write(given, {"g/1": "d"}, {"g/1": [[1, 0]]}, expects=[7]) == ["conflict"]
    assert (await given.rows("search", "g/**", vector=[0, 1]))[0]["distance"] == pytest.approx(0)


async def test_a_statement_with_vectors_that_is_sent_again(given: Caller) -> None:
    lane = "11111111-1111-1111-1111-111111111111"
    for _ in range(2):
        assert await write(given, {"g/1": "a"}, {"g/1": [[1, 0]]}, lane=lane, turn=1) == ["ok"]
    assert (await given("get", "g/1"))["version"] == 1
    assert await near(given, [1, 0]) == ["g/1"]
    # late: the entry is another by now, and keeps what it has
    assert await write(given, {"g/1": "b"}, {"g/1": [[0, 1]]}) == ["ok"]
    assert await write(given, {"g/1": "a"}, {"g/1": [[1, 0]]}, lane=lane, turn=1) == ["ok"]
    assert (await given.rows("search", "g/**", vector=[0, 1]))[0]["distance"] == pytest.approx(0)


async def test_what_does_not_fit_leaves_nothing(given: Caller, agent: MakeAgent) -> None:
    for vectors, named in [
        ([[1, 0, 0]], {}),
        ([[0, 0]], {}),
        ([[1, 0]], {"model": "another"}),
    ]:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await write(given, {"g/1": "a"}, {"g/1": vectors}, **named)
        assert caught.value.sqlstate == "PS007"
    with pytest.raises(asyncpg.PostgresError) as caught:
        await write(given, {"other/1": "a"}, {"other/1": [[1, 0]]})
    assert caught.value.sqlstate == "PS007" and "set_search" in (caught.value.hint or "")
    one = "'{put}', '{g/1}', array['1'::jsonb]"
    await given.refuses(
        "PS007",
        f"write_embedded({one}, owners => '{{1}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{2}}', \"vectors\" => '{{{{1,0}}}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{0}}', \"vectors\" => '{{{{1,0}}}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{null}}', \"vectors\" => '{{{{1,0}}}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{1}}', \"vectors\" => '{{1,0}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{1}}', \"vectors\" => '{{{{1,0}},{{0,1}}}}', model => 'toy')",
        f"write_embedded({one}, owners => '{{1}}', \"vectors\" => '{{{{1,0}}}}')",
    )
    assert await given.rows("list") == []
    # who may only write has no vectors stored: they would be found by what is read
    ana = await agent("ana", "write g/**")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await write(ana, {"g/1": "a"}, {"g/1": [[1, 0]]})
    assert caught.value.sqlstate == "PS010"
    assert await write(ana, {"g/1": "a"}, {}) == ["ok"]
    assert await write(ana, {"h/1": "a"}, {"h/1": [[1, 0]]}) == ["PS010"]


async def test_a_vector_that_stays_keeps_its_place(given: Caller, database: Database) -> None:
    """The index is only told of what is new; what is no more goes, whichever way its entry was written."""

    def stored() -> dict[str, tuple[str, list[float]]]:
        rows = database.sql("select key || ' ' || chunk, ctid::text, vector from pgstate.embedding")
        return {name: (place, vector) for name, place, vector in rows}

    two, one = [[1, 0], [0, 1]], [[1, 1]]
    await write(given, {f"g/{n}": "a" for n in range(6)}, {f"g/{n}": two for n in range(6)})
    before = stored()
    assert len(before) == 12
    values = {"g/0": "b", "g/1": "b", "g/2": "b", "g/3": None, "g/4": "b"}
    vectors = {"g/0": two, "g/1": [[1, 0], [0.5, 1]], "g/2": [[1, 0]]}
    assert await write(given, values, vectors) == ["ok"] * 5
    after = stored()
    assert {name: after[name] for name in after if name != "g/1 1"} == {
        name: before[name] for name in ("g/0 0", "g/0 1", "g/1 0", "g/2 0", "g/5 0", "g/5 1")
    }
    assert after["g/1 1"][1] == [0.5, 1]
    # one alone; one that loses its race leaves all as it is
    assert await write(given, {"g/5": "c"}, {"g/5": two}) == ["ok"]
    assert await write(given, {"g/5": "d", "g/0": "d"}, {"g/5": one, "g/0": one}, expects=[1, 2]) == ["conflict", "ok"]
    assert {name: row for name, row in stored().items() if name[:3] == "g/5"} == {
        name: before[name] for name in ("g/5 0", "g/5 1")
    }
    # of a key that is written twice its last version counts
    rows = await given.rows(
        "write_embedded", ["put", "delete"], ["g/5", "g/5"], ["e", None], owners=[1], vectors=one, model="toy"
    )
    assert [row["status"] for row in rows] == ["ok", "ok"]
    # and a write without any afterwards has none
    await given("put", "g/0", "e")
    assert sorted(stored()) == ["g/1 0", "g/1 1", "g/2 0"]


async def test_vectors_that_are_given_and_words_together(pgvector: None, root: Caller) -> None:
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", ["$"], "simple", "v", [])
    await write(root, {"g/1": "owl", "g/2": "bat"}, {"g/1": [[1, 0]], "g/2": [[0, 1]]})
    assert [row["key"] for row in await root.rows("search", "g/**", "owl")] == ["g/1"]
    assert await near(root, [0, 1]) == ["g/2", "g/1"]
    await root("put", "g/1", "bat")
    assert await near(root, [0, 1]) == ["g/2"]
    assert [row["key"] for row in await root.rows("search", "g/**", "bat")] == ["g/1", "g/2"]


async def test_another_rule_knows_nothing_of_them(given: Caller, database: Database) -> None:
    async def build() -> None:
        while (await given("maintain", 1000))["more"]:
            pass

    async def vectors() -> Any:
        return database.sql("select key, chunk from pgstate.embedding order by key, chunk")

    await build()
    await given("create_vectors", "w", 2, "toy")
    await write(given, {"g/1": "a", "g/x/1": "b"}, {"g/1": [[1, 0]], "g/x/1": [[0, 1]]})
    # one that lies within: its keys get vectors by their texts from now on
    await given("set_search", "g/x/**", ["$"], "simple", "w", ["$"])
    await build()
    assert [row["key"] for row in await given.rows("unembedded")] == ["g/x/1"]
    await given("put", "g/x/1", "c")
    assert await vectors() == [("g/1", 0)]
    # words instead, and then back
    await given("set_search", "g/**", ["$"], "simple")
    assert await vectors() == []
    await build()
    assert [row["key"] for row in await given.rows("search", "g/*", "a")] == ["g/1"]
    await given("set_search", "g/**", [], "simple", "v", [])
    await build()
    assert await given.rows("search", "g/*", vector=[1, 0], vectors="v") == []
    await write(given, {"g/1": "a"}, {"g/1": [[1, 0]]})
    await build()
    assert await vectors() == [("g/1", 0)]
    await given("drop_search", "g/**")
    assert await vectors() == []


async def test_a_rule_that_begins_to_leave_vectors_to_writers(pgvector: None, root: Caller, database: Database) -> None:
    """What was indexed by the rule before goes when that is built, and what has been given meanwhile stays."""

    async def build() -> None:
        while (await root("maintain", 1000))["more"]:
            pass

    def stored(table: str) -> Any:
        return database.sql(f"select key from pgstate.{table} order by key")

    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", ["$"], "simple", "v", ["$"])
    await build()
    for key in ("g/1", "g/2", "g/3"):
        await root("put", key, "owl")
    for row in await root.rows("unembedded"):
        await root.rows("set_vectors", [row["key"]], [row["digest"]], [0], [[1, 0]], "toy")
    await root("put", "g/4", "waits")
    await root("set_search", "g/**", [], "simple", "v", [])
    assert await write(root, {"g/1": "a", "g/5": "b"}, {"g/1": [[0, 1]], "g/5": [[0, 1]]}) == ["ok", "ok"]
    await root("put", "g/2", "c")
    await build()
    assert stored("search_doc") == stored("embedding_wanted") == []
    assert stored("embedding") == [("g/1",), ("g/5",)]
    assert await near(root, [0, 1]) == ["g/1", "g/5"]


async def test_rules_within_each_other_and_vectors_that_stay(pgvector: None, root: Caller, database: Database) -> None:
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", [], "simple", "v", [])
    await root("set_search", "**", ["$"], "simple")
    await root("set_search", "g/w/**", ["$"], "simple")
    place = "select key, ctid::text from pgstate.embedding order by key"
    assert await write(root, {"g/1": "owl", "g/2": "owl"}, {"g/1": [[1, 0]], "g/2": [[0, 1]]}) == ["ok", "ok"]
    before = database.sql(place)
    assert await write(root, {"g/1": "bat", "g/2": "bat"}, {"g/1": [[1, 0]], "g/2": [[0, 1]]}) == ["ok", "ok"]
    assert database.sql(place) == before
    rows = await root.rows("put_many", ["g/2", "g/w/1", "h/1"], ["cat", "cat", "cat"])
    assert [row["status"] for row in rows] == ["ok", "ok", "ok"]
    assert database.sql(place) == before[:1]
    assert database.sql("select key from pgstate.search_doc order by key") == [("g/w/1",), ("h/1",)]
    # the one in the middle goes: the outer one decides there
    await root("drop_search", "g/**")
    await root("put", "g/2", "dog")
    assert database.sql("select key from pgstate.search_doc order by key") == [("g/2",), ("g/w/1",), ("h/1",)]


async def build(root: Caller) -> None:
    while (await root("maintain", 1000))["more"]:
        pass


def with_vectors(database: Database) -> list[str]:
    return [key for (key,) in database.sql("select key from pgstate.embedding order by key")]


async def embed_what_waits(root: Caller) -> None:
    for row in await root.rows("unembedded"):
        await root.rows("set_vectors", [row["key"]], [row["digest"]], [0], [[1, 0]], "toy")


async def test_who_may_not_read_leaves_no_older_vector(given: Caller, agent: MakeAgent, database: Database) -> None:
    ana = await agent("ana", "write g/**", "read g/1")
    await write(given, {"g/1": "owl", "g/2": "owl", "g/3": "owl"}, {key: [[1, 0]] for key in ("g/1", "g/2", "g/3")})
    assert await write(ana, {"g/1": "bat", "g/2": "bat"}, {"g/1": [[0, 1]]}) == ["ok", "ok"]
    assert with_vectors(database) == ["g/1", "g/3"]


@pytest.mark.parametrize("rule", [(["$"], "simple", "v", []), (["$"], "simple"), ([], "simple", "w", [])])
async def test_a_rule_within_one_by_which_vectors_were_given(
    given: Caller, database: Database, rule: tuple[Any, ...]
) -> None:
    """They go, or they would be found when the entries have other values."""
    await given("create_vectors", "w", 2, "toy")
    names = ["g/1", "g/s/1", "g/s/2", "g/s/t/1"]
    await given("set_search", "g/s/t/**", [], "simple", "v", [])
    await write(given, dict.fromkeys(names, "owl"), {key: [[1, 0]] for key in names})
    await given("set_search", "g/s/**", *rule)
    assert with_vectors(database) == ["g/1", "g/s/t/1"]
    # the outer one, which decided for neither
    await given("drop_search", "g/**")
    assert with_vectors(database) == ["g/s/t/1"]


@pytest.mark.parametrize("rule", [("$",), None])
async def test_vectors_given_while_the_rule_changes(
    given: Caller, session: MakeAgent, database: Database, rule: tuple[str] | None
) -> None:
    """By one whose transaction goes on: they are of its value, and not of the next one."""
    other = await session()
    await other.execute("begin")
    await write(other, {"g/1": "owl", "g/2": "owl"}, {"g/1": [[1, 0]], "g/2": [[1, 0]]})
    await given("set_search", "h/**", ["$"], "simple", "v", [])
    if rule:
        await given("set_search", "g/**", list(rule), "simple", "v", [])
    else:
        await given("drop_search", "g/**")
    await other.execute("commit")
    await given("put", "g/1", "bat")
    assert with_vectors(database) == ["g/2"]
    await build(given)
    await given("put", "g/2", "bat")
    assert with_vectors(database) == []


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("vectors", [{}, {"g/s/1": [[0, 1]]}])
async def test_a_rule_that_goes_before_it_is_built(
    pgvector: None, root: Caller, database: Database, nested: bool, vectors: dict[str, Any]
) -> None:
    """What has been written meanwhile gets its vector again, though it has the text that was embedded before."""
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", ["$"], "simple", "v", ["$"])
    await build(root)
    await root("put", "g/s/1", "owl")
    await embed_what_waits(root)
    await root("set_search", "g/s/**" if nested else "g/**", [], "simple", "v", [])
    assert await write(root, {"g/s/1": "owl"}, vectors) == ["ok"]
    if nested:
        await root("drop_search", "g/s/**")
    else:
        await root("set_search", "g/**", ["$"], "simple", "v", ["$"])
    await build(root)
    await embed_what_waits(root)
    assert with_vectors(database) == ["g/s/1"]


async def test_vectors_of_an_older_text_do_not_replace_those_that_a_writer_gave(
    pgvector: None, root: Caller, database: Database
) -> None:
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "g/**", ["$"], "simple", "v", ["$"])
    await build(root)
    await root("put", "g/s/1", "owl")
    (row,) = await root.rows("unembedded")
    late = [row["key"]], [row["digest"]], [0], [[1, 0]], "toy"
    await root("set_search", "g/s/**", [], "simple", "v", [])
    await write(root, {"g/s/1": "bat"}, {"g/s/1": [[0, 1]]})
    assert (await root("set_vectors", *late))["status"] == "stale"
    assert database.sql("select vector from pgstate.embedding") == [([0.0, 1.0],)]
    # nor those of a value that is not indexed again yet
    await root("drop_search", "g/s/**")
    assert (await root("set_vectors", *late))["status"] == "stale"
    assert with_vectors(database) == []


async def test_a_rule_waits_for_older_snapshots_before_it_takes_vectors_away(
    given: Caller, session: MakeAgent, database: Database
) -> None:
    other, third = await session(), await session()
    await write(given, {"g/1": "owl"}, {"g/1": [[1, 0]]})
    await other.execute("begin isolation level repeatable read")
    await other("put", "h/1", "owl")
    changing = asyncio.create_task(given("set_search", "g/**", ["$"], "simple"))
    await wait_until_blocked(third.connection, given.pid)
    # which would wait for the change, if that had taken them already
    await other("put", "g/1", "bat")
    await other.execute("commit")
    await changing
    assert with_vectors(database) == []
