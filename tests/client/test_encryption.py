"""Encryption of opaque data: what is stored is sealed, goes on being shared and forked, and opens with its key only."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from typing_extensions import TypedDict

import pgstate
from _server import SUPERUSER
from conftest import Database
from pgstate.encryption import SEALED, Keys
from pgstate.errors import InvalidArgument, InvalidValue

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
LONG = "s3cr3t " * 100
MESSAGES = [{"id": str(n), "text": f"s3cr3t {n} " + "x" * 600} for n in range(80)]


def at_rest(database: Database) -> str:
    """All that is stored, as text; what is bytes in hexadecimal."""
    tables = ("checkpoint", "chunk", "pending_write", "run", "step", "signal", "entry", "version")
    return "\n".join(row[0] for table in tables for row in database.sql(f"select t::text from pgstate.{table} t"))


async def test_nothing_readable_is_stored(dsn: str, database: Database) -> None:
    keys = Keys({"k1": OLD})
    async with pgstate.connect(dsn, encryption=keys) as state:
        thread = state.thread("t/1")
        id = await thread.save({"text": LONG, "small": "s3cr3t", "messages": MESSAGES})
        await thread.put_writes(id, "task", [("small", "s3cr3t write")])
        async with state.run("r/1", input={"text": "s3cr3t"}) as run:
            await run.step("one", lambda: "s3cr3t result")
        stored = at_rest(database)
        assert "s3cr3t" not in stored and b"s3cr3t".hex() not in stored
        types = {
            row[0]
            for row in database.sql(
                "select type from pgstate.chunk union select type from pgstate.step where type is not null union select type from pgstate.pending_write"
            )
        }
        assert all(type_ in (SEALED, f"+{SEALED}") or type_.startswith("#") for type_ in types)
        loaded = await thread.latest()
        assert loaded is not None
        assert loaded.state == {"text": LONG, "small": "s3cr3t", "messages": MESSAGES}
        async with state.run("r/1") as again:
            assert await again.step("one", lambda: pytest.fail("done again")) == "s3cr3t result"
    # without the keys, and with others
    async with pgstate.connect(dsn) as state:
        with pytest.raises(InvalidValue):
            await state.thread("t/1").latest()
    async with pgstate.connect(dsn, encryption=Keys({"k1": NEW})) as state:
        with pytest.raises(InvalidValue):
            await state.thread("t/1").latest()


async def test_chunks_are_still_shared(dsn: str, database: Database) -> None:
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD})) as state:
        thread = state.thread("t/1")
        await thread.save({"messages": MESSAGES, "text": LONG})
        before = database.sql("select count(*) from pgstate.chunk")[0][0]
        await thread.save({"messages": [*MESSAGES, {"id": "new", "text": "y" * 600}], "text": LONG})
        assert database.sql("select count(*) from pgstate.chunk")[0][0] <= before + 2
        # of another thread the same is other bytes: who reads the tables cannot compare
        await state.thread("t/2").save({"messages": MESSAGES, "text": LONG})
    shared = (
        "select count(*) from (select hash from pgstate.chunk group by hash having count(distinct thread_id) > 1) h"
    )
    assert database.sql(shared) == [(0,)]


async def test_forks_and_rotated_keys_are_read(dsn: str, database: Database) -> None:
    async with pgstate.connect(dsn) as state:
        await state.thread("t/plain").save({"a": LONG})
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD})) as state:
        await state.thread("t/1").save({"messages": MESSAGES})
        await state.thread("t/1").fork(None, "t/fork")
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD, "k2": NEW})) as state:
        fork = state.thread("t/fork")
        assert (await fork.latest()).state == {"messages": MESSAGES}
        await fork.save({"messages": [*MESSAGES, "more"]})
        assert (await fork.latest()).state == {"messages": [*MESSAGES, "more"]}
        assert (await state.thread("t/plain").latest()).state == {"a": LONG}
    async with pgstate.connect(dsn, encryption=Keys({"k2": NEW})) as state:
        assert (await state.thread("t/fork").latest()).state["messages"][-1] == "more"
        with pytest.raises(InvalidValue, match="another key"):
            await state.thread("t/1").latest()
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD}, strict=True)) as state:
        assert (await state.thread("t/1").latest()).state == {"messages": MESSAGES}
        for key in ("t/plain", "t/fork"):
            with pytest.raises(InvalidValue):
                await state.thread(key).latest()


async def test_what_was_changed_does_not_open(dsn: str, database: Database) -> None:
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD}, strict=True)) as state:
        await state.thread("t/1").save({"a": "one"})
        await state.thread("t/2").save({"a": "two"})
        swap = "update pgstate.checkpoint c set data = (select o.data from pgstate.checkpoint o where o.thread_id <> c.thread_id)"
        database.sql(swap, SUPERUSER)
        with pytest.raises(InvalidValue, match="another place"):
            await state.thread("t/1").latest()
        database.sql(
            "update pgstate.checkpoint set data = array[set_byte(data[1], octet_length(data[1]) - 1, 255 - get_byte(data[1], octet_length(data[1]) - 1))]"
        )
        with pytest.raises(InvalidValue):
            await state.thread("t/2").latest()


async def test_a_graph_of_langgraph(dsn: str, database: Database) -> None:
    from langgraph.graph import StateGraph

    from pgstate.integrations.langgraph import PgStateSaver

    class State(TypedDict):
        text: str

    graph = StateGraph(State)
    graph.add_node("node", lambda state: {"text": state["text"] + " more"})
    graph.set_entry_point("node")
    graph.set_finish_point("node")
    config: Any = {"configurable": {"thread_id": "1"}, "metadata": {"who": "s3cr3t"}}
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD}, strict=True)) as state:
        app = graph.compile(checkpointer=PgStateSaver(state))
        assert (await app.ainvoke({"text": LONG}, config))["text"] == LONG + " more"
        assert (await app.aget_state(config)).values["text"] == LONG + " more"
        assert len([one async for one in app.aget_state_history(config)]) == 3
    stored = at_rest(database)
    assert "s3cr3t" not in stored and b"s3cr3t".hex() not in stored


async def test_secrets_are_redacted_before(dsn: str) -> None:
    token = "ghp_" + "A1b2C3d4E5f6G7h8I9j0" * 2
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD})) as state:
        await state.thread("t/1").save({"a": f"token {token[:40]}"})
        assert token[:40] not in str(await state.thread("t/1").latest())


def test_payloads() -> None:
    keys = Keys({"k1": OLD}, scope="tenant-1")
    sealed = keys.seal("a", "json", b'"x"')
    assert sealed == keys.seal("a", "json", b'"x"') and keys.open("a", sealed) == ("json", b'"x"')
    different = {keys.seal(*given) for given in (("b", "json", b'"x"'), ("a", "json2", b'"x"'), ("a", "json", b'"y"'))}
    different |= {
        Keys({"k1": OLD}).seal("a", "json", b'"x"'),
        Keys({"k2": OLD}, scope="tenant-1").seal("a", "json", b'"x"'),
    }
    assert len(different | {sealed}) == 6
    # no nonce twice
    place = 2 + 2 + 16
    assert len({one[place : place + 12] for one in different | {sealed}}) == 6
    with pytest.raises(InvalidValue):
        Keys({"k1": OLD}, scope="tenant-2").open("a", sealed)
    for at in range(len(sealed)):
        with pytest.raises(InvalidValue):
            keys.open("a", sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :])
    for at in range(len(sealed)):
        with pytest.raises(InvalidValue):
            keys.open("a", sealed[:at])
    assert OLD.hex() not in repr(keys) and "k1" in repr(keys)


@pytest.mark.parametrize(
    "given",
    [
        ({},), ({"k": b"short"},), ({"": OLD},), ({"k" * 65: OLD},), ({"k": OLD}, "other"),
        # as secrets.token_hex(16) makes it
        ({"k": "0" * 32},), ({"k": None},), ({5: OLD},), ({"\ud800": OLD},),
    ],
)  # fmt: skip
def test_keys_that_are_none(given: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Keys(*given)
