"""A `KEY_FUNCTION` to be named in settings."""


def reversed_key(key: str, prefix: str, version: int) -> str:
    return key[::-1]
