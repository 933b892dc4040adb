"""What differs in a typed state between two points in the feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgstate import errors
from pgstate._areas._base import some
from pgstate._areas.values import Values
from pgstate._calls import feed
from pgstate._shapes.shape import Shape
from pgstate.types import UNSET, FieldChange, Row

_PAGE = 1000


class Differ:
    """Reads the changes of a state's fields. `names` are the fields by their full keys."""

    def __init__(self, state: Values, shape: Shape[Any], names: Mapping[str, str]) -> None:
        self._state = state
        self._shape = shape
        self._names = names

    async def between(self, since: str, until: str) -> dict[str, FieldChange]:
        """The fields that differ.

        A cursor from within a page of the feed names no snapshot by itself, and only a snapshot can be where reading
        ends. So both pages are read to their ends, and what lies behind `until` is left out again.
        """
        ahead, since_end = await self._rest(since)
        behind, until_end = await self._rest(until)
        try:
            ahead += await self._changes(since_end, until_end)
        except errors.CursorInvalid:
            # the page of `since` ends behind that of `until`
            behind += await self._changes(until_end, since_end)
        later = {(row["key"], row["version"]) for row in behind}
        if later - {(row["key"], row["version"]) for row in ahead}:
            raise errors.CursorInvalid("until lies before since")
        changes: dict[str, tuple[str | None, str | None]] = {}
        for row in ahead:
            if (row["key"], row["version"]) not in later:
                old, _ = changes.setdefault(self._names[row["key"]], (row["previous"], None))
                changes[self._names[row["key"]]] = (old, row["value"])
        return {
            name: FieldChange(self._value(name, changes[name][0]), self._value(name, changes[name][1]))
            for name in self._shape.slots
            if name in changes and changes[name][0] != changes[name][1]
        }

    def _value(self, name: str, text: str | None) -> Any:
        return UNSET if text is None else self._shape.slots[name].part.parse(text)

    async def _rest(self, cursor: str) -> tuple[list[Row], str]:
        """What is left of the page that a cursor comes from, and the cursor of its end."""
        start, found = cursor, []
        while True:
            *rows, bookmark = await self._page(cursor, start)
            found += rows
            cursor = bookmark["cursor"]
            if not rows or cursor != rows[-1]["cursor"]:
                return found, cursor

    async def _changes(self, cursor: str, upto: str) -> list[Row]:
        found = []
        while True:
            *rows, bookmark = await self._page(cursor, upto)
            found += rows
            cursor = bookmark["cursor"]
            if bookmark["whole"]:
                return found

    async def _page(self, cursor: str, upto: str) -> list[Row]:
        state, keys = self._state, list(self._names)
        with state._to(f"see changes of {some(keys)}", "read"):
            return list(
                await state._core.call(
                    lambda c, left: feed.changes(c, cursor, keys, _PAGE, upto, state._agent, timeout=left),
                    state._timeout,
                )
            )
