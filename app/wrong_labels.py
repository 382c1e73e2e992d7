"""How many labels are wrong and left, and whether to stop: a section of the overview."""

import pandas as pd
import streamlit as st

from app import parts
from curation import estimate_text
from curation.estimate import Estimate

LISTED = 20


def draw(found: Estimate) -> None:
    """The numbers with their intervals, the advice, and why."""
    st.markdown("**Wrong labels** · how many there were, and how many are left")
    rows = pd.DataFrame(estimate_text.lines(found), columns=["labels", "number", "95 % interval"])
    left, right = st.columns(2, gap="large")
    with left:
        st.dataframe(rows, hide_index=True)
        if found.classes:
            by_class(found)
    with right:
        st.markdown(f"**{estimate_text.advice(found)}.** " + " ".join(estimate_text.sentences(found)))
        st.caption(estimate_text.trust() if found.audited else "An audit is drawn with: curate audit")


def by_class(found: Estimate) -> None:
    """The classes with enough data."""
    lines = [
        (parts.cell(line.name), estimate_text.about(line.start), estimate_text.span(found, line.start), line.fixed)
        for line in found.classes[:LISTED]
    ]
    names = ["given label", "wrong at the start", "95 % interval", "fixed"]
    st.dataframe(pd.DataFrame(lines, columns=names), hide_index=True)
