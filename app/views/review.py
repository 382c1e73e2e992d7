"""One item after the other, by keyboard."""

import streamlit as st

from app import exchange, parts, state

LONGEST_ID = 100

project = state.get("project")
filters = parts.filters_sidebar(project)
exchange.desk(
    project,
    filters,
    (
        "All done here.",
        "Nothing is open under these filters. Choose others in the sidebar, or publish what was decided.",
    ),
    state.get("user"),
    str(st.query_params.get("item", ""))[:LONGEST_ID],
)
