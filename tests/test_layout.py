"""The shape of the package: floors, sizes, docstrings; see docs/architecture.rst."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_async_ext"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

GROUND = {
    *("bridge", "conf", "driving", "exceptions", "handled", "locks", "loop_socket"),
    *("loops", "sockets", "threads"),
}
ROOF = {"apps", "asgi", "checks", "management", "middleware", "test"}
FLOORS = ["ground", "backend", "db", "subject", "roof"]
NOT_FOR_THE_GROUND = {
    "django.apps",
    "django.contrib",
    "django.db",
    "psycopg",
    "sqlite3",
}

MODULES = sorted(PACKAGE.rglob("*.py"))
# It resolves the public names on first use, and stands outside the floors.
LAZY = PACKAGE / "__init__.py"
in_each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: dotted_name(p))


def dotted_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """What stands right below the package: ``db`` of ``django_async_ext.db.gather``."""
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> str:
    if room(name) in GROUND:
        return "ground"
    if room(name) in ROOF:
        return "roof"
    if room(name) == "db":
        return "backend" if name.split(".")[2:3] == ["backends"] else "db"
    return "subject"


def imports(path: Path) -> Iterator[str]:
    """Every dotted name a module imports, inside functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{dotted_name(path)} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def complaint(importer: str, imported: str) -> str | None:
    """Say in words why one module of the package may not import the other."""
    above, below = floor(importer), floor(imported)
    words = f"{importer} ({above}) imports {imported} ({below})"
    if FLOORS.index(below) > FLOORS.index(above):
        return f"{words}: imports run downwards only"
    if above == below == "subject" and room(importer) != room(imported):
        return f"{words}: subjects do not import one another"
    return None


@in_each_module
def test_imports_run_downwards(path: Path) -> None:
    if path == LAZY:
        return
    importer = dotted_name(path)
    ours = [name for name in imports(path) if name.startswith("django_async_ext.")]
    assert not [found for name in ours if (found := complaint(importer, name))]


@pytest.mark.parametrize(
    ("importer", "imported", "words"),
    [
        ("bridge", "db.gather", "ground.*imports run downwards only"),
        ("db.backends.base", "db.managers", "backend.*imports run downwards only"),
        ("cache", "sessions.db", "subjects do not import one another"),
    ],
)
def test_a_wrong_import_is_named_in_words(
    importer: str, imported: str, words: str
) -> None:
    package = "django_async_ext"
    found = complaint(f"{package}.{importer}", f"{package}.{imported}")
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found)


@in_each_module
def test_the_ground_knows_no_models_and_no_driver(path: Path) -> None:
    if floor(dotted_name(path)) != "ground":
        return
    wrong = [
        name
        for name in imports(path)
        if any(name == no or name.startswith(f"{no}.") for no in NOT_FOR_THE_GROUND)
        and name != "django.db.utils"
    ]
    assert not wrong, f"{dotted_name(path)} is on the ground and imports {wrong}"


@in_each_module
def test_only_the_bridge_imports_greenlet(path: Path) -> None:
    imported = any(name.split(".")[0] == "greenlet" for name in imports(path))
    assert not imported or dotted_name(path) == "django_async_ext.bridge"


@in_each_module
def test_a_module_says_what_its_job_is(path: Path) -> None:
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


@in_each_module
def test_sizes_stay_readable(path: Path) -> None:
    source = path.read_text()
    lines = len(source.splitlines())
    assert lines <= MAX_FILE_LINES, f"{dotted_name(path)} has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name}() has {length} lines"
