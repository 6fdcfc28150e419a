"""What blocks is found at its line with its remedy, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext.detection.static import analysis, outside
from django_async_ext.detection.static.findings import Finding
from tests.detection.static.sample.config import settings as sample
from tests.detection.static.sample_project import FILES, SHOP, expected, found, said

SETTINGS: dict[str, Any] = {
    "ASYNC_EXT": sample.ASYNC_EXT,
    "CACHES": sample.CACHES,
    "MAILERS": {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}},
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
    "INSTALLED_APPS": sample.INSTALLED_APPS[:3],
}


@pytest.fixture(autouse=True)
def stock_django() -> Iterator[None]:
    """The settings of a project that uses nothing of this package's but the check."""
    outside.forget()
    with override_settings(**SETTINGS):
        yield


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    with override_settings(**SETTINGS):
        return found()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_marked_line_is_found_with_its_remedy_and_no_other(
    path: Path, findings: list[Finding]
) -> None:
    here: dict[int, list[Finding]] = {}
    for each in findings:
        if each.place.path == str(path):
            here.setdefault(each.place.line, []).append(each)
    assert list(here) == list(expected(path))
    for line, parts in expected(path).items():
        assert len(here[line]) == len(parts)
        for part in parts:
            assert any(part in said(each) for each in here[line]), (line, part)


def test_the_sample_has_as_many_marks_as_are_promised() -> None:
    assert sum(len(expected(path)) for path in FILES) > 90


def test_a_rule_that_is_off_is_silent_here_too() -> None:
    with override_settings(ASYNC_EXT={"DETECTION": {"RULES": {"sleep": "off"}}}):
        rules = {each.rule for each in found()}
    assert "sleep" not in rules
    assert {"orm", "cache", "sessions", "http", "files", "subprocess"} <= rules


def test_without_an_entry_of_allow_what_it_allows_is_found(
    findings: list[Finding],
) -> None:
    with override_settings(ASYNC_EXT={}):
        more = {each.place.path for each in found()}
    assert more - {each.place.path for each in findings} == {
        str(SHOP / "allowed.py"),
        str(SHOP / "legacy" / "views.py"),
    }


def test_caches_that_wait_for_nothing_are_silent() -> None:
    local = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with override_settings(CACHES=local):
        assert "cache" not in {each.rule for each in found()}


def test_sessions_in_cookies_are_silent() -> None:
    engine = "django.contrib.sessions.backends.signed_cookies"
    with override_settings(SESSION_ENGINE=engine):
        assert "sessions" not in {each.rule for each in found()}


def test_mail_that_is_kept_in_memory_is_silent() -> None:
    backend = "django.core.mail.backends.locmem.EmailBackend"
    with override_settings(MAILERS={"default": {"BACKEND": backend}}):
        assert "mail" not in {each.rule for each in found()}


def test_what_loads_itself_under_this_package_is_silent() -> None:
    apps = ["django_async_ext", *SETTINGS["INSTALLED_APPS"]]
    with override_settings(INSTALLED_APPS=apps):
        said_of = {each.what for each in found()}
    assert not [
        what for what in said_of if "SessionBase" in what or what.endswith("user")
    ]


def write(folder: Path, text: str) -> Path:
    package = folder / "project"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "views.py").write_text(text)
    return package


def lines(folder: Path, text: str) -> list[int]:
    return [each.place.line for each in found(write(folder, text))]


def test_a_view_waits_implicitly_where_the_settings_say_so(tmp_path: Path) -> None:
    text = """
import time
from django.contrib.auth.models import User
async def view(request):
    User.objects.get()
    time.sleep(1)
async def other(pk):
    User.objects.get()
"""
    with override_settings(ASYNC_EXT={"IMPLICIT_WAITS": True}):
        assert lines(tmp_path, text) == [6, 8]


def test_what_both_ways_agree_on_is_known_after_a_branch(tmp_path: Path) -> None:
    text = """
from django.contrib.auth.models import User, Group
async def view(flag):
    rows = None
    if flag:
        rows = User.objects.all()
    elif flag is None:
        return
    list(rows)
    one = User() if flag else Group()
    one.save()
"""
    assert lines(tmp_path, text) == [9]


def test_a_queryset_that_was_loaded_blocks_no_more(tmp_path: Path) -> None:
    text = """
from django.contrib.auth.models import User
from django_async_ext import gather_queries
async def view():
    rows = User.objects.all()
    list(rows)
    len(rows)
    rows = User.objects.all()
    async for row in rows: pass
    for row in rows: pass
    rows = rows.filter(pk=1)
    if rows: pass
    one, two = User.objects.all(), User.objects.all()
    await gather_queries(one)
    list(one)
"""
    assert lines(tmp_path, text) == [6, 12]


def test_each_name_is_followed_through_the_project(tmp_path: Path) -> None:
    package = write(tmp_path, "from .a import *\nasync def view():\n    go()\n")
    (package / "a.py").write_text("from project.b import run as go\n__all__ = ['go']\n")
    (package / "b.py").write_text("import time\nrun = time.sleep\n")
    assert [each.text() for each in found(package)] == [
        "time.sleep() blocks the event loop in view()."
    ]


def test_names_that_go_round_in_circles_end(tmp_path: Path) -> None:
    package = write(tmp_path, "from .a import x\nasync def view():\n    x()\n")
    (package / "a.py").write_text("from .b import x\n")
    (package / "b.py").write_text("from .a import x\ny = z\nz = y\nclass C(C): pass\n")
    assert found(package) == []


def test_calls_that_go_round_in_circles_are_followed_to_what_blocks(
    tmp_path: Path,
) -> None:
    text = """
import time
def a(): b()
def b(): c()
def c():
    a()
    d()
def d(): time.sleep(1)
async def one(): c()
async def two(): b()
async def three(): a()
"""
    assert lines(tmp_path, text) == [9, 10, 11]


def test_calls_are_followed_so_deep_and_no_deeper(tmp_path: Path) -> None:
    def chain(length: int) -> str:
        steps = "".join(f"def f{n}(): f{n + 1}()\n" for n in range(length))
        last = f"def f{length}(): time.sleep(1)\n"
        return f"import time\n{steps}{last}async def view(): f0()\n"

    assert lines(tmp_path, chain(analysis.DEPTH - 1))
    assert not lines(tmp_path, chain(analysis.DEPTH))


def test_a_chain_names_each_function_and_the_line_that_blocks(
    findings: list[Finding],
) -> None:
    one = next(each for each in findings if each.chain == ("load_prices", "read"))
    helpers = SHOP / "helpers.py"
    texts = enumerate(helpers.read_text().splitlines(), 1)
    line = next(number for number, text in texts if "read_text" in text)
    assert one.text() == (
        f"load_prices() → read() → Path.read_text() ({helpers}:{line}) blocks the "
        "event loop in through_functions()."
    )
