"""Patterns as conditions: ranges that an index answers, and a regular expression where they do not decide alone. What
matches is what `pgstate.list(pattern)` lists."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.orm import QueryableAttribute

from pgstate._keys import check_pattern, pattern_regex

# sorts after every character of a key
_LAST = "\x7f"


def matching(column: Any, *patterns: str) -> ColumnElement[bool]:
    """A condition: a column that holds keys matches any of the patterns.

    `*` stands for anything within a segment, `**` across segments, `?` for one character; `a/b/**` includes `a/b`, an
    empty pattern is everything. The column may be one of the application's: an index serves it if it is in collation
    "C". Raises InvalidPattern.
    """
    if getattr(column.type, "collation", None) != "C":
        column = column.collate("C")
    return or_(*(_condition(column, check_pattern(pattern)) for pattern in patterns or ("",)))


def _condition(key: Any, pattern: str) -> Any:
    stem = re.match(r"[^*?]*", pattern)[0]  # type: ignore[index]
    if pattern in ("", "**"):
        return true()
    if pattern == stem:
        return key == pattern
    above = stem[:-1]
    # '0' follows '/'
    if pattern == stem + "**":
        return or_(key == above, and_(key >= stem, key < above + "0"))
    if pattern == stem + "*/**" and stem.endswith("/"):
        return and_(key >= stem, key < above + "0")
    fits = key.regexp_match(f"^{pattern_regex(pattern)}$")
    if not stem:
        return fits
    # a/**/** includes a
    low = above if re.fullmatch(r"(?:/?\*\*)+", pattern[len(above) :]) else stem
    return and_(key >= low, key < low + _LAST, fits)


class Keyed:
    """Of models that have a key."""

    key: Any

    @classmethod
    def matches(cls, *patterns: str) -> ColumnElement[bool]:
        """A condition: the key matches any of the patterns, as in `State.list`. An alias of the model has it too.

            select(Entry).where(Entry.matches("tasks/**"))

        Raises InvalidPattern.
        """
        key: QueryableAttribute[str] = cls.key
        return matching(key, *patterns)
