"""`curate queue`: what is to be reviewed next, and why."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curation.commands.options import COMMON, Command, common, option, print_json, run_argument, store_option

if TYPE_CHECKING:
    from curation.edits import Line
    from curation.review.cards import Card
    from curation.review.findings import Finding
    from curation.store import Item

LISTED = 20
FINDINGS = 5  # listed of one picture
LABEL_ROOM = 40  # columns kept for place, copies and label
WHICH = "Which"


@click.command(cls=Command)
@run_argument
@option("--issue", group=WHICH, default="", metavar="NAME", help="Only items with this issue.")
@option("--label", group=WHICH, default="", metavar="LABEL", help="Only items with this given label.")
@option("--class", "class_name", group=WHICH, default="", metavar="LABEL", help="Only findings about this class.")
@option("--split", group=WHICH, default="", metavar="NAME", help="Only items of this split.")
@option("--text", group=WHICH, default="", metavar="TEXT", help="Only items with this in path, label or suggestion.")
@option(
    "--state",
    group=WHICH,
    default="",
    metavar="STATE",
    help="open, second, disagreement or done (default: what waits for an opinion).",
)
@option("--reviewer", group=WHICH, default="", metavar="NAME", help="As this reviewer would get them.")
@option(
    "--top",
    group=COMMON,
    type=click.IntRange(1, 100_000),
    default=LISTED,
    show_default=True,
    metavar="N",
    help="How many.",
)
@store_option
@common
def command(
    run_id: str | None,
    issue: str,
    label: str,
    class_name: str,
    split: str,
    text: str,
    state: str,
    reviewer: str,
    top: int,
    store: str,
    as_json: bool,
    workspace: Path,
) -> None:
    """Say what is to be reviewed next, and why.

    RUN is a run id or the beginning of one; without it, the latest run. Nobody is handed anything: the app, and whoever
    else is reviewing, go on undisturbed.
    """
    from curation import review
    from curation.manifest import manifest_folder
    from curation.review.conflict_items import conflicts, explained
    from curation.review.taken_back import taken_back, told
    from curation.review.work_queue import refill
    from curation.runs import read_run
    from curation.store import Filters, find_items, open_store
    from curation.terminal import RichProgress

    run = read_run(workspace, run_id)
    dataset = str(run.info["dataset"])
    engine, folder = open_store(store or workspace), manifest_folder(workspace, dataset)
    with RichProgress() as progress:
        queue = refill(engine, run, folder, progress)
    filters = Filters(issue=issue, given_label=label, split=split, text=text, state=state, class_name=class_name)
    items = find_items(engine, dataset, filters, top, reviewer)
    members = {item.item_id: item.members for item in items}
    cards = review.cards(run, [item.item_id for item in items], members, queue.changed, queue.annotations)
    if queue.version:
        cards = explained(told(cards, taken_back(folder, queue.version)), conflicts(folder, queue.version))
    if as_json:
        print_json([_facts(item, card) for item, card in zip(items, cards, strict=True)])
    else:
        _print(items, cards)


def _facts(item: Item, card: Card) -> dict[str, Any]:
    """What a program gets; what a second reviewer must not see is left out."""
    shown = {name: value for name, value in asdict(item).items() if name not in ("lease_seconds", "show_suggestion")}
    if not item.show_suggestion:
        return {**shown, "suggestion": "", "suggestions": [], "why": []}
    shown |= {"suggestions": [list(pair) for pair in card.suggestions], "why": list(card.why)}
    if card.task == "single-label":
        return shown
    about = ("issue", "annotation_id", "label", "suggestion", "score", "is_issue", "why", "does", "proposal", "box")
    return {
        **shown,
        "annotations": [asdict(one) for one in card.annotations],
        "findings": [{name: getattr(one, name) for name in about} for one in card.findings],
    }


def _print(items: list[Item], cards: list[Card]) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    from curation.terminal import print_entry, shown, shown_path, stdout_console

    console = stdout_console()
    if not items:
        console.print("Nothing waits there.")
        return
    room = max(console.width - LABEL_ROOM, 12)
    pictures = [
        shown_path(card.path, room) + (f" (+{len(item.members) - 1:,})" if len(item.members) > 1 else "")
        for item, card in zip(items, cards, strict=True)
    ]
    width = max(map(cell_len, pictures))
    for place, (item, card, picture) in enumerate(zip(items, cards, pictures, strict=True), 1):
        head = Text(f"{place:>3,}  {picture}{' ' * (width - cell_len(picture))}")
        head.append(f"  given {shown(item.given_label, 24)}" if item.given_label else "  without a label", style="cyan")
        why = _why(card) if item.show_suggestion else ""
        state = {"second": "Second opinion. ", "disagreement": "Reviewers disagree. "}.get(item.state, "")
        print_entry(console, head, state + why, 5, "dim")


def _why(card: Card) -> str:
    """Why it is there; of a picture with several labels or boxes one line per finding, and what that proposes."""
    if card.task == "single-label":
        return " ".join(card.why)
    found = [one for one in card.findings if one.is_issue] or list(card.findings[:1])
    how = {id(one): f" ({_options(one)})" if card.task != "counts" else "" for one in found}
    lines = [f"{one.why} Proposed: {one.does}{how[id(one)]}." if one.does else one.why for one in found]
    more = [f"... and {len(lines) - FINDINGS:,} more findings: --json has all"] if len(lines) > FINDINGS else []
    return "\n".join(list(dict.fromkeys(lines))[:FINDINGS] + more)


def _options(found: Finding) -> str:
    """What a finding proposes as options of `curate decide`."""
    return " ".join(_option(line, found.sample_id) for line in found.proposal)


def _option(line: Line, sample_id: str) -> str:
    from curation.terminal import shown

    key, to = str(line["annotation_id"]).removeprefix(f"{sample_id}-"), line["to"]
    if line["change"] == "drop":
        return f"--remove {key}"
    if line["change"] == "relabel":
        return f"--relabel {shlex.quote(shown(f'{key}={to}'))}"
    box = to if line["change"] == "box" else to.get("box")
    place = ",".join(f"{value:.10g}" for value in box) if box else ""
    if line["change"] == "box":
        return f"--box {key}={place}"
    return f"--add {shlex.quote(shown(str(to['label']) + (f'={place}' if place else '')))}"
