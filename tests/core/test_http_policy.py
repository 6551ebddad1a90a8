"""The options of `cache_view` are normalised, or refused with the remedy."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path

import pytest

from zoocache_core import ConfigurationError, InvalidTag
from zoocache_core.http import PagePolicy


def test_options_are_normalised():
    policy = PagePolicy.of(
        ttl=timedelta(minutes=1),
        deps="shop",
        vary_headers=["Accept-Language", "DNT", "dnt"],
        vary_cookies="theme",
        query=iter(["sort", "page"]),
        ignore_query={"utm_*"},
        statuses=[200, 404],
        harmless_cookies=["seen"],
        browser_ttl=timedelta(seconds=5),
        stale_if_error=timedelta(hours=1),
        cdn_header="Cache-Tag",
    )
    assert policy.ttl == 60
    assert policy.deps == ("shop",)
    assert policy.vary_headers == ("accept-language", "dnt")
    assert policy.vary_cookies == ("theme",)
    assert policy.query == ("page", "sort")
    assert policy.ignore_query == ("utm_*",)
    assert policy.statuses == {200, 404}
    assert policy.harmless_cookies == {"seen"}
    assert policy.browser_ttl == 5
    assert policy.stale_if_error == 3600


def test_none_means_that_nothing_was_said():
    policy = PagePolicy.of(ttl=None, deps=None, key=None, browser_ttl=None, cdn_header=None)
    assert policy == PagePolicy.of(browser_ttl=None)


def test_a_policy_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        PagePolicy.of().ttl = 5  # type: ignore[misc]


def test_an_unknown_option_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigurationError, match=r"no option 'vary_header'.*'vary_headers'"):
        PagePolicy.of(vary_header="Accept")
    with pytest.raises(ConfigurationError, match=r"Options are: ttl, deps, key"):
        PagePolicy.of(zzz=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttl", 0),
        ("ttl", -1),
        ("ttl", True),
        ("ttl", "60"),
        ("ttl", float("nan")),
        ("ttl", float("inf")),
        ("ttl", timedelta(0)),
        ("deps", 5),
        ("key", "home"),
        ("vary_headers", ["*"]),
        ("vary_headers", ["Accept Language"]),
        ("vary_headers", [""]),
        ("vary_headers", 5),
        ("vary_cookies", ["a=b"]),
        ("query", "page"),
        ("query", [1]),
        ("query", None),
        ("ignore_query", ["*"]),
        ("sort_query", 1),
        ("statuses", [206]),
        ("statuses", [304]),
        ("statuses", [101]),
        ("statuses", [600]),
        ("statuses", ["200"]),
        ("statuses", [True]),
        ("statuses", []),
        ("statuses", "200"),
        ("harmless_cookies", [None]),
        ("per_user", "yes"),
        ("include_host", None),
        ("browser_ttl", -1),
        ("browser_ttl", "forever"),
        ("stale_while_revalidate", -1),
        ("stale_while_revalidate", None),
        ("stale_if_error", "5"),
        ("jitter", 1),
        ("jitter", -0.1),
        ("jitter", timedelta(0)),
        ("cdn_header", "Cache Tag"),
        ("cdn_header", 5),
        ("honour_request_no_cache", "no"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_with_what_is_allowed(name, value):
    with pytest.raises(ConfigurationError, match=rf"(?s)option {name}=.*: expected "):
        PagePolicy.of(**{name: value})


def test_a_malformed_static_tag_is_refused_at_decoration():
    with pytest.raises(InvalidTag, match="'shop "):
        PagePolicy.of(deps=["shop product"])


def test_every_option_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "pages.md").read_text()
    table = page.partition("## Options")[2]
    for option in fields(PagePolicy):
        assert f"`{option.name}`" in table, option.name
