"""Boxes as small pictures: what is cut, from where, and what the cache keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation.crops import Crops, cut_crops
from curation.decoding import pixel_cache
from curation.decoding.crops import CONTEXT, region_of
from curation.errors import SourceError
from curation.pixels import Pixels, decode
from tests.boxes import draw_slides, records_of

SIZE = 32


def crops_of(root: Path, boxes: pd.DataFrame, cache: Path, threads: int = 2) -> Crops:
    pixels, picture, numbers = parts_of(root, boxes, cache)
    return cut_crops(pixels, picture, numbers, SIZE, cache, threads=threads)


def parts_of(root: Path, boxes: pd.DataFrame, cache: Path) -> tuple[Pixels, np.ndarray, np.ndarray]:
    pixels = decode(records_of(root, boxes), 64, cache)
    place = {path: row for row, path in enumerate(pixels.samples["path"])}
    return pixels, boxes["path"].map(place).to_numpy(np.int64), boxes[["x", "y", "w", "h"]].to_numpy()


def one_picture(root: Path, picture: Image.Image, *boxes: tuple[float, ...], **save: object) -> pd.DataFrame:
    root.mkdir()
    picture.save(root / f"0.{'jpg' if save else 'png'}", **save)
    name = next(root.iterdir()).name
    return pd.DataFrame([(name, "a", *box) for box in boxes], columns=["path", "label", "x", "y", "w", "h"])


def test_a_crop_shows_its_box_in_the_middle_and_some_surroundings(tmp_path: Path) -> None:
    picture = Image.new("RGB", (200, 100), (0, 0, 255))
    picture.paste((255, 0, 0), (100, 40, 140, 60))
    boxes = one_picture(tmp_path / "set", picture, (100, 40, 40, 20))
    (crop,) = crops_of(tmp_path / "set", boxes, tmp_path / "cache").gather()[:]
    assert crop[SIZE // 2, SIZE // 2].tolist() == [255, 0, 0]
    assert crop[0, 0].tolist() == crop[-1, -1].tolist() == [0, 0, 255]
    region = region_of((100, 40, 40, 20))
    assert (crop[..., 0] > 128).mean() == pytest.approx(40 * 20 / (region.width * region.height), abs=0.05)


def test_regions_are_never_squashed_more_than_twofold_nor_tiny() -> None:
    wide = region_of((0, 0, 100, 2))
    assert wide.width == pytest.approx(100 * (1 + 2 * CONTEXT))
    assert wide.height == pytest.approx(wide.width / 2)
    assert (wide.left + wide.width / 2, wide.top + wide.height / 2) == pytest.approx((50, 1))
    assert region_of((5, 5, 1, 1)).width == region_of((5, 5, 1, 1)).height == 8


def test_what_lies_beyond_the_picture_is_grey(tmp_path: Path) -> None:
    boxes = one_picture(tmp_path / "set", Image.new("RGB", (50, 50), "white"), (-20, -20, 40, 40))
    (crop,) = crops_of(tmp_path / "set", boxes, tmp_path / "cache").gather()[:]
    assert crop[2, 2].tolist() == [128, 128, 128]
    assert crop[-2, -2].tolist() == [255, 255, 255]


def test_boxes_without_a_visible_part_have_no_crop_and_stop_nothing(tmp_path: Path) -> None:
    boxes = one_picture(
        tmp_path / "set", Image.new("RGB", (50, 50), "white"),
        (10, 10, 0, 5), (60, 10, 5, 5), (10, 10, -5, 5), (49.5, 49.5, 1, 1), (0, 0, 50, 50), (-1e9, -1e9, 2e9, 2e9),
    )  # fmt: skip
    crops = crops_of(tmp_path / "set", boxes, tmp_path / "cache")
    assert crops.there.tolist() == [False, False, False, True, True, True]
    assert np.isnan(crops.measured).all(axis=1).tolist() == [True, True, True, False, False, False]
    assert crops.gather().shape == (6, SIZE, SIZE, 3)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_boxes_are_those_of_the_upright_picture(tmp_path: Path, turn: int) -> None:
    stored = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[turn]
    upright = Image.new("RGB", (160, 80), (0, 0, 255))
    upright.paste((255, 0, 0), (16, 8, 48, 40))
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = upright if stored is None else upright.transpose(stored)
    boxes = one_picture(tmp_path / "set", picture, (16, 8, 32, 32), exif=exif, quality=95)
    (crop,) = crops_of(tmp_path / "set", boxes, tmp_path / "cache").gather()[:]
    red, _, blue = crop[SIZE // 2, SIZE // 2]
    assert red > 200 > 60 > blue


def test_a_small_box_of_a_large_photo_is_cut_from_all_of_its_pixels(tmp_path: Path) -> None:
    photo = Image.new("RGB", (1600, 1200), "black")
    stripes = np.zeros((24, 24, 3), np.uint8)
    stripes[:, ::2] = 255
    photo.paste(Image.fromarray(stripes), (800, 600))
    small = one_picture(tmp_path / "small", photo, (800, 600, 24, 24), quality=100, subsampling=0)
    contrast = crops_of(tmp_path / "small", small, tmp_path / "cache").column("contrast")
    assert contrast[0] > 0.45  # at half scale the stripes would be one grey
    both = pd.concat([small, small.assign(x=0, y=0, w=1600, h=1200)], ignore_index=True)
    assert crops_of(tmp_path / "small", both, tmp_path / "other").column("contrast")[0] > 0.45


def test_crops_are_cut_once_and_the_same_however_many_threads_cut_them(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 12)
    first = crops_of(tmp_path / "set", boxes, tmp_path / "cache", threads=1)
    again = crops_of(tmp_path / "set", boxes, tmp_path / "cache")
    other = crops_of(tmp_path / "set", boxes, tmp_path / "other", threads=4)
    assert (first.cut, again.cut, other.cut) == (48, 0, 48)
    for crops in (again, other):
        assert np.array_equal(first.gather()[:], crops.gather()[:])
        assert np.array_equal(first.measured, crops.measured)


def test_a_box_that_was_moved_is_cut_anew_and_nothing_else(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 4)
    crops_of(tmp_path / "set", boxes, tmp_path / "cache")
    boxes.loc[3, "x"] += 0.5
    assert crops_of(tmp_path / "set", boxes, tmp_path / "cache").cut == 1


def test_a_damaged_row_of_the_cache_is_cut_again(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 4)
    whole = crops_of(tmp_path / "set", boxes, tmp_path / "cache").gather()[:]
    (rows,) = (tmp_path / "cache").glob("*-boxes*.rows")
    content = bytearray(rows.read_bytes())
    content[3 * pixel_cache.row_record(SIZE).itemsize + 100] ^= 0xFF
    rows.write_bytes(content)
    again = crops_of(tmp_path / "set", boxes, tmp_path / "cache")
    assert again.cut == 1
    assert np.array_equal(again.gather()[:], whole)


def test_a_picture_that_changes_between_decoding_and_cutting_is_an_error_that_names_it(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 3)
    pixels, picture, numbers = parts_of(tmp_path / "set", boxes, tmp_path / "cache")
    Image.new("RGB", (128, 96)).save(tmp_path / "set" / "001.png")
    with pytest.raises(SourceError, match=r"'001\.png' changed"):
        cut_crops(pixels, picture, numbers, SIZE, tmp_path / "cache")
    (tmp_path / "set" / "001.png").unlink()
    with pytest.raises(SourceError, match=r"'001\.png' could be read a moment ago"):
        cut_crops(pixels, picture, numbers, SIZE, tmp_path / "cache")


def test_no_boxes_no_crops(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "set", 2).head(0)
    crops = crops_of(tmp_path / "set", boxes, tmp_path / "cache")
    assert crops.gather().shape == (0, SIZE, SIZE, 3)
