"""Formats that a version can leave in: one file each, with `save(content, options, folder, progress) -> Saved`."""

from curation.exporters import (
    coco,
    csv_table,
    cvat,
    fiftyone_set,
    folder,
    hdf5,
    labelme,
    labelstudio,
    npz,
    oidv4,
    openimages,
    parquet,
    tfrecord,
    voc,
    webdataset,
    yolo,
)
from curation.exporters.contract import Exporter

EXPORTERS: dict[str, Exporter] = {
    "folder": folder.EXPORTER,
    "csv": csv_table.EXPORTER,
    "parquet": parquet.EXPORTER,
    "webdataset": webdataset.EXPORTER,
    "hdf5": hdf5.EXPORTER,
    "npz": npz.EXPORTER,
    "coco": coco.EXPORTER,
    "labelme": labelme.EXPORTER,
    "labelstudio": labelstudio.EXPORTER,
    "cvat": cvat.EXPORTER,
    "voc": voc.EXPORTER,
    "yolo": yolo.EXPORTER,
    "openimages": openimages.EXPORTER,
    "oidv4": oidv4.EXPORTER,
    "tfrecord": tfrecord.EXPORTER,
    "fiftyone": fiftyone_set.EXPORTER,
}
