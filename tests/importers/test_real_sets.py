"""Data sets as they are published, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.errors import SourceError
from curation.importers import load
from tests.importers.pictures import labels_of, rejected_of

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.shared_data


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in shared/data")
    return DATA / name


@pytest.mark.parametrize(
    ("name", "options", "samples", "classes"),
    [
        ("trashnet", {}, 2527, 6),
        ("trashnet", {"label_from_name": True}, 2527, 6),
        ("flowers17", {}, 1360, 17),
        ("flowers17", {"labels": "planted.csv"}, 1360, 17),
        ("cifar10n/labels.csv", {}, 10_000, 10),
        ("cifar10n", {"labels": "labels.csv", "label_column": "given_label_worse"}, 10_000, 10),
        ("raccoon/images", {"labels": str(DATA / "raccoon" / "raccoon_labels.csv")}, 200, 1),
        ("formats/imagenet_dataset", {"class_folder": "last"}, 4, 3),
        ("duplicates/formats_images", {}, 9, 0),
    ],
)
def test_published_sets_are_read_whole(name: str, options: dict[str, object], samples: int, classes: int) -> None:
    records = load(real(name), options=options)
    assert len(records.samples) == samples
    assert records.annotations["label"].nunique() == classes


def test_names_without_their_ending(tmp_path: Path) -> None:
    folder = real("formats/kaggle_dataset/image_csv")
    whole = load(folder / "images", options={"labels": str(folder / "ann.csv")})
    bare = load(folder / "images", options={"labels": str(folder / "ann_wo_ext.csv")})
    assert labels_of(whole) == labels_of(bare)
    with pytest.raises(SourceError, match="image_csv/images': give that as the source"):
        load(folder / "ann.csv")


def test_a_drawing_among_pictures_is_rejected() -> None:
    assert "drawing" in rejected_of(load(real("duplicates/formats_images")))["ukbench09380.svg"]
