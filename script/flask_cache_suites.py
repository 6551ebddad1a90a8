"""Run the tests of cachelib and of Flask-Caching on our cachelib backend.

They are not part of the installed packages, so the source distributions of the very versions that
are installed are fetched from the package index, through pip. Where they cannot be had, nothing is
tested, and the last line says so.

What is written for their `SimpleCache` runs on ours: in memory, and cachelib's also on Redis. Left
out are tests that look into a SimpleCache, and those of other backends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CACHELIB = """
import os

import pytest
from clear import ClearTests
from common import CommonTests
from has import HasTests
import test_simple_cache as original

from zoocache_flask.cachelib import ZooCacheBackend

OPTIONS = {}
if os.environ["SUITE_LOCATION"]:
    OPTIONS = {"storage_url": os.environ["SUITE_LOCATION"], "secret_key": "for these tests only"}


@pytest.fixture(autouse=True)
def cache_factory(request):
    made = []

    def factory(self, *args, **kwargs):
        made.append(ZooCacheBackend(*args, **OPTIONS, **kwargs))
        return made[-1]

    if request.cls is not None:
        request.cls.cache_factory = factory
    yield
    for cache in made:
        cache.clear()


class TestContract(CommonTests, HasTests, ClearTests):
    for _name in (
        "test_add_on_expired_key_succeeds",
        "test_has_on_expired_key_returns_false",
        "test_delete_nonexistent_returns_false",
        "test_concurrent_add_only_one_winner",
    ):
        locals()[_name] = getattr(original.TestSimpleCache, _name)
"""

FLASK_CACHING = """
import pytest
from test_backend_cache import GenericCacheTests

from zoocache_flask.cachelib import ZooCacheBackend


class TestZooCache(GenericCacheTests):
    _can_use_fast_sleep = False

    @pytest.fixture
    def make_cache(self):
        return ZooCacheBackend
"""

# Of the suite's fixtures, `app` names the backend and `clock` moves the time of SimpleCache.
CONFTEST = """

from zoocache_core.testing import ManualClock

_zoocache_clock = ManualClock()


@pytest.fixture
def app(request):
    app = flask.Flask(request.module.__name__, template_folder=os.path.dirname(__file__))
    app.testing = True
    app.config["CACHE_TYPE"] = "zoocache_flask.cachelib.ZooCacheBackend"
    app.config["CACHE_OPTIONS"] = {"clock": _zoocache_clock}
    return app


@pytest.fixture
def clock():
    return _zoocache_clock
"""

NAMED = '"CACHE_TYPE": "zoocache_flask.cachelib.ZooCacheBackend"'

OF_OTHERS = (
    # Of RedisCache and of FileSystemCache.
    "test_cache.py::test_cache_unlink",
    "test_hash_method.py::test_file_hash_method_is_independent",
)

SUITES = {
    "cachelib": ("test_zoocache.py",),
    "flask-caching": (
        *("test_zoocache.py", "test_cache.py", "test_hash_method.py", "test_memoize.py"),
        *("test_signals.py", "test_subclassing.py", "test_templates.py", "test_view.py"),
    ),
}


def fetch(package: str, directory: Path) -> Path | None:
    """The directory of a package's tests, or ``None`` if the index does not have them."""
    directory.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(directory), f"{package}=={version(package)}"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    archives = list(directory.glob("*.tar.gz"))
    if result.returncode or not archives:
        print(result.stderr, file=sys.stderr)
        return None
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory, filter="data")
    return next(directory.glob("*/tests"))


def run(package: str, tests: Path, location: str) -> int:
    """The exit status of the package's tests with our backend in place of SimpleCache."""
    tests.joinpath("test_zoocache.py").write_text(
        CACHELIB if package == "cachelib" else FLASK_CACHING
    )
    # It would start servers that none of these tests needs.
    tests.joinpath("xprocess.py").write_text("class ProcessStarter: pass\n")
    if package != "cachelib":
        with tests.joinpath("conftest.py").open("a") as conftest:
            conftest.write(CONFTEST)
        named = tests / "test_cache.py"
        named.write_text(named.read_text().replace('"CACHE_TYPE": "SimpleCache"', NAMED))
    environment = os.environ | {
        "SUITE_LOCATION": location,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tests)]),
    }
    print(f"==> {package} {version(package)}, {location or 'memory'}", flush=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:asyncio",
        "--rootdir",
        str(tests),
        *SUITES[package],
    ]
    for test in OF_OTHERS:
        command += ["--deselect", test]
    return subprocess.run(command, cwd=tests, env=environment, check=False).returncode


def main() -> int:
    from tests.servers import RedisServer

    failed = []
    with tempfile.TemporaryDirectory() as directory, RedisServer() as server:
        for package, locations in (("cachelib", ["", server.url]), ("flask-caching", [""])):
            tests = fetch(package, Path(directory, package))
            if tests is None:
                print(f"SKIPPED: the sources of {package} cannot be had by pip.")
                continue
            failed += [package for location in locations if run(package, tests, location)]
    print(f"FAILED: {', '.join(failed)}" if failed else "ok")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
