"""What the tree of a function says at a glance, whatever its names stand for.

Contract: found once for each function, and kept with the analysis.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


class Facts(NamedTuple):
    """The names that it assigns, whether it yields, and has coroutine functions."""

    stored: frozenset[str]
    yields: bool
    has_coroutines: bool


def facts(node: ast.AST) -> Facts:
    """Return what is to be seen of the function ``node``."""
    own = list(_own(node))
    inner = [each for each in own if isinstance(each, _SCOPES)]
    return Facts(
        stored=frozenset(
            each.id
            for each in own
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        ),
        yields=any(isinstance(each, ast.Yield | ast.YieldFrom) for each in own),
        has_coroutines=any(
            isinstance(each, ast.AsyncFunctionDef) or facts(each).has_coroutines
            for each in inner
        ),
    )


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, not those of the functions in it."""
    waiting = [node]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            yield child
            if not isinstance(child, _SCOPES):
                waiting.append(child)
