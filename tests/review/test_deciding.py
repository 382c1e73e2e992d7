"""Decisions, queue and tables of decisions from the command line: what is recorded, refused, and counted once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import cli, store
from curation.errors import LabelParseError, NotFoundError, SettingsError
from curation.manifest import manifest_folder, write_first
from curation.records import empty_annotations, empty_samples, make_annotation_id
from curation.review.deciding import Subject
from curation.review.decision_files import read_decisions
from curation.review.work_queue import open_subject
from curation.store import Filters
from tests.building import make_run, twin

LABELS = ["cat", "dog", "cat", "=cmd()", "cat", "dog"]
PETS = "pets"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scored data set: s0 ... s5 with LABELS, u0 without a label; s0 is suspicious, s4 and s5 are twins."""
    monkeypatch.delenv("CURATE_STORE", raising=False)
    findings = [
        {"at": 0, "issue": "label_error", "suggestion": "dog"},
        twin(4, 5, LABELS, "conflicting_duplicate"),
        {"at": 1, "issue": "dark"},
    ]
    make_run(
        tmp_path,
        LABELS,
        findings,
        unreadable=[("folder/cut.png", "the file ends too early")],
        columns={"cluster": [-1, -1, -1, -1, 7, 7]},
    )
    samples = empty_samples(7)
    samples["sample_id"] = [*(f"s{row}" for row in range(6)), "u0"]
    samples["path"] = [*(f"p{row}.png" for row in range(6)), "folder/cut.png"]
    samples["status"] = [*["ok"] * 6, "unreadable"]
    annotations = empty_annotations(6)
    annotations["sample_id"] = [f"s{row}" for row in range(6)]
    annotations["annotation_id"] = [make_annotation_id(f"s{row}") for row in range(6)]
    annotations["label"] = LABELS
    write_first(samples, annotations, manifest_folder(tmp_path, PETS), author="me", message="", created="2026-01-01")
    return tmp_path


def curate(workspace: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = cli.main([*arguments, "--workspace", str(workspace)])
    said = capsys.readouterr()
    return code, said.out, said.err


def answer(workspace: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = curate(workspace, capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def decided(workspace: Path) -> list[tuple[str, ...]]:
    rows = store.decisions(store.open_store(workspace), PETS)
    labels = rows["labels"].map(lambda text: " ".join(json.loads(text)))
    return list(zip(rows["reviewer"], rows["sample_id"], rows["verdict"], labels, rows["reason"], strict=True))


@pytest.fixture
def subject(workspace: Path) -> Subject:
    return open_subject(store.open_store(workspace), PETS, manifest_folder(workspace, PETS))


# --- one decision


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        (["s0", "--relabel", "dog"], ("s0", "relabel", "dog", "")),
        (["p0.png", "--keep"], ("s0", "keep", "", "")),
        (["p0.png", "--hard"], ("s0", "hard", "", "")),
        (["s0", "--ambiguous", "cat", "--ambiguous", "dog"], ("s0", "ambiguous", "cat dog", "")),
        (["folder/cut.png", "--exclude", "broken"], ("u0", "exclude", "", "broken")),
        (["folder/cut.png", "--relabel", "dog"], ("u0", "relabel", "dog", "")),
        (["s1", "--unsure"], ("s1", "unsure", "", "")),
        (["s1", "--relabel", "wolf", "--new-label"], ("s1", "relabel", "wolf", "")),
        (["s1", "--relabel", "dog"], ("s1", "keep", "", "")),
        (["s1", "--relabel", "=cmd()"], ("s1", "relabel", "=cmd()", "")),
    ],
)
def test_a_picture_is_decided_by_id_or_path(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], row: tuple[str, ...]
) -> None:
    code, out, err = curate(workspace, capsys, "decide", *arguments, "--reviewer", "ann", "--comment", "so it is")
    assert (code, err) == (0, "")
    assert "by ann" in out
    assert decided(workspace) == [("ann", *row)]
    (kept,) = store.decisions(store.open_store(workspace), PETS).to_dict("records")
    assert (kept["comment"], kept["manifest_version"]) == ("so it is", "v0001")
    assert kept["given_label"] == {"s0": "cat", "s1": "dog", "u0": ""}[row[0]]
    assert kept["annotation_id"] == ("" if row[0] == "u0" else f"{row[0]}-0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["s0"], "One verdict is needed, not none"),
        (["s0", "--keep", "--hard"], "not 2"),
        (["s0", "--keep", "--undo"], "Give a SAMPLE"),
        (["--keep"], "Give a SAMPLE"),
        (["--undo", "--keep"], "needs a SAMPLE"),
        (["--undo", "--from", "x.csv"], "Give a SAMPLE"),
        (["s9", "--keep"], "no picture 's9'"),
        (["p0.pn", "--keep"], "Did you mean 'p0.png'"),
        (["s0", "--relabel", "dgo"], "Did you mean 'dog'? A new one has to be allowed: --new-label"),
        (["s0", "--ambiguous", "cat"], "two or more"),
        (["s0", "--exclude", "ugly"], "ugly"),
        (["u0", "--keep"], "no label that could be kept"),
        (["s0", "--relabel", "a\x1b[1m", "--new-label"], "control characters"),
        (["s0", "--keep", "--reviewer", " "], "reviewer's name is empty"),
        (["s0", "--keep", "--store", "mysql://host/x"], "SQLite or PostgreSQL"),
        (["s0", "--keep", "--name", "birds"], "birds"),
        (["--from", "nothing.csv"], "nothing.csv"),
    ],
)
def test_what_cannot_be_decided_is_said(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = curate(workspace, capsys, "decide", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "\x1b[1m" not in err
    assert decided(workspace) == []


def test_json_says_what_became_of_it(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = answer(workspace, capsys, "decide", "s0", "--keep", "--reviewer", "ann")
    assert (first["new"], first["states"]) == (True, {"s0": "done"})
    assert answer(workspace, capsys, "decide", "s0", "--hard", "--reviewer", "bob")["states"] == {"s0": "disagreement"}
    _, out, _ = curate(workspace, capsys, "decide", "s0", "--relabel", "dog", "--reviewer", "ann")
    assert "Reviewers disagree" in out


def test_undo_takes_back_the_reviewers_latest(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sample in ("s0", "s1"):
        curate(workspace, capsys, "decide", sample, "--keep", "--reviewer", "ann")
    assert "ann on s1" in curate(workspace, capsys, "decide", "--undo", "--reviewer", "ann")[1]
    assert answer(workspace, capsys, "decide", "--undo", "--reviewer", "ann")["items"] == ["s0"]
    assert answer(workspace, capsys, "decide", "--undo", "--reviewer", "ann") == {"undone": None, "items": []}
    assert "decided nothing" in curate(workspace, capsys, "decide", "--undo", "--reviewer", "bob")[1]


def test_the_store_is_where_the_environment_says(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_STORE", f"sqlite:///{workspace}/team.db")
    assert curate(workspace, capsys, "decide", "s0", "--keep")[0] == 0
    assert (workspace / "team.db").exists()
    assert decided(workspace) == []


# --- tables

TABLE = """path,verdict,label,label_2,reason,note
p0.png,relabel,dog,,,
p1.png,ambiguous,dog,cat,,not sure which
s2,KEEP,,,,
folder/cut.png,exclude,,,broken,
p4.png,,cat,,,
p5.png,,,,,
"""


def write(workspace: Path, text: str) -> str:
    (workspace / "done.csv").write_text(text, encoding="utf-8")
    return str(workspace / "done.csv")


def test_a_table_is_recorded_as_one_action(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(workspace, TABLE)
    told = answer(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")
    assert (told["new"], told["decisions"], told["skipped"]) == (True, 5, 1)
    assert told["verdicts"] == {"relabel": 1, "ambiguous": 1, "keep": 2, "exclude": 1}
    assert decided(workspace) == [
        ("ann", "s0", "relabel", "dog", ""),
        ("ann", "s1", "ambiguous", "dog cat", ""),
        ("ann", "s2", "keep", "", ""),
        ("ann", "u0", "exclude", "", "broken"),
        ("ann", "s4", "keep", "", ""),
    ]
    assert answer(workspace, capsys, "decide", "--undo", "--reviewer", "ann")["items"] == ["s0", "s1", "s2", "s4", "u0"]


def test_the_same_table_twice_counts_once_and_again_after_an_undo(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(workspace, TABLE)
    first = answer(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")
    again = answer(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")
    assert (again["new"], again["action_id"]) == (False, first["action_id"])
    assert "recorded before" in curate(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")[1]
    assert len(decided(workspace)) == 5
    assert answer(workspace, capsys, "decide", "--from", file, "--reviewer", "bob")["new"]
    answer(workspace, capsys, "decide", "--undo", "--reviewer", "ann")
    assert answer(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")["new"]
    assert not answer(workspace, capsys, "decide", "--from", file, "--reviewer", "ann")["new"]
    shuffled = "\n".join([TABLE.splitlines()[0], *reversed(TABLE.splitlines()[1:])])
    assert not answer(workspace, capsys, "decide", "--from", write(workspace, shuffled), "--reviewer", "ann")["new"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,verdict\np0.png,keep\np1.png,maybe\n", "done.csv, line 3: There is no verdict 'maybe'"),
        ("path,verdict\np0.png,keep\np1.png,distinct\n", "line 3: There is no verdict 'distinct'"),
        ("path,verdict\np0.png,keep\nq.png,keep\n", "line 3: Version v0001 of pets has no picture 'q.png'"),
        ("path,verdict,label\np0.png,keep,\np1.png,relabel,\n", "line 3: 'relabel' needs one new label"),
        ("path,label\np0.png,dog\np1.png,wolf\n", "line 3: The data set has no label 'wolf'"),
        ("path,verdict\np0.png,keep\np1.png,exclude\n", "line 3: 'exclude' needs one of off-topic, broken"),
        ("path,verdict\np0.png,keep\ns0,hard\n", "line 3: it contradicts line 2 about the same picture"),
        ("path,verdict\np0.png,keep\np1.png,maybe\np2.png,maybe\n", "Lines that are wrong: 2."),
        ("path,verdict\np0.png,keep\np1.png\n", "line 3"),
        ('path,verdict\np0.png,"keep\n', "line 2"),
        ("picture,verdict\np0.png,keep\n", "needs a column 'sample_id' or 'path'"),
        ("path,what\np0.png,keep\n", "one called 'verdict' or 'label'"),
        ("path,verdict\np0.png,\n", "decides nothing"),
        ("", "line 1"),
    ],
)
def test_a_table_with_one_wrong_row_records_nothing(
    workspace: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    code, _, err = curate(workspace, capsys, "decide", "--from", write(workspace, text), "--reviewer", "ann")
    assert code == 2
    assert said in err
    assert decided(workspace) == []


def test_saved_issues_can_be_filled_in(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace / "issues.csv"
    assert curate(workspace, capsys, "issues", "--output", str(file))[0] == 0
    table = pd.read_csv(file, dtype="str", keep_default_na=False)
    table["verdict"] = ["relabel" if sample == "s0" else "" for sample in table["sample_id"]]
    table["label"] = ["'=cmd()" if sample == "s0" else "" for sample in table["sample_id"]]  # as `issues` saves it
    table.to_csv(file, index=False)
    answer(workspace, capsys, "decide", "--from", str(file), "--reviewer", "ann")
    assert decided(workspace) == [("ann", "s0", "relabel", "=cmd()", "")]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_reason_that_saved_issues_give_is_no_reason_to_exclude(
    workspace: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    file = workspace / f"issues{suffix}"
    assert curate(workspace, capsys, "issues", "--output", str(file))[0] == 0
    table = pd.read_csv(file, dtype="str", keep_default_na=False) if suffix == ".csv" else pd.read_parquet(file)
    assert all(table["reason"].str.len() > 10)

    def save(verdicts: dict[str, str]) -> None:
        filled = table.assign(verdict=table["sample_id"].map(verdicts).fillna(""))
        filled.to_csv(file, index=False) if suffix == ".csv" else filled.to_parquet(file)

    save({"s0": "exclude", "s1": "keep"})
    code, _, err = curate(workspace, capsys, "decide", "--from", str(file), "--reviewer", "ann")
    assert code == 2
    assert "'exclude' needs one of off-topic, broken, duplicate as its reason, not 'Labelled" in err
    assert decided(workspace) == []
    table["reason"] = table["reason"].where(table["sample_id"] != "s0", "Broken ")
    save({"s0": "exclude", "s1": "keep"})
    answer(workspace, capsys, "decide", "--from", str(file), "--reviewer", "ann")
    assert sorted(decided(workspace)) == [("ann", "s0", "exclude", "", "broken"), ("ann", "s1", "keep", "", "")]


def test_a_misspelt_path_is_not_answered_with_names_that_are_alike_by_chance() -> None:
    names = [f"train/1/{number:06x}.png" for number in range(0x813CD0, 0x900000, 0x1357)]
    rows = pd.DataFrame({"sample_id": [f"s{n}" for n in range(len(names))], "path": names, "label": "1"})
    pictures = Subject("digits", "v0001", rows, frozenset({"1"}))

    def answer_to(text: str) -> str:
        with pytest.raises(NotFoundError) as raised:
            pictures.find(text)
        return str(raised.value)

    assert answer_to("train/1/7b2e41.png").endswith("has no picture 'train/1/7b2e41.png'.")
    assert answer_to("813cd0.png").endswith("Did you mean 'train/1/813cd0.png'?")
    assert answer_to("./train/2/813cd0.png").endswith("Did you mean 'train/1/813cd0.png'?")
    assert answer_to("train/1/813cdd.png").endswith("Did you mean 'train/1/813cd0.png'?")


def test_a_parquet_table_is_read_too(workspace: Path, subject: Subject) -> None:
    file = workspace / "done.parquet"
    pd.DataFrame({"sample_id": ["s0", "s1"], "label": ["dog", None]}).to_parquet(file)
    found = read_decisions(file, subject)
    assert [(d.sample_id, d.verdict, d.labels) for d in found.decisions] == [("s0", "relabel", ("dog",))]
    assert found.skipped == 1


def test_rows_that_say_the_same_count_once(workspace: Path, subject: Subject) -> None:
    found = read_decisions(Path(write(workspace, "path,label\np0.png,dog\ns0,dog\n")), subject)
    assert len(found.decisions) == 1


def test_labels_that_reviewers_gave_are_known(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curate(workspace, capsys, "decide", "s1", "--relabel", "wolf", "--new-label")
    assert curate(workspace, capsys, "decide", "s2", "--relabel", "wolf")[0] == 0
    table = write(workspace, "path,label\np0.png,fox\n")
    assert curate(workspace, capsys, "decide", "--from", table)[0] == 2
    assert curate(workspace, capsys, "decide", "--from", table, "--new-label")[0] == 0


def test_a_picture_with_several_labels_is_not_decided_by_guess(subject: Subject) -> None:
    rows = pd.concat([subject.rows, subject.rows[subject.rows["sample_id"] == "s1"]])
    rows = rows.sort_values("sample_id", kind="stable").reset_index(drop=True)
    several = Subject(PETS, "v0001", rows, subject.labels)
    with pytest.raises(SettingsError, match="more than one label"):
        several.decide("s1", "keep")
    assert several.decide("s2", "keep").given_label == "cat"
    with pytest.raises(NotFoundError):
        several.find("")


def test_a_thousand_wrong_rows_are_one_sentence(workspace: Path, subject: Subject) -> None:
    file = Path(write(workspace, "path,verdict\n" + "x,keep\n" * 1000))
    with pytest.raises(LabelParseError, match=r"line 2: .* no picture 'x'.* wrong: 1,000\. Nothing was recorded\.$"):
        read_decisions(file, subject)


# --- the queue


def test_the_queue_says_what_is_next_and_why(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(workspace, capsys, "queue")
    first, case = found[:2]
    assert (first["item_id"], first["path"], first["given_label"]) == ("s0", "p0.png", "cat")
    assert first["issues"] == ["label_error"]
    assert first["why"]
    assert (case["kind"], case["members"]) == ("duplicates", ["s4", "s5"])
    assert len(found) == 6
    assert len(answer(workspace, capsys, "queue", "--top", "1")) == 1
    code, out, _ = curate(workspace, capsys, "queue")
    assert code == 0
    assert "p0.png" in out
    assert "(+1)" in out


def test_the_queue_can_be_filtered(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ids(*arguments: str) -> list[str]:
        return [item["path"].split("\n")[0] for item in answer(workspace, capsys, "queue", *arguments)]

    assert ids("--issue", "dark") == ["p1.png"]
    assert ids("--label", "=cmd()") == ["p3.png"]
    assert ids("--text", "CUT") == ["folder/cut.png"]
    assert ids("--split", "test") == []
    curate(workspace, capsys, "decide", "s0", "--keep", "--reviewer", "ann")
    assert ids("--state", "done") == ["p0.png"]
    assert "p0.png" not in ids()
    assert curate(workspace, capsys, "queue", "--state", "lost")[0] == 2
    assert "Nothing waits" in curate(workspace, capsys, "queue", "--issue", "nothing")[1]


def test_looking_at_the_queue_takes_nothing_from_reviewers(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(workspace, capsys, "queue")
    engine = store.open_store(workspace)
    held = store.claim(engine, PETS, "ann", "tab", count=2)
    assert answer(workspace, capsys, "queue")[0]["item_id"] == held[0].item_id
    assert [item.item_id for item in store.claim(engine, PETS, "ann", "tab", count=2)] == [i.item_id for i in held]
    assert len(store.find_items(engine, PETS, Filters())) == 6


# --- what was decided


def test_decisions_are_listed_with_what_was_taken_back(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing was decided" in curate(workspace, capsys, "decisions")[1]
    curate(workspace, capsys, "decide", "s0", "--relabel", "dog", "--reviewer", "ann", "--comment", "a \x1b[1mdog")
    curate(workspace, capsys, "decide", "s1", "--keep", "--reviewer", "bob")
    curate(workspace, capsys, "decide", "--undo", "--reviewer", "ann")
    rows = answer(workspace, capsys, "decisions")
    assert [(row["reviewer"], row["verdict"]) for row in rows] == [("ann", "relabel"), ("bob", "keep"), ("ann", "undo")]
    assert rows[0]["labels"] == ["dog"]
    assert rows[2]["undoes"] == rows[0]["action_id"]
    assert len(answer(workspace, capsys, "decisions", "--sample", "p0.png")) == 2
    assert len(answer(workspace, capsys, "decisions", "--reviewer", "bob")) == 1
    assert len(answer(workspace, capsys, "decisions", "--since", str(rows[1]["decision_id"]))) == 1
    assert len(answer(workspace, capsys, "decisions", "--top", "1")) == 1
    assert curate(workspace, capsys, "decisions", "--sample", "p9.png")[0] == 2
    code, out, _ = curate(workspace, capsys, "decisions", "--top", "2")
    assert code == 0
    assert "1 earlier" in out
    assert "\x1b[1m" not in curate(workspace, capsys, "decisions")[1]
