"""Take the README's pictures of the review app, from a workspace that `curate demo` made.

    python pipelines/draw_app_pictures.py demo

Reviews nothing that stays: works on a copy of the workspace.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from review_latency_benchmark import CHROMIUM, CHROMIUM_FLAGS, WATCH, wait_for

DOCS = Path(__file__).parents[1] / "docs"
SIZE = {"width": 1280, "height": 800}


def take(page: Page, name: str) -> None:
    """Save what is on screen as docs/NAME.png."""
    page.wait_for_timeout(1500)
    page.wait_for_function("!document.querySelector('[data-stale=true]')")  # Streamlit fades what it is redrawing
    page.screenshot(path=DOCS / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--port", type=int, default=8711)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "demo"
        shutil.copytree(chosen.workspace, copy)
        command = [sys.executable, "-m", "curation", "review", "--no-browser", "--port", str(chosen.port)]
        server = subprocess.Popen([*command, "--workspace", str(copy)])
        try:
            url = f"http://127.0.0.1:{chosen.port}"
            wait_for(f"{url}/_stcore/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
                page = browser.new_page(viewport=SIZE)
                page.add_init_script("localStorage.setItem('curate:reviewer', '\"ann\"');" + WATCH)
                page.goto(f"{url}/duplicates")
                page.wait_for_function("window.curateDesk()?.dataset.item", timeout=120_000)
                take(page, "duplicates")
                page.goto(url)
                page.wait_for_function("window.curateDesk()?.dataset.item", timeout=120_000)
                labels = 0
                while labels < 4:  # past the cases of duplicates, whose items begin with d, to single labels
                    item = page.evaluate("window.curateDesk().dataset.item")
                    labels += not item.startswith("d")
                    if labels < 4:
                        page.keyboard.press("Enter")
                        ready = f"window.curateDesk().dataset.item && window.curateDesk().dataset.item !== '{item}'"
                        page.wait_for_function(ready)
                take(page, "review")
                browser.close()
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
