"""Cache-Control and Vary are read as RFC 9111 and RFC 9110 say, and cautiously where malformed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zoocache_core.http.directives import (
    MAX_SECONDS,
    cache_control,
    seconds_of,
    vary_names,
)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (["private"], {"private"}),
        (["PRIVATE"], {"private"}),
        ([" Private , No-Store"], {"private", "no-store"}),
        (["public,\tprivate"], {"public", "private"}),
        (["public", "no-cache"], {"public", "no-cache"}),
        (["public;private"], {"public", "private"}),
        (['private="Set-Cookie, X-Other", max-age=5'], {"private", "max-age"}),
        (["", ",,"], set()),
        (['ext="private"'], {"ext"}),
        (['ext="a, private, \\", no-store"'], {"ext"}),
    ],
)
def test_directives_are_recognised_whatever_their_case_and_spacing(fields, names):
    assert set(cache_control(fields)) == names


def test_a_directive_named_inside_a_quoted_string_is_not_a_directive():
    assert "private" not in cache_control(['community="private, no-store", max-age=60'])


@pytest.mark.parametrize("field", ['ext="private', 'private"', 'a="b", c="d', 'x"y=",private,"z"'])
def test_quotes_where_none_belong_read_as_no_store(field):
    assert "no-store" in cache_control([field])


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        (["max-age=60"], 60),
        (["MAX-AGE=60"], 60),
        (["max-age = 60"], 60),
        (['max-age="60"'], 60),
        (["max-age=60, max-age=0"], 0),
        (["max-age=0", "max-age=60"], 0),
        (["max-age=-1"], 0),
        (["max-age=1.5"], 0),
        (["max-age=soon"], 0),
        (["max-age"], 0),
        (["max-age="], 0),
        (["max-age=²"], 0),
        (["max-age=" + "9" * 400], MAX_SECONDS),
        (["public"], None),
        (["s-max-age=60"], None),
    ],
)
def test_seconds_are_the_smallest_that_is_said_and_0_when_unreadable(fields, seconds):
    assert seconds_of(cache_control(fields), "max-age") == seconds


token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
quoted = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=12)


@given(
    st.lists(st.tuples(token, st.none() | quoted), max_size=6),
    st.lists(st.sampled_from([",", " , ", ",\t", ",,"]), min_size=6, max_size=6),
    st.randoms(use_true_random=False),
)
def test_every_well_formed_field_is_read_back(directives, separators, random):
    written = ""
    for (name, argument), separator in zip(directives, separators, strict=False):
        cased = "".join(random.choice((c.upper(), c)) for c in name)
        escaped = None if argument is None else argument.replace("\\", "\\\\").replace('"', '\\"')
        written += separator + cased + ("" if escaped is None else f'="{escaped}"')
    expected: dict[str, tuple[str | None, ...]] = {}
    for name, argument in directives:
        expected[name] = (*expected.get(name, ()), argument)
    assert cache_control([written]) == expected


@given(
    st.text(st.characters(exclude_characters='"'), max_size=40),
    st.sampled_from(["private", "No-Store", "NO-CACHE"]),
)
def test_no_rubbish_before_a_directive_hides_it(rubbish, directive):
    assert directive.lower() in cache_control([rubbish, directive])


@given(st.text('"\\=, x', max_size=30), st.text('"\\=, x', max_size=30))
def test_private_is_hidden_by_nothing_but_a_well_formed_quoted_string(before, after):
    assume('="' not in before.replace(" ", ""))
    assert {"private", "no-store"} & set(cache_control([before, "private", after]))


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ([], ()),
        ([""], ()),
        (["Cookie"], ("cookie",)),
        (["Cookie, ACCEPT-language ,cookie"], ("accept-language", "cookie")),
        (["Accept", "Cookie"], ("accept", "cookie")),
        (["*"], None),
        ([" * "], None),
        (["Cookie, *"], None),
        (["Accept", "\t*"], None),
        (["Accept Language"], None),
        (["Accept;Cookie"], None),
    ],
)
def test_vary_names_are_normalised_and_anything_unknowable_is_none(fields, names):
    assert vary_names(fields) == names
