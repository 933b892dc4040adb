"""doctor."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import FAILED

_MARKS = {"problem": "!", "note": "-", "unseen": "?"}


async def doctor(cli: Cli) -> None:
    """Looks for what weakens pgstate in this database and its server, and says what to do about it. Changes nothing.

    Exit code 1 if something wants mending. Any login may run it; what it may not see is told.
    """
    from pgstate.doctor import examine

    found = await examine(await cli.address(), cli.common.listen_dsn)
    for (mark, remedy), alike in groupby(found, lambda finding: (_MARKS[finding.level], finding.remedy)):
        for finding in alike:
            if cli.out.for_programs:
                cli.out.line(asdict(finding), ())
            else:
                cli.out.say(f"{mark} {finding.check}: {finding.what}")
        if not cli.out.for_programs:
            cli.out.say(f"    {remedy}")
    problems = sum(finding.level == "problem" for finding in found)
    if problems:
        raise cli.fail(FAILED, f"{problems} of these want{'s' if problems == 1 else ''} mending")
    if not cli.out.for_programs:
        cli.out.say("nothing wants mending")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "doctor", panel="Server")(doctor)
