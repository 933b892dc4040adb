"""What a run has recorded, and which step of the code each call is."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import re
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from pgstate import errors
from pgstate._areas._base import said
from pgstate._codec import JSON, Serializer
from pgstate._guard import Guard
from pgstate._json import adapter
from pgstate.encryption import Sealing
from pgstate.types import Row

# # and [ are for ids; the others PostgreSQL has no text of
_NAME = re.compile("[^#[\0\ud800-\udfff]+")
# what JSON gives back as it was; not what derives from them, such as an IntEnum
_PLAIN = (str, int, float, bool, type(None))
_ITERATED = (collections.abc.Iterable, collections.abc.Iterator, collections.abc.Generator)

# characters of an error, as of a failed task's: what is too large would be refused, and the failure with it
_MOST_KEPT = 2000

# where a run records that it undoes what it has done, and what it fails with; no step can be called so
UNDOING = "#undo"


class Place(NamedTuple):
    """Which step a call is: its id, the name in it, and how many-eth of the run's own line."""

    id: str
    name: str
    position: int
    main: bool


@dataclass(slots=True)
class Record:
    """A step that is recorded."""

    id: str
    position: int | None
    main: bool
    state: str
    type: str | None
    data: bytes | None
    due_at: datetime | None


class Records:
    """The steps of a run, and how far the code has come.

    A call is known by its name and how many of that name there were before. Of those that the run's own task makes the
    order must be as recorded; those of other tasks (`asyncio.gather`, task groups) come as it happens, so theirs does
    not count."""

    def __init__(self, row: Row, key: str, body: asyncio.Task[Any] | None) -> None:
        self._key = key
        self._body = body
        # tasks that stand for the run's own, one at a time: those of a thread that has the run
        self.acting: set[asyncio.Task[Any]] = set()
        columns = (
            row["steps"],
            row["positions"],
            row["mains"],
            row["states"],
            row["types"],
            row["data"],
            row["due_ats"],
        )
        self._known = (
            {} if row["steps"] is None else {record[0]: Record(*record) for record in zip(*columns, strict=True)}
        )
        self.open = row["status"] != "ended"
        self._in_order: dict[int, str] = {}
        for record in self._known.values():
            if record.main and record.position is not None and record.state != "pending":
                self._in_order[record.position] = record.id.partition("[")[0]
        # in which order they were finished, this process's behind those of the others
        self._ranks = {id: rank for rank, id in enumerate(self._known, 1)}
        self.reached = 0
        """The rank of the latest that the code has come by."""
        undoing = self._known.get(UNDOING)
        self.failing = None if undoing is None else (undoing.data or b"").decode(errors="replace")
        """What a run fails with that has begun to undo what it had done."""
        self._seen: Counter[str] = Counter()
        self._position = 0

    def count(self, name: str) -> int:
        """How many calls of this name there have been, this one included."""
        self._seen[name] += 1
        return self._seen[name]

    def is_own(self, task: asyncio.Task[Any] | None) -> bool:
        """Is it the run's own task, or does it stand for that?"""
        return task is not None and (task is self._body or task in self.acting)

    def place(self, name: str) -> Place:
        """The next call of a name. Raises StepMismatch, InvalidArgument."""
        if not _NAME.fullmatch(name) or len(name.encode()) > 256:
            raise errors.InvalidArgument(
                f"the name of a step is text of 1 to 256 bytes, with neither # nor [: {name[:80]!r}"
            )
        count = self.count(name)
        id = name if count == 1 else f"{name}#{count}"
        main = self.is_own(asyncio.current_task())
        if main:
            self._position += 1
            self._check_order(id)
        return Place(id, name, self._position, main)

    def _check_order(self, id: str) -> None:
        there = self._in_order.get(self._position)
        if there is not None and there != id:
            raise errors.StepMismatch(
                f"step {self._position} of run {self._key} is {id} in the code, and recorded is {there}: go on "
                "with the code that began the run, or give another version",
                self._key,
                id,
            )
        record = self._known.get(id)
        if there is None and record is not None and record.main and record.position not in (None, self._position):
            raise errors.StepMismatch(
                f"{id} is step {self._position} of the code, and step {record.position} of run {self._key}: go on with "
                "the code that began the run, or give another version",
                self._key,
                id,
            )

    def find(self, id: str) -> Record | None:
        """What is recorded of a step, if it is finished. Raises StepMismatch for a new step of a run that has ended."""
        record = self._known.get(id)
        if record is not None and record.state != "pending":
            return record
        if not self.open:
            raise errors.StepMismatch(f"run {self._key} has ended, and the code goes on with {id}", self._key, id)
        return None

    def finished(self, id: str) -> int:
        """The code has come by a finished step; its rank in the order in which they were finished."""
        rank = self._ranks.setdefault(id, len(self._ranks) + 1)
        self.reached = max(self.reached, rank)
        return rank

    def fault_at_end(self) -> errors.StepMismatch | None:
        """The code has ended: were there more steps?"""
        last = max(self._in_order, default=0)
        if last <= self._position:
            return None
        return errors.StepMismatch(
            f"the code has ended after {self._position} steps of run {self._key}, which has recorded {last}, up to "
            f"{self._in_order[last]}",
            self._key,
        )


class Values:
    """Results as bytes, and back."""

    def __init__(self, serializer: Serializer, guard: Guard) -> None:
        self._serializer = serializer
        self._guard = guard

    def dump(self, value: Any) -> tuple[str, bytes]:
        """Without secrets. Raises InvalidValue."""
        type_, data = self._serializer.dumps_typed(value)
        return type_, self._guard.typed(type_, data)

    async def checked(self, key: str, value: Any) -> tuple[str, bytes]:
        """`dump` of what the detector lets pass. Raises ValueRefused, InvalidValue."""
        if self._guard.detection is not None:
            await self._guard.detection.written(key, value)
        return self.dump(value)

    def said(self, error: BaseException) -> str:
        """What is recorded of an error: its first 2000 characters, without secrets."""
        return self._guard.text(said(error))[:_MOST_KEPT]

    def load(self, type: str | None, data: bytes | None, wanted: Any = None) -> Any:
        """The value, validated if a type is wanted. Raises InvalidValue."""
        if type is None or data is None:
            return None
        if isinstance(self._serializer, Sealing):
            type, data = self._serializer.opened(type, data)
            value = self._serializer.inner.loads_typed((type, data))
        else:
            value = self._serializer.loads_typed((type, data))
        if wanted is None or type != "json":
            return value
        try:
            return adapter(wanted).validate_python(value) if value is None else _validated(data, wanted)
        except ValidationError as error:
            raise errors.InvalidValue(f"what is recorded does not fit {wanted}: {error}") from error

    @staticmethod
    def json(value: Any) -> Any:
        """A value as it will be read back."""
        return value if _is_plain(value) else JSON.loads_typed(JSON.dumps_typed(value))

    def round(self, value: Any, type: str, data: bytes, wanted: Any) -> Any:
        """What a replay will give for a value: never anything that only the first time gives."""
        # a text may have held a secret
        plain = _is_plain(value) and not isinstance(value, str)
        return value if plain and wanted is None else self.load(type, data, wanted)


def fitted(value: Any, wanted: Any, what: str) -> Any:
    """A value that JSON gave back, validated if a type is wanted. None fits any. Raises InvalidValue."""
    # others are from a serializer that keeps types
    if wanted is None or value is None or type(value) not in (*_PLAIN, dict, list):
        return value
    try:
        return _validated(JSON.dumps_typed(value)[1], wanted)
    except ValidationError as error:
        raise errors.InvalidValue(f"{what} does not fit {wanted}: {error}") from error


def _validated(data: bytes, wanted: Any) -> Any:
    value = adapter(wanted).validate_json(data)
    # of an iterable, also of one that a union or Annotated holds, Pydantic makes what can be gone through once
    return list(value) if isinstance(value, collections.abc.Iterator) else value


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN


def check_wanted(wanted: Any) -> None:
    """Raises InvalidArgument for a type that nothing can be validated by: before a step is done, which is recorded."""
    if wanted is None:
        return
    try:
        _build(wanted)
    except Exception as error:  # whatever Pydantic and the type's own hooks raise
        raise errors.InvalidArgument(f"as_={wanted!r:.80}: Pydantic does not take this type: {error}") from error


def _build(wanted: Any) -> None:
    """Raises what validating by this type would raise whatever the value."""
    # a type that names what is not defined is refused when it is first used
    getattr(adapter(wanted).validator, "title")  # noqa: B009


class Signature(NamedTuple):
    """What there is to know of a step's function."""

    wants_context: bool
    result: Any


def signature(function: Callable[..., Any]) -> Signature:
    """Does it take `ctx`, and the type that its annotation says it returns, where that is to be validated."""
    # without what a method is bound to: neither that nor what a closure holds shall be kept here
    plain = getattr(function, "__func__", function)
    try:
        found = _known.get(plain)
        if found is None:
            found = _known[plain] = _look(function)
    except TypeError:  # not hashable, or nothing that can be held weakly
        return _look(function)
    return found


def _look(function: Callable[..., Any]) -> Signature:
    try:
        parameters: Mapping[str, Any] = inspect.signature(function).parameters
    except (ValueError, TypeError):
        return Signature(False, None)
    return Signature("ctx" in parameters, validated_by(hints(function).get("return")))


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, none if one of them cannot be looked up now."""
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception:  # whatever looking up the names raises
        return {}


def validated_by(annotation: Any) -> Any:
    """What an annotated value is validated by; None where there is nothing to validate, or Pydantic cannot: the step is
    recorded by then, and the annotation is for people and type checkers."""
    if typing.get_origin(annotation) in (collections.abc.Awaitable, collections.abc.Coroutine):
        # of a plain function, which makes what is awaited
        annotation = next(reversed(typing.get_args(annotation)), None)
    if (typing.get_origin(annotation) or annotation) in _ITERATED:
        # Pydantic takes no Iterator, and of the others makes what can be gone through once
        element = next(iter(typing.get_args(annotation)), Any)
        annotation = list[element]  # type: ignore[valid-type]
    if annotation in (Any, None, *_PLAIN, dict, list) or isinstance(annotation, typing.TypeVar):
        return None
    try:
        _build(annotation)
    except Exception:
        return None
    return annotation


_known: WeakKeyDictionary[Callable[..., Any], Signature] = WeakKeyDictionary()
