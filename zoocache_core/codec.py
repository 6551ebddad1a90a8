"""Values as bytes for stores that others can write to, and back.

====== =======================================================================================
offset
====== =======================================================================================
0      format version: 1
1      flags: 1 pickled and signed, 2 compressed
2      signature, 32 bytes, if signed
..     length before compression, 8 bytes little-endian, if compressed
..     content: MessagePack (see :mod:`zoocache_core.packing`) or a pickle
====== =======================================================================================

Plain data is written as MessagePack, which cannot make anything run when it is read. Everything
else is pickled, and reading a pickle can run anything: it is signed with keyed BLAKE2b (RFC 7693)
under ``secret_key`` and read only if the signature is right. The signature covers the key of the
entry, so that a signed value is worth nothing under another key.
"""

from __future__ import annotations

import hmac
import pickle
import sys
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from zoocache_core.fidelity import is_same, refuse_used_up, unsupported
from zoocache_core.packing import NotPlain, pack, unpack

__all__ = ["Codec", "Undecodable"]

_VERSION: Final = 1
_SIGNED: Final = 1
_COMPRESSED: Final = 2
_PLAIN_HEADER: Final = bytes((_VERSION, 0))
_SIGNATURE_BYTES: Final = 32
_LENGTH_BYTES: Final = 8
_MAX_BYTES: Final = 1 << 29
"""What a compressed payload may grow to: 512 MiB, the most that Redis stores uncompressed."""


class Undecodable(Exception):  # noqa: N818 - an answer for the storage, never seen by users
    """The bytes are truncated, altered, of another version, or not signed with a known key."""


class Codec:
    """Encodes and decodes values for one engine.

    `secret_keys`: the first signs, all are accepted when reading, so that a key can be replaced
    without losing what the old one signed. Without any, only plain data can be encoded.
    `compress_min_bytes`: content from this size on is compressed with zlib, if that makes it
    smaller; ``None``: never. `verify`: refuse objects that their pickle does not restore exactly.
    """

    def __init__(
        self,
        secret_keys: Sequence[bytes] = (),
        compress_min_bytes: int | None = 4096,
        verify: bool = True,
    ) -> None:
        # BLAKE2b takes keys of up to 64 bytes; hashing makes one of any length.
        self._signers = [
            blake2b(
                key=blake2b(secret, person=b"zoocache.sign").digest(), digest_size=_SIGNATURE_BYTES
            )
            for secret in secret_keys
        ]
        self._compress_from = sys.maxsize if compress_min_bytes is None else compress_min_bytes
        self._verify = verify

    def dumps(self, value: Any, key: str) -> bytes:
        """Return the bytes to store under `key`.

        Raises:
            UnsupportedValue: the value cannot be restored exactly; or it is not plain data, and
                there is no secret key.
        """
        try:
            content = pack(value)
        except NotPlain:
            return self._sealed(_SIGNED, self._pickled(value), key)
        if len(content) < self._compress_from:
            return _PLAIN_HEADER + content
        return self._sealed(0, content, key)

    def loads(self, data: bytes | memoryview, key: str) -> Any:
        """Return a fresh copy of the value that was stored under `key`.

        Raises:
            Undecodable: the bytes are not what :meth:`dumps` made for this key. Nothing that they
                contain was executed.
        """
        try:
            if data[:2] == _PLAIN_HEADER:
                return unpack(data[2:])
            return self._opened(memoryview(data), key)
        except Undecodable:
            raise
        except Exception as error:  # foreign bytes may fail in any way, and so may a pickled class
            raise Undecodable(f"{type(error).__name__}: {error}") from error

    def _pickled(self, value: Any) -> bytes:
        if self._verify:
            refuse_used_up(value)
        if not self._signers:
            raise unsupported(
                value,
                "in a store that others can write to, what is not plain data (text, numbers, "
                "dates, lists, dicts...) has to be pickled and signed; set secret_key= in "
                "configure()",
            )
        try:
            data = pickle.dumps(value, protocol=5)
            same = not self._verify or is_same(pickle.loads(data), value)  # noqa: S301 - our own
        except Exception as error:
            raise unsupported(value, f"pickling it failed with {error!r:.200}") from error
        if not same:
            raise unsupported(value, "what comes back from pickling it is not the same")
        return data

    def _sealed(self, flags: int, content: bytes, key: str) -> bytes:
        if self._compress_from <= len(content) <= _MAX_BYTES:
            # Level 1: three to five times as fast as the default for a tenth more bytes.
            smaller = len(content).to_bytes(_LENGTH_BYTES, "little") + zlib.compress(content, 1)
            if len(smaller) < len(content):
                flags, content = flags | _COMPRESSED, smaller
        header = bytes((_VERSION, flags))
        if flags & _SIGNED:
            header += _signature(self._signers[0], header, key, content)
        return header + content

    def _opened(self, data: memoryview, key: str) -> Any:
        version, flags = data[:2]
        if version != _VERSION or flags & ~(_SIGNED | _COMPRESSED):
            raise Undecodable(f"unknown format: version {version}, flags {flags}")
        content: bytes | memoryview = self._verified(data, key) if flags & _SIGNED else data[2:]
        if flags & _COMPRESSED:
            content = _decompressed(content)
        return pickle.loads(content) if flags & _SIGNED else unpack(content)  # noqa: S301 - signed

    def _verified(self, data: memoryview, key: str) -> memoryview:
        header, signature = bytes(data[:2]), data[2 : 2 + _SIGNATURE_BYTES]
        content = data[2 + _SIGNATURE_BYTES :]
        for signer in self._signers:
            if hmac.compare_digest(_signature(signer, header, key, content), signature):
                return content
        raise Undecodable("the signature does not belong to a known secret_key and to this key")


def _signature(signer: Any, header: bytes, key: str, content: bytes | memoryview) -> bytes:
    name = key.encode("utf-8", "surrogatepass")
    digest = signer.copy()
    digest.update(header + len(name).to_bytes(8, "little") + name)
    digest.update(content)
    return bytes(digest.digest())


def _decompressed(content: bytes | memoryview) -> bytes:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if length > _MAX_BYTES:
        raise Undecodable(f"a compressed payload claims to be {length} bytes long")
    # Never more than was claimed, whatever the stream would expand to.
    stream = zlib.decompressobj()
    plain = stream.decompress(content[_LENGTH_BYTES:], length + 1)
    if len(plain) != length or not stream.eof or stream.unused_data:
        raise Undecodable("a compressed payload is not as long as it claims to be")
    return plain
