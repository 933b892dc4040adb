"""Which reducer an annotation stands for, and which annotations are refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import operator
import re
import sys
import uuid
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Annotated, Any, Literal, NewType, Optional, TypeVar

import annotated_types
import pydantic
import pytest
import typing_extensions

from pgstate import errors, reducers
from pgstate._shapes.shape import shape_of


class Word(enum.Enum):
    A = "a"


class Text(str, enum.Enum):  # noqa: UP042  StrEnum has tests of its own
    A = "a"


class Level(enum.IntEnum):
    LOW = 1


class Inner(pydantic.BaseModel):
    a: int = 0


class Doc(typing_extensions.TypedDict, total=False):
    a: int


class Vector(list[float]):
    """Adds otherwise than lists do."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return handler(list[float])


class Marker:
    """A class in Annotated says something to somebody else."""


class Counting:
    def __call__(self, left: int, right: int) -> int:
        return left + right + 1


def average(left: float, right: float) -> float:
    return (left + right) / 2


def check(value: Any) -> Any:
    return value


def add_messages(left: Any = None, right: Any = None, **kwargs: Any) -> Any:
    raise AssertionError


def langgraph(name: str) -> Any:
    def wrapper(left: Any = None, right: Any = None, **kwargs: Any) -> Any:
        raise AssertionError

    wrapper.__module__, wrapper.__name__ = "langgraph.graph.message", name
    return wrapper


Number = NewType("Number", int)
Strings = typing_extensions.TypeAliasType("Strings", Annotated[list[str], operator.add])
T = TypeVar("T")
Many = typing_extensions.TypeAliasType("Many", Annotated[list[T], operator.add], type_params=(T,))

FOUND: list[tuple[Any, str]] = [
    (int, "replace"),
    (list[str], "replace"),
    (Annotated[list[str], operator.add], "append"),
    (Annotated[list, operator.add], "append"),
    (Annotated[Sequence[str], operator.iadd], "append"),
    (Annotated[MutableSequence[str], operator.concat], "append"),
    (Annotated[tuple[int, ...], operator.add], "append"),
    (Annotated[tuple, operator.iconcat], "append"),
    (Annotated[collections.deque[int], operator.add], "append"),
    (Annotated[list[str], operator.add] | None, "append"),
    (Annotated[Optional[list[str]], operator.add], "append"),  # noqa: UP045
    (Strings, "append"),
    (Annotated[Strings, "about them"], "append"),
    (Annotated[str, "message"], "replace"),
    (Many[int], "append"),
    (Annotated[int, operator.add], "add"),
    (Annotated[float, operator.add], "add"),
    (Annotated[int | float, operator.iadd], "add"),
    (Annotated[pydantic.PositiveInt, operator.add], "add"),
    (Annotated[Number, operator.add], "add"),
    (Annotated[Literal[1, 2], operator.add], "add"),
    (Annotated[int, max], "max"),
    (Annotated[float, min], "min"),
    (Annotated[str, max], "max"),
    (Annotated[Literal["a", "b", None], max], "max"),
    (Annotated[datetime.date, min], "min"),
    (Annotated[Text, max], "max"),
    (Annotated[Level, max], "max"),
    (Annotated[set[str], operator.or_], "union"),
    (Annotated[frozenset[str], operator.ior], "union"),
    (Annotated[set[str], set.union], "union"),
    (Annotated[frozenset[str], frozenset.union], "union"),
    (Annotated[dict[str, int], operator.or_], "merge"),
    (Annotated[dict, operator.or_], "merge"),
    (Annotated[Mapping[str, int], operator.ior], "merge"),
    (Annotated[collections.defaultdict[str, int], operator.or_], "merge"),
    (Annotated[Doc, operator.or_], "merge"),
    (Annotated[dict[str, Any], "deep_merge"], "deep_merge"),
    (Annotated[Inner, "merge"], "merge"),
    (Annotated[Any, "append"], "append"),
    (Annotated[Vector, "append"], "append"),
    (Annotated[int, "first"], "first"),
    (Annotated[list[str], "union"], "union"),
    (Annotated[list[str], reducers.append], "append"),
    (Annotated[dict[str, Any], reducers.deep_merge], "deep_merge"),
    (Annotated[list[dict[str, Any]], reducers.messages], "messages"),
    (Annotated[Any, reducers.replace], "replace"),
    (Annotated[list[str], operator.add, "append", reducers.append], "append"),
    (Annotated[list, langgraph("add_messages")], "messages"),
    (Annotated[list[dict[str, Any]], langgraph("_add_messages")], "messages"),
    # what is no reducer
    (Annotated[int, "The number of steps."], "replace"),
    (Annotated[int, "steps", 3, None, ("append",)], "replace"),
    (Annotated[int, pydantic.Field(gt=0, description="add")], "replace"),
    (Annotated[int, annotated_types.Gt(0), annotated_types.Predicate(bool)], "replace"),
    (Annotated[str, pydantic.AfterValidator(check), pydantic.PlainSerializer(check)], "replace"),
    (Annotated[int, Marker, Marker()], "replace"),
    (Annotated[str, typing_extensions.Doc("append")], "replace"),
    (Annotated[Any, pydantic.SkipValidation], "replace"),
    (Annotated[int, check], "replace"),
    (Annotated[str, str.islower], "replace"),
    (list[Annotated[int, operator.add]], "replace"),
    (Annotated[list[str], operator.add] | Annotated[int, max], "replace"),
]

REFUSED: list[tuple[Any, type[errors.PgStateError], str]] = [
    (Annotated[float, average], errors.UnknownReducer, "average"),
    (Annotated[float, lambda a, b: a], errors.UnknownReducer, "lambda"),
    (Annotated[int, Counting()], errors.UnknownReducer, "Counting"),
    (Annotated[int, functools.partial(average)], errors.UnknownReducer, "partial"),
    (Annotated[int, operator.sub], errors.UnknownReducer, "sub"),
    (Annotated[str, operator.add], errors.UnknownReducer, "add"),
    (Annotated[set[str], operator.add], errors.UnknownReducer, "add"),
    (Annotated[collections.Counter[str], operator.add], errors.UnknownReducer, "add"),
    (Annotated[collections.Counter[str], operator.or_], errors.UnknownReducer, "or_"),
    (Annotated[bool, operator.add], errors.UnknownReducer, "add"),
    (Annotated[bool, operator.or_], errors.UnknownReducer, "or_"),
    (Annotated[bool, max], errors.UnknownReducer, "max"),
    (Annotated[int, operator.or_], errors.UnknownReducer, "or_"),
    (Annotated[list[str], operator.or_], errors.UnknownReducer, "or_"),
    (Annotated[list[str], max], errors.UnknownReducer, "max"),
    (Annotated[Any, operator.add], errors.UnknownReducer, "add"),
    (Annotated[Vector, operator.add], errors.UnknownReducer, "add"),
    (Annotated[tuple[int, int], operator.add], errors.UnknownReducer, "add"),
    (Annotated[int | str, max], errors.UnknownReducer, "max"),
    (Annotated[Literal[1, "a"], max], errors.UnknownReducer, "max"),
    (Annotated[list[str] | int, operator.add], errors.UnknownReducer, "add"),
    # JSON has them as text
    (Annotated[decimal.Decimal, operator.add], errors.UnknownReducer, "add"),
    (Annotated[decimal.Decimal, max], errors.UnknownReducer, "max"),
    (Annotated[datetime.datetime, max], errors.UnknownReducer, "max"),
    (Annotated[datetime.timedelta, operator.add], errors.UnknownReducer, "add"),
    (Annotated[uuid.UUID, min], errors.UnknownReducer, "min"),
    (Annotated[Word, max], errors.UnknownReducer, "max"),
    (Annotated[Inner, operator.or_], errors.UnknownReducer, "or_"),
    (Annotated[dict[str, Any], langgraph("add_messages")], errors.UnknownReducer, "with dict[str, typing.Any]:"),
    (Annotated[list[Any], functools.partial(langgraph("add_messages"), format="x")], errors.UnknownReducer, "partial"),
    # of that name, but not LangGraph's
    (Annotated[list[Any], add_messages], errors.UnknownReducer, "add_messages"),
    (Annotated[int, operator.add, "max"], errors.UnknownReducer, "two reducers"),
    (Annotated[dict[str, Any], "deepmerge"], errors.UnknownReducer, "did you mean 'deep_merge'"),
    (Annotated[list[str], "Append"], errors.UnknownReducer, "did you mean 'append'"),
    (Annotated[list[str], "apend"], errors.UnknownReducer, "did you mean 'append'"),
    (Annotated[Any, "message"], errors.UnknownReducer, "did you mean 'messages'"),
    (Annotated[int, reducers.append], errors.ReducerMismatch, "append"),
    (Annotated[set[str], "append"], errors.ReducerMismatch, "append"),
    (Annotated[str, "add"], errors.ReducerMismatch, "add"),
    (Annotated[decimal.Decimal, "add"], errors.ReducerMismatch, "add"),
    (Annotated[list[str], "merge"], errors.ReducerMismatch, "merge"),
    (Annotated[dict[str, int], reducers.union], errors.ReducerMismatch, "union"),
    (Annotated[str | int, reducers.max], errors.ReducerMismatch, "max"),
]


def state_of(annotation: Any) -> Any:
    return dataclasses.make_dataclass("Research", [("topic", annotation)])


def _name(value: object) -> str:
    """Without addresses: names must be the same in every process that shares the tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.mark.parametrize(("annotation", "reducer"), FOUND, ids=_name)
def test_an_annotation_names_its_reducer(annotation: Any, reducer: str) -> None:
    assert shape_of(state_of(annotation)).slots["topic"].reducer == reducer


@pytest.mark.parametrize(("annotation", "error", "text"), REFUSED, ids=_name)
def test_an_annotation_without_counterpart_is_refused_by_field_name(
    annotation: Any, error: type[errors.PgStateError], text: str
) -> None:
    with pytest.raises(error) as caught:
        shape_of(state_of(annotation))
    assert "Research.topic" in str(caught.value) and text in str(caught.value)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is of Python 3.12")
def test_aliases_of_the_language() -> None:
    scope = dict(globals())
    exec("type Lines = Annotated[list[str], operator.add]\ntype All[K] = Annotated[set[K], operator.or_] | None", scope)
    assert shape_of(state_of(scope["Lines"])).slots["topic"].reducer == "append"
    assert shape_of(state_of(scope["All"][int])).slots["topic"].reducer == "union"


def test_functions_are_kept_where_they_are_wanted() -> None:
    shape = shape_of(state_of(Annotated[float, average]), functions=True)
    slot = shape.slots["topic"]
    assert (slot.reducer, slot.function) == ("cas", average)
    # one that has a counterpart is still merged in the database, and a misspelt name is still refused
    assert shape_of(state_of(Annotated[int, max]), functions=True).slots["topic"].function is None
    with pytest.raises(errors.UnknownReducer):
        shape_of(state_of(Annotated[int, "Max"]), functions=True)


def test_markers_are_those_of_the_database() -> None:
    marks = {name: mark for name, mark in vars(reducers).items() if isinstance(mark, reducers.Reducer)}
    assert set(marks) == reducers.NAMES
    assert all(mark.name == name for name, mark in marks.items())
    assert repr(reducers.deep_merge) == "pgstate.reducers.deep_merge"
