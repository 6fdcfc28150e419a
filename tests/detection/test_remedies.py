"""The table of endpoints: complete by Django's awaitables, and shown in the docs."""

import ast
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

from django_async_ext.detection import guards
from django_async_ext.detection.endpoints import FAMILIES, table
from django_async_ext.detection.guards import imports
from django_async_ext.detection.rules import ENDPOINTS, RULES, Endpoint

DJANGO = Path(django.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "detection.rst"

#: What has an awaitable in Django but needs no guard, and why.
UNGUARDED = {
    r"\.test\.": "runs in tests of synchronous code",
    r"\.AnonymousUser\.": "has no permissions that it would have to load",
    r"\.RemoteUserMiddleware\.": "is called by Django's handler, in a thread",
    r"\._get_new_session_key$": "leads to exists(), as all that calls it does",
    r"\._get_or_create_session_key$": "makes up a string",
    r"\.(SessionStore)\.cache_key$": "is a string",
    r"\.SessionStore\.": "is guarded as a method of a family",
    r"\._get_session$": "is called by what is guarded",
    r"\._get_user_session_key$": "is called by what is guarded",
    r"\.auth\.models\._user_": "is called by what is guarded",
    r"\.ModelBackend\._get_permissions$": "is called by what is guarded",
    r"\.UserManager\._create_user$": "is called by what is guarded",
    r"\.check_password_with_timing_attack_mitigation$": "is called by authenticate()",
    r"\.BaseCache\.close$": "ends the connections of a thread",
    r"\.DummyBackend\.get_result$": "keeps results in memory",
    r"\.Task\.call$": "is the project's own code",
    r"\.QuerySet\.iterator$": "queries when it is iterated: _iterator()",
    r"\.compress_sequence$": "compresses what a view has made",
    r"\.template\.": "renders what it is given",
}


def pairs() -> Iterator[str]:
    """The dotted names of all that has an awaitable twin in the installed Django."""
    for path in DJANGO.rglob("*.py"):
        parts = ("django", *path.relative_to(DJANGO).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield from _pairs(ast.parse(path.read_text()), name, in_function=False)


def _pairs(node: Any, name: str, *, in_function: bool) -> Iterator[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {
        each.name: each
        for each in ast.iter_child_nodes(node)
        if isinstance(each, functions)
    }
    for each in found.values():
        if isinstance(each, ast.AsyncFunctionDef):
            match = re.fullmatch(r"(_?)a(.+)", each.name)
            twin = match and match[1] + match[2]
            if twin in found:
                yield f"{name}.{'<locals>.' if in_function else ''}{twin}"
    for each in ast.iter_child_nodes(node):
        if isinstance(each, (*functions, ast.ClassDef)):
            inner = f"{name}.{'<locals>.' if in_function else ''}{each.name}"
            yield from _pairs(each, inner, in_function=isinstance(each, functions))
        elif isinstance(each, ast.If | ast.Try):
            yield from _pairs(each, name, in_function=in_function)


PAIRS = sorted(set(pairs()))
GUARDED = {endpoint.name for endpoint in table()}


def test_there_are_pairs() -> None:
    assert len(PAIRS) > 120


@pytest.mark.parametrize("pair", PAIRS)
def test_what_has_an_awaitable_is_guarded_or_said_not_to_be(pair: str) -> None:
    reasons = [why for pattern, why in UNGUARDED.items() if re.search(pattern, pair)]
    assert (pair in GUARDED) != bool(reasons), (pair, reasons)


def test_no_reason_is_left_over() -> None:
    newer = {r"\.DummyBackend\.", r"\.Task\.", "timing_attack", "compress_", "template"}
    for pattern in UNGUARDED:
        is_newer = any(each in pattern for each in newer)
        assert is_newer or any(re.search(pattern, pair) for pair in PAIRS), pattern


def where(endpoint: Endpoint) -> str:
    """The name of the endpoint's module."""
    parts = endpoint.name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            if importlib.util.find_spec(name) is not None:
                return name
        except ModuleNotFoundError:
            continue
    return ""


#: What only some version of Django has.
VERSIONS = {
    "tasks": r"django\.tasks\.",
    "generic": r"GenericForeignKey(Descriptor)?\.__get__",
    "forms": r"RenderableMixin",
    "hashes": r"_acreate_user|aauthenticate",
    "jinja2": r"backends\.jinja2\.",
    "sites": r"contrib\.sites\.models",
}


@pytest.mark.parametrize("endpoint", table(), ids=lambda endpoint: endpoint.name)
def test_an_endpoint_is_there(endpoint: Endpoint) -> None:
    if any(re.search(pattern, endpoint.name) for pattern in VERSIONS.values()):
        return
    importlib.import_module(where(endpoint))
    try:
        found = guards.find(endpoint.name)
    except imports.NotThereError:
        pytest.fail(f"Django {django.__version__} has no {endpoint.name}")
    assert found


def test_each_rule_of_the_layer_has_endpoints() -> None:
    rules = {rule.name for rule in RULES.values() if rule.layer == ENDPOINTS}
    assert {endpoint.rule for endpoint in table()} == rules


def shown(endpoint: Endpoint) -> Endpoint:
    private = endpoint.name.rpartition(".")[2].startswith("_")
    if private and not endpoint.name.endswith("__") and endpoint.exact is not None:
        public: Any = endpoint.exact
        return public(None) or endpoint
    return endpoint


def of_families() -> Iterator[Endpoint]:
    for family in FAMILIES:
        for name, remedy in family.remedies.items():
            yield Endpoint(family.rule, f"{family.base}.{name.strip('_')}", remedy)


def documented() -> str:
    """What docs/reference/detection.rst says of the endpoints and remedies."""
    rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for endpoint in [*map(shown, table()), *of_families()]:
        name = endpoint.name.rpartition(".")[2]
        remedy = endpoint.remedy.replace(f"a{name}(...)", "a…(...)")
        if endpoint.short not in rows[endpoint.rule][remedy]:
            rows[endpoint.rule][remedy].append(endpoint.short)
    lines: list[str] = []
    for rule in rows:
        lines += ["", f"``{rule}``", "-" * (len(rule) + 4), ""]
        lines += [f"{RULES[rule].about.capitalize()}.", "", ".. list-table::"]
        lines += ["   :header-rows: 1", "   :widths: 50 50", ""]
        lines += ["   * - Blocks", "     - Instead"]
        for remedy, names in rows[rule].items():
            lines.append("   * - " + ", ".join(f"``{name}``" for name in names))
            lines.append(f"     - ``{remedy}``")
    return "\n".join(lines).strip()


def test_the_documentation_shows_the_table() -> None:
    assert documented() in DOCS.read_text(), documented()
