"""The sections of the report, one function each: from the tables of a run to HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation.detectors import LABEL_ISSUES
from curation.explain import MEANINGS, box_of, explain_case, explain_parts, percent, read_evidence, title_of
from curation.explain_words import fine_percent
from curation.report.markup import bdi, number, sentence, table, text
from curation.report.pictures import SMALL_SIDE_PX, Pictures
from curation.report.plots import probability_bar
from curation.scoring.health import accuracy_in_words, forecast_in_words, wrong_forecast

# How much is shown; the page says of how much. Some hundred pictures are what a person looks through.
WORST_LABELS, NEIGHBOURS, CASES, MEMBERS, GRID, FILES = 48, 5, 30, 6, 24, 300


@dataclass(frozen=True)
class Page:
    """What the sections draw from.

    info : run.json
    issues : the issue table in rank order
    samples : the sample table, indexed by sample_id
    """

    info: Mapping[str, Any]
    issues: pd.DataFrame
    samples: pd.DataFrame
    pictures: Pictures

    def of(self, issue: str, flagged: bool = True) -> pd.DataFrame:
        """Rows of one issue in rank order."""
        rows = self.issues[self.issues["issue"] == issue]
        return rows[rows["is_issue"]] if flagged else rows

    def of_labels(self, flagged: bool = True) -> pd.DataFrame:
        """Rows about labels, whichever issue a set of this task has for that, in rank order."""
        rows = self.issues[self.issues["issue"].isin(LABEL_ISSUES)]
        return rows[rows["is_issue"]] if flagged else rows

    def label(self, text: str) -> str:
        """HTML of a label; of none only where every picture should have one."""
        return bdi(text) if text or "task" not in self.info else ""

    def sample(self, sample_id: str, column: str) -> str:
        """One text of the sample table, "" where there is none."""
        return str(self.samples[column].get(sample_id, ""))


def section(anchor: str, title: str, count: str, meaning: str, body: str, is_open: bool = True) -> str:
    """A collapsible section; `title`, `count` and `body` are HTML, `meaning` is our own text."""
    shown = " open" if is_open else ""
    intro = f"<p>{text(meaning, 2000)}</p>\n" if meaning else ""
    number_of = f'<span class="count">{count}</span>' if count else ""
    return (
        f'<section id="{anchor}"><details{shown}><summary><h2>{title}</h2>{number_of}</summary>\n'
        f"{intro}{body}</details></section>\n"
    )


def shown_of(shown: int, total: int, what: str) -> str:
    """ "48 of 113 flagged labels shown", or how many where all are."""
    if shown == total:
        return f"{'the one' if total == 1 else f'all {total:,}'} {what[:-1] if total == 1 else what} shown"
    return f"{shown:,} of {total:,} {what} shown, worst first"


def label_errors(page: Page) -> str:
    """The worst labels as cards; where none was flagged, the most doubtful ones."""
    flagged = page.of("label_error")
    rows = (flagged if len(flagged) else page.of("label_error", flagged=False)).head(WORST_LABELS)
    cards = "".join(_label_card(page, row) for row in rows.to_dict("records"))
    note = shown_of(len(rows), len(flagged), "flagged labels")
    if not len(flagged):
        note = f"no label was flagged; these {len(rows)} are the most doubtful ones"
    return f'<p class="note">{note}</p>\n<div class="cards">{cards}</div>\n'


def _label_card(page: Page, row: Mapping[str, Any]) -> str:
    evidence, given, suggestion = read_evidence(row), str(row["given_label"]), str(row["suggestion"])
    lines = [(str(label), float(p)) for label, p in evidence.get("top3") or []]
    if given not in [label for label, _ in lines] and "p_given" in evidence:
        lines.append((given, float(evidence["p_given"])))
    probs = "".join(
        bdi(label)
        + probability_bar(p, "given" if label == given else "suggested" if label == suggestion else "other")
        # a space of its own keeps the number readable where styles are not applied
        + f" <span>{percent(p)}</span>"
        for label, p in lines
    )
    suggested = f'<div class="suggested">suggested: {bdi(suggestion)}</div>' if suggestion else ""
    box = box_of(evidence)
    strip = "".join(
        f"<figure{'' if str(label) == given else ' class=differs'}>"
        f"{page.pictures.image(str(sample_id), f'neighbour labelled {label}', SMALL_SIDE_PX)}"
        f"<figcaption>{bdi(label)}</figcaption></figure>"
        # Of a box, the nearest boxes are known by their pictures only, which show much else.
        for sample_id, label, _ in ((not box and evidence.get("neighbours")) or [])[:NEIGHBOURS]
    )
    strip = f'<div class="kv">nearest pictures and their labels</div><div class="strip">{strip}</div>' if strip else ""
    measures = [f"score {float(row['score']):.3f}"]
    for key, name in (("cleanlab_score", "cleanlab"), ("training_margin", "training margin")):
        if isinstance(evidence.get(key), int | float):
            measures.append(f"{name} {evidence[key]:.2f}")
    return (
        f'<article class="card"><div class="top">{page.pictures.image(row["sample_id"], f"labelled {given}", box=box)}'
        f'<div><div class="given">given: {bdi(given)}</div>{suggested}</div></div><div class="probs">{probs}</div>'
        f"<p>{sentence(explain_parts(row))}</p>{strip}"
        f'<div class="kv">rank {int(row["rank"]):,} · {" · ".join(measures)}<br>{_place(page, row["sample_id"])}</div>'
        "</article>\n"
    )


def _place(page: Page, sample_id: str) -> str:
    split = page.sample(sample_id, "split")
    return bdi(page.sample(sample_id, "path"), "path") + (f" · {bdi(split, 'split')}" if split else "")


def twins(page: Page, issue: str) -> str:
    """Duplicates of any kind, case by case: the copies side by side with their labels and splits."""
    rows = page.of(issue)
    cases: dict[frozenset[str], tuple[Mapping[str, Any], list[tuple[str, str]]]] = {}
    # Evidence is parsed until enough cases are found, not for all rows: there may be a million.
    position = 0
    while position < len(rows) and len(cases) < CASES:
        row = rows.iloc[position].to_dict()
        members = _members(row)
        cases.setdefault(frozenset(sample_id for sample_id, _ in members), (row, members))
        position += 1
    cards = "".join(_case_card(page, row, members) for row, members in cases.values())
    pictures = f"; the finding concerns {len(rows):,} pictures in all" if position < len(rows) else ""
    note = f"{len(cases):,} case{'s' * (len(cases) != 1)} shown{pictures}"
    return f'<p class="note">{note}</p>\n<div class="cards wide">{cards}</div>\n'


def _members(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(sample_id, label) of the pictures of one case, the flagged one first."""
    evidence = read_evidence(row)
    first = (str(row["sample_id"]), str(row["given_label"]) or ", ".join(evidence.get("labels") or []))
    others = [(str(sample_id), str(label)) for sample_id, label in evidence.get("members") or []]
    if "twin" in evidence:
        others.insert(0, (str(evidence["twin"]), str(evidence.get("twin_label", ""))))
    return list(dict.fromkeys([first, *others]))


def _case_card(page: Page, row: Mapping[str, Any], members: list[tuple[str, str]]) -> str:
    evidence, suggestion = read_evidence(row), str(row["suggestion"])
    figures = []
    agree = len({label for _, label in members} - {""}) == 1
    for sample_id, label in members[:MEMBERS]:
        doubtful = row["issue"] == "conflicting_duplicate" and suggestion not in ("", label)
        # Where labels differ, which one is right has its say in what is kept; see curation.duplicates.keeping.
        keep = ' <span class="keep">best to keep</span>' if evidence.get("keep") == sample_id and agree else ""
        picture = page.pictures.image(sample_id, f"labelled {label}" if label else "")
        place = f'<div class="kv">{_place(page, sample_id)}</div>'
        figures.append(
            f'<figure class="{"given" if doubtful else "plain"}">{picture}'
            f"<figcaption>{page.label(label)}{keep}{place}</figcaption></figure>"
        )
    more = int(evidence.get("member_count") or len(members)) - len(figures)
    rest = f'<div class="kv">and {more:,} more</div>' if more > 0 else ""
    return (
        f'<article class="card"><div class="pair">{"".join(figures)}</div>{rest}'
        f"<p>{sentence(explain_case(row))}</p></article>\n"
    )


def grid(page: Page, issue: str) -> str:
    """Any other issue: pictures, why, and where they lie."""
    rows = page.of(issue)
    cards = "".join(
        f'<article class="card"><div class="top">'
        f"{_whole_or_box(page, row)}<div>"
        f"{page.label(row['given_label'])}<p>{sentence(explain_parts(row))}</p>"
        f'<div class="kv">{_place(page, row["sample_id"])}</div></div></div></article>\n'
        for row in rows.head(GRID).to_dict("records")
    )
    note = shown_of(min(GRID, len(rows)), len(rows), "pictures")
    return f'<p class="note">{note}</p>\n<div class="cards">{cards}</div>\n'


def _whole_or_box(page: Page, row: Mapping[str, Any]) -> str:
    return page.pictures.image(row["sample_id"], f"labelled {row['given_label']}", box=box_of(read_evidence(row)))


def files(page: Page, issue: str) -> str:
    """Files that could not be read, with the reasons."""
    rows = page.of(issue)
    lines = [
        [bdi(read_evidence(row).get("path") or page.sample(row["sample_id"], "path"), "path"), text(reason, 500)]
        for row in rows.head(FILES).to_dict("records")
        for reason in [read_evidence(row).get("reason") or page.sample(row["sample_id"], "reason")]
    ]
    note = shown_of(len(lines), len(rows), "files")
    return f'<p class="note">{note}</p>\n' + table(["file", "reason"], lines)


def issue_section(page: Page, issue: str, anchor: str) -> str:
    """The section of one kind of issue, known or not, drawn by what its evidence holds."""
    rows = page.of(issue)
    first = read_evidence(rows.iloc[0].to_dict()) if len(rows) else {}
    if issue == "label_error":
        body = label_errors(page)
    elif "twin" in first:
        body = twins(page, issue)
    elif issue == "unreadable":
        body = files(page, issue)
    else:
        body = grid(page, issue)
    title = title_of(issue)
    return section(
        anchor, text(title[:1].upper() + title[1:]), f"{len(rows):,} · {text(issue)}", MEANINGS.get(issue, ""), body
    )


def summary(page: Page) -> str:
    """The figures of the whole run, and what they mean."""
    info, health = page.info, page.info.get("health") or {}
    count = page.issues[page.issues["is_issue"]]["issue"].value_counts()
    wrong, quality, several = health.get("estimated_wrong"), health.get("label_health"), health.get("estimated_missing")
    tiles = [
        (number(int((page.samples["status"] == "ok").sum())), "pictures", False),
        (number(len(info.get("classes") or [])), "classes", False),
        (number(sum(int(count.get(name, 0)) for name in LABEL_ISSUES)), f"{_what(health)}s flagged", True),
        (number(wrong), f"{_what(health)}s estimated to be wrong{' or missing' * (several is not None)}", True),
        ("–" if quality is None else fine_percent(quality), "label health: estimated share of right labels", False),
        (number(int(count.get("conflicting_duplicate", 0))), "pictures whose copy has another label", False),
        (number(info.get("unreadable", 0)), "files that cannot be read", False),
    ]
    html = "".join(
        f'<div class="tile{" alert" * hot}"><b>{value}</b><span>{what}</span></div>' for value, what, hot in tiles
    )
    return f'<div class="tiles">{html}</div>\n{_how_sure(health)}{_accuracy(info)}{_plan(info.get("plan") or {})}'


def _what(health: Mapping[str, Any]) -> str:
    """What the figures are of: labels, or counts of a class in a picture."""
    return "count" if "objects" in health else "label"


def _how_sure(health: Mapping[str, Any]) -> str:
    if health.get("estimated_wrong") is None:
        return "<p>No model judged the labels in this run, so that nothing is said about how many are wrong.</p>\n"
    if health.get("estimated_missing") is not None:
        return _how_sure_of_sets(health)
    cleanlab, what = health.get("cleanlab_estimated_wrong"), _what(health)
    other = f" cleanlab's own count on the same probabilities is {number(cleanlab)}." if cleanlab is not None else ""
    return (
        f"<p>About {number(health['estimated_wrong'])} of {number(health.get('labels'))} {what}s are estimated to be "
        f"wrong: the sum, over all {what}s, of the estimated probability that the {what} is wrong. It is an estimate "
        f"by a model: review tells.{_limits(health)}{other} A flagged {what} is one that is more probably wrong than "
        "the others, not one that is proven wrong.</p>\n"
    )


def _how_sure_of_sets(health: Mapping[str, Any]) -> str:
    missing = int(health["estimated_missing"])
    wrong = max(int(health["estimated_wrong"]) - missing, 0)
    return (
        f"<p>About {number(wrong)} of {number(health.get('labels'))} labels are estimated to be wrong, and about "
        f"{number(missing)} more to be missing, in about {number(health.get('estimated_pictures'))} of "
        f"{number(health.get('pictures'))} pictures: the sum, over all pictures and classes, of the estimated "
        "probability that what is said of the class is not so. It is an estimate from a model, not a count: review "
        "tells.</p>\n"
    )


def _limits(health: Mapping[str, Any]) -> str:
    least, most = health.get("estimated_wrong_range") or (None, None)
    if least is None:
        return ""
    return (
        f" The true number is likely between {number(least)} (if labels were nowhere worse than where the model is "
        f"surest) and {number(most)} (if the model were right wherever it contradicts a label); the weaker the model, "
        "the further these are apart. The range is cautious: where the truth is known, the estimate itself was 0.9 to "
        "1.5 times the true number, with weak models rather too high."
    )


def _accuracy(info: Mapping[str, Any]) -> str:
    words = accuracy_in_words(info.get("accuracy") or {})
    return f"<p>{text(words, 500)}</p>\n" if words else ""


def _plan(plan: Mapping[str, Any]) -> str:
    if not plan:
        return ""
    why = plan.get("why") or ""
    reasons = [why] if isinstance(why, str) else list(why)
    facts = [(key, value) for key, value in plan.items() if key != "why" and value not in ("", None)]
    shown = ", ".join(f"{text(key.replace('_', ' '))} {bdi(value, 'fact')}" for key, value in facts)
    because = "".join(f"<br>{text(reason, 500)}" for reason in reasons if reason)
    return f'<p class="note">Judged by: {shown}.{because}</p>\n'


def review_forecast(page: Page) -> tuple[np.ndarray, list[int], str]:
    """How far to review: cumulative expected wrong labels by rank (R,), ranks to mark, and the same in words.

    R ends where 95 % of the expected errors are met, but not before the last flagged label.
    """
    rows = page.of_labels(flagged=False)
    forecast = wrong_forecast(rows["score"].to_numpy(dtype=np.float64))
    expected, half, most = forecast.expected, forecast.half, forecast.most
    if not half:
        return np.zeros(0), [], ""
    flagged = int(rows["is_issue"].sum())
    end = int(np.searchsorted(expected, 0.95 * expected[-1])) + 1
    words = forecast_in_words(forecast)
    if flagged:
        words += f" The {flagged:,} flagged ones should hold about {expected[flagged - 1]:,.0f}."
    end = min(len(expected), max(end, flagged, 10))
    marks = sorted({rank for rank in (flagged, half, most) if 0 < rank <= end})
    return expected[:end], marks, words


def notes(page: Page) -> str:
    """What the import said, what was left out, which detectors could not run."""
    info = page.info
    parts = ["".join(f"<p>{text(note, 500)}</p>" for note in info.get("notes") or [])]
    rejected = info.get("rejected") or []
    if isinstance(rejected, list) and rejected:
        lines = [[bdi(path, "path"), text(reason, 500)] for path, reason in map(_path_and_reason, rejected[:FILES])]
        parts.append(f"<h3>Left out: {shown_of(len(lines), info.get('rejected_count', len(rejected)), 'entries')}</h3>")
        parts.append(table(["entry", "reason"], lines))
    skipped = info.get("skipped_detectors") or {}
    if isinstance(skipped, Mapping) and skipped:
        parts.append("<h3>Detectors that could not run</h3>")
        parts.append(table(["issue", "why"], [[text(name), text(why, 500)] for name, why in skipped.items()]))
    return "".join(parts)


def _path_and_reason(entry: Any) -> tuple[str, str]:
    if isinstance(entry, Mapping):
        return str(entry.get("path", "")), str(entry.get("reason", ""))
    if isinstance(entry, list | tuple) and len(entry) == 2:
        return str(entry[0]), str(entry[1])
    return str(entry), ""


def making(page: Page) -> str:
    """Settings, versions, hardware and time spent: what is needed to do it again."""
    info = page.info
    parts = []
    seconds = info.get("seconds") or {}
    if seconds:
        rows = [[text(stage), f"{float(value):,.1f}"] for stage, value in seconds.items()]
        parts.append("<h3>Seconds by stage</h3>" + table(["stage", "seconds"], rows, "figures"))
    for key in ("settings", "versions", "hardware"):
        facts = list(_flat(info.get(key) or {}))
        if facts:
            rows = [[text(name), bdi(value, "fact")] for name, value in facts]
            parts.append(f"<h3>{key.capitalize()}</h3>" + table(["", ""], rows))
    return "".join(parts)


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)
