"""What importers of boxes share: sizes from headers, shares of a picture, labels that are none, class maps."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from curation.errors import UnreadableError
from curation.importers.boxes import Builder, number
from curation.importers.class_maps import merge_class_maps
from curation.importers.listing import list_images
from curation.importers.options import ImportOptions
from curation.importers.picture_size import picture_size


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "gif", "webp", "ppm"])
def test_sizes_are_read_upright_from_the_header(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    more = {"exif": exif} if ending in ("jpg", "png", "tif", "webp") else {}
    Image.new("RGB", (40, 30)).save(tmp_path / f"a.{ending}", **more)
    assert picture_size(tmp_path, f"a.{ending}") == ((30, 40) if more else (40, 30))


def test_sizes_of_what_is_no_picture_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no")
    (tmp_path / "b.jpg").write_bytes(b"")
    for name in ("a.jpg", "b.jpg", "c.jpg", "../a.jpg"):
        with pytest.raises(UnreadableError):
            picture_size(tmp_path, name)


def test_shares_are_multiplied_by_the_upright_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    builder = Builder(tmp_path, "x", list_images(tmp_path), ImportOptions())
    for name in ("a.jpg", "b.jpg"):
        row = builder.picture(builder.find(name)[0])
        assert builder.annotate(row, "cat", (0.1, 0.25, 0.5, 0.5), where="x.txt", line=2, relative=True)
    records = builder.records()
    assert records.annotations[["x", "y", "w", "h"]].to_numpy().tolist() == [[3, 10, 15, 20]]
    assert records.rejected["path"].tolist() == ["b.jpg"]
    assert "x.txt line 2" in records.rejected["reason"].iloc[0]


@pytest.mark.parametrize("label", ["", None, 3, "x" * 1001, "a\0b", "\ud800"])
def test_what_is_no_label_is_rejected(tmp_path: Path, label: object) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    builder = Builder(tmp_path, "x", list_images(tmp_path), ImportOptions())
    assert not builder.annotate(builder.picture("a.png"), label, (0, 0, 1, 1))  # type: ignore[arg-type]
    records = builder.records()
    assert records.annotations.empty
    assert len(records.rejected) == 1


def test_a_picture_in_two_files_is_one_and_keeps_its_first_split(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    builder = Builder(tmp_path, "x", list_images(tmp_path), ImportOptions())
    one = builder.picture("a.png", "train")
    assert builder.picture("a.png", "val", {"id": 1}) == one
    builder.annotate(one, "cat", (0, 0, 1, 1))
    builder.annotate(one, "dog", (0, 0, 1, 1))
    records = builder.records()
    assert records.samples["split"].tolist() == ["train"]
    assert records.annotations["annotation_id"].str[-2:].tolist() == ["-0", "-1"]
    assert any("in two splits" in note for note in records.notes)


def test_numbers_of_texts(tmp_path: Path) -> None:
    assert number(" 3.5 ") == 3.5
    for value in ("1_0", "nan", "inf", "", "x", None, True, 10**400):
        with pytest.raises(ValueError, match="not a number"):
            number(value)


def test_ids_of_later_class_lists_do_not_take_those_of_the_first() -> None:
    classes, notes = merge_class_maps(
        {"a": [{"name": "x", "id": 1}], "b": [{"name": "x", "id": 1}, {"name": "y", "id": 1}]}
    )
    assert classes == ({"name": "x", "id": 1}, {"name": "y"})
    assert any("Class maps differ" in note for note in notes)
    same, none = merge_class_maps({"a": [{"name": "x", "id": 1}], "b": [{"name": "x", "id": 1, "color": "red"}]})
    assert same == ({"name": "x", "id": 1, "color": "red"},)
    assert none == []
