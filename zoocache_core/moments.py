"""Where engines stood at one moment, such as that before a database transaction began to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["Moment"]


class Moment:
    """The positions of the configured ones among ``engines``, now."""

    __slots__ = ("_positions",)

    def __init__(self, engines: Iterable[Runtime]) -> None:
        self._positions: dict[Runtime, tuple[Any, int]] = {
            engine: (engine.trie.root, engine.present()) for engine in engines if engine.configured
        }

    def position(self, engine: Runtime) -> int:
        """The position of ``engine`` at that moment; 0, which is before everything, if it is not
        known or belongs to another history: the engine was configured or its store made anew."""
        found = self._positions.get(engine)
        return 0 if found is None or found[0] is not engine.trie.root else found[1]
