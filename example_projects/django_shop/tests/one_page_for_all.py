"""Settings with which everybody is shown the first visitor's orders, to see the demo notice it."""

from project.settings import *  # noqa: F403

ROOT_URLCONF = "example_projects.django_shop.tests.one_page_for_all_urls"
