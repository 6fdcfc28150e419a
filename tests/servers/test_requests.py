"""What a project does all day, on each ASGI server."""

import hashlib
import os

import httpx

from tests.servers.processes import Site

CASES = ("plaintext", "plaintext-sync", "groups", "groups-sync", "whoami")


def test_a_request_is_answered(site: Site) -> None:
    for path in ("/plaintext", "/plaintext-sync"):
        answer = site.client.get(path)
        assert answer.text == "Hello, World!"
        # From the last of the default middleware.
        assert answer.headers["x-frame-options"] == "DENY"


def test_no_request_takes_a_thread(site: Site) -> None:
    for case in CASES:
        site.client.get(f"/{case}")
    site.state()
    for case in CASES:
        site.client.get(f"/{case}")
    assert site.state()["hops"] == []


def test_a_login_and_the_admin_take_a_thread_for_the_password_only(site: Site) -> None:
    with site.new_client() as client:
        for round_of in ("the first may import", "the second counts"):
            assert log_in(client, "enigma").text == "welcome", round_of
            assert "Select group" in client.get("/admin/auth/group/").text
            hops = site.at_rest()["hops"]
            client.get("/log-out")
            site.at_rest()
    assert hops
    assert [hop for hop in hops if "Hash" not in hop] == []


def test_a_row_is_written_and_read(site: Site) -> None:
    name = f"row {site.name}"
    assert name in site.client.post("/groups", data={"name": name}).json()
    assert name in site.client.get("/groups-sync").json()


def test_queries_are_gathered_in_a_view(site: Site) -> None:
    assert len(set(site.client.get("/gather").json())) == 4
    site.at_rest()


def test_a_transaction_is_committed_and_its_hook_runs(site: Site) -> None:
    names = [f"kept {n} {site.name}" for n in range(2)]
    site.state()
    answer = site.client.post("/transaction", data={"names": ",".join(names)})
    assert answer.text == "committed"
    assert site.groups(f"kept % {site.name}") == names
    assert site.state()["log"] == ["committed"]


def test_a_transaction_is_rolled_back_by_an_error(site: Site) -> None:
    site.state()
    data = {"names": f"undone {site.name}", "fail": "yes"}
    assert site.client.post("/transaction", data=data).status_code == 500
    assert site.groups(f"undone {site.name}") == []
    assert site.at_rest()["log"] == []


def test_a_user_logs_in_and_out(site: Site) -> None:
    with site.new_client() as client:
        assert client.get("/whoami").json() == {"user": "", "seen": 1}
        before = client.cookies["sessionid"]
        assert log_in(client, "wrong").status_code == 403
        assert log_in(client, "enigma").text == "welcome"
        assert client.cookies["sessionid"] != before
        assert client.get("/whoami").json() == {"user": "ada", "seen": 2}
        client.get("/log-out")
        assert client.get("/whoami").json() == {"user": "", "seen": 1}


def log_in(client: httpx.Client, password: str) -> httpx.Response:
    data = {"username": "ada", "password": password}
    headers = {"X-CSRFToken": client.get("/token").text}
    return client.post("/log-in", data=data, headers=headers)


def test_a_forged_session_and_a_malformed_cookie_are_nobody(site: Site) -> None:
    for cookie in (b"sessionid=../../etc/passwd", b"sessionid=%00;;=;a", b'=\xff;"'):
        answer = httpx.get(
            f"http://127.0.0.1:{site.port}/whoami", headers={b"Cookie": cookie}
        )
        assert answer.json() == {"user": "", "seen": 1}


def test_a_post_without_its_token_is_refused(site: Site) -> None:
    with site.new_client() as client:
        answer = client.post("/log-in", data={"username": "ada", "password": "enigma"})
    assert answer.status_code == 403
    assert "CSRF verification failed" in answer.text


def test_a_large_file_is_uploaded(site: Site) -> None:
    content = os.urandom(6_000_000)
    answer = site.client.post(
        "/upload", files={"file": ("big.bin", content)}, data={"note": "größer"}
    )
    assert answer.json() == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "kind": "TemporaryUploadedFile",
        "note": "größer",
    }


def test_a_body_beyond_the_limit_is_refused(site: Site) -> None:
    assert site.client.post("/echo", content=b"x" * 900_000).text == "x" * 900_000
    answer = site.client.post("/echo", content=b"x" * 1_100_000)
    assert answer.status_code == 400
    assert "RequestDataTooBig" in answer.text


def test_a_missing_page_is_explained(site: Site) -> None:
    answer = site.client.get("/nowhere?at=all")
    assert answer.status_code == 404
    assert "tests.servers.site.urls" in answer.text


def test_an_error_of_a_view_is_explained(site: Site) -> None:
    answer = site.client.get("/broken")
    assert answer.status_code == 500
    assert "ZeroDivisionError at /broken" in answer.text
    assert "tests/servers/site/views.py" in answer.text


def test_the_admin_is_served(site: Site) -> None:
    with site.new_client() as client:
        client.get("/admin/login/")
        token = client.cookies["csrftoken"]
        data = {"username": "ada", "password": "enigma", "csrfmiddlewaretoken": token}
        assert client.post("/admin/login/?next=/admin/", data=data).status_code == 302
        assert "Site administration" in client.get("/admin/").text
        assert f"row {site.name}" in site.client.get("/groups").text
        assert "Select group to change" in client.get("/admin/auth/group/").text
