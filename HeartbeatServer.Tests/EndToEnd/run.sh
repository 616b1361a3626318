#!/usr/bin/env bash
# The end-to-end suite: real clients, real proxies, conformance, hostile input. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
# Debian's Python: it is the one that has Debian's websockets and wsproto.
exec /usr/bin/python3 -m endtoend "$@"
