"""Finds the seams of the package by looking at the package itself.

Contract: ``derive()`` notes what classes of ours override or use of the classes
they extend, what modules import, and what "Follows X: name" comments name. Only
what no inspection finds stands in the tables of ``seams.py``; what is missing
there is among the faults, in words. Runs in a process of its own, in which the package
has not been put in force: ``python -m tests.upstream.deriving``;
``--record`` and ``--check`` deal with what is found.
"""

from __future__ import annotations

import abc
import ast
import asyncio
import importlib
import inspect
import json
import pkgutil
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tests.upstream.seams import (
    MIXED_WITH,
    OURS,
    PRIVATE,
    Seam,
    add_to,
    complaints,
    digest_of,
    dotted,
    function_of,
    is_installed,
    is_upstream,
    load_table,
    mentions,
    package_of,
    resolve,
    save_table,
    signature_of,
    source_of,
)

ROOT = Path(__file__).resolve().parents[2]
CONTRIB = "admin auth contenttypes messages sessions sites staticfiles".split()

_COMMENT = re.compile(r"Follows (\w+):\s+([\w.]+\w)")
#: What every class has, overridden or not.
_COMMON = {*dir(type("Common", (), {})), *dir(abc.ABC), "__annotations__", "__slots__"}
_COMMON |= {"__classcell__", "__del__", "__orig_bases__", "__parameters__"}
_COMMON -= {"__init__", "__new__"}


@dataclass
class Derived:
    """What is found; ``faults`` is what cannot be made out, in words."""

    seams: dict[str, Seam] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    #: Files of ours for which something is not installed, and what.
    absent: dict[str, str] = field(default_factory=dict)
    extended: set[type] = field(default_factory=set)
    recorded: Container[str] = ()
    #: Calls of super() that have a class above, and those that have none.
    supers: dict[bool, set[tuple[type, str]]] = field(
        default_factory=lambda: {True: set(), False: set()}
    )

    def add(
        self, name: str, user: str, *, follows: bool = False, known: bool = True
    ) -> Seam:
        """Note that ``user`` relies on ``name``, or follows its very source."""
        thing = resolve(name)
        seam = self._seam(name, signature_of(thing), user)
        seam.must_be_known |= known
        if follows:
            seam.source = digest_of(thing)
        return seam

    def add_attribute(self, owner: type, name: str, user: str) -> None:
        """Note that ``user`` relies on an attribute that instances of it have."""
        self._seam(f"{dotted(owner)}.{name}", "attribute", user).must_be_known = True

    def _seam(self, name: str, signature: str, user: str) -> Seam:
        seam = self.seams.setdefault(name, Seam(signature))
        seam.used_by = sorted({*seam.used_by, user})
        return seam


def derive(recorded: Container[str] = ()) -> Derived:
    """Find every seam; ``recorded`` has the names that any version has."""
    found = Derived(recorded=recorded)
    modules = list(_modules(found))
    known = {*dir(asyncio.tasks), *dir(asyncio.Task), *dir(threading.RLock())}
    for module in modules:
        known |= _defined(ast.parse(_text(module)))
        for value in filter(inspect.ismodule, vars(module).values()):
            known |= set() if is_upstream(value.__name__) else set(dir(value))
        for cls in _classes(module):
            known |= _of_class(cls, found)
    _hold_supers(found)
    for module in modules:
        _of_imports(module, found)
        _of_comments(module, found)
    known |= {name.rpartition(".")[2] for name in found.seams}
    _of_private_names(modules, known, found)
    return found


def _modules(found: Derived) -> Iterator[ModuleType]:
    package = importlib.import_module(OURS)
    for info in pkgutil.walk_packages(package.__path__, f"{OURS}."):
        try:
            yield importlib.import_module(info.name)
        except (ImportError, ImproperlyConfigured) as error:
            file = info.name.replace(".", "/") + ("/__init__" if info.ispkg else "")
            found.absent[f"{file}.py"] = str(error)


def _text(module: ModuleType) -> str:
    return Path(inspect.getfile(module)).read_text()


def _file(module: ModuleType | type) -> str:
    return str(Path(inspect.getfile(module)).resolve().relative_to(ROOT))


# Classes of ours that extend others


def _classes(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__ == module.__name__:
            yield value


def _of_class(cls: type, found: Derived) -> set[str]:
    """Note what ``cls`` and what it inherits of ours do to the classes of others."""
    known: set[str] = set()
    for bases in _ancestries(cls):
        upstream = [base for base in bases if _is_upstream_class(base)]
        found.extended |= set(upstream)
        for base in bases:
            if package_of(base.__module__) in sys.stdlib_module_names:
                known |= vars(base).keys() | _of_instances(base)
        for ours in (base for base in bases if base.__module__.startswith(OURS)):
            known |= vars(ours).keys()
            known |= _overrides(ours, upstream, found)
            known |= _used(ours, bases, upstream, found)
    return known


def _ancestries(cls: type) -> list[list[type]]:
    mixed_with = filter(is_installed, MIXED_WITH.get(dotted(cls), []))
    mixtures = [[*cls.__mro__[:-1], *resolve(name).__mro__] for name in mixed_with]
    return mixtures or [list(cls.__mro__)]


def _is_upstream_class(cls: type) -> bool:
    if not is_upstream(cls.__module__):
        return False
    # Not one made on the fly, as by Manager.from_queryset().
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls


def _overrides(ours: type, upstream: list[type], found: Derived) -> set[str]:
    noted: set[str] = set()
    for name, value in vars(ours).items():
        if name in _COMMON or not _note(upstream, name, _file(ours), found):
            continue
        noted.add(name)
        owner = next((base for base in upstream if name in vars(base)), None)
        if owner is not None and _replaces(value, name):
            found.add(f"{dotted(owner)}.{name}", _file(ours), follows=True)
    return noted


def _note(upstream: Iterable[type], name: str, user: str, found: Derived) -> bool:
    for base in (it for it in upstream if name in vars(it)):
        found.add(f"{dotted(base)}.{name}", user)
        return True
    for base in (it for it in upstream if name in _of_instances(it)):
        found.add_attribute(base, name, user)
        return True
    return False


@cache
def _of_instances(cls: type) -> frozenset[str]:
    return frozenset(re.findall(r"\b(?:self|cls)\.(\w+)", source_of(cls)))


def _replaces(value: Any, name: str) -> bool:
    """Tell whether the method does without the one that it overrides."""
    function = function_of(value)
    ours = inspect.isfunction(function) and function.__module__.startswith(OURS)
    calls = rf"(?:super\(.*\)|\bparent)\.{name}\b"
    return ours and not re.search(calls, source_of(function))


def _used(
    ours: type, bases: list[type], upstream: list[type], found: Derived
) -> set[str]:
    """Note the attributes of upstream that methods of ``ours`` use on self."""
    noted, user = set(), _file(ours)
    own = {name for it in bases if it.__module__.startswith(OURS) for name in vars(it)}
    for node in ast.walk(ast.parse(source_of(ours) or "pass")):
        if not isinstance(node, ast.Attribute):
            continue
        name, through = node.attr, ast.unparse(node.value)
        if through.startswith("super("):
            known = any(name in vars(base) for base in bases if base is not ours)
            found.supers[known].add((ours, name))
        elif through not in ("self", "cls") or name in own or name in _COMMON:
            continue
        if _note(upstream, name, user, found):
            noted.add(name)
    return noted


def _hold_supers(found: Derived) -> None:
    """A method calls super()'s: some class of ours must be one that has it."""
    for ours, name in sorted(found.supers[False] - found.supers[True], key=str):
        found.faults.append(
            f"{_file(ours)}: {ours.__name__} calls super().{name}(), which no class "
            "before it has. Name the classes that it is combined with in MIXED_WITH "
            "of tests/upstream/seams.py"
        )


# Modules


def _of_imports(module: ModuleType, found: Derived) -> None:
    """Note what the module imports, and what it takes from that by attribute."""
    tree, user = ast.parse(_text(module)), _file(module)
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        bound |= _imported(node)
    for node in ast.walk(tree):
        chain = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        head, dot, rest = chain.partition(".")
        if head in bound and re.fullmatch(r"[\w.]*", rest):
            _of_chain(bound[head] + dot + rest, user, found)


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Give the names that an import binds, and what they stand for."""
    if isinstance(node, ast.ImportFrom) and is_upstream(node.module or ""):
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"
    elif isinstance(node, ast.Import):
        for alias in (it for it in node.names if is_upstream(it.name)):
            whole = alias.name if alias.asname else package_of(alias.name)
            yield alias.asname or whole, whole


def _of_chain(name: str, user: str, found: Derived) -> None:
    owner = name.rpartition(".")[0]
    private = any(_is_private(part) for part in name.split("."))
    try:
        thing = resolve(owner)
        if inspect.ismodule(thing) or inspect.isclass(thing) or private:
            found.add(name, user, known=private)
    except LookupError:
        # An attribute of an instance, or what another version has: the record
        # tells whether it was there.
        return


def _of_comments(module: ModuleType, found: Derived) -> None:
    """Note what "Follows X: name" names; of a class we extend that is done."""
    for package, name in _COMMENT.findall(_text(module)):
        if not is_upstream(package.lower()):
            continue
        for full in (name, *_full_names(package.lower(), name, module, found)):
            try:
                thing = resolve(full)
            except LookupError:
                continue
            if thing not in found.extended:
                found.add(full, _file(module), follows=True)
            break
        else:
            if name not in found.recorded:  # nor does another version have it
                found.faults.append(
                    f"{_file(module)}: there is no {name!r} for the code to follow. "
                    "Write its full dotted name"
                )


def _full_names(
    package: str, name: str, module: ModuleType, found: Derived
) -> Iterator[str]:
    homes = {package, f"{package}.sync"}
    for value in vars(module).values():
        is_module = inspect.ismodule(value)
        homes.add(value.__name__ if is_module else getattr(value, "__module__", None))
    homes |= {extended.__module__ for extended in found.extended}
    of_package = [
        it for it in homes if isinstance(it, str) and package_of(it) == package
    ]
    return (f"{home}.{name}" for home in sorted(of_package))


# Private names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines, on its own or on its instances."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if ast.unparse(node.value) in ("self", "cls"):
                names.add(node.attr)
    return names


def _of_private_names(
    modules: Iterable[ModuleType], known: set[str], found: Derived
) -> None:
    uses: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for node in ast.walk(ast.parse(_text(module))):
            if isinstance(node, ast.Attribute) and _is_private(node.attr):
                uses[node.attr].add(_file(module))
    for name, users in sorted(uses.items()):
        if name in PRIVATE:
            _of_private_name(name, users, found)
        elif name not in known:
            found.faults.append(
                f"{', '.join(sorted(users))}: whose is {name!r}? Say where it is "
                "defined in PRIVATE of tests/upstream/seams.py"
            )


def _of_private_name(name: str, users: set[str], found: Derived) -> None:
    for user in users:
        seam = found.add(PRIVATE[name], user)
        if not mentions(resolve(PRIVATE[name]), name):
            found.faults.append(f"{user}: {PRIVATE[name]} has no {name!r} any more")
        seam.signature = "the function"


def main() -> int:
    """Print what is found as JSON, record it, or hold it against the record."""
    import django
    from django.conf import settings

    apps = [f"django.contrib.{name}" for name in CONTRIB]
    settings.configure(INSTALLED_APPS=apps, USE_TZ=True)
    django.setup()
    table = load_table()
    found = derive(table)
    labels = _labels({package_of(name) for name in found.seams})
    if "--record" in sys.argv:
        add_to(table, found.seams, labels, found.absent)
        save_table(table)
    if not {"--record", "--check"} & set(sys.argv):
        seams = {name: asdict(seam) for name, seam in sorted(found.seams.items())}
        rest = {"faults": found.faults, "absent": found.absent}
        print(json.dumps({"seams": seams, "labels": labels, **rest}))
        return 0
    wrong = [*found.faults, *complaints(table, found.seams, labels, found.absent)]
    print(*(f"{name} {label}," for name, label in sorted(labels.items())), end=" ")
    print(f"{len(found.seams)} seams, {len(wrong)} complaints", *wrong[:20], sep="\n  ")
    for file, why in found.absent.items():
        print(f"  not looked at: {file}: {why.partition(' See http')[0]}")
    return 1 if wrong else 0


def _labels(packages: Iterable[str]) -> dict[str, str]:
    """Return the series of each package that is installed here."""
    distributions = packages_distributions()
    versions = {name: version(distributions[name][0]) for name in packages}
    return {name: ".".join(re.findall(r"\d+", it)[:2]) for name, it in versions.items()}


if __name__ == "__main__":
    sys.exit(main())
