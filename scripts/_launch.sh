# Sourced by the launchers: runs the Python program "$1" of this folder with the
# newest Python found. That Python needs nothing installed; see _environment.py.

scripts=$(dirname "$0")
program=$1
shift

for python in python3.14 python3.13 python3.12 python3.11 python3 python \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-4].*/bin/python; do
    # A name on PATH may be a pyenv shim that cannot run: try it.
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" "$scripts/$program" "$@"
    fi
done

echo "No Python 3.11 or newer found on PATH: install one from https://www.python.org/" >&2
exit 1
