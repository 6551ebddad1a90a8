"""Caching of HTTP responses: one policy for every framework.

What may be stored and who may see it (RFC 9110, RFC 9111, RFC 5861), keys, validators and freshness
headers, stale pages, and the flow of a request through the cache. An adapter describes requests and
responses (``message``), reads its decorator's options with ``PagePolicy.of`` and lets a
:class:`PageCache` answer.
"""

from zoocache_core.http.message import Answer, Headers, PageOutcome, PageRequest, PageResponse
from zoocache_core.http.page import PageCache
from zoocache_core.http.policy import PagePolicy
from zoocache_core.http.tags import cdn_purge_keys, url_tag, view_tag

__all__ = [
    "Answer",
    "Headers",
    "PageCache",
    "PageOutcome",
    "PagePolicy",
    "PageRequest",
    "PageResponse",
    "cdn_purge_keys",
    "url_tag",
    "view_tag",
]
