"""A cached computation from lookup to landing, as one flow for blocking and asynchronous callers.

The order of things is what makes the promises hold:

1. Look for a valid entry.
2. Become the leader of the key's flight, or follow the one that there is.
3. A leader takes its stamp *before* it runs the function, so that an invalidation during the run
   makes the result invalid by construction (no stale write).
4. A follower takes a landing only if it is still valid for what it was computed from; so a caller
   that arrived after an invalidation never gets a result from before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoocache_core.deps import Scope, activate, current_scope
from zoocache_core.flight import Flight, Landing
from zoocache_core.flows import Flow
from zoocache_core.keeping import keep
from zoocache_core.trie import CALLS
from zoocache_core.turns import give_back, take_turn

if TYPE_CHECKING:
    from zoocache_core.runtime import Runtime

__all__ = ["Call", "Outcome", "call", "pass_outward", "unwrap"]

_ROUNDS = 8
"""How often a follower tries again whose leader was cancelled or took too long."""

_OUTDATED = 2
"""After so many landings that were outdated on arrival a follower computes for itself: data that
changes faster than it is computed must not make anybody queue for it."""

Outcome = tuple[Any, "Exception | None"]
"""What a computation returned, or what it raised. An exception travels as a value, since one that
is raised through a generator may be changed on the way (``StopIteration`` is)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a cached computation.

    ``function`` is called with ``args`` and ``kwargs``, or awaited by an asynchronous caller.
    ``deps`` are valid tags. ``ttl`` is in seconds, or ``None``, or a callable that derives it from
    the value. ``admit`` says whether a value may be stored and shared. ``refresh`` computes even
    if there is a valid entry.

    Unless ``tracked``, what the computation reads decides neither what the entry depends on nor
    whether it may be stored; a value that cannot be stored raises then. ``exclusive`` leaves an
    entry in place that somebody else stored meanwhile.
    """

    key: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    deps: Iterable[str] = ()
    ttl: float | Callable[[Any], float | None] | None = None
    admit: Callable[[Any], bool] | None = None
    refresh: bool = False
    tracked: bool = True
    exclusive: bool = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _compute(scope: Scope, call: Call) -> Outcome:
    activate(scope)
    try:
        return call.function(*call.args, **(call.kwargs or {})), None
    except Exception as error:  # noqa: BLE001  handed to the caller and to those who wait
        return None, error
    finally:
        activate(scope.parent)


async def _acompute(scope: Scope, call: Call) -> Outcome:
    activate(scope)
    try:
        return await call.function(*call.args, **(call.kwargs or {})), None
    except Exception as error:  # noqa: BLE001  handed to the caller and to those who wait
        return None, error
    finally:
        activate(scope.parent)


def unwrap(outcome: Outcome) -> Any:
    """The value of ``outcome``; raises what the computation raised."""
    value, error = outcome
    if error is not None:
        raise error
    return value


def pass_outward(scope: Scope | None, deps: Iterable[str], key: str) -> None:
    """Make the enclosing computation depend on what the result for ``key`` depends on."""
    if scope is not None and not scope.ended:
        scope.deps.update(deps)
        scope.deps.add(f"{CALLS}:{key}")


def call(
    engine: Runtime, request: Call, blocking: bool, missed: int | None = None
) -> Flow[Outcome]:
    """The outcome of ``request``: from the cache, from another's flight, or computed here.

    A caller that has looked in vain already says in ``missed`` how many flights had landed before.
    """
    key, flights = request.key, engine.flights
    outer = current_scope()
    if outer is not None and outer.ended:
        # A task that outlives the computation that started it.
        outer = None
    overdue: Flight | None = None
    loop = _running_loop()
    outdated = 0
    for _ in range(_ROUNDS):
        landed_before = flights.landed if missed is None else missed
        look = missed is None and not request.refresh
        missed = None
        if look and (found := (yield engine.find_step(key))) is not None:
            pass_outward(outer, found[0].deps, key)
            return found[1], None
        scope = Scope(engine, key, request.deps, engine.stamp(), outer)
        flight, leads = flights.board(key, scope, None if blocking else loop, engine.trie, overdue)
        if leads:
            recheck = flights.landed != landed_before and not request.refresh
            return (yield from _lead(engine, request, flight, recheck))
        if _unknowable(engine, flight):
            overdue = flight
            continue
        held = flights.led_by(outer)
        if flights.wait_would_never_end(flight, held, loop if blocking else None):
            # Re-entry, the simplest case: the caller is the flight it would have to wait for.
            break
        landing = yield from _follow(engine, key, flight, held)
        if landing is None:
            overdue = flight
            continue
        if landing.abandoned:
            continue
        entry, error = landing.entry, landing.error
        if entry is None and error is None:
            break
        of = flight.scope if entry is None else entry
        deps = tuple(of.deps)
        if not engine.trie.valid(deps, of.stamp, key) or engine.hides(deps, of.stamp):
            outdated += 1
            if outdated >= _OUTDATED:
                break
            continue
        pass_outward(outer, deps, key)
        if error is not None:
            return None, error
        return entry.value(), None  # type: ignore[union-attr]
    return (yield from _alone(engine, request, outer))


def _unknowable(engine: Runtime, flight: Flight) -> bool:
    """Whether what ``flight`` brings may be too old: nobody can say what was invalidated since."""
    leased, reachable = engine.sequence.leased, engine.sequence.reachable
    if leased is None:
        # Reads are strong, and this one could not be made.
        return reachable is not None and not reachable()
    if leased():
        return False
    return engine.now() - flight.began >= engine.settings.max_staleness


def _alone(engine: Runtime, request: Call, outer: Scope | None) -> Flow[Outcome]:
    """Run the function for this caller only; nothing is stored or shared."""
    scope = Scope(engine, request.key, request.deps, engine.stamp(), outer)
    outcome: Outcome = yield (_compute, _acompute, (scope, request))
    _leave(scope)
    return outcome


def _leave(scope: Scope) -> None:
    scope.ended = True
    if scope.parent is not None:
        scope.parent.absorb(scope)
        scope.parent.deps.add(f"{CALLS}:{scope.key}")


def _follow(engine: Runtime, key: str, flight: Flight, held: set[Flight]) -> Flow[Landing | None]:
    engine.report.counts.flight_waits += 1
    began = engine.now()
    engine.flights.hold(held, flight)
    try:
        landing: Landing | None = yield (flight.wait, flight.await_, (engine.flight_timeout,))
    finally:
        engine.flights.release(held, flight)
    engine.report.waited(key, engine.now() - began)
    return landing


def _lead(engine: Runtime, request: Call, flight: Flight, recheck: bool) -> Flow[Outcome]:
    key, scope = request.key, flight.scope
    landing = Landing(abandoned=True)
    lease = None
    try:
        if recheck and (found := (yield engine.find_step(key, quiet=True))) is not None:
            # Another flight landed between this caller's lookup and its boarding.
            landing = Landing(entry=found[0])
            pass_outward(scope.parent, found[0].deps, key)
            return found[1], None
        if engine.storage.leases is not None and key not in engine.flights.fruitless:
            leases = engine.storage.leases
            lease, found = yield from take_turn(engine, leases, key, request.refresh)
            if found is not None:
                landing = Landing(entry=found[0])
                pass_outward(scope.parent, found[0].deps, key)
                return found[1], None
            # Nothing has been read yet, and waiting may have taken a while.
            scope.stamp = engine.stamp()
        value, error = yield (_compute, _acompute, (scope, request))
        if error is not None:
            engine.flights.note(key, fruitful=False)
            if scope.forbidden is None and not engine.uncommitted():
                landing = Landing(error=error)
            else:
                landing = Landing()
            return None, error
        entry = yield from keep(engine, request, scope, value)
        engine.flights.note(key, fruitful=entry is not None)
        landing = Landing(entry=entry)
        return value, None
    except GeneratorExit:
        # The event loop is being closed: no step can be taken any more. The lease ends by itself.
        lease = None
        raise
    finally:
        engine.flights.land(key, flight, landing)
        _leave(scope)
        if lease is not None:
            yield from give_back(engine, key, lease)
