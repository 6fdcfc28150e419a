"""Generates querysets, as the Python code that a project would have written.

Code, because a failure can be read, pasted and made a case. Not all of it makes
sense: what Django refuses must be refused with the same words on the loop.
"""

from typing import Any

from hypothesis import strategies as st

#: By model: its columns and their kinds, and its relations and where they lead.
COLUMNS = {
    "Book": {
        **dict.fromkeys(("pk", "pages", "stock", "leaves", "author_id"), "number"),
        **dict.fromkeys(("title", "isbn"), "text"),
        **dict.fromkeys(("rating", "price"), "number"),
        "published": "date",
        "received": "date",
        "is_available": "truth",
        "data__n": "number",
        "data__deep__even": "truth",
    },
    "Person": {"pk": "number", "name": "text", "born": "date", "email": "text"},
    "Genre": {"pk": "number", "name": "text"},
    "Publisher": {"pk": "number", "name": "text", "founded": "number"},
    "Loan": {"pk": "number", "days": "number"},
    "Cover": {"colour": "text"},
    "Note": {"text": "text", "object_id": "number"},
}
RELATIONS = {
    "Book": {
        "author": "Person",
        "publisher": "Publisher",
        "cover": "Cover",
        "genres": "Genre",
        "readers": "Person",
        "loan": "Loan",
        "notes": "Note",
    },
    "Person": {"books": "Book", "read": "Book", "friends": "Person"},
    "Genre": {"parent": "Genre", "children": "Genre", "books": "Book"},
    "Publisher": {"book": "Book"},
    "Loan": {"book": "Book", "reader": "Person"},
    "Cover": {"book": "Book"},
    "Note": {},
}
SINGLE = {"author", "publisher", "cover", "parent", "reader", "book"}
#: What prefetch_related() calls a relation that filter() calls otherwise.
PREFETCHED = {"loan": "loan_set", "book": "book"}
ROOTS = ["Book", "Book", "Person", "Genre", "Loan"]

VALUES: dict[str, Any] = {
    "number": st.integers(0, 900).map(repr) | st.sampled_from(["None", "2.5"]),
    "text": st.sampled_from(["Book 1", "Ada", "g1", "g2", "9", "", "o"]).map(repr),
    "date": st.sampled_from(["date(2021, 3, 4)", "date(1902, 2, 2)"]),
    "truth": st.booleans().map(repr),
}
LOOKUPS = {
    "number": ["", "__gt", "__lte", "__in", "__range", "__isnull"],
    "text": ["", "__icontains", "__startswith", "__in", "__gte", "__isnull"],
    "date": ["__year", "__month__gte", "__date__lt", "__gt", "__isnull"],
    "truth": ["", "__isnull"],
}


@st.composite
def paths(draw: Any, model: str, most: int = 2) -> tuple[str, str]:
    """Give a column, of the model or over relations, and its kind."""
    steps = []
    for _ in range(draw(st.integers(0, most))):
        if not RELATIONS[model] or draw(st.booleans()):
            break
        steps.append(draw(st.sampled_from(sorted(RELATIONS[model]))))
        model = RELATIONS[model][steps[-1]]
    column = draw(st.sampled_from(sorted(COLUMNS[model])))
    return "__".join([*steps, column]), COLUMNS[model][column]


@st.composite
def conditions(draw: Any, model: str, depth: int = 2) -> str:
    """Give a Q, of one condition or of several."""
    if depth and draw(st.integers(0, 2)) == 0:
        left = draw(conditions(model, depth - 1))
        right = draw(conditions(model, depth - 1))
        return f"({left} {draw(st.sampled_from('&|^'))} {right})"
    path, kind = draw(paths(model))
    lookup = draw(st.sampled_from(LOOKUPS[kind]))
    if lookup == "__isnull":
        value = draw(VALUES["truth"])
    elif lookup in ("__year", "__month__gte"):
        value = draw(st.sampled_from(["3", "2021", "1903"]))
    elif lookup in ("__in", "__range"):
        value = f"({draw(VALUES[kind])}, {draw(VALUES[kind])})"
    elif draw(st.integers(0, 5)) == 0:
        value = f"F({draw(paths(model, 1))[0]!r})"
    else:
        value = draw(VALUES[kind])
    return f"{draw(st.sampled_from(['', '', '~']))}Q({path}{lookup}={value})"


@st.composite
def expressions(draw: Any, model: str) -> str:
    """Give what annotate() takes."""
    path, kind = draw(paths(model))
    choices = [
        f"Count({path!r})",
        f"Count({path!r}, distinct=True)",
        f"Max({path!r})",
        f"Count('pk', filter={draw(conditions(model, 0))})",
        f"F({path!r})",
        f"Case(When({draw(conditions(model, 1))}, then=Value(1)), default=Value(0))",
        f"Window(RowNumber(), order_by=['pk'], partition_by=[F({path!r})])",
        f"Exists({model}.objects.filter(pk=OuterRef('pk'), pk__gt=3))",
        f"Subquery({model}.objects.filter(pk__lt=OuterRef('pk'))"
        ".order_by('-pk').values('pk')[:1])",
        "Value(7)",
    ]
    if kind == "number":
        choices += [f"Sum({path!r})", f"Avg({path!r})", f"F({path!r}) * 2 + 1"]
    if kind == "text":
        choices += [f"Upper({path!r})", f"Length({path!r})", f"Coalesce({path!r}, 'x')"]
    return draw(st.sampled_from(choices))


@st.composite
def orders(draw: Any, model: str) -> str:
    names = draw(st.lists(paths(model, 1), min_size=0, max_size=2))
    signs = [draw(st.sampled_from(["", "-"])) for _ in names]
    found = [f"{sign}{path}" for sign, (path, _) in zip(signs, names, strict=True)]
    # With the key at the end no order is left to the database.
    return ", ".join(map(repr, [*found, "pk"]))


@st.composite
def prefetches(draw: Any, model: str) -> str:
    relation = draw(st.sampled_from(sorted(RELATIONS[model])))
    name = PREFETCHED.get(relation, relation)
    target = RELATIONS[model][relation]
    kind = draw(st.integers(0, 3))
    if kind == 0 or not RELATIONS[target]:
        return repr(name)
    if kind == 1:
        inner = draw(st.sampled_from(sorted(RELATIONS[target])))
        return repr(f"{name}__{PREFETCHED.get(inner, inner)}")
    rows = f"{target}.objects.filter({draw(conditions(target, 0))}).order_by('pk')"
    to_attr = ", to_attr='found'" if kind == 2 else ""
    return f"Prefetch({name!r}, {rows}{to_attr})"


@st.composite
def steps(draw: Any, model: str) -> str:
    """Give one call that makes another queryset of a queryset."""
    kind = draw(st.sampled_from(STEPS))
    if kind in ("filter", "exclude"):
        return f".{kind}({draw(conditions(model))})"
    if kind in ("annotate", "alias"):
        name = draw(st.sampled_from(["one", "two", "three"]))
        return f".{kind}({name}={draw(expressions(model))})"
    if kind == "order_by":
        return f".order_by({draw(orders(model))})"
    if kind in ("values", "values_list", "only", "defer"):
        found = draw(st.lists(paths(model, 1), min_size=1, max_size=3))
        names = ", ".join(repr(path) for path, _ in found)
        flat = kind == "values_list" and draw(st.booleans())
        return f".{kind}({names}{', flat=True' if flat else ''})"
    if kind == "select_related":
        found = sorted(set(RELATIONS[model]) & SINGLE) or ["parent"]
        return f".select_related({draw(st.sampled_from(found))!r})"
    if kind == "prefetch_related":
        return f".prefetch_related({draw(prefetches(model))})"
    if kind == "slice":
        first, size = draw(st.integers(0, 4)), draw(st.integers(0, 6))
        return f"[{first}:{first + size}]"
    if kind in ("union", "intersection", "difference", "__and__", "__or__"):
        other = f"{model}.objects.using(db).filter({draw(conditions(model, 0))})"
        again = f".order_by({draw(orders(model))})" if draw(st.booleans()) else ""
        return f".order_by().{kind}({other}){again}"
    return f".{kind}()"


STEPS = [
    *("filter", "filter", "filter", "exclude", "annotate", "annotate", "alias"),
    *("order_by", "values", "values_list", "only", "defer", "select_related"),
    *("prefetch_related", "prefetch_related", "slice", "union", "intersection"),
    *("difference", "__and__", "__or__", "distinct", "reverse", "none"),
]


@st.composite
def querysets(draw: Any) -> tuple[str, str]:
    """Give the code of a queryset over the alias ``db``, and its model."""
    model = draw(st.sampled_from(ROOTS))
    calls = draw(st.lists(steps(model), min_size=1, max_size=5))
    return f"{model}.objects.using(db).order_by('pk'){''.join(calls)}", model


@st.composite
def endings(draw: Any, model: str) -> str:
    """Give the call of a method that reads, without its dot."""
    return draw(
        st.sampled_from(
            [
                *("count()", "exists()", "first()", "last()", "get()"),
                *("get(pk=3)", "in_bulk([1, 2, 3])", "latest('pk')", "earliest('pk')"),
                f"aggregate(n={draw(expressions(model))})",
                f"aggregate(Count('pk'), most=Max({draw(paths(model))[0]!r}))",
                f"contains({model}(pk=2))",
                f"get({draw(conditions(model))})",
            ]
        )
    )
