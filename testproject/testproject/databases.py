"""Turns DATABASE_URL into Django's DATABASES: one database, under two aliases.

``default`` is what the site uses. ``stock`` is the same database through Django's
own engine; only the comparison page asks it anything. The two differ in ENGINE.
"""

from urllib.parse import parse_qsl, unquote, urlsplit

OURS = "django_async_ext.db.backends"
DJANGOS = "django.db.backends"

# As many connections open from the start as the dashboard has queries.
POOL = {"min_size": 10, "max_size": 16}


def databases(url: str) -> dict[str, dict[str, object]]:
    """Return DATABASES for *url*."""
    return {
        "default": database(url, OURS),
        "stock": database(url, DJANGOS) | {"TEST": {"MIRROR": "default"}},
    }


def database(url: str, engines: str) -> dict[str, object]:
    """Return the settings of one alias; *engines* is the package of its engine."""
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
