"""Which cases of a test the default run has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_of(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """Cases for `parametrize`: the first `count` for the default run, the others for the thorough one."""
    given = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, marks=[pytest.mark.thorough] * (at >= count)) for at, case in enumerate(given)]
