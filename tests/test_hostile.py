"""Hostile inputs and faults on the whole way from a source to a run: every other sample unaffected, nothing lost."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from curation import cli, doctor, runs
from curation.commands.summary import print_summary
from curation.errors import SourceError
from curation.progress import Advance, Progress
from curation.records import text_to_path
from curation.score import ScoreSettings, score

ROOT = Path(__file__).parents[1]
QUICK = ScoreSettings(mode="compact", epochs=1, size_px=16, flip=False, device="cpu", folds=2)


def picture(seed: int) -> Image.Image:
    """Like no other: chequered noise of 24 px."""
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells.repeat(4, axis=0).repeat(4, axis=1))


def make_set(root: Path, count: int = 8, classes: str = "ab") -> Path:
    for k, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for number in range(count):
            picture(1000 * k + number).save(root / label / f"{number}.png")
    return root


class Meanwhile(Progress):
    """Does something to the source the first time that a stage begins."""

    def __init__(self, stage: str, deed: Callable[[], object]) -> None:
        self._stage, self._deed = stage, deed
        self.done = False

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        if name == self._stage and not self.done:
            self.done = True
            self._deed()
        yield lambda count: None


def by_path(run: runs.Run) -> pd.DataFrame:
    return run.samples().set_index("path")


# --- the source changes while it is scored


def test_pictures_that_change_between_listing_and_decoding_are_taken_as_they_are_then(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set")

    def change() -> None:
        (source / "a" / "0.png").unlink()
        (source / "a" / "1.png").write_bytes(b"")
        picture(77).save(source / "a" / "2.png")
        picture(78).save(source / "a" / "new.png")
        (source / "b" / "0.png").rename(source / "b" / "renamed.png")
        (source / "a" / "3.png").unlink()
        (source / "a" / "3.png").mkdir()
        (source / "a" / "4.png").unlink()
        os.mkfifo(source / "a" / "4.png")
        (source / "a" / "5.png").unlink()
        (source / "a" / "5.png").symlink_to("/etc/passwd")

    progress = Meanwhile("Decoding", change)
    run = score(source, QUICK, tmp_path / "ws", progress=progress)
    assert progress.done
    samples = by_path(run)
    assert len(samples) == 16
    lost = samples[samples["status"] == "unreadable"]["reason"]
    assert sorted(lost.index) == ["a/0.png", "a/1.png", "a/3.png", "a/4.png", "a/5.png", "b/0.png"]
    assert all(lost)
    assert set(run.issues().query("issue == 'unreadable'")["given_label"]) == {"a", "b"}

    for name in ("3.png", "4.png", "5.png"):
        path = source / "a" / name
        path.rmdir() if path.is_dir() else path.unlink()
        picture(int(name[0])).save(path)
    again = by_path(score(source, QUICK, tmp_path / "ws"))
    fresh = by_path(score(source, QUICK, tmp_path / "other"))
    assert again["status"].to_dict() == fresh["status"].to_dict()
    assert again["pixel_hash"].to_dict() == fresh["pixel_hash"].to_dict()
    assert {"a/new.png", "b/renamed.png"} <= set(again.index)


@pytest.mark.parametrize("stage", ["Finding duplicates", "Training", "Finding neighbours", "Looking for issues"])
def test_pictures_that_change_after_decoding_change_nothing_in_this_run(tmp_path: Path, stage: str) -> None:
    source = make_set(tmp_path / "set")
    (source / "b" / "twin.png").write_bytes((source / "a" / "0.png").read_bytes())
    expected = score(source, QUICK, tmp_path / "calm").issues()

    def change() -> None:
        (source / "a" / "0.png").unlink()
        (source / "a" / "1.png").write_bytes(b"no picture")
        picture(77).save(source / "a" / "2.png")
        for path in (source / "b").iterdir():
            path.unlink()

    progress = Meanwhile(stage, change)
    found = score(source, QUICK, tmp_path / "ws", progress=progress).issues()
    assert progress.done
    pd.testing.assert_frame_equal(found, expected)


def test_a_source_that_vanishes_while_it_is_scored_is_said(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set")
    progress = Meanwhile("Decoding", lambda: source.rename(tmp_path / "elsewhere"))
    with pytest.raises(SourceError, match="does not exist"):
        score(source, QUICK, tmp_path / "ws", progress=progress)
    assert not (tmp_path / "ws" / "data_manifest").exists()


# --- classes and labels of extreme numbers


def array_set(file: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(file, images=images, labels=labels)
    return file


@pytest.mark.parametrize(
    ("same_picture", "labels", "reason"),
    [
        (False, np.arange(40), "no class has two pictures that are independent"),
        (True, np.arange(40), "copies of each other, or in one group"),
        (False, np.zeros(40), "one class only"),
        (False, np.arange(9) // 5, "too few labelled pictures (9; 10 are the least)"),
    ],
)
def test_nothing_is_claimed_about_labels_that_no_model_could_judge(
    tmp_path: Path, same_picture: bool, labels: np.ndarray, reason: str
) -> None:
    seeds = np.zeros(len(labels)) if same_picture else np.arange(len(labels))
    images = np.stack([np.asarray(picture(int(seed))) for seed in seeds])
    run = score(array_set(tmp_path / "set.npz", images, labels.astype(np.int64)), QUICK, tmp_path / "ws")
    assert any(reason in note for note in run.info["notes"]), run.info["notes"]
    assert run.info["health"]["label_health"] is None
    assert not run.has_array("pred_probs")
    assert "label_error" not in run.info["issues"]


def test_a_table_of_refused_rows_alone_fills_no_run_json(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set", count=2)
    rows = ["image,label", "a/0.png,a", "b/0.png,b", *(f"nowhere/{n}.png,a" for n in range(3000))]
    (source / "labels.csv").write_text("\n".join(rows))
    run = score(source / "labels.csv", QUICK, tmp_path / "ws")
    assert run.info["rejected_count"] == len(run.rejected()) == 3000
    assert len(run.info["rejected"]) == 1000
    assert run.rejected().loc[2999, "reason"] == "labels.csv, line 3003: there is no such file"
    stream = StringIO()
    print_summary(run, Console(file=stream, width=100))
    assert "3,000 left out" in stream.getvalue()
    assert "2,997 more" in stream.getvalue()
    assert "Judged by" not in stream.getvalue()


# --- names and labels


NAMES = [
    b"<script>alert(1)<",
    b"=cmd|' !C calc'!A0",
    b"+1",
    b"-rf",
    b"@SUM(A1)",
    b"con",
    b"a.jpg:b",
    b"trailing dot.",
    b"trailing blank ",
    b" leading",
    b"tab\there",
    b"new\nline",
    b"\x1b[31mred\x07",
    b"\xff\xfe not utf-8",
    "cat\u202egnp".encode(),
    "zero\u200bwidth".encode(),
    "e\u0301".encode(),
    "\u00e9".encode(),
    "\U0001f469\u200d\U0001f52c".encode(),
    b"%2e%2e%2f",
    b"C:\\x",
    b"\\\\host\\share",
    b"a,b;c\"d'e",
    b"[bold]x[",
    b"$x^2$ :material",
    b"nan",
    b"NULL",
    b"1",
    b"01",
    b"x.npz#images",
    b"CASE",
    b"case",
    b"n" * 250,
]


def test_hostile_names_come_through_everything_and_act_nowhere(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = os.fsencode(tmp_path / "set")
    for number, name in enumerate(NAMES):
        os.makedirs(os.path.join(source, name))
        for copy in range(2):
            file = name[:240] + b".png" if copy else b"%d.png" % copy
            picture(10 * number + copy).save(os.fsdecode(os.path.join(source, name, file)), format="PNG")
    with open(os.path.join(source, NAMES[0], NAMES[12] + b".png"), "wb") as stream:
        stream.write(b"broken")
    place = ["--workspace", str(tmp_path / "ws")]
    flags = ["--mode", "compact", "--epochs", "1", "--size", "16", "--device", "cpu", "--folds", "2"]
    page, table = tmp_path / "page.html", tmp_path / "issues.csv"
    for arguments in (
        ["score", str(tmp_path / "set"), *flags],
        ["score", str(tmp_path / "set"), *flags, "--json"],
        ["issues", "--top", "1000"],
        ["issues", "--json"],
        ["issues", "--output", str(table)],
        ["report", "--output", str(page)],
        ["doctor"],
    ):
        assert cli.main([*arguments, *place]) == 0, arguments
        shown = b"".join(capsysbinary.readouterr())
        assert b"\x1b" not in shown
        assert b"\x07" not in shown
        assert not any(bad in shown.decode() for bad in "\u202e\u200b")
    run = runs.read_run(tmp_path / "ws")
    samples = run.samples()
    assert len(samples) == 2 * len(NAMES) + 1
    assert (samples["status"] == "unreadable").sum() == 1
    assert len(set(samples["sample_id"])) == len(samples)
    assert len(run.info["classes"]) == len(NAMES)
    assert {os.fsencode(text_to_path(path)).split(b"/")[0] for path in samples["path"]} == set(NAMES)
    assert b"<script" not in page.read_bytes()
    with table.open(encoding="utf-8", newline="") as stream:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in csv.reader(stream) for cell in row)
    assert sorted(os.listdir(tmp_path)) == ["issues.csv", "page.html", "set", "ws"]


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[31m", b"-x", b"'\"$(x) [b]*?"])
def test_a_workspace_and_a_source_may_have_any_name(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], name: bytes
) -> None:
    source = make_set(tmp_path / os.fsdecode(name), count=6)
    pq.write_table(pa.table({"image": ["a/0.png", "b/0.png"], "label": ["x", "y"]}), tmp_path / "labels.parquet")
    (tmp_path / "labels.parquet").rename(source / "labels.parquet")
    place = ["--workspace", str(tmp_path / f"ws{os.fsdecode(name)}")]
    flags = ["--mode", "compact", "--epochs", "1", "--size", "16", "--device", "cpu", "--folds", "2"]
    commands = [["issues"], ["report"], ["doctor", "--json"], ["score", str(source / "labels.parquet"), "--name", "x"]]
    for arguments in (["score", str(source), *flags], ["score", str(source), *flags, "--json"], *commands):
        assert cli.main([*arguments, *place]) == 0, (arguments, capsysbinary.readouterr().err)
        captured = capsysbinary.readouterr()
        assert b"\x1b" not in captured.out + captured.err
        if "--json" in arguments:
            json.loads(captured.out)


# --- a machine that runs out of something


LIMITED = """
import resource, sys
from curation import cli
kind, amount = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(kind, (amount, amount))
sys.exit(cli.main(sys.argv[3:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "amount", "words"),
    [
        ("RLIMIT_FSIZE", 20_000, "Free some space"),
        ("RLIMIT_NOFILE", 8, "open files"),
    ],
)
def test_a_limit_of_the_system_is_said_and_without_it_the_same_command_goes_on(
    tmp_path: Path, limit: str, amount: int, words: str
) -> None:
    source = make_set(tmp_path / "set", count=6)
    flags = ["--mode", "compact", "--epochs", "1", "--size", "16", "--device", "cpu", "--folds", "2", "--no-flip"]
    arguments = ["score", str(source), *flags, "--workspace", str(tmp_path / "ws")]
    command = [sys.executable, "-c", LIMITED, limit, str(amount), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert runs.list_runs(tmp_path / "ws") == []
    assert cli.main(arguments) == 0
    expected = score(source, QUICK, tmp_path / "calm")
    pd.testing.assert_frame_equal(runs.read_run(tmp_path / "ws").issues(), expected.issues())
    found = doctor.inspect(tmp_path / "ws")["workspace"]
    assert (found["unfinished"], found["leftovers"]) == ([], [])
