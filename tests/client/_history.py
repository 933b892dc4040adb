"""What a key held, one value after the other."""

from __future__ import annotations

from typing import Any

from pgstate import State


async def written(state: State, key: str) -> list[Any]:
    """All values that a key had, oldest first."""
    return [version.value for version in reversed(await state.history(key, limit=None))]
