"""Guards: what looks like a secret is refused or redacted, whichever way it is written."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _cases import first_of
from _secrets import HARMLESS, MORE, SECRETS
from _server import SUPERUSER
from conftest import Database
from pgstate import _paths, _secrets
from sql._caller import Caller, MakeAgent, refused, seconds

KEY = SECRETS["anthropic_api_key"]
ENTRIES = [*SECRETS.items(), *MORE]
AROUND = ("{}", "before {} after", "line\n{}\nline", "tab\t{}", '"{}"', "key={};", "twice {} {}", "\\n{}", "{}\u00e9")


@pytest.fixture
async def inside(root: Caller, session: MakeAgent) -> Caller:
    """A superuser: the rules are internal."""
    return await session(SUPERUSER)


def planted(text: str) -> list[str]:
    return [form.format(*[text] * form.count("{}")) for form in AROUND if "{}" in form]


@pytest.mark.core
async def test_the_database_and_python_agree(inside: Caller) -> None:
    found = await inside.fetchval("select pgstate._secret_patterns()")
    assert [tuple(row) for row in found] == [
        (rule.name, rule.pattern.pattern, "|".join(rule.needles)) for rule in _secrets.rules()
    ]
    assert await inside.fetchval("select pgstate._secret_hint()") == _secrets.hint().pattern
    assert [rule.name for rule in _secrets.rules()] == list(SECRETS)
    texts = [text for _, secret in ENTRIES for text in planted(secret)] + [*HARMLESS, *planted("task-7"), ""]
    texts += [json.dumps(text) for text in texts] + [json.dumps([{"a": text}], ensure_ascii=False) for text in texts]
    texts += [json.dumps(json.dumps(text)) for text in texts[:200]]
    rows = await inside.fetch(
        "select pgstate._secret_rule(t) as rule, pgstate._redact(t) as redacted from unnest($1::text[]) t", texts
    )
    assert [(row["rule"], row["redacted"]) for row in rows] == [
        (_secrets.rule_of(t), _secrets.redact(t)) for t in texts
    ]


@given(st.data())
def test_whatever_a_rule_finds_passes_the_quick_tests(data: st.DataObject) -> None:
    (shape,) = re.findall(r"return '(.*)';", _paths.sql("functions/guards/_secret_shape.sql").read_text("utf-8"))
    rule = data.draw(st.sampled_from(_secrets.rules()))
    found = data.draw(st.from_regex(rule.body, fullmatch=True))
    assert re.search(shape, found) and _secrets.hint().search(f" {found}"), rule.name


def test_each_rule_finds_its_secret_whole() -> None:
    for rule, secret in ENTRIES:
        for text in planted(secret):
            assert _secrets.rule_of(text) == rule, (rule, text)
            wanted = text.replace(secret, f"[redacted:{rule}]")
            assert _secrets.redact(text) == wanted
            # in JSON it stays JSON, of the same
            for held in (json.dumps({"a": [text]}), json.dumps({"a": [text]}, ensure_ascii=False)):
                assert json.loads(_secrets.redact(held)) == {"a": [wanted]}, (rule, held)
            twice = json.dumps(json.dumps({"a": text}))
            assert json.loads(json.loads(_secrets.redact(twice))) == {"a": wanted}
    for text in HARMLESS:
        assert _secrets.rule_of(text) is None, text
        assert _secrets.redact(text) == text


def test_redacting_again_changes_nothing() -> None:
    for _, secret in ENTRIES:
        once = _secrets.redact(f"postgresql{secret}db")
        assert _secrets.redact(once) == once


async def _everything(database: Database) -> str:
    """All that is stored in any table."""
    tables = [
        name
        for (name,) in database.sql(
            "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'pgstate'::regnamespace"
        )
    ]
    return "\n".join(str(database.sql(f"select t::text from {table} t")) for table in tables)


@pytest.mark.parametrize("rule", first_of(SECRETS, 4))
async def test_no_way_of_writing_takes_a_secret(root: Caller, database: Database, rule: str) -> None:
    secret = SECRETS[rule]
    value = {"note": f"it is {secret}!", "list": [1, {"deep": "x"}]}
    await root("put", "a/there", {})
    await root("put", "a/task", {})
    ways: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("put", ("a/new", value), {}),
        ("put", ("a/there", value), {}),
        ("put", ("a/there", value), {"expect": 1}),
        ("put", ("a/new", value), {"expect": 0}),
        ("put", ("a/new", {f"key {secret}": 1}), {}),
        ("put", ("a/new", secret), {"op_id": "one"}),
        ("merge", ("a/there", value, "merge"), {}),
        ("merge", ("a/list", [secret], "append"), {}),
    ]
    for function, arguments, named in ways:
        with refused("PS009") as caught:
            await root(function, *arguments, **named)
        assert str(caught.value).endswith(f": {rule}")
        assert secret not in str(caught.value)
    rows = await root.rows("put_many", ["a/1", "a/there", "a/2"], [{"fine": True}, value, {"fine": True}])
    assert [(row["status"], row["code"]) for row in rows] == [("ok", None), ("invalid", "PS009"), ("ok", None)]
    assert rows[1]["message"].endswith(f": {rule}")
    rows = await root.rows("merge_many", ["a/there", "a/1"], [value, {"more": 1}], ["merge", "merge"])
    assert [row["code"] for row in rows] == ["PS009", None]
    with refused("PS009") as caught:
        await root.rows(
            "apply",
            [],
            [
                {"op": "put", "key": "a/b", "value": 1},
                {"op": "merge", "key": "a/c", "operand": value, "reducer": "merge"},
            ],
        )
    assert str(caught.value).endswith(f": {rule}")
    token = (await root("claim", "a/task", seconds(60)))["token"]
    with refused("PS009") as caught:
        await root("complete", "a/task", token, result=value, move_to="a/done")
    assert str(caught.value).endswith(f": {rule}")
    rows = await root.rows("complete_many", ["a/task"], [token], [value], ["a/done"])
    assert [row["code"] for row in rows] == ["PS009"]
    data = json.dumps(value).encode()
    with refused("PS009"):
        await root("start_run", "a/run", input_type="json", input=data)
    await root("start_run", "a/run", seconds(60))
    with refused("PS009"):
        await root("signal_run", "a/run", "go", "json", data)
    assert secret not in await _everything(database)
    # a failure is told without it, whatever else: work that cannot be given up would be stuck
    await root("fail", "a/task", token, f"cannot log in with {secret}")
    assert (await root.fetchval("select error from pgstate.tasks('a/task')")) == f"cannot log in with [redacted:{rule}]"
    run = await root("start_run", "a/other", seconds(60))
    await root("end_run", "a/other", run["token"], "failed", "error", f"no: {secret}".encode())
    assert (await root("get", "a/other"))["value"]["error"] == f"no: [redacted:{rule}]"
    held = await _everything(database)
    assert f"[redacted:{rule}]" in held
    assert secret not in held and json.dumps(secret)[1:-1] not in held


@pytest.mark.core
async def test_keys_are_refused_whatever_they_hold(root: Caller, database: Database) -> None:
    await root("set_policy", "soft/**", guard="redact")
    for under in ("a", "soft"):
        key = f"{under}/{KEY}"
        for function, arguments in (("put", (key, 1)), ("merge", (key, 1, "add")), ("put", (f"{key}/x", 1))):
            with refused("PS009"):
                await root(function, *arguments)
        with refused("PS009"):
            # it would leave a tombstone
            await root.rows("apply", [{"key": key, "absent": True}], [{"op": "put", "key": "a/b", "value": 1}])
        await root("put", f"{under}/task", 1)
        token = (await root("claim", f"{under}/task", seconds(60)))["token"]
        with refused("PS009"):
            await root("complete", f"{under}/task", token, move_to=key)
    assert KEY not in await _everything(database)


async def test_a_key_of_before_is_refused_however_it_is_written(root: Caller) -> None:
    await root("set_policy", "a/**", guard="off")
    for name in ("a/plain", f"a/{KEY}"):
        await root("put", name, 1)
    await root("drop_policy", "a/**")
    for function, arguments in (("put", (f"a/{KEY}", 2)), ("merge", (f"a/{KEY}", 2, "add"))):
        with refused("PS009"):
            await root(function, *arguments)
    for op in ("put", "merge"):
        rows = await root.fetch(
            "select code from pgstate.write_many(array_fill($1::text, array[2]), $2, array['2', '2']::jsonb[], "
            "reducers => array_fill('add'::text, array[2])) order by ord",
            op,
            ["a/plain", f"a/{KEY}"],
        )
        assert [row["code"] for row in rows] == [None, "PS009"]


@pytest.mark.core
async def test_the_nearest_policy_decides_the_mode(root: Caller) -> None:
    await root("set_policy", "a/**", guard="redact")
    await root("set_policy", "a/raw/**", guard="off")
    await root("set_policy", "a/raw/not", guard="refuse")
    explained = {
        key: next(tuple(row) for row in await root.rows("explain_policy", key) if row["setting"] == "guard")
        for key in ("b", "a/x", "a/raw/x", "a/raw/not")
    }
    assert explained == {
        "b": ("guard", "refuse", None), "a/x": ("guard", "redact", "a/**"), "a/raw/x": ("guard", "off", "a/raw/**"),
        "a/raw/not": ("guard", "refuse", "a/raw/not"),
    }  # fmt: skip
    value = {"to": KEY, KEY: [f"x\n{KEY}", 1]}
    clean = {
        "to": "[redacted:anthropic_api_key]",
        "[redacted:anthropic_api_key]": ["x\n[redacted:anthropic_api_key]", 1],
    }
    for key, held in (("a/x", clean), ("a/raw/x", value)):
        for _ in range(2):  # new, then existing
            await root("put", key, value)
            assert (await root("get", key))["value"] == held
        rows = await root.rows("put_many", [key, f"{key}2"], [value, value])
        assert {row["status"] for row in rows} == {"ok"}
        await root("merge", key, [KEY], "replace")
        await root("merge", key, KEY, "append")
        assert (await root("get", key))["value"] == [next(iter(held.values()))] * 2
    for key in ("b", "a/raw/not"):
        with refused("PS009"):
            await root("put", key, value)
    # what is moved comes under the guard of where it goes
    await root("put", "a/raw/task", value)
    token = (await root("claim", "a/raw/task", seconds(60)))["token"]
    with refused("PS009"):
        await root("complete", "a/raw/task", token, move_to="b")
    assert (await root("complete", "a/raw/task", token, move_to="a/done"))["status"] == "ok"
    assert (await root("get", "a/done"))["value"] == clean
    await root("drop_policy", "a/**", ["guard"])
    with refused("PS009"):
        await root("put", "a/x", value)
    with refused("PS007"):
        await root("set_policy", "a/**", guard="loud")
    with refused("PS007"):
        await root("drop_policy", "a/raw/x", ["guard"])


@pytest.mark.core
async def test_dead_letters_are_guarded_like_everything(root: Caller) -> None:
    await root("set_policy", "raw/**", guard="off", max_attempts=1, dead_letter="dead")
    await root("put", "raw/task", {"with": KEY})
    token = (await root("claim", "raw/task", seconds(60)))["token"]
    out = await root("fail", "raw/task", token, f"is {KEY}")
    # where it would go it is refused, so it stays
    assert (out["status"], out["moved_to"], out["retry_in"]) == ("ok", None, None)
    assert (await root("get", "raw/task"))["value"] == {"with": KEY}
    await root("set_policy", "dead/**", guard="redact")
    await root("put", "raw/task2", {"with": KEY})
    token = (await root("claim", "raw/task2", seconds(60)))["token"]
    assert (await root("fail", "raw/task2", token))["moved_to"] == "dead/task2"
    assert (await root("get", "dead/task2"))["value"] == {"with": "[redacted:anthropic_api_key]"}


@pytest.mark.core
async def test_serialized_data_that_is_not_json_passes(root: Caller) -> None:
    # the client's part: only it can put a length right that stands before the text
    out = await root("start_run", "a/run", input_type="msgpack", input=b"\xda" + KEY.encode())
    assert out["status"] == "created"
    await root("set_policy", "a/**", guard="redact")
    out = await root(
        "start_run",
        "a/run2",
        seconds(60),
        input_type="json",
        input=json.dumps({"é": f"a\n{KEY}"}, ensure_ascii=False).encode(),
    )
    assert json.loads(out["input"]) == {"é": "a\n[redacted:anthropic_api_key]"}
    assert (await root("start_run", "a/run3", seconds(60), input_type="json", input=f'"\\u0000 {KEY}"'.encode()))[
        "input"
    ] == b'"\\u0000 [redacted:anthropic_api_key]"'


@pytest.mark.core
async def test_an_own_reducer_makes_no_secret_of_harmless_parts(root: Caller, database: Database) -> None:
    database.sql(
        "create function public.glue(a jsonb, b jsonb) returns jsonb language sql immutable as $$ select to_jsonb(coalesce(a #>> '{}', '') || (b #>> '{}')) $$"
    )
    await root("register_reducer", "glue", "public.glue(jsonb, jsonb)")
    await root("set_policy", "g/**", reducer="glue")
    await root("merge", "g/a", KEY[:20])
    with refused("PS009"):
        await root("merge", "g/a", KEY[20:])
    assert (await root("get", "g/a"))["value"] == KEY[:20]
