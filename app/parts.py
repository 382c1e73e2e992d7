"""What several pages draw: filters, and states that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app import data, state
from app.data import Project
from curation.decisions import LONGEST_NAME
from curation.explain import title_of, visible
from curation.store import Filters

LONGEST_SEARCH = 200
LONGEST_ID = 100
LONGEST_TEXT = 1_000  # a sentence that says what to do may hold a long path
STATES = {"disagreement": "Reviewers disagree", "done": "Decided"}
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.6rem 1.6rem 0.4rem; max-width: none; }
[data-testid="stHeader"] { height: 3rem; min-height: 3rem; }
@media (max-width: 900px) {
  [data-testid="stSidebar"] { position: absolute !important; height: 100% !important; z-index: 999991 !important; }
}
[data-testid="stMain"], [data-testid="stMain"]:focus-visible { outline: none; box-shadow: none; }
</style>"""


def plain(text: str, limit: int = LONGEST_TEXT) -> str:
    """Text for st.markdown and its kin that shows exactly as it is: no Markdown, HTML, LaTeX, emoji or icon in it."""
    shown = visible(text, limit, mark_blanks=False)
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


def _choice(name: str, options: Sequence[str], show: Callable[[str], str], key: str, nothing: str = "All") -> str:
    """What is chosen of `options`, "" for all of them."""
    if not options:
        return ""
    return st.selectbox(name, ["", *options], format_func=lambda v: show(v) if v else nothing, key=key) or ""


def about(project: Project) -> None:
    """What is under review; every page has it, so that the bar on top looks the same on all of them."""
    version = f", version {project.version}" if project.version else ""
    st.sidebar.caption(plain(f"{project.dataset}{version}, run {project.run.run_id}"))


def linked_item() -> str:
    """The item that the address asks for, "" where it asks for none."""
    return str(st.query_params.get("item", ""))[:LONGEST_ID]


def stop_with(title: str, text: str, command: str = "") -> None:
    """Say that there is nothing to show, and what to do; ends the script run."""
    st.subheader(plain(title), anchor=False)
    st.write(plain(text))
    if command:
        st.code(command, language=None)
    st.stop()


def note(title: str, text: str) -> None:
    """A quiet sentence or two where there is nothing to show."""
    st.markdown(f"**{plain(title)}** {plain(text)}")


def cell(text: object) -> str:
    """Text for a table cell: tables draw text as it is, only what is invisible needs to be shown."""
    return visible(str(text), 300)


def author_field(place: Any, key: str = "author") -> str:
    """Who publishes: the signed-in user, else the name that is typed, which the review page knows already."""
    user = str(state.get("user"))
    state.prefill(key, user or state.tab().reviewer)
    name = place.text_input("Your name", max_chars=LONGEST_NAME, disabled=bool(user), key=key)
    return user or str(name or "").strip()
