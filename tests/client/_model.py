"""The key space as a plain Python model: what each call must answer, and the log that the feed must tell."""

from __future__ import annotations

import copy
import enum
import json
from dataclasses import dataclass, field
from typing import Any

Key = str


class Nothing(enum.Enum):
    """No value, where None is one."""

    MISSING = enum.auto()
    MISMATCH = enum.auto()


MISSING, MISMATCH = Nothing.MISSING, Nothing.MISMATCH
# alice may write under w, and must learn nothing from it
RIGHTS = {
    "admin": {"read": "aswx", "write": "aswx"},
    "alice": {"read": "as", "write": "asw"},
    "bob": {"read": "asw", "write": "sw"},
}


def canon(value: Any) -> str:
    """Equal for equal JSON: to Python True is 1."""
    return json.dumps(value, sort_keys=True)


def same(one: Any, other: Any) -> bool:
    return canon(one) == canon(other)


def fits(schema: Any, value: Any) -> bool:
    """Does a value fit a schema, of those that the state machine sets?"""
    if schema is True:
        return True
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    types: tuple[type, ...] = tuple({"array": list, "integer": int, "string": str}[kind] for kind in kinds)
    long = isinstance(value, list) and len(value) > schema.get("maxItems", 10**9)
    return isinstance(value, types) and not isinstance(value, bool) and not long


def _too_large(rules: dict[str, Any], value: Any) -> bool:
    # values are far below the only limit that is set, or far above it
    return "value_limit" in rules and len(canon(value)) > 30_000


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def reduce(reducer: str, current: Any, operand: Any) -> Any:
    """What a merge makes of an entry; `current` MISSING for none. MISMATCH when they do not fit."""
    new = current is MISSING
    if reducer == "replace":
        return operand
    if reducer == "first":
        return operand if new else current
    if reducer == "add":
        fits = _number(operand) and (new or _number(current))
        return (operand if new else current + operand) if fits else MISMATCH
    if reducer in ("max", "min"):
        for kind in (_number, lambda value: isinstance(value, str)):
            if kind(operand) and (new or kind(current)):
                return operand if new else (max if reducer == "max" else min)(current, operand)
        return MISMATCH
    if reducer in ("merge", "deep_merge"):
        if not isinstance(operand, dict) or not (new or isinstance(current, dict)):
            return MISMATCH
        if new:
            return operand
        return _deep(current, operand) if reducer == "deep_merge" else {**current, **operand}
    if not (new or isinstance(current, list)):
        return MISMATCH
    have = [] if new else current
    more = operand if isinstance(operand, list) else [operand]
    if reducer == "append":
        return have + more
    if reducer == "union":
        out = list(have)
        for element in more:
            if not any(same(element, other) for other in out):
                out.append(element)
        return out
    assert reducer == "messages"
    if not all(isinstance(message, dict) for message in more):
        return MISMATCH
    places: dict[Any, Any] = {}
    for number, message in enumerate(have + more):
        id_ = message.get("id") if isinstance(message, dict) else None
        places[("no id", number) if id_ is None else canon(id_)] = message
    return list(places.values())


def _deep(current: Any, operand: Any) -> Any:
    if not isinstance(current, dict) or not isinstance(operand, dict):
        return operand
    return {**current, **{k: _deep(current[k], v) if k in current else v for k, v in operand.items()}}


@dataclass
class Op:
    """One operation or guard."""

    op: str
    key: Key
    value: Any = None
    expect: int | None = None
    expect_value: Any = MISSING
    ttl: float | None = None
    token: int | None = None
    priority: int | None = None
    not_before: float | None = None
    reducer: str | None = None
    return_value: bool = False

    @property
    def blind(self) -> bool:
        """Tells its caller nothing about the entry."""
        quiet = self.expect is None and self.expect_value is MISSING and self.token is None and not self.return_value
        return quiet and self.op in ("put", "merge", "delete")


@dataclass
class Out:
    """The outcome of one operation: a status, or the code of an error."""

    status: str
    version: int | None = None
    value: Any = MISSING


@dataclass(frozen=True)
class Logged:
    """A version, as the history and the feed tell it. `moment` is the same for what was written together."""

    moment: int
    key: Key
    version: int
    op: str
    value: Any
    previous: Any
    created: bool
    writer: str
    at: float = 0.0


@dataclass
class Item:
    version: int = 0
    live: bool = False
    value: Any = MISSING
    writer: str = ""
    born: int = 0
    expires: float | None = None
    priority: int = 0
    not_before: float | None = None


@dataclass
class Claimed:
    token: int
    holder: str
    until: float
    attempts: int


@dataclass
class Model:
    now: float = 0.0
    moment: int = 0
    items: dict[Key, Item] = field(default_factory=dict)
    claims: dict[Key, Claimed] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    # which the versions of new keys start above
    floor: int = 0

    def may(self, agent: str, right: str, key: Key) -> bool:
        return key[0] in RIGHTS[agent][right]

    def settings(self, key: Key) -> dict[str, tuple[Any, str]]:
        """What the policies set for a key, and which subtree does: of several the nearest."""
        found: dict[str, tuple[Any, str]] = {}
        for subtree in sorted(self.policies, key=lambda s: (len(s.removesuffix("/**").split("/")), s[-1] != "*")):
            base = subtree.removesuffix("/**")
            if key == base or (base != subtree and key.startswith(f"{base}/")):
                found |= {name: (value, subtree) for name, value in self.policies[subtree].items()}
        return found

    def rules(self, key: Key) -> dict[str, Any]:
        return {name: value for name, (value, _) in self.settings(key).items()}

    def item(self, key: Key) -> Item:
        return self.items.get(key, Item())

    def live(self, key: Key) -> bool:
        item = self.item(key)
        return item.live and not (item.expires is not None and item.expires <= self.now)

    def claim_of(self, key: Key) -> Claimed | None:
        """The claim that holds now."""
        claim = self.claims.get(key)
        return claim if claim and claim.until > self.now and self.live(key) else None

    def listed(self, agent: str, wanted: list[Key]) -> list[Key]:
        return [key for key in sorted(wanted) if self.live(key) and self.may(agent, "read", key)]

    def write(self, agent: str, ops: list[Op], *, atomic: bool = False) -> list[Out]:
        """The operations together; of one key, in their order."""
        before = copy.deepcopy((self.items, self.claims, self.log))
        self.moment += 1
        outs: list[Out] = [Out("?")] * len(ops)
        for number in sorted(range(len(ops)), key=lambda n: (ops[n].key, n)):
            outs[number] = self._one(agent, ops[number])
        if atomic and any(out.status != "ok" for out in outs):
            self.items, self.claims, self.log = before
            outs = [Out("skipped") if out.status == "ok" else out for out in outs]
        return outs

    def _one(self, agent: str, op: Op) -> Out:
        key, readable = op.key, self.may(agent, "read", op.key)
        if not self.may(agent, "write", key) or not (readable or op.blind):
            return Out("PS010")
        item, live, claim = self.item(key), self.live(key), self.claim_of(key)
        rules = self.rules(key)
        version = item.version if live else 0
        current = Out("?", version, item.value if live else MISSING) if readable else Out("?")

        def refused(status: str) -> Out:
            return Out(status, current.version, current.value)

        if op.token is not None and not (claim and claim.token == op.token and claim.holder == agent):
            return refused("stale")
        if op.token is None and claim and op.op in ("put", "merge", "delete"):
            return refused("held")
        if op.op == "exists":
            return Out("ok", version) if live else Out("missing")
        if op.op == "absent":
            return refused("conflict") if live else Out("ok", 0)
        if op.op in ("delete", "complete") and not live:
            return refused("conflict") if op.expect else Out("missing" if readable else "ok")
        wrong = op.expect is not None and op.expect != version
        if wrong or (op.expect_value is not MISSING and not (live and same(op.expect_value, item.value))):
            return refused("conflict")
        if op.op == "check":
            return Out("ok", version)
        value = op.value
        if op.op in ("delete", "complete"):
            value = MISSING
        elif op.op == "merge":
            reducer = op.reducer or rules.get("reducer")
            if reducer is None:
                return Out("PS005")
            value = reduce(reducer, item.value if live else MISSING, op.value)
            if value is MISMATCH:
                return Out("PS006")
            if not _too_large(rules, value) and live and same(value, item.value) and op.ttl is None:
                return Out("ok", version if readable else None, value)
        if value is not MISSING and _too_large(rules, value):
            return Out("PS004")
        if value is not MISSING and not fits(rules.get("schema", True), value):
            return Out("PS008")
        self._set(agent, op, value, rules.get("ttl") or None)
        return Out("ok", self.items[key].version if readable else None, value)

    def _set(self, agent: str, op: Op, value: Any, ttl: float | None) -> None:
        key = op.key
        item = self.items.setdefault(key, Item())
        if item.live and not self.live(key):
            self._expire(key)
        live = item.live
        self._record(key, op.op, value, agent)
        if op.ttl is not None or (op.op == "merge" and live):
            ttl = op.ttl
        expires = None if ttl is None else self.now + ttl
        if value is MISSING:
            item.expires = None
            self.claims.pop(key, None)
        elif not live:
            item.born, item.priority, item.not_before = self.moment, op.priority or 0, op.not_before
            item.expires = expires
        else:
            item.priority = item.priority if op.priority is None else op.priority
            item.not_before = item.not_before if op.not_before is None else op.not_before
            item.expires = item.expires if op.op == "merge" and expires is None else expires

    def _record(self, key: Key, op: str, value: Any, writer: str) -> None:
        item = self.items[key]
        item.version = (item.version or self.floor) + 1
        previous = item.value if item.live else MISSING
        created = value is not MISSING and not item.live
        self.log.append(Logged(self.moment, key, item.version, op, value, previous, created, writer, self.now))
        item.live, item.value, item.writer = value is not MISSING, value, writer

    def _expire(self, key: Key) -> None:
        self._record(key, "expire", MISSING, "pgstate")
        self.items[key].expires = None
        self.claims.pop(key, None)

    def expire(self) -> None:
        """Writes the expiry of all whose time has come."""
        self.moment += 1
        for key in sorted(self.items):
            if self.items[key].live and not self.live(key):
                self._expire(key)

    def claimable(self, agent: str, wanted: list[Key]) -> list[Key]:
        """Those that claim_next may take: of the highest priority the oldest."""
        waiting = [
            key
            for key in self.listed(agent, wanted)
            if self.may(agent, "write", key)
            and not self.claim_of(key)
            and (self.items[key].not_before or 0.0) <= self.now
        ]
        rank = {key: (-self.items[key].priority, self.items[key].born) for key in waiting}
        return [key for key in waiting if rank[key] == min(rank.values())]

    def take(self, agent: str, key: Key, token: int, lease: float) -> Claimed:
        before = self.claims.get(key)
        claim = Claimed(token, agent, self.now + lease, (before.attempts if before else 0) + 1)
        self.claims[key] = claim
        return claim
