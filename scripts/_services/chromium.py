"""Chromium, and the driver through which tests use it."""

from .programs import Program

BROWSER = Program("chromium", apt="chromium")
DRIVER = Program("chromedriver", apt="chromium-driver", brew="chromedriver")


def chromium() -> tuple[str, str] | None:
    """Return the paths of the browser and of its driver."""
    browser, driver = BROWSER.find(), DRIVER.find()
    return (browser, driver) if browser and driver else None
