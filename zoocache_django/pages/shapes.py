"""What a serializer is made to show: its fields and their settings, its own state.

All of that may differ from one instance of a class to the next: ``__init__`` takes options of its
own, ``get_fields`` leaves fields out, a view sets an attribute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from zoocache_django.pages.portraits import portrait

__all__ = ["shape_of"]

_MEMO: Final = "_zoocache_shape"

_TOLD_OTHERWISE: Final = frozenset(
    {
        # What is shown, and in which context: parts of the key by themselves.
        *("_context", "child", "child_relation", "fields", "instance", "parent"),
        # What has to do with input only.
        *("_data", "_errors", "_validated_data", "_validators", "error_messages", "initial"),
        *("initial_data", "queryset", "validators"),
        # What has to do with forms and schemas.
        *("_creation_counter", "help_text", "label", "style"),
        # What is in other attributes as well, or is the same for all instances of a class.
        *("_args", "_kwargs", "_readable_fields", "_writable_fields", "model_field", "reverse"),
        _MEMO,
    }
)

_OF_A_FIELD: Final = frozenset(
    {
        *("allow_empty", "allow_null", "default", "field_name", "max_length", "min_length"),
        *("partial", "read_only", "required", "source", "source_attrs", "url_field_name"),
        "write_only",
    }
)
"""How a serializer is used in another one, which is no matter of its own."""

_ARGUMENTS: Final = frozenset(
    {
        *("allow_empty", "allow_null", "child", "child_relation", "context", "data", "default"),
        *("error_messages", "help_text", "initial", "instance", "label", "many", "max_length"),
        *("min_length", "partial", "queryset", "read_only", "required", "source", "style"),
        *("validators", "write_only"),
    }
)
"""What every serializer takes and leaves in an attribute."""


def shape_of(serializer: Any) -> str:
    """Text that tells a serializer from others that show something else.

    Worked out once for each serializer, when it shows something for the first time, and again if
    it was given other fields since.

    Raises:
        UnsupportedValue: nothing is known that tells what a part of its state is.
    """
    inner = getattr(serializer, "fields", {})
    # The dict in it, which is a quicker one.
    fields = tuple(map(id, getattr(inner, "fields", inner).values()))
    memo = vars(serializer).get(_MEMO)
    if memo is None or memo[0] != fields:
        own = [_own_state(each, _OF_A_FIELD) for each in _and_those_above(serializer)]
        shown = portrait((type(serializer), own, _fields(serializer)))
        memo = vars(serializer)[_MEMO] = (fields, shown)
    shape: str = memo[1]
    return shape


def _and_those_above(serializer: Any) -> Iterator[Any]:
    yield serializer
    while (serializer := serializer.parent) is not None:
        # Those that only pass it on are all alike.
        if _own_state(serializer, _OF_A_FIELD):
            yield serializer


def _fields(serializer: Any) -> list[tuple[str, Any]]:
    """The class, state and fields of each field of a serializer, or of what is inside a field."""
    inside = [*getattr(serializer, "fields", {}).items()]
    inside += [
        (name, vars(serializer)[name])
        for name in ("child", "child_relation")
        if name in vars(serializer)
    ]
    return [(name, (type(each), _own_state(each), _fields(each))) for name, each in inside]


def _own_state(field: Any, otherwise: Collection[str] = ()) -> dict[str, Any]:
    state = {
        name: value
        for name, value in vars(field).items()
        if name not in _TOLD_OTHERWISE and name not in otherwise
    }
    given = getattr(field, "_kwargs", {})
    taken = {name: value for name, value in given.items() if name not in _ARGUMENTS}
    if taken:
        state["_kwargs"] = taken
    return state
