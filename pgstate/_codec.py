"""Checkpoints as content-addressed chunks, and back.

A checkpoint's root holds small values inline, and hashes of the others. A list becomes leaves, one for each element or
for several small ones; the list of their hashes becomes pages when it is long, and that of the pages' hashes again.
Where a leaf or a page ends depends on what is in it and not on its place: appending to a list of a thousand makes a new
leaf, a new last page and a new root, and removing from its front a new first page. What is there already is not sent
again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import pydantic_core

from pgstate._guard import Guard
from pgstate._json import decode as decode_json
from pgstate._json import encode as encode_json
from pgstate.errors import InvalidValue

Chunk: TypeAlias = tuple[str, bytes]
# The elements of a list that have chunks of their own, by their places in it: the chunk and its hash.
Leaves: TypeAlias = dict[int, tuple[Chunk, bytes]]

# A reference is 16 bytes, and a chunk costs some 200 more than it holds.
_INLINE = 200
# Elements from this size on have a leaf each; smaller ones share leaves of about as much, and of _MOST_LEAF at most.
_LEAF = 512
_MOST_LEAF = 4096
# A page has 32 hashes on average, at most 96: then its row is not compressed in vain.
_PAGE_MASK = 31
_MOST_PAGE = 96
# As many are in the root itself.
_MOST_ROOT = 48
_HASH = 16
# What a list can be, whoever made the pages: reading ends there.
_MOST_DEPTH = 8
_MOST_LEAVES = 10_000_000
# To name a chunk again takes 16 bytes, and what is read may be somebody else's, who names a large one a million times.
# Read is twice what is saved: of a checkpoint that is saved channel by channel.
_MOST_SAVED = 1 << 30
_MOST_READ = 2 * _MOST_SAVED


class Serializer(Protocol):
    """Turns values into typed bytes and back. LangGraph's serializers are of this form."""

    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        """The name of a form and the bytes, which may be a bytearray that is the value itself and changes later. Names
        begin with neither @ nor # nor +."""

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        """The value."""


class JsonSerializer:
    """JSON, and what Pydantic makes of other types: what `State.put` takes, and NaN, infinities, U+0000 and lone
    surrogates besides, which PostgreSQL does not read."""

    def dumps_typed(self, obj: Any, /) -> tuple[str, bytes]:
        """Always of the form json. Raises InvalidValue."""
        try:
            return "json", pydantic_core.to_json(obj)
        except Exception:  # it knows fewer types than the encoder that calls it for what that does not know
            pass
        try:
            return "json", json.dumps(obj, separators=(",", ":"), default=pydantic_core.to_jsonable_python).encode()
        except (ValueError, TypeError, RecursionError):
            # says what is wrong
            return "json", encode_json(obj).encode()

    def loads_typed(self, data: tuple[str, bytes], /) -> Any:
        """Raises InvalidValue for another form, and for what is no JSON."""
        type_, text = data
        if type_ != "json":
            raise InvalidValue(f"what is stored is {type_}, not JSON: give the serializer that it was stored with")
        try:
            return pydantic_core.from_json(text)
        except ValueError:
            try:
                return decode_json(text.decode())
            except UnicodeDecodeError as error:
                raise InvalidValue(f"what is stored is not JSON: {error}") from error


JSON: Serializer = JsonSerializer()


@dataclass(slots=True)
class Encoded:
    """A root, as parallel lists of its channels, and the chunks that it reaches."""

    names: list[str] = field(default_factory=list)
    versions: list[str | None] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)
    data: list[bytes | None] = field(default_factory=list)
    chunks: dict[bytes, Chunk] = field(default_factory=dict)
    # what takes secrets out, and the hashes of what has passed it
    guard: Guard | None = None
    passed: Collection[bytes] = ()
    # of all values, each as often as it is named
    size: int = 0
    # by channel: what is there now, and what was before, which need not be hashed again
    leaves: dict[str, Leaves] = field(default_factory=dict)
    before: Mapping[str, Leaves] = field(default_factory=dict)

    def add(self, name: str, type_: str | None, data: bytes | None, version: str | None) -> None:
        """One channel; without type and data one that has a version and no value."""
        self.names.append(name)
        self.versions.append(version)
        self.types.append(type_)
        self.data.append(data)

    def chunk(self, type_: str, data: bytes) -> bytes:
        """Its hash, which the server computes too."""
        if type(data) is not bytes:
            data = bytes(data)
        digest = hashlib.sha256(type_.encode() + b"\0" + data).digest()[:_HASH]
        if self.guard is not None and digest not in self.passed and not type_.startswith("#"):
            clean = self.guard.typed(type_, data)
            if clean != data:
                data = clean
                digest = hashlib.sha256(type_.encode() + b"\0" + data).digest()[:_HASH]
        self.chunks[digest] = (type_, data)
        return digest

    def under(self, digest: bytes) -> Iterator[bytes]:
        """A chunk, and all that it reaches."""
        yield digest
        type_, data = self.chunks[digest]
        if type_.startswith("#"):
            for inner in _split(data):
                yield from self.under(inner)


def encode(
    state: Mapping[str, Any],
    serializer: Serializer = JSON,
    versions: Mapping[str, str] | None = None,
    guard: Guard | None = None,
    passed: Collection[bytes] = (),
    before: Mapping[str, Leaves] | None = None,
) -> Encoded:
    """The root and the chunks of a state. `versions` may name channels that have no value. `guard` takes secrets out,
    also of chunks unless their hashes are in `passed`. `before`: the `leaves` of what was encoded last; most of a list
    stays as it is, and comparing takes a tenth of the time of hashing."""
    encoded = Encoded(guard=guard, passed=passed, before=before or {})
    told: Mapping[str, str] = versions or {}
    for name, value in state.items():
        try:
            if type(value) is list and len(value) > 1:
                type_, data = _list(name, value, serializer, encoded)
            else:
                type_, data = serializer.dumps_typed(value)
                encoded.size += len(data)
                if len(data) > _INLINE:
                    type_, data = "@", encoded.chunk(type_, data)
                elif type(data) is not bytes:
                    data = bytes(data)
            if encoded.size > _MOST_SAVED:
                raise InvalidValue(f"the values of a checkpoint are larger than {_MOST_SAVED >> 20} MB together")
        except Exception as error:
            error.add_note(f"channel {name!s:.80}")
            raise
        if guard is not None and type_[0] not in "@#":
            data = guard.typed(type_, data)
        encoded.add(name, type_, data, told.get(name))
    for name in told.keys() - state.keys():
        encoded.add(name, None, None, told[name])
    return encoded


def _list(name: str, value: list[Any], serializer: Serializer, encoded: Encoded) -> Chunk:
    dumps = serializer.dumps_typed
    parts = [dumps(item) for item in value]
    size = sum(len(data) for _, data in parts)
    encoded.size += size
    if size <= _INLINE:
        return dumps(value)
    hashes = _leaves(name, parts, encoded)
    depth = 0
    while len(hashes) > _MOST_ROOT:
        type_ = f"#{depth}"
        hashes = [encoded.chunk(type_, b"".join(page)) for page in _pages(hashes)]
        depth += 1
    return f"#{depth}", b"".join(hashes)


def _leaves(name: str, parts: Sequence[Chunk], encoded: Encoded) -> list[bytes]:
    """Hashes of the leaves. An element ends one as probably as it is large, by its own checksum."""
    hashes: list[bytes] = []
    group: list[bytes] = []
    size = 0
    of = ""
    before, now = encoded.before.get(name, {}), encoded.leaves.setdefault(name, {})
    chunks, passed = encoded.chunks, encoded.passed
    for place, part in enumerate(parts):
        type_, data = part
        length = len(data)
        if group and (type_ != of or length >= _LEAF):
            hashes.append(_leaf(of, group, encoded.chunk))
            group, size = [], 0
        if length >= _LEAF:
            known = before.get(place)
            if known is not None and known[0] == part and known[1] in passed:
                digest = known[1]
                chunks[digest] = known[0]
            else:
                digest = encoded.chunk(type_, data)
                known = chunks[digest], digest
            now[place] = known
            hashes.append(digest)
            continue
        of = type_
        group.append(data)
        size += length
        if size >= _MOST_LEAF or zlib.crc32(data) % _LEAF < length:
            hashes.append(_leaf(of, group, encoded.chunk))
            group, size = [], 0
    if group:
        hashes.append(_leaf(of, group, encoded.chunk))
    return hashes


def _leaf(type_: str, group: Sequence[bytes], chunk: Callable[[str, bytes], bytes]) -> bytes:
    if len(group) == 1:
        return chunk(type_, group[0])
    if type_ == "json":
        return chunk("+json", b"[" + b",".join(group) + b"]")
    return chunk(f"+{type_}", b"".join(len(data).to_bytes(4, "big") + data for data in group))


def _pages(hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    page: list[bytes] = []
    for digest in hashes:
        page.append(digest)
        if not digest[0] & _PAGE_MASK or len(page) >= _MOST_PAGE:
            yield page
            page = []
    if page:
        yield page


def decode(
    names: Sequence[str],
    types: Sequence[str | None],
    data: Sequence[bytes | None],
    chunks: Mapping[bytes, Chunk],
    serializer: Serializer = JSON,
) -> dict[str, Any]:
    """The state that a root and its chunks hold; channels without a value are not in it. Raises InvalidValue for what
    nobody can have saved."""
    state: dict[str, Any] = {}
    size = 0
    for name, type_, content in zip(names, types, data, strict=True):
        if type_ is None or content is None:
            continue
        parts = _held(type_, content, chunks)
        size += sum(len(part) for _, part in parts)
        if size > _MOST_READ:
            raise InvalidValue(f"the values of the checkpoint are larger than the {_MOST_READ >> 20} MB that any has")
        state[name] = _list_of(parts, serializer) if type_.startswith("#") else serializer.loads_typed(parts[0])
    return state


def _held(type_: str, data: bytes, chunks: Mapping[bytes, Chunk]) -> Sequence[Chunk]:
    """What a channel's value is made of: itself, a chunk, or the leaves of a list."""
    if type_ == "@":
        if data not in chunks:
            raise InvalidValue("the checkpoint names a chunk that it does not have")
        return [chunks[data]]
    if not type_.startswith("#"):
        return [(type_, data)]
    try:
        return list(_leaf_chunks(type_, data, chunks))
    except (KeyError, ValueError) as error:
        raise InvalidValue(f"the checkpoint names chunks that it does not have, or no depth: {error!r:.80}") from error


def _list_of(leaves: Sequence[Chunk], serializer: Serializer) -> list[Any]:
    loads = serializer.loads_typed
    value: list[Any] = []
    for form, content in leaves:
        if not form.startswith("+"):
            value.append(loads((form, content)))
        elif form == "+json":
            several = loads(("json", content))
            if type(several) is not list:
                raise InvalidValue("the checkpoint's list is in parts that are no lists")
            value += several
        else:
            value.extend(loads((form[1:], part)) for part in unpack(content))
    return value


def _leaf_chunks(type_: str, data: bytes, chunks: Mapping[bytes, Chunk]) -> Iterator[Chunk]:
    """The leaves of a list. Raises InvalidValue where pages that name pages many times over make too long a list, which
    nobody can have saved."""
    hashes = _split(data)
    for _ in range(min(int(type_[1:]), _MOST_DEPTH)):
        pages = [chunks[digest][1] for digest in hashes]
        if sum(map(len, pages)) > _MOST_LEAVES * _HASH:
            raise InvalidValue("the checkpoint's list is longer than any can be")
        hashes = [digest for page in pages for digest in _split(page)]
    return (chunks[digest] for digest in hashes)


def reached(type_: str, data: bytes, chunks: Mapping[bytes, Chunk]) -> Iterator[bytes]:
    """The hashes of the chunks that a channel of a root reaches, pages too."""
    if type_ == "@":
        yield data
    elif type_.startswith("#"):
        hashes = dict.fromkeys(_split(data))
        yield from hashes
        for _ in range(min(int(type_[1:]), _MOST_DEPTH)):
            hashes = dict.fromkeys(digest for page in hashes for digest in _split(chunks[page][1]))
            yield from hashes


def _split(data: bytes) -> list[bytes]:
    return [data[start : start + _HASH] for start in range(0, len(data), _HASH)]


def unpack(data: bytes) -> Iterator[bytes]:
    """Elements that share a leaf, each behind its length."""
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : end]
        start = end
