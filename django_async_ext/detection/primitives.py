"""Layer: primitives. Contract: to come."""

from __future__ import annotations


def install() -> None:
    """Put this layer in force."""


def uninstall() -> None:
    """Undo ``install()``."""
