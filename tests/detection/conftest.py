"""What tests of the detector share: a detector that ends with its test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext.detection import activation
from django_async_ext.detection.reports import Report, reports


@pytest.fixture(autouse=True)
def no_reports() -> Iterator[None]:
    """Begin and end with no report, and with all layers stopped."""
    reports.clear()
    yield
    activation.stop()
    reports.clear()


@pytest.fixture
def detecting() -> Iterator[Callable[..., None]]:
    """Start the detector with the given values of ``DETECTION``."""
    entered: list[AbstractContextManager[Any]] = []

    def start(**values: Any) -> None:
        override = override_settings(ASYNC_EXT={"DETECTION": values})
        override.enable()
        entered.append(override)
        activation.start()

    yield start
    activation.stop()
    for override in reversed(entered):
        override.disable()  # type: ignore[attr-defined]


def found() -> list[Report]:
    """All reports, the first one first."""
    return list(reversed(reports.all()))
