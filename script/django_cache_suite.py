"""Run the tests of Django's own cache framework, sessions and `{% cache %}` on ZooCacheBackend.

They are not part of an installed Django, so the source distribution of the very version that is
installed is fetched from the package index, through pip. Where that cannot be had, nothing is
tested, and the last line says so.

Of Django's classes, those that are written for LocMemCache run on our memory storage: its dotted
path in their source is replaced by ours. `BaseCacheTests`, the contract of every backend, runs on
each storage.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
BACKEND = "zoocache_django.cache.ZooCacheBackend"

SETTINGS = f'''
import os

BACKEND = "{BACKEND}"
CACHES = {{"default": {{"BACKEND": BACKEND, "LOCATION": os.environ["SUITE_LOCATION"]}}}}
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3"}},
    "other": {{"ENGINE": "django.db.backends.sqlite3"}},
}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "for Django's tests only"
USE_TZ = False
'''

# Django's runner finds tests in packages next to its own.
TESTS = """
import os

from django.conf import settings
from django.test import TestCase, override_settings

from cache.tests import BaseCacheTests, LocMemCacheTests as Original, caches_setting_for_tests

# As in Django's own tests of RedisCache and of memcached, which cannot cull either.
unbounded = {"cull", "zero_cull"} if os.environ["SUITE_LOCATION"].startswith("redis") else set()


@override_settings(
    CACHES=caches_setting_for_tests(base=settings.CACHES["default"], exclude=unbounded)
)
class ContractTests(BaseCacheTests, TestCase):
    pass


@override_settings(
    CACHES=caches_setting_for_tests(base={"BACKEND": settings.BACKEND})
)
class MemoryTests(Original):
    def setUp(self):
        # The original makes LocMem's aliases share a dict here. These share one anyway.
        super(Original, self).setUp()

    # They look into LocMem's own dicts and locks.
    test_incr_decr_timeout = None
    test_locking_on_pickle = None
"""

MEMORY_LABELS = (
    "zoocache_suite.tests.MemoryTests",
    "cache.tests.CacheHEADTest",
    "cache.tests.CacheHandlerTest",
    "cache.tests.CacheI18nTest",
    "cache.tests.CacheMiddlewareTest",
    "cache.tests.CacheUtils",
    "cache.tests.CustomCacheKeyValidationTests",
    "cache.tests.PrefixedCacheI18nTest",
    "cache.tests.PrefixedCacheUtils",
    "cache.tests.TestWithTemplateResponse",
    "template_tests.syntax_tests.test_cache",
)
SHARED_LABELS = (
    # Django's runner installs the applications that labels name, and our classes need `cache`.
    "cache.tests.CacheClosingTests",
    "zoocache_suite.tests.ContractTests",
    "sessions_tests.tests.CacheSessionTests",
    "sessions_tests.tests.CacheDBSessionTests",
)


@contextmanager
def memory() -> Iterator[str]:
    yield ""


@contextmanager
def lmdb() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield f"lmdb://{directory}"


@contextmanager
def redis() -> Iterator[str]:
    from tests.servers import RedisServer

    with RedisServer() as server:
        yield server.url


STORAGES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "memory": memory,
    "lmdb": lmdb,
    "redis": redis,
}


def fetch(directory: Path) -> Path | None:
    """The directory of Django's tests, or ``None`` if the index does not have them."""
    wanted = f"Django=={django.get_version()}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(directory), wanted]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    archives = list(directory.glob("*.tar.gz"))
    if result.returncode or not archives:
        print(result.stderr, file=sys.stderr)
        return None
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory, filter="data")
    return next(directory.glob("*/tests"))


def prepare(tests: Path) -> None:
    """Put our backend where LocMemCache stands, and our test classes beside Django's."""
    for name in ("cache/tests.py", "template_tests/syntax_tests/test_cache.py"):
        source = tests / name
        source.write_text(source.read_text().replace(LOCMEM, BACKEND))
    package = tests / "zoocache_suite"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").touch()
    (package / "tests.py").write_text(TESTS)
    (tests / "zoocache_suite_settings.py").write_text(SETTINGS)


def run(tests: Path, storage: str) -> int:
    """The exit status of Django's test runner."""
    labels = (*SHARED_LABELS, *(MEMORY_LABELS if storage == "memory" else ()))
    with STORAGES[storage]() as location:
        environment = os.environ | {
            "SUITE_LOCATION": location,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tests)]),
        }
        command = [sys.executable, "runtests.py", "--settings=zoocache_suite_settings"]
        print(f"==> Django {django.get_version()}, {storage}: {' '.join(labels)}", flush=True)
        return subprocess.run(
            [*command, "--parallel=1", *labels], cwd=tests, env=environment, check=False
        ).returncode


def main(storages: list[str]) -> int:
    unknown = set(storages) - STORAGES.keys()
    if unknown:
        print(f"No such storage: {', '.join(unknown)}. There are: {', '.join(STORAGES)}.")
        return 2
    with tempfile.TemporaryDirectory() as directory:
        tests = fetch(Path(directory))
        if tests is None:
            print(f"SKIPPED: the sources of Django {django.get_version()} cannot be had by pip.")
            return 0
        prepare(tests)
        failed = [storage for storage in storages or STORAGES if run(tests, storage)]
    print(f"FAILED: {', '.join(failed)}" if failed else "ok")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
