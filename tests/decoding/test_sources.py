"""Opening one picture: what is read and how, what is refused and in which words."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation import decoding
from curation.decoding import decode_picture, exif_orientation, sniff_format, sources, suffix_fits
from curation.decoding.containers import open_container
from curation.decoding.jpeg_header import count_scans, read_plain_jpeg
from curation.decoding.sources import open_picture, read_bytes, split_member
from curation.errors import UnreadableError
from curation.records import path_to_text, text_to_path


def picture(width: int = 40, height: int = 30) -> Image.Image:
    """A picture without any symmetry: red grows to the right, green downwards, one blue corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width).astype(np.uint8)
    pixels[..., 1] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    pixels[: height // 3, : width // 3, 2] = 200
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(decode_picture(data).rgb).astype(int)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableError) as caught:
        decode_picture(data)
    return str(caught.value)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# Formats


@pytest.mark.parametrize(
    ("format_name", "suffix", "tolerance"),
    [
        ("PNG", "png", 0),
        ("BMP", "bmp", 0),
        ("TIFF", "tiff", 0),
        ("PPM", "ppm", 0),
        ("JPEG", "jpg", 12),
        ("WEBP", "webp", 25),
        ("AVIF", "avif", 25),
    ],
)
def test_every_format_is_read(format_name: str, suffix: str, tolerance: int) -> None:
    options = {"quality": 95} if tolerance else {}
    data = encoded(picture(), format_name, **options)
    found = decode_picture(data)
    assert (found.width_px, found.height_px, found.format, found.rgb.mode) == (40, 30, format_name, "RGB")
    assert np.abs(pixels_of(data) - np.asarray(picture()).astype(int)).mean() <= tolerance
    assert suffix_fits(f"a.b.{suffix.upper()}", format_name)


def test_a_wrong_or_missing_extension_is_read_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(), "JPEG"))
    (tmp_path / "noname").write_bytes(encoded(picture(), "PNG"))
    assert open_picture(tmp_path, "a.png").format == "JPEG"
    assert open_picture(tmp_path, "noname").format == "PNG"
    assert not suffix_fits("a.png", "JPEG")
    assert suffix_fits("noname", "PNG")


def test_only_the_first_frame_of_an_animation_is_decoded() -> None:
    frames = [Image.new("L", (8, 8), value) for value in (10, 200, 100)]
    for format_name in ("GIF", "TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if format_name == "WEBP" else {}
        data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:], **options)
        assert abs(pixels_of(data).mean() - 10) <= 1, format_name


# Modes


def test_transparent_pixels_become_white() -> None:
    for mode in ("RGBA", "LA", "PA"):
        image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode if mode != "PA" else "RGBA")
        data = encoded(image, "PNG")
        assert pixels_of(data).min() == 255, mode
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert (pixels_of(encoded(palette, "PNG", transparency=1)) == 255).all()
    assert (pixels_of(encoded(palette, "PNG")) == [255, 0, 0]).all()
    assert (pixels_of(encoded(palette, "PNG", transparency=b"\xff\x80")) == [255, 127, 127]).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for format_name in ("PNG", "TIFF", "PPM"):
        got = pixels_of(encoded(Image.fromarray(values), format_name))
        assert np.abs(got[..., 0] - values / 257).max() <= 1, format_name


def test_floats_are_scaled_by_their_range() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for scale in (1, 255, 3000):
        got = pixels_of(encoded(Image.fromarray(ramp * np.float32(scale)), "TIFF"))
        assert np.abs(got[..., 0] - ramp * 255).max() <= 1, scale
    assert "finite" in reason(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


def test_cmyk_and_grey_jpeg_have_the_right_colours() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 30))
    got = pixels_of(encoded(red.convert("CMYK"), "JPEG", quality=95)).mean(axis=(0, 1))
    assert got[0] > 180
    assert got[1] < 80  # an inverted reading would be cyan
    assert abs(pixels_of(encoded(Image.new("L", (16, 16), 77), "JPEG")).mean() - 77) <= 2


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_turned_upright(format_name: str, orientation: int) -> None:
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = picture() if back is None else picture().transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {"quality": 98} if format_name == "JPEG" else {}
    data = encoded(stored, format_name, exif=exif, **options)
    found = decode_picture(data)
    assert (found.width_px, found.height_px) == (40, 30)
    assert np.abs(pixels_of(data) - np.asarray(picture()).astype(int)).mean() < 6
    assert decoding.read_header(data) == (40, 30)


def test_malformed_exif_is_no_orientation() -> None:
    good = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    assert exif_orientation(good) == 6
    for length in range(len(good) - 2):
        assert exif_orientation(good[:length]) in (1, 6)
    assert exif_orientation(good.replace(b"\x08\0\0\0", b"\xff\xff\xff\x7f")) == 1
    assert exif_orientation(good.replace(b"\x06\0\0\0", b"\x63\0\0\0")) == 1
    junk = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 60_000)
    assert decode_picture(junk).width_px == 40


# Damage and bombs


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_a_truncated_jpeg_is_refused(percent: int) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, "JPEG")
    assert "cut off or damaged" in reason(data[: len(data) * percent // 100])


def test_garbage_around_a_jpeg() -> None:
    data = encoded(picture(), "JPEG")
    assert decode_picture(data + b"garbage" * 1000).width_px == 40
    assert "not a picture" in reason(b"garbage" + data)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")
    assert "50,000 x 50,000 pixels" in reason(data)


def test_a_png_with_a_huge_text_block_is_refused() -> None:
    plain = encoded(picture(), "PNG")
    for body in (b"k\0\0" + b"x" * 2_000_000, b"k\0\0" + zlib.compress(b"x" * 80_000_000)):
        data = plain[:33] + png_chunk(b"zTXt", body) + plain[33:]
        assert "text" in reason(data).lower() or "damaged" in reason(data)


def test_a_jpeg_of_thousands_of_scans_is_refused_before_decoding() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    at = data.index(b"\xff\xda")
    scan = data[at : data.index(b"\xff\xda", at + 2)]
    assert "scans" in reason(data[:at] + scan * 10_000 + data[at:])
    assert decode_picture(data).width_px == 40


def test_frames_and_directory_loops_cost_nothing() -> None:
    frames = [Image.new("1", (1, 1), i % 2) for i in range(3000)]
    assert decode_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).width_px == 1
    tiff = bytearray(encoded(picture(), "TIFF"))
    start = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, start)[0]
    struct.pack_into("<I", tiff, start + 2 + 12 * count, start)  # the next directory is this one
    assert decode_picture(bytes(tiff)).width_px == 40
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", tiff, entry)[0] == 277:  # SamplesPerPixel
            struct.pack_into("<HII", tiff, entry + 2, 4, 1, 2**31)
    assert "TIFF" in reason(bytes(tiff))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<?xml version="1.0"?>\n<svg/>', "SVG"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"SIMPLE  =                    T", "not a picture"),
        (b"gd2\0" + bytes(64), "not a picture"),
        (b"\xff\xff\x00\x10\x00\x10", "not a picture"),
        (b"hello", "not a picture"),
    ],
)
def test_what_is_no_picture_is_said(head: bytes, words: str) -> None:
    assert words in reason(head)


def test_a_missing_codec_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(), "WEBP")
    monkeypatch.setattr(decoding, "_has_codec", lambda name: name != "webp")
    assert "built with webp" in reason(data)


@pytest.mark.parametrize("size", [(1, 1), (1, 65500), (65500, 1)])
def test_extreme_shapes_are_read(size: tuple[int, int]) -> None:
    found = decode_picture(encoded(Image.new("L", size, 9), "JPEG"))
    assert (found.width_px, found.height_px) == size


def test_a_broken_colour_profile_is_ignored() -> None:
    assert decode_picture(encoded(picture(), "PNG", icc_profile=b"broken")).width_px == 40
    assert decode_picture(encoded(picture(), "JPEG", icc_profile=b"broken" * 9)).width_px == 40


def test_damaged_bytes_raise_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for format_name in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG", "AVIF"):
        data = encoded(picture(), format_name)
        for _ in range(60):
            broken = bytearray(data)
            for place in rng.integers(2, len(data), 6):
                broken[place] = rng.integers(0, 256)
            with contextlib.suppress(UnreadableError):
                decode_picture(bytes(broken[: rng.integers(10, len(data) + 1)]))


def test_jpegs_are_decoded_at_the_smallest_scale_that_is_large_enough() -> None:
    data = encoded(Image.new("RGB", (2000, 1600), (10, 200, 30)), "JPEG")
    for short_px, size in (
        (None, (2000, 1600)),
        (128, (250, 200)),
        (64, (250, 200)),
        (201, (500, 400)),
        (900, (2000, 1600)),
    ):
        found = decode_picture(data, short_px)
        assert (found.width_px, found.height_px, found.rgb.size) == (2000, 1600, size)


def by_plugin(data: bytes, monkeypatch: pytest.MonkeyPatch) -> np.ndarray | str:
    """What Pillow's plugin makes of it, without our short way for plain JPEGs."""
    with monkeypatch.context() as patched:
        patched.setattr(decoding, "read_plain_jpeg", lambda _: None)
        return outcome(data)


def outcome(data: bytes) -> np.ndarray | str:
    try:
        return np.asarray(decode_picture(data, 64).rgb)
    except UnreadableError as error:
        return str(error)


def jpeg_kinds() -> dict[str, bytes]:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (19, 26, 3), dtype=np.uint8)).resize((333, 257))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "plain": encoded(photo, "JPEG"),
        "sharp": encoded(photo, "JPEG", quality=98, subsampling=0),
        "progressive": encoded(photo, "JPEG", progressive=True),
        "grey": encoded(photo.convert("L"), "JPEG"),
        "turned": encoded(photo, "JPEG", exif=exif),
        "comment": encoded(photo, "JPEG", comment=b"c" * 5000, icc_profile=b"i" * 70_000),
        "rgb": encoded(photo, "JPEG", keep_rgb=True),
        "restarts": encoded(photo, "JPEG", restart_marker_rows=2),
    }


@pytest.mark.parametrize("kind", list(jpeg_kinds()))
def test_plain_jpegs_are_decoded_to_the_bit_as_by_the_plugin(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg_kinds()[kind]
    assert read_plain_jpeg(data) is not None
    assert np.array_equal(outcome(data), by_plugin(data, monkeypatch))


def test_what_is_no_plain_jpeg_is_left_to_the_plugin() -> None:
    plain = jpeg_kinds()["plain"]
    frame = plain.index(b"\xff\xc0")
    length = int.from_bytes(plain[frame + 2 : frame + 4], "big")
    exif = b"\xff\xe1\x00\x0eExif\0\0II*\0\0\0"
    for data in (
        encoded(picture().convert("CMYK"), "JPEG"),
        plain[:frame] + plain[frame : frame + 2 + length] * 2 + plain[frame + 2 + length :],  # two frames
        plain[:frame] + b"\0" + plain[frame:],  # junk between two blocks
        plain[:frame] + b"\xff" + plain[frame:],  # padding
        plain[:2] + exif + exif + plain[2:],
        plain[:frame] + b"\xff\xc9" + plain[frame + 2 :],  # arithmetic coding
        plain[: frame + 4] + b"\x0c" + plain[frame + 5 :],  # 12 bits
        plain[:frame] + b"\xff\xfe\x00\x01" + plain[frame:],  # a block shorter than its length
        plain[:frame],
    ):
        assert read_plain_jpeg(data) is None
    assert read_plain_jpeg(plain[:2] + exif + plain[2:]) is not None


def test_a_damaged_jpeg_fares_as_with_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    read = 0
    for data in jpeg_kinds().values():
        for _ in range(40):
            broken = bytearray(data)
            for place in rng.integers(2, len(data), rng.integers(1, 6)):
                broken[place] = rng.integers(0, 256)
            damaged = bytes(broken[: rng.integers(len(data) // 2, 2 * len(data))])
            assert np.array_equal(outcome(damaged), by_plugin(damaged, monkeypatch))
            read += not isinstance(outcome(damaged), str)
    assert read > 50


def test_scans_are_counted_wherever_they_begin() -> None:
    for head in range(4):
        data = bytes(head) + b"\xff\xda\0\xff\xda" + bytes(3 - head)
        assert count_scans(data) == 2
    assert count_scans(b"\xff\xd8\xff") == 0
    assert count_scans(b"\xff\xda") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("image file is truncated (17 bytes not processed)"), "the PNG data are cut off or damaged"),
        (ValueError("Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"), "a text block"),
        (OSError("Unsupported BMP compression (9)"), "a kind of PNG that is not supported"),
        (SyntaxError("broken PNG file (chunk b'\\x00evil')"), "the PNG data are damaged"),
        (KeyError("<script>"), "the PNG data are damaged"),
        (MemoryError(), "too large for the memory"),
    ],
)
def test_reasons_speak_of_the_file_not_of_pillow(error: Exception, words: str) -> None:
    text = decoding._broken("PNG", error)
    assert words in text
    assert not any(inner in text for inner in ("Pillow", "PIL", "Plugin", "(", "evil", "script"))


# Files


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "s.jpg"))
    (root / "device.jpg").symlink_to("/dev/zero")
    (root / "empty.jpg").touch()
    cases = {
        "folder.jpg": "a folder, not a file",
        "pipe.jpg": "a named pipe, not a file",
        "s.jpg": "socket",
        "device.jpg": "leads out",
        "empty.jpg": "empty",
        "absent.jpg": "does not exist",
        "x" * 300 + ".jpg": "too long",
    }
    for name, words in cases.items():
        with pytest.raises(UnreadableError, match=words.replace("(", r"\(")):
            open_picture(root, name)


def test_links_are_followed_inside_of_the_root_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "out.png").write_bytes(encoded(picture(), "PNG"))
    (root / "in.png").symlink_to("sub/a.png")
    (root / "out.png").symlink_to(tmp_path / "out.png")
    (root / "passwd.png").symlink_to("/etc/passwd")
    (root / "loop.png").symlink_to("loop.png")
    (root / "gone.png").symlink_to("nowhere")
    (root / "up").symlink_to(tmp_path)
    os.link(root / "sub" / "a.png", root / "hard.png")
    assert open_picture(root, "in.png").width_px == 40
    assert open_picture(root, "hard.png").width_px == 40
    for name, words in {
        "out.png": "leads out",
        "passwd.png": "leads out",
        "loop.png": "loop",
        "gone.png": "does not exist",
        "up/out.png": "leads out",
    }.items():
        with pytest.raises(UnreadableError, match=words):
            open_picture(root, name)


@pytest.mark.parametrize("path", ["../out.png", "a/../../out.png", "/etc/passwd", "a\0.png", "a/./../../out.png"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "out.png").write_bytes(encoded(picture(), "PNG"))
    with pytest.raises(UnreadableError):
        read_bytes(tmp_path / "root", path)


def test_windows_and_url_paths_are_plain_names_here(tmp_path: Path) -> None:
    for path in (r"C:\x.png", r"\\host\share\x.png", "%2e%2e%2fx.png", "..%5cx.png", "file:///etc/passwd"):
        with pytest.raises(UnreadableError, match="does not exist"):
            read_bytes(tmp_path, path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(UnreadableError, match="no permission"):
        open_picture(tmp_path, "a.png")


def test_a_reading_error_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sources.os, "read", fail)
    with pytest.raises(UnreadableError, match="Input/output error"):
        open_picture(tmp_path, "a.png")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.jpg").open("wb") as stream:
        stream.truncate(4 * 2**30)  # sparse
    with pytest.raises(UnreadableError, match="larger than 512 MB"):
        open_picture(tmp_path, "big.jpg")


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.png",
        "tab\t.png",
        'quo"te,.png',
        "-rf.png",
        "dot.png. ",
        "CON.png",
        "a.jpg:b",
        "\u202egnp.png",
        "👩‍👩‍👧.png",
        "e\u0301.png",
        "\udcff\udc80.png",
        "\\udcff.png",
    ],
)
def test_odd_names_are_opened_and_survive_as_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(picture(), "PNG"))
    text = path_to_text(name)
    text.encode()
    assert text_to_path(text) == name
    assert open_picture(tmp_path, text).width_px == 40


def test_no_image_format_beyond_the_list_is_known() -> None:
    assert set(decoding.FORMATS) == {"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF"}
    assert sniff_format(b"\x00\x00\x01\x00") == ""  # ICO


# Members of array files


def test_member_paths() -> None:
    assert split_member("a/digits.npz#images/17") == ("a/digits.npz", "images", 17)
    assert split_member("D.H5#g/x/3") == ("D.H5", "g/x", 3)
    assert split_member("d.npz#4") == ("d.npz", "", 4)
    assert split_member("photo#1.jpg") is None
    assert split_member("d.npz#images/-1") is None


@pytest.mark.parametrize("store", ["stored", "compressed", "hdf5"])
def test_array_members_are_read(tmp_path: Path, store: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    name = "d.h5" if store == "hdf5" else "d.npz"
    if store == "hdf5":
        import h5py

        with h5py.File(tmp_path / name, "w") as file:
            file["images"] = images
    else:
        (np.savez if store == "stored" else np.savez_compressed)(tmp_path / name, labels=np.arange(5), images=images)
    assert len(open_container(tmp_path / name)) == 5
    for index in range(5):
        found = open_picture(tmp_path, f"{name}#images/{index}")
        assert (np.asarray(found.rgb) == images[index]).all()
        assert found.format == "ARRAY"
    for path, words in ((f"{name}#images/5", "none with the number 5"), (f"{name}#labels/0", "not found in it")):
        with pytest.raises(UnreadableError, match=words):
            open_picture(tmp_path, path)


def test_hdf5_arrays_whose_values_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["images"] = np.zeros((6, 4, 4), np.uint8)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("images", (6, 4, 4), "u1", external=[("/etc/passwd", 0, 96)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((6, 4, 4), "u1")
        layout[:] = h5py.VirtualSource("secret.h5", "images", (6, 4, 4))
        file.create_virtual_dataset("images", layout)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["images"] = h5py.ExternalLink("secret.h5", "images")
    for name, words in {"external": "outside of the file", "virtual": "outside", "link": "not found in it"}.items():
        with pytest.raises(UnreadableError, match=words):
            open_picture(tmp_path, f"{name}.h5#images/0")


@pytest.mark.parametrize("shape", [(3, 8, 9), (3, 8, 9, 1), (3, 8, 9, 3), (3, 8, 9, 4), (3, 3, 8, 9), (3, 1, 8, 9)])
def test_array_layouts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.full(shape, 255, np.uint8)
    np.savez(tmp_path / "d.npz", x=images)
    found = open_picture(tmp_path, "d.npz#x/1")
    assert (found.width_px, found.height_px) == (9, 8)
    assert (np.asarray(found.rgb) == 255).all()


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1, "f4"), (255, "f8"), (16, "f8"), (255, "i8"), (65535, "u2"), (4095, "u2"), (1, "?")]
)
def test_array_values_are_scaled_by_the_range_of_the_whole_array(tmp_path: Path, scale: int, dtype: str) -> None:
    ramp = (
        np.round(np.linspace(0, 1, 64).reshape(1, 8, 8) * scale)
        if dtype != "f4"
        else np.linspace(0, 1, 64).reshape(1, 8, 8)
    )
    dark = np.zeros((1, 8, 8))
    np.savez(tmp_path / "d.npz", x=np.concatenate([ramp, dark]).astype(dtype))
    bright = np.asarray(open_picture(tmp_path, "d.npz#x/0").rgb)
    assert bright.max() == 255
    assert abs(float(bright.mean()) - 127.5) < 8 or dtype == "?"
    assert np.asarray(open_picture(tmp_path, "d.npz#x/1").rgb).max() == 0


def test_pickles_and_lying_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", images=np.array([{"a": 1}], dtype=object))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    for name, method in (("short.npz", zipfile.ZIP_STORED), ("bomb.npz", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.writestr("images.npy", header.getvalue() + b"\0" * 1000)
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04junk")
    (tmp_path / "junk.h5").write_bytes(b"\x89HDF\r\n\x1a\njunk")
    for name in ("o.npz", "short.npz", "bomb.npz", "junk.npz", "junk.h5", "none.npz"):
        with pytest.raises(UnreadableError):
            open_picture(tmp_path, f"{name}#images/0")
