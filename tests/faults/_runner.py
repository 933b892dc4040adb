"""A process that works on runs until it is killed: `python _runner.py <dsn> <effects>`. Each step writes a line into a file
outside the database before it does anything else: run, step, token."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from pathlib import Path
from typing import Any

import pgstate

LEASE = 0.8
STEPS = 10


async def main(dsn: str, effects: str) -> None:
    logging.getLogger("pgstate").setLevel(logging.ERROR)
    chance = random.Random()

    def called(line: str) -> None:
        with Path(effects).open("a") as file:
            file.write(line)

    async def step(number: int, ctx: pgstate.Context) -> dict[str, int]:
        called(f"{ctx.run.key} {number} {ctx.run.token}\n")
        await asyncio.sleep(chance.random() * 0.1)
        if number % 3 == 0:
            await ctx.state.merge(f"{ctx.run.key}/done", [number], "append")
        return {"number": number, "token": ctx.run.token}

    async def work(run: pgstate.Run, input: Any) -> int:
        total = 0
        for number in range(STEPS):
            total += (await run.step("step", step, number))["number"]
        return total

    async with pgstate.connect(dsn, timeout=10) as state:
        working = asyncio.create_task(state.runs.worker({"storm": work}, concurrency=4, lease=LEASE, grace=0))
        await asyncio.sleep(0)
        print("ready", flush=True)
        await working


asyncio.run(main(*sys.argv[1:]))
