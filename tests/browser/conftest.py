"""A browser, and the site that it visits."""

import os
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from scripts._services import chromium
from tests.servers.databases import site_database
from tests.servers.processes import Kind, Site, served

SETTINGS = "tests.browser.site.settings"
SERVER = Kind(
    "uvicorn",
    "uvicorn --port {port} --no-access-log tests.browser.site.asgi:application",
    environment={"DJANGO_SETTINGS_MODULE": SETTINGS},
)
MISSING = "Chromium is neither on PATH nor can it be installed: not tested"


@pytest.fixture(scope="package")
def shelf_database() -> Iterator[str]:
    """The URL of a database with the shelf's tables and one user, ada."""
    with site_database("async_ext_shelf", SETTINGS) as url:
        yield url


@pytest.fixture(scope="package")
def site(shelf_database: str) -> Iterator[Site]:
    """The site on uvicorn; nothing wrong is in its log."""
    with served(SERVER, shelf_database) as found:
        yield found
        assert not found.complaints(), found.log()


@pytest.fixture(scope="package")
def chrome() -> Iterator[Chrome]:
    """A browser without a screen."""
    found = chromium()
    if found is None and os.environ.get("CI"):
        pytest.fail(MISSING)
    elif found is None:
        pytest.skip(MISSING)
    options = ChromeOptions()
    options.binary_location, driver = found
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1400")
    with Chrome(options, ChromeService(driver)) as browser:
        yield browser
