"""What is invalidated is gone, and nothing else is."""

from __future__ import annotations

from zoocache_core.errors import InvalidTag
from zoocache_core.testing.contract import Contract

__all__ = ["InvalidationContract"]


class InvalidationContract(Contract):
    """What is invalidated is gone, and nothing else is."""

    def test_an_invalidation_reaches_what_depends_on_the_tag_or_below(self) -> None:
        for hit in ("a:b:c", "a:b", "a"):
            self.engine.set("k", 1, deps="a:b:c")
            self.engine.invalidate(hit)
            assert self.engine.get("k") is None, hit

    def test_an_invalidation_spares_siblings_parents_and_children_of_other_names(self) -> None:
        self.engine.set("parent", 1, deps="a")
        self.engine.set("sibling", 2, deps="a:x")
        self.engine.set("longer", 3, deps="a:bc")
        self.engine.set("free", 4)
        self.engine.invalidate("a:b")
        assert self.engine.get_many(["parent", "sibling", "longer", "free"]) == {
            "parent": 1,
            "sibling": 2,
            "longer": 3,
            "free": 4,
        }

    def test_a_wildcard_dep_is_reached_from_below(self) -> None:
        for hit in ("a", "a:b", "a:b:c", "a:b:c:d"):
            self.engine.set("k", 1, deps="a:b:*")
            self.engine.invalidate(hit)
            assert self.engine.get("k") is None, hit
        self.engine.set("k", 1, deps="a:b:*")
        self.engine.invalidate("a:c", "b")
        assert self.engine.get("k") == 1

    def test_clear_forgets_everything(self) -> None:
        self.engine.set_many({"a": 1, "b": 2})
        self.engine.clear()
        assert self.engine.get_many(["a", "b"]) == {}
        self.engine.set("a", 3)
        assert self.engine.get("a") == 3

    def test_a_value_stored_after_an_invalidation_but_read_before_it_is_dead(self) -> None:
        stamp = self.engine.stamp()
        self.engine.invalidate("t")
        self.engine.set("k", "old", deps="t", stamp=stamp)
        assert self.engine.get("k") is None

    def test_set_is_as_old_as_the_miss_before_it(self) -> None:
        assert self.engine.get("k") is None
        self.engine.invalidate("t")
        self.engine.set("k", "read before the invalidation", deps="t")
        assert self.engine.get("k") is None

    def test_a_value_computed_right_after_an_invalidation_is_cached(self) -> None:
        self.engine.invalidate("t")
        self.engine.set("k", 1, deps="t")
        assert self.engine.get("k") == 1

    def test_an_invalidation_during_the_computation_makes_its_result_unusable(self) -> None:
        source = ["old"]

        @self.engine.cacheable(deps="t")
        def read() -> str:
            value = source[0]
            if value == "old":
                source[0] = "new"
                self.engine.invalidate("t")
            return value

        assert read() == "old"
        assert read() == "new"
        assert read.cached_value() == "new"

    def test_prune_never_resurrects(self) -> None:
        self.engine.set("dead", 1, deps="a:b")
        self.engine.invalidate("a:b", "a:c")
        self.pass_time(self.ttl)
        self.engine.prune(self.ttl / 2)
        assert self.engine.get("dead") is None
        self.engine.set("k", 2, deps="a:b")
        assert self.engine.get("k") == 2

    def test_malformed_tags_invalidate_nothing(self) -> None:
        self.engine.set("k", 1, deps="good")
        try:
            self.engine.invalidate("good", "bad tag")
        except InvalidTag:
            pass
        else:
            raise AssertionError("a malformed tag was accepted")
        assert self.engine.get("k") == 1
