"""Secrets are taken out of serialized data, which stays what it was in everything else."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import re
from collections.abc import Iterator
from typing import Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from _cases import first_of
from _secrets import SECRETS
from pgstate import _guard, _secrets, errors, labels
from pgstate._areas._records import Values
from pgstate._codec import JSON, decode, encode
from pgstate._guard import Guard
from pgstate._json import encode as encode_json
from pgstate._msgpack import exchanged

KEY = SECRETS["anthropic_api_key"]
RULE = "[redacted:anthropic_api_key]"
SERDE = JsonPlusSerializer()


@pytest.fixture
def resolved() -> Iterator[dict[str, str]]:
    yield _guard._resolved
    _guard._resolved.clear()


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("length", [0, 3, 40, 200, 300, 70_000])
def test_texts_of_any_length_are_put_together_anew(secret: str, length: int) -> None:
    filler = "x" * length + " " if length else ""
    value = {
        "a": [f"{filler}{secret}", 65, "A", None, 1.5, -7, 2**40, True],
        "n": {f"{secret}": b"raw \xff"},
        "u": "\u00e9\U0001f989",
    }
    data = ormsgpack.packb(value)
    clean = Guard().typed("msgpack", data)
    rule = next(name for name, one in SECRETS.items() if one == secret)
    assert ormsgpack.unpackb(clean) == {
        "a": [f"{filler}[redacted:{rule}]", 65, "A", None, 1.5, -7, 2**40, True],
        "n": {f"[redacted:{rule}]": b"raw \xff"},
        "u": "\u00e9\U0001f989",
    }
    assert Guard("off").typed("msgpack", data) == data


def test_a_length_that_looks_like_a_letter_hides_nothing() -> None:
    for length in range(48, 123):
        text = KEY + " " + "y" * (length - len(KEY) - 1) if length > len(KEY) + 1 else KEY[:length]
        clean = ormsgpack.unpackb(Guard().typed("msgpack", ormsgpack.packb([text, 65])))
        assert KEY[:40] not in clean[0]
        assert clean[1] == 65


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": [v, {"deep": [v]}]}])
def test_objects_of_the_langgraph_serializer(wrap: Any) -> None:
    value = wrap(HumanMessage(content=f"my key is {KEY}", id="m1", additional_kwargs={"token": KEY}))
    type_, data = SERDE.dumps_typed(value)
    clean = Guard().typed(type_, data)
    assert KEY.encode() not in clean
    wanted = wrap(HumanMessage(content=f"my key is {RULE}", id="m1", additional_kwargs={"token": RULE}))
    assert SERDE.loads_typed((type_, clean)) == wanted


def test_what_is_cut_off_is_no_messagepack() -> None:
    whole = ormsgpack.packb({"k": [KEY, "a" * 300, b"b" * 300, 2**40]})
    for end in range(1, len(whole)):
        try:
            assert exchanged(whole[:end], str.upper) is not None  # cut between two objects
        except ValueError:
            continue
    with pytest.raises(ValueError, match="cut off"):
        exchanged(whole[:30], str)


def test_forms_that_cannot_be_written_are_refused_by_rule() -> None:
    for value in (KEY, [KEY, 1], {"k": "x" * 70 + KEY}):
        with pytest.raises(errors.SecretRefused) as caught:
            Guard().typed("pickle", pickle.dumps(value))
        assert "anthropic_api_key" in str(caught.value)
        assert KEY not in str(caught.value)
    harmless = pickle.dumps({"task-1": "sk-learn", "u": "https://example.org/a@b"})
    assert Guard().typed("pickle", harmless) == harmless


pieces = st.sampled_from(
    [
        *SECRETS.values(),
        *_secrets._needles(),
        "\\n",
        "\\",
        "n",
        "t",
        " ",
        "-",
        "_",
        "x" * 40,
        "x" * 99,
        "A",
        "9",
        "\u00e9",
    ]
)


@given(st.lists(pieces, max_size=12).map("".join))
def test_a_rule_finds_what_its_expression_does(text: str) -> None:
    for rule in _secrets.rules():
        assert [m.span() for m in rule.matches(text)] == [m.span() for m in rule.pattern.finditer(text)]
        assert rule.redacted(text) == rule.pattern.sub(f"[redacted:{rule.name}]", text)
        # with room for letters before it
        roomy = re.sub(r"\(\?<!(\[[^]]+\])\)", r"(?<!\1)\1{0,100}", rule.pattern.pattern)
        assert rule.finds_inside(text) is (re.search(roomy, text) is not None), rule.name


def test_chunks_that_have_passed_are_not_looked_at_again() -> None:
    class Counting(Guard):
        seen = 0

        def typed(self, type_: str, data: bytes) -> bytes:
            self.seen += 1
            return super().typed(type_, data)

    state = {"messages": [{"n": n, "text": "t" * 600} for n in range(50)], "long": "l" * 900}
    guard = Counting()
    encoded = encode(state, JSON, guard=guard)
    assert guard.seen == 51
    guard.seen = 0
    state["messages"].append({"n": 50, "text": KEY})  # type: ignore[attr-defined]
    again = encode(state, JSON, guard=guard, passed=frozenset(encoded.chunks))
    assert guard.seen == 1
    back = decode(again.names, again.types, again.data, again.chunks)
    assert back["messages"] == [*state["messages"][:-1], {"n": 50, "text": RULE}]  # type: ignore[index]
    assert not any(KEY.encode() in data for _, data in again.chunks.values())


@pytest.mark.parametrize("serializer", [JSON, SERDE], ids=["json", "msgpack"])
@pytest.mark.parametrize("size", [1, 3, 40, 700])
def test_roots_leaves_and_channels_of_all_sizes(serializer: Any, size: int) -> None:
    state = {
        "one": KEY,
        "text": "w" * 500 + " " + KEY,
        "list": [f"{KEY} {n}" + "z" * (n % 7) for n in range(size)],
        "few": [KEY],
    }
    encoded = encode(state, serializer, guard=Guard())
    held = b"".join([*(data or b"" for data in encoded.data), *(data for _, data in encoded.chunks.values())])
    assert KEY.encode() not in held
    back = decode(encoded.names, encoded.types, encoded.data, encoded.chunks, serializer)
    assert back == json.loads(json.dumps(state).replace(KEY, RULE))


def test_resolved_credentials_become_handles(resolved: dict[str, str]) -> None:
    value = 'pass"word\u00e9\\1'
    _guard.remember(value, "$CRED{db}")
    _guard.remember("short", "$CRED{short}")
    assert set(resolved.values()) == {"$CRED{db}"} and value in resolved
    assert _guard.scrub(f"a {value} b") == "a $CRED{db} b"
    for ascii_ in (True, False):
        assert json.loads(_guard.scrub_json(json.dumps({"v": value}, ensure_ascii=ascii_))) == {"v": "$CRED{db}"}
        # as a model's calls of tools have it
        for inner in (True, False):
            call = {"arguments": json.dumps({"v": value}, ensure_ascii=inner)}
            cleaned = json.loads(_guard.scrub_json(json.dumps(call, ensure_ascii=ascii_)))
            assert json.loads(cleaned["arguments"]) == {"v": "$CRED{db}"}
    for guard in (Guard(), Guard("off")):
        assert ormsgpack.unpackb(guard.typed("msgpack", ormsgpack.packb([value]))) == ["$CRED{db}"]
        assert guard.typed("json", json.dumps(value).encode()) == b'"$CRED{db}"'
    with pytest.raises(errors.SecretRefused) as caught:
        Guard("off").typed("pickle", pickle.dumps(value))
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ({"n": [1234567.5, 81234560, 1.23456e6]}, None),
        ({"n": 123456, "123456": -123456}, {"n": "$CRED{pin}", "$CRED{pin}": -123456}),
        ("a line\n12345 and \t12345", None),
        ("\u00e9 in12345 \\n12345", "\u00e9 i$CRED{word} \\$CRED{word}"),
        (["00e9ab", "\u00e9ab"], ["$CRED{hex}", "\u00e9ab"]),
        ('{"n":123456}', '{"n":$CRED{pin}}'),
        ({"account": {"id": "x", "n": 1}}, {"account": "$CRED{account}"}),
        ({"keys": ["one", "two"], "text": 'of ["one","two"]'}, {"keys": "$CRED{keys}", "text": "of $CRED{keys}"}),
        ("\ud800 123456", "\ud800 $CRED{pin}"),
    ],
)
def test_json_with_handles_is_json(resolved: dict[str, str], value: Any, cleaned: Any) -> None:
    credentials = {"pin": "123456", "word": "n12345", "hex": "00e9ab", "account": '{"id":"x","n":1}'}
    for name, credential in {**credentials, "keys": '["one","two"]'}.items():
        _guard.remember(credential, f"$CRED{{{name}}}")
    cleaned = value if cleaned is None else cleaned
    for ascii_ in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_, separators=(",", ":"))
        for type_, before, after in (("json", value, cleaned), ("+json", [value], [cleaned])):
            told = f"[{text}]" if type_ == "+json" else text
            data = Guard("off").typed(type_, told.encode("utf-8", "surrogatepass"))
            assert json.loads(data.decode("utf-8", "surrogatepass")) == after
            assert (data == told.encode("utf-8", "surrogatepass")) == (before == after)
    if "\ud800" not in str(value):
        assert json.loads(encode_json(value)) == cleaned


def test_what_is_kept_of_an_error_holds_no_part_of_a_long_credential(resolved: dict[str, str]) -> None:
    credential = "".join(f"{n:04x}" for n in range(800))
    _guard.remember(credential, "$CRED{key}")
    said = Values(JSON, Guard()).said(ValueError(" ".join([credential] * 20)))
    assert said == "ValueError: " + " ".join(["$CRED{key}"] * 20)


def test_json_with_handles_is_of_characters_that_can_be_read(resolved: dict[str, str]) -> None:
    _guard.remember("123456", "$CRED{pin}")
    data = Guard("off").typed("json", '"\u00e9 \\ud800 123456"'.encode())
    assert json.loads(data.decode()) == "\u00e9 \ud800 $CRED{pin}"


def test_logs_are_cleaned(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("pgstate")
    with caplog.at_level("INFO", "pgstate"):
        log.info("connecting to %s", f"postgresql{SECRETS['connection_string']}db")
        try:
            raise ValueError(KEY)
        except ValueError:
            log.exception("failed")
        log.info("nothing %d %s", 1, "there")
    assert KEY not in caplog.text
    assert "postgresql[redacted:connection_string]db" in caplog.text
    assert RULE in caplog.text
    assert "nothing 1 there" in caplog.text


def test_what_has_no_text_is_logged_without(caplog: pytest.LogCaptureFixture) -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError("no")

    logging.getLogger("pgstate").warning("failed: %s", Unspeakable())
    assert caplog.messages == ["failed: %s (RuntimeError in its text)"]


def test_a_mode_has_a_name() -> None:
    with pytest.raises(errors.InvalidArgument):
        Guard("loud")


def test_of_credentials_that_contain_each_other_nothing_is_left(resolved: dict[str, str]) -> None:
    _guard.remember("hunter2", "$CRED{short}")
    _guard.remember("hunter2-prod", "$CRED{long}")
    assert _guard.scrub("hunter2-prod hunter2") == "$CRED{long} $CRED{short}"


def test_others_may_resolve_while_a_text_is_cleaned(resolved: dict[str, str]) -> None:
    class Meanwhile(str):
        def replace(self, *arguments: Any) -> str:
            _guard.remember("another", "$CRED{b}")
            return Meanwhile(str.replace(self, *arguments))

    _guard.remember("credential", "$CRED{a}")
    assert _guard.scrub(Meanwhile("my credential")) == "my $CRED{a}"


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_raw_bytes_hide_nothing(secret: str) -> None:
    for before in (b"\xff", b"\x80\x04\x95]", b"9", b"\x00"):
        for type_ in ("bytes", "bytearray", "pickle"):
            with pytest.raises(errors.SecretRefused):
                Guard().typed(type_, before + secret.encode() + b"\xff")
    harmless = b"\x89PNG hf_short \xff"
    assert Guard().typed("bytes", harmless) == harmless


@pytest.mark.parametrize(
    "begins",
    first_of([
        "-----BEGIN PRIVATE KEY-----Ab: x", "-----BEGIN ", "PRIVATE KEY", "eyJ", "eyJaaaaaaaa.", "\\neyJaaaaaaaa.eyJ", "KIA ",
        "sk-", "sk-ant-", "://", "://a:", "do not tell ", "ignore all ", "<system ",
    ], 5),
)  # fmt: skip
def test_texts_that_only_begin_like_secrets_take_no_hours(begins: str) -> None:
    """What is searched to its end from each of many beginnings takes the square of its length."""
    text = begins * (1_000_000 // len(begins))
    said = Guard().text(text)
    assert said == text or "[redacted:" in said
    assert Guard("off").typed("pickle", text.encode()) == text.encode()
    with contextlib.suppress(errors.SecretRefused):
        assert Guard().typed("pickle", text.encode()) == text.encode()
    assert isinstance(labels(text), list)
