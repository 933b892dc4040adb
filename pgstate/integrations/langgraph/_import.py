"""Threads of langgraph-checkpoint-postgres, brought over as they are stored: no value is made of its bytes and back, so
nothing needs the types that they are of, and what is read back is compared byte by byte.

It may be stopped and begun again: checkpoints that are there already are passed over, and those that were added there
meanwhile come along, as do writes that came after those that are here. What cannot be here (an id that is too long, a
secret that the guard refuses, a thread that was gone on with on both sides) stops nothing else.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias, cast
from uuid import UUID

import asyncpg
from langgraph.checkpoint.base import WRITES_IDX_MAP, Checkpoint
from langgraph.checkpoint.serde.types import RESUME

from pgstate import State, errors
from pgstate._areas._threads import chunks_of, save, writes_of
from pgstate._calls import threads as calls
from pgstate._codec import Encoded, decode, encode
from pgstate._guard import Guard
from pgstate.integrations.langgraph import _records as records
from pgstate.integrations.langgraph._import_source import BATCH, Threads, opened
from pgstate.integrations.langgraph._msgpack import array, elements
from pgstate.integrations.langgraph._rows import SENDS_BELOW
from pgstate.integrations.langgraph._saver import PgStateSaver
from pgstate.types import Row

_PAGE = 1000
PATIENCE = 600.0  # seconds for a statement: a checkpoint may have a GiB
_NO_TASK = str(UUID(int=0))  # whose answer is not a list of them


@dataclass
class Imported:
    """What was brought over; so many checkpoints and items were `present` already. `left` says what was not, or not
    whole, and why."""

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    present: int = 0
    items: int = 0
    left: list[str] = field(default_factory=list)


# task, path, idx, channel, what the serializer made of the value
Write: TypeAlias = tuple[str, str, int, str, tuple[str, bytes]]
# values of channels; what is around them, and metadata
Told: TypeAlias = tuple[Mapping[str, Any], tuple[dict[str, Any], dict[str, Any]]]


class NotTheSame(Exception):
    """What was read back is not what was brought over."""


class GoneOn(Exception):
    """A thread has checkpoints here that are not there, and there later ones, which would be the latest here."""


# what is about one thread, and not about all
OF_ONE = (
    GoneOn,
    NotTheSame,
    errors.Conflict,
    errors.DatabaseError,
    errors.InvalidArgument,
    errors.InvalidKey,
    errors.InvalidValue,
    errors.SchemaViolation,
    errors.SecretRefused,
    errors.ValueRefused,
    errors.ValueTooLarge,
    errors.WrongKind,
)
# what comes of rows that LangGraph's saver did not write as they are; asyncpg's in queries that take JSON apart
_MALFORMED = (AttributeError, LookupError, RecursionError, TypeError, ValueError, asyncpg.DataError)
# SQLSTATEs that are about no thread, but as DatabaseError: neither room nor memory, read-only, internal
_OF_ALL = ("53", "25", "XX", "F0", "58")


class Typed(NamedTuple):
    """A value as a serializer has made it."""

    type: str
    data: bytes


class _AsItIs:
    """The serializer of values that are serialized already."""

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        return ("msgpack", array([part.data for part in value])) if isinstance(value, list) else tuple(value)

    def loads_typed(self, typed: tuple[str, bytes]) -> Any:
        return Typed(*typed)


_AS_IT_IS = _AsItIs()


async def import_threads(
    source: str,
    state: State,
    *,
    prefix: str = "threads",
    thread_ids: Sequence[str] | None = None,
    begin: Callable[[int], object] = lambda total: None,
    step: Callable[[int], object] = lambda count: None,
) -> Imported:
    """Brings threads over from the database at the address `source`, all unless some are named, under a prefix, and
    reads them back. `begin` is told how many checkpoints there are, `step` of each that is done.

    Raises InvalidArgument when there are no checkpoints of LangGraph, AccessDenied, Unreachable.
    """
    async with opened(source) as connection:
        there = Threads(connection)
        threads = await there.all(thread_ids)
        begin(sum(thread["checkpoints"] for thread in threads))
        patient = state.with_timeout(max(state._timeout, PATIENCE))
        importing = _Importing(there, patient, PgStateSaver(patient, prefix=prefix), step)
        left = importing.done.left
        for absent in sorted({*(thread_ids or ())} - {thread["thread_id"] for thread in threads}):
            left.append(f"thread {absent!r}: there is none")
        for thread in threads:
            try:
                await importing.thread(thread["thread_id"])
            except OF_ONE as error:
                if isinstance(error, errors.DatabaseError) and (error.code or "").startswith(_OF_ALL):
                    raise
                left.append(f"thread {thread['thread_id']!r}: {error}")
            except _MALFORMED as error:
                told = f"it is not as LangGraph keeps threads: {type(error).__name__}: {error}"
                left.append(f"thread {thread['thread_id']!r}: {told}")
        return importing.done


def _own(parents: Mapping[str, str], here: Mapping[str, str], shallow: bool) -> dict[str, str]:
    """The checkpoints that were made here since the rest was brought over, with their parents. What is older was there
    once, and was pruned; where the latest is all that there is, what was brought over has no parent."""
    if shallow:
        return {id_: parent for id_, parent in here.items() if parent}
    latest = max((id_ for id_ in parents if id_ in here), default=None)
    return {} if latest is None else {id_: parent for id_, parent in here.items() if id_ > latest}


def _unsure(parents: Mapping[str, str], present: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Of those that are here already the ones that whoever was stopped may not have read back, and those that something
    may have come after since: tips, those that were gone on from, and those that were under way."""
    last = present[-BATCH:]
    unsure = {*last, *(parents[id_] for id_ in (*last, *missing)), *(parents.keys() - {*parents.values()})}
    return [id_ for id_ in present if id_ in unsure]


def _writes_in(tasks: Sequence[Row]) -> list[Write]:
    return [
        (task["task_id"], task["task_path"], idx, channel, (type_, blob))
        for task in tasks
        for idx, channel, type_, blob in zip(task["idxs"], task["channels"], task["types"], task["blobs"], strict=True)
    ]


def _later(here: Sequence[Write], there: Sequence[Write]) -> bool:
    """Do writes after a checkpoint come from a later attempt at its tasks than those here? It has more of them, or more
    answers to the questions of one."""
    ours, theirs = ({(task, idx): typed for task, _, idx, _, typed in writes} for writes in (here, there))
    if ours.keys() != theirs.keys():
        return ours.keys() < theirs.keys()
    answers = [place for place in ours if place[1] == WRITES_IDX_MAP[RESUME] and place[0] != _NO_TASK]
    return any(_count(ours[place]) < _count(theirs[place]) for place in answers)


def _count(typed: tuple[str, bytes]) -> int:
    type_, data = typed
    return len(elements(data) or ()) if type_ == "msgpack" else 0


def _number(channel: str, value: Any) -> Any:
    """A value that stood in JSON, where a large float became an integer."""
    if type(value) is not int or -(2**63) <= value < 2**64:
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or Decimal(repr(number)) != value:
        raise errors.InvalidValue(f"channel {channel!r:.80}: LangGraph's serializer has no integers beyond 64 bits")
    return number


class _Importing:
    def __init__(
        self,
        source: Threads,
        state: State,
        saver: PgStateSaver,
        step: Callable[[int], object],
    ) -> None:
        self._source = source
        self._state = state
        self._saver = saver
        self._step = step
        self.done = Imported()

    async def thread(self, thread_id: str) -> None:
        key = self._state._key(self._saver.key(thread_id))
        spaces = await self._source.spaces(thread_id)
        here = {ns: await self._here(key, ns) for ns in spaces}
        own = {ns: _own(parents, here[ns], self._source.shallow) for ns, parents in spaces.items()}
        for ns, parents in spaces.items():
            missing = [id_ for id_ in parents if id_ not in here[ns]]
            gone_on = {parents[id_] for id_ in missing} & {*own[ns].values()}
            if missing and own[ns] and (gone_on or max(missing) > max(own[ns])):
                raise GoneOn(
                    f"{key} was gone on with here and there since it was brought over: what is new there comes under "
                    "another prefix, or when what is here has been deleted"
                )
        for ns, parents in spaces.items():
            await self._space(thread_id, key, ns, parents, here[ns].keys(), {*own[ns].values()})
        self.done.threads += 1

    async def _space(
        self,
        thread_id: str,
        key: str,
        ns: str,
        parents: Mapping[str, str],
        here: Collection[str],
        gone: Collection[str],
    ) -> None:
        present = [id_ for id_ in parents if id_ in here]
        missing = [id_ for id_ in parents if id_ not in here]
        await self._again(thread_id, key, ns, _unsure(parents, present, missing), gone, {*parents.values()} - {*gone})
        self.done.present += len(present)
        self._step(len(present))
        sent: set[bytes] = set()
        async for batch in self._source.batches(thread_id, ns, missing):
            # first, so that no checkpoint is taken for done without them
            tasks = await self._tasks(thread_id, ns, batch)
            for id_, written in tasks.items():
                await self._put_writes(key, ns, id_, written, replace=True)
            rows = await self._source.checkpoints(thread_id, ns, batch)
            if self._source.shallow and not rows:
                raise GoneOn(f"{key} was gone on with there just now: it comes when that is over")
            writes = {id_: _writes_in(written) for id_, written in tasks.items()}
            await self._checkpoints(key, ns, rows, parents, writes, sent)
            self.done.checkpoints += len(rows)
            self._step(len(rows))

    async def _here(self, key: str, ns: str) -> dict[str, str]:
        """The checkpoints that are here, each with its parent."""
        found: dict[str, str] = {}
        before: str | None = None
        while True:
            rows = await self._call(calls.checkpoints, key, ns, before, _PAGE, None, None)
            found.update((row["id"], row["parent"] or "") for row in rows)
            if len(rows) < _PAGE:
                return found
            before = rows[-1]["id"]

    async def _again(
        self, thread_id: str, key: str, ns: str, ids: Sequence[str], gone: Collection[str], passed: Collection[str]
    ) -> None:
        """Reads back what is here already, and brings writes that came after it since. Where it was gone on from here
        (`gone`) these are others, and where that was done there alone (`passed`) they are those."""
        async for batch in self._source.batches(thread_id, ns, ids):
            tasks = await self._tasks(thread_id, ns, batch)
            rows = await self._source.checkpoints(thread_id, ns, batch)
            found = await self._verify(key, ns, {row["checkpoint_id"]: self._told(row) for row in rows})
            for id_, written in tasks.items():
                if id_ in found and id_ not in gone:
                    await self._more_writes(key, ns, id_, writes_of(found[id_]), written, later=id_ in passed)

    async def _more_writes(
        self, key: str, ns: str, id_: str, here: Sequence[Write], tasks: Sequence[Row], *, later: bool
    ) -> None:
        later = later or _later(here, _writes_in(tasks))
        known = {task for task, *_ in here}
        # of a task that is known here these are all of one attempt at it
        more = [
            task for task in tasks if (later or task["task_id"] not in known) and not {*_writes_in([task])} <= {*here}
        ]
        if not more:
            return
        await self._put_writes(key, ns, id_, more, replace=later)
        (row,) = await self._call(calls.get_checkpoints, key, [id_], ns)
        if not {*_writes_in(more)} <= {*writes_of(row)}:
            raise NotTheSame(f"what came after the checkpoint {id_} of {key} is not what it was")

    async def _tasks(self, thread_id: str, ns: str, ids: Sequence[str]) -> dict[str, list[Row]]:
        """What tasks wrote there after each checkpoint."""
        found: dict[str, list[Row]] = {}
        for task in await self._source.writes(thread_id, ns, ids):
            found.setdefault(task["checkpoint_id"], []).append(task)
        return found

    async def _put_writes(self, key: str, ns: str, id_: str, tasks: Sequence[Row], *, replace: bool) -> None:
        for task in tasks:
            columns = task["idxs"], task["channels"], task["types"], task["blobs"]
            place = (key, id_, task["task_id"], *columns, ns, task["task_path"], replace)
            await self._call(calls.put_writes, *place)
            self.done.writes += len(task["idxs"])

    async def _checkpoints(
        self,
        key: str,
        ns: str,
        rows: Sequence[Row],
        parents: Mapping[str, str],
        writes: Mapping[str, list[Write]],
        sent: set[bytes],
    ) -> None:
        """Brings checkpoints over, which share statements in the order that they come in, and reads them back. What
        earlier ones have `sent` is not sent again, unless the database says that it is missing."""
        saves, told = [], {}
        encoded = Encoded()
        for row in rows:
            id_ = row["checkpoint_id"]
            told[id_] = values, (around, metadata) = self._told(row)
            checkpoint = cast(Checkpoint, {**around, "id": id_, "channel_values": values})
            encoded = encode(values, _AS_IT_IS)
            saves.append(self._save(key, ns, id_, parents[id_], checkpoint, metadata, encoded, frozenset(sent)))
            sent |= encoded.chunks.keys()
        await asyncio.gather(*saves)
        # enough: the next is most like the last
        sent.intersection_update(encoded.chunks)
        for id_, found in (await self._verify(key, ns, told)).items():
            if (found["parent"] or "", sorted(writes_of(found))) != (parents[id_], sorted(writes.get(id_, []))):
                raise NotTheSame(f"what came before and after the checkpoint {id_} of {key} is not what it was")

    def _told(self, row: Row) -> Told:
        around = json.loads(row["checkpoint"])
        if self._source.shallow and around["v"] < SENDS_BELOW:
            raise errors.InvalidValue(
                "a checkpoint of a shallow saver from before LangGraph 0.5 is not read: it has what was sent elsewhere"
            )
        values = self._values(row, around.pop("channel_values", None) or {})
        around.pop("id", None)
        return values, (around, json.loads(row["metadata"]))

    async def _verify(self, key: str, ns: str, told: Mapping[str, Told]) -> dict[str, Row]:
        """Reads checkpoints back."""
        rows = await self._call(calls.get_checkpoints, key, [*told], ns)
        found = {row["id"]: row for row in rows}
        for id_, known in told.items():
            self._compare(key, id_, found.get(id_), *known)
        return found

    async def _save(
        self,
        key: str,
        ns: str,
        id_: str,
        parent: str,
        checkpoint: Checkpoint,
        metadata: dict[str, Any],
        encoded: Encoded,
        sent: frozenset[bytes],
    ) -> None:
        serde = self._saver.serde
        # as it is, secrets included: what is there afterwards is compared with what was
        try:
            outside = records.surround(serde, checkpoint, metadata, Guard("off"), encrypted=records.encrypts(serde))
        except (TypeError, ValueError) as error:
            raise errors.InvalidValue(f"metadata of checkpoint {id_}: {error}") from error
        open_ = records.incomplete(checkpoint, metadata)
        for name in open_:
            encoded.add(name, None, None, None)
        saved = await save(
            self._state._core,
            self._state._agent,
            key,
            encoded,
            metadata=outside.metadata,
            timeout=self._state._timeout,
            ns=ns,
            id=id_,
            parent=parent,
            header=outside.header,
            whole=not open_,
            run_id=outside.run_id,
            have=sent,
        )
        if saved["status"] != "ok":
            raise errors.CheckpointMissing(
                f"{key} holds some of this thread, which was deleted or claimed here meanwhile ({saved['status']})", key
            )

    def _values(self, row: Row, inline: Mapping[str, Any]) -> dict[str, Any]:
        blobs = {
            name: Typed(type_, blob)
            for name, type_, blob in zip(row["channels"] or (), row["types"] or (), row["blobs"] or (), strict=True)
        }
        found: dict[str, Any] = {}
        # where there is a blob, a marker stands for it
        for name, typed in {
            **{n: Typed(*self._saver.serde.dumps_typed(_number(n, v))) for n, v in inline.items()},
            **blobs,
        }.items():
            parts = elements(typed.data) if typed.type == "msgpack" else None
            found[name] = typed if parts is None else [Typed("msgpack", part) for part in parts]
        return found

    def _compare(
        self,
        key: str,
        id_: str,
        found: Row | None,
        values: Mapping[str, Any],
        told: tuple[Any, Any],
    ) -> None:
        """Is what was read back what was brought over?"""
        if found is None or found["status"] != "ok":
            raise NotTheSame(f"checkpoint {id_} of {key} is not there")
        back = decode(found["names"], found["types"], found["data"], chunks_of(found), _AS_IT_IS)
        around, metadata = records.restore(self._saver.serde, id_, found["header"], found["metadata"])
        around.pop("id")
        if {name: _AS_IT_IS.dumps_typed(value) for name, value in values.items()} != {
            name: _AS_IT_IS.dumps_typed(value) for name, value in back.items()
        } or (around, metadata) != told:
            raise NotTheSame(f"checkpoint {id_} of {key} is not what it was")

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        state = self._state
        return await state._core.call(
            lambda c, left: function(c, *arguments, state._agent, timeout=left), state._timeout
        )
