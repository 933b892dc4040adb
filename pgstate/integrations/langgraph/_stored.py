"""Items of LangGraph's store with the version that they are at."""

from __future__ import annotations

from typing import Any

from langgraph.store.base import Item, SearchItem


class StoredItem(Item):
    """An item, and the version that it is at: for `put(..., expect=item.version)`."""

    __slots__ = ("version",)
    __module__ = "pgstate.integrations.langgraph"  # as checkpoints name it that have one in their state

    def __init__(self, version: int, **known: Any) -> None:
        super().__init__(**known)
        self.version = version

    def dict(self) -> dict[str, Any]:
        """What it is made of: a checkpoint has this."""
        return {**super().dict(), "version": self.version}


class StoredSearchItem(SearchItem):
    """A search result, and the version that it is at."""

    __slots__ = ("version",)
    __module__ = "pgstate.integrations.langgraph"  # as checkpoints name it that have one in their state

    def __init__(self, version: int, **known: Any) -> None:
        super().__init__(**known)
        self.version = version

    def dict(self) -> dict[str, Any]:
        """What it is made of: a checkpoint has this."""
        return {**super().dict(), "version": self.version}
