"""The orchestrator: posts the tasks, follows the feed, kills one worker, checks what came out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgstate import State, errors
from pgstate.demo import _pipeline, _report
from pgstate.demo._crew import DemoFailed, Worker, crew, hired
from pgstate.demo._modules import analyse, choose, expected

if TYPE_CHECKING:
    from rich.console import Console

    from pgstate import Watch

WORKERS = 4
LIMIT = 120.0  # seconds; a demo that hangs fails
_RIGHTS = ("read", "write")


@dataclass(slots=True)
class Demo:
    """One run: its tasks, and what was seen of them in the feed."""

    name: str
    modules: dict[str, Path]
    doomed: str
    embedded: bool = False
    began: float = field(default_factory=time.monotonic)
    changes: int = 0
    completed: dict[str, str] = field(default_factory=dict)
    victim: str | None = None
    killed_at: float = 0.0

    @property
    def namespace(self) -> str:
        return f"demo/{self.name}"


async def run(state: State, dsn: str | None, console: Console) -> bool:
    """Runs the demo and prints what happens; False if anything did not come out as it must.

    `state` must be connected by a login that administers pgstate; workers connect to the same address, None meaning the
    embedded server. Writes below demo/<name of the run>/, which stays. Raises AccessDenied and what connecting raises.
    """
    modules = choose()
    demo = Demo(secrets.token_hex(3), modules, doomed=f"tasks/{list(modules)[len(modules) // 3]}", embedded=dsn is None)
    agents = [f"demo-worker-{number}" for number in range(1, WORKERS + 1)]
    _report.opening(console, demo.namespace, len(modules), agents)
    space = state.namespace(demo.namespace)
    try:
        async with asyncio.timeout(LIMIT), _access(state, agents, demo.namespace):
            async with crew(agents, demo.namespace, dsn) as workers:
                await _work(demo, space, workers, console)
            pipeline = await _die_and_go_on(demo, space, agents[0], dsn, console)
            return await _judge(demo, space, workers, pipeline, console)
    except TimeoutError:
        left = sorted({f"tasks/{module}" for module in modules} - set(demo.completed))
        _report.failure(console, f"not done after {LIMIT:.0f} s; left: {', '.join(left) or 'nothing'}")
    except DemoFailed as error:
        _report.failure(console, str(error))
    return False


@contextlib.asynccontextmanager
async def _access(state: State, agents: Sequence[str], namespace: str) -> AsyncIterator[None]:
    """Registers the workers' agents, which all demos share, with rights on this run's keys for as long as it lasts."""
    for agent in agents:
        try:
            # whoever has tidied up after a demo may see another
            await state.create_agent(agent, reuse=True)
        except errors.InvalidArgument:
            if agent not in {known.name for known in await state.agents()}:
                raise
        for right in _RIGHTS:
            await state.grant_access(agent, f"{namespace}/**", right)
    try:
        yield
    finally:
        for agent in agents:
            for right in _RIGHTS:
                with contextlib.suppress(errors.PgStateError):
                    await state.revoke_access(agent, f"{namespace}/**", right)


async def _work(demo: Demo, space: State, workers: list[Worker], console: Console) -> None:
    """From the workers' start to their end."""
    async with space.watch("**") as feed:
        await _while_alive(workers, _hire(demo, feed))
        with _report.Progress(console, len(demo.modules), demo.began) as progress:
            await _post(demo, space)
            await _while_alive(workers, _follow(demo, feed, progress), _kill_one(demo, workers, progress))
    await space.put("finished", True)
    await asyncio.gather(*(worker.ended() for worker in workers))


async def _while_alive(workers: Sequence[Worker], *work: Coroutine[Any, Any, None]) -> None:
    """Does all of the work at once. Fails as soon as a part of it does, or a worker ends that should not."""
    parts = {asyncio.create_task(part) for part in work}
    guards = {asyncio.create_task(_ends_unasked(worker)) for worker in workers}
    try:
        while parts:
            done, _ = await asyncio.wait(parts | guards, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            parts -= done
            guards -= done
    finally:
        for task in parts | guards:
            task.cancel()
        await asyncio.gather(*parts, *guards, return_exceptions=True)


async def _ends_unasked(worker: Worker) -> None:
    await worker.ended()
    if not worker.killed:
        raise DemoFailed(f"{worker.agent} ended before the work was done")


async def _hire(demo: Demo, feed: Watch) -> None:
    """Waits until every worker has written itself into the key `workers`."""
    async for change in feed:
        demo.changes += 1
        if change.key == "workers" and len(change.value) == WORKERS:
            return


async def _post(demo: Demo, space: State) -> None:
    tasks = {
        f"tasks/{module}": {"module": module, "path": str(path), "kill": f"tasks/{module}" == demo.doomed}
        for module, path in demo.modules.items()
    }
    for result in await space.put_many(tasks):
        if not result.ok:
            raise DemoFailed(f"{result.key} could not be posted: {result.message or result.status}")


async def _follow(demo: Demo, feed: Watch, progress: _report.Progress) -> None:
    """Sees every change of the run, and returns when the last task was completed."""
    async for change in feed:
        demo.changes += 1
        if change.op != "complete":
            continue
        demo.completed.setdefault(change.key, change.writer)
        after = time.monotonic() - demo.killed_at if change.key == demo.doomed else None
        progress.completed(change.key, change.writer, after)
        if len(demo.completed) == len(demo.modules):
            return


async def _kill_one(demo: Demo, workers: Sequence[Worker], progress: _report.Progress) -> None:
    """Kills the worker that got the doomed task, when it has computed what it would merge and before it commits."""
    reports = {asyncio.create_task(worker.report()): worker for worker in workers}
    try:
        done, _ = await asyncio.wait(reports, return_when=asyncio.FIRST_COMPLETED)
        told = done.pop()
        victim, said = reports[told], told.result()
        await victim.kill()
        demo.victim, demo.killed_at = victim.agent, time.monotonic()
        progress.killed(victim.agent, victim.process.pid, said["task"], said["merges"])
    finally:
        for report in reports:
            report.cancel()
        await asyncio.gather(*reports, return_exceptions=True)


async def _die_and_go_on(demo: Demo, space: State, agent: str, dsn: str | None, console: Console) -> _report.Check:
    """A pipeline of 20 steps: killed in step 14, gone on with in another process when the lease of the first has
    ended."""
    key = f"{demo.namespace}/pipeline"
    with tempfile.TemporaryDirectory(prefix="pgstate-demo-") as folder:
        effects = Path(folder) / "effects"
        arguments = (agent, dsn, "_pipeline", key, str(effects))
        async with hired(*arguments, str(_pipeline.FATAL)) as first:
            said = await first.report()
            await first.kill()
        _report.pipeline_killed(console, agent, first.process.pid, said["step"], _pipeline.STEPS)
        async with hired(*arguments) as second:
            await second.ended()
        found, steps = await space.runs.get("pipeline"), await space.runs.steps("pipeline")
        pids = (first.process.pid, second.process.pid)
        faults = _pipeline.faults(effects, pids, steps, None if found is None else found.result)
    _report.pipeline_done(console, second.process.pid, steps, _pipeline.FATAL)
    claim = f"by a file outside the database, steps 1 to {_pipeline.FATAL - 1} of {_pipeline.STEPS} were done once"
    return _report.Check(claim, faults)


async def _judge(
    demo: Demo, space: State, workers: Sequence[Worker], pipeline: _report.Check, console: Console
) -> bool:
    """Prints what came out, and whether it is right: against a count in this process, and by the database's history."""
    found = [await asyncio.to_thread(analyse, module, path) for module, path in demo.modules.items()]
    wanted = expected(found)
    got = {
        entry.key: sorted(entry.value) if entry.key == "names" else entry.value
        for entry in await space.list("", limit=None)
        if entry.key.startswith(("totals/", "imports/")) or entry.key in ("names", "modules")
    }
    _report.results(console, got)
    history = await space.history("totals/lines", limit=None)
    _report.history(console, f"{demo.namespace}/totals/lines", history)
    entries = await space.get_many([f"stats/{worker.agent}" for worker in workers if not worker.killed])
    stats = {entry.key.removeprefix("stats/"): entry.value for entry in entries if entry is not None}
    _report.counts(console, {**stats, "orchestrator": asdict(space.stats)}, demo.victim, demo.changes)

    faults = [
        f"{key}: merged {got.get(key)!r:.80}, counted {wanted.get(key)!r:.80}"
        for key in sorted(wanted.keys() | got.keys())
        if got.get(key) != wanted.get(key)
    ]
    checks = [_report.Check(f"all {len(wanted)} merged keys equal a count of the same files in one process", faults)]
    checks.append(
        _report.Check(
            f"by the history, each of {len(demo.modules)} tasks was completed exactly once",
            await _not_once(demo, space),
        )
    )
    checks.append(_report.Check(f"{demo.victim} was killed, and another finished its task", _not_taken_over(demo)))
    checks.append(pipeline)
    _report.verdict(console, checks, demo.namespace, time.monotonic() - demo.began, embedded=demo.embedded)
    return not any(check.faults for check in checks)


async def _not_once(demo: Demo, space: State) -> list[str]:
    faults = []
    for key in (f"tasks/{module}" for module in demo.modules):
        operations = [version.op for version in await space.history(key, limit=None)]
        if operations != ["complete", "put"]:
            faults.append(f"{key}: {', '.join(reversed(operations))}")
    # each module was counted by one version of this key, so one too many would show even if the sum were right
    counted = [version.value for version in await space.history("totals/modules", limit=None)]
    if counted != list(range(len(demo.modules), 0, -1)):
        faults.append(f"totals/modules went through {counted}")
    return faults


def _not_taken_over(demo: Demo) -> list[str]:
    finisher = demo.completed.get(demo.doomed)
    if demo.victim is None or finisher in (None, demo.victim):
        return [f"{demo.doomed}: killed {demo.victim}, finished by {finisher}"]
    return []
