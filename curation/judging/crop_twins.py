"""Boxes of two pictures that show the same thing: the next frame of a video, one product shot, a picture pasted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curation.crops import Crops
from curation.duplicates import find_duplicates
from curation.pixels import Pixels
from curation.progress import Progress

# Of a smaller box too little is to be seen to tell it from another one of its kind.
SMALLEST_PX = 32.0
# Standard deviation of luma below which a box is a grey patch, of which there are many.
LEAST_CONTRAST = 0.02
# Pairs grow with the square: so many boxes take seconds, or two minutes where all of them look alike.
MOST_BOXES = 10_000


def crop_twins(
    crops: Crops,
    boxes: np.ndarray,
    picture: np.ndarray,
    doubtful: np.ndarray,
    root: Path,
    cache: Path,
    progress: Progress,
) -> tuple[pd.DataFrame, str]:
    """Verified duplicates among the boxes of different pictures, and a sentence if not all were looked for.

    boxes : (B, 4) x, y, w, h in pixels; picture : (B,) a number for the picture of each
    doubtful : (B,) bool: among more than MOST_BOXES, only these are compared

    Returns
    -------
    pairs as curation.duplicates.Duplicates.pairs has them, of box numbers
    """
    large = boxes[:, 2:].min(axis=1, initial=np.inf) >= SMALLEST_PX
    rows = np.flatnonzero(crops.there & large & (crops.column("contrast") >= LEAST_CONTRAST))
    note = ""
    if len(rows) > MOST_BOXES:
        whole, rows = len(rows), rows[doubtful[rows]]
        what = f"only the {len(rows):,} near to boxes of another label were compared"
        if len(rows) > MOST_BOXES:
            rows, what = rows[:0], "they were not looked for"
        note = f"Boxes that look the same: {whole:,} are too many ({MOST_BOXES:,} are the most), {what}."
    samples = pd.DataFrame(
        {
            "path": "", "content_hash": crops.keys[rows], "pixel_hash": crops.pixel_hash[rows], "format": "CROP",
            "width_px": np.ceil(boxes[rows, 2]).astype(np.int64), "height_px": np.ceil(boxes[rows, 3]).astype(np.int64),
            "saturation": crops.column("saturation")[rows],
        }
    )  # fmt: skip
    pairs = find_duplicates(Pixels(samples, crops.size, crops.rows, crops.row_of[rows], root), cache, progress).pairs
    # An object that is seen again is seen upright again; what matches turned or mirrored is another one of its kind.
    pairs = pairs[pairs["transform"].str.startswith("same")]
    pairs = pairs.assign(a=rows[pairs["a"].to_numpy()], b=rows[pairs["b"].to_numpy()])
    return pairs[picture[pairs["a"].to_numpy()] != picture[pairs["b"].to_numpy()]].reset_index(drop=True), note
