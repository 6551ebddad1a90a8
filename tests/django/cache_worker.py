"""A process of its own with a cache backend: `python -m tests.django.cache_worker LOCATION`.

Reads one JSON list a line, ``[times, method, arguments, named]``, calls the method that often, and
answers with the list of results, or with the name of the error that it raised.
"""

from __future__ import annotations

import json
import sys

from django.conf import settings


def main(location: str) -> None:
    settings.configure(SECRET_KEY="for tests only")
    from zoocache_django.cache import ZooCacheBackend

    cache = ZooCacheBackend(location, {})
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        times, method, arguments, named = json.loads(line)
        try:
            answer = [getattr(cache, method)(*arguments, **named) for _ in range(times)]
        except Exception as error:
            answer = [type(error).__name__]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
