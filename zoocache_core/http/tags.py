"""The tags by which pages are forgotten: by view, by URL, and at a CDN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from zoocache_core.http.key import canonical_query
from zoocache_core.tags import tag
from zoocache_core.trie import CALLS

__all__ = ["cdn_purge_keys", "cdn_value", "page_url_tag", "url_tag", "view_tag"]

_COMMA_SEPARATED: Final = frozenset({"cache-tag", "edge-cache-tag"})

MAX_CDN_BYTES: Final = 16 * 1024
"""What the CDNs accept at most (Fastly, Cloudflare: 16 KB of tags per response)."""


def view_tag(view: str, arguments: Mapping[str, object] | None = None) -> str:
    """The tag of a view's pages: of all of them, or of those for these `arguments`.

    Arguments count by their ``str()``: ``pk=1`` and ``pk="1"`` are the same page.
    """
    if not arguments:
        return tag("zoocache.view", view)
    pairs = "&".join(
        f"{len(str(value))}:{name}={value}" for name, value in sorted(arguments.items())
    )
    return tag("zoocache.view", view, pairs)


def url_tag(url: str) -> str:
    """The tag of the pages at `url`: a path or a whole URL, percent-encoded as in a link.

    With a query, the pages with exactly these parameters (of those that the view's policy lets
    pages depend on), in any order; without, the pages with any query and none. Scheme and host do
    not matter: the path is forgotten on every host.
    """
    parts = urlsplit(url)
    return page_url_tag(unquote(parts.path) or "/", canonical_query(parts.query))


def page_url_tag(path: str, query: str) -> str:
    """The tag of one page at the decoded `path` and the canonical `query`."""
    return tag("zoocache.url", path, query) if query else tag("zoocache.url", path)


def cdn_value(header: str, deps: Iterable[str]) -> str | None:
    """The value of the CDN's tag header for a page with `deps`; ``None`` if there are too many.

    Every ancestor is named too, since a CDN knows no tree: purging ``org:1`` has to reach a page
    that depends on ``org:1:user:42``.
    """
    names: set[str] = set()
    for dep in deps:
        if dep.startswith(CALLS):
            # Stands for a cached call that the page used; nobody can purge it by name.
            continue
        names.add(dep)
        end = dep.find(":")
        while end != -1:
            names.add(dep[:end])
            end = dep.find(":", end + 1)
    value = ("," if header.lower() in _COMMA_SEPARATED else " ").join(sorted(names))
    return value if len(value) <= MAX_CDN_BYTES else None


def cdn_purge_keys(invalidated: str) -> tuple[str, ...]:
    """What to purge at the CDN when the tag `invalidated` is: the tag itself, and the wildcard deps
    (``org:1:*``) that cover it."""
    name = invalidated.removesuffix(":*")
    keys, end = [name], name.find(":")
    while end != -1:
        keys.append(f"{name[:end]}:*")
        end = name.find(":", end + 1)
    return (*keys, f"{name}:*")
