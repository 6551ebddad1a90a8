"""``{% zoocache %}``: parts of templates from the cache.

::

    {% zoocache "sidebar" %} ... {% endzoocache %}
    {% zoocache "menu", category.id, ttl=300, vary=[locale], tags=["category:%d" % category.id] %}

The first value is the fragment's name. The values after it and those in ``vary`` say which fragment
of that name is meant. ``tags`` are what it depends on, beside whatever it is found to read: cached
functions, ``add_deps``. The page around it depends on the same.

A fragment that looks at its visitor (``current_user``, ``session``, ``request.cookies``, ``g``)
without being told apart by any value is rendered each time, and one warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, has_request_context
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context

from zoocache_core.deps import Scope, current_scope
from zoocache_core.encoding import encode
from zoocache_core.errors import UnsupportedValue
from zoocache_core.http.key import digest
from zoocache_core.http.reads import Reads
from zoocache_flask.current import current_state
from zoocache_flask.exchange import of_babel
from zoocache_flask.loaded import loaded
from zoocache_flask.visitor import leave_user_unread, watched

if TYPE_CHECKING:
    from jinja2.parser import Parser

__all__ = ["FragmentExtension", "install"]

_OPTIONS: Final = ("ttl", "vary", "tags")


def install(app: Flask) -> None:
    """Let templates of ``app`` use the tag."""
    app.jinja_env.add_extension(FragmentExtension)
    # Before any template is rendered, and after whoever else is installed: Flask-Login maybe.
    app.before_request_funcs.setdefault(None, []).insert(0, leave_user_unread)


class FragmentExtension(Extension):
    """The tag ``{% zoocache name, ..., ttl=, vary=, tags= %}``."""

    tags = {"zoocache"}  # noqa: RUF012 - declared so by Jinja

    def parse(self, parser: Parser) -> nodes.Node:
        """The call that the tag stands for."""
        line = next(parser.stream).lineno
        positional: list[nodes.Expr] = []
        named: list[nodes.Keyword] = []
        while parser.stream.current.type != "block_end":
            if positional or named:
                parser.stream.skip_if("comma")
            current = parser.stream.current
            if current.type == "name" and parser.stream.look().type == "assign":
                if current.value not in _OPTIONS or current.value in [each.key for each in named]:
                    parser.fail(
                        f"{{% zoocache %}} has no option {current.value!r}, or has it twice. "
                        f"Options are: {', '.join(_OPTIONS)}.",
                        line,
                    )
                parser.stream.skip(2)
                named.append(nodes.Keyword(current.value, parser.parse_expression(), lineno=line))
            elif named:
                parser.fail("{% zoocache %} takes its options after the values.", line)
            else:
                positional.append(parser.parse_expression())
        if not positional:
            parser.fail('{% zoocache %} needs a name, as in {% zoocache "sidebar" %}.', line)
        body = parser.parse_statements(("name:endzoocache",), drop_needle=True)
        named.append(nodes.Keyword("given", self._given(body, line), lineno=line))
        # What the call returns is written as it is, like the body of any call block.
        call = self.call_method("_fragment", positional, named)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _given(self, body: list[nodes.Node], line: int) -> nodes.Expr:
        """The variables that the body uses and does not set: all there are, if it includes another
        template."""
        template = nodes.Template(body)
        template.set_environment(self.environment)
        if next(template.find_all(nodes.Include), None) is not None:
            return nodes.DerivedContextReference()
        names = sorted(find_undeclared_variables(template))
        pairs = [nodes.Pair(nodes.Const(name), nodes.Name(name, "load")) for name in names]
        return nodes.Dict(pairs, lineno=line)

    def _fragment(
        self,
        name: object,
        *values: object,
        caller: Callable[[], Any],
        given: Mapping[str, Any] | Context,
        ttl: float | timedelta | None = None,
        vary: object = (),
        tags: str | Iterable[str] = (),
    ) -> Any:
        """The fragment's text, or what gives it when awaited in an asynchronous environment."""
        parts = [*values, *([vary] if isinstance(vary, str) else _listed(vary))]
        # Nothing but a str's text, lest "safe" texts have keys of their own.
        told = [encode(_plain(part)) for part in [name, *parts]]
        private: list[str] = []
        try:
            told.append(loaded(given.get_all() if isinstance(given, Context) else given))
        except UnsupportedValue as error:
            private.append(str(error))
        key = f"fragment:{digest([*told, of_babel('get_locale'), of_babel('get_timezone')])}"
        engine = current_state().engine

        def admit(_: object) -> bool:
            return not private

        if self.environment.is_async:

            async def render_async() -> str:
                with _watching(name, not parts, private):
                    return str(await caller())

            return engine.fetch_async(key, render_async, deps=tags, ttl=ttl, admit=admit)

        def render() -> str:
            with _watching(name, not parts, private):
                return str(caller())

        return engine.fetch(key, render, deps=tags, ttl=ttl, admit=admit)


def _listed(vary: object) -> list[object]:
    return list(vary) if isinstance(vary, Iterable) else [vary]


def _plain(part: object) -> object:
    return str.__str__(part) if isinstance(part, str) else part


def _watching(name: object, shared: bool, private: list[str]) -> AbstractContextManager[None]:
    """Around the rendering of a fragment that is ``shared`` by all visitors, unless it turns out
    that it must not be: then there is a reason in ``private``."""
    return _watched(name, private) if shared and has_request_context() else nullcontext()


@contextmanager
def _watched(name: object, private: list[str]) -> Iterator[None]:
    reads, state = Reads(), current_state()
    with watched(reads, state.options.shared_globals):
        yield
    if not (reads or reads.refusal):
        return
    found = ", ".join(sorted(reads)) or reads.refusal
    reason = f"fragment {name!r} reads {found} and is not told apart by any value"
    private.append(reason)
    scope = current_scope()
    if scope is not None and not _in_pages_only(scope):
        scope.forbid(reason)
    state.engine.report.warn_once(
        f"fragment {name!r}",
        f"The template {reason}: it is rendered each time. Name what it depends on, as in "
        f"{{% zoocache {name!r}, current_user.id %}}.",
    )


def _in_pages_only(scope: Scope) -> bool:
    """Whether nothing is being computed but pages, which are kept apart by what their parts look
    at, and parts of them. What a function returns is kept apart by its arguments alone."""
    around = scope.parent
    while around is not None and around.key.startswith(("page:", "fragment:")):
        around = around.parent
    return around is None
