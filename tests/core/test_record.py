from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoocache_core.errors import UnsupportedValue
from zoocache_core.record import (
    Record,
    decode_record,
    encode_record,
    never_expires,
    times_of,
    with_expiry,
)

seconds = st.none() | st.floats(allow_nan=False)
# Deps are tags, and keys of calls, which may contain anything.
texts = st.text(st.characters(exclude_categories=["Cs"]))
contents = st.tuples(
    st.binary(), st.lists(texts).map(tuple), st.integers(0, 2**64 - 1), seconds, seconds
)


@given(contents | st.tuples(st.just(b"x" * 10_000), st.just(("a", "b")), *[st.just(1)] * 3))
def test_a_record_is_read_as_it_was_written(content: Any) -> None:
    data = encode_record(*content)
    for stored in (data, memoryview(data), memoryview(bytearray(data))):
        record = decode_record(stored)
        assert record is not None
        read = bytes(record.payload), record.deps, record.stamp, record.expires, record.ttl
        assert read == content


def test_the_first_byte_is_the_version() -> None:
    data = encode_record(b"payload", ("a",), 1, None, None)
    assert data[0] == 1
    assert decode_record(b"\x02" + data[1:]) is None


@given(contents, st.data())
def test_what_is_truncated_or_longer_is_no_record(content: Any, data: Any) -> None:
    whole = encode_record(*content)
    assert decode_record(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    assert decode_record(whole + data.draw(st.binary(min_size=1))) is None


@given(contents, st.data())
def test_altered_bytes_never_raise(content: Any, data: Any) -> None:
    altered = bytearray(encode_record(*content))
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    record = decode_record(bytes(altered))
    assert record is None or isinstance(record, Record)


@given(st.binary(), st.binary(), st.integers(0, 100))
def test_foreign_bytes_never_raise(data: bytes, deps: bytes, length: int) -> None:
    assert decode_record(data) is None
    header = encode_record(b"", (), 1, None, None)
    forged = header[:4] + len(deps).to_bytes(4, "little") + length.to_bytes(8, "little")
    record = decode_record(forged + header[16:] + deps + data)
    assert record is None or isinstance(record, Record)


def test_nested_or_foreign_deps_are_no_record() -> None:
    header = encode_record(b"", (), 1, None, None)
    for deps in (b"\x91" * 10_000 + b"\x01", b"\x91\xa1\xff", b"\x91\x01", b"\x80", b"\x90\x90"):
        forged = header[:4] + len(deps).to_bytes(4, "little") + header[8:] + deps
        assert decode_record(forged) is None


@given(contents, seconds, seconds)
def test_another_expiry(content: Any, expires: float | None, ttl: float | None) -> None:
    payload, deps, stamp, *_ = content
    changed = with_expiry(encode_record(*content), expires, ttl)
    assert changed == encode_record(payload, deps, stamp, expires, ttl)


@given(contents)
def test_the_times_alone(content: Any) -> None:
    data = b"before" + encode_record(*content)
    assert times_of(data, 6) == tuple(content[3:])
    assert never_expires(data, 6) is (content[3] is None)


def test_infinity_is_a_time() -> None:
    record = decode_record(encode_record(b"", (), 0, math.inf, 0.0))
    assert record is not None
    assert (record.expires, record.ttl) == (math.inf, 0.0)


def test_a_dep_that_no_store_can_hold_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="not valid Unicode"):
        encode_record(b"", ("\ud800",), 0, None, None)
