"""Code as users write it, checked by mypy in strict mode; ``reveal_type`` lines are compared."""

from __future__ import annotations

from datetime import timedelta

import zoocache
import zoocache_flask
from zoocache import Engine, add_deps, cacheable
from zoocache_flask import ZooCache, cache_view
from zoocache_flask.sqlalchemy import track

engine = Engine(max_entries=10)
flask_cache = ZooCache()


@cacheable
def plain(x: int, y: str = "a") -> list[str]:
    return [y] * x


@cacheable(deps=lambda user_id: f"user:{user_id}", ttl=timedelta(minutes=1))
def declared(user_id: int) -> dict[str, int]:
    add_deps(["a", "b"])
    return {"id": user_id}


@engine.cacheable(namespace="n", deps=["t"], key=lambda x: x)
async def asynchronous(x: str) -> bytes:
    return x.encode()


class Report:
    @cacheable
    def total(self, year: int) -> float:
        return year / 2

    @cacheable(ttl=5)
    def named(self, *, name: str) -> str:
        return name


reveal_type(plain(1, y="b"))  # R: list[str]
reveal_type(declared(1))  # R: dict[str, int]
coroutine = reveal_type(asynchronous("x"))  # R: Coroutine[Any, Any, bytes]
reveal_type(Report().total(2024))  # R: float
reveal_type(Report().named(name="x"))  # R: str
reveal_type(plain.uncached(1))  # R: list[str]
reveal_type(plain.key(1))  # R: str
reveal_type(Report().total.key(2024))  # R: str
reveal_type(engine.fetch("k", lambda: 3))  # R: int
reveal_type(zoocache.get_many(["a"]))  # R: dict[str, Any]

plain("1")  # E: arg-type
declared()  # E: call-arg
Report().total("2024")  # E: arg-type
plain.invalidate(1)
Report().total.invalidate(2024)
zoocache.invalidate("user:1", "user:2", strict=True)


@zoocache_flask.cacheable
def of_application(x: int) -> list[str]:
    return ["a"] * x


@flask_cache.cacheable(ttl=60)
def of_extension(x: int) -> set[str]:
    return {"a"} if x else set()


@cache_view
def page(pk: int) -> str:
    return str(pk)


@flask_cache.cache_view(ttl=60, deps="pages")
def other_page() -> str:
    return ""


reveal_type(of_application(1))  # R: list[str]
reveal_type(of_extension(1))  # R: set[str]
of_application("1")  # E: arg-type
of_extension()  # E: call-arg
page.invalidate(pk=1)
other_page.invalidate()
reveal_type(track("engine").names)  # R: tuple[str, ...]
nothing = zoocache_flask.nothing  # E: attr-defined
