"""Items of put_many, merge_many and delete_many, as the arguments of one write each.

An item is a tuple, which is short, or a document of pgstate.ops, which has the options. One that is neither is a
mistake of the program and refuses the call before anything is sent; a key or value that the database refuses does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from pgstate import errors
from pgstate._json import encode
from pgstate.types import UNSET, Seconds

# op, key, value, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, op_id, trust, sources;
# in place of a value that JSON cannot hold, the error
Write: TypeAlias = tuple[Any, ...]

_ORIGIN = ("trust", "sources")
_FIELDS = {
    "put": frozenset({"value", "expect", "expect_value", "ttl", "token", "priority", "not_before", "op_id", *_ORIGIN}),
    "merge": frozenset({"operand", "reducer", "ttl", "token", "op_id", *_ORIGIN}),
    "delete": frozenset({"expect", "token", "op_id"}),
}
_NEEDED = {"put": {"value"}, "merge": {"operand"}, "delete": set[str]()}


def puts(items: Mapping[str, Any] | Iterable[tuple[str, Any] | Mapping[str, Any]], ttl: Seconds | None) -> list[Write]:
    """Writes of put_many. `ttl` is that of the items which have none of their own."""
    if isinstance(items, Mapping):
        if items.get("op") == "put" and "key" in items:
            raise errors.InvalidArgument("this is one document: put_many takes a list of them")
        items = items.items()
    return [_write("put", item, ("value",), ttl) for item in items]


def merges(items: Iterable[tuple[str, Any, str] | Mapping[str, Any]]) -> list[Write]:
    """Writes of merge_many."""
    return [_write("merge", item, ("operand", "reducer"), None) for item in items]


def deletes(items: Iterable[str | Mapping[str, Any]]) -> list[Write]:
    """Writes of delete_many."""
    return [_write("delete", (item,) if isinstance(item, str) else item, (), None) for item in items]


def _write(op: str, item: Any, names: tuple[str, ...], ttl: Seconds | None) -> Write:
    if type(item) is tuple and len(item) == 2 and op == "put" and isinstance(item[0], str):
        # most are so, and to look for options in them takes longer than all else that is done for them here
        return op, item[0], _try_encode(item[1]), None, UNSET, ttl, None, None, None, None, None, None, None, None
    if isinstance(item, Mapping):
        given = {name: value for name, value in item.items() if name not in ("op", "key")}
        key = item.get("key")
        fits = item.get("op") == op and _NEEDED[op] <= given.keys() <= _FIELDS[op]
    elif isinstance(item, (tuple, list)):
        given = dict(zip(names, item[1:], strict=False))
        key = item[0] if item else None
        # a merge may leave the reducer to a policy
        fits = len(item) == len(names) + 1 or (op == "merge" and len(item) == len(names))
    else:
        given, key, fits = {}, None, False
    if not fits or not isinstance(key, str):
        short = ", ".join(("key", *names)) if names else "key"
        raise errors.InvalidArgument(f"{op}_many takes ({short}) or documents of ops.{op}(), not {item!r:.200}")
    return (
        op,
        key,
        None if op == "delete" else _try_encode(given["value" if op == "put" else "operand"]),
        given.get("expect"),
        given.get("expect_value", UNSET),
        given.get("ttl", ttl),
        given.get("token"),
        given.get("priority"),
        _moment(given.get("not_before")),
        given.get("reducer"),
        None,
        given.get("op_id"),
        given.get("trust"),
        given.get("sources"),
    )


def _moment(given: str | datetime | None) -> datetime | None:
    if not isinstance(given, str):
        return given
    try:
        return datetime.fromisoformat(given)
    except ValueError as error:
        raise errors.InvalidArgument(f"not_before is not a time: {error}") from error


def _try_encode(value: Any) -> str | errors.PgStateError:
    try:
        return encode(value)
    except errors.InvalidValue as error:
        return error
