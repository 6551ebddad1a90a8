from __future__ import annotations

import datetime as dt
import pickle
import re
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_snapshot import Forgetful, Turning, generator, mutable_parts
from tests.core.values import (
    Access,
    Color,
    Item,
    Money,
    Name,
    Number,
    Point,
    essence,
    hashables,
    plain_atoms,
    plain_values,
    values,
)
from zoocache_core import codec as codec_module
from zoocache_core.codec import Codec, Undecodable
from zoocache_core.errors import UnsupportedValue
from zoocache_core.packing import NotPlain, pack, unpack

OLD, NEW = b"old secret" * 3, b"new secret" * 30
keyless, signing = Codec(), Codec([NEW])
everything_compressed = Codec([NEW], compress_min_bytes=0)


@settings(max_examples=400)
@given(values | plain_values)
def test_a_hit_is_the_same_in_value_and_type(value: Any) -> None:
    before = essence(value)
    for codec in (signing, everything_compressed):
        data = codec.dumps(value, "key")
        assert essence(codec.loads(data, "key")) == before
        assert essence(codec.loads(memoryview(data), "key")) == before
    assert essence(value) == before


@settings(max_examples=400)
@given(plain_values)
def test_plain_data_needs_no_secret(value: Any) -> None:
    assert essence(keyless.loads(keyless.dumps(value, "key"), "another key")) == essence(value)


@given(values | plain_values)
def test_two_hits_share_nothing_that_can_be_changed(value: Any) -> None:
    data = signing.dumps(value, "key")
    one, two = signing.loads(data, "key"), signing.loads(data, "key")
    assert not {id(part) for part in mutable_parts(one)} & {id(part) for part in mutable_parts(two)}


PLAIN: list[Any] = [
    *(None, True, 0, -(2**63), 2**64 - 1, 2**64, -(2**70), 10**5000, 0.0, -0.0, float("nan")),
    *("", "é", "\ud800", b"", bytearray(b"a"), 1 + 2j, complex("nan-0j"), Decimal("1.00")),
    *(Decimal("sNaN123"), Decimal("-0E+5"), Fraction(1, 3), Fraction(10**5000, 7), range(1, 9, 2)),
    *((), (1, (2, [3])), [], set(), {1, "a"}, frozenset({(1,)}), {1: "a", "1": 1, 1.5: None}),
    *({(1, 2): {"x": {3}}}, {None: 1, True: 2, b"a": 3}, {2**70: 1}, {"\ud800": 1}, {(): ()}),
    *(dt.date.min, dt.datetime.max, dt.time(1, 2, 3, 4), dt.timedelta(-1, 5, 7)),
    *(dt.datetime(year, 1, 1, 0, 0, 0, 999_999, dt.timezone.utc) for year in (1, 1969, 9999)),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=dt.timezone.utc, fold=1),
    *(dt.datetime(2024, 10, 27, 2, 30, fold=1), dt.timezone(dt.timedelta(hours=-3), "Rio")),
    *(OrderedDict([("b", 1), ("a", [2])]), Counter("abca"), deque([1, [2]]), deque(maxlen=0)),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_what_counts_as_plain(value: Any) -> None:
    for wrapped in (value, [value], {"a": (value,)}):
        restored = unpack(pack(wrapped))
        assert essence(restored) == essence(wrapped)
    assert keyless.dumps(value, "k")[:2] == b"\x01\x00"


def test_utc_stays_the_one_utc() -> None:
    assert unpack(pack(dt.timezone.utc)) is dt.timezone.utc


@pytest.mark.parametrize(
    "value",
    [
        Color.RED,
        Access.READ,
        Item(1),
        Money(1),
        Point(1, 2),
        Name("a"),
        Number(1),
        defaultdict(int),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_a_class_of_its_own_is_signed_or_refused(value: Any) -> None:
    for wrapped in (value, [value], {"a": (value,)}):
        with pytest.raises(NotPlain):
            pack(wrapped)
        with pytest.raises(UnsupportedValue, match=r"pickled and signed; set secret_key= in"):
            keyless.dumps(wrapped, "key")
        assert essence(signing.loads(signing.dumps(wrapped, "key"), "key")) == essence(wrapped)


def test_an_ordered_dict_with_attributes_is_not_plain() -> None:
    value = OrderedDict(a=1)
    value.note = [1]  # type: ignore[attr-defined]
    with pytest.raises(NotPlain):
        pack(value)
    assert signing.loads(signing.dumps(value, "k"), "k").note == [1]


def test_a_value_that_contains_itself_is_pickled() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    restored = signing.loads(signing.dumps(endless, "k"), "k")
    assert restored[1] is restored


def local_class() -> Any:
    class Local: ...

    return Local()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Forgetful(1), "test_snapshot.Forgetful cannot .* from pickling it is not the same"),
        (Turning(a=1), "test_snapshot.Turning cannot .* from pickling it is not the same"),
        (local_class(), "Local cannot be cached: pickling it failed with"),
        (iter([1]), "list_iterator cannot be cached: its first reader would use it up"),
        (generator(), "generator cannot be cached: its first reader would use it up"),
    ],
)
def test_what_cannot_be_restored_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        signing.dumps(value, "key")


def test_without_verification_an_object_is_what_its_pickle_makes_of_it() -> None:
    codec = Codec([NEW], verify=False)
    assert codec.loads(codec.dumps(Forgetful(1), "k"), "k").state is None


# --- signatures ----------------------------------------------------------------------------------

executed: list[str] = []


class Exploit:
    def __reduce__(self) -> Any:
        return executed.append, ("executed",)


def forged(content: bytes, flags: int = 1, signature: bytes = b"\0" * 32) -> bytes:
    return bytes((1, flags)) + signature + content


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("codec", [keyless, signing, Codec([NEW, OLD])])
def test_nothing_unsigned_is_unpickled(codec: Codec, flags: int) -> None:
    exploit = pickle.dumps(Exploit())
    compressed = len(exploit).to_bytes(8, "little") + zlib.compress(exploit)
    for data in (
        exploit,
        bytes((1, flags)) + exploit,
        bytes((1, flags)) + compressed,
        forged(exploit, flags),
        forged(compressed, flags),
    ):
        try:
            codec.loads(data, "key")
        except Undecodable:
            continue
    assert executed == []


def test_a_signed_value_is_worth_nothing_under_another_key() -> None:
    data = signing.dumps(Item(1), "user:1")
    assert signing.loads(data, "user:1") == Item(1)
    for key in ("user:2", "", "user:", "user:11"):
        with pytest.raises(Undecodable, match="signature"):
            signing.loads(data, key)


def test_the_boundary_between_key_and_content_is_signed() -> None:
    # The signature covers the key and then the content; bytes must not move between them.
    data = signing.dumps(Item(1), "key")
    header, signature, content = data[:2], data[2:34], data[34:]
    with pytest.raises(Undecodable, match="signature"):
        signing.loads(header + signature + b"y" + content, "ke")
    with pytest.raises(Undecodable, match="signature"):
        signing.loads(header + signature + content[1:], "key" + chr(content[0]))


def test_keys_are_rotated_without_loss() -> None:
    before, during, after = Codec([OLD]), Codec([NEW, OLD]), Codec([NEW])
    old = before.dumps(Item(1), "k")
    assert during.loads(old, "k") == Item(1)
    new = during.dumps(Item(2), "k")
    assert after.loads(new, "k") == Item(2)
    for codec, data in ((after, old), (before, new), (keyless, old)):
        with pytest.raises(Undecodable, match="signature"):
            codec.loads(data, "k")


def test_secrets_of_any_length_are_different() -> None:
    data = Codec([b"a" * 64]).dumps(Item(1), "k")
    for secret in (b"a" * 65, b"a" * 63, b"a" * 64 + b"\0"):
        with pytest.raises(Undecodable):
            Codec([secret]).loads(data, "k")


@given(st.data())
def test_every_bit_of_a_signed_value_is_signed(data: Any) -> None:
    for codec in (signing, everything_compressed):
        altered = bytearray(codec.dumps(Item("text" * 20), "k"))
        position = data.draw(st.integers(0, len(altered) * 8 - 1))
        altered[position // 8] ^= 1 << position % 8
        try:
            read = codec.loads(bytes(altered), "k")
        except Undecodable:
            continue
        # A flipped flag may make it plain bytes; then nothing was unpickled.
        assert position < 16
        assert not isinstance(read, Item)


# --- foreign bytes -------------------------------------------------------------------------------


def only_undecodable(codec: Codec, data: bytes) -> None:
    try:
        codec.loads(data, "k")
    except Undecodable:
        return


codes = st.sampled_from([1, 2, 3, *range(9, 35), 127])
wire = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
        | st.builds(
            lambda code, payload: msgspec.msgpack.Ext(code, msgspec.msgpack.encode(payload)),
            codes,
            inner,
        )
        | st.builds(msgspec.msgpack.Ext, codes, st.binary(max_size=9))
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(wire)
def test_foreign_messagepack_never_raises_anything_else(content: Any) -> None:
    only_undecodable(keyless, b"\x01\x00" + msgspec.msgpack.encode(content))


@given(st.binary(), st.integers(0, 4))
def test_foreign_bytes_never_raise_anything_else(content: bytes, flags: int) -> None:
    for codec in (keyless, signing):
        only_undecodable(codec, content)
        only_undecodable(codec, bytes((1, flags)) + content)


@given(values, st.data())
def test_truncated_bytes_are_undecodable(value: Any, data: Any) -> None:
    for codec in (signing, everything_compressed):
        whole = codec.dumps(value, "k")
        cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
        with pytest.raises(Undecodable):
            codec.loads(cut, "k")


def test_another_version_is_undecodable() -> None:
    data = signing.dumps([1], "k")
    assert data[0] == 1
    with pytest.raises(Undecodable, match="unknown format: version 2"):
        signing.loads(b"\x02" + data[1:], "k")
    with pytest.raises(Undecodable, match="flags 4"):
        signing.loads(b"\x01\x04" + data[2:], "k")


def test_nesting_too_deep_is_undecodable() -> None:
    for code in (10, 1):
        deep = b"\x90"
        for _ in range(2000):
            deep = msgspec.msgpack.encode(msgspec.msgpack.Ext(code, b"\x91" + deep))
        with pytest.raises(Undecodable):
            keyless.loads(b"\x01\x00" + deep, "k")
    with pytest.raises(Undecodable):
        keyless.loads(b"\x01\x00" + b"\x91" * 100_000, "k")


def test_small_bytes_cannot_ask_for_endless_work() -> None:
    def ext(code: int, payload: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(code, msgspec.msgpack.encode(payload))

    long = ext(18, [0, 10**15, 1])
    for content in (
        *(ext(code, long) for code in (10, 11, 12, 13, 30, 31)),
        *(ext(32, [None, long]), ext(13, 10**12), ext(16, ["1e999999999"])),
    ):
        with pytest.raises(Undecodable, match="ValidationError"):
            keyless.loads(b"\x01\x00" + msgspec.msgpack.encode(content), "k")


def test_a_signed_class_that_is_gone_is_undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = signing.dumps(Item(1), "k")
    monkeypatch.delattr("tests.core.values.Item")
    with pytest.raises(Undecodable, match="AttributeError"):
        signing.loads(data, "k")


# --- compression ---------------------------------------------------------------------------------


def test_large_values_are_compressed_if_that_makes_them_smaller() -> None:
    codec = Codec([NEW], compress_min_bytes=100)
    for value in ("a" * 1000, Item("a" * 1000)):
        assert len(codec.dumps(value, "k")) < 200 < len(Codec([NEW], None).dumps(value, "k"))
        assert codec.loads(codec.dumps(value, "k"), "k") == value
    noise = bytes(range(256))
    assert len(codec.dumps(noise, "k")) <= len(noise) + 10
    assert codec.dumps("a" * 90, "k")[1] == 0


def test_what_is_compressed_is_read_whatever_the_setting() -> None:
    data = everything_compressed.dumps("a" * 1000, "k")
    assert data[1] == 2
    assert keyless.loads(data, "k") == "a" * 1000


def test_a_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "_MAX_BYTES", 1 << 20)
    bomb = zlib.compress(b"\0" * (1 << 24))
    inflated: list[int] = []
    decompressobj = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.inner = decompressobj()

        def decompress(self, data: Any, limit: int) -> bytes:
            plain = self.inner.decompress(data, limit)
            inflated.append(len(plain))
            return plain

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    for claimed in (10, 1 << 20, 1 << 24, 2**64 - 1):
        with pytest.raises(Undecodable, match="long"):
            keyless.loads(b"\x01\x02" + claimed.to_bytes(8, "little") + bomb, "k")
    assert inflated
    assert max(inflated) <= (1 << 20) + 1


@given(st.binary(max_size=50), st.integers(-2, 2))
def test_a_claimed_length_has_to_be_true(content: bytes, error: int) -> None:
    packed = pack(content)
    claimed = max(0, len(packed) + error).to_bytes(8, "little")
    data = b"\x01\x02" + claimed + zlib.compress(packed)
    if error == 0:
        assert keyless.loads(data, "k") == content
        with pytest.raises(Undecodable):
            keyless.loads(data + b"x", "k")
    else:
        with pytest.raises(Undecodable):
            keyless.loads(data, "k")


@given(st.dictionaries(hashables, plain_atoms))
def test_the_order_and_the_keys_of_a_dict_are_kept(table: dict[Any, Any]) -> None:
    restored = signing.loads(signing.dumps(table, "k"), "k")
    assert [essence(key) for key in restored] == [essence(key) for key in table]


def test_no_secret_is_shown() -> None:
    codec = Codec([b"very secret"])
    assert not re.search("secret", repr(codec))
