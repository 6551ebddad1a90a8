"""Visitors of a site, and what they are shown."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

__all__ = ["logged_in", "outcome", "text", "with_cookies"]


def text(visitor: Client, path: str = "/", **request: Any) -> str:
    """The page."""
    return visitor.get(path, **request).content.decode()


def outcome(visitor: Client, path: str = "/", **request: Any) -> str:
    """Where it came from."""
    return visitor.get(path, **request)["X-Cache"]


def logged_in(name: str, **fields: Any) -> Client:
    """A visitor with an account of their own."""
    visitor = Client()
    visitor.force_login(User.objects.create_user(name, **fields))
    return visitor


def with_cookies(**cookies: str) -> Client:
    """A visitor with cookies."""
    visitor = Client()
    for name, value in cookies.items():
        visitor.cookies[name] = value
    return visitor
