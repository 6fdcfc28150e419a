"""Django's source distribution, and a Python environment to run its tests in.

Contract: ``environment()`` gives an interpreter and the ``tests/`` folder of
exactly the Django that this interpreter imports. Both are made on first use,
below ``CACHE``, with pip.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _environment import Pair, find_pairs
from tests.upstream.engines import ENGINES

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache" / "django-suite"

#: Test requirements that only make tests run which do not concern a database
#: engine, or that need a compiler, a browser or a service.
UNNEEDED = {
    "black",
    "colorama",
    "geoip2",
    "numpy",
    "pylibmc",
    "pywatchman",
    "selenium",
}

_ASK = "import django, sys; print(django.__version__, '%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Environment:
    """An interpreter that has Django and what its tests need."""

    python: str
    django: str
    python_version: str
    tests: Path

    @property
    def series(self) -> str:
        """Return the series of Django, such as "6.1"."""
        return self.django.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Tell this environment's results from those of another."""
        return f"django{self.django}-python{self.python_version}"


def environment(
    series: str, version: str | None, interpreter: str | None
) -> Environment:
    """Return the environment for a series of Django, such as "6.1".

    An ``interpreter`` is used as it is; otherwise a virtual environment is made
    below ``CACHE``, of Python ``version`` or else the newest one found.
    """
    python = interpreter or _own_environment(find_pair(series, version))
    django, python_version = _output(python, "-c", _ASK).split()
    if not django.startswith(f"{series}."):
        raise SystemExit(f"{python} has Django {django}, not {series}.")
    tests = _sources(python, f"django=={django}") / "tests"
    return Environment(python, django, python_version, tests)


def find_pair(series: str, version: str | None = None) -> Pair:
    for pair in reversed(find_pairs()):
        if pair.django == series and version in (None, pair.python):
            return pair
    raise SystemExit(f"No Python {version or ''} found that supports Django {series}.")


def _own_environment(pair: Pair) -> str:
    home = CACHE / f"venv-django{pair.django}-python{pair.python}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        _say(f"Making an environment of {pair}")
        _run(pair.executable, "-m", "venv", "--clear", str(home))
        _pip(python, "install", f"django~={pair.django}.0", *_own_requirements())
        version = _output(str(python), "-c", _ASK).split()[0]
        sources = _sources(str(python), f"django=={version}")
        _pip(python, "install", *_test_requirements(sources))
        ready.touch()
    return str(python)


def _own_requirements() -> list[str]:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    # "demo" has the PostgreSQL that is started where DATABASE_URL is not set.
    used = ["demo", *(row.extra for row in ENGINES.values() if row.extra)]
    wanted = project["dependencies"] + [one for extra in used for one in extras[extra]]
    return [line for line in wanted if not line.lower().startswith("django")]


def _test_requirements(sources: Path) -> Iterator[str]:
    of_engines = [row.requirements for row in ENGINES.values() if row.requirements]
    for name in ("py3.txt", *of_engines):
        text = (sources / "tests" / "requirements" / name).read_text()
        for line in text.splitlines():
            package = re.match(r"[\w-]+", line)
            if package and package[0].lower() not in UNNEEDED:
                yield line


def _sources(python: str, requirement: str) -> Path:
    folder = CACHE / "sources" / requirement.replace("==", "-")
    if not folder.exists():
        _say(f"Taking the source distribution {requirement}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _pip(python, "download", "--no-deps", "--no-binary", "django",
                 "--dest", scratch, requirement)  # fmt: skip
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (unpacked,) = (path for path in Path(scratch).iterdir() if path.is_dir())
            unpacked.rename(folder)
    return folder


def _pip(python: str | Path, *arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    _run(str(python), "-m", "pip", arguments[0], *quiet, *arguments[1:])


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
