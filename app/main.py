"""The review app's frame: opens the data set, knows who is there, and leads to the pages.

`curate review` starts it: streamlit run app/main.py -- --workspace DIR [--run RUN] [--store URL], or CURATE_STORE=URL.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import streamlit as st

from app import data, exchange, parts, state
from curation.errors import CurationError
from curation.review.messages import identity_of

VIEWS = {
    "review": "Review",
    "grid": "Grid",
    "classes": "Classes",
    "duplicates": "Duplicates",
    "overview": "Overview",
    "versions": "Versions",
}
DESKS = ("review", "grid", "classes", "duplicates")  # pages that hold items


def options(arguments: list[str]) -> argparse.Namespace:
    """What the script was started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, default=Path("."))
    parser.add_argument("--run", default=None)
    parser.add_argument("--store", default=os.environ.get("CURATE_STORE", ""))
    return parser.parse_known_args(arguments)[0]


def signed_in() -> str:
    """Who is there, where sign-in is configured; "" where it is not. Stops the script until somebody has signed in."""
    claims = st.user.to_dict()
    if "is_logged_in" not in claims:
        return ""
    if not claims["is_logged_in"]:
        parts.note("Please sign in.", "Your decisions are kept under the name of your account.")
        st.button("Sign in", on_click=st.login, type="primary")
        st.stop()
    user = identity_of(claims)
    if not user:
        parts.stop_with(
            "Your account cannot be used.", "The sign-in provider tells neither an e-mail address nor an id."
        )
    return user


def main() -> None:
    st.set_page_config(page_title="curate", layout="wide", initial_sidebar_state="collapsed")
    st.html(parts.STYLE)
    state.put("user", signed_in())
    chosen = options(sys.argv[1:])
    try:
        project = data.open_project(chosen.workspace, chosen.run, chosen.store)
    except CurationError as error:
        parts.stop_with("There is nothing to review yet.", str(error))
        return
    state.put("project", project)
    pages = {name: st.Page(f"views/{name}.py", title=title, default=name == "review") for name, title in VIEWS.items()}
    if project.annotations is not None:  # what is wrong with one of several boxes is not wrong with the next picture
        del pages["grid"]
    if project.run.info.get("task") not in ("multi-label", "detection"):
        del pages["classes"]
    page = st.navigation(list(pages.values()), position="top")
    wanted = str(st.query_params.get("view", ""))
    if wanted in pages:
        del st.query_params["view"]
        st.switch_page(pages[wanted], query_params=dict(st.query_params))
    if page.title not in [VIEWS[name] for name in DESKS]:
        exchange.leave(project)
    if state.get("user"):
        st.sidebar.button(f"Sign out ({parts.plain(str(state.get('user')))})", on_click=st.logout)
    try:
        page.run()
        parts.about(project)
    except CurationError as error:
        parts.stop_with("This cannot be shown now.", str(error))


main()
