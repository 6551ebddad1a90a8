"""``settings.ZOOCACHE``, its system checks, and the management command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

import zoocache_django
from tests.django.library.models import Author, Book
from zoocache_core import ConfigurationError, default_engine, invalidate
from zoocache_core.testing import ManualClock
from zoocache_django import checks, conf, row_tag, writes


def ids(**options: Any) -> list[str | None]:
    with override_settings(**options):
        return [message.id for message in run_checks(tags=["caches"])]


def messages(zoocache: object) -> list[str]:
    with override_settings(ZOOCACHE=zoocache):
        return [f"{message.id} {message.msg} {message.hint}" for message in checks.check_settings()]


class TestSettings:
    def test_they_configure_the_engine(self) -> None:
        assert default_engine.settings.prefix == "tests"

    def test_in_lower_or_upper_case(self) -> None:
        options = {"PREFIX": "upper", "default_ttl": 5, "Max_Entries": 7}
        with override_settings(ZOOCACHE=options):
            in_force = default_engine.settings
            assert (in_force.prefix, in_force.default_ttl, in_force.max_entries) == ("upper", 5, 7)
        assert default_engine.settings.prefix == "tests"

    def test_without_any_the_defaults_are_in_force(self, settings: Any) -> None:
        del settings.ZOOCACHE
        conf.apply()
        assert default_engine.settings.prefix is None
        assert ids() == []

    def test_an_override_begins_with_an_empty_cache(self) -> None:
        default_engine.set("key", "outer")
        with override_settings(ZOOCACHE={"PREFIX": "inner"}):
            assert default_engine.get("key") is None
            default_engine.set("key", "inner")
        assert default_engine.get("key") is None

    def test_equal_settings_leave_the_cache_alone(self) -> None:
        default_engine.set("key", "kept")
        conf.apply()
        apps.get_app_config("zoocache_django").ready()
        assert default_engine.get("key") == "kept"

    def test_what_cannot_be_used_is_not_in_force(self) -> None:
        with override_settings(ZOOCACHE={"PREFIXX": "p", "MAX_ENTRIES": -1}):
            assert not default_engine.configured
            with pytest.raises(ConfigurationError, match=r"(?s)PREFIXX.*max_entries=-1"):
                conf.engine()
        assert conf.engine() is default_engine
        assert default_engine.configured


class TestChecks:
    def test_good_settings_pass(self) -> None:
        assert ids() == []
        assert ids(ZOOCACHE={"DEFAULT_TTL": timedelta(hours=1), "IGNORE_MODELS": ["auth"]}) == []

    @pytest.mark.parametrize(
        ("zoocache", "expected"),
        [
            (["PREFIX"], ["E001 ZOOCACHE must be a dict of options, not list"]),
            (None, ["E001 ZOOCACHE must be a dict of options, not NoneType"]),
            ({"PREFIX": "a", "prefix": "b"}, ["E002 ZOOCACHE has the option 'prefix' twice"]),
            ({"PREFFIX": "a"}, ["E003 ZOOCACHE has no option 'PREFFIX'. Did you mean 'prefix'?"]),
            ({7: "a"}, ["E003 ZOOCACHE has no option 7"]),
            ({"MAX_ENTRIES": "10"}, ["E004", "max_entries='10'", "whole number"]),
            ({"INVALIDATE_ON_WRITE": "no"}, ["E004", "invalidate_on_write='no'", "True or False"]),
            ({"IGNORE_MODELS": 5}, ["E005", "ignore_models=5"]),
            ({"IGNORE_MODELS": ["library.bok"]}, ["E005", "'library.bok'"]),
            ({"IGNORE_MODELS": ["nowhere"]}, ["E005", "'nowhere'"]),
            ({"STORAGE_URL": "ftp://host"}, ["E006", "ftp://"]),
        ],
    )
    def test_each_mistake_has_an_id_and_is_named(
        self, zoocache: object, expected: list[str]
    ) -> None:
        (message,) = messages(zoocache)
        for part in expected:
            assert part in message

    def test_all_mistakes_are_found_at_once(self) -> None:
        found = messages(
            {"PREFFIX": "a", "MAX_ENTRIES": 0, "DEFAULT_TTL": -1, "IGNORE_MODELS": "x"}
        )
        assert [message[:13] for message in found] == [
            "zoocache.E003",
            "zoocache.E004",
            "zoocache.E004",
            "zoocache.E005",
        ]

    def test_an_option_is_judged_together_with_what_it_needs(self) -> None:
        with override_settings():
            state = conf.read({"NEAR_MAX_ENTRIES": 5, "STORAGE_URL": "redis://localhost"})
        assert state.problems == ()

    def test_memory_is_warned_of_before_a_deployment(self) -> None:
        assert [message.id for message in checks.check_deployment()] == ["zoocache.W001"]
        assert "zoocache.W001" in {
            message.id for message in run_checks(include_deployment_checks=True)
        }


@pytest.mark.django_db(transaction=True)
class TestSwitches:
    @pytest.fixture
    def book(self) -> Iterator[Book]:
        return Book.objects.create(title="old")

    def kept(self, book: Book, **options: Any) -> bool:
        with override_settings(ZOOCACHE=options):
            default_engine.set("key", 1, deps=[row_tag(book)])
            book.save()
            return default_engine.get("key") == 1

    def test_writes_are_watched_unless_they_are_not(self, book: Book) -> None:
        assert not self.kept(book)
        assert self.kept(book, INVALIDATE_ON_WRITE=False)

    @pytest.mark.parametrize("ignored", ["library.Book", "library.book", "library"])
    def test_single_models_and_applications(self, book: Book, ignored: str) -> None:
        assert self.kept(book, IGNORE_MODELS=[ignored])
        assert not self.kept(book, IGNORE_MODELS=["auth", "library.author"])

    def test_a_declared_write_counts_all_the_same(self, book: Book) -> None:
        with override_settings(ZOOCACHE={"INVALIDATE_ON_WRITE": False}):
            default_engine.set("key", 1, deps=[row_tag(book)])
            writes.invalidate_model(Book)
            assert default_engine.get("key") is None

    def test_a_write_with_settings_that_cannot_be_used_is_refused(self, book: Book) -> None:
        with override_settings(ZOOCACHE={"NO": 1}), pytest.raises(ConfigurationError, match="NO"):
            Author.objects.create(name="a")


class TestPrune:
    def prune(self, *arguments: str) -> str:
        out = StringIO()
        call_command("zoocache_prune", *arguments, stdout=out)
        return out.getvalue()

    def test_it_drops_what_is_old(self) -> None:
        clock = ManualClock()
        with override_settings(ZOOCACHE={"CLOCK": clock}):
            for number in range(3):
                invalidate(f"old:{number}")
            clock.advance(100)
            invalidate("new:1")
            default_engine.set("key", 1, deps=["new:1"])
            assert default_engine.stats().tags == 6
            assert "Dropped" in self.prune("--max-age", "50")
            assert default_engine.stats().tags == 2
            assert default_engine.get("key") == 1
            clock.advance(1)
            self.prune("--max-age", "0")
            assert default_engine.stats().tags == 0

    def test_by_default_a_day(self) -> None:
        clock = ManualClock()
        with override_settings(ZOOCACHE={"CLOCK": clock}):
            invalidate("tag")
            clock.advance(86_000)
            self.prune()
            assert default_engine.stats().tags == 1
            clock.advance(1_000)
            self.prune()
            assert default_engine.stats().tags == 0

    def test_it_says_that_other_processes_keep_their_own(self) -> None:
        assert "only this process" in self.prune()

    @pytest.mark.parametrize("age", ["-1", "day", "inf", "nan"])
    def test_a_bad_age_is_refused(self, age: str) -> None:
        with pytest.raises(CommandError, match=age):
            self.prune(f"--max-age={age}")

    def test_bad_settings_are_named(self) -> None:
        with override_settings(ZOOCACHE={"NO": 1}), pytest.raises(CommandError, match="NO"):
            self.prune()


class TestPublicNames:
    def test_all_of_them_are_there(self) -> None:
        assert zoocache_django.__all__ == sorted(zoocache_django.__all__)
        for name in zoocache_django.__all__:
            assert getattr(zoocache_django, name) is not None
        assert set(zoocache_django.__all__) <= set(dir(zoocache_django))

    def test_another_name_is_not(self) -> None:
        with pytest.raises(AttributeError, match="nothing_like_it"):
            _ = zoocache_django.nothing_like_it

    def test_importing_the_package_loads_nothing_of_django(self) -> None:
        program = "import sys, zoocache_django; sys.exit('django' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

    def test_it_can_be_imported_by_the_settings(self) -> None:
        program = (
            "import django.conf; from zoocache_django import *; "
            "django.conf.settings.configure(INSTALLED_APPS=['zoocache_django']); "
            "import django; django.setup(); "
            "from zoocache_core import default_engine; assert default_engine.configured"
        )
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
