"""Databases without pgstate, and the script that freezes SQL."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from _server import Cluster
from conftest import INSTALLER, Database, Databases

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def empty(cluster: Cluster, pgstate_databases: Databases) -> Iterator[Callable[..., Database]]:
    """Makes databases that belong to the installer, who comes with the template, and hold nothing, or what another has."""
    made: list[Database] = []

    def make(template: Database | None = None) -> Database:
        name = cluster.create_database(template and template.name, owner=INSTALLER)
        made.append(Database(cluster, name))
        return made[-1]

    yield make
    for database in made:
        database.drop()


@pytest.fixture(scope="module")
def freeze() -> ModuleType:
    spec = importlib.util.spec_from_file_location("freeze", ROOT / "migrations" / "freeze.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
