"""threads, thread."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pydantic_core
import typer

from pgstate._codec import JSON
from pgstate.cli._command import Cli, command
from pgstate.cli._exit import MISSING, USAGE
from pgstate.cli._input import KeyArgument, TokenOption, TtlOption, json_value
from pgstate.cli._output import Json

_PANEL = "Threads"
_LISTED = ("key", "checkpoints", "bytes", "checkpoint", "writer", "updated_at")
_CHANNELS = ("channel", "type", "value")
_POINTS = ("id", "metadata", "size", "writer", "created_at")
_MAX_PAGE = 100_000
_UNKNOWN = object()

IdArgument = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Its id: see 'thread history'.")]
NamespaceOption = Annotated[
    str, typer.Option("--ns", metavar="NAME", help="The namespace of a nested agent within the thread.")
]


async def list_(
    cli: Cli,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="'research/**'; everything readable without.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, metavar="N", help="At most this many.")] = 1000,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="Continue behind this key.")] = None,
) -> None:
    """Lists threads: how many checkpoints they have, what was sent for them, and when they were last changed."""
    async with cli.connect() as state:
        threads = await state.threads(pattern, limit=limit, after=after)
    rows = [{name: getattr(thread, name) for name in thread.__slots__} for thread in threads]
    cli.out.table(rows, _LISTED, empty=f"no threads in {pattern or 'anything readable'}")
    if len(threads) == limit:
        cli.out.note(f"perhaps more: continue with --after '{threads[-1].key}'")


async def show(
    cli: Cli,
    key: KeyArgument,
    checkpoint: Annotated[
        str | None, typer.Argument(metavar="CHECKPOINT", help="Its id; the latest one without.")
    ] = None,
    ns: NamespaceOption = "",
) -> None:
    """Shows the channels of a checkpoint: values that are JSON or LangGraph's (where that is installed), and of others
    their type.

    Exit code 3 if it is not there.
    """
    async with cli.connect() as state:
        channels = await state.thread(key, namespace=ns).channels(checkpoint)
        values = {channel.name: channel.value for channel in channels if channel.type == "json"}
        serializer = _langgraph() if any(channel.type == "msgpack" for channel in channels) else None
        if serializer is not None:
            thread = state.thread(key, namespace=ns, serializer=serializer)
            found = await (thread.latest() if checkpoint is None else thread.get(checkpoint))
            if found is not None:
                # of this one all, should there be a newer one by now
                channels = await thread.channels(found.id)
                values = {name: value for name, value in found.state.items() if not _holds(value, _UNKNOWN)}
    if not channels:
        raise cli.fail(MISSING, f"{key} has no checkpoint {checkpoint or 'with channels'}")
    rows = [
        {
            "channel": channel.name,
            "type": channel.type,
            "version": channel.version,
            "value": Json(values[channel.name]) if channel.name in values else None,
        }
        for channel in channels
    ]
    cli.out.table(rows, _CHANNELS)


class _Shown:
    """What LangGraph's serializer wrote, as JSON has it."""

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer

    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        """Nothing is written here."""
        raise NotImplementedError

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        """Of another form, or what cannot be read, _UNKNOWN."""
        if data[0] not in ("msgpack", "json", "null"):
            return _UNKNOWN
        # it warns of each type that it leaves as data, which is what is shown
        logger = logging.getLogger("langgraph.checkpoint.serde.jsonplus")
        disabled, logger.disabled = logger.disabled, True
        try:
            value = (JSON if data[0] == "json" else self._serializer).loads_typed(data)
            return pydantic_core.to_jsonable_python(value, serialize_unknown=True)
        except Exception:  # bytes that anybody may have stored, and objects that others made of them
            return _UNKNOWN
        finally:
            logger.disabled = disabled


def _holds(value: Any, part: object) -> bool:
    # elements of a list are read each by itself
    return value is part or (type(value) is list and any(element is part for element in value))


def _langgraph() -> _Shown | None:
    try:
        from pgstate.integrations.langgraph._saver import strict
    except ModuleNotFoundError:
        return None
    return _Shown(strict())


async def history(
    cli: Cli,
    key: KeyArgument,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most this many.")] = 100,
    before: Annotated[str | None, typer.Option(metavar="CHECKPOINT", help="Only older ones than this.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="JSON", help="What the metadata must contain: '{\"step\": 3}'.")
    ] = None,
    ns: NamespaceOption = "",
) -> None:
    """Lists the checkpoints of a thread, newest first.

    Exit code 3 if it has none.
    """
    fits = None if where is None else json_value(where, what="--where")
    if fits is not None and not isinstance(fits, dict):
        raise cli.fail(USAGE, '--where takes an object, such as {"step": 3}')
    async with cli.connect() as state:
        points = [point async for point in state.thread(key, namespace=ns).history(limit, before=before, where=fits)]
    if not points and before is None and fits is None:
        raise cli.fail(MISSING, f"{key} has no checkpoints" + (f" of namespace {ns}" if ns else ""))
    rows = [
        {
            "id": point.id,
            "parent": point.parent,
            "metadata": Json(point.metadata),
            "channels": point.channels,
            "size": point.size,
            "writer": point.writer,
            "via": point.via,
            "created_at": point.created_at,
        }
        for point in points
    ]
    cli.out.table(rows, _POINTS, empty=f"{key} has no such checkpoints")
    if len(points) == limit:
        cli.out.note(f"perhaps more: continue with --before {points[-1].id}")


async def fork(
    cli: Cli,
    key: KeyArgument,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The key of the new thread.")],
    checkpoint: Annotated[
        str | None, typer.Argument(metavar="CHECKPOINT", help="Its id; the latest one without.")
    ] = None,
    with_history: Annotated[
        bool, typer.Option("--history", help="All checkpoints of all namespaces instead of one.")
    ] = False,
    ttl: TtlOption = None,
    ns: NamespaceOption = "",
) -> None:
    """Makes a thread under another key from a checkpoint. Its values are not copied.

    Exit code 3 if the checkpoint is not there, 4 if there is a thread under TARGET already.
    """
    async with cli.connect() as state:
        made = await state.thread(key, namespace=ns).fork(checkpoint, target, history=with_history, ttl=ttl)
    cli.out.outcome({"key": made.key}, ("key",), f"{made.key} goes on from {key}")


async def rollback(
    cli: Cli, key: KeyArgument, checkpoint: IdArgument, token: TokenOption = None, ns: NamespaceOption = ""
) -> None:
    """Goes back to a checkpoint, by a new one with its values, whose id is printed; those between stay.

    Exit code 3 if it is not there, 4 if the thread is claimed.
    """
    async with cli.connect() as state:
        made = await state.thread(key, namespace=ns).rollback(checkpoint, token=token)
    cli.out.outcome({"id": made}, ("id",), f"{key} is back at {checkpoint}: the latest is {made}")


async def remove(cli: Cli, key: KeyArgument, token: TokenOption = None) -> None:
    """Deletes a thread with all its checkpoints. Who still saves to it is refused.

    Exit code 3 if there is none, 4 if it is claimed.
    """
    async with cli.connect() as state:
        if not await state.thread(key).delete(token=token):
            raise cli.fail(MISSING, f"there is no thread {key}")
    cli.out.outcome({"key": key}, ("key",), f"thread {key} is deleted")


async def prune(
    cli: Cli,
    key: KeyArgument,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="How many of each namespace stay.")] = 1,
    token: TokenOption = None,
) -> None:
    """Removes all but the newest checkpoints of a thread, of each of its namespaces.

    Exit code 3 if there is none, 4 if it is claimed.
    """
    async with cli.connect() as state:
        removed = await state.thread(key).prune(keep, everywhere=True, token=token)
        if removed == 0 and await state.get(key) is None:
            raise cli.fail(MISSING, f"there is no thread {key}")
    cli.out.outcome({"removed": removed}, ("removed",), f"{removed} checkpoints of {key} are removed")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, "threads", panel=_PANEL)(list_)
    one = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, help="Shows and changes one thread.")
    app.add_typer(one, name="thread", rich_help_panel=_PANEL)
    functions: dict[str, Any] = {
        "show": show,
        "history": history,
        "fork": fork,
        "rollback": rollback,
        "rm": remove,
        "prune": prune,
    }
    for name, function in functions.items():
        command(one, name)(function)
