"""The arms of a proof on boxes: which boxes, in which pictures, each arm's networks learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curation.proving.arms import arm_names, class_ids
from curation.proving.contract import PLACEBO, PRUNED, Material
from curation.proving.single_label import other_labels
from curation.proving.versions import AFTER, BEFORE, Versions
from curation.scoring.label_sets import label_sets
from curation.training.label_sets import trainable

SIDES = ["x", "y", "w", "h"]
BOX_COLUMNS = ["row", "annotation_id", "class_id", *SIDES]


@dataclass(frozen=True, eq=False)
class Lesson:
    """boxes : BOX_COLUMNS, `row` is that of the picture; pictures : (N,) bool, those that are learnt from, background
    ones included"""

    boxes: pd.DataFrame
    pictures: np.ndarray

    def arrays(self) -> list[np.ndarray]:
        """All that decides what is learnt."""
        table = self.boxes.sort_values(["row", *SIDES, "class_id"], kind="stable")
        whole = table[["row", "class_id"]].to_numpy(dtype=np.int64)
        return [whole, table[SIDES].to_numpy(dtype=np.float64), self.pictures]


@dataclass(frozen=True, eq=False)
class BoxArms:
    """What each arm learns.

    kinds : of each box that is in either version, in pictures that are in both: BOX_COLUMNS with `_after` for the
        second one, and `kind`: same, relabelled, moved, removed, added
    sizes : (N, 2) width and height of the pictures in pixels
    """

    before: Lesson
    after: Lesson
    pruned: Lesson | None
    kinds: pd.DataFrame
    sizes: np.ndarray

    @property
    def names(self) -> list[str]:
        return arm_names(self.pruned is not None)

    def lesson(self, name: str, seed: int) -> Lesson:
        """What the arm `name` learns with this seed; only the placebo is another one for each."""
        if name == PLACEBO:
            return placebo(self, seed)
        found = {BEFORE: self.before, AFTER: self.after, PRUNED: self.pruned}[name]
        assert found is not None
        return found

    def changes(self) -> dict[str, int]:
        """What leads from before to after: boxes of each kind, and pictures."""
        count = self.kinds["kind"].value_counts()
        found = {f"boxes_{kind}": int(count.get(kind, 0)) for kind in ("relabelled", "moved", "removed", "added")}
        return found | {
            "dropped": int((self.before.pictures & ~self.after.pictures).sum()),
            "added": int((~self.before.pictures & self.after.pictures).sum()),
        }


def picture_labels(versions: Versions, name: str) -> np.ndarray:
    """(N, K) int8, 1 = a box of the class is in the picture, 0 = none; -1 = unknown or not in that version (the row).

    A picture without boxes is background, unless its whole split has none.
    """
    there = versions.present[name]
    found = np.full((len(there), len(versions.classes)), -1, dtype=np.int8)
    samples = versions.samples[there].reset_index(drop=True)
    annotations = versions.annotations[name]
    found[there] = label_sets(annotations[annotations["x"].notna()], samples, versions.classes).given
    return found


def box_table(annotations: pd.DataFrame, versions: Versions) -> pd.DataFrame:
    """BOX_COLUMNS of annotations of these pictures; labels of whole pictures are left out."""
    boxes = annotations[annotations["x"].notna()]
    rows = pd.Index(versions.samples["sample_id"]).get_indexer(boxes["sample_id"])
    ids = boxes["annotation_id"] if "annotation_id" in boxes else pd.Series("", index=boxes.index, dtype="str")
    table = boxes[SIDES].assign(row=rows, annotation_id=ids, class_id=class_ids(boxes["label"], versions.classes))
    return table[BOX_COLUMNS].sort_values(["row", "annotation_id"], kind="stable", ignore_index=True)


def make_box_arms(material: Material, pruned: Lesson | None, sizes: np.ndarray) -> BoxArms:
    """Arms of what may be learnt; `pruned` as the task's file makes it of the first version."""
    before, after = (version_lesson(material, name) for name in (BEFORE, AFTER))
    both = before.pictures & after.pictures
    tables = [lesson.boxes[both[lesson.boxes["row"]]] for lesson in (before, after)]
    merged = tables[0].merge(
        tables[1], on=["row", "annotation_id"], how="outer", suffixes=("", "_after"), indicator=True
    )
    sides = [f"{name}_after" for name in SIDES]
    moved = (merged[SIDES].to_numpy() != merged[sides].to_numpy()).any(axis=1)
    relabelled = (merged["class_id"] != merged["class_id_after"]).to_numpy()
    where = merged["_merge"].to_numpy(dtype=object)
    kind = np.where(relabelled, "relabelled", np.where(moved, "moved", "same"))
    kind = np.where(where == "left_only", "removed", np.where(where == "right_only", "added", kind))
    return BoxArms(before, after, pruned, merged.drop(columns="_merge").assign(kind=kind), sizes)


def version_lesson(material: Material, name: str) -> Lesson:
    """All that may be learnt of a version."""
    pictures = material.learnable & trainable(material.labels[name])
    table = box_table(material.versions.annotations[name], material.versions)
    return Lesson(table[pictures[table["row"]]].reset_index(drop=True), pictures)


def placebo(arms: BoxArms, seed: int) -> Lesson:
    """`before` with as many boxes relabelled, moved, removed and added, and pictures dropped, as in `after`; others,
    drawn by lot. Classes and distances are those of the real changes."""
    rng = np.random.default_rng([seed, 1])
    kinds = {str(kind): part for kind, part in arms.kinds.groupby("kind")}
    none = arms.kinds[:0]
    relabelled, moved = kinds.get("relabelled", none), kinds.get("moved", none)
    removed, added = kinds.get("removed", none), kinds.get("added", none)
    others = kinds.get("same", none)[BOX_COLUMNS].reset_index(drop=True)
    parts = np.split(
        rng.permutation(len(others)), np.cumsum([len(relabelled), len(moved), len(removed)]).clip(max=len(others))
    )
    sides, classes = others[SIDES].to_numpy(np.float64, copy=True), others["class_id"].to_numpy(np.int64, copy=True)
    targets = relabelled["class_id_after"].to_numpy(dtype=np.int64)
    classes[parts[0]] = other_labels(classes[parts[0]], targets, rng)
    sides[parts[1]] = _moved_alike(sides[parts[1]], moved)
    changed = others.assign(class_id=classes, **{name: sides[:, at] for at, name in enumerate(SIDES)})
    changed = changed.drop(index=parts[2])
    untouched = arms.kinds[~arms.kinds["kind"].isin(["same", "added"])][BOX_COLUMNS]
    alone = arms.before.boxes[~(arms.before.pictures & arms.after.pictures)[arms.before.boxes["row"]]]
    table = pd.concat([changed, untouched, alone, _added_anywhere(arms, added, rng)])
    pictures = arms.before.pictures.copy()
    both = rng.permutation(np.flatnonzero(arms.before.pictures & arms.after.pictures))
    pictures[both[: int((arms.before.pictures & ~arms.after.pictures).sum())]] = False
    table = table.astype({"row": "int64", "class_id": "int64"})
    table = table[pictures[table["row"].to_numpy()]]
    return Lesson(table.sort_values(["row", "annotation_id"], kind="stable", ignore_index=True), pictures)


def _moved_alike(boxes: np.ndarray, moved: pd.DataFrame) -> np.ndarray:
    """Boxes (b, 4) moved and stretched by the same parts of their size as the first b of `moved`."""
    old = moved[SIDES].to_numpy(dtype=np.float64)[: len(boxes)]
    new = moved[[f"{name}_after" for name in SIDES]].to_numpy(dtype=np.float64)[: len(boxes)]
    size = np.where(old[:, 2:] > 0, old[:, 2:], 1.0)
    corner = boxes[:, :2] + (new[:, :2] - old[:, :2]) / size * boxes[:, 2:]
    return np.column_stack([corner, boxes[:, 2:] * np.where(old[:, 2:] > 0, new[:, 2:] / size, 1.0)])


def _added_anywhere(arms: BoxArms, added: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Boxes of the same classes and sizes as `added`, anywhere in pictures drawn by lot."""
    pictures = np.flatnonzero(arms.before.pictures & arms.after.pictures)
    rows = rng.choice(pictures, len(added)) if len(pictures) else np.zeros(0, dtype=np.int64)
    size = np.minimum(added[["w_after", "h_after"]].to_numpy(dtype=np.float64)[: len(rows)], arms.sizes[rows])
    corner = rng.random((len(rows), 2)) * np.maximum(arms.sizes[rows] - size, 0)
    found = pd.DataFrame(np.column_stack([corner, size]), columns=SIDES)
    names = pd.Series([f"placebo-{place}" for place in range(len(rows))], dtype="str")
    classes = added["class_id_after"].to_numpy(dtype=np.int64)[: len(rows)]
    return found.assign(row=rows, annotation_id=names, class_id=classes)[BOX_COLUMNS]
