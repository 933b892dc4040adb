"""Guards and operations for `State.apply`, as the JSON documents that pgstate.apply() takes in SQL.

Guards say what must hold, operations what is then done; all of it in one transaction, or none.

    await state.apply(
        guards=[ops.token("tasks/1", task.token)],
        operations=[ops.merge("totals/lines", 120, "add"), ops.complete("tasks/1", task.token)],
    )

`put_many`, `merge_many` and `delete_many` take documents of put, merge and delete as well, each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pgstate.types import UNSET, Seconds, Source


def _row(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value is not UNSET}


def _seconds(ttl: Seconds | None) -> float | None:
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


def exists(key: str) -> dict[str, Any]:
    """The key must exist."""
    return {"key": key, "exists": True}


def absent(key: str) -> dict[str, Any]:
    """The key must not exist."""
    return {"key": key, "absent": True}


def version(key: str, version: int) -> dict[str, Any]:
    """The key must be at this version; 0 for a key that must not exist."""
    return {"key": key, "version": version}


def value(key: str, value: Any) -> dict[str, Any]:
    """The key must hold this value."""
    return {"key": key, "value": value}


def token(key: str, token: int) -> dict[str, Any]:
    """The caller must hold the key's claim with this token."""
    return {"key": key, "token": token}


def put(
    key: str,
    value: Any,
    *,
    expect: int | None = None,
    expect_value: Any = UNSET,
    ttl: Seconds | None = None,
    token: int | None = None,
    priority: int | None = None,
    not_before: datetime | None = None,
    trust: str | None = None,
    sources: Sequence[Source] | None = None,
) -> dict[str, Any]:
    """Writes a key; the arguments are those of `State.put`."""
    at = None if not_before is None else not_before.isoformat()
    row = _row(op="put", key=key, expect=expect, ttl=_seconds(ttl), token=token, priority=priority, not_before=at)
    row |= _row(trust=trust, sources=None if sources is None else list(sources))
    if expect_value is not UNSET:
        row["expect_value"] = expect_value
    return row | {"value": value}


def merge(
    key: str,
    operand: Any,
    reducer: str | None = None,
    *,
    ttl: Seconds | None = None,
    token: int | None = None,
    trust: str | None = None,
    sources: Sequence[Source] | None = None,
) -> dict[str, Any]:
    """Merges into a key; the arguments are those of `State.merge`."""
    told = None if sources is None else list(sources)
    row = _row(op="merge", key=key, reducer=reducer, ttl=_seconds(ttl), token=token, trust=trust, sources=told)
    return row | {"operand": operand}


def delete(key: str, *, expect: int | None = None, token: int | None = None) -> dict[str, Any]:
    """Deletes a key, which must exist."""
    return _row(op="delete", key=key, expect=expect, token=token)


def complete(key: str, token: int) -> dict[str, Any]:
    """Finishes claimed work: removes the key."""
    return {"op": "complete", "key": key, "token": token}
