"""The project's source files: which there are, and what each defines.

Contract: reads files, never imports them. A file is parsed once, until it changes.
Which code is the project's is decided by where it is: the applications that are
installed, and the packages of the settings and of the URLs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from django.apps import apps
from django.conf import settings

from django_async_ext.detection import frames

#: How many files were parsed since the process started.
parsed = 0


class Source(NamedTuple):
    """A file of the project, and the dotted name of its module."""

    name: str
    path: str

    @property
    def is_test(self) -> bool:
        """Whether it is of a test suite, by the names that Django and pytest use."""
        parts = self.name.split(".")
        named = {"test", "tests", "conftest"} & {*parts}
        return bool(named) or parts[-1].startswith("test_")

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        if Path(self.path).name == "__init__.py":
            return self.name
        return self.name.rpartition(".")[0]


@dataclass(eq=False)
class Index:
    """What the statements of a module, or of a class, define.

    ``imports`` gives dotted names; ``values`` expressions; ``annotated`` types.
    """

    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(
        default_factory=dict
    )
    values: dict[str, ast.expr] = field(default_factory=dict)
    annotated: dict[str, ast.expr] = field(default_factory=dict)


_Stamp = tuple[int, int]
_texts: dict[str, tuple[_Stamp, str]] = {}
_indexes: dict[str, tuple[_Stamp, Index | SyntaxError]] = {}


def sources() -> dict[str, Source]:
    """Return the files of the project by module."""
    found: dict[str, Source] = {}
    for name, path in _roots():
        for source in below(name, path):
            found.setdefault(source.name, source)
    return found


def text(source: Source) -> str:
    """Return what is written in the file."""
    stamp = _stamp(source.path)
    known = _texts.get(source.path)
    if known is None or known[0] != stamp:
        content = Path(source.path).read_text(encoding="utf-8", errors="replace")
        known = _texts[source.path] = (stamp, content)
    return known[1]


def index(source: Source) -> Index:
    """Return what the file defines; raise ``SyntaxError`` if it is not Python."""
    global parsed
    stamp = _stamp(source.path)
    known = _indexes.get(source.path)
    if known is None or known[0] != stamp:
        parsed += 1
        known = _indexes[source.path] = (stamp, _index(source))
    if isinstance(known[1], SyntaxError):
        raise known[1]
    return known[1]


def _index(source: Source) -> Index | SyntaxError:
    try:
        tree = ast.parse(text(source), source.path)
    except (SyntaxError, ValueError) as error:
        return error if isinstance(error, SyntaxError) else SyntaxError(str(error))
    return indexed(tree.body, source.package)


def indexed(statements: list[ast.stmt], package: str = "") -> Index:
    """Return what ``statements`` define, in whatever blocks they stand."""
    found = Index()
    _collect(statements, package, found)
    return found


def _collect(statements: list[ast.stmt], package: str, found: Index) -> None:
    for node in statements:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.functions[node.name] = node
            case ast.ClassDef():
                found.classes[node.name] = node
            case ast.Import() | ast.ImportFrom():
                _collect_imports(node, package, found)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.values[name] = node.value
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.annotated[name] = node.annotation
                if node.value is not None:
                    found.values[name] = node.value
            case ast.If() | ast.Try() | ast.With():
                for block in _blocks(node):
                    _collect(block, package, found)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    # What comes last counts, and the ordinary case is the first.
    for handler in getattr(node, "handlers", []):
        yield handler.body
    for name in ("orelse", "body", "finalbody"):
        yield getattr(node, name, [])


def _collect_imports(
    node: ast.Import | ast.ImportFrom, package: str, found: Index
) -> None:
    found.imports |= imports(node, package)
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        found.stars.append(origin(node, package))


def imports(node: ast.Import | ast.ImportFrom, package: str) -> dict[str, str]:
    """Return the names that an import binds, and what each stands for."""
    if isinstance(node, ast.ImportFrom):
        start = origin(node, package)
        return {a.asname or a.name: f"{start}.{a.name}" for a in node.names}
    return {
        a.asname or a.name.partition(".")[0]: a.name
        if a.asname
        else a.name.partition(".")[0]
        for a in node.names
    }


def origin(node: ast.ImportFrom, package: str) -> str:
    """Return the module that ``node`` imports from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _stamp(path: str) -> _Stamp:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def _roots() -> Iterator[tuple[str, Path]]:
    for app in apps.get_app_configs():
        yield app.name, Path(app.path)
    for setting in ("SETTINGS_MODULE", "ROOT_URLCONF"):
        name = getattr(settings, setting, None)
        if isinstance(name, str):
            yield from _top(name.partition(".")[0])


def _top(name: str) -> Iterator[tuple[str, Path]]:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if spec.submodule_search_locations:
        yield from ((name, Path(place)) for place in spec.submodule_search_locations)
    elif spec.origin:
        yield name, Path(spec.origin)


def below(name: str, root: Path) -> Iterator[Source]:
    """Yield the files of the package, or module, ``name`` that is at ``root``."""
    paths = [root] if root.is_file() else sorted(root.rglob("*.py"))
    for path in paths:
        if not frames.is_project_file(str(path.resolve())):
            continue
        parts = () if path == root else path.relative_to(root).with_suffix("").parts
        if all(part.isidentifier() or part == "__init__" for part in parts):
            parts = tuple(part for part in parts if part != "__init__")
            yield Source(".".join((name, *parts)), str(path))
