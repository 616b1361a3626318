"""A Prometheus that scrapes servers: each query of the Grafana dashboard and of the alerts finds what is meant."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness.expect import Failure, eventually, expect, expect_that
from harness.lab import Lab, need
from harness.paths import ALERTS, GRAFANA
from harness.peer import Peer, upgrade_request
from harness.server import free_port

VARIABLES = {"$job": "heartbeat", "$instance": ".*", "$__rate_interval": "10s"}


def queries(dashboard: dict) -> list[tuple[str, str]]:
    """The title and the expression of each query, with values in place of the variables."""
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]
    return [(title, re.sub("|".join(map(re.escape, VARIABLES)), lambda name: VARIABLES[name[0]], expression)) for title, expression in found]


@pytest.mark.timeout(120)
def test_every_query_of_the_dashboard_and_of_the_alerts_finds_its_series(lab: Lab) -> None:
    ports = [free_port() for _ in range(2)]
    application = lab.server("--admin", str(ports[0]), "--ping", "200ms", "--max-connections", "1000")
    application.wait_until_it_listens()
    relay = lab.server("--admin", str(ports[1]), "--ping", "200ms", "--upstream", f"ws://127.0.0.1:{application.port}")
    relay.wait_until_it_listens()
    config = lab.scratch / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
        f"rule_files: ['{ALERTS}']\n"
        f"scrape_configs: [{{job_name: heartbeat, static_configs: [{{targets: {json.dumps([f'127.0.0.1:{port}' for port in ports])}}}]}}]\n")
    port = free_port()
    log = (lab.scratch / "prometheus.log").open("w")
    lab.start(
        [need("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={lab.scratch / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=log, stderr=subprocess.STDOUT)

    def ask(path: str, **parameters: str) -> object:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it starts
                return None
            raise Failure(f"Prometheus refuses {parameters}: {error.read().decode()}") from error
        except OSError:
            return None

    eventually("both servers to be scraped", lambda: len((ask("query", query="up == 1") or {"result": []})["result"]) == 2, 30)
    # Something happens to each of them between two scrapes.
    for server in (application, relay):
        for _ in range(2):
            with Peer(server.port) as peer:
                expect("a ping", peer.receive()[0], "ping")
    with Peer(application.port, upgrade=False) as lost:
        lost.send(upgrade_request(application.port, path="/elsewhere"))
        expect("status", lost.response()[0], 404)

    dashboard = json.loads(GRAFANA.read_text())
    expect("ids of panels that are not unique", len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
    wanted = queries(dashboard)
    expect_that("queries at all", len(wanted) > 30, wanted)
    # A start is in the past by now: this query is only asked.
    ask("query", query=dict(wanted)["Starts"])
    with Peer(relay.port):
        def unanswered() -> list[tuple[str, str]]:
            return [(title, expression) for title, expression in wanted if title != "Starts" and not ask("query", query=expression)["result"]]

        deadline = time.monotonic() + 30
        while (missing := unanswered()) and time.monotonic() < deadline:
            time.sleep(0.5)
        expect("queries that find nothing", missing, [])
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    expect_that("rules at all", len(rules) >= 6, rules)
    expect("rules that Prometheus cannot evaluate", [rule["name"] for rule in rules if rule["health"] != "ok"], [])
