"""A stock project that makes the classic mistakes, and what its staff sees of them."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.mistakes import views
from tests.browser.test_admin import Admin
from tests.servers.databases import site_database
from tests.servers.processes import PATIENCE, Kind, Site, served

SETTINGS = "tests.browser.mistakes.settings"
SERVER = Kind(
    "uvicorn",
    "uvicorn --port {port} --no-access-log tests.browser.mistakes.asgi:application",
    environment={"DJANGO_SETTINGS_MODULE": SETTINGS},
)

#: The lines of the mistakes, by the view, with their rules.
SOURCE = Path(views.__file__).read_text().splitlines()
MISTAKES = {
    re.match(r"async def (\w+)", SOURCE[start])[1]: (line, rule[1])  # type: ignore[index]
    for line, text in enumerate(SOURCE, 1)
    if (rule := re.search(r"# .*\brule: (\w+)", text))
    for start in [max(n for n in range(line) if SOURCE[n].startswith("async def"))]
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        site_database("async_ext_mistakes", SETTINGS) as url,
        served(SERVER, url) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def staff(chrome: Chrome, site: Site) -> Admin:
    admin = Admin(chrome, site)
    admin.log_in()
    return admin


def reports(staff: Admin) -> list[dict[str, Any]]:
    """What the JSON says, asked for as the browser's user."""
    cookies = staff.chrome.get_cookies()
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
    answer = staff.site.client.get("/blocking/json/", headers={"Cookie": cookie})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["reports"]
    return found


def of_view(staff: Admin, view: str) -> list[dict[str, Any]]:
    name = f"{views.__name__}.{view}"
    return [
        report
        for report in reports(staff)
        if report["request"] and report["request"]["view"] == name
    ]


def stalls_apart(found: list[dict[str, Any]], line: int) -> list[dict[str, Any]]:
    """Leave out that a busy machine let the loop wait elsewhere in the view."""
    return [each for each in found if each["rule"] != "stall" or each["line"] == line]


@pytest.mark.parametrize("view", MISTAKES)
def test_each_mistake_is_one_report_with_its_line_and_remedy(
    staff: Admin, view: str
) -> None:
    line, rule = MISTAKES[view]
    deadline = time.monotonic() + PATIENCE
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        staff.site.client.get(f"/{view}/").raise_for_status()
        # The watchdog tells of a stall after it.
        staff.site.client.get("/plaintext")
        found = stalls_apart(of_view(staff, view), line)
    assert [(each["rule"], each["line"]) for each in found] == [(rule, line)]
    (report,) = found
    assert report["file"] == views.__file__
    assert report["request"]["path"] == f"/{view}/"
    assert report["request"]["url_name"] == view
    assert report["remedy"]


def test_what_waits_as_it_should_is_not_reported(staff: Admin) -> None:
    staff.site.client.get("/harmless/").raise_for_status()
    assert stalls_apart(of_view(staff, "harmless"), 0) == []


def test_the_page_shows_calls_stacks_and_remedies(staff: Admin) -> None:
    staff.site.client.get("/sleeping/").raise_for_status()
    staff.visit("../blocking/")
    staff.find("#blocking-calls")
    rows = staff.chrome.find_elements(By.CSS_SELECTOR, "#blocking-calls tbody tr")
    row = next(each for each in rows if "time.sleep(0.2)" in each.text)
    assert f"views.py:{MISTAKES['sleeping'][0]}" in row.text
    assert "GET /sleeping/" in row.text
    row.find_element(By.TAG_NAME, "summary").click()
    staff.site.until(
        lambda: "in sleeping" in row.find_element(By.TAG_NAME, "pre").text,
        "showed the stack",
    )
    button = row.find_element(By.CSS_SELECTOR, ".blocking-copy")
    button.click()
    staff.site.until(lambda: button.text in ("Copied", "Selected"), "copied the remedy")


def test_the_page_draws_the_lag_of_the_loop(staff: Admin) -> None:
    staff.site.client.get("/sleeping/").raise_for_status()
    staff.visit("../blocking/")
    assert staff.find("#blocking-lag polyline").get_attribute("points")


def test_staff_may_forget_all(staff: Admin) -> None:
    staff.site.client.get("/sleeping/").raise_for_status()
    staff.visit("../blocking/")
    staff.submit("#content-main [type=submit]")
    assert of_view(staff, "sleeping") == []


@pytest.mark.parametrize("path", ["", "json/", "stacks/0/"])
def test_the_page_is_for_staff(site: Site, path: str) -> None:
    answer = site.client.get(f"/blocking/{path}", follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/admin/login/")


def test_the_figures_are_there_for_prometheus(site: Site) -> None:
    site.client.get("/sleeping/").raise_for_status()
    answer = site.client.get("/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert re.search(r'rule="sleep".*} [1-9]', answer.text)


def test_with_debug_the_browser_is_told_in_a_header(site: Site) -> None:
    answer = site.client.get("/sleeping/").raise_for_status()
    assert 'blocking;desc="' in answer.headers["server-timing"]
    assert "server-timing" not in site.client.get("/plaintext").headers


def test_a_view_that_blocks_in_a_loop_has_one_entry_in_the_header(site: Site) -> None:
    answer = site.client.get("/repeating/").raise_for_status()
    assert answer.headers["server-timing"].count("blocking;") == 1


def test_the_log_names_the_line_and_the_remedy(site: Site) -> None:
    site.client.get("/opening/").raise_for_status()
    line = MISTAKES["opening"][0]
    assert f"{views.__file__}:{line} in {views.__name__}.opening" in site.log()
