"""Headless Chromium, driven through a pipe by the DevTools protocol: JSON messages, each ended by a zero byte."""

import contextlib
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from .expect import Failure, eventually, expect, short
from .lab import Lab, need
from .paths import AXE

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
    "--disable-breakpad", "--no-default-browser-check", "--remote-debugging-pipe",
]

ON_EVERY_PAGE = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""

KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, "")}


def high_pipe() -> tuple[int, int]:
    """Makes a pipe with high descriptors, because the browser needs the low ones."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return high


class Page:
    """A page in a browser of its own. `console` has what the page writes to its console, and `requests` what it asks for."""

    def __init__(self, lab: Lab) -> None:
        self.console: list[dict] = []
        self.requests: list[str] = []
        from_us, self._to = high_pipe()
        self._from, to_us = high_pipe()
        # The browser reads commands from descriptor 3, and writes answers to descriptor 4.
        lab.start(
            ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "bash", need("chromium"), *FLAGS, f"--user-data-dir={lab.scratch / 'profile'}"],
            pass_fds=(from_us, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self._buffer = bytearray()
        self._calls = 0
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=ON_EVERY_PAGE)

    def call(self, method: str, **parameters: Any) -> dict:
        self._calls += 1
        number = self._calls
        os.write(self._to, json.dumps({"id": number, "method": method, "params": parameters, **self._session}).encode() + b"\0")
        while (message := self._receive()).get("id") != number:
            self._note(message)
        if "error" in message:
            raise Failure(f"{method}: {message['error']['message']}")
        return message["result"]

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failure(f"{expression}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The visible text of the first element that matches; "" if there is none."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait(self, what: str, expression: str, timeout: float = 20.0) -> Any:
        return eventually(f"{what} on the page", lambda: self.evaluate(expression), timeout, every=0.1)

    def wait_for_text(self, selector: str, text: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while text not in (seen := " ".join(self.text(selector).split())):
            if time.monotonic() > deadline:
                raise Failure(f"expected within {timeout:g}s {text!r} in {selector}; there is {short(seen, 1500)}")
            time.sleep(0.1)

    def press(self, key: str) -> None:
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **({"text": text} if text and kind == "keyDown" else {}))

    def tab_to(self, text: str) -> None:
        """Presses Tab until the element with this text has the focus."""
        for _ in range(100):
            self.press("Tab")
            if self.evaluate("document.activeElement.textContent") == text:
                return
        raise Failure(f"expected Tab to come to {text!r}: it did not")

    def look(self, width: int, scheme: str) -> None:
        """Sets the width of the window in pixels, and the colour scheme: light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def expect_quiet_console(self) -> None:
        expect("errors on the console", self.console, [])
        expect("violations of the content security policy", self.evaluate("violations"), [])

    def expect_accessible(self, state: str) -> None:
        """Has axe look at the page as it is, on a wide and on a narrow screen, light and dark. state: what the page shows."""
        self.evaluate(AXE.read_text())
        for width in (1400, 390):
            for scheme in ("light", "dark"):
                self.look(width, scheme)
                found = self.call(
                    "Runtime.evaluate", awaitPromise=True, returnByValue=True,
                    expression="axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 100))]))")
                expect(f"what axe finds where the page shows {state}, {width} px wide, {scheme}", found["result"].get("value"), [])

    def _receive(self) -> dict:
        while (end := self._buffer.find(b"\0")) < 0:
            received = os.read(self._from, 1 << 16)
            if not received:
                raise Failure("Chromium ended")
            self._buffer += received
        message = json.loads(self._buffer[:end])
        del self._buffer[:end + 1]
        return message

    def _note(self, message: dict) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.console.append({"source": "exception", "text": parameters["exceptionDetails"].get("exception", {}).get("description")})
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                self.console.append({"source": "console", "text": str(parameters["args"])})
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.console.append({"source": parameters["entry"]["source"], "text": parameters["entry"]["text"]})
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])

    def close(self) -> None:
        for descriptor in (self._to, self._from):
            os.close(descriptor)


@contextlib.contextmanager
def page(lab: Lab) -> Iterator[Page]:
    opened = Page(lab)
    try:
        yield opened
    finally:
        opened.close()
