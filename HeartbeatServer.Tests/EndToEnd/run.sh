#!/usr/bin/env bash
# The end-to-end suite: real clients, real proxies, conformance, hostile input. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# SAFEPATH: no file of the current folder stands in for one of Python's modules.
export PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
show=(--verbose)
if [ "${1:-}" = --list ]; then
    show=(--collect-only --quiet)
    shift
fi
# Debian's Python: it is the one that has Debian's pytest, websockets and wsproto.
exec /usr/bin/python3 -m pytest -c "$here/pytest.ini" "${show[@]}" "$here/cases" "$@"
