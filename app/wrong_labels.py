"""How many labels are wrong and left, and whether to stop: a section of the overview."""

import pandas as pd
import streamlit as st

from app import parts
from curation import estimate_text
from curation.estimate import Estimate

LISTED = 20


def draw(found: Estimate) -> None:
    """The numbers with their intervals, the advice, and why."""
    st.markdown(f"**{estimate_text.title(found)}** · how many there were, and how many are left")
    rows = table(estimate_text.lines(found), found.unit.many)
    left, right = st.columns(2, gap="large")
    with left:
        st.dataframe(rows, hide_index=True)
        if found.annotations:
            st.dataframe(table(estimate_text.annotation_lines(found), "errors"), hide_index=True)
            st.caption(f"Errors: {estimate_text.annotation_words(found)}.")
        if found.classes:
            by_class(found)
    with right:
        st.markdown(f"**{estimate_text.advice(found)}.** " + " ".join(estimate_text.sentences(found)))
        st.caption(estimate_text.trust(found) if found.audited else "An audit is drawn with: curate audit")


def table(lines: list[tuple[str, str, str]], what: str) -> pd.DataFrame:
    """What, how many, between which numbers."""
    return pd.DataFrame(lines, columns=[what, "number", "95 % interval"])


def by_class(found: Estimate) -> None:
    """The classes with enough data."""
    lines = [
        (parts.cell(line.name), estimate_text.about(line.start), estimate_text.span(found, line.start), line.fixed)
        for line in found.classes[:LISTED]
    ]
    of, _, wrong = estimate_text.class_words(found)
    names = [of, wrong, "95 % interval", "fixed"]
    st.dataframe(pd.DataFrame(lines, columns=names), hide_index=True)
