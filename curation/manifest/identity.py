"""Which sample of an earlier import each picture of a new one is, so that a `sample_id` outlives renames and edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curation.records import make_annotation_id, make_sample_id

KINDS = ("same", "renamed", "edited", "new")

# Content hashes -> the (64, 64) uint8 luma of those pictures that are at hand.
Look = Callable[[Sequence[str]], Mapping[str, np.ndarray]]

# Correlation of two thumbnails. At the same path or file name, a picture that was merely encoded again has more, and
# two pictures of the sets at hand hardly ever do; without such a hint, other pictures reach .94, so it takes more, and
# nobody else may come near.
ALIKE = 0.9
SURELY_ALIKE = 0.99
NEAREST_BY = 0.2  # of the distance to the second nearest
SAME_SHAPE = 0.03  # relative difference of width over height
BACKDROP = 2_000
LOOK_LIMIT = 100_000  # thumbnails of 4 KB; of more changed files than that, paths and shapes have to do


@dataclass(frozen=True)
class Matches:
    """For each new sample, in its order: the id it has, and how it was recognised (one of KINDS).

    doubtful : rows at an old path with a picture that is another one, or could not be compared with the old one
    """

    sample_ids: list[str]
    kinds: list[str]
    doubtful: set[int] = field(default_factory=set)


def match_samples(
    old: pd.DataFrame, new: pd.DataFrame, look: Look | None = None, taken: Collection[str] = ()
) -> Matches:
    """Recognise the samples of `old` in `new`, each at most once; no id is given to a second picture.

    In this order: the same path with the same picture; the same picture elsewhere ("renamed", so two files that swapped
    their names keep their ids; of several copies, in the order of their paths); the same path with a picture that looks
    like the old one ("edited": encoded again or retouched in place); the same path but for its ending (`a.jpg` that
    became `a.png`), looking alike ("renamed"); looking alike anywhere, beyond doubt ("renamed"); the same path with any
    picture ("edited", doubtful). Else it is new. "The same picture" means equal pixels or equal bytes.

    Parameters
    ----------
    old, new : `sample_id`, `path`, `pixel_hash`, `content_hash`, `width_px`, `height_px`
    look : finds thumbnails; without any, the same path is an edit, and the same path but for its ending is the same
        picture if width and height say so, too
    taken : further ids that were given once
    """
    matching = _Matching(old, new)
    matching.same_picture()
    matching.look_for(look)
    matching.same_path(doubtful=False)
    matching.same_stem()
    matching.alike_anywhere()
    matching.same_path(doubtful=True)
    used = {*old["sample_id"].tolist(), *taken}
    ids = []
    for row, path in enumerate(matching.new_paths):
        ids.append(matching.old_ids[matching.origin[row]] if row in matching.origin else _fresh_id(path, used))
        used.add(ids[-1])
    return Matches(ids, matching.kinds, matching.doubtful)


class _Matching:
    """Rows of both tables that belong together, found step by step; `origin` is new row -> old row."""

    def __init__(self, old: pd.DataFrame, new: pd.DataFrame) -> None:
        self.old_ids, self.old_paths = old["sample_id"].tolist(), old["path"].tolist()
        self.new_paths = new["path"].tolist()
        self.old_content, self.new_content = old["content_hash"].tolist(), new["content_hash"].tolist()
        self.old_pixels, self.new_pixels = old["pixel_hash"].tolist(), new["pixel_hash"].tolist()
        self.old_shape, self.new_shape = _shapes(old), _shapes(new)
        self.at_path = {path: row for row, path in enumerate(self.old_paths)}
        self.origin: dict[int, int] = {}
        self.kinds = ["new"] * len(self.new_paths)
        self.free = set(range(len(self.old_paths)))
        self.rest: list[int] = []
        self.doubtful: set[int] = set()
        self.seen: Mapping[str, np.ndarray] = {}

    def take(self, row: int, old_row: int, kind: str) -> None:
        self.origin[row], self.kinds[row] = old_row, kind
        self.free.discard(old_row)

    def open_rows(self) -> list[int]:
        return [row for row in self.rest if row not in self.origin]

    def same_picture(self) -> None:
        for row, path in enumerate(self.new_paths):
            old_row = self.at_path.get(path)
            if old_row is not None and self._equal(row, old_row):
                self.take(row, old_row, "same")
        order = sorted((row for row in range(len(self.new_paths)) if row not in self.origin), key=self._path)
        self.rest = order
        for old_keys, new_keys in ((self.old_pixels, self.new_pixels), (self.old_content, self.new_content)):
            moved: dict[str, list[int]] = {}
            for old_row in sorted(self.free, key=self.old_paths.__getitem__, reverse=True):
                if old_keys[old_row]:
                    moved.setdefault(old_keys[old_row], []).append(old_row)
            for row in self.open_rows():
                if moved.get(new_keys[row]):
                    self.take(row, moved[new_keys[row]].pop(), "renamed")

    def _path(self, row: int) -> str:
        return self.new_paths[row]

    def _equal(self, row: int, old_row: int) -> bool:
        pixels, content = self.new_pixels[row], self.new_content[row]
        if (pixels and pixels == self.old_pixels[old_row]) or (content and content == self.old_content[old_row]):
            return True
        nothing_known = not (pixels or content or self.old_pixels[old_row] or self.old_content[old_row])
        return nothing_known  # not even the bytes could be read, then and now

    def look_for(self, look: Look | None) -> None:
        rows = self.open_rows()
        if look is not None and rows and self.free:
            wanted = {*(self.new_content[row] for row in rows), *(self.old_content[row] for row in self.free)}
            if len(wanted) <= LOOK_LIMIT:
                self.seen = look(sorted({*wanted, *self.backdrop()} - {""}))

    def likeness(self, row: int, old_row: int) -> float | None:
        """Correlation of the thumbnails in [-1, 1], -1 for another shape; None where one is not at hand."""
        mine, other = self.seen.get(self.new_content[row]), self.seen.get(self.old_content[old_row])
        if mine is None or other is None:
            return None
        if not self.same_shape(row, old_row):
            return -1.0
        return float(_unit(mine[None])[0] @ _unit(other[None])[0])

    def same_shape(self, row: int, old_row: int) -> bool:
        mine, other = self.new_shape[row], self.old_shape[old_row]
        return not (mine and other) or abs(mine / other - 1) <= SAME_SHAPE

    def same_path(self, doubtful: bool) -> None:
        for row in self.open_rows():
            old_row = self.at_path.get(self.new_paths[row])
            if old_row not in self.free or old_row is None:
                continue
            likeness = self.likeness(row, old_row)
            if doubtful or likeness is None or likeness >= ALIKE:
                self.take(row, old_row, "edited")
                if likeness is None or likeness < ALIKE:
                    self.doubtful.add(row)

    def same_stem(self) -> None:
        rows = self.open_rows()
        mine = Counter(_stem(self.new_paths[row]) for row in rows)
        others: dict[str, list[int]] = {}
        for old_row in self.free:
            others.setdefault(_stem(self.old_paths[old_row]), []).append(old_row)
        for row in rows:
            stem = _stem(self.new_paths[row])
            if mine[stem] != 1 or len(others.get(stem, ())) != 1:
                continue
            (old_row,) = others[stem]
            likeness = self.likeness(row, old_row)
            known = bool(self.new_shape[row] and self.old_shape[old_row])
            if likeness is None and known and self.same_shape(row, old_row):
                self.take(row, old_row, "renamed")
                self.doubtful.add(row)
            elif likeness is not None and likeness >= ALIKE:
                self.take(row, old_row, "renamed")

    def alike_anywhere(self) -> None:
        rows = [row for row in self.open_rows() if self.new_content[row] in self.seen]
        old_rows = sorted(row for row in self.free if self.old_content[row] in self.seen)
        if not rows or not old_rows:
            return
        mine = _unit(np.stack([self.seen[self.new_content[row]] for row in rows]))
        others = _unit(np.stack([self.seen[self.old_content[row]] for row in old_rows]))
        # How alike different pictures of this set are: digits of one hand reach .998.
        kept = [self.seen[content] for content in self.backdrop() if content in self.seen]
        rivals = _unit(np.stack(kept)) if kept else others[:0]
        forward, backward = _nearest(mine, others, rivals), _nearest(others, mine, rivals)
        for place, (best, likeness, second) in enumerate(zip(*forward, strict=True)):
            clear = 1 - likeness <= NEAREST_BY * (1 - max(second, backward[2][best]))
            mutual = backward[0][best] == place and self.same_shape(rows[place], old_rows[best])
            if likeness >= SURELY_ALIKE and clear and mutual:
                self.take(rows[place], old_rows[best], "renamed")

    def backdrop(self) -> list[str]:
        """Contents of up to BACKDROP old pictures that were found again, evenly spread."""
        found = [row for row in range(len(self.old_paths)) if row not in self.free]
        return [self.old_content[row] for row in found[:: max(1, len(found) // BACKDROP)]]


def _unit(thumbnails: np.ndarray) -> np.ndarray:
    """(n, 4096) float32 without mean, of length 1; zero for a picture without contrast, which is like no other."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    found: np.ndarray = np.where(length > 0, flat / np.maximum(length, 1e-6), 0)
    return found


def _nearest(
    questions: np.ndarray, answers: np.ndarray, rivals: np.ndarray
) -> tuple[list[int], list[float], list[float]]:
    """For each question the row of the most alike answer, its correlation, and that of the next answer or rival."""
    best, first, second = [], [], []
    for start in range(0, len(questions), 512):
        block = questions[start : start + 512]
        likeness = block @ answers.T
        rows = likeness.argmax(axis=1)
        at = np.arange(len(rows))
        best += rows.tolist()
        first += likeness[at, rows].tolist()
        likeness[at, rows] = -1
        others = np.concatenate([likeness, block @ rivals.T], axis=1)
        second += others.max(axis=1).tolist()
    return best, first, second


def _shapes(samples: pd.DataFrame) -> list[float]:
    """Width over height; 0 where that is not known."""
    width, height = (samples[name].to_numpy(np.float64) for name in ("width_px", "height_px"))
    found: list[float] = np.where(height > 0, width / np.maximum(height, 1), 0).tolist()
    return found


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


# --- ids ---------------------------------------------------------------------------------------------------------


def with_ids(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    sample_ids: list[str],
    known: pd.DataFrame,
    taken: Collection[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with other sample ids, rows in their order; annotations of `known` samples keep their ids.

    Where a sample has several, those with an equal label and box are the same ones, the others are paired in their
    order.

    known : annotations as they were, columns of curation.records.ANNOTATION_COLUMNS
    taken : further annotation ids that were given once
    """
    renamed = dict(zip(samples["sample_id"].tolist(), sample_ids, strict=True))
    owners = [renamed[sample_id] for sample_id in annotations["sample_id"].tolist()]
    known = known[known["annotation_id"] != ""]
    used = {*known["annotation_id"].tolist(), *taken}
    if known["sample_id"].is_unique and annotations["sample_id"].is_unique:
        # One label each, as most sets have it: a million of them one by one would take seconds.
        at = pd.Index(known["sample_id"]).get_indexer(pd.Index(owners, dtype="str"))
        names = np.append(known["annotation_id"].to_numpy(object), "")[at]
        ids = [name or _fresh_annotation_id(owner, used) for owner, name in zip(owners, names.tolist(), strict=True)]
    else:
        ids = _ids_of_several(owners, annotations, known, used)
    return (
        samples.assign(sample_id=pd.Series(sample_ids, index=samples.index, dtype="str")),
        annotations.assign(
            sample_id=pd.Series(owners, index=annotations.index, dtype="str"),
            annotation_id=pd.Series(ids, index=annotations.index, dtype="str"),
        ),
    )


def _ids_of_several(owners: list[str], annotations: pd.DataFrame, known: pd.DataFrame, used: set[str]) -> list[str]:
    """The id of each annotation, where samples have any number of them; new ones are added to `used`."""
    before: dict[str, list[tuple[str, tuple[object, ...]]]] = {}
    contents = _contents(known)
    names = known["annotation_id"].tolist()
    for owner, name, content in zip(known["sample_id"].tolist(), names, contents, strict=True):
        before.setdefault(owner, []).append((name, content))
    places: dict[str, list[int]] = {}
    for place, owner in enumerate(owners):
        places.setdefault(owner, []).append(place)
    now = _contents(annotations)
    ids = [""] * len(owners)
    for owner, rows in places.items():
        for row, name in zip(rows, _paired([now[row] for row in rows], before.get(owner, [])), strict=True):
            ids[row] = name or _fresh_annotation_id(owner, used)
            used.add(ids[row])
    return ids


def _paired(contents: list[tuple[object, ...]], before: list[tuple[str, tuple[object, ...]]]) -> list[str]:
    """The id of each of a sample's annotations, "" for a new one."""
    if len(contents) == len(before) == 1:
        return [before[0][0]]
    left, ids = list(before), [""] * len(contents)
    for row, content in enumerate(contents):
        place = next((at for at, (_, other) in enumerate(left) if other == content), None)
        if place is not None:
            ids[row] = left.pop(place)[0]
    for row in range(len(ids)):
        if not ids[row] and left:
            ids[row] = left.pop(0)[0]
    return ids


def _contents(annotations: pd.DataFrame) -> list[tuple[object, ...]]:
    """Label and box of each row, comparable: no box is ""."""
    box = [annotations[name].astype(object).where(annotations[name].notna(), "").tolist() for name in "xywh"]
    return list(zip(annotations["label"].tolist(), *box, strict=True))


def _fresh_id(path: str, used: set[str]) -> str:
    taken = 0
    while (sample_id := make_sample_id(path, taken)) in used:
        taken += 1
    return sample_id


def _fresh_annotation_id(sample_id: str, used: set[str]) -> str:
    position = 0
    while (annotation_id := make_annotation_id(sample_id, position)) in used:
        position += 1
    return annotation_id
