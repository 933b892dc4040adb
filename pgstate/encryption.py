"""Encryption of what the database cannot look into: checkpoints, pending writes, steps, inputs and signals of runs.

A payload is AES-256-GCM with a synthetic nonce: 96 bits of an HMAC, under a key of its own, over all that is encrypted
and authenticated. The same plaintext of the same thread is the same bytes again, so that chunks go on being stored
once and found by the hash of what is stored; no hash of a plaintext is stored, and nobody without the key can tell
whether a guess is right. That two payloads of one thread are equal can be seen, of different threads not: where it was
sealed goes into the HMAC. Two different plaintexts share a nonce with a probability of 2^-33 after 2^32 payloads: use
another key by then.

Authenticated with it are the key's id, the scope, and where it was sealed: a thread's key, one name for all threads of
LangGraph's saver, nothing for runs. A fork reads what its source sealed, so that is compared only with `strict`. Not
sealed: keys, names of channels and steps, metadata of checkpoints (but LangGraph's), messages of errors.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pgstate.errors import InvalidArgument, InvalidValue

SEALED = "sealed"
_FORM = 1
_NONCE = 12
_ORIGIN = 16


class _Serializer(Protocol):
    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]: ...

    def loads_typed(self, data: tuple[str, bytes], /) -> Any: ...


class Keys:
    """Keys by their ids, for `connect(encryption=Keys({"2026-11": secret}))`. A secret is 32 random bytes.

    What is new is sealed under `current` (the last one, unless given); what was sealed under any of them is read, and
    what was never sealed. To rotate, add a key, and drop
    the old one when `State.rekey` says that nothing is sealed under it any more. `scope`, a tenant
    for example, is authenticated: payloads of another scope are not opened. `strict` refuses what was not sealed, and
    what was sealed in another thread: then forks cannot be read. Raises InvalidArgument, without the extra `encryption`
    too.
    """

    def __init__(
        self, keys: Mapping[str, bytes], current: str | None = None, *, scope: str = "", strict: bool = False
    ) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise InvalidArgument("encryption needs: pip install 'pgstate[encryption]'") from error
        if not keys:
            raise InvalidArgument("encryption takes at least one key")
        self._keys: dict[bytes, tuple[AESGCM, bytes]] = {}
        for name, secret in keys.items():
            id_ = name.encode("utf-8", "replace") if isinstance(name, str) else b""
            if (
                not 1 <= len(id_) <= 64
                or id_.decode() != name
                or not isinstance(secret, (bytes, bytearray, memoryview))
                or len(secret) != 32
            ):
                raise InvalidArgument("a key is 32 random bytes, its id a text of 1 to 64 bytes")
            self._keys[id_] = AESGCM(_derived(secret, b"seal")), _derived(secret, b"nonce")
        self._current = (list(keys)[-1] if current is None else current).encode()
        if self._current not in self._keys:
            raise InvalidArgument(f"there is no key {current!r:.80}")
        self._scope = scope.encode()
        self.strict = strict

    @classmethod
    def from_json(cls, text: str, current: str | None = None, *, scope: str = "", strict: bool = False) -> Keys:
        """Keys as a file or an environment variable holds them: `{"2026-11": "…"}` with 32 bytes each in base64, the
        current one last. Raises InvalidArgument, which shows nothing of it."""
        try:
            keys = {name: base64.b64decode(secret, validate=True) for name, secret in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError):
            raise InvalidArgument('keys are JSON: {"id": "32 bytes in base64", …}') from None
        return cls(keys, current, scope=scope, strict=strict)

    def __repr__(self) -> str:
        return f"Keys({', '.join(name.decode() for name in self._keys)}; {self._current.decode()} is current)"

    @property
    def current(self) -> str:
        """The id of the key that seals what is new."""
        return self._current.decode()

    def reseal(self, payload: bytes, origins: Sequence[str]) -> bytes:
        """A payload under the current key, sealed where it was: in one of these places. In no other one: what was
        sealed elsewhere, as what a fork has from its source, goes on being refused by `strict`. Raises InvalidValue."""
        name, type_, data = self._opened(payload)
        mark = payload[2 + len(name) : 2 + len(name) + _ORIGIN]
        mac = self._keys[name][1]
        # no key of a thread begins with a zero byte
        elsewhere = f"\0{mark.hex()}"
        origin = next((one for one in origins if hmac.compare_digest(mark, _origin(mac, one))), elsewhere)
        return self.seal(origin, type_, data)

    def seal(self, origin: str, type_: str, data: bytes) -> bytes:
        """A payload: the form, the key's id, where it was sealed (hashed with the key), the nonce, the ciphertext."""
        box, mac = self._keys[self._current]
        head = bytes((_FORM, len(self._current))) + self._current + _origin(mac, origin)
        bound = head + self._scope
        plain = type_.encode() + b"\0" + data
        nonce = hmac.digest(mac, b"nonce" + len(bound).to_bytes(4, "big") + bound + plain, "sha256")[:_NONCE]
        return head + nonce + box.encrypt(nonce, plain, bound)

    def open(self, origin: str, payload: bytes) -> tuple[str, bytes]:
        """Type and data. Raises InvalidValue for what these keys did not seal, or somebody has changed."""
        name, type_, data = self._opened(payload)
        mark = payload[2 + len(name) : 2 + len(name) + _ORIGIN]
        if self.strict and not hmac.compare_digest(mark, _origin(self._keys[name][1], origin)):
            raise InvalidValue("what is stored was sealed in another place, and encryption is strict")
        return type_, data

    def _opened(self, payload: bytes) -> tuple[bytes, str, bytes]:
        name = payload[2 : 2 + payload[1]] if len(payload) > 2 and payload[0] == _FORM else None
        if name is None or name not in self._keys:
            raise InvalidValue(f"what is stored was sealed under another key ({name!r:.80}), or is nothing sealed")
        end = 2 + len(name) + _ORIGIN
        head, nonce = payload[:end], payload[end : end + _NONCE]
        from cryptography.exceptions import InvalidTag

        try:
            plain = self._keys[name][0].decrypt(nonce, payload[end + _NONCE :], head + self._scope)
        except (InvalidTag, ValueError) as error:
            raise InvalidValue("what is stored was changed, or sealed in another scope: it does not open") from error
        type_, _, data = plain.partition(b"\0")
        return name, type_.decode(), data


class Sealing:
    """A serializer whose bytes are sealed: another's, from which `clean` has taken what may not be stored."""

    def __init__(
        self, inner: _Serializer, keys: Keys, origin: str, clean: Callable[[str, bytes], bytes] | None = None
    ) -> None:
        self.inner = inner
        self._keys = keys
        self._origin = origin
        self._clean = clean

    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        """Always of the form sealed. Raises what the other does."""
        type_, data = self.inner.dumps_typed(obj)
        if self._clean is not None:
            data = self._clean(type_, data)
        return SEALED, self._keys.seal(self._origin, type_, data)

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        """Raises InvalidValue, and what the other does."""
        return self.inner.loads_typed(self.opened(*data))

    def opened(self, type_: str, data: bytes) -> tuple[str, bytes]:
        """The other's form and bytes. Raises InvalidValue."""
        if type_ == SEALED:
            return self._keys.open(self._origin, data)
        if self._keys.strict:
            raise InvalidValue(f"what is stored was never sealed ({type_:.40}), and encryption is strict")
        return type_, data


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"pgstate " + purpose, "sha256")


def _origin(mac: bytes, origin: str) -> bytes:
    return hmac.digest(mac, b"origin" + origin.encode(), "sha256")[:_ORIGIN]
