"""Pictures for people: by id only, upright, re-encoded, and a picture of the reason where there is none."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation.review import pictures
from curation.review.pictures import LARGEST_PX, encode, fit, picture_bytes, placeholder


def table(**paths: str) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": list(paths), "path": list(paths.values())}).set_index("sample_id")


def opened(found: tuple[bytes, str]) -> Image.Image:
    data, mime = found
    assert mime in ("image/png", "image/jpeg")
    picture = Image.open(io.BytesIO(data), formats=["PNG" if mime == "image/png" else "JPEG"])
    picture.load()
    return picture


def is_placeholder(found: tuple[bytes, str]) -> bool:
    picture = opened(found)
    return picture.getpixel((picture.width - 1, 0)) == pictures._INK


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.new("RGB", (3000, 1500), (200, 30, 30)).save(tmp_path / "large.jpg")
    Image.new("RGB", (32, 16), (10, 20, 30)).save(tmp_path / "tiny.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010F] = "a secret camera"
    Image.new("RGB", (300, 200), (30, 200, 30)).save(tmp_path / "turned.jpg", exif=exif)
    return tmp_path


def test_a_large_picture_is_shrunk_to_what_was_asked_for(root: Path) -> None:
    samples = table(s0="large.jpg")
    assert opened(picture_bytes(root, samples, "s0", 400)).size == (400, 200)
    assert opened(picture_bytes(root, samples, "s0", 10**6)).size == (LARGEST_PX, LARGEST_PX // 2)
    assert opened(picture_bytes(root, samples, "s0", -5)).size == (16, 8)


def test_a_tiny_picture_comes_without_loss_and_is_never_enlarged(root: Path) -> None:
    picture = opened(picture_bytes(root, table(s0="tiny.png"), "s0", 800))
    assert (picture.size, picture.getpixel((3, 3))) == ((32, 16), (10, 20, 30))


def test_a_picture_is_upright_and_carries_nothing_of_its_file(root: Path) -> None:
    data, mime = picture_bytes(root, table(s0="turned.jpg"), "s0", 800)
    assert opened((data, mime)).size == (200, 300)
    assert b"secret" not in data
    assert b"Exif" not in data


def test_samples_may_have_the_id_as_a_column(root: Path) -> None:
    assert opened(picture_bytes(root, table(s0="tiny.png").reset_index(), "s0", 64)).size == (32, 16)


def test_members_of_array_files_are_shown(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.full((3, 8, 8), 77, np.uint8))
    assert opened(picture_bytes(tmp_path, table(s0="set.npz#images/1"), "s0", 64)).getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize(
    "path", ["gone.png", "../outside.png", "/etc/passwd", "text.png", "folder", "set.npz#images/9"]
)
def test_what_cannot_be_shown_says_so(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "outside.png")
    (root / "text.png").write_text("no picture")
    np.savez(root / "set.npz", images=np.zeros((3, 8, 8), np.uint8))
    assert is_placeholder(picture_bytes(root, table(s0=path), "s0", 200))


def test_a_link_out_of_the_data_set_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "outside.png")
    (tmp_path / "root" / "in.png").symlink_to(tmp_path / "outside.png")
    assert is_placeholder(picture_bytes(tmp_path / "root", table(s0="in.png"), "s0", 200))


def test_an_id_is_never_a_path(root: Path) -> None:
    assert is_placeholder(picture_bytes(root, table(s0="tiny.png"), "tiny.png", 200))


def test_a_picture_is_decoded_once_and_again_when_its_file_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = pictures.open_picture
    monkeypatch.setattr(pictures, "open_picture", lambda *args, **kw: calls.append(args) or real(*args, **kw))
    samples = table(s0="tiny.png")
    first = picture_bytes(root, samples, "s0", 123)
    assert picture_bytes(root, samples, "s0", 123) == first
    assert len(calls) == 1
    Image.new("RGB", (32, 16), (99, 99, 99)).save(root / "tiny.png")
    os.utime(root / "tiny.png", ns=(1, 1))
    assert opened(picture_bytes(root, samples, "s0", 123)).getpixel((0, 0)) == (99, 99, 99)


def test_what_is_kept_in_memory_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "KEPT_BYTES", 5000)
    samples = table(s0="large.jpg")
    threads = [
        threading.Thread(target=picture_bytes, args=(root, samples, "s0", side)) for side in range(200, 260, 2)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures._kept_bytes == sum(len(data) for data, _ in pictures._kept.values()) <= 5000


def test_a_placeholder_shows_hostile_reasons_harmlessly_at_any_size() -> None:
    for side in (1, 16, 63, 64, 300, 5000):
        picture = opened(placeholder("x" * 5000 + "\x1b[31m\u202e\n" * 20, side))
        assert max(picture.size) <= 480


def test_extreme_shapes_keep_at_least_one_pixel() -> None:
    assert fit(Image.new("RGB", (5000, 1)), 100).size == (100, 1)
    assert opened(encode(Image.new("RGB", (1, 1)), 100)).size == (1, 1)
    assert fit(Image.new("RGB", (8, 4)), 96, 96).size == (96, 48)
