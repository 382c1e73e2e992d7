"""From a key press to the next item on screen in a real browser, and until the decision is saved.

    python pipelines/review_latency_benchmark.py [--items 10000] [--decisions 200] [--pause 0.5] [--workspace DIR]

Starts `curate review` on a data set of that many items whose pictures are photographs in size (1,600 x 1,200 px, some
300 KB, many of them copies of the same bytes), opens Chromium, and presses keys. On screen: the frame after the one in
which the picture of the next item is in the page, image decoded. Saved: the server's answer that has the decision.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curation import runs
from curation.detectors import ISSUE_COLUMNS
from curation.records import SAMPLE_COLUMNS, empty_samples

CLASSES, FILES, NEIGHBOURS = 100, 200, 10
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# Runs in the page before anything else: times every key press.
WATCH = """
(() => {
  window.curateTimes = [];
  let pressed = null;
  const desk = () => {
    for (const node of document.querySelectorAll("*")) {
      const found = node.shadowRoot?.querySelector(".desk");
      if (found) return found;
    }
  };
  window.curateDesk = desk;
  const watch = new MutationObserver(() => {
    const now = desk();
    if (!pressed || !now) return;
    const time = pressed;
    if (!time.shown && now.dataset.item !== time.item) {
      time.shown = -1;
      const picture = now.querySelector("img");
      const stop = () => { time.shown = performance.now() - time.at; };
      const painted = () => requestAnimationFrame(() => setTimeout(stop, 0));
      picture ? picture.decode().then(painted, painted) : painted();
    }
    if (!time.saved && time.sent && now.dataset.pending === "0") time.saved = performance.now() - time.at;
    if (now.dataset.pending !== "0") time.sent = true;
  });
  window.addEventListener("keydown", () => {
    const now = desk();
    if (!now) return;
    if (!now.watched) { now.watched = true; watch.observe(now, { attributes: true }); }
    pressed = { at: performance.now(), item: now.dataset.item };
    window.curateTimes.push(pressed);
  }, true);
})();
"""


def make_workspace(folder: Path, items: int, seed: int = 0) -> None:
    """A finished run of `items` photographs, every second one flagged."""
    rng = np.random.default_rng(seed)
    root = folder / "pictures"
    root.mkdir(parents=True)
    ramp = np.linspace(0, 1, 1600)[None, :, None] * np.linspace(0.2, 1, 1200)[:, None, None]
    for number in range(min(FILES, items)):
        noise = np.kron(rng.normal(0, 18, (300, 400, 3)), np.ones((4, 4, 1)))
        pixels = np.clip(ramp * rng.integers(80, 255, 3) + noise + rng.normal(0, 6, (1200, 1600, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"p{number}.jpg", quality=85)
    for number in range(FILES, items):
        os.link(root / f"p{number % FILES}.jpg", root / f"p{number}.jpg")
    names = [f"class {number:03d}" for number in range(CLASSES)]
    labels = rng.integers(0, CLASSES, items)
    samples = empty_samples(items)
    samples["sample_id"] = [f"s{number:016x}" for number in range(items)]
    samples["path"] = [f"p{number}.jpg" for number in range(items)]
    samples["split"], samples["status"], samples["format"] = "train", "ok", "JPEG"
    samples["width_px"], samples["height_px"] = np.int32(1600), np.int32(1200)
    samples = samples.astype(SAMPLE_COLUMNS)
    samples["given_label"] = pd.Series([names[label] for label in labels], dtype="str")
    probs = rng.dirichlet(np.full(CLASSES, 0.05), items).astype(np.float32)
    near = rng.integers(0, items, (items, NEIGHBOURS))
    with runs.open_partial(folder, "photos-0") as partial:
        partial.write_table("samples", samples)
        partial.write_table("issues", _findings(samples, probs, labels, names, near))
        partial.write_array("pred_probs", probs)
        partial.write_array("neighbours", near)
        partial.write_array("neighbour_distances", np.full(near.shape, 0.1, dtype=np.float32))
        facts = {"dataset": "photos", "root": str(root), "classes": names, "issues": {"label_error": items // 2}}
        runs.finish(partial, {**facts, "samples": items, "manifest_version": "v0001"})


def _findings(
    samples: pd.DataFrame, probs: np.ndarray, labels: np.ndarray, names: list[str], near: np.ndarray
) -> pd.DataFrame:
    ids = samples["sample_id"].tolist()
    given = probs[np.arange(len(ids)), labels]
    order = np.argsort(given, kind="stable")
    top = np.argsort(-probs, axis=1)[:, :3]
    table = pd.DataFrame(
        {
            "sample_id": [ids[row] for row in order],
            "annotation_id": [f"{ids[row]}-0" for row in order],
            "issue": "label_error",
            "score": given[order].astype(np.float64),
            "is_issue": np.arange(len(ids)) < len(ids) // 2,
            "rank": np.arange(1, len(ids) + 1),
            "given_label": [names[labels[row]] for row in order],
            "suggestion": [names[top[row, 0]] for row in order],
            "evidence": [
                json.dumps(
                    {
                        "p_given": float(given[row]),
                        "top3": [[names[k], float(probs[row, k])] for k in top[row]],
                        "neighbours": [[ids[n], names[labels[n]], 0.1] for n in near[row, :5]],
                        "judged": True,
                    }
                )
                for row in order
            ],
        }
    )
    types = {name: "str" for name in ISSUE_COLUMNS if name not in ("score", "is_issue", "rank")}
    return table[list(ISSUE_COLUMNS)].astype({**types, "score": "float64", "is_issue": "bool", "rank": "int64"})


def measure(workspace: Path, port: int, decisions: int, pause: float) -> dict[str, list[float]]:
    """Milliseconds until shown and until saved, of each decision."""
    from playwright.sync_api import sync_playwright

    server = subprocess.Popen(
        [sys.executable, "-m", "curation", "review", "--workspace", str(workspace), "--port", str(port), "--no-browser"]
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script("localStorage.setItem('curate:reviewer', '\"bench\"');" + WATCH)
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function("window.curateDesk()?.dataset.item", timeout=120_000)
            time.sleep(2)
            for number in range(decisions):
                page.keyboard.press("1" if number % 2 else "Space")
                time.sleep(pause)
            page.wait_for_function("window.curateDesk().dataset.pending === '0'", timeout=30_000)
            times = page.evaluate("window.curateTimes")
            browser.close()
    finally:
        server.terminate()
        server.wait(20)
    return {kind: [time[kind] for time in times if time.get(kind)] for kind in ("shown", "saved")}


def wait_for(url: str) -> None:
    """Until a server answers; a minute at most."""
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} does not answer.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between key presses")
    parser.add_argument("--port", type=int, default=8710)
    parser.add_argument("--workspace", type=Path, help="made if it is not there, and kept (default: a temporary one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.workspace or Path(temporary) / "workspace"
        if not folder.exists():
            make_workspace(folder, chosen.items)
        times = measure(folder, chosen.port, chosen.decisions, chosen.pause)
    for kind, values in times.items():
        middle, late = np.percentile(values, [50, 95]) if values else (float("nan"), float("nan"))
        print(f"{kind}: median {middle:.0f} ms, 95 % {late:.0f} ms, of {len(values)} decisions")


if __name__ == "__main__":
    main()
