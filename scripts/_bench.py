"""Runs benchmarks/: sets up an environment with the peers, and PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from _environment import find_pairs, make_environment, run, stop_on_signals
from _services import postgres, redis


def main() -> int:
    stop_on_signals()
    python = make_environment(find_pairs()[-1], "bench")
    command = [python, "-m", "benchmarks", *sys.argv[1:]]
    if {"-h", "--help"} & set(sys.argv):
        return run(command, env=os.environ)
    with postgres(python) as url, _redis() as redis_url:
        urls = {"DATABASE_URL": url, "REDIS_URL": redis_url}
        return run(command, env=os.environ | urls)


@contextmanager
def _redis() -> Iterator[str]:
    if not {"--cache", "--detector"} & set(sys.argv):
        yield ""
        return
    with redis() as url:
        if url is None:
            sys.exit("There is no Redis, which is needed.")
        yield url


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
