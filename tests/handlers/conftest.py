"""The settings of startproject, for every test of the handlers."""

from collections.abc import Iterator

import pytest
from django.test import override_settings

STARTPROJECT = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


@pytest.fixture(autouse=True)
def startproject(request: pytest.FixtureRequest) -> Iterator[None]:
    with override_settings(
        MIDDLEWARE=STARTPROJECT,
        ROOT_URLCONF=request.module.__name__,
        ALLOWED_HOSTS=["testserver"],
    ):
        yield
