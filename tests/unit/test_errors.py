"""The errors: one for each cause, told apart by SQLSTATE, and drawn as they are."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgstate import errors
from pgstate._calls import _run

SQL = Path(__file__).parents[2] / "sql"


def classes() -> dict[str, type[errors.PgStateError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: class_ for name, class_ in found if issubclass(class_, errors.PgStateError)}


def test_the_drawing_in_the_docstring_is_true() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"(?P<lead>[ │├└─]*)(?P<name>[A-Z][A-Za-z]+)(?:\s+(?P<code>PS\d{3})\b)?(?:\s{2,}|$)", line)
        if match is None:
            continue
        depth = len(match["lead"]) // 4
        above[depth:] = [match["name"]]
        drawn[match["name"]] = (above[depth - 1] if depth else None, match["code"])
    real = {
        name: (class_.__bases__[0].__name__ if class_ is not errors.PgStateError else None, class_.sqlstate)
        for name, class_ in classes().items()
    }
    assert drawn == real


def test_every_error_says_what_it_means() -> None:
    for name, class_ in classes().items():
        assert class_.__doc__ and class_.__doc__.rstrip().endswith("."), name


def test_every_code_has_one_error() -> None:
    coded = [class_ for class_ in classes().values() if "sqlstate" in vars(class_) and class_.sqlstate is not None]
    assert {class_.sqlstate: class_ for class_ in coded} == errors.BY_SQLSTATE
    assert len(coded) == len(errors.BY_SQLSTATE)


def test_every_code_that_the_sql_raises_has_an_error() -> None:
    text = "\n".join(path.read_text() for path in SQL.rglob("*.sql"))
    codes = set(re.findall(r"\bPS\d{3}\b", text))
    # inside the functions only: rows that are left out, and ways out of a block
    assert codes - {"PS000", "PS998", "PS999"} == set(errors.BY_SQLSTATE)


@pytest.mark.one_database
@pytest.mark.parametrize("code", sorted(errors.BY_SQLSTATE))
async def test_a_code_of_the_server_becomes_its_error(code: str, admin: asyncpg.Connection) -> None:
    block = f"do $$ begin raise exception using errcode = '{code}', message = 'what', hint = 'do that'; end $$"
    with pytest.raises(errors.BY_SQLSTATE[code], match="what. do that") as caught:
        await _run.fetch(admin, block, timeout=10)
    assert caught.value.sqlstate == code


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("40P01", _run.Rerun),
        ("40001", _run.Rerun),
        ("57P01", _run.ConnectionLost),
        ("57P02", _run.ConnectionLost),
        ("08006", _run.ConnectionLost),
        ("57014", _run.Overloaded),
        ("3F000", errors.SchemaMissing),
        ("42883", errors.SchemaMissing),
        ("42501", errors.AccessDenied),
        ("22P05", errors.InvalidValue),
        ("54001", errors.InvalidValue),
        ("53100", _run.Overloaded),
        ("XX000", errors.DatabaseError),
    ],
)
async def test_other_codes(code: str, error: type[Exception], admin: asyncpg.Connection) -> None:
    with pytest.raises(error) as caught:
        await _run.fetch(
            admin, f"do $$ begin raise exception using errcode = '{code}', message = 'what'; end $$", timeout=10
        )
    assert type(caught.value) is error
    assert isinstance(caught.value, errors.PgStateError)
    if isinstance(caught.value, errors.DatabaseError):
        assert caught.value.code == code


def test_what_is_no_error_of_a_database_stays_what_it_is() -> None:
    for error in (KeyError("x"), ZeroDivisionError()):
        assert _run.translate(error) is error
    for lost in (ConnectionResetError(), BrokenPipeError(), asyncpg.InterfaceError("connection is closed")):
        assert isinstance(_run.translate(lost), errors.Unreachable)
    assert isinstance(_run.translate(TimeoutError()), errors.Timeout)


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_travel(way: Callable[[Exception], Exception]) -> None:
    """Into another process, or to several callers of one statement."""
    arguments: dict[type[Exception], tuple[Any, ...]] = {
        errors.VersionConflict: ("what", "k", 3, None),
        errors.Conflict: ("what", "k"),
        errors.ClaimHeld: ("what", "k"),
        errors.StaleToken: ("what", "k"),
        errors.LeaseLost: ("what", "k"),
        errors.CheckpointConflict: ("what", "k", "head"),
        errors.CheckpointMissing: ("what", "k"),
        errors.RunHeld: ("what", "k"),
        errors.RunMissing: ("what", "k"),
        errors.RunEnded: ("what", "k"),
        errors.RunError: ("what", "k", "step"),
        errors.StepFailed: ("what", "k", "step", "ValueError: x"),
        errors.StepMismatch: ("what", "k", "step"),
        errors.SignalTimeout: ("what", "k", "step"),
        errors.RunCancelled: ("what", "k"),
        errors.RunTimeout: ("what", "k"),
        errors.ValueRefused: ("what", "k", "rule"),
    }
    for class_ in set(classes().values()) - {errors.DatabaseError}:
        error = class_(*arguments.get(class_, ("what",)))
        twin = way(error)
        assert type(twin) is class_ and str(twin) == "what"
        assert vars(twin) == vars(error)


def test_an_error_of_the_database_travels() -> None:
    twin = pickle.loads(pickle.dumps(errors.DatabaseError("what", "XX000")))
    assert (str(twin), twin.code) == ("what", "XX000")
