"""Settings of the shop. What concerns the cache is in two places, marked with (1) and (2).

The environment says where it runs:

- ``DATABASE_URL``: ``postgresql://user:password@host:port/name``; otherwise a SQLite file here.
- ``ZOOCACHE_URL``: ``redis://host:port`` or ``lmdb:///directory``; otherwise the process's memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent

# Good enough for an example that listens on the loopback interface only.
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "django-insecure-example-on-loopback-only")
DEBUG = os.environ.get("SHOP_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "zoocache_django",  # (1)
    "shop",
]

# (2) Every key is an option of zoocache_core.configure(), in lower or upper case.
ZOOCACHE = {
    # None keeps entries in the memory of the process: right for one server process. Several
    # processes share a cache through LMDB or Redis.
    "STORAGE_URL": os.environ.get("ZOOCACHE_URL") or None,
    "PREFIX": os.environ.get("ZOOCACHE_PREFIX") or "shop",
}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{quote(str(BASE_DIR / 'shop.sqlite3'))}?timeout=20"
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "shop:login"
LOGIN_REDIRECT_URL = "shop:orders"
LOGOUT_REDIRECT_URL = "shop:home"

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 24,
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"

# In the example anyone may edit products, because it listens on loopback only and should be easy
# to play with. Set to False to ask for a staff account.
SHOP_ANYONE_MAY_EDIT = True
