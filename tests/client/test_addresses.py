"""Addresses mean here what they mean to libpq: sockets, TLS, services, passwords, for clients and for migrating alike."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, quote

import asyncpg
import psycopg
import pytest

import pgstate
from _server import SUPERUSER, Cluster
from client._cli import invoke
from client._tls import Tls, certificate
from conftest import INSTALLER, Database
from pgstate import errors, migrate
from pgstate._address import driver_address


def read(dsn: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(driver_address(dsn).partition("?")[2]).items()}


async def leads_there(dsn: str, database: Database) -> None:
    """Every way in: a client, migrating, the command line. libpq itself takes the address too."""
    async with pgstate.connect(dsn) as state:
        assert await state.me() == "admin"
    assert await asyncio.to_thread(migrate.current_dsn, dsn) == migrate.HEAD
    assert await migrate.upgrade_async(dsn) == []
    done = await asyncio.to_thread(invoke, "--json", "migrate", "--dsn", dsn)
    assert done.code == 0, done
    if not dsn.startswith("postgresql+asyncpg"):
        with psycopg.connect(dsn) as session:
            assert session.info.dbname == database.name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("dsn", "meaning"),
    [
        ("postgresql://", {}),
        ("postgres://host", {"host": "host"}),
        ("postgresql://u:p%40%23@h:5433/d", {"user": "u", "password": "p@#", "host": "h", "port": "5433", "dbname": "d"}),
        ("postgresql://u:a+b@h/d", {"user": "u", "password": "a+b", "host": "h", "dbname": "d"}),
        ("postgresql://u:p#q@h/d", {"user": "u", "password": "p#q", "host": "h", "dbname": "d"}),
        ("postgresql://%2Ftmp%2Fs/d", {"host": "/tmp/s", "dbname": "d"}),
        ("postgresql://a:1,b:2/d", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgresql://a,b:2/d", {"host": "a,b", "port": "5432,2", "dbname": "d"}),
        ("postgresql://[::1]:5433/d", {"host": "[::1]", "port": "5433", "dbname": "d"}),
        ("host=::1 dbname=d", {"host": "[::1]", "dbname": "d"}),
        ("postgresql://h/d?sslmode=verify-ca&sslrootcert=/r", {"host": "h", "dbname": "d", "sslmode": "verify-ca", "sslrootcert": "/r"}),
        ("postgresql://h/d?ssl=true", {"host": "h", "dbname": "d", "sslmode": "require"}),
        ("postgresql+asyncpg://h/d?ssl=verify-full", {"host": "h", "dbname": "d", "sslmode": "verify-full"}),
        ("postgresql+asyncpg://h/d?options=-c+a%3Db", {"host": "h", "dbname": "d", "options": "-c a=b"}),
        ("postgresql://h/d?options=-c%20a%3Db+c", {"host": "h", "dbname": "d", "options": "-c a=b+c"}),
        ("host = h  port=5 dbname='a b' password='it\\'s \\\\'", {"host": "h", "port": "5", "dbname": "a b", "password": "it's \\"}),
        ("host=h hostaddr=10.0.0.1", {"host": "10.0.0.1"}),
        ("host=h keepalives=1 sslsni=0 channel_binding=prefer user=''", {"host": "h"}),
        ("host=h fallback_application_name=f", {"host": "h", "application_name": "f"}),
        ("host=h fallback_application_name=f application_name=a", {"host": "h", "application_name": "a"}),
        ("host=h dbname=postgresql://", {"host": "h", "dbname": "postgresql://"}),
    ],
)  # fmt: skip
def test_what_an_address_says(home: Path, dsn: str, meaning: dict[str, str]) -> None:
    assert read(dsn) == meaning
    assert read(driver_address(dsn)) == meaning


@pytest.mark.parametrize(
    "dsn",
    [
        "", "nonsense", "host", "host=h dbname", "host='h", "mysql://h/d", "postgresql://h:x/d", "postgresql://h/d?x",
        "postgresql://h/d?require_auth=scram-sha-256", "host=h channel_binding=require", "host=h requirepeer=root",
        "postgresql://h/d?gssencmode=require", "host=h load_balance_hosts=random",
    ],
)  # fmt: skip
async def test_what_is_no_address_or_asks_too_much(dsn: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        driver_address(dsn)
    with pytest.raises(errors.InvalidArgument):
        await pgstate.connect(dsn)


async def test_sockets(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, port = database.cluster.data, database.cluster.port
    for dsn in (
        f"postgresql://{INSTALLER}@/{database.name}?host={folder}&port={port}",
        f"postgresql+asyncpg://{INSTALLER}@/{database.name}?host={folder}&port={port}",
        f"postgres://{INSTALLER}@{quote(str(folder), safe='')}:{port}/{database.name}",
        f"host={folder} port={port} user={INSTALLER} dbname={database.name}",
        f"user={INSTALLER} host='{folder}' dbname='{database.name}'",
    ):
        await leads_there(dsn, database)
    for name, value in (
        ("PGHOST", str(folder)), ("PGPORT", str(port)), ("PGUSER", INSTALLER), ("PGDATABASE", database.name),
        ("PGAPPNAME", "an application"), ("PGOPTIONS", "-c work_mem=1234kB"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    await leads_there("postgresql://", database)
    async with pgstate.connect("postgresql://"):
        assert database.sql("select count(*) > 0 from pg_stat_activity where application_name = 'an application'") == [
            (True,)
        ]


async def test_services(database: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = database.cluster
    file = home / ".pg_service.conf"
    text = (
        "# services\n[other]\ndbname=no_such_database\n\n"
        f"[app]\nhost={cluster.data}\nport={cluster.port}\nuser={INSTALLER}\ndbname={database.name}\n"
        "password=100%=sure\napplication_name=a service\nconnect_timeout=7\n"
    )
    file.write_text(text)
    assert read("service=app")["password"] == "100%=sure"
    for dsn in ("service=app", "postgresql:///?service=app", "postgresql+asyncpg:///?service=app"):
        await leads_there(dsn, database)
    # what the address says goes before, what the environment says comes after
    assert read("service=other user=me")["user"] == "me"
    monkeypatch.setenv("PGDATABASE", "somewhere")
    monkeypatch.setenv("PGSERVICE", "app")
    await leads_there("postgresql://", database)
    # elsewhere, by the environment; and the system's
    monkeypatch.setenv("PGSERVICEFILE", str(home / "mine"))
    with pytest.raises(errors.InvalidArgument, match="no service file"):
        driver_address("postgresql://")
    (home / "mine").touch()
    with pytest.raises(errors.InvalidArgument, match="no service app"):
        driver_address("postgresql://")
    monkeypatch.setenv("PGSYSCONFDIR", str(home))
    file.rename(home / "pg_service.conf")
    await leads_there("postgresql://", database)
    (home / "mine").write_text(text.replace("dbname", "database").replace("[app]", "[mine]"))
    with pytest.raises(errors.InvalidArgument, match="no service nowhere"):
        await pgstate.connect("service=nowhere")
    (home / "mine").write_text("dbname=x\n")
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        await pgstate.connect("service=app")


def test_password_files(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    file = home / ".pgpass"
    lines = [
        "# comment", "short:line", "h:5432:d:u:first", "h:5432:d:u:second", "h:5433:*:*:any database: and all",
        "/run/s:5432:d:u:socket", "localhost:5432:d:other:local", r"a\:b:*:d\\e:u:p\:q\\r ", "*:*:*:last:",
    ]  # fmt: skip
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)

    def found(dsn: str) -> str | None:
        return read(dsn).get("password")

    assert found("host=h dbname=d user=u") == "first"
    assert found("host=h dbname=d user=u password=own") == "own"
    assert found("host=h dbname=d user=else") is None
    assert found("postgresql://x@h:5433/y") == "any database: and all"
    assert found("host=x,h port=1,5433 user=u") == "any database: and all"
    assert found("host=/run/s dbname=d user=u") == "socket"
    assert found("host=/run/s dbname=d user=other") == "local"
    assert found("dbname=d user=other") == "local"
    assert found(r"host=a:b dbname='d\\e' user=u") == "p:q\\r "
    monkeypatch.setenv("PGUSER", "u")
    monkeypatch.setenv("PGDATABASE", "d")
    monkeypatch.setenv("PGHOST", "h")
    assert found("postgresql://") == "first"
    monkeypatch.setenv("PGPASSWORD", "environment")
    assert found("postgresql://") is None
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(home / "none"))
    assert found("postgresql://") is None
    assert found(f"passfile={file}") == "first"
    file.chmod(0o640)
    with caplog.at_level(logging.WARNING, "pgstate"):
        assert found(f"passfile={file}") is None
    assert "0600" in caplog.text


async def test_a_password_from_a_file(
    new_cluster: Callable[..., Cluster], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that asyncpg alone would send with its backslashes."""
    cluster = await asyncio.to_thread(new_cluster, tcp=True)
    cluster.sql("create role installer login createrole password 'a:b\\c'")
    cluster.sql("create database app owner installer")
    (cluster.data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
    cluster.sql("select pg_reload_conf()")
    dsn = f"postgresql://installer@127.0.0.1:{cluster.port}/app"
    with pytest.raises(errors.PgStateError):
        await pgstate.connect(dsn)
    (home / "passwords").write_text(f"127.0.0.1:{cluster.port}:app:installer:a\\:b\\\\c\n")
    (home / "passwords").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(home / "passwords"))
    assert (await migrate.upgrade_async(dsn))[-1] == migrate.HEAD
    async with pgstate.connect(dsn) as state:
        assert await state.me() == "admin"


@pytest.fixture
async def tls(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Tls, int, Path]]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine, which makes the certificates")
    made, key = certificate(tmp_path, "localhost")
    way = Tls(database.cluster.data / f".s.PGSQL.{database.cluster.port}", made, key)
    yield way, await way.start(), made
    await way.stop()


async def test_tls(database: Database, tls: tuple[Tls, int, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way, port, root = tls
    other, _ = certificate(home, "elsewhere")

    async def connects(host: str, **parameters: object) -> bool:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        dsn = f"postgresql://{INSTALLER}@{host}:{port}/{database.name}?{query}"
        before = way.encrypted
        try:
            async with pgstate.connect(dsn) as state:
                assert await state.me() == "admin"
        except errors.Unreachable:
            with pytest.raises((errors.Unreachable, OSError, asyncpg.ClientConfigurationError)):
                await asyncio.to_thread(migrate.current_dsn, dsn)
            return False
        assert await asyncio.to_thread(migrate.current_dsn, dsn) == migrate.HEAD
        assert way.encrypted >= before + 2
        return True

    assert await connects("localhost")
    assert await connects("127.0.0.1", sslmode="prefer")
    assert await connects("127.0.0.1", sslmode="require")
    assert not await connects("localhost", sslmode="disable")
    # as in libpq: with a certificate to trust, `require` checks too
    assert await connects("127.0.0.1", sslmode="require", sslrootcert=root)
    assert not await connects("127.0.0.1", sslmode="require", sslrootcert=other)
    assert await connects("127.0.0.1", sslmode="verify-ca", sslrootcert=root)
    assert not await connects("localhost", sslmode="verify-ca", sslrootcert=other)
    assert await connects("localhost", sslmode="verify-full", sslrootcert=root)
    assert not await connects("127.0.0.1", sslmode="verify-full", sslrootcert=root)
    assert not await connects("localhost", sslmode="verify-full")
    assert not await connects("localhost", sslrootcert="system")
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    assert await connects("localhost", sslrootcert="system")
    assert not await connects("127.0.0.1", sslrootcert="system")
    with pytest.raises(errors.InvalidArgument, match="verify-full"):
        await connects("localhost", sslrootcert="system", sslmode="require")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(root))
    assert await connects("localhost")
    (home / ".postgresql").mkdir()
    shutil.copy(root, home / ".postgresql" / "root.crt")
    monkeypatch.delenv("PGSSLROOTCERT")
    assert await connects("localhost")


async def test_a_time_to_connect_in_the_address(database: Database) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(errors.Unreachable):
            await pgstate.connect(f"postgresql://{place}/x?sslmode=disable&connect_timeout=1", timeout=600)
    async with pgstate.connect(database.dsn() + "&connect_timeout=0") as state:
        assert await state.me() == "admin"
    with pytest.raises(errors.InvalidArgument, match="seconds"):
        await pgstate.connect(database.dsn() + "&connect_timeout=soon")


async def test_a_superuser_by_name_of_the_system(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a user, the one of the environment; libpq's default for the database is the user's name."""
    monkeypatch.setenv("PGUSER", SUPERUSER)
    dsn = f"host={database.cluster.data} port={database.cluster.port}"
    with pytest.raises(errors.SchemaMissing):
        await pgstate.connect(dsn)
    assert os.environ["PGUSER"] == SUPERUSER
