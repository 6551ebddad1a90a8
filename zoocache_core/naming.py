"""Names of classes and functions, for keys that several processes share.

What has no name that another process could know (a class made inside a function, an object that a
function closes over) is told apart by a token that nobody else makes.
"""

from __future__ import annotations

import os
import secrets
import sys
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

__all__ = ["class_label", "is_unnamed", "module_name", "process_token"]

_MADE_BY_CLASS_STATEMENT: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE

_tokens = count()
_nonce = secrets.token_hex(8)
_unnamed_classes: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _renew_nonce() -> None:
    global _nonce
    _nonce = secrets.token_hex(8)


if hasattr(os, "register_at_fork"):  # parent and child continue the same count after a fork
    os.register_at_fork(after_in_child=_renew_nonce)


def process_token() -> str:
    """Return a text that nobody else ever gets, in this process or another."""
    return f"~{_nonce}.{next(_tokens)}"


def module_name(definition: Any) -> str:
    """Return the name of the module that a class or function says it is from.

    A child started by multiprocessing's spawn knows its parent's ``__main__`` by another name.
    """
    return "__main__" if definition.__module__ == "__mp_main__" else f"{definition.__module__}"


def is_unnamed(label: str) -> bool:
    """Whether a label is of a class that another process does not know by it."""
    return "~" in label


def class_label(cls: type) -> str:
    """Return ``module.qualname`` for a class that can be found there, and a unique name otherwise.

    Two calls of a function that defines a class make two classes with one name; they must not
    share cached values.
    """
    found: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    label = f"{module_name(cls)}.{cls.__qualname__}"
    if found is cls or not cls.__flags__ & _MADE_BY_CLASS_STATEMENT:
        return label
    return label + _unnamed_classes.setdefault(cls, process_token())
