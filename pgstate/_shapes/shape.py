"""The shape of a typed state: its fields as keys, updates as merges, entries as objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from inspect import isawaitable
from typing import Any, Generic, TypeVar, cast

import pydantic

from pgstate._json import encode
from pgstate._keys import key
from pgstate._shapes._aliases import aliases_are_clear
from pgstate._shapes._fields import Constant, Field, structure_of
from pgstate._shapes._part import Part, explain, parts_of
from pgstate._shapes._reducing import Function, reducer_of
from pgstate.errors import InvalidArgument, InvalidKey, InvalidValue
from pgstate.types import UNSET

T = TypeVar("T")

# Operands that are one element may be given for these.
_GATHERING = {"append", "union", "messages"}
_PARTIAL = {"merge", "deep_merge"}
# A missing key starts from the operand; a default that is one of these makes no difference to that.
_NEUTRAL: dict[str, Any] = {"add": 0, "append": [], "union": [], "messages": [], "merge": {}, "deep_merge": {}}
# Factories that make the same each time.
_FIXED: tuple[Any, ...] = (list, dict, set, frozenset, tuple)
_EXTREME = {"max": -math.inf, "min": math.inf}


@dataclass(frozen=True)
class Slot:
    """A field: its segment of the key, and how it is merged: by a reducer of the database, or by a function here."""

    name: str
    segment: str
    reducer: str
    function: Function | None
    part: Part
    default: Callable[[], Any] | None

    def operand(self, value: Any) -> Any:
        """What merges into the field, as JSON types. Raises InvalidValue."""
        if self.reducer in _GATHERING and not isinstance(value, list | tuple | set | frozenset):
            value = [value]
        if self.reducer == "messages" and any(type(message).__name__ == "RemoveMessage" for message in value):
            # LangGraph's, which a list of anything would keep as one more message
            raise InvalidValue(f"{self.name}: RemoveMessage has no counterpart, messages are only added or replaced")
        if self.reducer in _PARTIAL:
            found = self.part.take_some(value, deep=self.reducer == "deep_merge")
        else:
            found = self.part.take(value)
        if found is None and self.reducer not in ("replace", "first"):
            raise InvalidValue(f"{self.name}: None cannot be merged by {self.reducer}; set() replaces the field")
        return found

    async def merged(self, text: str | None, value: Any) -> Any:
        """What the field's function makes of what is stored and a value, as JSON types. A field that is not stored
        starts from its default, or without one (or with None) from the value."""
        current = self.part.parse(text) if text is not None else self.default() if self.default else None
        if self.function is None or (text is None and current is None):
            return self.part.take(value)
        made = self.function(current, value)
        return self.part.take(await made if isawaitable(made) else made)

    def is_unstored(self, item: Any) -> bool:
        """It is the default, and one that is better not stored: an infinity, which has no JSON form, or None, which the
        database merges nothing into."""
        if item is None:
            apart = self.reducer not in ("replace", "first", "cas")
        else:
            apart = isinstance(item, float) and math.isinf(item)
        return apart and self.default is not None and bool(self.default() == item)

    def seed(self) -> Any:
        """What a missing field must hold before something is merged into it, as JSON types; UNSET for nothing."""
        if self.default is None or self.function is not None or self.reducer in ("replace", "first"):
            return UNSET
        return self._fixed_seed if self.default in _FIXED or isinstance(self.default, Constant) else self._make_seed()

    @cached_property
    def _fixed_seed(self) -> Any:
        return self._make_seed()

    def _make_seed(self) -> Any:
        value = self.default() if self.default else None
        if value is None or value == _EXTREME.get(self.reducer):
            return UNSET
        found = self.part.dump(value)
        return UNSET if found == _NEUTRAL.get(self.reducer) else found


class Shape(Generic[T]):
    """A type as a typed state keeps it."""

    def __init__(self, type_: Any, *, functions: bool) -> None:
        self._structure = structure_of(type_)
        self.name = self._structure.name
        parts = parts_of(type_)
        self.slots = {field.name: self._slot(field, parts[field.name], functions) for field in self._structure.fields}
        try:
            self._adapter: pydantic.TypeAdapter[T] = pydantic.TypeAdapter(self._structure.validated)
        except pydantic.errors.PydanticUserError as error:
            raise InvalidArgument(f"Pydantic does not take {self.name}: {error}") from error
        self._by_alias = aliases_are_clear(self._adapter.core_schema)

    def _slot(self, field: Field, part: Part, functions: bool) -> Slot:
        reducer = reducer_of(self.name, field.name, field.annotation, functions=functions)
        try:
            segment = key(field.name)
        except InvalidKey as error:
            raise InvalidArgument(f"{self.name}: {field.name!r} cannot be a key: {error}") from error
        if isinstance(reducer, str):
            return Slot(field.name, segment, reducer, None, part, field.default)
        return Slot(field.name, segment, "cas", reducer, part, field.default)

    def slot(self, name: str) -> Slot:
        """A field by its name. Raises InvalidArgument."""
        try:
            return self.slots[name]
        except KeyError:
            raise InvalidArgument(
                f"{self.name} has no field {name!r}, it has {', '.join(self.slots)}; an unknown field is never written"
            ) from None

    def load(self, texts: Mapping[str, str]) -> T:
        """The object of stored JSON, by field. Raises InvalidValue."""
        document = ",".join(f"{encode(name)}:{text}" for name, text in texts.items())
        try:
            return self._adapter.validate_json(f"{{{document}}}", by_name=True, by_alias=self._by_alias)
        except Exception as error:
            found = error.errors() if isinstance(error, pydantic.ValidationError) else []
            missing = [str(item["loc"][0]) for item in found if item["type"] == "missing" and len(item["loc"]) == 1]
            if missing and len(missing) == len(found):
                raise InvalidValue(f"not a whole {self.name} yet: nothing stored for {', '.join(missing)}") from error
            raise InvalidValue(f"not a valid {self.name}: {explain(error)}") from error

    def dump(self, value: T) -> dict[str, Any]:
        """The fields of an object as JSON types. Left out is what a TypedDict leaves out, and a default that is not
        stored, and comes back as that. Raises InvalidValue."""
        if isinstance(value, Mapping):
            for name in value:
                self.slot(name)
        try:
            valid: Any = self._adapter.validate_python(value, by_name=True, by_alias=self._by_alias)
        except Exception as error:
            raise InvalidValue(f"not a valid {self.name}: {explain(error)}") from error
        if extra := getattr(valid, "__pydantic_extra__", None):
            self.slot(next(iter(extra)))
        if self._structure.is_mapping:
            found = {name: slot.part.dump(valid[name]) for name, slot in self.slots.items() if name in valid}
        else:
            found = {name: slot.part.dump(getattr(valid, name)) for name, slot in self.slots.items()}
        # of nothing but those, None is stored, so that there is a state
        found = {name: item for name, item in found.items() if not self.slots[name].is_unstored(item)} or {
            name: item for name, item in found.items() if item is None
        }
        # an object that was made or changed without validation must not become a state that nobody can load
        texts = {}
        for name, item in found.items():
            try:
                texts[name] = encode(item)
            except InvalidValue as error:
                raise InvalidValue(f"not a value of {self.name}.{name}: {error}") from error
        self.load(texts)
        return found

    def rules(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """For each field the reducer and the JSON schema of its values, for policies. Fields merged by functions are
        replaced as far as the database is concerned."""
        return {
            name: ("replace" if slot.function is not None else slot.reducer, slot.part.schema())
            for name, slot in self.slots.items()
        }


@lru_cache(maxsize=256)
def _shape_of(type_: Any, functions: bool) -> Shape[Any]:
    return Shape(type_, functions=functions)


def shape_of(type_: type[T], *, functions: bool = False) -> Shape[T]:
    """The shape of a type; with `functions`, those without a counterpart in the database are kept.

    Raises InvalidArgument for what is no such type, UnknownReducer and ReducerMismatch by field name.
    """
    try:
        hash(type_)
    except TypeError as error:
        raise InvalidArgument(
            f"a typed state is a TypedDict, a dataclass or a Pydantic model, not {type_!r}"
        ) from error
    return _shape_of(cast(Any, type_), functions)
