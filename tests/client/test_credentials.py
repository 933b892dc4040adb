"""Handles of credentials: resolved for whom an administrator allowed it, recorded, and put back in what is written."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import pytest

from client._cli import invoke, lines
from client.conftest import Connect, MakeLogin
from conftest import SUPERUSER, Database
from pgstate import State, _guard, errors

SECRET = 'correct horse "battery" \u00e9'


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "_resolved", OrderedDict())


class Vault:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, name: str, purpose: str) -> str | None:
        self.asked.append((name, purpose))
        return {"db": SECRET, "mail": "mail-pass"}.get(name)


@pytest.fixture
def vault() -> Vault:
    return Vault()


async def test_who_may_have_what_for_what(state: State, make_agent: MakeLogin, connect: Connect, vault: Vault) -> None:
    alice = await connect(await make_agent("alice", "read a/**", "write a/**", login=True), credentials=vault)
    await state.allow_credential("alice", "db", "report")
    await state.allow_credential("alice", "db", "report")
    value = {"dsn": "x:$CRED{db}@y", "list": ["$CRED{db}", 1, None, {"$CRED{db}": True}], "plain": "$CRED{not a name}"}
    await alice.put("a/job", value)
    entry = await alice.get("a/job")
    assert entry is not None and entry.value == value
    assert await alice.resolve(entry.value, purpose="report") == {
        "dsn": f"x:{SECRET}@y", "list": [SECRET, 1, None, {"$CRED{db}": True}], "plain": "$CRED{not a name}",
    }  # fmt: skip
    assert vault.asked == [("db", "report")]
    for text, purpose in (("$CRED{db}", "other"), ("$CRED{mail}", "report"), ("$CRED{none}", "report")):
        with pytest.raises(errors.AccessDenied) as caught:
            await alice.resolve(text, purpose=purpose)
        assert f"have {text} resolved for {purpose}" in str(caught.value)
    # another agent, what is resolved by others or not
    with pytest.raises(errors.AccessDenied):
        await (await connect(credentials=vault)).resolve("$CRED{db}", purpose="report")
    assert vault.asked == [("db", "report")]
    await state.allow_credential("alice", "*", "mail")
    assert await alice.resolve("$CRED{mail}$CRED{db}", purpose="mail") == f"mail-pass{SECRET}"
    with pytest.raises(errors.InvalidArgument, match="no credential none"):
        await alice.resolve("$CRED{none}", purpose="mail")
    with pytest.raises(errors.AccessDenied):
        await alice.allow_credential("alice", "*", "*")
    with pytest.raises(errors.AccessDenied):
        await alice.disallow_credential("alice", "db", "report")
    assert [(row.agent, row.name, row.purpose) for row in await alice.credentials()] == [
        ("alice", "*", "mail"),
        ("alice", "db", "report"),
    ]
    with pytest.raises(errors.InvalidArgument, match="alice has no credential db for reprot"):
        await state.disallow_credential("alice", "db", "reprot")
    await state.disallow_credential("alice", "db", "report")
    with pytest.raises(errors.AccessDenied):
        await alice.resolve("$CRED{db}", purpose="report")
    told = [
        (record.event, record.agent, record.detail)
        for record in await state.audit(events=["credential", "allow_credential"])
    ]
    assert ("credential", "alice", {"name": "db", "purpose": "report"}) in told
    assert ("allow_credential", "admin", {"agent": "alice", "name": "db", "purpose": "report"}) in told
    # what belongs to an agent goes with it
    await state.drop_agent("alice")
    assert await state.credentials() == []


async def test_every_handle_that_is_resolved_is_filled_in(connect: Connect, vault: Vault, state: State) -> None:
    class Login(NamedTuple):
        name: str
        password: str

    class Texts(list[str]):
        pass

    client = await connect(credentials=vault)
    await state.allow_credential("admin", "db", "x")
    value = [Login("ana", "$CRED{db}"), Texts(["$CRED{db}"]), ("$CRED{db}",)]
    login, texts, rest = await client.resolve(value, purpose="x")
    assert isinstance(login, Login) and "$CRED" not in f"{login}{texts}{rest}"


async def test_one_without_handles_asks_nobody(state: State) -> None:
    for value in ("text", 1, None, {"a": [True, "$CRED", "$CRED{}"]}):
        assert await state.resolve(value, purpose="any") == value
    with pytest.raises(errors.InvalidArgument, match="no resolver"):
        await state.resolve("$CRED{db}", purpose="any")


async def test_what_was_resolved_is_put_back_as_its_handle(
    state: State, connect: Connect, database: Database, vault: Vault
) -> None:
    async def slow(name: str, purpose: str) -> str | None:
        return vault(name, purpose)

    # two clients of one process
    one, other = await connect(credentials=slow), await connect(guard="off")
    await state.allow_credential("admin", "db", "*")
    use = await one.resolve("$CRED{db}", purpose="x")
    assert use == SECRET
    await other.put("v", {"log": [f"used {use}"], use: 1})
    await other.merge("w", [use], "append")
    task = await other.claim("v", lease=30)
    assert task is not None
    await other.fail("v", task.token, f"not with {use}")
    thread = other.thread("t")
    await thread.save({"said": [{"content": use}]}, metadata={"m": use})

    async def step() -> str:
        return f"got {use}"

    async with other.run("r", input=use) as run:
        assert await run.step("step", step) == "got $CRED{db}"
        run.result = use
    found = await thread.latest()
    assert found is not None and found.state == {"said": [{"content": "$CRED{db}"}]}
    entry = await other.get("v")
    assert entry is not None and entry.value == {"log": ["used $CRED{db}"], "$CRED{db}": 1}
    (shown,) = await other.tasks("v")
    assert shown.error == "not with $CRED{db}"
    dump = database.cluster.program("pg_dump", "--dbname", database.dsn(SUPERUSER))
    for form in ("correct horse", b"correct horse".hex()):
        assert form not in dump
    assert "$CRED{db}" in dump


async def test_numbers_that_hold_a_credential_stay_numbers(state: State, connect: Connect) -> None:
    one = await connect(credentials=lambda name, purpose: "123456")
    await state.allow_credential("admin", "pin", "*")
    await one.resolve("$CRED{pin}", purpose="x")
    values = {"seconds": 1123456.75, "lines": "a\n123456", "pin": 123456}
    expected = {"seconds": 1123456.75, "lines": "a\n$CRED{pin}", "pin": "$CRED{pin}"}
    await one.put("v", values)
    thread = one.thread("t")
    await thread.save(values, metadata=values)

    async def step() -> object:
        return values

    async with one.run("r", input=values) as run:
        assert await run.step("step", step) == expected
    found = await thread.latest()
    assert found is not None and (found.state, found.metadata) == (expected, expected)
    assert (entry := await one.get("v")) is not None and entry.value == expected


def test_in_the_shell(dsn: str) -> None:
    def ok(*args: str) -> str:
        result = invoke(*args, dsn=dsn)
        assert (result.code, result.err) == (0, ""), result
        return result.out

    assert ok("credentials") == ""
    ok("credentials", "allow", "admin", "db", "report")
    (row,) = lines(ok("credentials", "ls", "--json"))
    assert (row["agent"], row["name"], row["purpose"], row["granted_by"]) == ("admin", "db", "report", "admin")
    ok("credentials", "disallow", "admin", "db", "report")
    assert ok("credentials") == ""
    assert invoke("credentials", "allow", "admin", "no name", "x", dsn=dsn).code == 2
    assert invoke("credentials", "allow", "nobody", "db", "x", dsn=dsn).code == 2
