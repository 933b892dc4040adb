"""Values as JSON text: what PostgreSQL can hold goes in and comes back, the rest is refused with a reason."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pgstate
from pgstate import errors
from pgstate._json import decode, decoder, encode


class Color(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    name: str
    at: datetime
    tags: set[str] = set()


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    a: int
    b: str


MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (12345678901234567890123, 12345678901234567890123),
        (-0.5, -0.5),
        ("", ""),
        ("ä€𝄞\u2028\u202e\x7f", "ä€𝄞\u2028\u202e\x7f"),
        ([1, (2, [])], [1, [2, []]]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
        ({1: "a", None: "b", 1.5: "d", False: "e"}, {"1": "a", "null": "b", "1.5": "d", "false": "e"}),
        (MOMENT, "2030-01-02T03:04:05Z"),
        (date(2030, 1, 2), "2030-01-02"),
        (time(1, 2), "01:02:00"),
        (timedelta(seconds=90), "PT1M30S"),
        (ID, str(ID)),
        ({"x": {3}}, {"x": [3]}),
        (frozenset([3]), [3]),
        (decimal.Decimal("1.50"), "1.50"),
        (Color.RED, "red"),
        (b"text", "text"),
        (Path("/a/b"), "/a/b"),
        (Model(name="x", at=MOMENT, tags={"t"}), {"name": "x", "at": "2030-01-02T03:04:05Z", "tags": ["t"]}),
        ([Model(name="x", at=MOMENT)], [{"name": "x", "at": "2030-01-02T03:04:05Z", "tags": []}]),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Pair(1, "b"), [1, "b"]),
        (TypedDict("T", {"a": int})(a=1), {"a": 1}),
        # text that looks like the escape of U+0000 is none
        ("\\u0000", "\\u0000"),
        ("\\\\u0000", "\\\\u0000"),
        ({"\\u0000": "x\\u0000y"}, {"\\u0000": "x\\u0000y"}),
    ],
)
def test_values(value: Any, stored: Any) -> None:
    assert decode(encode(value)) == stored
    assert json.loads(encode(value)) == stored


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "NaN"),
        ([{"a": float("inf")}], "infinity"),
        ({float("-inf"): 1}, "infinity"),
        (Point(1, float("nan")), "NaN"),
        ("\x00", r"U\+0000"),
        ({"a\x00": 1}, r"U\+0000"),
        (["\\\x00"], r"U\+0000"),
        ("\\\\\x00\\u0000", r"U\+0000"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({(1, 2): 3}, "keys must be"),
        ({ID: 3}, "keys must be"),
        (object(), "cannot be JSON"),
        ({"x": {object()}}, "cannot be JSON"),
        (b"\xff", "cannot be JSON"),
        (int, "cannot be JSON"),
        pytest.param(10**5000, "cannot be JSON", id="long"),
        (circular(), "cannot be JSON"),
    ],
)
def test_what_json_cannot_hold(value: Any, why: str) -> None:
    with pytest.raises(errors.InvalidValue, match=why) as caught:
        encode(value)
    assert caught.value.sqlstate == "PS003"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth() -> None:
    # Pydantic's parser alone gives up at 200
    assert decode(encode(nested(700))) == nested(700)
    with pytest.raises(errors.InvalidValue, match="nested too deeply"):
        encode(nested(200_000))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), inner)
    ),
    max_leaves=12,
)


@given(json_values)
@settings(max_examples=300)
def test_what_goes_in_comes_out(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.text("\\u0\x00a", max_size=12))
@settings(max_examples=500)
def test_nul_is_told_from_text_that_names_it(text: str) -> None:
    if "\x00" in text:
        with pytest.raises(errors.InvalidValue):
            encode(text)
    else:
        assert decode(encode(text)) == text


def test_typed_values() -> None:
    text = encode(Model(name="x", at=MOMENT, tags={"a", "b"}))
    assert decoder(Model)(text) == Model(name="x", at=MOMENT, tags={"a", "b"})
    assert decoder(Point)('{"x": 1, "y": 2}') == Point(1, 2.0)
    assert decoder(dict[str, date])('{"a": "2030-01-02"}') == {"a": date(2030, 1, 2)}
    for type_ in (Model, int, list[int]):
        with pytest.raises(errors.InvalidValue, match="not a valid"):
            decoder(type_)('{"name": 5}')


async def test_the_database_agrees(dsn: str) -> None:
    values: list[Any] = [
        "\\u0000", "\\\\u0000", "ä€𝄞\u2028\x7f", 12345678901234567890123, 1e22, 1e-300, 0.1, -0.0, [nested(700)],
        {"": {"": None}}, {"b": 1, "a": [True, None]}, 10**400, "x" * 100_000,
    ]  # fmt: skip
    async with pgstate.connect(dsn) as state:
        for number, value in enumerate(values):
            await state.put(f"k{number}", value)
            entry = await state.get(f"k{number}")
            assert entry is not None and entry.value == value
        with pytest.raises(errors.ValueTooLarge) as caught:
            await state.put("k", "x" * 1_100_000)
        assert caught.value.sqlstate == "PS004"
