"""The contract of Django's caches, on each storage. (`script/django-cache-suite` runs Django's own
tests of it; these here say more, and need no sources of Django.)"""

from __future__ import annotations

import math
import pickle
import threading
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.base import CacheKeyWarning

from tests.django.caches import STORAGES, Caches, caches_on
from zoocache_core.testing import in_threads
from zoocache_django.cache import ZooCacheBackend

MISSING = object()


@pytest.fixture(params=STORAGES)
def caches(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Caches]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    with caches_on(request.param, tmp_path, url) as made:
        yield made


@pytest.fixture
def cache(caches: Caches) -> ZooCacheBackend:
    return caches.open()


class Forgetful:
    """Leaves an attribute out of its pickle, as model instances do."""

    def __init__(self) -> None:
        self.kept, self.left_out = 1, 2

    def __getstate__(self) -> dict[str, int]:
        return {"kept": self.kept}

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Unpicklable:
    def __getstate__(self) -> dict[str, int]:
        raise pickle.PickleError("no")


# Lifetimes


def test_a_timeout_runs_from_when_the_value_was_stored(cache: Any, caches: Caches) -> None:
    cache.set("k", 1, timeout=10)
    caches.let_pass(6)
    assert cache.get("k") == 1
    caches.let_pass(6)
    assert cache.get("k") is None


def test_reading_may_restart_it_where_that_is_asked_for(caches: Caches) -> None:
    cache = caches.open(OPTIONS={"READ_EXTEND_TTL": True})
    cache.set("k", 1, timeout=10)
    for _ in range(3):
        caches.let_pass(6)
        assert cache.get("k") == 1


@pytest.mark.parametrize("over", [0, -1, -0.5, timedelta(seconds=-1)])
def test_a_value_that_has_expired_already(cache: Any, over: Any) -> None:
    cache.set("k", "old")
    cache.set("k", "new", over)
    assert cache.get("k") is None, "nor does the old value come back"
    assert cache.add("k", "added", over) is True
    assert cache.get("k") is None
    cache.set("k", "there")
    assert cache.add("k", "added", over) is False
    assert cache.get("k") == "there"
    cache.set_many({"k": 1, "l": 2}, over)
    assert cache.get_many(["k", "l"]) == {}
    assert cache.get_or_set("k", "default", over) == "default"
    assert cache.get_or_set("k", lambda: "computed", over) == "computed"
    assert cache.get("k") is None
    cache.set("k", "there")
    assert cache.touch("k", over) is True
    assert cache.get("k") is None
    assert cache.touch("k", over) is False


@pytest.mark.parametrize("never", [None, math.inf])
def test_a_value_that_never_expires(cache: Any, caches: Caches, never: Any) -> None:
    cache.set("k", 1, never)
    cache.set("touched", 1, 10)
    assert cache.touch("touched", never) is True
    assert cache.ttl("k") is None
    caches.let_pass(10)
    assert cache.get_many(["k", "touched"]) == {"k": 1, "touched": 1}


@pytest.mark.parametrize("timeout", ["60", object(), math.nan, 1j])
def test_a_timeout_that_is_no_number_of_seconds(cache: Any, timeout: Any) -> None:
    for refused in (
        lambda: cache.set("k", 1, timeout),
        lambda: cache.add("k", 1, timeout),
        lambda: cache.touch("k", timeout),
        lambda: cache.set_many({"k": 1}, timeout),
        lambda: cache.get_or_set("k", 1, timeout),
    ):
        with pytest.raises(TypeError, match="timeout="):
            refused()
    assert cache.get("k") is None


def test_timeouts_of_all_kinds(cache: Any) -> None:
    for timeout, left in [(1, 1), (1.5, 1.5), (timedelta(minutes=1), 60), (True, 1), (10**9, 1e9)]:
        cache.set("k", 1, timeout)
        assert left - 0.5 < cache.ttl("k") <= left


def test_ttl(cache: Any, caches: Caches) -> None:
    assert cache.ttl("k") == 0
    cache.set("k", 1)
    assert 299 < cache.ttl("k") <= 300, "Django's default"
    cache.set("k", 1, 10, tags=["t"])
    assert 0 < cache.ttl("k") <= 10
    cache.invalidate_tags("t")
    assert cache.ttl("k") == 0


def test_touch(cache: Any, caches: Caches) -> None:
    cache.set("k", 1, 10)
    caches.let_pass(6)
    assert cache.touch("k", 10) is True
    caches.let_pass(6)
    assert cache.get("k") == 1
    assert cache.touch("k") is True
    assert cache.ttl("k") > 299
    caches.let_pass(10)
    assert cache.get("k") == 1
    assert cache.touch("missing") is False
    cache.set("k", 1, tags=["t"])
    cache.invalidate_tags("t")
    assert cache.touch("k") is False


@pytest.mark.parametrize("timeout", [2, "2", 0.5, None])
def test_a_default_timeout(caches: Caches, timeout: Any) -> None:
    cache: Any = caches.open(TIMEOUT=timeout)
    cache.set("k", 1)
    left = cache.ttl("k")
    assert left is None if timeout is None else 0 < left <= float(timeout)


# Values


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 1.5, "text", b"\x00bytes", [1, [2]], (1, (2,)), {"a": {"b": 1}}, {1, 2}],
)
def test_values_keep_their_types(cache: Any, value: Any) -> None:
    cache.set("k", value)
    back = cache.get("k", MISSING)
    assert back == value
    assert type(back) is type(value)


def test_values_are_copies(cache: Any) -> None:
    value = {"list": [1]}
    cache.set("k", value)
    value["list"].append(2)
    cache.get("k")["list"].append(3)
    assert cache.get("k") == {"list": [1]}


def test_an_object_is_what_its_pickle_makes_of_it(cache: Any) -> None:
    for stored in (
        lambda: cache.set("k", Forgetful()),
        lambda: cache.add("k", Forgetful()),
        lambda: cache.set_many({"k": Forgetful()}),
        lambda: cache.get_or_set("k", Forgetful),
    ):
        cache.delete("k")
        stored()
        assert vars(cache.get("k")) == {"kept": 1}


@pytest.mark.parametrize(
    ("value", "error"),
    [(Unpicklable(), pickle.PickleError), (threading.Lock(), TypeError), (lambda: 1, Exception)],
)
def test_what_cannot_be_pickled_is_an_error(cache: Any, value: Any, error: Any) -> None:
    for refused in (
        lambda: cache.set("k", value),
        lambda: cache.set("k", [value], tags=["t"]),
        lambda: cache.add("k", value),
        lambda: cache.set_many({"k": value, "l": 1}),
        lambda: cache.get_or_set("k", [value]),
        lambda: cache.get_or_set("k", lambda: value),
    ):
        with pytest.raises(error) as refusal:
            refused()
        assert not type(refusal.value).__module__.startswith("zoocache")
    assert cache.get_many(["k", "l"]) == {}


# Keys


def test_prefix_and_version_and_key_function(caches: Caches) -> None:
    cache: Any = caches.open(KEY_PREFIX="p", VERSION=2)
    assert cache.make_key("k") == "p:2:k"
    assert cache.make_key("k", version=3) == "p:3:k"
    custom: Any = caches.open(KEY_FUNCTION=lambda key, prefix, version: f"{version}!{key}")
    custom.set("k", 1)
    assert custom.make_key("k") == "1!k"
    assert custom.get("k") == 1
    assert caches.open().get("k") is None
    dotted = caches.open(KEY_FUNCTION="tests.django.keys.reversed_key")
    assert dotted.make_key("abc") == "cba"


def test_keys_of_any_type_are_told_apart_by_their_text(cache: Any) -> None:
    cache.set_many({1: "int", "s": "str", None: "none"})
    assert cache.get_many([1, "1", "s", None, "x"]) == {
        1: "int",
        "1": "int",
        "s": "str",
        None: "none",
    }


@pytest.mark.parametrize("key", ["with space", "tab\t", "x" * 300, "\x7f"])
def test_keys_that_memcached_would_refuse(cache: Any, key: str) -> None:
    uses: dict[str, Any] = {
        "set": lambda: cache.set(key, 1),
        "get": lambda: cache.get(key),
        "add": lambda: cache.add(key, 1),
        "incr": lambda: cache.incr(key),
        "decr": lambda: cache.decr(key),
        "touch": lambda: cache.touch(key),
        "has_key": lambda: cache.has_key(key),
        "in": lambda: key in cache,
        "get_or_set": lambda: cache.get_or_set(key, 1),
        "ttl": lambda: cache.ttl(key),
        "get_many": lambda: cache.get_many([key]),
        "set_many": lambda: cache.set_many({key: 1}),
        "delete": lambda: cache.delete(key),
        "delete_many": lambda: cache.delete_many([key]),
    }
    for use in uses.values():
        with pytest.warns(CacheKeyWarning, match="memcached"):
            use()


@pytest.mark.parametrize("key", ["plain", "schlüssel", "☃", "user:1", "\u2028", "x" * 240, "\xa0"])
def test_other_keys_are_fine(cache: Any, key: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.set(key, 1)
        assert cache.get(key) == 1


def test_a_subclass_may_make_and_judge_keys_itself(caches: Caches) -> None:
    judged = []

    class Strict(ZooCacheBackend):
        def make_key(self, key: Any, version: int | None = None) -> str:
            return f"mine-{key}"

        def validate_key(self, key: str) -> None:
            judged.append(key)

    cache: Any = Strict(caches.location, {"OPTIONS": caches.options})
    cache.set("k", 1)
    assert cache.get("k") == 1
    assert judged == ["mine-k", "mine-k"]
    cache.delete_pattern("*")
    assert cache.get("k") is None


# Counting


def test_incr_and_decr(cache: Any, caches: Caches) -> None:
    cache.set("k", 1, 10)
    caches.let_pass(6)
    assert cache.incr("k") == 2
    assert cache.incr("k", 10) == 12
    assert cache.decr("k", 2) == 10
    assert cache.get("k") == 10
    caches.let_pass(6)
    for operation in (cache.incr, cache.decr):
        with pytest.raises(ValueError, match="'k' not found"):
            operation("k")
    cache.set("k", 1.5)
    assert cache.incr("k") == 2.5
    cache.set("k", 2**70)
    assert cache.incr("k") == 2**70 + 1
    cache.set("k", "text")
    with pytest.raises(TypeError):
        cache.incr("k")
    assert cache.get("k") == "text"


def test_incr_keeps_the_tags(cache: Any) -> None:
    cache.set("k", 1, tags=["t"])
    assert cache.incr("k") == 2
    cache.invalidate_tags("t")
    assert cache.get("k") is None
    with pytest.raises(ValueError, match="not found"):
        cache.incr("k")


def test_another_version_keeps_lifetime_and_tags(cache: Any, caches: Caches) -> None:
    cache.set("k", "value", 10, tags=["t"])
    assert cache.incr_version("k") == 2
    assert cache.get("k") is None
    assert 0 < cache.ttl("k", version=2) <= 10
    assert cache.decr_version("k", version=2) == 1
    assert cache.get("k") == "value"
    cache.invalidate_tags("t")
    with pytest.raises(ValueError, match="'k' not found"):
        cache.incr_version("k")
    cache.set("forever", None, None)
    assert cache.incr_version("forever", 5) == 6
    assert cache.ttl("forever", version=6) is None
    assert cache.has_key("forever", version=6)


def test_increments_of_many_threads_are_all_there(caches: Caches) -> None:
    caches.open().set("k", 0)
    barrier = threading.Barrier(4)

    def work(index: int) -> None:
        cache = caches.open()
        barrier.wait(10)
        for _ in range(25):
            cache.incr("k", 2)
            cache.decr("k")

    in_threads(4, work)
    assert caches.open().get("k") == 100


def test_one_of_many_threads_adds(caches: Caches) -> None:
    for round_number in range(10):
        barrier = threading.Barrier(4)

        def work(index: int, key: str = f"k{round_number}", gate: Any = barrier) -> bool:
            cache = caches.open()
            gate.wait(10)
            return cache.add(key, index)

        added = in_threads(4, work)
        assert added.count(True) == 1
        assert caches.open().get(f"k{round_number}") == added.index(True)


# Getting or setting


def test_get_or_set(cache: Any) -> None:
    assert cache.get_or_set("k", "default") == "default"
    assert cache.get_or_set("k", "other") == "default"
    assert cache.get_or_set("none", None) is None
    assert cache.has_key("none")
    assert cache.get_or_set("callable", lambda: [1]) == [1]
    assert cache.get_or_set("callable", pytest.fail) == [1]
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("failing", lambda: 1 / 0)
    assert not cache.has_key("failing")


def test_get_or_set_leaves_what_was_set_meanwhile(cache: Any) -> None:
    def overtaken() -> str:
        cache.set("k", "newer")
        return "older"

    assert cache.get_or_set("k", overtaken) == "newer"
    cache.delete("k")
    assert cache.get_or_set("k", overtaken, tags=["t"]) == "newer"
    assert cache.get("k") == "newer"


def test_get_or_set_computes_once_for_many_threads(caches: Caches) -> None:
    calls: list[int] = []
    entered, go_on = threading.Event(), threading.Event()

    def compute() -> str:
        calls.append(1)
        entered.set()
        assert go_on.wait(10)
        return "value"

    def work(index: int) -> Any:
        if index:
            assert entered.wait(10)
            if index == 3:
                go_on.set()
        return caches.open().get_or_set("k", compute)

    assert in_threads(4, work) == ["value"] * 4
    assert calls == [1]


def test_get_or_set_with_tags_depends_on_what_the_callable_uses(cache: Any) -> None:
    from zoocache_core import add_deps

    def compute() -> str:
        add_deps("used:1")
        return "value"

    cache.get_or_set("k", compute, tags=["own"])
    cache.get_or_set("plain", compute)
    cache.invalidate_tags("used")
    assert cache.get_many(["k", "plain"]) == {"plain": "value"}
    cache.get_or_set("k", compute, tags=["own"])
    cache.invalidate_tags("own")
    assert cache.get("k") is None


# Forgetting


def test_delete_tells_whether_there_was_a_value(cache: Any, caches: Caches) -> None:
    assert cache.delete("k") is False
    cache.set("k", None)
    assert cache.delete("k") is True
    assert cache.delete("k") is False
    cache.set("k", 1, 10)
    caches.let_pass(10)
    assert cache.delete("k") is False
    cache.set("k", 1, tags=["t"])
    cache.invalidate_tags("t")
    assert cache.delete("k") is False
    cache.set("k", 1)
    cache.clear()
    assert cache.delete("k") is False


def test_clear_spares_other_prefixes(caches: Caches) -> None:
    names = ["", "a", "a:b", "a-b", "ä/☃", "x" * 200, "django"]
    all_caches = {name: caches.open(KEY_PREFIX=name) for name in names}
    for name, cache in all_caches.items():
        cache.set("k", name)
        cache.set("tagged", name, tags=["t"])
    all_caches["a"].clear()
    all_caches["a-b"].invalidate_tags("t")
    for name, cache in all_caches.items():
        assert cache.get("k") == (None if name == "a" else name)
        assert cache.get("tagged") == (None if name in ("a", "a-b") else name)


def test_what_is_stored_after_a_clear_stays(cache: Any) -> None:
    assert cache.get("k") is None
    assert cache.get("tagged") is None
    cache.clear()
    cache.set("k", 1)
    cache.set("tagged", 1, tags=["t"])
    assert cache.get_many(["k", "tagged"]) == {"k": 1, "tagged": 1}
    cache.invalidate_tags("t")
    cache.set("k", 2)
    cache.set("tagged", 2, tags=["t"])
    assert cache.get_many(["k", "tagged"]) == {"k": 2, "tagged": 2}


def test_tags(cache: Any) -> None:
    cache.set("set", 1, tags="user:1")
    cache.set_many({"many": 1, "many2": 2}, tags=["user:2", "x"])
    cache.add("add", 1, tags={"user:1:name"})
    cache.get_or_set("default", 1, tags=iter(["user:1"]))
    cache.set("other", 1, tags=["users"])
    cache.set("wild", 1, tags=["user:*"])
    everything = ["set", "many", "many2", "add", "default", "other", "wild"]
    assert len(cache.get_many(everything)) == 7
    cache.invalidate_tags("user:1", "none")
    assert cache.get_many(everything).keys() == {"many", "many2", "other"}
    cache.invalidate_tags("x")
    assert cache.get_many(everything).keys() == {"other"}
    with pytest.raises(ValueError, match="not allowed"):
        cache.set("k", 1, tags=["a b"])
    with pytest.raises(ValueError, match="not allowed"):
        cache.invalidate_tags("users", "a b")
    assert cache.get_many([*everything, "k"]).keys() == {"other"}


def test_a_value_read_before_an_invalidation_is_not_stored_with_the_tag(cache: Any) -> None:
    assert cache.get("k") is None
    cache.invalidate_tags("t")
    cache.set("k", "read before", tags=["t"])
    assert cache.get("k") is None
    assert cache.get("k") is None
    cache.set("k", "untagged")
    cache.invalidate_tags("t")
    cache.set("k", "new", tags=["t"])
    assert cache.get("k") == "new", "the miss belongs to the store that followed it"


def test_a_refused_value_does_not_leave_an_older_one_behind(caches: Caches) -> None:
    cache: Any = caches.open()
    assert cache.get("k") is None
    in_threads(1, lambda index: caches.open().set("k", "stored meanwhile"))
    cache.invalidate_tags("t")
    cache.set("k", "read before the invalidation", tags=["t"])
    assert cache.get("k") is None


def test_patterns(caches: Caches) -> None:
    cache: Any = caches.open(KEY_PREFIX="[p]")
    other: Any = caches.open(KEY_PREFIX="p")
    keys = ["user:1:a", "user:1:b", "user:10", "user_1", "*"]
    for each in (cache, other):
        each.set_many(dict.fromkeys(keys, 1))
        each.set_many(dict.fromkeys(keys, 1), version=2)
    cache.delete_pattern("user:1:*")
    assert cache.get_many(keys).keys() == {"user:10", "user_1", "*"}
    cache.delete_pattern("user?1*", version=2)
    assert cache.get_many(keys, version=2).keys() == {"*"}
    cache.delete_pattern(r"\*")
    assert cache.get_many(keys).keys() == {"user:10", "user_1"}
    assert len(other.get_many(keys)) == len(other.get_many(keys, version=2)) == 5
    cache.set("user:1:a", 2)
    assert cache.get("user:1:a") == 2


def test_locks(cache: Any, caches: Caches) -> None:
    with cache.lock("report", timeout=10):
        assert cache.lock("report").acquire(blocking=False) is False
        assert cache.lock("report", version=2).acquire(blocking=False) is True
        assert cache.lock("other").acquire(blocking=False) is True
        cache.delete_pattern("*")
        assert cache.lock("report").acquire(blocking=False) is False
        assert cache.get("report") is None
    assert cache.lock("report").acquire(blocking=False) is True


def test_close_closes_nothing(cache: Any) -> None:
    cache.set("k", 1)
    cache.close()
    assert cache.get("k") == 1
