"""Secrets are kept out of what the database cannot look into: serialized data, spans, logs."""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from pgstate import _secrets
from pgstate._msgpack import exchanged
from pgstate.detection import Detection, Detector
from pgstate.encryption import SEALED, Keys, Sealing
from pgstate.errors import InvalidArgument, SecretRefused

# (name, purpose) to the credential; also a coroutine function
Resolver: TypeAlias = Callable[[str, str], str | Awaitable[str | None] | None]

# A shorter one would be found everywhere.
_SHORTEST = 6
_MOST_RESOLVED = 1000
# A string of a JSON text, or a number outside of one.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][-+.0-9Ee]*', re.DOTALL)
# Was without secrets before it was sealed.
_SEALED = (SEALED, f"+{SEALED}")

# Credentials that were resolved in this process, each as it is and as it stands in JSON, and the handle for it; those
# resolved last. Of all clients: what one has resolved another must not write either, and spans and logs are of all.
_resolved: OrderedDict[str, str] = OrderedDict()


def remember(value: str, handle: str) -> None:
    """From now on the handle stands for this value in all that is written."""
    if len(value) >= _SHORTEST:
        forms = [value]
        for _ in range(2):
            # in JSON, and in JSON that is a text in JSON, as arguments of tools are
            forms += [json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in forms for ascii_ in (True, False)]
        for form in reversed(dict.fromkeys(forms)):
            _resolved[form] = handle
            _resolved.move_to_end(form)
        while len(_resolved) > _MOST_RESOLVED:
            _resolved.popitem(last=False)


def scrub(text: str) -> str:
    """A text with handles in place of credentials that were resolved."""
    for form, handle in _forms():
        text = text.replace(form, handle)
    return text


def scrub_json(text: str) -> str:
    """The text of JSON, which it stays: handles stand in strings, and in place of what is a credential as a whole. A
    credential of digits is in many a number, and one that begins with n behind the backslash of many a line's end."""
    found = [(form, handle) for form, handle in _forms() if form in text]
    for form, handle in found:
        if form.startswith(('{"', '["')) and _is_json(form):
            text = text.replace(form, f'"{handle}"')

    def scrubbed(match: re.Match[str]) -> str:
        token = match[0]
        if not any(form in token for form, _ in found):
            return token
        if token[0] != '"':
            return next((f'"{handle}"' for form, handle in found if form == token), token)
        said = json.loads(token, strict=False)
        cleaned = scrub(said)
        return token if cleaned == said else json.dumps(cleaned)

    return _TOKEN.sub(scrubbed, text) if found else text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _forms() -> list[tuple[str, str]]:
    """The longest first, since one may be part of another. A copy: other threads resolve meanwhile."""
    return sorted(_resolved.items(), key=lambda item: -len(item[0])) if _resolved else []


def clean(text: str) -> str:
    """What may be shown to anybody: neither credentials nor secrets."""
    return _secrets.redact(scrub(text) if _resolved else text)


class Guard:
    """What one client does with secrets in serialized data: redact, or off."""

    def __init__(
        self,
        mode: str = "redact",
        resolver: Resolver | None = None,
        keys: Keys | None = None,
        detector: Detector | None = None,
    ) -> None:
        self.resolver = resolver
        self.detection = None if detector is None else Detection(detector)
        if mode not in ("redact", "off"):
            raise InvalidArgument(f"guard is redact or off, not {mode!r:.40}")
        self.redacts = mode == "redact"
        self.keys = keys

    def sealed(self, serializer: Any, origin: str = "") -> Any:
        """The serializer, or with encryption one that seals what it makes; without secrets then, too."""
        return serializer if self.keys is None else Sealing(serializer, self.keys, origin, self.typed)

    def text(self, text: str) -> str:
        """A text without secrets."""
        if _resolved:
            text = scrub(text)
        return _secrets.redact(text) if self.redacts else text

    def json(self, text: str) -> str:
        """The text of JSON without secrets."""
        if _resolved:
            text = scrub_json(text)
        return _secrets.redact(text) if self.redacts else text

    def typed(self, type_: str, data: bytes) -> bytes:
        """A serializer's bytes without secrets, of the same form. What is encrypted passes. Raises SecretRefused for a
        secret in a form that nobody here can write (pickle)."""
        if type_ in _SEALED or not self._suspects(data):
            return data
        if type_ in ("json", "+json", "error"):
            cleaned = (self.text if type_ == "error" else self.json)(data.decode("utf-8", "surrogatepass"))
            return cleaned.encode("utf-8", "surrogatepass")
        if type_.startswith("+"):
            return self._parts(type_[1:], data)
        if type_ in ("bytes", "bytearray"):
            try:
                return self.text(data.decode()).encode()
            except UnicodeDecodeError:
                return self._checked(type_, data)
        try:
            if type_ == "msgpack":
                return exchanged(data, self.text)
        except ValueError:
            pass
        return self._checked(type_, data)

    def _suspects(self, data: bytes) -> bool:
        if any(form.encode() in data for form, _ in _forms()):
            return True
        return self.redacts and _secrets.suspect(data)

    def _parts(self, type_: str, data: bytes) -> bytes:
        """Elements that share a chunk, each behind its length."""
        out = bytearray()
        at = 0
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            part = self.typed(type_, data[at + 4 : end])
            out += len(part).to_bytes(4, "big") + part
            at = end
        return bytes(out)

    def _checked(self, type_: str, data: bytes) -> bytes:
        rule = _secrets.rule_inside(data.decode("latin-1")) if self.redacts else None
        if rule is None:
            rule = next((handle for form, handle in _forms() if form.encode() in data), None)
        if rule is not None:
            raise SecretRefused(
                f"what is to be saved holds a secret ({rule}), in a form that cannot be redacted ({type_:.40})"
            )
        return data


class _Cleaning(logging.Filter):
    """What is logged passes through `clean`."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except Exception as error:
            # what is told of, such as an error of the application's, has no text: that ends nothing
            record.msg, record.args = f"{record.msg} ({type(error).__name__} in its text)", ()
            said = record.msg
        cleaned = clean(said)
        if cleaned != said:
            record.msg, record.args = cleaned, ()
        if record.exc_info and not record.exc_text:
            # formatters take it from there
            record.exc_text = clean(logging.Formatter().formatException(record.exc_info))
        return True


for _name in ("pgstate", "pgstate.embedded"):
    # of the loggers themselves: handlers are the application's
    logging.getLogger(_name).addFilter(_Cleaning())
