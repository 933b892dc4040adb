"""The change feed, forwarded to a tracing backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pgstate import errors
from pgstate._areas import _telemetry
from pgstate._areas._base import seconds
from pgstate._areas._watch import Watch
from pgstate._areas.claims import Claims
from pgstate._areas.feed import Feed
from pgstate._calls import access
from pgstate._in_thread import in_thread
from pgstate._keys import check_key
from pgstate.types import Change, Seconds

# What an entry that keeps a cursor holds.
_CURSOR = "exported"
# seconds after which the cursor is stored if nothing but cursors of exports, or what looks like them, has changed: well
# within the history that is kept for cursors
_SELDOM = 300.0
# What looking at a value may raise: whoever may write must not be able to end the export for good.
_UNREADABLE = (errors.InvalidValue, errors.ValueRefused)


class Export(Claims, Feed):
    """export_changes."""

    async def export_changes(
        self,
        tracer: Any,
        patterns: str | Sequence[str] = "",
        *,
        name: str = "traces",
        key: str | None = None,
        values: bool = False,
        min_trust: str | None = None,
        flush: Callable[[], Any] | None = None,
        every: Seconds = 1.0,
        lease: Seconds = 10.0,
        wait: Seconds | None = None,
    ) -> None:
        """Makes a span of OpenTelemetry of each change that the agent may read, as it happens, until it is cancelled.

        `tracer` is OpenTelemetry's. A span is called after its op ("pgstate put"), stands at the time of the change,
        and has the attributes pgstate.key, version, op, writer, via and trust; with `values` also pgstate.value, as
        JSON, or pgstate.unreadable, which says why there is none: the detector refuses it, or Python cannot hold it.
        Secrets are taken out of all of them, as out of other spans.

        How far it has come is kept in an entry, `key`, or memory/{agent}/exports/{name}, by compare-and-set: it begins
        with what changes from now on, and goes on from there when it is called again. The entry's claim is held
        meanwhile, so that of two with one name one exports and the other waits (`wait`, as in `lock`) or raises
        ClaimHeld. Each change is exported at least once: the cursor is stored `every` so many seconds, after what it
        covers, and what came since then is exported again after a crash. A tracer whose processor keeps spans back
        loses those in a crash: give `flush`, such as the provider's `force_flush`; where it returns False, the cursor
        stays. What the backend itself drops is not known here.

        Changes of the entry itself are left out. Raises ClaimHeld, LeaseLost when the claim was lost (call it again),
        VersionConflict when somebody else wrote the entry, CursorExpired when the changes to go on with are no longer
        kept (delete the entry, and it begins anew), InvalidArgument, InvalidKey, InvalidPattern, AccessDenied.
        """
        wanted = self._patterns(patterns)
        if key is not None:
            full = self._key(key)
        else:
            with self._to("act"):
                info = await self._core.call(lambda c, left: access.info(c, self._agent, timeout=left), self._timeout)
            if info.agent is None:
                raise errors.InvalidArgument("whose changes? Name an agent by as_agent(name), or give a key")
            full = check_key(f"memory/{info.agent}/exports/{name}")
        period = seconds(every).total_seconds()
        if period <= 0:
            raise errors.InvalidArgument("every is a time above 0")
        whole = self._view(prefix="")
        async with whole.lock(full, lease, wait=wait) as lock:
            entry = await whole.get(full)
            if entry is None:
                raise errors.VersionConflict(f"{full} was deleted meanwhile", full, 0, None)
            kept = _cursor_of(full, entry.value)
            place = _Place(whole, full, entry.version, lock.token, flush)
            try:
                async with whole.watch(wanted, since=kept, min_trust=min_trust) as watch:
                    if kept is None and watch.cursor is not None:
                        await place.store(watch.cursor)
                    await _follow(watch, tracer, place, values, period)
            except errors.CursorExpired as error:
                said = f"{error} The cursor is that of {full}: delete it, and the export begins anew"
                raise errors.CursorExpired(said) from error


class _Place:
    """How far an export has come, and the entry that keeps that."""

    def __init__(self, state: Export, key: str, version: int, token: int, flush: Callable[[], Any] | None) -> None:
        self.key = key
        # what is exported and not stored
        self.cursor: str | None = None
        self._state = state
        self._version = version
        self._token = token
        self._flush = flush

    async def store(self, cursor: str) -> None:
        if self._flush is not None and await in_thread(self._flush) is False:
            return
        self._version = await self._state.put(self.key, {_CURSOR: cursor}, expect=self._version, token=self._token)
        self.cursor = None


async def _follow(watch: Watch, tracer: Any, place: _Place, values: bool, period: float) -> None:
    loop = asyncio.get_running_loop()
    due: float | None = None
    try:
        while True:
            try:
                # what it interrupts is not lost: the next one gets the same change
                async with asyncio.timeout_at(due):
                    change = await anext(watch)
            except TimeoutError:
                if place.cursor is not None:
                    await place.store(place.cursor)
                due = None if place.cursor is None else loop.time() + period
                continue
            if change.key == place.key:
                continue
            _export(tracer, change, values)
            place.cursor = change.cursor
            # how far another export has come is no reason to store anything soon: two would keep each other busy
            soon = loop.time() + (max(period, _SELDOM) if _tells_of_an_export(change) else period)
            due = soon if due is None else min(due, soon)
            if loop.time() >= due:
                await place.store(change.cursor)
                due = None if place.cursor is None else loop.time() + period
    finally:
        # a clean end repeats nothing; where the claim was lost it is refused
        if place.cursor is not None:
            with suppress(errors.PgStateError):
                await place.store(place.cursor)


def _export(tracer: Any, change: Change, values: bool) -> None:
    told: dict[str, Any] = {
        "key": change.key,
        "version": change.version,
        "op": change.op,
        "writer": change.writer,
        "via": change.via,
        "trust": change.trust,
    }
    if values and change.exists:
        try:
            told["value"] = json.dumps(change.value, ensure_ascii=False)
        except (*_UNREADABLE, RecursionError) as error:
            told["unreadable"] = str(error)
    attributes = {
        f"pgstate.{name}": _telemetry.redact(value) if isinstance(value, str) else value for name, value in told.items()
    }
    at = int(change.at.timestamp() * 1_000_000) * 1_000
    span = tracer.start_span(f"pgstate {change.op}", context=_telemetry.apart(), attributes=attributes, start_time=at)
    span.end(end_time=at)


def _tells_of_an_export(change: Change) -> bool:
    try:
        return _keeps_cursor(change.value)
    except _UNREADABLE:
        return False


def _keeps_cursor(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {_CURSOR}


def _cursor_of(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not _keeps_cursor(value) or not isinstance(value[_CURSOR], str):
        raise errors.InvalidArgument(f"{key} holds something else than the cursor of an export: name another key")
    return str(value[_CURSOR])
