"""Run the Python blocks of one Markdown page: `python -m tests.docs.run_page PAGE`.

Works in the current directory, which should be empty. One process runs one page, for pages
configure the default engine, and Django can be configured once in a process.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import CodeType, ModuleType

from tests.docs.page import Block, python_blocks
from tests.servers import RedisServer
from tests.servers.process import HOST

REDIS_IN_THE_DOCS = "localhost:6379"


def run_page(page: Path) -> None:
    blocks = python_blocks(page)
    switches = frozenset().union(*(block.switches for block in blocks))
    with ExitStack() as stack:
        replacements = {}
        if "redis" in switches:
            server = stack.enter_context(RedisServer())
            replacements[REDIS_IN_THE_DOCS] = f"{HOST}:{server.port}"
        sys.path.insert(0, str(Path.cwd()))
        if "django" in switches:
            start_django_project()
        for block in blocks:
            if block.file is not None:
                append(Path(block.file), replaced(block.source, replacements))
        if "django" in switches:
            set_up_django_project()
        module = ModuleType(f"page_{page.stem}")
        sys.modules[module.__name__] = module
        for block in blocks:
            if block.file is None:
                run(block, replaced(block.source, replacements), module)
        for file in {block.file for block in blocks if block.file is not None}:
            importlib.import_module(file.removesuffix(".py").replace("/", "."))


def replaced(source: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        source = source.replace(old, new)
    return source


def append(file: Path, source: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as handle:
        handle.write(f"\n\n{source}")


def run(block: Block, source: str, module: ModuleType) -> None:
    """Run one block so that a traceback shows the page's own lines."""
    if source.lstrip().startswith(">>>"):
        check_examples(block, source, module)
        return
    padded = "\n" * (block.line - 1) + source
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if "async" in block.switches else 0
    code: CodeType = compile(padded, str(block.page), "exec", flags=flags, dont_inherit=True)
    result = eval(code, vars(module))
    if inspect.iscoroutine(result):
        asyncio.run(result)


def check_examples(block: Block, source: str, module: ModuleType) -> None:
    place = str(block.page)
    test = doctest.DocTestParser().get_doctest(source, vars(module), place, place, block.line - 1)
    test.globs = vars(module)
    if doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False).failed:
        sys.exit(f"{place}:{block.line}: an example gave something else than the page shows")


def start_django_project() -> None:
    """What `django-admin startproject mysite .` and `manage.py startapp shop` leave behind."""
    # In processes of their own, for these commands configure Django without a project.
    for command in (["startproject", "mysite", "."], ["startapp", "shop"]):
        subprocess.run([sys.executable, "-m", "django", *command], check=True)
    append(Path("mysite/settings.py"), 'INSTALLED_APPS += ["shop"]\n')
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"


def set_up_django_project() -> None:
    import django
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment()
    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
