"""A process that watches: `python -m benchmarks._watchers DSN AGENT FIRST COUNT`, started by `benchmarks.watch`.

Watches COUNT areas from FIRST on, says `ready` once each watch has seen its first change, and when every area has seen
its last prints how late each change came, in seconds, as one line of JSON. Changes carry the moment at which they were
put, of a clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import pgstate
from pgstate import State

FIRST, LAST = "first", "last"


def area(number: int) -> str:
    """The subtree of a watch."""
    return f"load/area-{number:03d}"


async def _watch(state: State, number: int, ready: asyncio.Event, late: list[float]) -> None:
    clock = time.monotonic
    async with state.watch(f"{area(number)}/**") as watch:
        async for change in watch:
            now = clock()
            put_at = change.value["at"]
            if put_at == LAST:
                return
            if put_at == FIRST:
                ready.set()
            else:
                late.append(now - put_at)


async def _main(dsn: str, agent: str, first: int, count: int) -> None:
    numbers = range(first, first + count)
    late: list[float] = []
    async with pgstate.connect(dsn, agent=agent or None) as state:
        ready = [asyncio.Event() for _ in numbers]
        watches = [asyncio.create_task(_watch(state, n, event, late)) for n, event in zip(numbers, ready, strict=True)]
        # a watch does not say when it has begun: what it must see is put until it sees it
        for number, event in zip(numbers, ready, strict=True):
            while not event.is_set():
                await state.put(f"{area(number)}/first", {"at": FIRST})
                await asyncio.sleep(0.02)
        print("ready", flush=True)
        await asyncio.gather(*watches)
    print(json.dumps(late), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
