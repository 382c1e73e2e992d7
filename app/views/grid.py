"""Many similar suspects at once."""

import streamlit as st

from app import exchange, parts, state

BY = {"confusion": "the same confusion", "alike": "looking alike"}

project = state.get("project")
with st.sidebar:
    by = st.radio("Grouped by", list(BY), format_func=lambda name: BY[name], key="grid-by")
filters = parts.filters_sidebar(project, kind="sample", with_state=False)
exchange.grid(
    project,
    filters,
    by,
    (
        "No groups here.",
        "No two open suspects are alike under these filters. The Review page has the rest, one by one.",
    ),
    state.get("user"),
)
