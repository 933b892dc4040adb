"""Operations on one key are linearizable, whatever dies; and the checker of that rejects histories that are not."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgstate
from _cases import first_of
from _server import SUPERUSER
from conftest import Database
from faults._linear import EMPTY, UNKNOWN, Op, linearizable, step
from faults._server import crash, log_of
from pgstate import State, errors

KEYS = [f"key/{number}" for number in range(5)]
History = list[Op]

# Two clients, one after the other and at once; a write whose outcome nobody heard, seen by the get after it.
SOUND: History = [
    Op("put", 0, 1, "ok", wrote="a", version=1),
    Op("get", 2, 3, "ok", version=1, value="a"),
    Op("put", 4, 7, "ok", expect=1, wrote="b", version=2),
    Op("put", 4, 7, "conflict", expect=1, wrote="c", version=2, value="b"),
    Op("get", 5, 6, "ok", version=1, value="a"),
    Op("put", 8, 9, UNKNOWN, expect=2, wrote="d"),
    Op("get", 10, 11, "ok", version=2, value="b"),
    Op("get", 12, 13, "ok", version=3, value="d"),
    Op("put", 12, 13, UNKNOWN, wrote="never"),
    Op("delete", 14, 15, "ok", version=4),
    Op("get", 16, 17, "missing"),
    Op("put", 18, 19, "ok", expect=0, wrote="e", version=5),
]


def test_what_is_sound_is_accepted() -> None:
    assert linearizable([])
    assert linearizable(SOUND)


def _last(history: History, wanted: Callable[[Op], bool]) -> int:
    return next(place for place in reversed(range(len(history))) if wanted(history[place]))


def _stale_read(history: History) -> History:
    """A get that finds what was replaced before it began."""
    puts = [op for op in history if op.kind == "put" and op.outcome == "ok"]
    at, older = next(
        (at, older)
        for at, op in enumerate(history)
        if op.kind == "get" and op.outcome == "ok"
        for older, newer in itertools.permutations(puts, 2)
        if older.version < newer.version and newer.back < op.call
    )
    return [*history[:at], replace(history[at], version=older.version, value=older.wrote), *history[at + 1 :]]


def _wrong_value(history: History) -> History:
    """A get that finds what nobody wrote."""
    at = _last(history, lambda op: op.kind == "get" and op.outcome == "ok")
    return [*history[:at], replace(history[at], value="nobody's"), *history[at + 1 :]]


def _lost_write(history: History) -> History:
    """An acknowledged write that was not there afterwards: the version after it is another's."""
    at = _last(history, lambda op: op.kind == "put" and op.outcome == "ok")
    lost = replace(history[at], call=history[at].call - 0.1, back=history[at].call - 0.05, wrote="lost", expect=None)
    return [*history[:at], lost, *history[at:]]


def _twice(history: History) -> History:
    """A write that was acknowledged once and took effect twice."""
    at = _last(history, lambda op: op.kind == "put" and op.outcome == "ok")
    end = max(op.back for op in history) + 1
    again = Op("get", end, end + 1, "ok", version=_newest(history) + 1, value=history[at].wrote)
    return [*history, again]


def _newest(history: History) -> int:
    return max(op.version for op in history)


def _two_winners(history: History) -> History:
    """Two clients replaced the same version."""
    at = _last(history, lambda op: op.kind == "put" and op.outcome == "ok" and op.expect is not None)
    return [*history, replace(history[at], wrote="the other winner", version=history[at].version)]


def _refused_for_nothing(history: History) -> History:
    """A conflict with exactly the version that was expected."""
    at = _last(history, lambda op: op.outcome == "conflict")
    return [*history[:at], replace(history[at], expect=history[at].version), *history[at + 1 :]]


def _missing_writer(history: History) -> History:
    """What a get found was written by nobody: a write is left out."""
    seen = {op.value for op in history if op.kind == "get"}
    at = _last(history, lambda op: op.kind == "put" and op.outcome == "ok" and op.wrote in seen)
    return history[:at] + history[at + 1 :]


def _out_of_order(history: History) -> History:
    """Versions of two writes, one after the other, the other way round."""
    oks = [place for place, op in enumerate(history) if op.kind == "put" and op.outcome == "ok"]
    first, then = next((a, b) for a, b in itertools.permutations(oks, 2) if history[a].back < history[b].call)
    swapped = list(history)
    swapped[first] = replace(history[first], version=history[then].version)
    swapped[then] = replace(history[then], version=history[first].version)
    return swapped


CORRUPTIONS = [
    _stale_read, _wrong_value, _lost_write, _twice, _two_winners, _refused_for_nothing, _missing_writer, _out_of_order,
]  # fmt: skip


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_what_is_corrupted_is_rejected(corrupt: Callable[[History], History]) -> None:
    assert not linearizable(corrupt(SOUND))


def _by_trying_all(history: Sequence[Op]) -> bool:
    known = [op for op in history if op.outcome != UNKNOWN]
    unknown = [op for op in history if op.outcome == UNKNOWN]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *happened]):
                if any(
                    later.outcome != UNKNOWN and later.back < earlier.call
                    for place, earlier in enumerate(order)
                    for later in order[place + 1 :]
                ):
                    continue
                state = EMPTY
                for op in order:
                    after = step(state, op)
                    if after is None:
                        break
                    state = after
                else:
                    return True
    return False


@st.composite
def _histories(draw: st.DrawFn) -> History:
    """Small ones, in which much is possible: times overlap, versions and values are few."""
    history = []
    for _ in range(draw(st.integers(1, 5))):
        call = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["get", "put", "put", "delete"]))
        outcome = draw(st.sampled_from(["ok", "ok", "ok", "missing", "conflict", UNKNOWN]))
        if kind == "get" and outcome not in ("ok", "missing"):
            outcome = "ok"
        version, value = (0, None) if outcome == "missing" else (draw(st.integers(1, 3)), draw(st.sampled_from("ab")))
        history.append(
            Op(
                kind, call, call + draw(st.integers(1, 4)), outcome, draw(st.none() | st.integers(0, 2)),
                draw(st.sampled_from("ab")), version, value,
            )
        )  # fmt: skip
    return history


@given(_histories())
def test_the_checker_agrees_with_trying_everything(history: History) -> None:
    # times that are equal overlap for both
    assert linearizable(history) is _by_trying_all(history)


class Clients:
    """Clients that write down what they did, and when."""

    def __init__(self, chance: random.Random) -> None:
        self.histories: dict[str, History] = {key: [] for key in KEYS}
        self.stopping = False
        self._chance = chance
        self._values = itertools.count()
        self._moved = asyncio.Condition()
        self.count = 0

    async def passed(self, count: int) -> None:
        """Returns when so many more operations have ended."""
        target = self.count + count
        async with self._moved:
            await self._moved.wait_for(lambda: self.count >= target)

    async def run(self, state: State) -> None:
        known = dict.fromkeys(KEYS, 0)
        while not self.stopping:
            key = self._chance.choice(KEYS)
            kind = self._chance.choices(["get", "put", "delete"], [4, 8, 1])[0]
            expect = self._chance.choice([known[key], known[key], known[key], None]) if kind != "get" else None
            # some wait too short a time to hear what became of it
            patient = state.with_timeout(self._chance.choice([20, 20, 20, 0.003]))
            op = await self._one(patient, key, kind, expect)
            self.histories[key].append(op)
            known[key] = op.version if op.outcome in ("ok", "conflict") and kind != "delete" else known[key]
            self.count += 1
            async with self._moved:
                self._moved.notify_all()

    async def _one(self, state: State, key: str, kind: str, expect: int | None) -> Op:
        clock = asyncio.get_running_loop().time
        wrote = f"v{next(self._values)}" if kind == "put" else None
        call = clock()
        outcome, version, value = "ok", 0, None
        try:
            if kind == "get":
                entry = await state.get(key)
                if entry is None:
                    outcome = "missing"
                else:
                    version, value = entry.version, entry.value
            elif kind == "put":
                version = await state.put(key, wrote, expect=expect)
            else:
                deleted = await state.delete(key, expect=expect)
                outcome, version = ("missing", 0) if deleted is None else ("ok", deleted)
        except errors.VersionConflict as conflict:
            outcome, version = "conflict", conflict.version
            value = None if conflict.current is None else conflict.current.value
        except (errors.Timeout, errors.Unreachable):
            outcome = UNKNOWN
        return Op(kind, call, clock(), outcome, expect, wrote, version, value)


@pytest.fixture
async def clients(doomed: Database) -> AsyncIterator[list[State]]:
    opened = [await pgstate.connect(doomed.dsn(), timeout=60, connections=3) for _ in range(6)]
    yield opened
    for state in opened:
        await state.close()


@pytest.mark.parametrize(("rounds", "each"), first_of([(3, 60), (6, 150)]))
async def test_single_keys_are_linearizable(
    doomed: Database, clients: list[State], at_length: bool, rounds: int, each: int
) -> None:
    rounds, each = (24, 300) if at_length else (rounds, each)
    told = Clients(random.Random(5))
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for state in clients:
            for _ in range(2):
                group.create_task(told.run(state))
        for turn in range(rounds):
            await told.passed(each)
            if turn % 3 == 2:
                await asyncio.to_thread(crash, doomed.cluster)
                await asyncio.to_thread(doomed.cluster.start)
            else:
                await asyncio.to_thread(_terminate, doomed)
        await told.passed(each)
        told.stopping = True
    unknown = written = 0
    log = await log_of(doomed)
    for key, whole in told.histories.items():
        # a get of which nothing was heard says nothing
        history = [op for op in whole if op.kind != "get" or op.outcome != UNKNOWN]
        assert linearizable(history), key
        for corrupt in CORRUPTIONS:
            assert not linearizable(corrupt(history)), f"{key}: {corrupt.__name__}"
        unknown += sum(op.outcome == UNKNOWN for op in history)
        # and the server's own history has every acknowledged write, once, and nothing that nobody asked for
        values = [row.value for row in log if row.key == key and row.op == "put"]
        acknowledged = {f'"{op.wrote}"' for op in history if op.kind == "put" and op.outcome == "ok"}
        asked = {f'"{op.wrote}"' for op in history if op.kind == "put"}
        assert len(values) == len(set(values)) and acknowledged <= set(values) <= asked
        written += len(values)
    assert unknown > 0
    assert written > 0


def _terminate(database: Database) -> None:
    database.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and backend_type = 'client backend' and random() < 0.5",
        SUPERUSER,
    )
