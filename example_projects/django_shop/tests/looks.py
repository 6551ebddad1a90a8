"""Looking at a page, as the tests do it."""

from __future__ import annotations

from typing import Any

from django.test import Client


def look(client: Client, path: str, **extra: Any) -> tuple[str, str]:
    """What the page shows, and whether it came from the cache."""
    response = client.get(path, **extra)
    assert response.status_code == 200
    return response.content.decode(), response["X-Cache"]
