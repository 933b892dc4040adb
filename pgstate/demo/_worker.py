"""A worker process: waits for tasks, reads the modules that they name, merges what it finds.

Started by the orchestrator with its agent's name and the namespace; the address is in the environment. It ends when the
key `finished` appears, or when its standard input is closed: then the orchestrator is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import pgstate
from pgstate import Claim, State, errors, ops
from pgstate.demo._modules import analyse, merges

LEASE = 2.0
_FOREVER = 86400.0


async def main(agent: str, namespace: str) -> None:
    """The whole life of a worker."""
    async with pgstate.connect(agent=agent) as state:
        space = state.namespace(namespace)
        # all workers write into one document: compare-and-set, again when another was faster
        await space.update("workers", lambda known: {**(known or {}), agent: os.getpid()})
        ends = [asyncio.create_task(end) for end in (_work(space), _finished(space), _orphaned())]
        done, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
        await space.put(f"stats/{agent}", asdict(state.stats))


async def _work(space: State) -> None:
    while True:
        task = await space.claim_next("tasks/*", lease=LEASE, wait=_FOREVER)
        if task is not None:
            await _finish(space, task)


async def _finish(space: State, task: Claim) -> None:
    """Does a task and commits it: the merges and the end of the task together, and only while the claim is ours."""
    holding = asyncio.create_task(_hold(space, task))
    try:
        module = task.value["module"]
        found = await asyncio.to_thread(analyse, module, Path(task.value["path"]))
        operations = merges(found)
        if task.value["kill"] and task.attempts == 1:
            await _await_death(task, len(operations))
        await space.apply(
            guards=[ops.token(task.key, task.token)],
            operations=[*operations, ops.complete(task.key, task.token)],
        )
    except errors.StaleToken:
        # the lease ended before this was done, so none of it was written and another worker has the task
        pass
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def _hold(space: State, task: Claim) -> None:
    """Renews the lease while the work goes on. Once it is lost the commit will be refused, so this says nothing."""
    with contextlib.suppress(errors.StaleToken):
        while True:
            await asyncio.sleep(LEASE / 3)
            await space.renew(task.key, task.token, LEASE)


async def _await_death(task: Claim, operations: int) -> None:
    print(json.dumps({"task": task.key, "token": task.token, "merges": operations}), flush=True)
    await asyncio.Event().wait()


async def _finished(space: State) -> None:
    async for _ in space.watch("finished", initial=True):
        return


async def _orphaned() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    raise SystemExit("the orchestrator is gone")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
