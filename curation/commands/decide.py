"""`curate decide`: record decisions without the app, one or a whole table of them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
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
from curation.decisions import REASONS, Action, Decision

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from curation.review.deciding import Subject

VERDICT, MANY = "Verdict (one of them)", "Instead of SAMPLE"
EDIT = "Of several labels or boxes (as many as needed; also --relabel ID=LABEL)"
DECIDE = "Decision"


@click.command(cls=Command)
@click.argument("sample", required=False)
@option("--keep", group=VERDICT, is_flag=True, help="The given label is right.")
@option("--hard", group=VERDICT, is_flag=True, help="It is right, but hard to see.")
@option("--relabel", group=VERDICT, multiple=True, metavar="LABEL|ID=LABEL", help="It is wrong; this one is right.")
@option("--ambiguous", group=VERDICT, multiple=True, metavar="LABEL", help="Several are right: give it for each.")
@option("--exclude", group=VERDICT, type=click.Choice(REASONS), help="The picture does not belong in the data set.")
@option("--unsure", group=VERDICT, is_flag=True, help="Somebody else shall look.")
@option("--add", "added", group=EDIT, multiple=True, metavar="LABEL[=X,Y,W,H]", help="A label or box is missing.")
@option("--remove", "removed", group=EDIT, multiple=True, metavar="LABEL|ID", help="A label or box is wrong.")
@option(
    "--box",
    "boxes",
    group=EDIT,
    multiple=True,
    metavar="ID=X,Y,W,H",
    help="The box is here: its upper left corner, width and height in pixels.",
)
@option("--count", "counts", group=EDIT, multiple=True, metavar="LABEL=NUMBER", help="Of a set of counts: so many.")
@option(
    "--from",
    "file",
    group=MANY,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A CSV, TSV or Parquet table: sample_id or path, verdict, label, label_2 ..., reason; or JSON lines.",
)
@option("--undo", group=MANY, is_flag=True, help="Take back the reviewer's latest action.")
@option("--reviewer", group=DECIDE, metavar="NAME", help="Who decides (default: the name of your account).")
@option("--comment", group=DECIDE, default="", metavar="TEXT", help="Why.")
@option("--new-label", group=DECIDE, is_flag=True, help="Allow labels that the data set does not have yet.")
@dataset_option
@store_option
@common
def command(
    sample: str | None,
    file: Path | None,
    undo: bool,
    reviewer: str | None,
    comment: str,
    new_label: bool,
    name: str | None,
    store: str,
    as_json: bool,
    workspace: Path,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    boxes: tuple[str, ...],
    counts: tuple[str, ...],
    relabel: tuple[str, ...],
    **verdicts: Any,
) -> None:
    """Record what is right for a picture, or for all pictures of a table.

    SAMPLE is a sample_id or a path in the data set. A table is recorded as a whole, or, if one of its rows is wrong,
    not at all; given twice, it counts once. Nothing changes in the data set before `curate publish`.

    Where pictures have several labels, or boxes, an ID is the number of one (0 is the first), its annotation_id, or its
    label where only one has it. One decision says all that is wrong with a picture: it replaces what you said before.
    """
    from curation.datasets import find_dataset
    from curation.review.work_queue import open_subject
    from curation.store import open_store

    edited = bool(added or removed or boxes or counts or len(relabel) > 1)
    chosen = [(verdict, value) for verdict, value in verdicts.items() if value]
    chosen += [("edit", "")] if edited else [("relabel", relabel[0])] if relabel else []
    _check_choice(sample, file, undo, len(chosen))
    reviewer = reviewer or account_name()
    dataset = find_dataset(workspace, name)
    engine = open_store(store or workspace)
    if undo:
        _undo(engine, dataset.name, reviewer, as_json)
        return
    subject = open_subject(engine, dataset.name, dataset.folder)
    shared = Action("", dataset.name, reviewer, (), manifest_version=subject.version, comment=comment)
    if file is not None:
        _record_table(engine, subject, shared, file, new_label, as_json)
        return
    ((verdict, value),) = chosen
    if verdict == "edit" or (verdict == "relabel" and _names_one(subject, value)):
        lines = [*_edit_lines(subject, str(sample), added, removed, boxes, relabel), *_count_lines(subject, counts)]
        shared = replace(shared, action_id=uuid.uuid4().hex)
        decision = subject.edit(str(sample), lines, new_label, shared.action_id)
        _record_one(engine, subject, shared, decision, as_json)
        return
    labels = (value,) if verdict == "relabel" else tuple(value) if verdict == "ambiguous" else ()
    reason = value if verdict == "exclude" else ""
    decision = subject.decide(str(sample), verdict, labels, reason, new_label)
    _record_one(engine, subject, shared, decision, as_json)


def _check_choice(sample: str | None, file: Path | None, undo: bool, chosen: int) -> None:
    if (sample is not None) + (file is not None) + undo != 1:
        raise click.UsageError("Give a SAMPLE and a verdict, or --from FILE, or --undo.")
    if sample is None and chosen:
        raise click.UsageError("A verdict needs a SAMPLE that it is about.")
    if sample is not None and chosen != 1:
        raise click.UsageError(
            f"One verdict is needed, not {chosen or 'none'}: --keep, --hard, --relabel LABEL, --ambiguous LABEL (twice "
            "or more), --exclude REASON or --unsure."
        )


def _names_one(subject: Subject, value: str) -> bool:
    """Whether `ID=LABEL` was meant, not a label with `=` in it."""
    return subject.task != "single-label" and "=" in value and value not in subject.labels


def _edit_lines(
    subject: Subject,
    sample: str,
    added: Sequence[str],
    removed: Sequence[str],
    boxes: Sequence[str],
    relabel: Sequence[str],
) -> list[dict[str, Any]]:
    """What was asked for as lines that `Subject.edit` takes."""
    lines: list[dict[str, Any]] = [{"change": "drop", "annotation": text} for text in removed]
    for text in relabel:
        which, label = subject.split_relabel(sample, text)
        lines.append({"change": "relabel", "annotation": which, "to": label})
    for text in boxes:
        which, _, place = text.rpartition("=")
        box = _read_box(place)
        if not which or box is None:
            raise click.UsageError(f"--box {text}: write it as ID=X,Y,W,H, in pixels.")
        lines.append({"change": "box", "annotation": which, "to": box})
    for text in added:
        label, _, place = text.rpartition("=")
        box = _read_box(place) if subject.task == "detection" else None
        value: dict[str, Any] = {"label": text} if box is None else {"label": label, "box": box}
        lines.append({"change": "add", "to": value})
    return lines


def _count_lines(subject: Subject, counts: Sequence[str]) -> list[dict[str, Any]]:
    """What `--count` asked for as lines that `Subject.edit` takes."""
    if counts and subject.task != "counts":
        raise click.UsageError("--count is for sets of counts; say --add or --remove.")
    lines = []
    for text in counts:
        label, _, number = text.rpartition("=")
        if not label or not number.strip().isdecimal():
            raise click.UsageError(f"--count {text}: write it as LABEL=NUMBER.")
        lines.append({"change": "count", "annotation": label, "to": int(number)})
    return lines


def _read_box(text: str) -> list[float] | None:
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        return None
    return found if len(found) == 4 else None


def _record_one(engine: Engine, subject: Subject, shared: Action, decision: Decision, as_json: bool) -> None:
    from rich.text import Text

    from curation.store import record
    from curation.terminal import shown, shown_path, stdout_console

    action_id = shared.action_id or uuid.uuid4().hex
    recorded = record(engine, replace(shared, action_id=action_id, decisions=(decision,)))
    state = recorded.states[decision.item_id]
    if as_json:
        print_json({"action_id": recorded.action_id, "new": recorded.new, "states": recorded.states})
        return
    path = subject.path_of(decision.sample_id)
    said = " / ".join(shown(label) for label in decision.labels) or decision.reason
    what = _edits_in_words(decision) or f"{decision.verdict}{f' “{said}”' if said else ''}"
    line = f"{shown_path(path, 60)}: {what}"
    was = f" (given: “{shown(decision.given_label)}”)" if decision.given_label else ""
    stdout_console().print(Text(f"{line}{was}, by {shown(shared.reviewer)}.{MEANS[state]}"), soft_wrap=True)


def _edits_in_words(decision: Decision) -> str:
    from curation.explain import explain_pieces
    from curation.review.earlier import did_edits

    return explain_pieces(did_edits(decision.edits)) if decision.edits else ""


MEANS = {
    "open": " Somebody else is to decide.",
    "second": " A second opinion is still needed.",
    "disagreement": " Reviewers disagree: it waits in the queue of disagreements.",
    "done": "",
}


def _record_table(engine: Engine, subject: Subject, shared: Action, file: Path, new_label: bool, as_json: bool) -> None:
    from curation.errors import SettingsError
    from curation.review.decision_files import read_decisions, read_edit_lines, table_action
    from curation.store import decisions, record
    from curation.terminal import stdout_console

    read = read_edit_lines if file.suffix.lower() in (".jsonl", ".ndjson", ".json") else read_decisions
    found = read(file, subject, new_label)
    if not found.decisions:
        raise SettingsError(f"{file} decides nothing: no row has a verdict or a label.")
    taken_back = set(decisions(engine, subject.dataset, reviewer=shared.reviewer)["undoes"]) - {""}
    action = table_action(replace(shared, decisions=found.decisions), taken_back)
    recorded = record(engine, action)
    counts = Counter(decision.verdict for decision in action.decisions)
    states = Counter(recorded.states.values())
    if as_json:
        print_json(
            {
                "action_id": recorded.action_id,
                "new": recorded.new,
                "decisions": len(action.decisions),
                "skipped": found.skipped,
                "verdicts": dict(counts),
                "states": dict(states),
            }
        )
        return
    words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.most_common())
    said = f"Recorded: {words}."
    console = stdout_console()
    console.print(said if recorded.new else "Nothing new: this table was recorded before.", soft_wrap=True)
    if found.skipped:
        console.print(f"Left out, having no verdict or label: {found.skipped:,} of the rows.")
    for state in ("second", "disagreement", "open"):
        if states[state]:
            console.print(f"{states[state]:,}:{MEANS[state]}")
    console.print("Take all of them back: curate decide --undo. See what they change: curate status")


def _undo(engine: Engine, dataset: str, reviewer: str, as_json: bool) -> None:
    from rich.text import Text

    from curation.store import undo
    from curation.terminal import shown, stdout_console

    undone = undo(engine, dataset, reviewer, undo_id=uuid.uuid4().hex)
    if as_json:
        print_json({"undone": undone.action_id if undone else None, "items": list(undone.items) if undone else []})
    elif undone is None:
        stdout_console().print(Text(f"{shown(reviewer)} has decided nothing that could be taken back."))
    else:
        what = f"{len(undone.items):,} items" if len(undone.items) > 1 else undone.items[0]
        stdout_console().print(Text(f"Taken back: the decision of {shown(reviewer)} on {what}."))
