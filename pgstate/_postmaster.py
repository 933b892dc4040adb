"""Starting and finding PostgreSQL server processes: as which user, from which programs, and whether they live.

The embedded server and the test suite's clusters share this. POSIX only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import re
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

# psutil comes with the `embedded` extra and is imported where it is needed: finding a running server does without.

PORT = 5432  # names the socket file only; no TCP
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL documentation, "Message Formats"
_ACCOUNT = "pgserver"  # the one that the wheel's own launcher makes
_log = logging.getLogger("pgstate.embedded")
_OTHERS_PASS = stat.S_IXOTH
# sun_path holds 103 bytes and a terminator on the smallest platform. Drivers split hosts at commas and colons.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+=@~ -]+")
_LONGEST_SOCKET_PATH = 100
# seconds that a program may take to be executed
_EXEC = 5.0


@dataclass(frozen=True)
class Postmaster:
    """What postmaster.pid says: where it listens (`port`, `socket_dir`) and whether it accepts connections yet."""

    pid: int
    port: int
    socket_dir: str
    ready: bool


def server_uid() -> int | None:
    """The uid that new servers run as; None for the current user. PostgreSQL refuses root, so root gets an account."""
    if os.geteuid() != 0:
        return None
    for _ in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(_ACCOUNT).pw_uid
        # Fails if another process has just made it, and then the next look finds it.
        subprocess.run(["useradd", "--shell", "/bin/sh", _ACCOUNT], check=False, capture_output=True)
    raise OSError(f"PostgreSQL does not run as root, and the user {_ACCOUNT!r} could not be made with useradd")


def environment() -> dict[str, str]:
    """This process's environment for server programs: PGPORT, PGDATA and their like would change what they do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def give(path: Path, uid: int | None) -> None:
    """Makes the server's user own `path`."""
    if uid is not None:
        os.chown(path, uid, pwd.getpwuid(uid).pw_gid)


def open_way(path: Path, uid: int | None) -> None:
    """Lets the server's user pass through the folders above `path`: pass only, not list them."""
    if uid is None:
        return
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & _OTHERS_PASS:
            _log.info("letting other users pass through %s, so that the server's user gets to %s", folder, path)
            folder.chmod(stat.S_IMODE(mode) | _OTHERS_PASS)


def open_programs(bindir: Path, uid: int | None) -> None:
    """Lets the server's user read PostgreSQL's programs, libraries and templates beside `bindir`."""
    if uid is None:
        return
    open_way(bindir, uid)
    if (bindir / "postgres").stat().st_mode & (_OTHERS_PASS | stat.S_IROTH) == _OTHERS_PASS | stat.S_IROTH:
        return
    for path in (bindir.parent, *bindir.parent.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (_OTHERS_PASS if mode & stat.S_IXUSR else 0))


def run(command: Sequence[str | Path], uid: int | None, *, stdin: str = "", timeout: float = 120) -> str:
    """Runs a server program to its end as the server's user and returns its output.

    Raises OSError with the program's own words if it fails, or when it takes longer than `timeout` seconds.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            [str(part) for part in command],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            cwd="/",
            timeout=timeout,
            **as_user(uid),
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{name} did not end within {timeout:g} s") from error
    if done.returncode != 0:
        raise OSError(f"{name} failed: {done.stdout.strip()}")
    said: str = done.stdout
    return said


def launch(bindir: Path, data: Path, uid: int | None, log: Path, settings: dict[str, str]) -> int:
    """Starts a postmaster that outlives this process; returns its pid without waiting until it accepts connections."""
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    # Through a shell that ends at once: as our own child it would stay a zombie once killed, and a zombie's pid keeps
    # the next server from starting. pg_ctl does the same, but hands paths to a shell unquoted.
    script = '"$@" </dev/null >>"$log" 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(bindir / "postgres"), "-D", str(data), *options],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=True,
        start_new_session=True,
        env={**environment(), "log": str(log)},
        cwd="/",
        timeout=30,
        **as_user(uid),
    )
    return int(started.stdout)


def as_user(uid: int | None) -> dict[str, Any]:
    """Arguments of subprocess calls that make the program run as the server's user."""
    return {} if uid is None else {"user": uid, "group": pwd.getpwuid(uid).pw_gid, "extra_groups": ()}


def read(data: Path) -> Postmaster | None:
    """The contents of postmaster.pid, whether or not its process lives; None if there is none or it is half written."""
    try:
        lines = (data / "postmaster.pid").read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    # The server writes five lines at first and the others as it gets on, the state of things last.
    if len(lines) < 5 or not lines[0].strip().lstrip("-").isdigit():
        return None
    return Postmaster(
        pid=int(lines[0]),
        port=int(lines[3] or 0),
        socket_dir=lines[4].strip(),
        ready=len(lines) >= 8 and lines[7].strip() == "ready",
    )


def lives(pid: int, data: Path) -> bool:
    """Whether `pid` is the postmaster of `data`, and not a zombie or a stranger to whom the number went."""
    import psutil

    deadline = time.monotonic() + _EXEC
    try:
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            command = process.cmdline()
            # one that is just being executed has none yet, and the kernel's never have one
            if command or time.monotonic() > deadline:
                return str(data) in command
            time.sleep(0.005)
    except psutil.Error:  # gone, or another user's and therefore not ours
        pass
    return False


def exists(pid: int) -> bool:
    """Whether any process has this number, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(postmaster: Postmaster) -> bool:
    """Whether a server answers on the socket.

    A leftover socket file refuses, but one whose server was just killed still takes connections: only a reply proves
    that somebody is there. An encryption request gets one without credentials and without a line in the log.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(f"{postmaster.socket_dir}/.s.PGSQL.{postmaster.port}")
            probe.sendall(_SSL_REQUEST)
            return bool(probe.recv(1))
        except OSError:
            return False


def shut_down(pid: int, data: Path, *, timeout: float = 60) -> None:
    """Ends a postmaster: rolls open transactions back and, should that take more than `timeout` seconds, aborts."""
    for how, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not lives(pid, data):
                return
            time.sleep(0.02)
    raise OSError(f"the server process {pid} does not end")


def clear_locks(data: Path, sockets: Path) -> None:
    """Removes the lock files of a dead server whose pid is still in use: by its zombie, or by a stranger.

    PostgreSQL would take either for a running server and refuse. It still checks by itself, without these files,
    whether processes of the dead server use its memory. The caller makes sure that no server of `data` lives or starts.
    """
    for path in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*.lock")):
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            if exists(abs(int(path.read_text("utf-8").split()[0]))):
                path.unlink()


def leftovers(data: Path) -> list[int]:
    """Postmasters that were started on this path, also one whose folder has been deleted since."""
    import psutil

    found = psutil.process_iter(["name", "cmdline"])
    return [p.pid for p in found if p.info["name"] == "postgres" and str(data) in (p.info["cmdline"] or ())]


def socket_dir(data: Path, uid: int | None) -> Path:
    """Where the server's socket goes: the data folder, which nobody else enters, else a private folder under /tmp."""
    if len(os.fsencode(data)) + len(f"/.s.PGSQL.{PORT}") <= _LONGEST_SOCKET_PATH and _PLAIN_PATH.fullmatch(str(data)):
        return data
    name = sha256(os.fsencode(data)).hexdigest()[:16]
    chosen = Path(tempfile.gettempdir()) / f"pgstate-{name}"
    with contextlib.suppress(FileExistsError):
        chosen.mkdir(mode=0o700)
        give(chosen, uid)
    # Trust authentication: whoever could put a folder there first would be handed every password and query.
    found = chosen.lstat()
    owner = os.geteuid() if uid is None else uid
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError(f"{chosen} is not a private folder of the server's user; remove it")
    return chosen
