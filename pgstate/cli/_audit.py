"""audit."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from pgstate.cli._command import Cli, command, group
from pgstate.cli._exit import FAILED, USAGE
from pgstate.cli._input import duration, words
from pgstate.cli._output import Json

_SHOWN = ("id", "at", "event", "agent", "via", "key", "detail")
_MAX_PAGE = 100_000
_CHECK = ("subtree", "sound", "links", "waiting", "head", "fault")

SubtreeArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="SUBTREE", help="A key, 'research/**', or '**' for everything.")
]


async def ls(
    cli: Cli,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Keys and subtrees; all without one.")] = "",
    event: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help="Of this kind only: denied, grant, revoke …")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, metavar="N", help="How many, the newest.")] = 100,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Older than this one.")] = None,
) -> None:
    """Shows who was given what, and who was denied what, newest first."""
    async with cli.connect() as state:
        found = await state.audit(pattern, events=event or None, limit=limit, before=before)
    rows = [
        {
            "id": record.id,
            "at": record.at,
            "event": record.event,
            "agent": record.agent,
            "via": record.via,
            "key": record.key,
            "detail": None if record.detail is None else Json(record.detail),
        }
        for record in found
    ]
    cli.out.table(rows, _SHOWN, empty="nothing")
    if len(found) == limit:
        cli.out.note(f"perhaps more: continue with pgstate audit ls --before {found[-1].id}")


async def alone(cli: Cli) -> None:
    """Shows the audit trail; subcommands verify it and say what is kept."""
    await ls(cli)


async def verify(
    cli: Cli,
    subtree: SubtreeArgument,
    noted: Annotated[str | None, typer.Option(metavar="HEAD", help="The head of an earlier check.")] = None,
) -> None:
    """Computes the chain of a subtree anew; exit code 1 if somebody has changed what it links."""
    async with cli.connect() as state:
        check = await state.verify_audit(subtree, noted)
    row = {
        "subtree": check.subtree,
        "sound": check.sound,
        "links": check.links,
        "waiting": check.waiting,
        "head": check.head,
        "fault": check.fault,
    }
    cli.out.table([row], _CHECK)
    if not check.sound:
        raise cli.fail(FAILED, f"the audit trail of {subtree} is not sound: {check.fault}")


async def chain(
    cli: Cli,
    subtree: SubtreeArgument,
    off: Annotated[bool, typer.Option("--off", help="Link nothing new any more.")] = False,
) -> None:
    """Links the entries about a subtree by hashes from now on, so that verify finds what was changed."""
    async with cli.connect() as state:
        await state.set_audit_chain(subtree, not off)
    said = "no new entries are linked" if off else "entries are linked from now on"
    cli.out.outcome({"subtree": subtree, "active": not off}, ("subtree", "active"), f"{subtree}: {said}")


async def keep(
    cli: Cli,
    span: Annotated[
        float | None, typer.Argument(parser=duration, metavar="DURATION", help="A day at least: 365d.")
    ] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Remove nothing.")] = False,
) -> None:
    """Says how long entries are kept; at first for ever."""
    if (span is None) is not forever:
        raise cli.fail(USAGE, "give a DURATION, or --forever")
    async with cli.connect() as state:
        await state.set_audit(keep=span)
    said = "for ever" if span is None else f"for {words(span)}"
    cli.out.outcome({"keep": span}, ("keep",), f"the audit trail is kept {said}")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    sub, by_itself = group(app, "audit", panel="Access")
    by_itself(alone)
    command(sub, "ls")(ls)
    command(sub, "verify")(verify)
    command(sub, "chain")(chain)
    command(sub, "keep")(keep)
