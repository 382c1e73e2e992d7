"""Thumbnails for the report: re-encoded from the source, small, and counted."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from curation.decoding.crops import around
from curation.decoding.sources import open_picture
from curation.errors import UnreadableError
from curation.progress import Progress
from curation.report.markup import plain
from curation.review.pictures import fit

SIDE_PX, SMALL_SIDE_PX = 160, 72
JPEG_QUALITY = 78
# Tiny pictures (32x32) are enlarged by whole factors with hard pixel edges: that is what the labeller had to go by.
ENLARGE_TO_PX = 96


# Stands in the page where a picture will be. `markup.text` lets no control character through, so that no label or
# file name can contain it.
_SLOT = re.compile("\0(\\d+)\0")

Box = tuple[float, ...]  # x, y, w, h; empty for a whole picture


class Pictures:
    """Gives out a slot for every picture that the page shows, then fills all slots at once.

    samples : the run's samples, indexed by sample_id
    root : folder that their paths are relative to; may have vanished
    """

    def __init__(self, samples: pd.DataFrame, root: Path) -> None:
        self._paths: Mapping[str, str] = samples["path"].to_dict()
        self._root = root
        self._slots: list[tuple[str, str, int, Box]] = []
        self.missing = 0

    @property
    def shown(self) -> int:
        """Number of pictures on the page, placeholders included."""
        return len(self._slots)

    def image(self, sample_id: str, alt: str, side_px: int = SIDE_PX, box: Sequence[float] | None = None) -> str:
        """A slot for a picture of at most `side_px` on its long side.

        alt : what the picture is, for those who do not see it; not yet escaped
        box : x, y, w, h, where not the whole picture is to be seen but this part and what is around it
        """
        self._slots.append((sample_id, alt, side_px, tuple(map(float, box or ()))))
        return f"\0{len(self._slots) - 1}\0"

    def fill(self, page: str, progress: Progress) -> str:
        """`page` with every slot replaced by an <img> with a data URI, or by a grey placeholder."""
        uris: dict[tuple[str, int, Box], str] = {}
        with progress.stage("Drawing pictures", len(self._slots)) as advance:
            for sample_id, _, side_px, box in self._slots:
                if (sample_id, side_px, box) not in uris:
                    uris[sample_id, side_px, box] = self._thumbnail(sample_id, side_px, box)
                self.missing += not uris[sample_id, side_px, box]
                advance(1)
        return _SLOT.sub(lambda slot: _element(uris, *self._slots[int(slot[1])]), page)

    def _thumbnail(self, sample_id: str, side_px: int, box: Box) -> str:
        path = self._paths.get(sample_id)
        if path is None:
            return ""
        try:
            picture = open_picture(self._root, path, short_px=None if box else side_px).rgb
        except UnreadableError:
            return ""
        if box:
            picture = around(picture, box, (1.0, 1.0), side_px)
        stream = io.BytesIO()
        fit(picture, side_px, ENLARGE_TO_PX).save(stream, "JPEG", quality=JPEG_QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _element(uris: Mapping[tuple[str, int, Box], str], sample_id: str, alt: str, side_px: int, box: Box) -> str:
    uri = uris[sample_id, side_px, box]
    if uri:
        return f'<img src="{uri}" alt="{plain(alt)}">'
    small = " small" if side_px < SIDE_PX else ""
    return f'<span class="gone{small}" role="img" aria-label="{plain(alt)}, not found">not found</span>'
