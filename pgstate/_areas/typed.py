"""Typed state: an object whose fields are keys, updated field by field."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

from pgstate import errors, ops
from pgstate._areas._base import some
from pgstate._areas._diff import Differ
from pgstate._areas._typed_watch import TypedWatch
from pgstate._areas.values import Values
from pgstate._calls import policies
from pgstate._calls._run import Connection, outcome_error
from pgstate._json import encode
from pgstate._shapes.shape import Shape, Slot, shape_of
from pgstate.types import UNSET, FieldChange, Row

T = TypeVar("T")
_Row: TypeAlias = Mapping[str, Any]
# field, what is written to it as JSON types, reducer
_Write: TypeAlias = tuple[str, Any, str | None]
_ATTEMPTS = 10


async def _set_policy(
    key: str, reducer: str, schema: str, agent: str | None, connection: Connection, left: float
) -> None:
    await policies.set_policy(connection, key, reducer, None, None, None, schema, agent, timeout=left)


class TypedState(Generic[T]):
    """One object of type T in the shared state. Made by `State.typed`; cheap, and safe to use from any number of tasks.

    Each field is a key of its own, `<path>/<field>` (the name quoted by `pgstate.key` where need be), which holds the
    field as Pydantic dumps it, by names and not by aliases. So SQL, the shell and other clients read and write the same
    state: `pgstate.merge('research/task-7/findings', '["x"]', 'append')`. Other keys below the path are left alone.

    The state exists when any of its fields is stored. Loading fills the others with their defaults.
    """

    def __init__(self, values: Values, shape: Shape[T], path: str) -> None:
        self._values = values
        self._shape = shape
        self._path = path
        self._state = values._key(path)
        # looked up by field; full keys, which are checked here once
        self._keys = {name: values._key(f"{path}/{slot.segment}") for name, slot in shape.slots.items()}
        self._names = {full: name for name, full in self._keys.items()}

    @property
    def path(self) -> str:
        """The key that the fields' keys begin with."""
        return self._path

    @property
    def reducers(self) -> dict[str, str]:
        """What merges each field: a built-in reducer, or cas for a function that is applied in Python."""
        return {name: slot.reducer for name, slot in self._shape.slots.items()}

    async def define(self) -> None:
        """Makes a policy for each field: its reducer, and the JSON Schema that its values must fit from now on, whoever
        writes them. Can be done again; other settings of these policies stay as they are.

        Raises AccessDenied (needs admin on every field's key), and InvalidArgument for a schema that the database
        cannot check, such as one with a regular expression: the fields before it have their policies then.
        """
        values = self._values
        with values._to(f"define {self._path}", "admin"):
            for name, (reducer, schema) in self._shape.rules().items():
                await values._core.call(
                    partial(_set_policy, self._keys[name], reducer, encode(schema), values._agent), values._timeout
                )

    @overload
    async def load(self) -> T | None: ...
    @overload
    async def load(self, *, partial: Literal[True]) -> dict[str, Any]: ...
    async def load(self, *, partial: bool = False) -> Any:
        """The state as one moment had it, validated; None if there is none. With `partial` a dict of the fields that
        are stored, each validated by itself, without defaults.

        Raises InvalidValue when a field without default is not stored yet, or a stored value does not fit;
        AccessDenied when the agent may not read every field; Timeout, Unreachable.
        """
        rows = await self._read(self._keys)
        texts = {name: row["value"] for name, row in rows.items()}
        if partial:
            return {name: self._shape.slots[name].part.parse(text) for name, text in texts.items()}
        return self._shape.load(texts) if texts else None

    async def update(
        self,
        fields: Mapping[str, Any] | None = None,
        /,
        *,
        op_id: str | None = None,
        token: int | None = None,
        guards: Sequence[_Row] = (),
        **values: Any,
    ) -> dict[str, int]:
        """Merges values into fields: all of them in one statement, or none. Returns the fields' versions (0 for an
        agent that may write but not read).

        Each value is validated as a value of its field before anything is sent, and its JSON as one that is read back;
        then the database merges it by the field's reducer, so that concurrent updates all take effect. Lists are
        appended to, sets united and messages merged with a list or with one element; a nested model that is merged may
        be given as a document of some of its fields. A field that is not stored starts from its default. What the
        merging makes of a field is checked when it is loaded, as are rules about several fields.

        `fields` takes names that are no keywords here. `token` is that of the caller's claim on the state's own key,
        `path`; `guards` are those of `pgstate.ops`, what else must hold. `op_id` makes the update happen once, however
        often it is asked for. With `fallback="cas"`, fields merged by functions are read first, and all of it is tried
        again (10 times) if they have changed meanwhile; then op_id cannot be given.

        Raises InvalidArgument for an unknown field, InvalidValue, ReducerMismatch, VersionConflict (a guard, or a
        function's field after the last attempt), StaleToken, ClaimHeld, AccessDenied, ValueTooLarge, OpIdReused,
        Timeout, Unreachable. Nothing was written then, except perhaps after Timeout.
        """
        given = {**(fields or {}), **values}
        slots = [(self._shape.slot(name), value) for name, value in given.items()]
        merges = [merge for slot, value in slots if slot.function is None for merge in self._merges(slot, value)]
        held = self._held(guards, token)
        computed = [(slot, value) for slot, value in slots if slot.function is not None]
        if computed and op_id is not None:
            raise errors.InvalidArgument(
                f"op_id with {computed[0][0].name}, which a function merges: each attempt would be another request"
            )
        if computed or held or op_id is not None:
            operations = [ops.merge(self._key(name), item, str(reducer)) for name, item, reducer in merges]
            if computed:
                return await self._compute(computed, operations, held)
            return await self._apply(operations, held, op_id)
        return await self._write("merge", merges) if merges else {}

    async def set(self, value: T, *, token: int | None = None, guards: Sequence[_Row] = ()) -> None:
        """Replaces the whole state by an object of the type, or by a document with its fields; all fields or none.

        `token` and `guards` as in `update`. Raises InvalidValue (nothing is written that could not be loaded), and
        what `update` raises. Fields that a TypedDict leaves out are removed, which takes the right to read;
        so are those that are at a default which is not stored: None where something is merged, and infinities.
        """
        fields = self._shape.dump(value)
        held = self._held(guards, token)
        if len(fields) < len(self._keys):
            await self._replace(fields, held)
        elif held:
            await self._apply([ops.put(self._key(name), item) for name, item in fields.items()], held)
        else:
            await self._write("put", [(name, item, None) for name, item in fields.items()])

    async def delete(self, *, token: int | None = None, guards: Sequence[_Row] = ()) -> bool:
        """Removes all fields, all or none; False if there were none. Their history stays. Raises what `set` raises."""
        return await self._replace({}, self._held(guards, token))

    async def modify(
        self,
        fn: Callable[[T | None], T | Awaitable[T]],
        *,
        attempts: int = _ATTEMPTS,
        token: int | None = None,
        guards: Sequence[_Row] = (),
    ) -> T:
        """Loads the state, applies `fn` (None if there is none), and writes what differs, unless any field changed
        meanwhile; then loads again, up to `attempts` times. For changes that depend on several fields. `fn` may be a
        coroutine function. Calls for one state in this client take turns. Returns what `fn` made.

        Raises VersionConflict after the last attempt, and what `load` and `set` raise.
        """
        if attempts < 1:
            raise errors.InvalidArgument("attempts must be at least 1")
        held = self._held(guards, token)
        async with self._values._turn(self._path):
            for attempt in range(1, attempts + 1):
                rows = await self._read(self._keys)
                before = self._shape.load({name: row["value"] for name, row in rows.items()}) if rows else None
                # dumped now: fn may change the object that it is given
                old = {} if before is None else self._shape.dump(before)
                made = fn(before)
                after: T = await made if isawaitable(made) else made
                operations, unmoved = self._difference(rows, old, self._shape.dump(after))
                if not operations:
                    return after
                try:
                    await self._apply(operations, [*held, *unmoved])
                except errors.VersionConflict as conflict:
                    await self._before_next(conflict, held, attempt, attempts)
                else:
                    return after
        raise AssertionError

    def watch(self) -> TypedWatch[T]:
        """Follows the state: first what it is now (None if there is none), then what it is after each transaction that
        touched it, never half of one; None when it was removed.

        Changes that come close together may show as one. Raises InvalidValue from an `anext()` for a state that is not
        whole or not valid; the next one goes on. Raises AccessDenied when the agent may not read every field.
        """
        self._values._core.following("watch")
        return TypedWatch(self._values, self._shape, self._names)

    async def diff(self, since: str, until: str) -> dict[str, FieldChange]:
        """The fields that differ between two cursors (of the feed, a listing, a change or a watch), with the values at
        both. What changed and changed back is left out.

        Raises CursorInvalid when `until` lies before `since`, CursorExpired, InvalidValue, AccessDenied.
        """
        return await Differ(self._values, self._shape, self._names).between(since, until)

    async def _read(self, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Row]:
        """The stored fields, in one statement."""
        values, keys = self._values, [self._keys[name] for name in names]
        values._core.stats.reads += len(keys)
        size = sum(len(key) for key in keys)
        outcome = await values._core.reader(values._agent).submit(self._state, tuple(keys), size, values._timeout)
        rows: Sequence[Row] = outcome["rows"]
        for row in rows:
            if row["code"] is not None:
                with values._to(f"load {row['key']}", "read", row["key"]):
                    raise outcome_error(row["code"], row["message"])
        return {name: row for name, row in zip(names, rows, strict=True) if row["status"] == "ok"}

    def _merges(self, slot: Slot, value: Any) -> list[_Write]:
        """A merge; before it, where that matters, that of the default, which a missing field starts from."""
        operand, seed = slot.operand(value), slot.seed()
        merge = (slot.name, operand, slot.reducer)
        return [merge] if seed is UNSET else [(slot.name, seed, "first"), merge]

    async def _write(self, op: str, writes: Sequence[_Write]) -> dict[str, int]:
        values = self._values
        sent = [
            (op, self._keys[name], self._text(name, item), None, None, None, None, None, None, reducer, None, None)
            for name, item, reducer in writes
        ]
        try:
            rows = await values._write_all(self._state, sent)
        except errors.AccessDenied as error:
            # the database has recorded it
            keys = list(dict.fromkeys(self._keys[name] for name, *_ in writes))
            denied = values._denied(error, f"{op} {some(keys)}", "write", recorded=error.__cause__ is None)
            raise denied from error.__cause__
        return {name: row["version"] or 0 for (name, _, _), row in zip(writes, rows, strict=True)}

    def _text(self, name: str, item: Any) -> str:
        try:
            return encode(item)
        except errors.InvalidValue as error:
            raise errors.InvalidValue(f"not a value of {self._shape.name}.{name}: {error}") from error

    async def _apply(
        self, operations: Sequence[_Row], guards: Sequence[_Row], op_id: str | None = None
    ) -> dict[str, int]:
        values = self._values
        done = await values.apply(guards=guards, operations=operations, op_id=op_id)
        return {self._names[values._prefix + row.key]: row.version or 0 for row in done[len(guards) :]}

    async def _compute(
        self, computed: Sequence[tuple[Slot, Any]], merges: Sequence[_Row], held: Sequence[_Row]
    ) -> dict[str, int]:
        """An update with fields that functions merge."""
        async with self._values._turn(self._path):
            for attempt in range(1, _ATTEMPTS + 1):
                rows = await self._read([slot.name for slot, _ in computed])
                puts = []
                for slot, value in computed:
                    row = rows.get(slot.name)
                    made = await slot.merged(None if row is None else row["value"], value)
                    puts.append(ops.put(self._key(slot.name), made, expect=0 if row is None else row["version"]))
                try:
                    return await self._apply([*merges, *puts], held)
                except errors.VersionConflict as conflict:
                    await self._before_next(conflict, held, attempt, _ATTEMPTS)
        raise AssertionError

    async def _replace(self, fields: Mapping[str, Any], held: Sequence[_Row]) -> bool:
        """Writes these fields and removes the others; False if there was nothing to do. A removal needs something
        there, so what is there is looked at first."""
        others = [name for name in self._keys if name not in fields]
        puts = [ops.put(self._key(name), item) for name, item in fields.items()]
        async with self._values._turn(self._path):
            for attempt in range(1, _ATTEMPTS + 1):
                stored = await self._read(others)
                if not puts and not stored and not held:
                    return False
                deletes = [ops.delete(self._key(name)) for name in stored]
                unmoved = [ops.absent(self._key(name)) for name in others if name not in stored]
                try:
                    await self._apply([*puts, *deletes], [*held, *unmoved])
                except errors.VersionConflict as conflict:
                    await self._before_next(conflict, held, attempt, _ATTEMPTS)
                else:
                    return bool(puts or stored)
        raise AssertionError

    def _difference(
        self, rows: Mapping[str, Row], old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> tuple[list[_Row], list[_Row]]:
        """What to write for one document to become another, and guards for the fields that stay as they are; among
        them those that are not stored and keep their default."""
        operations: list[_Row] = []
        unmoved: list[_Row] = []
        for name in self._keys:
            key, version = self._key(name), rows[name]["version"] if name in rows else 0
            if name in new and (name not in old or encode(old[name]) != encode(new[name])):
                operations.append(ops.put(key, new[name], expect=version))
            elif name not in new and name in rows:
                operations.append(ops.delete(key, expect=version))
            else:
                unmoved.append(ops.version(key, version))
        return operations, unmoved

    async def _before_next(
        self, conflict: errors.VersionConflict, held: Sequence[_Row], attempt: int, attempts: int
    ) -> None:
        if conflict.key in {guard["key"] for guard in held}:
            # the caller's own condition, which another attempt does not change
            raise conflict
        if attempt == attempts:
            raise errors.VersionConflict(
                f"{self._path} changed under each of {attempts} attempts",
                conflict.key,
                conflict.version,
                conflict.current,
            ) from conflict
        # writers in step would go on colliding
        await asyncio.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))

    def _key(self, name: str) -> str:
        return self._keys[name][self._values._skip :]

    def _held(self, guards: Sequence[_Row], token: int | None) -> list[_Row]:
        return [*guards, *([] if token is None else [ops.token(self._path, token)])]


class Typed(Values):
    """typed."""

    def typed(self, type_: type[T], path: str, *, fallback: Literal["cas"] | None = None) -> TypedState[T]:
        """An object of a TypedDict, dataclass or Pydantic model, kept below a key: `state.typed(Research, "tasks/7")`.

        How concurrent updates of a field merge is said by its annotation: `Annotated[list[str], operator.add]` appends,
        on numbers it adds (as decimals, not as binary fractions); `max` and `min`; `operator.or_` unites sets and
        merges dicts; LangGraph's `add_messages` merges messages by id (RemoveMessage has no counterpart); one of
        `pgstate.reducers`, or its name as a string. Without any the last write wins. Other functions are refused,
        unless `fallback` is "cas": then they are applied here, in Python, to what was read, and written unless another
        was faster, which is tried again.

        Raises UnknownReducer or ReducerMismatch with the field's name, InvalidArgument for a type that cannot be kept,
        InvalidKey.
        """
        if fallback not in (None, "cas"):
            raise errors.InvalidArgument(f'fallback is "cas" or None, not {fallback!r}')
        return TypedState(self, shape_of(type_, functions=fallback == "cas"), path)
