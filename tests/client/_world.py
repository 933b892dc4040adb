"""What the state machine draws from, and what all its examples share."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st

from client._model import MISSING, RIGHTS, Key, Logged, canon
from conftest import Clock
from pgstate import Change, State

REDUCERS = ["replace", "append", "add", "max", "min", "union", "merge", "deep_merge", "messages", "first"]
LEAVES = ["k", "m", "deep/k"]
numbers = itertools.count()

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "é\\u0000 is fine as text"])
messages = st.fixed_dictionaries({"t": st.integers(0, 3)}, optional={"id": st.sampled_from(["1", "2", 1, None])})
objects = st.dictionaries(st.sampled_from("pq"), scalars | st.dictionaries(st.sampled_from("pq"), scalars))
json_values = st.one_of(
    st.integers(-3, 3), scalars, objects, st.lists(scalars, max_size=3), st.lists(messages, max_size=3)
)
agents = st.sampled_from(sorted(RIGHTS))
# Lengths of time are such that no sum of advances ends within seconds of one of them: the clock really runs as well.
spans = st.sampled_from([1050.0, 2050.0, 3050.0])
advances = st.sampled_from([700.0, 1300.0])
directories = st.sampled_from("aaasssswx")
leaves = st.sampled_from(LEAVES)
tokens = st.sampled_from([None, None, "current", "current", "old", "wrong"])


class World:
    """What all examples share: clients, the clock, and the loop that they run in."""

    FLOOR = "select coalesce(pg_sequence_last_value('pgstate.version_floor'), 0)"
    # as the pulse does, which records no more than ten a second
    RECORD = (
        "insert into pgstate.feed_point"
        " select pgstate._now(), i.epoch, pgstate._snapshot(i.epoch) from pgstate.install i"
    )

    def __init__(
        self,
        views: dict[str, State],
        clock: Clock,
        expire: Callable[[], Awaitable[Any]],
        inside: Callable[..., Awaitable[Any]],
    ) -> None:
        self.views = views
        self.clock = clock
        self.expire = expire
        self._inside = inside
        # does not compress to what a limit lets pass
        self.large = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(1250))
        self._loop = asyncio.get_running_loop()

    def run(self, call: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await call

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(60)

    def inside(self, query: str, *arguments: Any) -> Any:
        """Rows of a query that only a superuser can make."""
        return self.run(self._inside(query, *arguments))

    def attempt(self, *calls: Awaitable[Any]) -> list[Any]:
        """Results of calls that are made at once, errors among them."""

        async def all_() -> list[Any]:
            return await asyncio.gather(*calls, return_exceptions=True)

        return list(self.run(all_()))


def matches(pattern: str, key: Key) -> bool:
    head, _, tail = pattern.partition("/{}/")
    directory, _, leaf = key.split("/", 2)
    return (head in ("*", "**") or head == directory) and {
        "**": True, "*": "/" not in leaf, "?": len(leaf) == 1, "deep/*": leaf.startswith("deep/"), "k": leaf == "k",
    }[tail]  # fmt: skip


def as_json(value: Any) -> str:
    return canon(None if value is MISSING else value)


def as_told(change: Change) -> tuple[Any, ...]:
    return (
        change.key, change.version, change.op, canon(change.value), change.exists, canon(change.previous), change.created, change.writer,
    )  # fmt: skip


def as_logged(row: Logged) -> tuple[Any, ...]:
    exists = row.value is not MISSING
    return (row.key, row.version, row.op, as_json(row.value), exists, as_json(row.previous), row.created, row.writer)
