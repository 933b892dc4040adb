"""Trust is set and raised while others write: none is lost, nothing is raised that nobody looked at."""

from __future__ import annotations

import pytest

from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent, refused


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("turn", [0, 1], ids=["trust first", "grant first"])
async def test_neither_trust_nor_grant_is_lost(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, turn: int
) -> None:
    alice = await agent("alice", "write a/**")
    calls = [("set_trust", "alice", "external"), ("grant_access", "alice", "b/**", "write")]
    first, second = await begin(), await session()
    await first.caller(*calls[turn])
    waiting = await blocked(second, second(*calls[1 - turn]))
    await first.end(commits)
    await waiting
    await alice("put", "a/x", 1)
    trust = await root.fetchval("select trust from pgstate.entries where key = 'a/x'")
    assert trust == ("external" if commits or turn == 1 else "agent")
    if commits or turn == 0:
        assert (await alice("put", "b/x", 1))["status"] == "ok"


@pytest.mark.core
@BOTH
async def test_setting_trust_waits_for_no_writer(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await root("put", "a/x", 0)
    other = await begin()
    await other.caller("put", "a/x", 1)
    waiting = await blocked(alice, alice("put", "a/x", 2))
    await root("set_trust", "alice", "external")
    await other.end(commits)
    await waiting
    # it began before; what begins afterwards is bound
    assert (await root("get", "a/x"))["trust"] == "agent"
    await alice("put", "a/x", 3)
    assert (await root("get", "a/x"))["trust"] == "external"


@pytest.mark.core
@BOTH
async def test_only_what_was_looked_at_is_endorsed(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    await alice("put", "a/x", "looked at")
    other, second = await begin(), await session()
    await other.caller("put", "a/x", "new", trust="external")
    waiting = await blocked(second, second("endorse", "a/x", 1, "verified"))
    await other.end(commits)
    done = await waiting
    row = await root("get", "a/x")
    if commits:
        assert (done["status"], done["version"], row["value"], row["trust"]) == ("conflict", 2, "new", "external")
    else:
        assert (done["status"], done["version"], row["value"], row["trust"]) == ("ok", 2, "looked at", "verified")


async def test_nothing_is_endorsed_through_a_gateway_that_lost_the_agent_meanwhile(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, begin: Begin, blocked: Start
) -> None:
    await agent("alice", "admin a/**")
    await root("set_policy", "a/**", trust="external")
    await root("put", "a/x", 1)
    through = await gateway("alice")
    login = await through.fetchval("select session_user::text")
    holding = await begin()
    await holding.caller("put", "a/x", 2)
    waiting = await blocked(through, through("endorse", "a/x", 1, "agent", agent="alice"))
    await root("undelegate", login, "alice")
    await holding.end(commits=False)
    with refused("PS010"):
        await waiting
