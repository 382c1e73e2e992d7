"""Run folders: what a scoring run leaves behind, how it is written so that a kill never harms it, how it is read back.

.curate/runs/latest                     id of the run that was scored last
.curate/runs/<run_id>.partial/          a run at work, or one that was killed: the same command goes on from here
    checkpoints/                        finished folds; removed when the run is complete
    lock                                held while a process scores this run
.curate/runs/<run_id>/                  a complete run, never changed again
    samples.parquet  issues.parquet     the tables
    rejected.parquet                    what the source holds or lists and is no sample, and why
    boxes.parquet                       of a detection set: the boxes in readable pictures
    pred_probs.npy  fold.npy ...        the arrays (ARRAYS), those that the mode has
    run.json                            settings, seed, versions, timings, counts; written last
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from curation.errors import NotFoundError, SettingsError, WeightsError, WorkspaceError
from curation.files import (
    ANOTHER_WORKSPACE,
    check_workspace,
    failpoint,
    open_for_arrow,
    sync_folder,
    workspace_errors,
    write_atomic,
    write_json,
)
from curation.run_facts import SCHEMA, check_columns, damaged, read_facts
from curation.run_key import plain

ROW_GROUP = 16_384  # rows
ARRAYS = (
    "pred_probs",  # (N, K) float32 or float16, out-of-fold, rows sum to 1; multi-label: each entry by itself
    "training_margin",  # (N,) float32, low = suspicious, NaN = not measured; multi-label: (N, K)
    "embeddings",  # (N, D) float32
    "neighbours",  # (N, k) int64 row numbers, -1 = none
    "neighbour_distances",  # (N, k) float32, cosine distance
    "fold",  # (N,) int, the fold whose model did not see the sample
    # The same of the boxes of a detection set: row i is row i of boxes.parquet.
    "box_pred_probs",
    "box_training_margin",
    "box_embeddings",
    "box_neighbours",
    "box_neighbour_distances",
)


# --- writing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Partial:
    """A run at work, held by this process alone until `finish` or the end of the `with` block.

    folder : where its files are written
    resumed : whether an earlier, killed process left something here to go on from
    """

    workspace: Path
    run_id: str
    folder: Path
    resumed: bool
    _lock: BinaryIO = field(repr=False)

    @property
    def checkpoints(self) -> Path:
        """Folder for finished folds; exists, and is removed by `finish`."""
        return self.folder / "checkpoints"

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `<name>.parquet`, atomically, in row groups that are small enough to read one for a single row."""
        path = self.folder / f"{name}.parquet"
        write_atomic(
            path, lambda stream: table.to_parquet(stream, index=False, row_group_size=ROW_GROUP), f"run.{name}"
        )

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Write `<name>.npy`, atomically."""
        path = self.folder / f"{name}.npy"
        write_atomic(path, lambda stream: np.lib.format.write_array(stream, array, allow_pickle=False), f"run.{name}")

    def release(self) -> None:
        """Let other processes score this run; harmless after `finish`."""
        self._lock.close()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The same command would be refused again, and another one is another run: nobody would ever go on from here.
        if kind is not None and issubclass(kind, SettingsError | WeightsError) and not self.resumed:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def open_partial(workspace: Path, run_id: str) -> Partial:
    """Begin a run, or go on with the one that a killed process left; use it in a `with` statement.

    Look for a finished one with `find_run` first: that needs no right to write.

    Raises
    ------
    WorkspaceError : another process scores this run, the workspace cannot be written, or something else has its name.
    """
    folder = runs_folder(workspace) / f"{run_id}.partial"
    _refuse_obstacle(runs_folder(workspace) / run_id)
    with workspace_errors(folder):
        resumed = (folder / "checkpoints").is_dir()
        lock = _lock(folder)
        (folder / "checkpoints").mkdir(exist_ok=True)
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        # A process that was killed between writing run.json and the rename has done everything but the rename. Do it
        # again rather than trust it: folds are checkpointed, and the caller expects to write.
        (folder / "run.json").unlink(missing_ok=True)
    return Partial(Path(workspace), run_id, folder, resumed, lock)


@contextmanager
def scratch(workspace: Path, folder: Path) -> Iterator[Partial]:
    """Something like a run at work, in a folder of the caller's that is no run and that nobody else writes to."""
    with workspace_errors(folder):
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        yield Partial(Path(workspace), folder.name, folder, True, lock)


def _lock(folder: Path) -> BinaryIO:
    """Take the lock file inside `folder`, which is created where needed.

    The file moves away with its folder when another process finishes the run between our open and our lock, so the lock
    counts only if the path still names the file that we hold.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(stream.fileno())
            if os.path.samestat(held, os.stat(folder / "lock")):
                stream.truncate(0)
                stream.write(str(os.getpid()).encode())
                stream.flush()
                return stream
        except BlockingIOError:
            stream.seek(0)
            process = stream.read(20).decode("ascii", "replace").strip()
            stream.close()
            raise WorkspaceError(
                f"Another process{f' ({process})' if process.isdigit() else ''} is scoring the same data with the same "
                f"settings in {folder}. Wait until it has finished, or choose another place with --workspace DIR."
            ) from None
        except FileNotFoundError:
            pass
        stream.close()


def finish(partial: Partial, run: Mapping[str, Any]) -> Path:
    """Complete a run: write run.json last, give the folder its final name, make it the latest; its folder.

    `run` are the facts of the run (settings, seed, seconds, counts ...); schema, run_id, arrays and the time are added.
    """
    final = runs_folder(partial.workspace) / partial.run_id
    with workspace_errors(partial.folder):
        facts = {
            "schema": SCHEMA,
            "run_id": partial.run_id,
            **plain(run),
            "arrays": _describe_arrays(partial.folder),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        write_json(partial.folder / "run.json", facts, "run")
        failpoint("run.before_publish")
        # Only now: until everything is on disk, finished folds may be needed again.
        shutil.rmtree(partial.checkpoints, ignore_errors=True)
        _refuse_obstacle(final)
        if _has_facts(final):
            shutil.rmtree(partial.folder)  # equal keys, equal results: the first one stays
        else:
            os.rename(partial.folder, final)
        failpoint("run.after_publish")
        # The lock has moved along with its folder, so that nobody could begin in between.
        (final / "lock").unlink(missing_ok=True)
        sync_folder(final.parent)
    partial.release()
    mark_latest(partial.workspace, partial.run_id)
    return final


def _refuse_obstacle(final: Path) -> None:
    """Say that a run cannot get its name, before anything is computed for it."""
    if os.path.lexists(final) and not _has_facts(final):
        raise WorkspaceError(f"{final} is in the way of a new run and is no run. Move it away and run again.")


def mark_latest(workspace: Path, run_id: str) -> None:
    """Make `run_id` the run that commands without a RUN argument read; skipped where the workspace is read-only."""
    path = runs_folder(workspace) / "latest"
    if _latest(workspace) != run_id:
        try:
            write_atomic(path, lambda stream: stream.write(run_id.encode()), "latest")
        except WorkspaceError:
            if os.access(path.parent, os.W_OK):
                raise


def _describe_arrays(folder: Path) -> dict[str, Any]:
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    return {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()}


# --- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A complete run: `info` is its run.json, tables and arrays are read when asked for."""

    folder: Path
    info: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.info["run_id"])

    def samples(self) -> pd.DataFrame:
        """SAMPLE_COLUMNS and the raw measurements of curation.pixels; unreadable files have status `unreadable`."""
        return self._table("samples")

    def issues(self) -> pd.DataFrame:
        """One row per finding, in rank order: detector columns and `rank`."""
        return self._table("issues")

    def rejected(self) -> pd.DataFrame:
        """`path` and `reason` of everything that the source holds or lists and that is no sample."""
        return self._table("rejected")

    def boxes(self) -> pd.DataFrame:
        """annotation_id, sample_id, label, x, y, w, h and fold (-1 = not judged) of a detection set's boxes."""
        return self._table("boxes")

    def need_one_label(self, what: str) -> None:
        """Refuse `what`, the beginning of a sentence, for a run whose pictures can have several labels, or boxes.

        Raises
        ------
        SettingsError
        """
        task = str(self.info.get("task") or "single-label")
        if task != "single-label":
            raise SettingsError(f"{what} one label per picture so far; run {self.run_id} is of a {task} set.")

    def has_array(self, name: str) -> bool:
        """Whether the run kept that array (see ARRAYS)."""
        return name in self.info["arrays"]

    def array(self, name: str) -> np.ndarray:
        """A read-only memory map of one of ARRAYS, row i is the i-th readable sample (box_*: row i of `boxes`).

        Raises
        ------
        NotFoundError : the run has no such array.
        WorkspaceError : the file is damaged.
        """
        expected = self.info["arrays"].get(name)
        if expected is None:
            kept = ", ".join(self.info["arrays"]) or "none"
            raise NotFoundError(f"Run {self.run_id} has no array '{name}'; it has: {kept}.")
        path = self.folder / f"{name}.npy"
        try:
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise WorkspaceError(damaged(path, str(error))) from error
        if [list(array.shape), str(array.dtype)] != [expected["shape"], expected["dtype"]]:
            raise WorkspaceError(damaged(path, f"it holds {array.dtype} {array.shape}"))
        return array

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        try:
            with open_for_arrow(path) as stream:
                table = pd.read_parquet(stream)
        except (OSError, ValueError) as error:  # pyarrow's errors are children of both
            raise WorkspaceError(damaged(path, str(error).split("\n")[0])) from error
        check_columns(table, name, path)
        return table


def runs_folder(workspace: Path) -> Path:
    """Where the runs of a workspace live; need not exist."""
    return Path(workspace) / ".curate" / "runs"


def find_run(workspace: Path, run_id: str) -> Run | None:
    """The complete run of exactly that id, None if there is none.

    Raises
    ------
    WorkspaceError : there is one, but it is damaged or of a newer version.
    """
    folder = runs_folder(workspace) / run_id
    return Run(folder, read_facts(folder)) if _has_facts(folder) else None


def read_run(workspace: Path, run_id: str | None = None) -> Run:
    """A complete run by its id or a beginning of it that fits one run only; without one, the latest.

    Raises
    ------
    NotFoundError : no such run, or several that begin so; names those that there are.
    WorkspaceError : it is damaged or was written by a newer version, or the workspace is none.
    """
    present = complete_ids(workspace)
    if not present:
        place = "the current folder" if str(workspace) == "." else str(workspace)
        raise NotFoundError(
            f"There are no runs in {place} yet. Make one with: curate score SOURCE, or say where they are: "
            "--workspace DIR."
        )
    if run_id is None:
        latest = _latest(workspace)
        return _run(workspace, latest) if latest in present else list_runs(workspace)[-1]
    fitting = [run_id] if run_id in present else [name for name in present if name.startswith(run_id)]
    if len(fitting) != 1:
        what = f"Several runs begin with '{run_id}'" if fitting else f"There is no run '{run_id}' in {workspace}"
        raise NotFoundError(f"{what}; choose one of: {', '.join((fitting or present)[:10])}.")
    return _run(workspace, fitting[0])


def list_runs(workspace: Path) -> list[Run]:
    """All complete runs, oldest first.

    Raises
    ------
    WorkspaceError : one of them is damaged, or was written by a newer version.
    """
    runs = [_run(workspace, run_id) for run_id in complete_ids(workspace)]
    return sorted(runs, key=lambda run: (str(run.info.get("finished", "")), run.run_id))


def was_made_with(workspace: Path, plan: Mapping[str, Any]) -> bool:
    """Whether a complete run in the workspace had a plan with all these values; damaged runs do not count."""
    for run_id in complete_ids(workspace):
        try:
            made_with = _run(workspace, run_id).info.get("plan")
        except WorkspaceError:
            continue
        if isinstance(made_with, dict) and plain(plan).items() <= made_with.items():
            return True
    return False


def list_partial(workspace: Path) -> list[Path]:
    """Folders of runs that are at work or were killed."""
    folders = [runs_folder(workspace) / name for name in _folders(workspace, partial=True)]
    return [folder for folder in folders if os.path.isdir(folder)]


def complete_ids(workspace: Path) -> list[str]:
    """Ids of the complete runs, sorted, without a look into them.

    Raises
    ------
    WorkspaceError : the workspace is no folder, or cannot be read.
    """
    check_workspace(workspace)
    return [name for name in _folders(workspace, partial=False) if _has_facts(runs_folder(workspace) / name)]


def _folders(workspace: Path, partial: bool) -> list[str]:
    """Names of what may be run folders, complete ones or partial ones, sorted."""
    folder = runs_folder(workspace)
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".partial") == partial)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be read: {error.strerror}. {ANOTHER_WORKSPACE}") from error


def _has_facts(folder: Path) -> bool:
    return os.path.isfile(folder / "run.json")


def _latest(workspace: Path) -> str:
    """What the file `latest` says, "" where there is none that can be read."""
    try:
        return (runs_folder(workspace) / "latest").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _run(workspace: Path, run_id: str) -> Run:
    folder = runs_folder(workspace) / run_id
    return Run(folder, read_facts(folder))
