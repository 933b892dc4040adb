"""Builds the newest revision's frozen SQL from sql/, or checks that it is up to date.

    python migrations/freeze.py            write
    python migrations/freeze.py --check    exit 1 and name what differs

tables.sql holds what is run once (roles, types, sequences, tables, indexes), code.sql what each revision creates anew.
The first revision's tables.sql is a build as well, and its drop.sql removes everything. A later revision has to change
tables that hold data: its tables.sql is written by hand, and its drop.sql, which takes those changes back; both are
only hashed here. Its clear.sql removes the code of the revision before (and its own, when it is undone).
Files of earlier revisions must match frozen/SHA256SUMS for ever.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

FIRST = "0001"
ONCE = frozenset({"roles", "types", "sequences", "tables", "indexes"})
ANEW = frozenset({"functions", "triggers", "policies", "grants", "views"})
# Scripts of their own, which create nothing.
APART = frozenset({"clear.sql", "drop.sql"})
ROOT = Path(__file__).resolve().parent.parent


class FreezeError(Exception):
    """sql/ or frozen/ is not in a state that can be frozen."""


def read_manifest(sql: Path) -> list[str]:
    """Paths relative to sql/, in order; a file that switches roles may come several times.

    Raises FreezeError if the manifest and the folder name different files.
    """
    lines = (line.split("#", 1)[0].strip() for line in (sql / "manifest.txt").read_text("utf-8").splitlines())
    listed = [line for line in lines if line]
    present = {path.relative_to(sql).as_posix() for path in sql.rglob("*.sql")} - APART
    problems = [
        *(f"listed but absent: {name}" for name in sorted(set(listed) - present)),
        *(f"not listed: {name}" for name in sorted(present - set(listed))),
        *(f"in no known folder: {name}" for name in listed if name.split("/", 1)[0] not in ONCE | ANEW),
    ]
    if problems:
        raise FreezeError("sql/manifest.txt: " + "; ".join(problems))
    return listed


def _joined(sql: Path, names: list[str]) -> str:
    head = "-- Built by migrations/freeze.py from sql/: change it there.\n"
    return head + "".join(f"\n-- {name}\n{(sql / name).read_text('utf-8').strip()}\n" for name in names)


def build(sql: Path, revision: str) -> dict[str, str]:
    """The texts that follow from sql/ for a revision, by file name."""
    names = read_manifest(sql)
    parts = {"code.sql": _joined(sql, [name for name in names if name.split("/", 1)[0] in ANEW])}
    if revision == FIRST:
        parts["tables.sql"] = _joined(sql, [name for name in names if name.split("/", 1)[0] in ONCE])
        parts["drop.sql"] = (sql / "drop.sql").read_text("utf-8")
    else:
        parts["clear.sql"] = (sql / "clear.sql").read_text("utf-8")
    return parts


# What a later revision needs besides its builds.
BY_HAND = ("tables.sql", "drop.sql")


def newest(frozen: Path) -> str:
    """The newest revision that has a folder; the first one where there is none yet."""
    return max((path.name for path in frozen.iterdir() if path.is_dir()), default=FIRST) if frozen.is_dir() else FIRST


def _sums(frozen: Path) -> dict[str, str]:
    return {
        path.relative_to(frozen).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(frozen.rglob("*.sql"))
    }


def _recorded(frozen: Path) -> dict[str, str]:
    listing = frozen / "SHA256SUMS"
    if not listing.exists():
        return {}
    rows = (line.split("  ", 1) for line in listing.read_text("utf-8").splitlines())
    return {name: digest for digest, name in rows}


def check(sql: Path, frozen: Path) -> list[str]:
    """What differs between sql/, the frozen files and their recorded hashes; empty when all agree."""
    revision = newest(frozen)
    found = []
    for name, text in build(sql, revision).items():
        path = frozen / revision / name
        if not path.exists() or path.read_text("utf-8") != text:
            found.append(f"{revision}/{name} is not what sql/ builds: run python migrations/freeze.py")
    found += [f"{revision}/{name} is absent: write it" for name in BY_HAND if not (frozen / revision / name).exists()]
    actual, recorded = _sums(frozen), _recorded(frozen)
    found += [
        f"{name} does not match SHA256SUMS"
        for name in sorted(actual.keys() | recorded.keys())
        if actual.get(name) != recorded.get(name)
    ]
    return found


def write(sql: Path, frozen: Path) -> None:
    """Writes the newest revision's files and SHA256SUMS. Raises FreezeError if an earlier revision has changed."""
    revision = newest(frozen)
    actual, recorded = _sums(frozen), _recorded(frozen)
    for name, digest in recorded.items():
        if not name.startswith(f"{revision}/") and actual.get(name) != digest:
            raise FreezeError(f"{name} belongs to a released revision and has changed: restore it")
    folder = frozen / revision
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in build(sql, revision).items():
        (folder / name).write_text(text, "utf-8", newline="\n")
    lines = (f"{digest}  {name}\n" for name, digest in _sums(frozen).items())
    (frozen / "SHA256SUMS").write_text("".join(lines), "utf-8", newline="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the newest revision's frozen SQL from sql/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything differs")
    parser.add_argument("--sql", type=Path, default=ROOT / "sql")
    parser.add_argument("--frozen", type=Path, default=ROOT / "migrations" / "frozen")
    options = parser.parse_args()
    try:
        if not options.check:
            write(options.sql, options.frozen)
            return 0
        found = check(options.sql, options.frozen)
    except FreezeError as error:
        found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
