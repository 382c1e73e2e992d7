"""`curate fiftyone`: a version and what was found of it in FiftyOne; corrections made there come back as decisions."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import (
    Command,
    account_name,
    common,
    dataset_option,
    option,
    print_json,
    store_option,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from curation.datasets import Dataset
    from curation.fiftyone_link.pulling import Corrections
    from curation.runs import Run

SEND, BACK = "Sending", "Bringing back"
PORT = 5151


@click.command(cls=Command)
@click.argument("subject", metavar="[RUN|VERSION]", required=False)
@option(
    "--dataset", "fiftyone_name", group=SEND, metavar="NAME", help="Name in FiftyOne (default: that of the data set)."
)
@option("--launch/--no-launch", group=SEND, default=True, help="Open FiftyOne's app on it, on this machine only.")
@option("--port", group=SEND, type=click.IntRange(1, 65535), default=PORT, metavar="PORT", help=f"Of the app ({PORT}).")
@option("--overwrite", group=SEND, is_flag=True, help="Even where corrections made there were not pulled.")
@option("--source", group=SEND, type=click.Path(path_type=Path), metavar="DIR",
        help="Where the pictures are now (default: where the latest run found them).")  # fmt: skip
@option("--pull", group=BACK, is_flag=True, help="Record what was corrected in FiftyOne as decisions.")
@option("--reviewer", group=BACK, metavar="NAME", help="Who corrected it (default: the name of your account).")
@option("--new-label", group=BACK, is_flag=True, help="Allow labels that the data set does not have yet.")
@dataset_option
@store_option
@common
def command(
    subject: str | None,
    fiftyone_name: str | None,
    launch: bool,
    port: int,
    overwrite: bool,
    source: Path | None,
    pull: bool,
    reviewer: str | None,
    new_label: bool,
    name: str | None,
    store: str,
    as_json: bool,
    workspace: Path,
) -> None:
    """Look at a data set in FiftyOne, and bring back what was corrected there.

    RUN is a run, VERSION a version; without either, the newest version with what the latest run found. The FiftyOne
    data set is made, or brought up to date: labels, splits and issues as tags, ranks, suggestions, predictions,
    embeddings. Correct labels and boxes there, tag pictures curate:keep, curate:hard, curate:exclude (or
    curate:exclude:broken, :duplicate) or curate:unsure, and bring it all back with --pull; the next `curate publish`
    makes a version of it. Nothing changes in the pictures.
    """
    from curation.datasets import find_dataset

    run = _run_of(workspace, subject)
    dataset = find_dataset(workspace, name or (str(run.info["dataset"]) if run else None))
    chosen = fiftyone_name or dataset.name
    if pull:
        _pull(workspace, dataset, chosen, reviewer or account_name(), new_label, store, as_json)
        return
    _send(workspace, dataset, chosen, subject, run, store, overwrite, source, launch, port, as_json)


def _run_of(workspace: Path, subject: str | None) -> Run | None:
    """The run that the argument names; None where it names a version, or nothing."""
    from curation.runs import complete_ids, read_run

    if not subject or not any(run_id.startswith(subject) for run_id in complete_ids(workspace)):
        return None
    return read_run(workspace, subject)


def _send(
    workspace: Path,
    dataset: Dataset,
    chosen: str,
    subject: str | None,
    run: Run | None,
    store: str,
    overwrite: bool,
    source: Path | None,
    launch: bool,
    port: int,
    as_json: bool,
) -> None:
    import os

    from curation.errors import NotFoundError
    from curation.exporters.content import make_content
    from curation.fiftyone_link.library import open_library
    from curation.fiftyone_link.sending import send
    from curation.manifest import read
    from curation.manifest.history import source_of
    from curation.manifest.version_files import resolve
    from curation.manifest.wholeness import check_whole
    from curation.runs import list_runs
    from curation.status import source_root
    from curation.terminal import RichProgress

    version = str(run.info["manifest_version"]) if run else resolve(dataset.folder, subject or "head")
    check_whole(dataset.folder, version)
    if run is None:
        run = next((one for one in reversed(list_runs(workspace)) if one.info.get("dataset") == dataset.name), None)
    root = source or (Path(str(run.info["root"])) if run else source_root(workspace, dataset))
    if not os.path.isdir(root):
        raise NotFoundError(f"The pictures were in {root}, which is not there; say where they are with --source DIR.")
    rows = read(dataset.folder, version)
    content = make_content(rows, Path(os.path.realpath(root)), (), source_of(dataset.folder, version))
    library = open_library(workspace)
    if not overwrite:
        _refuse_to_lose(library, chosen, dataset, store, workspace)
    about = {"dataset": dataset.name, "version": version, "run": run.run_id if run else ""}
    with RichProgress() as progress:
        sent = send(library, chosen, about, content, run, workspace, progress)
    _print_sent(library, sent, about, launch, port, as_json)


def _refuse_to_lose(library: Any, chosen: str, dataset: Dataset, store: str, workspace: Path) -> None:
    """Say so where the data set that is there has corrections that are not in the store."""
    from curation.errors import CurationError, SettingsError
    from curation.fiftyone_link.library import find_fiftyone
    from curation.fiftyone_link.pulling import not_said_yet
    from curation.fiftyone_link.sending import made_from
    from curation.store import effective, open_store
    from curation.wording import counted

    if chosen not in library.list_datasets():
        return
    there = find_fiftyone(library, chosen)
    before = made_from(there)
    if before is None or before["dataset"] != dataset.name:
        raise SettingsError(
            f"There is a FiftyOne data set {chosen!r} that is not of {dataset.name}; choose a name with --dataset."
        )
    try:
        found = _corrections(there, dataset, str(before["version"]), None)
    except CurationError as error:
        raise SettingsError(f"{error} Correct it there, or give it up with --overwrite.") from None
    waiting = not_said_yet(found.decisions, effective(open_store(store or workspace), dataset.name))
    if waiting:
        raise SettingsError(
            f"{counted(len(waiting), 'correction')} made in the FiftyOne data set {chosen!r} would be lost. Bring them "
            f"back with --pull --reviewer NAME, or give them up with --overwrite."
        )


def _corrections(there: Any, dataset: Dataset, version: str, known: Any) -> Corrections:
    from curation.fiftyone_link.library import quiet
    from curation.fiftyone_link.pulling import read_corrections
    from curation.manifest import read
    from curation.manifest.history import task_of
    from curation.manifest.version_files import resolve

    version = resolve(dataset.folder, version)
    with quiet():
        return read_corrections(there, read(dataset.folder, version), task_of(dataset.folder, version), known)


def _print_sent(library: Any, sent: Any, about: dict[str, str], launch: bool, port: int, as_json: bool) -> None:
    from curation.explain import visible
    from curation.fiftyone_link.library import ADDRESS, quiet
    from curation.terminal import shown, stdout_console
    from curation.wording import counted

    facts: dict[str, Any] = {
        "fiftyone": sent.name,
        **about,
        "pictures": sent.pictures,
        "flagged": sent.flagged,
        "added": sent.added,
    }
    facts |= {"removed": sent.removed, "notes": sent.notes, "url": f"http://{ADDRESS}:{port}" if launch else None}
    session: Any = None
    if launch:
        with quiet():
            session = library.launch_app(
                library.load_dataset(sent.name), address=ADDRESS, port=port, remote=True, auto=False
            )
    if as_json:
        print_json(facts)
    else:
        console = stdout_console()
        console.print(
            f"FiftyOne data set {shown(sent.name)}: {about['version']} of {visible(about['dataset'])}, "
            f"{counted(sent.pictures, 'picture')}, {sent.flagged:,} with an issue.",
            soft_wrap=True,
        )
        for note in sent.notes:
            console.print(visible(note, 1000, False), soft_wrap=True)
        if session:
            console.print(f"Open {facts['url']}; stop with Ctrl-C. Then: curate fiftyone --pull", soft_wrap=True)
    if session:
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            session.wait(-1)


def _pull(
    workspace: Path, dataset: Dataset, chosen: str, reviewer: str, new_label: bool, store: str, as_json: bool
) -> None:
    from curation.decisions import Action
    from curation.errors import SettingsError
    from curation.fiftyone_link.library import find_fiftyone, open_library
    from curation.fiftyone_link.pulling import COMMENT, not_said_yet, pull_action
    from curation.fiftyone_link.sending import made_from
    from curation.review.work_queue import open_subject
    from curation.store import decisions, effective, open_store, record

    there = find_fiftyone(open_library(workspace), chosen)
    before = made_from(there)
    if before is None or before["dataset"] != dataset.name:
        raise SettingsError(f"The FiftyOne data set {chosen!r} was not made from {dataset.name} by `curate fiftyone`.")
    engine: Engine = open_store(store or workspace)
    known = None if new_label else open_subject(engine, dataset.name, dataset.folder).labels
    found = _corrections(there, dataset, str(before["version"]), known)
    ids = [decision.sample_id for decision in found.decisions]
    waiting = not_said_yet(found.decisions, effective(engine, dataset.name), reviewer) if ids else []
    states: dict[str, str] = {}
    if waiting:
        shared = Action(
            "", dataset.name, reviewer, (), run_id=str(before.get("run") or ""),
            manifest_version=str(before["version"]), comment=COMMENT,
        )  # fmt: skip
        taken_back = set(decisions(engine, dataset.name, reviewer=reviewer)["undoes"]) - {""}
        states = record(engine, pull_action(shared, waiting, taken_back)).states
    _print_pulled(found, waiting, states, as_json)


def _print_pulled(found: Corrections, waiting: Any, states: dict[str, str], as_json: bool) -> None:
    from curation.explain import visible
    from curation.terminal import stdout_console

    counts = Counter(decision.verdict for decision in waiting)
    before = len(found.decisions) - len(waiting)
    if as_json:
        facts = {"verdicts": dict(counts), "states": dict(Counter(states.values())), "recorded_before": before}
        print_json({"decisions": len(waiting), **facts, "notes": list(found.notes)})
        return
    console = stdout_console()
    words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common())
    console.print(f"Recorded: {words}." if words else "Nothing new was corrected in FiftyOne.", soft_wrap=True)
    if before:
        console.print(f"Recorded before: {before:,}.")
    for note in found.notes:
        console.print(visible(note, 1000, False), soft_wrap=True)
    if words:
        console.print("Take all of it back: curate decide --undo. Make a version of it: curate publish", soft_wrap=True)
