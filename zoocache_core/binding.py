"""The arguments of a call, in the one form that all ways to write the call share.

``inspect.Signature.bind`` takes several microseconds. What it does for a function is worked out
once here; a call then only fills the gaps. Arguments that do not fit are left to ``bind`` itself,
which raises the ``TypeError`` that the call would raise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from inspect import CO_VARARGS, CO_VARKEYWORDS, Parameter, Signature
from types import FunctionType
from typing import Any, NamedTuple, NoReturn

from zoocache_core.encoding import encode, register_encoder
from zoocache_core.errors import UnsupportedValue
from zoocache_core.naming import process_token

__all__ = ["Binder", "StandIn", "binder"]

Bind = Callable[[tuple[Any, ...], dict[str, Any]], Sequence[object]]


class StandIn:
    """Takes the place of a default that cannot be encoded, such as ``MISSING = object()``."""

    __slots__ = ("text",)

    def __init__(self, name: str, default: object) -> None:
        # A bare object() has no content; as the default of this parameter of this function it is
        # the same one in every process. Any other object is only known to be itself.
        self.text = f"S{len(name)}'{name}" if type(default) is object else f"{process_token()};"


register_encoder(StandIn, lambda value, _depth: value.text)


class Binder(NamedTuple):
    """How the arguments of one function are bound."""

    bind: Bind
    """Returns a value for each parameter, in their order, defaults included."""
    exact: int
    """A call with this many positional arguments and no others is bound as it is; -1: never."""
    names: tuple[str, ...]
    """The parameters, to name them in errors."""
    stand_ins: dict[int, StandIn]
    """By the id of the default that is replaced."""


def binder(fn: Callable[..., Any]) -> Binder:
    """Work out how to bind the arguments of `fn`."""
    try:
        signature = _signature(fn)
    except ValueError:  # some functions written in C do not tell
        return Binder(lambda args, kwargs: (args, kwargs), -1, ("args", "kwargs"), {})
    parameters = signature.parameters.values()
    stand_ins = {
        id(parameter.default): StandIn(parameter.name, parameter.default)
        for parameter in parameters
        if parameter.default is not Parameter.empty and not _is_encodable(parameter.default)
    }
    only_positional = all(
        p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for p in parameters
    )
    bind = _compile(signature, stand_ins)
    exact = len(parameters) if only_positional else -1
    return Binder(bind, exact, tuple(signature.parameters), stand_ins)


def _signature(fn: Any) -> Signature:
    # A decorator that passes everything on has the signature of what it wraps. One with parameters
    # of its own decides what the wrapped function gets, so its own are what identifies the call.
    while (
        type(fn) is FunctionType
        and "__wrapped__" in vars(fn)
        and "__signature__" not in vars(fn)
        and fn.__code__.co_argcount == fn.__code__.co_kwonlyargcount == 0
        and fn.__code__.co_flags & CO_VARARGS
        and fn.__code__.co_flags & CO_VARKEYWORDS
    ):
        fn = vars(fn)["__wrapped__"]
    return inspect.signature(fn, follow_wrapped=False)


def _is_encodable(default: object) -> bool:
    try:
        encode(default)
    except UnsupportedValue:
        return False
    return True


def _compile(signature: Signature, stand_ins: dict[int, StandIn]) -> Bind:
    parameters = signature.parameters.values()
    by_kind: dict[Any, list[str]] = {}
    for parameter in parameters:
        by_kind.setdefault(parameter.kind, []).append(parameter.name)
    only_positional = by_kind.get(Parameter.POSITIONAL_ONLY, [])
    either = by_kind.get(Parameter.POSITIONAL_OR_KEYWORD, [])
    only_keyword = by_kind.get(Parameter.KEYWORD_ONLY, [])
    positional = (*only_positional, *either)
    by_keyword = frozenset((*either, *only_keyword))
    takes_more = Parameter.VAR_POSITIONAL in by_kind
    takes_any_keyword = Parameter.VAR_KEYWORD in by_kind
    most = len(positional)
    defaults = {
        parameter.name: stand_ins.get(id(parameter.default), parameter.default)
        for parameter in parameters
        if parameter.default is not Parameter.empty
    }

    def refuse(args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        signature.bind(*args, **kwargs)  # knows what to say
        # In Python 3.13.0, it overlooks a missing positional-only argument of which there is a
        # namesake among the keywords.
        raise TypeError(f"the arguments do not fit the signature {signature}")

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[object]:
        if len(args) > most and not takes_more:
            refuse(args, kwargs)
        values: list[object] = [*args[:most]]
        used = 0
        for name in positional[len(args) :]:
            if name in kwargs and name in by_keyword:
                values.append(kwargs[name])
                used += 1
            elif name in defaults:
                values.append(defaults[name])
            else:
                refuse(args, kwargs)
        if takes_more:
            values.append(args[most:])
        for name in only_keyword:
            if name in kwargs:
                values.append(kwargs[name])
                used += 1
            elif name in defaults:
                values.append(defaults[name])
            else:
                refuse(args, kwargs)
        if takes_any_keyword:
            more = {name: kwargs[name] for name in kwargs if name not in by_keyword}
            values.append(more)
            used += len(more)
        if used != len(kwargs):
            refuse(args, kwargs)
        return values

    return bind
