"""What searches find, and what is indexed for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, overload

from pgstate.types._state import Entry, Row, movable


class Found(Entry[Any]):
    """An entry that a search found. `priority` and `not_before` are not known: AttributeError."""

    __slots__ = ()

    @property
    def score(self) -> float | None:
        """What the results are ordered by, highest first; None for what was listed without a query."""
        return self._row["score"]  # type: ignore[no-any-return]

    @property
    def text_rank(self) -> float | None:
        """How well the words fit (ts_rank_cd); None for what only a vector found."""
        return self._row["text_rank"]  # type: ignore[no-any-return]

    @property
    def distance(self) -> float | None:
        """From the query's vector to the nearest of the entry's; None for what only words found."""
        return self._row["distance"]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Found(key={self.key!r}, score={self.score!r}, version={self.version}, value={self.value!r})"


class FoundPage(Sequence[Found]):
    """What a search found, best first. `after` starts the next page, None when this one was not full."""

    __slots__ = ("_decode", "_rows", "_skip", "after")

    def __init__(self, rows: Sequence[Row], after: str | None, decode: Callable[[str], Any], skip: int = 0) -> None:
        self._rows = rows
        self._decode = decode
        self._skip = skip
        self.after = after

    @overload
    def __getitem__(self, index: int) -> Found: ...
    @overload
    def __getitem__(self, index: slice) -> list[Found]: ...
    def __getitem__(self, index: int | slice) -> Found | list[Found]:
        if isinstance(index, slice):
            return [Found(row, self._decode, self._skip) for row in self._rows[index]]
        return Found(self._rows[index], self._decode, self._skip)

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ([movable(row) for row in self._rows], self.after, self._decode, self._skip)

    def __repr__(self) -> str:
        return f"FoundPage({list(self)!r})"


@dataclass(frozen=True, slots=True)
class SearchRule:
    """What is indexed for search on a key or subtree; `ready` when what was there before is indexed too."""

    subtree: str
    fields: list[str]
    config: str
    vectors: str | None
    vector_fields: list[str] | None
    ready: bool
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """A vector index: vectors of one model. `distance` is cosine, l2 or inner_product; `method` hnsw, ivfflat or exact;
    `type` vector or halfvec."""

    name: str
    model: str
    dims: int
    distance: str
    method: str
    type: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unembedded:
    """An entry that waits for a vector of each of `texts`, by `model`, for the index `vectors`; `digest` is of these
    texts."""

    key: str
    version: int
    digest: str
    vectors: str
    model: str
    dims: int
    texts: list[str]
