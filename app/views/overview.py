"""How far the review is, what was found, and who found it."""

from contextlib import suppress

import altair as alt
import pandas as pd
import streamlit as st

from app import data, parts, state, wrong_labels
from curation.errors import CurationError
from curation.explain import title_of, visible
from curation.review import overview

CHART_PX = 280
THUMB_PX = 64
LINES = 6  # more than these cannot be told apart
ACCENT = "#3b82f6"
# Verdicts that changed something in strong colours, the others in quiet ones; legible on both themes.
VERDICTS = {
    "relabel": "#3b82f6",
    "edit": "#0ea5a4",
    "ambiguous": "#8b5cf6",
    "exclude": "#f59e0b",
    "distinct": "#64a2b5",
    "hard": "#5eaf9c",
    "keep": "#86b97d",
}
NAMES = alt.Axis(labelLimit=230, labelOverlap=False, ticks=False, domain=False, labelPadding=8)
SHARE = alt.Scale(domain=[0, 1])
PERCENT = alt.Axis(format="%", tickCount=5)
COUNT = alt.Axis(tickMinStep=1, format=",d")
BELOW = alt.Legend(orient="bottom", title=None, labelLimit=200, columns=3)

project = state.get("project")


def shown_issue(name: str) -> str:
    """What a finding is called, safe as text of a chart."""
    return visible(title_of(name), 60)


def heading(title: str, about: str = "") -> None:
    st.markdown(f"**{title}**" + (f" · {about}" if about else ""))


def headline(verdicts: pd.DataFrame) -> None:
    """The few numbers that a lead asks for first."""
    counts = data.states(project)
    rows = overview.progress_over_time(verdicts)
    changed = int(rows["changed"].iloc[-1]) if len(rows) else 0
    left, tip = to_find(verdicts)
    cells = st.columns(5)
    cells[0].metric("Decided", f"{len(rows):,}", help="Items with a verdict; unsure ones are still to be decided.")
    cells[1].metric("Changed", f"{changed:,}", help="Relabelled, excluded, or found to have several labels.")
    cells[2].metric("Left to find", left, help=tip)
    cells[3].metric("Second opinions", f"{counts.get('second', 0):,}", help="Items that wait for one.")
    cells[4].metric("Disagreements", f"{counts.get('disagreement', 0):,}", help="On the Review page: State.")


def to_find(verdicts: pd.DataFrame) -> tuple[str, str]:
    """How much there is left to find, and how that is known."""
    if project.annotations is not None:  # the queue learns nothing from verdicts on several labels or boxes
        with suppress(CurationError):
            found = data.wrong_labels(project, verdicts)
            return f"about {found.left.estimate:,.0f}", "Pictures with an error that nobody has corrected, see below."
        return "not known", "The run cannot say."
    left = data.expected_left(project)
    tip = "Expected changes among open flagged items, from what the verdicts so far say of the scores."
    if left["others"] >= 0.5:
        tip += f" Among items that nothing flagged: about {left['others']:,.0f} more, which is a weaker guess."
    return f"about {left['flagged']:,.0f}", tip


def draw(chart: alt.Chart | alt.LayerChart, height: int = CHART_PX) -> None:
    st.altair_chart(chart.properties(height=height), width="stretch")


def found_by_looking(verdicts: pd.DataFrame) -> None:
    heading("Found by looking", "changes among the first so many decided")
    start = pd.DataFrame({"decided": [0], "changed": [0]})
    rows = pd.concat([start, overview.progress_over_time(verdicts)[["decided", "changed"]]])
    x, y = alt.X("decided:Q", title="decided", axis=COUNT), alt.Y("changed:Q", title="changed", axis=COUNT)
    draw(alt.Chart(rows).mark_line(color=ACCENT).encode(x=x, y=y, tooltip=["decided", "changed"]))


def verdicts_by_finding(verdicts: pd.DataFrame) -> None:
    heading("Verdicts by finding")
    rows = overview.verdict_counts(verdicts)
    rows = rows.assign(issue=rows["issue"].map(shown_issue), place=rows["verdict"].map(list(VERDICTS).index))
    scale = alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
    chart = alt.Chart(rows).mark_bar()
    draw(
        chart.encode(
            y=alt.Y("issue:N", sort="-x", title=None, axis=NAMES),
            x=alt.X("sum(items):Q", title="items", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("verdict:N", scale=scale, legend=BELOW),
            order=alt.Order("place:Q"),
            tooltip=["issue", "verdict", "items"],
        )
    )


def precision_by_finding(verdicts: pd.DataFrame) -> None:
    heading("Precision by finding", "share that led to a change, and its 95 % interval")
    table = overview.by_detector(verdicts)
    base = alt.Chart(table.assign(issue=table["issue"].map(shown_issue)))
    base = base.encode(y=alt.Y("issue:N", sort=None, title=None, axis=NAMES))
    tooltip = ["issue", "decided", "changed", alt.Tooltip("precision:Q", format=".0%")]
    dots = base.mark_point(filled=True, size=70, color=ACCENT, opacity=1)
    bars = base.mark_rule(color=ACCENT, opacity=0.5, strokeWidth=2)
    draw(
        bars.encode(x=alt.X("low:Q", scale=SHARE, axis=PERCENT, title=None), x2="high:Q")
        + dots.encode(x=alt.X("precision:Q", scale=SHARE, title=None), tooltip=tooltip)
    )


def running_precision(verdicts: pd.DataFrame) -> None:
    heading("Running precision", f"of the last {overview.RUNNING} verdicts, 0 to 100 %")
    many = [shown_issue(name) for name in overview.by_detector(verdicts)["issue"].head(LINES)]
    rows = overview.running_precision(verdicts)
    rows = rows.assign(finding=rows["issue"].map(shown_issue))
    rows = rows[rows["finding"].isin(many)]
    few = len(rows) < overview.RUNNING  # a line needs two points
    chart = alt.Chart(rows).mark_line(point=few, color=ACCENT)
    chart = chart.encode(
        x=alt.X("decided:Q", title="decided", axis=COUNT),
        y=alt.Y("precision:Q", scale=SHARE, axis=alt.Axis(labels=False, tickCount=2), title=None),
        tooltip=["finding", "decided", alt.Tooltip("precision:Q", format=".0%")],
    )
    title = alt.Header(title=None, labelAngle=0, labelAlign="left", labelLimit=200, labelOrient="top", labelPadding=2)
    height = max(24, CHART_PX // max(1, len(many)) - 26)  # one below the other: on top of each other they hide
    chart = chart.properties(height=height, width="container").facet(row=alt.Row("finding:N", sort=many, header=title))
    st.altair_chart(chart.configure_facet(spacing=6), width="stretch")


def corrected_most(verdicts: pd.DataFrame) -> None:
    heading("Corrected most")
    pairs = overview.confusion_pairs(verdicts)
    if not len(pairs):
        st.caption("No label was corrected yet.")
        return
    names = [
        f"{visible(given, 40) or 'no label'} → {visible(now, 40)}"
        for given, now in zip(pairs["given"], pairs["now"], strict=True)
    ]
    chart = alt.Chart(pairs.assign(pair=names)).mark_bar(color=ACCENT)
    y = alt.Y("pair:N", sort=None, title=None, axis=NAMES)
    x = alt.X("items:Q", title="items", axis=alt.Axis(tickMinStep=1))
    draw(chart.encode(y=y, x=x, tooltip=["pair", "items"]), 70 + 22 * len(pairs))


def who(verdicts: pd.DataFrame) -> None:
    heading("Reviewers")
    people = overview.reviewers(verdicts)
    people["reviewer"] = people["reviewer"].map(parts.cell)
    number = st.column_config.NumberColumn
    columns = {
        "seconds": number("median seconds", format="%.1f"),
        "per_hour": number("items an hour", format="%.0f", help="By the mean time; more than two minutes are a pause."),
        "changed": number(format="percent"),
        "unsure": number(format="percent"),
    }
    st.dataframe(people, hide_index=True, column_config=columns)
    if len(people) > 1:
        agreement()


def agreement() -> None:
    """How far reviewers agree on what several of them have looked at, and what three or more say."""
    pairs, alpha, consensus = data.agreement(project)
    percent = st.column_config.NumberColumn(format="percent")
    if len(pairs):
        text = "" if alpha != alpha else f"Krippendorff's alpha {alpha:.2f}; 1 is always, 0 as by chance"
        heading("Agreement", text)
        for name in ("first", "second"):
            pairs[name] = pairs[name].map(parts.cell)
        kappa = st.column_config.NumberColumn("Cohen's kappa", format="%.2f")
        st.dataframe(pairs, hide_index=True, column_config={"agreed": percent, "kappa": kappa})
    if len(consensus):
        heading("Consensus", "of three or more reviewers and the model")
        consensus.insert(0, "picture", [project.album.url(name, THUMB_PX) for name in consensus["sample_id"]])
        consensus["label"] = consensus["label"].map(parts.cell)
        columns = {"picture": st.column_config.ImageColumn("", width=60), "quality": percent, "agreed": percent}
        st.dataframe(consensus.drop(columns="sample_id"), hide_index=True, column_config=columns)


def main() -> None:
    verdicts = data.verdicts(project)
    if not len(verdicts):
        parts.note(
            "Nothing is decided yet.", "Decide some items on the Review page; this page then says what they tell."
        )
        return
    headline(verdicts)
    with suppress(CurationError):  # a run without labels has none that are wrong
        wrong_labels.draw(data.wrong_labels(project, verdicts))
    for one, other in [
        (found_by_looking, verdicts_by_finding),
        (precision_by_finding, running_precision),
        (corrected_most, who),
    ]:
        left, right = st.columns(2, gap="large")
        with left:
            one(verdicts)
        with right:
            other(verdicts)


try:
    main()
except CurationError as error:
    st.error(parts.plain(str(error)))
