"""One class at a time: all its boxes, or all pictures that have it, worst first."""

from app import class_page, state

class_page.show(
    state.get("project"),
    (
        "All done here.",
        "Everything that was found has an answer. Publish what was decided on Versions, or look at pictures on Review.",
    ),
    state.get("user"),
)
