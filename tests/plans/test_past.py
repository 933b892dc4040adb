"""Reading the past and going back touch a bounded number of buffers, however long histories are and however much there is
beside what is asked for."""

from __future__ import annotations

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from plans.test_plans import CHUNK, LARGE, MARGIN, RATIO, SMALL, _measure
from sql._caller import Caller, MakeAgent

# Entries of one version, others that are deleted right after, and keys with a long history.
_FILL = """
with numbers as (select n, lpad(n::text, 6, '0') as name from generate_series($1::int, $2::int) n),
entries as (
  insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)
  select 'k/' || name, 'k', 1, true, '1'::jsonb, 'w', 'w', now(), now() from numbers
  union all
  select 'gone/' || name, 'gone', 1, true, '1', 'w', 'w', now(), now() from numbers),
long as (
  insert into pgstate.entry as e (key, parent, version, live, value, writer, via, created_at, updated_at)
  select key, '', $2, true, '1', 'w', 'w', now(), now() from unnest(array['long', 'early']) key
      on conflict (key) do update set version = $2, updated_at = now())
insert into pgstate.version (key, version, epoch, op, value, writer, via, at)
select 'k/' || name, 1, 1, 'put', '1'::jsonb, 'w', 'w', now() from numbers
union all
select 'gone/' || name, 1, 1, 'put', '1'::jsonb, 'w', 'w', now() from numbers
union all
select key, n, 1, 'put', '1'::jsonb, 'w', 'w', now() from numbers, unnest(array['long', 'early']) key
"""

_DELETE = """
with gone as (
  update pgstate.entry set version = 2, live = false, value = null
   where key = any (array(select 'gone/' || lpad(n::text, 6, '0') from generate_series($1::int, $2::int) n)) returning key)
insert into pgstate.version (key, version, epoch, op, writer, via, at) select key, 2, 1, 'delete', 'w', 'w', now() from gone
"""
_POINT = "insert into pgstate.feed_point select clock_timestamp(), 1, pgstate._snapshot(1)"

CALLS = {
    "get at a cursor": "get_as_of('k/000777', cursor => '{now}')",
    "get at a time": "get_as_of('k/000777', at => now())",
    "get missing": "get_as_of('k/none', cursor => '{now}')",
    "get one of many versions": "get_as_of('long', 777)",
    "get what changed long ago": "get_as_of('long', cursor => '{first}')",
    "get what is older than all": "get_as_of('long', cursor => '{empty}')",
    "get at a time long ago": "get_as_of('long', at => '{start}')",
    "list at a cursor": "list_as_of('k/**', 100, cursor => '{now}')",
    "list at a cursor long ago": "list_as_of('k/**', 50, cursor => '{first}')",
    "list at a time": "list_as_of('k/*', 100, 'k/001500', at => now())",
    "list what is deleted": "list_as_of('gone/**', 50, cursor => '{first}')",
    "rollback to a version": "rollback('long', 777)",
    "rollback to a version, only shown": "rollback('early', 1, dry_run => true)",
    "rollback to a cursor": "rollback('long', cursor => '{first}')",
    "expire": "expire()",
}


@pytest.mark.parametrize("fresh", first_of([False, True]), ids=["plans of empty tables", "fresh session"])
async def test_cost_does_not_grow_with_histories(
    root: Caller, agent: MakeAgent, session: MakeAgent, fresh: bool
) -> None:
    reach = ["k/**", "gone/**", "long", "early", *(f"more/{n}/**" for n in range(20))]
    old = await agent("alice", *(f"{right} {subtree}" for right in ("read", "write") for subtree in reach))
    login = await old.fetchval("select session_user::text")
    superuser: asyncpg.Connection = (await session(SUPERUSER)).connection
    start = await root.fetchval("select clock_timestamp()::text")
    empty = await old("cursor")
    cursors = dict.fromkeys(("now", "first", "empty"), empty) | {"start": start}
    if not fresh:
        # there is no version to go back to yet
        known = {name: call for name, call in CALLS.items() if not name.startswith("rollback to a version")}
        for _ in range(3):
            await _measure(old, cursors, known)
    count, touched = 0, []
    for size in (SMALL, LARGE):
        for low in range(count + 1, size + 1, CHUNK):
            await superuser.execute(_FILL, low, low + CHUNK - 1)
            if low == 1:
                cursors["first"] = await old("cursor")
            await superuser.execute(_DELETE, low, low + CHUNK - 1)
            await superuser.execute(_POINT)
        count = size
        if fresh:
            await superuser.execute("analyze")
        cursors["now"] = await old("cursor")
        touched.append(await _measure(await session(login) if fresh else old, cursors, CALLS))
    small, large = touched
    assert {name: scans for name, (_, scans) in large.items() if scans} == {}, "whole tables are read"
    grown = {
        name: (small[name][0], large[name][0]) for name in CALLS if large[name][0] > small[name][0] * RATIO + MARGIN
    }
    assert grown == {}, f"buffers at {SMALL} and {LARGE}"
    # a search, not a walk through the history
    assert large["get what changed long ago"][0] < 400
    assert large["get one of many versions"][0] < 100
