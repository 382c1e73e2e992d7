"""Duplicates: every kind of copy is found and named, unrelated pictures never are, clusters hold together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from curation import duplicates as module
from curation.duplicates import Duplicates, find_duplicates, fingerprints
from curation.duplicates.alignment import compare
from curation.pixels import Pixels, decode
from tests.test_pixels import records_of

SHARED = Path(__file__).parents[3] / "shared" / "data"


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Something photo-like: coloured noise at every scale, falling as one over frequency, and a few hard shapes."""
    rng = np.random.default_rng(seed)
    sheet = np.full((height, width, 3), 128.0)
    for cells in (3, 6, 12, 24, 48):
        layer = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        sheet += (
            (np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), dtype=float) - 128) * 1.5 / cells**0.5
        )
    picture = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(3):
        x, y, r = rng.integers(0, width), rng.integers(0, height), rng.integers(8, 30)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


def study(folder: Path, **pictures: Image.Image) -> tuple[Pixels, Duplicates, list[str]]:
    folder.mkdir()
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    pixels = decode(records_of(folder), 32, folder.parent / "cache")
    names = pixels.samples["path"].str.removesuffix(".png").tolist()
    return pixels, find_duplicates(pixels, folder.parent / "cache"), names


def named(duplicates: Duplicates, names: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    rows = duplicates.pairs.itertuples()
    return {(names[row.a], names[row.b]): (row.kind, row.transform) for row in rows}


OTHERS = {f"z{seed}": photo(seed) for seed in range(100, 130)}

TURNS = {
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "flipped": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotated 180": Image.Transpose.ROTATE_180,
    "rotated 90": Image.Transpose.ROTATE_270,  # Pillow turns counter-clockwise
    "rotated 270": Image.Transpose.ROTATE_90,
    "transposed": Image.Transpose.TRANSPOSE,
    "transversed": Image.Transpose.TRANSVERSE,
}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("name", TURNS)
def test_a_turned_copy_is_found_and_named_as_b_comes_from_a(tmp_path: Path, name: str, order: tuple[str, str]) -> None:
    original, copy = photo(1), photo(1).transpose(TURNS[name])
    _, found, names = study(tmp_path / "p", **{order[0]: original, order[1]: copy}, **OTHERS)
    inverse = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}.get(name, name)
    assert named(found, names) == {("a", "b"): ("near", name if order == ("a", "b") else inverse)}


def test_resized_recompressed_grey_and_cropped_copies_are_found(tmp_path: Path) -> None:
    original = photo(2)
    original.save(tmp_path / "x.jpg", quality=30)
    _, found, names = study(
        tmp_path / "p",
        a=original,
        b=original.resize((90, 64), Image.Resampling.BICUBIC),
        c=Image.open(tmp_path / "x.jpg"),
        d=original.convert("L"),
        e=original.crop((8, 0, 160, 113)),
        **OTHERS,
    )
    pairs = named(found, names)
    assert pairs["a", "b"] == pairs["a", "c"] == ("near", "same")
    assert pairs["a", "d"] == ("near", "same, grey")
    assert pairs["a", "e"] == ("near", "same, cropped")
    assert {name for pair in pairs for name in pair} == set("abcde")
    assert len(set(found.cluster[:5])) == 1
    assert len(set(found.cluster)) == 1 + len(OTHERS)
    assert found.pairs["distance"].between(0, 0.07).all()


def test_small_pictures_work_as_well(tmp_path: Path) -> None:
    small = {f"z{seed}": photo(seed, 32, 32) for seed in range(200, 260)}
    original = photo(3, 32, 32)
    original.save(tmp_path / "x.jpg", quality=50)
    copies = {
        "b": Image.open(tmp_path / "x.jpg"),
        "c": original.transpose(Image.Transpose.ROTATE_90),
        "d": original.resize((22, 22), Image.Resampling.BICUBIC),
    }
    _, found, names = study(tmp_path / "p", a=original, **copies, **small)
    assert {name for pair in named(found, names) for name in pair} == set("abcd")
    assert len(set(found.cluster[:4])) == 1


def test_exact_copies_are_exact_whatever_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    photo(1).save(folder / "a.jpg", quality=80)
    decoded = Image.open(folder / "a.jpg")
    decoded.save(folder / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    decoded.transpose(Image.Transpose.ROTATE_180).save(folder / "c.png", exif=exif)
    pixels = decode(records_of(folder), 32, tmp_path / "cache")
    pairs = find_duplicates(pixels, tmp_path / "cache").pairs
    assert pairs[["a", "b"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 2]]
    assert pairs["kind"].eq("exact").all()
    assert pairs["distance"].eq(0).all()


def test_a_lossless_copy_of_a_large_jpeg_is_exact(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    photo(1, 1300, 1000).save(folder / "a.jpg", quality=80)
    Image.open(folder / "a.jpg").save(folder / "b.png", compress_level=1)
    pixels = decode(records_of(folder), 32, tmp_path / "cache")
    assert pixels.samples["pixel_hash"].nunique() == 2
    assert find_duplicates(pixels, tmp_path / "cache").pairs["kind"].tolist() == ["exact"]


def test_equal_hashes_of_reduced_decodes_are_not_enough_to_be_exact(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    photo(1, 600, 600).save(folder / "a.jpg", quality=90)
    photo(1, 600, 600).save(folder / "b.jpg", quality=90, comment="same pixels, other bytes")
    photo(2, 600, 600).save(folder / "c.jpg", quality=90)
    pixels = decode(records_of(folder), 32, tmp_path / "cache")
    pixels.samples["pixel_hash"] = "0" * 32
    pairs = find_duplicates(pixels, tmp_path / "cache").pairs
    assert pairs[["a", "b", "kind"]].to_numpy().tolist() == [[0, 1, "exact"]]


def test_flat_pictures_are_duplicates_only_when_equal(tmp_path: Path) -> None:
    flat = {f"f{v}": Image.new("L", (40, 40), v) for v in range(100, 120)}
    dots = {}
    for x in range(10):
        picture = Image.new("L", (40, 40), 100)
        picture.putpixel((x * 4, 20), 110)
        dots[f"d{x}"] = picture
    _, found, names = study(tmp_path / "p", **flat, **dots, twin=Image.new("RGB", (40, 40), (105, 105, 105)))
    assert named(found, names) == {("f105", "twin"): ("exact", "same")}


def test_all_pictures_identical_is_one_cluster_with_few_pairs(tmp_path: Path) -> None:
    _, found, _ = study(tmp_path / "p", **{f"p{i:03d}": photo(5) for i in range(60)})
    assert set(found.cluster) == {0}
    assert len(found.pairs) == 59
    assert found.pairs["a"].eq(0).all()


def test_a_changed_colour_is_another_product(tmp_path: Path) -> None:
    red = np.asarray(photo(4)).astype(float)
    grey = red.mean(axis=2)
    shirts = {
        "a": np.stack([grey + 60, grey - 30, grey - 10], axis=2),
        "b": np.stack([grey - 30, grey - 8, grey + 110], axis=2),
    }
    pictures = {name: Image.fromarray(np.clip(v / 2 + 60, 0, 255).astype(np.uint8)) for name, v in shirts.items()}
    _, found, _ = study(tmp_path / "p", **pictures)
    assert found.pairs.empty


def test_handwritten_digits_are_not_duplicates_of_each_other(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    values = np.uint8(load_digits().images[:500] * 255 / 16)
    digits = {f"d{i:04d}": Image.fromarray(value).resize((32, 32)) for i, value in enumerate(values)}
    digits["d0000m"] = digits["d0000"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    _, found, names = study(tmp_path / "p", **digits)
    assert named(found, names) == {("d0000", "d0000m"): ("near", "mirrored")}


def test_series_of_one_scene_are_not_duplicates(tmp_path: Path) -> None:
    """The same background, another object: same-studio product photos."""
    studio = photo(7).resize((160, 120)).point(lambda v: 150 + v // 6)
    shots = {}
    for number in range(30):
        rng = np.random.default_rng(number)
        shot = studio.copy()
        thing = photo(1000 + number, 60, 60)
        shot.paste(thing, (50 + int(rng.integers(-4, 5)), 30 + int(rng.integers(-4, 5))))
        shots[f"s{number:02d}"] = shot
    _, found, _ = study(tmp_path / "p", **shots)
    assert found.pairs.empty


def test_chains_are_cut_where_members_do_not_match_the_representative(
    tmp_path: Path,
) -> None:
    wide = photo(8, 100, 30).resize((400, 120), Image.Resampling.BICUBIC)
    steps = {f"c{i:02d}": wide.crop((i * 9, 0, i * 9 + 160, 120)) for i in range(12)}
    _, found, _ = study(tmp_path / "p", **steps, **OTHERS)
    linked = {frozenset(p) for p in found.pairs[["a", "b"]].to_numpy().tolist()}
    assert any(frozenset((i, i + 1)) in linked for i in range(11)), "neighbours of the chain are near duplicates"
    clusters = found.cluster[:12]
    assert 2 <= len(set(clusters)) < 12
    for cluster in set(clusters):
        spread = np.ptp(np.flatnonzero(clusters == cluster)) * 9 / 160
        assert spread <= 0.26  # 0.13 to either side of a representative
    assert (found.cluster <= np.arange(len(found.cluster))).all()


def test_nothing_and_a_single_picture_are_harmless(tmp_path: Path) -> None:
    _, found, _ = study(tmp_path / "one", a=photo(1))
    assert found.pairs.empty
    assert found.cluster.tolist() == [0]
    assert list(found.pairs.columns) == ["a", "b", "kind", "transform", "distance", *module.EVIDENCE]


def test_unreadable_pictures_have_clusters_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("a", "c"):
        photo(1).save(folder / f"{name}.png")
    (folder / "b.png").touch()
    (folder / "d.png").touch()
    pixels = decode(records_of(folder), 32, tmp_path / "cache")
    assert find_duplicates(pixels, tmp_path / "cache").cluster.tolist() == [0, 1, 0, 3]


def test_the_second_answer_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, found, _ = study(tmp_path / "p", a=photo(1), b=photo(1).convert("L"), **OTHERS)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_study", lambda *_: pytest.fail("searched again"))
        again = find_duplicates(pixels, tmp_path / "cache")
    pd.testing.assert_frame_equal(found.pairs, again.pairs)
    assert (found.cluster == again.cluster).all()
    (saved,) = (tmp_path / "cache").glob("duplicates-*.npz")
    data = bytearray(saved.read_bytes())
    for damaged in (data[: len(data) // 2], bytes(len(data)), b"", data[:60] + b"\xff\xff\xff" + data[63:]):
        saved.write_bytes(damaged)
        pd.testing.assert_frame_equal(find_duplicates(pixels, tmp_path / "cache").pairs, found.pairs)


def test_fingerprints_turn_with_their_pictures() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    base = fingerprints.coefficients(grey)
    for transform in range(8):
        turned = fingerprints.coefficients(np.ascontiguousarray(fingerprints.turn(grey, transform)))
        assert np.allclose(turned, fingerprints.turn_fingerprints(base, transform), atol=1e-5)
        assert np.allclose(fingerprints.invariants(turned), fingerprints.invariants(base), atol=1e-5)


def test_the_search_misses_nothing_within_its_radius() -> None:
    rng = np.random.default_rng(0)
    smooth = [np.asarray(photo(i, 64, 64).convert("L")) for i in range(60)]
    grey = np.stack(smooth + [np.clip(g + rng.normal(0, 20, g.shape), 0, 255).astype(np.uint8) for g in smooth])
    vectors = fingerprints.invariants(fingerprints.coefficients(grey))
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    want = {(a, b) for a, b in zip(*np.nonzero(distance < fingerprints.RADIUS - 1e-4), strict=True) if a != b}
    base = fingerprints.coefficients(grey)
    a, b = fingerprints._Search(grey, base, fingerprints.WINDOWS[:1]).near_pairs(0, vectors)
    found = set(zip(a.tolist(), b.tolist(), strict=True))
    assert len(want) >= 120
    counts = pd.Series([a for a, _ in want]).value_counts()
    assert {(int(a), int(b)) for a, b in want if counts[a] <= fingerprints.SEARCHED} <= found


def test_the_fit_recovers_a_window() -> None:
    whole = photo(11, 640, 640).convert("L")
    box = np.array([0.02, 0.95, 0.06, 0.99])
    part = whole.crop((box[2] * 640, box[0] * 640, box[3] * 640, box[1] * 640))
    a, b = (np.asarray(p.resize((64, 64), Image.Resampling.BILINEAR))[None] for p in (whole, part))
    likeness = compare(a, b, fingerprints.WINDOWS[5:6])
    assert np.abs(likeness.window[0] - box).max() < 0.01
    assert likeness.correlation[0] > 0.99


# Real pictures


def real(folder: str, tmp_path: Path) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
    root = SHARED / folder
    if not root.exists():
        pytest.skip(f"needs {folder} of ../shared/data")
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".svg", ".gif", ".tiff", ".ppm", ".pgm", ".pbm"}
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in kinds)
    pixels = decode(records_of(root, paths), 32, tmp_path / "cache")
    found = find_duplicates(pixels, tmp_path / "cache")
    return found.pairs, found.cluster, pixels.samples["path"]


@pytest.mark.shared_data
def test_all_twins_of_the_duplicates_set_are_found(tmp_path: Path) -> None:
    pairs, cluster, paths = real("duplicates", tmp_path)
    motif = paths.str.extract(r"([^/]+?)(?:_[a-z]+)*\.\w+$")[0].replace("alpha", "ukbench00120")
    assert (motif.to_numpy()[pairs["a"]] == motif.to_numpy()[pairs["b"]]).all(), "a false pair"
    # `_rotation` is turned by 30 degrees into black corners, which is not among the changes that are looked for.
    whole = ~paths.str.contains("corrupt|_rotation")
    for name, members in paths[whole].groupby(motif[whole]):
        assert len(set(cluster[members.index])) == 1, name


@pytest.mark.shared_data
def test_the_conflicting_duplicates_of_trashnet_are_exact(tmp_path: Path) -> None:
    pairs, _, paths = real("trashnet", tmp_path)
    exact = pairs[pairs["kind"] == "exact"]
    stems = paths.map(lambda p: Path(p).stem).to_numpy()
    assert {frozenset((stems[a], stems[b])) for a, b in exact[["a", "b"]].to_numpy()} == {
        frozenset(("metal91", "glass115")),
        frozenset(("plastic332", "glass389")),
        frozenset(("plastic152", "glass176")),
    }
    near = pairs[pairs["kind"] == "near"]
    classes = paths.map(lambda p: Path(p).parent.name).to_numpy()
    assert (classes[near["a"]] == classes[near["b"]]).all()


@pytest.mark.shared_data
def test_raccoon_has_four_exact_duplicates(tmp_path: Path) -> None:
    pairs, _, _ = real("raccoon", tmp_path)
    assert pairs["kind"].eq("exact").sum() == 4
