"""A process that writes until it is killed: `python _writer.py <dsn> <name>`. It prints a line for each write that was
acknowledged, after the acknowledgement."""

from __future__ import annotations

import asyncio
import itertools
import sys

import pgstate


async def main(dsn: str, name: str) -> None:
    async with pgstate.connect(dsn, timeout=60) as state:
        for number in itertools.count(1):
            await asyncio.gather(state.merge("total", 1, "add"), state.put(f"{name}/log", number))
            print(number, flush=True)


asyncio.run(main(*sys.argv[1:]))
