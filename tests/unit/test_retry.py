"""Pauses between attempts, whatever is asked for."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pgstate import Retry

_NUMBERS = st.floats(0, 1e300) | st.integers(0, 10**300)


@given(_NUMBERS, st.floats(1, 1e300) | st.integers(1, 10**300), _NUMBERS, st.integers(2, 10**6))
def test_a_pause_is_no_shorter_than_the_one_before_and_never_above_the_limit(
    backoff: float, factor: float, limit: float, attempt: int
) -> None:
    retry = Retry(attempts=attempt, backoff=backoff, factor=factor, limit=limit)
    before, now = retry.pause(attempt - 1, 0), retry.pause(attempt, 0)
    assert 0 <= before <= now <= limit and math.isfinite(now)
