"""The summary that ends `curate score` and `curate demo`: what was read, found and estimated, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from curation.detectors import DETECTORS, LABEL_ISSUES
from curation.explain import box_of, percent, read_evidence, title_of, visible
from curation.runs import Run
from curation.scoring.health import accuracy_in_words, estimate_in_words, forecast_in_words, wrong_forecast
from curation.terminal import GAP, duration, print_steps, shown, shown_path, table, wrapped
from curation.wording import as_sentence, counted

HOW_MODES_WORK = {
    "compact": "a small network trained from scratch",
    "probe": "linear heads on a frozen {model}",
    "finetune": "{model} trained further",
}
LISTED_REASONS = 3
LISTED_PAIRS = 5
LISTED_LABELS = 10
LISTED_NOTES = 12


def print_summary(run: Run, console: Console, said: Collection[str] = ()) -> None:
    """Print the summary of a run, but for what to type next.

    said : messages that the reader has seen (RichProgress.said), and need not read twice
    """
    info, samples, issues = run.info, run.samples(), run.issues()
    _read(info, samples, console)
    if run.has_array("pred_probs") or run.has_array("box_pred_probs"):  # else a note says why no model was trained
        _model(info, console, said)
    _counts(info, issues, console)
    _health(info, issues, console)
    _worst(samples, issues, console)
    seconds = float(sum((info.get("seconds") or {}).values()))
    made = f"made in {duration(seconds)}, kept in {visible(str(run.folder), 4096)}"
    console.print(f"Run {run.run_id}", Text(made, style="dim"), soft_wrap=True)


def _read(info: dict[str, Any], samples: pd.DataFrame, console: Console) -> None:
    """What was read: format, count, classes, splits; the first unreadable files with their reasons; notes."""
    readable = samples[samples["status"] == "ok"]
    unreadable = len(samples) - len(readable)
    splits = [f"{shown(name, 16)} {count:,}" for name, count in readable["split"].value_counts().items() if name]
    facts = [
        counted(len(samples), "picture") + (f" ({len(readable):,} readable)" if unreadable else ""),
        counted(int(info["boxes"]), "box", "boxes") if info.get("boxes") is not None else "",
        counted(len(info.get("classes") or []), "class", "classes"),
        ", ".join(splits) if len(splits) > 1 else "",
    ]
    name = Text(shown(info.get("dataset", info["run_id"])), style="bold")
    console.print(name, Text(": " + ", ".join(filter(None, facts))), sep="")
    for note in (info.get("notes") or [])[:LISTED_NOTES]:
        _indented(console, visible(str(note), 500))
    hidden = len(info.get("notes") or []) - LISTED_NOTES
    if hidden > 0:
        _indented(console, f"and {counted(hidden, 'more note')}: curate report", "dim")
    broken = samples[samples["status"] != "ok"]
    _reasons("could not be read", broken, len(broken), console, "curate issues --issue unreadable")
    rejected = pd.DataFrame(info.get("rejected") or [])
    _reasons("left out", rejected, info.get("rejected_count", len(rejected)), console, "curate report")


def _reasons(what: str, files: pd.DataFrame, count: int, console: Console, rest: str) -> None:
    if files.empty:
        return
    console.print(Text(f"  {count:,} {what}:", style="red"))
    for path, reason in zip(files["path"][:LISTED_REASONS], files["reason"][:LISTED_REASONS], strict=True):
        console.print(Text(f"    {shown_path(path, 40)}: {shown(reason, 100)}"))
    if count > LISTED_REASONS:
        console.print(Text(f"    and {count - LISTED_REASONS:,} more: {rest}", style="dim"))


def _model(info: dict[str, Any], console: Console, said: Collection[str]) -> None:
    """What judged the labels, and why it was chosen, unless that was said before the run."""
    plan = info.get("plan") or {}
    mode = str(plan.get("mode", ""))
    how = HOW_MODES_WORK.get(mode, "{model}").format(model=plan.get("model"))
    parts = [f"{mode} ({how})", plan.get("device"), f"{plan['size_px']} px" if plan.get("size_px") else ""]
    console.print(Text("Judged by: ", style="bold"), Text(", ".join(str(part) for part in parts if part)), sep="")
    for why in map(as_sentence, plan.get("why") or []):
        if why not in said:
            _indented(console, visible(why, 500), "dim")


def _counts(info: dict[str, Any], issues: pd.DataFrame, console: Console) -> None:
    """How many of each issue, in queue order."""
    found = info.get("issues") or {}
    counts = {name: found[name] for name in [*DETECTORS, *sorted(set(found) - set(DETECTORS))] if found.get(name)}
    console.print()
    if not counts:
        console.print("No issues found.")
    else:
        drawn = table("Issue", ">Flagged", "What it is")
        for name, count in counts.items():
            drawn.add_row(name, f"{count:,}", Text(title_of(name), style="dim"))
        console.print(drawn)
    for name, reason in (info.get("skipped_detectors") or {}).items():
        console.print(Text(f"{name} not looked for: {shown(reason, 200)}", style="dim"))


def _health(info: dict[str, Any], issues: pd.DataFrame, console: Console) -> None:
    """Label health, how far to review, and the pairs of classes that are mixed up most."""
    health = info.get("health") or {}
    if health.get("label_health") is None:
        return
    least, most = health.get("estimated_wrong_range") or (None, None)
    console.print()
    share = Text(percent(health["label_health"]), style="bold green")
    console.print(Text("Label health ", style="bold"), share, sep="", end="")
    console.print(f": {_how_many_wrong(health)}")
    if least is not None and most is not None:
        _indented(console, estimate_in_words(least, most), "dim")
    words = forecast_in_words(wrong_forecast(issues.loc[issues["issue"].isin(LABEL_ISSUES), "score"].to_numpy(float)))
    if words:
        _indented(console, words, "dim")
    words = accuracy_in_words(info.get("accuracy") or {})
    if words:
        _indented(console, words, "dim")
    pairs = (health.get("confused") or [])[:LISTED_PAIRS]
    if pairs:
        console.print()
        drawn = table("Most confused: given", "Suggested", ">Flagged")
        for given, suggested, count, *_ in pairs:
            drawn.add_row(shown(given), shown(suggested), f"{count:,}")
        console.print(drawn)


def _how_many_wrong(health: dict[str, Any]) -> str:
    """`about 12 of 900 labels are wrong`, or counts; and how many are missing where a picture can have several."""
    missing = round(health.get("estimated_missing") or 0)
    wrong, labels = round(health["estimated_wrong"]) - missing, health["labels"]
    what = "count" if "objects" in health else "label"
    words = f"about {wrong:,} of {counted(labels, what)} {'is' if wrong == 1 else 'are'} wrong"
    if health.get("estimated_missing") is None:
        return words
    return f"{words}, {missing:,} {'is' if missing == 1 else 'are'} missing"


def _worst(samples: pd.DataFrame, issues: pd.DataFrame, console: Console) -> None:
    """The labels most likely wrong."""
    worst = issues[issues["issue"].isin(LABEL_ISSUES)].head(LISTED_LABELS)
    console.print()
    if worst.empty:
        return
    path = samples.set_index("sample_id")["path"]
    longest = 14 if console.width < 100 else 24
    rows = []
    for row in worst.to_dict("records"):
        given_p, best_p = probabilities(row)
        suggestion = shown(row["suggestion"], longest) if row["suggestion"] else ""
        given = shown(row["given_label"], longest) if row["given_label"] else ""
        rows.append((given, given_p, suggestion, best_p))
    head = ("Worst labels", "Given", ">p(given)", "Suggested", ">p(suggested)")
    columns = zip(head[1:], *rows, strict=True)
    taken = sum(max(cell_len(text.removeprefix(">")) for text in column) + GAP for column in columns)
    room = max(console.width - taken, 12)
    drawn = table(*head)
    for row, cells in zip(worst.to_dict("records"), rows, strict=True):
        box = box_of(read_evidence(row))
        place = f" at {box[0]:.0f}, {box[1]:.0f}" if box else ""
        name = shown_path(path.get(row["sample_id"], row["sample_id"]), max(room - len(place), 8))
        drawn.add_row(name + place, *cells)
    console.print(drawn)
    console.print()


def probabilities(row: dict[str, Any]) -> tuple[str, str]:
    """The probability of the given and of the suggested label, for people; "" where the evidence has none."""
    evidence = read_evidence(row)
    top = {str(name): float(p) for name, p in evidence.get("top3") or []}
    given = evidence.get("p_given")
    suggested = top.get(str(row["suggestion"]), evidence.get("p_likely") if row["suggestion"] else None)
    if "p_there" in evidence and evidence["p_there"] is not None:
        there = float(evidence["p_there"])
        given, suggested = (there, None) if row["given_label"] else (None, there)
    return ("" if given is None else percent(float(given)), "" if suggested is None else percent(suggested))


def print_next(workspace: Path, console: Console) -> None:
    """What to type next."""
    where = "" if str(workspace) == "." else f" --workspace {shlex.quote(visible(str(workspace), 4096))}"
    steps = {
        f"curate review{where}": "correct them in the browser, by keyboard",
        f"curate issues --top 50{where}": "the ranking goes on",
        f"curate report --open{where}": "the same with pictures, as one HTML file",
    }
    print_steps(steps, console)


def _indented(console: Console, text: str, style: str = "") -> None:
    """Print `text` wrapped, every line two columns in."""
    for line in wrapped(text, console.width - 2):
        console.print(Text(f"  {line}", style=style), soft_wrap=True)
