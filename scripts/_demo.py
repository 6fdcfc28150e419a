"""Serves the atlas of testproject/: sets up, loads the data, runs uvicorn."""

import argparse
import os
import socket
import sys

from _environment import ROOT, find_pairs, make_environment, run, stop_on_signals
from _services import postgres

SITE = ROOT / "testproject"
WELCOME = """
The atlas is at {address}

    {address}                 ten queries, one after the other and gathered
    {address}countries/NL/    a country and all that is related to it
    {address}compare/         the same view on Django's own awaitables and on ours
    {address}api/             the same as JSON, for curl and load generators

Ctrl-C stops the site and its database.
"""


def main() -> int:
    options = parse_arguments()
    stop_on_signals()
    refuse_a_taken_port(options.host, options.port)
    python = make_environment(find_pairs()[-1], "demo")
    with postgres(python) as url:
        env = os.environ | {"DATABASE_URL": url}
        manage = [python, "manage.py"]
        for command in ("migrate", "--verbosity=0"), ("load_atlas",):
            if status := run([*manage, *command], env=env, cwd=SITE):
                return status
        address = f"http://{options.host}:{options.port}/"
        print(WELCOME.format(address=address), flush=True)
        return run([python, *uvicorn(options)], env=env, cwd=SITE)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Sets up what is missing (an environment under .venv, PostgreSQL "
        "unless DATABASE_URL names one), loads the atlas and serves it until Ctrl-C.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    return parser.parse_args()


def refuse_a_taken_port(host: str, port: int) -> None:
    """Say so before the set-up, not after it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sys.exit(f"Cannot serve on port {port}: {error}. Choose another with --port.")


def uvicorn(options: argparse.Namespace) -> list[object]:
    return [
        *("-m", "uvicorn", "testproject.asgi:application"),
        *("--host", options.host, "--port", options.port),
        # Open pages that update themselves must not hold up Ctrl-C.
        *("--timeout-graceful-shutdown", 3),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
