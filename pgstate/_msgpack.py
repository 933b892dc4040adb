"""Texts inside MessagePack exchanged for others, without making objects of what is in it."""

from __future__ import annotations

from collections.abc import Callable

# by first byte: how many bytes have the length of a text, of bytes, of an extension
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
# numbers and heads of arrays and maps: how many bytes follow that are no object
_PLAIN = {
    0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4,
}  # fmt: skip


def exchanged(data: bytes, change: Callable[[str], str]) -> bytes:
    """The same objects with other texts: keys, texts, bytes that are texts, and those inside of extensions, which hold
    MessagePack again where they hold texts (LangGraph's do). Lengths are written anew. Raises ValueError for what is
    no MessagePack."""
    out = bytearray()
    at = 0
    while at < len(data):
        begin, first = at, data[at]
        at += 1
        if 0xA0 <= first <= 0xBF or first in _TEXTS:
            content, at = _content(data, at, first & 0x1F if first <= 0xBF else None, _TEXTS.get(first, 0))
            text = content.decode("utf-8", "surrogatepass")
            other = change(text)
            out += data[begin:at] if other == text else _text(other.encode("utf-8", "surrogatepass"))
        elif first in _BYTES:
            content, at = _content(data, at, None, _BYTES[first])
            changed = _changed_bytes(content, change)
            out += data[begin:at] if changed == content else _head(0xC4, changed) + changed
        elif first in _EXTENSIONS or first in _FIXED_EXTENSIONS:
            width = _EXTENSIONS.get(first, 0)
            length = int.from_bytes(data[at : at + width], "big") if width else _FIXED_EXTENSIONS[first]
            code = data[at + width : at + width + 1]
            content, at = _content(data, at + width + 1, length, 0)
            try:
                changed = exchanged(content, change)
            except ValueError:
                changed = content
            out += data[begin:at] if changed == content else _head(0xC7, changed) + code + changed
        else:
            at += _PLAIN.get(first, 0)
            out += data[begin:at]
    if at != len(data):
        raise ValueError("cut off")
    return bytes(out)


def _content(data: bytes, at: int, length: int | None, width: int) -> tuple[bytes, int]:
    if length is None:
        length = int.from_bytes(data[at : at + width], "big")
        at += width
    if at + length > len(data):
        raise ValueError("cut off")
    return data[at : at + length], at + length


def _changed_bytes(content: bytes, change: Callable[[str], str]) -> bytes:
    try:
        return change(content.decode()).encode()
    except UnicodeDecodeError:
        return content


def _text(content: bytes) -> bytes:
    if len(content) <= 0x1F:
        return bytes([0xA0 | len(content)]) + content
    return _head(0xD9, content) + content


def _head(first: int, content: bytes) -> bytes:
    """The head of texts, bytes and extensions: three in a row, for lengths of 1, 2 and 4 bytes."""
    place, width = next((n, 1 << n) for n in (0, 1, 2) if len(content) < 1 << (8 << n))
    return bytes([first + place]) + len(content).to_bytes(width, "big")
