"""policy, maintain."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, TypeAlias

import typer

from pgstate import _core, errors
from pgstate.cli._command import Cli, command, group
from pgstate.cli._input import KeyArgument, duration, json_value
from pgstate.cli._output import Json, cells

_PANEL = "Policies"
# how long another may be at maintenance, and how often to look, in seconds
_PATIENCE = 10.0
_PAUSE = 0.1
_SHOWN = ("subtree", "reducer", "ttl", "keep", "value_limit", "schema", "max_attempts", "dead_letter", "guard", "trust")
_NO_RULES = ("subtree", "set_by", "set_at")

SubtreeArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="SUBTREE", help="A key, 'research/**', or '**' for everything.")
]


async def list_(cli: Cli) -> None:
    """Lists policies; subcommands change and explain them."""
    async with cli.connect() as state:
        found = await state.policies()
    rows = [
        {
            "subtree": policy.subtree,
            "reducer": policy.reducer,
            "ttl": None if policy.ttl is None else policy.ttl.total_seconds(),
            "keep": policy.keep,
            "value_limit": policy.value_limit,
            "schema": None if policy.schema is None else Json(policy.schema),
            "max_attempts": policy.max_attempts,
            "backoff": None if policy.backoff is None else policy.backoff.total_seconds(),
            "backoff_limit": None if policy.backoff_limit is None else policy.backoff_limit.total_seconds(),
            "dead_letter": policy.dead_letter,
            "claimed_writes": policy.claimed_writes,
            "guard": policy.guard,
            "trust": policy.trust,
            "set_by": policy.set_by,
            "set_at": policy.set_at,
        }
        for policy in found
    ]
    if cli.out.on_terminal:
        # no terminal is as wide as a column for each
        rules = [{name: value for name, value in row.items() if name not in _NO_RULES} for row in rows]
        rows = [{"subtree": row["subtree"], "rules": cells(rule)} for row, rule in zip(rows, rules, strict=True)]
        cli.out.table(rows, ("subtree", "rules"), empty="no policies")
        return
    cli.out.table(rows, _SHOWN, empty="no policies")


async def set_(
    cli: Cli,
    subtree: SubtreeArgument,
    reducer: Annotated[str | None, typer.Option(metavar="NAME", help="Default of merge.")] = None,
    ttl: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Of what is written without one; 0 for none."),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="HISTORY", help="History kept: everything, '100 versions', '30 days'.")
    ] = None,
    value_limit: Annotated[int | None, typer.Option(metavar="BYTES", help="Largest value.")] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON Schema that values must fit; - reads it from stdin.")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="N", help="Give work up that was claimed this often in vain.")
    ] = None,
    backoff: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Pause after its first failure; doubled each time."),
    ] = None,
    backoff_limit: Annotated[
        float | None, typer.Option(parser=duration, metavar="DURATION", help="The longest such pause.")
    ] = None,
    dead_letter: Annotated[
        str | None, typer.Option(metavar="KEY", help="Move what is given up below this key, such as tasks/dead.")
    ] = None,
    claimed_writes: Annotated[
        bool | None,
        typer.Option(
            "--claimed-writes/--no-claimed-writes", help="Let claimed keys be written without the token, or not."
        ),
    ] = None,
    guard: Annotated[
        str | None, typer.Option(metavar="refuse|redact|off", help="What becomes of writes that hold a secret.")
    ] = None,
    trust: Annotated[
        str | None,
        typer.Option(metavar="external|agent|verified|operator", help="The most that what is written is trusted."),
    ] = None,
) -> None:
    """Sets rules for a key or subtree; what is not given stays as it is.

    pgstate policy set 'research/**' --keep '100 versions' --schema - < schema.json
    """
    rule = None if schema is None else json_value(schema, what="SCHEMA")
    async with cli.connect() as state:
        await state.set_policy(
            subtree,
            reducer=reducer,
            ttl=ttl,
            keep=keep,
            value_limit=value_limit,
            schema=rule,
            max_attempts=max_attempts,
            backoff=backoff,
            backoff_limit=backoff_limit,
            dead_letter=dead_letter,
            claimed_writes=claimed_writes,
            guard=guard,
            trust=trust,
        )
    cli.out.outcome({"subtree": subtree}, ("subtree",), f"the policy on {subtree} is set")


async def remove(
    cli: Cli,
    subtree: SubtreeArgument,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTING", help="Those to take away, such as ttl or keep; all unless given."),
    ] = None,
) -> None:
    """Takes a policy away, or some of its settings."""
    async with cli.connect() as state:
        await state.drop_policy(subtree, settings or None)
    what = f"{' and '.join(settings)} of the policy" if settings else "the policy"
    cli.out.outcome({"subtree": subtree, "settings": settings or None}, ("subtree",), f"{what} on {subtree} is gone")


async def explain(cli: Cli, key: KeyArgument) -> None:
    """Shows what holds for a key, and which subtree each setting comes from."""
    async with cli.connect() as state:
        found = await state.explain_policy(key)
    rows = [
        {
            "setting": row.setting,
            "value": None if row.value is None else Json(row.value),
            "subtree": row.subtree,
        }
        for row in found
    ]
    cli.out.table(rows, ("setting", "value", "subtree"))


async def maintain(cli: Cli) -> None:
    """Removes history that no policy keeps, and indexes for search what was there before.

    Connected clients do it by themselves, a little every ten seconds.
    """
    removed: int | None = 0
    ran = False
    async with cli.connect() as state:
        given_up = time.monotonic() + _PATIENCE
        step = _core.STEP
        while True:
            try:
                done = await state.maintain(step)
            except errors.PgStateError as error:
                if (smaller := _core.smaller_step(step, error)) is None:
                    raise
                step = smaller
                continue
            if done.status == "busy" and time.monotonic() < given_up:
                # it may be a client's little, and there is more
                await asyncio.sleep(_PAUSE)
                continue
            if done.status == "ok":
                ran = True
                removed = None if removed is None or done.removed is None else removed + done.removed
                given_up = time.monotonic() + _PATIENCE
            if not done.more:
                break
    said = "done" if removed is None else f"removed {removed} versions"
    if done.status == "busy":
        removed = removed if ran else None
        said = f"another client is at it{f': {said} before' if ran else ''}"
    cli.out.outcome({"status": done.status, "removed": removed}, ("status", "removed"), said)


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    sub, alone = group(app, "policy", panel=_PANEL)
    alone(list_)
    command(sub, "ls")(list_)
    command(sub, "set")(set_)
    command(sub, "rm")(remove)
    command(sub, "explain")(explain)
    command(app, "maintain", panel=_PANEL)(maintain)
