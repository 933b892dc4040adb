"""The promises of a watch (etcd's, which its robustness tests check), as invariants between what a consumer received and
the log that the server has."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from pgstate import Change, State

Id = tuple[str, int]
Wants = Callable[[str], bool]


@dataclass(frozen=True)
class Logged:
    """A row of the version table."""

    key: str
    version: int
    xid: int
    op: str
    value: Any
    writer: str

    @property
    def id(self) -> Id:
        return self.key, self.version


async def read_log(superuser: asyncpg.Connection) -> list[Logged]:
    """All that was ever written, in the order of the feed."""
    rows = await superuser.fetch(
        "select key, version, xid::text::bigint, op::text, value::text, writer from pgstate.version order by seq"
    )
    return [Logged(*row.values()) for row in rows]


def ids(changes: Sequence[Change]) -> list[Id]:
    return [(change.key, change.version) for change in changes]


async def drain(
    state: State, cursor: str, patterns: str | Sequence[str] = "", limits: Sequence[int] = (1000,)
) -> list[Change]:
    """All that follows a cursor, read in pages of these sizes in turn."""
    found: list[Change] = []
    for turn in range(100_000):
        page = await state.changes(cursor, patterns, limit=limits[turn % len(limits)])
        assert len(page) <= limits[turn % len(limits)]
        found += page.changes
        # a cursor from inside a page is read to that page's end first
        if not page.changes and page.cursor == cursor:
            return found
        cursor = page.cursor
    raise AssertionError("the feed has no end")


def check(
    received: Sequence[Change], log: Sequence[Logged], wants: Wants = lambda _: True, *, seen: Collection[Id] = ()
) -> None:
    """Everything that follows what the consumer had seen, once, in order, and told truly."""
    by_id = {row.id: row for row in log}
    got = ids(received)
    expected = {row.id for row in log if wants(row.key)} - set(seen)

    # Filter
    assert all(wants(change.key) for change in received)
    # Ordered: never backwards, and of a key without a gap
    last: dict[str, int] = {}
    for key, version in got:
        assert key not in last or version == last[key] + 1, f"{key}: {version} after {last[key]}"
        last[key] = version
    # Unique
    assert len(got) == len(set(got))
    # Reliable: nothing lost, and nothing that never happened
    assert not set(got) - expected, f"told of {sorted(set(got) - expected)[:5]}"
    assert not expected - set(got), f"lost {sorted(expected - set(got))[:5]}"
    # Atomic: at a point that says whole, no transaction is split
    xids = [by_id[id_].xid for id_ in got]
    ends = {xid: place for place, xid in enumerate(xids)}
    open_until = -1
    for place, change in enumerate(received):
        open_until = max(open_until, ends[xids[place]])
        assert not change.whole or open_until <= place, f"whole within transaction {xids[place]}, after {got[place]}"
    for change in received:
        row = by_id[change.key, change.version]
        before = by_id.get((change.key, change.version - 1))
        previous = None if before is None else before.value
        # IsCreate
        assert change.created == (row.value is not None and previous is None)
        # PrevKV
        assert change.previous == (None if previous is None else json.loads(previous))
        value = None if row.value is None else json.loads(row.value)
        assert (change.op, change.value, change.writer) == (row.op, value, row.writer)


async def check_cursors(
    state: State, received: Sequence[Change], log: Sequence[Logged], places: Collection[int], **how: Any
) -> None:
    """Bookmarkable and Resumable: from the cursor of any change comes all that it had not seen, and nothing older."""
    wants: Wants = how.pop("wants", lambda _: True)
    seen: Collection[Id] = how.pop("seen", ())
    for place in places:
        rest = await drain(state, received[place].cursor, **how)
        check(rest, log, wants, seen={*seen, *ids(received[: place + 1])})
