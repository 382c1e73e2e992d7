"""Run folders: complete or not there, whatever happens while they are written."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation import files, run_key, runs
from curation.arrays import create_array
from curation.errors import NotFoundError, SettingsError, WeightsError, WorkspaceError
from curation.records import empty_annotations, empty_samples


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    files.set_failpoints("")


SAMPLES = pd.DataFrame(
    {"sample_id": ["s1", "s2"], "path": ["a.png", "b.png"], "split": "", "status": "ok", "reason": ""}
)
ISSUES = pd.DataFrame(
    {"sample_id": ["s1"], "annotation_id": "s1-0", "issue": "label_error", "score": 0.1, "is_issue": True, "rank": 1,
     "given_label": "cat", "suggestion": "dog", "evidence": "{}"}
)  # fmt: skip


def write_run(workspace: Path, run_id: str = "set-0123456789", **facts: object) -> Path:
    with runs.open_partial(workspace, run_id) as partial:
        partial.write_table("samples", SAMPLES)
        partial.write_table("issues", ISSUES)
        partial.write_array("fold", np.array([0, 1]))
        return runs.finish(partial, {"dataset": "set", "seed": 0, **facts})


def tables(count: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    samples, annotations = empty_samples(count), empty_annotations(count)
    samples["sample_id"] = annotations["sample_id"] = [f"s{i}" for i in range(count)]
    annotations["annotation_id"] = [f"s{i}-0" for i in range(count)]
    samples["content_hash"] = [f"hash{i}" for i in range(count)]
    annotations["label"] = "cat"
    return samples, annotations


# --- identity


def test_the_same_data_and_settings_have_the_same_key_whatever_the_row_order() -> None:
    samples, annotations = tables()
    key = run_key.run_key(samples, annotations, {"seed": 0, "folds": 5})
    assert key == run_key.run_key(samples[::-1], annotations[::-1], {"folds": 5, "seed": 0})


@pytest.mark.parametrize("column", ["content_hash", "split", "group", "path"])
def test_any_change_of_a_sample_changes_the_key(column: str) -> None:
    samples, annotations = tables()
    before = run_key.run_key(samples, annotations, {})
    samples.loc[1, column] = "other"
    assert run_key.run_key(samples, annotations, {}) != before


def test_a_changed_label_or_setting_or_a_removed_sample_changes_the_key() -> None:
    samples, annotations = tables()
    keys = {run_key.run_key(samples, annotations, {"seed": 0}), run_key.run_key(samples, annotations, {"seed": 1})}
    keys.add(run_key.run_key(samples[:2], annotations[:2], {"seed": 0}))
    annotations.loc[0, "label"] = "dog"
    keys.add(run_key.run_key(samples, annotations, {"seed": 0}))
    assert len(keys) == 4


def test_another_version_of_the_code_or_of_a_package_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, annotations = tables()
    keys = {run_key.run_key(samples, annotations, {})}
    monkeypatch.setattr(run_key, "code_version", lambda: "other")
    keys.add(run_key.run_key(samples, annotations, {}))
    monkeypatch.setattr(run_key, "package_versions", lambda names: {"torch": "99"})
    keys.add(run_key.run_key(samples, annotations, {}))
    assert len(keys) == 3


def test_a_run_depends_on_the_code_that_makes_it_and_not_on_what_shows_it() -> None:
    reached = run_key.result_modules()
    assert {
        "curation.score",
        "curation.importers.folder",
        "curation.detectors.outlier",
        "curation.training.train",
    } <= set(reached)
    showing = ("curation.cli", "curation.commands", "curation.report", "curation.terminal", "curation.doctor")
    assert not [name for name in reached if name.startswith(showing)]


@pytest.mark.parametrize("name", ["../../etc", "/", "..", "", ".hidden", "a\nb", "con:x|y", "ü\u202e猫", "x" * 300])
def test_a_hostile_dataset_name_becomes_one_plain_path_component(name: str) -> None:
    run_id = run_key.make_run_id(name, "0123456789abcdef")
    assert Path(run_id).name == run_id
    assert run_id.isprintable()
    assert len(run_id.encode()) <= 130
    assert not run_id.startswith((".", "-"))
    assert run_id.endswith("-0123456789")


# --- writing and reading


def test_a_finished_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path, share=np.float32(0.5), missing=float("nan"), where=Path("a/b"), counts={1: (2, 3)})
    run = runs.read_run(tmp_path)
    assert run.folder == folder == tmp_path / ".curate" / "runs" / "set-0123456789"
    assert run.info["share"] == 0.5
    assert run.info["missing"] is None
    assert run.info["counts"] == {"1": [2, 3]}
    assert run.samples()["path"].tolist() == ["a.png", "b.png"]
    assert run.issues()["issue"].tolist() == ["label_error"]
    assert run.array("fold").tolist() == [0, 1]
    assert sorted(p.name for p in folder.iterdir()) == ["fold.npy", "issues.parquet", "run.json", "samples.parquet"]


def test_an_array_that_was_not_kept_is_named_with_those_that_were(tmp_path: Path) -> None:
    write_run(tmp_path)
    with pytest.raises(NotFoundError, match=r"no array 'pred_probs'; it has: fold"):
        runs.read_run(tmp_path).array("pred_probs")


def test_a_large_array_is_filled_through_a_memory_map(tmp_path: Path) -> None:
    with runs.open_partial(tmp_path, "a-0") as partial:
        array = create_array(partial.folder / "pred_probs.npy", (5, 3))
        array[2] = 0.25
        runs.finish(partial, {})
    stored = runs.read_run(tmp_path).array("pred_probs")
    assert stored.dtype == np.float32
    assert stored.tolist() == [[0] * 3, [0] * 3, [0.25] * 3, [0] * 3, [0] * 3]


def test_a_full_disk_is_noticed_when_a_memory_map_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        create_array(tmp_path / "pred_probs.npy", (5, 3))


def test_the_latest_run_is_the_one_scored_last_even_when_it_was_a_cache_hit(tmp_path: Path) -> None:
    write_run(tmp_path, "a-1")
    write_run(tmp_path, "b-2")
    assert runs.read_run(tmp_path).run_id == "b-2"
    runs.mark_latest(tmp_path, "a-1")
    assert runs.read_run(tmp_path).run_id == "a-1"
    assert [run.run_id for run in runs.list_runs(tmp_path)] == ["a-1", "b-2"]


def test_without_the_pointer_the_youngest_run_is_the_latest(tmp_path: Path) -> None:
    write_run(tmp_path, "b-1")
    write_run(tmp_path, "a-2")
    (tmp_path / ".curate" / "runs" / "latest").write_text("gone-0")
    assert runs.read_run(tmp_path).run_id == "a-2"


def test_a_run_can_be_named_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    for run_id in ("cats-1", "cats-2", "dogs-3"):
        write_run(tmp_path, run_id)
    assert runs.read_run(tmp_path, "dogs").run_id == "dogs-3"
    with pytest.raises(NotFoundError, match="cats-1, cats-2"):
        runs.read_run(tmp_path, "cats")
    with pytest.raises(NotFoundError, match="no run 'fish'"):
        runs.read_run(tmp_path, "fish")


@pytest.mark.parametrize("run_id", ["../../outside", "/", ".", "", "a/../b"])
def test_a_run_id_never_leads_out_of_the_workspace(tmp_path: Path, run_id: str) -> None:
    write_run(tmp_path / "inside", "a-1")
    write_run(tmp_path / "inside", "b-1")
    write_run(tmp_path, "outside-1")
    with pytest.raises(NotFoundError):
        runs.read_run(tmp_path / "inside", run_id)


def test_an_empty_workspace_says_how_to_make_a_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="curate score SOURCE"):
        runs.read_run(tmp_path)
    assert runs.list_runs(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


# --- what can go wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 99, "run_id": "set-0123456789", "arrays": {}}', "newer version of curate"),
        ('{"some": "other tool"}', "not a run of curate"),
        ("[1, 2]", "not a run of curate"),
        ('{"schema": 1, "run_id": "copied", "arrays": {}}', "does not describe the run"),
        ('{"schema": 1', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_damaged_or_foreign_run_is_refused_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    path = write_run(tmp_path) / "run.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WorkspaceError, match=message) as caught:
        runs.read_run(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("plan", "x"), ("plan", []), ("notes", {}), ("classes", 5), ("issues", [1]), ("health", "x"), ("samples", "many"),
     ("seconds", []), ("unreadable", {}), ("rejected", "x"), ("dataset", 7)],
)  # fmt: skip
def test_a_fact_of_another_kind_is_refused_with_its_name(tmp_path: Path, name: str, value: object) -> None:
    write_run(tmp_path, **{name: value})
    with pytest.raises(WorkspaceError, match=f"its '{name}' is no"):
        runs.read_run(tmp_path)


def test_a_table_without_a_column_is_refused_with_its_name(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    for name, table in (("samples", SAMPLES), ("issues", ISSUES)):
        for column in table:
            table.drop(columns=column).to_parquet(folder / f"{name}.parquet")
            with pytest.raises(WorkspaceError, match=f"the column {column} is not there"):
                getattr(runs.read_run(tmp_path), name)()


@pytest.mark.parametrize("name", ["fold.npy", "samples.parquet"])
def test_a_truncated_file_of_a_run_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    path = write_run(tmp_path) / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(WorkspaceError, match=name):
        _ = runs.read_run(tmp_path).array("fold") if name == "fold.npy" else runs.read_run(tmp_path).samples()


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(write_run(tmp_path) / "fold.npy", np.zeros(7))
    with pytest.raises(WorkspaceError, match=r"float64 \(7,\)"):
        runs.read_run(tmp_path).array("fold")


def test_a_pickled_array_is_never_unpickled(tmp_path: Path) -> None:
    np.save(write_run(tmp_path) / "fold.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(WorkspaceError, match="cannot be read"):
        runs.read_run(tmp_path).array("fold")


def test_an_unfinished_run_is_no_run_and_its_folds_are_found_again(tmp_path: Path) -> None:
    with runs.open_partial(tmp_path, "a-1") as partial:
        assert not partial.resumed
        (partial.checkpoints / "fold0.safetensors").write_bytes(b"fold")
        (partial.folder / ".samples.parquet.x.tmp").write_bytes(b"half")
    assert runs.find_run(tmp_path, "a-1") is None
    assert runs.list_runs(tmp_path) == []
    assert runs.list_partial(tmp_path) == [partial.folder]
    with runs.open_partial(tmp_path, "a-1") as again:
        assert again.resumed
        assert [path.name for path in again.checkpoints.iterdir()] == ["fold0.safetensors"]
        assert not list(again.folder.glob(".*.tmp"))
        folder = runs.finish(again, {})
    assert not (folder / "checkpoints").exists()
    assert runs.list_partial(tmp_path) == []


def test_a_run_whose_facts_were_lost_is_in_the_way_and_said_so_before_anything_is_computed(tmp_path: Path) -> None:
    (write_run(tmp_path) / "run.json").unlink()
    with pytest.raises(WorkspaceError, match=r"set-0123456789 is in the way .* Move it away"):
        runs.open_partial(tmp_path, "set-0123456789")
    assert runs.list_partial(tmp_path) == []


def end_with(error: Exception, workspace: Path, checkpoint: str) -> None:
    with runs.open_partial(workspace, "a-1") as partial:
        (partial.checkpoints / checkpoint).write_bytes(b"saved")
        raise error


@pytest.mark.parametrize("error", [SettingsError, WeightsError])
def test_a_fresh_run_that_ends_in_a_users_mistake_leaves_nothing(tmp_path: Path, error: type[Exception]) -> None:
    with pytest.raises(error, match="no such network"):
        end_with(error("there is no such network"), tmp_path, "logits.npy")
    assert runs.list_partial(tmp_path) == []


def test_finished_folds_outlive_a_full_disk_and_a_later_mistake(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="full"):
        end_with(WorkspaceError("the disk is full"), tmp_path, "fold-0.safetensors")
    with pytest.raises(WeightsError, match="today"):
        end_with(WeightsError("the server does not answer today"), tmp_path, "fold-1.safetensors")
    with runs.open_partial(tmp_path, "a-1") as again:
        assert (again.checkpoints / "fold-0.safetensors").exists()


def hold(workspace: Path, ready: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    with runs.open_partial(workspace, "a-1"):
        ready.set()
        end.wait(120)


def test_two_processes_never_score_the_same_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, end))
    other.start()
    assert ready.wait(120)
    with pytest.raises(WorkspaceError, match=rf"Another process \({other.pid}\) is scoring"):
        runs.open_partial(tmp_path, "a-1")
    runs.open_partial(tmp_path, "b-2").release()
    end.set()
    other.join(30)
    runs.open_partial(tmp_path, "a-1").release()


def test_the_lock_of_a_run_that_was_finished_meanwhile_does_not_count(tmp_path: Path) -> None:
    with runs.open_partial(tmp_path, "a-1") as first:
        runs.finish(first, {"seed": 1})
    with runs.open_partial(tmp_path, "a-1") as second:
        runs.finish(second, {"seed": 2})
    assert runs.read_run(tmp_path).info["seed"] == 1
    assert runs.list_partial(tmp_path) == []


KILLED = """
import sys, numpy as np
from pathlib import Path
from curation import files, runs
from tests.test_runs import write_run
files.set_failpoints(sys.argv[2])
write_run(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "point",
    [f"run{part}.{moment}" for part in ("", ".samples", ".fold") for moment in ("before_write", "before_rename")]
    + ["run.after_rename", "run.before_publish", "run.after_publish", "latest.before_rename"],
)
def test_killed_at_any_moment_the_run_is_complete_or_absent_and_the_next_try_completes_it(
    tmp_path: Path, point: str
) -> None:
    root = Path(runs.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), f"{point}:kill:1"], cwd=root, check=False)
    assert done.returncode == -9
    run = runs.find_run(tmp_path, "set-0123456789")
    assert (run is not None) == (point in ("run.after_publish", "latest.before_rename"))
    if run is None:
        write_run(tmp_path)
    else:
        runs.mark_latest(tmp_path, run.run_id)  # as the same command does, which finds its run done
    run = runs.read_run(tmp_path)
    assert run.samples()["sample_id"].tolist() == ["s1", "s2"]
    assert run.array("fold").tolist() == [0, 1]
    assert runs.list_partial(tmp_path) == []
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.parametrize("kind", ["enospc", "eio"])
def test_a_disk_that_fails_at_the_nth_write_leaves_no_half_run(tmp_path: Path, kind: str) -> None:
    failures = 0
    for point in ("run.samples.before_write", "run.issues.before_rename", "run.fold.before_write", "run.before_rename"):
        files.set_failpoints(f"{point}:{kind}:1")
        with pytest.raises(WorkspaceError, match="No space left" if kind == "enospc" else "Input/output"):
            write_run(tmp_path)
        assert runs.list_runs(tmp_path) == []
        failures += 1
    files.set_failpoints("")
    write_run(tmp_path)
    assert failures == 4
    assert runs.read_run(tmp_path).array("fold").tolist() == [0, 1]


def test_a_read_only_workspace_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / ".curate").write_text("a file where a folder should be")
    with pytest.raises(WorkspaceError, match="--workspace DIR"):
        runs.open_partial(tmp_path, "a-1")


def test_run_json_is_plain_json(tmp_path: Path) -> None:
    text = (write_run(tmp_path, score=np.inf) / "run.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["score"] is None


def test_nobody_can_begin_a_run_that_is_just_being_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def intrude(name: str) -> None:
        if name == "run.before_publish":
            with pytest.raises(WorkspaceError, match="Another process"):
                runs.open_partial(tmp_path, "digits-1")
            tried.append(name)

    monkeypatch.setattr(runs, "failpoint", intrude)
    with runs.open_partial(tmp_path, "digits-1") as partial:
        final = runs.finish(partial, {})
    assert tried
    assert not (final / "lock").exists()
