"""Makes the entries of the tables, several methods of a class at a time.

Contract: data only. ``twins()`` is for what Django has an awaitable of, named with an
``a`` before; ``each()`` for what has another remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

from django_async_ext.detection.rules import Endpoint

Exact = Callable[[FrameType], Endpoint | None]


def twins(rule: str, owner: str, names: str, of: str = "") -> tuple[Endpoint, ...]:
    """Name ``names`` of ``owner``, each with its awaitable as the remedy.

    ``of`` is the object in the words of the remedy, such as ``queryset``.
    """
    return tuple(
        Endpoint(rule, f"{owner}.{name}", twin(name, of), leads=True)
        for name in names.split()
    )


def twin(name: str, of: str = "") -> str:
    """Return the remedy that calls the awaitable of ``name``."""
    return f"await {of}.a{name}(...)" if of else f"await a{name}(...)"


def each(
    rule: str, owner: str, names: str, remedy: str, exact: Exact | None = None
) -> tuple[Endpoint, ...]:
    """Name ``names`` of ``owner``, all with one remedy."""
    return tuple(
        Endpoint(rule, f"{owner}.{name}", remedy, leads=True, exact=exact)
        for name in names.split()
    )


def shown_as(
    rule: str, owner: str, name: str, public: str, remedy: str, *, leads: bool = True
) -> Endpoint:
    """Name what is called through ``public``, which is what reports say."""
    shown = Endpoint(rule, f"{owner}.{public}", remedy)

    def exact(frame: FrameType) -> Endpoint:  # noqa: ARG001
        return shown

    return Endpoint(rule, f"{owner}.{name}", remedy, leads=leads, exact=exact)


def in_thread(call: str) -> str:
    """Return the remedy that calls ``call`` in a thread."""
    return f"await sync_to_async({call})(...)"
