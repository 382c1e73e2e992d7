"""Plots as inline SVG: every shape has hover text, every plot a title and a description, colours come from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from curation.report.markup import plain, text

ROW_PX, CELL_PX, NAME_PX, CHAR_PX = 22, 30, 180, 6.6
NAME_CHARS = 24
WIDE_PX = 580.0


def confusion_matrix(names: Sequence[str], counts: np.ndarray, plot_id: str) -> str:
    """Given labels (rows) against suggested labels (columns), as a heat map.

    Parameters
    ----------
    names : C class names
    counts : (C, C) number of flagged samples; the diagonal is left out
    """
    size = len(names)
    left = _name_width(names)
    # Names of one to three characters stand upright over their column, longer ones are turned.
    turned = max(map(len, names), default=0) > 3
    top = left * 0.72 if turned else 24.0
    width, height = left + size * CELL_PX + (top * 0.72 if turned else 4), top + size * CELL_PX + 8
    highest = max(1, int(counts.max(initial=0)))
    parts = []
    for row, given in enumerate(names):
        y = top + row * CELL_PX
        parts.append(_name(left - 8, y + CELL_PX / 2 + 4, given, "end"))
        x = left + row * CELL_PX + CELL_PX / 2
        turn = f'transform="rotate(-45 {x:.0f} {top - 8:.0f})"' if turned else ""
        parts.append(_name(x, top - 8, given, "start" if turned else "middle", turn))
        for column, suggested in enumerate(names):
            count = int(counts[row, column])
            x = left + column * CELL_PX
            if row == column:
                parts.append(_rect(x + 1, y + 1, CELL_PX - 2, CELL_PX - 2, "none"))
                continue
            strength = 0.0 if count == 0 else 0.15 + 0.85 * math.sqrt(count / highest)
            hover = f"{count:,} labelled {plain(given)}, suggested {plain(suggested)}"
            kind = "heat" if count else "empty"
            opacity = f'fill-opacity="{strength:.2f}"' if count else ""
            parts.append(_rect(x + 1, y + 1, CELL_PX - 2, CELL_PX - 2, kind, hover, opacity))
            if count:
                ink = "on-heat" if strength > 0.6 else "value"
                parts.append(_text(x + CELL_PX / 2, y + CELL_PX / 2 + 4, f"{count:,}", "middle", kind=ink))
    description = "Rows are given labels, columns are suggested labels, numbers are flagged pictures."
    return _svg(plot_id, width, height, "Given against suggested labels", description, parts)


def histogram(score: np.ndarray, is_issue: np.ndarray, plot_id: str, bins: int = 40) -> str:
    """Scores 0..1 in `bins` bars, the flagged part in front; the height is logarithmic, for few among many."""
    width, height, left, bottom = WIDE_PX, 240.0, 56.0, 196.0
    edges = np.linspace(0, 1, bins + 1)
    everyone = np.histogram(score, edges)[0]
    flagged = np.histogram(score[is_issue], edges)[0]
    highest = max(10.0, float(everyone.max(initial=1)))
    scale = (bottom - 16) / math.log10(1 + highest)
    step = (width - left - 8) / bins
    parts = []
    tick = 1
    while tick <= highest:
        y = bottom - scale * math.log10(1 + tick)
        parts += [_line(left, y, width - 8, y, "grid"), _text(left - 6, y + 4, f"{tick:,}", "end")]
        tick *= 10
    for place in range(bins):
        x, span = left + place * step, f"score {edges[place]:.3g} to {edges[place + 1]:.3g}"
        for kind, count in (("bar", everyone[place]), ("flag", flagged[place])):
            tall = scale * math.log10(1 + float(count))
            hover = f"{span}: {everyone[place]:,} labels, {flagged[place]:,} of them flagged"
            if count:
                parts.append(_rect(x + 0.5, bottom - tall, step - 1, tall, kind, hover))
    parts.append(_line(left, bottom, width - 8, bottom, "axis"))
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_text(left + value * (width - left - 8), bottom + 16, f"{value:g}", "middle"))
    parts.append(_text((left + width) / 2, height - 6, "score: 0 = surely wrong, 1 = surely right", "middle"))
    description = f"{len(score):,} labels by score, {int(is_issue.sum()):,} of them flagged; logarithmic height."
    return _svg(plot_id, width, height, "Scores of all labels", description, parts)


def bars(
    names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], plot_id: str, title: str, unit: str
) -> str:
    """One horizontal bar per name, one part per series, in the order given."""
    left, width = _name_width(names), WIDE_PX
    total = np.sum([values for _, values in series], axis=0) if series else np.zeros(0)
    highest = max(1e-9, float(np.max(total, initial=0)))
    scale = (width - left - 70) / highest
    parts = []
    for row, name in enumerate(names):
        y, x = 4.0 + row * ROW_PX, left
        parts.append(_name(left - 8, y + 15, name, "end"))
        for place, (what, values) in enumerate(series):
            long = scale * float(values[row])
            if long > 0:
                hover = f"{plain(name)}: {_count(values[row])} {unit}, {text(what)}"
                parts.append(_rect(x, y + 2, max(long, 1), ROW_PX - 5, f"s{place % 4}", hover))
            x += long
        parts.append(_text(x + 6, y + 15, _count(total[row]), "start", kind="value"))
    return _svg(plot_id, width, 8 + ROW_PX * len(names), title, f"{len(names)} bars; {unit}.", parts)


def intervals(
    names: Sequence[str], spans: Sequence[tuple[float, float, float]], plot_id: str, title: str, unit: str = "points"
) -> str:
    """One horizontal interval per name, around 0: (low, value, high) each; those that hold 0 are drawn softly."""
    left, width = _name_width(names), WIDE_PX
    reach = max([1.0, *(abs(end) for span in spans for end in span)])
    middle = left + (width - left) / 2
    scale = (width - left - 50) / 2 / reach
    bottom = 8.0 + ROW_PX * len(names)
    parts = [_line(middle, 2, middle, bottom, "axis")]
    for row, (name, (low, value, high)) in enumerate(zip(names, spans, strict=True)):
        y = 4.0 + row * ROW_PX + ROW_PX / 2
        parts.append(_name(left - 8, y + 4, name, "end"))
        kind = "gain" if low > 0 else "loss" if high < 0 else "open"
        hover = f"{plain(name)}: {value:+.1f} {unit} ({low:+.1f} to {high:+.1f})"
        parts.append(_rect(middle + scale * low, y - 1.5, max(1.0, scale * (high - low)), 3, kind, hover))
        parts.append(_rect(middle + scale * value - 3, y - 6, 6, 12, kind, hover))
    parts += [
        _text(middle + scale * tick, bottom + 16, f"{tick:+.1f}" if tick else "0", "middle", kind="value")
        for tick in (-reach, 0.0, reach)
    ]
    return _svg(plot_id, width, bottom + 24, title, f"{len(names)} intervals; {unit}, 0 in the middle.", parts)


def review_curve(expected: np.ndarray, marks: Sequence[int], plot_id: str) -> str:
    """Expected wrong labels among the first r of the ranking, r = 1..R.

    Parameters
    ----------
    expected : (R,) float, cumulative, non-decreasing
    marks : ranks worth a marker (end of the flags, 90 % of the expected errors)
    """
    width, height, left, bottom = WIDE_PX, 240.0, 56.0, 196.0
    count = max(1, len(expected))
    highest = max(1e-9, float(expected[-1])) if len(expected) else 1.0
    across, up = (width - left - 24) / count, (bottom - 16) / highest
    at = np.unique(np.linspace(0, count - 1, 200).astype(int)) if len(expected) else np.zeros(0, int)
    points = " ".join(f"{left + across * (r + 1):.1f},{bottom - up * float(expected[r]):.1f}" for r in at)
    parts = []
    for value in _ticks(highest):
        y = bottom - up * value
        parts += [_line(left, y, width - 24, y, "grid"), _text(left - 6, y + 4, f"{value:,g}", "end")]
    parts.append(_line(left, bottom, width - 24, bottom, "axis"))
    parts.append(f'<polyline class="curve" points="{left:.1f},{bottom:.1f} {points}"/>')
    for rank in marks:
        x, y = left + across * rank, bottom - up * float(expected[rank - 1])
        hover = f"the first {rank:,} labels: about {expected[rank - 1]:,.0f} wrong ones"
        parts.append(_line(x, y, x, bottom, "mark"))
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{hover}</title></circle>')
    for value in [0.0, *_ticks(count)]:
        parts.append(_text(left + across * value, bottom + 16, f"{value:,g}", "middle"))
    parts.append(_text((left + width) / 2, height - 8, "labels reviewed, in the order of the ranking", "middle"))
    description = f"Rises to about {highest:,.0f} wrong labels among {count:,}."
    return _svg(plot_id, width, height, "Expected wrong labels found by reviewing in rank order", description, parts)


def shares(
    across: Sequence[float], lines: Sequence[tuple[str, Sequence[float]]], plot_id: str, title: str, what: str
) -> str:  # fmt: skip
    """Shares in [0, 1] against shares: one line per series (the last one dashed, for comparison), named at its end.

    Parameters
    ----------
    across : ascending from 0, the last one is the right edge
    lines : name and as many values as `across` each; at most four beside the last
    what : is reviewed
    """
    width, height, left, bottom, right = WIDE_PX, 260.0, 56.0, 216.0, 24.0
    wide, up = (width - left - right) / max(across[-1], 1e-9), bottom - 16
    parts = []
    for tick in range(0, 101, 20):
        y = bottom - up * tick / 100
        parts += [
            _line(left, y, width - right, y, "grid" if tick else "axis"),
            _text(left - 6, y + 4, f"{tick} %", "end"),
        ]
    for tick in range(5):
        value = across[-1] * tick / 4
        parts.append(_text(left + wide * value, bottom + 16, f"{100 * value:.3g} %", "middle"))
    for place, (name, values) in enumerate(lines):
        kind = "by-lot" if place == len(lines) - 1 else f"line{place % 4}"
        points = " ".join(f"{left + wide * x:.1f},{bottom - up * y:.1f}" for x, y in zip(across, values, strict=True))
        parts.append(f'<polyline class="{kind}" points="{points}"><title>{plain(name)}</title></polyline>')
        key = 24.0 + 16 * place
        parts.append(_line(left + 14, key - 4, left + 34, key - 4, kind))
        parts.append(_text(left + 40, key, plain(name), "start", kind="value"))
    parts.append(_text((left + width) / 2, height - 8, f"{what} reviewed, the most suspicious first", "middle"))
    description = f"{len(lines)} lines: {title[:1].lower()}{title[1:]}, as shares."
    return _svg(plot_id, width, height, title, description, parts)


def probability_bar(share: float, kind: str) -> str:
    """A thin bar for one probability in [0, 1]; decoration, the number stands beside it."""
    full = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="prob" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="8"/><rect class="{kind}" width="{full:.1f}" height="8"/></svg>'
    )


def _svg(plot_id: str, width: float, height: float, title: str, description: str, parts: Sequence[str]) -> str:
    head = f'<title id="{plot_id}-t">{title}</title><desc id="{plot_id}-d">{description}</desc>'
    wide = " wide" if width == WIDE_PX else ""  # shrinks with the window, down to what can be read
    return (
        f'<div class="scroll"><svg class="plot{wide}" role="img" aria-labelledby="{plot_id}-t {plot_id}-d" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{head}\n'
        + "\n".join(parts)
        + "</svg></div>\n"
    )


def _rect(x: float, y: float, width: float, height: float, kind: str, hover: str = "", more: str = "") -> str:
    shape = f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {more}'
    return f"{shape}><title>{hover}</title></rect>" if hover else f"{shape}/>"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "", kind: str = "name") -> str:
    """SVG text; each <text> is a bidi paragraph of its own, so that a label cannot reorder another."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{words}</text>'


def _name(x: float, y: float, name: str, anchor: str, more: str = "") -> str:
    """A class name as text, cut to what fits, in full on hover."""
    if len(name) <= NAME_CHARS:
        return _text(x, y, plain(name), anchor, more)
    return _text(x, y, f"{plain(name[: NAME_CHARS - 1])}…<title>{plain(name, 200)}</title>", anchor, more)


def _name_width(names: Sequence[str]) -> float:
    longest = max((min(len(name), NAME_CHARS) for name in names), default=1)
    return min(NAME_PX, 24 + CHAR_PX * longest)


def _ticks(highest: float) -> list[float]:
    """Two to five round values above 0 and up to `highest`."""
    size = 10.0 ** math.floor(math.log10(highest))
    step = next(step for step in (size / 5, size / 2, size, size * 2) if highest / step <= 5)
    return [step * place for place in range(1, int(highest / step + 1e-9) + 1)]


def _count(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
