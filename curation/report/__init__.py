"""One self-contained HTML page per run: no script, nothing fetched, readable on a phone, in the dark and on paper."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curation.detectors import DETECTORS
from curation.explain import title_of
from curation.files import write_atomic
from curation.progress import SILENT, Progress
from curation.report.document import MADE_BY, document
from curation.report.markup import bdi, text
from curation.report.overview import overview
from curation.report.pictures import Pictures
from curation.report.sections import Page, issue_section, making, notes, section, summary
from curation.runs import Run
from curation.wording import counted


def write_report(run: Run, output: Path, progress: Progress = SILENT) -> Path:
    """Write the report of a run as one HTML file of a few MB, atomically; `output` comes back.

    Pictures are re-encoded as thumbnails from the source; one that has vanished becomes a grey placeholder. The same
    run and the same source give the same bytes. All text from outside is escaped, and the page's own policy forbids
    scripts and requests.

    Raises
    ------
    WorkspaceError : `output` cannot be written, or the run is damaged.
    """
    page = render(run, progress)
    # Lone surrogates have become visible text; "replace" is for what cannot be foreseen.
    write_atomic(output, lambda stream: stream.write(page.encode("utf-8", "replace")), "report", option="--output FILE")
    return output


def render(run: Run, progress: Progress = SILENT) -> str:
    """The report of a run as HTML text."""
    samples = run.samples().set_index("sample_id")
    pictures = Pictures(samples, Path(str(run.info.get("root") or run.info.get("source", ""))))
    page = Page(run.info, run.issues(), samples, pictures)
    names = issue_order(page.issues)
    body = [section("overview", "Overview", "", "", summary(page) + overview(page))]
    body += [issue_section(page, name, f"i-{place}") for place, name in enumerate(names)]
    said = notes(page)
    if said:
        body.append(section("notes", "Notes on the source", "", "", said))
    body.append(section("making", "How this was made", "", "", making(page), is_open=False))
    contents = _contents(page, names, bool(said))
    filled = pictures.fill("".join(body), progress)
    return _document(page, contents + f"<main>\n{filled}</main>\n", pictures)


def issue_order(issues: pd.DataFrame) -> list[str]:
    """Names of the issues that get a section: what is flagged, and labels; by priority, unknown ones last."""
    present = set(issues.loc[issues["is_issue"].to_numpy(dtype=bool), "issue"])
    present |= {"label_error"} & set(issues["issue"])
    known = sorted(DETECTORS.values(), key=lambda detector: detector.priority)
    names = [detector.name for detector in known if detector.name in present]
    return [*names, *sorted(present - set(names))]


def _contents(page: Page, names: list[str], has_notes: bool) -> str:
    count = page.issues[page.issues["is_issue"]]["issue"].value_counts()
    links = ['<li><a href="#overview">Overview</a></li>']
    for place, name in enumerate(names):
        links.append(f'<li><a href="#i-{place}">{text(title_of(name))} <b>{int(count.get(name, 0)):,}</b></a></li>')
    if has_notes:
        links.append('<li><a href="#notes">Notes</a></li>')
    links.append('<li><a href="#making">How this was made</a></li>')
    return f'<header>{_title(page)}<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav></header>\n'


def _title(page: Page) -> str:
    info = page.info
    facts = [f"run {bdi(info.get('run_id', ''), 'fact')}"]
    for key, name in (("manifest_version", "manifest version"), ("source_format", "read as"), ("source", "from")):
        if info.get(key):
            facts.append(f"{name} {bdi(info[key], 'path')}")
    return f'<h1>Labels of {bdi(info.get("dataset", ""))}</h1>\n<p class="muted">{" · ".join(facts)}</p>\n'


def _document(page: Page, body: str, pictures: Pictures) -> str:
    gone = f" {pictures.missing:,} of them could not be opened any more." if pictures.missing else ""
    foot = f"{counted(pictures.shown, 'picture')} on this page.{gone} {MADE_BY}"
    return document(f"Labels of {text(page.info.get('dataset', ''))}", body, foot)
