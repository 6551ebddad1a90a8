"""While something becomes visible to others, nothing that depends on it is trusted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zoocache_core import Engine
from zoocache_core.publishing import Publishing


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.reset()


def store(engine: Engine) -> None:
    for key in (1, 2):
        engine.set(f"row {key}", key, deps=f"db:row:{key}")


def test_what_depends_on_it_is_not_given_out_meanwhile(engine: Engine) -> None:
    store(engine)
    with Publishing([engine], ["db:row:1"]):
        assert engine.get("row 1") is None
        assert engine.get("row 2") == 2
    assert engine.get("row 1") is None
    engine.set("row 1", 1, deps="db:row:1")
    assert engine.get("row 1") == 1


def test_what_is_computed_meanwhile_is_outdated(engine: Engine) -> None:
    with Publishing([engine], ["db:row:1"]):
        engine.fetch("row 1", lambda: "as it was", deps="db:row:1")
    assert engine.get("row 1") is None


def test_it_is_invalidated_also_if_the_block_fails(engine: Engine) -> None:
    store(engine)
    with pytest.raises(OSError), Publishing([engine], ["db:row:1"]):
        raise OSError
    assert engine.get("row 1") is None
    assert engine.get("row 2") == 2


def test_nothing_is_invalidated_if_nothing_has_happened(engine: Engine) -> None:
    store(engine)
    with Publishing([engine], ["db:row:1"]) as publishing:
        publishing.tags = ()
    assert engine.get("row 1") == 1
    assert engine.stats().invalidations == 0


def test_many_tags_are_doubted_by_their_parents(engine: Engine) -> None:
    store(engine)
    with Publishing([engine], [f"db:row:{key}" for key in range(100, 200)]):
        assert engine.get("row 1") is None
    assert engine.get("row 1") == 1


def test_an_engine_that_is_not_configured_is_passed_over(engine: Engine) -> None:
    store(engine)
    with Publishing([Engine.unconfigured(), engine], ["db"]):
        pass
    assert engine.get("row 1") is None


def test_an_engine_may_be_closed_meanwhile(engine: Engine) -> None:
    with Publishing([engine], ["db"]):
        engine.reset()
    assert not engine.configured


def test_publishing_nothing_leaves_what_was_judged_as_it_is(engine: Engine) -> None:
    store(engine)
    engine.get("row 1")
    epoch = engine.trie.epoch
    with Publishing([engine], ()):
        pass
    assert engine.trie.epoch == epoch


def test_an_engine_that_is_closed_meanwhile(engine: Engine) -> None:
    store(engine)
    with Publishing([engine], ["db:row:1"]):
        engine.reset()
    engine.configure()
    store(engine)
    assert engine.get("row 1") == 1
