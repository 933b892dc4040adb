"""A process killed in the middle of a graph: the next one goes on in the step that was under way."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("_twenty_steps.py")


async def start(dsn: str, log: Path, stop: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, dsn, log, str(stop), stdout=asyncio.subprocess.PIPE
    )


@pytest.mark.thorough
async def test_killed_at_step_14_of_20(dsn: str, tmp_path: Path) -> None:
    log = tmp_path / "steps"
    for stop in (14, 17):
        process = await start(dsn, log, stop)
        assert process.stdout is not None
        async with asyncio.timeout(300):
            assert await process.stdout.readline() == b"reached\n"
            process.send_signal(signal.SIGKILL)
            await process.wait()
    process = await start(dsn, log, 0)
    async with asyncio.timeout(300):
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert said.decode().split() == [str(number) for number in range(1, 21)]
    # each step once, and again those in which the process was killed
    steps = [int(line) for line in log.read_text().split()]
    assert steps == [*range(1, 15), *range(14, 18), *range(17, 21)]
