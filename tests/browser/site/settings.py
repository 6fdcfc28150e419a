"""The settings of tests.servers, with an admin to click through."""

from pathlib import Path

from tests.servers.site.settings import *  # noqa: F403
from tests.servers.site.settings import INSTALLED_APPS, STATE_FILE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.browser.site.apps.ShelfConfig"]
ROOT_URLCONF = "tests.browser.site.urls"
# The admin alone is declared loop-safe, in urls.py.
ASYNC_EXT: dict[str, object] = {}
MEDIA_ROOT = Path(STATE_FILE).parent / "media"
MEDIA_URL = "/media/"
LANGUAGE_CODE = "en"
