"""Keys and patterns on the client's side: the same rules as in the database, which decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote

from pgstate import _secrets
from pgstate.errors import InvalidKey, InvalidPattern

_SEGMENT = r"[A-Za-z0-9._~:@=+,%-]+"
_KEY = re.compile(rf"(?!(?:.*/)?\.\.?(?:/|\Z)){_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_GLOB = r"[A-Za-z0-9._~:@=+,%*?-]+"
_PATTERN = re.compile(rf"(?!(?:.*/)?\.\.?(?:/|\Z))(?!.*[^/]\*\*)(?!.*\*\*[^/]){_GLOB}(?:/{_GLOB})*", re.ASCII)
_LIMIT = 512
_MOST_WILDCARDS = 16

KEY_RULE = (
    "a key is 1 to 512 bytes: segments of A-Z a-z 0-9 . _ ~ : @ = + , % - joined by /, none empty, . or ..; "
    "quote other text with pgstate.key()"
)
PATTERN_RULE = (
    "a pattern is a key with * (within a segment), ? (one character) or ** (a whole segment, any depth), "
    "16 of these characters at most; an empty pattern means everything"
)


def _shown(given: object) -> str:
    """What is no key may be anything, such as an address with a password: errors are logged."""
    return repr(_secrets.redact(str(given)[:10000])[:80])


def check_key(key: str) -> str:
    """The key itself; InvalidKey if it is none."""
    if not isinstance(key, str) or len(key) > _LIMIT or _KEY.fullmatch(key) is None:
        raise InvalidKey(f"invalid key {_shown(key)}: {KEY_RULE}")
    return key


def check_pattern(pattern: str) -> str:
    """The pattern itself; InvalidPattern if it is none."""
    many = isinstance(pattern, str) and pattern.count("*") + pattern.count("?") > _MOST_WILDCARDS
    if many or not isinstance(pattern, str) or len(pattern) > _LIMIT or (pattern and not _PATTERN.fullmatch(pattern)):
        raise InvalidPattern(f"invalid pattern {_shown(pattern)}: {PATTERN_RULE}")
    return pattern


def key(*segments: str) -> str:
    """Joins texts into a key; what a segment cannot hold is quoted as %XX (RFC 3986 percent-encoding of UTF-8).

    `%` is always quoted, so that different texts never make the same key. Raises InvalidKey for an empty text or a key
    over 512 bytes.
    """
    parts = []
    for segment in segments:
        if not isinstance(segment, str):
            raise InvalidKey(f"a key segment is text, not {type(segment).__name__}: pass str({segment!r:.40})")
        if not segment:
            raise InvalidKey("an empty text cannot be a key segment: leave it out, or put something in its place")
        try:
            quoted = quote(segment, safe="~:@=+,")
        except UnicodeEncodeError as error:
            raise InvalidKey("a lone surrogate is no Unicode text and cannot be quoted into a key") from error
        parts.append(quoted.replace(".", "%2E") if segment in (".", "..") else quoted)
    return check_key("/".join(parts))


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a key matches a (checked) pattern."""
    if pattern in ("", "**"):
        return lambda _: True
    compiled = re.compile(pattern_regex(pattern))
    return lambda key: compiled.fullmatch(key) is not None


def pattern_regex(pattern: str) -> str:
    """A regular expression for all of a key, of a (checked) pattern; Python and PostgreSQL read it alike."""
    # letters that keys cannot hold stand for the parts, so that no replacement touches another's result
    regex = re.sub(r"(^|/)(?:\*\*/)+", r"\1**/", pattern)
    regex = re.sub(r"([.+])", r"\\\1", regex)
    regex = re.sub(r"/\*\*(?=/|$)", "<", regex)
    regex = re.sub(r"^\*\*(?=<|$)", "#", regex)
    regex = re.sub(r"^\*\*/", ">", regex)
    regex = regex.replace("*", "[^/]*").replace("?", "[^/]")
    return regex.replace("<", "(?:/.*)?").replace(">", "(?:.*/)?").replace("#", ".*")
