"""A life of a blackboard in which every public function is called with every parameter: what entry points are held to.

Each line: since which revision, the function, its arguments as SQL in the order of its parameters, all of them, and what
to remember of the result. `{name}` is something remembered, `{login}` a name of a database role.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LANE = "'6f1f2a52-0000-4000-8000-000000000001'"
ANA = "'{login}_ana'"


@dataclass(frozen=True)
class Call:
    since: str
    function: str
    arguments: dict[str, str]
    keep: dict[str, str] = field(default_factory=dict)


def _(since: str, function: str, keep: dict[str, str] | None = None, /, **arguments: str) -> Call:
    # names that Python has for itself come with an underscore
    return Call(since, function, {name.rstrip("_"): value for name, value in arguments.items()}, keep or {})


CALLS = [
    _("0001", "info", agent="'admin'"),
    _("0001", "me", agent="null"),
    _("0001", "key", segments="array['notes', 'a b/c']"),
    _("0001", "create_agent", name="'ana'", login=ANA, reuse="false"),
    _("0001", "create_agent", name="'bob'", login="null", reuse="false"),
    _("0001", "create_gateway", login="'{login}_app'"),
    _("0001", "create_reader", login="'{login}_eve'", pattern="'shop/**'", reuse="false"),
    _("0001", "set_login", agent="'bob'", login="'{login}_bob'"),
    _("0001", "delegate", login="'{login}_app'", agent="'bob'"),
    _("0001", "grant_access", agent="'ana'", subtree="'shop/**'", right="'read'"),
    _("0001", "grant_access", agent="'ana'", subtree="'shop/{{agent}}/**'", right="'write'"),
    _("0001", "grant_access", agent="'bob'", subtree="'shop/**'", right="'admin'"),
    _("0001", "revoke_access", agent="'bob'", subtree="'shop/**'", right="'admin'"),
    _("0001", "agents", agent="null"),
    _("0001", "grants", agent="'ana'"),
    _("0001", "cursor", {"start": "cursor"}, agent="null"),
    _("0001", "put", key="'shop/1'", value="'{{\"n\": 1}}'", expect="0", expect_value="null", ttl="'1 hour'", op_id="'op-1'", token="null", priority="5", not_before="'2020-01-01'", agent="'admin'"),
    _("0001", "put", key="'shop/1'", value="'{{\"n\": 1}}'", expect="0", expect_value="null", ttl="'1 hour'", op_id="'op-1'", token="null", priority="5", not_before="'2020-01-01'", agent="'admin'"),
    _("0001", "put", key="'shop/1'", value="'2'", expect="7", expect_value="null", ttl="null", op_id="null", token="null", priority="null", not_before="null", agent="null"),
    _("0001", "put", key="'shop/1'", value="'2'", expect="null", expect_value="'{{\"n\": 1}}'", ttl="null", op_id="null", token="null", priority="null", not_before="null", agent="null"),
    _("0001", "merge", key="'shop/list'", operand="'\"a\"'", reducer="'append'", ttl="'1 hour'", op_id="'op-2'", token="null", return_value="true", agent="null"),
    _("0001", "merge", key="'shop/list'", operand="'\"b\"'", reducer="'append'", ttl="null", op_id="null", token="null", return_value="false", agent="'admin'"),
    _("0001", "put_many", keys="array['shop/2', 'shop/3', 'no//key']", values="array['1', '2', '3']::jsonb[]", expects="array[0, 9, null]", ttls="array[interval '1 day', null, null]", tokens="null", op_ids="array['op-3', null, null]", agent="null"),
    _("0001", "merge_many", keys="array['shop/2', 'shop/sum']", operands="array['5', '5']::jsonb[]", reducers="array['add', 'max']", tokens="null", op_ids="array['op-4', null]", return_value="true", agent="null"),
    _("0001", "delete_many", keys="array['shop/sum', 'shop/none']", expects="array[1, null]", tokens="null", op_ids="array['op-5', null]", agent="null"),
    _("0001", "write_one", op="'put'", key="'shop/4'", value="'\"four\"'", expect="0", expect_value="null", ttl="null", token="null", priority="1", not_before="null", reducer="null", return_value="true", op_id="'op-6'", lane=LANE, turn="1", wake="false", lock_timeout="'5s'", agent="null"),
    _("0001", "write_one", op="'put'", key="'shop/4'", value="'\"four\"'", expect="0", expect_value="null", ttl="null", token="null", priority="1", not_before="null", reducer="null", return_value="true", op_id="'op-6'", lane=LANE, turn="1", wake="false", lock_timeout="'5s'", agent="null"),
    _("0001", "wake_lane", lane=LANE),
    _("0001", "write_many", ops="array['put', 'merge', 'delete']", keys="array['shop/5', 'shop/list', 'shop/3']", values="array['5', '\"c\"', null]::jsonb[]", expects="array[0, null, null]", expect_values="null", ttls="null", tokens="null", priorities="array[3, null, null]", not_befores="null", reducers="array[null, 'append', null]", return_values="array[false, true, false]", op_ids="null", lane=LANE, turn="2", wake="true", atomic="false", lock_timeout="'5s'", agent="null"),
    _("0001", "apply", guards="'[{{\"key\": \"shop/5\", \"version\": 1}}, {{\"key\": \"shop/none\", \"absent\": true}}]'", operations="'[{{\"op\": \"put\", \"key\": \"shop/5\", \"value\": 6}}, {{\"op\": \"merge\", \"key\": \"shop/sum\", \"operand\": 2, \"reducer\": \"add\"}}]'", op_id="'op-7'", lane=LANE, turn="3", wake="true", agent="null"),
    _("0001", "apply", guards="'[{{\"key\": \"shop/5\", \"version\": 1}}]'", operations="'[{{\"op\": \"delete\", \"key\": \"shop/5\"}}]'", op_id="null", lane="null", turn="null", wake="true", agent="'admin'"),
    _("0001", "write_and_wake", op="'merge'", key="'shop/sum'", input="'1'", expect="null", expect_value="null", ttl="null", token="null", priority="null", not_before="null", reducer="'add'", return_value="true", op_id="'op-8'", lane=LANE, turn="4", lock_timeout="'5s'", agent="null", status="null", version="null", value="null", code="null", message="null", watched="null"),
    _("0001", "get", key="'shop/1'", agent="null"),
    _("0001", "get", key="'shop/none'", agent="'admin'"),
    _("0001", "get_many", keys="array['shop/2', 'shop/list', 'shop/none', 'no//key']", agent="null"),
    _("0001", "list", pattern="'shop/*'", limit="3", after="'shop/1'", bookmark="true", agent="null"),
    _("0001", "history", key="'shop/list'", limit="2", before="4", agent="null"),
    _("0001", "claim", {"token": "token"}, key="'shop/4'", lease="'1 hour'", lane="null", turn="null", agent="null"),
    _("0001", "renew", key="'shop/4'", token="{token}", lease="'2 hours'", agent="null"),
    _("0001", "list_claims", pattern="'shop/**'", agent="null"),
    _("0001", "put", key="'shop/4'", value="'5'", expect="null", expect_value="null", ttl="null", op_id="null", token="{token} + 1", priority="null", not_before="null", agent="null"),
    _("0001", "release", key="'shop/4'", token="{token}", agent="null"),
    _("0001", "claim_next", {"token": "token"}, pattern="'shop/*'", lease="'1 hour'", lane=LANE, turn="5", agent="null"),
    _("0001", "complete", key="'shop/1'", token="{token}", op_id="'op-9'", agent="null"),
    _("0001", "delete", key="'shop/2'", expect="2", token="null", op_id="'op-10'", agent="null"),
    _("0001", "changes", {"next": "cursor"}, cursor="'{start}'", patterns="array['shop/**']", limit="5", upto="null", agent="null"),
    _("0001", "changes", cursor="'{next}'", patterns="array['shop/*']", limit="100", upto="null", agent="'admin'"),
    _("0001", "changes_for", cursor="'{start}'", agents="array['admin']", patterns="array['shop/l*']", limit="100", upto="null"),
    _("0001", "subscribe", {"channel": "subscribe"}, agents="array['admin']", patterns="array['shop/**']", channel="null"),
    _("0001", "subscribe", agents="array['admin']", patterns="array['shop/*']", channel="'{channel}'"),
    _("0001", "wake", keys="array['shop/1']", agent="null"),
    _("0001", "unsubscribe", channel="'{channel}'"),
    _("0001", "expire"),
    _("0001", "undelegate", login="'{login}_app'", agent="'bob'"),
    _("0001", "drop_gateway", login="'{login}_app'"),
    _("0001", "drop_agent", name="'bob'"),
    _("0001", "create_agent", name="'bob'", login="null", reuse="true"),
    _("0002", "set_policy", subtree="'shop/list'", reducer="'append'", ttl="'1 day'", keep="'100 versions'", value_limit="4096", schema="'{{\"type\": \"array\"}}'", agent="null"),
    _("0002", "policies", agent="null"),
    _("0002", "explain_policy", key="'shop/list'", agent="null"),
    _("0002", "merge", key="'shop/list'", operand="'\"d\"'", reducer="null", ttl="null", op_id="null", token="null", return_value="true", agent="null"),
    _("0002", "drop_policy", subtree="'shop/list'", settings="array['ttl']", agent="'admin'"),
    _("0002", "drop_policy", subtree="'shop/list'", settings="null", agent="null"),
    _("0002", "register_reducer", name="'own'", function="'public.own(jsonb, jsonb)'", agent="null"),
    _("0002", "drop_reducer", name="'own'", agent="null"),
    _("0002", "get_as_of", key="'shop/list'", version="1", cursor="null", at="null", agent="null"),
    _("0002", "get_as_of", key="'shop/list'", version="null", cursor="'{start}'", at="null", agent="null"),
    _("0002", "get_as_of", key="'shop/list'", version="null", cursor="null", at="'2000-01-01'", agent="null"),
    _("0002", "list_as_of", pattern="'shop/*'", limit="2", after="'shop/1'", cursor="'{next}'", at="null", bookmark="true", agent="null"),
    _("0002", "list_as_of", pattern="'shop/*'", limit="9", after="null", cursor="null", at="'2000-01-01'", bookmark="false", agent="null"),
    _("0002", "rollback", pattern="'shop/list'", version="1", cursor="null", at="null", writer="null", force="false", dry_run="true", op_id="null", lane="null", turn="null", wake="true", agent="null"),
    _("0002", "rollback", pattern="'shop/*'", version="null", cursor="'{start}'", at="null", writer="'admin'", force="true", dry_run="false", op_id="'op-11'", lane=LANE, turn="6", wake="true", agent="null"),
    _("0002", "maintain", limit="100"),
    _("0003", "set_policy", subtree="'work/**'", reducer="null", ttl="null", keep="null", value_limit="null", schema="null", agent="null", max_attempts="2", backoff="'1 minute'", backoff_limit="'1 hour'", dead_letter="'dead'", claimed_writes="true"),
    _("0003", "put_many", keys="array['work/1', 'work/2', 'work/3', 'work/4', 'work/5']", values="array['1', '2', '3', '4', '5']::jsonb[]", expects="null", ttls="null", tokens="null", op_ids="null", agent="null"),
    _("0003", "claim_many", {"first": "token"}, pattern="'work/*'", limit="1", lease="'1 hour'", lane=LANE, turn="7", agent="null", op_id="null"),
    _("0003", "claim_many", {"second": "token"}, pattern="'work/*'", limit="1", lease="'1 hour'", lane="null", turn="null", agent="'admin'", op_id="'op-12'"),
    _("0003", "claim_many", pattern="'work/*'", limit="1", lease="'1 hour'", lane="null", turn="null", agent="'admin'", op_id="'op-12'"),
    _("0003", "claim", {"third": "token"}, key="'work/3'", lease="'1 hour'", lane="null", turn="null", agent="null", op_id="'op-13'"),
    _("0003", "claim_next", {"fourth": "token"}, pattern="'work/*'", lease="'1 hour'", lane=LANE, turn="8", agent="null", op_id="null"),
    _("0003", "renew_many", keys="array['work/1', 'work/2']", tokens="array[{first}, 1]", leases="array[interval '2 hours', interval '1 hour']", agent="null"),
    _("0003", "list", pattern="'work/*'", limit="9", after="null", bookmark="false", agent="null", claimed="false"),
    _("0003", "tasks", pattern="'work/*'", limit="3", after="'work/1'", states="array['claimed', 'waiting']", agent="null"),
    _("0003", "complete", key="'work/1'", token="{first}", op_id="'op-14'", agent="null", result="'\"done\"'", move_to="'done/1'"),
    _("0003", "complete_many", keys="array['work/2', 'work/none']", tokens="array[{second}, 1]", results="array['2', null]::jsonb[]", move_tos="array['done/2', null]", op_ids="null", lane=LANE, turn="9", wake="true", agent="null"),
    _("0003", "fail", key="'work/3'", token="{third}", error="'no luck'", retry_in="'1 day'", op_id="'op-15'", agent="null"),
    _("0003", "fail_many", keys="array['work/4', 'work/5']", tokens="array[{fourth}, 1]", errors="array['none', null]", retry_ins="array[interval '0', null]", op_ids="null", lane=LANE, turn="10", agent="null"),
    _("0003", "claim", {"token": "token"}, key="'work/4'", lease="'1 hour'", lane=LANE, turn="11", agent="null", op_id="null"),
    _("0003", "fail", key="'work/4'", token="{token}", error="'again'", retry_in="null", op_id="null", agent="null"),
    _("0003", "claim", {"token": "token"}, key="'work/5'", lease="'1 hour'", lane="null", turn="null", agent="null", op_id="null"),
    _("0003", "release_many", keys="array['work/5', 'work/3']", tokens="array[{token}, 1]", agent="null"),
    _("0003", "claim", key="'work/5'", lease="'1 hour'", lane="null", turn="null", agent="null", op_id="null"),
    _("0003", "release", key="'work/5'", token="null", agent="null", force="true", lane=LANE, turn="12"),
    _("0003", "claim_log", pattern="'work/**'", limit="5", agent="null"),
    _("0003", "end_lane", lane=LANE, agent="null"),
    _("0003", "set_search", subtree="'docs/**'", fields="array['title']", config="'english'", vectors="null", vector_fields="null", agent="null"),
    _("0003", "put_many", keys="array['docs/1', 'docs/2']", values="array['{{\"title\": \"Running foxes\", \"n\": 1}}', '{{\"title\": \"A dog\", \"n\": 2}}']::jsonb[]", expects="null", ttls="null", tokens="null", op_ids="null", agent="null"),
    _("0003", "maintain", limit="1000"),
    _("0003", "searches", agent="null"),
    _("0003", "matches", value="'{{\"n\": 2}}'", filter="'{{\"n\": {{\"$gt\": 1}}}}'"),
    _("0003", "search", pattern="'docs/**'", query="'fox'", filter="'{{\"n\": {{\"$lte\": 1}}}}'", limit="5", after="null", mode="'text'", vector="null", vectors="null", model="null", agent="null"),
    _("0003", "search", pattern="'docs/**'", query="null", filter="'{{\"n\": 2}}'", limit="5", after="null", mode="null", vector="null", vectors="null", model="null", agent="'admin'"),
    _("0003", "vectors", agent="null"),
    _("0003", "create_vectors", name="'v'", dims="2", model="'m'", distance="'cosine'", method="'exact'", type="'vector'", options="null", agent="null"),
    _("0003", "unembedded", pattern="'docs/**'", limit="5", after="null", agent="null"),
    _("0003", "set_vectors", keys="array['docs/1']", digests="array['none']", chunks="array[1]", vectors="array[array[1, 2]]::real[]", model="'m'", agent="null"),
    _("0003", "drop_vectors", name="'v'", agent="null"),
    _("0003", "drop_search", subtree="'docs/**'", agent="null"),
]  # fmt: skip
