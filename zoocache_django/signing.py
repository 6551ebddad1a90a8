"""Keys that sign what is pickled into a shared storage, when the application gives none.

They are derived from ``SECRET_KEY`` with a salt of their own, as Django derives the keys of its
signers, so that neither can stand in for the other; values signed by one of the
``SECRET_KEY_FALLBACKS`` are still accepted while a secret is being rotated.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.utils.crypto import salted_hmac

__all__ = ["secret_keys"]

_SALT: Final = "zoocache_django.signing"


def secret_keys() -> tuple[bytes, ...]:
    """The key to sign with, followed by those that are accepted as well.

    Raises:
        django.core.exceptions.ImproperlyConfigured: ``SECRET_KEY`` is empty.
    """
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return tuple(
        salted_hmac(_SALT, "", secret=secret, algorithm="sha256").digest() for secret in secrets
    )
