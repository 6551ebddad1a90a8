"""The form in which an entry lies in a store that others share: LMDB, Redis.

==========  ======  ==========================================================
offset      bytes
==========  ======  ==========================================================
0           4       format version 1, then ``zoo``
4           4       length of the deps
8           8       length of the payload
16          8       stamp
24          8       time of expiry in seconds; NaN: never
32          8       time to live in seconds; NaN: none
40                  deps, a MessagePack array of strings; nothing if there are none
..                  payload, as the codec made it
==========  ======  ==========================================================

Numbers are little-endian. The lengths account for every byte, so a truncated record is recognised.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final

import msgspec

from zoocache_core.errors import UnsupportedValue

__all__ = [
    "Record",
    "decode_record",
    "encode_record",
    "expiry_bytes",
    "never_expires",
    "times_of",
    "with_expiry",
]

_MAGIC: Final = b"\x01zoo"
_HEADER: Final = Struct("<4sIQQdd")
_EXPIRY: Final = Struct("<dd")
_EXPIRY_OFFSET: Final = 24
_START: Final = _HEADER.size
_NONE: Final = float("nan")
_NEVER: Final = _EXPIRY.pack(_NONE, _NONE)[:8]
_WORTH_A_VIEW: Final = 8192
"""Payloads of this many bytes take longer to copy than a view takes to make."""

_encode_deps = msgspec.msgpack.Encoder().encode
_decode_deps = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_unpack = _HEADER.unpack_from


class Record(msgspec.Struct, frozen=True, gc=False):
    """A stored entry. ``payload``, unless short, is a view of the decoded bytes and not a copy."""

    payload: bytes | memoryview
    deps: tuple[str, ...]
    stamp: int
    expires: float | None
    ttl: float | None


def encode_record(
    payload: bytes,
    deps: tuple[str, ...],
    stamp: int,
    expires: float | None,
    ttl: float | None,
) -> bytes:
    """Return the bytes to store. `expires` and `ttl` are in seconds, `stamp` is below 2**64.

    Raises:
        UnsupportedValue: a dep is not valid Unicode, so no store can hold it.
    """
    try:
        packed = _encode_deps(deps) if deps else b""
    except UnicodeEncodeError as reason:
        raise UnsupportedValue(f"a key or tag is not valid Unicode: {reason}") from None
    header = _HEADER.pack(
        _MAGIC,
        len(packed),
        len(payload),
        stamp,
        _NONE if expires is None else expires,
        _NONE if ttl is None else ttl,
    )
    return b"".join((header, packed, payload))


def decode_record(data: bytes | memoryview) -> Record | None:
    """Return what :func:`encode_record` was given, or ``None`` if `data` is anything else.

    Never raises, whatever the bytes.
    """
    try:
        magic, deps_length, length, stamp, expires, ttl = _unpack(data)
        payload_start = _START + deps_length
        if magic != _MAGIC or len(data) != payload_start + length:
            return None
        deps = _decode_deps(data[_START:payload_start]) if deps_length else ()
    except (error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if length > _WORTH_A_VIEW:
        data = memoryview(data)
    # NaN is the one number that is not equal to itself.
    return Record(
        data[payload_start:],
        deps,
        stamp,
        expires if expires == expires else None,
        ttl if ttl == ttl else None,
    )


def with_expiry(data: bytes | memoryview, expires: float | None, ttl: float | None) -> bytes:
    """Return the record `data` with another time of expiry and ttl; the rest is not looked at."""
    fresh = bytearray(data)
    offset, times = expiry_bytes(expires, ttl)
    fresh[offset : offset + len(times)] = times
    return bytes(fresh)


def expiry_bytes(expires: float | None, ttl: float | None) -> tuple[int, bytes]:
    """Return where in a record time of expiry and ttl are, and the bytes to put there."""
    times = (_NONE if expires is None else expires, _NONE if ttl is None else ttl)
    return _EXPIRY_OFFSET, _EXPIRY.pack(*times)


def times_of(data: bytes | memoryview, offset: int = 0) -> tuple[float | None, float | None]:
    """Return time of expiry and ttl of the record that begins at `offset`, looking at no more."""
    expires, ttl = _EXPIRY.unpack_from(data, offset + _EXPIRY_OFFSET)
    return expires if expires == expires else None, ttl if ttl == ttl else None


def never_expires(data: bytes, offset: int = 0) -> bool:
    """Whether the record that begins at `offset` was written without a time of expiry."""
    return data.startswith(_NEVER, offset + _EXPIRY_OFFSET)
