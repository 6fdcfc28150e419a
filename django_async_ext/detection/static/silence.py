"""What does not block in this project: its settings say so, or it was allowed.

Contract: reads settings only. What the detector allows while the project runs is
allowed here too, and counts as used only there.
"""

from __future__ import annotations

from django.conf import settings

from django_async_ext import conf
from django_async_ext.detection.allowing import names
from django_async_ext.detection.rules import ENDPOINTS, RULES, Endpoint
from django_async_ext.detection.settings import OFF, current
from django_async_ext.detection.static import types
from django_async_ext.detection.static.resolving import Project
from django_async_ext.detection.static.values import Code, Instance, Value

_FREE_CACHES = {
    "django.core.cache.backends.locmem.LocMemCache",
    "django.core.cache.backends.dummy.DummyCache",
}
_FREE_MAIL = {
    "django.core.mail.backends.locmem.EmailBackend",
    "django.core.mail.backends.dummy.EmailBackend",
}
_MEMORY = "django.core.files.storage.memory.InMemoryStorage"


class Silence:
    """What is silent, by the settings in force."""

    def __init__(self) -> None:
        self._off = {rule for rule, mode in current().rules.items() if mode == OFF}
        self._allow = current().allow
        # The package lets what belongs to a request load itself.
        self._adopted = "django_async_ext" in _names() and conf.get("ADOPT_DJANGO")

    def allows(self, code: Code) -> bool:
        """Tell whether ``ALLOW`` names the function, or its file."""
        function = f"{code.module}.{code.name}"
        return any(names(entry, code.path, function) for entry in self._allow)

    def implicit(self, code: Code) -> bool:
        """Tell whether it is a view that waits implicitly, by the settings."""
        parameters = [each.arg for each in code.node.args.args]
        return bool(conf.get("IMPLICIT_WAITS")) and "request" in parameters[:2]

    def of(
        self, endpoint: Endpoint, owner: Value | None, project: Project, bridge: bool
    ) -> bool:
        """Tell whether ``endpoint`` does not block here."""
        if endpoint.rule in self._off:
            return True
        if bridge and RULES[endpoint.rule].layer == ENDPOINTS and not endpoint.inside:
            return True
        if endpoint.rule == "mail":
            return _mail_backends() <= _FREE_MAIL
        if not isinstance(owner, Instance):
            return False
        if owner.cls == types.LAZY_USER:
            return bool(self._adopted)
        if project.is_a(owner.cls, types.SESSION):
            return bool(self._adopted) or _sessions_are_free()
        if project.is_a(owner.cls, types.CACHE):
            return _cache_is_free(owner.via)
        return project.is_a(owner.cls, _MEMORY)


def _names() -> set[str]:
    apps = set(settings.INSTALLED_APPS)
    return apps | {app.rpartition(".apps.")[0] for app in apps}


def _mail_backends() -> set[str]:
    if mailers := getattr(settings, "MAILERS", None):
        default = "django.core.mail.backends.smtp.EmailBackend"
        return {mailer.get("BACKEND", default) for mailer in mailers.values()}
    # Read where asking for it is not yet deprecated: the project decides on that.
    return {settings._wrapped.EMAIL_BACKEND}


def _sessions_are_free() -> bool:
    engine = settings.SESSION_ENGINE
    if engine.endswith("signed_cookies"):
        return True
    return engine.endswith(".cache") and _cache_is_free(settings.SESSION_CACHE_ALIAS)


def _cache_is_free(alias: str) -> bool:
    """Tell whether a cache waits for nothing; "" is any of them."""
    aliases = [alias] if alias in settings.CACHES else list(settings.CACHES)
    backends = {settings.CACHES[each].get("BACKEND") for each in aliases}
    return backends <= _FREE_CACHES
