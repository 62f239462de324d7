"""Drives a headless Chromium over its DevTools protocol, with real clicks and keys, and collects its errors."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = os.environ.get("NST_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium) nor in NST_TEST_CHROMIUM"
)
SECONDS = 30.0
"""The longest time to wait for anything."""


class Page:
    """One tab. `complaints` collects console errors, uncaught exceptions, and requests that failed or were refused."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        event, parameters = message.get("method"), message.get("params", {})
        if event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(parameters["args"]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression in the page is true."""
        until = time.monotonic() + SECONDS
        while not self.run(expression):
            assert time.monotonic() < until, f"never became true: {expression}"
            time.sleep(0.02)

    def texts(self, selector: str) -> list[str]:
        """Return the text of every element that a selector finds."""
        found = self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent.trim())")
        return [str(text) for text in found]

    def text(self, selector: str) -> str:
        """Return the text of the only element that a selector finds."""
        (text,) = self.texts(selector)
        return text

    def centre(self, selector: str) -> tuple[float, float]:
        """Scroll the first element of a selector into view, and return where its middle is."""
        x, y, is_on_top = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            " const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];"
            " const top = document.elementFromPoint(x, y);"
            " return [x, y, one.contains(top) || top?.contains(one)]; })()"
        )
        assert is_on_top, f"{selector}: another element covers it"
        return x, y

    def click(self, selector: str) -> None:
        """Press the mouse button on the middle of an element."""
        self.drag(self.centre(selector), None)

    def drag(self, start: tuple[float, float], end: tuple[float, float] | None) -> None:
        """Press the mouse button, move the mouse if there is an end, and release the button."""
        self._mouse("mouseMoved", start, 0)
        self._mouse("mousePressed", start, 1)
        if end is not None:
            self._mouse("mouseMoved", end, 1)
        self._mouse("mouseReleased", end or start, 0)

    def _mouse(self, kind: str, place: tuple[float, float], buttons: int) -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=place[0],
            y=place[1],
            button="left" if buttons or kind == "mouseReleased" else "none",
            buttons=buttons,
            clickCount=1 if kind != "mouseMoved" else 0,
        )

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key, given by the name that scripts have for it."""
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9}
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        facts = {"key": key, "windowsVirtualKeyCode": codes.get(key, _code(key)), "modifiers": 8 * shift}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, selector: str, text: str) -> None:
        """Replace the content of a text field by typing."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        for letter in text:
            self.key(letter)

    def choose(self, selector: str, value: str) -> None:
        """Choose an entry of a list, with the same event as a click: headless Chromium draws no list to click on."""
        self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.value = {json.dumps(value)};"
            " one.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        assert self.run(f"document.querySelector({json.dumps(selector)}).value") == value

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Set the size of the window in CSS pixels."""
        facts = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}
        self.call("Emulation.setDeviceMetricsOverride", **facts)

    def prefer(self, theme: str) -> None:
        """Set the colour scheme of the system: light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def screenshot(self, path: str | Path, *, whole: bool = False) -> None:
        """Save a PNG of the visible part, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(answer["data"]))


def _code(key: str) -> int:
    """Return a key's code: that of the letter or digit itself; 0 for other signs, whose text alone counts."""
    return ord(key.upper()) if len(key) == 1 and key.isalnum() else 0


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start a browser with one empty tab. Its profile is a temporary folder."""
    assert CHROMIUM is not None
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_tab(profile, process), max_size=None, open_timeout=SECONDS) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tab(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    """Return the DevTools address of the only tab, as soon as the browser listens."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=SECONDS) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        except (FileNotFoundError, IndexError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"{CHROMIUM} did not start within {SECONDS:.0f} s (exit code {process.poll()})")
