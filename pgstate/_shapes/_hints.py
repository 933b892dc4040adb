"""Annotations taken apart: qualifiers, metadata, type variables."""

from __future__ import annotations

from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    NotRequired,
    Protocol,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typing_extensions

from pgstate.errors import InvalidArgument

_REQUIREMENTS = {Required: True, NotRequired: False}
# typing has ReadOnly from 3.13 on, which is this one then
_PLAIN = {typing_extensions.ReadOnly, Final}


def hints_of(type_: Any) -> dict[str, Any]:
    """The annotations of a class or generic alias, evaluated, with type variables replaced by what they stand for."""
    try:
        hints = get_type_hints(get_origin(type_) or type_, include_extras=True)
    except Exception as error:
        # whatever the text of an annotation raises when it is evaluated
        raise InvalidArgument(
            f"an annotation of {name_of(type_)} cannot be evaluated ({error}): what it names must be at the top of its "
            "module at run time, not under TYPE_CHECKING or inside a function"
        ) from error
    bindings = _bindings(type_)
    return {name: _bound(hint, bindings) for name, hint in hints.items()}


def unqualified(hint: Any) -> tuple[Any, bool | None]:
    """An annotation without Required, NotRequired, ReadOnly and Final, and which of the first two it had."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, required = unqualified(get_args(hint)[0])
        return Annotated[(inner, *hint.__metadata__)], required
    if origin in _REQUIREMENTS:
        inner, _ = unqualified(get_args(hint)[0])
        return inner, _REQUIREMENTS[origin]
    if origin in _PLAIN:
        return unqualified(get_args(hint)[0])
    return hint, None


def metadata_of(hint: Any) -> list[Any]:
    """What stands in Annotated around a type; also behind an alias, and within `Annotated[...] | None`."""
    if get_origin(hint) is Annotated:
        return [*metadata_of(get_args(hint)[0]), *hint.__metadata__]
    if (aliased := _aliased(hint)) is not None:
        return metadata_of(aliased)
    members = _members(hint)
    return metadata_of(members[0]) if len(members) == 1 and members[0] is not hint else []


def core_of(hint: Any) -> list[Any]:
    """The types that a value may have, None left out: members of unions, behind aliases, Annotated and NewType."""
    if get_origin(hint) is Annotated:
        return core_of(get_args(hint)[0])
    if (aliased := _aliased(hint)) is not None:
        return core_of(aliased)
    if hasattr(hint, "__supertype__"):
        return core_of(hint.__supertype__)
    members = _members(hint)
    return [hint] if members == [hint] else [core for member in members for core in core_of(member)]


def name_of(type_: Any) -> str:
    """How messages call a type."""
    return getattr(type_, "__name__", None) or str(type_)


def _aliased(hint: Any) -> Any:
    """What a `type` alias stands for, with its arguments; None for anything else."""
    alias = get_origin(hint) or hint
    # by name: typing and typing_extensions have a class each
    if type(alias).__name__ != "TypeAliasType":
        return None
    return _bound(alias.__value__, dict(zip(alias.__type_params__, get_args(hint), strict=False)))


def _members(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, UnionType):
        return [member for member in get_args(hint) if member is not type(None)]
    return [hint]


def _bindings(type_: Any) -> dict[Any, Any]:
    """What type variables stand for, in a generic alias and in the bases of a class."""
    origin = get_origin(type_)
    cls = origin or type_
    found = dict(zip(getattr(cls, "__parameters__", ()), get_args(type_), strict=True)) if origin else {}
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        if isinstance(get_origin(base) or base, type) and get_origin(base) not in (Generic, Protocol):
            found = _bindings(_bound(base, found)) | found
    return found


def _bound(hint: Any, bindings: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return bindings.get(hint, hint)
    parameters = () if isinstance(hint, type) and get_origin(hint) is None else getattr(hint, "__parameters__", ())
    return hint[tuple(bindings.get(parameter, parameter) for parameter in parameters)] if parameters else hint
