"""Arrays of MessagePack taken apart and put together as they lie, without making objects of what is in them."""

from __future__ import annotations

from collections.abc import Sequence

# by first byte: bytes of a length that follows, bytes besides it and what it counts, and what one of it counts
_BYTES, _OBJECTS, _PAIRS = 1, 2, 3
_LONG = {
    0xC4: (1, 0, _BYTES), 0xC5: (2, 0, _BYTES), 0xC6: (4, 0, _BYTES),  # bytes
    0xC7: (1, 1, _BYTES), 0xC8: (2, 1, _BYTES), 0xC9: (4, 1, _BYTES),  # extensions
    0xD9: (1, 0, _BYTES), 0xDA: (2, 0, _BYTES), 0xDB: (4, 0, _BYTES),  # texts
    0xDC: (2, 0, _OBJECTS), 0xDD: (4, 0, _OBJECTS),  # arrays
    0xDE: (2, 0, _PAIRS), 0xDF: (4, 0, _PAIRS),  # maps
}  # fmt: skip
_FIXED = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip


def elements(data: bytes) -> list[bytes] | None:
    """The elements of an array; None if it is none, or `array` would not put it together as it is."""
    if not data:
        return None
    if 0x90 <= data[0] <= 0x9F:
        count, at = data[0] & 0x0F, 1
    elif data[0] in (0xDC, 0xDD):
        at = 1 + _LONG[data[0]][0]
        count = int.from_bytes(data[1:at], "big")
    else:
        return None
    found: list[bytes] = []
    for _ in range(count):
        end = _end(data, at)
        found.append(data[at:end])
        at = end
    return found if array(found) == data else None


def array(parts: Sequence[bytes]) -> bytes:
    """The array of these elements."""
    count = len(parts)
    if count <= 0x0F:
        head = bytes([0x90 | count])
    elif count <= 0xFFFF:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(parts)


def _end(data: bytes, at: int) -> int:
    """Where the object that begins at a place ends."""
    left = 1
    while left:
        left -= 1
        first = data[at]
        at += 1
        if first <= 0x7F or first >= 0xE0:
            continue
        if first <= 0x8F:
            left += 2 * (first & 0x0F)
        elif first <= 0x9F:
            left += first & 0x0F
        elif first <= 0xBF:
            at += first & 0x1F
        elif first in _FIXED:
            at += _FIXED[first]
        else:
            width, more, counts = _LONG[first]
            count = int.from_bytes(data[at : at + width], "big")
            at += width + more
            if counts == _BYTES:
                at += count
            else:
                left += count if counts == _OBJECTS else 2 * count
    return at
