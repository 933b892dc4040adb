"""State on its way into a prompt: marked as data, without what is not to be seen."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import pydantic
import pydantic_core

from pgstate import _paths
from pgstate.types import told

_ROW = re.compile(r"\['([a-z_]+)', \$re\$(.*)\$re\$\]")
# With those that emoji and some scripts need, which are no reason for a label, and control characters.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u180b-\u180f\u200c\u200d\u2028\u2029\ufe0e\ufe0f]")
_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85]")
# These can be iterated, and are a value all the same.
_ONE_VALUE = (str, bytes, bytearray, Mapping, pydantic.BaseModel)
_ESCAPES = str.maketrans({"<": "&lt;", ">": "&gt;", "[": "&#91;", "]": "&#93;", "|": "&#124;", ":": "&#58;"})


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Those of `_label_patterns()`, read from its source."""
    text = _paths.sql("functions/guards/_label_patterns.sql").read_text("utf-8")
    return {name: re.compile(pattern) for name, pattern in _ROW.findall(text)}


def labels(value: Any) -> list[str]:
    """What in a value looks like instructions to a model: role_tokens, override_phrases, invisible_characters; as
    `pgstate.labels` in SQL. A hint, which whoever means harm can avoid: no detector of this kind is strong."""
    text = _json(value)
    return [name for name, pattern in _patterns().items() if pattern.search(text)]


def render_for_prompt(entries: Any) -> str:
    """An entry, or several, as text for a prompt: each between lines with a delimiter that nobody could know when it
    was written, behind a line that says where it comes from (key, version, writer, time, trust, labels). Characters
    that nobody sees are left out, and tokens that stand for roles are escaped. Takes entries, tasks, versions and
    changes, or plain values.

    The model must still be told, by the system prompt, that what stands between these lines is data. This makes
    injection harder, and does not prevent it.
    """
    several = isinstance(entries, Iterable) and not isinstance(entries, _ONE_VALUE)
    return "\n".join(_rendered(one) for one in (entries if several else [entries]))


def _rendered(entry: Any) -> str:
    try:
        value, known = told(entry), hasattr(entry, "key")
    except AttributeError:
        known = False
    if not known:
        value = entry
    content = _visible(value if isinstance(value, str) else _json(value, indent=1))
    content = _patterns()["role_tokens"].sub(lambda match: match[0].translate(_ESCAPES), content)
    header: dict[str, Any] = {}
    if known:
        at = getattr(entry, "updated_at", None) or getattr(entry, "at", None)
        header = {"key": entry.key, "version": _of(entry, "version"), "writer": _of(entry, "writer")}
        header |= {"time": None if at is None else at.isoformat(), "trust": _of(entry, "trust")}
    own = [_visible(str(label)) for label in getattr(entry, "labels", ())] if known else []
    header["labels"] = [*labels(value), *own] or None
    shown = json.dumps({name: one for name, one in header.items() if one is not None})
    mark = secrets.token_hex(8)
    return f"<data-{mark} {shown}>\n{content}\n</data-{mark}>"


def _of(entry: Any, name: str) -> Any:
    found = getattr(entry, name, None)
    return found if found is None or isinstance(found, int) else _visible(str(found))


def _visible(text: str) -> str:
    return _UNSEEN.sub("", _patterns()["invisible_characters"].sub("", _ENDS.sub("\n", text)))


def _json(value: Any, indent: int | None = None) -> str:
    with suppress(ValueError):  # it gives up at 255 levels, which what was stored as JSON may have
        value = pydantic_core.to_jsonable_python(value)
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except RecursionError:
        # on one line it goes deeper
        return json.dumps(value, ensure_ascii=False)
