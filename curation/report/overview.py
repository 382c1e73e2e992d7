"""The plots section of the report: which table becomes which plot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curation.explain import title_of
from curation.explain_words import fine_percent
from curation.report.markup import bdi, number, table, text
from curation.report.plots import bars, confusion_matrix, histogram, review_curve
from curation.report.sections import Page, review_forecast

# A matrix of more classes than this is not readable; the most confused ones are shown then, and the page says so.
MATRIX_CLASSES = 16
BAR_CLASSES, PAIRS, HEALTH_CLASSES, BAR_KINDS = 20, 12, 15, 3


def overview(page: Page) -> str:
    """All plots, each with a sentence on how to read it."""
    parts = [_review(page), _scores(page), _confusion(page), f"<div>{_per_class(page)}{_health(page)}</div>"]
    return f'<div class="plots">{"".join(parts)}</div>\n'


def _figure(title: str, words: str, body: str) -> str:
    return f'<div><h3>{title}</h3>\n<p class="note">{words}</p>\n{body}</div>\n'


def _review(page: Page) -> str:
    expected, marks, words = review_forecast(page)
    if not len(expected):
        return ""
    return _figure("How far to review", words, review_curve(expected, marks, "p-review"))


def _scores(page: Page) -> str:
    rows = page.of_labels(flagged=False)
    if rows.empty:
        return ""
    found = set(rows["issue"])
    more = "label once, and the likeliest missing ones," if "missing_label" in found else "label once,"
    what = "count that is not beyond doubt once," if "odd_count" in found else more
    words = f"Every {what} by its score. Flagged labels are coloured; note the logarithmic height."
    return _figure(
        "Scores", words, histogram(rows["score"].to_numpy(dtype=float), rows["is_issue"].to_numpy(), "p-score")
    )


def _confusion(page: Page) -> str:
    rows = page.of("label_error")
    rows = rows[rows["suggestion"] != ""]
    if rows.empty:
        return ""
    pairs = rows.groupby(["given_label", "suggestion"], sort=True).size()
    pairs = pairs.sort_values(ascending=False, kind="stable")
    names, left_out = _matrix_classes(page, pairs)
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for (given, suggested), count in pairs.items():
        if given in place and suggested in place:
            counts[place[given], place[suggested]] = count
    words = "Rows: the label as given. Columns: what the model suggests. Only flagged labels are counted."
    if left_out:
        words += f" The {len(names)} classes most involved are shown; {left_out:,} others are left out."
    lines = [
        [bdi(given), bdi(suggested), number(int(count))] for (given, suggested), count in pairs.head(PAIRS).items()
    ]
    matrix = confusion_matrix(names, counts, "p-confusion")
    listed = table(["given", "suggested", "flagged"], lines)
    return _figure("Given against suggested", words, f'<div class="beside">{matrix}{listed}</div>')


def _matrix_classes(page: Page, pairs: pd.Series) -> tuple[list[str], int]:
    """Names of the classes in the matrix, in the order of the run's classes, and how many are left out."""
    classes = [str(name) for name in page.info.get("classes") or []]
    given, suggested = pairs.groupby(level=0).sum(), pairs.groupby(level=1).sum()
    involved = given.add(suggested, fill_value=0).sort_values(ascending=False, kind="stable")
    if 0 < len(classes) <= MATRIX_CLASSES and set(involved.index) <= set(classes):
        return classes, 0
    order = {name: index for index, name in enumerate(classes)}
    chosen = sorted(involved.index[:MATRIX_CLASSES], key=lambda name: order.get(name, len(order)))
    return [str(name) for name in chosen], max(len(classes), len(involved)) - len(chosen)


def _per_class(page: Page) -> str:
    flagged = page.issues[page.issues["is_issue"] & (page.issues["given_label"] != "")]
    if flagged.empty:
        return ""
    count = flagged.groupby(["given_label", "issue"], sort=True).size().unstack(fill_value=0)
    total = count.sum(axis=1).sort_values(ascending=False, kind="stable")
    shown = count.loc[total.index[:BAR_CLASSES]]
    kinds = count.sum().sort_values(ascending=False, kind="stable").index
    series = [(title_of(str(kind)), shown[kind].to_numpy(dtype=float)) for kind in kinds[:BAR_KINDS]]
    if len(kinds) > BAR_KINDS:
        series.append(("other issues", shown[kinds[BAR_KINDS:]].sum(axis=1).to_numpy(dtype=float)))
    key = "".join(
        f'<span><svg class="plot" viewBox="0 0 10 10" aria-hidden="true"><rect class="s{place}" '
        f'width="10" height="10"/></svg>{text(name)}</span>'
        for place, (name, _) in enumerate(series)
    )
    of = f" The {len(shown)} classes with most of {len(count):,}." if len(shown) < len(count) else ""
    plot = bars([str(name) for name in shown.index], series, "p-class", "Findings per class", "findings")
    return _figure(
        "Findings per class", f"By given label; a picture can have several.{of}", f'<div class="key">{key}</div>{plot}'
    )


def _health(page: Page) -> str:
    classes = [entry for entry in (page.info.get("health") or {}).get("classes") or [] if isinstance(entry, Mapping)]
    if not classes:
        return ""
    lines = [
        [
            bdi(entry.get("name", "")),
            number(entry.get("labels")),
            number(entry.get("flagged")),
            number(entry.get("estimated_wrong")),
            "–" if entry.get("label_health") is None else fine_percent(entry["label_health"]),
        ]
        for entry in classes[:HEALTH_CLASSES]
    ]
    words = "Worst first. Label health is the estimated share of right labels."
    if len(lines) < len(classes):
        words += f" {len(lines)} of {len(classes):,} classes."
    head = ["class", "labels", "flagged", "estimated wrong", "health"]
    return _figure("Label health per class", words, table(head, lines, "figures"))
