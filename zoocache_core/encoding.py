"""Values as text that is the same exactly when the values are: the material cache keys are made of.

``1``, ``1.0``, ``True`` and ``"1"`` have four texts, a tuple is not a list, and the order of dicts
and sets plays no part. Every text shows where it ends (a length before it or a mark after it), so
texts can be joined without a separator and still be told apart::

    i42;        an int               s3'abc      a str
    (i1;i2;)    a tuple              {s1'aN}     a dict from "a" to None
    @15'decimal.Decimals3'1.5        an object: its class, then what it consists of
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from pathlib import PurePath
from types import EllipsisType, GenericAlias, MemberDescriptorType, ModuleType, NoneType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from zoocache_core.errors import UnsupportedValue
from zoocache_core.missing import MISSING
from zoocache_core.naming import class_label

__all__ = [
    "KeyAdapter",
    "encode",
    "has_own_key",
    "register_adapter_finder",
    "register_encoder",
    "register_key_adapter",
]

Encoder = Callable[[Any, int], str]

KeyAdapter = Callable[[Any], object]
"""Given an object, returns an encodable value that identifies it among those of its class."""

# Nesting deeper than this is a cycle for all practical purposes. A limit of our own, because the
# interpreter's can be raised until the C stack overflows.
_MAX_DEPTH: Final = 100
_MAX_TYPES: Final = 4096

_adapters: dict[type, KeyAdapter] = {}
_finders: list[Callable[[type], KeyAdapter | None]] = []
_natives: dict[type, Encoder] = {}
_encoders: dict[type, Encoder] = {}


def encode(value: object, _depth: int = 0) -> str:
    """Return the canonical text of `value`.

    Supported are the plain types of Python and its standard library, their subclasses, enums,
    dataclasses, classes and functions. Any other object takes part through an attribute or method
    ``__zoocache_key__``, or through :func:`register_key_adapter`.

    Raises:
        UnsupportedValue: `value`, or something inside it, is of another type or contains itself.
    """
    kind = type(value)
    if kind is str:
        return f"s{len(value)}'{value}"  # type: ignore[arg-type]
    return (_encoders.get(kind) or _resolve(kind))(value, _depth)


def register_key_adapter(cls: type, adapter: KeyAdapter) -> None:
    """Let instances of `cls` and its subclasses be part of keys.

    `adapter` is given the instance and returns any encodable value that identifies it, such as
    ``(label, primary_key)``; the class of the instance enters the key beside it. A class with
    ``__zoocache_key__`` of its own does not need an adapter, and keeps that key if there is one.

    Raises:
        TypeError: `cls` is one of the plain types that are encoded without help.
    """
    if cls in _natives:
        raise TypeError(f"{class_label(cls)} is part of keys as it is; its encoding is fixed")
    _adapters[cls] = adapter
    _forget_resolved()


def register_adapter_finder(find: Callable[[type], KeyAdapter | None]) -> None:
    """Let `find` tell the adapter of classes that have no base in common; ``None`` for any other
    class. It is asked once for each class, after :func:`register_key_adapter`."""
    if find not in _finders:
        _finders.append(find)
        _forget_resolved()


def register_encoder(kind: type, encoder: Encoder) -> None:
    """Set how instances of exactly `kind` are encoded, given the value and the nesting depth."""
    _natives[kind] = _encoders[kind] = encoder


def _forget_resolved() -> None:
    global _encoders  # replaced, not emptied: other threads are reading it
    _encoders = dict(_natives)


def has_own_key(value: object) -> bool:
    """Tell whether `value` says itself, or by an adapter, what identifies it."""
    return not isinstance(value, type) and (
        hasattr(value, "__zoocache_key__") or _adapter(type(value)) is not None
    )


def _labelled(cls: type) -> str:
    label = class_label(cls)
    return f"@{len(label)}'{label}"


def _number(value: int, _depth: int) -> str:
    # Hexadecimal beyond 64 bits: decimal digits are limited by sys.set_int_max_str_digits().
    return f"i{value};" if -(2**63) <= value < 2**63 else f"i{value:#x};"


def _deeper(depth: int) -> int:
    if depth >= _MAX_DEPTH:
        raise UnsupportedValue(
            f"the value contains itself or is nested more than {_MAX_DEPTH} levels deep; pass key= "
            "to cacheable and return what identifies the call"
        )
    return depth + 1


def _sequence(opening: str, closing: str) -> Encoder:
    def encoder(value: Any, depth: int) -> str:
        depth = _deeper(depth)
        return opening + "".join([encode(item, depth) for item in value]) + closing

    return encoder


def _unordered(opening: str, closing: str) -> Encoder:
    def encoder(value: Any, depth: int) -> str:
        depth = _deeper(depth)
        return opening + "".join(sorted([encode(item, depth) for item in value])) + closing

    return encoder


def _mapping(value: dict[Any, Any], depth: int) -> str:
    depth = _deeper(depth)
    pairs = [encode(key, depth) + encode(item, depth) for key, item in value.items()]
    return "{" + "".join(sorted(pairs)) + "}"


def _class(value: type, _depth: int) -> str:
    label = class_label(value)
    return f"t{len(label)}'{label}"


_BASICS: Final[dict[type, Encoder]] = {
    NoneType: lambda _value, _: "N",
    bool: lambda value, _: "T" if value else "F",
    EllipsisType: lambda _value, _: "E",
    int: _number,
    float: lambda value, _: f"f{value!r};",
    str: lambda value, _: f"s{len(value)}'{value}",
    bytes: lambda value, _: f"b{value.hex()};",
    tuple: _sequence("(", ")"),
    list: _sequence("[", "]"),
    set: _unordered("<", ">"),
    frozenset: _unordered("z<", ">"),
    dict: _mapping,
    type: _class,
}
_natives.update(_BASICS)


def _zone_key(zone: ZoneInfo) -> str:
    if zone.key is None:
        raise UnsupportedValue("a ZoneInfo read from a file has no key that identifies it")
    return zone.key


# Other types as a value of the basic ones that says all about them.
_REPRESENTATIONS: Final[dict[type, Callable[[Any], object]]] = {
    bytearray: bytes,
    complex: lambda value: (value.real, value.imag),
    Decimal: lambda value: str(value).upper(),  # the case of the E depends on the decimal context
    Fraction: lambda value: (value.numerator, value.denominator),
    datetime: lambda value: (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo),
    date: lambda value: value.isoformat(),
    time: lambda value: (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo),
    timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    timezone: lambda value: value.__getinitargs__(),
    ZoneInfo: _zone_key,
    tzinfo: lambda value: value.__reduce_ex__(2),  # time zones of other libraries
    UUID: lambda value: value.hex,
    range: lambda value: (value.start, value.stop, value.step),
    slice: lambda value: (value.start, value.stop, value.step),
    PurePath: str,
    re.Pattern: lambda value: (value.pattern, value.flags),
    OrderedDict: lambda value: list(value.items()),  # two of them are equal in the same order only
    defaultdict: lambda value: (value.default_factory, dict(value)),
    deque: lambda value: (value.maxlen, list(value)),
    GenericAlias: lambda value: (value.__origin__, value.__args__),
    ModuleType: lambda value: value.__name__,
}


def _represented(kind: type, represent: Callable[[Any], object]) -> Encoder:
    label = _labelled(kind)
    return lambda value, depth: label + encode(represent(value), _deeper(depth))


for _kind, _represent in _REPRESENTATIONS.items():
    _natives[_kind] = _represented(_kind, _represent)
_forget_resolved()

# Subclasses may override iteration or formatting; their content is read with the base's methods.
_PLAIN: Final[dict[type, Callable[[Any], object]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: b"".join([value]),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    list: list.copy,
    dict: dict.copy,
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _resolve(kind: type) -> Encoder:
    """Find out how instances of a type are encoded, once per type."""
    encoder = _class if issubclass(kind, type) else _keyed(kind, _structural(kind))
    if len(_encoders) >= _MAX_TYPES:
        _forget_resolved()
    _encoders[kind] = encoder
    return encoder


def _adapter(kind: type) -> KeyAdapter | None:
    for base in kind.__mro__:
        if base in _adapters:
            return _adapters[base]
    found = (find(kind) for find in _finders)
    return next((adapter for adapter in found if adapter is not None), None)


def _keyed(kind: type, otherwise: Encoder) -> Encoder:
    """Prefer what the object, or an adapter, says it is; `otherwise` looks into it."""
    label = _labelled(kind)
    adapter = _adapter(kind)

    def encoder(value: Any, depth: int) -> str:
        # Looked up on the instance: the key may be an attribute that __init__ sets.
        own = getattr(value, "__zoocache_key__", MISSING)
        if own is not MISSING:
            own = own() if callable(own) else own
        elif adapter is not None:
            own = adapter(value)
        else:
            return otherwise(value, depth)
        return f"{label}k{encode(own, _deeper(depth))}"

    return encoder


def _structural(kind: type) -> Encoder:
    label = _labelled(kind)
    if issubclass(kind, Enum):
        # The name of a combination of flags depends on the Python version; its value does not.
        attribute = "value" if issubclass(kind, Flag) else "name"
        return lambda value, depth: label + encode(getattr(value, attribute), _deeper(depth))
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    base = next((base for base in kind.__mro__ if base in _natives), None)
    if base is not None:
        # A subclass of str, say, may carry attributes as well, in slots or in a __dict__.
        own_bases = kind.__mro__[: kind.__mro__.index(base)]
        members = [item for cls in own_bases for item in vars(cls).items()]
        names += [name for name, item in members if type(item) is MemberDescriptorType]
        names += [] if is_dataclass(kind) else ["__dict__"]
    elif not is_dataclass(kind):
        return _refuse
    content = _natives[base] if base is not None else None
    to_plain = _PLAIN.get(base) if base is not None else None

    def encoder(value: Any, depth: int) -> str:
        depth = _deeper(depth)
        text = label
        if content is not None:
            text += content(value if to_plain is None else to_plain(value), depth)
        for name in names:
            text += encode(getattr(value, name), depth) if hasattr(value, name) else "U"
        return text + ";"

    return encoder


def _refuse(value: object, _depth: int) -> str:
    cls = type(value)
    raise UnsupportedValue(
        f"nothing is known that identifies an object of type {cls.__module__}.{cls.__qualname__}; "
        "give its class an attribute or method __zoocache_key__, or pass key= to cacheable"
    )
