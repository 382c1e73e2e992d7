"""A finished run, opened for looking things up: single samples and their findings, without reading all evidence."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation.errors import WorkspaceError
from curation.files import open_for_arrow
from curation.review.cases import members_of_cases
from curation.runs import Run

# Everything in issues.parquet but the evidence, which is most of its bytes.
LIGHT_COLUMNS = ["sample_id", "annotation_id", "issue", "score", "is_issue", "rank", "given_label", "suggestion"]
KEPT_GROUPS = 8  # row groups of evidence that stay in memory; the queue moves through neighbouring ones


@dataclass(frozen=True)
class RunIndex:
    """Tables of a run in memory, its evidence on disk.

    samples : samples.parquet; row i of the arrays is its row i
    issues : issues.parquet without `evidence`, in rank order
    """

    run: Run
    samples: pd.DataFrame
    issues: pd.DataFrame
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def root(self) -> Path:
        """Folder that the paths of the samples are relative to; may have vanished."""
        return Path(str(self.run.info.get("root", "")))

    @property
    def classes(self) -> list[str]:
        """Class names; column k of pred_probs is class k."""
        return [str(name) for name in self.run.info.get("classes") or []]

    @cached_property
    def _by_id(self) -> pd.Index:
        return pd.Index(self.samples["sample_id"])

    @cached_property
    def issue_owner(self) -> np.ndarray:
        """(R,) row number of the sample that each row of `issues` is about, -1 for one that the run does not have."""
        return self.rows(self.issues["sample_id"])

    @cached_property
    def cases(self) -> dict[str, np.ndarray]:
        """Every cluster of duplicates: case id -> row numbers of its members."""
        return members_of_cases(self.samples)

    @cached_property
    def _issue_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Issue rows sorted by the sample they are about, and where the rows of each sample begin, (N + 1,)."""
        order = np.argsort(self.issue_owner, kind="stable")
        return order, np.searchsorted(self.issue_owner[order], np.arange(len(self.samples) + 1))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The run's arrays, as read-only memory maps."""
        return {name: self.run.array(name) for name in self.run.info["arrays"]}

    @cached_property
    def boxes(self) -> pd.DataFrame:
        """Of a run of boxes: index annotation_id; row b of the arrays box_* is its row b."""
        return self.run.boxes().set_index("annotation_id")

    def near_boxes(self, annotation_id: str, count: int) -> list[str]:
        """The annotation_ids of the boxes in other pictures that look most like one, the nearest first."""
        near = self.arrays.get("box_neighbours")
        if near is None or annotation_id not in self.boxes.index:
            return []
        rows = near[self.boxes.index.get_loc(annotation_id)]
        return [str(self.boxes.index[row]) for row in rows[rows >= 0][:count].tolist()]

    def rows(self, sample_ids: Any) -> np.ndarray:
        """Row numbers of samples, -1 for one that the run does not have."""
        return self._by_id.get_indexer(sample_ids)

    def issue_rows(self, row: int) -> np.ndarray:
        """Row numbers of `issues` that are about the sample in `row`, best rank first."""
        order, start = self._issue_order
        return np.sort(order[start[row] : start[row + 1]])

    def evidence(self, issue_rows: Sequence[int] | np.ndarray) -> list[str]:
        """The evidence (JSON text) of rows of `issues`; only the row groups that hold them are read."""
        rows = np.asarray(issue_rows, dtype=np.int64)
        found = np.full(len(rows), "", dtype=object)
        group = np.searchsorted(self._group_ends, rows, side="right")
        for number in np.unique(group).tolist():
            here = np.flatnonzero(group == number)
            start = 0 if number == 0 else int(self._group_ends[number - 1])
            with self._lock:  # one parquet reader, several threads of the app
                texts = _read_group(self.run.folder, str(self.run.info.get("finished", "")), number)
            found[here] = texts.take(rows[here] - start).to_pylist()
        return [str(text) for text in found]

    @cached_property
    def _group_ends(self) -> np.ndarray:
        import pyarrow.parquet as pq

        with open_for_arrow(self.run.folder / "issues.parquet") as stream, pq.ParquetFile(stream) as file:
            return np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)])


def open_index(run: Run) -> RunIndex:
    """The index of a complete run; asked for again, the same object, because complete runs never change."""
    return _open(run.folder, str(run.info.get("finished", "")))


@lru_cache(maxsize=2)
def _open(folder: Path, finished: str) -> RunIndex:
    from curation.runs import find_run

    run = find_run(folder.parents[2], folder.name)
    assert run is not None, folder
    return RunIndex(run, _in_one_piece(run.samples()), _in_one_piece(_light_issues(run)))


def _light_issues(run: Run) -> pd.DataFrame:
    try:
        with open_for_arrow(run.folder / "issues.parquet") as stream:
            return pd.read_parquet(stream, columns=LIGHT_COLUMNS)
    except (OSError, ValueError) as error:
        raise WorkspaceError(
            f"{run.folder / 'issues.parquet'} cannot be read: {str(error).splitlines()[0]}. Remove the folder and "
            "score again, or name another run."
        ) from error


def _in_one_piece(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, every column in one piece: pyarrow looks through all pieces of a text column for every row."""
    import pyarrow as pa

    whole = {}
    for name, column in table.items():
        found = pa.array(column.array) if column.dtype == "str" else None
        if isinstance(found, pa.ChunkedArray) and found.num_chunks > 1:
            whole[str(name)] = pd.Series(type(column.array)(found.combine_chunks()))
    return table.assign(**whole)


@lru_cache(maxsize=KEPT_GROUPS)
def _read_group(folder: Path, finished: str, number: int) -> Any:
    """The evidence in one row group; `finished` tells a run from another that took its place."""
    import pyarrow.parquet as pq

    with open_for_arrow(folder / "issues.parquet") as stream, pq.ParquetFile(stream) as source:
        return source.read_row_group(number, columns=["evidence"]).column("evidence").combine_chunks()
