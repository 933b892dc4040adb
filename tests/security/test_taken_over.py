"""An agent that was taken over, with a login or a gateway's session and any SQL, against trust, tickets, denials and guards."""

from __future__ import annotations

import json

import pytest

from _cases import first_of
from _secrets import SECRETS
from _server import SUPERUSER
from conftest import Clock, Database
from security._calls import outcome
from sql._caller import Caller, MakeAgent, refused, seconds

TOKEN = SECRETS["github_token"]


@pytest.mark.core
async def test_a_ticket_makes_no_newer_ones(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, session: MakeAgent
) -> None:
    """Whoever takes a gateway over has the tickets that it was handed, for minutes and no longer."""
    await agent("alice", "read alice/**")
    await agent("boss", "admin **")
    server = await gateway("alice", "boss")
    elsewhere = await gateway("alice", "boss")
    logins = [await one.fetchval("select session_user::text") for one in (server, elsewhere)]
    await root("rotate_ticket_keys")
    for required in (False, True):
        for login in logins:
            await root("require_tickets", login, required)
        for name in ("alice", "boss"):
            ticket = await root("issue_ticket", logins[0], name)
            await server.execute("select set_config('pgstate.agent', $1, false)", ticket if required else name)
            assert await server("me") == name
            await server.refuses("PS010", *(f"issue_ticket('{login}', '{name}', '1 day')" for login in logins))
    (login,) = [row["login"] for row in await root.rows("agents") if row["name"] == "alice"]
    alice = await session(login)
    for login in logins:
        assert str(await alice("issue_ticket", login, "alice")).startswith("alice/t1/")


@pytest.mark.core
async def test_who_administers_little_takes_admin_from_nobody_else(root: Caller, agent: MakeAgent) -> None:
    """Denied admin on one key, who administers everything would no more: neither set quotas, nor take the denial back."""
    boss = await agent("boss", "admin **")
    mallory = await agent("mallory", "admin own/**", "read own/**", "write own/**")
    await root("create_group", "crew")
    await root("add_to_group", "crew", "boss")
    await mallory.refuses(
        "PS010",
        *(f"deny_access('{name}', 'own/{under}', 'admin')" for name in ("boss", "crew") for under in ("**", "x")),
    )
    await boss("set_quota", "mallory", entries=10)
    # what is within is hers to deny
    await mallory("deny_access", "boss", "own/**", "read")
    await boss("revoke_access", "boss", "own/**", "read", deny=True)
    # who could take any grant away may
    await boss("deny_access", "mallory", "own/x/**", "admin")
    with refused("PS010"):
        await mallory("set_policy", "own/x/**", ttl=seconds(60))
    await mallory("set_policy", "own/y/**", ttl=seconds(60))
    await boss("revoke_access", "mallory", "own/x/**", "admin", deny=True)


@pytest.mark.core
async def test_nothing_that_it_does_raises_trust(root: Caller, attacker: MakeAgent) -> None:
    """What it writes is trusted as it is itself, what it touches no more than before, and what others vouched for no more
    than it when it brings that back."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**", "read web/**", "write web/**", "write wo/**")
    await root("set_policy", "web/**", trust="external")
    await root("set_policy", "rw/low/**", trust="external", max_attempts=1, dead_letter="rw/dead")
    for key in ("rw/good", "rw/other", "wo/x"):
        await root("put", key, {"by": "root"})
    await root("put", "web/page", {"by": "web"})
    await root("endorse", "web/page", 1, "operator")
    await mallory("put", "rw/good", {"by": "mallory"})
    before = {row["key"]: row["trust"] for row in await root.rows("list")}
    for operator in ("'{operator}'", "'[2:2]={operator}'", "array[array['operator']]", "array[null]::text[]"):
        for op, key, value in (
            ("put", "rw/a", "1"),
            ("merge", "rw/a", "2"),
            ("put", "wo/y", "1"),
            ("merge", "rw/other", "3"),
        ):
            await mallory.fetch(
                f"select * from pgstate.write_many(array['{op}'], array['{key}'], array['{value}'::jsonb], reducers => array['replace'], trusts => {operator})"
            )
    for call in (
        "rollback('rw/good', 1)", "rollback('web/page', 1)", "rollback('rw/**', at => now())", "merge('web/page', '{\"x\": 1}', 'merge', trust => 'operator')",
        "rollback('web/page', 2)", "put('web/new', '1', sources => '[{\"key\": \"web/page\", \"version\": 2}]', trust => 'operator')",
        "put('rw/b', '1', op_id => 'b', trust => 'operator')", "put('rw/b', '1', op_id => 'b', trust => 'operator')", "merge('wo/x', '{}', 'merge')",
        "merge('wo/x', '{\"x\": 1}', 'merge', trust => 'operator')", "touch(array['rw/good'])", r"save_checkpoint('rw/t', '{a}', '{json}', array['1'::bytea])",
        "fork_thread('rw/t', 'rw/t2')", "rollback_thread('rw/t', (select id from pgstate.checkpoints('rw/t')))", "start_run('rw/r')", "cancel_run('rw/r')",
    ):  # fmt: skip
        await mallory.fetch(f"select * from pgstate.{call}")
    await mallory.refuses(
        "PS010",
        "endorse('rw/a', 1, 'agent')",
        "set_trust('mallory', 'operator')",
        "set_policy('web/**', trust => 'operator')",
    )
    # moved and given up, with and without what it says that came of it
    for moved in ("rw/low/1", "rw/low/2", "rw/low/3"):
        await mallory("put", moved, 1)
        token = (await mallory("claim", moved, seconds(60)))["token"]
        if moved.endswith("3"):
            await mallory("fail", moved, token, "no")
        else:
            await mallory(
                "complete", moved, token, move_to=f"rw/moved/{moved[-1]}", op_id=moved if moved.endswith("2") else None
            )
    rows = await root.fetch("select key, version, writer, trust from pgstate.versions")
    assert {row["trust"] for row in rows if row["writer"] == "mallory"} == {"agent", "external"}
    for row in await root.rows("list"):
        if row["writer"] == "mallory":
            low = row["key"].startswith(("web/", "rw/low/", "rw/moved/", "rw/dead/"))
            assert row["trust"] == ("external" if low else "agent"), row["key"]
        else:
            assert row["trust"] == before[row["key"]], row["key"]


@pytest.mark.core
async def test_secrets_in_keys_and_names(root: Caller, attacker: MakeAgent, database: Database) -> None:
    """Of threads and runs too, and in what is recorded of it."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**", "admin rw/**")
    await mallory("save_checkpoint", "rw/t", ["a"], ["json"], [b"1"])
    token = (await mallory("start_run", "rw/r", seconds(60)))["token"]
    one = r"array['a'], array['json'], array['1'::bytea]"
    for call in (
        f"save_checkpoint('rw/{TOKEN}', {one})", f"fork_thread('rw/t', 'rw/{TOKEN}')", f"start_run('rw/{TOKEN}')", f"start_run('rw/new', name => '{TOKEN}')",
        f"start_run('rw/new', code => '{TOKEN}')", f"start_run('rw/new', parent => '{TOKEN}')", f"start_run('rw/new', input_type => '{TOKEN}', input => '1')",
        f"fork_run('rw/r', 'rw/{TOKEN}')", f"signal_run('rw/r', '{TOKEN}')",
        f"take_signal('rw/r', {token}, 'step', '{TOKEN}', 0, true)", f"take_signal('rw/r', {token}, '{TOKEN}', 'go', 0, true)",
        f"save_checkpoint('rw/t2', {one}, id => '{TOKEN}')", f"save_checkpoint('rw/t2', {one}, ns => '{TOKEN}')", f"save_checkpoint('rw/t2', {one}, run_id => '{TOKEN}')",
        f"save_checkpoint('rw/t2', {one}, versions => array['{TOKEN}'])", f"put_writes('rw/{TOKEN}', 'c1', 't', '{{0}}', {one})",
        f"put_writes('rw/t', '{TOKEN}', 't', '{{0}}', {one})", f"put_writes('rw/t', 'c1', '{TOKEN}', '{{0}}', {one})",
        f"put_writes('rw/t', 'c1', 't', '{{0}}', {one}, ns => '{TOKEN}')", f"put_writes('rw/t', 'c1', 't', '{{0}}', {one}, task_path => '{TOKEN}')",
        f"set_policy('rw/{TOKEN}/**', ttl => '1 h')", f"set_policy('rw/new', dead_letter => 'rw/{TOKEN}')", f"set_policy('rw/new', schema => '{{\"default\": \"{TOKEN}\"}}')",
        f"grant_access('mallory', 'rw/{TOKEN}', 'read')", f"deny_access('mallory', 'rw/{TOKEN}/**', 'read')", f"set_audit_chain('rw/{TOKEN}')",
        f"set_search('rw/{TOKEN}')", f"set_search('rw/x', fields => array['{TOKEN}'])",
    ):  # fmt: skip
        said = await outcome(mallory, f"select * from pgstate.{call}")
        assert said.startswith("PS009") and TOKEN not in said, call
    rows = await mallory.rows("save_checkpoints", [f"rw/{TOKEN}", "rw/t9", f"rw/{TOKEN}"], [1] * 3, ["a"] * 3, ["json"] * 3, [b"1"] * 3)  # fmt: skip
    assert [(row["status"], row["code"]) for row in rows] == [("invalid", "PS009"), ("ok", None), ("invalid", "PS009")]
    assert TOKEN not in str(rows)
    for named in ("ids", "namespaces", "run_ids", "versions"):
        rows = await mallory.rows("save_checkpoints", ["rw/t7", "rw/t8"], [1] * 2, ["a"] * 2, ["json"] * 2, [b"1"] * 2, **{named: [TOKEN, None]})  # fmt: skip
        assert [(row["status"], row["code"]) for row in rows] == [("invalid", "PS009"), ("ok", None)], named
    # nobody reads an op_id again: it is kept as its hash
    for op_id, outcomes in ((TOKEN, (1, 1)), (f"{TOKEN}/2", (2, 2))):
        for version in outcomes:
            assert (await mallory("put", "rw/op", 1, op_id=op_id))["version"] == version
    with refused("PS030"):
        await mallory("put", "rw/op", 2, op_id=TOKEN)
    await root("allow_credential", "mallory", "*", "*")
    await mallory("use_credential", TOKEN, f"for\x1b[31m {TOKEN}")
    await mallory("report_denial", f"to read {TOKEN}", f"rw/{TOKEN}")
    assert (await root.rows("audit", "", ["credential"]))[0]["detail"] == {
        "name": "[redacted:github_token]",
        "purpose": "for?[31m [redacted:github_token]",
    }
    await root("set_policy", "rw/**", guard="off")
    assert (await mallory("start_run", f"rw/off/{TOKEN}"))["status"] == "created"
    assert (await mallory("save_checkpoint", f"rw/off/{TOKEN}/t", ["a"], ["json"], [b"1"]))["status"] == "ok"
    tables = database.sql(
        "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'pgstate'::regnamespace"
    )
    for (table,) in tables:
        held = str(database.sql(f"select t::text from {table} t where t::text !~ 'rw/off/'"))
        assert TOKEN not in held, table


@pytest.mark.core
@pytest.mark.parametrize("taken", ["right", "suspended", "dropped", "delegation", "member"])
@pytest.mark.parametrize("isolation", first_of(["repeatable read", "serializable"]))
async def test_no_older_snapshot_keeps_a_right_to_write(
    root: Caller, agent: MakeAgent, gateway: MakeAgent, taken: str, isolation: str
) -> None:
    """What was there when its transaction began it may read on, and write nothing more, nor give it to others."""
    rights = ["read rw/**", "write rw/**", "admin **"]
    alone = await agent("mallory", *(rights if taken != "member" else []))
    await agent("eve")
    await root("create_group", "crew")
    for right in rights:
        await root("grant_access", "crew", right.split(" ")[1], right.split(" ")[0])
    if taken == "member":
        await root("add_to_group", "crew", "mallory")
    through = await gateway("mallory")
    await through.execute("select set_config('pgstate.agent', 'mallory', false)")
    login = await through.fetchval("select session_user::text")
    await root("save_checkpoint", "rw/t", ["a"], ["json"], [b"1"], id="c1")
    for caller in (alone, through) if taken != "delegation" else (through,):
        await caller.execute(f"begin isolation level {isolation}")
        assert (await caller("put", f"rw/{caller.pid}", 1))["status"] == "ok"
        await caller.execute("set lock_timeout = '2s'")
    calls = {
        "right": ("revoke_access", "mallory", "rw/**", "write"), "suspended": ("suspend_agent", "mallory"), "dropped": ("drop_agent", "mallory"),
        "delegation": ("undelegate", login, "mallory"), "member": ("remove_from_group", "crew", "mallory"),
    }  # fmt: skip
    # held up by none of what it has under way
    await root.execute("set lock_timeout = '2s'")
    await root.rows(*calls[taken])
    for caller in (alone, through) if taken != "delegation" else (through,):
        for call in (
            "put('rw/new', '1')", "claim('rw/t', '1 h')", "grant_access('eve', '**', 'admin')", "set_policy('rw/**', guard => 'off')",
            r"save_checkpoint('rw/t', '{a}', '{json}', array['2'::bytea])", r"put_writes('rw/t', 'c1', 't', '{0}', '{a}', '{json}', array['1'::bytea])",
        ):  # fmt: skip
            await caller.execute("savepoint before")
            await caller.refuses("40001", call)
            await caller.execute("rollback to before")
        assert [row["key"] for row in await caller.rows("list", "rw/t")] == ["rw/t"]
        await caller.execute("rollback")
        await caller.refuses("PS010", "put('rw/new', '1')")


@pytest.mark.core
async def test_an_open_transaction_holds_up_no_other_s_expiry(
    root: Caller, attacker: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    """Each client asks for it once a second, and whoever has asked in a transaction of its own keeps what it did locked."""
    await root("put", "a/1", 1, op_id="old")
    await clock.advance(8 * 86400)
    await root("put", "a/2", 1, ttl=seconds(1))
    await clock.advance(5)
    mallory = await attacker("mallory", "read rw/**")
    holding = mallory.transaction()
    await holding.start()
    await mallory.execute("select pgstate.expire()")
    other = await session()
    await other.execute("set lock_timeout = '1s'")
    await other.execute("select pgstate.expire()")
    await holding.rollback()
    await other.execute("select pgstate.expire()")
    inside = await session(SUPERUSER)
    assert await inside.fetchval("select count(*) from pgstate.op") == 0
    assert [row["op"] for row in await root.rows("history", "a/2")] == ["expire", "put"]


@pytest.mark.parametrize(
    ("mode", "size"), first_of([("redact", 200_000), ("redact", 1_000_000), ("refuse", 1_000_000)])
)
async def test_texts_that_only_look_like_secrets_hold_nobody_up(root: Caller, mode: str, size: int) -> None:
    """Each begins in very many places what a rule or label might fit: searched from each to the end, they would take hours."""
    await root("set_policy", "rw/**", guard=mode)
    await root.execute("set statement_timeout = '60s'")
    for begins in (
        "-----BEGIN PRIVATE KEY-----Ab: x",
        "eyJaaaaaaaa.",
        "\\neyJaaaaaaaa.eyJ",
        "sk-ant-",
        "://a:",
        "do not tell ",
        "ignore all ",
    ):
        text = begins * (size // len(begins))
        said = await outcome(root, f"select (pgstate.put('rw/x', '{json.dumps(text)}')).status")
        assert said == "[('ok',)]" or said.startswith("PS009"), said[:200]
        await root.fetchval("select pgstate.labels($1)", text)


@pytest.mark.core
async def test_whom_a_write_wakes_is_not_told_to_the_writer(
    root: Caller, agent: MakeAgent, attacker: MakeAgent
) -> None:
    """The server would, for debugging: and who knows a channel hears whenever something changes that its owner watches."""
    alice = await agent("alice", "read hid/**", "read rw/**")
    channel = await alice("subscribe", ["alice"], ["**"])
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    said: list[str] = []
    mallory.connection.add_log_listener(lambda _, message: said.append(str(message.as_dict())))
    await mallory.execute("set client_min_messages = debug5; set trace_notify = on; set debug_print_plan = on")
    lane = "00000000-0000-4000-8000-000000000001"
    for wake in ("on", "off"):
        await mallory.execute(f"set pgstate.wake = {wake}")
        for call in (
            "put('rw/x', '1')",
            "wake(array['rw/x'])",
            f"write_many('{{put}}', '{{rw/x}}', '{{2}}', lane => '{lane}', turn => 1)",
        ):
            await mallory.fetch(f"select * from pgstate.{call}")
        await mallory.fetch(f"select pgstate.wake_lane('{lane}')")
    assert "CommitTransaction" in str(said)
    assert channel not in str(said)


@pytest.mark.core
async def test_secrets_in_what_is_refused_are_in_no_error(root: Caller, attacker: MakeAgent) -> None:
    """An error is in the server's log and in the caller's: of what was given for a key, a pattern or an operation too."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**", "admin rw/**")
    address = "postgres://bob:hunter22@db.internal/app"
    put = f'"op": "put", "key": "rw/x", "value": "{TOKEN}"'
    long = "x" * 70 + "/" + TOKEN
    for code, call in (
        *(("PS001", f"{of}('{given}'{rest})") for given in (address, f"rw//{TOKEN}", f"/{long}")
          for of, rest in (("get", ""), ("put", ", '1'"), ("claim", ", '1 s'"), ("history", ""), ("get_checkpoint", ""), ("run_steps", ""))),
        *(("PS002", f"{of}('{address}')") for of in ("list", "tasks", "runs", "threads", "search")), ("PS001", f"rollback('{address}', 1)"),
        *(("PS002", f"{of}('rw//{TOKEN}'{rest})") for of, rest in (("set_policy", ", ttl => '1 h'"), ("set_audit_chain", ""), ("set_search", ""))),
        ("PS009", f"set_policy('rw/x', dead_letter => '{address}')"), ("PS007", f"apply('[]', '[{{{put}, \"tll\": 1}}]')"),
        ("PS007", f"apply('[{{\"key\": \"rw/x\", \"is\": \"{TOKEN}\"}}]', '[]')"), ("PS007", f"apply('[]', '[{{{put}, \"ttl\": \"{TOKEN}\"}}]')"),
        ("PS007", f"search('rw/**', filter => '{{\"a\": {{\"$is\": \"{TOKEN}\"}}}}')"), ("PS007", f"search('rw/**', filter => '\"{TOKEN}\"')"),
    ):  # fmt: skip
        said = await outcome(mallory, f"select * from pgstate.{call}")
        assert said.startswith(code) and "hunter22" not in said and TOKEN[:20] not in said, f"{call}: {said}"
    (row,) = await mallory.rows("put_many", [address], [1])
    assert row["code"] == "PS001" and "hunter22" not in row["message"]
