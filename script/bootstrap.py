"""Set up what `script/test`, `script/demo` and `script/bench` need, then run them.

Only the standard library is imported here: this runs on a bare Python before anything is
installed. Each environment carries a stamp made of what it was installed from, so that a repeat
run installs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the repository and what pip installs into it."""

    directory: str
    requirements: tuple[str, ...]
    """Arguments of `pip install`."""
    inputs: tuple[str, ...]
    """Files whose change makes the installation out of date."""

    @property
    def python(self) -> Path:
        return ROOT / self.directory / "bin" / "python"

    @property
    def stamp_file(self) -> Path:
        return ROOT / self.directory / "installed-from"

    def stamp(self) -> str:
        digest = hashlib.sha256(repr((sys.version_info[:3], self.requirements)).encode())
        for name in self.inputs:
            digest.update((ROOT / name).read_bytes())
        return digest.hexdigest()

    def is_current(self) -> bool:
        return self.stamp_file.is_file() and self.stamp_file.read_text() == self.stamp()


MAIN = Environment(".venv", ("--editable", ".[test]"), ("pyproject.toml",))
BENCH = Environment(
    ".venv-bench",
    ("--editable", ".[test]", "--requirement", "benchmarks/requirements.txt"),
    ("pyproject.toml", "benchmarks/requirements.txt"),
)
# The `zoocache` of PyPI has this project's import name, so it gets an environment of its own.
PEER_A = Environment(
    ".venv-peer-a",
    ("--requirement", "benchmarks/requirements-peer-a.txt"),
    ("benchmarks/requirements-peer-a.txt",),
)


def say(message: str) -> None:
    print(f"==> {message}", flush=True)


@contextmanager
def installing_alone(environment: Environment) -> Iterator[None]:
    """Keep two scripts started together from installing into one directory at once."""
    lock = ROOT / f"{environment.directory}.lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prepare(environment: Environment) -> None:
    """Bring an environment up to date; exit with pip's own message if that fails."""
    if environment.is_current():
        return
    with installing_alone(environment):
        if environment.is_current():
            return
        directory = ROOT / environment.directory
        version = ".".join(map(str, sys.version_info[:3]))
        if _python_version(environment) != version:
            shutil.rmtree(directory, ignore_errors=True)
            say(f"Making {environment.directory} with Python {version}")
            _must_succeed([sys.executable, "-m", "venv", str(directory)])
        say(f"Installing into {environment.directory}: {' '.join(environment.requirements)}")
        pip = [str(environment.python), "-m", "pip", "--disable-pip-version-check", "install"]
        _must_succeed([*pip, "--quiet", *environment.requirements])
        environment.stamp_file.write_text(environment.stamp())


def _python_version(environment: Environment) -> str | None:
    """The version of the environment's Python; None where it is missing or does not start."""
    if not environment.python.exists():
        return None
    program = "import platform; print(platform.python_version())"
    result = subprocess.run(
        [environment.python, "-c", program], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else None


def _must_succeed(command: list[str]) -> None:
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status != 0:
        sys.exit(f"Failed with status {status}: {shlex.join(command)}")


@dataclass(frozen=True)
class Gate:
    name: str
    command: tuple[str, ...]

    def run(self) -> int:
        say(f"{self.name}: {shlex.join(self.command)}")
        program, *arguments = self.command
        executable = MAIN.python.with_name(program)
        return subprocess.run([executable, *arguments], cwd=ROOT, check=False).returncode


STATIC_GATES = (
    Gate("lint", ("ruff", "check", ".")),
    Gate("format", ("ruff", "format", "--check", ".")),
    Gate("types", ("mypy",)),
    Gate("imports", ("lint-imports",)),
)

# Django is configured once in a process, so each Django project is tested in a process of its
# own; the first run takes everything that pyproject.toml lists under `testpaths`.
TEST_RUNS = (
    ("tests", ()),
    ("tests of the Django adapter", ("tests/django",)),
    ("tests of the Django shop", ("example_projects/django_shop",)),
    ("tests of the Flask notes", ("example_projects/flask_notes",)),
)
NO_TESTS_COLLECTED = 5


def test_gates(arguments: list[str]) -> list[Gate]:
    paths = [argument.partition("::")[0] for argument in arguments if "/" in argument]
    if any((ROOT / path).exists() for path in paths):
        return [Gate("tests", ("pytest", *arguments))]
    return [
        Gate(name, ("pytest", *paths, *arguments))
        for name, paths in TEST_RUNS
        if all((ROOT / path).is_dir() for path in paths)
    ]


def test(arguments: list[str]) -> int:
    """Run every gate, also after one failed, and list what each one said."""
    prepare(MAIN)
    tests = test_gates(arguments)
    results = {gate: gate.run() for gate in (*STATIC_GATES, *tests)}
    # A selection such as `-k name` may leave one of several test runs empty, but not all of them.
    if arguments and any(results[gate] != NO_TESTS_COLLECTED for gate in tests):
        results.update({gate: 0 for gate in tests if results[gate] == NO_TESTS_COLLECTED})
    say("Summary")
    for gate, status in results.items():
        print(f"    {'ok' if status == 0 else f'FAILED ({status})':<12} {gate.name}", flush=True)
    return int(any(results.values()))


DEMOS = {
    "django": "example_projects.django_shop.demo",
    "flask": "example_projects.flask_notes.demo",
}


def demo(arguments: list[str]) -> int:
    which = arguments.pop(0) if arguments and arguments[0] in DEMOS else "django"
    prepare(MAIN)
    return _become([str(MAIN.python), "-m", DEMOS[which], *arguments])


def bench(arguments: list[str]) -> int:
    prepare(BENCH)
    prepare(PEER_A)
    os.environ["ZOOCACHE_BENCH_PEER_A"] = str(PEER_A.python)
    return _become([str(BENCH.python), "-m", "benchmarks.run", *arguments])


def _become(command: list[str]) -> int:
    """Replace this process, so that signals (Ctrl-C) reach the program alone."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(command[0], command)


COMMANDS: dict[str, Callable[[list[str]], int]] = {"test": test, "demo": demo, "bench": bench}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
