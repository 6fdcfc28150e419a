"""Test suites of other packages, on Django's engine and then on ours.

Contract: ``compare(name, options)`` runs the suite of one of ``PACKAGES``, from its
source distribution, and returns what differs. The suites are unchanged: a plugin
(``inside/engine_of_ours.py``) changes what a user changes, ENGINE and INSTALLED_APPS.

Not all packages distribute their tests: Channels and django-async-extensions, for
two, do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.upstream.comparing import SERIES, Verdict, differences
from tests.upstream.outcomes import LabelRun, Outcome
from tests.upstream.source import CACHE, CHECKOUT, find_pair

INSIDE = Path(__file__).with_name("inside")
#: The second comes with the package where it is installed.
PLUGINS = "engine_of_ours,django_async_ext.test.plugin"


@dataclass(frozen=True)
class Package:
    """A suite: what it needs beside the package, and how it is run."""

    requirements: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("tests",)


#: They run on SQLite, which each of them does by default.
PACKAGES = {
    "pytest-django": Package(
        requirements=("pytest-xdist",),
        environ={"DJANGO_SETTINGS_MODULE": "pytest_django_test.settings_sqlite"},
    ),
    "djangorestframework": Package(
        requirements=("dj-database-url", "inflection", "pytest-django", "pyyaml"),
        arguments=("-o", "addopts=", "tests"),
    ),
}

#: Tests that do worse on our engine, each with the reason in words.
EXPECTED = {
    "tests.test_django_settings_module.test_django_not_loaded_without_settings": (
        "What puts our engine into this suite imports Django; the package does not."
    ),
}


def compare(name: str, options: Namespace) -> int:
    """Run the suite ``name`` twice; say what differs; return the exit status."""
    package = PACKAGES[name]
    python = options.interpreter or _environment(
        name, package, options.django or SERIES[-1]
    )
    sources = _sources(python, name)
    runs = {}
    for mode in ("baseline", "ours"):
        runs[mode] = _run(python, sources, package, mode, options.label_timeout)
        print(f"{name} {mode:9} {_counts(runs[mode])}", flush=True)
    verdict = Verdict()
    for difference in differences(runs["baseline"], runs["ours"]):
        known = difference.test in EXPECTED
        (verdict.explained if known else verdict.unexplained).append(difference)
        print(f"    {difference.ours}: {difference.test}: {difference.detail[:300]}")
    passed = runs["ours"].count({"ok"})
    return 1 if verdict.unexplained or not passed else 0


def _counts(run: LabelRun) -> str:
    kinds = sorted({outcome.outcome for outcome in run.outcomes.values()})
    return ", ".join(f"{run.count({kind})} {kind}" for kind in kinds) or run.broken


def _run(
    python: str, sources: Path, package: Package, mode: str, limit: float
) -> LabelRun:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        fixed = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [python, "-m", "pytest", *fixed, *package.arguments],
            cwd=sources,
            env=_environ(package, sources, mode),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
        run = LabelRun(sources.name)
        if not report.exists():
            print(done.stdout[-4000:], file=sys.stderr)
            run.broken = f"exit status {done.returncode}"
            return run
        for test, outcome in _outcomes(report):
            run.add(test, outcome)
    return run


def _environ(package: Package, sources: Path, mode: str) -> dict[str, str]:
    # A server that is meant for our tests would be found by theirs.
    kept = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    path = [sources, INSIDE, CHECKOUT]
    environ = kept | package.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return environ | ({"PYTEST_PLUGINS": PLUGINS} if mode == "ours" else {})


def _outcomes(report: Path) -> Iterator[tuple[str, Outcome]]:
    names = {"failure": "fail", "error": "error", "skipped": "skip"}
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname')}.{case.get('name')}"
        outcome = Outcome("ok")
        for child in case:
            if child.tag in names:
                detail = child.get("message") or ""
                outcome = Outcome(names[child.tag], detail)
        yield test, outcome


def _environment(name: str, package: Package, series: str) -> str:
    home = CACHE / f"venv-{name}-django{series}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        newest = find_pair(series).executable
        subprocess.run([newest, "-m", "venv", "--clear", home], check=True)
        ours = f"{CHECKOUT}[postgresql]"
        needed = [f"django~={series}.0", ours, "pytest", name, *package.requirements]
        _pip(str(python), "install", *needed)
        # What is tested is this checkout, which comes on the path.
        _pip(str(python), "uninstall", "--yes", "django-async-ext")
        ready.touch()
    return str(python)


def _sources(python: str, name: str) -> Path:
    ask = f"from importlib.metadata import version; print(version({name!r}))"
    version = subprocess.check_output([python, "-c", ask], text=True).strip()
    folder = CACHE / "sources" / f"{name}-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            what = ["--no-deps", "--no-binary", name, f"{name}=={version}"]
            _pip(python, "download", "--dest", scratch, *what)
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (unpacked,) = (path for path in Path(scratch).iterdir() if path.is_dir())
            unpacked.rename(folder)
    return folder


def _pip(python: str, *arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [python, "-m", "pip", arguments[0], *quiet, *arguments[1:]]
    subprocess.run(command, check=True)
