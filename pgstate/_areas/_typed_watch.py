"""A watch on a typed state: its states, one after each whole transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

from pgstate._areas._base import some
from pgstate._areas._watch import Watch, at_one_moment
from pgstate._areas.values import Values
from pgstate._calls import feed, values
from pgstate._calls._run import Connection, outcome_error
from pgstate._shapes.shape import Shape
from pgstate.types import Row

T = TypeVar("T")


class TypedWatch(Generic[T]):
    """`async for` over it, or `async with` to begin at once and to end for certain. `cursor` is the point in the feed
    of the state that came last, for `TypedState.diff`.

    An `anext()` that is cancelled loses nothing.
    """

    def __init__(self, state: Values, shape: Shape[T], names: Mapping[str, str]) -> None:
        self._state = state
        self._shape = shape
        self._names = names
        self.cursor: str | None = None
        self._watch: Watch | None = None
        self._texts: dict[str, str] = {}
        # there is a state to show; and no transaction is half done in it
        self._touched = True
        self._whole = True
        self._awaited = False
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T | None:
        if self._awaited:
            raise RuntimeError("another task is waiting for this watch's next state: a watch has one consumer")
        self._awaited = True
        try:
            watch = await self._begin()
            while not (self._touched and self._whole):
                self._take(await watch._next())
            if self._closed:
                raise StopAsyncIteration
            self._touched = False
            self.cursor = watch.cursor
        finally:
            self._awaited = False
        return self._shape.load(self._texts) if self._texts else None

    async def aclose(self) -> None:
        """Ends the watch."""
        self._closed = True
        if self._watch is not None:
            await self._watch.aclose()

    def _take(self, row: Row) -> None:
        if row["key"] is None:
            self._whole = self._whole or row["whole"]
            return
        name = self._names[row["key"]]
        if row["value"] is None:
            self._texts.pop(name, None)
        else:
            self._texts[name] = row["value"]
        self._touched = True
        self._whole = row["whole"]

    async def _begin(self) -> Watch:
        """Reads the state and the point in the feed at which it is what it is, if that has not been done."""
        if self._watch is not None:
            return self._watch
        if self._closed:
            raise StopAsyncIteration
        state, keys = self._state, list(self._names)

        async def read(connection: Connection, left: float) -> tuple[str, Sequence[Row]]:
            cursor = await feed.cursor(connection, state._agent, timeout=left)
            return cursor, await values.get_many(connection, keys, state._agent, timeout=left)

        core = state._core.following("watch")
        what = f"watch {some(keys)}"
        cursor, rows = await at_one_moment(core, read, state._timeout)
        for row in rows:
            if row["code"] is not None:
                with state._to(what, "read", row["key"]):
                    raise outcome_error(row["code"], row["message"])
        if self._watch is None:
            self._texts = {self._names[row["key"]]: row["value"] for row in rows if row["status"] == "ok"}
            denied = partial(state._denied, what=what, needs="read")
            self._watch = Watch(
                core, state._agent, state._name, keys, state._skip, state._timeout, cursor, False, denied
            )
        return self._watch
