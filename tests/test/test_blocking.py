"""--blocking: in stock projects that pytest runs in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test.test_plugin import run_pytest

SETTINGS = """
SECRET_KEY = "tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": __file__ + ".cache",
    }
}
"""
HEAD = """
import asyncio
import pytest
from django.core.cache import cache
"""
BLOCKING = (
    HEAD
    + """
async def test_it():
    cache.get("key")
"""
)

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a module of tests; return what pytest printed."""
    (tmp_path / "stock_settings.py").write_text(SETTINGS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\nDJANGO_SETTINGS_MODULE = stock_settings\n"
    )

    def run(source: str, *options: str) -> str:
        (tmp_path / "test_it.py").write_text(source)
        return run_pytest(tmp_path, *options)

    return run


def test_without_the_option_nothing_is_watched(run: Run) -> None:
    output = run(BLOCKING)
    assert "1 passed" in output
    assert "block the event loop" not in output


def test_a_test_that_blocks_fails_with_line_and_remedy(run: Run) -> None:
    output = run(BLOCKING, "--blocking=fail")
    assert "1 failed" in output
    assert (
        "This test blocked the event loop:\ntest_it.py:7 in test_it.test_it" in output
    )
    assert "await cache.aget(" in output


def test_the_ini_option_says_it_for_good(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "pytest.ini").open("a") as file:
        file.write("blocking = fail\n")
    assert "1 failed" in run(BLOCKING)


def test_a_wrong_mode_is_refused_in_words(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "pytest.ini").open("a") as file:
        file.write("blocking = loud\n")
    assert "blocking must be one of off, warn, fail, not 'loud'." in run(BLOCKING)


def test_the_mode_warn_lists_what_blocks_and_fails_nothing(run: Run) -> None:
    output = run(BLOCKING, "--blocking=warn")
    assert "1 passed" in output
    assert "calls that block the event loop" in output
    assert "test_it.py:7 in test_it.test_it" in output


def test_a_swallowed_exception_hides_nothing(run: Run) -> None:
    source = HEAD + (
        "async def test_it():\n"
        "    try:\n"
        "        cache.get('key')\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    assert "1 failed" in run(source, "--blocking=fail")


def test_a_test_that_waits_as_it_should_passes(run: Run) -> None:
    source = HEAD + (
        "async def test_it():\n"
        "    await cache.aget('key')\n"
        "    await asyncio.sleep(0)\n"
        "def test_synchronous_code_may_block():\n"
        "    cache.get('key')\n"
    )
    assert "2 passed" in run(source, "--blocking=fail")


def test_what_a_fixture_does_counts_for_its_test(run: Run) -> None:
    source = HEAD + (
        "@pytest.fixture\n"
        "async def value():\n"
        "    cache.get('key')\n"
        "async def test_it(value): ...\n"
        "async def test_other(): ...\n"
    )
    assert "1 failed, 1 passed" in run(source, "--blocking=fail")


def test_what_ends_a_fixture_is_an_error_of_the_teardown(run: Run) -> None:
    source = HEAD + (
        "@pytest.fixture\n"
        "async def value():\n"
        "    yield\n"
        "    cache.get('key')\n"
        "async def test_it(value): ...\n"
    )
    assert "1 passed, 1 error" in run(source, "--blocking=fail")


def test_its_own_failure_is_told_first(run: Run) -> None:
    source = HEAD + (
        "async def test_it():\n    cache.get('key')\n    assert False, 'its own'\n"
    )
    output = run(source, "--blocking=fail")
    assert "1 failed" in output
    assert "AssertionError: its own" in output
    assert "Captured blocking call" in output


@pytest.mark.parametrize(
    "mark",
    [
        "'off'",
        "'warn'",
        "allow=['cache']",
        "allow='cache'",
        "allow=['test_it.test_it']",
        "allow=['*.py']",
    ],
)
def test_a_mark_allows(run: Run, mark: str) -> None:
    source = HEAD + (
        f"@pytest.mark.blocking({mark})\nasync def test_it():\n    cache.get('key')\n"
    )
    assert "1 passed" in run(source, "--blocking=fail")


def test_a_mark_that_means_something_else_allows_nothing(run: Run) -> None:
    source = HEAD + (
        "@pytest.mark.blocking(allow=['orm'])\n"
        "async def test_it():\n    cache.get('key')\n"
    )
    assert "1 failed" in run(source, "--blocking=fail")


def test_what_the_code_allows_is_allowed(run: Run) -> None:
    source = HEAD + (
        "from django_async_ext.detection import allow_blocking\n"
        "async def test_it():\n"
        "    with allow_blocking('a small file'):\n"
        "        cache.get('key')\n"
    )
    assert "1 passed" in run(source, "--blocking=fail")


def test_a_stall_counts_where_the_mark_says_how_long_it_may_be(run: Run) -> None:
    source = HEAD + (
        "def spin():\n"
        "    import time\n"
        "    until = time.thread_time() + 0.5\n"
        "    while time.thread_time() < until: pass\n"
        "@pytest.mark.blocking(max_stall='100ms')\n"
        "async def test_it():\n"
        "    await asyncio.sleep(0.05)\n"
        "    spin()\n"
        "    await asyncio.sleep(0.05)\n"
        "async def test_other():\n"
        "    spin()\n"
    )
    output = run(source, "--blocking=fail")
    assert "1 failed, 1 passed" in output
    assert "(stall)" in output


def test_a_wrong_duration_is_refused_in_words(run: Run) -> None:
    source = (
        "import pytest\n@pytest.mark.blocking(max_stall='soon')\ndef test_it(): ...\n"
    )
    output = run(source, "--blocking=fail")
    assert "max_stall of the mark blocking is a time such as 0.05 or '50ms'" in output


def test_a_baseline_excuses_what_is_known_and_nothing_new(
    run: Run, tmp_path: Path
) -> None:
    baseline = f"--blocking-baseline={tmp_path / 'known.txt'}"
    assert "1 passed" in run(BLOCKING, baseline, "--blocking-write-baseline")
    assert "cache test_it.py test_it.test_it\n" in (tmp_path / "known.txt").read_text()
    assert "1 passed" in run(BLOCKING, baseline, "--blocking=fail")
    new = BLOCKING + "async def test_new():\n    cache.get('key')\n"
    assert "1 failed, 1 passed" in run(new, baseline, "--blocking=fail")


def test_what_the_baseline_needs_no_more_is_listed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("# known\ncache shop/views.py shop.views.old\n")
    baseline = f"--blocking-baseline={tmp_path / 'known.txt'}"
    output = run(HEAD + "async def test_it(): ...\n", baseline, "--blocking=fail")
    assert "not needed in the baseline: cache shop/views.py shop.views.old" in output


def test_writing_a_baseline_needs_a_file(run: Run) -> None:
    output = run(BLOCKING, "--blocking-write-baseline")
    assert (
        "--blocking-write-baseline needs the file: --blocking-baseline=FILE." in output
    )


def test_a_project_without_settings_is_told_what_is_missing(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    output = run("def test_it(): ...\n", "--blocking=fail", "-p", "no:django")
    assert "--blocking needs the settings of a Django project" in output


def test_workers_of_xdist_report_to_one_summary(run: Run, tmp_path: Path) -> None:
    source = BLOCKING + "async def test_other():\n    cache.get('key')\n"
    baseline = f"--blocking-baseline={tmp_path / 'known.txt'}"
    output = run(source, "-n", "2", baseline, "--blocking-write-baseline")
    assert "2 passed" in output
    assert "test_it.py:7 in test_it.test_it" in output
    assert "test_it.py:9 in test_it.test_other" in output
    written = (tmp_path / "known.txt").read_text().splitlines()
    assert written[1:] == [
        "cache test_it.py test_it.test_it",
        "cache test_it.py test_it.test_other",
    ]


def test_unittests_are_watched_too(run: Run) -> None:
    source = HEAD + (
        "from django.test import SimpleTestCase\n"
        "class Tests(SimpleTestCase):\n"
        "    async def test_it(self):\n"
        "        cache.get('key')\n"
    )
    assert "1 failed" in run(source, "--blocking=fail")
