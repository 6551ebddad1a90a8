"""Redis as the authority for invalidations, and the way to talk to it.

From the wire up:

- ``address``: a URL (TCP, TLS, Unix socket, Sentinel) and connections to it.
- ``wire``, ``loops``: one connection; the connections of an event loop.
- ``link``: the connections of this process to one server, for threads and event loops. With a
  circuit ``breaker``, it refuses at once while the server is down, and heals by itself.
- ``dialogue``: what is said to Redis and made of the answers, without I/O.
- ``keys``, ``scripts``, ``tags``: the names of the keys, the Lua scripts, the table of all tags.
- ``authority``: numbers invalidations and keeps a process's trie up to date. ``outbox`` keeps those
  that could not be delivered yet.
- ``leases``: which process computes a missing key.
- ``setup``: all of it put together, as the storage of an engine.

Three keys make the authority of a prefix: ``log`` (a stream; the newest invalidations, in order),
``tags`` (a sorted set; every tag's newest number) and ``meta`` (a hash; the newest position and the
server run that wrote it). They are written by scripts alone, each of which first checks that all
three are there, so that a key lost to eviction, ``FLUSHALL`` or a restored snapshot is noticed: the
authority then starts anew with an invalidation of everything.
"""
