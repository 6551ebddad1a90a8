from __future__ import annotations

import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_encoding import in_another_process
from tests.core.values import essence, values
from zoocache_core import Engine
from zoocache_core.errors import UnsupportedValue
from zoocache_core.keys import call_key, function_identity

MISSING = object()
CALLED = ("abs", "len")


def key(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    return call_key(fn)(args, kwargs)


# --- arguments -----------------------------------------------------------------------------------


def none() -> Any:
    return locals()


def two(a: Any, b: Any) -> Any:
    return locals()


def with_defaults(a: Any, b: Any = 1, c: Any = None) -> Any:
    return locals()


def only_positional(a: Any, b: Any = 1, /, c: Any = 2) -> Any:
    return locals()


def only_keyword(a: Any, *, b: Any, c: Any = 3) -> Any:
    return locals()


def any_positional(a: Any = 0, *b: Any, c: Any = 1) -> Any:
    return locals()


def any_keyword(a: Any, **b: Any) -> Any:
    return locals()


def everything(a: Any, /, b: Any = 1, *args: Any, c: Any = 2, **kwargs: Any) -> Any:
    return locals()


def same_name_twice(a: Any, /, **kwargs: Any) -> Any:
    return locals()


FUNCTIONS = [
    none,
    two,
    with_defaults,
    only_positional,
    only_keyword,
    any_positional,
    any_keyword,
    everything,
    same_name_twice,
    functools.partial(with_defaults, c=1),
    functools.partial(everything, 1),
]
few = st.sampled_from([0, 1, 2, 3, None])
calls = st.tuples(
    st.lists(few, max_size=4).map(tuple), st.dictionaries(st.sampled_from("abcd"), few, max_size=3)
)


@settings(max_examples=600)
@given(st.sampled_from(FUNCTIONS), calls, calls)
def test_two_calls_have_one_key_exactly_if_the_function_sees_the_same(
    fn: Callable[..., Any], left: Any, right: Any
) -> None:
    make, seen, made = call_key(fn), [], []
    for args, kwargs in (left, right):
        try:
            seen.append(essence(fn(*args, **kwargs), ordered=False))
        except TypeError:
            with pytest.raises(TypeError):
                make(args, kwargs)
            return
        made.append(make(args, kwargs))
    assert (made[0] == made[1]) == (seen[0] == seen[1])


@given(values, values)
def test_a_key_tells_values_apart(left: Any, right: Any) -> None:
    same = essence(left, ordered=False) == essence(right, ordered=False)
    assert (key(two, left, 1) == key(two, right, 1)) == same


@given(values)
def test_a_key_is_short_and_fit_for_any_store(value: Any) -> None:
    made = key(two, value, value)
    assert made.isascii()
    assert len(made) < 250


def test_a_key_can_be_read() -> None:
    made = key(with_defaults, 42, "EUR")
    assert re.fullmatch(r"tests\.core\.test_keys\.with_defaults#[0-9a-f]{16}:\(i42;s3'EURN\)", made)


def test_a_long_name_is_cut_but_still_its_own() -> None:
    one, other = FunctionType(none.__code__, {}), FunctionType(none.__code__, {})
    one.__qualname__, other.__qualname__ = "a" * 500, "b" + "a" * 499
    assert len(key(one)) < 250
    assert key(one) != key(other)


def test_text_that_is_not_unicode_is_text_too() -> None:
    assert key(two, "\ud800", 1) != key(two, "\ud801", 1)


def test_all_keys_of_a_function_begin_with_its_identity() -> None:
    for fn in (with_defaults, functools.partial(two, 1), closing_over([])):
        make = call_key(fn)
        assert make((1,), {}).startswith(make.identity() + ":")
        assert make((1,) * 1, {}) != make(("x" * 200,), {})
        assert make(("x" * 200,), {}).startswith(make.identity() + ":")


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1, 2), {"b": 3}, "multiple values for argument 'b'"),
        ((1, 2), {"d": 3}, "unexpected keyword argument 'd'"),
    ],
)
def test_a_wrong_call_is_a_type_error(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        call_key(two)(args, kwargs)
    assert not isinstance(caught.value, UnsupportedValue)


def test_an_argument_that_cannot_be_in_a_key_is_named() -> None:
    with pytest.raises(
        UnsupportedValue,
        match=r"argument 'b' of tests.core.test_keys.two cannot .* type builtins.object; give",
    ):
        key(two, 1, object())
    with pytest.raises(UnsupportedValue, match="argument 'kwargs' of"):
        key(any_keyword_of, x=object())


def any_keyword_of(**kwargs: Any) -> None: ...


def test_a_sentinel_as_default() -> None:
    def find(name: str, default: Any = MISSING) -> None: ...

    made = key(find, "a")
    assert made == key(find, "a", MISSING) == key(find, "a", default=MISSING)
    assert made != key(find, "a", None)
    assert "~" not in made, "a bare object() as default keeps no key from other processes"
    with pytest.raises(UnsupportedValue):
        key(find, "a", object())


def test_defaults_that_two_functions_of_a_factory_do_not_share() -> None:
    def factory(connection: Any) -> Any:
        def find(name: str, connection: Any = connection) -> None: ...

        return find

    assert key(factory(threading.Lock()), "a") != key(factory(threading.Lock()), "a")
    assert key(factory(1), "a") != key(factory(2), "a")


def test_functions_written_in_c() -> None:
    assert key(max, 1, 2) == key(max, 1, 2) != key(max, 2, 1)
    assert key(max, 1, 2) != key(min, 1, 2)
    assert key(dict, a=1, b=2) == key(dict, b=2, a=1)


# --- which function ------------------------------------------------------------------------------


def test_lambdas_and_redefinitions_are_different_functions() -> None:
    plus_one, plus_two = (lambda x: x + 1), (lambda x: x + 2)
    assert key(plus_one, 1) != key(plus_two, 1)

    def price(x: int) -> float:
        return x * 1.0

    first = key(price, 1)

    def price(x: int) -> float:  # type: ignore[no-redef]
        return x * 1

    assert key(price, 1) != first, "1.0 == 1, but not here"


def compiled(source: str, filename: str) -> FunctionType:
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(source, filename, "exec"), names)
    fn = names["f"]
    assert isinstance(fn, FunctionType)
    return fn


def test_where_the_code_stands_does_not_matter_but_what_it_does() -> None:
    source = "def f(x):\n  g = lambda: abs(x) in {'a', 'b', 'c'}\n  return g()\n"
    base = key(compiled(source, "a.py"), 1)
    assert key(compiled("\n\n" + source, "b.py"), 1) == base
    for change in (
        ("'b'", "'d'"),
        ("return g()", "return g"),
        ("in {", "not in {"),
        ("g", "h"),
        CALLED,
    ):
        assert key(compiled(source.replace(*change), "a.py"), 1) != base


def closing_over(variable: Any) -> Callable[..., Any]:
    def inner(x: Any = None) -> Any:
        return variable, x

    return inner


@given(values, values)
def test_closures_of_one_factory_share_only_what_cannot_differ(left: Any, right: Any) -> None:
    if key(closing_over(left), 1) == key(closing_over(right), 1):
        assert essence(left) == essence(right)


def test_closures_over_equal_constants_share_in_every_process() -> None:
    constants = [1, "a", (1, ("b", None)), int, os, len, 1.5, frozenset({1, 2}), none]
    for constant in constants:
        made = key(closing_over(constant), 1)
        assert made == key(closing_over(constant), 1)
        assert "~" not in made
        assert call_key(closing_over(constant)).private() == frozenset()


@pytest.mark.parametrize("make", [list, dict, set, object, threading.Lock, lambda: [[]]])
def test_closures_over_two_objects_never_share(make: Callable[[], Any]) -> None:
    one, two = call_key(closing_over(make())), call_key(closing_over(make()))
    assert one((1,), {}) == one((1,), {}) != two((1,), {})
    assert one.private() == {"variable"}


def test_changing_a_closed_over_object_does_not_change_the_key() -> None:
    rows: list[int] = []
    make = call_key(closing_over(rows))
    before = make((1,), {})
    rows.append(1)
    assert make((1,), {}) == before


def test_a_variable_that_the_function_assigns_to_does_not_change_the_key() -> None:
    def factory() -> tuple[Any, Any]:
        calls = 0  # comes before the function that assigns to it, also in the alphabet

        def increase() -> None:
            nonlocal calls
            calls += 1

        def counted() -> int:
            increase()
            return calls

        return counted, increase

    counted, increase = factory()
    make, other = call_key(counted), call_key(factory()[0])
    before = make((), {})
    counted()
    increase()
    assert make((), {}) == before != other((), {})


def test_a_variable_filled_or_rebound_later() -> None:
    variable = CellType()
    use = FunctionType(closing_over(None).__code__, globals(), closure=(variable,))
    make = call_key(use)
    keys = [make((1,), {})]
    for value in (1, 1.0, "a", [1], [1], None):
        variable.cell_contents = value
        keys.append(make((1,), {}))
        assert make((1,), {}) == keys[-1]
    assert len(set(keys)) == len(keys)
    variable.cell_contents = 1
    assert make((1,), {}) == keys[1], "back to what it was"


def test_an_object_that_is_gone_is_not_mistaken_for_a_new_one() -> None:
    current: Any = None

    def use() -> Any:
        return current

    make = call_key(use)
    keys = set()
    for number in range(500):
        current = [number]  # likely to get the id of an earlier one
        keys.add(make((), {}))
    assert len(keys) == 500


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_that_come_first_agree_on_the_key() -> None:
    for _ in range(50):
        make = call_key(closing_over([]))
        barrier = threading.Barrier(4)
        made: list[str] = []

        def run(barrier: Any = barrier, make: Any = make, made: Any = made) -> None:
            barrier.wait()
            made.append(make((1,), {}))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 1


class Shop:
    def __init__(self, number: int) -> None:
        self.number = number

    def __zoocache_key__(self) -> int:
        return self.number


def test_a_closure_over_an_object_with_a_key() -> None:
    shop = Shop(1)
    make = call_key(closing_over(shop))
    first = make((1,), {})
    assert first == key(closing_over(Shop(1)), 1) != key(closing_over(Shop(2)), 1)
    shop.number = 2
    assert make((1,), {}) == key(closing_over(Shop(2)), 1)


def test_an_object_stays_the_same_while_another_one_changes() -> None:
    shop, rows = Shop(1), [1]

    def factory() -> Any:
        return lambda x: (shop, rows, x)

    make = call_key(factory())
    first = make((1,), {})
    assert make((1,), {}) == first
    shop.number = 2
    second = make((1,), {})
    assert second != first
    shop.number = 1
    assert make((1,), {}) == first


def test_recursion() -> None:
    def factory(step: Any) -> Any:
        def down(n: int) -> int:
            return 0 if n <= 0 else down(n - step)

        def even(n: int) -> bool:
            return n == 0 or odd(n - 1)

        def odd(n: int) -> bool:
            return n != 0 and even(n - 1)

        return down, even

    for position in (0, 1):
        one, same, other = factory(1)[position], factory(1)[position], factory(2)[position]
        assert key(one, 1) == key(same, 1)
        assert "~" not in key(one, 1)
        assert (key(one, 1) == key(other, 1)) == (position == 1)
        assert function_identity(one) == function_identity(same)


def test_a_cached_function_is_known_by_what_it_caches() -> None:
    engine = Engine()

    def factory(step: Any) -> Any:
        @engine.cacheable
        def down(n: int) -> int:
            return 0 if n <= 0 else down(n - step)

        @engine.cacheable
        def outer(n: int) -> int:
            return down(n)

        return down, outer

    (one, outer), (same, _), (other, third) = factory(1), factory(1), factory(2)
    assert one.key(3) == same.key(3) != other.key(3)
    assert outer.key(3) != third.key(3)
    assert "~" not in one.key(3) + outer.key(3)
    assert key(two, one, 1) == key(two, same, 1) != key(two, other, 1)
    engine.reset()


def logged(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def retried(times: int) -> Any:
    def decorate(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return [fn(*args, **kwargs) for _ in range(times)]

        return wrapper

    return decorate


def with_extra(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(a: Any, b: Any = 5) -> Any:
        return fn(a, b)

    return wrapper


def with_default_and_more(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(a: Any, b: Any = 5, *args: Any, **kwargs: Any) -> Any:
        return fn(a, b, *args, **kwargs)

    return wrapper


def test_decorated_functions() -> None:
    assert key(logged(with_defaults), 1) == key(logged(with_defaults), a=1, b=1)
    different = [with_defaults, logged(with_defaults), logged(two), retried(2)(with_defaults)]
    different += [retried(3)(with_defaults), logged(logged(with_defaults))]
    assert len({key(fn, 1, 2) for fn in different}) == len(different)
    assert "~" not in key(retried(2)(logged(with_defaults)), 1)
    assert key(with_extra(with_defaults), 1) != key(with_extra(with_defaults), 1, 1)
    assert key(with_default_and_more(with_defaults), 1) != key(
        with_default_and_more(with_defaults), 1, 1
    ), "the decorator's default is another one"
    assert key(functools.lru_cache(two), 1, 2) != key(two, 1, 2)


class Repository:
    def __init__(self, name: str) -> None:
        self.__zoocache_key__ = name

    def find(self, pk: int) -> None: ...

    @classmethod
    def all(cls) -> None: ...


class Subrepository(Repository): ...


class Anonymous:
    def find(self, pk: int) -> None: ...


def test_methods() -> None:
    find = Repository.find
    one = key(find, Repository("a"), 1)
    assert one == key(find, Repository("a"), pk=1)
    assert len({one, key(find, Repository("b"), 1), key(find, Subrepository("a"), 1)}) == 3
    every = vars(Repository)["all"].__func__
    assert key(every, Repository) == key(every, Repository) != key(every, Subrepository)
    with pytest.raises(UnsupportedValue, match=r"argument 'self' .*Anonymous.*__zoocache_key__"):
        key(Anonymous.find, Anonymous(), 1)


def test_bound_methods() -> None:
    assert key(Repository("a").find, 1) == key(Repository("a").find, 1)
    assert key(Repository("a").find, 1) != key(Repository("b").find, 1)
    assert key(Anonymous().find, 1) != key(Anonymous().find, 1)


def test_a_closure_over_super() -> None:
    def factory() -> Any:
        class Base:
            __zoocache_key__ = "base"

        class Local(Base):
            def find(self) -> Any:
                return super().__init__

        return Local

    one, two = factory(), factory()
    assert key(one.find, one()) == key(one.find, one())
    assert key(one.find, one()) != key(two.find, two())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_reuse_the_tokens_of_its_parent() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, key(closing_over([]), 1).encode())
        os._exit(0)
    os.close(writer)
    mine = key(closing_over([]), 1)
    with os.fdopen(reader) as stream:
        assert stream.read() != mine
    os.waitpid(pid, 0)


def test_keys_are_the_same_in_every_process() -> None:
    code = """
        from tests.core.test_keys import *
        print([key(fn, {"a", "b", "c"}, {1: 2}) for fn in (two, logged(with_defaults))],
              key(closing_over(frozenset({"x", "y", "z"})), Item("a")))
    """
    assert in_another_process(code, "1") == in_another_process(code, "2")


# --- namespace and key= --------------------------------------------------------------------------


def test_a_namespace_stands_for_the_module() -> None:
    made = call_key(two, namespace="shop")((1, 2), {})
    assert re.fullmatch(r"shop:two#[0-9a-f]{16}:\(i1;i2;\)", made)


def test_functions_of_one_namespace_never_share() -> None:
    names_a: dict[str, Any] = {"__name__": "a"}
    names_b: dict[str, Any] = {"__name__": "b"}
    exec("def load(pk): return table[pk]", names_a)
    exec("def load(pk): return table[pk]", names_b)
    keys = {
        call_key(fn, namespace="shop")((1,), {})
        for fn in (names_a["load"], names_b["load"], closing_over(1), closing_over(2))
    }
    assert len(keys) == 4


def test_an_explicit_key_overrides_everything() -> None:
    assert call_key(two, key="all")((1, 2), {}) == "all"
    assert call_key(two, "shop", "all")((1, 2), {}) == "shop:all"
    assert call_key(two, key=lambda a, b: f"two:{a}")((1, object()), {}) == "two:1"
    assert call_key(two, "shop", lambda a, b: f"{a}")((1,), {"b": 2}) == "shop:1"


@given(values, values)
def test_an_explicit_key_may_be_any_value(left: Any, right: Any) -> None:
    make = call_key(two, key=lambda a, b: a)
    same = essence(left, ordered=False) == essence(right, ordered=False)
    if not (isinstance(left, str) and isinstance(right, str)):
        assert (make((left, 1), {}) == make((right, 1), {})) == same
    assert make((left, 1), {}) == make((left, 2), {})
    assert len(make((left, 1), {})) < 150
    make((left, 1), {}).encode()


def test_a_text_cannot_pass_for_another_value() -> None:
    make = call_key(two, key=lambda a, b: a)
    assert make((1, 0), {}) not in {make((text, 0), {}) for text in ("\x01i1;", "i1;", "1")}


@pytest.mark.parametrize("bad", ["", 5, b"a", ["a"]])
def test_a_namespace_of_a_wrong_type_is_refused_at_decoration(bad: Any) -> None:
    with pytest.raises(TypeError, match="namespace must be a str that is not empty"):
        call_key(two, namespace=bad)


async def coroutine(a: Any) -> str:
    return "key"


@pytest.mark.parametrize("bad", [5, b"a", ["a"], coroutine])
def test_a_key_of_a_wrong_type_is_refused_at_decoration(bad: Any) -> None:
    with pytest.raises(TypeError, match="key must be a str, or a plain function"):
        call_key(two, key=bad)


@pytest.mark.parametrize("descriptor", [classmethod, staticmethod, property])
def test_a_descriptor_is_refused_with_the_order_that_works(descriptor: Any) -> None:
    with pytest.raises(TypeError, match=f"write @{descriptor.__name__} above @cacheable"):
        call_key(descriptor(none))


def test_what_cannot_be_called_cannot_be_cached() -> None:
    with pytest.raises(TypeError, match="only functions can be cached, not int: 5"):
        call_key(5)  # type: ignore[arg-type]
