"""Runs benchmarks/: sets up an environment with the peers, and PostgreSQL."""

import os
import sys

from _environment import find_pairs, make_environment, run, stop_on_signals
from _services import postgres


def main() -> int:
    stop_on_signals()
    python = make_environment(find_pairs()[-1], "bench")
    command = [python, "-m", "benchmarks", *sys.argv[1:]]
    if {"-h", "--help"} & set(sys.argv):
        return run(command, env=os.environ)
    with postgres(python) as url:
        return run(command, env=os.environ | {"DATABASE_URL": url})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
