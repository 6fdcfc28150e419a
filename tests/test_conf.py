"""ASYNC_EXT: defaults, values, and what is said of a bad one."""

import math
import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_async_ext import conf

KNOWN = (
    "ADOPT_DJANGO, CANCEL_TIMEOUT, DETECTION, GATHER_LIMIT, HASHING_THREADS, "
    "IDLE_IN_TRANSACTION, IMPLICIT_WAITS, LOOP_SAFE, SYNC_VIEWS"
)


def configured(**values: Any) -> override_settings:
    return override_settings(ASYNC_EXT=values)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("ADOPT_DJANGO", True),
        ("CANCEL_TIMEOUT", 5.0),
        ("DETECTION", None),
        ("GATHER_LIMIT", None),
        ("HASHING_THREADS", None),
        ("IDLE_IN_TRANSACTION", 1.0),
        ("IMPLICIT_WAITS", False),
        ("LOOP_SAFE", ()),
        ("SYNC_VIEWS", "thread"),
    ],
)
def test_what_is_not_set_has_its_default(name: str, default: object) -> None:
    with configured():
        assert conf.get(name) == default
        assert list(conf.errors()) == []


def test_every_setting_is_named_in_these_tests() -> None:
    assert ", ".join(conf.SETTINGS) == KNOWN


def test_every_default_is_a_value_that_is_accepted() -> None:
    with configured(**{name: each.default for name, each in conf.SETTINGS.items()}):
        assert list(conf.errors()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADOPT_DJANGO", False),
        ("CANCEL_TIMEOUT", 1),
        ("CANCEL_TIMEOUT", 0.5),
        ("GATHER_LIMIT", 1),
        ("GATHER_LIMIT", None),
        ("HASHING_THREADS", 2),
        ("IDLE_IN_TRANSACTION", None),
        ("IDLE_IN_TRANSACTION", 30),
        ("IMPLICIT_WAITS", True),
        ("LOOP_SAFE", ["shop", "blog.views.index"]),
        ("LOOP_SAFE", ("shop.middleware.Timing",)),
        ("SYNC_VIEWS", "loop"),
    ],
)
def test_what_is_set_is_what_one_gets(name: str, value: object) -> None:
    with configured(**{name: value}):
        conf.validate()
        assert conf.get(name) == value


def test_the_values_follow_the_settings_of_the_moment() -> None:
    with configured(GATHER_LIMIT=3):
        assert conf.get("GATHER_LIMIT") == 3
    assert conf.get("GATHER_LIMIT") is None


def shop_view() -> None:
    """Something that is not a name."""


SECONDS = "a number of seconds above 0"
LIMIT = "None or a whole number of at least 1"


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("ADOPT_DJANGO", 1, "True or False"),
        ("ADOPT_DJANGO", None, "True or False"),
        ("ADOPT_DJANGO", "False", "True or False"),
        ("CANCEL_TIMEOUT", 0, SECONDS),
        ("CANCEL_TIMEOUT", -1.5, SECONDS),
        ("CANCEL_TIMEOUT", True, SECONDS),
        ("CANCEL_TIMEOUT", None, SECONDS),
        ("CANCEL_TIMEOUT", "5", SECONDS),
        ("CANCEL_TIMEOUT", math.nan, SECONDS),
        ("GATHER_LIMIT", 0, LIMIT),
        ("GATHER_LIMIT", True, LIMIT),
        ("GATHER_LIMIT", 2.0, LIMIT),
        ("HASHING_THREADS", 0, LIMIT),
        ("IDLE_IN_TRANSACTION", 0, f"None or {SECONDS}"),
        ("IDLE_IN_TRANSACTION", "1", f"None or {SECONDS}"),
        ("IMPLICIT_WAITS", "yes", "True or False"),
        ("LOOP_SAFE", "shop", "a list of dotted names"),
        ("LOOP_SAFE", ["shop.*"], "a list of dotted names"),
        ("LOOP_SAFE", [shop_view], "a list of dotted names"),
        ("SYNC_VIEWS", "threads", "'loop' or 'thread'"),
        ("SYNC_VIEWS", ["loop"], "'loop' or 'thread'"),
    ],
)
def test_a_bad_value_is_refused_in_words(
    name: str, value: object, meaning: str
) -> None:
    with configured(**{name: value}):
        text = f"ASYNC_EXT[{name!r}] must be {meaning}, not {value!r}."
        assert list(conf.errors()) == [text]


def test_an_unknown_setting_is_refused_in_words() -> None:
    with configured(POOL_SIZE=5), pytest.raises(ImproperlyConfigured) as caught:
        conf.validate()
    assert str(caught.value) == (
        f"ASYNC_EXT has no setting 'POOL_SIZE'. Its settings are: {KNOWN}."
    )


@pytest.mark.parametrize("value", [None, [], "ADOPT_DJANGO", True])
def test_anything_but_a_dict_is_refused_in_words(value: object) -> None:
    with override_settings(ASYNC_EXT=value):
        assert list(conf.errors()) == [f"ASYNC_EXT must be a dict, not {value!r}."]


def test_every_error_is_found_and_the_first_is_raised() -> None:
    with configured(TYPO=1, GATHER_LIMIT=-1):
        first, second = conf.errors()
        with pytest.raises(ImproperlyConfigured) as caught:
            conf.validate()
    assert str(caught.value) == first
    assert "TYPO" in first
    assert "GATHER_LIMIT" in second


# At start


def start(*lines: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Start Django with ``settings`` in a process of its own; run ``lines``."""
    settings.setdefault("INSTALLED_APPS", ["django_async_ext"])
    code = [
        "import django",
        "from django.conf import settings",
        f"settings.configure(**{settings!r})",
        "django.setup()",
        *lines,
    ]
    command = [sys.executable, "-W", "error", "-c", "\n".join(code)]
    return subprocess.run(command, capture_output=True, text=True)


ADOPTED = "from django.db.models import query; print(query.sync_to_async.__module__)"


def database(engine: str) -> dict[str, dict[str, str]]:
    return {"default": {"ENGINE": engine, "NAME": ":memory:"}}


def test_a_bad_setting_stops_the_start() -> None:
    process = start("print('started')", ASYNC_EXT={"TYPO": 1})
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.endswith(
        "ImproperlyConfigured: ASYNC_EXT has no setting 'TYPO'. Its settings are: "
        f"{KNOWN}.\n"
    )


@pytest.mark.parametrize(
    ("engine", "setting", "adopted"),
    [
        ("django_async_ext.db.backends.sqlite3", {}, True),
        ("django_async_ext.db.backends.sqlite3", {"ADOPT_DJANGO": False}, False),
        ("django.db.backends.sqlite3", {}, False),
    ],
)
def test_django_is_adopted_for_our_engines_unless_switched_off(
    engine: str, setting: dict[str, bool], adopted: bool
) -> None:
    process = start(ADOPTED, DATABASES=database(engine), ASYNC_EXT=setting)
    assert process.stderr == ""
    module = "django_async_ext.adoption" if adopted else "asgiref.sync"
    assert process.stdout == f"{module}\n"


def test_without_a_database_the_app_starts() -> None:
    assert start("print('started')").stdout == "started\n"


def test_the_package_is_imported_without_settings() -> None:
    code = "import django_async_ext as package; print(package.await_.__module__)"
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.check_output(command, text=True) == "django_async_ext.bridge\n"


@pytest.mark.parametrize(("adopt", "module"), [(True, "ext"), (False, "django")])
def test_passwords_are_hashed_off_the_loop_on_any_engine(
    adopt: bool, module: str
) -> None:
    process = start(
        "from django.contrib.auth import hashers",
        "print(hashers.get_hashers.__module__)",
        DATABASES=database("django.db.backends.sqlite3"),
        ASYNC_EXT={"ADOPT_DJANGO": adopt},
    )
    names = {"ext": "django_async_ext.auth", "django": "django.contrib.auth.hashers"}
    assert (process.stderr, process.stdout) == ("", f"{names[module]}\n")
