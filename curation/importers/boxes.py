"""From what a format says of pictures and annotations to `Records`: matched, checked, counted, in upright pixels.

An importer of boxes adds pictures and annotations to a `Builder` in the order of its files, then asks for the records.
"""

from __future__ import annotations

import contextlib
import math
import posixpath
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import SettingsError, UnreadableError
from curation.importers.assemble import (
    LABEL_LIMIT,
    SHOWN,
    class_notes,
    listing_notes,
    path_notes,
    rejected_as_text,
    shown,
)
from curation.importers.json_file import to_json
from curation.importers.listing import Listing
from curation.importers.options import ImportOptions
from curation.importers.picture_size import picture_size
from curation.importers.table_paths import Finder, refusal, tidy
from curation.progress import SILENT, Progress
from curation.records import Records, empty_annotations, empty_samples, make_annotation_id, make_sample_id, path_to_text
from curation.wording import counted

MOST_PX = 1e9  # a coordinate beyond it is no place in any picture
_NAN = (math.nan,) * 4
_NONE, _PIXELS, _SHARES = 0, 1, 2

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
        self._finder = Finder(listing)
        self._endings: dict[str, list[str]] | None = None
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
        """(path, "") of the picture that a format calls `name`, or ("", why there is none).

        Looked for below each of `folders` (relative to the root), then as the only path that ends so. `..` may climb as
        long as it stays in the root. Only what the walk has found is given back, so no name can lead out of it.
        """
        for folder in folders:
            path = f"{folder}/{name}" if folder else name
            if path in self._finder.known:
                return path, ""
        plain = name.strip().replace("\\", "/")
        if ".." in plain.split("/") and not refusal("/".join(part for part in plain.split("/") if part != "..")):
            for folder in folders:
                path = posixpath.normpath(f"{folder}/{plain}" if folder else plain)
                if path in self._finder.known:
                    return path, ""
        why = refusal(name)
        for folder in folders if not why else ():
            path, why = self._finder.find(f"{folder}/{name}" if folder else name)
            if path:
                return path, ""
        return self._find_ending(tidy(plain), why) if not refusal(name) else ("", why)

    def _find_ending(self, name: str, why: str) -> tuple[str, str]:
        if self._endings is None:
            self._endings = {}
            for path in self._finder.known:
                self._endings.setdefault(path.rpartition("/")[2], []).append(path)
        name = path_to_text(name)
        twins = [path for path in self._endings.get(name.rpartition("/")[2], ()) if f"/{path}".endswith(f"/{name}")]
        if len(twins) == 1:
            return twins[0], ""
        if twins:
            return "", f"{len(twins)} pictures have this name, in different folders"
        return "", why

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
        where, line : the file as the user knows it, and the line or element in it, counted from 1 (0 = the whole file)
        relative : the box is in shares of the picture's size
        """
        if label not in self._good_labels:
            why = _label_fault(label)
            if why:
                self._reject_annotation(row, where, line, why)
                return False
            self._good_labels.add(label)
        if box is None:
            kind = _NONE
            self._boxes.extend(_NAN)
        else:
            kind = _SHARES if relative else _PIXELS
            try:
                x, y, w, h = map(float, box)
            except (TypeError, ValueError, OverflowError):
                self._reject_annotation(row, where, line, f"the box {shown(str(box))} is not four numbers")
                return False
            if not (abs(x) <= MOST_PX and abs(y) <= MOST_PX and abs(w) <= MOST_PX and abs(h) <= MOST_PX):  # NaN is not
                self._reject_annotation(
                    row, where, line, f"the box {x:g}, {y:g}, {w:g}, {h:g} is no place in a picture"
                )
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
        progress: Progress = SILENT,
    ) -> Records:
        """The tables of all that was said.

        classes, about, settings : of `Records`
        boxes : it is a format of boxes: the task is detection even where there is no box in it
        add_unnamed : pictures of the listing that were not named are samples without a label

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
            table, task, more = _reduce(table, samples, boxes or _PIXELS in self._kinds or _SHARES in self._kinds, self)
            notes += more
            advance(len(order))
        left = Listing(rejected=[], ignored=self._listing.ignored, links=self._listing.links)
        left.rejected = [(p, why) for p, why in self._listing.rejected if path_to_text(p) not in self._used]
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

    def _reject_annotation(self, row: int, where: str, line: int, why: str) -> None:
        self._rejected.append((self._paths[row], f"{at(where, line)}: {why}" if where else why))

    def _place(self, k: int) -> str:
        return at(self._wheres[k], self._lines[k]) or shown(self._paths[self._picture[k]])

    def _picture_notes(self, unnamed: Sequence[str]) -> list[str]:
        notes = []
        bent = ", ".join(f"{counted(n, 'path')} with {what}" for what, n in sorted(self._finder.bent.items()))
        if bent:
            notes.append(f"Found all the same: {bent}.")
        if unnamed:
            names = counted(len(unnamed), "picture is named", "pictures are named")
            notes.append(f"{names} by no annotation file, and has no label: {_some(unnamed)}.")
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
            notes.append(f"{entries} left out, the first of {shown(path, limit=200)}: {reason}.")
        return notes

    def _sizes(self, advance: Any) -> np.ndarray:
        """(pictures, 2) float64: width and height of those with a box or a stated size, NaN where it is not known."""
        sizes = np.full((len(self._paths), 2), np.nan)
        wanted = np.array([stated is not None for stated in self._stated], dtype=bool)
        wanted[np.array(self._picture, np.int64)[np.frombuffer(self._kinds, np.uint8) != _NONE]] = True
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
        kinds = np.frombuffer(bytes(self._kinds), np.uint8)
        picture = np.array(self._picture, np.int64)
        values = np.array(self._boxes, np.float64).reshape(-1, 4)
        shares = kinds == _SHARES
        own = sizes[picture] if len(picture) else np.empty((0, 2))
        unknown = shares & np.isnan(own).any(axis=1)
        for k in np.flatnonzero(unknown).tolist():
            why = "the box is in shares of a picture whose size cannot be read"
            self._reject_annotation(int(picture[k]), self._wheres[k], self._lines[k], why)
        values[shares] *= np.tile(own[shares], 2)
        kept = np.flatnonzero(~unknown)
        values, own = values[kept], own[kept]
        swapped = (values[:, 2:] < 0).any(axis=1)
        for corner, side in ((0, 2), (1, 3)):
            inverted = values[:, side] < 0
            values[inverted, corner] += values[inverted, side]
            values[inverted, side] *= -1
        flat = (values[:, 2] == 0) | (values[:, 3] == 0)
        slack = 1e-6 * np.nan_to_num(own)  # rounding of shares is no mistake
        over = (values[:, :2] < -slack).any(axis=1) | (values[:, :2] + values[:, 2:] > own + slack).any(axis=1)
        notes = []
        for rows, words in (
            (swapped, "had its corners in the other order, which was put right|had their corners in the other order, "
                      "which was put right"),
            (flat, "has no area, and is kept|have no area, and are kept"),
            (over, "reaches beyond its picture, and is kept as it is|reach beyond their pictures, and are kept as they "
                   "are"),
        ):  # fmt: skip
            one, _, many = words.partition("|")
            found = kept[rows].tolist()
            if found:
                some = ", ".join(
                    at(self._wheres[k], self._lines[k]) or shown(self._paths[picture[k]]) for k in found[:3]
                )
                notes.append(f"{counted(len(found), f'box {one}', f'boxes {many}')}: {some}.")
        return kept, values, notes

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
        return _numbered(table)


def at(where: str, line: int) -> str:
    """`where line 12`; only `where` for line 0."""
    return f"{where} line {line}" if line else where


def number(value: object) -> float:
    """A number, or the plain text of one, as float64.

    Raises
    ------
    ValueError : it is neither, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{shown(str(value))} is not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(str(value))} is not a number") from error
    if not math.isfinite(found):
        raise ValueError(f"{shown(str(value))} is not a number")
    return found


def _as_text(attributes: Attributes, where: str) -> str:
    return attributes if isinstance(attributes, str) else to_json(attributes, where)


def _label_fault(label: object) -> str:
    if not isinstance(label, str) or label == "":
        return "it has no class"
    if len(label) > LABEL_LIMIT:
        return f"a label of {len(label):,} characters; more than {LABEL_LIMIT:,} is no class name"
    if "\0" in label:
        return f"the label {shown(label)} holds a NUL character"
    try:
        label.encode()
    except UnicodeEncodeError:
        return f"the label {shown(label, codes=True)} holds half of a character"
    return ""


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """With the ids of annotations: their number among those of their sample; rows of a sample are together."""
    ids = table["sample_id"].tolist()
    found, last, position = [], "", 0
    for sample_id in ids:
        position = position + 1 if sample_id == last else 0
        last = sample_id
        found.append(make_annotation_id(sample_id, position))
    return table.assign(annotation_id=pd.Series(found, dtype="str"))


def _reduce(
    table: pd.DataFrame, samples: pd.DataFrame, boxes: bool, builder: Builder
) -> tuple[pd.DataFrame, str, list[str]]:
    """The annotations as the task wants them, the task, and notes."""
    wanted = builder.options.task
    if wanted == "detection" or (boxes and not wanted):
        return table, "detection", []
    again = table.duplicated(["sample_id", "label"]).to_numpy()
    had_box = table["w"].notna().to_numpy()
    notes = []
    if had_box.any():
        notes.append(
            f"{counted(int(had_box.sum()), 'box was', 'boxes were')} taken as what is in the picture: each class once."
        )
        table[["x", "y", "w", "h"]] = np.nan
        table.loc[had_box, "attributes"] = ""
    elif again.any():
        notes.append(f"{counted(int(again.sum()), 'label')} said twice of one picture; once is enough.")
    table = _numbered(table[~again].reset_index(drop=True))
    several = table["sample_id"].duplicated()
    if wanted == "single-label" and several.any():
        first = samples.loc[samples["sample_id"] == table.loc[several, "sample_id"].iloc[0], "path"].iloc[0]
        raise SettingsError(
            f"{counted(int(several.sum()), 'picture has', 'pictures have')} more than one label, so this is no "
            f"single-label data set; the first is {shown(first, limit=200)}."
        )
    return table, wanted or ("multi-label" if several.any() else "single-label"), notes


def _some(paths: Sequence[str]) -> str:
    return ", ".join(shown(path, limit=200) for path in paths[:SHOWN])
