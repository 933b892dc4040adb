"""tasks: work in every state; complete, fail and release: how claimed work ends."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from pgstate import errors
from pgstate.cli._command import Cli, command
from pgstate.cli._exit import MISSING, USAGE
from pgstate.cli._input import KeyArgument, OpIdOption, TextOption, duration, json_value, words
from pgstate.cli._output import ago, span
from pgstate.types import TaskState

_SHOWN = ("key", "state", "holder", "lease_left", "attempts", "next_try", "error")
_STATES = ("waiting", "claimed", "failed", "finished")

TokenArgument: TypeAlias = Annotated[int, typer.Argument(metavar="TOKEN", help="The token of your claim of it.")]


async def tasks(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="'tasks/*', 'research/**', or nothing for everything readable.")
    ] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help=f"Only these: {', '.join(_STATES)}; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")] = 1000,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="Go on behind this key.")] = None,
) -> None:
    """Lists entries as work: waiting, claimed (by whom, how long still), failed or finished.

    Into a pipe: key, state, holder, seconds that are left of the lease, attempts, when it may be claimed next (empty:
    at once), and what the last failure said.

    pgstate tasks 'tasks/**' --state claimed --state failed
    """
    async with cli.connect() as connected:
        found = await connected.tasks(pattern, states=state, limit=limit, after=after)
    cli.out.table(
        [_row(cli, one) for one in found],
        _SHOWN,
        empty=f"no tasks match {pattern}" if pattern else "no tasks",
    )
    if len(found) == limit:
        cli.out.note(f"perhaps more: continue with --after {found[-1].key}")


def _row(cli: Cli, one: TaskState) -> dict[str, Any]:
    left = None if one.lease_left is None else one.lease_left.total_seconds()
    return {
        "key": one.key,
        "state": one.state,
        "holder": one.holder,
        "lease_left": left if left is None else span(left) if cli.out.on_terminal else round(left, 3),
        "attempts": one.attempts,
        "next_try": ago(one.next_try) if one.next_try is not None and cli.out.on_terminal else one.next_try,
        "error": one.error,
        "priority": one.priority,
        "lease_until": one.lease_until,
        "version": one.version,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


async def complete(
    cli: Cli,
    key: KeyArgument,
    token: TokenArgument,
    result: Annotated[
        str | None, typer.Argument(metavar="RESULT", help="JSON to put under --move-to; - reads it from stdin.")
    ] = None,
    move_to: Annotated[
        str | None, typer.Option(metavar="KEY", help="Put the result there, or the entry's value without one.")
    ] = None,
    text: TextOption = False,
    op_id: OpIdOption = None,
) -> None:
    """Finishes claimed work: removes the key, and puts its result elsewhere in the same transaction.

    Exit code 4 if the claim was lost.

    pgstate complete tasks/pending/7 TOKEN '{"pages": 3}' --move-to tasks/done/7
    """
    if result is not None and move_to is None:
        raise cli.fail(USAGE, "a result needs a place: give --move-to, the key that it is put under")
    value = None if result is None else json_value(result, literally=text, what="RESULT")
    async with cli.connect() as state:
        version = await state.complete(key, token, value, move_to=move_to, op_id=op_id)
    said = f"{key} is completed" + (f", its result is in {move_to}" if move_to is not None else "")
    cli.out.outcome({"key": key, "version": version, "moved_to": move_to}, ("version",), said)


async def fail(
    cli: Cli,
    key: KeyArgument,
    token: TokenArgument,
    error: Annotated[str | None, typer.Argument(metavar="ERROR", help="What went wrong, for those who look.")] = None,
    retry_in: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="Let it be tried again after this; else as its policy says."
        ),
    ] = None,
    op_id: OpIdOption = None,
) -> None:
    """Gives claimed work back as failed: it is tried again after a while, or goes to the dead letters.

    Exit code 4 if the claim was lost.
    """
    async with cli.connect() as state:
        failed = await state.fail(key, token, error, retry_in, op_id=op_id)
    left = None if failed.retry_in is None else failed.retry_in.total_seconds()
    if left is not None:
        said = f"{key} may be claimed again in {words(left)}"
    elif failed.moved_to is not None:
        said = f"{key} is given up after {failed.attempts} attempts, and lies in {failed.moved_to}"
    else:
        said = f"{key} is given up after {failed.attempts} attempts: pgstate release --force lets it be tried again"
    row = {"key": key, "attempts": failed.attempts, "retry_in": left, "moved_to": failed.moved_to}
    cli.out.outcome(row, ("retry_in", "moved_to"), said)


async def release(
    cli: Cli,
    key: KeyArgument,
    token: Annotated[int | None, typer.Argument(metavar="TOKEN", help="The token of your claim of it.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="End anybody's claim, or let what failed be tried again; needs admin.")
    ] = False,
) -> None:
    """Gives a claim back, or ends somebody else's by force, which is kept in a log.

    Exit code 3 if there is no claim to end by force, 4 if the claim was lost.
    """
    if force is (token is not None):
        raise cli.fail(USAGE, "give the TOKEN of your claim, or --force")
    async with cli.connect() as state:
        released = await state.release(key, token, force=force)
    if not released and force:
        raise cli.fail(MISSING, f"nobody holds {key}, and it has not failed")
    if not released:
        raise errors.StaleToken(f"the token for {key} is not that of its current claim, or its lease ended", key)
    cli.out.outcome({"key": key}, ("key",), f"{key} can be claimed by others again")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "tasks", panel="State")(tasks)
    command(app, "complete", panel="State")(complete)
    command(app, "fail", panel="State")(fail)
    command(app, "release", panel="State")(release)
