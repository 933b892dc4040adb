"""Runs under several sessions: who waits for the end of another is woken, whichever comes first."""

from __future__ import annotations

import pytest

from _server import SUPERUSER
from concurrency._open import BOTH, Begin, Start
from conftest import Clock
from sql._caller import Caller, MakeAgent, seconds

pytestmark = pytest.mark.core

LEASE = seconds(600)


async def _taken(root: Caller) -> list[str]:
    return [row["key"] for row in await root.rows("take_runs", ["w"], 9, LEASE) if row["status"] == "ok"]


async def _both(root: Caller) -> tuple[int, int]:
    parent = (await root("start_run", "p", LEASE, name="w"))["token"]
    return parent, (await root("start_run", "p/c", LEASE, parent="p"))["token"]


@BOTH
async def test_a_child_ends_while_its_parent_falls_asleep(root: Caller, begin: Begin, session: MakeAgent, blocked: Start, commits: bool) -> None:  # fmt: skip
    parent, child = await _both(root)
    first, other = await begin(), await session()
    await first.caller("end_run", "p/c", child, "done")
    waiting = await blocked(other, other("end_run", "p", parent, "open", waits_for=["p/c"]))
    await first.end(commits)
    assert (await waiting)["status"] == "ok"
    assert await _taken(root) == (["p"] if commits else [])


@BOTH
async def test_a_parent_falls_asleep_while_its_child_ends(root: Caller, begin: Begin, session: MakeAgent, blocked: Start, commits: bool) -> None:  # fmt: skip
    parent, child = await _both(root)
    first, other = await begin(), await session()
    await first.caller("end_run", "p", parent, "open", waits_for=["p/c"])
    waiting = await blocked(other, other("end_run", "p/c", child, "done"))
    await first.end(commits)
    assert (await waiting)["status"] == "ok"
    # else it is held still
    assert await _taken(root) == (["p"] if commits else [])


async def test_workers_wait_for_nobody(root: Caller, begin: Begin, session: MakeAgent, clock: Clock) -> None:
    """One that is due is woken by another worker, in a transaction that is open yet: others take what else there is."""
    await root("start_run", "b", name="w")
    later = await root.fetchval("select pgstate._now() + interval '60 s'")
    await root("start_run", "a", name="w", priority=1, ready_at=later)
    await clock.advance(61)
    first, other = await begin(), await session()
    assert (await first.caller("take_runs", ["w"], 1, LEASE))["key"] == "a"
    assert (await other("take_runs", ["w"], 1, LEASE))["key"] == "b"
    await first.end(True)


async def test_runs_that_somebody_keeps_locked_hide_none_of_the_others(root: Caller, session: MakeAgent) -> None:
    for n in range(30):
        await root("start_run", f"r/{n:02}", name="w", priority=1)
    await root("start_run", "r/last", name="w")
    other = await session(SUPERUSER)
    async with other.transaction():
        await other.fetch("select from pgstate.entry where key like 'r/%' and key <> 'r/last' for update")
        (taken, missing) = await root.rows("take_runs", ["w"], 2, seconds(60))
        assert (taken["key"], missing["status"]) == ("r/last", "missing")
    assert [row["key"] for row in await root.rows("take_runs", ["w"], 2, seconds(60))] == ["r/00", "r/01"]


@pytest.mark.thorough
async def test_a_run_that_nobody_can_read_keeps_none_from_the_others(root: Caller, session: MakeAgent) -> None:
    await root("start_run", "r/large", name="w", priority=1)
    await root("start_run", "r/small", name="w")
    superuser = await session(SUPERUSER)
    await superuser.execute("alter table pgstate.step alter column data set compression pglz")
    await superuser.execute(
        "insert into pgstate.step (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, token)"
        " select r.id, '1', 's', 'step', 1, true, 'done', 'json', convert_to(repeat('x', 400000000), 'UTF8'), 1, now(), now(), 1"
        " from pgstate.run r where r.key = 'r/large'"
    )
    # the other two as the first is stored: compressing is what takes long
    await superuser.execute(
        "insert into pgstate.step (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, token)"
        " select run_id, i::text, name, kind, i, main, state, type, data, attempts, started_at, finished_at, token"
        " from pgstate.step, generate_series(2, 3) i"
    )
    rows = await root.rows("take_runs", ["w"], 2, seconds(60))
    assert [(row["status"], row["key"]) for row in rows] == [("ok", "r/small"), ("missing", None)]
    (large,) = await root.rows("runs", "r/large")
    assert (large["state"], "1 GB" in large["error"]) == ("failed", True)
    assert [row["version"] for row in await root.rows("history", "r/large")] == [3, 2, 1]
