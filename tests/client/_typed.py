"""Types of states that tests keep, and their folds in plain Python."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, NotRequired

import pydantic
from typing_extensions import TypedDict


def average(left: float, right: float) -> float:
    return (left + right) / 2


@dataclass
class Research:
    topic: str
    findings: Annotated[list[str], operator.add] = field(default_factory=list)
    steps: Annotated[int, operator.add] = 0
    best: Annotated[float, max] = 0.0
    tags: Annotated[set[str], operator.or_] = field(default_factory=set)


class Notes(TypedDict):
    title: str
    notes: NotRequired[Annotated[dict[str, Any], "deep_merge"]]
    log: NotRequired[Annotated[list[dict[str, Any]], "messages"]]


class Finding(pydantic.BaseModel):
    text: str
    at: datetime


class Report(pydantic.BaseModel):
    findings: Annotated[list[Finding], operator.add] = []
    score: Annotated[float | None, average] = None
    left: Annotated[int, operator.add] = 0
    right: Annotated[int, operator.add] = 0

    @pydantic.model_validator(mode="after")
    def balanced(self) -> Report:
        if self.left != self.right:
            raise ValueError("not balanced")
        return self


def merge_messages(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged = {message["id"]: message for message in old}
    merged.update((message["id"], message) for message in new)
    return list(merged.values())


def deep_merge(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {name: deep_merge(old[name], item) if name in old else item for name, item in new.items()}


class Folded(TypedDict):
    """One field for each reducer. Nothing is required: an update may come first."""

    plain: NotRequired[str]
    first: NotRequired[Annotated[int, "first"]]
    listed: NotRequired[Annotated[list[int], operator.add]]
    total: NotRequired[Annotated[int, operator.add]]
    most: NotRequired[Annotated[int, max]]
    least: NotRequired[Annotated[str, min]]
    tags: NotRequired[Annotated[set[int], operator.or_]]
    facts: NotRequired[Annotated[dict[str, int], operator.or_]]
    deep: NotRequired[Annotated[dict[str, Any], "deep_merge"]]
    log: NotRequired[Annotated[list[dict[str, Any]], "messages"]]
    computed: NotRequired[Annotated[int, operator.sub]]


FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "plain": lambda old, new: new,
    "first": lambda old, new: old,
    "listed": operator.add,
    "total": operator.add,
    "most": max,
    "least": min,
    "tags": operator.or_,
    "facts": operator.or_,
    "deep": deep_merge,
    "log": merge_messages,
    "computed": operator.sub,
}
