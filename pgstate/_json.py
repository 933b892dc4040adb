"""Values as JSON text, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from pgstate._guard import scrub_json
from pgstate.errors import InvalidValue
from pgstate.types import Unreadable

# A NUL inside a JSON text is an escape whose backslash is not itself escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

# What the standard encoder does not know goes through Pydantic: models, datetimes, UUIDs, sets, dataclasses, enums.
_encode = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=pydantic_core.to_jsonable_python
).encode


def encode(value: object) -> str:
    """JSON text of a value. Raises InvalidValue for what JSON in PostgreSQL cannot hold."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            "the value holds a lone surrogate, which is no Unicode text: encode or replace it"
        ) from error
    except RecursionError as error:
        raise InvalidValue("the value is nested too deeply for JSON, or contains itself") from error
    except (ValueError, TypeError) as error:
        raise InvalidValue(
            f"the value cannot be JSON ({error}): pass JSON types, or what Pydantic can serialize; "
            "NaN and infinity have no JSON form"
        ) from error
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidValue("the value holds U+0000, which PostgreSQL cannot store in JSON: remove it, or encode it")
    return scrub_json(text)


def decode(text: str) -> Any:
    """The value of a JSON text. Raises InvalidValue for what PostgreSQL can hold and Python cannot (digits, depth)."""
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        # it gives up at 200 levels, which encode() and PostgreSQL do not
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            unread = InvalidValue(f"the stored value cannot be read into Python: {error}")
            unread.text = text
            raise unread from error


def decode_told(text: str | None) -> Any:
    """`decode` for what is told beside other things, which it must not keep from being told; None for no value."""
    try:
        return None if text is None else decode(text)
    except InvalidValue as error:
        return Unreadable(error.text)


def adapter(type_: Any) -> TypeAdapter[Any]:
    """What validates values of a type that Pydantic knows, made once for each."""
    try:
        # unions of other order are equal, and what fits both members is what comes first
        return _adapter(type_, "" if isinstance(type_, type) else repr(type_))
    except TypeError:  # not hashable, as metadata may be
        return TypeAdapter(type_)


@lru_cache(maxsize=512)
def _adapter(type_: Any, shown: str) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def decoder(type_: Any) -> Callable[[str], Any]:
    """A function from JSON text to validated objects of a type that Pydantic knows; InvalidValue when one does not
    fit."""
    return _DecodeAs(type_)


class _DecodeAs:
    """It goes to another process with an entry, by the name of the type."""

    __slots__ = ("_adapter", "_type")

    def __init__(self, type_: Any) -> None:
        self._type = type_
        self._adapter = adapter(type_)

    def __call__(self, text: str) -> Any:
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise InvalidValue(
                f"the stored value is not a valid {getattr(self._type, '__name__', self._type)}: {error}"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _DecodeAs, (self._type,)
