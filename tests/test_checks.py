"""The system checks: what each finds, its whole text, and what silences it."""

from typing import Any

import pytest
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.db import connections

from django_async_ext import checks

OURS = "django_async_ext.db.backends"
STOCK = "django.db.backends.sqlite3"


def found() -> list[CheckMessage]:
    return run_checks(tags=[checks.TAG])


def change(monkeypatch: pytest.MonkeyPatch, alias: str, **values: Any) -> None:
    for name, value in values.items():
        monkeypatch.setitem(connections.settings[alias], name, value)


def options(monkeypatch: pytest.MonkeyPatch, alias: str, **values: Any) -> None:
    before = connections.settings[alias]["OPTIONS"]
    change(monkeypatch, alias, OPTIONS={**before, **values})


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


def test_a_project_as_it_should_be_has_no_complaints() -> None:
    assert found() == []


def test_the_checks_are_registered_under_their_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options(monkeypatch, "default", lease="request")
    assert [message.id for message in run_checks(tags=["async"])] == ["async_ext.E002"]
    assert run_checks(tags=["templates"]) == []


@pytest.mark.parametrize("pool", [{"max_size": 0}, {"sizes": 4}, "large"])
def test_e001_bad_options_of_the_pool(
    monkeypatch: pytest.MonkeyPatch, pool: object
) -> None:
    options(monkeypatch, "replica", pool=pool)
    (message,) = found()
    assert message.id == "async_ext.E001"
    assert message.is_serious()
    assert "'replica'" in message.msg
    assert message.msg.endswith("errors.html#pool-options")


def test_e002_an_unknown_kind_of_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    options(monkeypatch, "default", lease="request")
    assert found() == [
        Error(
            "OPTIONS['lease'] of database 'default' must be one of "
            "('statement', 'task').",
            "Leave it out to lease a connection for each statement.",
            id="async_ext.E002",
        )
    ]


@pytest.mark.parametrize("lease", ["statement", "task"])
def test_e002_knows_the_kinds_of_leases(
    monkeypatch: pytest.MonkeyPatch, lease: str
) -> None:
    options(monkeypatch, "default", lease=lease)
    assert found() == []


@pytest.mark.parametrize(
    ("values", "anchor"),
    [
        ({"engine": None}, "threaded-engine"),
        ({"engine": f"{OURS}.sqlite3"}, "threaded-engine"),
        ({"cancel": "now"}, "cancel-option"),
    ],
)
def test_e003_bad_options_of_the_threaded_engine(
    monkeypatch: pytest.MonkeyPatch, values: Any, anchor: str
) -> None:
    options(monkeypatch, "threaded", **values)
    (message,) = found()
    assert message.id == "async_ext.E003"
    assert message.is_serious()
    assert message.msg.endswith(f"errors.html#{anchor}")


@pytest.mark.parametrize("age", [60, None])
def test_w001_an_age_that_does_not_apply_on_the_loop(
    monkeypatch: pytest.MonkeyPatch, age: int | None
) -> None:
    change(monkeypatch, "default", CONN_MAX_AGE=age)
    assert found() == [
        Warning(
            "CONN_MAX_AGE of database 'default' applies to synchronous code only: on "
            "the event loop connections are leased from a pool for one statement or "
            "one transaction.",
            "Use OPTIONS['pool'] with max_idle and max_lifetime for the event loop; "
            "CONN_MAX_AGE = 0 silences this.",
            id="async_ext.W001",
        )
    ]


def test_w002_an_engine_that_would_block_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(monkeypatch, "sqlite", ENGINE=STOCK)
    assert found() == [
        Warning(
            f"Database 'sqlite' has the ENGINE {STOCK!r}, which would block the event "
            "loop: its awaitables raise SynchronousOnlyOperation.",
            f"Use the engine of the same name in {OURS}, or its threaded engine, or "
            "query this database in threads only (sync_to_async).",
            id="async_ext.W002",
        )
    ]


def test_w002_is_silent_where_no_database_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for alias in connections.settings:
        change(monkeypatch, alias, ENGINE=STOCK, CONN_MAX_AGE=60)
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert found() == []


def test_w003_the_guard_of_django_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    assert found() == [
        Warning(
            "DJANGO_ALLOW_ASYNC_UNSAFE is set: a synchronous query on the event loop "
            "blocks it, and runs outside the transaction of its task.",
            "Unset it; call synchronous code through on_loop().",
            id="async_ext.W003",
        )
    ]
