"""Checkpoints as chunks: any state comes back as it was, and what did not change is the same chunk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pgstate import _codec
from pgstate._codec import JSON, Encoded, decode, encode
from pgstate.errors import InvalidValue

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)
# long enough for leaves of their own, pages, and groups of small ones
ITEMS = st.lists(st.text(max_size=20) | st.integers() | st.text("ab", min_size=500, max_size=700), max_size=300)


class Pickled:
    """A serializer of opaque bytes, of two forms."""

    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        return ("bytes", obj) if isinstance(obj, bytes) else ("pickle", pickle.dumps(obj))

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        return data[1] if data[0] == "bytes" else pickle.loads(data[1])


def back(encoded: Encoded, serializer: Any = JSON) -> dict[str, Any]:
    return decode(encoded.names, encoded.types, encoded.data, encoded.chunks, serializer)


def message(number: int) -> dict[str, Any]:
    return {"id": number, "text": f"{number} " * 300}


def new(before: Encoded, after: Encoded) -> list[tuple[str, bytes]]:
    return [chunk for digest, chunk in after.chunks.items() if digest not in before.chunks]


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types within."""
    return repr(one) == repr(other)


@given(st.dictionaries(st.text(), VALUES))
def test_any_json_comes_back(state: dict[str, Any]) -> None:
    assert same(back(encode(state)), state)


@given(ITEMS)
def test_any_list_comes_back(items: list[Any]) -> None:
    assert same(back(encode({"items": items})), {"items": items})


@given(st.lists(st.binary(max_size=30) | st.integers() | st.binary(min_size=600, max_size=700), max_size=200))
def test_with_any_serializer(items: list[Any]) -> None:
    state = {"items": items, "one": b"x" * 1000, "none": None}
    assert same(back(encode(state, Pickled()), Pickled()), state)


@given(st.lists(st.text(max_size=700), max_size=200), st.text(max_size=700))
def test_appending_makes_few_chunks(items: list[str], item: str) -> None:
    before, after = encode({"items": items}), encode({"items": [*items, item]})
    # a leaf, and where the list has just become too long for the root all of its pages
    assert len(new(before, after)) <= (2 if before.types == after.types else 6 + len(items))


@pytest.mark.parametrize("count", [100, 1000, 5000])
def test_what_changes_of_a_long_list(count: int) -> None:
    items = [message(n) for n in range(count)]
    before = encode({"items": items})
    longer = encode({"items": [*items, message(-1)]})
    pages = int(before.types[0][1:])  # type: ignore[index]
    assert len(new(before, longer)) == 1 + pages
    assert len(longer.data[0] or b"") <= 48 * 16
    # removed from the front, as when history is trimmed: the pages on the way to the first that stays
    shorter = encode({"items": items[7:]})
    assert len(new(before, shorter)) <= 2 * pages
    middle = encode({"items": [*items[: count // 2], message(-1), *items[count // 2 :]]})
    assert len(new(before, middle)) <= 1 + 2 * pages


@given(ITEMS, ITEMS, st.booleans())
def test_what_was_encoded_before_changes_nothing(items: list[Any], others: list[Any], appended: bool) -> None:
    before = encode({"items": items, "other": others})
    state = {"items": [*items, *others] if appended else others, "new": items}
    again = encode(state, passed=before.chunks.keys(), before=before.leaves)
    assert (again.types, again.data, again.chunks, again.leaves) == (
        (fresh := encode(state)).types,
        fresh.data,
        fresh.chunks,
        fresh.leaves,
    )


def test_what_was_encoded_before_is_looked_at_again_unless_it_is_there() -> None:
    """So a secret that has become one since is taken out."""
    items = [f"{number} a word that is none yet {'x' * 600}" for number in range(3)]
    before = encode({"items": items})

    class Cleaning:
        def typed(self, type_: str, data: bytes) -> bytes:
            return data.replace(b"a word", b"[secret]")

    guard: Any = Cleaning()
    cleaned = encode({"items": items}, guard=guard, before=before.leaves)
    assert not cleaned.chunks.keys() & before.chunks.keys()
    assert back(cleaned)["items"] == [item.replace("a word", "[secret]") for item in items]
    # nor is the clean form taken for what was given
    again = encode({"items": items}, guard=guard, passed=cleaned.chunks.keys(), before=cleaned.leaves)
    assert (again.data, again.chunks) == (cleaned.data, cleaned.chunks)


class AsTheyAre:
    """As LangGraph's serializer has it of bytearrays: what it returns is the value itself."""

    def dumps_typed(self, obj: Any, /) -> tuple[str, Any]:
        return "bytearray", obj

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        return bytearray(data[1])


@pytest.mark.parametrize("length", [50, 600])
def test_what_changes_in_place(length: int) -> None:
    """What was encoded stays as it was, and what is now is encoded anew."""
    items = [bytearray(b"x" * length) for _ in range(9)]
    state: dict[str, Any] = {"items": items, "one": items[4]}
    before = encode(state, AsTheyAre())
    was = back(before, AsTheyAre())
    items[4][:5] = b"hello"
    assert back(before, AsTheyAre()) == was != state
    again = encode(state, AsTheyAre(), passed=before.chunks.keys(), before=before.leaves)
    assert back(again, AsTheyAre()) == state
    fresh = encode(state, AsTheyAre())
    assert (again.data, again.chunks) == (fresh.data, fresh.chunks)


def test_small_elements_share_leaves() -> None:
    items = list(range(10_000))
    encoded = encode({"items": items})
    assert len(encoded.chunks) < 200
    changed = new(encoded, encode({"items": [*items, 1]}))
    assert len(changed) <= 2 and sum(len(data) for _, data in changed) < 4096 + 1536
    assert back(encoded) == {"items": items}


def test_what_is_small_is_inline() -> None:
    encoded = encode({"n": 1, "list": [1, 2, 3], "empty": [], "one": ["a"], "text": "x" * 100})
    assert encoded.chunks == {} and encoded.types == ["json"] * 5
    assert encoded.data[1] == b"[1,2,3]"


def test_hashes_are_of_type_and_content() -> None:
    ((digest, chunk),) = encode({"text": "x" * 300}).chunks.items()
    assert digest == hashlib.sha256(b"json\0" + chunk[1]).digest()[:16] and chunk == ("json", b'"' + b"x" * 300 + b'"')


def test_channels_without_a_value() -> None:
    encoded = encode({"a": 1}, versions={"a": "v1", "b": "v2"})
    assert [*zip(encoded.names, encoded.types, encoded.data, encoded.versions, strict=True)] == [
        ("a", "json", b"1", "v1"), ("b", None, None, "v2")
    ]  # fmt: skip
    assert back(encoded) == {"a": 1}


class Model(BaseModel):
    name: str


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (float("inf"), math.inf), ("\0", "\0"), ("\ud800", "\ud800"), (["\ud800", float("-inf")], ["\ud800", -math.inf]), (1e16, 1e16),
        (2**80, 2**80), (Model(name="a"), {"name": "a"}), (Point(1), {"x": 1}), ((1, 2), [1, 2]), ({"a": Model(name="b")}, {"a": {"name": "b"}}),
    ],
)  # fmt: skip
def test_what_json_has_no_word_for(value: Any, found: Any) -> None:
    assert same(back(encode({"a": value})), {"a": found})


def test_nan() -> None:
    assert math.isnan(back(encode({"a": float("nan")}))["a"])


def test_what_cannot_be_saved() -> None:
    deep: list[Any] = []
    deep.append(deep)
    for value in (object(), deep, {"a": object()}, [object()] * 2):
        with pytest.raises(InvalidValue):
            encode({"a": value})


@pytest.mark.parametrize(
    "data", [b"\xff", b"not", b"", b"1" * 5000, b"[" * 20000], ids=["bytes", "text", "nothing", "digits", "depth"]
)
def test_what_is_no_json_is_told(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        JSON.loads_typed(("json", data))


def test_what_was_saved_otherwise() -> None:
    with pytest.raises(InvalidValue, match="pickle"):
        back(encode({"a": {1}}, Pickled()))


def test_json_that_python_wrote_is_read() -> None:
    text = json.dumps({"a": ["\ud800"], "b": float("nan")}).encode()
    assert JSON.loads_typed(("json", text))["a"] == ["\ud800"]


def test_what_nobody_can_have_saved() -> None:
    """Roots and pages are what a client says they are: reading them ends, and says what is wrong."""
    encoded = Encoded()
    page = encoded.chunk("json", b"1")
    for depth in range(8):
        page = encoded.chunk(f"#{depth}", page * 96)
    for type_, data in (
        ("#8", page),
        ("#0", b"x" * 16),
        ("@", b"x" * 16),
        ("#2", page),
        ("#0", b"x" * 17),
        ("#99999999999", page),
    ):
        with pytest.raises(InvalidValue):
            decode(["a"], [type_], [data], encoded.chunks)
    for type_ in ("#", "#x", "#-1 "):
        with pytest.raises(InvalidValue):
            decode(["a"], [type_], [page], {})
    for text in (b"5", b'{"b": 1}', b'"text"', b"null"):
        with pytest.raises(InvalidValue):
            decode(["a"], ["#0"], [encoded.chunk("+json", text)], encoded.chunks)
    assert decode(["a"], ["#99999999999"], [b""], {}) == {"a": []}


def test_what_names_a_chunk_many_times() -> None:
    """Few bytes to whoever saves it, and all the memory there is to whoever reads it."""
    encoded = Encoded()
    large = encoded.chunk("json", b'"' + b"x" * (1 << 20) + b'"')
    page = encoded.chunk("#0", large * 100)
    for names, types, data in (
        (["a"], ["#0"], [large * 2048]),
        (["a"], ["#1"], [page * 2048]),
        (list("ab" * 1024), ["@"] * 2048, [large] * 2048),
    ):
        with pytest.raises(InvalidValue, match="2048 MB"):
            decode(names, types, data, encoded.chunks, _Length())
    assert decode(["a"], ["#0"], [large * 3], encoded.chunks, _Length()) == {"a": [(1 << 20) + 2] * 3}


def test_what_could_not_be_read_again_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_codec, "_MOST_SAVED", 1000)
    encode({"a": ["x" * 98] * 8, "b": "x" * 198})
    with pytest.raises(InvalidValue, match="larger") as caught:
        encode({"a": ["x" * 98] * 8, "b": "x" * 199})
    assert caught.value.__notes__ == ["channel b"]


class _Length:
    """Reads the length of what is stored, to keep none of it in memory."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return JSON.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return len(data[1])
