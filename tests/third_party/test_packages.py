"""A few real requests for what each package is for."""

import csv
import html
import io
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.servers.processes import Site
from tests.third_party.conftest import token

CSV = {"format": "0"}


@pytest.fixture(scope="module", autouse=True)
def books(site: Site) -> None:
    """Seven books of two authors."""
    site.ask("TRUNCATE shelf_author, shelf_book")
    site.ask("INSERT INTO shelf_author (name) VALUES ('Ursula'), ('Stanisław')")
    site.ask(
        "INSERT INTO shelf_book (title, pages, author_id) "
        "SELECT 'Book ' || n, 100 * n, a.id FROM generate_series(1, 7) n "
        "JOIN shelf_author a ON a.name = CASE WHEN n < 6 THEN 'Ursula' "
        "ELSE 'Stanisław' END ORDER BY n"
    )


@pytest.fixture(autouse=True)
def nothing_is_left(site: Site, request: pytest.FixtureRequest) -> Iterator[None]:
    """No request keeps a connection; on the loop, none takes a thread.

    But passwords are hashed and files are read in threads, declared or not.
    """
    site.state()
    yield
    hops = site.at_rest()["hops"]
    if site.kind.name == "on-the-loop" and "whitenoise" not in request.node.name:
        assert [hop for hop in hops if "Hash" not in hop] == []


def test_rest_framework_reads_and_writes(site: Site, ada: httpx.Client) -> None:
    headers = {"X-CSRFToken": ada.cookies["csrftoken"]}
    book = {"title": "Solaris", "pages": 204, "author": "Stanisław"}
    assert site.client.post("/api/books/", json=book).status_code == 403
    made = ada.post("/api/books/", json=book, headers=headers)
    assert made.status_code == 201
    url = f"/api/books/{made.json()['id']}/"
    assert ada.get(url).json() == made.json()
    changed = ada.patch(url, json={"pages": 205}, headers=headers).json()
    assert changed == made.json() | {"pages": 205}
    wrong = ada.post("/api/books/", json=book | {"author": "?"}, headers=headers)
    assert wrong.status_code == 400
    assert set(wrong.json()) == {"title", "author"}
    assert ada.delete(url, headers=headers).status_code == 204
    assert ada.get(url).status_code == 404


def test_rest_framework_paginates(site: Site) -> None:
    page = site.client.get("/api/books/").json()
    assert [book["title"] for book in page["results"]] == ["Book 1", "Book 2", "Book 3"]
    assert page["count"] == 7
    page = site.client.get(page["next"]).json()
    assert [book["author"] for book in page["results"]] == [
        "Ursula",
        "Ursula",
        "Stanisław",
    ]


def test_rest_frameworks_browsable_api_is_shown(ada: httpx.Client) -> None:
    page = ada.get("/api/books/", headers={"Accept": "text/html"}).text
    assert "Book List" in page
    assert "ada" in page
    # A form with the authors to choose from, which it queries while it renders.
    assert '<option value="Ursula"' in page


def test_filter_filters(site: Site) -> None:
    query = {"author__name": "Ursula", "at_least": 400}
    page = site.client.get("/api/books/", params=query).json()
    assert [book["title"] for book in page["results"]] == ["Book 4", "Book 5"]
    assert site.client.get("/api/books/?at_least=x").status_code == 400


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_ninja_reads_and_writes(site: Site, kind: str) -> None:
    book = {"title": f"The {kind} dispossessed", "pages": 387, "author": "Ursula"}
    made = site.client.post(f"/ninja/{kind}/books", json=book)
    assert made.status_code == 200
    found = site.client.get(f"/ninja/{kind}/books/{made.json()['id']}").json()
    assert found == {"id": found["id"], "title": book["title"], "pages": 387}
    wrong = site.client.post(f"/ninja/{kind}/books", json={"pages": "many"})
    assert wrong.status_code == 422
    site.ask("DELETE FROM shelf_book WHERE pages = 387")


def test_allauth_signs_up_and_logs_in(site: Site) -> None:
    name = f"grace-{site.kind}"
    with site.new_client() as client:
        client.get("/accounts/signup/")
        data = {"username": name, "password1": "cobol-1959", "password2": "cobol-1959"}
        done = client.post("/accounts/signup/", data=data | token(client))
        assert done.status_code == 302, done.text
        assert client.get("/me").text == name
        assert client.get("/accounts/logout/").status_code == 200
        client.post("/accounts/logout/", data=token(client))
        assert client.get("/me").text == ""
        client.get("/accounts/login/")
        data = {"login": name, "password": "wrong"}
        wrong = client.post("/accounts/login/", data=data | token(client))
        assert "not correct" in wrong.text
        data = {"login": name, "password": "cobol-1959"}
        assert (
            client.post("/accounts/login/", data=data | token(client)).status_code
            == 302
        )
        assert client.get("/me").text == name


@pytest.mark.parametrize("path", ["/page", "/page-async"])
def test_the_debug_toolbar_shows_the_queries_of_a_view(site: Site, path: str) -> None:
    page = site.client.get(path).text
    assert "Book 7" in page
    found = re.search(r'data-request-id="(\w+)"', page)
    assert found, page
    query = {"request_id": found[1], "panel_id": "SQLPanel"}
    panel = site.client.get("/__debug__/render_panel/", params=query).json()
    if path == "/page-async" and site.kind.name == "in-threads":
        # It looks at the connections of its thread, and the view has its own.
        assert "No SQL queries" in panel["content"]
    else:
        assert "shelf_book" in panel["content"]
        assert "1 query" in panel["content"]


def test_cors_headers_answers_a_preflight(site: Site) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "PATCH",
    }
    answer = site.client.options("/api/books/", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    headers["Origin"] = "https://elsewhere.example"
    answer = site.client.options("/api/books/", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


def test_import_export_exports_what_is_selected(ada: httpx.Client, site: Site) -> None:
    keys = site.ask("SELECT id FROM shelf_book WHERE pages >= 600 ORDER BY id")
    data = {"action": "export_admin_action", "_selected_action": keys}
    answer = ada.post("/admin/shelf/book/", data=data | token(ada))
    assert answer.headers["content-type"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["title"] for row in rows] == ["Book 6", "Book 7"]


def test_import_export_imports_a_file(ada: httpx.Client, site: Site) -> None:
    (author,) = site.ask("SELECT id FROM shelf_author WHERE name = 'Ursula'")
    content = f"id,title,pages,author\r\n,Tehanu,226,{author}\r\n"
    url, files = "/admin/shelf/book/", {"import_file": ("b.csv", content, "text/csv")}
    shown = ada.post(f"{url}import/", data=CSV | token(ada), files=files).text
    assert "Tehanu" in shown
    # What the second step needs comes in hidden fields, the token among them.
    found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', shown)
    data = {name: html.unescape(value) for name, value in found}
    done = ada.post(f"{url}process_import/", data=data)
    assert done.status_code == 302, done.text
    assert site.ask("SELECT pages FROM shelf_book WHERE title = 'Tehanu'") == [226]
    site.ask("DELETE FROM shelf_book WHERE title = 'Tehanu'")


# The last one: its file is closed, in a thread, when the answer is there already.
def test_whitenoise_serves_a_static_file(site: Site) -> None:
    answer = site.client.get("/static/site.css")
    assert answer.text == "body { color: rebeccapurple; }\n"
    assert answer.headers["content-type"] == 'text/css; charset="utf-8"'
    again = {"If-Modified-Since": answer.headers["last-modified"]}
    assert site.client.get("/static/site.css", headers=again).status_code == 304
