"""Is there an order of the operations on one key that explains what every client saw? After Wing and Gong, with Lowe's memory
of what was tried: an operation takes effect at one point between its call and its return; one whose outcome is not known
takes effect at any point after its call, or never."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# version of the last change, value; None for no entry
State = tuple[int, Any]
EMPTY: State = (0, None)
UNKNOWN = "unknown"
_NOBODYS = object()


@dataclass(frozen=True)
class Op:
    """`kind` is get, put or delete. `outcome` is "ok" (with `version`, and the `value` that a get found), "missing",
    "conflict" (with the version and value that were there), or "unknown"."""

    kind: str
    call: float
    back: float
    outcome: str
    expect: int | None = None
    wrote: Any = None
    version: int = 0
    value: Any = None


def linearizable(history: Sequence[Op]) -> bool:
    """Whether the operations on a key that was never there before are those of one that has one copy."""
    ops = sorted(_deduced(history), key=lambda op: op.call)
    backs = [math.inf if op.outcome == UNKNOWN else op.back for op in ops]
    must = sum(1 << place for place, op in enumerate(ops) if op.outcome != UNKNOWN)
    tried: set[tuple[int, State]] = set()
    stack: list[tuple[int, State]] = [(0, EMPTY)]
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        # what is called after another has returned comes after it
        open_ = [place for place in range(len(ops)) if not done >> place & 1]
        # versions never fall: what saw an older one comes too late
        if any(_sees(ops[place]) < state[0] for place in open_):
            continue
        first_back = min(backs[place] for place in open_)
        alike = set()
        for place in open_:
            op = ops[place]
            if op.call <= first_back:
                if op.outcome == UNKNOWN:
                    # of those that would do the same, the first that was called may stand for any
                    effect = (op.kind, op.expect, op.wrote)
                    if effect in alike:
                        continue
                    alike.add(effect)
                after = step(state, op)
                if after is not None:
                    stack.append((done | 1 << place, after))
    return False


def _deduced(history: Sequence[Op]) -> list[Op]:
    """The same, with what it tells of writes whose outcome nobody heard: one whose value somebody saw has happened, as the
    version that was seen; of the others the values do not matter."""
    writers = Counter(op.wrote for op in history if op.kind == "put")
    seen = {op.value: op.version for op in history if op.outcome in ("ok", "conflict") and op.value is not None}
    told = []
    for op in history:
        if op.outcome == UNKNOWN and op.kind == "put":
            if op.wrote not in seen:
                op = replace(op, wrote=_NOBODYS)
            elif writers[op.wrote] == 1:
                op = replace(op, outcome="ok", version=seen[op.wrote], back=math.inf)
        told.append(op)
    return told


def _sees(op: Op) -> float:
    """The version that an operation met, where its outcome tells."""
    if op.outcome == UNKNOWN or op.version == 0:
        return math.inf
    return op.version - (op.kind != "get" and op.outcome == "ok")


def step(state: State, op: Op) -> State | None:
    """What is there after an operation, or None if it cannot have come out as it did."""
    version, value = state
    there = 0 if value is None else version
    if op.kind == "get":
        seen = ("missing", 0, None) if value is None else ("ok", version, value)
        return state if (op.outcome, op.version, op.value) == seen else None
    held = op.expect is None or op.expect == there
    if op.kind == "delete" and value is None and held:
        return state if op.outcome == "missing" else None
    if not held:
        return state if (op.outcome, op.version, op.value) == ("conflict", there, value) else None
    if op.outcome == UNKNOWN or (op.outcome, op.version) == ("ok", version + 1):
        return version + 1, op.wrote if op.kind == "put" else None
    return None
