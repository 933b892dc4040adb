"""What a delegation keeps of its agent's reach is what that agent reaches, whatever changes it and in whichever order."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from _sync import wait_until_blocked
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds

APART = """
select d.login, d.agent_name, d.writes, r.writes, d.folded_until, r.folded_until
  from pgstate.delegation d join pgstate.agent a on a.id = d.agent_id join pgstate.reach r on r.agent_id = a.id
 where (d.agent_name, d.reads, d.writes, d.touches, d.folded_until, d.quota, d.trust)
       is distinct from (a.name, r.reads, r.writes, r.touches, r.folded_until, r.quota, r.trust)
"""


@pytest.mark.core
@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_whatever_changes_it(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    for name in ("alice", "bob"):
        await agent(name)
    await root("create_group", "crew")
    logins = [await (await gateway()).fetchval("select session_user::text") for _ in range(2)]
    superuser = await session(SUPERUSER)
    done = set()
    timed = chance.choice(["x/**", "y/1"])

    for _ in range(40):
        who, login, subtree = (
            chance.choice(["alice", "bob", "crew"]),
            chance.choice(logins),
            chance.choice(["x/**", "y/1", "**"]),
        )
        one, right = chance.choice(["alice", "bob"]), chance.choice(["read", "write"])
        function, *arguments = chance.choice(
            [
                ("delegate", login, one),
                ("undelegate", login, one),
                ("grant_access", who, subtree, right),
                ("revoke_access", who, subtree, right),
                ("deny_access", who, subtree, right),
                ("grant_access", who, timed, right, seconds(60)),
                ("add_to_group", "crew", one),
                ("remove_from_group", "crew", one),
                ("suspend_agent", one),
                ("resume_agent", one),
                ("set_quota", one, chance.choice([None, 10])),
                ("set_trust", one, chance.choice(["external", "verified"])),
                ("maintain",),
            ]
        )
        with suppress(asyncpg.PostgresError):  # what was not granted, or who is no member
            await root.rows(str(function), *arguments)
            done.add(function)
        if chance.random() < 0.1:
            await clock.advance(61)
        assert await superuser.fetch(APART) == []
    assert len(done) >= 9


async def test_it_may_what_its_agent_may(root: Caller, agent: MakeAgent, gateway: MakeAgent) -> None:
    await agent("alice", "read a/**")
    through = await gateway("alice")
    put = "put('a/1', '1', agent => 'alice')"
    await through.refuses("PS010", put)
    await root("grant_access", "alice", "a/**", "write")
    assert (await through("put", "a/1", 1, agent="alice"))["status"] == "ok"
    await root("set_trust", "alice", "external")
    await through("put", "a/1", 2, agent="alice")
    assert (await root("get", "a/1"))["trust"] == "external"
    await root("set_quota", "alice", 1)
    await through("put", "a/1", 3, agent="alice")
    await through.refuses("PS060", "put('a/2', '1', agent => 'alice')")
    await root.rows("suspend_agent", "alice")
    await through.refuses("PS010", put, "get('a/1', agent => 'alice')")
    await root("resume_agent", "alice")
    await through("put", "a/1", 4, agent="alice")
    await root("revoke_access", "alice", "a/**", "write")
    await through.refuses("PS010", put)
    await root("undelegate", await through.fetchval("select session_user::text"), "alice")
    await through.refuses("PS010", "get('a/1', agent => 'alice')")


async def _to_and_from_alice(agent: MakeAgent, gateway: MakeAgent) -> tuple[Caller, dict[str, tuple[str, ...]]]:
    """A gateway, and two calls after which it may not write as alice, in either order."""
    await agent("alice", "read a/**", "write a/**")
    through = await gateway()
    login = await through.fetchval("select session_user::text")
    return through, {"delegate": (login, "alice"), "revoke_access": ("alice", "a/**", "write")}


@pytest.mark.parametrize("first", ["delegate", "revoke_access"])
async def test_both_at_the_same_time(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, first: str
) -> None:
    through, calls = await _to_and_from_alice(agent, gateway)
    second = next(name for name in calls if name != first)
    other, superuser = await session(), await session(SUPERUSER)
    async with root.transaction():
        await root(first, *calls[first])
        waiting = asyncio.create_task(other(second, *calls[second]))
        await wait_until_blocked(superuser.connection, other.pid)
    await waiting
    assert await superuser.fetch(APART) == []
    await through.refuses("PS010", "put('a/1', '1', agent => 'alice')")


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
@pytest.mark.parametrize("late", ["delegate", "revoke_access"])
async def test_a_snapshot_from_before_the_other(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, isolation: str, late: str
) -> None:
    through, calls = await _to_and_from_alice(agent, gateway)
    early = next(name for name in calls if name != late)
    other, superuser = await session(), await session(SUPERUSER)
    with refused("40001"):
        async with other.transaction(isolation=isolation):
            await other.fetch("select")
            await root(early, *calls[early])
            await other(late, *calls[late])
    await other(late, *calls[late])
    assert await superuser.fetch(APART) == []
    await through.refuses("PS010", "put('a/1', '1', agent => 'alice')")


@pytest.mark.core
async def test_who_keeps_it_from_being_taken_back_is_named(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    """Whoever administers anything keeps what others may locked by a grant in an open transaction."""
    for name in ("alice", "bob"):
        await agent(name, "read a/**")
    little = await agent("little", "admin mine/**")
    logins = [await (await gateway("alice")).fetchval("select session_user::text") for _ in range(2)]
    dropped = await (await gateway("bob")).fetchval("select session_user::text")
    spare = await (await gateway()).fetchval("select session_user::text")
    other = await session()
    calls = {
        ("undelegate", logins[1], "alice"): little,
        ("delegate", spare, "alice"): little,
        ("drop_gateway", logins[0]): little,
        # who drops a gateway has not locked the agents
        ("suspend_agent", "bob"): other,
    }
    async with little.transaction(), other.transaction():
        await little("grant_access", "alice", "mine/x", "read")
        await other("drop_gateway", dropped)
        sessions = [await session() for _ in calls]
        said = await asyncio.gather(
            *(one.rows(*call) for one, call in zip(sessions, calls, strict=True)), return_exceptions=True
        )
    for (call, holder), error in zip(calls.items(), said, strict=True):
        assert isinstance(error, asyncpg.LockNotAvailableError), (call, error)
        assert f"pid {holder.pid} (" in str(getattr(error, "hint", "")), call
    for call in calls:
        await root.rows(*call)


@pytest.mark.core
async def test_a_gateway_goes_while_its_agents_are_granted_something(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    await root("create_group", "crew")
    for name in ("first", "second"):
        await agent(name)
        await root("add_to_group", "crew", name)
    login = await (await gateway("second", "first")).fetchval("select session_user::text")
    superuser, holder, other = await session(SUPERUSER), await session(), await session()
    # found by no index then, and in this order in the table
    await superuser.execute("vacuum (full, analyze) pgstate.delegation")
    async with holder.transaction():
        await holder("grant_access", "second", "a/x", "read")
        waiting = [asyncio.create_task(root("grant_access", "crew", "a/**", "read"))]
        await wait_until_blocked(superuser.connection, root.pid)
        waiting.append(asyncio.create_task(other("drop_gateway", login)))
        await wait_until_blocked(superuser.connection, other.pid)
    await asyncio.gather(*waiting)
    assert await superuser.fetchval("select count(*) from pgstate.delegation") == 0


@pytest.mark.core
async def test_an_agent_goes_while_it_is_delegated_again(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    await agent("alice")
    login = await (await gateway("alice")).fetchval("select session_user::text")
    superuser, holder, other = await session(SUPERUSER), await session(SUPERUSER), await session()
    async with holder.transaction():
        await holder.fetch("select from pgstate.delegation for update")
        waiting = [asyncio.create_task(root("drop_agent", "alice"))]
        await wait_until_blocked(superuser.connection, root.pid)
        waiting.append(asyncio.create_task(other("delegate", login, "alice")))
        await wait_until_blocked(superuser.connection, other.pid)
    dropped, delegated = await asyncio.gather(*waiting, return_exceptions=True)
    assert not isinstance(dropped, Exception)
    assert isinstance(delegated, asyncpg.PostgresError)
    assert delegated.sqlstate == "PS007"


async def test_what_stays_as_it_is_is_not_written_again(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    await agent("alice")
    first, second = [await (await gateway()).fetchval("select session_user::text") for _ in range(2)]
    superuser = await session(SUPERUSER)
    where = "select ctid from pgstate.delegation where login = $1"
    await root("delegate", first, "alice")
    before = await superuser.fetchval(where, first)
    await root("delegate", second, "alice")
    await root("grant_access", "alice", "memory/alice/x", "read")
    assert await superuser.fetchval(where, first) == before
    await root("set_trust", "alice", "external")
    assert await superuser.fetchval(where, first) != before
    assert await superuser.fetch(APART) == []


@pytest.mark.core
@pytest.mark.parametrize("first", ["delegate", "undelegate"])
async def test_who_goes_on_in_its_transaction(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent, first: str
) -> None:
    """Whoever waits for it has locked nothing that it comes to next."""
    await agent("alice")
    login = await (await gateway(*["alice"] * (first == "undelegate"))).fetchval("select session_user::text")
    other, superuser = await session(), await session(SUPERUSER)
    async with root.transaction():
        await root(first, login, "alice")
        waiting = asyncio.create_task(other("grant_access", "alice", "a/**", "read"))
        await wait_until_blocked(superuser.connection, other.pid)
        await root("grant_access", "alice", "b/**", "read")
    await waiting
    assert await superuser.fetch(APART) == []
