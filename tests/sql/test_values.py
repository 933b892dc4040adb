"""put, get, delete, merge as status rows: versions, compare-and-set, expiry, op_ids, limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import NULL, Caller, MakeAgent, refused, seconds


async def _ops(caller: Caller, key: str) -> list[tuple[Any, ...]]:
    """Version, op and value of a key's history, oldest first."""
    return [(v["version"], v["op"], v["value"]) for v in reversed(await caller.rows("history", key))]


@pytest.mark.core
async def test_a_value_comes_back_with_who_wrote_it_and_when(agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    assert await alice("put", "a/x", {"n": 1}) == ("ok", 1, None)
    row = await alice("get", "a/x")
    login = await alice.fetchval("select session_user::text")
    assert (row["status"], row["key"], row["value"], row["version"], row["kind"]) == ("ok", "a/x", {"n": 1}, 1, "value")
    assert (row["writer"], row["via"], row["priority"], row["expires_at"]) == ("alice", login, 0, None)
    assert row["created_at"] == row["updated_at"]
    await alice("put", "a/x", NULL)
    again = await alice("get", "a/x")
    assert (again["value"], again["version"], again["created_at"]) == (NULL, 2, row["created_at"])
    assert again["updated_at"] > row["updated_at"]
    missing = await alice("get", "a/y")
    assert (missing["status"], missing["key"], missing["value"], missing["version"]) == ("missing", "a/y", None, None)


@pytest.mark.core
async def test_versions_are_dense_and_go_on_after_a_delete(root: Caller) -> None:
    assert [await root("put", "k", n) for n in (1, 2)] == [("ok", 1, None), ("ok", 2, None)]
    assert await root("delete", "k") == ("ok", 3, None)
    assert (await root("get", "k"))["status"] == "missing"
    assert await root("delete", "k") == ("missing", None, None)
    assert await root("put", "k", 4) == ("ok", 4, None)
    assert await root("merge", "k", 1, "add", return_value=True) == ("ok", 5, 5)
    history = await root.rows("history", "k")
    assert [(v["version"], v["op"], v["value"], v["created"]) for v in history] == [
        (5, "merge", 5, False),
        (4, "put", 4, True),
        (3, "delete", None, False),
        (2, "put", 2, False),
        (1, "put", 1, True),
    ]
    assert {(v["key"], v["writer"], v["via"]) for v in history} == {("k", "admin", "installer")}


async def test_history_is_paged_by_version(root: Caller) -> None:
    for n in range(5):
        await root("put", "k", n)
    first = await root.rows("history", "k", 2)
    assert [v["version"] for v in first] == [5, 4]
    assert [v["version"] for v in await root.rows("history", "k", limit=9, before=4)] == [3, 2, 1]
    assert len(await root.rows("history", "k", None)) == 5
    assert await root.rows("history", "never") == []
    await root.refuses("PS007", "history('k', 0)", "history('k', -1)", "history('k', 100001)")


@pytest.mark.core
async def test_expect_is_a_compare_and_set(root: Caller) -> None:
    assert await root("put", "k", "a", expect=1) == ("conflict", 0, None)
    assert await root("put", "k", "a", expect=0) == ("ok", 1, None)
    assert await root("put", "k", "b", expect=0) == ("conflict", 1, "a")
    assert await root("put", "k", "b", expect=1) == ("ok", 2, None)
    assert await root("put", "k", "c", expect=1) == ("conflict", 2, "b")
    assert await root("delete", "k", expect=1) == ("conflict", 2, "b")
    assert await root("delete", "k", expect=0) == ("conflict", 2, "b")
    assert await root("delete", "k", expect=2) == ("ok", 3, None)
    assert await root("delete", "k", expect=3) == ("conflict", 0, None)
    assert await root("put", "k", "d", expect=3) == ("conflict", 0, None)
    assert await root("put", "k", "d", expect=0) == ("ok", 4, None)


_WRITTEN = """
select e.parent, e.kind, e.version, e.live, e.value, e.writer, e.via, e.created_at = e.updated_at, e.expires_at - e.updated_at,
       e.priority, e.not_before, e.full_version, e.tail_count, v.version, v.epoch, v.op, v.created, v.value, v.writer, v.via,
       v.at = e.updated_at, v.expires_at = e.expires_at, v.meta, v.reducer
  from pgstate.entry e join pgstate.version v on v.key = e.key where e.key = $1
"""


@pytest.mark.core
async def test_a_new_key_is_written_by_itself_as_it_is_in_bulk(
    root: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    """A lone put of a key that was never there goes a way of its own."""
    await root("set_policy", "rules/**", ttl=seconds(60))
    superuser = await session(SUPERUSER)
    soon = (await superuser.fetchval("select pgstate._now()")) + seconds(600)
    blind = await agent("blind", "write b/**")
    for caller, key, options, arrays in (
        (root, "a", {}, {}),
        (root, "x/y/b", {"expect": 0}, {"expects": [0]}),
        (root, "d", {"ttl": seconds(9), "priority": 3}, {"ttls": [seconds(9)], "priorities": [3]}),
        (root, "e", {"not_before": soon}, {"not_befores": [soon]}),
        (root, "rules/a", {}, {}),
        (root, "rules/b", {"ttl": seconds(5)}, {"ttls": [seconds(5)]}),
        (blind, "b/a", {}, {}),
    ):
        assert await caller("put", key, {"n": 1}, **options) == ("ok", None if caller is blind else 1, None), key
        await caller.rows("write_many", ["put"], [f"{key}-2"], [{"n": 1}], **arrays)
        alone, bulk = [await superuser.fetch(_WRITTEN, name) for name in (key, f"{key}-2")]
        assert len(alone) == 1 and tuple(alone[0]) == tuple(bulk[0]), key
    assert await root("put", "a", 1, expect=0) == ("conflict", 1, {"n": 1})
    assert await root("put", "none", 1, expect=2) == ("conflict", 0, None)
    await root.refuses("PS001", "put('a//b', '1')", "put('', '1', 0)", "put('a/', '1')")
    await root.refuses("PS007", "put('new', '1', ttl => '-1 s')", "put('new', '1', -1)")
    await root.refuses("PS007", "put('new', '1', not_before => '-infinity')")
    await root.refuses("PS004", "put('new', to_jsonb(repeat(md5(random()::text), 70000)))")
    await blind.refuses("PS010", "put('b2', '1')", "put('b/new', '1', 0)", "put('a', '1')", "put('a', '1', 0)")
    await root("delete", "a")
    assert await root("put", "a", 1, expect=0) == ("ok", 3, None)
    assert (await root("get", "new"))["status"] == "missing"


async def test_expect_value_compares_what_is_there(root: Caller) -> None:
    assert await root("put", "k", 2, expect_value=1) == ("conflict", 0, None)
    await root("put", "k", {"a": 1, "b": [1, 2]})
    assert await root("put", "k", NULL, expect_value={"b": [1, 2], "a": 1.0}) == ("ok", 2, None)
    assert await root("put", "k", 1, expect_value={}) == ("conflict", 2, NULL)
    assert await root("put", "k", 1, expect_value=NULL) == ("ok", 3, None)
    assert await root("put", "k", 2, expect=2, expect_value=1) == ("conflict", 3, 1)
    assert await root("put", "k", 2, expect=3, expect_value=1) == ("ok", 4, None)


@pytest.mark.core
async def test_an_expired_entry_is_gone_at_once_and_history_says_so(root: Caller, clock: Clock) -> None:
    await root("put", "k", 1, ttl=seconds(60))
    await root("put", "other", 1, ttl=seconds(1000))
    row = await root("get", "k")
    assert row["expires_at"] - row["updated_at"] == timedelta(minutes=1)
    await clock.advance(61)
    assert (await root("get", "k"))["status"] == "missing"
    assert [r["status"] for r in await root.rows("get_many", ["k", "other"])] == ["missing", "ok"]
    assert [r["key"] for r in await root.rows("list")] == ["other"]
    assert await root.fetchval("select count(*) from pgstate.history('k')") == 1
    assert await root("put", "k", 2, expect=1) == ("conflict", 0, None)
    assert await root("put", "k", 2, expect_value=1) == ("conflict", 0, None)
    assert await root("delete", "k") == ("missing", None, None)
    # whoever writes over it writes the expiry first
    assert await root("merge", "k", 5, "add", return_value=True) == ("ok", 3, 5)
    assert await _ops(root, "k") == [(1, "put", 1), (2, "expire", None), (3, "merge", 5)]
    (_, expired, created) = reversed(await root.rows("history", "k"))
    assert (expired["writer"], expired["created"], created["created"]) == ("pgstate", False, True)
    assert (await root("get", "k"))["expires_at"] is None


@pytest.mark.core
async def test_expire_writes_what_is_due_once(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read a/**")
    for key in ("b", "a", "c"):
        await root("put", key, key, ttl=None if key == "c" else seconds(10))
    await root("claim", "a", seconds(1000))
    await root("expire")
    assert await _ops(root, "a") == [(1, "put", "a")]
    await clock.advance(11)
    # whoever asks, and whatever they may see
    await alice("expire")
    await root("expire")
    for key in ("a", "b"):
        assert await _ops(root, key) == [(1, "put", key), (2, "expire", None)]
    assert await _ops(root, "c") == [(1, "put", "c")]
    assert await root("put", "a", 2) == ("ok", 3, None)
    assert (await root("claim", "a", seconds(1)))["attempts"] == 1


async def test_a_put_sets_expiry_anew_and_a_merge_keeps_it(root: Caller) -> None:
    async def expires() -> Any:
        return (await root("get", "k"))["expires_at"]

    await root("put", "k", [1], ttl=seconds(60))
    first = await expires()
    await root("merge", "k", [2], "append")
    assert await expires() == first
    await root("merge", "k", [3], "append", ttl=seconds(600))
    later = await expires()
    assert later - first > seconds(500)
    assert (await root.rows("history", "k", 1))[0]["expires_at"] == later
    await root("put", "k", 1)
    assert await expires() is None
    await root("put", "k", 1, ttl=seconds(1))
    await root("delete", "k")
    await root("put", "k", 1)
    assert await expires() is None


async def test_a_put_keeps_priority_and_not_before_until_the_key_is_new(root: Caller) -> None:
    async def both() -> tuple[Any, Any]:
        row = await root("get", "k")
        return row["priority"], row["not_before"]

    start = await root.fetchval("select '2030-01-01 00:00+00'::timestamptz")
    await root("put", "k", 1, priority=5, not_before=start)
    await root("put", "k", 2)
    await root("merge", "k", 2, "add")
    assert await both() == (5, start)
    await root("put", "k", 2, priority=-1)
    assert await both() == (-1, start)
    await root("put", "k", 2, not_before=start + seconds(60))
    assert await both() == (-1, start + seconds(60))
    await root("delete", "k")
    await root("put", "k", 1)
    assert await both() == (0, None)


@pytest.mark.core
async def test_an_op_id_makes_a_write_happen_once(root: Caller) -> None:
    assert await root("merge", "n", 1, "add", op_id="one", return_value=True) == ("ok", 1, 1)
    assert await root("merge", "n", 1, "add", op_id="one", return_value=True) == ("ok", 1, 1)
    assert (await root("get", "n"))["value"] == 1
    # a lost race is an outcome too: asked again it stays lost
    assert await root("put", "n", 5, expect=0, op_id="two") == ("conflict", 1, 1)
    await root("delete", "n")
    assert await root("put", "n", 5, expect=0, op_id="two") == ("conflict", 1, 1)
    assert await root("delete", "n", op_id="three") == ("missing", None, None)
    await root("put", "n", NULL)
    assert await root("put", "n", 7, expect_value=0, op_id="four") == ("conflict", 3, NULL)
    assert await root("put", "n", 7, expect_value=0, op_id="four") == ("conflict", 3, NULL)
    # the same request through the set-based function is the same request
    (row,) = await root.rows("merge_many", ["n"], [1], ["add"], op_ids=["one"], return_value=True)
    assert (row["status"], row["version"], row["value"]) == ("ok", 1, 1)


async def test_an_op_id_belongs_to_one_request_of_one_agent(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await alice("put", "a/x", 1, op_id="id")
    await alice.refuses(
        "PS030",
        "put('a/x', '2', op_id => 'id')",
        "put('a/y', '1', op_id => 'id')",
        "put('a/x', '1', expect => 0, op_id => 'id')",
        "put('a/x', '1', ttl => '1 s', op_id => 'id')",
        "delete('a/x', op_id => 'id')",
        "merge('a/x', '1', 'replace', op_id => 'id')",
        """apply(null, '[{"op": "put", "key": "a/x", "value": 1}]', op_id => 'id')""",
    )
    assert await root("put", "a/x", 3, op_id="id") == ("ok", 2, None)
    assert [r["version"] for r in await root.rows("history", "a/x")] == [2, 1]


async def test_an_op_id_is_known_again_in_a_session_with_other_settings(root: Caller, clock: Clock) -> None:
    """The process that asks again may be another, elsewhere: what a request is compared by is no matter of style."""
    await root.rows("put_many", [f"w/{number}" for number in range(9)], ["v"] * 9)
    await root.execute("select pgstate.expire()")  # records a point
    (token,) = [row["token"] for row in await root.rows("claim", "w/0", seconds(90.5))]
    then = await clock.now()
    await clock.advance(1)
    calls: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("put", ["a", 1], {"ttl": seconds(5400.25), "not_before": then}),
        ("put_many", [["b"], [1]], {"ttls": [seconds(90061)], "op_ids": ["put_many"]}),
        ("claim", ["w/1", seconds(90)], {}),
        ("claim_next", ["w/*", seconds(90)], {}),
        ("claim_many", ["w/*", 2, seconds(90)], {}),
        ("fail", ["w/0", token], {"retry_in": seconds(3661)}),
        ("rollback", ["w/5"], {"at": then}),
    ]
    told = []
    for style, zone in (("postgres", "UTC"), ("iso_8601", "Asia/Kathmandu"), ("sql_standard", "America/St_Johns")):
        await root.execute(f"set intervalstyle = {style}")
        await root.execute(f"set timezone = '{zone}'")
        told.append(
            [
                # a rollback that is asked for again has its watchers woken again
                {**row, "watched": None}
                for function, given, named in calls
                for row in await root.rows(
                    function, *given, **({"op_id": function} | named if "op_ids" not in named else named)
                )
            ]
        )
    assert told[0] == told[1] == told[2]


async def test_a_refused_write_frees_its_op_id(root: Caller) -> None:
    for _ in range(2):
        with refused("PS003"):
            await root("put", "k", None, op_id="id")
    rows = await root.rows("put_many", ["..", "k"], [1, 1], op_ids=["id", "other"])
    assert [r["code"] for r in rows] == ["PS001", None]
    assert await root("put", "k", 2, op_id="id") == ("ok", 2, None)
    for bad in ("", "x" * 257):
        with refused("PS007"):
            await root("put", "k", 1, op_id=bad)


async def test_one_op_id_several_times_in_a_batch(root: Caller) -> None:
    rows = await root.rows(
        "write_many",
        ["merge"] * 4,
        ["n"] * 4,
        [1, 1, 2, 1],
        reducers=["add"] * 4,
        op_ids=["id", "id", "id", None],
        return_values=[True] * 4,
    )
    assert [(r["status"], r["version"], r["value"], r["code"]) for r in rows] == [
        ("ok", 1, 1, None),
        ("ok", 1, 1, None),
        ("invalid", None, None, "PS030"),
        ("ok", 2, 2, None),
    ]
    # a refused row's copies are refused with it
    rows = await root.rows("put_many", ["..", ".."], [1, 1], op_ids=["bad", "bad"])
    assert [(r["status"], r["code"]) for r in rows] == [("invalid", "PS001")] * 2


@pytest.mark.core
async def test_who_may_only_write_learns_nothing(root: Caller, agent: MakeAgent) -> None:
    blind = await agent("blind", "write in/**")
    await root("put", "in/there", "secret")
    for key in ("in/there", "in/new"):
        assert await blind("put", key, 1) == ("ok", None, None)
        assert await blind("merge", key, 1, "add") == ("ok", None, None)
        said = await blind.refuses(
            "PS010",
            f"get('{key}')",
            f"history('{key}')",
            f"put('{key}', '1', expect => 0)",
            f"put('{key}', '1', expect => 1)",
            f"put('{key}', '1', expect_value => '1')",
            f"put('{key}', '1', token => 1)",
            f"delete('{key}', expect => 1)",
            f"merge('{key}', '1', 'add', return_value => true)",
            f"claim('{key}', '1 s')",
            f"complete('{key}', 1)",
            "list('in/**')",
            f"""apply('[{{"key": "{key}", "absent": true}}]', '[]')""",
            f"""apply('[{{"key": "{key}", "exists": true}}]', '[]')""",
        )
        assert len(said) == 1
    assert await blind("delete", "in/there") == ("ok", None, None)
    assert await blind("delete", "in/there") == ("ok", None, None)
    assert await root("put", "in/there", 1) == ("ok", 5, None)


@pytest.mark.core
async def test_values_up_to_the_limit(root: Caller, database: Any) -> None:
    database.sql("update pgstate.install set value_limit = 1024")
    assert (await root("info"))["value_limit"] == 1024
    assert await root("put", "k", "x" * 900) == ("ok", 1, None)
    with refused("PS004"):
        await root("put", "k", "x" * 1100)
    # what a merge makes must fit as well
    await root("put", "list", ["x" * 800])
    with refused("PS004"):
        await root("merge", "list", ["y" * 300], "append")
    assert (await root("get", "list"))["version"] == 1
    # compressible or not: the limit is on what is sent, not on what is stored
    rows = await root.rows("put_many", ["k", "l"], ["a" * 5000, 1])
    assert [(r["status"], r["code"]) for r in rows] == [("invalid", "PS004"), ("ok", None)]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "key",
    [
        *["/", ".", "..", "/a", "a/", "a//b", "a/../b", "./a", "a/.", "ä", "a*", "{agent}", "a\\"],
        "",
        "a b",
        "a\n",
        "\na",
        "x" * 513,
        None,
    ],
)
async def test_keys_that_are_none(root: Caller, key: str | None) -> None:
    for function, *arguments in (
        ("get", key),
        ("put", key, 1),
        ("delete", key),
        ("merge", key, 1, "add"),
        ("history", key),
        ("claim", key, seconds(1)),
        ("renew", key, 1, seconds(1)),
        ("release", key, 1),
        ("complete", key, 1),
    ):
        with refused("PS001"):
            await root(function, *arguments)
    assert [r["code"] for r in await root.rows("get_many", [key])] == ["PS001"]


async def test_keys_at_the_edge_of_what_is_allowed(root: Caller) -> None:
    for key in ("x" * 512, "...", "a/...", ".a", "a.", "-", "a~:@=+,%-_.Z9/b"):
        assert await root("put", key, 1) == ("ok", 1, None)
        assert (await root("get", key))["key"] == key
    assert (
        await root.fetchval("select pgstate.key('research', 'a b/ä%', '..', 'x')")
        == "research/a%20b%2F%C3%A4%25/%2E%2E/x"
    )
    assert await root.fetchval("select pgstate.key('%2E')") != await root.fetchval("select pgstate.key('.')")
    await root.refuses("PS001", "key('')", "key('a', null)", "key(repeat('x', 513))", "key('a', '')")


async def test_arguments_that_make_no_sense(root: Caller) -> None:
    for code, call in (
        ("PS003", "put('k', null)"),
        ("PS003", "merge('k', null, 'add')"),
        ("PS005", "merge('k', '1', 'sum')"),
        ("PS005", "merge('k', '1', null)"),
        ("PS006", """merge('k', '"x"', 'add')"""),
        ("PS007", "put('k', '1', ttl => '0')"),
        ("PS007", "put('k', '1', ttl => '-1 s')"),
        ("PS007", "put('k', '1', ttl => '101 years')"),
        ("PS007", "put('k', '1', expect => -1)"),
        ("PS007", "complete('k', null)"),
        ("PS007", "write_many(array['put'], array['a', 'b'])"),
        ("PS007", "claim('k', '0')"),
        ("PS007", "claim('k', null)"),
        ("PS002", "claim_next('a**', '1 s')"),
    ):
        assert await root.refuses(code, call)
    (row,) = await root.rows("write_many", ["upsert"], ["k"], [1])
    assert (row["status"], row["code"]) == ("invalid", "PS007")
    assert await root.rows("history", "k") == []


async def test_a_key_of_another_kind_is_refused_until_it_is_gone(root: Caller, database: Any) -> None:
    # no function makes threads or runs yet; their heads are entries, and the writer must already know them
    await root("put", "head", 1)
    database.sql("update pgstate.entry set kind = 'thread' where key = 'head'")
    await root.refuses("PS040", "put('head', '2')", "merge('head', '2', 'add')", "delete('head')")
    database.sql("update pgstate.entry set live = false, value = null where key = 'head'")
    assert await root("put", "head", 3, expect=0) == ("ok", 2, None)
    assert (await root("get", "head"))["kind"] == "value"
    assert await root("put", "head", 4) == ("ok", 3, None)


async def test_a_write_in_a_transaction_that_rolls_back_never_was(root: Caller) -> None:
    transaction = root.transaction()
    await transaction.start()
    await root("put", "k", 1, op_id="id")
    assert (await root("get", "k"))["version"] == 1
    await transaction.rollback()
    assert (await root("get", "k"))["status"] == "missing"
    assert await root("put", "k", 1, op_id="id") == ("ok", 1, None)
