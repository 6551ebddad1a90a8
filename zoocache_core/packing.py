"""Plain data as MessagePack, and back exactly as it was.

MessagePack knows numbers up to 64 bits, text, bytes, lists, maps and moments in UTC. The other
plain types of Python are written as extension types (MessagePack specification, "Extension types"):
a code and a payload, both listed in ``_EXTENSIONS``. Unpacking runs nothing but the constructors
listed there, so it is safe on bytes that anyone may have written.

Types are matched exactly: an instance of a subclass is not plain data, because its class could only
be restored by importing it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.msgpack import Ext

from zoocache_core.fidelity import consists_of, is_same

__all__ = ["NotPlain", "pack", "unpack"]

_NATIVE_SCALARS: Final = frozenset({NoneType, bool, int, float, str, bytes})
_AS_THEY_ARE: Final = frozenset({NoneType, bool, float, bytes})
_NATIVE_CONTAINERS: Final = frozenset({list, dict})
_encode = msgspec.msgpack.Encoder().encode


class NotPlain(Exception):  # noqa: N818 - an answer for the codec, never seen by users
    """The value contains something other than plain data."""


def pack(value: Any) -> bytes:
    """Return `value` as MessagePack.

    Raises:
        NotPlain: it is not plain data, or does not come back exactly as it is.
    """
    try:
        data = _packed_natively(value)
        if data is None:
            data = _encode(_prepared(value))
            if not is_same(unpack(data), value):
                raise NotPlain
    except (RecursionError, ValueError) as error:
        raise NotPlain from error
    return data


def _packed_natively(value: Any) -> bytes | None:
    """Return the bytes if MessagePack has all the types; it keeps these as they are."""
    kind = type(value)
    if kind not in _NATIVE_SCALARS and not (
        kind in _NATIVE_CONTAINERS and consists_of(value, _NATIVE_SCALARS, _NATIVE_CONTAINERS)
    ):
        return None
    try:
        return _encode(value)
    except (OverflowError, UnicodeEncodeError):  # beyond 64 bits; a lone surrogate
        return None


def unpack(data: bytes | memoryview) -> Any:
    """Return the value. On bytes that :func:`pack` did not make, any exception may be raised."""
    return _decode(data)


def _prepared(value: Any) -> Any:
    """Return what MessagePack can express, with extensions where it cannot."""
    kind = type(value)
    prepare = _PREPARE.get(kind)
    if prepare is None:
        raise NotPlain
    return prepare(value)


def _items(value: Any) -> list[Any]:
    return [item if type(item) in _AS_THEY_ARE else _prepared(item) for item in value]


def _int(value: int) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    return Ext(_LARGE_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _str(value: str) -> Any:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return Ext(_LONE_SURROGATES, value.encode("utf-8", "surrogatepass"))
    return value


def _dict(value: dict[Any, Any]) -> Any:
    if set(map(type, value)) <= _NATIVE_SCALARS:
        keys = _items(value)
        if all(type(key) is not Ext for key in keys):
            return dict(zip(keys, _items(value.values()), strict=True))
    return Ext(_PAIRS, _encode(_pairs(value)))


def _pairs(value: dict[Any, Any]) -> list[Any]:
    return [(_prepared(key), _prepared(item)) for key, item in value.items()]


def _moment(value: datetime | time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _prepared(value.tzinfo)]


def _zone_key(zone: ZoneInfo) -> str:
    key: str | None = zone.key  # there is none if the zone was read from a file
    if key is None or ZoneInfo(key) is not zone:
        raise NotPlain
    return key


class _Extension(NamedTuple):
    """How one type is written."""

    code: int
    kind: type
    payload: Any
    """What is written for it. Nothing of another type is restored: some constructors would also
    take what makes them work forever, such as a long range or a number's text."""
    prepare: Callable[[Any], Any]
    restore: Callable[[Any], Any]


_PAIRS: Final = 1
_LARGE_INT: Final = 2
_LONE_SURROGATES: Final = 3
_Pairs = list[tuple[Any, Any]]
_Moment = tuple[str, int, Any]

# Codes are part of the stored format: never give one another meaning.
_EXTENSIONS: Final = (
    _Extension(10, tuple, list, _items, tuple),
    _Extension(11, set, list, _items, set),
    _Extension(12, frozenset, list, _items, frozenset),
    _Extension(13, bytearray, bytes, bytes, bytearray),
    _Extension(
        *(14, complex, tuple[float, float]),
        prepare=lambda value: (value.real, value.imag),
        restore=lambda payload: complex(*payload),
    ),
    _Extension(15, Decimal, str, str, Decimal),
    _Extension(
        *(16, Fraction, tuple[Any, Any]),
        prepare=lambda value: _items((value.numerator, value.denominator)),
        restore=lambda payload: Fraction(*payload),
    ),
    _Extension(
        *(17, UUID, bytes),
        prepare=lambda value: value.bytes,
        restore=lambda payload: UUID(bytes=payload),
    ),
    _Extension(
        *(18, range, tuple[Any, Any, Any]),
        prepare=lambda value: _items((value.start, value.stop, value.step)),
        restore=lambda payload: range(*payload),
    ),
    _Extension(20, date, str, date.isoformat, date.fromisoformat),
    _Extension(
        *(21, datetime, _Moment, _moment),
        restore=lambda p: datetime.fromisoformat(p[0]).replace(fold=p[1], tzinfo=p[2]),
    ),
    _Extension(
        *(22, time, _Moment, _moment),
        restore=lambda p: time.fromisoformat(p[0]).replace(fold=p[1], tzinfo=p[2]),
    ),
    _Extension(
        *(23, timedelta, tuple[int, int, int]),
        prepare=lambda value: (value.days, value.seconds, value.microseconds),
        restore=lambda payload: timedelta(*payload),
    ),
    _Extension(
        *(24, timezone, list),
        prepare=lambda value: _items(value.__getinitargs__()),
        restore=lambda payload: timezone(*payload),
    ),
    _Extension(25, ZoneInfo, str, _zone_key, ZoneInfo),
    _Extension(30, OrderedDict, _Pairs, _pairs, OrderedDict),
    _Extension(31, Counter, _Pairs, _pairs, lambda payload: Counter(dict(payload))),
    _Extension(
        *(32, deque, tuple[int | None, list[Any]]),
        prepare=lambda value: (value.maxlen, _items(value)),
        restore=lambda payload: deque(payload[1], payload[0]),
    ),
)


def _writer(extension: _Extension) -> Callable[[Any], Ext]:
    code, prepare = extension.code, extension.prepare
    return lambda value: Ext(code, _encode(prepare(value)))


_PREPARE: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys(_AS_THEY_ARE, lambda value: value),
    int: _int,
    str: _str,
    list: _items,
    dict: _dict,
    **{extension.kind: _writer(extension) for extension in _EXTENSIONS},
}


def _datetime(value: datetime, prepare: Callable[[Any], Any] = _PREPARE[datetime]) -> Any:
    # The timestamp of MessagePack itself, which is read several times as fast.
    return value if value.tzinfo is timezone.utc and not value.fold else prepare(value)


_PREPARE[datetime] = _datetime


def _restored(code: int, data: memoryview) -> Any:
    return _RESTORE[code](data)


def _reader(payload: Any, restore: Callable[[Any], Any]) -> Callable[[memoryview], Any]:
    decode = msgspec.msgpack.Decoder(payload, ext_hook=_restored).decode
    return lambda data: restore(decode(data))


_RESTORE: Final[dict[int, Callable[[memoryview], Any]]] = {
    _PAIRS: _reader(_Pairs, dict),
    _LARGE_INT: lambda data: int.from_bytes(data, "little", signed=True),
    _LONE_SURROGATES: lambda data: bytes(data).decode("utf-8", "surrogatepass"),
    **{ext.code: _reader(ext.payload, ext.restore) for ext in _EXTENSIONS},
}
_decode = msgspec.msgpack.Decoder(ext_hook=_restored).decode
