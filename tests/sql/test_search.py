"""Search by words: anywhere, by the index that set_search() makes, and both alike; what is found is what is there now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from _cases import first_of
from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

BIRDS = {
    "memory/alice/1": {"title": "Barn owl", "text": "hunts mice at night", "year": 2001},
    "memory/alice/2": {"title": "Eagle", "text": "hunts by day", "year": 1999},
    "memory/bob/1": {"title": "Owls of the north", "text": "snow and ice", "tags": ["owl", "owl"]},
    "memory/bob/deep/er/2": "a sparrow is no owl",
    "memory": "the owl of the root",
    "memory-2/1": "an owl beside",
    "other/1": {"text": "hunting owls, elsewhere"},
}


async def keys(caller: Caller, *arguments: Any, **named: Any) -> list[str]:
    return [row["key"] for row in await caller.rows("search", *arguments, **named)]


async def build(caller: Caller) -> None:
    while (await caller("maintain"))["more"]:
        pass
    assert all([row["ready"] for row in await caller.rows("searches")])


async def docs(inside: Caller) -> dict[str, int]:
    return {row["key"]: row["version"] for row in await inside.fetch("select key, version from pgstate.search_doc")}


@pytest.fixture
async def birds(root: Caller) -> Caller:
    await root.rows("put_many", list(BIRDS), list(BIRDS.values()))
    return root


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, who sees the index."""
    return await session(SUPERUSER)


QUERIES = [
    "owl", "owls", "OWL hunting", "owl -hunts", "-owl", '"barn owl"', '"owl barn"', "eagle or sparrow", "hunts -\"by day\"", "2001",
    "the", "", "   ", "!!", "nothing-like-it", "ice -none", "-eagle -sparrow", "\"hunts mice\" or snow",
]  # fmt: skip
PATTERNS = [
    "",
    "**",
    "memory/**",
    "memory/*/1",
    "memory/alice/*",
    "memory/b*",
    "memory/bob/**",
    "memory/alice/1",
    "*/**",
    "memory/*/**",
    "memory*/**",
]


@pytest.mark.core("every case")
@pytest.mark.parametrize(
    "rules",
    first_of(
        [
            ["memory/**", "memory/bob/**"],
            ["**"],
            ["memory/**"],
            [],
            ["memory/alice/1"],
            ["memory/bob/deep/**", "other/1"],
        ],
        2,
    ),
    ids=str,
)
async def test_the_index_finds_what_the_values_hold(birds: Caller, rules: list[str]) -> None:
    plain = {(p, q): await birds.rows("search", p, q) for p in PATTERNS for q in QUERIES}
    assert {row["key"] for row in plain["", "owl"]} == set(BIRDS) - {"memory/alice/2"}
    assert {row["key"] for row in plain["memory/**", "owl -hunts"]} == {
        "memory/bob/1",
        "memory/bob/deep/er/2",
        "memory",
    }
    assert [row["key"] for row in plain["", '"barn owl"']] == ["memory/alice/1"]
    assert plain["", "the"] == plain["", "!!"] == []
    for rule in rules:
        await birds("set_search", rule)
        # before it is built, too
        for (pattern, query), rows in plain.items():
            assert await birds.rows("search", pattern, query) == rows, (pattern, query)
    await build(birds)
    for (pattern, query), rows in plain.items():
        assert await birds.rows("search", pattern, query) == rows, (pattern, query)


async def test_a_line_of_dashes_is_no_word_that_must_not_occur(birds: Caller) -> None:
    for indexed in (False, True):
        if indexed:
            await birds("set_search", "**")
            await build(birds)
        for line in ("---", "-" * 40, "- - -", "- " * 40, "|" + "---|" * 20, "-!" * 40):
            assert await keys(birds, "", f"eagle {line} day") == ["memory/alice/2"]
            assert await keys(birds, "", f"{line} eagle") == ["memory/alice/2"]
            assert await keys(birds, "", f'"barn {line} owl"') == ["memory/alice/1"]
            assert await keys(birds, "", line) == []
        assert await keys(birds, "", "hunts -day") == await keys(birds, "", "hunts -day ---")
        assert await keys(birds, "", "eagle---hunts") == await keys(birds, "", '"eagle hunts"')


@pytest.mark.core
async def test_best_first_then_by_key(birds: Caller) -> None:
    for indexed in (False, True):
        if indexed:
            await birds("set_search", "**")
            await build(birds)
        rows = await birds.rows("search", "", "owl")
        assert rows[0]["key"] == "memory/bob/1"
        order = [(-row["score"], row["key"]) for row in rows]
        assert order == sorted(order)
        assert all(row["text_rank"] == pytest.approx(row["score"]) and row["distance"] is None for row in rows)


@pytest.mark.core("every case")
@pytest.mark.parametrize("limit", first_of([1, 5, 2, 7], 2))
@pytest.mark.parametrize("query", ["owl", None])
async def test_pages_neither_repeat_nor_end_early(root: Caller, query: str | None, limit: int) -> None:
    # how many digits a score has in text is a setting of the session
    await root.execute("set extra_float_digits = -10")
    names = [f"k/{n:02}" for n in range(23)]
    await root.rows("put_many", names, [{"text": "owl " * (n % 4 + 1), "n": n} for n in range(23)])
    for indexed in (False, True):
        if indexed:
            await root("set_search", "k/**")
            await build(root)
        for filter, expected in (({}, 23), ({"n": {"$gte": 4}}, 19)):
            whole = await keys(root, "k/**", query, filter, 1000)
            assert len(whole) == expected
            found: list[str] = []
            after = None
            while page := await root.rows("search", "k/**", query, filter, limit, after):
                found += [row["key"] for row in page]
                after = page[-1]["after"]
            assert found == whole


@pytest.mark.core
async def test_every_write_is_indexed(root: Caller, inside: Caller, clock: Clock) -> None:
    await root("set_search", "k/**")
    await build(root)
    await root("put", "k/1", "owl")
    assert await keys(root, "k/**", "owl") == ["k/1"]
    await root("put", "k/1", "eagle")
    assert await keys(root, "k/**", "owl") == []
    await root.rows("put_many", ["k/1", "k/2", "k/1"], ["crow", "owl", "owl"])
    assert await keys(root, "k/**", "owl") == ["k/1", "k/2"]
    await root("merge", "k/list", ["crow"], "append")
    await root("merge", "k/list", ["owl"], "append")
    assert await keys(root, "k/**", "owl crow") == ["k/list"]
    cursor = await root("cursor")
    await root.rows("delete_many", ["k/1", "k/2", "k/list"])
    assert await keys(root, "k/**", "owl") == []
    assert await docs(inside) == {}
    await root.rows("rollback", "k/**", cursor=cursor)
    assert await keys(root, "k/**", "owl") == ["k/1", "k/2", "k/list"]
    await root.rows("apply", [], [{"op": "put", "key": "k/3", "value": "owl"}, {"op": "delete", "key": "k/1"}])
    assert await keys(root, "k/**", "owl") == ["k/2", "k/3", "k/list"]
    await root("put", "k/short", "owl", ttl=seconds(60))
    assert "k/short" in await keys(root, "k/**", "owl")
    await clock.advance(61)
    assert "k/short" not in await keys(root, "k/**", "owl")
    await root("expire")
    assert "k/short" not in await docs(inside)
    async with root.transaction():
        await root("put", "k/4", "owl")
        await root("put", "k/4", "owls")
        assert "k/4" in await keys(root, "k/**", "owl")
    versions = {row["key"]: row["version"] for row in await root.rows("list", "k/**")}
    assert await docs(inside) == versions


@pytest.mark.core
async def test_what_is_undone_is_not_found(root: Caller) -> None:
    await root("set_search", "k/**")
    await build(root)
    transaction = root.transaction()
    await transaction.start()
    await root("put", "k/1", "owl")
    assert await keys(root, "k/**", "owl") == ["k/1"]
    await transaction.rollback()
    assert await keys(root, "k/**", "owl") == []


@pytest.mark.core
async def test_a_value_that_grows_is_indexed_whole(root: Caller, inside: Caller) -> None:
    await root("set_search", "k/**")
    await build(root)
    await root("put", "k/log", [f"first {'x' * 3000}"])
    for word in ("owl", "eagle", "crow"):
        await root("merge", "k/log", [word], "append")
        assert await keys(root, "k/**", f"first {word}") == ["k/log"]
    assert await inside.fetchval("select full_version < version from pgstate.entry where key = 'k/log'")
    assert await keys(root, "k/**", "owl eagle crow", {"$": {"$contains": ["crow"]}}) == ["k/log"]
    # what is built afterwards, by whoever maintains, too
    await root("drop_search", "k/**")
    await root("set_search", "k/**")
    assert await keys(root, "k/**", "owl eagle crow") == ["k/log"]
    await build(root)
    assert await keys(root, "k/**", "owl eagle crow") == ["k/log"]


@pytest.mark.core
async def test_fields_and_configuration_of_the_nearest_rule(root: Caller) -> None:
    value = {
        "title": "Die Eulen",
        "body": {"text": "hunting at night"},
        "items": [{"n": "crow"}, {"n": "raven"}],
        "b.c": "dotted",
    }
    await root.rows("put_many", ["m/1", "m/de/1", "m/none/1", "m/key"], [value] * 4)
    await root("set_search", "m/**", ["title", "items[*].n", "b\\.c"])
    await root("set_search", "m/de/**", ["title"], "german")
    await root("set_search", "m/none/**", [])
    await root("set_search", "m/key", ["body.text"])
    for built in (False, True):
        if built:
            await build(root)
        assert await keys(root, "m/**", "Eulen") == ["m/1", "m/de/1"], built
        assert await keys(root, "m/**", "Eule") == ["m/de/1"]
        assert await keys(root, "m/**", "raven") == ["m/1"]
        assert await keys(root, "m/**", "dotted") == ["m/1"]
        assert await keys(root, "m/**", "hunts") == ["m/key"]
    await root("drop_search", "m/de/**")
    for built in (False, True):
        if built:
            await build(root)
        assert await keys(root, "m/**", "Eule") == []
        assert await keys(root, "m/**", "raven") == ["m/1", "m/de/1"]


@pytest.mark.core
async def test_the_index_goes_with_its_rule(birds: Caller, inside: Caller) -> None:
    await birds("set_search", "memory/**")
    await build(birds)
    assert len(await docs(inside)) == 5
    await birds("drop_search", "memory/**")
    assert len(await keys(birds, "", "owl")) == 6
    await build(birds)
    assert await docs(inside) == {}
    assert len(await keys(birds, "", "owl")) == 6


@pytest.mark.core
async def test_building_takes_steps(root: Caller, inside: Caller) -> None:
    names = [f"k/{n:03}" for n in range(100)]
    await root.rows("put_many", names, ["owl"] * 100)
    await root("set_search", "k/**")
    steps = 0
    while (await root("maintain", 100))["more"]:
        assert len(await docs(inside)) <= 10 * (steps + 1)
        assert await keys(root, "k/**", "owl", limit=1000) == names
        steps += 1
    assert steps >= 9
    assert set(await docs(inside)) == set(names)


@pytest.mark.core
async def test_a_writer_that_does_not_know_the_rule_yet_is_waited_for(
    root: Caller, session: MakeAgent, inside: Caller
) -> None:
    """It wrote before the rule was there, and commits afterwards: the build begins when it has ended."""
    await root("set_search", "z/**")  # so that the trigger is there
    await build(root)
    await root.rows("put_many", ["k/1", "k/2"], ["crow", "crow"])
    writer, other = await session(), await session()
    open_one = writer.transaction()
    await open_one.start()
    await writer("put", "k/1", "owl")
    await other("set_search", "k/**")
    assert (await other("maintain"))["more"]
    assert await docs(inside) == {}
    # written meanwhile: indexed by its writer
    await other("put", "k/3", "owl")
    assert await keys(other, "k/**", "owl") == ["k/3"]
    await open_one.commit()
    assert await keys(other, "k/**", "owl") == ["k/1", "k/3"]
    await build(other)
    assert await docs(inside) == {"k/1": 2, "k/2": 1, "k/3": 1}
    assert await keys(other, "k/**", "owl") == ["k/1", "k/3"]


@pytest.mark.core
async def test_building_gives_way_to_writers(root: Caller, session: MakeAgent, inside: Caller) -> None:
    await root("set_search", "k/**")
    await build(root)
    await root.rows("put_many", ["k/1", "k/2"], ["owl", "owl"])
    await inside.execute("delete from pgstate.search_doc")
    await inside.execute("insert into pgstate.search_build (subtree) values ('k/**')")
    await root("maintain", 10)  # the barrier
    await inside.execute("delete from pgstate.search_doc")
    await inside.execute(
        "insert into pgstate.search_build (subtree, barrier) values ('k/**', '3') on conflict (subtree) do update set barrier = '3', after = ''"
    )
    writer = await session()
    async with writer.transaction():
        await writer("put", "k/2", "eagle")
        assert (await root("maintain"))["more"]
        assert "k/1" not in await docs(inside)
        assert await keys(root, "k/**", "owl") == ["k/1", "k/2"]
    await build(root)
    assert await docs(inside) == {"k/1": 1, "k/2": 2}
    assert await keys(root, "k/**", "owl") == ["k/1"]


@pytest.mark.core
async def test_a_snapshot_from_before_the_rule_cannot_write(root: Caller, session: MakeAgent) -> None:
    writer = await session()
    transaction = writer.transaction(isolation="repeatable_read")
    await transaction.start()
    await writer("get", "k/1")
    await root("set_search", "k/**")
    with refused("40001"):
        await writer("put", "k/1", "owl")
    await transaction.rollback()
    async with writer.transaction(isolation="repeatable_read"):
        await writer("put", "k/1", "owl")
    assert await keys(root, "k/**", "owl") == ["k/1"]


@pytest.mark.core
async def test_the_first_rule_waits_for_writers(root: Caller, session: MakeAgent, inside: Caller) -> None:
    writer = await session()
    transaction = writer.transaction()
    await transaction.start()
    await writer("put", "k/1", "owl")
    waiting = asyncio.create_task(root("set_search", "k/**"))
    await wait_until_blocked(inside.connection, root.pid)
    await transaction.commit()
    await waiting
    assert await keys(root, "k/**", "owl") == ["k/1"]
    assert await inside.fetchval("select count(*) from pg_trigger where tgname = 'version_search'") == 1


@pytest.mark.core
async def test_without_a_rule_no_write_is_followed(root: Caller, inside: Caller) -> None:
    triggers = (
        'select array_agg(tgname::text order by tgname::text collate "C") from pg_trigger'
        " where tgrelid = 'pgstate.version'::regclass and not tgisinternal"
    )
    assert await inside.fetchval(triggers) == ["version_wake"]
    await root("set_search", "k/**")
    assert await inside.fetchval(triggers) == ["version_search", "version_wake"]
    # what a revision clears comes back with its code
    await inside.execute("drop trigger version_search on pgstate.version; select pgstate._follow_writes()")
    assert await inside.fetchval(triggers) == ["version_search", "version_wake"]
    await root("drop_search", "k/**")
    await build(root)
    assert await inside.fetchval(triggers) == ["version_wake"]
    # it goes only if nobody is in the way, and is there again with the next rule
    await root("set_search", "k/**")
    await root("drop_search", "k/**")
    async with inside.transaction():
        await inside.execute("lock table pgstate.version in access share mode")
        await build(root)
        assert await inside.fetchval(triggers) == ["version_search", "version_wake"]
    await root("put", "k/1", "owl")
    assert await docs(inside) == {}
    assert await keys(root, "k/**", "owl") == ["k/1"]


@pytest.mark.core
async def test_values_with_too_many_words(root: Caller) -> None:
    many = " ".join(f"word{n}" for n in range(60_000))
    most = " ".join(f"{n:x}abcdefghijklmnopq" for n in range(45_000))
    for indexed in (False, True):
        await root.rows("put_many", ["k/many", "k/most"], [many, most])
        if indexed:
            await root("set_search", "k/**")
            await build(root)
        assert await keys(root, "k/**", "word59999") == ["k/many"]
        assert await keys(root, "k/**", "word59999 -word1") == []
        # more than a tsvector holds: the beginning
        assert await keys(root, "k/**", "1abcdefghijklmnopq") == ["k/most"]
    await root("put", "k/many", most)
    assert await keys(root, "k/**", "1abcdefghijklmnopq") == ["k/many", "k/most"]


@pytest.mark.core
async def test_a_configuration_that_is_gone_keeps_nobody_from_writing(root: Caller, inside: Caller) -> None:
    await inside.execute(
        "create schema app; grant usage on schema app to public; create text search configuration app.mine (copy = english)"
    )
    await root("set_search", "k/**", ["$"], "app.mine")
    await build(root)
    await root("put", "k/1", "owls")
    assert await keys(root, "k/**", "owl") == ["k/1"]
    await inside.execute("drop text search configuration app.mine")
    await root("put", "k/2", "owls")
    assert await keys(root, "k/**", "owls") == ["k/2"]


@pytest.mark.core
async def test_bad_arguments(root: Caller) -> None:
    await root.refuses(
        "PS007",
        "search('**', 'x', \"limit\" => 0)", "search('**', 'x', \"limit\" => 10001)", "search('**', 'x', \"limit\" => null)",
        "search('**', 'x', after => 'a')", "search('**', 'x', after => '1 1 a//b')", "search('**', 'x', after => '1 x a')",
        "search('**', mode => 'text')", "search('**', 'x', mode => 'vector')", "search('**', 'x', mode => 'hybrid')",
        "search('**', 'x', mode => 'best')", "search('**', repeat('x ', 5000))", "search('**', 'x', '{\"a\": {\"$foo\": 1}}')",
        "search('**', vector => '{1}', mode => 'vector')", "search('**', vector => '{1}', vectors => 'none')",
        "set_search('k/**', null)", "set_search('k/**', config => 'klingon')", "set_search('k/**', config => 'a.b.c.d')",
        "set_search('k/**', '{a..b}')", "set_search('k/**', array_fill('a'::text, array[33]))", "set_search('k/**', vectors => 'none')",
        "set_search('k/**', vector_fields => '{a}')", "drop_search('k/**')", "unembedded('**', 0)",
        "set_vectors('{a}', '{}', '{}', '{}', 'm')", "set_vectors('{a}', '{x}', '{0}', '{1}', 'm')",
    )  # fmt: skip
    await root.refuses("PS001", "search('**', after => 'a//b')", "unembedded('**', after => 'a//b')")
    await root.refuses(
        "PS002", "search('a//b', 'x')", "set_search('k/*')", "set_search('{agent}/**')", "unembedded('a//b')"
    )
    assert await root.rows("searches") == []
    assert await root.rows("search", "**", "x", after="-1e-5 2 a") == []


@pytest.mark.core
async def test_rules_are_listed_for_those_who_reach_them(root: Caller, agent: MakeAgent) -> None:
    await root("set_search", "a/**", ["title"])
    await root("set_search", "b/**")
    alice = await agent("alice", "read a/x/**", "admin c/**")
    assert [row["subtree"] for row in await alice.rows("searches")] == ["a/**"]
    await alice.refuses(
        "PS010",
        "set_search('a/x/**')",
        "drop_search('a/**')",
        "set_search('**')",
        "create_vectors('v', 3, 'm')",
        "drop_vectors('v')",
    )
    await alice("set_search", "c/**")
    (row,) = [row for row in await root.rows("searches") if row["subtree"] == "c/**"]
    assert (row["fields"], row["config"], row["set_by"]) == (["$"], "english", "alice")
    await alice("drop_search", "c/**")


@pytest.mark.core
async def test_words_too_long_or_too_many_to_be_marked_are_found(root: Caller) -> None:
    """Marked words are longer than words, and have each directory once more: what does not fit is looked at."""
    longest = "x" * 2044
    paths = " ".join(f"{n:05}{'y' * 195}" for n in range(1500))
    await root("set_search", "k/**")
    await build(root)
    await root("put", "k/a/b/long", f"owl {longest}")
    await root("put", "k/a/b/many", paths)
    for query, key in (
        (longest, "k/a/b/long"),
        ("owl", "k/a/b/long"),
        *((f"{n:05}{'y' * 195}", "k/a/b/many") for n in (0, 700, 1499)),
    ):
        for pattern in ("k/**", "k/a/**"):
            assert await keys(root, pattern, query) == [key], (query[:9], pattern)
