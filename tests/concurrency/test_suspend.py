"""An agent is suspended while others change its grants, and while it writes."""

from __future__ import annotations

import pytest

from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent, refused


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("turn", [0, 1], ids=["suspended first", "grant first"])
async def test_a_grant_at_the_same_time_gives_nothing_and_is_kept(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, turn: int
) -> None:
    alice = await agent("alice", "write a/**")
    calls = [("suspend_agent", "alice"), ("grant_access", "alice", "b/**", "write")]
    first, second = await begin(), await session()
    await first.caller.rows(*calls[turn])
    waiting = await blocked(second, second.rows(*calls[1 - turn]))
    await first.end(commits)
    await waiting
    if commits or turn == 1:
        for key in ("a/x", "b/x"):
            with refused("PS010"):
                await alice("put", key, 1)
    await root("resume_agent", "alice")
    assert (await alice("put", "a/x", 1))["status"] == "ok"
    if commits or turn == 0:
        assert (await alice("put", "b/x", 1))["status"] == "ok"


@pytest.mark.core
@BOTH
async def test_what_it_has_under_way_is_told_and_undone_when_it_is_over(
    root: Caller, agent: MakeAgent, begin: Begin, commits: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await alice("put", "a/known", "good")
    start = await root("cursor")
    await alice("put", "a/known", "bad")
    writing = await begin(alice)
    await alice("put", "a/open", "bad")
    await alice("put", "a/known", "worse")

    rows = {
        (row["action"], row["key"]): row for row in await root.rows("quarantine", "alice", cursor=start, rollback=True)
    }
    assert rows["open", None]["detail"] == {
        "pid": alice.pid,
        "login": await alice.fetchval("select session_user::text"),
    }
    # it keeps it locked, which must not hold up the rest
    assert rows["put", "a/known"]["status"] == "locked"
    assert rows["distrust", "a/known"]["status"] == "locked"
    with refused("PS010"):
        async with alice.transaction():
            await alice("put", "a/more", 1)
    await writing.end(commits)
    assert await root.rows("suspend_agent", "alice") == []

    done = await root.rows("quarantine", "alice", cursor=start, rollback=True)
    expected = [
        ("suspend", None, "there"),
        ("put", "a/known", "ok"),
        *([("delete", "a/open", "ok")] if commits else []),
    ]
    assert [(row["action"], row["key"], row["status"]) for row in done] == expected
    assert (await root("get", "a/known"))["value"] == "good"
    assert (await root("get", "a/open"))["status"] == "missing"


@pytest.mark.core
async def test_who_keeps_it_from_being_suspended_is_named(root: Caller, agent: MakeAgent, begin: Begin) -> None:
    alice = await agent("alice", "admin a/**")
    holding = await begin(alice)
    await alice("grant_access", "alice", "a/b/**", "read")
    for call in ("suspend_agent('alice')", "quarantine('alice', now())"):
        with refused("55P03") as caught:
            await root.fetch(f"select * from pgstate.{call}")
        assert f"pid {alice.pid}" in str(getattr(caught.value, "hint", ""))
    await holding.end()
    assert await root.rows("suspend_agent", "alice") == []
    with refused("PS010"):
        await alice("grant_access", "alice", "a/c/**", "read")
