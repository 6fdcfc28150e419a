"""Says what became of a transaction, where Django says nothing.

Contract: ``lost_with(atomic)`` is called as a block is left without an exception
and tells what will be lost with it; ``report()`` logs that after the block. The
texts of the errors that a commit can end with are here too.
"""

from __future__ import annotations

import logging
from types import FrameType
from typing import Any, Final

from django.db import transaction

from django_async_ext.db.backends.holders import line_of, user_frame
from django_async_ext.exceptions import describe

logger = logging.getLogger("django_async_ext.db")


class _OnRequest(int):
    """Django's ``needs_rollback`` when ``set_rollback(True)`` has set it."""


ON_REQUEST: Final = _OnRequest(True)


def lost_with(atomic: transaction.Atomic) -> Any:
    """Return the wrapper whose work is lost if ``atomic`` is now left cleanly."""
    wrapper: Any = transaction.get_connection(atomic.using)
    if not wrapper.needs_rollback or wrapper.needs_rollback is ON_REQUEST:
        return None
    outermost = not wrapper.savepoint_ids
    has_savepoint = not outermost and wrapper.savepoint_ids[-1] is not None
    # Where neither is true, it is an outer block that rolls back.
    is_rolled_back = has_savepoint and not wrapper.closed_in_transaction
    return wrapper if outermost or is_rolled_back else None


def report(wrapper: Any, frame: FrameType) -> None:
    """Log that the block of ``wrapper`` which ends at ``frame`` was rolled back."""
    cause = wrapper.rollback_exc
    logger.warning(
        describe(
            "lost-transaction",
            f"The atomic block at {line_of(user_frame(frame))} ended without an "
            f"exception, but what it did in database {wrapper.alias!r} was rolled "
            f"back: an error in it was caught{f' ({cause!r})' if cause else ''}.",
            "Let the error leave the block, or give what may fail a block of its own; "
            "set_rollback(True) says that the rollback is meant.",
        )
    )


def unfinished(alias: str, task: str) -> str:
    """Say that a task ended in the middle of a block."""
    return describe(
        "unfinished-transaction",
        f"Task {task!r} ended without having left an atomic block on database "
        f"{alias!r}, which was rolled back.",
        "Enter and leave a block in one task, and let tasks end before their loop is "
        "closed.",
    )


def nothing_to_commit(alias: str) -> str:
    """Say that the server has aborted the transaction."""
    return describe(
        "aborted-transaction",
        f"The transaction on database {alias!r} cannot be committed: a statement in "
        "it failed, which aborted it, and the error was caught.",
        "Let the error leave the block, or give what may fail a block of its own.",
    )


def unknown(alias: str) -> str:
    """Say that the answer to COMMIT was lost."""
    return describe(
        "unknown-outcome",
        f"The connection to database {alias!r} was lost after COMMIT was sent and "
        "before its answer came: the transaction was committed or rolled back, and "
        "only the database can tell which. Its on_commit() hooks do not run.",
        "Look there before you repeat the work, or make repeating it harmless.",
    )
