"""LangGraph's namespaces and keys as pgstate's keys: `("users", "ana.b")` and "prefs" is `store/users/ana.b/prefs`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from langgraph.store.base import InvalidNamespaceError, MatchCondition

import pgstate

# no text is quoted so
_EMPTY = "%"


@lru_cache(4096)
def segment_of(text: str) -> str:
    """Any text as a segment of a key. Raises InvalidKey for a lone surrogate."""
    return pgstate.key(text) if text else _EMPTY


def text_of(segment: str) -> str:
    """And back."""
    return "" if segment == _EMPTY else unquote(segment)


@lru_cache(4096)
def _below(prefix: str, namespace: tuple[str, ...]) -> str:
    _check(namespace)
    return "/".join([prefix, *map(segment_of, namespace)])


def _check(namespace: Sequence[str]) -> None:
    """Raises InvalidNamespaceError for labels that are empty or no text; dots and any other text are welcome."""
    for label in namespace:
        if not isinstance(label, str) or not label:
            raise InvalidNamespaceError(f"labels of a namespace are texts, and not empty: {tuple(namespace)}")


class Names:
    """Keys below a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = pgstate.key(*prefix.split("/"))
        self._skip = len(self.prefix) + 1

    def key(self, namespace: Sequence[str], key: str) -> str:
        """The key of an item. Raises InvalidNamespaceError, InvalidKey when it is over 512 bytes."""
        if not namespace:
            raise InvalidNamespaceError("Namespace cannot be empty.")
        return f"{self.below(namespace)}/{segment_of(key)}"

    def below(self, namespace: Sequence[str]) -> str:
        """What the keys of a namespace begin with. Raises InvalidNamespaceError."""
        return _below(self.prefix, tuple(namespace))

    def item(self, key: str) -> tuple[tuple[str, ...], str]:
        """Namespace and key of an item."""
        *namespace, last = self.namespace(key)
        return tuple(namespace), last

    def namespace(self, key: str) -> tuple[str, ...]:
        """The texts that a key is made of; none of the prefix itself."""
        rest = key[self._skip :]
        return tuple(map(text_of, rest.split("/"))) if rest else ()

    def pattern(self, condition: MatchCondition) -> str | None:
        """Which namespaces fit a condition; None for all."""
        if condition.match_type not in ("prefix", "suffix"):
            raise ValueError(f"unknown match_type: {condition.match_type}")
        _check(condition.path)
        # a label "*" would be quoted
        path = "/".join("*" if label == "*" else segment_of(label) for label in condition.path)
        if not path:
            return None
        return f"{self.prefix}/{path}/**" if condition.match_type == "prefix" else f"{self.prefix}/**/{path}"
