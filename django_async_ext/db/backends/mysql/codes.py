"""What the numbers of the server's errors mean for the connection they came on."""

from __future__ import annotations

#: The statement was stopped by KILL QUERY.
KILLED = 1317

#: The session is over: shut down, lost, gone, killed, idle for too long.
_ENDED = {1053, 1927, 2006, 2013, 2055, 3169, 4031}

#: The whole transaction was rolled back, not only the statement: a deadlock.
_ROLLED_BACK = {1213, 1614}


def _code(error: BaseException | None) -> object:
    return error.args[0] if error is not None and error.args else None


def has_ended(error: BaseException) -> bool:
    """Tell whether the server has ended the session with ``error``."""
    return _code(error) in _ENDED or _code(error.__cause__) in _ENDED


def has_rolled_back(error: BaseException) -> bool:
    """Tell whether the server has rolled the transaction back with ``error``."""
    return _code(error) in _ROLLED_BACK
