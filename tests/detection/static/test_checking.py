"""The system check: its messages, what switches it off, and that it runs for users."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import CheckRegistry
from django.test import override_settings

from django_async_ext.detection.rules import RULES
from django_async_ext.detection.static import checking, sources
from django_async_ext.detection.static.sources import Source, below
from tests.detection.static.sample_project import FILES, SAMPLE, expected

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that stands for the whole project."""
    package = tmp_path / "project"
    package.mkdir()

    def all_sources() -> dict[str, Source]:
        return {each.name: each for each in below("project", package)}

    monkeypatch.setattr(
        "django_async_ext.detection.static.resolving.all_sources", all_sources
    )
    monkeypatch.chdir(tmp_path)
    with override_settings(ASYNC_EXT={}):
        yield package


def found() -> list[CheckMessage]:
    return run_checks(tags=[checking.TAG])


def manage(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {n: v for n, v in os.environ.items() if n != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *args],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_message_has_its_file_its_line_its_remedy_and_the_id_of_its_rule(
    project: Path,
) -> None:
    (project / "views.py").write_text(
        "import time\nasync def view():\n    time.sleep(1)\n"
    )
    (message,) = found()
    assert str(message) == (
        "project/views.py:3: (async_blocking.W203) time.sleep() blocks the event loop "
        "in view().\n\tHINT: Instead: await asyncio.sleep(seconds)"
    )
    assert not message.is_serious()


def test_the_id_of_a_rule_silences_it(project: Path) -> None:
    (project / "views.py").write_text(
        "import time, os\nasync def view():\n    time.sleep(1)\n    os.system('x')\n"
    )
    with override_settings(SILENCED_SYSTEM_CHECKS=["async_blocking.W203"]):
        heard = [each.id for each in found() if not each.is_silenced()]
    assert heard == ["async_blocking.W204"]


def test_every_rule_of_calls_has_an_id_of_its_own() -> None:
    calls = {name for name, rule in RULES.items() if rule.layer != "WATCHDOG"}
    assert set(checking.IDS) == calls
    assert len(set(checking.IDS.values())) == len(calls)


def test_a_file_that_is_not_python_is_one_warning_and_the_rest_is_read(
    project: Path,
) -> None:
    (project / "broken.py").write_text("async def view(:\n")
    (project / "views.py").write_text(
        "from .broken import x\nimport time\nasync def view():\n    time.sleep(1)\n"
    )
    assert [(str(each.obj), each.id) for each in found()] == [
        ("project/broken.py:1", "async_blocking.W002"),
        ("project/views.py:4", "async_blocking.W203"),
    ]


def test_the_setting_switches_the_check_off(project: Path) -> None:
    (project / "views.py").write_text(
        "import time\nasync def view():\n    time.sleep(1)\n"
    )
    with override_settings(ASYNC_EXT={"DETECTION": {"STATIC": False}}):
        assert found() == []


VIEW = "import time\nasync def view():\n    time.sleep(1)\n"
APP = ["django_async_ext.detection"]
MIDDLEWARE = ["django_async_ext.middleware.BlockingCallDetectionMiddleware"]


def test_a_project_that_asked_for_no_detection_is_checked_by_the_tag_only(
    project: Path,
) -> None:
    (project / "views.py").write_text(VIEW)
    apps = [each for each in settings.INSTALLED_APPS if each not in APP]
    with override_settings(INSTALLED_APPS=apps, MIDDLEWARE=[]):
        # As runserver does, and migrate.
        assert alone().run_checks() == []
        assert alone().run_checks(databases=["default"]) == []
        assert len(found()) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        {"INSTALLED_APPS": [*settings.INSTALLED_APPS, *APP]},
        {"MIDDLEWARE": MIDDLEWARE},
        {"ASYNC_EXT": {"DETECTION": {}}},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
def test_each_way_to_ask_for_detection_has_it_checked_with_all_else(
    project: Path, wanted: dict[str, Any]
) -> None:
    (project / "views.py").write_text(VIEW)
    with override_settings(**wanted):
        assert len(alone().run_checks()) == 1


def alone() -> CheckRegistry:
    """Django's registry of checks without Django's, some of which query."""
    registry = CheckRegistry()
    registry.register(checking.check_blocking, checking.TAG)
    return registry


@pytest.mark.parametrize(
    "name", ["tests.py", "test_views.py", "conftest.py", "tests/views.py"]
)
def test_tests_are_left_out(project: Path, name: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(VIEW)
    assert found() == []


def test_what_only_sounds_like_a_test_is_read(project: Path) -> None:
    (project / "testimonials.py").write_text(VIEW)
    assert len(found()) == 1


def test_the_environment_that_unguards_queries_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    (message,) = found()
    assert message.id == "async_blocking.W001"


def test_a_thousand_files_are_parsed_once_and_only_where_coroutines_lead(
    project: Path,
) -> None:
    for n in range(1000):
        (project / f"m{n}.py").write_text(f"def f{n}():\n    return {n}\n")
    (project / "views.py").write_text(
        "from .m7 import f7\nasync def view():\n    f7()\n"
    )
    before = sources.parsed
    assert found() == []
    assert sources.parsed - before == 2
    assert found() == []
    assert sources.parsed - before == 2


def test_a_file_that_has_changed_is_parsed_again(project: Path) -> None:
    views = project / "views.py"
    views.write_text("async def view():\n    pass\n")
    assert found() == []
    views.write_text("import time\nasync def view():\n    time.sleep(1)\n")
    assert len(found()) == 1


def test_the_project_is_what_is_installed_and_is_not_a_library() -> None:
    names = set(sources.sources())
    assert {"tests.settings", "tests.urls", "tests.library.models"} <= names
    assert not [name for name in names if name.startswith(("django.", "django_async"))]


def test_the_sample_project_is_checked_from_the_command_line() -> None:
    done = manage(SAMPLE, "check", "--tag", checking.TAG)
    assert done.returncode == 0, done.stderr
    said = re.findall(
        r"^(shop/\S+\.py):(\d+): \(async_blocking\.W\d+\)", done.stderr, re.M
    )
    marked = {
        (str(path.relative_to(SAMPLE)), str(line))
        for path in FILES
        for line in expected(path)
    }
    assert set(said) == marked


def test_the_atlas_is_clean(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'atlas.sqlite3'}"
    done = manage(
        ROOT / "testproject", "check", "--tag", checking.TAG, DATABASE_URL=url
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout
