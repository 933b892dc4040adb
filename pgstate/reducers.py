"""The built-in reducers as annotations of a typed state's fields: `Annotated[list[str], reducers.append]`.

The name as a string says the same (`Annotated[dict, "deep_merge"]`). They are applied in the database, so they are
markers here, not functions. What each does stands with `State.merge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reducer:
    """Names a reducer of the database."""

    name: str

    def __repr__(self) -> str:
        return f"pgstate.reducers.{self.name}"


replace: Final = Reducer("replace")
append: Final = Reducer("append")
add: Final = Reducer("add")
max: Final = Reducer("max")
min: Final = Reducer("min")
union: Final = Reducer("union")
merge: Final = Reducer("merge")
deep_merge: Final = Reducer("deep_merge")
messages: Final = Reducer("messages")
first: Final = Reducer("first")

NAMES: Final = frozenset(
    reducer.name for reducer in (replace, append, add, max, min, union, merge, deep_merge, messages, first)
)
"""The names of all of them."""
