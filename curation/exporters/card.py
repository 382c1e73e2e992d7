"""README.md of an export: the data card, for whoever trains on it. Text from the data is never Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from curation.explain import visible
from curation.exporters.contract import Content, Exporter, Saved
from curation.exporters.marks import counts_of
from curation.manifest import count_words

MOST_CLASSES = 200  # of the table; curate-export.json has all
MOST_NOTE = 5000  # characters
NAME = "README.md"
_UNLABELLED = {
    "single-label": "pictures have no label (class -1).",
    "multi-label": "pictures have no label.",
    "detection": "pictures have no box.",
    "counts": "pictures have none of any class.",
}
_ALL = {
    "multi-label": "A picture can have several labels",
    "detection": "Each box has a label",
    "counts": "Of each class it says how many are in the picture",
}


def data_card(
    content: Content, saved: Saved, exporter: Exporter, facts: Mapping[str, Any], history: Mapping[str, Any]
) -> str:
    """The whole card.

    facts : those of curate-export.json
    history : `changes` (kind -> count since the first version), `reviewers` (name -> decisions), `limits` (sentences)
    """
    lines = [*saved.front_matter, f"# {escape(facts['dataset'])}, version {escape(facts['version'])}", ""]
    lines += [
        f"Exported by curate {escape(facts['curate'])} as `{facts['exporter']}` (pictures: {facts['images']}).",
        f"Manifest version {escape(facts['version'])}, `{facts['manifest_hash']}`.",
        "`curate-export.json` says which sample each picture is, and all that is known of it;",
        "`curate verify-export` checks it.",
        "",
        "## How to read it",
        "",
        "```python",
        exporter.reading,
        "```",
        "",
        *_bullets(escape(note, MOST_NOTE) for note in saved.notes),  # they may quote names of splits
        "## What is in it",
        "",
        *_counts(content, facts),
        *_classes(content, saved),
        "## What was changed",
        "",
        *_history(history),
        "## Known limits",
        "",
        *_bullets([*history["limits"], *_limits(content)]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str, limit: int = 120) -> str:
    """`text` so that Markdown, HTML in it, and a terminal show it as it is: every sign that means something escaped."""
    plain = visible(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:@/=\"'^])", r"\\\1", plain)


def _counts(content: Content, facts: Mapping[str, Any]) -> list[str]:
    counts = content.samples["split"].value_counts()
    lines = ["| split | pictures |", "|---|---:|"]
    lines += [f"| {escape(split) or 'none'} | {counts[split]:,} |" for split in content.splits]
    lines += [f"| all | {len(content.samples):,} |", ""]
    said = [f"{count:,} {escape(why)}" for why, count in content.left_out.items() if count]
    words = [f"Left out of the version: {', '.join(said)}." if said else "No picture of the version is left out."]
    unlabelled = f"{int((content.samples['class_id'] < 0).sum()):,}"
    if unlabelled != "0":
        words.append(f"{unlabelled} {_UNLABELLED[content.task]}")
    if content.task != "single-label":
        words.append(f"{_ALL[content.task]}: {int(counts_of(content).sum()):,} in all.")
    if content.ambiguous:
        words.append(f"{content.ambiguous:,} pictures have several right labels; the first is the label.")
    hard = int(content.samples["hard"].sum())
    if hard:
        words.append(f"{hard:,} pictures are marked as right but hard to see.")
    resplit = facts["settings"].get("resplit")
    if resplit:
        shares = ", ".join(f"{escape(name)} {share:g}" for name, share in resplit.items())
        words.append(f"The splits were made anew ({shares}; seed {facts['settings']['seed']}).")
    return [*lines, *words, ""]


def _classes(content: Content, saved: Saved) -> list[str]:
    if content.task != "single-label":
        return _counted_classes(content)
    counts = Counter(content.samples["class_id"].tolist())
    folders = bool(saved.class_folders)
    lines = ["| class | label | pictures |" + (" folder |" if folders else "")]
    lines.append("|---:|---|---:|" + ("---|" if folders else ""))
    for k, label in enumerate(content.classes[:MOST_CLASSES]):
        folder = f" {escape(saved.class_folders[k])} |" if folders else ""
        lines.append(f"| {k} | {escape(label)} | {counts[k]:,} |{folder}")
    more = len(content.classes) - MOST_CLASSES
    return [*lines, "", *([f"... and {more:,} more classes.", ""] if more > 0 else [])]


def _counted_classes(content: Content) -> list[str]:
    """Of pictures that can have several labels: how many there are of each, in how many pictures, at most in one."""
    counts = counts_of(content)
    lines = ["| class | label | in all | pictures with it | at most |", "|---:|---|---:|---:|---:|"]
    for k, label in enumerate(content.classes[:MOST_CLASSES]):
        mine = counts[:, k]
        lines.append(f"| {k} | {escape(label)} | {mine.sum():,} | {(mine > 0).sum():,} | {mine.max(initial=0):,} |")
    more = len(content.classes) - MOST_CLASSES
    return [*lines, "", *([f"... and {more:,} more classes.", ""] if more > 0 else [])]


def _history(history: Mapping[str, Any]) -> list[str]:
    lines = [f"Since the first version: {count_words(history['changes'])}.", ""]
    if history["reviewers"]:
        lines += ["| reviewer | changes and confirmations |", "|---|---:|"]
        lines += [f"| {escape(name) or 'unnamed'} | {count:,} |" for name, count in history["reviewers"].items()]
        return [*lines, ""]
    return [*lines, "Nobody has reviewed it.", ""]


def _limits(content: Content) -> Iterable[str]:
    owners = np.repeat(np.arange(len(content.samples)), [len(ids) for ids in content.class_ids])
    labelled = pd.DataFrame({"split": content.samples["split"].to_numpy(object)[owners]})
    labelled["class_id"] = [k for ids in content.class_ids for k in ids]
    single = labelled["class_id"].value_counts().eq(1)
    if single.any():
        yield f"{int(single.sum()):,} classes have one picture only."
    if len(content.splits) > 1:
        sizes = labelled.groupby("split")["class_id"].nunique()
        for split in content.splits:
            missing = len(content.classes) - int(sizes.get(split, 0))
            if missing:
                yield f"The split {escape(split) or 'none'} has no picture of {missing:,} of the classes."
    yield (
        "Photos keep their EXIF orientation where they are files: a loader that ignores it (torchvision's) sees them "
        "lying on their side."
    )


def _bullets(sentences: Iterable[str]) -> list[str]:
    lines = [f"- {sentence}" for sentence in sentences]
    return [*lines, ""] if lines else []
