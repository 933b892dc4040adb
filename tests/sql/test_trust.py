"""Trust: stamped by the server, as the least of what is declared, of the agent, of the policy and of the sources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds
from sql._threads import save

LEVELS = ("external", "agent", "verified", "operator")


async def _trust(root: Caller, key: str) -> str:
    """Of the entry, which is that of its newest version."""
    trust = await root.fetchval("select trust::text from pgstate.entry where key = $1", key)
    newest = await root.fetchval(
        "select trust::text from pgstate.version where key = $1 order by version desc limit 1", key
    )
    assert trust == newest
    return str(trust)


async def _origin(root: Caller, key: str) -> Any:
    return await root.fetchval("select meta from pgstate.version where key = $1 order by version desc limit 1", key)


async def _put_many(caller: Caller, keys: list[str], sources: list[Any]) -> list[Any]:
    """Sources are arrays, and several of them no array of PostgreSQL's: they travel as text."""
    told = [None if one is None else json.dumps(one) for one in sources]
    sql = "select * from pgstate.put_many($1::text[], array_fill('1'::jsonb, array[cardinality($1::text[])]), sources => $2::text[]::jsonb[])"
    return list(await caller.fetch(sql, keys, told))


@pytest.mark.core
@pytest.mark.parametrize("named", [False, True], ids=["login", "gateway"])
async def test_an_agents_cap_holds_whatever_it_declares(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, named: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    caller, who = (await gateway("alice"), {"agent": "alice"}) if named else (alice, {})
    for cap in (None, *LEVELS):
        if cap is not None:
            await root("set_trust", "alice", cap)
        for declared in (None, *LEVELS):
            await caller("put", "a/x", declared, trust=declared, **who) if declared else await caller(
                "put", "a/x", 1, **who
            )
            expected = min(LEVELS.index(cap or "agent"), LEVELS.index(declared or "operator"))
            assert await _trust(root, "a/x") == LEVELS[expected]
    # nothing in a value, a name or a setting is taken for it
    await root("set_trust", "alice", "external")
    await caller.execute("select set_config('pgstate.trust', 'operator', false)")
    await caller("put", "a/x", {"trust": "operator", "meta": {"sources": []}}, **who)
    await caller("put", "a/operator", 1, **who)
    assert {await _trust(root, key) for key in ("a/x", "a/operator")} == {"external"}
    agents = {row["name"]: row["trust"] for row in await root.rows("agents")}
    assert agents["alice"] == "external" and agents["admin"] == "operator"


@pytest.mark.core
async def test_who_may_set_it(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "admin a/**")
    await alice.refuses("PS010", "set_trust('alice', 'operator')", "set_trust('nobody', 'operator')")
    await root.refuses(
        "PS007", "set_trust('alice', 'high')", "set_trust('alice', null)", "set_trust('nobody', 'agent')",
        "set_trust('admin', 'agent')", "put('a/x', '1', trust => 'high')", "set_policy('a/**', trust => 'high')",
    )  # fmt: skip
    await root("set_trust", "alice", "verified")
    (row,) = [row for row in await root.rows("audit") if row["event"] == "set_trust"]
    assert row["detail"] == {"agent": "alice", "trust": "verified"} and row["agent"] == "admin"
    # what grants change, or another login, leaves it as it is
    await root("grant_access", "alice", "b/**", "write")
    await alice("put", "a/x", 1)
    assert await _trust(root, "a/x") == "verified"


@pytest.mark.core
async def test_a_policys_cap_holds_for_whoever_writes(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read **", "write **")
    await root("set_policy", "web/**", trust="external")
    await root("set_policy", "web/checked/**", trust="verified")
    for key, trust in (("web/x", "external"), ("web/checked/x", "agent"), ("other", "agent")):
        for _ in range(2):
            await alice("put", key, 1)
            assert await _trust(root, key) == trust
        await root.rows("put_many", [key, f"{key}/2"], [1, 2])
    assert [await _trust(root, key) for key in ("web/x", "web/x/2", "web/checked/x", "other")] == [
        "external", "external", "verified", "operator",
    ]  # fmt: skip
    explained = {row["setting"]: (row["value"], row["subtree"]) for row in await root.rows("explain_policy", "web/x")}
    assert explained["trust"] == ("external", "web/**")
    assert {row["subtree"]: row["trust"] for row in await root.rows("policies")}["web/checked/**"] == "verified"
    # each other way of writing
    await root("merge", "web/m", 1, "add")
    await root("merge", "web/m", 1, "add")
    await root.rows("apply", [], [{"op": "put", "key": "web/applied", "value": 1, "trust": "operator"}])
    await save(root, "web/t", {"x": 1})
    await root("start_run", "web/r", seconds(60), "job")
    await root("put", "web/w", 1)
    claim = await root("claim", "web/w", seconds(60))
    await root("complete", "web/w", claim["token"], move_to="web/done")
    keys = await root.fetch("select key from pgstate.version where key ^@ 'web/' and not key ^@ 'web/checked'")
    assert {await _trust(root, row["key"]) for row in keys} == {"external"} and len(keys) > 10
    await root("drop_policy", "web/**", ["trust"])
    await root("put", "web/x", 1)
    assert await _trust(root, "web/x") == "operator"


@pytest.mark.core
@pytest.mark.parametrize("size", [1, 3000], ids=["small", "growing"])
async def test_a_merge_is_trusted_no_more_than_what_it_was(root: Caller, agent: MakeAgent, size: int) -> None:
    alice = await agent("alice", "read **", "write **")
    await root("set_trust", "alice", "external")
    for reducer, operand in (("append", ["x" * size]), ("replace", "x" * size)):
        key = f"a/{reducer}"
        await root("merge", key, operand, reducer)
        await root("merge", key, operand + operand, reducer)
        assert await _trust(root, key) == "operator"
        await alice("merge", key, operand, reducer)
        assert await _trust(root, key) == "external"
        await root.rows("apply", [], [{"op": "merge", "key": key, "operand": operand + operand, "reducer": reducer}])
        await root("merge", key, operand, reducer, trust="verified")
        assert await _trust(root, key) == "external"
        # a put says all there is
        await root("put", key, 1)
        assert await _trust(root, key) == "operator"
        await alice("put", key, [1])
        await root("delete", key)
        await root("merge", key, operand, reducer)
        assert await _trust(root, key) == "operator"
    # one that another merge of the same statement came before
    await root.rows("merge_many", ["a/2", "a/2"], [1, 1], ["add", "add"])
    assert await _trust(root, "a/2") == "operator"
    trusts = ["external", None]
    await root.rows("write_many", ["merge"] * 2, ["a/2"] * 2, [1, 1], reducers=["add"] * 2, trusts=trusts)
    assert await _trust(root, "a/2") == "external"


@pytest.mark.core
async def test_moves_expiries_and_rollbacks_raise_nothing(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read **", "write **")
    await root("set_trust", "alice", "external")
    for key in ("t/short", "t/op", "t/dead"):
        await alice("put", key, 1)
    claims = {key: (await root("claim", key, seconds(60)))["token"] for key in ("t/short", "t/op", "t/dead")}
    await root("complete", "t/short", claims["t/short"], move_to="d/short")
    await root("complete", "t/op", claims["t/op"], move_to="d/op", op_id="1")
    await root("set_policy", "t/**", max_attempts=1, dead_letter="dead")
    await root("fail", "t/dead", claims["t/dead"], "broken")
    assert [await _trust(root, key) for key in ("d/short", "d/op", "dead/dead")] == ["external"] * 3
    # a result is what the worker says
    await alice("put", "t/result", 1)
    token = (await root("claim", "t/result", seconds(60)))["token"]
    await root("complete", "t/result", token, result=2, move_to="d/result")
    assert await _trust(root, "d/result") == "operator"

    await alice("put", "e/x", 1, ttl=seconds(5))
    await clock.advance(6)
    await root("expire")
    assert await _trust(root, "e/x") == "external"
    await alice("put", "e/x", 1, ttl=seconds(5))
    await clock.advance(6)
    await root("put", "e/x", 2)
    trusts = await root.fetch("select op::text, trust::text from pgstate.version where key = 'e/x' order by version")
    assert [tuple(row) for row in trusts] == [
        ("put", "external"), ("expire", "external"), ("put", "external"), ("expire", "external"), ("put", "operator"),
    ]  # fmt: skip

    await alice("put", "r/x", 1)
    await root("put", "r/x", 2)
    await root.rows("rollback", "r/x", 1)
    assert await _trust(root, "r/x") == "external"
    await alice.rows("rollback", "r/x", 2)
    assert await _trust(root, "r/x") == "external"
    await alice("put", "r/x", 3)
    await root.rows("rollback", "r/x", 2)
    assert await _trust(root, "r/x") == "operator"


@pytest.mark.core
async def test_sources_bound_it_and_are_kept(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "write blind/**")
    await root("put", "a/page", 1, trust="external")
    await root("put", "a/page", 2)
    await root("put", "a/fact", 1, trust="verified")
    for sources, trust, kept in (
        (["a/page", "a/fact"], "agent", [("a/page", 2), ("a/fact", 1)]),
        ([{"key": "a/page", "version": 1}], "external", [("a/page", 1)]),
        ([], "agent", None),
    ):
        await alice("put", "a/x", 1, sources=sources)
        assert await _trust(root, "a/x") == trust
        meta = await _origin(root, "a/x")
        assert (meta and [(s["key"], s["version"]) for s in meta["sources"]]) == kept
    # each way of writing
    external = [{"key": "a/page", "version": 1}]
    await root("merge", "a/m", 1, "add", sources=external)
    await _put_many(root, ["a/p", "a/q"], [external, None])
    await root.rows(
        "apply", [{"key": "a/x", "exists": True}], [{"op": "put", "key": "a/s", "value": 1, "sources": external}]
    )
    await root("write_one", "put", "a/w", 1, sources=external, op_id="1")
    assert (await root("write_one", "put", "a/w", 1, sources=external, op_id="1"))["version"] == 1
    with refused("PS030"):
        await root("put", "a/w", 1, op_id="1")
    assert [await _trust(root, f"a/{key}") for key in "mpqsw"] == [
        "external",
        "external",
        "operator",
        "external",
        "external",
    ]

    # what the writer may not read is denied alike, whether or not it is there; and nothing is written
    await root("put", "hidden/x", 1)
    await root("put", "blind/x", 1)
    said = set()
    for source in ("hidden/x", "hidden/y", {"key": "hidden/x", "version": 7}, "blind/x"):
        with refused("PS010") as caught:
            await alice("put", "a/new", 1, sources=["a/page", source])
        said.add(str(caught.value))
        (row,) = await _put_many(alice, ["a/new"], [[source]])
        assert (row["status"], row["code"]) == ("denied", "PS010")
    assert len(said) == 1
    await root("delete", "a/page")
    for bad in (["a/none"], ["a/page"], [{"key": "a/fact", "version": 9}], [{"key": "a/fact", "version": "1"}],
                [{"key": "a/fact", "version": 0}], ["a//x"], [1], "a/fact", ["a/fact"] * 101, [{}], [None]):  # fmt: skip
        with refused("PS007"):
            await alice("put", "a/new", 1, sources=bad)
    with refused("PS007"):
        await _put_many(alice, ["a/new"], [["a/fact"], None])
    assert (await root("get", "a/new"))["status"] == "missing"
    denials = [row for row in await root.rows("audit") if row["event"] == "denied" and row["key"] == "hidden/x"]
    assert denials and denials[0]["agent"] == "alice"


@pytest.mark.core
async def test_min_trust_hides_what_is_below_in_every_read(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read **", "write **")
    for number in range(10):
        await root("put", f"a/{number}", number, trust=LEVELS[number % 4])
        await root("merge", f"big/{number}", ["x" * 3000], "append", trust=LEVELS[number % 4])
    cursor = await root("cursor")
    for number in range(10):
        await root("put", f"a/{number}", number + 100, trust=LEVELS[number % 4])
    for least in LEVELS:
        seen = [number for number in range(10) if number % 4 >= LEVELS.index(least)]
        for number in range(10):
            row = await alice("get", f"a/{number}", min_trust=least)
            assert row["status"] == ("ok" if number in seen else "missing")
            assert row["trust"] == (LEVELS[number % 4] if number in seen else None)
        rows = await alice.rows("get_many", [f"a/{number}" for number in range(10)], min_trust=least)
        assert [row["ord"] - 1 for row in rows if row["status"] == "ok"] == seen
        listed = await alice.rows("list", "a/*", min_trust=least)
        assert [row["key"] for row in listed] == [f"a/{number}" for number in seen]
        assert [row["trust"] for row in listed] == [LEVELS[number % 4] for number in seen]
        # a page holds as many as it may, whatever lies between
        assert [row["key"] for row in await alice.rows("list", "a/*", 2, min_trust=least)] == [
            f"a/{number}" for number in seen[:2]
        ]
        assert len(await alice.rows("list", "a/*", claimed=False, min_trust=least)) == len(seen)
        for limit in (1, 3, 1000):
            found, at, pages = [], cursor, 0
            while True:
                *page, bookmark = await alice.rows("changes", at, ["a/*"], limit, min_trust=least)
                pages += bool(page)
                found += [(row["key"], row["trust"]) for row in page]
                at = bookmark["cursor"]
                if bookmark["whole"]:
                    break
            assert found == [(f"a/{number}", LEVELS[number % 4]) for number in seen]
            # none ends early
            assert pages == -(-len(seen) // limit)
    # one change, which is read another way
    cursor = await root("cursor")
    await root("put", "a/0", 1, trust="external")
    assert [row["key"] for row in await alice.rows("changes", cursor, ["a/*"], min_trust="agent")] == [None]
    assert [row["trust"] for row in await alice.rows("changes", cursor, ["a/*"])] == ["external", None]
    assert [row["trust"] for row in await alice.rows("history", "a/1")] == ["agent", "agent"]
    assert (await alice("get_as_of", "a/2", version=1))["trust"] == "verified"
    assert [row["trust"] for row in await alice.rows("list_as_of", "a/*", cursor=cursor)][:2] == ["external", "agent"]
    for view in ("entries", "versions", "activity"):
        assert await root.fetchval(f"select min(trust) from pgstate.{view} where key = 'a/3'") == "operator"
    await alice.refuses(
        "PS007", "get('a/1', min_trust => 'high')", "get_many('{a/1}', min_trust => '')", "list(min_trust => 'Agent')",
        f"changes('{cursor}', min_trust => 'x')", "claim_next('a/*', '1 s', min_trust => 'x')",
        "claim_many('a/*', 1, '1 s', min_trust => 'x')",
    )  # fmt: skip


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**", "**/?"])
async def test_claims_pass_over_what_is_trusted_less(root: Caller, clock: Clock, pattern: str) -> None:
    for number, trust in enumerate(("external", "operator", "agent", "verified", "external", "verified")):
        await root("put", f"t/{number}", number, trust=trust, priority=10 - number)
    first = await root("claim_next", pattern, seconds(60), min_trust="verified")
    assert (first["key"], first["value"]) == ("t/1", 1)
    taken = await root.rows("claim_many", pattern, 5, seconds(60), min_trust="verified")
    assert [(row["status"], row["key"]) for row in taken] == [("ok", "t/3"), ("ok", "t/5"), ("missing", None)]
    await root("put", "t/7", 1, trust="external", not_before=await clock.now() + seconds(5))
    missing = await root("claim_next", pattern, seconds(60), min_trust="verified")
    # not until a lease ends: what is due before is not for this worker
    assert missing["status"] == "missing" and missing["retry_in"] > seconds(6)
    rest = await root.rows("claim_many", pattern, 3, seconds(60))
    assert [row["key"] for row in rest] == ["t/0", "t/2", "t/4"]


@pytest.mark.core
async def test_endorsing_raises_the_current_version(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    chief = await agent("chief", "admin a/**")
    alice = await agent("alice", "read **", "write **")
    await root("set_trust", "chief", "verified")
    await root("set_policy", "a/web/**", trust="external")
    await alice("put", "a/page", 1, trust="external")
    await alice("put", "a/x", {"found": 1}, trust="external", sources=["a/page"], ttl=seconds(60))
    await alice("put", "b/x", 1)
    # without the right to read nothing is told, not even its version
    assert await chief("endorse", "a/x", 1, "verified") == ("ok", None, None)
    row = await alice("get", "a/x")
    assert (row["value"], row["version"], row["trust"], row["writer"]) == ({"found": 1}, 2, "verified", "chief")
    assert row["expires_at"] is not None
    meta = await _origin(root, "a/x")
    assert meta == {
        "endorsed_by": "chief", "endorsed": 1, "from": "external", "writer": "alice",
        "sources": [{"key": "a/page", "version": 1}],
    }  # fmt: skip
    assert await chief("endorse", "a/x", 1, "verified") == ("conflict", None, None)
    assert await root("endorse", "a/x", 1, "operator") == ("conflict", 2, None)
    assert (await chief("endorse", "a/none", 1, "verified"))["status"] == "missing"
    await chief.refuses(
        "PS007", "endorse('a/x', 2, 'verified')", "endorse('a/x', 2, 'agent')", "endorse('a/x', 2, 'operator')",
        "endorse('a/x', 2, 'high')", "endorse('a/x', null, 'agent')", "endorse('a/x', 2, null)",
    )  # fmt: skip
    await chief.refuses("PS010", "endorse('b/x', 1, 'verified')", "endorse('b/none', 1, 'verified')")
    await alice.refuses("PS010", "endorse('a/x', 2, 'agent')")
    (entry,) = [row for row in await root.rows("audit") if row["event"] == "endorse"]
    assert entry["key"] == "a/x" and entry["detail"] == {"version": 1, "trust": "verified", "from": "external"}
    # above what the policies let writers be trusted; what is written next is not
    await root("put", "a/web/x", 1)
    assert await root("endorse", "a/web/x", 1, "agent") == ("ok", 2, None)
    await root("put", "a/web/x", 2)
    assert await _trust(root, "a/web/x") == "external"
    # a value that grows is there in full
    for _ in range(3):
        await alice("merge", "a/log", ["x" * 3000], "append", trust="external")
    assert (await chief("endorse", "a/log", 3, "verified"))["status"] == "ok"
    await alice("merge", "a/log", ["y"], "append")
    row = await alice("get", "a/log")
    assert [len(item) for item in row["value"]] == [3000, 3000, 3000, 1] and row["trust"] == "agent"
    await alice("claim", "a/log", seconds(60))
    assert (await root("endorse", "a/log", 5, "operator"))["status"] == "held"
    await save(root, "a/thread", {"x": 1})
    await root.refuses("PS040", "endorse('a/thread', 1, 'operator')")
    await clock.advance(61)
    assert (await chief("endorse", "a/x", 2, "verified"))["status"] == "missing"
