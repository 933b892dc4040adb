"""runs: durable runs, as a list, as a timeline, and what can be done to them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from pgstate import errors
from pgstate.cli._command import Cli, command, group
from pgstate.cli._exit import MISSING, OK
from pgstate.cli._input import json_value
from pgstate.cli._output import Json, ago, span
from pgstate.types import RunInfo, StepInfo

_SHOWN = ("key", "run", "state", "steps", "step", "holder", "updated_at", "error")
_LINE = ("step", "state", "at", "took", "attempts", "value")
_STATES = ("waiting", "running", "done", "failed", "cancelled")
_ENDED = ("done", "failed", "cancelled")

RunArgument: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="The run.")]


async def ls(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="'research/**', or nothing for everything readable.")
    ] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help=f"Only these: {', '.join(_STATES)}; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")] = 1000,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="Go on behind this key.")] = None,
) -> None:
    """Lists runs: their state, how many steps are done and which was the last, who works on them.

    pgstate runs ls 'research/**' --state failed
    """
    async with cli.connect() as connected:
        found = await connected.runs.list(pattern, states=state, limit=limit, after=after)
    cli.out.table([_row(one) for one in found], _SHOWN, empty=f"no runs match {pattern}" if pattern else "no runs")
    if len(found) == limit:
        cli.out.note(f"perhaps more: continue with --after {found[-1].key}")


def _row(one: RunInfo) -> dict[str, Any]:
    return {
        "key": one.key,
        "run": one.name,
        "state": one.state,
        "steps": one.steps,
        "step": one.step,
        "holder": one.holder,
        "updated_at": one.updated_at,
        "error": one.error,
        "lease_until": one.lease_until,
        "attempts": one.attempts,
        "priority": one.priority,
        "ready_at": one.ready_at,
        "deadline": one.deadline,
        "result": Json(one.result),
        "input": Json(one.input),
        "code": one.code,
        "parent": one.parent,
        "forked_from": one.forked_from,
        "forked_step": one.forked_step,
        "version": one.version,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
    }


async def show(cli: Cli, key: RunArgument) -> None:
    """Shows a run as a timeline: what was done, when, how long it took, and what came of it.

    Exit code 3 if there is no run.
    """
    async with cli.connect() as state:
        found, steps, head = await state.runs.get(key), await state.runs.steps(key), await state.get(key)
    if found is None:
        raise cli.fail(MISSING, f"there is no run {key}")
    if cli.out.on_terminal:
        ending = found.state not in _ENDED and head is not None and "cancelling" in head.value
        cli.out.say(_about(found, steps) + (", told to end" if ending else ""))
    cli.out.table([_step(cli, found, step) for step in steps], _LINE, empty="no steps yet")


def _about(run: RunInfo, steps: list[StepInfo]) -> str:
    said = f"{run.key}: {run.state}, {run.steps} {'step' if run.steps == 1 else 'steps'}, begun {ago(run.created_at)}"
    if run.ended_at is not None:
        said += f", ended {ago(run.ended_at)}"
    if run.holder is not None:
        said += f", {run.holder} works on it (worker {run.attempts})"
    if run.state == "waiting":
        waits = [step.name for step in steps if step.state == "pending"]
        said += f", for {' and '.join(waits)}" if waits else ""
        said += "" if run.ready_at is None else f", until {run.ready_at.isoformat(timespec='seconds')}"
    if run.forked_from is not None:
        said += f", forked from {run.forked_from}" + (f" at {run.forked_step}" if run.forked_step else "")
    return said + (f"\n{run.error}" if run.error else "")


def _step(cli: Cli, run: RunInfo, step: StepInfo) -> dict[str, Any]:
    took = None if step.finished_at is None else (step.finished_at - step.started_at).total_seconds()
    since = (step.started_at - run.created_at).total_seconds()
    value: Any = Json(step.result) if step.state == "done" and step.kind != "sleep" else step.error
    if step.state == "pending" or step.kind == "sleep":
        value = None if step.due_at is None else f"until {step.due_at.isoformat(timespec='seconds')}"
    row = {
        "step": step.step,
        "state": step.state,
        "at": step.started_at,
        "took": None if took is None else round(took, 3),
        "attempts": step.attempts,
        "value": value,
        "kind": step.kind,
        "position": step.position,
        "result": Json(step.result),
        "error": step.error,
        "finished_at": step.finished_at,
        "due_at": step.due_at,
        "token": step.token,
    }
    if cli.out.on_terminal:
        # when in the run's life, which is what a timeline is read for
        row |= {"at": f"+{_short(since)}", "took": "" if took is None else _short(took)}
    return row


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else span(seconds)


async def tail(cli: Cli, key: RunArgument) -> None:
    """Follows a run: each step as it is finished, until the run has ended (or Ctrl-C).

    Exit code 3 if there is no run, 1 if it ends as failed or cancelled.
    """
    cli.out.on_interrupt = OK
    told: set[str] = set()
    async with cli.connect() as state, state.watch(key, initial=True) as changes:
        if await state.runs.get(key) is None:
            raise cli.fail(MISSING, f"there is no run {key}")
        async for _ in changes:
            found, steps = await state.runs.get(key), await state.runs.steps(key)
            if found is None:
                raise cli.fail(MISSING, f"run {key} was deleted")
            for step in steps:
                if step.state != "pending" and step.step not in told:
                    told.add(step.step)
                    cli.out.line(_step(cli, found, step), _LINE)
            if found.state in _ENDED:
                cli.out.note(_about(found, steps))
                if found.state != "done":
                    raise cli.fail(1)
                return


async def signal(
    cli: Cli,
    key: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the run waits for.")],
    payload: Annotated[str, typer.Argument(metavar="PAYLOAD", help="JSON; - reads it from stdin.")] = "null",
) -> None:
    """Sends a signal to a run, which keeps it until a step takes it: an approval, say.

    Exit code 3 if there is no run, 4 if it has ended.

    pgstate runs signal research/report-42 approve '{"by": "ana"}'
    """
    value = json_value(payload, what="PAYLOAD")
    async with cli.connect() as state:
        await state.runs.signal(key, name, value)
    cli.out.outcome({"key": key, "signal": name}, ("key",), f"{key} has got {name}")


async def cancel(cli: Cli, key: RunArgument) -> None:
    """Cancels a run; its worker, or the next one that knows its workflow, undoes what there is to undo.

    Exit code 3 if there is no run, 4 if it has ended.
    """
    async with cli.connect() as state:
        at_once = await state.runs.cancel(key)
    said = f"{key} is cancelled" if at_once else f"{key} is told to end: what it has done is undone before"
    cli.out.outcome({"key": key, "cancelled": at_once}, ("cancelled",), said)


async def retry(cli: Cli, key: RunArgument) -> None:
    """Lets a failed or cancelled run go on: the steps that it failed with are done again.

    Exit code 3 if there is no run, 4 if it is done.
    """
    async with cli.connect() as state:
        again = await state.runs.retry(key)
    said = f"{key} waits for a worker" if again else f"{key} has not ended"
    cli.out.outcome({"key": key, "retried": again}, ("retried",), said)


async def fork(
    cli: Cli,
    key: RunArgument,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The key of the new run.")],
    from_step: Annotated[
        str | None, typer.Option(metavar="STEP", help="The first step that is done anew; else none is.")
    ] = None,
) -> None:
    """Makes a run of what another has done before a step.

    Exit code 3 if there is no such run or step, 4 if there is a run under TARGET.

    pgstate runs fork research/report-42 research/report-43 --from-step write
    """
    async with cli.connect() as state:
        await state.runs.fork(key, target, from_step)
    cli.out.outcome({"key": target}, ("key",), f"{target} goes on from {from_step or 'the end'} of {key}")


async def rm(cli: Cli, key: RunArgument) -> None:
    """Deletes a run with its steps.

    Exit code 3 if there is none, 4 while somebody works on it.
    """
    async with cli.connect() as state:
        if not await state.runs.delete(key):
            raise errors.RunMissing(f"there is no run {key}", key)
    cli.out.outcome({"key": key}, ("key",), f"{key} is deleted")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    runs, without = group(app, "runs", panel="State")
    without(_ls_alone)
    for name, function in (
        ("ls", ls), ("show", show), ("tail", tail), ("signal", signal), ("cancel", cancel), ("retry", retry),
        ("fork", fork), ("rm", rm),
    ):  # fmt: skip
        command(runs, name)(function)


async def _ls_alone(cli: Cli) -> None:
    """Durable runs: lists them, shows one as a timeline, follows it; signal, cancel, retry, fork, rm."""
    await ls(cli)
