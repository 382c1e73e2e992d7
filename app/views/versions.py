"""Versions of the manifest: publish what was decided, look at what changed, take it back."""

from typing import Any

import streamlit as st

from app import data, exchange, parts, state
from curation import manifest
from curation.errors import CurationError, NotFoundError
from curation.manifest import history, publish, revert
from curation.manifest.change_table import change_table, count_changes

SHOWN = 200  # changes with a picture on one page
THUMB_PX, ROW_PX = 64, 56
CONFLICT_COLUMNS = {"file": "path", "why": "why", "verdict": "verdict", "by": "reviewer"}

PROPOSED = "proposal shown"  # what the list of changes was made of, as the page was last drawn

project = state.get("project")


def publishing() -> None:
    """What would change, and the button that makes it so."""
    st.subheader("To be published", anchor=False)
    try:
        proposal = publish.propose(project.folder, project.engine, project.dataset)
    except NotFoundError:
        parts.note("This data set has no manifest version yet.", "Score it once with curate score: that makes v0001.")
        return
    plan = proposal.plan
    shown = state.get(PROPOSED)
    state.put(PROPOSED, (proposal.parent, plan.decision_ids))
    if plan.changes:
        st.text(f"On top of {proposal.parent}: {count_changes(plan.changes)}.")
        change_rows(plan.changes, "publish")
    else:
        st.text(f"Nothing new since {proposal.parent}. What is decided on the Review page comes here.")
    held_back(plan.waiting, plan.conflicts)
    if plan.changes:
        publish_form(proposal, shown)


def publish_form(proposal: publish.Proposal, shown: Any) -> None:
    """Name, message and button; what was shown is what is published.

    shown : parent and decisions of the proposal that was on the page when the button was pressed
    """
    with st.form("publish", border=False):
        left, middle, right = st.columns([1.3, 4, 1.2], vertical_alignment="bottom")
        author = parts.author_field(left)
        message = middle.text_input("Message", max_chars=500, placeholder="What was reviewed, and why").strip()
        pressed = right.form_submit_button(f"Publish after {proposal.parent}", type="primary", width="stretch")
    if not pressed:
        return
    if not author or not message:
        st.warning("Your name and a message are needed: they are what others will read in the log.")
        return
    if shown is not None and shown != (proposal.parent, proposal.plan.decision_ids):
        st.warning("More was decided meanwhile: the list above has it now. Look at it, and publish again.")
        return
    state.tab().reviewer = state.tab().reviewer or author
    version = publish.publish(
        project.folder, project.engine, project.dataset, message, author, proposal.parent, proposal=proposal
    )
    state.put("said", f"Published {version}: {count_changes(proposal.plan.changes)}.")
    st.rerun()


def held_back(waiting: list[dict[str, Any]], conflicts: list[dict[str, Any]]) -> None:
    """What is decided but not published, and why."""
    if waiting:
        rows = [
            {"file": parts.cell(line["path"]), "state": line["state"], "by": parts.cell(", ".join(line["reviewers"]))}
            for line in waiting
        ]
        with st.expander(f"{len(waiting)} held back: another opinion is needed, or reviewers disagree"):
            st.dataframe(rows, hide_index=True)
    if conflicts:
        rows = [{name: parts.cell(line[key]) for name, key in CONFLICT_COLUMNS.items()} for line in conflicts]
        with st.expander(f"{len(conflicts)} in conflict: changed after they were looked at", expanded=True):
            st.dataframe(rows, hide_index=True)
            st.text("These come back to the queue as they are now.")


def change_rows(lines: list[dict[str, Any]], key: str) -> None:
    """Change lines as a table with pictures, a page at a time."""
    pages = max(1, -(-len(lines) // SHOWN))
    page = st.number_input("Page", 1, pages, 1, key=f"page-{key}", width=140) if pages > 1 else 1
    shown = change_table(lines[(page - 1) * SHOWN : page * SHOWN])
    shown.insert(0, "picture", [project.album.url(sample_id, THUMB_PX) for sample_id in shown["sample_id"]])
    used = [name for name in shown if name != "sample_id" and (shown[name] != "").any()]
    columns = {
        "picture": st.column_config.ImageColumn("", width=60),
        "path": st.column_config.TextColumn("file", width="medium"),
    }
    st.dataframe(
        shown[used],
        hide_index=True,
        row_height=ROW_PX,
        height=min(420, 40 + ROW_PX * len(shown)),
        column_config=columns,
        key=f"table-{key}",
    )


def versions() -> None:
    """The log, and what changed between two versions."""
    st.subheader("Versions", anchor=False)
    log = history.log(project.folder)
    rows = [
        {
            "version": header["version"],
            "made": str(header["created"])[:16].replace("T", " "),
            "by": parts.cell(header["author"]),
            "message": parts.cell(header["message"]),
            "kind": parts.cell(header.get("kind", "")),
            "pictures": header.get("samples"),
            "branch": parts.cell(header.get("branch", "")),
            "tags": parts.cell(", ".join(header["tags"])),
        }
        for header in log
    ]
    st.dataframe(rows, hide_index=True, height=min(300, 38 + 35 * len(log)))
    if len(log) < 2:
        st.text("There is one version so far; its difference to the next one will be shown here.")
        return
    names = [header["version"] for header in log]
    left, right, _ = st.columns([1, 1, 3])
    new = right.selectbox("to", names, key="diff-new")
    parent = next(header["parent"] for header in log if header["version"] == new)
    older = [name for name in names if name != new]
    place = older.index(parent) if parent in older else 0
    old = left.selectbox("Changes from", older, index=place, key=f"diff-old-{new}")
    found = data.version_changes(project, old, new, parent == old)
    st.text(f"{old} to {new}: {count_changes(found)}.")
    if found:
        change_rows(found, f"diff-{old}-{new}")


def taking_back() -> None:
    """Take back a version, or what one reviewer decided."""
    later = manifest.versions(project.folder)[:0:-1]
    if not later:
        return
    kinds = ["a version", "what one reviewer decided"]
    with st.expander("Take back"):
        kind = st.segmented_control("Take back", kinds, default=kinds[0], label_visibility="collapsed")
        with st.form("revert", border=False):
            left, middle, right = st.columns([1.3, 2, 2])
            version = reviewer = since = ""
            if kind == kinds[1]:
                reviewer = middle.selectbox("Reviewer", data.facets(project).reviewers, format_func=parts.cell)
                since = right.text_input(
                    "Decided since, UTC (empty: ever)", placeholder="2026-01-31 14:00", max_chars=40
                )
            else:
                version = middle.selectbox("Version", later)
            author = parts.author_field(left, "revert-author")
            message = st.text_input("Message", max_chars=500, key="revert-message").strip()
            pressed = st.form_submit_button("Take back, as a new version")
        if not pressed:
            return
        if not author:
            st.warning("Your name is needed: it will stand in the log.")
            return
        state.tab().reviewer = state.tab().reviewer or author
        if version:
            done = revert.revert_version(project.folder, version, author, message)
        else:
            done = revert.revert_reviewer(project.folder, reviewer, since.strip(), author, message)
        said = (
            f"{done.version} takes it back: {count_changes(done.changes)}." if done.version else "Nothing to take back."
        )
        kept = f" {len(done.conflicts)} changed again since, and stay as they are." if done.conflicts else ""
        state.put("said", said + kept)
        st.rerun()


exchange.known_name(str(state.get("user")))
news = state.get("said", "")
with st.container():  # each part in a place of its own: while one is drawn, no other shows what it said before
    if news:
        st.success(parts.plain(news))
        state.put("said", "")
SECTIONS = (publishing, versions, taking_back)
for section, place in zip(SECTIONS, [st.empty() for _ in SECTIONS], strict=True):
    try:
        with place.container():
            section()
    except CurationError as error:
        st.error(parts.plain(str(error)))
