"""Threads and runs: their functions reach the tables as the owner, so what they let an agent name is attacked here.

That each asks for the key before it looks is in test_attacks_02_hidden_and_missing.py, which calls all of them.
"""

from __future__ import annotations

import hashlib
from uuid import uuid4

import pytest

from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, refused, seconds

SECRET = b'"' + b"s3cr3t" * 60 + b'"'


def _hash(type_: str, data: bytes) -> bytes:
    return hashlib.sha256(type_.encode() + b"\0" + data).digest()[:16]


@pytest.fixture
async def mallory(root: Caller, attacker: MakeAgent) -> Caller:
    """Has forked a thread that it may no longer read, and to which something was added since."""
    await root("save_checkpoint", "src/t", ["a"], ["json"], [b"1"], id="c1")
    caller = await attacker("mallory", "read src/**", "read rw/**", "write rw/**")
    assert (await caller("fork_thread", "src/t", "rw/fork"))["status"] == "ok"
    await root("revoke_access", "mallory", "src/**", "read")
    saved = await root(
        "save_checkpoint",
        "src/t",
        ["a"],
        ["@"],
        [_hash("json", SECRET)],
        chunk_types=["json"],
        chunk_data=[SECRET],
        id="c2",
    )
    assert saved["status"] == "ok"
    return caller


async def _all_of(caller: Caller, key: str) -> str:
    ids = [row["id"] for row in await caller.rows("checkpoints", key)]
    found = [await caller.rows("checkpoint_parts", key, ids), await caller.rows("get_checkpoints", key, ids)]
    found += [await caller.rows("checkpoint_state", key, id=id) for id in ids]
    found += [await caller.rows("channel_history", key, ["a"], id=id) for id in ids]
    return str(found)


@pytest.mark.every_version
async def test_a_fork_does_not_reach_what_its_source_got_later(mallory: Caller) -> None:
    """By the hash of a text that is guessed: neither read, nor told whether it is there."""
    there, nowhere = _hash("json", SECRET), _hash("json", b'"nowhere"')
    answers = {}
    for wanted in (there, nowhere):
        said = []
        name = f"rw/fork-{wanted.hex()}"
        assert (await mallory("fork_thread", "rw/fork", name, id="c1"))["status"] == "ok"
        page = wanted * 2
        for number, arguments in enumerate((
            # named by a root
            dict(types=["@"], data=[wanted]), dict(types=["#0"], data=[wanted]),
            # named by a page that is sent along; and by one that stayed when it was refused
            dict(types=["#1"], data=[_hash("#0", page)], chunk_types=["#0"], chunk_data=[page]),
            dict(types=["#1"], data=[_hash("#0", page)]),
            # by a page of pages, of which the lower was sent before
            dict(types=["#2"], data=[_hash("#1", _hash("#0", page))], chunk_types=["#1"], chunk_data=[_hash("#0", page)]),
            dict(types=["#2"], data=[_hash("#1", _hash("#0", page))]),
            # by a chunk whose type is none of a page's, read as one
            dict(types=["#1"], data=[_hash("json", page)], chunk_types=["json"], chunk_data=[page]),
        ), 2):  # fmt: skip
            row = await mallory("save_checkpoint", name, ["a"], id=f"c{number}", **arguments)
            said.append((row["status"], row["missing"] and [h == wanted for h in row["missing"]]))
            assert "s3cr3t" not in await _all_of(mallory, name), arguments
        answers[wanted] = said
    assert answers[there] == answers[nowhere]


@pytest.mark.every_version
async def test_what_waits_under_a_key_does_not_come_to_life_with_a_fork(mallory: Caller) -> None:
    """A save that was never complete leaves pages; the thread that is forked into their place has another's chunks under it."""
    page = _hash("json", SECRET) * 2
    await mallory.rows(
        "save_checkpoint", "rw/new", ["a"], ["#1"], [_hash("#0", page)], chunk_types=["#0"], chunk_data=[page]
    )
    assert (await mallory("fork_thread", "rw/fork", "rw/new"))["status"] == "ok"
    row = await mallory("save_checkpoint", "rw/new", ["a"], ["#1"], [_hash("#0", page)], id="c2")
    assert (row["status"], row["missing"]) == ("incomplete", [_hash("#0", page)])
    assert "s3cr3t" not in await _all_of(mallory, "rw/new")


@pytest.mark.every_version
async def test_writes_and_counts_tell_nothing_of_the_source(mallory: Caller, root: Caller) -> None:
    before = [dict(row) for row in await mallory.rows("threads")]
    await root("save_checkpoint", "src/t", ["b"], ["json"], [b"2"], id="c3")
    await root("put_writes", "src/t", "c1", "t", [0], ["a"], ["json"], [SECRET])
    await root("prune_thread", "src/t", 1)
    assert [dict(row) for row in await mallory.rows("threads")] == before
    assert "s3cr3t" not in await _all_of(mallory, "rw/fork")
    assert (await mallory("get_checkpoint", "rw/fork"))["id"] == "c1"
    for run_id in ("r1", "r2"):
        assert (await mallory("delete_runs", [run_id]))["removed"] == 0


@pytest.mark.every_version
async def test_other_peoples_run_ids_and_names_are_not_found(root: Caller, attacker: MakeAgent) -> None:
    await root("save_checkpoint", "hid/t", ["a"], ["json"], [SECRET], id="c1", metadata={"run_id": "r1"})
    await root("start_run", "hid/r", None, "flow", "json", SECRET)
    mallory = await attacker("mallory", "read rw/**", "write rw/**", "write wo/**")
    assert (await mallory("delete_runs", ["r1"]))["removed"] == 0
    assert await mallory.rows("checkpoints", run_id="r1") == []
    (taken,) = await mallory.rows("take_runs", ["flow"], 10, seconds(60)) or [None]
    assert taken is None or taken["key"] is None
    with refused("PS010"):
        await mallory("fork_run", "hid/r", "rw/r")
    with refused("PS010"):
        await mallory("fork_thread", "hid/t", "rw/t")
    assert (await root("get_checkpoint", "hid/t"))["status"] == "ok"


@pytest.mark.core
async def test_a_save_that_only_the_policies_refuse_keeps_nothing(
    root: Caller, attacker: MakeAgent, database: Database
) -> None:
    """The owner locks the entry and stores the checkpoint; the entry's policies bind what is written of it."""
    caller = await attacker("mallory", "read rw/**", "write rw/**")
    await caller("save_checkpoint", "rw/t", ["a"], ["json"], [b"1"], id="c1")
    database.sql("alter policy entry_change on pgstate.entry using (false) with check (false)")
    with refused("PS010"):
        await caller("save_checkpoint", "rw/t", ["a"], ["json"], [b"2"], id="c2", parent="c1")
    assert database.sql("select id from pgstate.checkpoint") == [("c1",)]


@pytest.mark.core
async def test_a_checkpoint_of_very_many_channels_keeps_nobody_from_forking_and_pruning(
    root: Caller, attacker: MakeAgent
) -> None:
    """Of those whose values an ancestor has all are looked for at once, and not each among all."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    names = [f"c{n}" for n in range(30_000)]
    for types, data in ((["json"], [b"1"]), ([None], [None]), ([None], [None])):
        sent = await mallory(
            "save_checkpoint", "rw/t", names, types * len(names), data * len(names), whole=False, run_id="r"
        )
        assert sent["status"] == "ok"
    await root.execute("set statement_timeout = '20 s'")  # far more than it takes
    assert (await root("fork_thread", "rw/t", "rw/fork"))["status"] == "ok"
    assert (await root("prune_thread", "rw/t", 1))["removed"] == 0
    assert (await root("delete_runs", ["r"]))["removed"] == 6
    assert len(await root.rows("checkpoint_state", "rw/t")) == 0


@pytest.mark.every_version
async def test_forks_keep_what_they_share_whatever_the_settings_of_who_deletes(
    root: Caller, attacker: MakeAgent
) -> None:
    """An index of this kind leaves rows out for who sets a limit to what it finds."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    await mallory.execute("set gin_fuzzy_search_limit = 1")
    chunk = _hash("json", SECRET)
    for number in range(10):
        source = f"rw/source-{number}"
        await mallory("save_checkpoint", source, ["a"], ["@"], [chunk], chunk_types=["json"], chunk_data=[SECRET])
        forks = [f"hid/{number}-{fork}" for fork in range(3)]
        for fork in forks:
            assert (await root("fork_thread", source, fork))["status"] == "ok"
        assert await mallory("delete_thread", source)
        for fork in forks:
            (state,) = await root.rows("checkpoint_state", fork)
            assert state["value"] == "s3cr3t" * 60, fork


@pytest.mark.core
async def test_what_a_fork_or_child_came_from_is_told_to_who_may_read_it(root: Caller, attacker: MakeAgent) -> None:
    mallory = await attacker("eve", "read pub/**")
    await root("save_checkpoint", "hid/t", ["a"], ["json"], [b"1"])
    await root("start_run", "hid/r")
    for at, source in (("pub/1", "hid"), ("pub/2", "pub/1")):
        await root("fork_thread", f"{source}/t", f"{at}/t")
        await root("fork_run", f"{source}/r", f"{at}/r")
        await root("start_run", f"{at}/child", parent=f"{source}/r")
    threads = {row["key"]: row["forked_from"] for row in await mallory.rows("threads", "pub/**")}
    assert threads == {"pub/1/t": None, "pub/2/t": "pub/1/t"}
    runs = {row["key"]: row["forked_from"] or row["parent"] for row in await mallory.rows("runs", "pub/**")}
    assert runs == {"pub/1/r": None, "pub/1/child": None, "pub/2/r": "pub/1/r", "pub/2/child": "pub/1/r"}
    assert "hid/r" in str(await root.rows("runs", "pub/**")) and "hid/t" in str(await root.rows("threads", "pub/**"))


@pytest.mark.core
async def test_nobody_elses_run_is_held_up_or_found_out_by_naming_it_as_parent(
    root: Caller, attacker: MakeAgent
) -> None:
    """The end of a run locks its parent, and says whether that waited for it."""
    lease = seconds(60)
    await root("start_run", "src/known", parent="hid/run")
    mallory = await attacker("mallory", "read src/**", "read rw/**", "write rw/**")
    token = (await root("start_run", "hid/run", lease, name="flow"))["token"]
    await mallory.refuses("PS010", *(f"start_run('rw/child', parent => '{key}')" for key in ("hid/run", "hid/none")))
    assert (await mallory("fork_run", "src/known", "rw/fork"))["status"] == "ok"
    # what it may name it may wake, and starts again what is there whatever it names
    assert (await mallory("start_run", "rw/child", parent="rw/fork"))["status"] == "created"
    assert (await mallory("start_run", "rw/child", parent="hid/run"))["status"] == "exists"
    await root.execute("set lock_timeout = '1s'")
    async with mallory.transaction():
        for child in ("rw/child", "rw/fork"):
            assert (await mallory("cancel_run", child))["status"] == "ok"
        assert (await root("end_run", "hid/run", token, "done"))["status"] == "ok"


async def test_who_looks_for_runs_keeps_nobody_elses_asleep(root: Caller, attacker: MakeAgent, clock: Clock) -> None:
    """Looking for runs wakes those whose time has come, and what was woken in an open transaction is not taken by others."""
    lease = seconds(60)
    token = (await root("start_run", "hid/run", lease, name="flow"))["token"]
    await root("end_run", "hid/run", token, "open", ready_in=seconds(5), waits_for=[])
    await clock.advance(6)
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    async with mallory.transaction():
        assert [row["status"] for row in await mallory.rows("take_runs", ["flow"], 9, lease)] == ["missing"]
        assert [row["key"] for row in await root.rows("take_runs", ["flow"], 1, lease)] == ["hid/run"]


@pytest.mark.every_version
async def test_what_is_sent_again_tells_of_no_run_that_is_not_the_callers(root: Caller, attacker: MakeAgent) -> None:
    lease = seconds(30)
    await root("start_run", "secret/r", None, name="report", input_type="json", input=SECRET)
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    ended = await mallory("start_run", "rw/ended", lease)
    await mallory("end_run", "rw/ended", ended["token"], "done")
    lane = uuid4()
    for turn, key in enumerate(("rw/new", "rw/ended"), 1):
        call = {"lane": lane, "turn": turn}
        first = await mallory("start_run", key, lease, **call)
        assert (await mallory("start_run", key, lease, **call))["status"] == first["status"]
        for other in ("secret/r", "secret/none"):
            with refused("PS010"):
                await mallory("start_run", other, lease, **call)
    # nor by what it may no longer read
    await root("start_run", "rw/w", None, name="w", input_type="json", input=SECRET)
    call = {"pattern": "rw/*", "lane": lane, "turn": 3}
    assert [row["key"] for row in await mallory.rows("take_runs", ["w"], 1, lease, **call)] == ["rw/w"]
    assert [row["key"] for row in await mallory.rows("take_runs", ["w"], 1, lease, **call)] == ["rw/w"]
    await root("grant_access", "mallory", "rw/x", "read")
    await root("revoke_access", "mallory", "rw/**", "read")
    assert await mallory.rows("take_runs", ["w"], 1, lease, **call) == []
