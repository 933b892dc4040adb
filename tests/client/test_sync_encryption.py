"""Encryption through pgstate.sync: the same keys, and the same that is stored, as with the asynchronous client."""

from __future__ import annotations

import secrets

import pytest

import pgstate
import pgstate.sync
from client.test_encryption import at_rest
from conftest import Database
from pgstate.encryption import Keys
from pgstate.errors import InvalidArgument, InvalidValue

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
SECRET = "s3cr3t " * 100


def test_nothing_readable_is_stored(dsn: str, database: Database) -> None:
    keys = Keys({"k1": OLD})
    made: list[str] = []

    def once() -> str:
        made.append("once")
        return SECRET

    with pgstate.sync.connect(dsn, encryption=keys) as state:
        thread = state.thread("t/1")
        id = thread.save({"text": SECRET, "small": "s3cr3t"})
        thread.put_writes(id, "task", [("small", "s3cr3t write")])
        state.runs.start("r/2", "waits", {"text": "s3cr3t"})
        state.runs.signal("r/2", "go", "s3cr3t")
        with state.run("r/1", input={"text": "s3cr3t"}) as run:
            assert (run.input, run.step("one", once)) == ({"text": "s3cr3t"}, SECRET)
            run.result = SECRET
        stored = at_rest(database)
        assert "s3cr3t" not in stored and b"s3cr3t".hex() not in stored
        # a value is the database's to look into
        state.put("plain", "s3cr3t")
        assert "s3cr3t" in at_rest(database)
    with pgstate.sync.connect(dsn, encryption=keys) as state:
        found = state.thread("t/1").latest()
        assert found is not None and found.state == {"text": SECRET, "small": "s3cr3t"}
        assert [write.value for write in found.writes] == ["s3cr3t write"]
        with state.run("r/1") as run:
            assert (run.step("one", once), run.result) == (SECRET, SECRET)
        with state.run("r/2") as run:
            assert run.wait_signal("go") == "s3cr3t"
    assert made == ["once"]
    for options in ({}, {"encryption": Keys({"k1": NEW})}, {"encryption": Keys({"k1": OLD}, scope="other")}):
        with pgstate.sync.connect(dsn, **options) as state, pytest.raises(InvalidValue):
            state.thread("t/1").latest()


async def test_both_clients_read_each_other(dsn: str) -> None:
    keys = Keys({"k1": OLD})
    with pgstate.sync.connect(dsn, encryption=keys) as state:
        state.thread("t/1").save({"text": SECRET})
    async with pgstate.connect(dsn, encryption=keys) as other:
        found = await other.thread("t/1").latest()
        assert found is not None and found.state == {"text": SECRET}
        await other.thread("t/2").save({"text": SECRET + "2"})
    with pgstate.sync.connect(dsn, encryption=keys) as state:
        loaded = state.thread("t/2").latest()
        assert loaded is not None and loaded.state == {"text": SECRET + "2"}


def test_keys_rotate(dsn: str, database: Database) -> None:
    with pgstate.sync.connect(dsn, encryption=Keys({"k1": OLD})) as state:
        state.thread("t/1").save({"text": SECRET})
        with state.run("r/1", input=SECRET) as run:
            run.result = "s3cr3t"
    with pgstate.sync.connect(dsn, encryption=Keys({"k1": OLD, "k2": NEW})) as state:
        seen: list[int] = []
        done = state.rekey(lambda progress: seen.append(1))
        assert done.complete and seen
    with pgstate.sync.connect(dsn, encryption=Keys({"k2": NEW})) as state:
        found = state.thread("t/1").latest()
        assert found is not None and found.state == {"text": SECRET}
        assert state.runs.result("r/1") == "s3cr3t"
    with pgstate.sync.connect(dsn) as state, pytest.raises(InvalidArgument, match="no keys"):
        state.rekey()
