"""From what a format says of pictures and annotations to `Records`: matched, checked, counted, in upright pixels.

An importer of boxes adds pictures and annotations to a `Builder` in the order of its files, then asks for the records.
"""

from __future__ import annotations

import contextlib
import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import UnreadableError
from curation.importers.assemble import SHOWN, class_notes, listing_notes, path_notes, rejected_as_text, shown
from curation.importers.box_tables import MOST_PX, at, fit_task, label_fault, number, numbered, place_boxes
from curation.importers.json_file import to_json
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.picture_finder import PictureFinder
from curation.importers.picture_size import picture_size
from curation.progress import SILENT, Progress
from curation.records import Records, empty_annotations, empty_samples, make_sample_id, path_to_text
from curation.wording import counted

__all__ = ["Builder", "number"]

_FOR_PEOPLE = ("readme", "license", "licence")
_NAN = (math.nan,) * 4
NONE, PIXELS, SHARES = 0, 1, 2  # kinds of boxes
_ODD = (
    ("had its corners in the other order, which was put right", "had corners in the other order, which was put right"),
    ("has no area, and is kept", "have no area, and are kept"),
    ("reaches beyond its picture, and is kept as it is", "reach beyond their pictures, and are kept as they are"),
)

Attributes = Mapping[str, Any] | str | None


class Builder:
    """Collects pictures and annotations, and makes `Records` of them.

    root : folder that paths are relative to
    source_format : name of the importer
    listing : the pictures that a walk has found; nothing else can become a sample
    """

    def __init__(self, root: Path, source_format: str, listing: Listing, options: ImportOptions) -> None:
        self.root, self.format, self.options = root, source_format, options
        self._listing = listing
        self._finder = PictureFinder(listing)
        self._notes: list[str] = []
        self._rejected: list[tuple[str, str]] = []
        self._used: set[str] = set()
        self._broken: list[str] = []
        # One entry per picture:
        self._rows: dict[str, int] = {}
        self._paths: list[str] = []
        self._splits: list[str] = []
        self._groups: list[str] = []
        self._about: list[str] = []
        self._stated: list[tuple[int, int] | None] = []
        self._elsewhere: list[tuple[str, str, str]] = []  # path and its two splits
        # One entry per annotation:
        self._picture = array("q")
        self._labels: list[str] = []
        self._boxes = array("d")  # four numbers each
        self._kinds = bytearray()
        self._attributes: list[str] = []
        self._wheres: list[str] = []
        self._lines = array("q")
        self._good_labels: set[str] = set()

    # --- what an importer says ---------------------------------------------------------------------------------------

    def find(self, name: str, folders: Sequence[str] = ("",)) -> tuple[str, str]:
        """(path, "") of the picture that a format calls `name`, or ("", why there is none): see PictureFinder."""
        return self._finder.find_below(name, folders)

    def picture(
        self,
        path: str,
        split: str = "",
        attributes: Attributes = None,
        stated: tuple[int, int] | None = None,
        where: str = "",
        group: str = "",
    ) -> int:
        """The number of the picture at `path` (as `find` gives it), for `annotate`; a picture that is named again, by
        another file, is the same one, and keeps what was said first.

        split : canonical name, "" = none
        attributes : what the format says of it beside its labels, its keys as the format calls them
        stated : (width, height) that the format says
        """
        row = self._rows.get(path)
        if row is None:
            row = self._rows[path] = len(self._paths)
            self._paths.append(path)
            self._splits.append(split)
            self._groups.append(group)
            self._about.append(_as_text(attributes, where or path))
            self._stated.append(stated)
            return row
        if split and self._splits[row] != split:
            if self._splits[row]:
                self._elsewhere.append((path, self._splits[row], split))
            else:
                self._splits[row] = split
        self._groups[row] = self._groups[row] or group
        self._about[row] = self._about[row] or _as_text(attributes, where or path)
        self._stated[row] = self._stated[row] or stated
        return row

    def annotate(
        self,
        row: int,
        label: str,
        box: Sequence[Any] | None = None,
        attributes: Attributes = None,
        where: str = "",
        line: int = 0,
        relative: bool = False,
    ) -> bool:
        """Add one annotation; whether it could be one, which if not is a rejected row.

        row : of `picture`
        box : x, y, width, height, numbers or their text; a negative width or height is that of corners in the other
            order, which are swapped, and counted in a note; None = the label is of the whole picture
        attributes : as in `picture`
        where, line : the file as the user knows it, and the line in it, counted from 1 (0 = the whole file); a `where`
            that ends in a blank says what is counted: "a.json annotation "
        relative : the box is in shares of the picture's size
        """
        if label not in self._good_labels:
            why = label_fault(label)
            if why:
                self.reject_of(row, where, line, why)
                return False
            self._good_labels.add(label)
        if box is None:
            kind = NONE
            self._boxes.extend(_NAN)
        else:
            kind = SHARES if relative else PIXELS
            try:
                x, y, w, h = map(float, box)
            except (TypeError, ValueError, OverflowError):
                self.reject_of(row, where, line, f"the box {shown(str(box))} is not four numbers")
                return False
            if not (abs(x) <= MOST_PX and abs(y) <= MOST_PX and abs(w) <= MOST_PX and abs(h) <= MOST_PX):  # NaN is not
                self.reject_of(row, where, line, f"the box {x:g}, {y:g}, {w:g}, {h:g} is no place in a picture")
                return False
            self._boxes.extend((x, y, w, h))
        self._kinds.append(kind)
        self._picture.append(row)
        self._labels.append(label)
        self._attributes.append(_as_text(attributes, where))
        self._wheres.append(where)
        self._lines.append(line)
        return True

    def reject(self, path: str, reason: str) -> None:
        """Say why something that the source lists is no sample or no annotation."""
        self._rejected.append((path, reason))

    def reject_of(self, row: int, where: str, line: int, why: str) -> None:
        """The same of an annotation of a picture; arguments as in `annotate`."""
        self._rejected.append((self._paths[row], f"{at(where, line)}: {why}" if where else why))

    @property
    def count(self) -> int:
        """How many annotations there are; the next one gets this number."""
        return len(self._labels)

    def add_to_picture(self, row: int, more: Mapping[str, Any]) -> None:
        """Say more of a picture; what was said of it stays."""
        self._about[row] = to_json({**more, **json.loads(self._about[row] or "{}")}, self._paths[row])

    def add_to_annotation(self, number: int, more: Mapping[str, Any]) -> None:
        """Say more of the annotation that was the `number`-th, counted from 0; what was said of it stays."""
        self._attributes[number] = to_json(
            {**more, **json.loads(self._attributes[number] or "{}")}, self._wheres[number]
        )

    def note(self, sentence: str) -> None:
        """Say something that the user should see."""
        self._notes.append(sentence)

    def used(self, path: str) -> None:
        """An annotation file (relative to the root) was read: it is not something strange that lies about."""
        self._used.add(path_to_text(path))

    def unlabelled(self, path: str, reason: str, split: str = "") -> None:
        """The annotation file of this picture is broken: it stays, without labels, and the reason is listed."""
        self.picture(path, split)
        self._broken.append(path)
        self._rejected.append((path, reason))

    # --- the records -------------------------------------------------------------------------------------------------

    def records(
        self,
        classes: Iterable[Mapping[str, Any]] = (),
        about: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        boxes: bool = True,
        add_unnamed: bool = True,
        task: str = "",
        progress: Progress = SILENT,
    ) -> Records:
        """The tables of all that was said.

        classes, about, settings : of `Records`
        boxes : it is a format of boxes: the task is detection even where there is no box in it
        add_unnamed : pictures of the listing that were not named are samples without a label
        task : that the source says it is for; `options.task` goes before

        Raises
        ------
        SettingsError : `options.task` is single-label, and a picture has two labels.
        """
        unnamed = [p for p in map(path_to_text, self._listing.images) if p not in self._rows] if add_unnamed else []
        notes = self._picture_notes(unnamed)
        for path in unnamed:
            self.picture(path)
        with progress.stage("Reading sizes", len(self._paths)) as advance:
            sizes = self._sizes(advance)
        with progress.stage("Making tables", len(self._paths), "rows") as advance:
            kept, values, more = self._place_boxes(sizes)
            notes += more
            order = sorted(range(len(self._paths)), key=self._paths.__getitem__)
            samples = self._samples(order)
            table = self._annotations(kept, values, order, samples["sample_id"].tolist())
            boxes = boxes or PIXELS in self._kinds or SHARES in self._kinds
            table, task, more = fit_task(table, samples, boxes, self.options.task or task)
            notes += more
            advance(len(order))
        if table.empty:
            notes.append("No picture has a label, so nothing can be said about labels.")
        left = Listing(rejected=[], ignored=self._listing.ignored, links=self._listing.links)
        left.rejected = [(p, why) for p, why in self._listing.rejected if not self._expected(path_to_text(p))]
        notes = [*self._notes, *notes, *listing_notes(left), *class_notes(table["label"])]
        notes += path_notes(samples["path"].tolist())
        rejected = [*self._rejected, *rejected_as_text(left.rejected)]
        return Records(
            samples,
            table,
            self.root,
            self.format,
            task,
            tuple(notes),
            pd.DataFrame(rejected, columns=["path", "reason"], dtype="str"),
            dict(settings or {}),
            tuple(map(dict, classes)),
            dict(about or {}),
        )

    def _expected(self, path: str) -> bool:
        """Whether a file that is no picture needs no word: it was read, or speaks of the data set to people."""
        return path in self._used or path.rpartition("/")[2].lower().startswith(_FOR_PEOPLE)

    def _place(self, k: int) -> str:
        return at(self._wheres[k], self._lines[k]) or shown(self._paths[self._picture[k]])

    def _picture_notes(self, unnamed: Sequence[str]) -> list[str]:
        notes = []
        bent = ", ".join(f"{counted(n, 'path')} with {what}" for what, n in sorted(self._finder.bent.items()))
        if bent:
            notes.append(f"Found all the same: {bent}.")
        if unnamed:
            names = counted(len(unnamed), "picture without a label is named", "pictures without a label are named")
            notes.append(f"{names} by no annotation file: {_some(unnamed)}.")
        if self._broken:
            files = counted(len(self._broken), "picture has", "pictures have")
            notes.append(f"{files} a broken annotation file, and no label: {_some(self._broken)}.")
        if self._elsewhere:
            path, first, second = self._elsewhere[0]
            times = counted(len(self._elsewhere), "picture is", "pictures are")
            notes.append(
                f"{times} in two splits; the first counts. {shown(path)} is in {shown(first)} and {shown(second)}."
            )
        if self._rejected:
            path, reason = self._rejected[0]
            entries = counted(len(self._rejected), "entry was", "entries were")
            notes.append(f"{entries} left out, the first of {shown(path, limit=200)}: {reason.rstrip('.')}.")
        return notes

    def _sizes(self, advance: Any) -> np.ndarray:
        """(pictures, 2) float64: width and height of those with a box or a stated size, NaN where it is not known."""
        sizes = np.full((len(self._paths), 2), np.nan)
        wanted = np.array([stated is not None for stated in self._stated], dtype=bool)
        wanted[np.array(self._picture, np.int64)[np.frombuffer(self._kinds, np.uint8) != NONE]] = True
        advance(int((~wanted).sum()))
        for row in np.flatnonzero(wanted).tolist():
            with contextlib.suppress(UnreadableError):  # scoring says why
                sizes[row] = picture_size(self.root, self._paths[row])
            advance(1)
        stated = np.array([one or (np.nan, np.nan) for one in self._stated], dtype=np.float64).reshape(-1, 2)
        differ = (sizes != stated).any(axis=1) & ~np.isnan(sizes).any(axis=1) & ~np.isnan(stated).any(axis=1)
        turned = differ & (sizes == stated[:, ::-1]).all(axis=1)
        for rows, words in ((turned, "as it lies in the file, before EXIF turns it upright"), (differ & ~turned, "")):
            found = np.flatnonzero(rows).tolist()
            if found:
                some = "; ".join(
                    f"{shown(self._paths[k])} is {sizes[k][0]:.0f} x {sizes[k][1]:.0f}, not "
                    f"{stated[k][0]:g} x {stated[k][1]:g}"
                    for k in found[:SHOWN]
                )
                other = f"another size than the annotations say{', perhaps ' + words if words else ''}"
                self._notes.append(f"{counted(len(found), 'picture has', 'pictures have')} {other}: {some}.")
        return sizes

    def _place_boxes(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Which annotations are kept, their boxes (kept, 4) in pixels, and notes on odd ones."""
        picture = np.array(self._picture, np.int64)
        values = np.array(self._boxes, np.float64).reshape(-1, 4)
        kinds = np.frombuffer(bytes(self._kinds), np.uint8)
        placed = place_boxes(values, kinds == SHARES, sizes[picture] if len(picture) else np.empty((0, 2)))
        for k in np.flatnonzero(placed.unknown).tolist():
            why = "the box is in shares of a picture whose size cannot be read"
            self.reject_of(int(picture[k]), self._wheres[k], self._lines[k], why)
        kept = np.flatnonzero(~placed.unknown)
        notes = []
        for odd, (one, many) in zip((placed.swapped, placed.flat, placed.over), _ODD, strict=True):
            found = np.flatnonzero(odd).tolist()
            if found:
                some = ", ".join(self._place(k) for k in found[:SHOWN])
                notes.append(f"{counted(len(found), f'box {one}', f'boxes {many}')}: {some}.")
        return kept, placed.values[kept], notes

    def _samples(self, order: Sequence[int]) -> pd.DataFrame:
        samples = empty_samples(len(order))
        paths = [self._paths[k] for k in order]
        samples["sample_id"] = pd.Series([make_sample_id(path) for path in paths], dtype="str")
        samples["path"] = pd.Series(paths, dtype="str")
        for name, values in (("split", self._splits), ("group", self._groups), ("sample_attributes", self._about)):
            samples[name] = pd.Series([values[k] for k in order], dtype="str")
        samples["status"] = pd.Series(np.full(len(order), "ok", dtype=object), dtype="str")
        return samples

    def _annotations(
        self, kept: np.ndarray, values: np.ndarray, order: Sequence[int], ids: Sequence[str]
    ) -> pd.DataFrame:
        """The annotations, those of a picture together in the order in which they were said."""
        rank = np.empty(len(order), np.int64)
        rank[list(order)] = np.arange(len(order))
        place = rank[np.array(self._picture, np.int64)[kept]]
        by_picture = np.argsort(place, kind="stable")
        rows = kept[by_picture].tolist()
        table = empty_annotations(len(rows))
        table["sample_id"] = pd.Series([ids[k] for k in place[by_picture].tolist()], dtype="str")
        table["label"] = pd.Series([self._labels[k] for k in rows], dtype="str")
        table["attributes"] = pd.Series([self._attributes[k] for k in rows], dtype="str")
        table[["x", "y", "w", "h"]] = values[by_picture]
        return numbered(table)


def _as_text(attributes: Attributes, where: str) -> str:
    return attributes if isinstance(attributes, str) else to_json(attributes, where)


def _some(paths: Sequence[str]) -> str:
    return ", ".join(shown(path, limit=200) for path in paths[:SHOWN])
