"""A LangGraph checkpoint as it is stored: channels by themselves, what surrounds them in a header that only the
serializer reads, and metadata as JSON, by which it is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from pgstate import errors
from pgstate._guard import Guard
from pgstate.encryption import Sealing

_COUNTERS = "counters_since_delta_snapshot"
_to_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_ELSEWHERE = ("id", "channel_values")


@dataclass(frozen=True)
class Surroundings:
    """What is stored of a checkpoint beside its channels."""

    header: bytes
    metadata: str | None
    run_id: str | None


def encrypts(serde: SerializerProtocol) -> bool:
    """Is what it makes unreadable? LangGraph's own says so in the names of types."""
    return isinstance(serde, (EncryptedSerializer, Sealing)) or "+" in serde.dumps_typed(None)[0]


def surround(
    serde: SerializerProtocol, checkpoint: Checkpoint, metadata: Mapping[str, Any], guard: Guard, *, encrypted: bool
) -> Surroundings:
    """The header and the metadata of a checkpoint. Metadata that JSON would change, or that is not to be readable, is
    in the header too; then JSON has what of it can be searched for, or nothing."""
    outside: dict[str, Any] = {
        name: value for name, value in checkpoint.items() if name not in ("id", "channel_values")
    }
    run_id = metadata.get("run_id")
    if encrypted:
        outside["metadata"] = dict(metadata)
        return Surroundings(_pack(serde, outside), None, digest(run_id) if isinstance(run_id, str) else None)
    readable: Any = metadata
    if not _same_in_json(metadata):
        outside["metadata"] = dict(metadata)
        readable = _searchable(metadata)
    return Surroundings(
        _pack(serde, outside, guard),
        guard.json(_to_json(readable)),
        _without_zeros(run_id) if isinstance(run_id, str) else None,
    )


def restore(
    serde: SerializerProtocol, id_: str, header: bytes, metadata: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checkpoint without its values, and its metadata. Raises InvalidValue for what no saver has written."""
    try:
        outside = _unpack(serde, header)
        found = outside.pop("metadata", None)
        if found is None:
            found = json.loads(metadata) if metadata else {}
        if [type(one) for one in (outside["v"], outside["channel_versions"], found)] != [int, dict, dict]:
            raise TypeError("what stands around a checkpoint is something else")
    except errors.PgStateError:
        raise
    except Exception as error:
        raise errors.InvalidValue(
            f"the checkpoint {id_} is none that a saver has written, or one with another serializer: {error!r:.80}"
        ) from error
    return {**outside, "id": id_}, found


def _pack(serde: SerializerProtocol, value: Any, guard: Guard | None = None) -> bytes:
    kind, data = serde.dumps_typed(value)
    return kind.encode() + b"\0" + (bytes(data) if guard is None else guard.typed(kind, bytes(data)))


def _unpack(serde: SerializerProtocol, packed: bytes) -> dict[str, Any]:
    kind, _, data = packed.partition(b"\0")
    found: dict[str, Any] = serde.loads_typed((kind.decode(), data))
    return found


def digest(run_id: str) -> str:
    """What stands for a run where its name is not to be readable. Runs are named by UUIDs, which nobody guesses."""
    return "sha256:" + hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()


def incomplete(checkpoint: Checkpoint, metadata: Mapping[str, Any]) -> list[str]:
    """Its channels that are not to be read without its ancestors: those of DeltaChannels that have no snapshot here."""
    versions, values = checkpoint["channel_versions"], checkpoint["channel_values"]
    return [name for name in metadata.get(_COUNTERS) or () if name in versions and name not in values]


def filter_text(wanted: Mapping[str, Any]) -> str:
    """A filter of metadata as JSON: what contains all of it contains this."""
    return _to_json(_searchable(wanted))


def searchable_run(run_id: Any) -> str | None:
    """A run as it is stored where it is readable."""
    return _without_zeros(run_id) if isinstance(run_id, str) else None


def contains(found: Any, wanted: Any) -> bool:
    """jsonb's `@>`, for metadata that the database cannot read."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and contains(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return isinstance(found, list | tuple) and all(any(contains(one, value) for one in found) for value in wanted)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    return bool(found == wanted)


def _same_in_json(value: Any) -> bool:
    """Would it come back from jsonb as it is? That refuses U+0000 and lone surrogates, and has numbers of its own."""
    kind = type(value)
    if kind is str:
        return _storable(value)
    if kind in (int, bool) or value is None:
        return True
    if kind is dict:
        return all(type(name) is str and _storable(name) and _same_in_json(one) for name, one in value.items())
    return kind is list and all(map(_same_in_json, value))


def _storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _searchable(value: Any) -> Any:
    """What JSON can have of a value."""
    if isinstance(value, Mapping):
        return {_without_zeros(name): _searchable(one) for name, one in value.items() if isinstance(name, str)}
    if isinstance(value, list | tuple):
        return [_searchable(one) for one in value]
    if isinstance(value, str):
        return _without_zeros(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if isinstance(value, int) else None


def _without_zeros(text: str) -> str:
    return str(text) if _storable(text) else text.replace("\0", "").encode("utf-8", "replace").decode()


class Remembering:
    """An encrypting serializer that encrypts what it has encrypted or decrypted lately as it did then: what a thread
    holds already is known by its ciphertext, and stored once."""

    def __init__(self, serde: EncryptedSerializer, limit: int = 64 << 20) -> None:
        self.serde = serde
        self._limit = limit
        self._size = 0
        # the plaintext's digest, which stays in this process
        self._known: dict[bytes, tuple[str, bytes]] = {}
        self._guard = Lock()

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        plain = self.serde.serde.dumps_typed(value)
        key = _mark(*plain)
        found = self._known.get(key)
        if found is None:
            cipher, data = self.serde.cipher.encrypt(plain[1])
            found = f"{plain[0]}+{cipher}", data
            self._keep(key, found)
        return found

    def loads_typed(self, typed: tuple[str, bytes]) -> Any:
        kind, data = typed
        if "+" not in kind:
            return self.serde.loads_typed(typed)
        plain_kind, cipher = kind.split("+", 1)
        plain = self.serde.cipher.decrypt(cipher, data)
        self._keep(_mark(plain_kind, plain), typed)
        return self.serde.serde.loads_typed((plain_kind, plain))

    def _keep(self, key: bytes, typed: tuple[str, bytes]) -> None:
        with self._guard:
            if key in self._known:
                return
            self._known[key] = typed
            self._size += len(typed[1])
            while self._size > self._limit and len(self._known) > 1:
                oldest = next(iter(self._known))
                self._size -= len(self._known.pop(oldest)[1])


def _mark(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + b"\0" + data).digest()


class Listed(CheckpointTuple):
    """A checkpoint of a list. Values and writes are put together when they are first looked at: of many checkpoints
    that are listed, most are only looked at for their metadata."""

    _load: Callable[[], tuple[Checkpoint, list[PendingWrite]]]

    @classmethod
    def of(
        cls,
        config: RunnableConfig,
        metadata: Any,
        parent: RunnableConfig | None,
        load: Callable[[], tuple[Checkpoint, list[PendingWrite]]],
    ) -> Listed:
        made = cls(config, cast(Checkpoint, None), metadata, parent, None)
        made._load = load
        return made

    @classmethod
    def _make(cls, fields: Any) -> CheckpointTuple:  # type: ignore[override]
        # what _replace makes
        return CheckpointTuple._make(fields)

    @cached_property
    def _loaded(self) -> CheckpointTuple:
        checkpoint, writes = self._load()
        return CheckpointTuple(self.config, checkpoint, self.metadata, self.parent_config, writes)

    @property
    def checkpoint(self) -> Checkpoint:
        return self._loaded.checkpoint

    @property
    def pending_writes(self) -> list[PendingWrite] | None:
        return self._loaded.pending_writes

    def __getitem__(self, index: Any) -> Any:
        return self._loaded[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loaded)

    def __eq__(self, other: object) -> bool:
        return self._loaded == (other._loaded if isinstance(other, Listed) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._loaded)

    def __reduce__(self) -> Any:
        return CheckpointTuple, tuple(self._loaded)
