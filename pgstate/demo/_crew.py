"""The worker processes, as the orchestrator sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

_TOLD = 4000  # characters of a dead worker's last words


class DemoFailed(Exception):
    """The demo did not come out as it must."""


@dataclass(slots=True)
class Worker:
    """One process and the agent that it acts as."""

    agent: str
    process: Process
    killed: bool = False

    async def report(self) -> dict[str, Any]:
        """What it says when it has computed a task that it is not to commit. Returns only if it gets such a task."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            await asyncio.Event().wait()
        said: dict[str, Any] = json.loads(line)
        return said

    async def kill(self) -> None:
        """SIGKILL: nothing in the process gets to tidy up."""
        self.killed = True
        self.process.kill()
        if await self.process.wait() != -signal.SIGKILL:
            raise DemoFailed(f"{self.agent} ended by itself before it was killed")

    async def ended(self) -> None:
        """Returns when it has ended well, or was killed on purpose. Raises DemoFailed with its last words."""
        code = await self.process.wait()
        if code == 0 or self.killed:
            return
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode("utf-8", "replace").strip()
        raise DemoFailed(f"{self.agent} ended with exit code {code}: {said[-_TOLD:]}")


@asynccontextmanager
async def crew(agents: Sequence[str], namespace: str, dsn: str | None) -> AsyncIterator[list[Worker]]:
    """Worker processes, which are gone when the block is left, however it is left."""
    workers: list[Worker] = []
    async with AsyncExitStack() as stack:
        for agent in agents:
            workers.append(await stack.enter_async_context(hired(agent, dsn, "_worker", namespace)))
        yield workers


@asynccontextmanager
async def hired(agent: str, dsn: str | None, module: str, *arguments: str) -> AsyncIterator[Worker]:
    """One process, which is gone when the block is left, however it is left."""
    # not in an argument: everybody on the machine can read those, and an address may hold a password
    environment = os.environ | ({} if dsn is None else {"PGSTATE_DSN": dsn})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"pgstate.demo.{module}", agent, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        # Ctrl-C goes to the orchestrator alone, which ends them
        start_new_session=True,
    )
    try:
        yield Worker(agent, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
