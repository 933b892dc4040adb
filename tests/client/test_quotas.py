"""Quotas in Python and in the shell."""

from __future__ import annotations

import asyncio
import json
import secrets

import pytest

from client._cli import invoke
from client.conftest import Connect
from pgstate import State, errors


async def test_a_write_that_is_too_much_harms_no_other(state: State, agent: Connect) -> None:
    alice, bob = await agent("alice", "write a/**", "read a/**"), await agent("bob", "write b/**", "read b/**")
    await state.set_quota("alice", entries=3)
    outcomes = await asyncio.gather(
        *(alice.put(f"a/{number}", number) for number in range(8)),
        *(bob.put(f"b/{number}", number) for number in range(8)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.QuotaExceeded)]
    # gathered into one statement they are refused as a whole, and sent again one by one
    assert (len(refused), outcomes[8:]) == (5, [1] * 8)
    assert len(await alice.list("a/*")) == 3
    (quota,) = await alice.quotas()
    assert (quota.entries, quota.used_entries, quota.bytes) == (3, 3, None)
    with pytest.raises(errors.QuotaExceeded, match="may keep 3 entries"):
        await alice.merge("a/new", 1, "add")
    with pytest.raises(errors.QuotaExceeded):
        await alice.thread("a/thread").save({"a": 1})
    await alice.delete((await alice.list("a/*"))[0].key)
    await alice.put("a/new", 1)
    await state.set_quota("alice")
    assert await state.quotas() == []


async def test_what_threads_and_runs_keep_counts(state: State, agent: Connect) -> None:
    alice = await agent("alice", "write a/**", "read a/**")
    await state.set_quota("alice", bytes=30_000)
    text = secrets.token_hex(2000)
    saves = await asyncio.gather(
        *(alice.thread(f"a/{number}").save({"text": f"{number} {text}"}) for number in range(20)),
        return_exceptions=True,
    )
    refused = [save for save in saves if isinstance(save, errors.QuotaExceeded)]
    # gathered into one statement they are refused as a whole, and sent again one by one
    assert 0 < len(refused) < 20 and all(isinstance(save, str) for save in saves if save not in refused)
    assert len(await alice.list("a/*")) == 20 - len(refused)
    with pytest.raises(errors.QuotaExceeded, match="may keep 30000 bytes") as caught:
        async with alice.run("a/run") as run:
            for number in range(20):
                await run.step(f"step {number}", lambda: text)
    assert "prune" in str(caught.value)
    (quota,) = await alice.quotas()
    assert 20_000 < quota.used_bytes <= 30_000
    for thread in await alice.threads("a/*"):
        await alice.thread(thread.key).delete()
    await alice.thread("a/again").save({"text": text})


def test_quotas_in_the_shell(dsn: str) -> None:
    invoke("agents", "create", "alice", dsn=dsn)
    assert invoke("quota", "set", "alice", dsn=dsn).code == 2
    assert invoke("quota", "set", "alice", "--entries", "1", "--writes", "100", dsn=dsn).code == 0
    assert invoke("put", "memory/alice/1", "1", "--agent", "alice", dsn=dsn).code == 0
    too_much = invoke("put", "memory/alice/2", "1", "--agent", "alice", dsn=dsn)
    assert too_much.code == 5 and "may keep 1 entries" in too_much.err
    shown = json.loads(invoke("quota", "--json", dsn=dsn).out)
    assert (shown["agent"], shown["entries"], shown["used_entries"], shown["bytes"]) == ("alice", 1, 1, None)
    assert invoke("quota", "set", "alice", "--none", dsn=dsn).code == 0
    assert invoke("quota", "--json", dsn=dsn).out == ""
