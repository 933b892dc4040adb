"""LangGraph's state in PostgreSQL: `pip install 'pgstate[langgraph]'`.

    from pgstate.integrations.langgraph import PgStateSaver, PgStateStore

    async with pgstate.connect() as state:
        graph = builder.compile(checkpointer=PgStateSaver(state), store=PgStateStore(state))

In place of langgraph-checkpoint-postgres, `PgStateSaver.from_conn_string(dsn)` and PgStateStore's are used as its
savers and stores are, with `with` or `async with`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgstate.integrations.langgraph._index import StoreIndexConfig
    from pgstate.integrations.langgraph._saver import PgStateSaver
    from pgstate.integrations.langgraph._store import PgStateStore
from pgstate.integrations.langgraph._stored import StoredItem, StoredSearchItem

__all__ = ["PgStateSaver", "PgStateStore", "StoreIndexConfig", "StoredItem", "StoredSearchItem"]
_HOMES = {
    "PgStateSaver": "_saver",
    "PgStateStore": "_store",
    "StoreIndexConfig": "_index",
    "StoredItem": "_stored",
    "StoredSearchItem": "_stored",
}


def __getattr__(name: str) -> Any:
    # each when it is asked for: they need different packages
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("langgraph", "langchain_core"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs: pip install 'pgstate[langgraph]' ({error})", name=error.name
        ) from error
    return getattr(module, name)
