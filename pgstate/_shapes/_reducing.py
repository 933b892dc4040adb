"""How a field is merged: the reducer that its annotation names, or the one that does in the database what an annotated
function does in Python."""

from __future__ import annotations

import collections
import collections.abc
import datetime
import decimal
import difflib
import enum
import functools
import inspect
import operator
import re
import uuid
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args, get_origin

import typing_extensions

from pgstate._shapes._fields import is_structured
from pgstate._shapes._hints import core_of, metadata_of, name_of
from pgstate.errors import ReducerMismatch, UnknownReducer
from pgstate.reducers import NAMES, Reducer

Function: TypeAlias = Callable[[Any, Any], Any]

# What a type's JSON is to a reducer. `model`: an object that Python's | does not take.
_Kind: TypeAlias = Literal["number", "text", "list", "set", "object", "model", "other", "anything"]

_LISTS = {
    list,
    collections.deque,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
}
_SETS = {set, frozenset, collections.abc.Set, collections.abc.MutableSet}
_OBJECTS = {
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
}

# What JSON has as text that neither adds nor sorts like the thing itself; dates do sort.
_NEVER = (bool, bytes, complex, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)

_CONTAINERS: list[tuple[_Kind, set[Any]]] = [("list", _LISTS), ("set", _SETS), ("object", _OBJECTS)]

# The kinds that each reducer of the database takes.
_TAKES: dict[str, set[_Kind]] = {
    "append": {"list"},
    "add": {"number"},
    "max": {"number", "text"},
    "min": {"number", "text"},
    "union": {"list", "set"},
    "merge": {"object", "model"},
    "deep_merge": {"object", "model"},
    "messages": {"list"},
}

# Python's functions, by the kind of what they are given. They are told apart by identity: another function of the same
# name may do something else.
_FUNCTIONS: list[tuple[Any, dict[_Kind, str]]] = [
    (operator.add, {"list": "append", "number": "add"}),
    (operator.iadd, {"list": "append", "number": "add"}),
    (operator.concat, {"list": "append"}),
    (operator.iconcat, {"list": "append"}),
    (operator.or_, {"set": "union", "object": "merge"}),
    (operator.ior, {"set": "union", "object": "merge"}),
    (set.union, {"set": "union"}),
    (frozenset.union, {"set": "union"}),
    (max, {"number": "max", "text": "max"}),
    (min, {"number": "min", "text": "min"}),
]


def reducer_of(owner: str, name: str, annotation: Any, *, functions: bool) -> str | Function:
    """The reducer of a field. Where `functions` are wanted, one without a counterpart is returned itself.

    Raises UnknownReducer for a function without a counterpart and a misspelt name, ReducerMismatch for a named reducer
    that never fits the field's type.
    """
    field = f"{owner}.{name}"
    kind = _kind_of(annotation)
    found: list[str | Function] = []
    for mark in metadata_of(annotation):
        reducer: str | Function | None
        if isinstance(mark, Reducer | str):
            reducer = _named(field, kind, mark.name if isinstance(mark, Reducer) else mark)
            if reducer is not None and kind not in {"anything", *_TAKES.get(reducer, {kind})}:
                raise ReducerMismatch(
                    f"{field}: {reducer} does not merge values of type {_text(annotation)}, it takes "
                    f"{' or '.join(sorted(_TAKES[reducer] - {'model'}))}"
                )
        elif _is_reducing(mark):
            reducer = _counterpart(mark, kind)
            if reducer is None:
                if not functions:
                    raise UnknownReducer(
                        f"{field}: no reducer of the database does what {_text(mark)} does with {_text(annotation)}: "
                        'annotate it with one of pgstate.reducers, or call typed(..., fallback="cas") to have the '
                        "function applied in Python under compare-and-set"
                    )
                reducer = mark
        else:
            continue
        if reducer is not None and reducer not in found:
            found.append(reducer)
    if len(found) > 1:
        raise UnknownReducer(f"{field}: two reducers in one annotation, {_text(found[0])} and {_text(found[1])}")
    return found[0] if found else "replace"


def _named(field: str, kind: _Kind, text: str) -> str | None:
    if text in NAMES:
        return text
    # other strings are documentation; one that is nearly a name would lose updates in silence
    plain = re.sub("[^a-z]", "", text.lower())
    names = {name.replace("_", ""): name for name in NAMES}
    fitting = [bare for bare, name in names.items() if kind == "anything" or kind in _TAKES.get(name, {kind})]
    near = [plain] if plain in names else [] if " " in text else difflib.get_close_matches(plain, fitting, 1, 0.8)
    if near:
        raise UnknownReducer(f"{field}: there is no reducer {text!r}; did you mean {names[near[0]]!r}?")
    return None


def _is_reducing(mark: Any) -> bool:
    """It is a function of two values. Classes are markers of other libraries; Pydantic's are no callables."""
    if not callable(mark) or isinstance(mark, type) or hasattr(mark, "__get_pydantic_core_schema__"):
        return False
    try:
        inspect.signature(mark).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        # max and min do not tell
        return True
    return True


def _counterpart(function: Any, kind: _Kind) -> str | None:
    for known, reducers in _FUNCTIONS:
        if function is known:
            return reducers.get(kind)
    if isinstance(function, functools.partial):
        return None
    # LangGraph's, which is a wrapper with a name of its own; the library need not be installed
    module = str(getattr(function, "__module__", "")).partition(".")[0]
    if module == "langgraph" and getattr(function, "__name__", "") in ("add_messages", "_add_messages"):
        return "messages" if kind in ("list", "anything") else None
    return None


def _kind_of(annotation: Any) -> _Kind:
    kinds = {_kind_of_one(core) for core in core_of(annotation)}
    return kinds.pop() if len(kinds) == 1 else "anything" if "anything" in kinds else "other"


def _kind_of_one(core: Any) -> _Kind:
    origin = get_origin(core) or core
    if origin is Literal:
        kinds = {_kind_of_one(type(value)) for value in get_args(core) if value is not None}
        return kinds.pop() if len(kinds) == 1 else "other"
    if typing_extensions.is_typeddict(origin):
        return "object"
    if is_structured(core):
        return "model"
    if origin is tuple:
        arguments = get_args(core)
        return "list" if not arguments or arguments[-1] is Ellipsis else "other"
    for kind, types in _CONTAINERS:
        if origin in types:
            return kind
    if origin is Any or origin is object or not isinstance(origin, type):
        return "anything"
    return _kind_of_scalar(origin)


def _kind_of_scalar(cls: type) -> _Kind:
    # exactly these: a subclass may add or compare otherwise
    is_enum = issubclass(cls, enum.Enum)
    if cls in (int, float) or (is_enum and issubclass(cls, int | float)):
        return "number"
    if cls in (str, datetime.date) or (is_enum and issubclass(cls, str)):
        return "text"
    return "other" if issubclass(cls, _NEVER) else "anything"


def _text(thing: Any) -> str:
    if get_origin(thing) is not None:
        # without what is annotated
        return " | ".join(str(core) if get_origin(core) else name_of(core) for core in core_of(thing))
    return thing if isinstance(thing, str) else getattr(thing, "__qualname__", None) or name_of(thing)
