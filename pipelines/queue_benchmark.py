"""How long the review store takes with 1,000,000 items, and whether 8 processes that review one queue keep apart.

    python pipelines/queue_benchmark.py [--items 1000000] [--store postgresql://user@host/database] [--reviewers 8]

Without --store, SQLite in a temporary folder. Every claim is by another tab, as if others held everything before: a
lease is written, and the transaction is on the disk when the clock stops. The made-up queue is long-tailed as real ones
are: 1,000 classes of very different size, flagged items first, a rare issue at the very end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation import store
from curation.decisions import Action, Decision
from curation.store import Filters

REPEATS = 21
DECISIONS = 200  # of each competing process


def make_items(count: int) -> pd.DataFrame:
    """Items in the order of their priority, as `fill` takes them."""
    random = np.random.default_rng(0)
    ids = np.array([f"s{number:016x}" for number in random.permutation(count)], dtype=object)
    place = np.arange(count)
    issue = np.where(place < count * 0.95, "label_error", "").astype(object)
    issue[place % 97 == 5] = "near_duplicate"
    issues = np.where(place < count * 0.05, issue, "").astype(object)
    issues[place % 211 == 3] += ",low_information"
    issues[-3:] = "dark"
    classes = np.minimum(random.geometric(0.01, count), 1000)
    return pd.DataFrame(
        {
            "item_id": ids,
            "kind": np.where(issue == "near_duplicate", "duplicates", "sample"),
            "members": [f'["{sample_id}"]' for sample_id in ids],
            "issue": issue,
            "issues": issues,
            "priority": -place.astype(float),
            "given_label": [f"class {number}" for number in classes],
            "suggestion": [f"class {number}" for number in random.integers(1, 1001, count)],
            "split": random.choice(["train", "train", "train", "val", "test"], count),
            "path": [f"images/class {number}/{sample_id}.jpg" for number, sample_id in zip(classes, ids, strict=True)],
            "score": random.random(count),
        }
    )


def report(
    what: str, work: Callable[[], object], repeats: int = REPEATS, afterwards: Callable[[], object] = lambda: None
) -> None:
    """Print the median and the longest time that `work` takes, and the first; `afterwards` is not timed."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = work()
        times.append((time.perf_counter() - started) * 1e3)
        afterwards()
    count = f"{len(found)} found" if isinstance(found, list) else ""
    print(f"  {what:<58} {np.median(times):8.1f} ms   first {times[0]:8.1f}   longest {max(times):8.1f}   {count}")


def time_claims(engine: Engine, dataset: str, items: pd.DataFrame) -> None:
    """The next item, with every kind of filter; "once" = what is looked up before it is remembered."""
    last, suggestion = items["item_id"].iloc[-2], items["suggestion"].iloc[-1]
    filters = {
        "no filter": Filters(),
        "issue": Filters(issue="low_information"),
        "the rarest issue, at the end of the queue": Filters(issue="dark"),
        "an issue that nothing has": Filters(issue="outlier"),
        "a frequent class": Filters(given_label="class 1"),
        "a rare class": Filters(given_label="class 950"),
        "split": Filters(split="test"),
        "issue, class and split": Filters(issue="low_information", given_label="class 3", split="test"),
        "kind": Filters(kind="duplicates"),
        "state that nothing has": Filters(state="disagreement"),
        "reviewer who decided nothing": Filters(reviewer="nobody"),
        "text that much has": Filters(text="CLASS 7"),
        "text that one item has": Filters(text=last),
        "text that nothing has": Filters(text="no such text"),
        "suggestion": Filters(suggestion=suggestion),
        "class and suggestion (a cell of the grid)": Filters(given_label="class 1", suggestion=suggestion),
        "one item by its id": Filters(item_id=last),
    }
    for name, wanted in filters.items():
        tabs: list[str] = []

        def next_item(wanted: Filters = wanted, tabs: list[str] = tabs) -> list[store.Item]:
            tabs.append(uuid.uuid4().hex)
            return store.claim(engine, dataset, "ann", tabs[-1], wanted)

        def give_back(wanted: Filters = wanted, tabs: list[str] = tabs) -> None:
            if wanted.text or wanted.item_id or wanted.issue == "dark":  # else nothing is left for the next tab
                store.release(engine, dataset, tabs[-1])

        report(f"next item: {name}", next_item, afterwards=give_back)
    report(
        "next 6 items, again, by the tab that holds them", lambda: store.claim(engine, dataset, "bob", "tab", count=6)
    )


def time_decisions(engine: Engine, dataset: str) -> None:
    """Record, undo, and what the overview reads."""
    waiting = store.claim(engine, dataset, "cid", "tab of cid", count=3 * REPEATS)

    def decide() -> None:
        item_id = waiting.pop().item_id
        made = (Decision(item_id, item_id, "keep"),)
        store.record(engine, Action(uuid.uuid4().hex, dataset, "cid", made, session="tab of cid"))

    report("record one decision", decide)
    report("undo one action", lambda: store.undo(engine, dataset, "cid", undo_id=uuid.uuid4().hex))
    report("progress", lambda: store.progress(engine, dataset), 3)
    report("new priorities for 10,000 items", lambda: _reorder(engine, dataset), 1)


def _reorder(engine: Engine, dataset: str) -> None:
    ids = [item.item_id for item in store.find_items(engine, dataset, count=10_000)]
    store.set_priorities(engine, dataset, {item_id: float(place) for place, item_id in enumerate(ids)})


def compete(target: str, reviewers: int) -> None:
    """Processes that review one queue: each item is decided once, none is lost, none is doubled."""
    engine = store.open_store(target if "://" in target else Path(target))
    dataset = f"competition {uuid.uuid4().hex[:8]}"
    store.fill(engine, dataset, "run", "v0001", make_items(reviewers * DECISIONS))
    command = [sys.executable, __file__, "--store", target, "--compete-on", dataset]
    started = time.perf_counter()
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(reviewers)]
    said = [worker.communicate()[0].split() for worker in workers]
    seconds = time.perf_counter() - started
    rows = store.decisions(engine, dataset)
    done = len(store.find_items(engine, dataset, Filters(state="done"), len(rows) + 1))
    wanted = reviewers * DECISIONS
    right = len(rows) == rows["item_id"].nunique() == done == wanted == sum(int(count) for count, *_ in said)
    waits = sorted(float(value) for _, *times in said for value in times)
    verdict = "each once" if right else "WRONG"
    print(
        f"  {reviewers} processes x {DECISIONS} decisions on one queue: {len(rows):,} recorded on "
        f"{rows['item_id'].nunique():,} items, {done:,} done: {verdict}; {seconds:.1f} s with starting, "
        f"{len(rows) / seconds:.0f} per second; claim and record: median {np.median(waits):.0f} ms, 95 % "
        f"{np.percentile(waits, 95):.0f} ms, longest {waits[-1]:.0f} ms"
    )
    assert right


def review(target: str, dataset: str) -> None:
    """One of the competitors: print how many items it decided, and how long each took, in ms."""
    engine = store.open_store(target if "://" in target else Path(target))
    me = uuid.uuid4().hex
    times = []
    while True:
        started = time.perf_counter()
        found = store.claim(engine, dataset, me, me)
        if not found:
            break
        made = (Decision(found[0].item_id, found[0].item_id, "keep"),)
        store.record(engine, Action(uuid.uuid4().hex, dataset, me, made, session=me))
        times.append((time.perf_counter() - started) * 1e3)
    print(len(times), *(f"{value:.1f}" for value in times))


def main() -> None:
    """Print seconds and milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--store", default="", help="URL of an empty PostgreSQL database")
    parser.add_argument("--reviewers", type=int, default=8)
    parser.add_argument("--compete-on", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compete_on:
        review(options.store, options.compete_on)
        return
    with tempfile.TemporaryDirectory(prefix="queue-benchmark-") as folder:
        target = options.store or folder
        engine = store.open_store(target if "://" in target else Path(target))
        print(f"{engine.dialect.name}, {options.items:,} items")
        items = make_items(options.items)
        dataset = f"benchmark {uuid.uuid4().hex[:8]}"
        report("fill the queue", lambda: store.fill(engine, dataset, "run", "v0001", items), 1)
        report("fill it again with the same", lambda: store.fill(engine, dataset, "run", "v0001", items), 1)
        time_claims(engine, dataset, items)
        time_decisions(engine, dataset)
        changed = items.assign(priority=items["priority"].to_numpy()[::-1])
        report("fill it again, all in another order", lambda: store.fill(engine, dataset, "run-2", "v0001", changed), 1)
        compete(target, options.reviewers)
        engine.dispose()


if __name__ == "__main__":
    main()
