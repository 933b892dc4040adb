"""Workers killed and stopped at random: every task is completed exactly once, and no stale token ever wrote. The database's
own history is the judge."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest

import pgstate
from _cases import first_of
from _server import SUPERUSER
from conftest import Database
from pgstate import State

LEASE = 0.6  # as in _laborer.py

_GUARD = 600


async def _start(dsn: str, name: str) -> asyncio.subprocess.Process:
    program = Path(__file__).with_name("_laborer.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(pgstate.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(program), dsn, name, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def _at_work(state: State, name: str, tasks: int) -> None:
    """Returns when a worker has written to a task that it has not completed, or when there is nothing left to do."""
    while not any(entry.value.get("by") == name for entry in await state.list("tasks/*", limit=None)):
        if await _finished(state) == tasks:
            return
        await asyncio.sleep(0.01)


async def _finished(state: State) -> int:
    return len(await state.tasks("tasks/*", states=["finished"], limit=None))


@pytest.mark.parametrize(("tasks", "workers"), first_of([(60, 3), (300, 8)]))
async def test_every_task_is_completed_exactly_once(
    database: Database, at_length: bool, tasks: int, workers: int
) -> None:
    tasks = 2_000 if at_length else tasks
    chance = random.Random(7)
    harmed = 0
    async with pgstate.connect(database.dsn(), timeout=60) as state:
        await state.put_many({f"tasks/{number:04}": {"n": number} for number in range(tasks)})
        names = [f"w{number}" for number in range(workers)]
        processes = await asyncio.gather(*(_start(database.dsn(), name) for name in names))
        started = workers
        async with asyncio.timeout(_GUARD):
            while await _finished(state) < tasks:
                victim = chance.randrange(workers)
                process = processes[victim]
                await _at_work(state, names[victim], tasks)
                if chance.random() < 0.5:
                    process.kill()
                    await process.wait()
                    names[victim] = f"w{started}"
                    processes[victim] = await _start(database.dsn(), names[victim])
                    started += 1
                else:
                    process.send_signal(signal.SIGSTOP)
                    # longer than the lease, which somebody takes over meanwhile
                    await asyncio.sleep(LEASE * chance.choice([1.5, 2.5]))
                    process.send_signal(signal.SIGCONT)
                harmed += 1
        for process in processes:
            process.terminate()
        async with asyncio.timeout(60):
            # told to end, they do
            assert {await process.wait() for process in processes} == {0}
    assert harmed > 0
    _judge(database, tasks)


def _judge(database: Database, tasks: int) -> None:
    log = database.sql(
        "select v.key, v.version, v.op::text, v.value::text, v.seq from pgstate.version v where v.key like 'tasks/%' "
        "order by v.key, v.version",
        SUPERUSER,
    )
    by_key: dict[str, list[tuple[int, str, dict[str, object] | None]]] = {}
    for key, version, op, value, _ in log:
        by_key.setdefault(key, []).append((version, op, None if value is None else json.loads(value)))
    assert len(by_key) == tasks
    results: dict[str, list[int]] = {}
    for key, token in database.sql(
        "select key, value ->> 'token' from pgstate.version where key like 'done/%'", SUPERUSER
    ):
        results.setdefault(key[5:], []).append(int(token))
    retried = 0
    for key, versions in by_key.items():
        assert [version for version, _, _ in versions] == list(range(1, len(versions) + 1))
        # completed once, and last of all
        assert [op for _, op, _ in versions].count("complete") == 1, key
        assert versions[-1][1] == "complete", key
        # tokens rise: once a new holder has written, no older one has; and each holder's writes are in order
        written = [(int(value["token"]), int(value["step"])) for _, op, value in versions[1:-1] if value]  # type: ignore[call-overload]
        assert written == sorted(set(written)), key
        retried += len({token for token, _ in written}) > 1
        # one result, of the last holder that wrote
        assert results[key[6:]] == [written[-1][0]], key
    assert retried > 0
    assert database.sql("select count(*) from pgstate.claim where lease_until > now() and key like 'tasks/%'") == [(0,)]
