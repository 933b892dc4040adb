"""The wheel carries the SQL and the migrations: built, installed elsewhere, and a database migrated with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from _server import Cluster
from conftest import INSTALLER, Database, Databases
from pgstate import migrate

ROOT = Path(__file__).resolve().parents[2]
_USE = """
import sys, pgstate
from pgstate import _paths, migrate
print(_paths.migrations())
print(*migrate.upgrade_dsn(sys.argv[1]))
print(migrate.sql() == open(sys.argv[2], encoding="utf-8").read())
"""


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**kept, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    _run(sys.executable, "-m", "pip", "wheel", *options, ROOT, cwd=folder)
    (built,) = folder.glob("pgstate-*.whl")
    return built


@pytest.mark.thorough
def test_only_the_package_is_at_the_top(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    version = wheel.name.split("-")[1]
    assert {name.split("/", 1)[0] for name in names} == {"pgstate", f"pgstate-{version}.dist-info"}
    assert "pgstate/py.typed" in names
    assert "pgstate/_sql/manifest.txt" in names
    assert not [name for name in names if "__pycache__" in name]


def test_a_database_is_migrated_from_the_installed_wheel(
    wheel: Path, tmp_path: Path, cluster: Cluster, pgstate_databases: Databases
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    printed = tmp_path / "printed.sql"
    printed.write_text(migrate.sql(), encoding="utf-8")
    database = Database(cluster, cluster.create_database(owner=INSTALLER))
    try:
        # The wheel comes before the checkout, whose environment has the dependencies.
        said = _run(sys.executable, "-P", "-c", _USE, database.dsn(), printed, cwd=tmp_path, PYTHONPATH=str(site))
    finally:
        database.drop()
    assert said.splitlines() == [
        str(site / "pgstate" / "_migrations"),
        "0001 0002 0003 0004 0005 0006 0007 0008 0009 0010 0011 0012 0013 0014",
        "True",
    ]
