"""The keys of cached calls.

A key names the function, then the call: ``shop.prices.price#5e0b7f3a9c1d2e4f:(i42;s3'EUR)``. What
follows ``#`` is a fingerprint of the function's code (see :mod:`zoocache_core.identity`), so a
function that was changed does not find the values of its former self. Arguments are *bound* first,
as the call would bind them, so ``price(42)``, ``price(product=42)`` and the same with the default
currency spelled out are one key. They are encoded by :mod:`zoocache_core.encoding`; a long text is
replaced by its BLAKE2b hash (RFC 7693, 160 bits).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from hashlib import blake2b
from types import FunctionType
from typing import Any, Final, Protocol, cast

from zoocache_core.binding import Binder, binder
from zoocache_core.encoding import encode, register_key_adapter
from zoocache_core.errors import UnsupportedValue
from zoocache_core.identity import Closure, function_identity, function_name, named_fingerprint

__all__ = ["CallKey", "call_key", "encode", "function_identity", "register_key_adapter"]

_READABLE: Final = 80
"""Arguments whose text is longer than this many characters are hashed."""

_NAME: Final = 120
"""A function's name is cut to its last 120 characters; the fingerprint covers all of it."""

_ENCODED: Final = "\x01"
"""Begins what `key=` returned if it is encoded, so that no text can be taken for another value."""

_Make = Callable[[tuple[Any, ...], dict[str, Any]], str]


class CallKey(Protocol):
    """Makes the keys of one function's calls."""

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> str:
        """Return the key of a call.

        Raises:
            TypeError: the function cannot be called with these arguments.
            UnsupportedValue: one of them cannot be part of a key; the message names it.
        """

    def identity(self) -> str:
        """Return the text that all keys begin with, before a ``:``, unless there is a ``key=``."""

    def private(self) -> frozenset[str]:
        """Return the closure variables on whose account no other process makes the same keys.

        Known after the first key was made.
        """


def call_key(
    fn: Callable[..., Any],
    namespace: str | None = None,
    key: str | Callable[..., Any] | None = None,
    apart: str = "",
) -> CallKey:
    """Return the function that makes the keys of calls to `fn`.

    With `namespace`, keys begin with it and the function's qualified name, without the module's.
    The fingerprint stays, and covers the module, so functions of one namespace never share values.

    `apart` tells uses of the same function from each other.

    `key` overrides all of this: it is the key, or is called with the call's own arguments and
    returns the key. A ``str`` is taken as it is (after ``namespace:``, if given); that two
    functions do not use one key for different things is then up to the caller. Any other value is
    encoded.

    Raises:
        TypeError: `fn` cannot be cached, or `namespace` or `key` is of a wrong type.
    """
    if isinstance(fn, (classmethod, staticmethod, property)):
        kind = type(fn).__name__
        raise TypeError(f"a {kind} cannot be cached itself: write @{kind} above @cacheable")
    if not callable(fn):
        raise TypeError(f"only functions can be cached, not {type(fn).__name__}: {fn!r:.80}")
    if namespace is not None and (type(namespace) is not str or not namespace):
        raise TypeError(f"namespace must be a str that is not empty, not {namespace!r:.80}")
    identity = _identity(fn, namespace)
    if apart:
        identity += "." + blake2b(apart.encode(), digest_size=6).hexdigest()
    if key is not None:
        return _finished(_explicit(namespace, key), identity, None)
    plain = type(fn) is FunctionType and not fn.__closure__
    closure = None if plain else Closure(fn)
    return _finished(_from_arguments(fn, identity, closure), identity, closure)


def _finished(make: _Make, identity: str, closure: Closure | None) -> CallKey:
    # A function with attributes, because calling an instance with __call__ takes longer.
    finished: Any = make
    finished.identity = lambda: identity
    finished.private = lambda: frozenset() if closure is None else closure.private
    return cast("CallKey", finished)


def _identity(fn: Callable[..., Any], namespace: str | None) -> str:
    name = function_name(fn) if namespace is None else getattr(fn, "__qualname__", "")
    name = name.encode("ascii", "backslashreplace").decode()[-_NAME:]
    name = f"{name}#{named_fingerprint(fn)}"
    return name if namespace is None else f"{namespace}:{name}"


def _from_arguments(fn: Callable[..., Any], identity: str, closure: Closure | None) -> _Make:
    bound = binder(fn)
    bind, exact = bound.bind, bound.exact
    readable, hashed = f"{identity}:(", f"{identity}:!"

    def make(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        values = args if len(args) == exact and not kwargs else bind(args, kwargs)
        try:
            text = "".join([encode(value) for value in values])
        except UnsupportedValue:
            text = _encode_each(fn, bound, values)
        if closure is not None:
            text += closure.text()
        if len(text) <= _READABLE and text.isascii():
            return f"{readable}{text})"
        return hashed + _digest(text)

    return make


def _digest(text: str) -> str:
    # A lone surrogate, which a JSON document may contain, is text like any other here.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _encode_each(fn: Callable[..., Any], bound: Binder, values: Sequence[object]) -> str:
    """Encode one by one, to allow for defaults that are passed explicitly and to name a culprit."""
    text = ""
    for name, value in zip(bound.names, values, strict=True):
        try:
            text += encode(bound.stand_ins.get(id(value), value))
        except UnsupportedValue as error:
            raise UnsupportedValue(
                f"argument {name!r} of {function_name(fn)} cannot be part of a cache key: {error}"
            ) from None
    return text


def _explicit(namespace: str | None, key: str | Callable[..., Any]) -> _Make:
    prefix = "" if namespace is None else f"{namespace}:"
    if isinstance(key, str):
        constant = prefix + key
        return lambda _args, _kwargs: constant
    if inspect.iscoroutinefunction(key) or not callable(key):
        raise TypeError(
            "key must be a str, or a plain function that is given the call's arguments and returns "
            f"the key, not {key!r:.80}"
        )

    def make(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        value = key(*args, **kwargs)
        if isinstance(value, str) and not value.startswith(_ENCODED) and _is_unicode(value):
            return prefix + value
        text = encode(value)
        if len(text) > _READABLE or not text.isascii():
            text = f"!{_digest(text)}"
        return f"{prefix}{_ENCODED}{text}"

    return make


def _is_unicode(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
