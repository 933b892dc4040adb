"""get, put, merge, rm, ls, namespaces."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from pgstate.cli._command import Cli, command
from pgstate.cli._exit import MISSING, USAGE
from pgstate.cli._input import (
    AsOfOption,
    KeyArgument,
    MinTrustOption,
    OpIdOption,
    SourceOption,
    TextOption,
    TokenOption,
    TrustOption,
    TtlOption,
    json_value,
    moment,
)
from pgstate.cli._output import Json, ago, compact, indented, visible
from pgstate.types import UNSET, Entry

_PANEL = "State"
_MAX_PAGE = 100_000
_LISTED = ("key", "version", "value", "writer", "updated_at")


def entry_row(entry: Entry[Any]) -> dict[str, Any]:
    """An entry's columns, as JSON and CSV have them."""
    return {
        "key": entry.key,
        "version": entry.version,
        "value": Json.of(entry),
        "kind": entry.kind,
        "writer": entry.writer,
        "via": entry.via,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
        "expires_at": entry.expires_at,
        "priority": entry.priority,
        "not_before": entry.not_before,
        "trust": entry.trust,
    }


def past_row(entry: Entry[Any]) -> dict[str, Any]:
    """What is known of an entry as it was."""
    return {
        "key": entry.key,
        "version": entry.version,
        "value": Json.of(entry),
        "writer": entry.writer,
        "via": entry.via,
        "updated_at": entry.updated_at,
        "expires_at": entry.expires_at,
        "trust": entry.trust,
    }


async def get(
    cli: Cli,
    key: KeyArgument,
    text: Annotated[bool, typer.Option("--text", help="Print a string without quotes.")] = False,
    as_of: AsOfOption = None,
    min_trust: MinTrustOption = None,
) -> None:
    """Prints the value of a key.

    It is JSON; with --json or --csv the whole entry is printed. Exit code 3 if there is none.
    """
    async with cli.connect() as state:
        entry = await state.get(key, as_of=as_of, min_trust=min_trust)
    if entry is None:
        if isinstance(as_of, int):
            missing = f"{key} has no value at version {as_of}; pgstate history shows the versions that are kept"
        else:
            missing = f"{key} does not exist" if as_of is None else f"{key} did not exist then"
        raise cli.fail(MISSING, missing if min_trust is None else f"{missing}, or is trusted less")
    value = Json.of(entry).value
    if text and isinstance(value, str) and not cli.out.for_programs:
        sys.stdout.write(visible(value) + "\n" if sys.stdout.isatty() else value + "\n")
    elif cli.out.on_terminal:
        _show(cli, entry)
    elif cli.out.for_programs:
        cli.out.line(entry_row(entry) if as_of is None else past_row(entry), ())
    else:
        print(compact(value))


def _show(cli: Cli, entry: Entry[Any]) -> None:
    from rich.text import Text

    facts = [f"version {entry.version}", f"by {entry.writer}", ago(entry.updated_at)]
    if entry.trust != "agent":
        facts.append(f"trusted as {entry.trust}")
    if entry.expires_at is not None:
        facts.append(f"expires {ago(entry.expires_at)}")
    console = cli.out.console()
    console.print(Text.assemble((entry.key, "bold cyan"), "  ", (" · ".join(facts), "dim")))
    from rich.highlighter import JSONHighlighter

    # lines that Rich breaks are lines to who copies them
    console.print(JSONHighlighter()(visible(indented(Json.of(entry).value))), soft_wrap=True)


async def put(
    cli: Cli,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON; - reads it from stdin.")],
    text: TextOption = False,
    expect: Annotated[
        int | None, typer.Option(metavar="VERSION", help="Only replace this version; 0 only creates.")
    ] = None,
    expect_value: Annotated[str | None, typer.Option(metavar="JSON", help="Only replace this value.")] = None,
    ttl: TtlOption = None,
    token: TokenOption = None,
    op_id: OpIdOption = None,
    priority: Annotated[int | None, typer.Option(metavar="N", help="Higher ones are claimed first.")] = None,
    not_before: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Not claimable before this, ISO 8601.")
    ] = None,
    trust: TrustOption = None,
    source: SourceOption = None,
) -> None:
    """Writes a value and prints the key's new version.

    VALUE is JSON: 5, '"text"', '{"a": [1, 2]}'. With --text it is taken literally.
    Exit code 4 if the key is not as expected, or claimed by somebody else; --json and --csv then print its status
    (conflict, held or stale), and on a conflict the current version and value (version 0: there is none).
    """
    new = json_value(value, literally=text)
    compared = UNSET if expect_value is None else json_value(expect_value, what="--expect-value")
    async with cli.connect() as state:
        version = await state.put(
            key,
            new,
            expect=expect,
            expect_value=compared,
            ttl=ttl,
            op_id=op_id,
            token=token,
            priority=priority,
            not_before=not_before,
            trust=trust,
            sources=source,
        )
    cli.out.outcome({"key": key, "version": version}, ("version",), f"{key} is at version {version}")


async def merge(
    cli: Cli,
    key: KeyArgument,
    operand: Annotated[str, typer.Argument(metavar="OPERAND", help="JSON; - reads it from stdin.")],
    reducer: Annotated[
        str | None,
        typer.Argument(
            metavar="REDUCER",
            help="replace, append, add, max, min, union, merge, deep_merge, messages or first; "
            "the one that a policy sets unless given.",
        ),
    ] = None,
    text: TextOption = False,
    return_value: Annotated[bool, typer.Option("--return-value", help="Print the merged value.")] = False,
    ttl: TtlOption = None,
    token: TokenOption = None,
    op_id: OpIdOption = None,
    trust: TrustOption = None,
    source: SourceOption = None,
) -> None:
    """Merges an operand into a key by a reducer.

    Done inside the database, so concurrent merges all take effect. Prints the key's version.

    pgstate merge totals/lines 120 add
    """
    new = json_value(operand, literally=text, what="OPERAND")
    async with cli.connect() as state:
        if not return_value:
            version = await state.merge(
                key, new, reducer, ttl=ttl, token=token, op_id=op_id, trust=trust, sources=source
            )
            cli.out.outcome({"key": key, "version": version}, ("version",), f"{key} is at version {version}")
            return
        merged = await state.merge(
            key, new, reducer, ttl=ttl, token=token, op_id=op_id, trust=trust, sources=source, return_value=True
        )
        cli.out.outcome({"key": key, "value": Json(merged)}, ("value",), f"{key} is {compact(merged)}")


async def rm(
    cli: Cli,
    key: KeyArgument,
    expect: Annotated[int | None, typer.Option(metavar="VERSION", help="Only delete this version.")] = None,
    token: TokenOption = None,
    op_id: OpIdOption = None,
) -> None:
    """Deletes a key; its history stays.

    Exit code 3 if there is none.
    """
    async with cli.connect() as state:
        version = await state.delete(key, expect=expect, token=token, op_id=op_id)
    if version is None:
        raise cli.fail(MISSING, f"{key} does not exist")
    cli.out.outcome({"key": key, "version": version}, ("version",), f"{key} is deleted, at version {version}")


async def ls(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="'tasks/*', 'research/**', or nothing for everything readable.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, metavar="N", help="At most this many.")] = 1000,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="Continue behind this key.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    as_of: AsOfOption = None,
    min_trust: MinTrustOption = None,
) -> None:
    """Lists entries in the order of their keys.

    Quote the pattern, so that the shell leaves it alone.

    Into a pipe: key, version, value, writer and time, separated by tabs.
    """
    if pattern.endswith("/") and not pattern.startswith("/"):
        # as one lists a folder
        raise cli.fail(USAGE, f"{pattern} is no pattern: {pattern}* lists what is right below, {pattern}** all of it")
    shown = entry_row if as_of is None else past_row
    async with cli.connect() as state:
        while True:
            page = await state.list(pattern, limit=limit, after=after, as_of=as_of, min_trust=min_trust)
            empty = f"nothing matches {pattern}" if pattern else "nothing is there"
            if pattern and not set("*?") & set(pattern):
                empty += f"; {pattern}/** lists what lies below"
            cli.out.table((shown(entry) for entry in page), _LISTED, empty=empty)
            after = page.after
            if after is None or not everything:
                break
    if after is not None:
        cli.out.note(f"perhaps more: continue with --after {after}, or use --all")


async def namespaces(
    cli: Cli,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="'memory/**', or nothing for everything readable.")
    ] = "",
    matching: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only those that match this too.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, metavar="N", help="Cut short to this many segments.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, metavar="N", help="At most this many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Pass over as many.")] = 0,
) -> None:
    """Lists the keys under which there are entries: theirs without the last segment, each once."""
    async with cli.connect() as state:
        found = await state.namespaces(pattern, matching=matching or (), depth=depth, limit=limit, offset=offset)
    empty = f"nothing matches {pattern}" if pattern else "nothing is there"
    cli.out.table(({"namespace": name} for name in found), ("namespace",), empty=empty)
    if len(found) == limit:
        cli.out.note(f"perhaps more: continue with --offset {offset + limit}")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "get", panel=_PANEL)(get)
    command(app, "put", panel=_PANEL, values=True)(put)
    command(app, "merge", panel=_PANEL, values=True)(merge)
    command(app, "rm", panel=_PANEL)(rm)
    command(app, "ls", panel=_PANEL)(ls)
    command(app, "namespaces", panel=_PANEL)(namespaces)
