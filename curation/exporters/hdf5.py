"""HDF5: `train/images`, `train/labels` ... and `class_names` in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from curation.exporters.arrays import Part, save_arrays
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.progress import Progress

NAME = "data.h5"


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one file with one group per split."""

    def write(parts: Iterable[Part], class_names: np.ndarray) -> None:
        import h5py

        # Through Python's file, so that a full disk is an error where it happens.
        with (folder / NAME).open("xb+") as stream, h5py.File(stream, "w", libver=("v110", "latest")) as file:
            file.create_dataset("class_names", data=class_names.astype(object), dtype=h5py.string_dtype())
            for part in parts:
                group = file.require_group(part.name) if part.name else file
                images = group.create_dataset("images", part.shape, np.uint8)
                for at, image in enumerate(part.images):
                    images[at] = image
                for name, values in part.small.items():
                    text = values.dtype.kind == "U"
                    kind = h5py.string_dtype() if text else None
                    group.create_dataset(name, data=values.astype(object) if text else values, dtype=kind)

    return save_arrays(content, options, NAME, lambda split, name: f"{split}/{name}".lstrip("/"), write, progress)


EXPORTER = Exporter(
    save=save,
    images=("inside",),
    sized=True,
    reading="import h5py\n\nwith h5py.File('DEST/data.h5') as file:\n    images, labels = file['train/images'], "
    "file['train/labels']",
)
