"""Where the views of the tests are."""

from __future__ import annotations

from django.urls import path, re_path

from tests.django import pages

urlpatterns = [
    path("bare/", pages.bare),
    path("bare/<int:pk>/", pages.bare),
    path("positional-ttl/", pages.positional_ttl),
    path("books/", pages.books),
    path("books/<int:pk>/", pages.book),
    path("titles/<str:title>/", pages.book_with_added_deps),
    re_path("^unnamed/([a-z]+)/([a-z]+)/$", pages.unnamed),
    path("answer/<str:kind>/", pages.answer),
    path("reads/<str:what>/", pages.reads),
    path("template/", pages.template),
    path("decorated-class/", pages.DecoratedClass.as_view()),
    path("decorated-detail/<int:pk>/", pages.DecoratedDetail.as_view()),
    path("async-class/", pages.AsyncClass.as_view()),
    path("wrapped-class/", pages.wrapped_class),
    path("async/books/<int:pk>/", pages.async_book),
    path("async/reads/<str:what>/", pages.async_reads),
    path("async/template/", pages.async_template),
    path("no-response/", pages.no_response),
    path("writes/<int:pk>/", pages.writes),
]
