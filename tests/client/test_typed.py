"""Typed state: what is stored where, updates that merge, replacing, and what is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import operator
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import pytest

import pgstate
from client._locks import Locks
from client._proxy import Proxy
from client._typed import Finding, Notes, Report, Research
from client.conftest import Connect
from pgstate import State, TypedState, errors, ops

PATH = "research/task-7"


@pytest.fixture
def view(state: State) -> TypedState[Research]:
    return state.typed(Research, PATH)


async def stored(state: State) -> dict[str, Any]:
    return {entry.key.removeprefix(f"{PATH}/"): entry.value for entry in await state.list(f"{PATH}/**")}


async def test_a_state_is_one_key_a_field(state: State, view: TypedState[Research], admin: asyncpg.Connection) -> None:
    assert view.path == PATH
    assert view.reducers == {"topic": "replace", "findings": "append", "steps": "add", "best": "max", "tags": "union"}
    assert await view.load() is None
    assert await view.update(topic="owls", findings=["hunts"], steps=1, tags={"a"}) == {
        "topic": 1, "findings": 1, "steps": 1, "tags": 1,
    }  # fmt: skip
    assert await stored(state) == {"topic": "owls", "findings": ["hunts"], "steps": 1, "tags": ["a"]}
    # written by somebody with SQL
    await admin.execute("select pgstate.merge('research/task-7/findings', '\"flies\"', 'append')")
    await admin.execute("select pgstate.put('research/task-7/other', '1'), pgstate.put('research/task-7', '1')")
    assert await view.load() == Research("owls", ["hunts", "flies"], 1, 0.0, {"a"})
    assert await view.load(partial=True) == {"topic": "owls", "findings": ["hunts", "flies"], "steps": 1, "tags": {"a"}}
    assert await view.delete() is True
    assert await view.load() is None
    assert await view.load(partial=True) == {}
    assert [entry.key for entry in await state.list("research/**")] == [PATH, f"{PATH}/other"]
    assert await view.delete() is False


async def test_an_update_is_one_statement(state: State, view: TypedState[Research]) -> None:
    before = state.stats.statements
    versions = await view.update(topic="owls", findings="x", steps=2, best=1.5, tags={"a"})
    assert state.stats.statements == before + 1
    assert len(versions) == 5
    history = [version for name in versions for version in await state.history(f"{PATH}/{name}")]
    assert {version.op for version in history} == {"merge"}
    assert await view.update() == {} == await view.update({})
    assert state.stats.statements == before + 1 + len(versions)


async def test_a_field_that_is_not_stored_starts_from_its_default(view: TypedState[Research], state: State) -> None:
    await view.update(topic="owls", best=-1.0)
    assert await view.load() == Research("owls", best=0.0)
    await view.update(best=2.0)
    assert [version.value for version in await state.history(f"{PATH}/best")] == [2.0, 0.0]


async def test_what_a_state_lacks_is_named(view: TypedState[Research], state: State) -> None:
    await view.update(findings="x")
    with pytest.raises(errors.InvalidValue, match="not a whole Research yet: nothing stored for topic"):
        await view.load()
    assert await view.load(partial=True) == {"findings": ["x"]}
    await state.put(f"{PATH}/topic", 5)
    with pytest.raises(errors.InvalidValue, match="not a valid Research: topic"):
        await view.load()
    with pytest.raises(errors.InvalidValue, match=r"Research\.topic"):
        await view.load(partial=True)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"topik": "x"}, errors.InvalidArgument),
        ({"topic": 5}, errors.InvalidValue),
        ({"findings": [5]}, errors.InvalidValue),
        ({"findings": None}, errors.InvalidValue),
        ({"steps": "many"}, errors.InvalidValue),
        ({"best": float("nan")}, errors.InvalidValue),
        ({"topic": "\0"}, errors.InvalidValue),
        ({"tags": {"a": 1}}, errors.InvalidValue),
    ],
)
async def test_what_does_not_fit_is_refused_before_it_is_sent(
    view: TypedState[Research], state: State, fields: dict[str, Any], error: type[Exception]
) -> None:
    before = state.stats.statements
    with pytest.raises(error):
        await view.update(**{"topic": "x", "steps": 1, **fields})
    with pytest.raises(error):
        await view.update({"steps": 1, **fields}, guards=[ops.absent("x")])
    assert state.stats.statements == before
    assert await view.load() is None


async def test_an_update_that_the_database_refuses_writes_nothing(view: TypedState[Research], state: State) -> None:
    await state.put(f"{PATH}/steps", "text")
    for further in ({}, {"op_id": "once"}):
        with pytest.raises(errors.ReducerMismatch, match=f"^{PATH}/steps: "):
            await view.update(topic="owls", steps=1, **further)
    await state.put(f"{PATH}/best", 1.0)
    claim = await state.claim(f"{PATH}/best")
    assert claim is not None
    with pytest.raises(errors.ClaimHeld) as caught:
        await view.update(topic="owls", best=2.0)
    assert caught.value.key == f"{PATH}/best"
    with pytest.raises(errors.ValueTooLarge):
        await view.update(topic="x" * ((1 << 20) + 1), findings="x")
    assert await stored(state) == {"steps": "text", "best": 1.0}


async def test_one_update_that_is_refused_spoils_no_other(view: TypedState[Research], state: State) -> None:
    other = state.typed(Research, "research/other")
    await state.put("research/other/steps", "text")
    outcomes = await asyncio.gather(
        *(
            made
            for number in range(30)
            for made in (view.update(findings=[str(number)], steps=1), other.update(topic="no", steps=1))
        ),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes[1::2]} == {errors.ReducerMismatch}
    assert await view.load(partial=True) == {"findings": [str(number) for number in range(30)], "steps": 30}
    assert [entry.key for entry in await state.list("research/other/*")] == ["research/other/steps"]
    assert state.stats.largest_batch > 1


async def test_a_guard_a_token_and_an_op_id(view: TypedState[Research], state: State) -> None:
    await state.put(PATH, "the task")
    claim = await state.claim(PATH)
    assert claim is not None
    await view.update(steps=1, token=claim.token, guards=[ops.exists(PATH)])
    with pytest.raises(errors.StaleToken):
        await view.update(steps=1, topic="no", token=claim.token + 1)
    with pytest.raises(errors.VersionConflict) as caught:
        await view.update({"steps": 1}, topic="no", guards=[ops.version(PATH, 7)])
    assert caught.value.key == PATH
    for _ in range(2):
        assert await view.update(steps=1, findings="once", op_id="step-1") == {"steps": 2, "findings": 1}
    with pytest.raises(errors.OpIdReused):
        await view.update(steps=2, op_id="step-1")
    assert await view.update(guards=[ops.exists(PATH)]) == {}
    with pytest.raises(errors.VersionConflict):
        await view.update(guards=[ops.absent(PATH)])
    with pytest.raises(errors.InvalidArgument):
        await view.update(steps=1, guards=[{"key": PATH, "exist": True}])
    assert await view.load(partial=True) == {"steps": 2, "findings": ["once"]}
    await view.update(topic="t")
    for write in (
        view.set(Research("x"), token=claim.token + 1),
        view.delete(token=claim.token + 1),
        view.modify(lambda _: Research("x"), token=claim.token + 1),
    ):
        with pytest.raises(errors.StaleToken):
            await write
    await view.set(Research("x"), token=claim.token)
    assert await view.modify(lambda _: Research("y"), token=claim.token) == Research("y") == await view.load()
    assert await view.delete(token=claim.token)
    with pytest.raises(errors.StaleToken):
        await view.delete(token=claim.token + 1)


async def test_names_and_keys_that_need_care(state: State) -> None:
    from typing_extensions import TypedDict

    Odd = TypedDict("Odd", {"my key": str, "op_id": int, "self": int})
    view = state.typed(Odd, "odd")
    assert await view.update({"my key": "a", "op_id": 1}, self=2) == {"my key": 1, "op_id": 1, "self": 1}
    assert [entry.key for entry in await state.list("odd/**")] == ["odd/my%20key", "odd/op_id", "odd/self"]
    assert (await state.get(f"odd/{pgstate.key('my key')}")).value == "a"  # type: ignore[union-attr]
    assert await view.load() == {"my key": "a", "op_id": 1, "self": 2}
    for path in ("", "a//b", "*", "x" * 510):
        with pytest.raises(errors.InvalidKey):
            state.typed(Odd, path)
    with pytest.raises(errors.InvalidArgument, match="fallback"):
        state.typed(Odd, "odd", fallback="python")  # type: ignore[arg-type]
    with pytest.raises(errors.UnknownReducer, match=r"Report\.score"):
        state.typed(Report, "report")


async def test_sets_replace_everything(view: TypedState[Research], state: State) -> None:
    await view.update(topic="owls", findings=["x"], steps=3)
    before = state.stats.statements
    await view.set(Research("bats", ["y"], tags={"t"}))
    assert state.stats.statements == before + 1
    assert await view.load() == Research("bats", ["y"], 0, 0.0, {"t"})
    for bad in (Research(5), Research("x", steps="1"), {"topic": "x", "more": 1}, None, {"findings": []}):  # type: ignore[arg-type]
        with pytest.raises((errors.InvalidValue, errors.InvalidArgument)):
            await view.set(bad)  # type: ignore[arg-type]
    await view.set({"topic": "cats"}, guards=[ops.exists(f"{PATH}/topic")])  # type: ignore[arg-type]
    assert await view.load() == Research("cats")
    with pytest.raises(errors.VersionConflict):
        await view.set(Research("x"), guards=[ops.absent(f"{PATH}/topic")])
    assert await view.load() == Research("cats")


async def test_a_field_that_is_left_out_is_removed(state: State) -> None:
    notes = state.typed(Notes, "notes")
    await notes.set({"title": "a", "notes": {"x": 1}, "log": [{"id": "1"}]})
    await notes.set({"title": "b", "log": [{"id": "2"}]})
    assert await notes.load() == {"title": "b", "log": [{"id": "2"}]}
    await notes.update(notes={"x": {"y": 1}}, log={"id": "2", "text": "t"})
    await notes.update(notes={"x": {"z": 2}}, log=[{"id": "3"}])
    assert await notes.load() == {
        "title": "b", "notes": {"x": {"y": 1, "z": 2}}, "log": [{"id": "2", "text": "t"}, {"id": "3"}],
    }  # fmt: skip
    await state.put("notes/title", "held")
    claim = await state.claim("notes/title")
    assert claim is not None
    with pytest.raises(errors.ClaimHeld):
        await notes.delete()
    assert len((await notes.load()) or {}) == 3


async def test_removing_meets_a_field_that_comes_or_goes(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = state.typed(Notes, "notes")
    await notes.set({"title": "a", "notes": {"x": 1}})
    meanwhile = [state.put("notes/log", [{"id": "1"}]), state.delete("notes/notes"), state.put("notes/notes", {})]
    interfere(notes, monkeypatch, meanwhile)
    assert await notes.delete() is True
    assert await notes.load() is None and not meanwhile
    endless = [state.put("notes/log", []) if n % 2 else state.delete("notes/log") for n in range(1, 12)]
    interfere(notes, monkeypatch, endless)
    with pytest.raises(errors.VersionConflict, match="10 attempts"):
        await notes.set({"title": "x"})
    assert await notes.load(partial=True) == {} or "title" not in await notes.load(partial=True)
    for rest in endless:
        rest.close()


def interfere(view: TypedState[Any], monkeypatch: pytest.MonkeyPatch, writes: list[Any]) -> None:
    """One of these writes happens between each reading of the view and its writing."""
    real = TypedState._read

    async def read(self: TypedState[Any], names: Any) -> Any:
        found = await real(self, names)
        if self is view and writes:
            await writes.pop(0)
        return found

    monkeypatch.setattr(TypedState, "_read", read)


async def test_modify_writes_what_differs_unless_anything_changed(
    view: TypedState[Research], state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await view.modify(lambda old: Research("new") if old is None else old) == Research("new")
    seen = []

    async def grow(old: Research | None) -> Research:
        assert old is not None
        seen.append(old.steps)
        old.findings.append(f"at {old.steps}")
        return dataclasses.replace(old, steps=old.steps + 1)

    interfere(view, monkeypatch, [state.merge(f"{PATH}/best", 2.0, "max"), state.put(f"{PATH}/steps", 5)])
    assert await view.modify(grow) == Research("new", ["at 5"], 6, 2.0)
    assert seen == [0, 0, 5]
    assert len(await state.history(f"{PATH}/topic")) == 1
    before = state.stats.writes
    assert await view.modify(lambda old: old or Research("x")) == await view.load()
    assert state.stats.writes == before
    endless = [state.merge(f"{PATH}/steps", 1, "add") for _ in range(3)]
    interfere(view, monkeypatch, endless)
    with pytest.raises(errors.VersionConflict, match="2 attempts") as caught:
        await view.modify(grow, attempts=2)
    assert caught.value.key == f"{PATH}/steps" and caught.value.version == 5
    endless.pop().close()
    with pytest.raises(errors.InvalidArgument):
        await view.modify(grow, attempts=0)
    with pytest.raises(errors.VersionConflict) as conflict:
        await view.modify(grow, guards=[ops.absent(f"{PATH}/topic")])
    assert conflict.value.key == f"{PATH}/topic"
    with pytest.raises(errors.InvalidValue):
        await view.modify(lambda old: Research(5))  # type: ignore[arg-type]


async def test_modify_leaves_defaults_unwritten_and_removes_what_is_left_out(state: State) -> None:
    view = state.typed(Research, PATH)
    await view.update(topic="owls")
    await view.modify(lambda old: dataclasses.replace(old, steps=1) if old else Research("x"))
    assert await stored(state) == {"topic": "owls", "steps": 1}
    notes = state.typed(Notes, "notes")
    await notes.set({"title": "a", "notes": {}})
    assert await notes.modify(lambda old: {"title": "a"}) == {"title": "a"} == await notes.load()
    assert len(await state.history("notes/title")) == 1


@dataclasses.dataclass
class Extremes:
    name: str
    best: Annotated[float, max] = -math.inf
    limit: float = math.inf
    found: Annotated[list[int] | None, operator.add] = None
    last: int | None = None


@dataclasses.dataclass
class Sparse:
    found: Annotated[list[int] | None, operator.add] = None


async def test_defaults_that_are_not_stored(state: State) -> None:
    view = state.typed(Extremes, PATH)
    await view.modify(lambda old: Extremes("a"))
    assert await stored(state) == {"name": "a", "last": None}
    await view.update(best=-5.0, limit=3.0)
    await view.modify(lambda old: dataclasses.replace(old, name="b") if old else Extremes("x"))
    assert await view.load() == Extremes("b", -5.0, 3.0)
    await view.set(Extremes("c"))
    assert await stored(state) == {"name": "c", "last": None}
    assert await view.load() == Extremes("c")
    await state.typed(Sparse, "sparse").set(Sparse())
    assert await state.typed(Sparse, "sparse").load() == Sparse()
    await view.update(found=[1])
    await view.update(found=[2])
    assert await view.load() == Extremes("c", found=[1, 2])
    with pytest.raises(errors.InvalidValue, match=r"Extremes\.limit: .*NaN and infinity"):
        await view.update(best=1.0, limit=-math.inf)
    with pytest.raises(errors.InvalidValue, match=r"Extremes\.best: .*NaN and infinity"):
        await view.set(Extremes("d", math.inf))


async def test_functions_are_applied_under_compare_and_set(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    view = state.typed(Report, "report", fallback="cas")
    assert view.reducers["score"] == "cas" and view.reducers["findings"] == "append"
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert await view.update(score=4.0, findings=Finding(text="x", at=at)) == {"findings": 1, "score": 1}  # fmt: skip
    interfere(view, monkeypatch, [state.put("report/score", 8.0), state.put("report/score", 2.0)])
    assert await view.update(score=4.0, left=1, right=1) == {"left": 1, "right": 1, "score": 4}
    assert await view.load() == Report(findings=[Finding(text="x", at=at)], score=3.0, left=1, right=1)
    with pytest.raises(errors.InvalidArgument, match="score"):
        await view.update(score=4.0, op_id="x")
    with pytest.raises(errors.VersionConflict) as caught:
        await view.update(score=4.0, guards=[ops.absent("report/left")])
    assert caught.value.key == "report/left"
    endless = [state.put("report/score", float(n)) for n in range(10)]
    interfere(view, monkeypatch, endless)
    with pytest.raises(errors.VersionConflict, match="10 attempts"):
        await view.update(score=1.0, left=1, right=1)
    assert await view.load(partial=True) == {
        "findings": [Finding(text="x", at=at)], "score": 9.0, "left": 1, "right": 1,
    }  # fmt: skip


async def test_views_of_a_namespace_and_of_another_agent(gateway: Connect, make_agent: Any, state: State) -> None:
    await make_agent("alice", "read alice/**", "write alice/**")
    await make_agent("bob", "read alice/t/topic", "write alice/**")
    shared = await gateway("alice", "bob")
    alice = shared.as_agent("alice").namespace("alice").typed(Research, "t")
    bob = shared.as_agent("bob").typed(Research, "alice/t")
    assert alice.path == "t"
    with pytest.raises(errors.VersionConflict) as caught:
        await alice.update(steps=1, guards=[ops.exists("t/topic")])
    assert caught.value.key == "t/topic"
    assert await alice.update(topic="a", steps=1) == {"topic": 1, "steps": 1}
    assert await bob.update(topic="b", steps=1) == {"topic": 2, "steps": 0}
    assert await alice.load() == Research("b", steps=2)
    for denied in (bob.load(), bob.delete(), bob.modify(lambda _: Research("x")), anext(bob.watch())):
        with pytest.raises(errors.AccessDenied):
            await denied
    with pytest.raises(errors.AccessDenied):
        await shared.as_agent("alice").typed(Research, "elsewhere").update(steps=1)
    with pytest.raises(errors.AccessDenied):
        await shared.typed(Research, "alice/t").load()
    # blind, but all fields: nothing has to be looked at
    await bob.set(Research("c"))
    assert (await state.typed(Research, "alice/t").load()) == Research("c")
    assert (await state.get("alice/t/topic")).writer == "bob"  # type: ignore[union-attr]


@pytest.mark.parametrize("loss", ["lose_request", "lose_reply"])
async def test_an_update_whose_reply_was_lost_happens_once(
    connect: Connect, state: State, proxy: Proxy, loss: str
) -> None:
    far = (await connect(dsn=proxy.dsn)).typed(Research, PATH)
    await far.update(topic="owls", steps=1)
    lost = getattr(proxy, loss)(b"marker")
    await asyncio.gather(far.update(findings="marker", steps=1), far.update(findings="more", steps=1))
    assert lost.is_set()
    loaded = await state.typed(Research, PATH).load()
    assert loaded is not None and (loaded.findings, loaded.steps) == (["marker", "more"], 3)


async def test_a_locked_field_holds_up_updates_of_its_state_alone(state: State, locks: Locks) -> None:
    held, free = state.typed(Research, "research/held"), state.typed(Research, "research/free")
    await asyncio.gather(held.update(topic="a"), free.update(topic="a"))
    async with locks.on("research/held/topic"):
        waiting = [asyncio.create_task(held.update(topic=str(number), steps=1)) for number in range(3)]
        passing = [asyncio.create_task(free.update(topic=str(number), steps=1)) for number in range(3)]
        async with asyncio.timeout(20):
            await asyncio.gather(*passing)
            await locks.waited_for(1)
        assert not any(task.done() for task in waiting)
        with pytest.raises(errors.Timeout):
            await state.with_timeout(0.05).typed(Research, "research/held").update(topic="late")
    await asyncio.gather(*waiting)
    assert (await held.load(), await free.load()) == (Research("2", steps=3), Research("2", steps=3))


async def test_closing_finishes_updates_that_are_under_way(connect: Connect, state: State, locks: Locks) -> None:
    closing = await connect()
    view = closing.typed(Research, PATH)
    await view.update(topic="a")
    async with locks.on(f"{PATH}/topic"):
        calls = [asyncio.create_task(view.update(topic=str(number), steps=1)) for number in range(3)]
        await locks.waited_for(1)
        end = asyncio.create_task(closing.close())
        await asyncio.sleep(0)
        with pytest.raises(errors.Closed):
            await view.update(topic="late")
        assert not end.done()
    await asyncio.gather(*calls, end)
    assert await state.typed(Research, PATH).load() == Research("2", steps=3)
    with pytest.raises(errors.Closed):
        await view.load()
