"""Array files."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from curation.decoding.sources import open_picture
from curation.errors import SettingsError, SourceError
from curation.importers import load
from curation.importers.arrays import split_of
from tests.importers.pictures import labels_of, note_with, splits_of

IMAGES = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def write(folder: Path, kind: str, **arrays: Any) -> Path:
    """The same arrays as .npz or .h5."""
    file = folder / f"set.{kind}"
    if kind == "npz":
        np.savez(file, **arrays)
    else:
        with h5py.File(file, "w") as opened:
            for key, values in arrays.items():
                values = np.asarray(values)
                opened.create_dataset(key, data=values.astype("S") if values.dtype.kind == "U" else values)
    return file


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x", "y"), ("X", "target"), ("data", "targets"), ("imgs", "gt")]
)
def test_usual_keys_are_known(tmp_path: Path, kind: str, images: str, labels: str) -> None:
    records = load(write(tmp_path, kind, **{images: IMAGES, labels: LABELS}))
    assert labels_of(records) == {f"set.{kind}#{images}/{i}": str(LABELS[i]) for i in range(6)}
    assert records.source_format == "arrays"
    picture = open_picture(records.root, f"set.{kind}#{images}/3")
    assert np.array_equal(np.asarray(picture.rgb)[..., 0], IMAGES[3])


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_splits_in_the_keys(tmp_path: Path, kind: str) -> None:
    arrays = {
        "x_train": IMAGES,
        "y_train": LABELS,
        "x_test": IMAGES[:2],
        "y_test": LABELS[:2],
        "val_images": IMAGES[:1],
    }
    records = load(write(tmp_path, kind, **arrays))
    assert splits_of(records)[f"set.{kind}#x_train/5"] == "train"
    assert splits_of(records)[f"set.{kind}#x_test/1"] == "test"
    assert labels_of(records)[f"set.{kind}#val_images/0"] == ""
    assert len(records.samples) == 9


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("x_train", ("train", "x")),
        ("TestImages", ("test", "images")),
        ("val/images", ("val", "images")),
        ("images", ("", "images")),
        ("Validation-Labels", ("validation", "labels")),
        ("latest", ("", "latest")),
        ("y.test", ("test", "y")),
    ],
)
def test_split_of_a_key(key: str, found: tuple[str, str]) -> None:
    assert split_of(key) == found


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (LABELS.astype(np.uint8), ["0", "1", "2", "0", "1", "2"]),
        (LABELS.astype(np.float32), ["0", "1", "2", "0", "1", "2"]),
        (LABELS[:, None], ["0", "1", "2", "0", "1", "2"]),
        (np.eye(3)[LABELS], ["0", "1", "2", "0", "1", "2"]),
        (LABELS == 1, ["false", "true", "false"] * 2),
        (np.array(["nan", "01", "é", "", "None", " x"]), ["nan", "01", "é", "", "None", " x"]),
        (np.array([b"a", b"b", b"c"] * 2), ["a", "b", "c"] * 2),
        (LABELS - 1, ["-1", "0", "1", "-1", "0", "1"]),
    ],
    ids=["uint8", "float", "column", "one-hot", "bool", "text", "bytes", "negative"],
)
def test_kinds_of_labels(tmp_path: Path, kind: str, labels: np.ndarray, expected: list[str]) -> None:
    if kind == "h5" and labels.dtype.kind == "U":
        file = tmp_path / "set.h5"
        with h5py.File(file, "w") as opened:
            opened["images"] = IMAGES
            opened.create_dataset("labels", data=list(labels), dtype=h5py.string_dtype())
    else:
        file = write(tmp_path, kind, images=IMAGES, labels=labels)
    assert list(labels_of(load(file)).values()) == expected


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("key", ["class_names", "classes", "label_names"])
def test_class_names_are_used_where_they_fit(tmp_path: Path, kind: str, key: str) -> None:
    arrays = {"images": IMAGES, "labels": LABELS, key: np.array(["cat", "dog", "eel"])}
    assert set(labels_of(load(write(tmp_path, kind, **arrays))).values()) == {"cat", "dog", "eel"}
    arrays["labels"] = LABELS + 1  # 3 has no name
    assert set(labels_of(load(write(tmp_path, kind, **arrays))).values()) == {"1", "2", "3"}


@pytest.mark.parametrize("shape", [(6, 4, 4), (6, 4, 4, 1), (6, 4, 4, 3), (6, 4, 4, 4), (6, 3, 8, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_shapes_and_types_of_pictures(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    file = write(tmp_path, "npz", images=np.ones(shape, dtype), labels=LABELS)
    records = load(file)
    assert len(records.samples) == 6
    open_picture(records.root, records.samples["path"][5])


def test_two_unnamed_arrays_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", IMAGES, LABELS)
    assert set(labels_of(load(tmp_path / "set.npz")).values()) == {"0", "1", "2"}


def test_keys_can_be_named(tmp_path: Path) -> None:
    file = write(tmp_path, "npz", first=IMAGES, second=IMAGES, noisy=LABELS, clean=LABELS[::-1])
    with pytest.raises(SourceError, match="several arrays that may hold the pictures"):
        load(file)
    records = load(file, options={"image_column": "second", "label_column": "clean"})
    assert labels_of(records)["set.npz#second/0"] == "2"
    assert "'first'" in note_with(records, "Arrays not used")
    with pytest.raises(SettingsError, match="no array 'third'; it has 'first'"):
        load(file, options={"image_column": "third"})


def test_two_label_arrays_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"several arrays that may hold the labels: 'labels', 'y'. Choose one with --label-column"
    ):
        load(write(tmp_path, "npz", images=IMAGES, labels=LABELS, y=LABELS))


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": IMAGES, "labels": LABELS[:4]}, "4 labels for 6 pictures"),
        ({"images": IMAGES, "labels": np.array([0, 1, np.nan, 0, 1, 2])}, "entry 2: nan is no class"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "entry 0: 0.5 is no class"),
        ({"images": IMAGES, "labels": np.full((6, 3), 0.3)}, "row 0: not one-hot"),
        ({"images": IMAGES, "labels": np.array([[1, 0], [0, 1], [1, 1]] * 2)}, "row 2: not one-hot"),
        ({"images": IMAGES, "labels": np.array([b"a", b"\xff"] * 3)}, "entry 1: the label is not UTF-8"),
        ({"images": IMAGES.reshape(6, 16), "labels": LABELS}, "Flat rows as in 'images' need a reshape"),
        ({"images": IMAGES.astype(complex), "labels": LABELS}, "no array of pictures"),
        ({"labels": LABELS}, "no array of pictures"),
        ({"images": np.ones((6, 5, 5, 7)), "labels": LABELS}, "no array of pictures"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, kind: str, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        load(write(tmp_path, kind, **arrays))


class Trap:
    """Unpickling this fails the test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("key", ["images", "labels", "class_names"])
def test_object_arrays_are_never_unpickled(tmp_path: Path, key: str) -> None:
    trap = np.array([Trap()] * 6, dtype=object)
    np.savez(tmp_path / "set.npz", **{"images": IMAGES, "labels": LABELS, key: trap}, allow_pickle=True)
    with pytest.raises(SourceError, match=r"never unpickled|never loaded"):
        load(tmp_path / "set.npz")


def test_hdf5_that_points_out_of_its_file_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as opened:
        opened["images"] = IMAGES
    with h5py.File(tmp_path / "external.h5", "w") as opened:
        opened.create_dataset("images", (6, 4, 4), "u1", external=[("/etc/passwd", 0, 96)])
    with h5py.File(tmp_path / "virtual.h5", "w") as opened:
        layout = h5py.VirtualLayout((6, 4, 4), "u1")
        layout[:] = h5py.VirtualSource("secret.h5", "images", (6, 4, 4))
        opened.create_virtual_dataset("images", layout)
    with h5py.File(tmp_path / "link.h5", "w") as opened:
        opened["images"] = h5py.ExternalLink("secret.h5", "images")
    for name, words in (
        ("external", "stored outside"),
        ("virtual", "stored outside"),
        ("link", "no array of pictures"),
    ):
        with pytest.raises(SourceError, match=words):
            load(tmp_path / f"{name}.h5")


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    good = write(tmp_path, kind, images=IMAGES, labels=LABELS).read_bytes()
    for data in (b"", b"PK\x03\x04junk", good[: len(good) // 2], good[:-30]):
        (tmp_path / f"bad.{kind}").write_bytes(data)
        with pytest.raises(SourceError, match=f"bad.{kind}"):
            load(tmp_path / f"bad.{kind}")


def test_an_npz_whose_label_header_lies(tmp_path: Path) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (100000000,), }"
    npy = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + bytes(64)
    np.savez(tmp_path / "set.npz", images=np.ones((10**8, 1, 1), np.uint8)[:6])
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("labels.npy", npy)
    with pytest.raises(SourceError, match="labels"):
        load(tmp_path / "set.npz")


def test_an_npz_with_two_arrays_of_one_name(tmp_path: Path) -> None:
    file = write(tmp_path, "npz", images=IMAGES, labels=LABELS)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("labels.npy", b"")
    with pytest.raises(SourceError, match="two arrays of the same name"):
        load(file)


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    for suffix in ("pkl", "pt", "pth", "mat", "npy"):
        (tmp_path / f"set.{suffix}").write_bytes(pickle.dumps(Trap()))
        with pytest.raises(SourceError, match="cannot be scored"):
            load(tmp_path / f"set.{suffix}")


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    """An .npy file of bytes whose header may promise anything."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize("count", [100, 10**9, 10**15])
def test_an_npz_whose_header_promises_more_pictures_than_it_has(tmp_path: Path, count: int) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("images.npy", npy((count, 4, 4), bytes(16)))
    with pytest.raises(SourceError, match=r"shorter than it says|are the most"):
        load(tmp_path / "t.npz")


def test_an_hdf5_file_that_promises_pictures_without_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("images", (10**12, 8, 8), "u1", chunks=(1000, 8, 8))
    assert (tmp_path / "t.h5").stat().st_size < 10_000
    with pytest.raises(SourceError, match="20,000,000 are the most"):
        load(tmp_path / "t.h5")
