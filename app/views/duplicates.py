"""Copies of one picture, a cluster at a time."""

from app import exchange, parts, state

project = state.get("project")
filters = parts.filters_sidebar(project, kind="duplicates")
exchange.desk(
    project,
    filters,
    (
        "No duplicates are open.",
        "All clusters under these filters are settled. The Review page has what else there is.",
    ),
    state.get("user"),
    parts.linked_item(),
)
