"""Tags in doubt: invalidated, it is not known yet at which number (see ``PrefixTrie.doubt``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from zoocache_core.globs import matches, pattern_of

__all__ = ["concerned"]


def concerned(paths: Iterable[str], key: str | None, doubts: Collection[str]) -> bool:
    """Whether an entry with these deps and this key may be outdated by one of ``doubts``.

    Cost: every path is compared with every doubt, so there should be few of these.
    """
    # A list, because another thread may add a doubt while this one looks.
    doubts = list(doubts)
    if "" in doubts:
        return True
    if key is not None:
        patterns = filter(None, map(pattern_of, doubts))
        if any(matches(pattern, key) for pattern in patterns):
            return True
    for path in paths:
        wild = path == "*" or path.endswith(":*")
        base = path[:-1].rstrip(":") if wild else path
        for tag in doubts:
            if base == tag or base.startswith(tag + ":"):
                return True
            if wild and (not base or tag.startswith(base + ":")):
                return True
    return False
