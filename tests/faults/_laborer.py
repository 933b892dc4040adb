"""A process that works until it is killed: `python _laborer.py <dsn> <name>`. It writes to each task under its token, waits
a little, and writes again, so that a process which was stopped for longer than its lease tries to write with a stale token."""

from __future__ import annotations

import asyncio
import logging
import random
import sys

import pgstate
from pgstate import Task

LEASE = 0.6


async def main(dsn: str, name: str) -> None:
    logging.getLogger("pgstate").setLevel(logging.ERROR)
    chance = random.Random(name)

    async def handle(task: Task) -> None:
        await state.put(task.key, {"by": name, "token": task.token, "step": 1}, token=task.token)
        await asyncio.sleep(chance.choice([0.1, 0.3, 0.5]))
        await state.put(task.key, {"by": name, "token": task.token, "step": 2}, token=task.token)
        await task.complete({"by": name, "token": task.token}, move_to="done/*")

    async with pgstate.connect(dsn, timeout=60) as state:
        working = asyncio.create_task(state.work("tasks/*", handle, concurrency=2, lease=LEASE))
        # from its first step on it ends by SIGTERM
        await asyncio.sleep(0)
        print("ready", flush=True)
        await working


asyncio.run(main(*sys.argv[1:]))
