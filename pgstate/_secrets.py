"""What is taken for a secret: the rules of the database (sql/functions/guards/), for what it cannot look into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from pgstate import _paths

_ROW = re.compile(r"\['([a-z_]+)', \$re\$(.*)\$re\$, '(.*)'\]")
_HINT = re.compile(r"return '(.*)';")
# What may stand before a secret, as rules begin with it, and what it may begin with then: letters, and classes of them.
_BOUNDARY = re.compile(r"\(\?:\(\?<!(\[[^]]+\])\)\|\(\?<=\\\\\[nrt\]\)\)")
_HEAD = re.compile(r"(?:^(?:\(\?:)?|\|)((?:[A-Za-z_-]|\[[A-Za-z]+\](?![*+{]))+)")
# So many letters may stand before a secret in a form that is not known.
_ROOM = 100


class Rule(NamedTuple):
    """`needles`: every match contains one of them. They are looked for first, at a fiftieth of what the rules cost.
    `heads`: every match begins with one of these, if the pattern begins with a boundary, of which a regular expression
    takes 80 ms for a megabyte. `letters`: none of them may stand before it, and `body` is what comes then."""

    name: str
    pattern: re.Pattern[str]
    needles: tuple[str, ...]
    heads: re.Pattern[str] | None
    letters: str
    body: re.Pattern[str]

    @classmethod
    def of(cls, name: str, pattern: str, needles: str) -> Rule:
        boundary = _BOUNDARY.match(pattern)
        body = pattern[boundary.end() :] if boundary else pattern
        return cls(
            name,
            re.compile(pattern),
            tuple(needles.split("|")),
            re.compile("|".join(_HEAD.findall(body))) if boundary else None,
            "".join(filter(re.compile(boundary[1]).match, map(chr, range(128)))) if boundary else "",
            re.compile(body),
        )

    def likely(self, text: str) -> bool:
        return any(needle in text for needle in self.needles)

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """As `pattern.finditer(text)`."""
        if self.heads is None:
            yield from self.pattern.finditer(text)
            return
        at = 0
        while (head := self.heads.search(text, at)) is not None:
            at = head.start() + 1
            if (match := self.pattern.match(text, head.start())) is not None:
                yield match
                at = match.end()

    def finds(self, text: str) -> bool:
        return self.likely(text) and next(self.matches(text), None) is not None

    def finds_inside(self, text: str) -> bool:
        """In bytes of a form that is not known: what stands before a text there, such as its length, may look like
        letters."""
        if not self.likely(text):
            return False
        if self.heads is None:
            return self.pattern.search(text) is not None
        at = 0
        while (head := self.heads.search(text, at)) is not None:
            at = head.start() + 1
            before = text[max(0, head.start() - _ROOM - 1) : head.start()]
            if (len(before) <= _ROOM or before.rstrip(self.letters)) and self.body.match(text, head.start()):
                return True
        return False

    def redacted(self, text: str) -> str:
        parts: list[str] = []
        end = 0
        for match in self.matches(text) if self.likely(text) else ():
            parts += text[end : match.start()], f"[redacted:{self.name}]"
            end = match.end()
        return "".join([*parts, text[end:]]) if parts else text


@cache
def rules() -> tuple[Rule, ...]:
    """Most specific first: those of `_secret_patterns()`, read from its source."""
    text = _paths.sql("functions/guards/_secret_patterns.sql").read_text("utf-8")
    return tuple(Rule.of(*found) for found in _ROW.findall(text))


@cache
def hint() -> re.Pattern[str]:
    """That of `_secret_hint()`, for texts that begin with a blank."""
    (found,) = _HINT.findall(_paths.sql("functions/guards/_secret_hint.sql").read_text("utf-8"))
    return re.compile(found)


# One expression: `in` takes each needle for a number first, and fails; 66 bytes took 13 us so, and take 0.4.
@cache
def _any_needle() -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(needle.encode()) for needle in _needles()))


@cache
def _needles() -> tuple[str, ...]:
    return tuple(dict.fromkeys(needle for rule in rules() for needle in rule.needles))


def suspect(data: bytes) -> bool:
    """May there be a secret in these bytes? Quick."""
    return _any_needle().search(data) is not None


def rule_inside(text: str) -> str | None:
    """As `rule_of`, of bytes in a form that is not known."""
    return next((rule.name for rule in rules() if rule.finds_inside(text)), None)


def _suspect(text: str) -> bool:
    for needle in _needles():
        if needle in text:
            return hint().search(f" {text}") is not None
    return False


def rule_of(text: str) -> str | None:
    """The first rule that something in the text fits, as `_secret_rule()`."""
    if _suspect(text):
        return next((rule.name for rule in rules() if rule.finds(text)), None)
    return None


def redact(text: str) -> str:
    """The text with [redacted:rule] in place of each secret, as `_redact()`."""
    if _suspect(text):
        for rule in rules():
            text = rule.redacted(text)
    return text
