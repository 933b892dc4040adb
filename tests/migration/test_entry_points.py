"""Whoever wrote against an earlier revision goes on working: its calls, with the same results, on the newest schema."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from conftest import Database
from migration._catalogue import REVISIONS
from migration._entry_points import FOLDER, calls_of, catalogue, recorded, replay
from pgstate import migrate

# Recorded when a revision is released, and never changed.
SUMS = {
    "0001": "4afbee4f4a3e4cca9ec71846a928f1eb8d068a43f2c09436ead1b06a7649074d",
    "0002": "3815d169e6f1d0ff75f922e89f3e2fd8a1bd0986cb11cb0ba37aca20dc4cf218",
    "0003": "8ca453f65057fcf41ccf5c20033e268f5f3ebff9a145c8c78e693e2a1b0826c0",
    "0004": "bbbde580552786757ab5954b741b2cf6aeb8afd5cfacaf3cda2b6af11d07fa53",
    "0005": "11c0121acd557d987bd37b803bb3cafa4154381fb23e8fa354aa72db1c22ce20",
    "0006": "20effa8ad0cfb44413ca56c5aee34ece45a6d49e07dbea6a890f5eb4ee4e486f",
    "0007": "a20c90d098d3ba3c3b0a40281d9a1eee0ace191521fa43efe0604adba9409904",
    "0008": "503963399dddf25db60bde96e032d77bd3668f8a38469f66d6e0258f5b43a2bf",
    "0009": "5dce6b154c1febfd4c4d9bec5fa2e7c63a178c50471afd88fd44a5b778e31f5b",
    "0010": "98ab034ecca56514322733adaf6b6da1574ad6b931d8a057696074fe416540ea",
    "0011": "d49b9a6c6d133b32b6cf4ba184970154953d6dfae64322da7cbd19f043ec41c8",
    "0012": "2a03f95ebe69f4a6a18fc3e95cebd75214796d52aaa008481f64468e0735a5cc",
    "0013": "67418a7c9a86762a1699da1e2e434fa23f4cba23cb51a8e716c3aaf0ad30ccce",
}
RELEASED = sorted(SUMS)


def test_every_released_revision_is_recorded() -> None:
    assert REVISIONS[: len(RELEASED)] == RELEASED
    assert len(REVISIONS) - len(RELEASED) <= 1, "the newest one only is not released yet"
    for revision, digest in SUMS.items():
        assert hashlib.sha256((FOLDER / f"{revision}.json").read_bytes()).hexdigest() == digest, revision


@pytest.mark.parametrize("revision", RELEASED)
def test_every_function_is_called_with_every_parameter(revision: str) -> None:
    called: dict[str, set[tuple[str, ...]]] = {}
    for call in calls_of(revision):
        called.setdefault(call.function, set()).add(tuple(call.arguments))
    functions = recorded(revision)["catalogue"]["functions"]
    assert called.keys() == functions.keys()
    for name, function in functions.items():
        parameters = tuple(parameter for parameter, _ in function["parameters"])
        assert parameters in called[name], name
        # an earlier revision's call lacks what came later
        assert all(given == parameters[: len(given)] for given in called[name]), name
    assert [entry["function"] for entry in recorded(revision)["calls"]] == [
        call.function for call in calls_of(revision)
    ]


@pytest.mark.one_database
@pytest.mark.every_version
@pytest.mark.parametrize("revision", RELEASED)
def test_parameters_keep_names_types_and_places_and_columns_are_only_added(database: Database, revision: str) -> None:
    before, now = recorded(revision)["catalogue"], catalogue(database)
    for name, function in before["functions"].items():
        successor = now["functions"][name]
        for what in ("kind", "set", "result"):
            assert successor[what] == function[what], (name, what)
        count = len(function["parameters"])
        assert successor["parameters"][:count] == function["parameters"], name
        # what could be left out still can, and so can what came later
        assert successor["defaults"] - function["defaults"] >= len(successor["parameters"]) - count, name
        assert (successor["columns"] or [])[: len(function["columns"] or [])] == (function["columns"] or []), name
    for name, columns in before["views"].items():
        assert now["views"][name][: len(columns)] == columns, name


@pytest.mark.every_version
@pytest.mark.parametrize("revision", RELEASED)
def test_the_calls_have_the_same_results(database: Database, revision: str) -> None:
    _replay(database, revision, named=True)


@pytest.mark.thorough
@pytest.mark.parametrize("revision", RELEASED)
def test_the_calls_by_places_have_the_same_results(database: Database, revision: str) -> None:
    """What a call does is shown on every version by the one with names; which argument is which no version changes."""
    _replay(database, revision, named=False)


def _replay(database: Database, revision: str, *, named: bool) -> None:
    for before, now in zip(recorded(revision)["calls"], replay(database, calls_of(revision), named=named), strict=True):
        assert _shape_of(now, before) == _expected(before), before["function"]
    database.logins += [f"{database.name}_{name}" for name in ("ana", "app", "eve", "bob")]


def _shape_of(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """As much of a result as there was before."""
    if "error" in before or "error" in now:
        return now
    count = len(before["columns"])
    if before["function"] in ("explain_policy", "harden", "quarantine"):
        # a row for each setting, of which later revisions have more; notes, of which earlier servers need more; and what
        # is left to whoever asks, which comes last
        now = {**now, "rows": now["rows"][: len(before["rows"])]}
    return {**now, "columns": now["columns"][:count], "rows": [row[:count] for row in now["rows"]]}


def _expected(before: dict[str, Any]) -> dict[str, Any]:
    if before["function"] != "info":
        return before
    # the one result that says which revision this is
    place = before["columns"].index("revision")
    rows = [[*row[:place], migrate.HEAD, *row[place + 1 :]] for row in before["rows"]]
    return {**before, "rows": rows}
