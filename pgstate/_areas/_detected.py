"""What the detector of `connect(detector=…)` says of rows that were read and of writes that are to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgstate._areas import _items
from pgstate._calls import values
from pgstate._json import decode, encode
from pgstate.detection import Detection
from pgstate.errors import InvalidValue, ValueRefused
from pgstate.types import Row


class _Refused(str):
    """Stands for the text of a value that is refused, until somebody looks at the value."""

    __slots__ = ("error",)
    error: ValueRefused


def read_or_refuse(text: str) -> Any:
    """`decode` for rows of `inspected`. Raises ValueRefused."""
    if isinstance(text, _Refused):
        raise ValueRefused(*text.error.__reduce__()[1])
    return decode(text)


async def inspected(detection: Detection, rows: Sequence[Row]) -> list[Row]:
    """Rows with their labels; a value that is refused raises when it is looked at, so that the others can be read."""
    return [await _inspected(detection, row) for row in rows]


async def inspected_one(detection: Detection, row: Row) -> Row:
    """A row with its labels. Raises ValueRefused."""
    if row["value"] is None:
        return row
    try:
        value = decode(row["value"])
    except InvalidValue:
        # who looks at it is told, and nobody reads it
        return row
    return {**row, "labels": await detection.read(row["key"], value)}


async def _inspected(detection: Detection, row: Row) -> Row:
    found: dict[str, Any] = dict(row)
    for column in ("value", "previous"):
        text = found.get(column)
        if text is None:
            continue
        try:
            labels = await detection.read(found["key"], decode(text))
        except ValueRefused as error:
            found[column] = _Refused()
            found[column].error = error
        except InvalidValue:
            continue
        else:
            if column == "value":
                found["labels"] = labels
    return found


async def detected(detection: Detection, args: _items.Write) -> _items.Write:
    """A write as the detector lets it be made. Raises ValueRefused."""
    if args[2] is None:
        return args
    trust, sources = args[values.WRITE_COLUMNS :] or (None, None)
    declared = await detection.written(args[1], decode(args[2]), trust)
    return args if declared == trust else (*args[: values.WRITE_COLUMNS], declared, sources)


async def detected_or_error(detection: Detection, args: _items.Write | Exception) -> _items.Write | Exception:
    """`detected`, with its error for a result."""
    try:
        return args if isinstance(args, Exception) else await detected(detection, args)
    except ValueRefused as error:
        return error


async def detected_operation(detection: Detection, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An operation of `apply` as the detector lets it be made. Raises ValueRefused."""
    given = [row[name] for name in ("value", "operand") if name in row]
    if not given:
        return row
    trust = row.get("trust")
    declared = await detection.written(row["key"], decode(encode(given[0])), trust)
    return row if declared == trust else {**row, "trust": declared}
