"""The review app's frame: opens the data set, knows who is there, and leads to the pages.

streamlit run app/main.py -- --workspace DIR [--run RUN] [--store URL]        what `curate review` does
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import streamlit as st

from app import data, exchange, parts, state
from curation.errors import CurationError

VIEWS = {"review": "Review", "grid": "Grid", "duplicates": "Duplicates", "overview": "Overview", "versions": "Versions"}
DESKS = ("review", "grid", "duplicates")  # pages that hold items


def options(arguments: list[str]) -> argparse.Namespace:
    """What the script was started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, default=Path("."))
    parser.add_argument("--run", default=None)
    parser.add_argument("--store", default="")
    return parser.parse_known_args(arguments)[0]


def main() -> None:
    st.set_page_config(page_title="curate", layout="wide", initial_sidebar_state="collapsed")
    st.html(parts.STYLE)
    chosen = options(sys.argv[1:])
    try:
        project = data.open_project(chosen.workspace, chosen.run, chosen.store)
    except CurationError as error:
        parts.stop_with("There is nothing to review yet.", str(error))
    state.put("project", project)
    state.put("user", "")
    pages = {
        name: st.Page(f"views/{name}.py", title=title, default=name == "review")
        for name, title in VIEWS.items()
        if (Path(__file__).parent / "views" / f"{name}.py").exists()
    }
    page = st.navigation(list(pages.values()), position="top")
    if page.title not in [VIEWS[name] for name in DESKS]:
        exchange.leave(project)
    page.run()


main()
