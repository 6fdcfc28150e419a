"""What an operation uses of Django: rows, sessions, forms, requests."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from tempfile import SpooledTemporaryFile
from typing import Any

#: How long what stalls the loop does, in seconds.
WHILE = 0.15

_SESSIONS = "django.contrib.sessions.backends"


@cache
def _hashed(password: str) -> str:
    from django.contrib.auth.hashers import make_password

    return make_password(password)


class Rows:
    """The Django part of a ``World``; it needs Django set up."""

    while_ = WHILE

    def keep(self, resource: Any) -> None:
        raise NotImplementedError

    def _make_rows(self, name: str) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group, Permission
        from django.contrib.contenttypes.models import ContentType
        from django.core.paginator import Paginator

        self.User: Any = get_user_model()
        self.Group, self.Permission, self.ContentType = Group, Permission, ContentType
        self.user = self.User.objects.create(
            username=f"{name}-{self.fresh_name()}", password=_hashed("secret")
        )
        self.group = Group.objects.create(name=self.fresh_name())
        self.permission = Permission.objects.first()
        self.deferred = self.User.objects.defer("last_name").get(pk=self.user.pk)
        self.paginator = Paginator(self.User.objects.order_by("pk"), 10)
        self.slow_sql = (
            f"SELECT *, pg_sleep({WHILE}) FROM auth_user WHERE id = {self.user.pk}"
        )
        ContentType.objects.clear_cache()
        self._keys = {kind: self._new_session(kind) for kind in ("cache", "db", "file")}
        self._uploads = {size: self._new_upload(size) for size in (100, 3_000_000)}

    def fresh_name(self) -> str:
        return os.urandom(8).hex()

    def _new_session(self, kind: str) -> str:
        store = import_module(f"{_SESSIONS}.{kind}").SessionStore()
        store["seen"] = True
        store.save()
        return str(store.session_key)

    def session(self, kind: str) -> Any:
        return import_module(f"{_SESSIONS}.{kind}").SessionStore(self._keys.get(kind))

    def form(self) -> Any:
        """One that looks whether the name is free."""
        from django.forms import modelform_factory

        return modelform_factory(self.Group, fields=["name"])({"name": "name"})

    def plain_form(self) -> Any:
        from django import forms

        class Plain(forms.Form):
            name = forms.CharField()

        return Plain({"name": "value"})

    def upload(self, size: int = 3_000_000) -> Any:
        """A request whose body the handler has put on disk, if it is big."""
        return self._uploads[size]

    def _new_upload(self, size: int) -> Any:
        from django.core.handlers.asgi import ASGIRequest

        file: Any = SpooledTemporaryFile(max_size=2_500_000)  # noqa: SIM115
        file.write(b"x" * size)
        file.seek(0)
        self.keep(file)
        headers = [(b"content-type", b"text/plain")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        return ASGIRequest(scope, file)
