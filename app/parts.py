"""What several pages draw: filters, and states that say what to do."""

from __future__ import annotations

import streamlit as st

from app import data
from app.data import Project
from curation.explain import title_of, visible
from curation.store import Filters

LONGEST_SEARCH = 200
STATES = {"disagreement": "Reviewers disagree", "done": "Decided"}
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.6rem 1.6rem 0.4rem; max-width: none; }
[data-testid="stHeader"] { height: 3rem; min-height: 3rem; }
</style>"""


def plain(text: str) -> str:
    """Text for st.markdown and its kin that shows exactly as it is: no Markdown, HTML, LaTeX, emoji or icon in it."""
    shown = visible(text, mark_blanks=False)
    return "".join(char if char.isalnum() or char in " ,’“”…" else f"&#{ord(char)};" for char in shown)


def filters_sidebar(project: Project, kind: str = "", with_state: bool = True) -> Filters:
    """Filters as they are chosen in the sidebar."""
    facets = data.facets(project)
    with st.sidebar:
        issue = _choice("Finding", facets.issues, title_of, "filter-issue")
        label = _choice("Given label", facets.labels, visible, "filter-label")
        split = _choice("Split", facets.splits, visible, "filter-split")
        states = STATES if with_state else {}
        state = _choice("State", tuple(states), STATES.__getitem__, "filter-state", "To be decided")
        text = st.text_input("Search", max_chars=LONGEST_SEARCH, placeholder="path or label", key="filter-text")
        reviewers = facets.reviewers if state == "done" else ()
        reviewer = _choice("Decided by", reviewers, visible, "filter-reviewer", "Anybody")
    return Filters(
        issue=issue, given_label=label, split=split, kind=kind, state=state, reviewer=reviewer, text=text.strip()
    )


def _choice(name: str, options, show, key: str, nothing: str = "All") -> str:  # type: ignore[no-untyped-def]
    if not options:
        return ""
    return st.selectbox(name, ["", *options], format_func=lambda v: show(v) if v else nothing, key=key) or ""


def stop_with(title: str, text: str, command: str = "") -> None:
    """Say that there is nothing to show, and what to do; ends the script run."""
    st.subheader(plain(title), anchor=False)
    st.write(plain(text))
    if command:
        st.code(command, language=None)
    st.stop()
