"""Writes what is known to block as a configuration for flake8-async.

Contract: the value of ``async200-blocking-calls``, as its documentation has it: pairs
of a pattern and a remedy, separated by commas. flake8-async compares patterns with the
text of a call, so methods are left out: it cannot tell whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.static.known import endpoints

OPTION = "async200-blocking-calls"


def configuration() -> str:
    """Return lines for the section ``[flake8]`` of a configuration file."""
    pairs = [f"  {pattern} -> {remedy}" for pattern, remedy in _pairs()]
    return f"{OPTION} =\n" + ",\n".join(pairs) + "\n"


def _pairs() -> Iterator[tuple[str, str]]:
    seen = set()
    for each in endpoints():
        for pattern in _patterns(each):
            if pattern not in seen:
                seen.add(pattern)
                yield pattern, _without_separators(each.remedy)


def _patterns(endpoint: Endpoint) -> Iterator[str]:
    """Yield the ways in which code writes a call: imported, or by its module."""
    *start, module, name = ["", "", *endpoint.name.split(".")]
    if name.startswith("_") or any(part[:1].isupper() for part in (*start, module)):
        return
    if name == "*" or not module:
        return
    if module == "builtins":
        yield name
    elif start[2:3] == ["django"]:
        # A short name alone may be anybody's.
        if "_" in name or module == "auth":
            yield name
        yield f"{module}.{name}"
    else:
        yield ".".join((*start[2:], module, name))


def _without_separators(remedy: str) -> str:
    return remedy.replace(", ", "; ").replace(",", ";").replace("->", "to")
