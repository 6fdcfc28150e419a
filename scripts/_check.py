"""Runs the checks that need no server: style, types, documentation."""

import argparse
import os
import sys

from _environment import ROOT, find_pairs, make_environment, run, stop_on_signals


def main() -> int:
    options = parse_arguments()
    stop_on_signals()
    tools = make_environment(find_pairs()[-1], "dev").parent
    ruff, mypy, sphinx = tools / "ruff", tools / "mypy", tools / "sphinx-build"
    if options.fix:
        commands = [[ruff, "format"], [ruff, "check", "--fix"]]
    else:
        commands = [
            [ruff, "check"],
            [ruff, "format", "--check"],
            [mypy],
            [sphinx, "-W", "--keep-going", "-q", "docs", ROOT / "docs" / "_build"],
        ]
    failed = [command for command in commands if run(command, env=os.environ)]
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="repair the style instead")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
