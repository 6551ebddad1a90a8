"""A visitor of the shop: requests pages, keeps cookies, fills in forms."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener


@dataclass(frozen=True)
class Response:
    """What came back for one request."""

    body: str
    outcome: str
    """``X-Cache``: HIT, MISS, STALE or BYPASS."""
    milliseconds: float


class _NoRedirects(HTTPRedirectHandler):
    """The page that a form leads to is looked at when its time has come."""

    def redirect_request(self, *response: Any) -> None:
        """Ask for nothing: the redirect becomes an error with its status."""


class Browser:
    """One visitor with cookies of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()), _NoRedirects())

    def get(self, path: str) -> Response:
        """Request a page."""
        began = time.perf_counter()
        with self._opener.open(self._url + path, timeout=30) as answer:
            body = answer.read().decode()
            outcome = answer.headers.get("X-Cache", "")
        return Response(body, outcome, (time.perf_counter() - began) * 1000)

    def submit(self, path: str, **values: object) -> None:
        """Fill in the form of a page and send it. The shop says where to go on, or refuses."""
        fields = {**_Form(self.get(path).body).fields, **values}
        try:
            self._opener.open(Request(self._url + path, urlencode(fields).encode()), timeout=30)
        except HTTPError as answer:
            answer.close()
            if answer.code == 302:
                return
            raise
        raise SystemExit(f"The shop refused what was sent with the form of {path}.")


class _Form(HTMLParser):
    """The fields of a page's last form with their values, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.fields = {}
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.fields[self._select] = given["value"]
        elif tag == "textarea":
            self._text = given["name"]
            self.fields[self._text] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # HTML has a line break after the opening tag for the writer's convenience.
            self.fields[self._text] = self.fields[self._text].removeprefix("\n")
            self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text] += data
