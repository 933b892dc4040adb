"""Guards of what comes in parts by raw SQL: the JSON of checkpoints, pending writes and steps, metadata, and names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from _secrets import SECRETS
from _server import SUPERUSER
from sql._caller import Caller, MakeAgent, refused, seconds

KEY = SECRETS["anthropic_api_key"]
RULE = "[redacted:anthropic_api_key]"
SECRET = json.dumps({"é": f"a\n{KEY}"}, ensure_ascii=False).encode()
CLEAN = {"é": f"a\n{RULE}"}
FINE = b'{"a": 1}'


async def _one(caller: Caller, key: str, **named: Any) -> Any:
    channel = {"names": ["a", "b"], "types": ["json", "json"], "data": [FINE, FINE]} | named
    return await caller("save_checkpoint", key, **channel)


_COLUMNS = {"metadata": "metadatas", "chunk_types": "chunk_types", "chunk_data": "chunk_data"}


async def _many(caller: Caller, key: str, **named: Any) -> Any:
    """In the middle of others, which are stored in any case."""
    row = {"names": ["a", "b"], "types": ["json", "json"], "data": [FINE, FINE]} | named
    columns = {name: ["json", *row[name], "json"] for name in ("names", "types")}
    columns |= {"data": [b"1", *row["data"], b"2"]}
    if "metadata" in row:
        columns["metadatas"] = [None, row["metadata"], None]
    if "chunk_types" in row:
        columns |= {"chunk_counts": [0, len(row["chunk_types"]), 0]}
        columns |= {name: row[name] for name in ("chunk_types", "chunk_data")}
    before, out, after = await caller.rows("save_checkpoints", ["x/1", key, "x/2"], counts=[1, 2, 1], **columns)
    assert (before["status"], after["status"]) == ("ok", "ok")
    return out


async def _state(caller: Caller, key: str) -> dict[str, Any]:
    return {row["channel"]: row["value"] for row in await caller.rows("checkpoint_state", key)}


SAVES = pytest.mark.parametrize("save", [_one, _many], ids=["one", "many"])


@pytest.mark.core
@SAVES
async def test_checkpoints_by_the_guard_of_their_key(root: Caller, save: Any) -> None:
    await root("set_policy", "redacted/**", guard="redact")
    await root("set_policy", "open/**", guard="off")
    ways: dict[str, dict[str, Any]] = {
        "data": {"data": [FINE, SECRET]},
        "metadata": {"metadata": {"by": [KEY]}},
        "chunk": {"chunk_types": ["json"], "chunk_data": [SECRET]},
        "several in a chunk": {"chunk_types": ["+json"], "chunk_data": [b"[1," + SECRET + b"]"]},
        "name": {"names": ["a", KEY]},
    }
    for way, named in ways.items():
        row = await _refusal(save, root, "refused/t", **named)
        assert row.endswith("anthropic_api_key") or save is _many, way
        assert (await save(root, "open/t", **named))["status"] == "ok", way
        if way not in ("data", "metadata"):
            await _refusal(save, root, "redacted/t", **named)
            continue
        assert (await save(root, "redacted/t", **named))["status"] == "ok"
        assert (await _state(root, "redacted/t"))["b"] == (CLEAN if way == "data" else {"a": 1})
        (newest, *_) = await root.rows("checkpoints", "redacted/t")
        assert newest["metadata"] == (None if way == "data" else {"by": [RULE]})
    assert await root.rows("checkpoints", "refused/t") == []
    (newest, *_) = [row for row in await root.rows("checkpoints", "open/t") if row["metadata"]]
    assert newest["metadata"] == {"by": [KEY]}


async def _refusal(save: Any, caller: Caller, key: str, **named: Any) -> str:
    """What is said of it, which is not the secret."""
    if save is _one:
        with refused("PS009") as caught:
            await save(caller, key, **named)
        said = str(caught.value)
    else:
        row = await save(caller, key, **named)
        assert (row["status"], row["code"]) == ("invalid", "PS009")
        said = row["message"]
    assert KEY not in said
    return said


@pytest.mark.core
async def test_writes_steps_and_metadata_of_a_rollback(root: Caller) -> None:
    await root("set_policy", "redacted/**", guard="redact")
    await root("set_policy", "open/**", guard="off")
    held: dict[str, tuple[bytes, bytes]] = {}
    for key in ("refused", "redacted", "open"):
        write = ("put_writes", f"{key}/t", "1", "task", [0, 1], ["a", "b"], ["json", "error"], [SECRET, KEY.encode()])
        id = (await _one(root, f"{key}/t", id="1"))["id"]
        if key == "refused":
            with refused("PS009") as caught:
                await root(*write)
            assert str(caught.value).endswith("anthropic_api_key")
            with refused("PS009"):
                await root("rollback_thread", f"{key}/t", id, metadata={"by": KEY})
        else:
            assert await root(*write) == "ok"
            found = await root("get_checkpoint", f"{key}/t")
            held[key] = tuple(found["write_data"])
            await root("rollback_thread", f"{key}/t", id, metadata={"by": KEY})
            (newest, *_) = await root.rows("checkpoints", f"{key}/t")
            assert newest["metadata"] == {"by": KEY if key == "open" else RULE}
        if key != "open":
            with refused("PS009"):
                await root("put_writes", f"{key}/t", "1", "task", [2], [KEY], ["json"], [b"1"])
    assert held == {
        "redacted": (json.dumps(CLEAN, ensure_ascii=False).encode(), RULE.encode()),
        "open": (SECRET, KEY.encode()),
    }

    runs = {key: (await root("start_run", f"{key}/r", seconds(30)))["token"] for key in ("refused", "redacted", "open")}
    for key, token in runs.items():
        rows = await root.rows(
            "finish_steps", [f"{key}/r"] * 4, [token] * 4, ["one", "two", KEY, "four"], ["one", "two", "x", "four"],
            ["step"] * 4, [1, 2, 3, 4], [True] * 4, ["done", "failed", "done", "done"], ["json", "error", "json", "pickle"],
            [SECRET, KEY.encode(), b"1", KEY.encode()], [1] * 4, [0.5] * 4,
        )  # fmt: skip
        assert [row["status"] for row in rows] == ["ok", "ok", "ok" if key == "open" else "invalid", "ok"], key
        assert [row["code"] for row in rows][2] == (None if key == "open" else "PS009")
        steps = {row["step"]: (row["result"], row["error"]) for row in await root.rows("run_steps", f"{key}/r")}
        plain = key == "open"
        # a result is not refused: it would be lost
        assert steps["one"] == (json.loads(SECRET) if plain else CLEAN, None)
        assert steps["two"] == (None, KEY if plain else RULE)


def _escaped(text: str, upper: bool) -> bytes:
    """JSON as others write it, with escapes for whatever may be escaped."""
    hexes = (f"{ord(letter):04X}" if upper else f"{ord(letter):04x}" for letter in text)
    return b'["' + "".join("\\u" + code for code in hexes).encode() + b'"]'


@pytest.mark.core
@SAVES
async def test_escapes_hide_nothing(root: Caller, save: Any) -> None:
    await root("set_policy", "redacted/**", guard="redact")
    for number, (rule, secret) in enumerate(SECRETS.items()):
        ways = {
            "lower": _escaped(secret, False),
            "upper": _escaped(secret, True),
            "solidus": json.dumps(["é", secret]).replace("/", "\\/").encode(),
            "some": json.dumps(["é", secret]).replace("=", "\\u003d").replace("-", "\\u002D").encode(),
            "line breaks": json.dumps(["é", secret]).replace("\\n", "\\u000a").encode(),
            # behind which it begins
            **{f"behind {before!r}": json.dumps(["é", before + secret]).encode() for before in "是ï\n\x0f"},
            "behind an escaped one": json.dumps(["é", "'" + secret]).replace("'", "\\u0022").encode(),
            "behind a letter": json.dumps(["é", "是" + secret], ensure_ascii=False).encode(),
        }
        for way, data in ways.items():
            assert json.loads(data)[-1].endswith(secret)
            assert rule in await _refusal(save, root, "refused/t", data=[FINE, data]) or save is _many
            await _refusal(save, root, "refused/t", chunk_types=["json"], chunk_data=[data])
            assert (await save(root, f"redacted/{number}", data=[FINE, data]))["status"] == "ok"
            kept = (await _state(root, f"redacted/{number}"))["b"]
            before = json.loads(data)[-1].removesuffix(secret)
            assert kept[-1] == f"{before}[redacted:{rule}]" and kept[:-1] in ([], ["é"]), (rule, way)
    data = _escaped(KEY, False)
    with refused("PS009"):
        await root("put_writes", "refused/t", "1", "task", [0], ["a"], ["json"], [data])
    with refused("PS009"):
        await root("start_run", "refused/r", input_type="json", input=data)
    # no JSON, but who knows
    await _refusal(save, root, "refused/t", data=[FINE, b"\xff " + KEY.encode()])
    await save(root, "redacted/other", data=[FINE, b"\xff " + KEY.encode() + b"\x00"])
    kept = await root.fetchval("select data[2] from pgstate.get_checkpoint('redacted/other')")
    assert kept == b"\xff " + RULE.encode() + b"\x00"


@pytest.mark.core
async def test_what_is_no_escape_stays_as_it_is(root: Caller) -> None:
    await root("set_policy", "redacted/**", guard="redact")
    others = ["\\u0041", "\\\\u0041", '"\\"', "\x01\x1f\x7f", "é\\/", "\\x", "\U0001f989", "/", "A"]
    # byte by byte, unless something is taken out; then it is the same JSON
    plain = json.dumps(others, ensure_ascii=False).replace("/", "\\/").encode()
    await _one(root, "redacted/t", data=[FINE, plain])
    assert await root.fetchval("select data[2] from pgstate.get_checkpoint('redacted/t')") == plain
    await _one(root, "redacted/t", data=[FINE, json.dumps([*others, KEY]).replace("/", "\\/").encode()])
    kept = await root.fetchval("select data[2] from pgstate.get_checkpoint('redacted/t')")
    assert json.loads(kept) == [*others, RULE]


async def test_arrays_of_any_form_are_looked_at(root: Caller, session: MakeAgent) -> None:
    hidden = SECRET.hex()
    token = (await root("start_run", "a/r", seconds(30)))["token"]
    for types, data in (
        ("'[0:0]={json}'", f"'[0:0]={{\"\\\\x{hidden}\"}}'"),
        ("array[array['json']]", f"array[array['\\x{hidden}'::bytea]]"),
        ("'[7:7]={json}'", f"array['\\x{hidden}'::bytea]"),
    ):
        for call in (
            f"save_checkpoint('a/t', '{{a}}', {types}, {data})",
            f"save_checkpoint('a/t', '{{a}}', '{{json}}', '{{1}}', chunk_types => {types}, chunk_data => {data})",
            f"put_writes('a/t', '1', 'task', '{{0}}', '{{a}}', {types}, {data})",
        ):
            if "chunk" in call and "array[array" in call:
                # nothing but one dimension is taken there
                continue
            await root.refuses("PS009", call)
        await root.fetch(
            f"select * from pgstate.finish_steps('{{a/r}}', array[{token}], '{{s}}', '{{s}}', '{{step}}', '{{1}}', '{{t}}', '{{done}}', {types}, {data}, '{{1}}', '{{1}}')"
        )
    everything = await session(SUPERUSER)
    for table, column in (("step", "data"), ("pending_write", "data"), ("chunk", "data")):
        found = await everything.fetch(f"select {column} from pgstate.{table}")
        assert not any(KEY.encode() in row[0] for row in found), table
    assert await everything.fetchval("select count(*) from pgstate.checkpoint") == 0


async def test_who_may_not_write_learns_no_guard(root: Caller, agent: MakeAgent) -> None:
    alice = await agent("alice", "read a/**")
    await root("set_policy", "b/open/**", guard="off")
    for key in ("a/t", "b/t", "b/open/t"):
        for save in (_one,):
            with refused("PS010"):
                await save(alice, key, data=[FINE, SECRET])
        with refused("PS010"):
            await alice("put_writes", key, "1", "task", [0], ["a"], ["json"], [SECRET])
        with refused("PS010"):
            await alice("rollback_thread", key, "1", metadata={"by": KEY})
        rows = await alice.rows("save_checkpoints", [key], [1], ["a"], ["json"], [SECRET])
        assert [row["code"] for row in rows] == ["PS010"]
        for call in (
            ("put", key, KEY), ("merge", key, KEY, "append"), ("apply", "[]", [{"op": "put", "key": key, "value": KEY}]),
            ("start_run", key, None, KEY), ("start_run", key, None, "n", "json", SECRET),
            ("signal_run", key, KEY), ("signal_run", key, "go", "json", SECRET), ("take_signal", key, 1, KEY, "n", 0, True),
            ("end_run", key, 1, "done", "json", SECRET), ("fail", key, 1, KEY), ("fork_thread", "a/t", f"{key}/{KEY}"),
        ):  # fmt: skip
            with refused("PS010"):
                await alice.rows(*(json.loads(one) if one == "[]" else one for one in call))
        (row,) = await alice.rows(
            "finish_steps", [key], [1], [KEY], ["n"], ["step"], [0], [True], ["done"], ["json"], [SECRET], [1], [0.1]
        )
        assert (row["status"], row["code"]) == ("denied", "PS010")
        for function in ("put_many", "merge_many"):
            (row,) = await alice.rows(function, [key], [KEY])
            assert row["code"] == "PS010", function
