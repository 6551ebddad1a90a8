"""Which function is it? Text that two different functions never share.

A name is not enough: every lambda of a module is called ``<lambda>``, a function may be defined
again, and a factory returns many functions of one name. So a function is identified by its module
and qualified name, by its compiled code (file names and line numbers aside, which change without
the behaviour changing), and by what it closes over.

What a function closes over is looked at when it is called, since a variable may be filled or
rebound later. It enters

- by value, where the value cannot change: text, numbers, dates, tuples of them, classes, modules,
  other functions;
- by what it says of itself, where it has ``__zoocache_key__`` or a key adapter;
- and otherwise as *this very object in this process*. A list, a connection or a lock may be changed
  by anyone, so its content identifies nothing; the same goes for a variable that the function
  itself assigns to. Closures over different objects then never share a value, and no other process
  does either, since it cannot know that its object is the same one.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable
from hashlib import blake2b
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from zoocache_core.encoding import encode, has_own_key, register_encoder
from zoocache_core.errors import UnsupportedValue
from zoocache_core.immutables import is_immutable
from zoocache_core.naming import class_label, module_name, process_token

__all__ = [
    "Closure",
    "function_identity",
    "function_name",
    "named_fingerprint",
    "plain_closure",
]

_CachedFunction = functools.lru_cache(maxsize=1)(int).__class__
_EMPTY: Final = object()
_MAX_OBJECTS: Final = 64


def function_identity(fn: Callable[..., Any]) -> str:
    """Return the text that identifies a function, with everything that it closes over *by value*.

    This is how a function that is an argument of a cached call takes part in the key.

    Raises:
        UnsupportedValue: it closes over something that has no canonical text; the message names
            the variable.
    """
    return encode(fn)


def function_name(fn: Callable[..., Any]) -> str:
    """Return ``module.qualname``, for people to read."""
    if isinstance(fn, functools.partial):
        return function_name(fn.func)
    name = getattr(fn, "__qualname__", None)
    if name is None:
        return class_label(type(fn))
    return f"{module_name(fn)}.{name}"


def named_fingerprint(fn: Callable[..., Any]) -> str:
    """Return 16 hexadecimal digits for the name and the code of a function, not its closure."""
    code = getattr(fn, "__code__", None)
    text = function_name(fn) + (_fingerprint(code) if isinstance(code, CodeType) else "")
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _behind_cache(value: object) -> FunctionType | MethodType | None:
    """Return the function behind a cached one, or ``None`` if `value` is something else."""
    if type(value) is FunctionType or type(value).__module__ == "zoocache_core.decorator":
        uncached = getattr(value, "uncached", None)
        if isinstance(uncached, (FunctionType, MethodType)):
            return uncached
    return None


@functools.lru_cache(maxsize=1024)
def _fingerprint(code: CodeType) -> str:
    digest = blake2b(digest_size=16)
    for part in (
        code.co_code,
        *(_fingerprint(c) if isinstance(c, CodeType) else encode(c) for c in code.co_consts),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
    ):
        digest.update(encode(part).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


@functools.lru_cache(maxsize=1024)
def _assigned(code: CodeType) -> frozenset[str]:
    """Return the variables of enclosing functions that this code, or code inside it, rebinds."""
    opcodes = ("STORE_DEREF", "DELETE_DEREF")
    names = {step.argval for step in dis.get_instructions(code) if step.opname in opcodes}
    inner = [_assigned(const) for const in code.co_consts if isinstance(const, CodeType)]
    return frozenset(names.union(*inner)).intersection(code.co_freevars)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


class _Walk:
    """One pass over a function and all that it reaches through closures, defaults and partials."""

    def __init__(self, other: Callable[[object, str], str], assigned: dict[int, CellType]) -> None:
        self.other = other
        """Encodes what is not a function; also given the name of the variable."""
        self.assigned = assigned
        """Cells that some function on the way assigns to, by id."""
        self.cells: list[tuple[CellType, object]] = []
        self._seen: dict[int, int] = {}

    def value(self, value: object, name: str) -> str:
        if value is _EMPTY:
            return "0"
        uncached = _behind_cache(value)
        if uncached is not None:
            return "w" + self.value(uncached, name)
        if type(value) is FunctionType:
            return self.function(value)
        if type(value) is MethodType:
            return "m" + self.value(value.__self__, name) + self.value(value.__func__, name)
        if type(value) is functools.partial:
            parts: Any = (value.func, value.args, tuple(sorted(value.keywords.items())))
            return "p" + self.value(parts, name)
        if type(value) is _CachedFunction:
            return "l" + self.value(value.__wrapped__, name)
        if type(value) is tuple:
            return "(" + "".join([self.value(item, name) for item in value]) + ")"
        return self.other(value, name)

    def function(self, fn: FunctionType) -> str:
        ordinal = self._seen.get(id(fn))
        if ordinal is not None:  # it refers to itself, or is reached in two ways
            return f"^{ordinal};"
        self._seen[id(fn)] = len(self._seen)
        defaults = (fn.__defaults__, tuple(sorted((fn.__kwdefaults__ or {}).items())))
        return f"&{named_fingerprint(fn)}{self.closure(fn)}" + self.value(defaults, "a default")

    def closure(self, fn: FunctionType) -> str:
        self._seen.setdefault(id(fn), len(self._seen))
        names, cells = fn.__code__.co_freevars, fn.__closure__ or ()
        assigned = _assigned(fn.__code__)
        self.assigned.update((id(c), c) for n, c in zip(names, cells, strict=True) if n in assigned)
        return "[" + "".join(map(self._cell, names, cells)) + "]"

    def _cell(self, name: str, cell: CellType) -> str:
        if id(cell) in self.assigned:
            return self.other(cell, name)
        content = _content(cell)
        self.cells.append((cell, content))
        return self.value(content, name)


def _encode_function(fn: object, depth: int) -> str:
    def by_value(value: object, name: str) -> str:
        try:
            return encode(_content(value) if type(value) is CellType else value, depth + 1)
        except UnsupportedValue as error:
            raise UnsupportedValue(
                f"{function_name(fn)} closes over {name!r}, and {error}"  # type: ignore[arg-type]
            ) from None

    return _Walk(by_value, {}).value(fn, "it")


def _encode_builtin(fn: BuiltinFunctionType, depth: int) -> str:
    owner = fn.__self__
    if owner is None or isinstance(owner, ModuleType):
        return "B" + encode(f"{fn.__module__}.{fn.__qualname__}")
    return "B" + encode((owner, fn.__name__), depth + 1)


def _encode_descriptor(fn: MethodDescriptorType | WrapperDescriptorType, depth: int) -> str:
    return "D" + encode((fn.__objclass__, fn.__name__), depth + 1)


register_encoder(FunctionType, _encode_function)
register_encoder(MethodType, _encode_function)
register_encoder(functools.partial, _encode_function)
register_encoder(_CachedFunction, _encode_function)
register_encoder(BuiltinFunctionType, _encode_builtin)
register_encoder(MethodDescriptorType, _encode_descriptor)
register_encoder(WrapperDescriptorType, _encode_descriptor)


def plain_closure(fn: Callable[..., Any]) -> str:
    """What `fn` closes over, as text; or ``""`` if that is nothing that can be compared.

    Only immutable values, and functions, tell one function from another made at the same place.
    Whatever else is there (a database, an application) is left out, so that all processes have one
    text.
    """

    def other(value: object, _name: str) -> str:
        return encode(value) if type(value) is not CellType and is_immutable(value) else "?"

    if type(fn) is not FunctionType:
        return ""
    text = _Walk(other, {}).closure(fn)
    return "" if text == "[]" else text


class Closure:
    """What one cached callable closes over, as text that is kept until a variable is rebound."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._objects: dict[int, tuple[object, str]] = {}
        self._assigned: dict[int, CellType] = {}
        # One tuple, replaced as a whole: threads may evaluate at the same time.
        self._state: tuple[list[tuple[CellType, object]], str] | None = None
        self.private: frozenset[str] = frozenset()
        """Variables that keep the results of this function from other processes."""

    def text(self) -> str:
        """Return the text for what is closed over now."""
        state = self._state
        if state is None:
            return self._evaluate()
        cells, text = state
        for cell, content in cells:
            if _content(cell) is not content:
                return self._evaluate()
        return text

    def _evaluate(self) -> str:
        volatile = False
        private = set()

        def other(value: object, name: str) -> str:
            nonlocal volatile
            if type(value) is not CellType:
                if is_immutable(value):
                    return encode(value)
                if has_own_key(value):
                    volatile = True
                    return encode(value)
            private.add(name)
            return self._token(value)

        while True:
            known = len(self._assigned)
            walk = _Walk(other, self._assigned)
            # The name and code of the function itself are in the key already.
            fn = self._fn
            text = walk.closure(fn) if type(fn) is FunctionType else walk.value(fn, "the callable")
            if len(self._assigned) == known:
                break
        self.private = frozenset(private)
        self._state = None if volatile else (walk.cells, text)
        return text

    def _token(self, value: object) -> str:
        # setdefault is atomic: threads that come here together agree on one token. The object is
        # kept alive, because another one could be given its id.
        if len(self._objects) > _MAX_OBJECTS:
            self._objects.clear()
        return self._objects.setdefault(id(value), (value, f"{process_token()};"))[1]
