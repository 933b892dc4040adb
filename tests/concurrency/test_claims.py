"""Claims beside writes, takeovers and other claims."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from _server import SUPERUSER
from concurrency._open import BOTH, Begin, Start
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


@pytest.mark.core
@BOTH
@pytest.mark.parametrize(
    "call",
    [
        ("put", "t/a", 1),
        ("put", "t/a", 1, 1),
        ("put_many", ["t/a", "t/b"], [1, 1]),
        ("merge", "t/a", 1, "add"),
        ("delete", "t/a"),
        ("apply", [], [{"op": "put", "key": "t/a", "value": 1}]),
    ],
    ids=["put", "compare-and-set", "put_many", "merge", "delete", "apply"],
)
async def test_a_write_that_waits_for_a_claimer_sees_the_claim(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, call: tuple[Any, ...]
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    claimer, writer = await begin(), await session()
    await claimer.caller("claim", "t/a", seconds(60))
    waiting = await blocked(writer, writer.rows(*call))
    await claimer.end(commits)
    found = [r["status"] for r in await waiting]
    assert found == ["held" if commits else "ok"] + ["ok"] * (len(found) - 1)
    assert len(await root.rows("history", "t/a")) == (1 if commits else 2)
    assert len(await root.rows("history", "t/b")) == len(found)


@pytest.mark.core
async def test_a_write_that_waits_for_a_takeover_is_stale(
    root: Caller, agent: MakeAgent, begin: Begin, session: MakeAgent, blocked: Start, clock: Clock
) -> None:
    old, new = await agent("old", "read **", "write **"), await agent("new", "read **", "write **")
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    tokens = [(await old("claim", key, seconds(10)))["token"] for key in ("t/a", "t/b")]
    await clock.advance(11)
    takeover = await begin(new)
    taken = [await takeover.caller("claim", key, seconds(60)) for key in ("t/a", "t/b")]
    assert [t["status"] for t in taken] == ["ok", "ok"]
    late = await session(await old.fetchval("select session_user::text"))
    written = await blocked(old, old("put", "t/a", 1, token=tokens[0]))
    renewed = await blocked(late, late("renew", "t/b", tokens[1], seconds(60)))
    await takeover.end()
    assert await written == ("stale", 1, 0)
    assert (await renewed)["status"] == "stale"
    assert await new("put", "t/a", 2, token=taken[0]["token"]) == ("ok", 2, None)


async def test_a_claim_waits_for_a_write_and_gets_what_it_wrote(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    first, second, third = await begin(), await session(), await session()
    await first.caller("put", "t/a", 1)
    await first.caller("delete", "t/b")
    claimed = await blocked(second, second("claim", "t/a", seconds(60)))
    missed = await blocked(third, third("claim", "t/b", seconds(60)))
    await first.end()
    assert ((await claimed)["status"], (await claimed)["value"], (await claimed)["version"]) == ("ok", 1, 2)
    assert (await missed)["status"] == "missing"
    assert await root.fetchval("select count(*) from pgstate.list('t/b')") == 0


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
async def test_sessions_that_claim_the_next_get_different_ones(
    root: Caller, session: MakeAgent, begin: Begin, pattern: str
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    first, second, third = await begin(), await begin(), await session()
    taken = [await o.caller("claim_next", pattern, seconds(60)) for o in (first, second)]
    assert sorted(t["key"] for t in taken) == ["t/a", "t/b"]
    assert (await third("claim_next", pattern, seconds(60)))["status"] == "missing"
    await first.end(False)
    again = await third("claim_next", pattern, seconds(60))
    assert (again["key"], again["attempts"]) == (taken[0]["key"], 1)
    await second.end()
    assert (await third("claim_next", pattern, seconds(60)))["status"] == "missing"


# What policies compare keys with, for an agent that reaches everything, except that a session may have it wait: after the
# statement that asks has taken its snapshot, and before it looks at a row.
_STALL = """
create function pgstate._stalled() returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$ begin
  if current_setting('test.stall', true) = 'on' then perform pg_advisory_xact_lock_shared(1); end if;
  return '{(,)}';
end $$;
create or replace view pgstate._acting_reach as
select pgstate._stalled() as reads, pgstate._stalled() as writes, pgstate._stalled() as touches
"""


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
@pytest.mark.parametrize("gone", ["delete", "complete", "claim", "expire"])
async def test_what_went_after_the_snapshot_is_not_claimed(
    root: Caller, session: MakeAgent, blocked: Start, clock: Clock, pattern: str, gone: str
) -> None:
    superuser, worker = await session(SUPERUSER), await session()
    await superuser.execute(_STALL)
    await worker.execute("set test.stall = 'on'")
    for other in (None, "t/y"):
        await root("put", "t/x", 1, ttl=seconds(100), priority=1)
        if other:
            await root("put", other, 2)
        await superuser.execute("select pg_advisory_lock(1)")
        waiting = await blocked(worker, worker("claim_next", pattern, seconds(60)))
        token = None
        if gone == "delete":
            await root("delete", "t/x")
        elif gone == "expire":
            await clock.advance(101)
            await root("expire")
        else:
            token = (await root("claim", "t/x", seconds(60)))["token"]
            if gone == "complete":
                await root("complete", "t/x", token)
        await superuser.execute("select pg_advisory_unlock(1)")
        taken = await waiting
        assert (taken["status"], taken["key"]) == ("ok" if other else "missing", other)
        held = await superuser.fetch("select key from pgstate.claim where lease_until > pgstate._now()")
        assert {r["key"] for r in held} == {"t/x" if gone == "claim" else None, other} - {None}
        if gone == "claim":
            await root("release", "t/x", token)


@pytest.mark.core
@pytest.mark.parametrize("pattern", ["t/*", "t/**"])
async def test_sessions_that_claim_many_share_what_is_there(
    root: Caller, session: MakeAgent, begin: Begin, pattern: str
) -> None:
    await root.rows("put_many", [f"t/{n}" for n in range(6)], [0] * 6)
    first, second, third = await begin(), await begin(), await session()
    taken = [await o.caller.rows("claim_many", pattern, 3, seconds(60)) for o in (first, second)]
    assert [[t["key"] for t in some] for some in taken] == [["t/0", "t/1", "t/2"], ["t/3", "t/4", "t/5"]]
    (locked,) = await third.rows("claim_many", pattern, 3, seconds(60))
    # somebody may let go of them without a word
    assert (locked["status"], locked["retry_in"]) == ("missing", seconds(0.05))
    await first.end(False)
    await second.end()
    again = await third.rows("claim_many", pattern, 4, seconds(60))
    assert [(t["status"], t["key"], t["attempts"]) for t in again] == [
        ("ok", "t/0", 1), ("ok", "t/1", 1), ("ok", "t/2", 1), ("missing", None, None),
    ]  # fmt: skip


@pytest.mark.core
@BOTH
@pytest.mark.parametrize("function", ["complete", "complete_many", "fail", "release"])
async def test_an_end_that_waits_for_another(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool, function: str
) -> None:
    """The same claim, ended twice at once: the second finds what the first left."""
    await root("put", "t/a", 1)
    token = (await root("claim", "t/a", seconds(60)))["token"]
    first, second = await begin(), await session()
    await first.caller("complete", "t/a", token, result=1, move_to="d/a")
    if function == "complete_many":
        call = second.rows("complete_many", ["t/a"], [token], [2], ["d/a"])
    else:
        call = second.rows(function, "t/a", token)
    waiting = await blocked(second, call)
    await first.end(commits)
    (found,) = await waiting
    assert found["status"] == ("stale" if commits else "ok")
    assert len([v for v in await root.rows("history", "t/a") if v["op"] == "complete"]) == (
        1 if commits or function.startswith("complete") else 0
    )


@pytest.mark.core
@BOTH
async def test_a_place_that_another_is_just_filling(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start, commits: bool
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [1, 2])
    tokens = [(await root("claim", key, seconds(60)))["token"] for key in ("t/a", "t/b")]
    filler, worker = await begin(), await session()
    await filler.caller("put", "d/b", "theirs")
    waiting = await blocked(worker, worker.rows("complete_many", ["t/a", "t/b"], tokens, None, ["d/a", "d/b"]))
    await filler.end(commits)
    assert [row["status"] for row in await waiting] == ["ok", "ok"]
    assert [(r["key"], r["value"], r["version"]) for r in await root.rows("list", "d/*")] == [
        ("d/a", 1, 1), ("d/b", 2, 2 if commits else 1),
    ]  # fmt: skip
    assert await root.rows("list", "t/*") == []


@pytest.mark.core
async def test_a_token_that_was_taken_over_ends_nothing(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    old, new = await agent("old", "read **", "write **"), await agent("new", "read **", "write **")
    await root("put", "t/a", 1)
    stale = (await old("claim_next", "t/*", seconds(10)))["token"]
    await clock.advance(11)
    token = (await new("claim_next", "t/*", seconds(60)))["token"]
    for caller in (old, new):
        assert (await caller("complete", "t/a", stale, result=1, move_to="d/a"))["status"] == "stale"
        assert (await caller("fail", "t/a", stale, "x"))["status"] == "stale"
        assert (await caller("release", "t/a", stale))["status"] == "stale"
        for function in ("complete_many", "release_many", "fail_many"):
            assert [r["status"] for r in await caller.rows(function, ["t/a"], [stale])] == ["stale"]
        assert [r["status"] for r in await caller.rows("renew_many", ["t/a"], [stale], [seconds(9)])] == ["stale"]
    assert (await old("complete", "t/a", token, move_to="d/a"))["status"] == "stale"
    assert await root.rows("list", "d/*") == []
    assert (await new("complete", "t/a", token, move_to="d/a"))["status"] == "ok"


async def test_priority_then_age_under_64_workers(root: Caller, session: MakeAgent) -> None:
    """1,000 tasks in ten priorities: nobody gets one while a better one is left that nobody has. So what each worker gets is
    never better than what it got before: whoever had that then, has it still."""
    rows = [(f"t/{n:04}", n * 7 % 10) for n in range(1000)]
    for key, priority in rows:
        await root("put", key, 0, priority=priority)
    callers = [await session() for _ in range(8)]
    tokens: set[int] = set()

    async def work(caller: Caller) -> list[tuple[int, str]]:
        mine = []
        while True:
            for row in await caller.rows("claim_many", "t/*", 8, seconds(600)):
                if row["status"] == "missing":
                    return mine
                tokens.add(row["token"])
                mine.append((-(int(row["key"][2:]) * 7 % 10), row["key"]))

    each = await asyncio.gather(*(work(caller) for caller in callers))
    assert sum(map(len, each)) == len(tokens) == 1000
    for mine in each:
        assert mine == sorted(mine)


async def test_completions_make_their_places_in_order(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    keys, places = ["t/1", "t/2", "t/3"], ["d/3", "d/2", "d/1"]
    await root.rows("put_many", keys, [1, 2, 3])
    tokens = [(await root("claim", key, seconds(60)))["token"] for key in keys]
    maker, worker, writer = await begin(), await session(), await session()
    await maker.caller("put", "d/2", 0)
    completing = await blocked(
        worker, worker.rows("complete_many", keys, tokens, move_tos=places, op_ids=["a", "b", "c"])
    )
    writing = await blocked(writer, writer.rows("put_many", ["d/1", "d/3"], [4, 5]))
    await maker.end()
    assert [row["status"] for row in await completing] == ["ok"] * 3
    assert [row["version"] for row in await writing] == [2, 2]


@pytest.mark.core
@pytest.mark.parametrize(
    "call",
    [
        ("put", "t/a", 1),
        ("put_many", ["t/a", "t/b"], [1, 1]),
        ("merge", "t/a", 1, "add"),
        ("merge_many", ["t/a", "t/b"], [1, 1], ["add", "add"]),
        ("delete", "t/a"),
        ("write_many", ["put", "delete"], ["t/a", "t/b"], [1, None]),
    ],
    ids=["put", "put_many", "merge", "merge_many", "delete", "write_many"],
)
async def test_a_snapshot_from_before_a_claim_writes_nothing(
    root: Caller, session: MakeAgent, call: tuple[Any, ...]
) -> None:
    await root.rows("put_many", ["t/a", "t/b"], [0, 0])
    writer = await session()
    async with writer.transaction(isolation="repeatable_read"):
        assert (await writer("get", "t/a"))["value"] == 0
        # which changes no entry that would tell
        await root("claim", "t/a", seconds(60))
        with refused("40001"):
            async with writer.transaction():
                await writer.rows(*call)
    assert [len(await root.rows("history", key)) for key in ("t/a", "t/b")] == [1, 1]


@pytest.mark.core
@pytest.mark.parametrize("before", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("function", ["renew", "release", "fail", "force"])
async def test_a_snapshot_from_before_a_claim_does_not_call_it_lost(
    root: Caller, session: MakeAgent, function: str, before: bool
) -> None:
    await root("put", "t/a", 0)
    if before:
        await root("release", "t/a", (await root("claim", "t/a", seconds(60)))["token"])
    late = await session()
    async with late.transaction(isolation="repeatable_read"):
        assert (await late("get", "t/a"))["value"] == 0
        token = (await root("claim", "t/a", seconds(60)))["token"]
        call, more = ("release", {"force": True}) if function == "force" else (function, {"token": token})
        if function == "renew":
            more["lease"] = seconds(60)
        with refused("40001"):
            async with late.transaction():
                await late(call, "t/a", **more)
    async with late.transaction(isolation="repeatable_read"):
        assert (await late(call, "t/a", **more))["status"] == "ok"
        # what is lost indeed is told
        more = more if function == "force" else more | {"token": token - 1}
        assert (await late(call, "t/a", **more))["status"] == ("missing" if function == "force" else "stale")
