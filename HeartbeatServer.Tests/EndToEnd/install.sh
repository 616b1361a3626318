#!/usr/bin/env bash
# Installs pytest, and what the end-to-end suite runs against: clients, proxies and applications, from Debian and npm. Needs root.
# On a machine with systemd Debian starts nginx, haproxy, apache2, caddy, mosquitto and prometheus as services; the suite does not need those: it starts its own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

packages=(python3-pytest python3-pytest-xdist python3-pytest-timeout iproute2 nginx haproxy apache2 caddy prometheus systemd chromium libnss3-tools openssl buildah
    python3-websockets
    python3-wsproto uvicorn mosquitto golang-go golang-github-gorilla-websocket-dev)
command -v node >/dev/null || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
fi

for folder in clients/ws applications; do
    npm ci --prefix "$here/$folder" --omit=dev --no-audit --no-fund
done
