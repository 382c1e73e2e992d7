"""How long edits of boxes take at size: the queue, the desk, publishing, comparing, taking back, bringing together.

    python pipelines/edits_benchmark.py [--pictures 100000] [--boxes 10] [--edits 10000] [--profile STEP]

A made-up set of boxes with a finished run (one `label_error` row per box, every hundredth flagged) and a real SQLite
store in a temporary folder; there are no picture files. Edits: a box relabelled, moved, removed or added in turn.
--profile prints where the time of a step (a part of its name) goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from curation import manifest, review, runs, store
from curation.decisions import Action, Decision
from curation.detectors import ISSUE_COLUMNS
from curation.manifest.history import compare, start_branch
from curation.manifest.merge import merge
from curation.manifest.publish import propose, publish
from curation.manifest.revert import revert_version
from curation.records import ANNOTATION_COLUMNS, empty_annotations, empty_samples, make_sample_id
from curation.review.annotations import Annotations, seen_of
from curation.review.audit import draw, estimate_of, mix_in
from curation.review.learning import features, worth_knowing
from curation.review.work_queue import WorkQueue, refill
from curation.runs import Run, read_run

CLASSES = 80
SIDE = 640
Result = TypeVar("Result")
PROFILED = ""


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Print how long `work` takes, waiting included and computing alone, and what the process has held at most."""
    profile = cProfile.Profile() if PROFILED and PROFILED in what else None
    started, computed = time.perf_counter(), time.process_time()
    result = profile.runcall(work) if profile else work()
    wall, cpu = time.perf_counter() - started, time.process_time() - computed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:<62} {wall:7.2f} s ({cpu:6.2f} s of processor time)   peak {peak:.2f} GiB", flush=True)
    if profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(35)
    return result


def make_tables(pictures: int, boxes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples and annotations as an import gives them."""
    paths = [f"images/{row:07d}.jpg" for row in range(pictures)]
    ids = np.array([make_sample_id(path) for path in paths], dtype=object)
    samples = empty_samples(pictures).assign(sample_id=pd.Series(ids, dtype="str"), path=pd.Series(paths, dtype="str"))
    hashes = pd.Series([f"{row * 2654435761 % 2**128:032x}" for row in range(pictures)], dtype="str")
    samples = samples.assign(content_hash=hashes, pixel_hash=hashes, format="JPEG", split="train")
    samples["status"] = pd.Series(["ok"] * pictures, dtype="str")
    samples[["width_px", "height_px"]] = np.int32(SIDE)
    samples = samples.astype({"format": "str", "split": "str"})
    random = np.random.default_rng(0)
    owner = np.repeat(ids, boxes)
    keys = [f"{name}-{place}" for name in ids.tolist() for place in range(boxes)]
    kind = np.minimum(random.geometric(0.05, len(owner)), CLASSES) - 1
    names = np.array([f"class {k}" for k in range(CLASSES)], dtype=object)
    annotations = empty_annotations(len(owner)).assign(
        annotation_id=pd.Series(keys, dtype="str"), sample_id=pd.Series(owner, dtype="str"),
        label=pd.Series(names[kind], dtype="str"),
    )  # fmt: skip
    annotations[["x", "y"]] = random.uniform(0, SIDE - 100, (len(owner), 2)).round(2)
    annotations[["w", "h"]] = random.uniform(10, 100, (len(owner), 2)).round(2)
    annotations["attributes"] = pd.Series(['{"iscrowd": 0}'] * len(owner), dtype="str")
    return samples, annotations.astype(ANNOTATION_COLUMNS)


def make_run(workspace: Path, samples: pd.DataFrame, annotations: pd.DataFrame) -> Run:
    """A finished run that has something to say about every box."""
    random = np.random.default_rng(1)
    count = len(annotations)
    score = np.sort(random.random(count))
    order = random.permutation(count)
    of = annotations.iloc[order]
    flagged = np.arange(count) < count // 100
    issues = pd.DataFrame(
        {
            "sample_id": of["sample_id"].to_numpy(), "annotation_id": of["annotation_id"].to_numpy(),
            "issue": "label_error", "score": score, "is_issue": flagged, "rank": np.arange(1, count + 1),
            "given_label": of["label"].to_numpy(), "suggestion": np.where(flagged, "class 1", ""),
            "evidence": '{"p_given": 0.02, "top3": [["class 1", 0.95]], "neighbours": [], "judged": true}',
        }
    ).astype({"issue": "str", "suggestion": "str", "evidence": "str"})  # fmt: skip
    facts = {
        "dataset": "set", "root": str(workspace), "manifest_version": "v0001", "task": "detection",
        "classes": sorted(annotations["label"].unique()), "samples": len(samples), "issues": {"label_error": count},
    }  # fmt: skip
    with runs.open_partial(workspace, "set-0") as partial:
        partial.write_table("samples", samples.assign(given_label="", cluster=np.arange(len(samples)), sharpness=5.0))
        partial.write_table("issues", issues[ISSUE_COLUMNS])
        partial.write_table("boxes", annotations.drop(columns="attributes").assign(fold=0))
        runs.finish(partial, facts)
    return read_run(workspace, "set-0")


def decide(engine: Engine, known: Annotations, samples: pd.DataFrame, edits: int) -> None:
    """Record so many edits, one per picture."""
    chosen = np.random.default_rng(2).permutation(len(samples))[:edits]
    made = []
    for place, row in enumerate(chosen.tolist()):
        name = str(samples["sample_id"][row])
        there = known.of(name)
        line = edit_line(place % 4, name, there[0])
        made.append(Decision(name, name, "edit", seen=seen_of(name, there), edits=(line,)))
    for start in range(0, edits, 1000):
        action = Action(uuid.uuid4().hex, "set", f"reviewer {start % 3}", tuple(made[start : start + 1000]))
        store.record(engine, action)


def edit_line(kind: int, name: str, first: Any) -> dict[str, Any]:
    """Relabel, move, drop or add."""
    key = first.annotation_id
    if kind == 0:
        return {"change": "relabel", "annotation_id": key, "from": first.label, "to": "another"}
    if kind == 1:
        return {"change": "box", "annotation_id": key, "from": list(first.box), "to": [1.0, 2.0, 30.0, 40.0]}
    if kind == 2:
        return {"change": "drop", "annotation_id": key, "from": first.as_value, "to": None}
    return {"change": "add", "annotation_id": f"{name}-new", "from": None,
            "to": {"label": "another", "box": [1.0, 2.0, 30.0, 40.0]}}  # fmt: skip


def open_desk(engine: Engine, run: Run, queue: WorkQueue) -> list[review.Card]:
    """What the app does when it is opened, after the queue was filled: the first items, what the queue learns from."""
    index = review.open_index(run)
    head = worth_knowing(queue.items, set(queue.decided["item_id"]))
    features(run, head)
    items = store.claim(engine, "set", "ann", uuid.uuid4().hex, count=6)
    assert len(index.samples)
    return review.cards(run, [item.item_id for item in items], None, queue.changed, queue.annotations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    globals()["PROFILED"] = options.profile
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), options.pictures, options.boxes, options.edits)


def measure(workspace: Path, pictures: int, boxes: int, edits: int) -> None:
    """Print the times of everything."""
    samples, annotations = make_tables(pictures, boxes)
    folder = manifest.manifest_folder(workspace, "set")
    source = {"format": "made up", "task": "detection"}
    timed(f"v0001 of {pictures:,} pictures with {len(annotations):,} boxes",
          lambda: manifest.write_first(samples, annotations, folder, source=source, author="me", message="first",
                                       dataset="set"))  # fmt: skip
    run = make_run(workspace, samples, annotations)
    engine = store.open_store(workspace)
    rows = timed("reading the version", lambda: manifest.read(folder, "v0001"))
    known = Annotations(rows)
    timed("what is to be seen of every picture (summaries)", known.summaries)
    timed("filling the queue, the first time", lambda: refill(engine, run, folder))
    queue = timed("filling it with the same", lambda: refill(engine, run, folder))
    timed("opening the desk: what the queue learns from, six cards", lambda: open_desk(engine, run, queue))
    timed("six more cards", lambda: open_desk(engine, run, queue))
    timed(f"recording {edits:,} edits", lambda: decide(engine, known, samples, edits))
    timed("filling the queue again", lambda: refill(engine, run, folder))
    timed("an audit of 200 drawn and mixed in", lambda: (draw(engine, run, 200), mix_in(engine, "set")))
    timed("estimate", lambda: estimate_of(engine, run))
    start_branch(folder, "other", "v0001", "me")
    timed("what publishing them would do", lambda: propose(folder, engine, "set"))
    timed("publish them", lambda: publish(folder, engine, "set", "reviewed", "me"))
    found = timed("diff of the two versions", lambda: compare(folder, "v0001", "v0002"))
    print(f"  {len(found):,} lines")
    timed("filling the queue from the new version", lambda: refill(engine, run, folder))
    timed("revert of that", lambda: revert_version(folder, "v0002", "me"))
    timed("publish the same on another branch", lambda: publish(folder, engine, "set", "again", "me", branch="other"))
    timed("merge of that branch", lambda: merge(folder, "other", "me"))


if __name__ == "__main__":
    main()
