"""What patterns mean, keys and patterns to try, and strategies that make more of both."""

from __future__ import annotations

import re

from hypothesis import strategies as st


def matches(pattern: str, key: str) -> bool:
    """What a pattern means, segment by segment: nothing here looks like the SQL."""
    wanted, given_ = pattern.split("/"), key.split("/")

    def segment(want: str, have: str) -> bool:
        return bool(re.fullmatch("".join({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in want), have))

    def rest(i: int, j: int) -> bool:
        if i == len(wanted):
            return j == len(given_)
        if wanted[i] == "**":
            return any(rest(i + 1, m) for m in range(j, len(given_) + 1))
        return j < len(given_) and segment(wanted[i], given_[j]) and rest(i + 1, j + 1)

    return pattern == "" or rest(0, 0)


KEYS = [
    "a", "a+b", "a-secret", "a.b", "a/b", "a/b-secret", "a/b.c", "a/b/c", "a/b/c/d", "a/b0", "a/bb", "a/c", "a0", "aXb",
    "b", "b/a", "b/a/b", "b/x/y/a", "x/a/b", "~", "A", "a/B",
]  # fmt: skip
PATTERNS = [
    "", "**", "*", "?", "a", "nothing", "a/**", "a/b/**", "a/*", "a/?", "a/b*", "a*", "a?", "a/b?", "*/*", "*/b", "a.b",
    "a+b", "a?b", "**/a", "**/b", "**/a/**", "a/**/c", "a/**/d", "b/**/a", "**/a/b", "*/**", "a/**/*", "**/**",
    "a/**/**", "**/**/a", "**/*", "*/**/b", "?/?/?", "a*/**", "~", "a/b/c/**", "b/*/*/a", "a/*/**", "a/b/*/**", "a+b/*/**",
]  # fmt: skip


# characters around '/' in byte order, so that a range which is off by one shows
_segment = st.text("ab-.0~+", min_size=1, max_size=3).filter(lambda s: s not in (".", ".."))
some_keys = st.lists(_segment, min_size=1, max_size=4).map("/".join)


@st.composite
def some_patterns(draw: st.DrawFn, keys: list[str]) -> str:
    """A key with parts of it made wild, so that matches are common."""
    made = []
    for part in draw(st.sampled_from(keys)).split("/"):
        how = draw(st.sampled_from(["keep", "keep", "*", "?", "**", "less", "more", "drop"]))
        if how == "keep":
            made.append(part)
        elif how == "*":
            cut = draw(st.integers(0, len(part)))
            made.append(part[:cut] + "*")
        elif how == "?":
            at = draw(st.integers(0, len(part) - 1))
            made.append(part[:at] + "?" + part[at + 1 :])
        elif how == "**":
            made.append("**")
        elif how == "less":
            made += ["**", part]
        elif how == "more":
            made += [part, "**"]
    return "/".join(made)
