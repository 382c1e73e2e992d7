"""NumPy: `train_images`, `train_labels` ... and `class_names` in one uncompressed .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from curation.exporters.arrays import Part, save_arrays
from curation.exporters.contract import Content, Exporter, Options, Saved
from curation.progress import Progress

NAME = "data.npz"


def save(content: Content, options: Options, folder: Path, progress: Progress) -> Saved:
    """Write one file; pictures go in one by one, so that it may be larger than the memory."""

    def write(parts: Iterable[Part], class_names: np.ndarray) -> None:
        with zipfile.ZipFile(folder / NAME, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
            _put(archive, "class_names", class_names)
            for part in parts:
                with _member(archive, _key(part.name, "images")) as stream:
                    header = {"descr": "|u1", "fortran_order": False, "shape": part.shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                    for image in part.images:
                        stream.write(np.ascontiguousarray(image).data)
                for name, values in part.small.items():
                    _put(archive, _key(part.name, name), values)

    return save_arrays(content, options, NAME, _key, write, progress)


def _key(split: str, name: str) -> str:
    return f"{split}_{name}".lstrip("_") if split else name


def _member(archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    # ZipInfo's own date, 1980: the same version gives the same bytes.
    return archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True)


def _put(archive: zipfile.ZipFile, key: str, values: np.ndarray) -> None:
    with _member(archive, key) as stream:
        np.lib.format.write_array(stream, values, allow_pickle=False)


EXPORTER = Exporter(
    save=save,
    images=("inside",),
    sized=True,
    reading="import numpy as np\n\ndata = np.load('DEST/data.npz')\nimages, labels = data['train_images'], "
    "data['train_labels']",
)
