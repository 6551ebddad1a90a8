"""Two requests that differ in anything a page may depend on never share a key."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.http_visitors import Visitor
from zoocache_core.errors import UnsupportedValue
from zoocache_core.http import PagePolicy
from zoocache_core.http.key import canonical_query, digest, primary_key_of, variant_key


def key(visitor: Visitor, view: str = "view", **options: Any) -> str:
    return primary_key_of(view, PagePolicy.of(**options))(visitor)


# Texts that are likely to collide if anything is merely glued together.
part = st.text("a1:,-&=%/? \0é\udcff", max_size=4)
maybe = st.none() | part
visitors = st.builds(
    Visitor,
    path=part,
    query=st.text("ab12&=+%", max_size=8),
    scheme=st.sampled_from(["http", "https"]),
    host=st.text("ab.:1", max_size=4),
    language=maybe,
    timezone=maybe,
    user_id=maybe,
    headers=st.dictionaries(st.sampled_from(["accept", "dnt"]), part),
    cookies=st.dictionaries(st.sampled_from(["theme", "accept"]), part),
    arguments=st.dictionaries(st.sampled_from(["pk", "slug"]), part | st.integers(0, 3)),
)


def depends_on(visitor: Visitor) -> object:
    """Everything that a page under the options below depends on, in comparable form."""
    arguments = sorted((name, type(v).__name__, v) for name, v in visitor.arguments.items())
    return (
        visitor.path,
        canonical_query(visitor.query),
        visitor.scheme,
        visitor.host,
        visitor.language,
        visitor.timezone,
        visitor.user_id,
        visitor.header("accept"),
        visitor.header("dnt"),
        visitor.cookie("theme"),
        visitor.cookie("accept"),
        arguments,
    )


EVERYTHING = {
    "vary_headers": ["accept", "dnt"],
    "vary_cookies": ["accept", "theme"],
    "per_user": True,
}


@given(visitors, visitors)
@example(Visitor(path="a", language="b"), Visitor(path="ab", language=""))
@example(Visitor(language="1:a"), Visitor(language=None, timezone="1:a"))
@example(Visitor(headers={"accept": ""}), Visitor(headers={}))
@example(Visitor(headers={"accept": "x"}), Visitor(cookies={"accept": "x"}))
@example(Visitor(arguments={"pk": 1}), Visitor(arguments={"pk": "1"}))
def test_keys_are_equal_exactly_when_everything_that_counts_is(one, other):
    same = depends_on(one) == depends_on(other)
    assert (key(one, **EVERYTHING) == key(other, **EVERYTHING)) == same


@given(visitors, visitors)
def test_so_are_the_keys_of_pages_whose_variations_were_learned(one, other):
    variations = ("cookie:accept", "cookie:theme", "header:accept", "header:dnt", "user")
    keys = [variant_key(key(visitor), variations, visitor) for visitor in (one, other)]
    assert (keys[0] == keys[1]) == (depends_on(one) == depends_on(other))


@given(visitors)
def test_each_set_of_variations_has_a_key_of_its_own(visitor):
    primary = key(visitor)
    sets = [(), ("user",), ("session",), ("header:user",), ("cookie:user",), ("session", "user")]
    assert len({variant_key(primary, one, visitor) for one in sets}) == len(sets)


@given(st.lists(st.none() | part, max_size=5), st.lists(st.none() | part, max_size=5))
@example(["a:b"], ["a", "b"])
@example(["a1:b"], ["a", "b"])
@example(["", "a"], ["a", ""])
@example(["-"], [None])
@example(["a-"], ["a", None])
@example(["\udcff", None], ["\udcff", "-"])
def test_a_digest_keeps_its_parts_apart(one, other):
    assert (digest(one) == digest(other)) == (one == other)


def test_an_absent_header_differs_from_an_empty_one():
    absent, empty = Visitor(), Visitor(headers={"accept": ""})
    assert key(absent, vary_headers="Accept") != key(empty, vary_headers="Accept")
    assert variant_key("p", ("header:accept",), absent) != variant_key(
        "p", ("header:accept",), empty
    )


def test_views_with_the_same_url_have_pages_of_their_own():
    assert key(Visitor(), view="a") != key(Visitor(), view="b")


def test_pages_stored_under_other_rules_are_other_pages():
    visitor = Visitor()
    keys = {
        key(visitor),
        key(visitor, query="none"),
        key(visitor, ignore_query=["utm_*"]),
        key(visitor, sort_query=False),
        key(visitor, include_host=False),
        key(visitor, per_user=False),
        key(visitor, per_user=True),
        key(visitor, vary_headers=["dnt"]),
        key(visitor, vary_cookies=["dnt"]),
    }
    assert len(keys) == 9


def test_head_is_looked_up_where_get_is_stored():
    assert key(Visitor(method="HEAD")) == key(Visitor(method="GET"))


@pytest.mark.parametrize("change", [{"host": "evil.example"}, {"scheme": "http"}])
def test_scheme_and_host_count_unless_left_out(change):
    assert key(Visitor()) != key(Visitor(**change))
    assert key(Visitor(), include_host=False) == key(Visitor(**change), include_host=False)


def test_the_host_is_compared_without_case():
    assert key(Visitor(host="Shop.Example")) == key(Visitor(host="shop.example"))


def test_an_own_key_stands_for_host_path_and_query_and_for_nothing_else():
    options: dict[str, Any] = {"key": lambda request: None, "vary_headers": ["dnt"]}
    one = Visitor(path="/a", query="x", host="h", own_key="home")
    assert key(one, **options) == key(one.again(path="/b", query="", host="i"), **options)
    assert key(one, **options) != key(one.again(own_key="other"), **options)
    assert key(one, **options) != key(one.again(headers={"dnt": "1"}), **options)
    assert key(one, **options) != key(one.again(language="de"), **options)


def test_an_argument_that_cannot_be_part_of_a_key_is_refused():
    with pytest.raises(UnsupportedValue):
        key(Visitor(arguments={"thing": object()}))


def test_a_variation_that_nobody_knows_is_refused_by_name():
    with pytest.raises(ValueError, match="'weather'"):
        variant_key("p", ("weather",), Visitor())


# The query string


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a=1&b=2", "b=2&a=1"),
        ("a=1&b=2&a=3", "b=2&a=1&a=3"),
        ("a=%31", "a=1"),
        ("a=x+y", "a=x%20y"),
        ("a=1&&b=2&", "a=1&b=2"),
    ],
)
def test_one_meaning_one_key(one, other):
    assert key(Visitor(query=one)) == key(Visitor(query=other))
    assert key(Visitor(query=one), sort_query=False) != key(Visitor(query=other), sort_query=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a=1&a=2", "a=2&a=1"),
        ("a=1", "a=2"),
        ("a=", ""),
        ("a=", "a"),
        ("a", ""),
        ("a=1", "A=1"),
        ("a=1&b=2", "a=1%26b=2"),
        ("a=%ff", "a=%fe"),
        ("a=b=c", "a=b&c"),
        ("a=%2B", "a=+"),
        ("a=1;b=2", "a=1&b=2"),
        ("a=%25", "a=%2525"),
        ("a=\udcff", "a=%ff"),
    ],
)
def test_another_meaning_another_key(one, other):
    assert key(Visitor(query=one)) != key(Visitor(query=other))


pairs = st.lists(st.tuples(st.text(min_size=1, max_size=3), st.text(max_size=3)), max_size=5)


@given(pairs, st.randoms(use_true_random=False))
def test_any_order_of_different_names_is_one_page(parameters, random):
    names = list(dict.fromkeys(name for name, _ in parameters))
    random.shuffle(names)
    shuffled = [pair for name in names for pair in parameters if pair[0] == name]

    def written(pairs: list[tuple[str, str]]) -> str:
        return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)

    assert canonical_query(written(parameters)) == canonical_query(written(shuffled))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_equal_keys_mean_that_a_framework_parses_equal_parameters(encoding):
    pieces = ["a", "b", "=", "&", "+", "%20", "%61", "%ff", "%FE", ";", "%26", "%"]
    parsed: dict[str, object] = {}
    for length in range(5):
        for chosen in product(pieces, repeat=length):
            query = "".join(chosen)
            found: dict[str, list[str]] = {}
            for name, value in parse_qsl(query, keep_blank_values=True, encoding=encoding):
                found.setdefault(name, []).append(value)
            assert parsed.setdefault(canonical_query(query), found) == found, query
    assert len(parsed) > 1000


def test_only_the_parameters_that_are_allowed_count():
    options = {"query": ["page", "sort"]}
    base = key(Visitor(query="page=2"), **options)
    assert key(Visitor(query="utm_source=x&page=2"), **options) == base
    assert key(Visitor(query="page=3"), **options) != base
    assert key(Visitor(query="page=2&sort="), **options) != base
    assert key(Visitor(query="p%61ge=2"), **options) == base


def test_ignored_parameters_do_not_count():
    options = {"ignore_query": ["utm_*", "fbclid"]}
    base = key(Visitor(query="page=2"), **options)
    assert key(Visitor(query="utm_source=x&page=2&utm_=&fbclid=1"), **options) == base
    assert key(Visitor(query="page=2&utm=1"), **options) != base
    assert key(Visitor(query="page=2&fbclid2=1"), **options) != base


def test_without_the_query_nothing_of_it_counts():
    assert key(Visitor(query="a=1"), query="none") == key(Visitor(query=""), query="none")
