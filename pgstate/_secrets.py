"""What is taken for a secret: the rules of the database (sql/functions/guards/), for what it cannot look into."""

from __future__ import annotations

import re
from functools import cache

from pgstate import _paths

# Every match of a rule contains one of these: looked for first, at a fiftieth of what the rules cost.
_NEEDLES_OF = {
    "aws_access_key": ("KIA", "SIA"),
    "google_api_key": ("AIza",),
    "azure_storage_key": ("AccountKey=",),
    "anthropic_api_key": ("sk-ant-",),
    "openai_api_key": ("sk-",),
    "model_provider_key": ("sk-", "gsk_", "xai-"),
    "huggingface_token": ("hf_",),
    "github_token": ("gho_", "ghp_", "ghs_", "ghu_", "ghr_", "_pat_"),
    "gitlab_token": ("glpat-",),
    "slack_token": ("xox", "xapp-"),
    "stripe_key": ("k_live_",),
    "registry_token": ("npm_", "pypi-A"),
    "private_key": ("PRIVATE KEY",),
    "jwt": ("eyJ",),
    "connection_string": ("://",),
}
_NEEDLES = tuple(dict.fromkeys(needle for needles in _NEEDLES_OF.values() for needle in needles))
_ROW = re.compile(r"\['([a-z_]+)', '(.*)'\]")
_BEFORE = re.compile(r"\(\?<!(\[[^]]+\])\)")
_HINT = re.compile(r"return '(.*)';")


@cache
def rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Names and expressions, most specific first: those of `_secret_patterns()`, read from its source."""
    text = _paths.sql("functions/guards/_secret_patterns.sql").read_text("utf-8")
    return tuple((name, re.compile(pattern)) for name, pattern in _ROW.findall(text))


@cache
def hint() -> re.Pattern[str]:
    """That of `_secret_hint()`, for texts that begin with a blank."""
    (found,) = _HINT.findall(_paths.sql("functions/guards/_secret_hint.sql").read_text("utf-8"))
    return re.compile(found)


# One expression: `in` takes each needle for a number first, and fails; 66 bytes took 13 us so, and take 0.4.
_any_needle = re.compile(b"|".join(re.escape(needle.encode()) for needle in _NEEDLES)).search


def suspect(data: bytes) -> bool:
    """May there be a secret in these bytes? Quick."""
    return _any_needle(data) is not None


@cache
def _rules_inside() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The rules, with room for some letters before what must not follow one."""
    return tuple((name, re.compile(_BEFORE.sub(r"(?<!\1)\1{0,100}", pattern.pattern))) for name, pattern in rules())


def rule_inside(text: str) -> str | None:
    """As `rule_of`, of bytes in a form that is not known: what stands before a text there, such as its length, may look
    like letters."""
    return next((name for name, pattern in _rules_inside() if _likely_in(name, text) and pattern.search(text)), None)


def _suspect(text: str) -> bool:
    for needle in _NEEDLES:
        if needle in text:
            return hint().search(f" {text}") is not None
    return False


def _likely(text: str) -> list[tuple[str, re.Pattern[str]]]:
    return [rule for rule in rules() if _likely_in(rule[0], text)]


def _likely_in(name: str, text: str) -> bool:
    return any(needle in text for needle in _NEEDLES_OF[name])


def rule_of(text: str) -> str | None:
    """The first rule that something in the text fits, as `_secret_rule()`."""
    if _suspect(text):
        return next((name for name, pattern in _likely(text) if pattern.search(text)), None)
    return None


def redact(text: str) -> str:
    """The text with [redacted:rule] in place of each secret, as `_redact()`."""
    if _suspect(text):
        for name, pattern in _likely(text):
            text = pattern.sub(f"[redacted:{name}]", text)
    return text
