"""What becomes of an LMDB directory that is new, shared, foreign, damaged or of another boot."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from zoocache_core import BusUnavailable, ConfigurationError, Engine
from zoocache_core.lmdb import host
from zoocache_core.lmdb.home import directory_of
from zoocache_core.storage.base import StorageUnavailable
from zoocache_core.testing import ManualClock

Open = Callable[..., Engine]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def start(directory: Path) -> Iterator[Open]:
    started: list[Engine] = []

    def start(**settings: Any) -> Engine:
        settings = {"storage_url": f"lmdb://{directory}", "lmdb_map_size": 1 << 20, **settings}
        started.append(Engine(**settings))
        return started[-1]

    yield start
    for engine in started:
        engine.reset()


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith("-lock")
    }


def refused(start: Open, directory: Path, match: str, **settings: Any) -> None:
    """Opening raises an error that says ``match``, and changes nothing."""
    before = contents(directory)
    with pytest.raises(ConfigurationError, match=match):
        start(**settings)
    after = contents(directory)
    # LMDB's lock files are used; nothing else that was there is touched.
    assert {name: after.get(name) for name in before} == before


# A new one


def test_only_the_owner_may_look_into_it(
    start: Open, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(storage_url=f"lmdb://{tmp_path}/new/deeper/cache").set("k", 1)
    start(prefix="app").set("k", 1)
    for made in (tmp_path / "new/deeper/cache", directory, directory / "prefix-app"):
        assert made.stat().st_mode & 0o777 == 0o700
        for path in made.iterdir():
            assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600, path


def test_relative_and_home_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert directory_of("lmdb://./cache", None) == Path("cache")
    assert directory_of("lmdb:///var/cache", "a:b") == Path("/var/cache/prefix-a%3Ab")
    assert directory_of("lmdb://~/cache", None) == tmp_path / "cache"
    with pytest.raises(ConfigurationError, match="names no directory"):
        directory_of("lmdb://", None)
    with pytest.raises(ConfigurationError, match=r"options in the URL.*lmdb_map_size"):
        directory_of("lmdb://./cache?map_size=1", None)


def test_names_of_prefixes_are_all_different() -> None:
    prefixes = ["a", "a:b", "a.b", "a-b", "a_b", "A", "..", ":" * 128, ":" * 127, "-" + ":" * 127]
    names = [directory_of("lmdb://x", prefix).name for prefix in prefixes]
    assert len(set(names)) == len(prefixes)
    assert all(len(name) < 256 and "/" not in name and name.strip(".") for name in names)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_path_that_is_no_directory(directory: Path, start: Open, make: Any) -> None:
    make(directory)
    with pytest.raises(ConfigurationError, match=f"cannot be used.*{directory.name}"):
        start()


def test_a_directory_that_may_not_be_written(directory: Path, start: Open) -> None:
    directory.mkdir()
    (directory / "control").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        start()


def test_an_old_package_is_refused(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb, "__version__", "1.7.5")
    with pytest.raises(ConfigurationError, match=r"lmdb 1\.7\.5 is too old.*pip install"):
        start()


# One that is in use


def test_two_paths_to_one_directory_are_one_cache(
    start: Open, directory: Path, tmp_path: Path
) -> None:
    one = start()
    (tmp_path / "link").symlink_to(directory)
    other = start(storage_url=f"lmdb://{tmp_path}/link/../cache/.")
    linked = start(storage_url=f"lmdb://{tmp_path}/link")
    one.set("k", 1, deps="t")
    assert other.get("k") == linked.get("k") == 1
    linked.invalidate("t")
    assert one.get("k") is None
    one.reset()
    other.set("k", 2)
    assert linked.get("k") == 2, "it stays open for the others"
    other.reset()
    linked.reset()
    assert start().get("k") == 2


def test_it_can_be_opened_again_and_again(start: Open) -> None:
    for number in range(20):
        engine = start()
        assert engine.get("k") == (number - 1 if number else None)
        engine.set("k", number)
        engine.reset()


def test_threads_open_it_at_the_same_time(directory: Path) -> None:
    barrier = threading.Barrier(4)
    found: list[Any] = []

    def work() -> None:
        barrier.wait(10)
        engine = Engine(storage_url=f"lmdb://{directory}")
        engine.set("k", 1)
        found.append(engine.get("k"))
        engine.reset()

    for _ in range(10):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [1] * 40


def test_engines_of_one_process_need_one_size(start: Open) -> None:
    start()
    with pytest.raises(ConfigurationError, match="lmdb_map_size=1048576, not 2097152"):
        start(lmdb_map_size=1 << 21)


def terms(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "control").read_bytes())
    return found


def test_another_size_takes_effect_when_nobody_else_uses_it(
    start: Open, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start()
    engine.set("k", 1, deps="t")
    engine.reset()
    larger = start(lmdb_map_size=1 << 21)
    assert larger.get("k") == 1
    assert terms(directory)["map_size"] == 1 << 21
    program = f"""
from zoocache_core import Engine
engine = Engine(storage_url="lmdb://{directory}", lmdb_map_size={1 << 22})
assert engine.get("k") == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "takes effect when no process uses" in done.stderr
    assert terms(directory)["map_size"] == 1 << 21
    larger.invalidate("t")
    larger.set("k", 2)
    larger.reset()
    smaller = start()
    assert smaller.get("k") is None, "the entries had more room than there is now"
    assert smaller.get_tag_version("t") > 0, "invalidations are kept"


def test_a_map_larger_than_the_disk_is_made_to_fit(
    start: Open, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host, "free_bytes", lambda path: 1 << 20)
    engine = start(lmdb_map_size=1 << 40, compress_min_bytes=None)
    assert "is more than the disk of" in caplog.text
    for number in range(1000):
        assert engine.set(f"k{number}", "x" * 3000)
    assert engine.stats().evictions > 500
    engine.reset()
    caplog.clear()
    monkeypatch.setattr(host, "free_bytes", lambda path: 1 << 10)
    engine = start(lmdb_map_size=1 << 40)
    assert terms(directory)["map_size"] == 1 << 20, "it occupies what it has already"
    assert engine.get("k999") == "x" * 3000
    engine.reset()
    monkeypatch.setattr(host, "free_bytes", lambda path: 1 << 21)
    engine = start(lmdb_map_size=1 << 40)
    assert terms(directory)["map_size"] == 1 << 21
    assert engine.get("k999") == "x" * 3000


def test_the_disk_has_room(tmp_path: Path) -> None:
    assert 0 < host.free_bytes(tmp_path) < os.statvfs(tmp_path).f_frsize * 2**48


# One that is not this library's, or damaged


def test_another_programs_environment(start: Open, directory: Path) -> None:
    environment = lmdb.open(str(directory))
    with environment.begin(write=True) as txn:
        txn.put(b"their", b"data")
    environment.close()
    refused(start, directory, "of another program.*Nothing has been changed")


def test_a_file_of_that_name_that_is_no_environment(start: Open, directory: Path) -> None:
    directory.mkdir()
    (directory / "data.mdb").write_bytes(b"precious")
    refused(start, directory, "data.mdb")


@pytest.mark.parametrize("name", ["entries.mdb", "tags.mdb"])
def test_databases_without_a_control_file(start: Open, directory: Path, name: str) -> None:
    directory.mkdir()
    (directory / name).write_bytes(b"precious")
    refused(start, directory, f"{name}.*'control' is missing")


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff" * 100, b'{"format": 99}'])
def test_a_damaged_control_file(start: Open, directory: Path, text: bytes) -> None:
    start().reset()
    (directory / "control").write_bytes(text)
    refused(start, directory, "control")


def test_a_control_file_of_another_version(start: Open, directory: Path) -> None:
    start().reset()
    (directory / "control").write_text(json.dumps({**terms(directory), "format": 99}))
    refused(start, directory, "of another version")


@pytest.mark.parametrize("name", ["entries.mdb", "tags.mdb"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"garbage" * 10_000,
        lambda data: b"x",
        lambda data: bytes(len(data)),
        lambda data: os.urandom(8192) + data[8192:],
        lambda data: data[:8192],
        lambda data: data[:10_000],
    ],
    ids=["garbage", "short", "zeros", "header", "truncated to its header", "truncated"],
)
def test_a_damaged_database(
    start: Open, directory: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    engine = start()
    for number in range(50):
        engine.set(f"k{number}", "x" * 1000)
        engine.invalidate(f"t:{number}")
    engine.reset()
    path = directory / name
    path.write_bytes(damage(path.read_bytes()))
    refused(start, directory, f"{name}.*Nothing has been changed")


def test_a_database_of_another_cache(start: Open, directory: Path, tmp_path: Path) -> None:
    start().reset()
    start(storage_url=f"lmdb://{tmp_path}/other").reset()
    (tmp_path / "other/tags.mdb").replace(directory / "tags.mdb")
    refused(start, directory, "tags.mdb belongs to another cache")


def test_a_directory_of_another_prefix(start: Open, directory: Path) -> None:
    start(prefix="App").set("k", 1)
    # As a file system would that does not tell capital letters from small ones.
    (directory / "prefix-app").symlink_to("prefix-App")
    with pytest.raises(ConfigurationError, match="prefix='App', not 'app'"):
        start(prefix="app")


# One from another time


def at_boot(monkeypatch: pytest.MonkeyPatch, boot: str | None) -> None:
    monkeypatch.setattr(host, "boot_id", lambda: boot)


def test_after_a_reboot_nothing_of_before_is_trusted(
    start: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_boot(monkeypatch, "first")
    engine = start()
    engine.set("k", 1, deps="t")
    engine.invalidate("u")
    before = engine.stamp()
    engine.reset()
    at_boot(monkeypatch, "second")
    # Not even looked at: unsynced pages may be anything, and some anythings crash LMDB.
    for name in ("entries.mdb", "tags.mdb"):
        (directory / name).write_bytes(b"half written")
    engine = start()
    assert engine.get("k") is None
    assert engine.stats().entries == 0
    assert engine.stamp() >= before, "numbers go on increasing"
    engine.set("k", 2, deps="t")
    engine.reset()
    assert start().get("k") == 2, "of this boot"


def test_within_one_boot_everything_is_trusted(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_boot(monkeypatch, "first")
    engine = start()
    engine.set("k", 1)
    engine.reset()
    assert start().get("k") == 1


def test_where_the_boot_is_unknown_nothing_outlives_its_users(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_boot(monkeypatch, None)
    engine, other = start(), start()
    engine.set("k", 1)
    assert other.get("k") == 1
    engine.reset()
    assert other.get("k") == 1
    other.reset()
    assert start().get("k") is None


def test_two_hosts_cannot_share_a_directory(
    start: Open, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start().set("k", 1)
    program = f"""
from zoocache_core import BusUnavailable, ConfigurationError, Engine
from zoocache_core.lmdb import host
host.boot_id = lambda: "another host"
try:
    Engine(storage_url="lmdb://{directory}")
except ConfigurationError as error:
    assert "in use by another host" in str(error), error
else:
    raise SystemExit("no error")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert start().get("k") == 1


def test_this_boot_has_an_id() -> None:
    assert host.boot_id() == host.boot_id()
    if sys.platform == "linux":
        assert host.boot_id()


def test_blocks_are_kept_where_the_mount_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    line = f"22 27 {os.major(device)}:{os.minor(device)} / /x rw - {{}} /dev/x rw\n"
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(host, "_MOUNTS", table)
    for kind, kept in (("ext4", True), ("tmpfs", True), ("btrfs", False), ("zfs", False)):
        table.write_text("23 27 0:22 / /sys rw - sysfs sysfs rw\n" + line.format(kind))
        assert host.keeps_allocated_blocks(tmp_path) is kept
    table.write_text("")
    assert host.keeps_allocated_blocks(tmp_path) is False
    table.unlink()
    assert host.keeps_allocated_blocks(tmp_path) is False


def test_where_blocks_are_not_kept_it_works_as_well(
    start: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zoocache_core.lmdb.database.keeps_allocated_blocks", lambda path: False)
    engine = start(compress_min_bytes=None)
    for number in range(300):
        engine.set(f"k{number}", "x" * 3000, deps="t")
        engine.invalidate(f"u:{number}")
    assert engine.get("k299") == "x" * 3000
    engine.invalidate("t")
    assert engine.get("k299") is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# One that is removed while it is in use


def test_a_removed_directory_is_made_anew_by_whoever_notices_first(
    start: Open, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    reader, writer = start(clock=clock), start(clock=clock)
    stamp = reader.stamp()
    reader.set("k", 1, deps="t")
    assert reader.get("k") == 1
    shutil.rmtree(directory)
    assert reader.get("k") == 1, "nobody has looked yet"
    clock.advance(1)
    assert reader.get("k") is None
    assert "has been removed" in caplog.text
    assert reader.set("k", 2, deps="t", stamp=reader.stamp())
    assert writer.get("k") == 2
    writer.invalidate("t")
    assert reader.get("k") is None
    program = f"""
from zoocache_core import Engine
engine = Engine(storage_url="lmdb://{directory}", lmdb_map_size={1 << 20})
engine.set("k", 3, deps="t")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert reader.get("k") == 3
    assert reader.set("k", 0, deps="t", stamp=stamp) is False, "older than anybody remembers"
    assert reader.get("k") == 3


def test_a_value_from_before_the_removal_is_not_stored(start: Open, directory: Path) -> None:
    engine = start()
    held, thaw = engine.storage.freeze("k", 1)
    entry = engine.entry(held, thaw, ("t",), engine.stamp(), None)
    shutil.rmtree(directory)
    engine.invalidate("u")
    # What came between the two, nobody can know who looks into the new directory.
    with pytest.raises(StorageUnavailable, match="before the database was made anew"):
        engine.storage.set("k", entry)


def test_numbers_of_transactions_that_come_again_are_not_taken_for_the_old(
    start: Open, directory: Path
) -> None:
    engine = start()
    for number in range(40):
        engine.invalidate(f"t:{number}")
        engine.set("k", "old", stamp=engine.stamp())
        assert engine.get("k") == "old"
    shutil.rmtree(directory)
    engine.invalidate("u")
    other = start()
    for number in range(60):
        other.set("k", number, deps="t", stamp=other.stamp())
        assert engine.get("k") == number
        other.invalidate("t")
        assert engine.get("k") is None


def test_entries_of_the_old_directory_are_forgotten(start: Open, directory: Path) -> None:
    engine = start()

    def transactions() -> int:
        number: int = engine.storage._database.read(lambda txn: txn.id())  # type: ignore[attr-defined]
        return number

    for number in range(20):
        engine.set(f"k{number}", "old")
    assert engine.get("k19") == "old"
    read_at = transactions()
    shutil.rmtree(directory)
    engine.invalidate("u")
    other = start()
    while transactions() < read_at - 1:
        other.set("something", "else", stamp=other.stamp())
    other.set("k19", "new", stamp=other.stamp())
    assert transactions() == read_at
    assert engine.get("k19") == "new"


def test_a_child_does_not_use_a_directory_that_was_emptied(tmp_path: Path) -> None:
    program = f"""
import os, pathlib
from zoocache_core import Engine
engine = Engine(storage_url="lmdb://{tmp_path}/cache")
engine.set("k", 1)
engine.get("k")
for path in pathlib.Path("{tmp_path}/cache").iterdir():
    path.unlink()
pid = os.fork()
if pid == 0:
    engine.storage.look_at = float("inf")
    os._exit(0 if engine.get("k") is None else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    for code in (program, program.partition("engine.set")[0]):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_an_invalidation_goes_to_where_others_will_look(start: Open, directory: Path) -> None:
    engine = start()
    stamp = engine.stamp()
    shutil.rmtree(directory)
    program = f"""
import sys
from zoocache_core import Engine
engine = Engine(storage_url="lmdb://{directory}", lmdb_map_size={1 << 20})
engine.set("k", 1, deps="t")
print(engine.get("k"), flush=True)
sys.stdin.readline()
print(engine.get("k"), flush=True)
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "1\n"
    engine.invalidate("t")
    assert engine.stamp() > stamp
    assert other.communicate("\n", timeout=20) == ("None\n", None)


def test_a_directory_that_cannot_be_made_again(start: Open, directory: Path) -> None:
    clock = ManualClock()
    engine = start(clock=clock)

    @engine.cacheable
    def double(x: int) -> int:
        return 2 * x

    assert double(2) == 4
    shutil.rmtree(directory)
    directory.write_text("in the way")
    clock.advance(1)
    assert double(2) == 4
    assert engine.set("k", 1) is False
    assert engine.get("k") is None
    with pytest.raises(BusUnavailable):
        engine.invalidate("t", strict=True)
    assert engine.stats().errors > 0
    directory.unlink()
    clock.advance(1)
    assert double(2) == 4
    assert engine.set("k", 1, stamp=engine.stamp())
    assert engine.get("k") == 1


def test_a_database_that_was_replaced_is_not_opened_in_a_child(tmp_path: Path) -> None:
    program = f"""
import os, shutil, subprocess, sys
from zoocache_core import Engine
url = "lmdb://{tmp_path}/cache"
engine = Engine(storage_url=url)
engine.set("k", "old")
assert engine.get("k") == "old"
shutil.rmtree("{tmp_path}/cache")
make = "from zoocache_core import Engine; Engine(storage_url=%r).set('k', 'new')" % url
subprocess.run([sys.executable, "-c", make], check=True)
pid = os.fork()
if pid == 0:
    os._exit(0 if engine.get("k") in (None, "new") else 1)
assert os.waitpid(pid, 0)[1] == 0
assert engine.get("k") in (None, "new")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
