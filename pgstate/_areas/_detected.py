"""What the detector of `connect(detector=…)` says of rows that were read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgstate._json import decode
from pgstate.detection import Detection
from pgstate.errors import ValueRefused
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
    return {**row, "labels": await detection.read(row["key"], decode(row["value"]))}


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
        else:
            if column == "value":
                found["labels"] = labels
    return found
