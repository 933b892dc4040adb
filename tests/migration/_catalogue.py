"""What is in a database, as text to compare."""

from __future__ import annotations

import re

from _server import SUPERUSER
from conftest import Database

REVISIONS = [
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
]


def dump(database: Database, *options: str) -> str:
    """The whole catalogue as pg_dump sees it: definitions, owners and privileges, without the random restrict key."""
    text = database.cluster.program("pg_dump", "--schema-only", *options, "--dbname", database.dsn(SUPERUSER))
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def psql(database: Database, text: str, login: str | None = None) -> None:
    """Runs a script, which must not fail."""
    options = ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1")
    address = database.dsn() if login is None else database.dsn(login)
    database.cluster.program("psql", *options, "--dbname", address, stdin=text)
