"""The Lua scripts of the authority.

Every script that reads or writes the authority's keys begins with the same prelude, and none writes
before ``intact()`` has been asked, so a key that was lost (evicted, flushed) is never created
again half empty: ``rebuild()`` replaces all three at once.

Numbers are ``max(last + 1, server time in ms * 2048)``: they grow also when the server's clock
steps back, leave room for 2048 invalidations per millisecond without running ahead of the clock,
and stay below 2**53, which Lua and sorted sets represent exactly, until the year 2109. (The idea is
that of hybrid logical clocks: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.)

A position is written ``number-nonce``, which is also its id in the stream. The nonce is random, so
two histories that reach the same number are told apart. An entry of the stream consists of ``p``,
the id of the entry before it, and a ``t`` for each tag. (A hash chain in all but the hash: whoever
is given an entry that follows his position has missed nothing.)

Members of the sorted set ``tags``: ``t`` + tag with its newest number; ``f`` + tag with its
*floor*, the highest number of a tag directly below that was dropped. The root (``t``, ``f``) and
the floor of the internal tags of calls (``f=``) are never dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import NoScriptError

from zoocache_core.redis.dialogue import Dialogue, Replies, Request, command

__all__ = [
    "ACQUIRE",
    "BUMP",
    "FORGET",
    "RELEASE",
    "RENEW",
    "REPLACE",
    "SYNC",
    "TOUCH",
    "Call",
    "Script",
    "invoke",
]


class Script:
    """A Lua script."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        # Not for security: it is how Redis names a script.
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[bytes], *arguments: str | bytes | float) -> Call:
        """The script with what it is to work on."""
        return Call(self, (len(keys), *keys, *arguments))


class Call(NamedTuple):
    """A script with its keys and arguments."""

    script: Script
    rest: tuple[str | bytes | float, ...]

    def by_name(self) -> bytes:
        """Packed, for a server that knows the script."""
        return command("EVALSHA", self.script.sha, *self.rest)

    def in_full(self) -> bytes:
        """Packed, for any server."""
        return command("EVAL", self.script.source, *self.rest)


def invoke(calls: Sequence[Call], after: bytes = b"") -> Dialogue[Replies]:
    """Run scripts, and ``after`` them one more command, packed, whose reply comes last.

    One round trip, and another where Redis does not know one of the scripts yet.
    """
    last = [len(calls)] if after else []
    packed = b"".join(call.by_name() for call in calls)
    replies: Replies = yield Request(packed + after, len(calls) + len(last))
    unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        packed = b"".join(calls[i].in_full() for i in unknown)
        again: Replies = yield Request(packed + after, len(unknown) + len(last))
        for i, reply in zip(unknown + last, again, strict=True):
            replies[i] = reply
    return replies


_PRELUDE = """
local log, tags, meta = KEYS[1], KEYS[2], KEYS[3]
local position, nonce = ARGV[1], ARGV[2]

local function number_of(id)
  return tonumber(string.match(id, '^%d+'))
end

local function text_of(number)
  return string.format('%.0f', number)
end

local function run_id()
  local id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  return id or error('INFO does not tell one run of this server from another')
end

local function intact()
  return redis.call('EXISTS', log, tags, meta) == 3
end

local function following(last)
  local time = redis.call('TIME')
  local now = (time[1] * 1000 + math.floor(time[2] / 1000)) * 2048
  return math.max(last + 1, now)
end

-- The highest number that any of the keys, or the caller, remembers.
local function highest()
  local top = math.max(number_of(position), number_of(redis.call('HGET', meta, 'last') or '0'))
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if entry then top = math.max(top, number_of(entry[1])) end
  local member = redis.call('ZREVRANGE', tags, 0, 0, 'WITHSCORES')
  if member[2] then top = math.max(top, tonumber(member[2])) end
  return top
end

-- Start anew with an invalidation of everything, numbered above all that is known.
local function rebuild()
  local number = text_of(following(highest()))
  redis.call('DEL', log, tags, meta)
  redis.call('ZADD', tags, number, 't')
  redis.call('XADD', log, number .. '-' .. nonce, 'p', '', 't', '')
  redis.call('HSET', meta, 'last', number .. '-' .. nonce, 'run', run_id())
end

local function raise_parent_floor(member, number)
  local parent = string.match(string.sub(member, 2), '^(.*):[^:]*$') or ''
  redis.call('ZADD', tags, 'GT', number, 'f' .. parent)
end
"""

SYNC = Script(
    _PRELUDE
    + """
-- What a replica has, its master may have outdated already.
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is a replica')
end

-- The server was restarted or replaced, and may have lost writes; or a key was lost.
if not intact() or redis.call('HGET', meta, 'run') ~= run_id() then rebuild() end

local newer = redis.call('XREVRANGE', log, '+', position)
if newer[1] and newer[#newer][1] == position then return {1, newer} end
if number_of(position) > 0 then
  -- The caller's position is not in the log. That is in order if the log was trimmed beyond it.
  -- If older entries are still there, or all are older, this is another history than the caller's.
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if number_of(oldest[1]) <= number_of(position) then rebuild() end
end
return {0, redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1][1]}
"""
)
"""Where the caller stands. ``ARGV``: position, nonce.

Returns ``{1, entries from the position on}`` if the position is in the log, else ``{0, newest
position}``: the caller has to load all tags.
"""

BUMP = Script(
    _PRELUDE
    + """
local length, limit = ARGV[3], tonumber(ARGV[4])
if not intact() then rebuild() end
local last = redis.call('HGET', meta, 'last')
local number = text_of(following(math.max(number_of(last), number_of(position))))
local id = number .. '-' .. nonce

local fields, scores = {'p', last}, {}
for i = 5, #ARGV do
  fields[#fields + 1] = 't'
  fields[#fields + 1] = ARGV[i]
  scores[#scores + 1] = number
  scores[#scores + 1] = 't' .. ARGV[i]
end
redis.call('ZADD', tags, unpack(scores))
redis.call('XADD', log, 'MAXLEN', '~', length, id, unpack(fields))
redis.call('HSET', meta, 'last', id)

local over = redis.call('ZCARD', tags) - limit
if over > 0 then
  local oldest = redis.call('ZRANGE', tags, 0, over + 16, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local member = oldest[i]
    if member ~= 't' and member ~= 'f' and member ~= 'f=' then
      redis.call('ZREM', tags, member)
      raise_parent_floor(member, oldest[i + 1])
    end
  end
end
"""
)
"""Invalidate. ``ARGV``: position, nonce, length of the log, limit of tags, then the tags.

When there are more tags than the limit, the oldest are dropped in favour of their parents' floors.
"""

FORGET = Script(
    _PRELUDE
    + """
local dropped = 0
for i = 3, #ARGV, 2 do
  local member, number = ARGV[i], ARGV[i + 1]
  if redis.call('ZSCORE', tags, member) == number then
    redis.call('ZREM', tags, member)
    raise_parent_floor(member, number)
    dropped = dropped + 1
  end
end
return dropped
"""
)
"""Drop tags that still have the number given. ``ARGV``: position, nonce, then tags and numbers."""

TOUCH = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
"""
)
"""Give an entry another ttl. ``ARGV``: where the record has its times, the new ones, milliseconds
or nothing. Returns whether there is an entry."""

REPLACE = Script(
    """
local expected, new, lifetime = ARGV[1], ARGV[2], ARGV[3]
-- Another type of value than a string is nothing that anybody could have read.
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'string' then held = '' end
if held ~= expected then return 0 end
if new == '' then
  redis.call('DEL', KEYS[1])
elseif lifetime == 'keep' then
  redis.call('SET', KEYS[1], new, 'KEEPTTL')
elseif lifetime == '' then
  redis.call('SET', KEYS[1], new)
else
  redis.call('SET', KEYS[1], new, 'PX', lifetime)
end
return 1
"""
)
"""Compare and set. ``ARGV``: the record expected, the new one (nothing: none), milliseconds,
``keep`` or nothing. Returns whether it was done."""

ACQUIRE = Script(
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""
)
"""Take a lease. ``KEYS``: lease, turn; ``ARGV``: token, milliseconds. Returns whether it is
ours. Asked again, after an answer was lost, it still is."""

RENEW = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)
"""Prolong a lease that is still ours. ``ARGV``: token, milliseconds."""

RELEASE = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', 'over', '')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
)
"""Give a lease back if it is still ours, and wake all who wait for their turn."""
