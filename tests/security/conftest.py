"""Fixtures of the security tests. pgstate was installed by INSTALLER of tests/conftest.py, a login with CREATEROLE and no more."""

import pytest

from _cases import first_of
from sql._caller import Caller, MakeAgent, agent, gateway, root, session

__all__ = ["agent", "attacker", "gateway", "root", "session"]


@pytest.fixture(params=first_of(["login", "gateway"]))
async def attacker(root: Caller, agent: MakeAgent, gateway: MakeAgent, request: pytest.FixtureRequest) -> MakeAgent:
    """`await attacker("mallory", "read a/**")`: an agent, once with a login of its own and once behind a gateway whose
    session names it. The worst case: whoever attacks has that session to itself."""

    async def make(name: str, *rights: str) -> Caller:
        own = await agent(name, *rights)
        if request.param == "login":
            return own
        through = await gateway(name)
        await through.execute("select set_config('pgstate.agent', $1, false)", name)
        return through

    return make
