"""The command line: what it prints on a terminal and into a pipe, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from client._cli import Result, invoke, lines, on_terminal, start
from conftest import INSTALLER, Database
from pgstate.cli import _output


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    """Runs a command against this test's database, as its installer."""

    def run(*args: str, stdin: str | bytes = "") -> Result:
        return invoke(*args, dsn=dsn, stdin=stdin)

    return run


@pytest.fixture
def ok(pg: Callable[..., Result]) -> Callable[..., str]:
    """The same for commands that must succeed without a word on stderr; returns their output."""

    def run(*args: str, stdin: str | bytes = "") -> str:
        result = pg(*args, stdin=stdin)
        assert (result.code, result.err) == (0, ""), result
        return result.out

    return run


# -- values


def test_put_prints_the_version_and_get_the_value(ok: Callable[..., str]) -> None:
    assert ok("put", "a/b", '{"x": [1, null, "é"]}') == "1\n"
    assert ok("put", "a/b", "-5") == "2\n"
    assert ok("get", "a/b") == "-5\n"
    assert ok("put", "a/b", '"5"') == "3\n"
    assert ok("get", "a/b") == '"5"\n'
    assert ok("get", "a/b", "--text") == "5\n"


def test_text_is_taken_literally_and_a_minus_reads_stdin(ok: Callable[..., str]) -> None:
    ok("put", "a", "5", "--text")
    assert ok("get", "a") == '"5"\n'
    ok("put", "a", "-", stdin='{"from": "stdin"}\n')
    assert ok("get", "a") == '{"from":"stdin"}\n'
    ok("put", "a", "-", "--text", stdin="two\nlines\n")
    assert ok("get", "a") == '"two\\nlines\\n"\n'
    assert ok("get", "a", "--text") == "two\nlines\n\n"


@pytest.mark.one_database
@pytest.mark.parametrize("value", ["hello", "NaN", "{'a': 1}", "", "[1,"])
def test_what_is_no_json_is_refused_with_the_way_out(pg: Callable[..., Result], value: str) -> None:
    result = pg("put", "refused", value)
    assert (result.code, result.out) == (2, "")
    assert "not JSON" in result.err
    assert "--text" in result.err
    # which others do not have
    for command in (("policy", "set", "a", "--schema", "no json"), ("search", "**", "--filter", "no json")):
        result = pg(*command)
        assert (result.code, "not JSON" in result.err, "--text" in result.err) == (2, True, False)
    assert pg("get", "refused").code == 3


@pytest.mark.one_database
def test_numbers_come_there_as_they_were_typed(pg: Callable[..., Result]) -> None:
    for number in ("0.1", "1.10", "1e22", "-2.5E-3", "5e-324", "12345678901234567890", "[1.5, 1e308]"):
        assert pg("put", "a", number).code == 0, number
    for number in ("12345678901234567890.123456789", "[0.1000000000000000055511151231257827]", "1e400", "1e-400"):
        result = pg("put", "a", number)
        assert result.code == 2 and "would become" in result.err and "SQL" in result.err, number


def test_an_exponent_that_is_no_number_of_the_database(pg: Callable[..., Result]) -> None:
    result = pg("put", "a", "1e99999999999999999999")
    assert result.code == 2
    assert "its exponent is out of range" in result.err and "--text" in result.err


def test_merging_without_a_reducer_says_that_none_was_given(pg: Callable[..., Result]) -> None:
    result = pg("merge", "a", "1")
    assert result.code == 2 and "or none given where no policy sets one" in result.err


def test_stdin_that_is_no_text_is_refused(pg: Callable[..., Result]) -> None:
    result = pg("put", "a", "-", stdin=b"\xff\xfe")
    assert result.code == 2
    assert "UTF-8" in result.err


def test_put_passes_its_options_on(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    ok("put", "a", "1", "--expect", "0", "--priority", "7", "--not-before", "2100-01-01T00:00Z", "--ttl", "2h")
    (entry,) = lines(ok("get", "a", "--json"))
    assert (entry["priority"], entry["not_before"]) == (7, "2100-01-01T00:00:00Z")
    lasts = datetime.fromisoformat(entry["expires_at"]) - datetime.fromisoformat(entry["updated_at"])
    assert lasts == timedelta(hours=2)
    assert ok("put", "a", "2", "--expect-value", "1", "--op-id", "once") == "2\n"
    assert ok("put", "a", "2", "--expect-value", "1", "--op-id", "once") == "2\n"
    assert pg("put", "a", "3", "--op-id", "once").code == 2


def test_merge(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    assert ok("merge", "n", "2", "add") == "1\n"
    assert ok("merge", "n", "-0.5", "add", "--return-value") == "1.5\n"
    assert lines(ok("--json", "merge", "n", "1", "add", "--return-value")) == [{"key": "n", "value": 2.5}]
    assert pg("merge", "n", "1", "zork").code == 2
    assert pg("merge", "n", '["x"]', "append").code == 2


def test_rm(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    ok("put", "a", "1")
    assert pg("rm", "a", "--expect", "9").code == 4
    assert ok("rm", "a") == "2\n"
    assert pg("rm", "a").code == 3


# -- listing


def test_ls_is_tab_separated_in_a_pipe(ok: Callable[..., str]) -> None:
    ok("put", "t/2", json.dumps({"tab": "a\tb\n", "long": "x" * 500}))
    ok("put", "t/1", "1")
    ok("put", "u/1", "1")
    rows = [line.split("\t") for line in ok("ls", "t/*").splitlines()]
    assert [row[:2] for row in rows] == [["t/1", "1"], ["t/2", "1"]]
    assert json.loads(rows[1][2]) == {"tab": "a\tb\n", "long": "x" * 500}
    assert [row[3] for row in rows] == ["admin", "admin"]
    assert datetime.fromisoformat(rows[0][4]).utcoffset() == timedelta(0)
    assert ok("ls", "none/**") == ""


def test_ls_of_a_folder_says_how(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    ok("put", "t/1", "1")
    result = pg("ls", "t/")
    assert (result.code, result.out) == (2, "")
    for pattern in ("t/*", "t/**"):
        assert f" {pattern} " in result.err
        assert ok("ls", pattern) != ""


def test_json_and_csv_have_every_column(ok: Callable[..., str]) -> None:
    ok("put", "t/1", '{"a": "é,\\"\\n"}')
    ok("put", "t/2", "null")
    one, two = lines(ok("ls", "--json"))
    assert (one["key"], one["value"], one["version"], one["kind"]) == ("t/1", {"a": 'é,"\n'}, 1, "value")
    assert two["value"] is None
    # before the command's name it means the same
    assert lines(ok("--json", "ls")) == [one, two]
    read = list(csv.DictReader(io.StringIO(ok("ls", "--csv"))))
    assert [list(row) for row in read] == [list(one)] * 2
    assert [json.loads(row["value"]) for row in read] == [one["value"], None]
    assert read[0]["updated_at"] == one["updated_at"]
    assert next(iter(csv.DictReader(io.StringIO(ok("get", "t/1", "--csv"))))) == read[0]


def test_ls_pages(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    for name in "abcde":
        ok("put", name, "1")
    result = pg("ls", "--limit", "2")
    assert [line[0] for line in result.out.splitlines()] == ["a", "b"]
    assert "--after b" in result.err
    assert [line[0] for line in ok("ls", "--after", "c").splitlines()] == ["d", "e"]
    assert [line[0] for line in ok("ls", "--limit", "2", "--all").splitlines()] == list("abcde")
    assert len(list(csv.reader(io.StringIO(ok("ls", "--csv", "--limit", "2", "--all"))))) == 6


def test_history(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    ok("put", "a", "1")
    ok("merge", "a", "2", "add")
    ok("rm", "a")
    rows = [line.split("\t") for line in ok("history", "a").splitlines()]
    assert [row[:4] for row in rows] == [
        ["3", "delete", "", "admin"],
        ["2", "merge", "3", "admin"],
        ["1", "put", "1", "admin"],
    ]
    part = pg("history", "a", "--json", "--before", "3", "--limit", "1")
    assert [row["version"] for row in lines(part.out)] == [2]
    assert "--before 2" in part.err
    assert len(ok("history", "a", "--limit", "3").splitlines()) == 3
    assert ok("history", "a", "--before", "1") == ""
    assert pg("history", "b").code == 3
    assert pg("history", "a", "--limit", "0").code == 2


def test_lists_that_are_cut_say_how_to_go_on(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    for name in ("a", "b"):
        ok("put", name, "1")
        ok("agents", "create", name)
    newest = lines(ok("audit", "--json"))[0]["id"]
    cut = {"tasks": "--after a", "audit ls": f"--before {newest}"}
    for command, way in cut.items():
        assert way in pg(*command.split(), "--limit", "1").err, command
        assert len(ok(*command.split(), "--limit", "3").splitlines()) == 2


# -- a terminal


def test_tables_on_a_terminal_shorten_values_and_keep_keys(ok: Callable[..., str], dsn: str) -> None:
    ok("put", "long/value", json.dumps("x" * 3000))
    ok("put", "some/other", "1")
    head, _, first, second = (line.rstrip() for line in on_terminal("ls", dsn=dsn, apart=True).splitlines())
    assert head.split() == ["key", "version", "value", "writer", "updated"]
    assert first.startswith("long/value")
    assert re.search(r'1   "x+…   admin    (now|\d+ (s|min) ago)$', first)
    assert second.split()[:3] == ["some/other", "1", "1"]
    assert max(map(len, (head, first, second))) <= 100


def test_what_says_nothing_leaves_its_room_to_the_rest(ok: Callable[..., str], dsn: str) -> None:
    ok("put", "a" * 60, "1")
    head, _, row = on_terminal("tasks", dsn=dsn).splitlines()
    assert (head.split(), row.split()) == (["key", "state", "attempts"], ["a" * 60, "waiting", "0"])


def test_what_is_to_be_noted_is_whole(ok: Callable[..., str], dsn: str) -> None:
    ok("audit", "chain", "a/" + "b" * 50 + "/**")
    head = json.loads(ok("audit", "verify", "a/" + "b" * 50 + "/**", "--json"))["head"]
    shown = on_terminal("audit", "verify", "a/" + "b" * 50 + "/**", dsn=dsn).splitlines()[2:]
    assert head in "".join(row.split()[-1] for row in shown)
    assert ok("audit", "keep", "365d") and "for 365 d" in on_terminal("audit", "keep", "365d", dsn=dsn)


def test_an_event_of_the_audit_trail_is_whole(ok: Callable[..., str], dsn: str) -> None:
    ok("agents", "create", "alice")
    ok("credentials", "allow", "alice", "deploy", "for " + "b" * 100)
    ok("audit", "chain", "a/" + "b" * 80 + "/**")
    assert {"allow_credential", "set_audit_chain"} <= set(on_terminal("audit", dsn=dsn).split())


def test_all_rules_and_whole_subtrees_of_policies(ok: Callable[..., str], dsn: str) -> None:
    work = ("--max-attempts", "5", "--backoff", "2s", "--backoff-limit", "1m", "--dead-letter", "tasks/dead")
    ok("policy", "set", "tasks/pending/agents/**", *work, "--claimed-writes", "--guard", "redact", "--trust", "agent")
    ok("policy", "set", "a/**", "--keep", "100 versions", "--schema", '{"type": "array"}', "--value-limit", "1000")
    head, _, first, *rest = on_terminal("policy", dsn=dsn).splitlines()
    assert head.split() == ["subtree", "rules"]
    assert first.rstrip().split(maxsplit=1) == ["a/**", 'keep 100 versions, value limit 1000, schema {"type":"array"}']
    said = " ".join(" ".join(rest).split())
    assert said.startswith(
        "tasks/pending/agents/** max attempts 5, backoff 2.0, backoff limit 60.0, dead letter tasks/dead"
    )
    assert said.endswith("claimed writes true, guard redact, trust agent")


def test_a_terminal_gets_sentences_and_a_pipe_numbers(ok: Callable[..., str], dsn: str) -> None:
    assert on_terminal("put", "a", "1", dsn=dsn) == "a is at version 1\n"
    assert on_terminal("put", "a", "1", "--json", dsn=dsn) == '{"key": "a", "version": 2}\n'
    head, value = on_terminal("get", "a", dsn=dsn).splitlines()
    assert head.startswith("a  version 2 · by admin · ")
    assert value == "1"
    # what is copied from there is JSON still
    ok("put", "a", json.dumps({"text": "word " * 50}))
    assert json.loads(on_terminal("get", "a", dsn=dsn).partition("\n")[2]) == {"text": "word " * 50}


@pytest.mark.thorough
def test_values_cannot_steer_the_terminal(ok: Callable[..., str], dsn: str) -> None:
    evil = "é 日本 \x1b]0;title\x07 \x9b31m \u202egpj.exe \u2028\u2029\U000e0041"
    ok("put", "a", "-", "--text", stdin=evil)
    for command in (
        ("ls",),
        ("get", "a"),
        ("get", "a", "--text"),
        ("history", "a"),
        ("watch", "--initial", "--limit=1"),
    ):
        said = on_terminal(*command, dsn=dsn)
        assert not set("\x1b\x07\x9b\u202e\u2028\u2029\U000e0041") & set(said), command
        assert "é 日本" in said
    assert ok("get", "a", "--text") == evil + "\n"


def test_times_as_people_say_them() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    said = [_output.ago(now - timedelta(seconds=s), now) for s in (0, 5, 61, 7200, 3 * 86400, -90)]
    assert said == ["now", "5 s ago", "1 min ago", "2 h ago", "3 d ago", "in 1 min"]
    assert _output.ago(now - timedelta(days=30), now).startswith("2026-01-")


# -- watch


def test_watch_goes_on_from_a_cursor_and_ends_at_its_limit(ok: Callable[..., str], database: Database) -> None:
    ((cursor,),) = database.sql("select pgstate.cursor()", INSTALLER)
    ok("put", "t/1", "1")
    ok("put", "other", "1")
    ok("put", "t/1", "2")
    ok("rm", "t/1")
    changes = lines(ok("watch", "t/*", "--since", cursor, "--limit", "3", "--json"))
    assert [(c["op"], c["version"], c["value"], c["previous"]) for c in changes] == [
        ("put", 1, 1, None),
        ("put", 2, 2, 1),
        ("delete", 3, None, 2),
    ]
    (after,) = lines(ok("watch", "t/*", "--since", changes[1]["cursor"], "--limit", "1", "--json"))
    assert after == changes[2]
    rows = [line.split("\t") for line in ok("watch", "t/*", "--since", cursor, "--limit", "2").splitlines()]
    assert [row[1:] for row in rows] == [["put", "t/1", "1", "1", "admin"], ["put", "t/1", "2", "2", "admin"]]
    table = list(csv.DictReader(io.StringIO(ok("watch", "t/*", "--since", cursor, "--limit", "2", "--csv"))))
    assert [row["value"] for row in table] == ["1", "2"]


def test_watch_takes_no_cursor_that_is_none(pg: Callable[..., Result]) -> None:
    assert pg("watch", "--since", "nonsense").code == 2
    assert pg("watch", "--since", "nonsense", "--initial").code == 2


def test_watch_streams_what_is_there_and_what_comes_until_ctrl_c(ok: Callable[..., str], dsn: str) -> None:
    ok("put", "t/1", "1")
    process = start("watch", "t/*", "--initial", "--json", dsn=dsn)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["op"], first["key"]) == ("entry", "t/1")
    ok("put", "t/2", "2")
    second = json.loads(process.stdout.readline())
    assert (second["op"], second["key"], second["value"]) == ("put", "t/2", 2)
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_watch_ends_when_nobody_reads_it_any_more(ok: Callable[..., str], dsn: str) -> None:
    ok("put", "t/1", "1")
    process = start("watch", "--initial", dsn=dsn)
    assert process.stdout is not None and process.stderr is not None
    assert "t/1" in process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_reader_that_has_enough_is_no_error(ok: Callable[..., str], dsn: str) -> None:
    for number in range(4):
        ok("put", f"t/{number}", json.dumps("x" * 200_000))
    process = start("ls", dsn=dsn)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(3) == "t/0"
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_cannot_write_stays_json(
    ok: Callable[..., str], dsn: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    value = {"t": "Zürich \u2013 \U0001f600"}
    ok("put", "t", json.dumps(value))
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    process = start("get", "t", dsn=dsn, encoding=encoding)
    said, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert json.loads(said) == value
    process = start("--help", dsn=dsn, encoding=encoding)
    assert "Usage" in process.communicate()[0]
    assert process.returncode == 0


@pytest.mark.thorough
def test_closed_streams(ok: Callable[..., str], dsn: str) -> None:
    def told(redirected: str, *args: str) -> tuple[int, str]:
        process = start(*args, dsn=dsn, redirected=redirected)
        _, errors = process.communicate()
        return process.returncode, errors

    assert told(">&-", "put", "a", "1") == (0, "")
    assert ok("get", "a") == "1\n"
    assert told(">&- 2>&-", "get", "none") == (3, "")
    assert told("<&-", "put", "a", "-") == (2, "error: VALUE is to come from stdin, which is closed\n")


# -- claims


def test_claims(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    assert pg("claim", "tasks/*").code == 3
    assert pg("claim", "tasks/1").code == 3
    assert pg("claim", "tasks/*", "--wait", "1ms").code == 3
    ok("put", "tasks/1", '{"what": "it"}')
    (claim,) = lines(ok("claim", "tasks/*", "--lease", "5m", "--json"))
    token = str(claim["token"])
    assert (claim["key"], claim["value"], claim["attempts"]) == ("tasks/1", {"what": "it"}, 1)
    assert pg("claim", "tasks/1").code == 4
    assert pg("claim", "tasks/*").code == 3
    assert ok("put", "tasks/1", "2", "--token", token) == "2\n"
    assert pg("put", "tasks/1", "3", "--token", str(claim["token"] + 1)).code == 4
    (renewed,) = lines(ok("claim", "tasks/1", "--renew", token, "--lease", "1h", "--json"))
    assert renewed["lease_until"] > claim["lease_until"]
    ok("claim", "tasks/1", "--release", token)
    # asked again, as after a lost reply, it is still given back
    ok("claim", "tasks/1", "--release", token)
    for option in ("--renew", "--complete"):
        assert pg("claim", "tasks/1", option, token).code == 4
    key, token, value, _, attempts = ok("claim", "tasks/1").rstrip("\n").split("\t")
    assert (key, value, attempts) == ("tasks/1", "2", "2")
    assert ok("claim", "tasks/1", "--complete", token) == "3\n"
    assert pg("get", "tasks/1").code == 3
    assert pg("claim", "tasks/1", "--complete", "1", "--release", "1").code == 2


def test_claims_are_listed(ok: Callable[..., str], pg: Callable[..., Result], dsn: str) -> None:
    assert ok("claims") == ""
    for key in ("tasks/1", "tasks/2", "other"):
        ok("put", key, "1")
        ok("claim", key, "--lease", "5m")
    rows = [line.split("\t") for line in ok("claims", "tasks/*").splitlines()]
    assert [(key, holder, attempts) for key, holder, _, attempts in rows] == [
        ("tasks/1", "admin", "1"),
        ("tasks/2", "admin", "1"),
    ]
    assert all(0 < float(left) <= 300 for _, _, left, _ in rows)
    listed = lines(ok("claims", "--json"))
    assert [row["key"] for row in listed] == ["other", "tasks/1", "tasks/2"]
    assert list(listed[0]) == ["key", "holder", "lease_left", "attempts", "lease_until", "claimed_at"]
    assert len(list(csv.DictReader(io.StringIO(ok("claims", "--csv"))))) == 3
    head, _, first, _ = (line.rstrip() for line in on_terminal("claims", "tasks/*", dsn=dsn).splitlines())
    assert head.split("  ")[0] == "key" and "lease left" in head
    assert re.fullmatch(r"tasks/1   admin    (5 min 0|4 min \d+) s +1", first)
    ok("put", "short", "1")
    ok("claim", "short", "--lease", "50s")
    assert re.search(r"short   admin    \d+ s +1", on_terminal("claims", "short", dsn=dsn))
    ok("agents", "create", "alice")
    ok("grant", "alice", "tasks/1", "read")
    assert [row["key"] for row in lines(ok("claims", "--json", "--agent", "alice"))] == ["tasks/1"]
    assert pg("claims", "other", "--agent", "alice").code == 5
    assert pg("claims", "a/***").code == 2


# -- access


def test_agents_and_grants(ok: Callable[..., str], pg: Callable[..., Result], login_name: Callable[[str], str]) -> None:
    ok("put", "shared/a", "1")
    ok("agents", "create", "alice")
    assert {row["agent"]: row["all_rights"] for row in lines(ok("agents", "--json"))} == {"admin": True, "alice": False}
    denied = pg("get", "shared/a", "--agent", "alice")
    assert (denied.code, denied.out) == (5, "")
    assert "agent alice may not get shared/a, which takes read" in denied.err
    # the same but for what was asked, whether or not it is there
    assert pg("get", "shared/none", "--agent", "alice").err == denied.err.replace("shared/a", "shared/none")
    assert "agent nobody" in pg("get", "shared/a", "--agent", "nobody").err
    ok("grant", "alice", "shared/**", "read", "write")
    assert ok("--agent", "alice", "get", "shared/a") == "1\n"
    ok("put", "shared/a", "2", "--agent", "alice")
    assert ok("history", "shared/a").split("\t")[3] == "alice"
    rows = [line.split("\t")[:4] for line in ok("grant", "alice").splitlines()]
    assert ["alice", "shared/**", "read", "admin"] in rows
    assert len(rows) == 4
    assert len(lines(ok("grant", "--json"))) == 7
    ok("revoke", "alice", "shared/**", "write")
    assert pg("put", "shared/a", "3", "--agent", "alice").code == 5
    assert pg("agents", "create", "bob", "--agent", "alice").code == 0
    gateway = login_name("gateway")
    ok("agents", "create-gateway", gateway)
    ok("agents", "delegate", gateway, "alice")
    (alice,) = [row for row in lines(ok("agents", "--json")) if row["agent"] == "alice"]
    assert alice["gateways"] == [gateway]
    ok("agents", "undelegate", gateway, "alice")
    ok("agents", "create-reader", login_name("reader"), "shared/**")


def test_rights_are_checked_before_the_first_is_granted(ok: Callable[..., str], pg: Callable[..., Result]) -> None:
    ok("agents", "create", "alice")
    before = ok("grant", "alice")
    for rights in ([], ["read", "rule"]):
        assert pg("grant", "alice", "a/**", *rights).code == 2
    assert pg("grant", "alice", "a/*", "read").code == 2
    assert pg("grant", "nobody", "a/**", "read").code == 2
    assert ok("grant", "alice") == before


def test_agents_go_and_move(
    ok: Callable[..., str], pg: Callable[..., Result], dsn: str, login_name: Callable[[str], str]
) -> None:
    first, second, gateway = login_name("first"), login_name("second"), login_name("gateway")
    ok("agents", "create", "alice", "--login", first)
    ok("put", "memory/alice/secret", "1", "--agent", "alice")
    ok("agents", "create-gateway", gateway)
    ok("agents", "delegate", gateway, "alice")

    def alice() -> list[tuple[str | None, list[str]]]:
        return [(row["login"], row["gateways"]) for row in lines(ok("agents", "--json")) if row["agent"] == "alice"]

    assert ok("agents", "set-login", "alice", second) == f"alice\t{second}\n"
    assert alice() == [(second, [gateway])]
    assert lines(ok("agents", "set-login", "alice", "--none", "--json")) == [{"agent": "alice", "login": None}]
    for wrong in ((), (first, "--none")):
        assert pg("agents", "set-login", "alice", *wrong).code == 2
    assert ok("agents", "drop-gateway", gateway) == f"{gateway}\n"
    assert pg("agents", "drop-gateway", gateway).code == 2
    assert alice() == [(None, [])]
    assert pg("agents", "drop", "admin").code == 2
    ok("agents", "set-login", "alice", second)
    said = on_terminal("agents", "drop", "alice", dsn=dsn)
    assert said == f"agent alice is dropped; what it wrote stays, and so does the database role {second}\n"
    assert alice() == []
    assert pg("get", "memory/alice/secret", "--agent", "alice").code == 5
    assert ok("agents", "drop", "alice") == "alice\n"
    assert pg("agents", "drop", "alise").code == 2
    refused = pg("agents", "create", "alice")
    assert refused.code == 2 and "memory/alice/**" in refused.err
    ok("agents", "create", "alice", "--reuse")
    assert ok("get", "memory/alice/secret", "--agent", "alice") == "1\n"
    reader = login_name("reader")
    ok("agents", "create-reader", reader, "a/**")
    assert ok("agents", "drop", reader) == f"{reader}\n"
    assert pg("agents", "create-reader", reader, "a/**").code == 2
    ok("agents", "create-reader", reader, "a/**", "--reuse")
