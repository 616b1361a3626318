"""Headless Chromium: chromium.py URL MODE. Serves the page that runs web_socket.js, and prints what the page posts back."""

import http.server
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).parent
PAGE = b"""<!doctype html><title>client</title><script type="module">
import { run } from "/web_socket.js";
const query = new URLSearchParams(location.search);
let last = Promise.resolve();
const report = line => last = last.then(() => fetch("/report", { method: "POST", body: line }));
run(WebSocket, query.get("url"), query.get("mode"), report);
</script>"""
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
    "--disable-breakpad", "--no-default-browser-check",
]

closed = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/web_socket.js":
            self.answer("text/javascript", (HERE / "web_socket.js").read_bytes())
        else:
            self.answer("text/html", PAGE)

    def do_POST(self) -> None:
        line = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(line, flush=True)
        self.answer("text/plain", b"")
        if line.startswith(("closed", "wrong")):
            closed.set()

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main(url: str, mode: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/?{urlencode({'url': url, 'mode': mode})}"
        browser = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        closed.wait(60)
        browser.terminate()
        browser.wait(10)
        server.shutdown()


main(*sys.argv[1:])
