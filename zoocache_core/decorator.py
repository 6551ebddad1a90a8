"""The decorator ``@cacheable``.

The wrapper is chosen once, at decoration: for a plain function or a coroutine function, for a
function or a method. Everything that can be worked out then (the key builder, static deps, the ttl)
is, so that a hit builds a key, looks it up and returns.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from zoocache_core.calls import Call, call, pass_outward, unwrap
from zoocache_core.deps import current_scope
from zoocache_core.errors import UnsupportedValue
from zoocache_core.flows import arun, run
from zoocache_core.identity import Closure, named_fingerprint
from zoocache_core.keys import CallKey, call_key
from zoocache_core.missing import MISSING
from zoocache_core.settings import seconds
from zoocache_core.tags import validate_many
from zoocache_core.trie import CALLS

if TYPE_CHECKING:
    from datetime import timedelta

    from zoocache_core.engine import Engine

__all__ = ["Cached", "Decorator", "Deps", "decorate"]

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)

Deps = str | Iterable[str] | Callable[..., str | Iterable[str]] | None

_SCALARS = frozenset({str, int, type(None)})
"""Argument types whose values are equal only if they are the same value of the same type, so that a
tuple of them identifies a call. Not bool and float: ``True == 1 == 1.0``."""

_MEMO_SIZE = 4096
"""Keys remembered per function."""

_MEMO_TEXT = 256
"""Characters in the arguments of a call that is remembered, so that the memo stays small."""


class Cached(Protocol[P, R_co]):
    """What ``@cacheable`` makes of a function: the same signature, and these."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[..., Any]

    @property
    def uncached(self) -> Callable[P, R_co]:
        """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Cached[P, R_co]: ...

    @overload
    def __get__(
        self: Cached[Concatenate[S, Q], R_co], instance: S, owner: type | None = None, /
    ) -> Cached[Q, R_co]: ...

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The key under which the result of this call is cached."""

    def invalidate(self, *args: Any, **kwargs: Any) -> None:
        """Forget the result of this call, and of every cached call that used it."""

    def invalidate_all(self) -> None:
        """Forget the results of all calls of this function, whatever their arguments."""

    def cached_value(self, *args: Any, **kwargs: Any) -> Any:
        """What this call would find in the cache, or ``MISSING``. Runs nothing; for tests."""


class Decorator(Protocol):
    """What ``cacheable(...)`` with arguments returns."""

    def __call__(self, function: Callable[P, R_co], /) -> Cached[P, R_co]: ...


class _Plan:
    """What is known about a decorated function at decoration."""

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        namespace: str | None,
        deps: Deps,
        ttl: float | timedelta | None,
        key: str | Callable[..., Any] | None,
    ) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UnsupportedValue(
                f"{function.__qualname__} is a generator function, and a generator can be consumed "
                "only once, so it cannot be cached. Let it return a list or a tuple."
            )
        self.engine = engine
        self.function = function
        self.ttl = None if ttl is None else seconds(ttl)
        self._deps = deps if callable(deps) else None
        self._static = () if deps is None or callable(deps) else validate_many(deps)
        apart = _fingerprint(self._deps) if self._deps is not None else " ".join(self._static)
        self.build: CallKey = call_key(function, namespace, key, apart)
        # A key that does not begin with the function's identity says nothing of the function, so
        # its entries name it among their deps.
        self._function_tag = () if key is None else (self._identity_tag,)
        self.memoisable = key is None and _arguments_decide(function)

    @property
    def _identity_tag(self) -> str:
        return f"{CALLS}:{self.build.identity()}"

    def request(self, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if not self.engine.direct and (names := self.build.private()):
            self.engine.report.warn_once(
                self.build.identity(),
                f"Results of {self.build.identity()} are cached, but other processes cannot use "
                f"them: the function closes over {', '.join(sorted(names))}, which has no value "
                "that they could recognise. Pass it as an argument, or say key=.",
            )
        deps = self._static if self._deps is None else validate_many(self._deps(*args, **kwargs))
        return Call(key, self.function, args, kwargs, deps + self._function_tag, self.ttl)

    def key(self, *args: Any, **kwargs: Any) -> str:
        return self.build(args, kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> None:
        self.engine.publish((f"{CALLS}:{self.build(args, kwargs)}",))

    def invalidate_all(self) -> None:
        self.engine.publish((self._identity_tag,))

    def cached_value(self, *args: Any, **kwargs: Any) -> Any:
        return self.engine.get(self.build(args, kwargs), MISSING)


def _fingerprint(deps: Callable[..., Any]) -> str:
    """What tells one callable for deps from another. Two uses of the decorator on one function may
    differ in their deps alone, and an entry of the one would not be forgotten for the other."""
    return named_fingerprint(deps) + Closure(deps).text()


def _arguments_decide(function: Callable[..., Any]) -> bool:
    """Whether the arguments alone decide the key, so that it can be remembered by them."""
    return (
        isinstance(function, types.FunctionType)
        and not function.__closure__
        and not function.__kwdefaults__
        and _SCALARS.issuperset(map(type, function.__defaults__ or ()))
    )


def decorate(
    engine: Engine,
    function: Callable[P, R_co],
    namespace: str | None = None,
    deps: Deps = None,
    ttl: float | timedelta | None = None,
    key: str | Callable[..., Any] | None = None,
) -> Cached[P, R_co]:
    """Wrap ``function`` so that its results are cached by ``engine``."""
    if isinstance(function, (classmethod, staticmethod)):
        inner = decorate(engine, function.__func__, namespace, deps, ttl, key)
        return type(function)(inner)  # type: ignore[return-value]
    if not callable(function):
        raise TypeError(f"@cacheable decorates functions, not {type(function).__name__}.")
    plan = _Plan(engine, function, namespace, deps, ttl, key)
    wrap = _async_wrapper if inspect.iscoroutinefunction(function) else _wrapper
    wrapper = wrap(engine, plan, _key_of_call(plan))
    functools.update_wrapper(wrapper, function)
    if _is_method(function):
        return _Method(wrapper, plan)  # type: ignore[return-value]
    for name in ("key", "invalidate", "invalidate_all", "cached_value"):
        setattr(wrapper, name, getattr(plan, name))
    wrapper.uncached = function  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def _key_of_call(plan: _Plan) -> Callable[[tuple[Any, ...], dict[str, Any]], str]:
    """The key builder, behind a memo of the calls seen where their arguments decide the key."""
    build = plan.build
    if not plan.memoisable:
        return build
    memo: dict[tuple[Any, ...], str] = {}
    seen = memo.get
    scalars = _SCALARS.issuperset

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if kwargs or not scalars(map(type, args)):
            return build(args, kwargs)
        key = seen(args)
        if key is None:
            key = build(args, kwargs)
            if sum(len(value) for value in args if type(value) is str) <= _MEMO_TEXT:
                if len(memo) >= _MEMO_SIZE:
                    memo.clear()
                memo[args] = key
        return key

    return key_of


def _wrapper(
    engine: Engine,
    plan: _Plan,
    key_of: Callable[[tuple[Any, ...], dict[str, Any]], str],
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = key_of(args, kwargs)
        entry = engine.hit(key)
        if entry is None:
            landed = None
            if not engine.direct:
                # A look elsewhere is worth a try before all that a computation needs is made.
                landed = engine.flights.landed
                if (found := engine.find(key)) is not None:
                    pass_outward(current_scope(), found[0].deps, key)
                    return found[1]
            request = plan.request(key, args, kwargs)
            return unwrap(run(call(engine, request, True, landed)))
        scope = current_scope()
        if scope is not None:
            pass_outward(scope, entry.deps, key)
        thaw = entry.thaw
        return entry.held if thaw is None else thaw(entry.held)

    return wrapper


def _async_wrapper(
    engine: Engine,
    plan: _Plan,
    key_of: Callable[[tuple[Any, ...], dict[str, Any]], str],
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = key_of(args, kwargs)
        entry = engine.hit(key)
        if entry is None:
            landed = None
            if not engine.direct:
                landed = engine.flights.landed
                if (found := await engine.afind(key)) is not None:
                    pass_outward(current_scope(), found[0].deps, key)
                    return found[1]
            request = plan.request(key, args, kwargs)
            return unwrap(await arun(call(engine, request, False, landed)))
        scope = current_scope()
        if scope is not None:
            pass_outward(scope, entry.deps, key)
        return entry.value()

    return wrapper


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether ``function`` was defined in a class body and takes the instance or the class."""
    if not isinstance(function, types.FunctionType):
        return False
    outer = function.__qualname__.rpartition(".")[0]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return bool(outer) and not outer.endswith("<locals>") and names[:1] in (("self",), ("cls",))


class _Method:
    """A cached method: on an instance, ``obj.method.invalidate(...)`` knows its object."""

    def __init__(self, wrapper: Callable[..., Any], plan: _Plan) -> None:
        functools.update_wrapper(self, wrapper)
        self._wrapper = wrapper
        self._plan = plan
        self.uncached = plan.function
        self.key = plan.key
        self.invalidate = plan.invalidate
        self.invalidate_all = plan.invalidate_all
        self.cached_value = plan.cached_value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wrapper(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> _Method | _Bound:
        return self if instance is None else _Bound(self._wrapper, self._plan, instance)


class _Bound:
    """A cached method of one object."""

    __slots__ = ("__self__", "__wrapped__", "_plan")

    def __init__(self, wrapper: Callable[..., Any], plan: _Plan, instance: object) -> None:
        self.__wrapped__ = wrapper
        self.__self__ = instance
        self._plan = plan

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(self.__self__, *args, **kwargs)

    @property
    def uncached(self) -> Callable[..., Any]:
        return types.MethodType(self._plan.function, self.__self__)

    def key(self, *args: Any, **kwargs: Any) -> str:
        return self._plan.key(self.__self__, *args, **kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> None:
        self._plan.invalidate(self.__self__, *args, **kwargs)

    def invalidate_all(self) -> None:
        self._plan.invalidate_all()

    def cached_value(self, *args: Any, **kwargs: Any) -> Any:
        return self._plan.cached_value(self.__self__, *args, **kwargs)
