"""What a saver reads of one thread, or finds by a run, costs the same however many others there are."""

from __future__ import annotations

import pytest

from _cases import first_of
from _server import SUPERUSER
from plans.test_plans import MARGIN, RATIO, _buffers
from sql._caller import Caller, MakeAgent
from sql._threads import LONG, saved

SMALL, LARGE = 300, 6000

_FILL = """
with keys as (select n, 't/' || n as key from generate_series($1::int, $2::int) n),
threads as (
  insert into pgstate.thread (key, begun_at) select key, now() from keys returning id, key),
entries as (
  insert into pgstate.entry (key, parent, version, live, kind, value, writer, via, created_at, updated_at)
  select key, 't', 1, true, 'thread', '{"checkpoints": 3}', 'w', 'w', now(), now() from keys),
chunks as (
  insert into pgstate.chunk (thread_id, hash, type, data)
  select t.id, substr(sha256(convert_to(t.key || n, 'UTF8')), 1, 16), 'json', '"x"' from threads t, generate_series(1, 5) n),
writes as (
  insert into pgstate.pending_write (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data)
  select t.id, '', 'id-' || n, 'task', 0, '', 'log', 'json', '1' from threads t, generate_series(1, 3) n)
insert into pgstate.checkpoint
  (thread_id, ns, id, parent, names, types, data, header, whole, metadata, run_id, size, created_at, writer, via)
select t.id, '', 'id-' || n, case when n > 1 then 'id-' || n - 1 end, '{n}', '{json}', array['1'::bytea], 'x', true,
       jsonb_build_object('run_id', t.key), t.key, 1, now(), 'w', 'w'
  from threads t, generate_series(1, 3) n
"""
CALLS = {
    "by run": "checkpoints('t/**', run_id => 't/77')",
    "parts": "checkpoint_parts('own', array['c-30', 'c-20', 'c-10'])",
    "channels": "channel_history('own', array['log'])",
    "page of one": "checkpoints('own', '', limit_)".replace("limit_", '"limit" => 10'),
}


@pytest.mark.parametrize("fresh", first_of([False, True]), ids=["plans of empty tables", "fresh session"])
async def test_cost_does_not_grow_with_other_threads(
    root: Caller, agent: MakeAgent, session: MakeAgent, fresh: bool
) -> None:
    superuser = (await session(SUPERUSER)).connection
    old = await agent("alice", "read t/**", "read own")
    login = await old.fetchval("select session_user::text")
    if not fresh:
        for _ in range(3):
            for call in CALLS.values():
                await _buffers(old, call)
    for number in range(10, 40):
        state = {"n": number, "text": LONG} if number > 10 else {"n": number, "log": LONG}
        await saved(root, "own", state, id=f"c-{number}")
        await root("put_writes", "own", f"c-{number}", "task", [0], ["log"], ["json"], [b"1"])
    touched, filled = [], 0
    for size in (SMALL, LARGE):
        await superuser.execute(_FILL, filled + 1, size)
        filled = size
        if fresh:
            await superuser.execute("analyze")
        caller = await session(login) if fresh else old
        found = {}
        for name, call in CALLS.items():
            await _buffers(caller, call)
            found[name] = (await _buffers(caller, call))[0]
        touched.append(found)
    small, large = touched
    grown = {name: (small[name], large[name]) for name in CALLS if large[name] > small[name] * RATIO + MARGIN}
    assert grown == {}, f"buffers beside {SMALL} and {LARGE} threads"
