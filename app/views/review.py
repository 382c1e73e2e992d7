"""One item after the other, by keyboard."""

from app import exchange, parts, state

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
    parts.linked_item(),
)
