"""The benchmarks measure what they say: the right statement, by every contender in turn."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from benchmarks.measure import HERE, ContenderFailed, Worker, ask
from benchmarks.report import markdown
from benchmarks.run import REDIS, suites
from benchmarks.worker import load
from tests.servers.redis import RedisServer


def question(directory: Path, source: str) -> Path:
    path = directory / "question.py"
    path.write_text(textwrap.dedent(source))
    return path


def test_every_contender_runs_the_statement_in_every_round(tmp_path: Path) -> None:
    path = question(
        tmp_path,
        f"""
        TITLE = "append"
        LOOPS, ROUNDS = 10, 3
        VARIANTS = {{"one": 1}}
        GOALS = {{"other": 1e9}}

        def _work(name, value):
            file = open("{tmp_path}/" + name, "a")
            return {{
                "run": "write(f'{{i}}-{{v}} ')",
                "write": file.write,
                "v": value,
                "before": lambda: print("before", file=file),
            }}

        def ours(value):
            return _work("ours", value)

        async def other(value):
            return _work("other", value)
        """,
    )
    (answer,) = ask(path)
    expected = ("before\n" + "".join(f"{i}-1 " for i in range(10))) * 3
    for contender in ("ours", "other"):
        assert (tmp_path / contender).read_text() == expected
        assert len(answer.measurements[contender].samples) == 3
        assert min(answer.measurements[contender].samples) > 0
    table = markdown(answer)
    assert "append: one" in table
    assert "≤ 1e+09: met" in table


def test_coroutines_are_awaited(tmp_path: Path) -> None:
    path = question(
        tmp_path,
        """
        import asyncio
        TITLE, LOOPS, ROUNDS = "sleep", 2, 1

        async def ours():
            return {"run": "await sleep(0.01)", "sleep": asyncio.sleep}
        """,
    )
    (answer,) = ask(path)
    assert answer.measurements["ours"].median >= 0.009e9


def test_memory_is_that_of_the_statement(tmp_path: Path) -> None:
    path = question(
        tmp_path,
        """
        TITLE, UNIT, LOOPS, ROUNDS = "bytes", "bytes", 2000, 1

        def ours():
            kept = []
            return {"run": "keep(bytearray(b'x' * 10_000))", "keep": kept.append}
        """,
    )
    (answer,) = ask(path)
    assert 9_000 < answer.measurements["ours"].median < 12_000


def test_a_contender_that_fails_ends_the_run(tmp_path: Path) -> None:
    path = question(tmp_path, "TITLE = 'x'\ndef ours(): raise SystemExit('no')\n")
    with pytest.raises(ContenderFailed, match="ours ended with status 1"):
        list(ask(path))


def test_the_questions_of_the_suites_are_found() -> None:
    assert {"hit", "miss", "get", "set", "invalidate", "memory"} <= set(suites()["core"])


DJANGO = sorted((HERE / "django").glob("[!_]*.py"))


@pytest.mark.parametrize("question", DJANGO, ids=[path.stem for path in DJANGO])
def test_the_questions_about_django_can_be_asked(
    question: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REDIS, redis_server.url)
    first, *_, last = load(question).VARIANTS
    for variant in (first, last):
        # It ends with an error if what is to be measured is not cached, or gives something else.
        with Worker(question, "ours", variant) as worker:
            assert worker.run(2) > 0
