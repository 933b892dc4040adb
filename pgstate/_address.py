"""Addresses of servers, in the forms that libpq takes.

asyncpg reads URIs, some of libpq's environment and, from 0.31 on, part of what service files may say. Here is the rest,
so that an address leads to the same server under the same login as in psql: keywords and values, PGSERVICE, a `.pgpass`
as libpq reads it, and the parameters that are the client's and not the server's. References: PostgreSQL documentation,
"Database Connection Control Functions", "The Connection Service File", "The Password File".
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import ssl
import stat
from configparser import Error as IniError
from configparser import RawConfigParser
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, unquote_plus

import asyncpg

from pgstate import errors

_log = logging.getLogger("pgstate")

Parameters: TypeAlias = "dict[str, str]"

_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_URI = re.compile(r"(?:([^@/?]*)@)?([^/?]*)(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?")
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)\s*", re.DOTALL)
_PASSWORD_LINE = re.compile(r"((?:[^:\\]|\\.)*):" * 4 + "(.*)")
# Where Debian's libpq looks; others say so by PGSYSCONFDIR.
_SYSTEM_SERVICES = "/etc/postgresql-common"

# libpq's parameters that make no difference to a caller here, and are no settings of the server.
_WITHOUT_EFFECT = {
    "client_encoding", "gssdelegation", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "sslcompression", "sslsni", "tcp_user_timeout",
}  # fmt: skip
# Those that ask for what asyncpg does not do, and the values that ask for nothing.
_BEYOND = {
    "channel_binding": {"disable", "prefer"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
    "replication": {"false", "off", "no", "0"},
    "require_auth": set(),
    "requirepeer": set(),
    "sslcertmode": {"allow"},
}
# What asyncpg does not take from the environment.
_ENVIRONMENT = {
    "PGAPPNAME": "application_name",
    "PGCHANNELBINDING": "channel_binding",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGGSSENCMODE": "gssencmode",
    "PGHOSTADDR": "hostaddr",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGOPTIONS": "options",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIREPEER": "requirepeer",
    "PGSSLCERTMODE": "sslcertmode",
}


async def open_connection(dsn: str, *, timeout: float | None = None, **settings: Any) -> asyncpg.Connection[Any]:
    """asyncpg.connect() with an address in any of libpq's forms. `timeout` is in seconds; the address may name a
    shorter one. Raises InvalidArgument for what is no address, else what asyncpg raises."""
    # read anew each time, as libpq does: a service may move, a password may change
    parameters = read(dsn)
    limits = [limit for limit in (timeout, _seconds(parameters.pop("connect_timeout", ""))) if limit]
    if limits:
        settings["timeout"] = min(limits)
    context = _system_trust(parameters)
    if context is not None:
        settings["ssl"] = context
    return await asyncpg.connect(_uri(parameters), **settings)


def unreachable(what: str, error: BaseException) -> errors.Unreachable:
    """What to raise where connecting failed, with advice that fits how: a server that answers is up."""
    advice = "Is the address right and the server up?"
    if isinstance(error, asyncpg.PostgresError):
        # which login or database is meant, it says; or why it takes nobody now
        advice = "Is the address right?" if (error.sqlstate or "").startswith(("28", "3D")) else ""
    reason = (str(error) or type(error).__name__).rstrip(".")
    return errors.Unreachable(f"cannot connect to {what}: {reason}. {advice}".rstrip(" ."))


def driver_address(dsn: str) -> str:
    """An address in any of libpq's forms as a URI that `open_connection` takes too. Raises InvalidArgument."""
    return _uri(read(dsn))


def read(dsn: str) -> Parameters:
    """What an address says, and what services, environment and password file add to it. Raises InvalidArgument."""
    parameters = _parse(dsn)
    service = parameters.pop("service", "") or os.environ.get("PGSERVICE", "")
    if service:
        parameters = {**_service(service, parameters.pop("servicefile", "")), **parameters}
    for variable, name in _ENVIRONMENT.items():
        if value := os.environ.get(variable):
            parameters.setdefault(name, value)
    parameters = {name: value for name, value in parameters.items() if value and name not in _WITHOUT_EFFECT}
    for name, harmless in _BEYOND.items():
        value = parameters.pop(name, None)
        if value is not None and value not in harmless:
            raise errors.InvalidArgument(f"the address asks for {name}={value}, which asyncpg cannot do: leave it out")
    if name := parameters.pop("fallback_application_name", ""):
        parameters.setdefault("application_name", name)
    if (password := _stored_password(parameters)) is not None:
        parameters["password"] = password
    if address := parameters.pop("hostaddr", ""):
        parameters["host"] = address
    return parameters


def written(parameters: Parameters) -> str:
    """Parameters as a URI that any driver takes: login, database, and a single host with its port, in their places."""
    left = dict(parameters)
    user, password = (quote(left.pop(name, ""), safe="") for name in ("user", "password"))
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    database = quote(left.pop("dbname", ""), safe="")
    place = ""
    if not set(left.get("host", "/")) & set("/,:["):
        port = left.pop("port", "")
        place = quote(left.pop("host")) + (f":{port}" if port else "")
    query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in left.items())
    return f"postgresql://{login}{place}/{database}" + (f"?{query}" if query else "")


def without_passwords(dsn: str) -> str:
    """An address for people and logs. Raises InvalidArgument."""
    return written({name: value for name, value in read(dsn).items() if name not in ("password", "sslpassword")})


def _parse(dsn: str) -> Parameters:
    scheme, separator, rest = dsn.partition("://")
    if separator and "=" not in scheme:
        if scheme not in _SCHEMES:
            raise errors.InvalidArgument(
                f"not an address of a PostgreSQL: {scheme}://…; use postgresql:// or postgresql+asyncpg://"
            )
        found = _URI.fullmatch(rest)
        assert found is not None
        # SQLAlchemy writes a space in a query as a plus, libpq knows %20 alone
        return _parse_uri(found, unquote_plus if scheme == "postgresql+asyncpg" else unquote)
    parameters: Parameters = {}
    end = 0
    for pair in _PAIR.finditer(dsn):
        if pair.start() != end:
            break
        end = pair.end()
        parameters[pair[1]] = re.sub(r"\\(.)", r"\1", pair[3] if pair[2] is None else pair[2], flags=re.DOTALL)
    if end != len(dsn) or not parameters:
        # not shown: it may hold a password
        raise errors.InvalidArgument(
            "not an address of a PostgreSQL: use postgresql://user@host/database, or libpq's keywords and values as in "
            "'host=… dbname=… user=…' and 'service=…'"
        )
    return parameters


def _parse_uri(found: re.Match[str], plain: Any) -> Parameters:
    login, hosts, database, query = (part or "" for part in found.groups())
    user, _, password = login.partition(":")
    parameters = {"user": unquote(user), "password": unquote(password), "dbname": unquote(database)}
    places = [_HOST.fullmatch(place) for place in hosts.split(",")]
    if None in places:
        raise errors.InvalidArgument("not an address of a PostgreSQL: host and port are not to be told apart")
    parameters["host"] = ",".join(unquote(place[1]) for place in places if place)
    if any(place[2] for place in places if place):
        parameters["port"] = ",".join(place[2] or "" for place in places if place)
    for pair in query.split("&") if query else []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise errors.InvalidArgument(f"not an address of a PostgreSQL: its parameter {name} has no value")
        parameters["dbname" if name == "database" else plain(name)] = plain(value)
    # JDBC's way, and SQLAlchemy's
    if mode := parameters.pop("ssl", ""):
        parameters.setdefault("sslmode", "require" if mode == "true" else mode)
    return {name: value for name, value in parameters.items() if value}


def _service(name: str, file: str) -> Parameters:
    """A service's parameters: those of the user's file, or else of the system's."""
    named = file or os.environ.get("PGSERVICEFILE")
    if named and not Path(named).exists():
        raise errors.InvalidArgument(f"there is no service file {named}")
    own = Path(named) if named else Path("~/.pg_service.conf").expanduser()
    system = Path(os.environ.get("PGSYSCONFDIR") or _SYSTEM_SERVICES, "pg_service.conf")
    for path in (own, system):
        services = RawConfigParser(
            delimiters=("=",), comment_prefixes=("#",), strict=False, default_section="", empty_lines_in_values=False
        )
        try:
            services.read(path, "utf-8")
        except (OSError, IniError, UnicodeDecodeError) as error:
            raise errors.InvalidArgument(f"the service file {path} cannot be read: {error}") from error
        if services.has_section(name):
            return dict(services[name])
    raise errors.InvalidArgument(f"no service {name} is defined in {own} or {system}")


def _stored_password(parameters: Parameters) -> str | None:
    """What the password file has for this server and login. asyncpg reads that file too, but leaves escapes in, and
    knows every socket as "localhost" alone."""
    given = parameters.get("passfile") or os.environ.get("PGPASSFILE")
    if parameters.get("password") or os.environ.get("PGPASSWORD"):
        return None
    path = Path(given) if given else Path("~/.pgpass").expanduser()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
            _log.warning("the password file %s is ignored: it must be a file that nobody else may read (0600)", path)
            return None
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return None
    environment = os.environ.get
    user = parameters.get("user") or environment("PGUSER") or getpass.getuser()
    database = parameters.get("dbname") or environment("PGDATABASE") or user
    hosts = (parameters.get("host") or parameters.get("hostaddr") or environment("PGHOST") or "localhost").split(",")
    ports = (parameters.get("port") or environment("PGPORT") or "5432").split(",")
    for index, host in enumerate(hosts):
        port = ports[index if len(ports) == len(hosts) else 0] or "5432"
        names = {host, "localhost"} if host.startswith("/") else {host}
        for line in lines:
            found = None if line.startswith("#") else _PASSWORD_LINE.fullmatch(line)
            if found is None:
                continue
            *fields, password = (re.sub(r"\\(.)", r"\1", field) for field in found.groups())
            wanted = (names, {port}, {database}, {user})
            if all(
                raw == "*" or field in those
                for raw, field, those in zip(found.groups()[:4], fields, wanted, strict=True)
            ):
                return password
    return None


def _seconds(limit: str) -> float | None:
    """connect_timeout; none, zero and less mean no limit."""
    try:
        return max(float(limit), 0.0) if limit else None
    except ValueError:
        raise errors.InvalidArgument(f"connect_timeout is a number of seconds, not {limit}") from None


def _system_trust(parameters: Parameters) -> ssl.SSLContext | None:
    """For sslrootcert=system, which trusts the certificates of the operating system and checks the host's name."""
    if (parameters.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")) != "system":
        return None
    if (mode := parameters.get("sslmode") or os.environ.get("PGSSLMODE") or "verify-full") != "verify-full":
        raise errors.InvalidArgument(f"sslrootcert=system needs sslmode=verify-full, not {mode}")
    for name in ("sslmode", "sslrootcert"):
        parameters.pop(name, None)
    context = ssl.create_default_context()
    if certificate := parameters.pop("sslcert", ""):
        context.load_cert_chain(certificate, parameters.pop("sslkey", None), parameters.pop("sslpassword", None))
    return context


def _uri(parameters: Parameters) -> str:
    written = dict(parameters)
    if "host" in written:
        # asyncpg takes what follows a colon for a port
        bare = (host or "localhost" for host in written["host"].split(","))
        written["host"] = ",".join(
            f"[{host}]" if host.count(":") > 1 and host[0] not in "[/" else host for host in bare
        )
    if "port" in written:
        ports = [port or os.environ.get("PGPORT") or "5432" for port in written["port"].split(",")]
        if odd := [port for port in ports if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)]:
            raise errors.InvalidArgument(f"a port is a number from 1 to 65535, not {odd[0]}")
        written["port"] = ",".join(ports)
    return "postgresql://?" + "&".join(f"{name}={quote(value, safe='/')}" for name, value in written.items())
