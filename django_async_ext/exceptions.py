"""The errors that are this package's own, and the shape of their texts.

::

    AsyncExtError
    ├── NoBridgeError (RuntimeError)        a wait outside on_loop()
    ├── BridgeAbandonedError (RuntimeError) a wait in code whose task is gone
    ├── ConnectionOwnershipError            a connection used by the wrong task
    ├── UnknownOutcomeError (OperationalError) the answer to COMMIT was lost
    └── BlockingCallError (SynchronousOnlyOperation) a call blocked the event loop

    BaseException
    └── BlockingCallInterrupt               the same, past "except Exception"

    RuntimeWarning
    ├── OutsideTransactionWarning           a thread left its task's transaction
    ├── LeftBehindWarning                   a test left tasks or connections
    └── CoverageWarning                     coverage does not see greenlets

Database errors stay Django's, bad settings raise ``ImproperlyConfigured`` and
synchronous database access on the event loop raises Django's
``SynchronousOnlyOperation``: code that handles them today goes on working.

Each text says what happened, why, and what to do instead, then links to its
entry in ``docs/reference/errors``.
"""

from django.core import exceptions
from django.db import utils

DOCS = "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html"


def describe(anchor: str, *parts: str) -> str:
    """Join the parts of a message and end it with the link to its entry."""
    return " ".join((*parts, f"See {DOCS}#{anchor}"))


class AsyncExtError(Exception):
    """Base of every error that this package adds to Django's."""


class NoBridgeError(AsyncExtError, RuntimeError):
    """Synchronous code outside ``on_loop()`` asked to wait on the event loop."""


class BridgeAbandonedError(AsyncExtError, RuntimeError):
    """Code whose task was destroyed asked to wait while it cleaned up."""


class ConnectionOwnershipError(AsyncExtError):
    """A task used a connection that another task holds."""


class UnknownOutcomeError(AsyncExtError, utils.OperationalError):
    """The connection was lost between COMMIT and its answer."""


class BlockingCallError(AsyncExtError, exceptions.SynchronousOnlyOperation):
    """A call that blocks the event loop was made on it, in the mode "raise"."""


class BlockingCallInterrupt(BaseException):
    """The same where ``RAISE_AS_BASE_EXCEPTION`` is set.

    Code that catches ``Exception`` does not swallow it.
    """


class OutsideTransactionWarning(RuntimeWarning):
    """A thread queried outside the transaction of the task that started it."""


class LeftBehindWarning(RuntimeWarning):
    """A test left a task, a transaction or a connection behind."""


class CoverageWarning(RuntimeWarning):
    """Coverage is measured without the setting that makes it see greenlets."""
