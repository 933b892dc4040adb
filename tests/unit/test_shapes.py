"""Types as typed states keep them: fields, defaults, values as JSON and back."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import math
import operator
import sys
import typing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, NotRequired, Required, TypeVar

import pydantic
import pydantic.dataclasses
import pytest
import typing_extensions
from typing_extensions import ReadOnly

from pgstate import errors
from pgstate._json import encode
from pgstate._shapes.shape import Shape, shape_of
from pgstate.types import UNSET

if typing.TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")
U = TypeVar("U")


class Base(typing.TypedDict):
    topic: str
    findings: Annotated[list[str], operator.add]


class Document(Base, total=False):
    notes: dict[str, Any]
    kept: Required[ReadOnly[Annotated[int, pydantic.Field(ge=0), "how many"]]]


class Optionals(typing_extensions.TypedDict):
    topic: str
    count: NotRequired[Annotated[int, operator.add]]
    mark: Annotated[NotRequired[str], "last"]


Odd = typing_extensions.TypedDict("Odd", {"my key": int, "class": str, "_x": int, "json": int, "value": int, "%": int})


class Box(typing_extensions.TypedDict, Generic[T]):
    items: Annotated[list[T], operator.add]
    one: NotRequired[T]


class Boxes(Box[int], Generic[U]):
    other: U


class Strict(typing_extensions.TypedDict):
    __pydantic_config__ = pydantic.ConfigDict(strict=True)  # type: ignore[misc]
    n: int


@dataclasses.dataclass
class Plain:
    topic: str
    findings: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)
    best: Annotated[float, max] = 1.5
    kind: ClassVar[str] = "x"
    length: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.length = len(self.findings)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen(Generic[T]):
    a: T
    b: Annotated[list[T], operator.add] = dataclasses.field(default_factory=list)
    final: typing.Final[int] = 3  # type: ignore[misc]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grown(Frozen[int]):
    c: str = "c"


@dataclasses.dataclass
class Bounded:
    n: Annotated[int, operator.add] = pydantic.Field(default=0, le=5)


@pydantic.dataclasses.dataclass(config=pydantic.ConfigDict(str_strip_whitespace=True))
class Checked:
    topic: str
    n: Annotated[int, operator.add] = pydantic.Field(default=0, alias="N", le=5)

    @pydantic.field_validator("topic")
    @classmethod
    def not_empty(cls, topic: str) -> str:
        if not topic:
            raise ValueError("empty")
        return topic


class Inner(pydantic.BaseModel):
    x: int = pydantic.Field(alias="X")
    y: list[int] = []


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(str_strip_whitespace=True)

    topic: str = pydantic.Field(alias="Topic", serialization_alias="TOPIC")
    at: datetime | None = None
    inner: Annotated[Inner | None, "merge"] = None
    tags: Annotated[set[str], operator.or_] = pydantic.Field(default_factory=set)
    secret: str = pydantic.Field(default="s", exclude=True)
    _private: int = 3

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.tags)

    @pydantic.field_validator("topic", mode="before")
    @classmethod
    def shout(cls, topic: str) -> str:
        if topic == "bad":
            raise ValueError("not that")
        return topic + "!" if isinstance(topic, str) and not topic.endswith("!") else topic

    @pydantic.field_serializer("topic")
    def whisper(self, topic: str) -> str:
        return topic.lower()

    @pydantic.model_validator(mode="after")
    def together(self) -> Model:
        if self.topic == "none!" and self.tags:
            raise ValueError("no topic has tags")
        return self


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 0


class Wide(pydantic.BaseModel, Generic[T]):
    items: Annotated[list[T], operator.add] = []


class Lost(pydantic.BaseModel):
    a: int = pydantic.Field(exclude=True)


class Unfinished(pydantic.BaseModel):
    a: Unknown


class Nothing(typing_extensions.TypedDict):
    pass


class Numbers(pydantic.RootModel[list[int]]):
    pass


@dataclasses.dataclass
class Unresolved:
    a: Unknown


@dataclasses.dataclass
class Initial:
    n: dataclasses.InitVar[int]
    m: int = 0


@dataclasses.dataclass
class Arbitrary:
    a: threading_lock_type


class Nested(typing_extensions.TypedDict):
    deep: Annotated[Tree, "deep_merge"]
    shallow: Annotated[Tree, "merge"]


class Tree(typing_extensions.TypedDict):
    name: str
    leaf: Leaf


class Leaf(typing_extensions.TypedDict):
    a: int
    b: int


class threading_lock_type:
    pass


@dataclasses.dataclass
class Defaults:
    added: Annotated[int, operator.add] = 10
    zero: Annotated[float, operator.add] = 0.0
    best: Annotated[float, max] = 0.0
    lowest: Annotated[float, min] = math.inf
    highest: Annotated[float, max] = -math.inf
    unset: Annotated[float | None, max] = None
    seen: Annotated[list[str], operator.add] = dataclasses.field(default_factory=lambda: ["start"])
    empty: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)
    tags: Annotated[set[str], operator.or_] = dataclasses.field(default_factory=set)
    notes: Annotated[dict[str, int], operator.or_] = dataclasses.field(default_factory=dict)
    once: Annotated[int, "first"] = 1
    plain: int = 1
    needed: Annotated[int, max] = dataclasses.field(default=0, kw_only=True)


def texts(shape: Shape[Any], **fields: Any) -> dict[str, str]:
    return {name: encode(shape.slot(name).part.take(value)) for name, value in fields.items()}


def round_trip(shape: Shape[T], value: T) -> T:
    return shape.load({name: encode(item) for name, item in shape.dump(value).items()})


def test_fields_of_a_typed_dict_and_what_it_inherits() -> None:
    shape = shape_of(Document)
    assert list(shape.slots) == ["topic", "findings", "notes", "kept"]
    assert shape.slots["findings"].reducer == "append"
    whole = Document(topic="t", findings=["a"], kept=1)
    assert round_trip(shape, whole) == whole
    with pytest.raises(errors.InvalidValue, match="nothing stored for topic, kept$"):
        shape.load(texts(shape, findings=[], notes={}))
    with pytest.raises(errors.InvalidValue, match="kept: .*greater than or equal to 0"):
        shape.load({"topic": '"t"', "findings": "[]", "kept": "-1"})


def test_what_is_not_required_may_be_absent() -> None:
    shape = shape_of(Optionals)
    assert shape.slots["count"].reducer == "add"
    assert shape.load(texts(shape, topic="x")) == {"topic": "x"}
    assert shape.dump({"topic": "x"}) == {"topic": "x"}
    assert shape.dump({"topic": "x", "mark": "m"}) == {"topic": "x", "mark": "m"}


def test_names_that_are_no_identifiers_or_no_segments() -> None:
    shape = shape_of(Odd)
    value = Odd({"my key": 1, "class": "c", "_x": 2, "json": 3, "value": 4, "%": 5})
    assert round_trip(shape, value) == value
    assert [slot.segment for slot in shape.slots.values()] == ["my%20key", "class", "_x", "json", "value", "%25"]


def test_generic_types() -> None:
    box: Shape[Any] = shape_of(Box[int])
    assert box.slots["items"].operand(["1"]) == [1]
    with pytest.raises(errors.InvalidValue):
        box.slots["one"].operand("x")
    boxes: Shape[Any] = shape_of(Boxes[str])
    assert [boxes.slots[name].reducer for name in ("items", "one", "other")] == ["append", "replace", "replace"]
    assert boxes.load({"items": "[1]", "other": '"x"'}) == {"items": [1], "other": "x"}
    with pytest.raises(errors.InvalidValue):
        boxes.slots["items"].operand(["x"])
    assert shape_of(Wide[int]).slots["items"].operand(["1"]) == [1]
    frozen: Shape[Any] = shape_of(Frozen[int])
    assert round_trip(frozen, Frozen(a=1, b=[2])) == Frozen(a=1, b=[2])
    with pytest.raises(errors.InvalidValue):
        frozen.slots["b"].operand(["x"])


def test_configuration_of_a_typed_dict() -> None:
    with pytest.raises(errors.InvalidValue):
        shape_of(Strict).slots["n"].operand("1")
    with pytest.raises(errors.InvalidValue):
        shape_of(Strict).dump({"n": "1"})  # type: ignore[typeddict-item]


def test_bytes_that_are_no_text_take_a_configuration() -> None:
    class Plain(pydantic.BaseModel):
        data: bytes

    class Encoded(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
        data: bytes

    for refused in (
        lambda: shape_of(Plain).dump(Plain(data=b"\xff")),
        lambda: shape_of(Plain).slots["data"].operand(b"\xff"),
    ):
        with pytest.raises(errors.InvalidValue, match="Plain.data: bytes are UTF-8 text.*ser_json_bytes"):
            refused()
    assert round_trip(shape_of(Encoded), Encoded(data=b"\xff")) == Encoded(data=b"\xff")


def test_dataclasses() -> None:
    shape = shape_of(Plain)
    assert list(shape.slots) == ["topic", "findings", "best"]
    loaded = shape.load({"topic": '"t"', "findings": '["a"]'})
    assert loaded == Plain("t", ["a"]) and loaded.length == 1
    grown = shape_of(Grown)
    assert list(grown.slots) == ["a", "b", "final", "c"]
    assert round_trip(grown, Grown(a=1, b=[2])) == Grown(a=1, b=[2])
    with pytest.raises(errors.InvalidValue):
        grown.slots["b"].operand(["x"])
    assert shape_of(Bounded).slots["n"].operand(5) == 5
    with pytest.raises(errors.InvalidValue, match="less than or equal to 5"):
        shape_of(Bounded).slots["n"].operand(6)


def test_dataclasses_of_pydantic() -> None:
    shape = shape_of(Checked)
    assert shape.slots["topic"].operand(" x ") == "x"
    with pytest.raises(errors.InvalidValue, match="Checked.topic: Value error, empty"):
        shape.slots["topic"].operand(" ")
    with pytest.raises(errors.InvalidValue):
        shape.slots["n"].operand(6)
    assert shape.load({"topic": '"x"', "n": "3"}) == Checked("x", N=3)  # type: ignore[call-arg]
    assert shape.dump(Checked("x", N=3)) == {"topic": "x", "n": 3}  # type: ignore[call-arg]


def test_models_keep_names_and_what_the_class_does_with_a_field() -> None:
    shape = shape_of(Model)
    assert list(shape.slots) == ["topic", "at", "inner", "tags"]
    # the validator of the class ran, and its serializer
    assert shape.slots["topic"].operand(" Owls ") == "owls !"
    with pytest.raises(errors.InvalidValue, match=r"Model\.topic: Value error, not that"):
        shape.slots["topic"].operand("bad")
    model = Model(Topic="owls!", at=datetime(2030, 1, 2), inner=Inner(X=1), tags={"t"})
    assert shape.dump(model) == {
        "topic": "owls!", "at": "2030-01-02T00:00:00", "inner": {"x": 1, "y": []}, "tags": ["t"],
    }  # fmt: skip
    assert round_trip(shape, model) == model
    # what another client wrote by aliases is read too
    assert shape.load({"topic": '"a!"', "inner": '{"X": 1}'}).inner == Inner(X=1)
    with pytest.raises(errors.InvalidValue, match="no topic has tags"):
        shape.load({"topic": '"none!"', "tags": '["x"]'})


class Turned(pydantic.BaseModel):
    a: int = pydantic.Field(1, alias="b")
    b: int = pydantic.Field(2, alias="a")


@pydantic.dataclasses.dataclass
class Into:
    x: int = pydantic.Field(default=0, validation_alias=pydantic.AliasPath("deep", "x"))
    deep: dict[str, int] = pydantic.Field(default_factory=dict)


class Around(pydantic.BaseModel):
    turned: list[Turned] = []
    inner: Around | None = None


def test_aliases_that_are_names_of_other_fields() -> None:
    turned = Turned(b=10, a=20)
    assert (turned.a, turned.b) == (10, 20)
    assert shape_of(Turned).dump(turned) == {"a": 10, "b": 20}
    assert round_trip(shape_of(Turned), turned) == turned
    around = Around(inner=Around(turned=[turned]))
    assert round_trip(shape_of(Around), around) == around
    shape = shape_of(Around)
    assert shape.slots["turned"].part.parse('[{"a": 10, "b": 20}]') == [turned]
    assert shape_of(Into).load({"x": "1", "deep": '{"x": 5}'}).x == 1


class Unread(pydantic.BaseModel):
    cells: dict[tuple[int, int], str] = {}
    day: Annotated[datetime | None, pydantic.PlainSerializer(lambda at: at and at.strftime("%d.%m.%Y"))] = None


def test_nothing_is_merged_that_could_not_be_loaded() -> None:
    slots = shape_of(Unread).slots
    with pytest.raises(errors.InvalidValue, match=r"Unread\.cells: its JSON is not read back as one .*agree"):
        slots["cells"].operand({(1, 2): "x"})
    assert slots["cells"].operand({}) == {}
    with pytest.raises(errors.InvalidValue, match=r"Unread\.day: its JSON is not read back"):
        slots["day"].operand(datetime(2030, 1, 2))


class Tone(enum.StrEnum):
    low = "l"


class Level(enum.IntEnum):
    one = 1


_PLAIN: list[Any] = [
    *[int, float, bool, str, None, int | None, list[int], list[float | None], set[str], frozenset[int], set[float]],
    *[dict[str, int], dict[str, list[float]], list[dict[str, bool]], list[str] | None, Annotated[int, "of many"]],
    Annotated[str, pydantic.Field(max_length=1)],
    Annotated[float, pydantic.Field(ge=1)],
    Annotated[list[str], pydantic.Field(min_length=1)],
]
_OTHER: list[Any] = [
    *[Any, bytes, datetime, dict[int, str], int | str, tuple[int, ...], typing.Literal["a"], Unread, Tone],
    Annotated[int, pydantic.AfterValidator(str)],
    Annotated[int, pydantic.PlainSerializer(hex)],
    Annotated[str, pydantic.StringConstraints(to_upper=True, max_length=1)],
    Annotated[dict[Annotated[str, pydantic.StringConstraints(strip_whitespace=True)], int], "merge"],
]
_GIVEN: list[Any] = [
    *[None, True, 0, -1, 1.5, 2**63, 10**4299, 10**4301, math.inf, math.nan, 1e308, 5e-324, -0.0, Decimal("1.5")],
    *["", "a", "1", "ß", "\ud800", "\0", b"a", b"\xff", Tone.low, Level.one, datetime(2030, 1, 2), object(), 1j],
]


_KNOWN = {"word": pydantic.SecretStr("word")}


class Credentials(pydantic.BaseModel):
    password: pydantic.SecretStr = pydantic.SecretStr("")
    pins: dict[str, pydantic.Secret[int]] = pydantic.Field(default_factory=dict)
    told: Annotated[pydantic.SecretStr, pydantic.PlainSerializer(lambda secret: secret.get_secret_value())]
    known: Annotated[pydantic.SecretStr, pydantic.AfterValidator(lambda secret: _KNOWN[secret.get_secret_value()])] = (
        pydantic.SecretStr("")
    )


def test_secrets_are_not_replaced_by_asterisks() -> None:
    shape = shape_of(Credentials)
    assert shape.slot("told").operand("word") == "word"
    assert shape.slot("password").operand("") == ""
    for name, value in (("password", "word"), ("pins", {"a": 1}), ("known", "word")):
        with pytest.raises(errors.InvalidValue, match=f"{name}: Pydantic dumps a secret as asterisks"):
            shape.slot(name).operand(value)
        with pytest.raises(errors.InvalidValue, match=f"{name}: Pydantic dumps a secret as asterisks"):
            shape.dump(Credentials(told="x", **{name: value}))  # type: ignore[arg-type]


@dataclasses.dataclass(slots=True)
class Slotted:
    secret: pydantic.SecretStr


class Account(pydantic.BaseModel):
    token: pydantic.SecretStr | None = None
    seen: Any = None


class Accounts(pydantic.BaseModel):
    first: Account


def test_without_a_secret_nothing_is_lost() -> None:
    """A tuple comes back as a list."""
    slot = shape_of(Accounts).slot("first")
    assert slot.operand(Account(seen=(1, 2))) == {"token": None, "seen": [1, 2]}
    with pytest.raises(errors.InvalidValue, match="first: Pydantic dumps a secret as asterisks"):
        slot.operand(Account(token=pydantic.SecretStr("word"), seen=(1, 2)))
    with pytest.raises(errors.InvalidValue, match="first: Pydantic dumps a secret as asterisks"):
        slot.operand(Account(seen=Slotted(pydantic.SecretStr("word"))))


class Fragile(pydantic.BaseModel):
    person: dict[str, Any]

    @pydantic.field_validator("person")
    @classmethod
    def _named(cls, person: dict[str, Any]) -> dict[str, Any]:
        return {**person, "name": person["name"].strip()}


@pytest.mark.parametrize(("person", "said"), [({}, "KeyError: 'name'"), ({"name": 5}, "AttributeError: ")])
def test_validators_that_fail_at_what_they_were_not_written_for(person: Any, said: str) -> None:
    """Pydantic lets other errors than ValueError through."""
    shape = shape_of(Fragile)
    text = json.dumps(person)
    for call in (
        lambda: shape.slot("person").operand(person),
        lambda: shape.slot("person").part.parse(text),
        lambda: shape.load({"person": text}),
        lambda: shape.dump({"person": person}),  # type: ignore[arg-type]
    ):
        with pytest.raises(errors.InvalidValue, match=said) as caught:
            call()
        assert not isinstance(caught.value.__cause__, pydantic.ValidationError)


def test_what_json_has_itself_is_taken_as_everything_else() -> None:
    """The short way, which reads nothing back, and the long one come to the same."""

    def tried(part: Any, value: Any) -> str:
        try:
            return encode(part.take(value))
        except errors.InvalidValue:
            return "refused"

    for type_ in _PLAIN:
        short = shape_of(pydantic.create_model("One", value=(type_, ...))).slots["value"].part
        assert short._is_plain, type_
        long = copy.copy(short)
        long._is_plain = False
        for one in _GIVEN:
            for value in (one, [one], (one, one), {"k": one}, {"k": [one]}, *([{one}, {one: 1}] if one != 1j else [])):
                assert tried(short, value) == tried(long, value), (type_, value)
    for type_ in _OTHER:
        assert not shape_of(pydantic.create_model("One", value=(type_, ...))).slots["value"].part._is_plain, type_
    folded = pydantic.create_model("One", __config__={"str_to_upper": True}, value=(str, ...))
    assert not shape_of(folded).slots["value"].part._is_plain


class Best(pydantic.BaseModel):
    default: float = -math.inf


class Bests(pydantic.BaseModel):
    best: Annotated[float, max] = -math.inf
    inner: Best = Best()
    some: list[Best] = [Best()]


def test_defaults_that_are_no_json_do_not_keep_a_schema_from_being_one() -> None:
    rules = shape_of(Bests).rules()
    assert rules["best"] == ("max", {"type": "number"})
    assert rules["inner"][1]["$defs"]["Best"]["properties"]["default"] == {"title": "Default", "type": "number"}
    assert all(encode(schema) for _, schema in rules.values())


def test_nothing_is_dumped_that_could_not_be_loaded() -> None:
    changed = Model(Topic="owls!")
    changed.topic = 5  # type: ignore[assignment]
    with pytest.raises(errors.InvalidValue):
        shape_of(Model).dump(changed)
    changed.topic = "none!"
    changed.tags.add("x")
    with pytest.raises(errors.InvalidValue, match="no topic has tags"):
        shape_of(Model).dump(changed)
    with pytest.raises(errors.InvalidValue):
        shape_of(Plain).dump(Plain(5))  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidValue):
        shape_of(Bounded).dump(Bounded(6))
    with pytest.raises(errors.InvalidValue):
        shape_of(Plain).dump(Plain("t", best=math.nan))
    for other in (Model(Topic="x"), 5, None, {"topic": 5}):
        with pytest.raises(errors.InvalidValue, match="Plain"):
            shape_of(Plain).dump(other)  # type: ignore[arg-type]
    assert shape_of(Plain).dump({"topic": "x"})["best"] == 1.5  # type: ignore[arg-type]


def test_fields_that_are_not_there_are_refused_by_name() -> None:
    with pytest.raises(errors.InvalidArgument, match="Loose has no field 'b', it has a;"):
        shape_of(Loose).dump(Loose(a=1, b=2))  # type: ignore[call-arg]
    with pytest.raises(errors.InvalidArgument, match="no field 'other'"):
        shape_of(Optionals).dump({"topic": "x", "other": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(errors.InvalidArgument, match="no field 'x'"):
        shape_of(Loose).slot("x")


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (dict, "a TypedDict, a dataclass or a Pydantic model"),
        (dict[str, int], "a TypedDict, a dataclass or a Pydantic model"),
        ("Plain", "a TypedDict, a dataclass or a Pydantic model"),
        ([], "a TypedDict, a dataclass or a Pydantic model"),
        (Plain("x"), "a TypedDict, a dataclass or a Pydantic model"),
        (Numbers, "a TypedDict, a dataclass or a Pydantic model"),
        (Nothing, "no fields"),
        (Lost, r"Lost\.a is excluded"),
        (Unfinished, "not fully defined"),
        (Unresolved, "cannot be evaluated"),
        (Initial, r"Initial\.n is an InitVar"),
        (Arbitrary, r"Arbitrary\.a"),
        (typing_extensions.TypedDict("Empty", {"": int}), "cannot be a key"),
        (typing_extensions.TypedDict("Old", {"old": typing.TypedDict("Inside", {"a": int})}), "Old.old|fields"),
    ],
)
def test_types_that_cannot_be_kept(type_: Any, text: str) -> None:
    if "Old" in repr(type_) and sys.version_info >= (3, 12):
        pytest.skip("Pydantic takes it")
    with pytest.raises(errors.InvalidArgument, match=text):
        shape_of(type_)


def test_one_element_is_as_good_as_a_list_of_it() -> None:
    slots = shape_of(Plain).slots
    assert (
        slots["findings"].operand("x") == ["x"] == slots["findings"].operand(["x"]) == slots["findings"].operand(("x",))
    )
    for bad in (5, [5], {"a": 1}, None):
        with pytest.raises(errors.InvalidValue, match=r"Plain\.findings"):
            slots["findings"].operand(bad)
    assert shape_of(Model).slots["tags"].operand("x") == ["x"] == shape_of(Model).slots["tags"].operand({"x"})
    with pytest.raises(errors.InvalidValue, match="None cannot be merged by max"):
        shape_of(Defaults).slots["unset"].operand(None)
    assert shape_of(Defaults).slots["plain"].operand("3") == 3


def test_messages_are_not_removed_by_a_message() -> None:
    class RemoveMessage(pydantic.BaseModel):
        id: str

    cls = dataclasses.make_dataclass("Made", [("log", Annotated[list, "messages"])])
    operand = shape_of(cls).slots["log"].operand
    assert operand(Inner(X=1)) == [{"x": 1, "y": []}]
    for bad in (RemoveMessage(id="1"), [{"id": "2"}, RemoveMessage(id="1")]):
        with pytest.raises(errors.InvalidValue, match="RemoveMessage has no counterpart"):
            operand(bad)


def test_a_nested_document_may_be_given_in_part() -> None:
    deep, shallow = (shape_of(Nested).slots[name].operand for name in ("deep", "shallow"))
    leaf = {"a": 1, "b": 2}
    assert deep({"leaf": {"a": "1"}}) == {"leaf": {"a": 1}}
    assert shallow({"leaf": leaf}) == {"leaf": leaf}
    with pytest.raises(errors.InvalidValue):
        shallow({"leaf": {"a": 1}})
    for bad in ({"leaf": {"a": "x"}}, {"leaf": 5}, {"nme": "x"}, {"leaf": {"c": 1}}, 5):
        with pytest.raises(errors.InvalidValue):
            deep(bad)
    inner = shape_of(Model).slots["inner"].operand
    assert inner({"y": [1]}) == {"y": [1]}
    assert inner(Inner(X=1)) == {"x": 1, "y": []}


def test_what_a_missing_field_starts_from() -> None:
    seeds = {name: slot.seed() for name, slot in shape_of(Defaults).slots.items()}
    assert {name: seed for name, seed in seeds.items() if seed is not UNSET} == {
        "added": 10, "best": 0.0, "seen": ["start"], "needed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("text", ['{"a"', "1e999", '"\\ud800"', "[" * 300 + "]" * 300])
def test_stored_values_that_do_not_fit(text: str) -> None:
    with pytest.raises(errors.InvalidValue):
        shape_of(Plain).load({"topic": text})
    with pytest.raises(errors.InvalidValue, match=r"Plain\.topic"):
        shape_of(Plain).slots["topic"].part.parse(text)


async def test_functions() -> None:
    async def later(left: int, right: int) -> int:
        return left * right

    cls = dataclasses.make_dataclass(
        "Made", [("a", Annotated[int, later]), ("b", Annotated[str, "".join, lambda old, new: old + new], "-")]
    )
    slots = shape_of(cls, functions=True).slots
    assert await slots["a"].merged(None, 3) == 3
    assert await slots["a"].merged("2", 3) == 6
    assert await slots["b"].merged(None, "x") == "-x"
    assert slots["b"].seed() is UNSET
    with pytest.raises(errors.InvalidValue):
        await slots["a"].merged('"x"', 3)
    with pytest.raises(errors.InvalidValue):
        await slots["a"].merged(None, "x")


def test_rules_for_policies() -> None:
    rules = shape_of(Document).rules()
    assert rules["findings"] == ("append", {"items": {"type": "string"}, "type": "array"})
    assert rules["kept"] == ("replace", {"minimum": 0, "type": "integer"})
    reducer, schema = shape_of(Model).rules()["inner"]
    assert reducer == "merge"
    assert schema["$defs"]["Inner"]["properties"].keys() == {"x", "y"}
    assert {option.get("$ref", option.get("type")) for option in schema["anyOf"]} == {"#/$defs/Inner", "null"}
    average: Callable[[int, int], int] = lambda a, b: (a + b) // 2  # noqa: E731
    made = dataclasses.make_dataclass("Made", [("a", Annotated[int, average])])
    assert shape_of(made, functions=True).rules() == {"a": ("replace", {"type": "integer"})}


def test_a_shape_is_made_once() -> None:
    assert shape_of(Plain) is shape_of(Plain)
    assert shape_of(Plain) is not shape_of(Plain, functions=True)


@dataclasses.dataclass
class Held(Generic[T]):
    held: T


@dataclasses.dataclass
class Lists(Held[list[U]], Generic[U]):
    first: U


@dataclasses.dataclass
class Numbers(Lists[int]):
    pass


def test_type_variables_through_several_bases() -> None:
    slot = shape_of(Numbers).slots["held"]
    assert slot.operand([1]) == [1]
    with pytest.raises(errors.InvalidValue, match="valid integer"):
        slot.operand(["a"])


@pydantic.dataclasses.dataclass
class Made:
    title: str
    length: int = dataclasses.field(init=False, default=7)


def test_what_a_pydantic_dataclass_makes_itself_is_not_stored() -> None:
    shape = shape_of(Made)
    assert list(shape.slots) == ["title"] and shape.dump(Made("a")) == {"title": "a"}
    assert shape.load({"title": '"a"'}).length == 7
