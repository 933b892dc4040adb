"""Saving and reading checkpoints touches a bounded number of buffers, however many there are, as in test_plans.py."""

from __future__ import annotations

import json

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from plans.test_plans import LARGE, MARGIN, RATIO, SMALL
from sql._caller import Caller, MakeAgent
from sql._threads import saved

# A long thread, its chunks and writes, and as many threads beside it, of which some are forks of it.
_FILL = """
with long as (select id from pgstate.thread where key = 'long'),
numbers as (select n, lpad(n::text, 6, '0') as name from generate_series($1::int, $2::int) n),
threads as (
  insert into pgstate.thread (key, begun_at, bases)
  select 'k/' || name, now(), case when n % 10 = 0 then array[id] else '{}' end from numbers cross join long returning id, key),
entries as (
  insert into pgstate.entry (key, parent, kind, version, live, value, writer, via, created_at, updated_at)
  select 'k/' || name, 'k', 'thread', 1, true, '{"checkpoint": "c", "ns": "", "checkpoints": 1, "bytes": 1}', 'w', 'w', now(), now()
    from numbers),
writes as (
  insert into pgstate.pending_write (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data)
  select l.id, '', '00000000-0000-6000-8000-000000' || name, 'task', 0, '', 'a', 'json', '1' from numbers cross join long l),
chunks as (
  insert into pgstate.chunk (thread_id, hash, type, data)
  select t.id, substr(sha256(convert_to(i.name || i.of, 'UTF8')), 1, 16), 'json', '1'
    from (select 'k/' || name as key, name, 'own' as of from numbers union all select 'long', name, 'long' from numbers) i
    join (select id, key from threads union all select id, 'long' from long) t on t.key = i.key)
insert into pgstate.checkpoint (thread_id, ns, id, names, types, data, whole, metadata, run_id, size, created_at, writer, via)
select t.id, '', '00000000-0000-6000-8000-000000' || i.name, '{a}', '{@}', array[substr(sha256(convert_to(i.name || i.of, 'UTF8')), 1, 16)], true,
       '{"step": 1}', 'run-' || i.name, 1, now(), 'w', 'w'
  from (select 'k/' || name as key, name, 'own' as of from numbers union all select 'long', name, 'long' from numbers) i
  join (select id, key from threads union all select id, 'long' from long) t on t.key = i.key
"""
_HASH = "substr(sha256(convert_to('001234long', 'UTF8')), 1, 16)"
_ID = "00000000-0000-6000-8000-000000001234"
CALLS = {
    "save": "save_checkpoint('long', '{a}', '{json}', array['1']::bytea[])",
    "save with chunks": f"save_checkpoint('long', '{{a,b}}', '{{@,#0}}', array[{_HASH}, {_HASH} || {_HASH}], chunk_types => '{{json}}', chunk_data => array['2']::bytea[])",
    "save on another": "save_checkpoint('k/000777', '{a}', '{json}', array['1']::bytea[])",
    "save that expects": f"save_checkpoint('long', '{{a}}', '{{json}}', array['1']::bytea[], parent => '{_ID}', guard => '{{a}}')",
    "save on a fork": f"save_checkpoint('k/000780', '{{a}}', '{{@}}', array[{_HASH}])",
    "get of a fork": "get_checkpoint('k/000780')",
    "state of a fork": "checkpoint_state('k/000780')",
    "prune of a fork": "prune_thread('k/000790')",
    "save several": f"save_checkpoints(array['k/000778', 'long', 'k/new', 'k/000780'], '{{1,1,1,1}}', '{{a,a,a,a}}', '{{json,json,json,@}}', array['1', '2', '3', {_HASH}]::bytea[])",
    "begin": "save_checkpoint('k/new', '{a}', '{json}', array['1']::bytea[])",
    "put_writes": f"put_writes('long', '{_ID}', 'task-2', '{{0}}', '{{a}}', '{{json}}', array['1']::bytea[])",
    "get latest": "get_checkpoint('long')",
    "get": f"get_checkpoint('long', '{_ID}')",
    "get several": f"get_checkpoints('long', array['{_ID}'])",
    "state of one": f"checkpoint_state('long', '{_ID}')",
    "state": "checkpoint_state('long')",
    "checkpoints": "checkpoints('long', \"limit\" => 50)",
    "checkpoints, next page": f"checkpoints('long', ns => '', before => '{_ID}', \"limit\" => 50)",
    "checkpoints of a run": "checkpoints(run_id => 'run-001234')",
    "checkpoints behind one": f"checkpoints('long', before => '{_ID}', \"limit\" => 50, after_key => 'long', after_ns => '')",
    "parts": f"checkpoint_parts('long', array['{_ID}'])",
    "channel history": f"channel_history('long', array['a', 'b'], '{_ID}')",
    "threads": "threads('k/**', 50)",
    "threads, next page": "threads('k/*', 50, 'k/001234')",
    "fork": "fork_thread('long', 'k/fork')",
    "rollback": f"rollback_thread('long', '{_ID}')",
    "delete_runs of none": "delete_runs(array['none'])",
    "delete": "delete_thread('k/000778')",
    "prune": "prune_thread('k/000779')",
}  # fmt: skip
_SCANS = """
select relname, seq_scan from pg_stat_xact_user_tables
 where schemaname = 'pgstate' and relname in ('entry', 'version', 'thread', 'checkpoint', 'chunk', 'pending_write')
"""


async def _buffers(caller: Caller, call: str) -> tuple[int, set[str]]:
    transaction = caller.transaction()
    await transaction.start()
    try:
        before = dict(await caller.fetch(_SCANS))
        plan = await caller.fetchval(f"explain (analyze, buffers, format json) select * from pgstate.{call}")
        after = dict(await caller.fetch(_SCANS))
    finally:
        await transaction.rollback()
    top = json.loads(plan)[0]["Plan"]
    scanned = {table for table, scans in after.items() if scans > before.get(table, 0)}
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], scanned


async def _measure(caller: Caller) -> dict[str, tuple[int, set[str]]]:
    touched = {}
    for name, call in CALLS.items():
        await _buffers(caller, call)
        touched[name] = await _buffers(caller, call)
    return touched


async def _grow(superuser: asyncpg.Connection, first: int, last: int) -> None:
    await superuser.execute(_FILL, first, last)


@pytest.mark.parametrize("fresh", first_of([False, True]), ids=["plans of empty tables", "fresh session"])
async def test_cost_does_not_grow_with_what_is_saved(
    root: Caller, agent: MakeAgent, session: MakeAgent, fresh: bool
) -> None:
    reach = ["k/**", "long", *(f"more/{n}/**" for n in range(20))]
    old = await agent("alice", *(f"{right} {subtree}" for right in ("read", "write") for subtree in reach))
    login = await old.fetchval("select session_user::text")
    superuser = (await session(SUPERUSER)).connection
    await saved(root, "long", {"a": 1}, id="0")
    if not fresh:
        for _ in range(3):
            await _measure(old)
    touched = []
    for first, last in ((1, SMALL), (SMALL + 1, LARGE)):
        await _grow(superuser, first, last)
        if fresh:
            await superuser.execute("analyze")
        touched.append(await _measure(await session(login) if fresh else old))
    small, large = touched
    assert {name: scans for name, (_, scans) in large.items() if scans} == {}, "whole tables are read"
    grown = {
        name: (small[name][0], large[name][0]) for name in CALLS if large[name][0] > small[name][0] * RATIO + MARGIN
    }
    assert grown == {}, f"buffers at {SMALL} and {LARGE} checkpoints"


async def test_counting_what_an_agent_keeps_does_not_look_at_what_others_do(
    root: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    alice = await agent("alice", "read own/**", "write own/**")
    superuser = await session(SUPERUSER)
    await saved(root, "long", {"a": 1}, id="0")
    await root("set_quota", "alice", bytes=1_000_000)
    await saved(alice, "own/t", {"a": 1})
    count = (
        "_count_usage(q.agent_id, u.id) from pgstate.quota q join pgstate.usage u on u.agent_id = q.agent_id limit 1"
    )
    touched = []
    for first, last in ((1, SMALL), (SMALL + 1, LARGE)):
        await _grow(superuser.connection, first, last)
        for _ in range(2):
            before = dict(await superuser.fetch(_SCANS))
            plan = await superuser.fetchval(f"explain (analyze, buffers, format json) select pgstate.{count}")
            scanned = dict(await superuser.fetch(_SCANS))
        assert scanned == before
        top = json.loads(plan)[0]["Plan"]
        touched.append(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
    assert touched[1] <= touched[0] * RATIO + MARGIN, touched
