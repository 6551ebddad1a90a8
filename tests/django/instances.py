"""What can be seen of what a queryset gives, so that two of them can be compared in all of it."""

from __future__ import annotations

from typing import Any

from django.db import models


def seen(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Values with their types, instances with their state and with all that hangs on them."""
    if id(value) in above:
        # Related objects know each other.
        return "the one", len(above) - above.index(id(value))
    if isinstance(value, (models.Model, models.QuerySet, dict, list)):
        above = (*above, id(value))
    if isinstance(value, models.Model):
        attributes = {k: seen(v, above) for k, v in vars(value).items() if k != "_state"}
        value._state.fields_cache  # noqa: B018  made when it is first looked at
        state = dict(vars(value._state))
        state.pop("peers", None)  # weak references
        return type(value), attributes, seen(state, above), value.get_deferred_fields()
    if isinstance(value, models.QuerySet):
        return type(value), [seen(item, above) for item in value]
    if isinstance(value, dict):
        return dict, sorted(((seen(k), seen(v, above)) for k, v in value.items()), key=repr)
    if isinstance(value, (list, tuple)):
        names = getattr(value, "_fields", None)
        return type(value).__name__, names, [seen(item, above) for item in value]
    return type(value), value if value == value else "nan"


def outcome(read: Any, afterwards: Any = None) -> Any:
    """What a read gives or raises; ``afterwards`` is then given what it gives."""
    try:
        found = read()
        result = seen(found)
    except Exception as error:
        return type(error), str(error)
    if afterwards is not None:
        afterwards(found)
    return result


def spoil(value: Any, known: set[int] | None = None) -> None:
    """Change everything in ``value`` that can be changed."""
    known = set() if known is None else known
    if id(value) in known:
        return
    known.add(id(value))
    if isinstance(value, models.Model):
        spoil(vars(value), known)
    elif isinstance(value, models.QuerySet):
        spoil(value._result_cache, known)
    elif isinstance(value, dict):
        for one in list(value.values()):
            spoil(one, known)
        value.clear()
    elif isinstance(value, (list, tuple)):
        for one in value:
            spoil(one, known)
        if isinstance(value, list):
            value.clear()
