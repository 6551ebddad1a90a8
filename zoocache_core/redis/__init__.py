"""Redis as the authority for invalidations, and the way to talk to it.

What a storage or a bus builds on:

- ``address``: a URL (TCP, TLS, Unix socket, Sentinel) and connections to it.
- ``link``: a pool of connections to one server, for threads and event loops, with a circuit breaker
  and a healer; it sends packed commands and knows nothing of their meaning.
- ``dialogue``: what is said to Redis and made of the answers, without I/O.
- ``keys``, ``scripts``: the names of the keys and the Lua scripts.
- ``authority``: numbers invalidations and keeps a process's trie up to date.
- ``outbox``: invalidations that could not be delivered yet.

Three keys make the authority of a prefix: ``log`` (a stream; the newest invalidations, in order),
``tags`` (a sorted set; every tag's newest number) and ``meta`` (a hash; the newest number and the
server run that wrote it). They are written by scripts alone, each of which first checks that all
three are there, so that a key lost to eviction, ``FLUSHALL`` or a restored snapshot is noticed: the
authority then starts anew with an invalidation of everything.
"""
