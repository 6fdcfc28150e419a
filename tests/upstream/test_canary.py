"""The canary tells a pre-release of Django from a release."""

from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def pre_release_in(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return import_module("tests.upstream.canary").pre_release_in


@pytest.mark.parametrize("version", ["6.2a1", "6.2b1", "7.0rc2"])
def test_a_pre_release_that_is_the_newest_is_found(version, pre_release_in):
    answer = f"Django ({version})\nAvailable versions: {version}, 6.1.3, 6.1rc1\n"
    assert pre_release_in(answer) == version


def test_pre_releases_before_the_newest_release_are_over(pre_release_in):
    answer = "django (6.1.3)\nAvailable versions: 6.1.3, 6.1.2, 6.1, 6.1rc1, 6.1b1\n"
    assert pre_release_in(answer) is None


def test_an_answer_that_is_not_understood_is_no_good_news(pre_release_in):
    with pytest.raises(SystemExit, match="which Django is the newest"):
        pre_release_in("WARNING: nothing found\n")
