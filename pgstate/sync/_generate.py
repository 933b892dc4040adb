"""Writes `_calls.py`, the synchronous classes, from the asynchronous ones: `python pgstate/sync/_generate.py`.

A method keeps its signature and its docstring; what it does is to run the asynchronous one. A test compares."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path

from pgstate import client, types
from pgstate._areas import _held
from pgstate._areas._run import Run
from pgstate._areas.runs import Runs
from pgstate._areas.threads import Thread
from pgstate._areas.typed import TypedState

TARGET = Path(__file__).with_name("_calls.py")

# the asynchronous class, what the synchronous one is called, and what is written by hand instead
_CLASSES: list[tuple[type, str, str, set[str]]] = [
    (client.State, "StateCalls", "Proxy[client.BoundState | client.State]", {"bind", "close", "work", "runs"}),
    (TypedState, "TypedState", "Proxy[typed.TypedState[T]], Generic[T]", set()),
    (Thread, "Thread", "Proxy[threads.Thread]", set()),
    (Runs, "RunsCalls", "Proxy[runs.Runs]", {"worker"}),
    (Run, "Run", "RunProxy", set()),
    (_held.Task, "Task", "Proxy[_held.Task]", set()),
    (_held.Lock, "Lock", "Proxy[_held.Lock]", set()),
]
# how what such a call returns is shown
_SHOWN = {
    "Self": "type(self)(lambda: {})",
    "TypedState": "TypedState(lambda: {})",
    "Thread": "Thread(lambda: {})",
    "RunBlock": "Running({}, Run)",
    "Watch": "Watch(lambda: {})",
    "TypedWatch": "TypedWatch(lambda: {})",
    "Claiming": "Claiming({}, Task)",
    "Locking": "Locking({}, Lock)",
}
# functions of the application's
_CALLED = {"fn": "called_in_thread", "on_loss": "called_in_thread"}
_CALLED_BY_RUNS = {"function": "self._called", "undo": "self._called"}
_WORDS = [
    (r"\basync\s+(with|for)\b", r"\1"),
    (r"`await (state\.claim_next\([^)]*\))`", r"`\1.take()`"),
    (r"\bawait ", ""),
    (r"\banext\(\)", "next()"),
    (r"when it is first awaited", "when it is first waited for"),
    (r"any number of tasks of one event loop", "any number of threads"),
    (r"any number of tasks", "any number of threads"),
    (r"is\s+released\s+when\s+the\s+block\s+is\s+cancelled", "is released when it is interrupted"),
    (r"the\s+block\s+is\s+cancelled,?\s+and\s+LeaseLost\s+raised", "LeaseLost is raised when the block ends"),
    (r"the\s+block\s+is\s+cancelled\.", "LeaseLost is raised when the block ends."),
    (r"until\s+it\s+is\s+cancelled\.", "until it is interrupted, or the state is closed (Closed)."),
]
_HEADER = '''"""Written by `python pgstate/sync/_generate.py` from the asynchronous classes."""

from __future__ import annotations

import builtins
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Self, TypeVar, overload
from uuid import UUID

from pydantic import BaseModel

from pgstate import client, errors
from pgstate._areas import _held, _run, runs, threads, typed
from pgstate._areas._held import Loss
from pgstate._areas._retry import Retry
from pgstate._areas.typed import _ATTEMPTS, _Row
from pgstate._codec import JSON, Serializer
from pgstate.sync._kinds import Claiming, Locking, TypedWatch, Watch
from pgstate.sync._loop import called_in_thread
from pgstate.sync._proxy import Proxy, moved
from pgstate.sync._run import Running, RunProxy
from pgstate.types import {types}

T = TypeVar("T")
'''
_Method = ast.FunctionDef | ast.AsyncFunctionDef


def source() -> str:
    """The module's text."""
    classes = "".join(_class(*wanted) for wanted in _CLASSES)
    known = sorted(
        set(re.findall(r"\w+", classes)) & vars(types).keys() - vars(typing).keys() - {"datetime", "timedelta"}
    )
    text = _HEADER.replace("{types}", ", ".join(known)) + classes
    for arguments in (["check", "--fix-only", "--select", "F401,I", "-"], ["format", "-"]):
        ruff = [sys.executable, "-m", "ruff", arguments[0], "--quiet", "--stdin-filename", str(TARGET), *arguments[1:]]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _class(cls: type, name: str, bases: str, by_hand: set[str]) -> str:
    head = f'\n\nclass {name}({bases}):\n    """{_said(inspect.getdoc(cls) or "", 4)}"""\n'
    if cls is _held.Task or cls is _held.Lock:
        head += "\n    _can_be_remade = False\n"
    found: dict[str, list[_Method]] = {}
    for one in _lineage(cls):
        methods: dict[str, list[_Method]] = {}
        for method in _methods(one):
            if not method.name.startswith("_") and method.name not in by_hand:
                methods.setdefault(method.name, []).append(method)
        for key in methods:
            found.setdefault(key, methods[key])
    body = [_method(method, len(several) > 1, cls is Run) for several in found.values() for method in several]
    if issubclass(cls, _held.Held):
        body.append(f"@property\ndef lost(self) -> bool:\n{_doc('The lease was lost.')}    return self._its.lost\n")
    return head + "\n" + "\n".join(re.sub(r"(?m)^(?=.)", "    ", one) for one in body)


def _lineage(cls: type) -> Iterator[type]:
    """The class and those that it is made of; a State's areas in their order."""
    return (one for one in cls.__mro__ if one.__module__.startswith("pgstate."))


def _methods(cls: type) -> list[_Method]:
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    return [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _method(method: _Method, overloaded: bool, on_loop: bool) -> str:
    decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
    returned = ast.unparse(method.returns) if method.returns is not None else "Any"
    returned = re.sub(r"\bAsync(Iterator|Generator)\b", r"\1", returned)
    # a class that has a method of this name
    returned = re.sub(r"(?<![\w.])list\[", "builtins.list[", returned)
    kind = returned.partition("[")[0]
    returned = "Running" if kind == "RunBlock" else returned
    if overloaded and "overload" not in decorators:
        returned = "Any"
    text = "".join(f"@{decorator}\n" for decorator in decorators)
    text += f"def {method.name}({ast.unparse(method.args)}) -> {returned}:"
    if "overload" in decorators:
        return text + " ...\n"
    text += "\n" + _doc(ast.get_docstring(method) or "")
    if "property" in decorators:
        return f"{text}    return self._its.{method.name}\n"
    if overloaded:
        # which of the overloads is meant only the caller knows
        text += "    its: Any = self._its\n"
    arguments = _arguments(method.args, _CALLED_BY_RUNS if on_loop else _CALLED)
    call = f"{'its' if overloaded else 'self._its'}.{method.name}({arguments})"
    if kind in _SHOWN and isinstance(method, ast.AsyncFunctionDef):
        text += f"    made = self._run({call})\n"
        result = _SHOWN[kind].format("moved(made, self._its)")
    elif kind in _SHOWN:
        result = _SHOWN[kind].format(call)
    elif kind in ("Iterator", "Generator"):
        result = f"self._each({call})"
    elif isinstance(method, ast.AsyncFunctionDef):
        result = f"self._run({call})"
    elif on_loop:
        result = f"self._at_once({call.replace('(', ', ', 1).replace(', )', ')')}"
    else:
        result = call
    return f"{text}    {'' if returned == 'None' else 'return '}{result}\n"


def _arguments(given: ast.arguments, called: dict[str, str]) -> str:
    def passed(argument: ast.arg) -> str:
        return f"{called[argument.arg]}({argument.arg})" if argument.arg in called else argument.arg

    positional = [*given.posonlyargs, *given.args][1:]
    parts = [passed(argument) for argument in positional]
    parts += [f"*{given.vararg.arg}"] if given.vararg else []
    parts += [f"{argument.arg}={passed(argument)}" for argument in given.kwonlyargs]
    parts += [f"**{given.kwarg.arg}"] if given.kwarg else []
    return ", ".join(parts)


def _doc(text: str) -> str:
    return f'    """{_said(text, 4)}"""\n' if text else ""


def _said(text: str, indent: int) -> str:
    for pattern, plain in _WORDS:
        text = re.sub(pattern, plain, text)
    wide = 120 - 8 - len('""""""')
    paragraphs = [
        textwrap.fill(one, wide, break_on_hyphens=False) if max(map(len, one.split("\n"))) > wide else one
        for one in text.split("\n\n")
    ]
    return re.sub(r"\n(?=.)", "\n" + " " * indent, "\n\n".join(paragraphs))


if __name__ == "__main__":
    TARGET.write_text(source())
