import base64
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation import files, runs
from curation.errors import WorkspaceError
from curation.report import issue_order, render, write_report
from curation.report import sections as report_sections
from tests.building import evidence_of, make_run, twin

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>*{background:url(http://evil.example/a)}",
    "</title><base href=//evil.example>",
    "]]><!--",
    "javascript:alert(1)",
    "http://evil.example/pixel.png",
    "cat\u202egnp.exe\u2066",
    "\x1b[31mred\x07\n\r\x00",
    "zero\u200bwidth\ufeff",
    "=cmd|' /C calc'!A0",
    "&lt;script&gt;",
    "\0" + "0\0",
    "x" * 1_000_000,
    " blank ",
    "שלום",
]


class Checker(HTMLParser):
    """Collects what could act: tags, attributes, and whether every label is isolated."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append((self.open[-1], data))

    def text(self) -> str:
        return "".join(data for _, data in self.words)

    def count(self, tag: str, class_name: str = "") -> int:
        return sum(t == tag and class_name in (a.get("class") or "") for t, a in self.tags)


@pytest.fixture
def small_run(tmp_path) -> runs.Run:
    labels = ["a", "b", "a", "c", "b", "a"]
    findings = [
        twin(0, 1, labels, "conflicting_duplicate"),
        twin(1, 0, labels, "conflicting_duplicate"),
        {"at": 2, "issue": "label_error", "suggestion": "b",
         "evidence": evidence_of("label_error", neighbours=[["s1", "b", 0.1], ["s4", "b", 0.2], ["s0", "a", 0.3]])},
        twin(3, 4, labels, "split_leak", split="train", twin_split="test"),
        {"at": 5, "issue": "outlier"},
        {"at": 4, "issue": "dark"},
        {"at": 0, "issue": "label_error", "is_issue": False, "score": 0.8},
    ]  # fmt: skip
    return make_run(tmp_path, labels, findings, unreadable=[("cut.png", "the PNG data are cut off")])


def class_health(name: str) -> dict:
    return {"name": name, "labels": 1, "flagged": 1, "estimated_wrong": 0.5, "label_health": 0.5}


def hostile_run(folder: Path) -> runs.Run:
    """Hostile text in every place that text from outside can reach."""
    labels = list(HOSTILE)
    findings = []
    for at in range(len(labels)):
        other = (at + 1) % len(labels)
        neighbours = [[f"s{other}", labels[other], 0.1], ["s" + labels[other][:200], labels[at], 0.2]]
        top = [[labels[other], 0.9], [labels[at], 0.05]]
        findings.append(
            {"at": at, "issue": "label_error", "suggestion": labels[other],
             "evidence": evidence_of("label_error", top3=top, neighbours=neighbours)}
        )  # fmt: skip
        findings.append(
            twin(
                at,
                other,
                labels,
                "conflicting_duplicate",
                kind=labels[at][:300],
                favoured_by="model",
                members=[["s1", "<b>"]],
            )
            | {"suggestion": labels[other]}
        )
        findings.append(twin(at, other, labels, "split_leak", split=labels[at], twin_split=labels[other]))
        findings.append({"at": at, "issue": "<script>new</script>", "evidence": json.dumps({"reason": labels[at]})})
        findings.append({"at": at, "issue": "dark", "evidence": evidence_of("dark", measured=labels[at])})
    info = {
        "dataset": HOSTILE[0], "source_format": HOSTILE[1], "notes": HOSTILE, "settings": {HOSTILE[2]: HOSTILE[3]},
        "rejected": [{"path": text, "reason": text} for text in HOSTILE] + [["a", HOSTILE[4]]],
        "plan": {"mode": HOSTILE[5], HOSTILE[0]: 1, "why": HOSTILE}, "seconds": {HOSTILE[0]: 1.0},
        "skipped_detectors": {HOSTILE[0]: HOSTILE[1]}, "hardware": {"gpu": HOSTILE[0]},
        "health": {"labels": 9, "estimated_wrong": 3, "cleanlab_estimated_wrong": 2, "label_health": 0.5,
                   "classes": [class_health(text) for text in HOSTILE]},
    }  # fmt: skip
    bad = [(text[:200], text) for text in HOSTILE]
    run = make_run(folder, labels, findings, unreadable=bad, **info)
    samples = run.samples()
    known = samples["status"] == "ok"
    samples["split"] = [*HOSTILE, *HOSTILE]
    samples.loc[known & (samples.index % 2 == 0), "path"] = HOSTILE[::2]
    samples.to_parquet(run.folder / "samples.parquet", index=False)
    return run


ALLOWED_TAGS = set(
    re.findall(
        r"\w+",
        """html head meta title style body header nav main footer section details summary article figure figcaption h1
        h2 h3 p a ul li div span b br bdi img table thead tbody tr th td svg desc rect line circle polyline text""",
    )
)
ALLOWED_ATTRIBUTES = set(
    re.findall(
        r"\S+",
        """class id href src alt role aria-label aria-labelledby aria-hidden lang charset http-equiv content name scope
        open width height viewbox preserveaspectratio x y x1 y1 x2 y2 cx cy r points transform text-anchor
        fill-opacity""",
    )
)


def assert_harmless(page: str) -> Checker:
    checker = Checker(page)
    assert checker.open == []
    assert {tag for tag, _ in checker.tags} <= ALLOWED_TAGS
    for tag, attributes in checker.tags:
        assert set(attributes) <= ALLOWED_ATTRIBUTES, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if "href" in attributes:
            assert re.fullmatch(r"#[a-z0-9-]+", attributes["href"])
        if "src" in attributes:
            assert re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", attributes["src"])
    # Neither raw nor after decoding of character references may anything invisible or reordering be left.
    isolates = "\u2068\u2069"
    bad = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
    assert not bad.search(page.replace(isolates[0], "").replace(isolates[1], ""))
    for text in [checker.text(), *(value or "" for _, attributes in checker.tags for value in attributes.values())]:
        assert not bad.search(text.replace(isolates[0], "").replace(isolates[1], ""))
    return checker


def test_hostile_labels_names_and_texts_stay_text(tmp_path):
    run = hostile_run(tmp_path)
    checker = assert_harmless(write_report(run, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "<script>alert(1)</script>" in checker.text()
    assert "&lt;script&gt;" in checker.text()
    assert "(1,000,000 characters)" in checker.text()
    # The label that is no UTF-8-safe text elsewhere is isolated here: every hostile label in the body sits in a <bdi>.
    holders = {tag for tag, data in checker.words if "cat⟨U+202E⟩gnp" in data and "⟨U+2066⟩" in data}
    assert holders <= {"bdi", "text", "title", "td", "p", "span"}
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_lone_surrogates_in_evidence_survive(tmp_path):
    evidence = evidence_of("label_error", top3=[["caf\udce9", 0.9]], neighbours=[["s0", "caf\udce9", 0.1]])
    run = make_run(tmp_path, ["a"], [{"at": 0, "issue": "label_error", "evidence": evidence}])
    page = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "caf⟨U+DCE9⟩" in assert_harmless(page).text()


def test_policy_forbids_everything_but_own_style_and_inline_pictures(small_run):
    page = render(small_run)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    # The policy counts for what follows it.
    assert page.index("Content-Security-Policy") < page.index("<title>") < page.index("<style>")
    assert "url(" not in style
    assert "@import" not in style


def test_same_run_gives_the_same_bytes(small_run, tmp_path):
    one, two = (write_report(small_run, tmp_path / name).read_bytes() for name in ("1.html", "2.html"))
    assert one == two


def test_every_kind_of_finding_has_a_section_and_a_link_to_it(small_run):
    page = render(small_run)
    checker = assert_harmless(page)
    anchors = {attributes["id"] for tag, attributes in checker.tags if tag == "section"}
    links = {attributes["href"][1:] for tag, attributes in checker.tags if tag == "a"}
    assert anchors == links
    order = ["conflicting_duplicate", "label_error", "split_leak", "outlier", "dark", "unreadable"]
    places = [page.index(f"· {name}</span>") for name in order]
    assert places == sorted(places)


def test_label_card_shows_label_suggestion_probabilities_reason_and_neighbours(small_run):
    page = render(small_run)
    card = Checker(
        page[page.index("· label_error") : page.index("· split_leak")]
        .partition("<article")[2]
        .join(["<article", ""])
        .rpartition("</div>\n</details>")[0]
    )
    text = card.text()
    for part in (
        "given: a",
        "suggested: b",
        "90 %",
        "2 %",
        "it sees b with 90 %",
        "2 of its 3 nearest neighbours",
        "rank 3",
        "p2.png",
    ):
        assert part in text, part
    assert card.count("img") == 4
    assert card.count("figure", "differs") == 2


def test_pair_is_shown_once_with_both_pictures(small_run):
    page = render(small_run)
    part = page[page.index("· conflicting_duplicate") : page.index("· label_error")]
    assert part.count("<article") == 1
    assert part.count("<img") == 2
    assert "1 case shown" in part
    assert "labelled <bdi" in part


def test_unknown_issue_gets_a_section_without_a_code_change(tmp_path):
    findings = [
        {"at": 0, "issue": "too_green", "evidence": json.dumps({"measured": "greenness", "value": 9, "threshold": 5})}
    ]
    run = make_run(tmp_path, ["a", "b"], findings)
    text = assert_harmless(render(run)).text()
    assert "Too green" in text
    assert "Greenness 9 is above the limit of 5." in text
    assert issue_order(run.issues()) == ["too_green"]


def test_unreadable_files_are_listed_with_reasons(small_run):
    text = assert_harmless(render(small_run)).text()
    assert "cut.png" in text
    assert "the PNG data are cut off" in text


def test_thumbnails_are_small_jpegs_of_the_same_shape(tmp_path):
    sizes = [(640, 320), (24, 16), (100, 900), (1, 1)]
    findings = [{"at": at, "issue": "dark"} for at in range(4)]
    page = render(make_run(tmp_path, ["a"] * 4, findings, sizes=sizes))
    shown = []
    for _, attributes in Checker(page).tags:
        if "src" in attributes:
            with Image.open(io.BytesIO(base64.b64decode(attributes["src"].partition(",")[2]))) as picture:
                assert picture.format == "JPEG"
                shown.append(picture.size)
    assert shown == [(160, 80), (96, 64), (18, 160), (96, 96)]


def test_vanished_source_leaves_placeholders_and_says_so(small_run, tmp_path):
    (tmp_path / "pictures" / "p2.png").unlink()
    checker = assert_harmless(render(small_run))
    assert checker.count("span", "gone") == 1
    assert "1 of them could not be opened" in checker.text()
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    checker = assert_harmless(render(small_run))
    assert checker.count("img") == 0


def test_picture_outside_of_the_source_is_never_opened(tmp_path):
    run = make_run(tmp_path, ["a"], [{"at": 0, "issue": "dark"}])
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    samples = run.samples()
    samples.loc[0, "path"] = "../secret.png"
    samples.to_parquet(run.folder / "samples.parquet", index=False)
    assert assert_harmless(render(run)).count("img") == 0


def test_page_says_how_many_of_how_many_are_shown(tmp_path):
    many = report_sections.WORST_LABELS + 25
    findings = [{"at": at, "issue": "label_error", "suggestion": "b"} for at in range(many)]
    page = render(make_run(tmp_path, ["a"] * many, findings))
    assert f"{report_sections.WORST_LABELS} of {many} flagged labels shown" in page
    assert page.count("<article") == report_sections.WORST_LABELS


def test_a_single_picture_is_not_called_all_one_pictures(tmp_path):
    text = Checker(render(make_run(tmp_path, ["a", "b"], [{"at": 0, "issue": "dark"}]))).text()
    assert "the one picture shown" in text
    assert "all 1" not in text


@pytest.mark.parametrize(("labels", "said"), [(["a", "a"], True), (["a", "b"], False)])
def test_which_copy_is_best_to_keep_is_open_while_their_labels_differ(tmp_path, labels, said):
    finding = twin(0, 1, labels, "exact_duplicate", kind="exact", keep="s1")
    text = Checker(render(make_run(tmp_path, labels, [finding]))).text()
    assert ("best to keep" in text) == said


def test_nothing_flagged_shows_the_most_doubtful_labels(tmp_path):
    findings = [{"at": at, "issue": "label_error", "is_issue": False, "score": 0.9} for at in range(3)]
    page = render(make_run(tmp_path, ["a", "b", "a"], findings))
    assert "no label was flagged" in page
    assert page.count("<article") == 3


@pytest.mark.parametrize("labels", [[], ["a"]])
def test_run_without_findings_or_model(tmp_path, labels):
    health = {
        "labels": len(labels),
        "estimated_wrong": None,
        "cleanlab_estimated_wrong": None,
        "label_health": None,
        "classes": [],
    }
    checker = assert_harmless(render(make_run(tmp_path, labels, [], health=health, plan={}, seconds={}, settings={})))
    assert "No model judged the labels" in checker.text()


def test_five_thousand_classes_stay_readable_and_small(tmp_path):
    labels = [f"class {number:04d}" for number in range(5000)]
    findings = [
        {"at": at, "issue": "label_error", "suggestion": labels[(at * 7 + 1) % 5000], "score": at / 5000}
        for at in range(3000)
    ]
    health = {"labels": 5000, "estimated_wrong": 9, "cleanlab_estimated_wrong": 2, "label_health": 0.9,
              "classes": [class_health(name) for name in labels]}  # fmt: skip
    run = make_run(tmp_path, labels, findings, pictures=False, health=health)
    page = write_report(run, tmp_path / "report.html").read_text()
    text = assert_harmless(page).text()
    assert "16 classes most involved are shown; 4,984 others are left out" in text
    assert "15 of 5,000 classes" in text
    assert len(page) < 1_000_000


def test_plots_are_well_formed_and_described(small_run):
    page = render(small_run)
    plots = re.findall(r'<svg class="plot[^>]*role="img".*?</svg>', page, re.S)
    assert len(plots) == 4
    for plot in plots:
        root = ET.fromstring(plot)
        title, description = (root.find(tag) for tag in ("title", "desc"))
        assert title.text
        assert description.text
        assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_confusion_counts_are_those_of_the_flags(tmp_path):
    findings = [{"at": at, "issue": "label_error", "suggestion": "b"} for at in range(3)]
    findings += [{"at": 3, "issue": "label_error", "suggestion": "a"}]
    findings += [{"at": 4, "issue": "label_error", "suggestion": "a", "is_issue": False}]
    page = render(make_run(tmp_path, ["a", "a", "a", "b", "b"], findings))
    hovers = re.findall(r"<title>(\d+) labelled \u2068(.)\u2069, suggested \u2068(.)\u2069</title>", page)
    assert hovers == [("3", "a", "b"), ("1", "b", "a")]


def test_review_forecast_adds_up_the_expected_errors(tmp_path):
    scores = [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    findings = [
        {"at": at, "issue": "label_error", "score": score, "is_issue": at < 2} for at, score in enumerate(scores)
    ]
    run = make_run(tmp_path, ["a"] * len(scores), findings)
    page = report_sections.Page(run.info, run.issues(), run.samples().set_index("sample_id"), None)
    expected, marks, words = report_sections.review_forecast(page)
    np.testing.assert_allclose(expected[:4], [1, 2, 2.5, 2.5])
    assert marks == [2, 3]
    assert "half of the wrong labels are among the first 2" in words
    assert "2 flagged ones should hold about 2" in words


def test_failed_write_leaves_the_old_report(small_run, tmp_path):
    output = tmp_path / "report.html"
    output.write_text("old")
    files.set_failpoints("report.before_rename:enospc:1")
    try:
        with pytest.raises(WorkspaceError, match="No space"):
            write_report(small_run, output)
    finally:
        files.set_failpoints("")
    assert output.read_text() == "old"
    assert write_report(small_run, output).read_text().startswith("<!DOCTYPE html>")


def test_progress_counts_every_picture(small_run):
    from contextlib import contextmanager

    from curation.progress import Progress

    class Counter(Progress):
        total, done = 0, 0

        @contextmanager
        def stage(self, name, total, unit="images"):
            self.total = total

            def advance(count):
                self.done += count

            yield advance

    counter = Counter()
    page = render(small_run, counter)
    assert counter.total == counter.done == page.count("<img")
