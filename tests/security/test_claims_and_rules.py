"""Who administers a part gains nothing beyond it: dead letters, search and lanes hold nobody else up and write nowhere else."""

from __future__ import annotations

from uuid import uuid4

import pytest

from _server import SUPERUSER
from conftest import Clock
from sql._caller import Caller, MakeAgent, refused, seconds


async def _statistics(caller: Caller, *relations: str) -> int:
    """Rows and index entries of these that the caller's transaction has looked at: anybody may ask."""
    return int(
        await caller.fetchval(
            "select sum(pg_stat_get_xact_tuples_returned(to_regclass(r)))::bigint from unnest($1::text[]) r",
            [f"pgstate.{name}" for name in relations],
        )
    )


@pytest.mark.every_version
async def test_dead_letters_go_where_their_policy_may_say(root: Caller, agent: MakeAgent) -> None:
    """They are written with the rights of the worker, who may write in places of its own."""
    mallory = await agent("mallory", "read q/**", "write q/**", "admin q/**", "write w/**")
    worker = await agent("worker", "read q/**", "write q/**", "read private/**", "write private/**")
    await worker("put", "private/settings", "mine")
    await mallory.refuses(
        "PS010",
        "set_policy('q/**', max_attempts => 1, dead_letter => 'private')",
        "set_policy('q/**', max_attempts => 1, dead_letter => 'w')",
        "set_policy('q/**', max_attempts => 1, dead_letter => 'q-2')",
    )
    await mallory("set_policy", "q/**", max_attempts=1, dead_letter="q/dead")
    await mallory("put", "q/settings", "evil")
    claim = await worker("claim", "q/settings", seconds(60))
    assert (await worker("fail", "q/settings", claim["token"]))["moved_to"] == "q/dead/settings"
    assert (await worker("get", "private/settings"))["value"] == "mine"


@pytest.mark.every_version
async def test_policies_do_not_name_dead_letters_that_the_caller_does_not_reach(root: Caller, agent: MakeAgent) -> None:
    await root("set_policy", "a/**", max_attempts=1, dead_letter="hid/s3cr3t-name")
    for rights, expected in (((), None), (("read hid/s3cr3t-name/x",), "hid/s3cr3t-name")):
        name = f"agent{len(rights)}"
        caller = await agent(name, "read a/b/**", "write a/b/**", *rights)
        (policy,) = await caller.rows("policies")
        assert (policy["max_attempts"], policy["dead_letter"]) == (1, expected)
        settings = {row["setting"]: row["value"] for row in await caller.rows("explain_policy", "a/b/c")}
        assert (settings["max_attempts"], settings["dead_letter"]) == (1, expected)


@pytest.mark.every_version
async def test_who_administers_a_part_does_not_lock_the_history(root: Caller, agent: MakeAgent) -> None:
    """What makes and removes the trigger of search keeps everybody from writing until its transaction ends."""
    mallory = await agent("mallory", "read q/**", "write q/**", "admin q/**")
    said = await mallory.refuses("PS010", "set_search('q/**')")
    assert "search does not follow writes here yet" in said.pop()
    await root("set_search", "a/**")
    async with mallory.transaction():
        await mallory("set_search", "q/**")
        assert (await root("put", "x", 1))["status"] == "ok"
    await root("drop_search", "a/**")
    await mallory("drop_search", "q/**")
    async with mallory.transaction():
        while (await mallory("maintain"))["more"]:
            pass
        assert (await root("put", "x", 2))["status"] == "ok"
        assert len(await root.rows("history", "x")) == 2
    trigger = "select exists (select from pg_trigger where tgname = 'version_search')"
    assert await root.fetchval(trigger)
    await root("maintain")
    assert not await root.fetchval(trigger)


@pytest.mark.every_version
async def test_a_lane_that_is_kept_locked_holds_up_no_other(
    root: Caller, agent: MakeAgent, session: MakeAgent, clock: Clock
) -> None:
    mallory = await agent("mallory", "read q/**", "write q/**")
    lane = uuid4()
    write = "select status from pgstate.write_one('put', 'q/1', '1', lane => $1, turn => $2)"
    await mallory.execute(write, lane, 1)
    await clock.advance(86400 + 60)
    async with mallory.transaction():
        await mallory.execute(write, lane, 2)
        await root.execute("set lock_timeout = '5s'")
        # old lanes are removed with one new lane in twenty
        for _ in range(200):
            await root.execute("select status from pgstate.write_one('put', 'x', '1', lane => $1, turn => 1)", uuid4())
    assert await (await session(SUPERUSER)).fetchval("select turn from pgstate.lane where lane = $1", lane) == 2


async def test_who_begins_lanes_or_maintains_holds_up_no_other_s(root: Caller, agent: MakeAgent, clock: Clock) -> None:
    mallory = await agent("mallory", "read q/**", "write q/**")
    lane = uuid4()
    write = "select status from pgstate.write_one('put', $3, '1', lane => $1, turn => $2)"
    await root.execute(write, lane, 1, "x")
    await clock.advance(86400 + 60)
    await root.execute("set lock_timeout = '1s'")
    async with mallory.transaction():
        await mallory("maintain")
        for _ in range(100):
            await mallory.execute(write, uuid4(), 1, "q/1")
        assert await root.fetchval(write, lane, 2, "x") == "ok"


async def test_hidden_work_does_not_show_in_the_callers_statistics(root: Caller, agent: MakeAgent) -> None:
    mallory = await agent("mallory", "read q/**", "write q/**", "admin q/**", "read r/1", "write r/1")
    looks = []
    for _ in range(2):
        async with mallory.transaction():
            assert await mallory.rows("claim_log", "**") == []
            for pattern in ("q/*", "q/**", "r/*"):
                assert (await mallory("claim_next", pattern, seconds(60)))["status"] == "missing"
            looks.append(
                await _statistics(
                    mallory, "claim_log", "claim_log_pkey", "entry", "entry_not_before_idx", "entry_task_idx"
                )
            )
        for n in range(10):
            key = f"hid/{n}"
            await root("put", key, 1)
            await root("claim", key, seconds(60))
            await root("release", key, force=True)
            await root.execute(
                "select status from pgstate.put($1, '1', not_before => now() + interval '1 hour')", f"hid/later{n}"
            )
            await root.execute(
                "select status from pgstate.put($1, '1', not_before => now() + interval '1 hour')", f"r/hid{n}"
            )
    assert looks[0] == looks[1]


@pytest.mark.every_version
async def test_filters_do_not_grow_beyond_measure(agent: MakeAgent) -> None:
    """Each $not has its predicate twice."""
    mallory = await agent("mallory", "read q/**")
    for leaf, times in (({"a": "x" * 60000}, 14), ({"$and": [{"a": n} for n in range(2000)]}, 14)):
        wanted: dict[str, object] = leaf
        for _ in range(times):
            wanted = {"$not": wanted}
        with pytest.raises(Exception, match=r"too many \$not") as caught:
            await mallory("matches", 1, wanted)
        assert caught.value.sqlstate == "PS007"  # type: ignore[attr-defined]
    deep: dict[str, object] = {"a": 1}
    for _ in range(13):
        deep = {"$not": deep}
    with pytest.raises(Exception, match=r"too many \$not"):
        await mallory("matches", 1, {"$and": [deep] * 300})
    assert await mallory("matches", {"a": 1}, {"$not": {"$not": {"a": 1}}}) is True


@pytest.mark.every_version
async def test_who_administers_a_part_cannot_make_everybody_pay(
    root: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    """For rules that each write or search looks through, rights that each call of another reads, ages that are followed."""
    mallory = await agent("mallory", "read q/**", "write q/**", "admin q/**")
    await agent("victim", "read v/**")
    await root("set_search", "w/**", ["text"])
    superuser = await session(SUPERUSER)
    await superuser.execute(
        'insert into pgstate.access_grant (agent_id, subtree, "right", granted_by) '
        "select a.id, 'q/' || n, 'read', 'mallory' from pgstate.agent a, generate_series(1, 999) n where a.name = 'victim'"
    )
    await mallory("grant_access", "victim", "q/last", "read")
    for number in range(100):
        await mallory("set_search", f"q/{number}/**", ["text"])
        await mallory("set_audit_chain", f"q/{number}/**", True)
    for number in range(1, 21):
        await mallory("set_policy", f"q/{number}/**", keep=f"{number} days")
    await mallory.refuses(
        "PS060", "grant_access('victim', 'q/more', 'read')", "deny_access('victim', 'q/more', 'read')",
        "set_search('q/more/**', array['text'])", "set_audit_chain('q/more/**', true)", "set_policy('q/more/**', keep => '21 days')",
    )  # fmt: skip
    # others of the same, what is there already, and what nobody else pays for
    await mallory("grant_access", "victim", "q/last", "read", ttl=seconds(60))
    await mallory("grant_access", "mallory", "q/more", "read")
    await mallory("set_search", "q/1/**", ["title"])
    await mallory("set_audit_chain", "q/1/**", False)
    await mallory("set_policy", "q/more/**", keep="1 day")
    await mallory("set_policy", "q/more/**", keep="7 versions")
    await root("grant_access", "victim", "q/more", "read")
    await root("set_search", "q/more/**", ["text"])
    await root("set_policy", "q/more/**", keep="21 days")


@pytest.mark.core
async def test_what_is_no_text_and_no_date_keeps_nobody_from_the_rest(root: Caller, attacker: MakeAgent) -> None:
    """Errors and times of runs are their writer's: one that nothing can read would end every look at the runs beside it."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**")
    runs = {name: (await mallory("start_run", f"rw/{name}", seconds(600)))["token"] for name in ("a", "b", "c")}
    await root("start_run", "rw/z", name="good")

    async def step(name: str, type_: str, due_at: str | None = None) -> str:
        row = await mallory.connection.fetchrow(
            f"select * from pgstate.finish_steps('{{rw/a}}', '{{{runs['a']}}}', $1, $1, '{{sleep}}', '{{1}}', '{{true}}', '{{failed}}', $2, $3, '{{1}}', '{{1}}',"
            "  due_ats => array[$4::text::timestamptz])", [name], [type_], [b"\xff\x00 no"], due_at,
        )  # fmt: skip
        return str(row["code"] or row["status"])

    assert await step("one", "error") == "ok"
    for due_at in ("294276-01-01", "4000-01-01 BC", "infinity", "-infinity"):
        assert await step("two", "json", due_at) == "PS007"
    for name, state in (("b", "done"), ("c", "failed")):
        assert (await mallory("end_run", f"rw/{name}", runs[name], state, "error", b"\xff\x00 no"))["status"] == "ok"
    assert [row["error"] for row in await root.rows("run_steps", "rw/a")] == ["\\377\\000 no"]
    assert [(row["key"], row["error"]) for row in await root.rows("runs", "rw/**")] == [
        ("rw/a", None), ("rw/b", "\\377\\000 no"), ("rw/c", "\\377\\000 no"), ("rw/z", None),
    ]  # fmt: skip
    assert [row["error"] for row in await root.fetch("select error from pgstate.steps")] == ["\\377\\000 no"]
    assert len(await root.fetch("select * from pgstate.runs")) == 4


@pytest.mark.core
async def test_what_an_agent_has_recorded_counts_as_written(
    root: Caller, attacker: MakeAgent, agent: MakeAgent
) -> None:
    """The audit trail keeps each for good: a quota of writes holds for what fills it too, and never for who takes rights away."""
    mallory = await attacker("mallory", "read rw/**", "write rw/**", "admin rw/**")
    boss = await agent("boss", "admin **", "read **", "write **")
    await agent("eve")
    await root("allow_credential", "mallory", "*", "*")
    await root("put", "rw/x", 1)
    for calls in (
        ("use_credential('a', 'b')",),
        ("grant_access('eve', 'rw/x', 'read')", "revoke_access('eve', 'rw/x', 'read')"),
        ("deny_access('eve', 'rw/x', 'read')", "revoke_access('eve', 'rw/x', 'read', deny => true)"),
        ("set_policy('rw/x', ttl => '1 h')", "drop_policy('rw/x')"),
        ("set_audit_chain('rw/x')", "set_audit_chain('rw/x', false)"),
        ("claim('rw/x', '1 h')", "release('rw/x', force => true)"),
    ):
        await root("set_quota", "mallory", writes_per_minute=6)
        with refused("PS060"):
            for _ in range(14):  # over the end of a minute too
                for call in calls:
                    await mallory.fetch(f"select * from pgstate.{call}")
        # counted anew
        await root("set_quota", "mallory")
        await root.rows("maintain")
        for _ in range(2):
            await mallory.rows("report_denial", "x")
    await root("set_quota", "boss", writes_per_minute=1)
    for _ in range(3):
        await boss("grant_access", "eve", "zz", "read")
        await boss("revoke_access", "eve", "zz", "read")
    await boss.rows("suspend_agent", "mallory")
