"""Two changes to what agents may do, at once: neither is lost, whichever ends first."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from _sync import wait_until_blocked
from concurrency._open import BOTH, Begin, Start
from sql._caller import Caller, MakeAgent, refused, seconds

Call = tuple[Any, ...]
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
@pytest.mark.parametrize(
    ("first", "second", "table"),
    [
        (("revoke_access", "alice", "c/**", "read"), ("drop_agent", "alice"), "access_grant"),
        (("grant_access", "alice", "c/**", "read", seconds(60)), ("drop_agent", "alice"), "access_grant"),
        (("revoke_access", "crew", "c/**", "read"), ("drop_group", "crew"), "access_grant"),
        (("remove_from_group", "crew", "alice"), ("drop_agent", "alice"), "group_member"),
        (("drop_group", "crew"), ("drop_agent", "alice"), "group_member"),
    ],
    ids=["revocation", "grant", "of a group", "member", "group"],
)
async def test_who_drops_it_waits_for_who_changes_it(
    root: Caller,
    agent: MakeAgent,
    session: MakeAgent,
    begin: Begin,
    blocked: Start,
    first: Call,
    second: Call,
    table: str,
) -> None:
    """None of them keeps what another waits for while it waits for that one itself."""
    await agent("alice", "read c/**")
    await root("create_group", "crew")
    await root("grant_access", "crew", "c/**", "read")
    await root("add_to_group", "crew", "alice")
    holder, one, two = await begin(await session(SUPERUSER)), await session(), await session()
    await holder.caller.fetch(f"select from pgstate.{table} for update")
    waiting = [await blocked(one, one(*first)), await blocked(two, two(*second))]
    await holder.end()
    await asyncio.gather(*waiting)
    left = "select count(*) from pgstate.agent where name = $1"
    assert await holder.caller.fetchval(left, second[1]) == 0


@pytest.mark.core
@pytest.mark.parametrize("isolation", first_of(["repeatable_read", "serializable"]))
@pytest.mark.parametrize(
    ("early", "late"),
    [
        (("deny_access", "crew", "c/**", "read"), ("add_to_group", "crew", "alice")),
        (("add_to_group", "crew", "alice"), ("deny_access", "crew", "c/**", "read")),
        (("add_to_group", "crew", "alice"), ("drop_group", "crew")),
    ],
    ids=["a member", "denial", "group"],
)
async def test_a_snapshot_from_before_shows_no_group_as_it_was(
    root: Caller, agent: MakeAgent, session: MakeAgent, isolation: str, early: Call, late: Call
) -> None:
    await agent("alice", "read c/**")
    await root("create_group", "crew")
    await root("grant_access", "crew", "a/**", "read")
    await root.rows("put_many", ["a/1", "c/1"], [1] * 2)
    other = await session()
    with refused("40001"):
        async with other.transaction(isolation=isolation):
            await other.fetch("select")
            await root(*early)
            await other(*late)
    await other(*late)
    now = await _readable(root)
    await root("grant_access", "alice", "none", "read")
    assert now == await _readable(root)


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


WAITING = {
    "put": "put('rw/x', '2')", "merge": "merge('rw/x', '2', 'add')", "delete": "delete('rw/x')", "claim": "claim('rw/x', '1 h')",
    "renew": "renew('rw/held', {token}, '2 h')", "fail": "fail('rw/held', {token}, 'no')", "complete": "complete('rw/held', {token})",
    "save": r"save_checkpoint('rw/t', '{{a}}', '{{json}}', array['2'::bytea])", "saves": r"save_checkpoints('{{rw/t}}', '{{1}}', '{{a}}', '{{json}}', array['2'::bytea])",
    "fork": "fork_thread('rw/t', 'rw/t2')", "roll back a thread": "rollback_thread('rw/t', 'c1')", "prune": "prune_thread('rw/t', keep => 1)", "delete a thread": "delete_thread('rw/t')",
    "writes": r"put_writes('rw/t', 'c1', 't', '{{0}}', '{{a}}', '{{json}}', array['1'::bytea])",
    "signal": "signal_run('rw/r', 'go')", "cancel": "cancel_run('rw/r')", "cancel one of nobody's": "cancel_run('rw/r2')", "end": "end_run('rw/r', {run}, 'done')", "give back": "end_run('rw/r', {run}, 'open')",
    "a step": r"finish_steps('{{rw/r}}', '{{{run}}}', '{{s}}', '{{s}}', '{{step}}', '{{1}}', '{{true}}', '{{done}}', '{{json}}', array['1'::bytea], '{{1}}', '{{1}}')",
    "take a signal": "take_signal('rw/r', {run}, 's', 'come', 0, true)", "wait for a signal": "take_signal('rw/r', {run}, 's', 'never', 0, true)", "retry": "retry_run('rw/r3')", "start": "start_run('rw/r2', '1 h')",
    "roll back": "rollback('rw/x', 1)", "endorse": "endorse('rw/x', 2, 'agent')",
}  # fmt: skip
# Where what goes with an entry is changed by functions that no policy binds.
_AS_OWNER = {"put", "save", "fork", "prune", "writes", "signal", "cancel", "a step", "retry", "endorse"}
_TABLES = ("entry", "version", "claim", "thread", "checkpoint", "pending_write", "run", "step", "signal", "claim_log")


async def _all(session: MakeAgent) -> list[str]:
    inside = await session(SUPERUSER)
    return [
        await inside.fetchval(f"select string_agg(t::text, ' ' order by t::text) from pgstate.{table} t")
        for table in _TABLES
    ]


@pytest.mark.core
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, id=name, marks=() if name in _AS_OWNER else pytest.mark.thorough)
        for name, call in WAITING.items()
    ],
)
async def test_a_right_that_goes_while_a_lock_is_waited_for(
    root: Caller, agent: MakeAgent, session: MakeAgent, begin: Begin, blocked: Start, call: str
) -> None:
    """Whoever keeps a key locked in one session and waits for it in another has no right left when it comes to it."""
    mallory = await agent("mallory", "read rw/**", "write rw/**", "admin rw/**")
    await root("set_policy", "rw/**", claimed_writes=True)
    await root("set_policy", "rw/x", trust="external")
    for value in (1, 2):
        await root("put", "rw/x", value)
    await root("put", "rw/held", 1)
    token = (await mallory("claim", "rw/held", seconds(6000)))["token"]
    for one in ("c1", "c2"):
        await root("save_checkpoint", "rw/t", ["a"], ["json"], [b"1"], id=one)
    run = (await mallory("start_run", "rw/r", seconds(6000)))["token"]
    await root("signal_run", "rw/r", "come")
    await root("start_run", "rw/r2")
    await root("end_run", "rw/r3", (await root("start_run", "rw/r3", seconds(60)))["token"], "failed")
    before = await _all(session)
    holder = await begin(await session(SUPERUSER))
    await holder.caller.fetch("select from pgstate.entry for update")
    await holder.caller.fetch("select from pgstate.claim for update")
    await holder.caller.fetch("select from pgstate.thread for update")
    task = asyncio.ensure_future(mallory.fetch(f"select * from pgstate.{call.format(token=token, run=run)}"))
    await wait_until_blocked(root.connection, mallory.pid)
    for right in ("read", "write", "admin"):
        await root("revoke_access", "mallory", "rw/**", right)
    await holder.end()
    try:
        said = str(await task)
    except asyncpg.PostgresError as error:
        said = f"{error.sqlstate} {error}"
    after = await _all(session)
    assert [a for a, b in zip(after, before, strict=True) if a != b] == [], said
