"""The benchmark of the detector: that its operations say what they must."""

import pytest

from benchmarks.detector.calls import OPERATIONS
from benchmarks.detector.operations import Operation
from benchmarks.figures import interval

BLOCKING = [each for each in OPERATIONS if each.blocks]
HARMLESS = [each for each in OPERATIONS if not each.blocks]


def test_the_matrix_is_large_enough() -> None:
    assert len(BLOCKING) >= 60
    assert len(HARMLESS) >= 20


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [each.name for each in OPERATIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("operation", BLOCKING, ids=lambda each: each.name)
def test_a_blocking_operation_has_a_marked_line(operation: Operation) -> None:
    assert operation.lines


def test_a_harmless_operation_has_none() -> None:
    assert not [each.name for each in HARMLESS if each.lines]


def test_the_interval_holds_the_median() -> None:
    middle, low, high = interval([n / 100 for n in range(20)])
    assert low <= middle <= high
    assert middle == pytest.approx(0.095)
