"""A real browser on a real server: what `curate review` starts, in headless Chromium."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
PATIENCE_MS = 60_000

# The component is inside of a shadow root; Playwright's selectors look into it, plain scripts do not.
DESK = """(() => { for (const node of document.querySelectorAll("*")) {
  const found = node.shadowRoot && node.shadowRoot.querySelector(".desk"); if (found) return found; } })()"""


class Server:
    """`curate review` as a process of its own; can be killed and started again on the same port."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "curation", "review", "--no-browser", "--port", str(self.port)]
        log = (self.workspace / "server.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--workspace", str(self.workspace)], stdout=log, stderr=log, cwd=self.workspace
        )
        log.close()
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.25)
        raise AssertionError((self.workspace / "server.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def serving(workspace: Path) -> Iterator[Server]:
    server = Server(workspace)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser, or the test is skipped with the reason."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright comes with the dev extra")
    if not Path(CHROMIUM).exists():
        pytest.skip("chromium is not installed; .ci/run installs it")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Reader:
    """One page in the browser, and what it must never do: talk to strangers, show a dialog, fail."""

    def __init__(self, browser: Any, url: str, reviewer: str = "ann", path: str = "/", **settings: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.url = url
        self.strangers: list[str] = []
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.warned = False
        self.page.on("request", lambda request: self._seen(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dialog)
        if reviewer:
            self.page.add_init_script(f"localStorage.setItem('curate:reviewer', JSON.stringify({reviewer!r}))")
        self.page.goto(url + path)

    def _seen(self, url: str) -> None:
        if not url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            self.strangers.append(url)

    def _dialog(self, dialog: Any) -> None:
        if dialog.type == "beforeunload":  # our own: something is not saved yet
            self.warned = True
            dialog.accept()
            return
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def desk(self, expression: str) -> Any:
        """What `expression` says of the component's root, called `desk`."""
        return self.page.evaluate(f"(() => {{ const desk = {DESK}; return desk && ({expression}); }})()")

    def wait(self, expression: str) -> None:
        """Until `expression` is true of the component's root, called `desk`."""
        self.page.wait_for_function(f"(() => {{ const desk = {DESK}; return desk && ({expression}); }})()")

    @property
    def item(self) -> str:
        return str(self.desk("desk.dataset.item") or "")

    def ready(self) -> None:
        self.wait("desk.dataset.item")

    def saved(self) -> None:
        self.wait("desk.dataset.pending === '0' && desk.dataset.state === 'saved'")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def decide(self, *keys: str) -> None:
        """Press the keys of one decision, and wait until the next item is on screen."""
        before = self.item
        self.press(*keys)
        self.wait(f"desk.dataset.item && desk.dataset.item !== '{before}'")

    def check(self) -> None:
        """No script error, no dialog, nothing asked of any other host."""
        assert (self.errors, self.dialogs, self.strangers) == ([], [], [])
        self.context.close()
