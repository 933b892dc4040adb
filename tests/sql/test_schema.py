"""JSON Schema in the database: the verdict of the reference implementation, what is refused at definition, and the bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from _cases import first_of
from conftest import Database

pytestmark = pytest.mark.one_database

# The same examples every time, so that a run fails for a reason in the change that it tests.
STEADY = settings(
    derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


class Checker:
    """The two functions, called by a superuser: nobody else may call what is internal."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def _ask(self, sql: str, *values: Any) -> str | None:
        row = self._connection.execute(sql, [json.dumps(value) for value in values]).fetchone()
        assert row is not None
        said: str | None = row[0]
        return said

    def error(self, schema: Any, value: Any) -> str | None:
        return self._ask("select pgstate._schema_error(%s, %s)", schema, value)

    def unsupported(self, schema: Any) -> str | None:
        return self._ask("select pgstate._schema_unsupported(%s)", schema)


@pytest.fixture
def checker(database: Database, superuser_dsn: str) -> Iterator[Checker]:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        yield Checker(connection)


NAMES = st.sampled_from(["a", "b", "c/d", "e~f", ""])
SMALL = st.integers(0, 3)
# exact in binary, so that both sides divide alike
NUMBERS = st.one_of(st.integers(-4, 4), st.integers(-8, 8).map(lambda n: n / 2), st.just(1e30))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text("aé€𝄞", max_size=3))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
REFS = st.sampled_from(["#/$defs/one", "#/$defs/two~1x", "#/definitions/three"])


def _keywords(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    some = st.lists(inner, min_size=1, max_size=3)
    return {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, max_size=3), "const": VALUES,
        "minimum": NUMBERS, "maximum": NUMBERS, "exclusiveMinimum": NUMBERS, "exclusiveMaximum": NUMBERS,
        # 1e30 is a multiple of each: of 1.5 it is none, which the reference cannot tell in floats
        "multipleOf": st.sampled_from([1, 2, 0.5, 2.5]),
        "minLength": SMALL, "maxLength": SMALL, "minItems": SMALL, "maxItems": SMALL, "uniqueItems": st.booleans(),
        "minProperties": SMALL, "maxProperties": SMALL, "required": st.lists(NAMES, max_size=2),
        "properties": st.dictionaries(NAMES, inner, max_size=3), "additionalProperties": inner, "propertyNames": inner,
        "items": inner, "prefixItems": some, "anyOf": some, "allOf": some, "oneOf": some, "not": inner,
        "title": st.just("x"), "format": st.just("date"),
    }  # fmt: skip


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keywords = _keywords(inner)
    # few at a time, or hardly any value would fit
    words = st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=4, unique=True)
    return words.flatmap(lambda chosen: st.fixed_dictionaries({word: keywords[word] for word in chosen}))


SCHEMAS = st.recursive(st.booleans() | REFS.map(lambda ref: {"$ref": ref}), _schemas, max_leaves=6)
DEFINITIONS = st.recursive(st.booleans(), _schemas, max_leaves=3)


@pytest.mark.parametrize("examples", first_of([100, 400]))
def test_the_verdict_is_that_of_the_reference_implementation(checker: Checker, examples: int) -> None:
    verdicts = {True: 0, False: 0}

    @settings(STEADY, max_examples=examples)
    @given(SCHEMAS, DEFINITIONS, DEFINITIONS, DEFINITIONS, st.lists(VALUES, min_size=1, max_size=6))
    def agree(schema: Any, one: Any, two: Any, three: Any, values: list[Any]) -> None:
        if isinstance(schema, dict):
            schema = {**schema, "$defs": {"one": one, "two/x": two}, "definitions": {"three": three}}
        assert checker.unsupported(schema) is None
        validator = Draft202012Validator(schema)
        for value in values:
            error = checker.error(schema, value)
            assert (error is None) == validator.is_valid(value), (schema, value, error)
            verdicts[error is None] += 1

    agree()
    assert min(verdicts.values()) > examples * 3 // 4, verdicts


class Kind(Enum):
    BIRD = "bird"
    BAT = "bat"


class Place(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=20)]
    at: tuple[float, float]
    depth: Annotated[int, Field(ge=0, lt=100, multiple_of=5)] = 0


class Note(BaseModel):
    kind: Literal["note"]
    text: str
    replies: list[Note] = []


class Count(BaseModel):
    kind: Literal["count"]
    number: int | float
    seen: date | None = None


class Finding(BaseModel):
    """What an agent found."""

    id: UUID
    title: str = Field(description="in a few words", examples=["owls"])
    kinds: set[Kind] = set()
    place: Place | None = None
    body: Annotated[Note | Count, Field(discriminator="kind")]
    scores: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    by_kind: dict[Kind, int] = {}
    at: datetime | None = None
    raw: Any = None


GOOD: dict[str, Any] = {
    "id": "6f1c2f8e-0000-4000-8000-000000000000", "title": "owls", "kinds": ["bird"],
    "place": {"name": "barn", "at": [1, 2.5], "depth": 15},
    "body": {"kind": "note", "text": "x", "replies": [{"kind": "note", "text": "y", "replies": []}]},
    "scores": {"a": 0.5}, "by_kind": {"bat": 2}, "at": None, "raw": [1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, None),
        ({"place": None, "raw": {"x": None}}, None),
        ({"body": {"kind": "count", "number": 3, "seen": None}}, None),
        ({"title": 1}, '/title: violates type "string"'),
        ({"kinds": ["bird", "bird"]}, "/kinds: violates uniqueItems true"),
        ({"kinds": ["fish"]}, '/kinds/0: violates enum ["bird", "bat"]'),
        ({"place": {"name": "barn", "at": [1, 2], "secret": 1}}, "/place: fits none of anyOf"),
        ({"place": {"name": "", "at": [1, 2]}}, "/place: fits none of anyOf"),
        ({"body": {"kind": "note", "text": "x", "replies": [{"kind": "note"}]}}, "/body: fits none of oneOf"),
        ({"body": {"kind": "poem", "text": "x"}}, "/body: fits none of oneOf"),
        ({"scores": {"s3cr3t": 2}}, "/scores/*: violates maximum 1"),
        ({"by_kind": {"s3cr3t": 2}}, '/by_kind/*: violates enum ["bird", "bat"]'),
    ],
)
def test_what_pydantic_emits_for_a_model(checker: Checker, change: dict[str, Any], error: str | None) -> None:
    schema = Finding.model_json_schema()
    assert checker.unsupported(schema) is None
    value = {**GOOD, **change}
    assert checker.error(schema, value) == error
    assert Draft202012Validator(schema).is_valid(value) == (error is None)
    del value["id"]
    assert checker.error(schema, value) == 'the value: "id" is required'


@pytest.mark.parametrize("shape", [int, list[str], dict[str, list[int]], Note, tuple[int, ...], Literal["a", 1, None]])
def test_what_pydantic_emits_for_a_type(checker: Checker, shape: Any) -> None:
    schema = TypeAdapter(shape).json_schema()
    assert checker.unsupported(schema) is None
    for value in (1, "a", None, [1], ["x"], {"a": [1]}, {"kind": "note", "text": "x"}, {"a": ["x"]}, [[]]):
        assert (checker.error(schema, value) is None) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"pattern": "^x"}}}, '#/properties/a: the keyword "pattern" is not supported'),
        ({"patternProperties": {}}, '#: the keyword "patternProperties" is not supported'),
        ({"anyOf": [True, {"if": True}]}, '#/anyOf/1: the keyword "if" is not supported'),
        ({"minimun": 1}, '#: the keyword "minimun" is not supported'),
        ({"$defs": {"x": {"contains": True}}}, '#/$defs/x: the keyword "contains" is not supported'),
        ({"items": {"$id": "x"}}, "#/items: $id is supported at the top only"),
        ({"$ref": "#/$defs/none"}, "#/$ref: only # and what stands under $defs at the top, such as #/$defs/Name"),
        ({"$ref": "https://example.org/x"}, "#/$ref: only # and what stands under $defs at the top, such as #/$defs/Name"),
        ({"$ref": 1}, "#/$ref: only # and what stands under $defs at the top, such as #/$defs/Name"),
        ({"$ref": "#"}, "#: its $ref leads back to itself"),
        ({"$defs": {"a/b": {"anyOf": [{"$ref": "#/$defs/c"}]}, "c": {"not": {"$ref": "#/$defs/a~1b"}}}}, "#/$defs/a~1b: its $ref leads back to itself"),
        ({"type": "text"}, "#/type: one or several of object, array, string, number, integer, boolean, null"),
        ({"type": []}, "#/type: one or several of object, array, string, number, integer, boolean, null"),
        ({"type": [1]}, "#/type: one or several of object, array, string, number, integer, boolean, null"),
        ({"enum": 1}, "#/enum: a list of values"),
        ({"minItems": -1}, "#/minItems: a number of them, 0 or more"),
        ({"maxLength": 1.5}, "#/maxLength: a number of them, 0 or more"),
        ({"maxLength": "1"}, "#/maxLength: a number of them, 0 or more"),
        ({"exclusiveMinimum": True}, "#/exclusiveMinimum: a number"),
        ({"multipleOf": 0}, "#/multipleOf: a number over 0"),
        ({"uniqueItems": 1}, "#/uniqueItems: true or false"),
        ({"required": "a"}, "#/required: a list of names"),
        ({"required": [1]}, "#/required: a list of names"),
        ({"items": [True]}, "#/items: one schema for all items; one for each place is prefixItems"),
        ({"items": 1}, "#/items: a schema is an object, true or false"),
        ({"properties": []}, "#/properties: schemas by name"),
        ({"anyOf": []}, "#/anyOf: a list of one or more schemas"),
        ({"prefixItems": True}, "#/prefixItems: a list of one or more schemas"),
        ("object", "#: a schema is an object, true or false"),
        (None, "#: a schema is an object, true or false"),
        ({"enum": list(range(20000))}, "a schema takes 64 KiB at most"),
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_is_refused_by_name_and_path(checker: Checker, schema: Any, said: str) -> None:
    assert checker.unsupported(schema) == said


def test_annotations_say_nothing_about_values(checker: Checker) -> None:
    words = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format", "discriminator",
             "contentEncoding", "contentMediaType", "contentSchema", "$comment", "$schema", "$id")  # fmt: skip
    schema = dict.fromkeys(words, "x")
    assert checker.unsupported(schema) is None
    assert checker.error(schema, {"a": 1}) is None


def test_depth_is_bounded(checker: Checker) -> None:
    deep: Any = True
    for _ in range(42):
        deep = {"not": deep}
    assert str(checker.unsupported(deep)).endswith(": nested deeper than 40 levels")
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    assert checker.unsupported(tree) is None
    value: Any = []
    for _ in range(48):
        value = [value]
    assert checker.error(tree, value) is None
    for _ in range(500):
        value = [value]
    assert checker.error(tree, value) == "/0" * 50 + ": nested too deeply for its schema"
    # given up is given up: not() must not turn it into a yes
    turned = {"not": {"$ref": "#/$defs/t"}, "$defs": tree["$defs"]}
    assert str(checker.error(turned, value)).endswith(": nested too deeply for its schema")


@pytest.mark.thorough
def test_steps_are_bounded(checker: Checker) -> None:
    # each level asks twice for the next
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(30)}
    bomb = {"$ref": "#/$defs/l0", "$defs": {**levels, "l30": True}}
    assert checker.unsupported(bomb) is None
    for schema in (
        bomb,
        {"not": {"$ref": "#/$defs/l0"}, "$defs": bomb["$defs"]},
        {"anyOf": [bomb, True], "$defs": bomb["$defs"]},
    ):
        assert checker.error(schema, 1) == "the value: too much to check"
    # what is compared counts too
    many = {"items": {"enum": [[n] for n in range(5000)]}}
    assert checker.error(many, [[4999]] * 2000) == "/990: too much to check"
    assert checker.error({"items": {"type": "integer"}}, list(range(90000))) is None
    assert checker.error({"items": {"type": "integer"}}, list(range(110000))) == "/99999: too much to check"


def test_numbers_beyond_floats(checker: Checker) -> None:
    row = "select pgstate._schema_error(%s::jsonb, %s::jsonb)"
    ask = checker._connection.execute
    assert ask(row, ['{"multipleOf": 2}', "1e131000"]).fetchone() == ("the value: violates multipleOf 2",)
    assert ask(row, ['{"type": "integer", "minimum": 1}', "1e131000"]).fetchone() == (None,)
    assert ask(row, ['{"type": "integer"}', "1.0"]).fetchone() == (None,)
    assert ask(row, ['{"const": 1}', "1.00"]).fetchone() == (None,)
    assert checker.unsupported({"type": "number"}) is None
    assert ask("select pgstate._schema_unsupported('{\"minimum\": 1e500}')").fetchone() == ("#/minimum: a number",)


def test_nothing_to_check(checker: Checker) -> None:
    assert checker._connection.execute("select pgstate._schema_error(null, '1')").fetchone() == (None,)
    assert checker._connection.execute("select pgstate._schema_unsupported(null)").fetchone() == ("no schema",)
    assert checker.error(True, 1) is None
    assert checker.error(False, 1) == "the value: nothing is allowed here"
