"""Denials, grants that end, groups, and why an agent may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

KEYS = ["a/1", "a/b/1", "a/b/c", "x/1"]


async def _reads(caller: Caller, **named: Any) -> list[str]:
    return [row["key"] for row in await caller.rows("list", **named)]


@pytest.fixture
async def keys(root: Caller) -> None:
    await root.rows("put_many", KEYS, [1] * len(KEYS))


@pytest.mark.core
async def test_denials_win(root: Caller, agent: MakeAgent, keys: None) -> None:
    alice = await agent("alice", "read a/**", "write a/**", "read a/b/c")
    await root("deny_access", "alice", "a/b/**", "read")
    assert await _reads(alice) == ["a/1"]
    await alice.refuses("PS010", "get('a/b/c')", "get('a/b')", "list('a/b/*')", "put('a/b/1', '1', expect => 1)")
    # each right by itself
    assert (await alice("put", "a/b/1", 2))["status"] == "ok"
    await root("grant_access", "alice", "a/b/**", "read")
    assert await _reads(alice) == ["a/1"]
    await root("revoke_access", "alice", "a/b/**", "read")
    await root.refuses(
        "PS007", "revoke_access('alice', 'a/b/**', 'read')", "revoke_access('alice', 'a/c', 'read', deny => true)"
    )
    await root("revoke_access", "alice", "a/b/**", "read", True)
    assert await _reads(alice) == ["a/1", "a/b/1", "a/b/c"]
    await root("deny_access", "alice", "**", "write")
    assert [row["status"] for row in await alice.rows("put_many", ["a/1"], [1])] == ["denied"]
    await root.refuses(
        "PS007",
        "deny_access('admin', 'a/**', 'read')",
        "deny_access('alice', 'a/**', 'all')",
        "deny_access('nobody', 'a/**', 'read')",
    )
    await root.refuses("PS002", "deny_access('alice', 'a/*', 'read')")
    await alice.refuses(
        "PS010", "deny_access('alice', 'a/**', 'read')", "revoke_access('alice', '**', 'write', deny => true)"
    )
    shown = [(row["subtree"], row["right"]) for row in await root.rows("grants") if row["deny"]]
    assert shown == [("**", "write")]


@pytest.mark.core
async def test_who_is_denied_admin_does_not_take_it_back(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "admin a/**", "read a/**")
    for right in ("read", "admin"):
        await root("deny_access", "alice", "a/b/**", right)
    await alice.refuses(
        "PS010",
        "revoke_access('alice', 'a/b/**', 'read', true)",
        "grant_access('alice', 'a/b/c', 'read')",
        "grant_access('alice', 'a/**', 'read')",
    )
    await alice("grant_access", "alice", "a/c/**", "write")


@pytest.mark.core
@pytest.mark.parametrize("named", [False, True], ids=["login", "gateway"])
async def test_a_grant_ends_by_itself(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, clock: Clock, keys: None, named: bool
) -> None:
    alice = await agent("alice", "read x/**")
    for right in ("read", "write", "admin"):
        await root("grant_access", "alice", "a/**", right, ttl=seconds(60))
    await root("deny_access", "alice", "x/**", "read", ttl=seconds(30))
    caller, who = (await gateway("alice"), {"agent": "alice"}) if named else (alice, {})
    reader = await root.fetchval(
        "select rolname from pg_roles where rolname = $1", await alice.fetchval("select session_user::text")
    )
    await root.execute(f'grant pgstate_reader to "{reader}"')
    start = await caller("cursor", **who)
    assert await _reads(caller, **who) == ["a/1", "a/b/1", "a/b/c"]
    assert (await caller("put", "a/1", 2, **who))["status"] == "ok"
    await alice("deny_access", "alice", "a/c/**", "read")
    # the denial ends first
    await clock.advance(31)
    assert await _reads(caller, **who) == KEYS
    assert [row[0] for row in await alice.fetch("select key from pgstate.entries order by 1")] == KEYS
    assert (await caller("put", "a/1", 3, **who))["status"] == "ok"
    await clock.advance(30)
    assert await _reads(caller, **who) == ["x/1"]
    assert [row[0] for row in await alice.fetch("select key from pgstate.entries")] == ["x/1"]
    for call in (
        ("get", "a/1"),
        ("put", "a/1", 4),
        ("delete", "a/1"),
        ("claim", "a/1", seconds(9)),
        ("merge", "a/1", 1, "add"),
        ("history", "a/1"),
    ):
        with refused("PS010"):
            await caller.rows(*call, **who)
    assert [row["status"] for row in await caller.rows("put_many", ["a/1", "a/2"], [1, 1], **who)] == [
        "denied",
        "denied",
    ]
    assert {row["key"] for row in await caller.rows("changes_for", start, ["alice"], [""])} == {None}
    await alice.refuses("PS010", "deny_access('alice', 'a/c/**', 'read')", "set_policy('a/**', ttl => '1 s')")
    # folded anew by whoever administers, it is the same, and forgotten after a day
    for _ in range(2):
        await root("maintain")
        assert await _reads(caller, **who) == ["x/1"]
        await clock.advance(90000)
    assert {row["subtree"] for row in await root.rows("grants") if row["agent"] == "alice"} == {
        "x/**",
        "a/c/**",
        "memory/{agent}/**",
    }


@pytest.mark.core
async def test_how_long_is_said_anew_with_each_grant(root: Caller, agent: MakeAgent, clock: Clock, keys: None) -> None:
    alice = await agent("alice", "read a/**")
    await root("grant_access", "alice", "a/**", "read", ttl=seconds(60))
    await root("grant_access", "alice", "x/**", "read", until=await clock.now() + seconds(60))
    await root("grant_access", "alice", "x/**", "read")
    await clock.advance(61)
    assert await _reads(alice) == ["x/1"]
    await root.refuses(
        "PS007", "grant_access('alice', 'a/**', 'read', ttl => '0')", "grant_access('alice', 'a/**', 'read', until => '2000-01-01')",
        "grant_access('alice', 'a/**', 'read', ttl => '1 s', until => '2100-01-01')", "grant_access('alice', 'a/**', 'read', until => 'infinity')",
    )  # fmt: skip


async def test_an_agent_does_not_hold_up_its_end(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    """Nothing that an agent calls after a grant has ended locks a row that its revocation needs."""
    alice = await agent("alice", "write a/**", "read b/**")
    await root("grant_access", "alice", "c/**", "read", ttl=seconds(60))
    await clock.advance(61)
    async with alice.transaction():
        await alice("put", "a/1", 1)
        await alice.rows("list")
        await alice("expire")
        await root.execute("set lock_timeout = '5 s'")
        await root("revoke_access", "alice", "b/**", "read")
        assert await _reads(alice) == []


@pytest.mark.core
async def test_groups_hold_for_their_members(root: Caller, agent: MakeAgent, gateway: MakeAgent, keys: None) -> None:
    alice, bob = await agent("alice", "read x/**"), await agent("bob")
    await root("create_group", "crew")
    await root("grant_access", "crew", "a/**", "read")
    await root("grant_access", "crew", "own/{agent}/**", "write")
    await root("add_to_group", "crew", "alice")
    await root("add_to_group", "crew", "alice")
    await root("add_to_group", "crew", "bob")
    await root("deny_access", "crew", "a/b/**", "read")
    await root("deny_access", "crew", "x/**", "read")
    assert (await _reads(alice), await _reads(bob)) == (["a/1"], ["a/1"])
    assert [row["status"] for row in await alice.rows("put_many", ["own/alice/1", "own/bob/1"], [1, 1])] == [
        "ok",
        "denied",
    ]
    assert [tuple(row)[:2] for row in await root.rows("groups")] == [("crew", ["alice", "bob"])]
    assert [tuple(row)[:2] for row in await bob.rows("groups")] == [("crew", ["bob"])]
    await root("remove_from_group", "crew", "bob")
    assert (await _reads(bob), await bob.rows("groups")) == ([], [])
    await root("drop_group", "crew")
    assert await _reads(alice) == ["x/1"]
    assert [row["agent"] for row in await root.rows("grants") if row["agent"] == "crew"] == []
    # its name is free: it wrote nothing
    await root("create_group", "crew")


@pytest.mark.core
async def test_a_group_never_acts(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, login_name: Callable[[str], str]
) -> None:
    alice, server = await agent("alice"), await gateway("alice")
    login = await server.fetchval("select session_user::text")
    await root("create_group", "crew")
    await root("create_group", "other")
    await root("grant_access", "crew", "**", "read")
    await root("put", "a/1", 1)
    cursor = await root("cursor")
    await root("put", "a/1", 2)
    await root.refuses("PS010", "me('crew')", "list(agent => 'crew')", f"changes('{cursor}', agent => 'crew')")
    both = await root.rows("changes_for", cursor, ["admin", "crew"], ["", ""])
    assert [(row["agent"], row["key"]) for row in both] == [("admin", "a/1"), (None, None)]
    await root.refuses(
        "PS007", f"delegate('{login}', 'crew')", f"set_login('crew', '{login_name('crew')}')", "create_agent('crew')", "drop_agent('crew')",
        "create_group('alice')", "create_group('crew')", "create_group('a/b')", "create_group(null)", "add_to_group('crew', 'other')",
        "add_to_group('crew', 'admin')", "add_to_group('alice', 'alice')", "remove_from_group('crew', 'alice')", "drop_group('alice')",
        "add_to_group('crew', 'nobody')", "effective('crew')",
    )  # fmt: skip
    await alice.refuses(
        "PS010",
        "create_group('x')",
        "drop_group('crew')",
        "add_to_group('crew', 'alice')",
        "remove_from_group('crew', 'alice')",
    )
    assert "crew" not in [row["name"] for row in await root.rows("agents")]
    await root("drop_agent", "alice")
    await root.refuses("PS007", "create_group('alice')")


@pytest.mark.core
async def test_what_an_agent_may_and_why(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    alice = await agent("alice", "read a/**", "admin b/**")
    bob = await agent("bob")
    await root("create_group", "crew")
    await root("add_to_group", "crew", "alice")
    await root("grant_access", "crew", "a/{agent}/**", "read")
    await root("deny_access", "crew", "a/alice/**", "read")
    await root("grant_access", "alice", "c/**", "read", ttl=seconds(60))
    await clock.advance(61)
    expected = [
        ("read", "a/**", False, "partly denied", None), ("read", "a/alice/**", False, "denied", "crew"),
        ("read", "a/alice/**", True, "in force", "crew"), ("read", "c/**", False, "ended", None),
        ("read", "memory/alice/**", False, "in force", None), ("write", "memory/alice/**", False, "in force", None),
        ("admin", "b/**", False, "in force", None),
    ]  # fmt: skip
    for caller, args in ((root, ["alice"]), (alice, []), (alice, ["alice"])):
        assert [tuple(row)[:5] for row in await caller.rows("effective", *args)] == expected
    await bob.refuses("PS010", "effective('alice')", "explain_access('alice', 'a/1', 'read')")

    async def why(caller: Caller, *args: str) -> list[tuple[Any, ...]]:
        return [tuple(row)[:5] for row in await caller.rows("explain_access", *args)]

    assert await why(root, "alice", "a/alice/1", "read") == [
        (False, True, "a/alice/**", True, "crew"), (False, False, "a/{agent}/**", False, "crew"), (False, False, "a/**", False, None),
    ]  # fmt: skip
    assert await why(alice, "alice", "a/1", "read") == [(True, True, "a/**", False, None)]
    assert await why(alice, "alice", "c/1", "read") == [(False, True, None, None, None)]
    assert await why(alice, "bob", "b/1", "read") == [(False, True, None, None, None)]
    await alice.refuses("PS010", "explain_access('bob', 'a/1', 'read')")
    await root.refuses("PS007", "explain_access('alice', 'a/1', 'all')", "explain_access('nobody', 'a/1', 'read')")
    await root.refuses("PS001", "explain_access('alice', 'a//1', 'read')")
