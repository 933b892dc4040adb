"""Who acts, and what it reaches, is found by indexes: whatever kind of login it is, and however many agents there are."""

from __future__ import annotations

import pytest

from _server import SUPERUSER
from conftest import Database
from sql._caller import Caller, MakeAgent, seconds

OTHERS = 2_000
_FILL = """
with made as (
  insert into pgstate.agent (name) select 'other' || n from generate_series(1, $1::int) n returning id, name
), reached as (
  -- half of them as it is where a grant has ended, or the agent is suspended
  insert into pgstate.reach (agent_id, folded_until) select m.id, case when m.id % 2 = 0 then '-infinity'::timestamptz end from made m
), logins as (
  insert into pgstate.login (login, agent_id) select 'other' || m.id, m.id from made m returning login
)
insert into pgstate.delegation (login, agent_id, agent_name) select $2, m.id, m.name from made m
"""
_SCANS = """
select relname, seq_scan from pg_stat_xact_user_tables
 where schemaname = 'pgstate' and relname in ('agent', 'delegation', 'login', 'reach')
"""


@pytest.mark.core
async def test_cost_does_not_grow_with_agents(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    brief = await agent("brief", "read a/**", "write a/**")
    await root("grant_access", "brief", "b/**", "read", seconds(3600))
    through = [await gateway("alice", "brief") for _ in range(2)]
    plain, ticketed = [await one.fetchval("select session_user::text") for one in through]
    await root("require_tickets", ticketed)
    ticket = await root("issue_ticket", ticketed, "alice")
    await root("put", "a/1", 1)
    superuser = await session(SUPERUSER)
    await superuser.execute("set session_replication_role = replica")
    await superuser.fetch(_FILL, OTHERS, plain)
    await superuser.execute("analyze")
    own = {alice: "alice", brief: "brief", root: "admin"}
    callers = [(alice, None), (alice, "alice"), (brief, None), (through[0], "alice"), (through[0], "brief")]
    callers += [(through[1], ticket), (root, "alice"), (root, "brief"), (root, None)]
    for caller, name in callers:
        for setting in ("", name or "alice"):
            login = await caller.fetchval("select session_user::text")
            fresh = await session(login)
            await fresh.execute("select set_config('pgstate.agent', $1, false)", setting)
            named = {"agent": name}
            before = dict(await fresh.fetch(_SCANS))
            async with fresh.transaction():
                await fresh("get", "a/1", **named)
                await fresh("put", "a/1", 1, **named)
                await fresh("merge", "a/1", 1, "add", **named)
                assert dict(await fresh.fetch(_SCANS)) == before, (login, name, setting)
                await fresh("subscribe", [name or own[caller]], [""])
                await fresh.rows("changes_for", await fresh("cursor", **named), [name or own[caller]], [""])
                assert dict(await fresh.fetch(_SCANS))["reach"] == 0, (login, name, setting)


async def test_who_takes_the_long_way(root: Caller, agent: MakeAgent, gateway: MakeAgent, database: Database) -> None:
    alice = await agent("alice", "read a/**", "write a/**")
    through = await gateway("alice")
    await root("put", "a/1", 1)
    database.sql(
        "create or replace function pgstate._reachable_now(p_right text) returns pgstate.keymultirange "
        "language plpgsql stable as $$ begin raise exception 'the long way'; end $$"
    )
    for caller, name, setting in [
        (alice, None, ""),
        (alice, "alice", "alice"),
        (alice, None, "alice"),
        (through, "alice", ""),
        (through, None, "alice"),
        (root, None, ""),
        (root, "alice", ""),
        (root, None, "alice"),
    ]:
        await caller.execute("select set_config('pgstate.agent', $1, false)", setting)
        assert (await caller("get", "a/1", agent=name))["value"] == 1
        await caller("put", "a/1", 1, agent=name)
        await caller("merge", "a/1", 1, "max", agent=name)


async def test_what_an_agent_reaches_is_copied_by_index(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    """Though the plan was made while there were few delegations."""
    await agent("alice")
    await gateway("alice")
    superuser = await session(SUPERUSER)
    await superuser.execute("vacuum analyze pgstate.delegation")
    async with root.transaction():
        before = dict(await root.fetch(_SCANS))
        await root("grant_access", "alice", "a/**", "read")
        assert dict(await root.fetch(_SCANS))["delegation"] == before["delegation"]
