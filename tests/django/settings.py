"""A Django project for the tests of the adapter."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SECRET_KEY = "for tests only"
USE_TZ = True
ROOT_URLCONF = "tests.django.urls"
ALLOWED_HOSTS = ["testserver", "other.example"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before zoocache_django: an application's receivers must come second all the same.
    "tests.django.library",
    "tests.django.catalog",
    "tests.django.store",
    "zoocache_django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {
                        "greeting.html": "{% if user.is_staff %}staff {{ user }}{% endif %}",
                        "plain.html": "plain {{ n }}",
                        "form.html": "<form>{% csrf_token %}</form>",
                        "messages.html": "{% for message in messages %}{{ message }}{% endfor %}",
                    },
                )
            ],
        },
    },
]
_FILES = Path(tempfile.gettempdir())
DATABASES: dict[str, dict[str, object]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        # A file, so that threads have connections of their own; another for each run.
        "TEST": {"NAME": str(_FILES / f"zoocache-tests-{os.getpid()}-default.sqlite3")},
        "OPTIONS": {"timeout": 20},
    },
    "other": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "TEST": {"NAME": str(_FILES / f"zoocache-tests-{os.getpid()}-other.sqlite3")},
    },
}
# Started by the tests that use it.
DATABASES["postgres"] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "django",
    "USER": "postgres",
    # Two connections of one test that wait for each other are a mistake in it.
    "OPTIONS": {"options": "-c lock_timeout=2s"},
}
# The models of the tests have no migrations, and some refer to those of Django.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ZOOCACHE = {"PREFIX": "tests"}
