"""Hot paths touch a bounded number of buffers, whatever the tables hold, and whatever they held when plans were made.

Counted on the second call, when the session has its catalogue in its caches. Two kinds of session: one whose plans were
made while the tables were empty and never analyzed, as in a server that fills up, and a fresh one with statistics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from sql._caller import Caller, MakeAgent

SMALL, LARGE = 2_000, 20_000
# Indexes grow by a level, for each row that a call looks up; rows happen to straddle pages.
RATIO, MARGIN = 1.5, 40
CHUNK = 500

# Entries (some to expire some day) and tasks, a version of each, a key with a long history, and released claims.
_FILL = """
with numbers as (select n, lpad(n::text, 6, '0') as name from generate_series($1::int, $2::int) n),
keys as (select n, prefix, prefix || '/' || name as key from numbers, unnest(array['k', 't']) prefix),
entries as (
  insert into pgstate.entry
    (key, parent, version, live, value, writer, via, created_at, updated_at, expires_at, not_before)
  select key, prefix, 1, true, jsonb_build_object('text', repeat('x', 150)), 'w', 'w', now(), now(),
         case when n % 10 = 0 then now() + interval '1 day' end, case when n % 10 = 1 then now() - interval '1 day' end
    from keys),
claims as (
  insert into pgstate.claim (key, token, lease_until, attempts, claimed_at)
  select 'r/' || name, n, '-infinity', 1, now() from numbers),
histories as (
  insert into pgstate.version (key, version, epoch, op, value, writer, via, at)
  select 'long', n, 1, 'put', '1', 'w', 'w', now() from numbers)
insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at)
select key, 1, 1, 'put', true, jsonb_build_object('text', repeat('x', 150)), 'w', 'w', now() from keys
"""

_TWENTY = "array(select 'k/' || lpad((n * 37)::text, 6, '0') from generate_series(1, 20) n)"
_TWENTY_NEW = "array(select 'k/new' || n from generate_series(1, 20) n)"
_ONES = "array_fill('1'::jsonb, array[20])"
CALLS = {
    "put existing": "put('k/000777', '1')",
    "compare-and-set": "put('k/000777', '1', 1)",
    "put new": "put('k/new', '1')",
    "put_many": f"put_many({_TWENTY}, {_ONES})",
    "put_many new": f"put_many({_TWENTY_NEW}, {_ONES})",
    "merge": "merge('k/000777', '{\"a\": 1}', 'merge')",
    "merge_many": f"merge_many({_TWENTY}, {_ONES}, array_fill('replace'::text, array[20]))",
    "delete": "delete('k/000777')",
    "apply": ("""apply('[{"key": "k/000777", "version": 1}]', '[{"op": "put", "key": "k/000778", "value": 1}]')"""),
    "get": "get('k/000777')",
    "get missing": "get('k/none')",
    "get_many": f"get_many({_TWENTY})",
    "list": "list('k/**', 100)",
    "list page": "list('k/*', 100, 'k/001500')",
    "list everything": "list('', 100)",
    "history": "history('long', 100)",
    "history page": "history('long', 100, 1500)",
    "claim_next": "claim_next('t/*', '1 s')",
    "claim_next, nothing there": "claim_next('none/*', '1 s')",
    "claim_many": "claim_many('t/*', 20, '1 s')",
    "claim": "claim('t/000777', '1 s')",
    "tasks": "tasks('t/*', 100)",
    "tasks page": "tasks('t/*', 100, 't/001500')",
    "list claimed": "list('t/*', 100, claimed => false)",
    "list_claims": "list_claims('k/*')",
    "cursor": "cursor()",
    "changes, small window": "changes('{recent}')",
    "changes, nothing new": "changes('{now}')",
    "changes, first page of a large window": "changes('{older}', array['k/**'], 100)",
    "changes, next page": "changes('{page}', array['k/**'], 100)",
    "expire": "expire()",
}


@dataclass
class Filler:
    """Grows the tables and takes cursors at the same distances from their end."""

    superuser: asyncpg.Connection
    caller: Caller
    count: int = 0
    cursors: dict[str, str] | None = None

    async def grow(self, to: int) -> None:
        older = None
        for first in range(self.count + 1, to + 1, CHUNK):
            if first > to - 3 * CHUNK and older is None:
                older = await self.caller("cursor")
            await self.superuser.execute(_FILL, first, first + CHUNK - 1)
        self.count = to
        recent = await self.caller("cursor")
        await self.caller.rows("put_many", [f"k/{n:06}" for n in range(1, 6)], [1] * 5)
        assert older is not None
        page = (await self.caller.rows("changes", older, ["k/**"], 100))[50]["cursor"]
        now = await self.caller("cursor")
        self.cursors = {"older": older, "recent": recent, "page": page, "now": now}


_SCANS = """
select relname, seq_scan from pg_stat_xact_user_tables
 where schemaname = 'pgstate' and relname in ('entry', 'version', 'claim', 'feed_point')
"""


async def _buffers(caller: Caller, call: str) -> tuple[int, set[str]]:
    """What a call touches, done and undone, and the large tables that it reads from end to end."""
    transaction = caller.transaction()
    await transaction.start()
    try:
        # counts that the session has not reported yet, those of earlier transactions too
        before = dict(await caller.fetch(_SCANS))
        plan = await caller.fetchval(f"explain (analyze, buffers, format json) select * from pgstate.{call}")
        after = dict(await caller.fetch(_SCANS))
    finally:
        await transaction.rollback()
    top = json.loads(plan)[0]["Plan"]
    scanned = {table for table, scans in after.items() if scans > before.get(table, 0)}
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], scanned


async def _measure(
    caller: Caller, cursors: dict[str, str], calls: dict[str, str] = CALLS
) -> dict[str, tuple[int, set[str]]]:
    touched = {}
    for name, call in calls.items():
        for place, cursor in cursors.items():
            call = call.replace("{" + place + "}", cursor)
        await _buffers(caller, call)
        touched[name] = await _buffers(caller, call)
    return touched


@pytest.mark.parametrize("fresh", first_of([False, True]), ids=["plans of empty tables", "fresh session"])
async def test_cost_does_not_grow_with_the_tables(
    root: Caller, agent: MakeAgent, session: MakeAgent, fresh: bool
) -> None:
    reach = ["k/**", "t/**", "none/**", "long", *(f"more/{n}/**" for n in range(20))]
    old = await agent("alice", *(f"{right} {subtree}" for right in ("read", "write") for subtree in reach))
    login = await old.fetchval("select session_user::text")
    superuser = (await session(SUPERUSER)).connection
    start = await old("cursor")
    if not fresh:
        # often enough for the server to settle on generic plans where it may
        for _ in range(3):
            await _measure(old, {"older": start, "recent": start, "page": start, "now": start})
    filler = Filler(superuser, root)
    touched = []
    for size in (SMALL, LARGE):
        await filler.grow(size)
        if fresh:
            await superuser.execute("analyze")
        assert filler.cursors is not None
        touched.append(await _measure(await session(login) if fresh else old, filler.cursors))
    small, large = touched
    assert {name: scans for name, (_, scans) in large.items() if scans} == {}, "whole tables are read"
    grown = {
        name: (small[name][0], large[name][0]) for name in CALLS if large[name][0] > small[name][0] * RATIO + MARGIN
    }
    assert grown == {}, f"buffers at {SMALL} and {LARGE} entries"


@pytest.mark.parametrize("how", ["completed", "held"])
async def test_a_claim_costs_the_same_after_many_while_an_old_snapshot_is_held(
    root: Caller, agent: MakeAgent, session: MakeAgent, how: str
) -> None:
    worker = await agent("worker", "read t/**", "write t/**")
    superuser = (await session(SUPERUSER)).connection
    await superuser.execute(_FILL, 1, LARGE)
    await superuser.execute("analyze")
    call = "claim_next('t/*', '1 h')"
    await _buffers(worker, call)
    before, _ = await _buffers(worker, call)
    async with superuser.transaction(isolation="repeatable_read"):
        await superuser.fetchval("select count(*) from pgstate.install")
        other = await session(await worker.fetchval("select session_user::text"))
        for _ in range(10):
            claims = await other.rows("claim_many", "t/*", 500, timedelta(hours=1))
            if how == "completed":
                await other.rows("complete_many", [c["key"] for c in claims], [c["token"] for c in claims])
        # the first of a second passes all of it, the others do not
        await worker("claim_next", "t/*", timedelta(hours=1))
        costs = [(await _buffers(worker, call))[0] for _ in range(5)]
        assert min(costs) < before * 2 + MARGIN


_RUNS = """
with ready as (
  select 'r/' || lpad(n::text, 6, '0') as key from generate_series($1::int, $2) n
), entries as (
  insert into pgstate.entry (key, parent, kind, version, live, value, writer, via, created_at, updated_at)
  select key, 'r', 'run', 1, true, '{"status": "waiting"}', 'admin', 'x', now(), now() from ready
)
insert into pgstate.run (key, name, priority, ready_at, begun_at, asleep) select key, 'w', 0, now(), now(), false from ready
"""


@pytest.mark.parametrize("fresh", first_of([False, True]), ids=["plans of empty tables", "fresh session"])
async def test_a_run_is_taken_at_the_same_cost_however_many_wait(root: Caller, session: MakeAgent, fresh: bool) -> None:
    superuser = (await session(SUPERUSER)).connection
    old, costs = await session(), []
    # none of the first workflow, and of the other the many
    calls = ("take_runs(array['none'], 1, '1 h')", "take_runs(array['none', 'w'], 1, '1 h')")
    for call in calls:
        for _ in range(3):
            await _buffers(old, call)
    for first, last in ((1, 100), (101, 3000)):
        await superuser.execute(_RUNS, first, last)
        if fresh:
            await superuser.execute("analyze")
        worker = await session() if fresh else old
        for call in calls:
            await _buffers(worker, call)
        costs.append([(await _buffers(worker, call))[0] for call in calls])
    small, large = costs
    assert all(after < before * RATIO + MARGIN for before, after in zip(small, large, strict=True)), costs
