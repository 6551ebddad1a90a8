"""What the engine asks of a sequence: the numbering of invalidations.

Exactly one *authority* hands out the numbers: a counter in this process, an LMDB environment or a
Redis server. A sequence publishes this process's invalidations there and applies everybody's to the
process's trie. Its contract towards the engine:

- :meth:`Sequence.publish` returns only when the numbers are on the authority and in this trie,
  together with everything that was numbered before (so that a value computed right afterwards has
  a stamp that covers it). If the authority cannot be reached, the tags are kept in *doubt* in the
  trie, delivered later, and ``False`` is returned (``strict`` raises ``BusUnavailable``).
- ``leased`` is ``None`` when storage reads keep the trie up to date by themselves. Otherwise it
  says whether the trie is at most ``max_staleness`` seconds behind; when it is not, the engine
  calls :meth:`Sequence.catch_up` before it judges anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as TypingSequence
from typing import Any, Protocol

__all__ = ["Sequence"]


class Sequence(Protocol):
    """The order of invalidations. Blocking methods have asynchronous twins with prefix ``a``."""

    leased: Callable[[], bool] | None

    reachable: Callable[[], bool] | None
    """Whether the authority can be asked at present, so that a read which has just been made knows
    every invalidation before it. ``None``: always, or see ``leased``."""

    def publish(self, tags: TypingSequence[str], strict: bool = False) -> bool:
        """Number ``tags`` and apply them; whether the authority has them.

        Raises ``BusUnavailable`` if ``strict`` and it has not.
        """

    def catch_up(self) -> bool:
        """Apply what the authority has and this process has not; whether it could be asked."""

    def prune(self, before: float, max_age: float) -> int:
        """Drop tag numbers older than ``max_age`` seconds (last touched before the clock reading
        ``before``); how many branches of this process's trie were dropped."""

    def close(self) -> None:
        """Release sockets and threads."""

    def locks(self) -> Iterable[Any]:
        """Locks to hold across a fork."""

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent."""

    async def apublish(self, tags: TypingSequence[str], strict: bool = False) -> bool: ...
    async def acatch_up(self) -> bool: ...
