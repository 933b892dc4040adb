"""What the whole model of access costs, beside the same functions without any of it: `python -m benchmarks.security`.

Whether the time of a denial tells what is hidden from what is missing; and what looking for secrets costs a write.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg

from benchmarks._measure import Comparison, Effort, compare, median
from benchmarks._run import run
from benchmarks._server import AREAS, Actor, Database, Server
from benchmarks._table import Line, Report
from benchmarks.values import TEXT

# microseconds for a kB of a value
_GUARD_AT_MOST = 50
_PROSE = (
    "the agent has read this page and wrote down what it found there lease token key version checkpoint because "
    "results of the second run differ from those of the first by 3.5 percent see https://example.org/reports/2026/11 "
    "next step: compare prices with suppliers and ask again tomorrow at 09:30 status open"
)

Fetch = Callable[..., Awaitable[object]]

_AT_MOST = 1.35
_KEYS = [f"{area}/key-{number}" for number in range(5) for area in AREAS]
_WIDE = [f"wide/key-{number:04d}" for number in range(1000)]
_HIDDEN = [f"hid/key-{number:04d}" for number in range(1000)]
_MISSING = [f"hid/nay-{number:04d}" for number in range(1000)]
# what is measured, with a key or a pattern, and how often it is granted
_GET = "select * from pgstate.get($1)"
_PUT = f"select * from pgstate.write_one('put', $1, '{TEXT}')"
_PUT_MANY = f"select * from pgstate.put_many($1::text[], array_fill('{TEXT}'::jsonb, array[cardinality($1::text[])]))"
_LIST = "select key, value, version from pgstate.list($1)"

# Functions that ask nobody, bound by no policy, as their caller, who owns the tables; with no search_path to set.
_NONE_OF_IT = """
create or replace function pgstate._enter(
  p_agent text, p_key text default null, p_writes boolean default true
) returns pgstate._actor
language plpgsql stable as $$
declare
  v_actor pgstate._actor;
begin
  select 1, 'admin', i.epoch, i.value_limit, i.identity, true, true, true, i.policies, '{(,)}', '{(,)}', 'operator'
    into v_actor.id, v_actor.name, v_actor.epoch, v_actor.value_limit, v_actor.identity, v_actor.readable,
         v_actor.writable, v_actor.lane_ready, v_actor.policies, v_actor.reads, v_actor.writes, v_actor.trust
    from pgstate.install i;
  return v_actor;
end
$$;
create or replace function pgstate._enter_write(
  p_agent text, p_lane uuid default null, p_turn bigint default null, p_key text default null
) returns pgstate._actor
language plpgsql volatile as $$
declare
  v_actor pgstate._actor := pgstate._enter(p_agent, p_key);
begin
  if p_lane is not null then
    v_actor.kept := pgstate._lane_begin(v_actor, p_lane, p_turn);
  end if;
  return v_actor;
end
$$;
do $all$
declare
  v_name text;
begin
  for v_name in select c.oid::regclass::text from pg_class c
                 where c.relnamespace = 'pgstate'::regnamespace and c.relrowsecurity loop
    execute format('alter table %s disable row level security', v_name);
  end loop;
  for v_name in select p.oid::regprocedure::text from pg_proc p
                 where p.pronamespace = 'pgstate'::regnamespace and p.prosecdef and p.proname !~ '^_on_' loop
    execute format('alter function %s security invoker reset search_path', v_name);
    execute format('grant execute on function %s to pgstate_owner', v_name);
  end loop;
end
$all$;
"""

_NOTHING_IS_SECRET = r"""
create or replace function pgstate._may_be_secret(p_text text) returns boolean language sql immutable parallel safe as
$$ select false $$
"""


async def measure(server: Server, quick: bool) -> Report:
    """Point operations, lists and batches, with few and many grants and agents; then timings of denials."""
    effort = Effort(3, 0.25) if quick else Effort(9, 0.5)
    crowd = 1_000 if quick else 10_000
    pairs = 3_000 if quick else 30_000
    report = Report("security: calls of an agent with a login of its own", "no access control")
    async with AsyncExitStack() as stack:
        peer = await _without(stack, server)
        comparisons = []
        hidden: tuple[str, Fetch] | None = None
        for agents in (10, crowd):
            database = await stack.enter_async_context(server.database())
            await _fill(database)
            await _people(database, agents)
            for grants in (10, 200):
                areas = [f"{area}/**" for area in AREAS[: grants - 1]]
                ours = await _caller(stack, await database.agent(f"agent{grants}", [*areas, "wide/**"]))
                comparisons += _comparisons(f"{grants} grants, {agents:,} agents", grants, ours, peer)
                hidden = (f"{grants} grants, {agents:,} agents", ours)
            gateway = await _caller(stack, await database.gateway("agent10"))
            comparisons += _comparisons(f"a gateway, 10 grants, {agents:,} agents", 10, gateway, peer, None)[:2]
        await server.settle()
        await compare(comparisons, effort)
        for comparison in comparisons:
            report.add(comparison)
        assert hidden is not None
        report.lines.append(await _denials(*hidden, pairs))
        report.lines += await _guard(stack, server, pairs // 6)
    report.notes.append(
        f"{effort}. Values of 200 bytes, one connection, prepared statements, no client. Peer: the same functions as "
        "their caller, who owns the tables, without grants, policies and search_path. "
        f"Wanted: at most {_AT_MOST} times its time. Refused: {pairs:,} gets of keys that are there, in "
        "turns with as many of keys that are not; wanted: medians within 3 %. Guard: puts of JSON text, "
        "taken back so that no disk is waited for, beside a database whose guard looks for nothing (guard off looks "
        "too, and lets pass); "
        f"wanted: at most {_GUARD_AT_MOST} us a kB."
    )
    return report


def _comparisons(
    about: str, grants: int, ours: Fetch, peer: Fetch, wanted: float | None = round(1 / _AT_MOST, 2)
) -> list[Comparison]:
    granted = [key for key in _KEYS if key.rpartition("/")[0] in AREAS[: grants - 1]]

    def beside(name: str, statement: str, arguments: Callable[[int], object]) -> Comparison:
        return Comparison(
            f"{name}, {about}",
            lambda n: ours(statement, arguments(n)),
            lambda n: peer(statement, arguments(n)),
            1,
            wanted,
        )

    found = [
        beside("get", _GET, lambda n: granted[n % len(granted)]),
        beside("put", _PUT, lambda n: granted[n % len(granted)]),
        beside("list 1,000", _LIST, lambda n: "wide/**"),
        beside("put_many 100", _PUT_MANY, lambda n: _WIDE[n % 10 * 100 : n % 10 * 100 + 100]),
    ]
    if grants == 200:
        found.append(beside("list 1,000 in 200 pieces", _LIST, lambda n: "space/**"))
    return found


async def _denials(about: str, ours: Fetch, pairs: int) -> Line:
    """Medians of refused reads of hidden and of missing keys."""
    clock = time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(-200, pairs):
        place = abs(number) % len(_HIDDEN)
        for side in (0, 1) if number % 2 else (1, 0):
            began = clock()
            try:
                await ours(_GET, (_HIDDEN, _MISSING)[side][place])
            except asyncpg.PostgresError:
                took = clock() - began
            else:
                raise AssertionError("the key is not hidden")
            if number >= 0:
                times[side].append(took)
    there, missing = (median(side) for side in times)
    return Line(
        f"get refused, hidden beside missing, {about}",
        f"{there * 1e6:.1f} us",
        f"{missing * 1e6:.1f} us",
        f"{there / missing:.3f}",
        "0.97 to 1.03",
        0.97 <= there / missing <= 1.03,
    )


async def _guard(stack: AsyncExitStack, server: Server, pairs: int) -> list[Line]:
    """What looking for secrets costs for each kB of a value, beside a database that looks for none."""
    sides: list[Fetch] = []
    for statement in ("select 1", _NOTHING_IS_SECRET):
        database = await stack.enter_async_context(server.database())
        connection = await asyncpg.connect(database.dsn)
        try:
            await connection.execute("set role pgstate_owner")
            await connection.execute(statement)
        finally:
            await connection.close()
        sides.append(await _caller(stack, await database.agent("writer", ["**"])))
    lines = []
    for size in (1, 16, 64):
        text = _json_of(size)
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(-20, pairs):
            for side in (0, 1) if number % 2 else (1, 0):
                await sides[side]("begin")
                began = time.perf_counter()
                await sides[side]("select * from pgstate.write_one('put', 'key', $1)", text)
                took = time.perf_counter() - began
                await sides[side]("rollback")
                if number >= 0:
                    times[side].append(took)
        guarded, free = (median(side) * 1e6 for side in times)
        cost = (guarded - free) / size
        lines.append(
            Line(
                f"put of {size} kB, beside one without the guard",
                f"{guarded:,.0f} us",
                f"{free:,.0f} us",
                f"{cost:.1f} us a kB",
                f"at most {_GUARD_AT_MOST}",
                cost <= _GUARD_AT_MOST,
            )
        )
    return lines


def _json_of(size: int) -> str:
    """As many kB of JSON as agents write it: messages with prose, ids and numbers, the same each time."""
    chance = random.Random(size)
    words = _PROSE.split()
    found: list[object] = []
    while len(text := json.dumps(found)) < size * 1024:
        found.append(
            {
                "id": str(uuid.UUID(int=chance.getrandbits(128))),
                "role": chance.choice(["user", "assistant", "tool"]),
                "content": " ".join(chance.choices(words, k=40)),
                "tokens": chance.randrange(5000),
                "score": round(chance.random(), 6),
            }
        )
    return text


async def _without(stack: AsyncExitStack, server: Server) -> Fetch:
    """A database whose functions ask nobody; called by who owns its tables."""
    database = await stack.enter_async_context(server.database())
    await _fill(database)
    connection = await asyncpg.connect(database.dsn)
    stack.push_async_callback(connection.close)
    await connection.execute(_NONE_OF_IT)
    await connection.execute("set role pgstate_owner")
    fetch: Fetch = connection.fetch
    return fetch


async def _fill(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn)
    try:
        for start in range(0, 3000, 500):
            await connection.execute(_PUT_MANY, [*_KEYS, *_WIDE, *_HIDDEN][start : start + 500])
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def _people(database: Database, agents: int) -> None:
    """Others with grants of their own."""
    connection = await asyncpg.connect(database.dsn)
    try:
        await connection.execute("select pgstate.create_agent('other-' || n) from generate_series(1, $1) n", agents)
        await connection.execute(
            "select pgstate.grant_access('other-' || n, 'others/' || n || '/**', 'read') from generate_series(1, $1) n",
            agents,
        )
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def _caller(stack: AsyncExitStack, actor: Actor) -> Fetch:
    connection = await asyncpg.connect(actor.dsn)
    stack.push_async_callback(connection.close)
    if actor.name is not None:
        await connection.execute("select set_config('pgstate.agent', $1, false)", actor.name)
    fetch: Fetch = connection.fetch
    return fetch


if __name__ == "__main__":
    run([measure], __doc__)
