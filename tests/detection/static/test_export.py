"""The configuration for flake8-async has the format of its documentation."""

import configparser
import fnmatch
from io import StringIO

from django.core.management import call_command

from django_async_ext.detection.static.export import OPTION


def pairs() -> list[tuple[str, str]]:
    """The pairs as flake8-async splits them: by commas, then by arrows."""
    out = StringIO()
    call_command("asyncext", "--flake8-async", stdout=out)
    parser = configparser.RawConfigParser()
    parser.read_string("[flake8]\n" + out.getvalue())
    entries = parser["flake8"][OPTION].split(",")
    return [tuple(map(str.strip, entry.split("->"))) for entry in entries]  # type: ignore[misc]


def test_each_entry_is_a_pattern_and_a_remedy() -> None:
    for pair in pairs():
        assert len(pair) == 2, pair
        assert all(pair)


def test_patterns_match_calls_as_they_are_written() -> None:
    patterns = [pattern for pattern, _ in pairs()]
    for call in ("time.sleep", "requests.get", "open", "send_mail", "mail.send_mail"):
        assert any(fnmatch.fnmatch(call, pattern) for pattern in patterns), call


def test_patterns_are_plain_names_and_match_no_method_of_an_unknown_object() -> None:
    patterns = [pattern for pattern, _ in pairs()]
    assert all(
        part.isidentifier() for pattern in patterns for part in pattern.split(".")
    )
    for call in ("obj.save", "storage.save", "data.get", "session.save"):
        assert not any(fnmatch.fnmatch(call, pattern) for pattern in patterns), call


def test_a_pattern_is_given_once() -> None:
    patterns = [pattern for pattern, _ in pairs()]
    assert len(patterns) == len(set(patterns))
