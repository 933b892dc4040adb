"""Workers of runs killed and stopped at random, and the server restarted: every run ends, a step is recorded once, and its
function is called again only if it was under way. A file outside the database tells what was called."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

import pgstate
from _cases import first_of
from _server import SUPERUSER, Cluster
from conftest import Database, clone, prepare
from pgstate import State, errors

LEASE = 0.8  # as in _runner.py
STEPS = 10
WORKERS = 6
_GUARD = 600


async def _start(dsn: str, effects: Path) -> asyncio.subprocess.Process:
    program = Path(__file__).with_name("_runner.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(pgstate.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(program), dsn, str(effects), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def _left(state: State, runs: int) -> int:
    try:
        return runs - len(await state.runs.list("storm/*", states=["done"], limit=None))
    except (errors.Unreachable, errors.Timeout):
        return runs


@pytest.mark.parametrize("runs", first_of([5, 30]))
async def test_every_run_ends_and_no_step_is_done_twice(
    new_cluster: Callable[..., Cluster], tmp_path: Path, at_length: bool, runs: int
) -> None:
    runs = 200 if at_length else runs
    # what is acknowledged must outlive the server
    cluster = new_cluster(settings={"fsync": "on", "full_page_writes": "on", "wal_sync_method": "fdatasync"})
    await asyncio.to_thread(prepare, cluster)
    database = await asyncio.to_thread(clone, cluster)
    effects = tmp_path / "effects"
    effects.touch()
    chance = random.Random(11)
    harmed: dict[str, int] = defaultdict(int)
    async with pgstate.connect(database.dsn(), timeout=60) as state:
        for number in range(runs):
            await state.runs.start(f"storm/{number:03}", "storm")
        processes = await asyncio.gather(*(_start(database.dsn(), effects) for _ in range(WORKERS)))
        # of each kind one at least; last what gives the others time to end all runs
        kinds = ["stop", "kill", "restart"]
        async with asyncio.timeout(_GUARD):
            while await _left(state, runs) > 0:
                victim = chance.randrange(WORKERS)
                process = processes[victim]
                what = kinds.pop() if kinds else chance.choice(["kill", "kill", "stop", "stop", "restart"])
                if what == "kill":
                    process.kill()
                    await process.wait()
                    processes[victim] = await _start(database.dsn(), effects)
                elif what == "stop":
                    process.send_signal(signal.SIGSTOP)
                    # longer than the lease, which somebody takes over meanwhile
                    await asyncio.sleep(LEASE * chance.choice([1.5, 2.5]))
                    process.send_signal(signal.SIGCONT)
                else:
                    await asyncio.to_thread(cluster.restart, "immediate")
                harmed[what] += 1
                # a busy machine is given the time to do something in between
                called = effects.stat().st_size
                while effects.stat().st_size == called and await _left(state, runs) > 0:
                    await asyncio.sleep(0.01)
        for process in processes:
            process.terminate()
        async with asyncio.timeout(60):
            assert {await process.wait() for process in processes} == {0}
    # a few runs may all have ended before
    assert len(harmed) == 3 if at_length else harmed, harmed
    _judge(database, effects, runs)


def _judge(database: Database, effects: Path, runs: int) -> None:
    recorded = database.sql(
        "select key, step, token, (result ->> 'token')::bigint, (result ->> 'number')::int, state from pgstate.steps order by key, position",
        SUPERUSER,
    )
    assert len(recorded) == runs * STEPS
    by_token: dict[tuple[str, int], set[int]] = defaultdict(set)
    for key, step, token, told, number, state in recorded:
        assert (state, step) == ("done", "step" if number == 0 else f"step#{number + 1}"), (key, step)
        # what is recorded is the result of who recorded it
        assert token == told, (key, step)
        by_token[key, token].add(number)
    called: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line in effects.read_text().splitlines():
        key, number, token = line.split()
        called[key, int(token)].append(int(number))
    again = 0
    for (key, token), numbers in called.items():
        # each holder did steps in their order, from where the one before had come
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), (key, token)
        # and all of them are recorded as its own, but for the last, which was under way
        assert set(numbers[:-1]) <= by_token[key, token] <= set(numbers), (key, token)
        again += numbers[-1] not in by_token[key, token]
    # of few runs perhaps none was harmed in a step
    assert again > 0 or runs < 30
    # the state that a step wrote is there once, with it
    written = database.sql("select value from pgstate.entries where key like 'storm/%/done'", SUPERUSER)
    assert [value for (value,) in written] == [[0, 3, 6, 9]] * runs
    results = database.sql("select result from pgstate.runs('storm/*', null) where state = 'done'", "installer")
    assert results == [(45,)] * runs
    versions = database.sql(
        "select key from pgstate.version where key like 'storm/%' and not key like '%/done' and value ->> 'status' = 'done' "
        "group by key having count(*) <> 1",
        SUPERUSER,
    )
    assert versions == []
