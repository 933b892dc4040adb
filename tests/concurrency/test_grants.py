"""Two changes to what agents may do, at once: neither is lost, whichever ends first."""

from __future__ import annotations

from typing import Any

import pytest

from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent

Call = tuple[str, ...]
PAIRS: dict[str, tuple[Call, Call]] = {
    "two grants": (("grant_access", "alice", "a/**", "read"), ("grant_access", "alice", "b/**", "read")),
    "grant and denial": (("grant_access", "alice", "a/**", "read"), ("deny_access", "alice", "a/1", "read")),
    "denial and grant": (("deny_access", "alice", "a/1", "read"), ("grant_access", "alice", "a/**", "read")),
    "grant to a group, and a member": (("grant_access", "crew", "a/**", "read"), ("add_to_group", "crew", "alice")),
    "a member, and grant to its group": (("add_to_group", "crew", "alice"), ("grant_access", "crew", "a/**", "read")),
    "a member, and a denial": (("add_to_group", "crew", "alice"), ("deny_access", "crew", "c/**", "read")),
    "grant to a group, and to a member": (("grant_access", "old", "a/**", "read"), ("grant_access", "alice", "b/**", "read")),
    "denial of a group, and grant": (("deny_access", "old", "c/**", "read"), ("grant_access", "alice", "b/**", "read")),
    "out of a group, and a grant to it": (("remove_from_group", "old", "alice"), ("grant_access", "old", "a/**", "read")),
    "a group that goes, and a grant": (("drop_group", "old"), ("grant_access", "alice", "b/**", "read")),
}  # fmt: skip


async def _readable(root: Caller) -> Any:
    """What alice reads by the cache, and what she would by her grants."""
    return await root.fetchval("select jsonb_agg(key order by key) from pgstate.list(agent => 'alice')")


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
async def test_neither_change_is_lost(
    root: Caller,
    agent: MakeAgent,
    session: MakeAgent,
    begin: Begin,
    blocked: Start,
    commits: bool,
    pair: tuple[Call, Call],
) -> None:
    await agent("alice", "read c/**")
    for group in ("crew", "old"):
        await root("create_group", group)
    await root("add_to_group", "old", "alice")
    await root.rows("put_many", ["a/1", "a/2", "b/1", "c/1"], [1] * 4)
    first, second = await begin(), await session()
    await first.caller(*pair[0])
    waiting = await blocked(second, second(*pair[1]))
    await first.end(commits)
    await waiting
    now = await _readable(root)
    # folded anew with nobody else about, it is the same
    await root("grant_access", "alice", "none", "read")
    assert now == await _readable(root)
    if commits and pair[0][0] == "deny_access":
        assert now != ["a/1", "a/2", "b/1", "c/1"]


@pytest.mark.core
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("drop_group", "crew"), ("grant_access", "crew", "a/**", "read")),
        (("drop_group", "crew"), ("add_to_group", "crew", "alice")),
        (("drop_agent", "alice"), ("add_to_group", "crew", "alice")),
    ],
    ids=["grant", "member", "agent"],
)
async def test_what_goes_meanwhile_is_not_given_anything(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, first: Call, second: Call
) -> None:
    await agent("alice")
    await root("create_group", "crew")
    ending, other = await begin(), await session()
    await ending.caller(*first)
    waiting = await blocked(other, other(*second))
    await ending.end()
    with pytest.raises(Exception, match="there is no|violates foreign key"):
        await waiting


@pytest.mark.core
async def test_a_denial_takes_effect_in_the_midst_of_a_transaction(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("put", "a/1", 1)
    async with alice.transaction():
        assert (await alice("get", "a/1"))["status"] == "ok"
        await root("deny_access", "alice", "a/**", "read")
        transaction = alice.transaction()
        await transaction.start()
        await alice.refuses("PS010", "get('a/1')")
        await transaction.rollback()
        assert (await alice("put", "a/1", 2))["status"] == "ok"
