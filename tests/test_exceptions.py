"""The error tree, and the shape of every text."""

import inspect
import pickle

import pytest
from django.db import OperationalError

from django_async_ext import exceptions
from django_async_ext.exceptions import (
    AsyncExtError,
    BridgeAbandonedError,
    ConnectionOwnershipError,
    NoBridgeError,
    OutsideTransactionWarning,
    UnknownOutcomeError,
    describe,
)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (AsyncExtError, (Exception,)),
        (NoBridgeError, (AsyncExtError, RuntimeError)),
        (BridgeAbandonedError, (AsyncExtError, RuntimeError)),
        (ConnectionOwnershipError, (AsyncExtError,)),
        (UnknownOutcomeError, (AsyncExtError, OperationalError)),
        (OutsideTransactionWarning, (RuntimeWarning,)),
    ],
)
def test_an_error_is_also_the_built_in_one_that_code_expects(
    error: type[Exception], bases: tuple[type, ...]
) -> None:
    assert error.__bases__ == bases


def test_the_docstring_draws_every_class() -> None:
    drawing = exceptions.__doc__ or ""
    classes = [
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    ]
    assert len(classes) == 10
    assert [name for name in classes if name not in drawing] == []


def test_a_text_says_its_parts_and_links_to_its_entry() -> None:
    text = describe("no-bridge", "What happened.", "Why.", "What to do.")
    assert text == (
        "What happened. Why. What to do. See https://django-async-ext.readthedocs.io/"
        "en/latest/reference/errors.html#no-bridge"
    )


@pytest.mark.parametrize("error", [NoBridgeError, ConnectionOwnershipError])
def test_an_error_survives_the_way_to_another_process(error: type[Exception]) -> None:
    copy = pickle.loads(pickle.dumps(error("text")))
    assert type(copy) is error
    assert str(copy) == "text"
