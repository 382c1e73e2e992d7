"""What the pages read, kept between script runs: the only file that caches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from curation import manifest, review, store
from curation.decisions import Action
from curation.errors import CurationError, NotFoundError, SettingsError
from curation.estimate import Estimate
from curation.manifest import history
from curation.manifest.version_files import head
from curation.review import audit, consensus, learning, overview
from curation.review import groups as grouping
from curation.review.annotations import Annotations, several
from curation.review.conflict_items import conflicts, explained
from curation.review.desk import Album, lay_out
from curation.review.disputes import with_disputes
from curation.review.messages import Pressed
from curation.review.parts import Told, part_action, with_part
from curation.review.relearning import EVERY, relearn
from curation.review.taken_back import taken_back
from curation.review.taken_back import told as said_who_took_back
from curation.review.tiles import ClassIndex, Tile
from curation.review.work_queue import labels_given, refill
from curation.runs import Run, read_run
from curation.store import Filters
from curation.store.audits import find_audit
from curation.store.earlier import decided_suspects, said_of

BUSY_SECONDS = 5.0  # the browser sends again what could not be saved, so there is no need to wait long here
FRESH_SECONDS = 5.0
LOOK_AGAIN = 5_000  # verdicts until the queue learns about the items further down
COUNTED_AT_ONCE = 20_000  # items; counting more takes longer than a decision may


@dataclass(frozen=True)
class Project:
    """What is under review: a run of a data set, the manifest version that it is judged against, and the store.

    room : tells this data set and store from others on the same address
    changed : present label by sample_id where it is not the run's; flagged : number of items with a finding
    annotations : of the version, where pictures have several labels or boxes; alone : the pictures that are items of
        their own there, not members of a case
    size : number of items; head : those of them that the queue learns from (curation.review.ITEM_COLUMNS)
    """

    workspace: Path
    engine: Engine
    run: Run
    dataset: str
    version: str
    room: str
    folder: Path
    album: Album
    labels: tuple[str, ...]
    changed: dict[str, str]
    flagged: int
    size: int
    head: pd.DataFrame
    annotations: Annotations | None = None
    alone: frozenset[str] = frozenset()
    new_labels: set[str] = field(default_factory=set)
    decided: Counter[str] = field(default_factory=Counter)

    @property
    def known_labels(self) -> frozenset[str]:
        return frozenset(self.labels) | self.new_labels

    def cards(self, items: list[store.Item]) -> list[review.Card]:
        """The cards of claimed items, their neighbours labelled as reviewers see them now."""
        members = {item.item_id: item.members for item in items}
        found = review.cards(self.run, [item.item_id for item in items], members, self.changed, self.annotations)
        near = {neighbour.sample_id for card in found for neighbour in card.neighbours}
        found = review.with_reviewed(found, store.effective(self.engine, self.dataset, near))
        if not self.version:
            return found
        return explained(
            said_who_took_back(found, taken_back(self.folder, self.version)), conflicts(self.folder, self.version)
        )

    def find(self, name: str, reviewer: str) -> store.Item:
        """The item that a link means: by its id, or that of a picture which is decided as a part of another item.

        Raises
        ------
        NotFoundError : there is no such item, or it is no part of the queue any more.
        """
        own = Filters(item_ids=(name,), state="gone")
        if not store.find_items(self.engine, self.dataset, own, 1):
            with suppress(NotFoundError):
                return store.read_item(self.engine, self.dataset, name, reviewer)
        row = int(review.open_index(self.run).rows([name])[0])
        path = str(review.open_index(self.run).samples["path"].iat[row]) if row >= 0 else ""
        for state in ("", "disagreement", "done") if path else ():
            found = store.find_items(self.engine, self.dataset, Filters(text=path, state=state), CANDIDATES)
            whole = next((item for item in found if name in item.members), None)
            if whole is not None:
                return store.read_item(self.engine, self.dataset, whole.item_id, reviewer)
        raise NotFoundError(f"There is no item for {name[:100]!r} in the queue of {self.dataset}.")


def open_project(workspace: Path, run_id: str | None, target: str) -> Project:
    """The project as it is now: the latest run or the one asked for, and the newest version of its manifest.

    Raises
    ------
    CurationError : no run yet, a damaged file, a store that cannot be reached; the text says what to do.
    """
    if target and "://" not in target:  # taken for a folder, it would quietly be another, empty store
        raise SettingsError(f"The store {target[:100]!r} is no URL; one looks like postgresql://user@host/database.")
    run = read_run(workspace, run_id)
    folder = manifest.manifest_folder(workspace, str(run.info["dataset"]))
    return _project(str(workspace), run.run_id, str(run.info.get("finished", "")), head(folder) or "", target)


@st.cache_resource(show_spinner="Opening the data set …", max_entries=4)
def _project(workspace: str, run_id: str, finished: str, version: str, target: str) -> Project:
    run = read_run(Path(workspace), run_id)
    engine = _engine(target or workspace)
    dataset = str(run.info["dataset"])
    folder = manifest.manifest_folder(Path(workspace), dataset)
    queue = refill(engine, run, folder)
    index = review.open_index(run)
    labels = set(index.classes) | (set() if queue.rows is None else set(queue.rows["label"]))
    if queue.version:  # what the other side of a conflict says can be chosen
        labels |= {side.wanted for sides in conflicts(folder, queue.version).values() for side in sides}
    return Project(
        workspace=Path(workspace),
        engine=engine,
        run=run,
        dataset=dataset,
        version=queue.version,
        room=f"{store.store_id(engine)}:{dataset}",
        folder=folder,
        album=Album(index.root, index.samples),
        labels=tuple(sorted((labels | labels_given(queue.decided)) - {""}, key=str.casefold)),
        changed=queue.changed,
        flagged=int((queue.items["issues"] != "").sum()),
        size=len(queue.items),
        head=learning.worth_knowing(queue.items, set(queue.decided["item_id"])),
        annotations=Annotations(queue.rows) if several(run) and queue.rows is not None else None,
        alone=frozenset(queue.items.loc[queue.items["kind"] == "sample", "item_id"]) if several(run) else frozenset(),
    )


@st.cache_resource(show_spinner=False, max_entries=4)
def _engine(target: str) -> Engine:
    return store.open_store(target if "://" in target else Path(target), busy_seconds=BUSY_SECONDS)


def counts(project: Project) -> dict[str, int]:
    """How many items are decided, how many were flagged (`total`), and how many of those are decided (`suspects`)."""
    few = project.size < COUNTED_AT_ONCE
    done, suspects = _count(project) if few else _counted(project, project.room)
    return {"done": done, "suspects": min(suspects, done, project.flagged), "total": project.flagged}


def _count(project: Project) -> tuple[int, int]:
    table = store.progress(project.engine, project.dataset)
    decided = table.loc[table["state"].isin(["done", "second", "disagreement"]), "items"].sum()
    return int(decided), decided_suspects(project.engine, project.dataset)


def states(project: Project) -> dict[str, int]:
    """How many items there are in each state."""
    table = store.progress(project.engine, project.dataset)
    return {str(state): int(count) for state, count in table.groupby("state")["items"].sum().items()}


def verdicts(project: Project) -> pd.DataFrame:
    """All current opinions on the items of this data set."""
    return store.verdicts(project.engine, project.dataset)


def expected_left(project: Project) -> dict[str, float]:
    """Expected changes among open items; see curation.review.overview."""
    given = verdicts(project)
    known = _known(project, given)
    flagged = dict(zip(project.head["item_id"], project.head["issues"] != "", strict=True))
    return overview.expected_left(learning.calibrated(known, given), known.ids, given, flagged)


def wrong_labels(project: Project, given: pd.DataFrame) -> Estimate:
    """How many labels were wrong and are left, as the audit has it; `given` : the store's `verdicts` by now."""
    latest = int(given["decision_id"].max()) if len(given) else 0
    return _wrong_labels(project, project.room, project.run.run_id, project.version, len(given), latest)


@st.cache_data(ttl=60, show_spinner=False, max_entries=4)
def _wrong_labels(_project: Project, room: str, run_id: str, version: str, given: int, latest: int) -> Estimate:
    return audit.estimate_of(_project.engine, _project.run)


CONSENSUS_SHOWN = 100


def agreement(project: Project) -> tuple[pd.DataFrame, float, pd.DataFrame]:
    """Pairs of reviewers, Krippendorff's alpha, and the least sure consensus labels where three or more have looked."""
    decided = store.effective(project.engine, project.dataset)
    crowd = consensus.crowd_labels(project.run, decided).sort_values("quality").head(CONSENSUS_SHOWN)
    return consensus.agreement_of_pairs(decided), consensus.krippendorff_alpha(decided), crowd.reset_index(drop=True)


def _known(project: Project, given: pd.DataFrame) -> learning.Features:
    """What the queue learns from: every so many verdicts it looks further down, past what was decided."""
    done = len(given) // LOOK_AGAIN
    decided = frozenset(given["item_id"]) if done else frozenset()
    return _features(project, decided, project.room, project.run.run_id, project.version, done)


@st.cache_resource(show_spinner=False, max_entries=2)
def _features(
    _project: Project, _decided: frozenset[str], room: str, run_id: str, version: str, done: int
) -> learning.Features:
    return learning.features(_project.run, _project.head, decided=_decided)


@st.cache_data(ttl=FRESH_SECONDS, show_spinner=False, max_entries=8)
def _counted(_project: Project, room: str) -> tuple[int, int]:
    return _count(_project)


CANDIDATES = 100  # items with a text, among which that of one picture is looked for
GROUPED = 3_000  # suspects that groups are made of, the first of the queue


def groups(
    project: Project, filters: store.Filters, by: str, reviewer: str, aside: frozenset[str]
) -> list[grouping.Group]:
    """Groups of the open suspects under these filters, without those that were set aside."""
    found = store.find_items(project.engine, project.dataset, filters, GROUPED, reviewer)
    found = [item for item in found if item.item_id not in aside]
    if by == "alike":
        return grouping.look_alikes(found, review.open_index(project.run))
    return grouping.confusions(found)


def told(project: Project) -> Told:
    """What of the annotations of each class has an answer by now, where pictures have several."""
    found = _told(project, project.room, project.run.run_id, project.version)
    found.update(lambda since: store.decisions(project.engine, project.dataset, since))
    return found


@st.cache_resource(show_spinner=False, max_entries=2)
def _told(_project: Project, room: str, run_id: str, version: str) -> Told:
    known = _project.annotations or Annotations.of_nothing()
    return Told(lambda: ClassIndex(review.open_index(_project.run), known, _project.alone))


def as_said(
    project: Project, cards: list[review.Card], items: list[store.Item], reviewer: str
) -> list[review.Card]:  # fmt: skip
    """The cards; of pictures with several annotations, with what this reviewer has said of some of them, or where
    reviewers disagree, with what they do not dispute."""
    if project.annotations is None or not cards:
        return cards
    disputed = [item.item_id for item in items if item.state == "disagreement"]
    rules = store.policy(project.engine, project.dataset)
    said = said_of(project.engine, project.dataset, disputed)
    return with_disputes(with_part(cards, told(project), reviewer), said, rules.needed)


def tile_action(
    project: Project, press: Pressed, context: review.Context, shown: Mapping[tuple[str, str], Tile]
) -> Action:
    """What a key press about tiles stands for; shown : the tiles of the tab.

    Raises
    ------
    SettingsError : there is no such tile, or the action does not fit one.
    """
    by_now = told(project)
    tiles = [shown.get(pair) or by_now.classes.tile(*pair) for pair in dict.fromkeys(press.tiles)]
    there = [tile for tile in tiles if tile is not None]
    if len(there) < len(tiles):
        raise SettingsError("One of these is not there any more; reload the page.")
    ids = list(dict.fromkeys(tile.sample_id for tile in there))
    cards = {
        card.sample_id: card for card in review.cards(project.run, ids, None, project.changed, project.annotations)
    }
    return part_action(
        there, press.name, context, cards.__getitem__, lambda name: by_now.said.part(name, context.reviewer),
        label=press.labels[0] if press.labels else "", seconds=press.seconds, comment=press.comment,
        may_settle=find_audit(project.engine, project.dataset) is None, action_id=press.action_id,
    )  # fmt: skip


@dataclass(frozen=True)
class Facets:
    """What filters offer."""

    issues: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    reviewers: tuple[str, ...]


def facets(project: Project) -> Facets:
    """What the filters offer for this run; reviewers as they are now."""
    return _facets(project, project.run.run_id, project.version)


@st.cache_data(ttl=60, show_spinner=False, max_entries=8)
def _facets(_project: Project, run_id: str, version: str) -> Facets:
    samples = review.open_index(_project.run).samples
    decided = store.effective(_project.engine, _project.dataset)
    counts = _project.run.info.get("issues", {})
    return Facets(
        issues=tuple(name for name, count in counts.items() if count),
        labels=_project.labels,
        splits=tuple(sorted(set(samples["split"]) - {""})),
        reviewers=tuple(sorted(set(decided["reviewer"]))),
    )


def version_changes(project: Project, old: str, new: str, is_parent: bool) -> list[dict[str, Any]]:
    """What leads from one version to another; of a version and its parent the change list, which says who and why."""
    if is_parent:
        return history.changes_of(project.folder, new)
    return _compare(str(project.folder), old, new)


@st.cache_data(show_spinner="Comparing …", max_entries=8)
def _compare(folder: str, old: str, new: str) -> list[dict[str, Any]]:
    return history.compare(Path(folder), old, new)


_learning = threading.Lock()


def learn_soon(project: Project, fresh: int) -> None:
    """After every few decisions, put what is left in a better order; beside the work, never in its way.

    fresh : actions that were recorded just now
    """
    project.decided["since"] += fresh
    if project.decided["since"] < EVERY or not _learning.acquire(blocking=False):
        return
    project.decided["since"] = 0

    def work() -> None:
        try:
            given = verdicts(project)
            relearn(project.engine, project.dataset, _known(project, given), given)
        except CurationError:
            return  # the order stays as it was; the next decisions try again
        finally:
            _learning.release()

    threading.Thread(target=work, daemon=True).start()


WARMED = 4  # items beyond those that a tab holds whose pictures are made ready
_warming = threading.Lock()


def warm_soon(project: Project, filters: store.Filters, reviewer: str, held: Collection[str]) -> None:
    """Make the pictures of the items after the held ones ready, so that the next answer need not wait for them."""
    if not _warming.acquire(blocking=False):
        return

    def work() -> None:
        try:
            found = store.find_items(project.engine, project.dataset, filters, len(held) + WARMED, reviewer)
            coming = [item for item in found if item.item_id not in held]
            for card, item in zip(project.cards(coming), coming, strict=True):
                lay_out(card, item, project.album)
        except CurationError:
            return  # the answer that needs them says what is wrong
        finally:
            _warming.release()

    threading.Thread(target=work, daemon=True).start()
