"""claim: take, renew, release and complete; claims: who holds what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pgstate import errors
from pgstate.cli._command import Cli, command
from pgstate.cli._exit import MISSING, USAGE
from pgstate.cli._input import duration, words
from pgstate.cli._output import Json, ago, compact, span, visible
from pgstate.types import Claim, HeldClaim

_SHOWN = ("key", "token", "value", "lease_until", "attempts")
_HELD = ("key", "holder", "lease_left", "attempts")


async def claim(
    cli: Cli,
    pattern: Annotated[
        str,
        typer.Argument(metavar="KEY|PATTERN", help="A key, or a pattern: then the most urgent, longest waiting one."),
    ],
    lease: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="Hold it this long: seconds, or 90s, 5m, 2h.")
    ] = 30.0,
    wait: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Wait this long for something to become claimable."),
    ] = None,
    renew: Annotated[int | None, typer.Option(metavar="TOKEN", help="Hold on to KEY, for --lease from now.")] = None,
    release: Annotated[int | None, typer.Option(metavar="TOKEN", help="Give KEY back for others to claim.")] = None,
    complete: Annotated[int | None, typer.Option(metavar="TOKEN", help="The work is done: remove KEY.")] = None,
) -> None:
    """Claims an entry for a while; also renews, releases, completes.

    Prints the fencing token that writes to a claimed key take. Exit code 3 if nothing is free, 4 if KEY is held by
    somebody or the claim was lost.

    pgstate claim 'tasks/*' --lease 5m

    pgstate claim tasks/7 --complete TOKEN
    """
    if sum(given is not None for given in (renew, release, complete)) > 1:
        raise cli.fail(USAGE, "give one of --renew, --release and --complete")
    if renew is not None:
        await _renew(cli, pattern, renew, lease)
    elif release is not None:
        await _release(cli, pattern, release)
    elif complete is not None:
        await _complete(cli, pattern, complete)
    else:
        await _take(cli, pattern, lease, wait)


async def _take(cli: Cli, pattern: str, lease: float, wait: float | None) -> None:
    async with cli.connect() as state:
        if wait is None and not set("*?") & set(pattern):
            taken = await state.claim(pattern, lease)
            nothing = f"{pattern} does not exist"
        else:
            taken = await state.claim_next(pattern, lease, wait=wait)
            nothing = f"nothing that matches {pattern} can be claimed now"
    if taken is None:
        raise cli.fail(MISSING, nothing)
    if not cli.out.on_terminal:
        cli.out.line(_row(taken), _SHOWN)
        return
    from rich.text import Text

    facts = f"token {taken.token} · until {_clock(taken)} · attempt {taken.attempts}"
    console = cli.out.console()
    console.print(Text.assemble((taken.key, "bold cyan"), "  ", (facts, "yellow")))
    console.print(Text(visible(compact(Json.of(taken).value))), no_wrap=True, overflow="ellipsis")
    console.print(Text(f"when done: pgstate claim {taken.key} --complete {taken.token}", style="dim"))


def _row(taken: Claim) -> dict[str, Any]:
    return {
        "key": taken.key,
        "token": taken.token,
        "value": Json.of(taken),
        "version": taken.version,
        "lease_until": taken.lease_until,
        "attempts": taken.attempts,
    }


def _clock(taken: Claim) -> str:
    return f"{taken.lease_until.astimezone():%H:%M:%S} ({ago(taken.lease_until)})"


async def _renew(cli: Cli, key: str, token: int, lease: float) -> None:
    async with cli.connect() as state:
        held = await state.renew(key, token, lease)
    row = {"key": key, "token": token, "lease_until": held.lease_until, "attempts": held.attempts}
    cli.out.outcome(row, ("lease_until",), f"{key} is yours for {words(lease)} more, until {_clock(held)}")


async def _release(cli: Cli, key: str, token: int) -> None:
    async with cli.connect() as state:
        released = await state.release(key, token)
    if not released:
        raise errors.StaleToken(f"the token for {key} is not that of its current claim, or its lease ended", key)
    cli.out.outcome({"key": key, "token": token}, ("key",), f"{key} can be claimed by others again")


async def _complete(cli: Cli, key: str, token: int) -> None:
    async with cli.connect() as state:
        version = await state.complete(key, token)
    cli.out.outcome({"key": key, "version": version}, ("version",), f"{key} is completed")


async def claims(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="'tasks/*', 'research/**', or nothing for everything readable.")
    ] = "",
    log: Annotated[bool, typer.Option("--log", help="Claims that were ended by force instead, newest first.")] = False,
) -> None:
    """Lists who holds which entry, and for how long yet.

    Into a pipe: key, holder, seconds that are left of the lease, and how often the entry was claimed. With --log: key,
    who held it, who ended that, and when; needs admin.
    """
    if log:
        await _log(cli, pattern)
        return
    async with cli.connect() as state:
        held = await state.claims(pattern)
    rows = [
        {
            "key": one.key,
            "holder": one.holder,
            "lease_left": _left(cli, one),
            "attempts": one.attempts,
            "lease_until": one.lease_until,
            "claimed_at": one.claimed_at,
        }
        for one in held
    ]
    cli.out.table(
        rows, _HELD, empty=f"nobody holds a claim that matches {pattern}" if pattern else "nobody holds a claim"
    )


async def _log(cli: Cli, pattern: str) -> None:
    async with cli.connect() as state:
        ended = await state.claim_log(pattern, limit=None)
    rows = [
        {
            "key": one.key,
            "holder": one.holder,
            "released_by": one.released_by,
            "at": one.at,
            "via": one.via,
            "token": one.token,
            "attempts": one.attempts,
            "lease_until": one.lease_until,
        }
        for one in ended
    ]
    cli.out.table(rows, ("key", "holder", "released_by", "at"), empty="no claim was ended by force")


def _left(cli: Cli, one: HeldClaim) -> float | str:
    left = one.lease_left.total_seconds()
    if not cli.out.on_terminal:
        return round(left, 3)
    minutes, seconds = divmod(round(left), 60)
    # whoever waits for the end wants to know it better than span() says
    return f"{minutes} min {seconds} s" if 0 < minutes < 60 else span(left)


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "claim", panel="State")(claim)
    command(app, "claims", panel="State")(claims)
