"""Backends are guarded by what they define, whoever defines it, and whenever."""

import sys
from types import ModuleType
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.mail.backends import console, filebased

from django_async_ext.detection import activation
from django_async_ext.detection.guards import subclasses
from tests.detection.conftest import found


@pytest.fixture(autouse=True)
def started(detecting: Any) -> None:
    detecting(ENDPOINTS="record", PRIMITIVES="off", WATCHDOG="off")


async def test_a_backend_that_is_defined_later_is_guarded() -> None:
    class Own(BaseCache):
        def get(self, key: str, default: Any = None, version: Any = None) -> Any:
            return default

    Own({}).get("key")
    (report,) = found()
    assert report.latest.what.endswith("Own.get")
    assert report.latest.remedy == "await cache.aget(...)"


async def test_a_backend_derived_from_a_silent_one_is_silent() -> None:
    class InMemory(LocMemCache):
        def get(self, key: str, default: Any = None, version: Any = None) -> Any:
            return super().get(key, default, version)

    InMemory("own", {}).get("key")
    assert not found()


async def test_what_a_loud_one_has_from_a_silent_one_is_told_apart(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    console.EmailBackend().send_messages([])
    assert not found()
    filebased.EmailBackend(file_path=str(tmp_path)).send_messages([])
    (report,) = found()
    assert report.latest.rule == "mail"


def test_stopping_leaves_the_classes_as_they_were() -> None:
    assert "__init_subclass__" in vars(BaseCache)
    activation.stop()
    assert "__init_subclass__" not in vars(BaseCache)


def test_subclasses_know_the_options_of_their_class() -> None:
    class Base:
        pass

    module = ModuleType("bases")
    module.Base = Base  # type: ignore[attr-defined]
    seen: list[type] = []
    sys.modules["bases"] = module
    try:
        subclasses.watch("bases.Base", seen.append)
        later = type("Later", (Base,), {})
        assert seen == [Base, later]
        with pytest.raises(TypeError):
            type("Wrong", (Base,), {}, option=1)
    finally:
        del sys.modules["bases"]
