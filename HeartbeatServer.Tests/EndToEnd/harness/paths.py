"""The paths of the repository's files that the suite runs, checks or reads."""

from pathlib import Path

SUITE = Path(__file__).resolve().parent.parent
CLIENTS = SUITE / "clients"
AXE = CLIENTS / "ws/node_modules/axe-core/axe.min.js"
APPLICATIONS = SUITE / "applications"
REPOSITORY = SUITE.parent.parent
DASHBOARD = REPOSITORY / "HeartbeatServer/Admin/Dashboard"

ONE_SERVER_NGINX = REPOSITORY / "deploy/one-server/nginx.conf"
ONE_SERVER_HAPROXY = REPOSITORY / "deploy/one-server/haproxy.cfg"
ONE_SERVER_APACHE = REPOSITORY / "deploy/one-server/apache.conf"
ONE_SERVER_CADDY = REPOSITORY / "deploy/one-server/Caddyfile"
SEVERAL_SERVERS_NGINX = REPOSITORY / "deploy/several-servers/nginx.conf"
SEVERAL_SERVERS_HAPROXY = REPOSITORY / "deploy/several-servers/haproxy.cfg"
RELAY_NGINX = REPOSITORY / "deploy/relay/nginx.conf"
RELAY_HAPROXY = REPOSITORY / "deploy/relay/haproxy.cfg"

COMPOSE = REPOSITORY / "deploy/compose/compose.yaml"
COMPOSE_HAPROXY = REPOSITORY / "deploy/compose/haproxy.cfg"
PROMETHEUS = REPOSITORY / "deploy/compose/prometheus.yml"
ALERTS = REPOSITORY / "deploy/monitoring/alerts.yml"
GRAFANA = REPOSITORY / "deploy/monitoring/grafana.json"
KUBERNETES = REPOSITORY / "deploy/kubernetes.yaml"
KUBERNETES_RELAY = REPOSITORY / "deploy/relay/kubernetes.yaml"
SYSTEMD_UNIT = REPOSITORY / "deploy/heartbeat-server.service"


def name_of(file: Path) -> str:
    """The file's path inside the repository."""
    return str(file.relative_to(REPOSITORY))
