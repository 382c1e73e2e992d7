"""What of a version leaves the tool, and in which split: rows of a manifest -> `Content`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import NotFoundError, SettingsError
from curation.exporters.contract import Content
from curation.manifest import EXCLUDED
from curation.manifest.changes import HARD, LABELS
from curation.targets import label_sets
from curation.training.folds import assign_folds, combine_groups
from curation.training.set_folds import assign_set_folds

_COLUMNS = ("sample_id", "path", "split", "group", "format", "width_px", "height_px", "content_hash", "pixel_hash")
_SPLIT_NAMES = {2: ("train", "test"), 3: ("train", "val", "test")}
_MOST_FOLDS = 100


def make_content(
    rows: pd.DataFrame, root: Path, splits: Sequence[str] = (), source: Mapping[str, Any] | None = None
) -> Content:
    """The pictures of a version that can be trained on, those of `splits` only where there are any.

    Excluded and unreadable samples are left out, and counted. Where a review found several labels right, the first of
    them is the label.

    Parameters
    ----------
    rows : of a version, as curation.manifest.read gives them
    root : folder that their paths are relative to
    source : what the header of the version says of its source: task, class list and the like, see
        curation.manifest.history.source_of

    Raises
    ------
    NotFoundError : no such split; lists those that there are.
    SettingsError : nothing is left.
    """
    ok = (rows["status"] == "ok").to_numpy()
    first = ~rows["sample_id"].duplicated().to_numpy()
    left_out = {
        "excluded": int(((rows["status"] == EXCLUDED) & first).sum()),
        "unreadable": int(((rows["status"] == "unreadable") & first).sum()),
    }
    rows = rows[ok].reset_index(drop=True)
    said = [_said(label, attributes) for label, attributes in _pairs(rows)]
    task, details, about = _of_source(source or {}, {label for labels, _ in said for label in labels})
    if splits:
        known = sorted(set(rows["split"]))
        unknown = [name for name in splits if name not in known]
        if unknown:
            raise NotFoundError(
                f"There is no split {unknown[0]!r}; there are: {', '.join(map(repr, known)) or 'none'}."
            )
        wanted = rows["split"].isin(list(splits)).to_numpy()
        left_out["in other splits"] = int((~wanted & ~rows["sample_id"].duplicated().to_numpy()).sum())
        said = [said[row] for row in np.flatnonzero(wanted)]
        rows = rows[wanted].reset_index(drop=True)
    if rows.empty:
        raise SettingsError("Nothing is left to export: every picture is excluded or unreadable.")
    content = _with_labels(rows, said, [entry["name"] for entry in details], left_out, root)
    return replace(content, task=task, class_details=details, about=about)


def _of_source(source: Mapping[str, Any], used: set[str]) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Task, classes and facts of a source; the classes in its order, then those of `used` that it does not list.

    What a header says was checked when it was written; one of another release may say less.
    """
    listed, about = source.get("classes"), source.get("about")
    details: dict[str, dict[str, Any]] = {}
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            details.setdefault(entry["name"], entry)
    for name in sorted(used - set(details)):
        details[name] = {"name": name}
    task = str(source.get("task", "single-label"))
    return task, list(details.values()), about if isinstance(about, dict) else {}


def _with_labels(
    rows: pd.DataFrame, said: list[tuple[list[str], bool]], classes: list[str], left_out: dict[str, int], root: Path
) -> Content:
    number = {label: k for k, label in enumerate(classes)}
    first = np.flatnonzero(~rows["sample_id"].duplicated().to_numpy())
    ends = [*first[1:].tolist(), len(rows)]
    class_ids, hard = [], []
    for start, end in zip(first.tolist(), ends, strict=True):
        labels = [label for labels, _ in said[start:end] for label in labels]
        class_ids.append(tuple(number[label] for label in dict.fromkeys(labels)))
        hard.append(any(flag for _, flag in said[start:end]))
    samples = rows.loc[first, list(_COLUMNS)].reset_index(drop=True)
    ids = np.array([ids[0] if ids else -1 for ids in class_ids], dtype=np.int64)
    names = np.array([*classes, ""], dtype=object)
    samples = samples.assign(label=pd.Series(names[ids], dtype="str"), class_id=ids, hard=np.array(hard, bool))
    return Content(samples, class_ids, rows, classes, left_out, root)


def _pairs(rows: pd.DataFrame) -> zip[tuple[str, str]]:
    return zip(rows["label"].tolist(), rows["attributes"].tolist(), strict=True)


def _said(label: str, attributes: str) -> tuple[list[str], bool]:
    """What one row says: all labels that are right, the given one first, and whether it is hard to see."""
    labels = [label] if label != "" else []
    if "curate:" not in attributes:
        return labels, False
    try:
        value: Any = json.loads(attributes)
    except (ValueError, RecursionError):
        return labels, False
    if not isinstance(value, dict):
        return labels, False
    several = value.get(LABELS)
    if labels and isinstance(several, list) and all(isinstance(one, str) and one for one in several):
        labels = list(dict.fromkeys([label, *several]))
    return labels, value.get(HARD) is True


# --- splits ------------------------------------------------------------------------------------------------------


def read_ratios(text: str) -> dict[str, float]:
    """`0.8/0.1/0.1` as shares of train, val and test; two are train and test, `train=0.7/dev=0.3` says names.

    Raises
    ------
    SettingsError : it does not say that.
    """
    parts = text.split("/")
    named = [part.rpartition("=") for part in parts]
    names = [name for name, _, _ in named]
    if "=" not in text:
        names = list(_SPLIT_NAMES.get(len(parts), ()))
    try:
        shares = [float(share) if re.fullmatch(r"[0-9.]+", share) else -1.0 for _, _, share in named]
    except ValueError:
        shares = [-1.0]
    right = len(set(names)) == len(parts) == len(shares) and all(names) and all(share > 0 for share in shares)
    if not right or abs(sum(shares) - 1) > 1e-6:
        raise SettingsError(
            f"--resplit {text[:100]!r}: say the shares of train, val and test, which add up to 1, as 0.8/0.1/0.1; "
            f"of train and test as 0.8/0.2; or with names as train=0.7/dev=0.3."
        )
    return dict(zip(names, shares, strict=True))


def resplit(content: Content, ratios: dict[str, float], seed: int, cluster: np.ndarray | None = None) -> Content:
    """The same pictures in new splits: every class in each by its share, no duplicates or groups across.

    Pictures with the same bytes, the same pixels, of one `group`, or of one duplicate cluster stay together.

    ratios : share of each split, adding up to 1
    cluster : (N,) text, the duplicate cluster of each of `content.samples`, "" = none known; None: none are known
    """
    units = _units(list(ratios.values()))
    groups = groups_of(content, cluster)
    if content.task == "single-label":
        fold = assign_folds(content.samples["class_id"].to_numpy(), groups, sum(units), seed)
    else:
        fold = assign_set_folds(label_sets(content).astype(np.int8), groups, sum(units), seed)
    names = np.repeat(np.array(list(ratios), dtype=object), units)
    chosen = pd.Series(names[fold], dtype="str")
    samples = content.samples.assign(split=chosen)
    new = dict(zip(samples["sample_id"].tolist(), chosen.tolist(), strict=True))
    rows = content.rows.assign(split=pd.Series([new[name] for name in content.rows["sample_id"].tolist()], dtype="str"))
    return replace(content, samples=samples, rows=rows)


def groups_of(content: Content, cluster: np.ndarray | None) -> np.ndarray:
    """(N,) int64: what must not be in two splits has the same number."""
    known = [content.samples[name].to_numpy(object) for name in ("content_hash", "pixel_hash", "group")]
    return combine_groups(*known, *([cluster] if cluster is not None else []))


def _units(shares: Sequence[float]) -> list[int]:
    """Shares as whole numbers of equal folds, as few as say them exactly, else of 100."""
    for count in range(2, _MOST_FOLDS + 1):
        exact = [share * count for share in shares]
        if all(abs(value - round(value)) < 1e-6 for value in exact) and min(exact) > 0.5:
            return [round(value) for value in exact]
    found = [max(1, round(share * _MOST_FOLDS)) for share in shares]
    found[int(np.argmax(found))] += _MOST_FOLDS - sum(found)
    return found
