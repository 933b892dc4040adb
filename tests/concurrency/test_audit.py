"""The audit trail is checked while others add to it."""

from __future__ import annotations

import pytest

from _server import SUPERUSER
from concurrency._open import Begin, Start
from sql._caller import Caller, MakeAgent


@pytest.mark.core
async def test_what_is_linked_during_a_check_is_no_fault(
    root: Caller, session: MakeAgent, begin: Begin, blocked: Start
) -> None:
    await root("set_audit_chain", "**")
    await root("create_agent", "alice")
    assert (await root("verify_audit", "**"))["links"] == 2
    # a lock that only an owner takes, to stop the check between its statements
    other, second = await begin(await session(SUPERUSER)), await session()
    await other.caller.execute("lock table pgstate.audit_link in access exclusive mode")
    waiting = await blocked(second, second("verify_audit", "**"))
    await other.caller.execute("set local session authorization installer")
    await other.caller("create_agent", "bob")
    await other.caller("maintain")
    await other.end()
    checked = await waiting
    assert (checked["sound"], checked["fault"]) == (True, None)
    assert checked["head"].startswith("3:")
