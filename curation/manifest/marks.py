"""What a review says of a sample beside its labels: hard to see, several labels right, excluded."""

from __future__ import annotations

from typing import Any

from curation.manifest import EXCLUDED
from curation.manifest.changes import HARD, LABELS, Sample, attributes_text, read_attributes


def marked(attributes: str, marks: dict[str, Any]) -> str:
    """Attributes with these marks of a review and no others; their text stays as it is where nothing changes."""
    known = read_attributes(attributes)
    if {key: known[key] for key in (HARD, LABELS) if key in known} == marks:
        return attributes
    if attributes and not known and attributes.strip() != "{}":
        known = {"curate:text": attributes}  # what a source has here is JSON; anything else is kept as it is
    return attributes_text({**{key: value for key, value in known.items() if key not in (HARD, LABELS)}, **marks})


def excluded(sample: Sample, reason: str) -> Sample:
    """Taken out of the data set by a review."""
    return Sample({**sample.columns, "status": EXCLUDED, "reason": reason}, sample.annotations)


def included(sample: Sample) -> Sample:
    """In the data set again. Why an unreadable picture was unreadable is said by the next import."""
    status = "ok" if sample.columns["pixel_hash"] or sample.columns["width_px"] else "unreadable"
    return Sample({**sample.columns, "status": status, "reason": ""}, sample.annotations)
