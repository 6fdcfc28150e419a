"""How late the event loops of this process were. Contract: to come."""

from __future__ import annotations


def history() -> list[tuple[float, float]]:
    """Return the longest lag of each of the last seconds."""
    return []


def stalls() -> int:
    """Return how many stalls there were."""
    return 0
