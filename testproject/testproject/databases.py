"""Turns DATABASE_URL into Django's DATABASES: one database, under two aliases.

``default`` is what the site uses. ``stock`` is the same database through Django's
own engine; only the comparison page asks it anything. The two differ in ENGINE.
"""

from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {
    "ours": "django_async_ext.db.backends",
    "django": "django.db.backends",
}
POOL = {"min_size": 4, "max_size": 16}


def databases(url: str, engine: str) -> dict[str, dict[str, object]]:
    """Return DATABASES for *url*; *engine* is a key of ENGINES."""
    return {
        "default": database(url, ENGINES[engine]),
        "stock": database(url, ENGINES["django"]) | {"TEST": {"MIRROR": "default"}},
    }


def database(url: str, engines: str) -> dict[str, object]:
    """Return the settings of one alias."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": f"{engines}.sqlite3", "NAME": unquote(parts.path[1:])}
    options: dict[str, object] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": f"{engines}.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(str(options.pop("host", parts.hostname or ""))),
        "PORT": parts.port or "",
        "OPTIONS": options | {"pool": POOL},
    }
