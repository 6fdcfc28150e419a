"""Runs the stress test for as long as you like: see tests/stress/soak.py."""

import os
import sys

from _environment import find_pairs, make_environment, run, stop_on_signals
from _services import postgres


def main() -> int:
    stop_on_signals()
    python = make_environment(find_pairs()[-1], "test")
    command = [python, "-m", "tests.stress", *sys.argv[1:]]
    with postgres(python) as url:
        return run(command, env=os.environ | {"DATABASE_URL": url})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
