"""What is told where an extra is not installed."""

from __future__ import annotations

import sys

import pytest

import pgstate.integrations.langgraph as integration


@pytest.mark.parametrize(
    ("name", "home", "lacking"),
    [("PgStateSaver", "_saver", "langchain_core.runnables"), ("PgStateStore", "_store", "langgraph.store.base")],
)
def test_langgraph_names_its_extra(monkeypatch: pytest.MonkeyPatch, name: str, home: str, lacking: str) -> None:
    monkeypatch.delitem(sys.modules, f"{integration.__name__}.{home}", raising=False)
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(ImportError, match=rf"^{name} needs: pip install 'pgstate\[langgraph\]'"):
        getattr(integration, name)
