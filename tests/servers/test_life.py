"""The life of each ASGI server: it opens the pools, and ends without losing work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.processes import ASGI_SERVERS, PATIENCE, Site, served


@pytest.fixture(params=ASGI_SERVERS, ids=str)
def mortal(request: pytest.FixtureRequest, site_database: str) -> Iterator[Site]:
    """A server of the test's own, which it may end."""
    with served(request.param, site_database) as found:
        yield found


def test_a_server_ends_after_the_request_in_flight(mortal: Site) -> None:
    name = f"end of {mortal.name}"
    with ThreadPoolExecutor(1) as executor, mortal.new_client() as client:
        answer = executor.submit(client.get, f"/slow/{name}")
        mortal.until(lambda: mortal.groups(f"{name} has begun"), "began the request")
        mortal.terminate()
        if mortal.kind.finishes:
            mortal.make_group(name)
            assert answer.result(PATIENCE).text == "finished"
        else:
            assert answer.exception(PATIENCE) is not None
    mortal.process.wait(PATIENCE)
    mortal.until(lambda: not mortal.sessions(), "closed its connections")
    assert not mortal.complaints(), mortal.log()


def test_the_lifespan_opens_and_closes_the_pools(mortal: Site) -> None:
    if not mortal.kind.has_lifespan:
        # Its pools open with the first request and end with the process.
        mortal.client.get("/groups")
        assert mortal.state()["pool"]["size"] >= 1
        return
    mortal.client.close()
    mortal.terminate()
    mortal.process.wait(PATIENCE)
    steps = mortal.steps()
    assert steps["lifespan.startup.complete"] >= 1
    assert steps["lifespan.shutdown.complete"] == 0
