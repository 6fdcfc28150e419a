"""A Django project in one function: settings for an engine, without a settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from benchmarks.protocol import Config

CONTRIB = ("django.contrib.auth", "django.contrib.contenttypes")


def configure(
    config: Config,
    *,
    engine: str = "django.db.backends.postgresql",
    apps: tuple[str, ...] = (),
    manager: str = "django.db.models.Manager",
    options: dict[str, Any] | None = None,
    **settings_: Any,
) -> None:
    """Configure Django for one mode and set it up."""
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": engine,
                **address(config.url),
                "OPTIONS": options or {},
            }
        },
        INSTALLED_APPS=[*CONTRIB, *apps, "benchmarks.library"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        BENCH_MANAGER=manager,
        **settings_,
    )
    django.setup()


def address(url: str) -> dict[str, Any]:
    """The parts of ``postgresql://user:password@host:port/name`` for DATABASES."""
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if pair)
    return {
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or query.get("host", "")),
        "PORT": str(parts.port or query.get("port", "")),
    }
