"""A server that may not wait for ever ends views that would never end."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.processes import LOOPS, PATIENCE, served, uvicorn


@pytest.mark.parametrize("path", ["/sleep", "/sleep-sync"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_view_that_never_ends_is_cancelled_with_its_statement(
    loop: str, path: str, site_database: str
) -> None:
    kind = uvicorn(loop)
    command = f"{kind.command} --timeout-graceful-shutdown 1"
    with served(kind._replace(command=command), site_database) as site:
        with ThreadPoolExecutor(1) as executor, site.new_client() as client:
            answer = executor.submit(client.get, path)
            site.until(site.running, "began the statement")
            site.terminate()
            assert answer.exception(PATIENCE) or answer.result().status_code == 500
        site.process.wait(PATIENCE)
        site.until(lambda: not site.sessions(), "closed its connections")
        assert "was destroyed" not in site.log()
        assert "never" not in site.log()
