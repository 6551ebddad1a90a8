"""When a lease is current, and when an outage keeps it from being renewed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zoocache_core.lease import Lease
from zoocache_core.testing import ManualClock

TERM = 5.0
DELIVERY = 1.0


def lease(clock: ManualClock) -> Lease:
    return Lease(clock, TERM, DELIVERY)


def test_it_counts_from_the_question_and_not_from_the_answer() -> None:
    clock = ManualClock()
    held = lease(clock)
    assert not held.current()
    asked = clock.monotonic()
    clock.advance(4)
    held.renew(asked)
    assert held.current()
    clock.advance(0.99)
    assert held.current()
    clock.advance(0.01)
    assert not held.current()


def test_an_answer_to_an_earlier_question_takes_nothing_away() -> None:
    clock = ManualClock()
    held = lease(clock)
    held.renew(clock.monotonic())
    until = held.until
    held.renew(clock.monotonic() - 4)
    assert held.until == until


def test_dropping() -> None:
    clock = ManualClock()
    held = lease(clock)
    held.renew(clock.monotonic())
    held.drop()
    assert not held.current()
    clock.advance(1)
    held.renew(clock.monotonic())
    assert held.current()


def test_after_a_short_outage_it_goes_on_at_once() -> None:
    clock = ManualClock()
    held = lease(clock)
    held.renew(clock.monotonic())
    clock.advance(TERM - DELIVERY - 0.5)
    held.renew(clock.monotonic())
    clock.advance(TERM - 0.1)
    assert held.current()


def test_after_a_long_outage_everybody_gets_time_to_deliver_first() -> None:
    clock = ManualClock()
    held = lease(clock)
    held.renew(clock.monotonic())
    clock.advance(60)
    waited = 0.0
    while not held.current():
        held.renew(clock.monotonic())
        clock.advance(0.1)
        waited += 0.1
    assert DELIVERY < waited < DELIVERY + 0.5


@given(
    term=st.floats(1.0, 60.0),
    away=st.floats(0.0, 200.0),
    invalidated=st.floats(0.0, 1.0),
    pause=st.floats(0.0, 1.0),
)
def test_what_was_invalidated_during_an_outage_is_not_served_beyond_the_term(
    term: float, away: float, invalidated: float, pause: float
) -> None:
    """The last answer came at 0, the next is given at ``away``. Somebody has invalidated in between
    and tries again ``pause`` of the longest possible pause after the authority is back."""
    clock = ManualClock(monotonic=0.0)
    held = Lease(clock, term, DELIVERY)
    held.renew(0.0)
    moment = invalidated * away
    delivered = away + pause * min(DELIVERY, away)
    clock.advance(away)
    while clock.monotonic() < delivered:
        held.renew(clock.monotonic())
        # It has not arrived yet: whatever is served now is as stale as this.
        if held.current():
            assert clock.monotonic() - moment <= term
        clock.advance(0.01)
