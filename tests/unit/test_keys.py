"""Keys and patterns on the client's side: the database's rules, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

import asyncpg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pgstate
from pgstate import errors
from pgstate._keys import check_key, check_pattern, key, matcher

GOOD = ["a", "a/b", "A-Z_0~9:@=+,.%41", "...", "a/...", ".a", "a.", "%", "a" * 512, "/".join("a" * 256), "-", "~/~"]
BAD = [
    "", "/", "a/", "/a", "a//b", ".", "..", "a/.", "./a", "a/../b", "a b", "ä", "a\n", "\na", "a\n/b", "a*", "a?", "a\\b", 'a"b', "a'b",
    "a\x00b", "a#b", "a" * 513, "a" * 300 + "/" + "b" * 300, "٣", "a/\u2024", "{agent}", "a|b", "a$", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_keys(text: str) -> None:
    assert check_key(text) == text


@pytest.mark.parametrize("text", [*BAD, None, 1, b"a"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(errors.InvalidKey) as caught:
        check_key(text)
    assert caught.value.sqlstate == "PS001"
    assert "pgstate.key()" in str(caught.value)


@pytest.mark.parametrize("check", [check_key, check_pattern])
def test_an_address_with_a_password_is_in_no_error(check: Callable[[str], str]) -> None:
    with pytest.raises((errors.InvalidKey, errors.InvalidPattern)) as caught:
        check("postgres://bob:" + "x" * 60 + "hunter22@db.internal/app")
    assert (
        "connection_string" in str(caught.value)
        and "hunter22" not in str(caught.value)
        and "xxx" not in str(caught.value)
    )


GOOD_PATTERNS = [
    "/".join("*" * 16),
    "?" * 16,
    "a?" * 16,
    "",
    "*",
    "**",
    "?",
    "a/*",
    "a/**",
    "**/a",
    "a/**/b",
    "**/**",
    "a?c*/*b",
    "a/**/*",
    "*.py",
    "???",
    "a" * 510 + "/*",
]
BAD_PATTERNS = [
    "/".join("*" * 17),
    "a?" * 17,
    "?" * 17,
    "/".join(["**"] * 9),
    "a**",
    "**a",
    "a/b**",
    "a**/b",
    "a/**b/c",
    "***",
    "a/",
    "/*",
    "a//b",
    "..",
    "a/./*",
    "a b",
    "*\n",
    "ä*",
    "[a]",
    "a" * 513,
]


@pytest.mark.parametrize("text", [*GOOD_PATTERNS, *GOOD])
def test_patterns(text: str) -> None:
    assert check_pattern(text) == text


@pytest.mark.parametrize("text", [*BAD_PATTERNS, *(bad for bad in BAD if not set(bad) & {"*", "?"} and bad), None, 1])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(errors.InvalidPattern) as caught:
        check_pattern(text)
    assert caught.value.sqlstate == "PS002"


# pattern, keys that match, keys that do not
MEANINGS = [
    ("", ["a", "a/b/c"], []),
    ("**", ["a", "a/b/c"], []),
    ("a", ["a"], ["a/b", "b", "aa"]),
    ("*", ["a", "abc", "a.b"], ["a/b"]),
    ("a/*", ["a/b", "a/bc"], ["a", "a/b/c", "ab", "b/a/x"]),
    ("a/**", ["a", "a/b", "a/b/c"], ["ab", "a-secret", "b/a"]),
    ("**/a", ["a", "x/a", "x/y/a"], ["xa", "a/x"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab", "a"]),
    ("a/**/**", ["a", "a/b", "a/b/c"], ["ab"]),
    ("**/**/a", ["a", "x/a"], ["xa"]),
    ("**/a/**", ["a", "a/b", "x/a", "x/a/b"], ["ab", "xa/b"]),
    ("a?", ["ab", "a."], ["a", "a/", "abc", "a/b"]),
    ("a?b", ["axb"], ["a/b", "ab"]),
    ("*a*", ["a", "bab"], ["b", "x/a"]),
    ("a.b", ["a.b"], ["axb"]),
    ("a+", ["a+"], ["a", "aa"]),
    ("*/b/*", ["a/b/c"], ["b/c", "a/x/b/c"]),
    ("**/*.py", ["x.py", "a/b/x.py"], ["xpy"]),
]


@pytest.mark.parametrize(("pattern", "hits", "misses"), MEANINGS)
def test_what_a_pattern_matches(pattern: str, hits: list[str], misses: list[str]) -> None:
    assert [text for text in [*hits, *misses] if matcher(pattern)(text)] == hits


segments = st.sampled_from(["a", "b", "ab", "a.b", "a+b", "%41", "-", "x"])
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)
globs = st.sampled_from(["a", "*", "?", "**", "a*", "*b", "?b", "a?b", "a.b", "*+*", "**", "**"])
patterns = st.lists(globs, min_size=1, max_size=4).map("/".join)


def _means(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a pattern, segment by segment."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_means(pattern[1:], path[skipped:]) for skipped in range(len(path) + 1))
    form = "".join({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)) for char in pattern[0])
    return bool(path) and re.fullmatch(form, path[0]) is not None and _means(pattern[1:], path[1:])


@given(patterns, keys)
@settings(max_examples=400)
@example("a/**/**/b", "a/b")
@example("**/**", "a")
def test_a_matcher_agrees_with_the_meaning(pattern: str, text: str) -> None:
    assert matcher(check_pattern(pattern))(check_key(text)) == _means(pattern.split("/"), text.split("/"))


async def test_the_database_agrees(admin: asyncpg.Connection) -> None:
    texts = [text for text in [*GOOD, *BAD] if text.isprintable() or text in ("a\n", "\na")]
    rows = await admin.fetch(
        "select key from unnest($1::text[]) k, lateral pgstate.get_many(array[k]) where status <> 'invalid'", texts
    )
    assert [row["key"] for row in rows] == GOOD
    for text in [*GOOD_PATTERNS, *GOOD]:
        await admin.fetch("select * from pgstate.list($1)", text)
    for text in [*BAD_PATTERNS, "a\n"]:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await admin.fetch("select * from pgstate.list($1)", text)
        assert caught.value.sqlstate == "PS002"


async def test_the_database_agrees_on_what_matches(admin: asyncpg.Connection) -> None:
    texts = sorted({text for _, hits, misses in MEANINGS for text in hits + misses if not text.endswith("/")})
    more = ["a/a", "a/b/b", "b/a/b", "a/a/a/a", "ab/ab", "x/x/a.b", "%41/x"]
    await admin.execute(
        "select pgstate.put_many($1::text[], array_fill('1'::jsonb, array[cardinality($1::text[])]))",
        sorted({*texts, *more}),
    )
    everything = [row["key"] for row in await admin.fetch("select key from pgstate.list()")]
    globs_ = ["a", "*", "**", "a*", "?"]
    combined = {
        "/".join(parts)
        for one in globs_
        for two in globs_
        for three in globs_
        for parts in ([one], [one, two], [one, two, three])
    }
    for pattern in sorted({*combined, *(pattern for pattern, _, _ in MEANINGS)}):
        listed = [row["key"] for row in await admin.fetch("select key from pgstate.list($1, null)", pattern)]
        assert listed == [text for text in everything if matcher(pattern)(text)], pattern


@pytest.mark.parametrize(
    ("texts", "made"),
    [
        (["a", "b"], "a/b"),
        (["a/b"], "a%2Fb"),
        (["100%"], "100%25"),
        (["%41"], "%2541"),
        (["ä ß", "日本"], "%C3%A4%20%C3%9F/%E6%97%A5%E6%9C%AC"),
        (["."], "%2E"),
        (["..", "...", "a."], "%2E%2E/.../a."),
        (["a*b?"], "a%2Ab%3F"),
        (["x~:@=+,-_.9Z"], "x~:@=+,-_.9Z"),
        (["\n\x7f{}"], "%0A%7F%7B%7D"),
    ],
)
def test_quoting(texts: list[str], made: str) -> None:
    assert key(*texts) == made
    assert pgstate.key is key


def test_what_cannot_be_quoted() -> None:
    for texts in ([], [""], ["a", ""], ["\ud800"], ["a" * 513], ["ä" * 100], [5], ["a", None]):
        with pytest.raises(errors.InvalidKey):
            key(*texts)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=4))
@settings(max_examples=200)
def test_quoting_loses_nothing(texts: list[str]) -> None:
    made = key(*texts)
    assert check_key(made) == made
    assert [unquote(segment) for segment in made.split("/")] == texts


async def test_the_database_quotes_alike(admin: asyncpg.Connection) -> None:
    texts = ["a", "a/b", "%", ".", "..", "...", "ä€𝄞", " \t\n", "".join(map(chr, range(1, 128))), "*?{}[]\\\"'"]
    for text in texts:
        assert await admin.fetchval("select pgstate.key($1)", text) == key(text)
    for pair in zip(texts, reversed(texts), strict=True):
        made = "/".join(key(text) for text in pair)
        if len(made) <= 512:
            assert await admin.fetchval("select pgstate.key($1, $2)", *pair) == key(*pair) == made
