"""What is noted of a view's looks at its visitor."""

from __future__ import annotations

from zoocache_core.http.reads import HOST_KEYS, Reads, WatchedDict


def looking(reads: Reads) -> Reads:
    reads.active = True
    return reads


def test_headers_and_what_the_key_says_already() -> None:
    reads = looking(Reads(HOST_KEYS))
    for name in ("HTTP_HOST", "SERVER_NAME", "HTTP_X_DEVICE", "CONTENT_TYPE", "PATH_INFO", 5):
        reads.note_environ(name)
    assert reads == {"header:x-device", "header:content-type"}


def test_where_a_proxy_may_have_told_the_host_every_client_may_have() -> None:
    reads = looking(Reads(HOST_KEYS))
    for name in ("HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PROTO"):
        reads.note_environ(name)
    assert len(reads) == 3


def test_a_part_may_have_more_in_its_key_than_the_page() -> None:
    page = looking(Reads())
    part = looking(Reads(HOST_KEYS, parent=page))
    part.note_environ("HTTP_HOST")
    part.note("user")
    assert part == {"user"}
    assert page == {"header:host", "user"}
    assert not part.is_known("HTTP_HOST")
    part.refuse("a reason")
    assert page.refusal == "a reason"


def test_a_copy_of_a_watched_dict_is_no_look_but_tells_of_those_that_follow() -> None:
    page: list[object] = []
    part: list[object] = []
    watched = WatchedDict({"a": 1}, page.append, lambda: page.append("everything"))
    copied = WatchedDict(watched, part.append, lambda: part.append("everything"))
    assert (page, part) == ([], [])
    found = copied["a"]
    assert (found, page, part) == (1, ["a"], ["a"])
    dict.__setitem__(copied, "b", 2)
    assert copied.copied_back(watched) is watched
    assert watched.unwatched() == {"a": 1, "b": 2}
    assert (page, part) == (["a"], ["a"])
