"""What is taken for a secret: the rules of the database (sql/functions/guards/), for what it cannot look into."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from pgstate import _paths

_ROW = re.compile(r"\['([a-z_]+)', \$re\$(.*)\$re\$, '(.*)'\]")
_BEFORE = re.compile(r"\(\?<!(\[[^]]+\])\)")
_HINT = re.compile(r"return '(.*)';")


class Rule(NamedTuple):
    """`needles`: every match contains one of them. They are looked for first, at a fiftieth of what the rules cost."""

    name: str
    pattern: re.Pattern[str]
    needles: tuple[str, ...]

    def likely(self, text: str) -> bool:
        return any(needle in text for needle in self.needles)


@cache
def rules() -> tuple[Rule, ...]:
    """Most specific first: those of `_secret_patterns()`, read from its source."""
    text = _paths.sql("functions/guards/_secret_patterns.sql").read_text("utf-8")
    return tuple(
        Rule(name, re.compile(pattern), tuple(needles.split("|"))) for name, pattern, needles in _ROW.findall(text)
    )


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


@cache
def _rules_inside() -> tuple[Rule, ...]:
    """The rules, with room for some letters before what must not follow one."""
    return tuple(
        rule._replace(pattern=re.compile(_BEFORE.sub(r"(?<!\1)\1{0,100}", rule.pattern.pattern))) for rule in rules()
    )


def rule_inside(text: str) -> str | None:
    """As `rule_of`, of bytes in a form that is not known: what stands before a text there, such as its length, may look
    like letters."""
    return next((rule.name for rule in _rules_inside() if rule.likely(text) and rule.pattern.search(text)), None)


def _suspect(text: str) -> bool:
    for needle in _needles():
        if needle in text:
            return hint().search(f" {text}") is not None
    return False


def rule_of(text: str) -> str | None:
    """The first rule that something in the text fits, as `_secret_rule()`."""
    if _suspect(text):
        return next((rule.name for rule in rules() if rule.likely(text) and rule.pattern.search(text)), None)
    return None


def redact(text: str) -> str:
    """The text with [redacted:rule] in place of each secret, as `_redact()`."""
    if _suspect(text):
        for rule in rules():
            if rule.likely(text):
                text = rule.pattern.sub(f"[redacted:{rule.name}]", text)
    return text
