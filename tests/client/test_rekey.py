"""Sealing anew: all that is stored goes over to the current key, reads as before, and goes on being shared and forked; it
may be stopped anywhere, and others write meanwhile."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import pgstate
from client._cli import invoke, lines
from conftest import INSTALLER, Database
from pgstate.encryption import SEALED, Keys
from pgstate.errors import AccessDenied, InTransaction, InvalidArgument, InvalidValue
from pgstate.types import RekeyProgress

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
BEFORE, BOTH, AFTER = Keys({"k1": OLD}), Keys({"k1": OLD, "k2": NEW}), Keys({"k2": NEW}, strict=True)
LONG = "a long text " * 100
# pages of pages: more leaves than a root holds pages for
MESSAGES = [{"id": str(n), "text": f"message {n} " + "x" * 600} for n in range(2500)]
FEW = MESSAGES[:80]


async def adds(run: pgstate.Run, number: int) -> int:
    return await run.step("add", lambda: number + 1)


async def fill(dsn: str) -> None:
    """Something in every table that payloads are in."""
    async with pgstate.connect(dsn, encryption=BEFORE) as state:
        thread = state.thread("t/1")
        await thread.save({"messages": FEW, "long": LONG, "small": "x"})
        id = await thread.save({"messages": [*FEW, "more"], "long": LONG, "small": "y"})
        await thread.put_writes(id, "task", [("small", "a write"), ("other", LONG)])
        async with state.run("r/1", input={"in": 1}) as run:
            await run.step("one", lambda: "a result")
        await state.runs.start("r/2", "waits", "in")
        await state.runs.signal("r/2", "go", {"signal": True})
        await state.runs.start("r/3", "adds", 1)
        stop = asyncio.Event()
        worker = asyncio.create_task(state.runs.worker({"adds": adds}, stop=stop, signals=()))
        assert await state.runs.result("r/3", wait=30) == 2
        stop.set()
        await worker


def sealed(database: Database) -> dict[str, int]:
    """How many payloads there are under each key, of all parts together; the parts that have some."""
    rows = database.sql(
        "select convert_from(pgstate._sealed_under(type, data), 'UTF8'), count(*)::int from pgstate._sealed group by 1"
    )
    return dict(rows)


def parts(database: Database, key: str) -> set[str]:
    sql = f"select distinct part from pgstate._sealed where pgstate._sealed_under(type, data) = '{key}'::bytea"
    return {row[0] for row in database.sql(sql)}


async def check(dsn: str, keys: Keys) -> None:
    async with pgstate.connect(dsn, encryption=keys) as state:
        found = await state.thread("t/1").latest()
        assert found is not None
        assert found.state == {"messages": [*FEW, "more"], "long": LONG, "small": "y"}
        assert {write.value for write in found.writes} == {"a write", LONG}
        assert [
            (await state.thread("t/1").get(one.id)).state["small"] async for one in state.thread("t/1").history()
        ] == ["y", "x"]
        async with state.run("r/1") as run:
            assert await run.step("one", lambda: pytest.fail("done again")) == "a result"


async def test_everything_goes_over(dsn: str, database: Database) -> None:
    await fill(dsn)
    before = sealed(database)
    assert set(before) == {"k1"}
    assert parts(database, "k1") == {"chunk", "checkpoint", "pending_write", "input", "result", "step", "signal"}
    heard: list[RekeyProgress] = []
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        done = await state.rekey(heard.append)
    assert done.complete and done.unopened == 0 and done.current == "k2"
    # each once, and nothing twice
    assert done.rewritten == before["k1"] == done.keys["k2"]
    assert sealed(database) == {"k2": before["k1"]} == done.keys
    assert database.sql("select count(*) from pgstate.chunk where moved_to is not null") == [(0,)]
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert all(0 <= one.done <= one.total for one in heard) and heard[-1].done == heard[-1].total
    assert heard[-1].rewritten == done.rewritten
    await check(dsn, AFTER)
    async with pgstate.connect(dsn, encryption=BEFORE) as state:
        with pytest.raises(InvalidValue, match="another key"):
            await state.thread("t/1").latest()
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        assert (await state.rekey()).rewritten == 0


async def test_what_is_saved_again_is_what_is_there(dsn: str, database: Database) -> None:
    """As if it had always been sealed under the new key: what is saved afterwards shares its chunks, and so does what
    was saved under both. (Not its pages: where these end depends on the hashes in them.)"""
    async with pgstate.connect(dsn, encryption=BEFORE) as state:
        await state.thread("t/1").save({"messages": MESSAGES, "long": LONG})
    leaves = "select count(*) from pgstate.chunk where not type ^@ '#'"
    chunks = database.sql(leaves)
    assert database.sql("select max(type) from pgstate.chunk where type ^@ '#'") >= [("#1",)]
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        await state.thread("t/1").save({"messages": MESSAGES, "long": LONG, "more": 1})
        assert database.sql(leaves) > chunks
        done = await state.rekey()
        # also those in blocks that were not there when it began
        assert done.complete and done.keys == sealed(database) == {"k2": chunks[0][0] + 1}
        assert database.sql(leaves) == chunks
    async with pgstate.connect(dsn, encryption=AFTER) as state:
        await state.thread("t/1").save({"messages": MESSAGES, "long": LONG, "more": 2})
        assert database.sql(leaves) == chunks
        found = await state.thread("t/1").latest()
        assert found is not None and found.state == {"messages": MESSAGES, "long": LONG, "more": 2}


class Stopped(Exception):
    pass


async def test_it_goes_on_where_it_was_stopped(dsn: str, database: Database) -> None:
    await fill(dsn)
    total = sealed(database)["k1"]
    rewritten = 0
    for stop in range(1, 100):
        heard = 0

        def tell(progress: RekeyProgress, stop: int = stop) -> None:
            nonlocal heard
            heard += 1
            if heard == stop:
                raise Stopped

        async with pgstate.connect(dsn, encryption=BOTH) as state:
            try:
                done = await state.rekey(tell)
                break
            except Stopped:
                pass
        # whole at every point
        await check(dsn, BOTH)
        now = sealed(database)
        assert now.get("k2", 0) >= rewritten
        rewritten = now.get("k2", 0)
    assert stop > 10 and done.complete and done.keys == {"k2": total}
    await check(dsn, AFTER)


async def test_forks_of_what_is_there_and_of_what_is_gone(dsn: str, database: Database) -> None:
    async with pgstate.connect(dsn, encryption=BEFORE) as state:
        for name in ("there", "gone"):
            await state.thread(f"t/{name}").save({"messages": FEW, "long": LONG})
            await state.thread(f"t/{name}").fork(None, f"f/{name}")
            await state.thread(f"f/{name}").save({"messages": [*FEW, name], "long": LONG})
        await state.thread("t/gone").delete()
        deep = "t/there"
        for n in range(9):
            await state.thread(deep).fork(None, f"d/{n}")
            deep = f"d/{n}"
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        done = await state.rekey()
        assert done.complete and done.unopened == 0
    assert set(sealed(database)) == {"k2"}
    async with pgstate.connect(dsn, encryption=Keys({"k2": NEW})) as state:
        for name in ("there", "gone"):
            found = await state.thread(f"f/{name}").latest()
            assert found is not None and found.state == {"messages": [*FEW, name], "long": LONG}
        for key in ("t/there", "d/4", deep):
            found = await state.thread(key).latest()
            assert found is not None and found.state == {"messages": FEW, "long": LONG}
        # and saved to: what they name is there
        await state.thread(deep).save({"messages": [*FEW, "on"], "long": LONG})
    async with pgstate.connect(dsn, encryption=AFTER) as state:
        assert (await state.thread("t/there").latest()) is not None
        # sealed anew is not sealed here: strict refuses what a fork has from its source, as before
        with pytest.raises(InvalidValue, match="another place"):
            await state.thread("d/0").latest()


async def test_back_to_a_key_that_was_there_before(dsn: str, database: Database) -> None:
    await fill(dsn)
    for current in ("k2", "k1", "k2"):
        async with pgstate.connect(dsn, encryption=Keys({"k1": OLD, "k2": NEW}, current)) as state:
            assert (await state.rekey()).complete
        assert set(sealed(database)) == {current}
    await check(dsn, AFTER)


@pytest.mark.thorough
async def test_beside_saves_with_either_key(dsn: str, database: Database) -> None:
    """Saves go on while it runs, also by clients that know chunks under the old key only; nothing is lost."""
    await fill(dsn)
    stop = asyncio.Event()
    saved: dict[str, list[Any]] = {}

    async def save(keys: Keys, key: str) -> None:
        async with pgstate.connect(dsn, encryption=keys) as state:
            messages, number = list(FEW), 0
            while not stop.is_set():
                number += 1
                # not without end: the slower the machine, the more there would be to seal anew
                before = messages if len(messages) < 120 else FEW
                messages = [*before, {"n": number, "text": "y" * 600}]
                await state.thread(key).save({"messages": messages, "long": LONG})
                await state.thread(key).prune(3)
                saved[key] = messages

    writers = [
        asyncio.create_task(save(keys, key)) for keys, key in ((BEFORE, "w/old"), (BOTH, "w/new"), (BEFORE, "w/old2"))
    ]
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        while len(saved) < 3:
            await asyncio.sleep(0)
        for _ in range(3):
            await state.rekey()
        stop.set()
        await asyncio.gather(*writers)
        done = await state.rekey()
        assert done.complete and done.unopened == 0
    async with pgstate.connect(dsn, encryption=AFTER) as state:
        for key, messages in saved.items():
            async for info in state.thread(key).history():
                assert (await state.thread(key).get(info.id)) is not None
            found = await state.thread(key).latest()
            assert found is not None and found.state == {"messages": messages, "long": LONG}
    await check(dsn, AFTER)


async def test_what_others_hold_is_left_and_told(dsn: str, database: Database, superuser_dsn: str) -> None:
    import psycopg

    await fill(dsn)
    with psycopg.connect(superuser_dsn) as other:
        other.execute("select from pgstate.entry where key = 't/1' for update")
        other.execute("select from pgstate.step for update")
        async with pgstate.connect(dsn, encryption=BOTH) as state:
            done = await state.rekey()
            assert not done.complete and done.keys["k1"] > 0 and done.keys["k2"] > 0
            assert parts(database, "k1") == {"chunk", "checkpoint", "step"}
            assert done.left == done.keys["k1"] and done.unopened == 0
            other.rollback()
            assert (await state.rekey()).complete
    await check(dsn, AFTER)


async def test_of_a_row_with_several_payloads_all_must_fit(dsn: str) -> None:
    async with pgstate.connect(dsn, encryption=BEFORE) as state:
        await state.thread("t/1").save({"one": 1, "two": 2})
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select * from pgstate.sealed_data('checkpoint', 0, 1000, 'k2')")
        places, fields = [row["place"] for row in rows], [row["field"] for row in rows]
        assert len(rows) == 2 and len(set(places)) == 1
        digests = [hashlib.sha256(row["data"]).digest() for row in rows]
        call = "select pgstate.rekey_data('checkpoint', $1, $2, $3, $4)"
        new = [BOTH.reseal(row["data"], ["t/1"]) for row in rows]
        assert await connection.fetchval(call, places, fields, [digests[0], b"another"], new) == 0
        assert await connection.fetch("select * from pgstate.sealed_data('checkpoint', 0, 1000, 'k2')") == rows
        assert await connection.fetchval(call, places, fields, digests, new) == 2
    finally:
        await connection.close()
    async with pgstate.connect(dsn, encryption=AFTER) as state:
        found = await state.thread("t/1").latest()
        assert found is not None and found.state == {"one": 1, "two": 2}


async def test_what_does_not_open_is_passed_over(dsn: str, database: Database) -> None:
    """Of another scope, or written by an agent that says it is sealed: it holds up nothing."""
    await fill(dsn)
    async with pgstate.connect(dsn, encryption=Keys({"k1": OLD}, scope="other")) as state:
        await state.thread("t/other").save({"long": LONG, "small": 1})
    bad = [b"", b"\x01", b"\x01\xff\xff", b"\x01\x02k1", b"\x01\x02k1" + b"x" * 40]
    for n, one in enumerate(bad):
        database.sql(
            f"select pgstate.save_checkpoint('t/bad{n}', array['a'], array['sealed'], array['\\x{one.hex()}'::bytea],"
            f" chunk_types => array['+sealed', 'sealed'], chunk_data => array['\\x{one.hex()}'::bytea, '\\x{one.hex()}'])",
            INSTALLER,
        )
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        done = await state.rekey()
    # of the other scope, and of the last two that are not behind a length
    assert not done.complete and done.keys["k1"] == 2 + 2 + 2
    # no elements at all are none that does not open; and that thread's chunks, which nothing names, were removed
    assert done.unopened == 2 + 3 * len(bad) - 2 == len(done.unopened_at)
    # asking again would do no more
    assert done.left == 0
    await check(dsn, AFTER)


async def poison(dsn: str, database: Database) -> None:
    """What an agent may write that says it is sealed under the old key, and is not: once in every part."""
    await fill(dsn)
    bad = b"\x01\x02k1" + b"x" * 40
    async with pgstate.connect(dsn) as state:
        await state.create_agent("mallory", f"{database.name}_mallory")
        database.logins.append(f"{database.name}_mallory")
        for right in ("read", "write"):
            await state.grant_access("mallory", "m/**", right)
    connection = await asyncpg.connect(database.dsn(f"{database.name}_mallory"))
    try:
        digest = hashlib.sha256(b"sealed\0" + bad).digest()[:16]
        id = await connection.fetchval(
            "select id from pgstate.save_checkpoint('m/t', array['a', 'b'], array['sealed', '@'], array[$1, $2]::bytea[],"
            " header => '\\x7365616c656400'::bytea || $1, chunk_types => array['sealed'], chunk_data => array[$1]::bytea[])",
            bad, digest,
        )  # fmt: skip
        await connection.execute(
            "select pgstate.put_writes('m/t', $1, 'task', array[0], array['a'], array['sealed'], array[$2]::bytea[])",
            id,
            bad,
        )
        token = await connection.fetchval(
            "select token from pgstate.start_run('m/r', '1 hour', input_type => 'sealed', input => $1)", bad
        )
        await connection.execute(
            "select (pgstate.finish_steps(array['m/r'], array[$1::bigint], array['one'], array['one'], array['step'], array[0], array[true],"
            " array['done'], array['sealed'], array[$2]::bytea[], array[1], array[0.1])).status",
            token, bad,
        )  # fmt: skip
        await connection.execute("select (pgstate.signal_run('m/r', 'go', 'sealed', $1)).status", bad)
        await connection.execute("select (pgstate.end_run('m/r', $1, 'done', 'sealed', $2)).status", token, bad)
    finally:
        await connection.close()


async def test_who_writes_what_only_seems_sealed_holds_nothing_up_and_is_found(dsn: str, database: Database) -> None:
    await poison(dsn, database)
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        done = await state.rekey()
        assert done.left == 0 and not done.complete and done.keys["k1"] == done.unopened == 8
        assert {(one.part, one.key, one.sealed_under) for one in done.unopened_at} == {
            *((part, "m/t", "k1") for part in ("chunk", "checkpoint", "header", "pending_write")),
            *((part, "m/r", "k1") for part in ("input", "result", "step", "signal")),
        }
        named = {one.part: one.name for one in done.unopened_at}
        assert named["step"] == "one" and named["input"] is None and str(named["signal"]).startswith("go ")
        assert str(named["checkpoint"]).endswith(" a") and str(named["pending_write"]).endswith(" task 0")
        await state.thread("m/t").delete()
        await state.runs.delete("m/r")
        assert (await state.rekey()).complete
    await check(dsn, AFTER)


async def test_who_may(dsn: str) -> None:
    async with pgstate.connect(dsn) as state:
        with pytest.raises(InvalidArgument, match="no keys"):
            await state.rekey()
        await state.create_agent("alice")
        await state.grant_access("alice", "t/**", "admin")
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        with pytest.raises(AccessDenied, match="admin on everything"):
            await state.as_agent("alice").rekey()


async def test_not_in_a_transaction(dsn: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        async with pgstate.connect(dsn, encryption=BOTH) as state, connection.transaction():
            with pytest.raises(InTransaction):
                await state.bind(connection).rekey()
    finally:
        await connection.close()


def test_every_column_of_bytes_is_known(database: Database) -> None:
    """A new one holds sealed payloads, and the view reads it, or is named here with what it is."""
    others = {
        ("chunk", "hash"), ("chunk", "moved_to"), ("audit_chain", "head_hash"), ("audit_chain", "cut_hash"), ("audit_link", "hash"),
        ("embedding", "digest"), ("embedding_wanted", "digest"), ("search_doc", "digest"), ("reducer", "digest"), ("op", "request_hash"),
        ("ticket_key", "inner_pad"), ("ticket_key", "outer_pad"),
    }  # fmt: skip
    columns = set(
        database.sql(
            "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where c.relnamespace = 'pgstate'::regnamespace and c.relkind in ('r', 'p') and a.atttypid in ('bytea'::regtype, 'bytea[]'::regtype)"
        )
    )
    read = set(
        database.sql(
            "select distinct c.relname, a.attname from pg_depend d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid"
            " join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid"
            " where r.ev_class = 'pgstate._sealed'::regclass and a.atttypid in ('bytea'::regtype, 'bytea[]'::regtype)"
        )
    )
    assert len(read - others) == 8
    assert columns == read | others


def test_the_place_goes_along() -> None:
    sealed_there = BEFORE.seal("t/1", "json", b"1")
    there = BOTH.reseal(sealed_there, ("langgraph", "t/1"))
    assert there == BOTH.seal("t/1", "json", b"1") == Keys({"k2": NEW}, strict=True).seal("t/1", "json", b"1")
    assert AFTER.open("t/1", there) == ("json", b"1")
    elsewhere = BOTH.reseal(sealed_there, ("langgraph", "t/2"))
    assert BOTH.open("", elsewhere) == ("json", b"1")
    for origin in ("t/1", "t/2", "langgraph", ""):
        with pytest.raises(InvalidValue):
            AFTER.open(origin, elsewhere)
    assert SEALED == "sealed"


def test_the_shell(
    dsn: str, database: Database, superuser_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    asyncio.run(fill(dsn))
    monkeypatch.delenv("PGSTATE_KEYS", raising=False)
    assert invoke("rekey", dsn=dsn).code == 2
    text = json.dumps({"k1": base64.b64encode(OLD).decode(), "k2": base64.b64encode(NEW).decode()})
    file = tmp_path / "keys.json"
    for bad in ("", "{", "[]", '{"k1": 1}', '{"k1": "c2hvcnQ="}', text.replace("=", "!")):
        file.write_text(bad)
        refused = invoke("rekey", "--keys-file", str(file), dsn=dsn)
        assert refused.code == 2 and text[10:30] not in refused.err + refused.out, refused
    assert invoke("rekey", "--keys-file", str(tmp_path / "none"), dsn=dsn).code == 2
    file.write_text(text)
    with psycopg.connect(superuser_dsn) as holding:
        holding.execute("select from pgstate.step for update")
        held = invoke("rekey", "--keys-file", str(file), dsn=dsn)
        assert held.code == 1 and "run this again" in held.err
    done = invoke("rekey", "--keys-file", str(file), "--json", dsn=dsn)
    assert done.code == 0 and lines(done.out) == [{"key": "k2", "payloads": sealed(database)["k2"], "current": True}]
    monkeypatch.setenv("PGSTATE_KEYS", text)
    assert invoke("rekey", "--current", "k1", dsn=dsn).code == 0
    assert set(sealed(database)) == {"k1"}
    # with another scope nothing opens
    other = invoke("rekey", "--scope", "other", "--json", dsn=dsn)
    assert other.code == 4 and {row["key"] for row in lines(other.out)} == {"k1"} and "do not open" in other.err
    assert "3 of run r/1 (key 'k1') do not open" in other.err and "of thread t/1 (key 'k1') do not open" in other.err


async def test_killed_in_the_middle(dsn: str, database: Database) -> None:
    """A process that is killed after its first batches; another one goes on."""
    await fill(dsn)
    program = (
        "import asyncio, sys, pgstate\n"
        "from pgstate.encryption import Keys\n"
        "async def main():\n"
        "    async with pgstate.connect(sys.argv[1], encryption=Keys.from_json(sys.argv[2])) as state:\n"
        "        def tell(progress):\n"
        "            if progress.rewritten:\n"
        "                print(progress.rewritten, flush=True)\n"
        "                sys.stdin.read()\n"
        "        await state.rekey(tell)\n"
        "asyncio.run(main())\n"
    )
    text = json.dumps({"k1": base64.b64encode(OLD).decode(), "k2": base64.b64encode(NEW).decode()})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, dsn, text, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert int(await process.stdout.readline()) > 0
    process.kill()
    await process.wait()
    assert {"k1", "k2"} == set(sealed(database))
    await check(dsn, BOTH)
    async with pgstate.connect(dsn, encryption=BOTH) as state:
        assert (await state.rekey()).complete
    await check(dsn, AFTER)
