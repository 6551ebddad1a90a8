"""The grammar of tags: checking them, and building them from arbitrary values.

A tag is a path in a tree, written with ``:`` between its parts: ``org:1:user:42`` lies below
``org:1``. It has 1 to 256 characters out of ASCII letters, digits, ``_``, ``.`` and ``:``, and none
of its parts is empty. A dependency may also end in ``:*`` ("anything at or below") or be ``*``
("anything at all").
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from zoocache_core.errors import InvalidTag

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_TAG_LENGTH",
    "invalidation_target",
    "tag",
    "validate",
    "validate_dep",
    "validate_many",
]

MAX_TAG_LENGTH: Final = 256

_TAG = re.compile(r"[A-Za-z0-9_.]+(?::[A-Za-z0-9_.]+)*")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.:]")
_EMPTY_PART = re.compile(r"^:|::|:$")

# Applications use the same tags over and over, and a dict lookup costs a fraction of the regular
# expression. Only valid tags get in, so an attacker can fill the memo but not with long texts; when
# full it is dropped as a whole, which costs less than keeping an order would.
_MEMO_SIZE: Final = 8192
_valid_tags: set[str] = set()
_valid_deps: set[str] = set()


def validate(tag: str) -> str:
    """Return `tag` as an exact ``str`` if it is a valid tag without a wildcard.

    Raises:
        InvalidTag: it is not; the message names the character, its index and what is allowed.
    """
    if type(tag) is str and tag in _valid_tags:
        return tag
    return _remember(_valid_tags, _checked(tag))


def validate_dep(tag: str) -> str:
    """Return `tag` as an exact ``str`` if it is a valid tag, one followed by ``:*``, or ``*``.

    Raises:
        InvalidTag: it is none of these.
    """
    if type(tag) is str and tag in _valid_deps:
        return tag
    text = _text(tag)
    if text != "*":
        _checked(text[:-2] if text.endswith(":*") else text, original=text)
    return _remember(_valid_deps, text)


def validate_many(tags: str | Iterable[str]) -> tuple[str, ...]:
    """Return dependencies as a tuple, in their order and each one once.

    A lone ``str`` is one tag, not an iterable of characters. Wildcards are allowed, as in
    :func:`validate_dep`.

    Raises:
        InvalidTag: one of them is invalid, or `tags` is neither a ``str`` nor an iterable.
    """
    if isinstance(tags, str):
        return (validate_dep(tags),)
    if type(tags) is list or type(tags) is tuple:
        if not tags:
            return ()
        if len(tags) == 1 and type(tags[0]) is str and tags[0] in _valid_deps:
            return (tags[0],)
    try:
        iterator = iter(tags)
    except TypeError:
        raise InvalidTag(
            f"tags must be a str or an iterable of str, not {type(tags).__name__}: {tags!r:.80}"
        ) from None
    deps = [validate_dep(tag) for tag in iterator]
    return tuple(deps if len(deps) < 2 else dict.fromkeys(deps))


def invalidation_target(tag: str) -> str:
    """Return the tag whose node ``invalidate(tag)`` writes to.

    ``user`` and ``user:*`` both mean ``user``, because invalidating a tag takes everything below it
    along; ``*`` means the root, whose tag is the empty string.

    Raises:
        InvalidTag: `tag` is neither a valid tag nor a valid wildcard.
    """
    if type(tag) is str:
        if tag in _valid_tags:
            return tag
        # A row of a table that is known. Rows are too many to be remembered one by one.
        table, _, row = tag.rpartition(":")
        if table in _valid_tags and row.isdecimal() and row.isascii() and len(tag) < MAX_TAG_LENGTH:
            return tag
    text = _text(tag)
    if text == "*":
        return ""
    if text.endswith(":*"):
        return _checked(text[:-2], original=text)
    table, _, row = _checked(text).rpartition(":")
    _remember(_valid_tags, table if table and row.isdecimal() else text)
    return text


def _remember(memo: set[str], text: str) -> str:
    if len(memo) >= _MEMO_SIZE:
        memo.clear()
    memo.add(text)
    return text


def _text(tag: object) -> str:
    if isinstance(tag, str):
        return str.__str__(tag)
    raise InvalidTag(
        f"a tag must be a str, not {type(tag).__name__}: {tag!r:.80}; "
        f"build one from any values with tag('name', value)"
    )


def _checked(tag: object, original: str | None = None) -> str:
    text = _text(tag)
    if _TAG.fullmatch(text) and len(text) <= MAX_TAG_LENGTH:
        return text
    raise _refusal(text, text if original is None else original)


def _refusal(text: str, original: str) -> InvalidTag:
    shown = repr(original) if len(original) <= 80 else f"{original[:77]!r}..."
    forbidden = _FORBIDDEN.search(text)
    empty_part = _EMPTY_PART.search(text)
    if not text:
        reason = "it is empty"
    elif forbidden is not None:
        character = forbidden.group()
        index = forbidden.start()
        reason = f"character {character!r} (U+{ord(character):04X}) at index {index} is "
        reason += "only allowed to end a dependency" if character == "*" else "not allowed"
    elif empty_part is not None:
        place = {0: "starts the tag", len(text) - 1: "ends the tag"}
        index = empty_part.end() - 1
        reason = f"the ':' at index {index} {place.get(index, 'follows another one')}"
    else:
        reason = f"it has {len(text)} characters"
    return InvalidTag(
        f"invalid tag {shown}: {reason}; a tag has 1 to {MAX_TAG_LENGTH} ASCII letters, digits, "
        f"'_', '.' and single ':' between its parts; tag('name', value) builds one from any values"
    )


# Escaping. `_x<hex>_` stands for a character, `_x_` for an empty part and `_h<hex>_` for a part
# known by its hash only. A `_` of the input before an `x` or `h` is escaped too, so reading from
# the left, `_x` and `_h` can only be escapes, and each text has one encoding of its own.
_PLAIN_PART = re.compile(r"(?:[A-Za-z0-9.]|_(?![xh]))+")
_TO_ESCAPE = re.compile(r"[^A-Za-z0-9._]|_(?=[xh])")
_HASH_BYTES: Final = 12
_HASHED_LENGTH: Final = len("_h_") + 2 * _HASH_BYTES
# Parts stay readable up to this length of the tag; the rest is kept free for four hashed ones. How
# a part is written depends on the parts before it and never on those after it: only then is
# tag("a", b) the parent of tag("a", b, c), whatever their lengths.
_READABLE_LENGTH: Final = MAX_TAG_LENGTH - 4 * (1 + _HASHED_LENGTH)


def tag(*parts: object) -> str:
    """Build a valid tag from any values: ``tag("user", 42)`` is ``user:42``.

    Each part enters by its ``str()``, so ``1`` and ``"1"`` are the same part, on purpose: an id
    that comes from a URL must name the same tag as the one that comes from the database. Different
    texts give different tags (``tag("a:b")`` is not ``tag("a", "b")``), and the tag of some parts
    is always an ancestor of the tag of the same parts followed by more.

    ASCII letters, digits, ``.`` and ``_`` stay as they are, so ``shop.product`` and ``user_name``
    do; any other character becomes ``_x<hex>_``. A part that would make the tag too long is
    replaced by 96 bits of its BLAKE2b hash (RFC 7693); two parts with one hash would be forgotten
    together, never kept by mistake. Five parts always fit, whatever their length.

    Raises:
        InvalidTag: no part was given, or there are more parts than 256 characters can hold.
    """
    if not parts:
        raise InvalidTag("tag() needs at least one part, such as tag('user', user_id)")
    length = -1
    written = []
    for part in parts:
        text = part if type(part) is str else str(part)
        escaped = text if _PLAIN_PART.fullmatch(text) else _escape(text)
        if len(escaped) > _HASHED_LENGTH and length + 1 + len(escaped) > _READABLE_LENGTH:
            digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES)
            escaped = f"_h{digest.hexdigest()}_"
        length += 1 + len(escaped)
        written.append(escaped)
    if length > MAX_TAG_LENGTH:
        raise InvalidTag(
            f"tag() was given {len(parts)} parts that need {length} characters, and a tag has at "
            f"most {MAX_TAG_LENGTH}; leave out levels that nobody invalidates"
        )
    return ":".join(written)


def _escape(text: str) -> str:
    if not text:
        return "_x_"
    return _TO_ESCAPE.sub(lambda found: f"_x{ord(found.group()):x}_", text)
