"""Measuring on a machine that does other things too: ours and the peer take short turns, since it is often busy for a
second and then is not, and medians are what counts."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

Call = Callable[[int], Awaitable[object]]

# of each side, in a round
_TURNS = 5


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, and seconds for each side in each of them."""

    rounds: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.rounds} rounds of {self.seconds:g} s for each side, in {_TURNS} turns"


@dataclass
class Comparison:
    """Calls of ours beside a peer's. A call gets a number, which rises. Results are calls a second, one a round."""

    name: str
    ours: Call
    peer: Call
    tasks: int = 1
    at_least: float | None = None
    # run before each round of the side concerned
    prepare: Callable[[], Awaitable[object]] | None = None
    prepare_peer: Callable[[], Awaitable[object]] | None = None
    ours_rates: list[float] = field(default_factory=list)
    peer_rates: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, round by round: what slows a whole round down slows both."""
        return [ours / peer for ours, peer in zip(self.ours_rates, self.peer_rates, strict=True)]

    async def round(self, seconds: float, *, peer_first: bool) -> tuple[float, float]:
        """Rates of ours and of the peer, measured in turns."""
        ours, peer = _Side(self.ours, self.tasks), _Side(self.peer, self.tasks)
        for prepare in (self.prepare, self.prepare_peer):
            if prepare is not None:
                await prepare()
        for _ in range(_TURNS):
            for side in (peer, ours) if peer_first else (ours, peer):
                await side.work(seconds / _TURNS)
        return ours.rate, peer.rate


class _Side:
    """Calls that so many tasks make, each one call after the other."""

    def __init__(self, call: Call, tasks: int) -> None:
        self._call = call
        self._tasks = tasks
        self._numbers = itertools.count()
        self._done = 0
        self._taken = 0.0

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self._done / self._taken

    async def work(self, seconds: float) -> None:
        clock = time.perf_counter
        began = clock()
        end = began + seconds

        async def work() -> None:
            while clock() < end:
                await self._call(next(self._numbers))
                self._done += 1

        await asyncio.gather(*(work() for _ in range(self._tasks)))
        self._taken += clock() - began


async def compare(
    comparisons: Sequence[Comparison], effort: Effort, *, before_round: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Measures all of them in every round, so that a busy minute falls on a few rounds of each and not on one of them.
    A round before the first warms up and does not count."""
    for number in range(-1, effort.rounds):
        if before_round is not None:
            await before_round()
        for comparison in comparisons:
            ours, peer = await comparison.round(effort.seconds, peer_first=number % 2 == 0)
            if number >= 0:
                comparison.ours_rates.append(ours)
                comparison.peer_rates.append(peer)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
