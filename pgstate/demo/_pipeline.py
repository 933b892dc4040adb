"""A pipeline of 20 steps in a process of its own, which is killed in step 14 and gone on with by another.

Started with its agent's name, its key, and a file; the address is in the environment. Each step writes a line into the
file, outside the database: so it tells what was done how often, whatever the database says. With a step's number
besides, the process says when it is in that step, and waits there for its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path

import pgstate

STEPS = 20
FATAL = 14
LEASE = 2.0


async def main(agent: str, key: str, effects: str, fatal: str = "0") -> None:
    """The whole life of a process."""
    async with pgstate.connect(agent=agent) as state, state.run(key, lease=LEASE, wait=10 * LEASE) as run:
        total = 0
        for number in range(1, STEPS + 1):
            total = await run.step(f"step-{number:02}", partial(_step, number, total, Path(effects), int(fatal)))
        run.result = total


async def _step(number: int, total: int, effects: Path, fatal: int) -> int:
    # O_APPEND: a line is written whole
    with effects.open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    if number == fatal:
        print(json.dumps({"step": number}), flush=True)
        await asyncio.Event().wait()
    return total + number


def faults(effects: Path, pids: tuple[int, int], steps: list[pgstate.StepInfo], result: object) -> list[str]:
    """What is wrong with what was done: by which process each step was, from the first to the last, is known."""
    done = [tuple(map(int, line.split())) for line in effects.read_text().splitlines()]
    wanted = [(number, pids[0]) for number in range(1, FATAL + 1)]
    wanted += [(number, pids[1]) for number in range(FATAL, STEPS + 1)]
    found = [] if done == wanted else [f"what was done is {done}, wanted {wanted}"]
    if [step.step for step in steps] != [f"step-{number:02}" for number in range(1, STEPS + 1)]:
        found.append(f"recorded is {[step.step for step in steps]}")
    if result != sum(range(STEPS + 1)):
        found.append(f"the result is {result}")
    return found


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
