"""Where the migrations lie: inside the package in an installed wheel, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def migrations() -> Path:
    """The folder with Alembic's env.py, versions/ and frozen/."""
    packed = _PACKAGE / "_migrations"
    return packed if packed.is_dir() else _PACKAGE.parent / "migrations"


def frozen(revision: str, part: str) -> Path:
    """The frozen SQL of a revision; `part` is clear, tables, code or drop."""
    return migrations() / "frozen" / revision / f"{part}.sql"


def sql(name: str) -> Path:
    """A file of the schema as people read it."""
    packed = _PACKAGE / "_sql"
    return (packed if packed.is_dir() else _PACKAGE.parent / "sql") / name
