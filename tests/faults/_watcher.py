"""A process that watches from a cursor until it is killed: `python _watcher.py <dsn> <cursor>`. It prints a line for each
change, the last of its cursors that is good to go on from."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import pgstate


async def main(dsn: str, cursor: str) -> None:
    logging.getLogger("pgstate").setLevel(logging.ERROR)
    while True:
        try:
            state = await pgstate.connect(dsn, timeout=60)
        except pgstate.errors.Unreachable:
            # it may be started while the server is down
            await asyncio.sleep(0.01)
        else:
            break
    async with state, state.watch(since=cursor) as watch:
        async for c in watch:
            told = (c.key, c.version, c.op, c.value, c.previous, c.created, c.writer, c.whole, c.cursor)
            print(json.dumps(told), flush=True)


asyncio.run(main(*sys.argv[1:]))
