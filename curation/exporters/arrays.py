"""What the formats of arrays share: pictures of one size, labels as numbers, and the names of the arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from curation.exporters.contract import Content, Options, Saved
from curation.exporters.names import word_names
from curation.exporters.pictures import common_size, decoded
from curation.files import failpoint
from curation.progress import Progress

MOST_SOFT_BYTES = 2**30
DIGITS = 6  # of the number in a path, so that paths sort as the pictures do


@dataclass(frozen=True)
class Part:
    """The arrays of one split.

    name : of the split, "" where pictures have none
    shape : (N, H, W, 3) of `images`, uint8
    images : its N pictures, one after the other
    small : the others by name: `labels` (N,) int64 (-1 = none), `hard` (N,) bool, `sample_id` (N,) text, and
        `soft_labels` (N, K) float32 where a picture has several labels
    """

    name: str
    shape: tuple[int, int, int, int]
    images: Iterable[np.ndarray]
    small: dict[str, np.ndarray]


def save_arrays(
    content: Content,
    options: Options,
    file: str,
    key_of: Callable[[str, str], str],
    write: Callable[[Iterable[Part], np.ndarray], None],
    progress: Progress,
) -> Saved:
    """Call `write` with the arrays of every split and the class names, (K,) text.

    key_of : (split, array) to its name in the file
    """
    size = common_size(content, options.size)
    words = word_names(content.splits, "")
    order: list[tuple[str, list[int]]] = []
    paths = [""] * len(content.samples)
    for split, word in zip(content.splits, words, strict=True):
        rows = np.flatnonzero(content.samples["split"].to_numpy(object) == split).tolist()
        order.append((word, rows))
        for at, row in enumerate(rows):
            paths[row] = f"{file}#{key_of(word, 'images')}/{at:0{DIGITS}d}"
    soft = content.ambiguous > 0 and len(paths) * len(content.classes) * 4 <= MOST_SOFT_BYTES
    with progress.stage("Exporting", len(paths)) as advance:

        def told(images: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
            for image in images:
                yield image
                failpoint("export.after_picture")
                advance(1)

        parts = (
            Part(
                word, (len(rows), size[1], size[0], 3), told(decoded(content, rows, size)), _small(content, rows, soft)
            )
            for word, rows in order
        )
        write(parts, np.array(content.classes, dtype=np.str_))
    sizes = content.samples[["width_px", "height_px"]].to_numpy()
    notes = [] if (sizes == size).all() else [f"Pictures are squashed to {size[0]} x {size[1]} pixels, not cropped."]
    if content.ambiguous:
        words_on = "soft_labels has one row of equal weights per picture" if soft else "they would be too many to store"
        notes.append(f"{content.ambiguous:,} pictures have several right labels: {words_on}.")
    return Saved(paths, [""] * len(paths), [file], notes=notes)


def _small(content: Content, rows: list[int], soft: bool) -> dict[str, np.ndarray]:
    samples = content.samples.take(rows)
    found = {
        "labels": samples["class_id"].to_numpy(np.int64),
        "hard": samples["hard"].to_numpy(bool),
        "sample_id": np.array(samples["sample_id"].tolist(), dtype=np.str_),
    }
    if soft:
        weights = np.zeros((len(rows), len(content.classes)), np.float32)
        for at, row in enumerate(rows):
            if content.class_ids[row]:
                weights[at, list(content.class_ids[row])] = 1 / len(content.class_ids[row])
        found["soft_labels"] = weights
    return found
