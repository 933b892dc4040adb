"""Every function that agents may execute, given what nobody should give: it refuses that in words of its own."""

from __future__ import annotations

import pytest

from security._calls import code_of, functions_for_agents
from sql._caller import Caller

# The client's own: what it sets for a transaction is no question of an agent's.
_OF_CLIENTS = {"lock_timeout": "22023"}


@pytest.mark.parametrize("share", [7, pytest.param(1, marks=pytest.mark.thorough)], ids=["some", "all"])
async def test_no_argument_makes_a_function_fail_from_within_or_run_on(root: Caller, share: int) -> None:
    """An administrator, who is let in everywhere; with policies, which are looked at along the way."""
    await root("set_policy", "rw/**", guard="redact")
    await root("put", "rw/mine", 1)
    await root.execute("set statement_timeout = '10 s'")
    said: dict[str, str] = {}
    # key() takes any number of texts, a procedure makes transactions of its own
    functions = [
        f for f in await functions_for_agents(root) if not f.procedure and f.name[0] != "_" and f.name != "key"
    ]
    calls = [call for function in functions for call in function.odd_calls()]
    for call in calls[::share]:
        code = await code_of(root, f"select * from {call}")
        if (
            code is not None
            and not code.startswith("PS")
            and code not in [known for argument, known in _OF_CLIENTS.items() if f'"{argument}"' in call]
        ):
            said[call] = code
    assert len(calls) > 1000
    assert not said, "\n".join(f"{code} {call}" for call, code in said.items())
