"""What tests of the detector share: a detector that ends with its test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
def detecting(settings: Any) -> Iterator[Callable[..., None]]:
    """Start the detector with the given values of ``DETECTION``."""

    # Through pytest-django's fixture, which undoes what a test sets in its order.
    def start(**values: Any) -> None:
        settings.ASYNC_EXT = {"DETECTION": values}
        activation.start()

    yield start
    activation.stop()


def found() -> list[Report]:
    """All reports, the first one first."""
    return list(reversed(reports.all()))
