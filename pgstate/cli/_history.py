"""history, rollback."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import CONFLICT, DENIED, MISSING, USAGE
from pgstate.cli._input import KeyArgument, OpIdOption, past
from pgstate.cli._output import Json, ago, indented
from pgstate.types import RolledBack, Version

_PANEL = "State"
_MAX_PAGE = 100_000
_VERSIONS = ("version", "op", "value", "writer", "at")
_CHANGED = ("key", "status", "action", "from_version", "to_version", "version", "old", "new")


async def history(
    cli: Cli,
    key: KeyArgument,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, metavar="N", help="At most this many.")] = 100,
    before: Annotated[int | None, typer.Option(metavar="VERSION", help="Only older ones than this.")] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what each changed, as a unified diff; a column with --json or --csv.")
    ] = False,
) -> None:
    """Shows who wrote what to a key, and when, newest first.

    Exit code 3 if it never existed.
    """
    if before is not None and before < 1:
        raise cli.fail(USAGE, "--before takes a version, which is at least 1")
    async with cli.connect() as state:
        # one more, to compare the last one with, and to know of
        versions = await state.history(key, limit=min(limit + 1, _MAX_PAGE), before=before)
    if not versions and before is None:
        raise cli.fail(MISSING, f"{key} never existed")
    rows = [_version_row(version) for version in versions[:limit]]
    if diff:
        _show_diffs(cli, rows, versions)
    else:
        # where it is not the usual one
        unusual = any(row["trust"] != "agent" for row in rows)
        cli.out.table(rows, (*_VERSIONS, "trust") if unusual else _VERSIONS)
    if len(versions) > limit:
        cli.out.note(f"more: continue with --before {rows[-1]['version']}")


def _show_diffs(cli: Cli, rows: Sequence[dict[str, Any]], versions: Sequence[Version]) -> None:
    for index, row in enumerate(rows):
        version = versions[index]
        older = versions[index + 1] if index + 1 < len(versions) else None
        # against nothing it would look as if this one had brought all of it
        known = older is not None or version.created
        diff_text = "".join(line + "\n" for line in _diff(version, older)) if known else None
        if cli.out.for_programs:
            cli.out.line({**row, "diff": diff_text}, ())
        else:
            said = f"version {version.version}  {version.op} by {version.writer}"
            cli.out.say(f"{said}, {ago(version.at) if cli.out.on_terminal else version.at.isoformat()}")
            cli.out.say(f"(version {version.version - 1} is no longer kept)\n" if diff_text is None else diff_text)


def _version_row(version: Version) -> dict[str, Any]:
    return {
        "key": version.key,
        "version": version.version,
        "op": version.op,
        # a deletion has no value, which is not JSON's null
        "value": Json.of(version) if version.op in ("put", "merge") else None,
        "writer": version.writer,
        "via": version.via,
        "at": version.at,
        "expires_at": version.expires_at,
        "created": version.created,
        "trust": version.trust,
    }


def _diff(version: Version, older: Version | None) -> Iterator[str]:
    before = [] if older is None or version.created else _lines(older)
    names = (f"version {version.version - 1}", f"version {version.version}")
    return difflib.unified_diff(before, _lines(version), *names, lineterm="")


def _lines(version: Version) -> list[str]:
    if version.op not in ("put", "merge"):
        return []
    return indented(Json.of(version).value).splitlines()


async def rollback(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A key, 'tasks/*', 'research/**', or '' for everything readable.")
    ],
    to: Annotated[
        Any,
        typer.Option(
            parser=past,
            metavar="STATE",
            help="A version (of one key), a cursor, a time in ISO 8601, or 10m for ten minutes ago.",
        ),
    ],
    writer: Annotated[
        str | None, typer.Option(metavar="AGENT", help="Only keys that this agent wrote since, and nobody else.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --writer, also keys that others wrote too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    op_id: OpIdOption = None,
) -> None:
    """Brings keys back to what they were, by new versions, all or nothing.

    Keys that were not there then are deleted. Quote the pattern, so that the shell leaves it alone.

    Exit code 4 if a key is claimed (nothing is done then), or was left because others wrote it too (--writer).

    pgstate rollback 'research/**' --to 10m --dry-run
    """
    async with cli.connect() as state:
        rows = await state.rollback(pattern, to, writer=writer, force=force, dry_run=dry_run, op_id=op_id)
    changed = [row for row in rows if row.action != "none"]
    cli.out.table((_changed_row(row) for row in changed), _CHANGED, empty="nothing is to be changed")
    statuses = {row.status for row in changed}
    if "denied" in statuses:
        raise cli.fail(DENIED, f"nothing would be done: {_first(changed, 'denied')} may be read and not written")
    if "held" in statuses:
        raise cli.fail(CONFLICT, f"nothing would be done: {_first(changed, 'held')} is claimed")
    if "refused" in statuses:
        key = _first(changed, "refused")
        raise cli.fail(USAGE, f"nothing would be done: a rule of today refuses what {key} was (pgstate policy explain)")
    if "conflict" in statuses:
        raise cli.fail(CONFLICT, f"left as they are, because others wrote them too: {_first(changed, 'conflict')} …")


def _first(rows: Sequence[RolledBack], status: str) -> str:
    return next(row.key for row in rows if row.status == status)


def _changed_row(row: RolledBack) -> dict[str, Any]:
    return {
        "key": row.key,
        "status": row.status,
        "action": row.action,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "version": row.version,
        "old": Json(row.old) if row.from_version else None,
        "new": Json(row.new) if row.to_version else None,
        "expires_at": row.expires_at,
    }


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "history", panel=_PANEL)(history)
    command(app, "rollback", panel=_PANEL)(rollback)
