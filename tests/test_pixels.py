"""Decoding into the cache: what is kept, what is decoded again, and what survives kills, damage and full disks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from curation import decoding, pixels
from curation.decoding import containers, pixel_cache, stored
from curation.errors import SourceError, WorkspaceError
from curation.files import set_failpoints
from curation.pixels import Pixels, decode, peek_size
from curation.progress import Progress
from curation.records import Records, empty_annotations, empty_samples, make_sample_id


def noise(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def records_of(root: Path, paths: list[str] | None = None) -> Records:
    found = paths or sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    samples = empty_samples(len(found))
    samples["path"] = pd.Series(found, dtype="str")
    samples["sample_id"] = pd.Series([make_sample_id(path) for path in found], dtype="str")
    return Records(samples, empty_annotations(), root, "folder")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        noise(seed).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just written count as settled, but where a test is about that."""
    monkeypatch.setattr(pixels, "RACY_SECONDS", -1.0)
    yield
    set_failpoints("")


def index_files(cache: Path, suffix: str) -> Path:
    (found,) = cache.glob(f"*{suffix}")
    return found


def test_pixels_are_squashed_upright_rgb_in_row_order(root: Path, tmp_path: Path) -> None:
    found = decode(records_of(root), 16, tmp_path / "cache")
    got = found.gather(np.array([3, 0]))[:]
    assert got.shape == (2, 16, 16, 3)
    assert got.dtype == np.uint8
    for position, seed in enumerate((3, 0)):
        want = np.asarray(noise(seed).resize((16, 16), Image.Resampling.BILINEAR))
        assert np.abs(got[position].astype(int) - want).max() <= 1
    assert found.samples["status"].eq("ok").all()
    assert (found.samples["width_px"].iloc[0], found.samples["height_px"].iloc[0]) == (48, 40)
    assert found.samples["aspect_ratio"].iloc[0] == 1.2
    assert found.decoded == 6


def test_pictures_of_the_wanted_size_are_kept_exactly(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    noise(1, 32, 32).save(tmp_path / "p" / "a.png")
    got = decode(records_of(tmp_path / "p"), 32, tmp_path / "c").gather(np.array([0]))[:][0]
    assert (got == np.asarray(noise(1, 32, 32))).all()


def test_the_second_run_decodes_and_reads_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = decode(records_of(root), 16, tmp_path / "cache")
    monkeypatch.setattr(pixels.sources, "read_bytes_and_stat", lambda *_: pytest.fail("a file was read again"))
    second = decode(records_of(root), 16, tmp_path / "cache")
    assert second.decoded == 0
    pd.testing.assert_frame_equal(first.samples, second.samples)
    assert (first.gather(np.arange(6))[:] == second.gather(np.arange(6))[:]).all()


def test_only_a_changed_picture_is_decoded_again(root: Path, tmp_path: Path) -> None:
    before = decode(records_of(root), 16, tmp_path / "cache")
    noise(77).save(root / "2.png")
    after = decode(records_of(root), 16, tmp_path / "cache")
    assert after.decoded == 1
    changed = before.samples["content_hash"].ne(after.samples["content_hash"])
    assert changed.tolist() == [False, False, True, False, False, False]
    assert not (before.gather(np.array([2]))[:] == after.gather(np.array([2]))[:]).all()


def test_a_renamed_or_copied_picture_is_not_decoded_again(root: Path, tmp_path: Path) -> None:
    decode(records_of(root), 16, tmp_path / "cache")
    (root / "0.png").rename(root / "new.png")
    (root / "copy.png").write_bytes((root / "1.png").read_bytes())
    after = decode(records_of(root), 16, tmp_path / "cache")
    assert after.decoded == 0
    assert after.samples["status"].eq("ok").all()


def test_a_file_changed_within_its_clock_tick_is_read_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "RACY_SECONDS", 60.0)
    decode(records_of(root), 16, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.files"))  # nothing was settled enough to be trusted by its times
    again = decode(records_of(root), 16, tmp_path / "cache")
    assert again.decoded == 0  # read, but not decoded


def test_two_sizes_live_side_by_side(root: Path, tmp_path: Path) -> None:
    small, large = (decode(records_of(root), size, tmp_path / "cache") for size in (16, 24))
    assert large.decoded == 6
    assert small.samples["pixel_hash"].equals(large.samples["pixel_hash"])
    assert decode(records_of(root), 16, tmp_path / "cache").decoded == 0
    assert large.gather(np.array([0])).shape == (1, 24, 24, 3)
    assert (small.grey(np.arange(6)) == large.grey(np.arange(6))).all()


def test_lossless_twins_and_turned_twins_share_a_pixel_hash(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    noise(1).save(folder / "a.jpg", quality=90)
    Image.open(folder / "a.jpg").save(folder / "b.png")
    Image.open(folder / "a.jpg").save(folder / "c.bmp")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(folder / "b.png").transpose(Image.Transpose.ROTATE_90).save(folder / "d.png", exif=turned)
    samples = decode(records_of(folder), 16, tmp_path / "cache").samples
    assert samples["pixel_hash"].nunique() == 1
    assert samples["content_hash"].nunique() == 4
    assert samples["width_px"].eq(48).all()


def test_unreadable_files_are_rows_with_reasons(root: Path, tmp_path: Path) -> None:
    (root / "a.png").write_bytes(b"")
    (root / "b.png").write_bytes((root / "0.png").read_bytes()[:200])
    (root / "c.png").write_bytes(b"<html>")
    records = records_of(root, [*sorted(p.name for p in root.iterdir()), "gone.png"])
    for _ in range(2):  # from the decoder, then from the cache
        samples = decode(records, 16, tmp_path / "cache").samples.set_index("path")
        assert samples.loc["a.png", "reason"] == "the file is empty (0 bytes)"
        assert samples.loc["b.png", "reason"] == "the PNG data are cut off or damaged"
        assert samples.loc["c.png", "reason"] == "a web page, not a picture"
        assert samples.loc["gone.png", "reason"] == "the file does not exist"
        assert samples.loc["0.png", "reason"] == ""
        assert (samples["status"] == "unreadable").sum() == 4
        assert np.isnan(samples.loc["a.png", "brightness"])


def test_when_nothing_can_be_read_the_first_reasons_are_said(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=r"Not one of the 1 pictures .*'a.jpg': the file is empty"):
        decode(records_of(tmp_path / "p"), 16, tmp_path / "c")


def test_array_members_are_decoded_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    (tmp_path / "p").mkdir()
    np.savez_compressed(tmp_path / "p" / "d.npz", images=images)
    paths = [f"d.npz#images/{i}" for i in range(5)] + ["d.npz#images/9"]
    found = decode(records_of(tmp_path / "p", paths), 8, tmp_path / "c")
    assert (found.gather(np.arange(5))[:][..., 1] == images).all()
    assert "none with the number 9" in found.samples["reason"].iloc[5]
    monkeypatch.setattr(containers, "open_container", lambda *_: pytest.fail("the array file was read again"))
    again = decode(records_of(tmp_path / "p", paths[:5]), 8, tmp_path / "c")
    assert again.decoded == 0


# Damage


@pytest.mark.parametrize("suffix", [".rows", ".index", ".files"])
@pytest.mark.parametrize("damage", ["flip", "cut", "junk", "zero", "delete"])
def test_a_poisoned_cache_is_noticed_and_rebuilt(root: Path, tmp_path: Path, suffix: str, damage: str) -> None:
    cache = tmp_path / "cache"
    good = decode(records_of(root), 16, cache)
    want = good.gather(np.arange(6))[:]
    path = index_files(cache, suffix)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x55
    elif damage == "cut":
        data = data[: len(data) * 2 // 3]
    elif damage == "junk":
        data = bytearray(os.urandom(5000))
    elif damage == "zero":
        data = bytearray(len(data))
    path.unlink() if damage == "delete" else path.write_bytes(data)
    for expected in (None, 0):
        found = decode(records_of(root), 16, cache)
        pd.testing.assert_frame_equal(found.samples, good.samples)
        assert (found.gather(np.arange(6))[:] == want).all()
        assert expected is None or found.decoded == expected


@pytest.mark.parametrize(
    ("point", "count"),
    [(f"pixels.{name}", count) for name in ("after_rows", "before_close", "after_index") for count in (1, 2, 3)]
    + [("pixels.before_sync", 1)],
)
def test_a_killed_run_leaves_a_cache_that_the_next_one_completes(
    root: Path, tmp_path: Path, point: str, count: int
) -> None:
    code = f"""
import sys; sys.path.insert(0, {os.fspath(Path(__file__).parents[1])!r})
from pathlib import Path
from curation.decoding import workers as decode_workers
from curation import files, pixels
from tests.test_pixels import records_of
pixels.FLUSH_BYTES, pixels.RACY_SECONDS, decode_workers.CHUNK_PICTURES = 1, -1.0, 2
files.set_failpoints("{point}:kill:{count}")
pixels.decode(records_of(Path({os.fspath(root)!r})), 16, Path({os.fspath(tmp_path / "cache")!r}), threads=1)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert killed.returncode == -9, killed.stderr.decode()
    found = decode(records_of(root), 16, tmp_path / "cache")
    clean = decode(records_of(root), 16, tmp_path / "other")
    pd.testing.assert_frame_equal(found.samples, clean.samples)
    assert (found.gather(np.arange(6))[:] == clean.gather(np.arange(6))[:]).all()
    assert decode(records_of(root), 16, tmp_path / "cache").decoded == 0


@pytest.mark.parametrize("count", range(1, 7))
def test_a_full_disk_is_a_workspace_error_and_loses_nothing(root: Path, tmp_path: Path, count: int) -> None:
    for point in ("pixels.after_rows", "pixels.before_sync", "pixels.before_close"):
        set_failpoints(f"{point}:enospc:{count}")
        try:
            decode(records_of(root), 16, tmp_path / "cache")
        except WorkspaceError as error:
            assert "Free some space" in str(error)  # noqa: PT017
        set_failpoints("")
        assert decode(records_of(root), 16, tmp_path / "cache").samples["status"].eq("ok").all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_serves_what_it_has(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    decode(records_of(root), 16, cache)
    cache.chmod(0o500)
    for path in cache.iterdir():
        path.chmod(0o400)
    try:
        assert decode(records_of(root), 16, cache).decoded == 0
        noise(99).save(root / "new.png")
        with pytest.raises(WorkspaceError, match="could not be written"):
            decode(records_of(root), 16, cache)
    finally:
        cache.chmod(0o700)


def test_a_cache_that_cannot_be_written_but_has_everything_will_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(pixels, "RACY_SECONDS", 60.0)
    first = decode(records_of(root), 16, cache)  # the files were too young for their states to be noted
    (cache / ".lock").unlink()
    (cache / ".lock").mkdir()  # nobody can write now, root neither
    monkeypatch.setattr(pixels, "RACY_SECONDS", -1.0)
    second = decode(records_of(root), 16, cache)
    assert second.decoded == 0
    pd.testing.assert_frame_equal(first.samples, second.samples)
    noise(99).save(root / "new.png")
    with pytest.raises(WorkspaceError, match="could not be written"):
        decode(records_of(root), 16, cache)


def test_a_cache_that_cannot_be_made_is_a_workspace_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="could not be written"):
        decode(records_of(root), 16, tmp_path / "file" / "cache")


def test_two_processes_at_once_fill_one_cache(root: Path, tmp_path: Path) -> None:
    for seed in range(6, 40):
        noise(seed).save(root / f"{seed:02d}.png")
    code = f"""
import sys; sys.path.insert(0, {os.fspath(Path(__file__).parents[1])!r})
from pathlib import Path
from curation.decoding import workers as decode_workers
from curation import pixels
from tests.test_pixels import records_of
pixels.FLUSH_BYTES, decode_workers.CHUNK_PICTURES = 1, 1
pixels.decode(records_of(Path({os.fspath(root)!r})), 16, Path({os.fspath(tmp_path / "cache")!r}), threads=2)
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0, text.decode()
    found = decode(records_of(root), 16, tmp_path / "cache")
    assert found.decoded == 0
    clean = decode(records_of(root), 16, tmp_path / "other")
    assert (found.gather(np.arange(40))[:] == clean.gather(np.arange(40))[:]).all()


def test_what_is_hashed_is_what_is_decoded(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stored.decode_picture

    def change_then_decode(data: bytes, *options: int) -> decoding.Picture:
        noise(500).save(root / "0.png")
        return real(data, *options)

    monkeypatch.setattr(stored, "decode_picture", change_then_decode)
    before = decode(records_of(root, ["0.png"]), 16, tmp_path / "cache")
    monkeypatch.setattr(stored, "decode_picture", real)
    want = np.asarray(noise(0).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(before.gather(np.array([0]))[:][0] - want).max() <= 1
    after = decode(records_of(root, ["0.png"]), 16, tmp_path / "cache")
    assert after.samples["content_hash"].iloc[0] != before.samples["content_hash"].iloc[0]


def test_threads_do_not_change_the_result(root: Path, tmp_path: Path) -> None:
    one, four = (decode(records_of(root), 16, tmp_path / str(n), threads=n) for n in (1, 4))
    pd.testing.assert_frame_equal(one.samples, four.samples)
    assert (one.rows == four.rows).all()


def test_progress_counts_every_picture_once(root: Path, tmp_path: Path) -> None:
    class Counting(Progress):
        done = 0
        from contextlib import contextmanager

        @contextmanager
        def stage(self, name, total, unit="images"):  # type: ignore[no-untyped-def]
            assert (name, total) == ("Decoding", 6)
            yield self.count

        def count(self, number: int) -> None:
            self.done += number

    for _ in range(2):
        progress = Counting()
        decode(records_of(root), 16, tmp_path / "cache", progress)
        assert progress.done == 6


# Measurements


def measured(tmp_path: Path, **pictures: Image.Image) -> pd.DataFrame:
    folder = tmp_path / "m"
    folder.mkdir()
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    found: Pixels = decode(records_of(folder), 16, tmp_path / "c")
    return found.samples.set_index(found.samples["path"].str.removesuffix(".png"))


def test_measurements_say_what_is_wrong_with_a_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plain = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).resize(
        (300, 200), Image.Resampling.BICUBIC
    )
    table = measured(
        tmp_path,
        plain=plain,
        dark=plain.point(lambda v: v // 20),
        light=plain.point(lambda v: 235 + v // 13),
        blurred=plain.resize((12, 8)).resize((300, 200), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(9)),
        grey=plain.convert("L"),
        blank=Image.new("RGB", (300, 200), (90, 90, 90)),
        grain=Image.fromarray(rng.integers(0, 256, (200, 300), dtype=np.uint8)),
        long=Image.new("RGB", (900, 30), (255, 0, 0)),
    )
    assert table["brightness_p99"].idxmin() == "dark"
    assert table.loc["dark", "brightness_p99"] < 0.06
    assert table["brightness_p05"].idxmax() == "light"
    assert table.loc["grain", "sharpness"] > table.loc["plain", "sharpness"] > 5 * table.loc["blurred", "sharpness"]
    assert table.loc["grey", "saturation_p99"] == 0
    assert table.loc["plain", "saturation"] > 0.1
    assert table.loc["blank", "entropy_bits"] == 0
    assert table.loc["blank", "contrast"] < 1e-3
    assert table.loc["long", "aspect_ratio"] == 30
    assert table.loc["long", "saturation"] == 1
    assert abs(table.loc["blank", "brightness"] - 90 / 255) < 1e-6


def test_peek_size_reads_headers_only(root: Path, tmp_path: Path) -> None:
    assert peek_size(records_of(root)) == (48, 40)
    for path in root.iterdir():
        path.write_bytes(path.read_bytes()[:60])  # the header is there, the pixels are not
    assert peek_size(records_of(root)) == (48, 40)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").touch()
    assert peek_size(records_of(tmp_path / "p")) == (0, 0)


def test_rows_have_the_documented_shape() -> None:
    record = pixel_cache.row_record(24)
    assert record["pixels"].shape == (24, 24, 3)
    assert record.itemsize == 24 * 24 * 3 + 64 * 64 + 2 * 16 * 16
    assert io.BytesIO(bytes(record.itemsize)).getbuffer().nbytes == record.itemsize
