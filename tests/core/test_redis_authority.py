"""Redis as the authority: what one process invalidates, every other learns at its next question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.servers import RedisServer, wait_until
from zoocache_core import Engine
from zoocache_core.clock import SystemClock
from zoocache_core.errors import BusUnavailable
from zoocache_core.redis import authority as authority_module
from zoocache_core.redis import tags as tags_module
from zoocache_core.redis.address import Address
from zoocache_core.redis.authority import Authority, Heard
from zoocache_core.redis.dialogue import Dialogue, Request, command
from zoocache_core.redis.keys import Keys
from zoocache_core.redis.link import Link
from zoocache_core.redis.outbox import Outbox
from zoocache_core.trie import PrefixTrie


class Process:
    """What one process has: a link, an authority and a trie."""

    def __init__(self, url: str, prefix: str | None = "app", timeout: float = 2.0) -> None:
        self.errors: list[str] = []
        self.recovered: list[str] = []
        self.trie = PrefixTrie()
        self.link = Link(Address.of(url, timeout), self.recovered.append)
        self.authority = Authority(
            self.link,
            Keys(prefix),
            self.trie,
            SystemClock(),
            lambda operation, error: self.errors.append(operation),
        )

    def invalidate(self, *tags: str) -> int:
        assert self.authority.publish(tags)
        return self.trie.position

    def catch_up(self) -> None:
        self.link.converse(self.authority.catch_up())

    def sees(self, *tags: str, since: int) -> bool:
        """Whether an entry with these deps, as new as ``since``, is still valid here."""
        self.catch_up()
        return self.trie.valid(tags, since)


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a :class:`Process`; each is closed in the end."""
    started: list[Process] = []

    def start(*args: Any, **options: Any) -> Process:
        started.append(Process(*args, **options))
        return started[-1]

    yield start
    for process in started:
        process.link.close()


def test_an_invalidation_reaches_others_and_only_what_depends_on_it(
    redis_url: str, start: Start
) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    writer.invalidate("a:b", "c")
    assert not reader.sees("a:b:x", since=before)
    assert not reader.sees("c", since=before)
    assert reader.sees("a:z", since=before)
    assert reader.trie.position == writer.trie.position


def test_an_invalidation_brings_back_what_others_invalidated(redis_url: str, start: Start) -> None:
    one, other = start(redis_url), start(redis_url)
    one.catch_up()
    before = one.trie.position
    other.invalidate("theirs")
    one.invalidate("mine")
    assert not one.trie.valid(["theirs"], before)


def test_numbers_increase_over_all_processes(redis_url: str, start: Start) -> None:
    processes = [start(redis_url) for _ in range(3)]
    numbers = [process.invalidate("t") for _ in range(20) for process in processes]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**53


def test_catching_up_takes_one_round_trip(redis_url: str, start: Start) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    for _ in range(50):
        writer.invalidate("t")
    requests: list[Request] = []
    dialogue = reader.authority.catch_up()
    request = next(dialogue)
    assert isinstance(request, Request)
    requests.append(request)
    with pytest.raises(StopIteration):
        dialogue.send(reader.link.exchange(request))
    assert reader.trie.position == writer.trie.position


def test_a_process_that_starts_later_knows_old_invalidations(redis_url: str, start: Start) -> None:
    writer = start(redis_url)
    writer.catch_up()
    before = writer.trie.position
    writer.invalidate("a:b")
    after = writer.trie.position
    late = start(redis_url)
    assert not late.sees("a:b", since=before)
    assert late.sees("a:b", since=after)


def test_prefixes_are_separate(redis_url: str, start: Start) -> None:
    processes = [start(redis_url, prefix) for prefix in ("app", "app:blue", None)]
    for process in processes:
        process.catch_up()
    before = [process.trie.position for process in processes]
    processes[0].invalidate("t")
    assert not processes[0].sees("t", since=before[0])
    assert processes[1].sees("t", since=before[1])
    assert processes[2].sees("t", since=before[2])


def test_tags_of_any_text_arrive_as_they_are(redis_url: str, start: Start) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    tags = ["=:module.function:schlüssel ☃\n", "=:lone \ud800 surrogate"]
    writer.invalidate(*tags)
    for tag in tags:
        assert not reader.sees(tag, since=before)
        assert not start(redis_url).sees(tag, since=before)


def test_more_tags_than_a_script_takes(redis_url: str, start: Start) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    tags = [f"m:{number}" for number in range(3 * tags_module.CHUNK + 1)]
    writer.invalidate(*tags)
    assert not any(reader.sees(tag, since=before) for tag in tags)
    assert writer.trie.position == reader.trie.position


def test_loading_more_tags_than_fit_a_page(
    redis_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags_module, "PAGE", 100)
    monkeypatch.setattr(tags_module, "CHUNK", 40)
    monkeypatch.setattr(authority_module, "CHUNK", 40)
    writer = start(redis_url)
    writer.catch_up()
    before = writer.trie.position
    tags = [f"m:{number}" for number in range(500)]
    writer.invalidate(*tags)
    late = start(redis_url)
    assert not any(late.sees(tag, since=before) for tag in tags)
    assert late.sees("m:other", since=before)


def test_a_process_that_missed_more_than_the_log_keeps_loads_all_tags(
    redis_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_module, "LOG_LENGTH", 10)
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    writer.invalidate("early")
    for _ in range(300):
        writer.invalidate("t")
    assert not reader.sees("early", since=before)
    assert reader.sees("other", since=before), "a trimmed log is no reason to forget everything"
    assert writer.sees("other", since=before)


def test_the_log_is_bounded(
    redis_url: str, redis_server: RedisServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_module, "LOG_LENGTH", 10)
    writer = start(redis_url)
    for _ in range(500):
        writer.invalidate("t")
    with redis_server.client() as client:
        assert client.xlen(Keys("app").log) < 300


def test_dropping_the_oldest_tags_costs_misses_and_never_a_stale_hit(
    redis_url: str, redis_server: RedisServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_module, "TAG_LIMIT", 50)
    writer = start(redis_url)
    writer.catch_up()
    before = writer.trie.position
    tags = [f"org:{number % 40}:user:{number}" for number in range(400)]
    for tag in tags:
        writer.invalidate(tag)
    with redis_server.client() as client:
        assert client.zcard(Keys("app").tags) <= 120
    late = start(redis_url)
    assert not any(late.sees(tag, since=before) for tag in tags)
    assert not late.sees("org:*", since=before)
    assert late.sees(*tags, since=late.trie.position)


def test_prune_drops_old_tags_and_keeps_what_they_outdated_dead(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    writer = start(redis_url)
    writer.catch_up()
    before = writer.trie.position
    writer.invalidate("a:b", "a:c", "=:module.function:digest")
    writer.link.converse(writer.authority.prune(0))
    with redis_server.client() as client:
        left = client.zrange(Keys("app").tags, 0, -1)
    assert sorted(left) == [b"f=:module.function", b"fa", b"t"]
    late = start(redis_url)
    for tag in ("a:b", "a:c", "a:b:x", "a:*", "=:module.function:digest"):
        assert not late.sees(tag, since=before), tag
    assert late.sees("a", "b", since=before)


def test_prune_keeps_young_tags(redis_url: str, redis_server: RedisServer, start: Start) -> None:
    writer = start(redis_url)
    writer.invalidate("a:b")
    writer.link.converse(writer.authority.prune(60))
    with redis_server.client() as client:
        assert client.zscore(Keys("app").tags, b"ta:b") == writer.trie.position


@pytest.mark.parametrize("lost", ["log", "tags", "meta"])
def test_losing_a_key_outdates_everything_for_everybody(
    redis_url: str, redis_server: RedisServer, start: Start, lost: str
) -> None:
    """As eviction may do."""
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    writer.invalidate("t")
    after = writer.trie.position
    with redis_server.client() as client:
        client.delete(getattr(Keys("app"), lost))
    late = start(redis_url)
    assert not late.sees("t", since=before)
    assert not late.sees("unrelated", since=after)
    assert not reader.sees("t", since=before)
    writer.invalidate("u")
    assert not writer.sees("unrelated", since=after)
    assert writer.sees("unrelated", since=writer.trie.position)


@pytest.mark.parametrize("lost", ["log", "tags", "meta"])
def test_an_invalidation_after_a_key_was_lost_does_not_hide_the_loss(
    redis_url: str, redis_server: RedisServer, start: Start, lost: str
) -> None:
    writer = start(redis_url)
    writer.catch_up()
    before = writer.trie.position
    writer.invalidate("t")
    with redis_server.client() as client:
        client.delete(getattr(Keys("app"), lost))
    writer.invalidate("u")
    assert not start(redis_url).sees("t", since=before)


def test_flushing_the_server_outdates_everything(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    reader = start(redis_url)
    reader.invalidate("t")
    before = reader.trie.position
    redis_server.flush()
    assert not reader.sees("unrelated", since=before)
    assert reader.trie.position > before


def test_another_history_that_reached_the_same_number_is_noticed(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    reader = start(redis_url)
    reader.invalidate("t")
    before, name = reader.trie.position, reader.authority.position.id
    with redis_server.client() as client:
        client.delete(Keys("app").log)
        client.xadd(Keys("app").log, {"t": "other"}, id=f"{before}-{int(name.split(b'-')[1]) ^ 1}")
    assert not reader.sees("unrelated", since=before)


def test_a_clock_that_stepped_back_does_not_bring_old_numbers_back(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    reader = start(redis_url)
    reader.catch_up()
    keys, far = Keys("app"), reader.trie.position + 10**12
    with redis_server.client() as client:
        # As if everything so far had been numbered by a clock a quarter of an hour ahead.
        client.delete(*keys.authority)
        client.zadd(keys.tags, {"t": far})
        client.xadd(keys.log, {"t": ""}, id=f"{far}-1")
        run = client.info("server")["run_id"]
        client.hset(keys.meta, mapping={"last": far, "run": run})
        reader.catch_up()
        assert reader.trie.position == far
        assert reader.invalidate("t") > far
        before = reader.trie.position
        client.flushall()
    assert not reader.sees("unrelated", since=before)
    assert reader.trie.position > before


def test_threads_that_ask_and_tell_at_once_miss_nothing(redis_url: str, start: Start) -> None:
    process, other = start(redis_url), start(redis_url)
    wrong: list[str] = []

    def work(index: int) -> None:
        for turn in range(40):
            tag = f"t:{index}:{turn}"
            process.catch_up()
            before = process.trie.position
            other.invalidate(tag)
            if process.sees(tag, since=before):
                wrong.append(tag)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


async def test_asynchronous_twins(redis_url: str, start: Start) -> None:
    writer, reader = start(redis_url), start(redis_url)
    await reader.link.aconverse(reader.authority.catch_up())
    before = reader.trie.position
    assert await writer.authority.apublish(["t"])
    await reader.link.aconverse(reader.authority.catch_up())
    assert not reader.trie.valid(["t"], before)
    assert reader.trie.position == writer.trie.position


def test_listening_waits_for_an_invalidation(redis_url: str, start: Start) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    heard: list[Heard] = []
    listener = threading.Thread(
        target=lambda: heard.append(reader.link.converse(reader.authority.listen(seconds=30)))
    )
    listener.start()
    assert wait_until(lambda: _blocked(writer) == 1, 10)
    number = writer.invalidate("t")
    listener.join(10)
    assert heard == [Heard(number, complete=True)]
    assert not reader.trie.valid(["t"], before)
    assert reader.trie.position == number


def test_listening_ends_when_there_is_nothing(redis_url: str, start: Start) -> None:
    reader = start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    heard = reader.link.converse(reader.authority.listen(seconds=0.01))
    assert heard == Heard(0, complete=False)
    assert reader.trie.position == before


def test_what_is_heard_after_a_gap_counts_and_moves_nothing(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    for tag in ("missed", "heard"):
        writer.invalidate(tag)
    with redis_server.client() as client:
        client.xtrim(Keys("app").log, maxlen=1, approximate=False)
    heard = reader.link.converse(reader.authority.listen(seconds=30))
    assert heard == Heard(writer.trie.position, complete=False)
    assert not reader.trie.valid(["heard"], before)
    assert reader.trie.position == before
    assert not reader.sees("missed", since=before)
    assert reader.trie.position == writer.trie.position


def test_what_a_process_knows_already_is_no_news(redis_url: str, start: Start) -> None:
    process = start(redis_url)
    process.catch_up()
    listening = process.authority.listen(seconds=30)
    request = next(listening)
    assert isinstance(request, Request)
    process.invalidate("t")
    epoch = process.trie.epoch
    with pytest.raises(StopIteration) as ended:
        listening.send(process.link.exchange(request))
    assert ended.value.value == Heard(0, complete=True)
    assert process.trie.epoch == epoch


def _blocked(process: Process) -> int:
    def ask() -> Dialogue[bytes]:
        (reply,) = yield Request(command("INFO", "clients"), 1)
        return reply  # type: ignore[no-any-return]

    lines = process.link.converse(ask()).decode().splitlines()
    return int(dict(line.split(":") for line in lines if ":" in line)["blocked_clients"])


def test_an_outage_is_survived_and_made_up_for(private_redis: RedisServer, start: Start) -> None:
    writer, reader = (start(private_redis.url, timeout=0.2) for _ in range(2))
    reader.catch_up()
    writer.catch_up()
    before = writer.trie.position
    private_redis.freeze()
    assert writer.authority.publish(["t"]) is False
    assert not writer.trie.valid(["t"], writer.trie.position), "it counts here at once"
    with pytest.raises(BusUnavailable, match="'u'"):
        writer.authority.publish(["u"], strict=True)
    assert writer.errors == ["publish", "publish"]
    private_redis.thaw()
    assert wait_until(lambda: not writer.authority.outbox, 10)
    assert "get" in writer.recovered
    assert not reader.sees("t", since=before)
    assert not reader.sees("u", since=before)
    assert writer.trie.valid(["t"], writer.trie.position), "the doubt is settled"


async def test_a_cancelled_invalidation_is_delivered_all_the_same(
    private_redis: RedisServer, start: Start
) -> None:
    writer, reader = start(private_redis.url), start(private_redis.url)
    reader.catch_up()
    before = reader.trie.position
    await writer.authority.apublish(["warm"])
    private_redis.freeze()
    task = asyncio.create_task(writer.authority.apublish(["t"]))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not writer.trie.valid(["t"], writer.trie.position)
    private_redis.thaw()
    assert await asyncio.to_thread(wait_until, lambda: not writer.authority.outbox, 10)
    assert not reader.sees("t", since=before)


def test_news_of_another_history_is_not_applied_to_this_one(
    redis_url: str, redis_server: RedisServer, start: Start
) -> None:
    """A thread gets its answer just before the server is flushed, and is slower than another."""
    process, other = start(redis_url), start(redis_url)
    process.catch_up()
    asked = process.authority.position
    other.invalidate("t")
    (entries,) = process.link.exchange(Request(asked.newer, 1))
    redis_server.flush()
    process.catch_up()
    before = process.authority.position
    assert process.authority.apply(asked, entries) is False
    assert process.authority.position == before


def test_prune_keeps_a_tag_that_is_invalidated_meanwhile(redis_url: str, start: Start) -> None:
    process, other = start(redis_url), start(redis_url)
    process.catch_up()
    before = process.trie.position
    other.invalidate("a:b", "a:c")
    pruning = process.authority.prune(0)
    step = next(pruning)
    again = False
    while True:
        assert isinstance(step, Request)
        if again:
            # It has seen the old numbers, and says next which to drop.
            between = other.invalidate("a:b")
        again = not again and b"ZRANGE" in step.packed
        try:
            step = pruning.send(process.link.exchange(step))
        except StopIteration:
            break
    late = start(redis_url)
    assert late.trie.position == 0
    assert not late.sees("a:b", since=between - 1)
    assert not late.sees("a:c", since=before)
    assert late.sees("a:c", since=between)


def test_the_memory_of_a_process_that_runs_for_long_is_bounded(
    redis_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authority_module, "TAG_LIMIT", 100)
    writer, reader = start(redis_url), start(redis_url)
    reader.catch_up()
    before = reader.trie.position
    for number in range(1000):
        writer.invalidate(f"m:{number}")
    assert not any(reader.sees(f"m:{number}", since=before) for number in range(1000))
    assert len(writer.trie) < 300
    assert not any(writer.trie.valid([f"m:{number}"], before) for number in range(1000))
    assert writer.trie.valid(["other"], before)


def test_an_outage_of_any_length_needs_little_memory(
    private_redis: RedisServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = start(private_redis.url, timeout=0.2), start(private_redis.url)
    reader.catch_up()
    writer.catch_up()
    before = writer.trie.position
    private_redis.freeze()
    writer.authority.publish(["first"])

    def take(self: Outbox) -> dict[str, object]:
        raise AssertionError("while the server is down, nothing is prepared for it")

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "take", take)
        patched.setattr(writer.link.breaker, "overdue", lambda: False)
        for number in range(5000):
            writer.authority.publish([f"m:{number}"])
            assert len(writer.authority.outbox) <= 1000
            assert not writer.trie.valid([f"m:{number}"], writer.trie.position)
        assert not writer.trie.valid(["first"], writer.trie.position)
    private_redis.thaw()
    assert wait_until(lambda: not writer.authority.outbox, 10)
    assert not reader.sees("first", since=before)
    assert not reader.sees("m:4999", since=before)
    assert writer.trie.valid(["m:1"], writer.trie.position), "the doubts are settled"


def test_a_fork_takes_the_locks_in_the_order_in_which_the_outbox_does(
    redis_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the two would wait for each other."""
    process = start(redis_url)
    adding, holding = threading.Event(), threading.Event()

    def doubt(self: PrefixTrie, tags: Any, real: Any = PrefixTrie.doubt) -> None:
        adding.set()
        holding.wait(0.2)
        real(self, tags)

    monkeypatch.setattr(PrefixTrie, "doubt", doubt)
    adder = threading.Thread(target=process.authority.outbox.add, args=(["t"],), daemon=True)
    adder.start()
    assert adding.wait(10)
    for lock in process.authority.locks():
        assert lock.acquire(timeout=5)
        holding.set()
    for lock in process.authority.locks():
        lock.release()
    adder.join(10)
    assert not adder.is_alive()


def test_a_table_of_tags_that_is_lost_while_it_is_loaded_is_not_trusted(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server short of memory may evict it between telling the position and telling the tags."""
    writer = Engine(storage_url=redis_url, prefix="lost")
    writer.set("k", "old", deps="t")
    writer.invalidate("t")

    def load_too_late(table: bytes, *rest: Any) -> Any:
        monkeypatch.setattr(authority_module, "load", load)
        with redis.Redis.from_url(redis_url) as client:
            assert client.delete(table) == 1
        return load(table, *rest)

    load = authority_module.load
    monkeypatch.setattr(authority_module, "load", load_too_late)
    late = Engine(storage_url=redis_url, prefix="lost")
    try:
        assert late.get("k") is None
        assert authority_module.load is load, "the table was not loaded"
        assert late.set("k", "new", deps="t")
        assert late.get("k") == "new"
        assert writer.get("k") == "new"
    finally:
        late.reset()
        writer.reset()
