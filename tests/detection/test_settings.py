"""ASYNC_EXT["DETECTION"]: defaults, modes, and what is said of a bad value."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_async_ext.detection import settings
from django_async_ext.detection.rules import LAYERS, RULES


def configured(**values: Any) -> override_settings:
    return override_settings(ASYNC_EXT={"DETECTION": values}, DEBUG=False)


def test_in_production_calls_and_stalls_are_recorded() -> None:
    with configured():
        modes = dict(settings.current().modes)
    assert modes == {"ENDPOINTS": "record", "PRIMITIVES": "off", "WATCHDOG": "record"}


def test_in_debug_every_layer_warns_and_shorter_stalls_count() -> None:
    with configured():
        in_production = settings.current()
    with configured(), override_settings(DEBUG=True):
        now = settings.current()
    assert set(now.modes.values()) == {"warn"}
    assert now.stall < in_production.stall
    assert now.heartbeat < in_production.heartbeat


def test_without_the_setting_the_defaults_hold() -> None:
    with override_settings(ASYNC_EXT={}, DEBUG=False):
        assert settings.current().mode("cache") == "record"


def test_the_mode_of_a_rule_goes_before_that_of_its_layer() -> None:
    with configured(ENDPOINTS="warn", RULES={"cache": "raise", "orm": "off"}):
        now = settings.current()
    assert [now.mode(rule) for rule in ("cache", "orm", "mail")] == [
        "raise",
        "off",
        "warn",
    ]


def test_a_layer_is_on_as_long_as_one_of_its_rules_is() -> None:
    with configured(PRIMITIVES="off", RULES={"sleep": "record"}):
        assert settings.current().is_on("PRIMITIVES")
    with configured(WATCHDOG="record", RULES={"stall": "off"}):
        assert not settings.current().is_on("WATCHDOG")


def test_every_rule_is_of_a_layer() -> None:
    assert {rule.layer for rule in RULES.values()} == set(LAYERS)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ENDPOINTS", "loud", "one of off, record, warn, raise"),
        ("STRICT", 1, "True or False"),
        ("STALL", 0, "a number of seconds above 0"),
        ("HEARTBEAT", "1", "a number of seconds above 0"),
        ("ALLOW", "shop", "a list of dotted names and path globs"),
        ("ALLOW", [""], "a list of dotted names and path globs"),
        ("RULES", {"cash": "off"}, f"a dict of {', '.join(RULES)} to modes"),
        ("RULES", {"cache": "of"}, f"a dict of {', '.join(RULES)} to modes"),
    ],
)
def test_a_bad_value_is_refused_in_words(name: str, value: Any, text: str) -> None:
    with configured(**{name: value}), pytest.raises(ImproperlyConfigured) as raised:
        settings.current()
    assert str(raised.value) == (
        f"ASYNC_EXT['DETECTION'][{name!r}] must be {text}, not {value!r}."
    )


def test_an_unknown_setting_is_refused_with_those_that_there_are() -> None:
    with configured(STALLS=1), pytest.raises(ImproperlyConfigured) as raised:
        settings.current()
    assert str(raised.value).startswith(
        "ASYNC_EXT['DETECTION'] has no setting 'STALLS'. Its settings are: ENDPOINTS, "
    )


def test_forced_values_go_before_those_of_the_project() -> None:
    with configured(ENDPOINTS="off"):
        settings.force(ENDPOINTS="raise")
        try:
            assert settings.current().mode("orm") == "raise"
        finally:
            settings.force()
        assert settings.current().mode("orm") == "off"
