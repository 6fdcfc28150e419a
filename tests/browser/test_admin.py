"""The admin in a browser: all that is done there, and no thread for any of it."""

from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.servers.processes import PATIENCE, Site


def is_gone(element: WebElement) -> bool:
    """Tell whether the page of ``element`` is over; Chromium has two errors for it."""
    try:
        element.is_enabled()
    except WebDriverException:
        return True
    return False


class Admin:
    """The admin as somebody sees it who clicks."""

    def __init__(self, chrome: Chrome, site: Site) -> None:
        self.chrome, self.site = chrome, site

    def visit(self, path: str) -> None:
        self.chrome.get(f"http://127.0.0.1:{self.site.port}/admin/{path}")

    def until(self, condition: Callable[[Chrome], Any]) -> Any:
        """Wait for it, though the page may change while it is looked at."""
        changing = [NoSuchElementException, StaleElementReferenceException]
        waiting = WebDriverWait(self.chrome, PATIENCE, ignored_exceptions=changing)
        return waiting.until(condition)

    def find(self, css: str) -> WebElement:
        found: WebElement = self.until(
            lambda chrome: chrome.find_element(By.CSS_SELECTOR, css)
        )
        return found

    def texts(self, css: str) -> list[str]:
        found = self.chrome.find_elements(By.CSS_SELECTOR, css)
        return [element.text for element in found]

    def text(self, css: str) -> str:
        return self.find(css).text

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.find(f"[name={name}]")
            if field.get_attribute("type") != "file":
                field.clear()
            field.send_keys(value)

    def submit(self, css: str = "[type=submit]") -> None:
        """Click, and wait for the next page."""
        before = self.find("html")
        self.find(css).click()
        self.until(lambda _: is_gone(before))
        self.find("body")

    def log_in(self, password: str = "enigma") -> None:
        self.chrome.delete_all_cookies()
        self.visit("login/?next=/admin/")
        self.fill(username="ada", password=password)
        self.submit()

    def hops(self) -> list[str]:
        """What the admin's pages handed to threads; files are read in threads."""
        hops = [str(hop) for hop in self.site.state()["hops"]]
        return [hop for hop in hops if hop.startswith("/admin/")]

    def message(self) -> str:
        return self.text(".messagelist")


@pytest.fixture
def admin(chrome: Chrome, site: Site) -> Iterator[Admin]:
    """The admin, with ada logged in and an author, Woolf."""
    found = Admin(chrome, site)
    for table in ("chapter", "book_tags", "book", "author", "tag"):
        site.ask(f"DELETE FROM shelf_{table}")
    site.ask("DELETE FROM django_admin_log")
    site.ask("INSERT INTO shelf_author (name) VALUES ('Woolf'), ('Wharton')")
    found.log_in()
    assert found.texts("#site-name") == ["Django administration"]
    found.hops()
    yield found
    assert found.hops() == []


def make_books(site: Site, *titles: str) -> None:
    query = (
        "INSERT INTO shelf_book (title, author_id, cover, is_lent) "
        "SELECT %s, id, '', false FROM shelf_author WHERE name = 'Woolf'"
    )
    for title in titles:
        site.ask(query, title)


def test_logging_in_needs_a_thread_for_the_password_only(admin: Admin) -> None:
    admin.log_in("wrong")
    assert "Please enter the correct username" in admin.text(".errornote")
    hops = admin.hops()
    assert any("ThreadPoolExecutor.submit" in hop for hop in hops)
    assert all(hop.startswith("/admin/login/: ") for hop in hops)
    admin.log_in()
    assert admin.text("#user-tools strong").lower() == "ada"
    assert all(hop.startswith("/admin/login/: ") for hop in admin.hops())


def test_logging_out_ends_the_session(admin: Admin) -> None:
    assert admin.site.ask("SELECT count(*) FROM django_session") != [0]
    admin.submit("#logout-form button")
    assert "Logged out" in admin.text("#content h1")
    admin.visit("shelf/book/")
    assert admin.chrome.current_url.endswith("/admin/login/?next=/admin/shelf/book/")


def test_adding_a_book_with_everything(admin: Admin, tmp_path: Path) -> None:
    admin.site.ask("INSERT INTO shelf_tag (name) VALUES ('new'), ('old')")
    cover = tmp_path / "cover.txt"
    cover.write_bytes(b"waves" * 1000)
    admin.visit("shelf/book/add/")
    admin.fill(title="Orlando", cover=str(cover))
    admin.find(".select2-selection").click()
    admin.find(".select2-search__field").send_keys("Woo")
    admin.find(".select2-results__option--highlighted, .select2-results__option")
    admin.until(lambda _: admin.texts(".select2-results__option") == ["Woolf"])
    admin.find(".select2-search__field").send_keys(Keys.ENTER)
    Select(admin.find("[name=tags_old]")).select_by_visible_text("old")
    admin.find("#id_tags_add, #id_tags_add_link").click()
    admin.fill(**{"chapter_set-0-title": "One"})
    admin.submit("[name=_save]")
    assert "“Orlando” was added successfully" in admin.message()
    assert admin.texts("#result_list th.field-title") == ["Orlando"]
    site = admin.site
    assert site.ask("SELECT title FROM shelf_chapter") == ["One"]
    query = "SELECT name FROM shelf_tag JOIN shelf_book_tags ON tag_id = shelf_tag.id"
    assert site.ask(query) == ["old"]
    [path] = site.ask("SELECT cover FROM shelf_book")
    assert (site.home / "media" / path).read_bytes() == b"waves" * 1000


def test_a_form_with_errors_comes_back(admin: Admin) -> None:
    admin.visit("shelf/book/add/")
    admin.chrome.execute_script("document.querySelector('form#book_form').noValidate=1")
    admin.submit("[name=_save]")
    assert admin.texts(".errorlist") == ["This field is required."] * 2
    assert admin.site.ask("SELECT id FROM shelf_book") == []


def test_searching_and_filtering_the_list(admin: Admin) -> None:
    make_books(admin.site, "Orlando", "The Waves", "The Years")
    admin.site.ask("UPDATE shelf_book SET is_lent = true WHERE title = 'The Years'")
    admin.visit("shelf/book/?o=1")
    shown = ".field-title"
    assert admin.texts(shown) == ["Orlando", "The Waves", "The Years"]
    admin.fill(q="the")
    admin.submit("#changelist-search [type=submit]")
    assert admin.texts(shown) == ["The Waves", "The Years"]
    admin.submit("#changelist-filter a[href*='is_lent__exact=1']")
    assert admin.texts(shown) == ["The Years"]


def test_changing_a_book_and_its_history(admin: Admin) -> None:
    make_books(admin.site, "Orlando")
    admin.visit("shelf/book/")
    admin.submit(".field-title a")
    admin.fill(**{"title": "The Waves", "chapter_set-0-title": "Dawn"})
    admin.submit("[name=_continue]")
    assert "was changed successfully" in admin.message()
    admin.find("#id_chapter_set-0-DELETE").click()
    admin.submit("[name=_save]")
    assert admin.site.ask("SELECT title FROM shelf_book") == ["The Waves"]
    assert admin.site.ask("SELECT id FROM shelf_chapter") == []
    admin.submit(".field-title a")
    admin.submit(".historylink")
    changes = admin.texts("#change-history tbody td:last-child")
    assert len(changes) == 2
    assert "Changed Title" in changes[0]
    assert "Deleted chapter" in changes[1]


def test_deleting_one_and_what_depends_on_it(admin: Admin) -> None:
    make_books(admin.site, "Orlando")
    admin.visit("shelf/author/")
    admin.submit(".field-__str__ a[href*='author']")
    if admin.find("[name=name]").get_attribute("value") != "Woolf":
        admin.visit("shelf/author/?q=Woolf")
        admin.submit(".field-__str__ a")
    admin.submit(".deletelink")
    assert "would require deleting the following protected" in admin.text("#content")
    admin.visit("shelf/book/")
    admin.submit(".field-title a")
    admin.submit(".deletelink")
    admin.submit("[type=submit][value^=Yes], form [type=submit]:not(button)")
    assert "was deleted successfully" in admin.message()
    assert admin.site.ask("SELECT id FROM shelf_book") == []


def choose(admin: Admin, action: str) -> None:
    admin.find("#action-toggle").click()
    Select(admin.find("[name=action]")).select_by_visible_text(action)
    admin.submit(".actions button")


def test_actions_on_the_selected(admin: Admin) -> None:
    make_books(admin.site, "Orlando", "The Waves")
    admin.visit("shelf/book/")
    choose(admin, "Lend the selected books")
    assert "2 books were lent." in admin.message()
    assert admin.site.ask("SELECT is_lent FROM shelf_book") == [True, True]
    choose(admin, "Delete selected books")
    admin.submit("form [type=submit]:not(button)")
    assert "Successfully deleted 2 books." in admin.message()
    assert admin.site.ask("SELECT id FROM shelf_book") == []


def test_the_users_password_is_changed(admin: Admin) -> None:
    try:
        admin.visit("password_change/")
        new = "correct horse battery"
        admin.fill(old_password="enigma", new_password1=new, new_password2=new)
        admin.submit("[type=submit]:not(button)")
        assert "Password change successful" in admin.text("#content h1")
        admin.visit("shelf/book/")
        assert admin.texts("#user-tools strong") != []
        assert {hop.split(": ")[0] for hop in admin.hops()} == {
            "/admin/password_change/"
        }
        admin.log_in(new)
        assert admin.texts("#user-tools strong") != []
    finally:
        query = "UPDATE auth_user SET password = %s WHERE username = 'ada'"
        admin.site.ask(query, f"md5$salt${md5(b'saltenigma').hexdigest()}")
        admin.hops()


def test_static_files_are_djangos_under_the_same_server(admin: Admin) -> None:
    admin.visit("")
    colour = admin.find("#header").value_of_css_property("background-color")
    assert colour not in ("rgba(0, 0, 0, 0)", "")
    answer = admin.site.client.get("/static/admin/css/base.css")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css")
    assert admin.site.client.get("/static/admin/nothing.css").status_code == 404
