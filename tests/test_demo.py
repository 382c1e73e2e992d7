import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from curation import demo, files, runs
from curation.commands.demo import print_comparison
from curation.decoding.sources import open_picture
from curation.errors import UnreadableError, WorkspaceError
from curation.records import make_sample_id

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> demo.Planted:
    return demo.plant(tmp_path_factory.mktemp("demo"))


def of_kind(planted: demo.Planted, kind: str) -> list[demo.Fault]:
    return [fault for fault in planted.faults if fault.kind == kind]


def all_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flags(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """An issue table of flagged (issue, path)."""
    return pd.DataFrame(
        {
            "sample_id": [make_sample_id(path) for _, path in rows],
            "issue": [issue for issue, _ in rows],
            "is_issue": [True] * len(rows),
        }
    )


def row_of(table: pd.DataFrame, issue: str) -> dict:
    return table.set_index("issue").loc[issue].to_dict()


def test_same_seed_gives_the_same_files_and_another_seed_others(planted, tmp_path):
    again = demo.plant(tmp_path / "again")
    assert all_files(again.root) == all_files(planted.root)
    assert again.faults == planted.faults
    other = demo.plant(tmp_path / "other", seed=1)
    assert set(all_files(other.root)) != set(all_files(planted.root))


def test_names_do_not_give_digit_or_fault_away(planted):
    names = sorted(path.name for path in planted.root.rglob("*") if path.is_file())
    assert len(names) == planted.pictures == len(set(names))
    assert all(re.fullmatch(r"[0-9a-f]{6}\.(png|jpg)", name) for name in names)
    # Sorted by name, wrong labels are spread like all others: no run of them at one end.
    wrong = {Path(path).name for path in planted.wrong_labels()}
    place = np.flatnonzero([name in wrong for name in names]) / len(names)
    assert 0.35 < place.mean() < 0.65


def test_wrong_labels_are_one_in_twenty_and_mostly_look_alikes(planted):
    wrong = of_kind(planted, "wrong_label")
    assert len(wrong) == demo.WRONG_LABELS
    assert all(fault.shown != fault.given_label == fault.path.split("/")[1] for fault in wrong)
    look_alike = [str(demo.LOOK_ALIKES[int(fault.shown)]) == fault.given_label for fault in wrong]
    assert 0.7 <= np.mean(look_alike) < 0.9


def test_every_fault_is_on_disk_and_nothing_else_was_touched(planted):
    unreadable = []
    for path in sorted(all_files(planted.root)):
        try:
            open_picture(planted.root, path)
        except UnreadableError:
            unreadable.append(path)
    assert unreadable == sorted(fault.path for fault in of_kind(planted, "broken_file"))
    assert all((planted.root / path).is_file() for f in planted.faults for path in (f.path, f.twin) if path)
    assert {fault.kind for fault in planted.faults} == set(demo.ISSUE_OF_FAULT)


def test_copies_are_what_their_kind_says(planted):
    def rgb(path):
        return np.asarray(open_picture(planted.root, path).rgb).astype(int)

    for fault in of_kind(planted, "exact_duplicate"):
        assert (planted.root / fault.path).read_bytes() != (planted.root / fault.twin).read_bytes()
        assert (rgb(fault.path) == rgb(fault.twin)).all()
    for fault in of_kind(planted, "near_duplicate") + of_kind(planted, "conflicting_duplicate"):
        assert fault.path.split("/")[0] == fault.twin.split("/")[0]
        assert (planted.root / fault.path).read_bytes() != (planted.root / fault.twin).read_bytes()
        copy, twin = rgb(fault.path), rgb(fault.twin)
        same = copy.shape == twin.shape and bool((copy == twin).all())
        assert same == (fault.how == "same pixels, other bytes")
    assert all(f.given_label != f.twin.split("/")[1] for f in of_kind(planted, "conflicting_duplicate"))
    for fault in of_kind(planted, "split_leak"):
        assert fault.path.startswith("test/")
        assert fault.twin.startswith("train/")
        assert fault.given_label == fault.twin.split("/")[1] == fault.shown
    (dark,) = of_kind(planted, "dark_picture")
    assert rgb(dark.path).mean() < 15


def test_the_answers_put_every_wrong_label_right(planted):
    answers = pd.read_csv(planted.truth.parent / "answers.csv", dtype=str)
    assert set(answers["image"]) == planted.wrong_labels()
    shown = {fault.path: fault.shown for fault in planted.faults}
    assert all(shown[image] == label for image, label in answers.itertuples(index=False))


def test_truth_lies_outside_of_the_data(planted):
    truth = json.loads(planted.truth.read_text())
    assert planted.root not in planted.truth.parents
    assert len(truth["faults"]) == len(planted.faults)
    assert {path.suffix for path in planted.root.rglob("*") if path.is_file()} == {".png", ".jpg"}


def test_a_killed_planting_leaves_nothing_once_it_was_done_again(tmp_path):
    code = (
        "import sys; from pathlib import Path; from curation import demo, files; "
        "files.set_failpoints('demo.before_rename:kill:1'); demo.plant(Path(sys.argv[1]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "digits").exists()
    demo.plant(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "digits", "truth.json"]


def test_planting_again_keeps_what_the_owner_changed(tmp_path):
    first = demo.plant(tmp_path)
    moved = first.root / first.faults[0].path
    moved.unlink()
    assert demo.plant(tmp_path) == first
    assert not moved.exists()


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not the demo data"):
        demo.plant(tmp_path)
    assert all_files(tmp_path) == {"digits/mine.txt": b"mine"}


def test_another_seed_does_not_overwrite(tmp_path):
    demo.plant(tmp_path)
    with pytest.raises(WorkspaceError, match="seed 1"):
        demo.plant(tmp_path, seed=1)


def test_full_disk_leaves_nothing_and_the_next_try_works(tmp_path):
    files.set_failpoints("file.before_rename:enospc:1")
    try:
        with pytest.raises(WorkspaceError, match="No space"):
            demo.plant(tmp_path)
    finally:
        files.set_failpoints("")
    assert list(tmp_path.iterdir()) == []
    assert demo.plant(tmp_path).root.is_dir()


def test_workspace_that_cannot_be_made_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="--workspace"):
        demo.plant(tmp_path / "file" / "demo")


def test_finding_everything_and_nothing_else_is_perfect(planted):
    rows = [(demo.ISSUE_OF_FAULT[fault.kind], fault.path) for fault in planted.faults if fault.kind != "wrong_label"]
    rows += [("label_error", path) for path in planted.wrong_labels()]
    table = demo.compare(planted, flags(rows))
    assert (table["precision"] == 1).all()
    assert (table["recall"] == 1).all()
    assert row_of(table, "label_error")["planted"] == demo.WRONG_LABELS + demo.CONFLICTING_COPIES


def test_finding_nothing_has_no_precision_and_recall_zero(planted):
    table = demo.compare(planted, flags([]))
    assert table["precision"].isna().all()
    assert (table["recall"] == 0).all()


def untouched(planted: demo.Planted, count: int) -> list[str]:
    known = {path for fault in planted.faults for path in (fault.path, fault.twin)}
    return [path for path in sorted(all_files(planted.root)) if path not in known][:count]


def test_flag_on_an_untouched_digit_counts_against_precision(planted):
    right = sorted(planted.wrong_labels())[:3]
    table = demo.compare(planted, flags([("label_error", path) for path in [*right, *untouched(planted, 1)]]))
    row = row_of(table, "label_error")
    assert (row["found"], row["flagged"], row["right"], row["precision"]) == (3, 4, 3, 0.75)


def test_wrong_label_of_a_conflicting_copy_is_a_true_label_error_but_its_twin_is_not(planted):
    fault = of_kind(planted, "conflicting_duplicate")[0]
    row = row_of(
        demo.compare(planted, flags([("label_error", fault.path), ("label_error", fault.twin)])), "label_error"
    )
    assert (row["found"], row["flagged"], row["right"]) == (1, 2, 1)


def test_label_error_on_a_foreign_picture_counts_neither_way(planted):
    foreign = of_kind(planted, "foreign_picture")[0].path
    row = row_of(demo.compare(planted, flags([("label_error", foreign)])), "label_error")
    assert (row["flagged"], row["right"], row["found"]) == (0, 0, 0)
    assert row_of(demo.compare(planted, flags([("outlier", foreign)])), "outlier")["right"] == 1


def test_either_half_of_a_pair_finds_it_and_both_count_once(planted):
    fault = of_kind(planted, "near_duplicate")[0]
    for paths in ([fault.path], [fault.twin], [fault.path, fault.twin]):
        row = row_of(demo.compare(planted, flags([("near_duplicate", path) for path in paths])), "near_duplicate")
        assert (row["found"], row["flagged"], row["precision"]) == (1, len(paths), 1.0)


def test_rows_that_are_not_flagged_do_not_count_and_unplanted_issues_are_shown(planted):
    table = flags([("label_error", sorted(planted.wrong_labels())[0]), ("blurry", untouched(planted, 1)[0])])
    blurry = row_of(demo.compare(planted, table), "blurry")
    assert blurry["flagged"] == 1
    assert np.isnan(blurry["precision"])
    table["is_issue"] = False
    assert row_of(demo.compare(planted, table), "label_error")["found"] == 0


def test_the_comparison_fits_80_columns_with_whole_headers(planted):
    stream = io.StringIO()
    table = demo.compare(planted, flags([("label_error", path) for path in sorted(planted.wrong_labels())[:-1]]))
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    print_comparison({"comparison": rows}, Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert lines[1].split() == ["Fault", "Planted", "Found", "Flags", "Right", "Recall", "Precision"]
    assert "over 99 %" in stream.getvalue()
    assert "…" not in stream.getvalue()
    assert all(len(line.rstrip()) <= 80 for line in lines)


@pytest.mark.slow
def test_demo_finds_what_it_planted_and_leaves_a_workspace(tmp_path):
    result = demo.run(tmp_path)
    found = pd.DataFrame(result["comparison"]).set_index("issue").astype({"precision": float, "recall": float})
    assert found.loc["label_error", ["precision", "recall"]].min() >= 0.9
    assert found.loc["conflicting_duplicate", "recall"] == 1
    assert found.loc["unreadable", "planted"] == found.loc["unreadable", "right"] == 2
    assert runs.read_run(tmp_path).run_id == result["run_id"]
    json.dumps(result, allow_nan=False)
    again = demo.run(tmp_path)
    assert again == result
