"""README and docs tell the truth about names, errors, settings and checks."""

import re
import tomllib
from pathlib import Path

import pytest
from django.utils.module_loading import import_string

import django_async_ext
from django_async_ext import conf, exceptions
from django_async_ext.detection.static import checking

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.rst", *sorted(DOCS.rglob("*.rst"))]
SOURCES = sorted((ROOT / "django_async_ext").rglob("*.py"))

TESTS = {
    name
    for module in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", module.read_text(), re.M)
}

# A dotted name of the package, not part of a path or of a longer name.
DOTTED_NAME = re.compile(r"(?<![\w./])django_async_ext(?:\.\w+)+")

#: A file, and what can be imported only where django-debug-toolbar is installed.
NOT_HERE = {
    "django_async_ext.py",
    "django_async_ext.detection.panel.BlockingCallsPanel",
}


def exists(name: str) -> bool:
    """Whether it is a module, or an attribute of one."""
    try:
        __import__(name)
    except ImportError:
        try:
            import_string(name)
        except ImportError:
            return False
    return True


def test_readme_is_short() -> None:
    assert len((ROOT / "README.rst").read_text().splitlines()) < 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_quoted_in_the_docs_exist(page: Path) -> None:
    names = set(DOTTED_NAME.findall(page.read_text())) - NOT_HERE
    assert not sorted(name for name in names if not exists(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_named_in_the_docs_exist(page: Path) -> None:
    named = set(re.findall(r"``(test_\w+)``", page.read_text()))
    assert not sorted(named - TESTS)


@pytest.mark.parametrize("page", ["transactions", "cancellation"])
def test_every_promise_names_the_tests_that_hold_it(page: str) -> None:
    text = (DOCS / "topics" / f"{page}.rst").read_text()
    _, promised, _ = re.split(r"^What is (?:not )?promised\n=+\n", text, flags=re.M)
    titles = re.findall(r"^(\S.*)\n-+$", promised, re.M)
    promises = re.split(r"^\S.*\n-+\n", promised, flags=re.M)[1:]
    assert len(titles) == len(promises) > 5
    held = re.compile(r"^Held by.*?``test_\w+``.*?\n(?:\n|\Z)", re.M | re.S)
    assert not [
        title
        for title, promise in zip(titles, promises, strict=True)
        if not held.search(promise + "\n")
    ]


def test_every_public_name_has_an_entry() -> None:
    page = (REFERENCE / "api.rst").read_text()
    entries = re.findall(r"^\.\. py:(?:function|class|decorator):: (\w+)", page, re.M)
    assert sorted(entries) == sorted(django_async_ext.__all__)


def test_every_error_class_has_an_entry() -> None:
    page = (REFERENCE / "errors.rst").read_text()
    entries = re.findall(r"^\.\. py:exception:: (\w+)", page, re.M)
    classes = [
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert sorted(entries) == sorted(classes)


def test_every_error_text_links_to_an_entry() -> None:
    page = (REFERENCE / "errors.rst").read_text()
    entries = re.findall(r"^\.\. _([\w-]+):$", page, re.M)
    linked = {
        anchor
        for source in SOURCES
        for anchor in re.findall(r'\bdescribe\(\s*"([\w-]+)"', source.read_text())
    }
    assert sorted(entries) == sorted(linked)


def test_every_setting_has_an_entry() -> None:
    page = (REFERENCE / "settings.rst").read_text()
    assert re.findall(r"^``(\w+)``$", page, re.M) == sorted(conf.SETTINGS)


def test_every_check_has_an_entry() -> None:
    page = (REFERENCE / "checks.rst").read_text()
    entries = re.findall(r"^``(async_ext\.\w+)``$", page, re.M)
    source = (ROOT / "django_async_ext" / "checks.py").read_text()
    ids = re.findall(r'id="(async_ext\.\w+)"', source)
    assert sorted(entries) == sorted(ids)


def test_every_static_check_has_an_entry() -> None:
    page = (REFERENCE / "checks.rst").read_text()
    entries = re.findall(r"^``(async_blocking\.\w+)``$", page, re.M)
    ids = [checking.UNSAFE, checking.BROKEN, *checking.IDS.values()]
    assert sorted(entries) == sorted(ids)


def test_every_package_that_is_tried_has_a_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tried = project["optional-dependencies"]["third-party"]
    names = [name.partition(">=")[0] for name in tried if ">=" in name]
    page = (REFERENCE / "compatibility" / "third-party.rst").read_text()
    rows = re.findall(r"^([a-z][a-z-]+) {2,}\S", page, re.M)
    assert sorted(rows) == sorted(names)
