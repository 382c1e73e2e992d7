"""What an import or a merge left open is looked at again, by anybody, and closed by publishing."""

from __future__ import annotations

from pathlib import Path

from curation import review, store
from curation.decisions import Action, Decision
from curation.explain import explain_conflict, explain_pieces
from curation.manifest import NewVersion, manifest_folder, read, write_version
from curation.manifest.history import open_conflicts, start_branch
from curation.manifest.merge import merge
from curation.manifest.publish import publish
from curation.manifest.version_files import head
from curation.review.conflict_items import ISSUE, conflicts, explained, with_conflicts
from tests.building import make_run
from tests.manifest.test_changes import make_rows
from tests.manifest.test_history import relabel


def test_a_conflict_is_the_first_item_also_of_those_who_decided_before(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["cat", "cat", "dog"], [{"at": 1, "issue": "label_error", "suggestion": "dog"}])
    folder = manifest_folder(tmp_path, "pets")
    samples = [{"id": f"s{n}", "path": f"p{n}.png", "labels": [label]} for n, label in enumerate(["cat", "cat", "dog"])]
    write_version(make_rows(*samples), NewVersion(None, "import", "me", "m", [{"change": "import"}]), folder)
    engine = store.open_store(tmp_path)
    said = Decision("s0", "s0", "relabel", ("fox",), given_label="cat", annotation_id="s0-0")
    store.record(engine, Action("first", "pets", "ann", (said,)))
    publish(folder, engine, "pets", "a fox", "lead")
    start_branch(folder, "try", "v1")
    relabel(folder, "s0", "eel", branch="try")
    merge(folder, "try", "lead")

    version = str(head(folder))
    rows = read(folder, version)
    plain = review.build_items(run, rows, store.decisions(engine, "pets"))
    items = with_conflicts(plain, folder, version, rows, ["s0", "s1", "s2"])
    assert len(items) == len(plain) + 1
    store.fill(engine, "pets", run.run_id, version, items)
    (item,) = store.claim(engine, "pets", "ann", "tab")
    assert (item.issue, item.members, item.given_label, item.suggestion) == (ISSUE, ("s0",), "fox", "eel")
    (card,) = review.cards(run, [item.item_id], {item.item_id: item.members}, review.changed_labels(run, rows))
    assert (card.kind, card.sample_id, card.given_label) == ("sample", "s0", "fox")
    (told,) = explained([card], conflicts(folder, version))
    day = str(store.decisions(engine, "pets")["decided_at"].iloc[0])[:10]
    assert told.why[0] == (
        f"Two branches disagree: branch main says “fox” (ann, {day}), branch try says “eel” (ann, 2026-01-01). "
        "Before, it was “cat”."
    )
    assert told.suggestions[0][0] == "eel"
    assert told.said_by == {"eel": "branch try", "fox": f"ann, {day}"}
    context = review.Context("pets", "ann", "tab", run.run_id, version)
    recorded = store.record(engine, review.verdict_action(card, "keep", context))
    assert recorded.states == {item.item_id: "done", "s0": "done"}
    assert open_conflicts(folder) != []
    publish(folder, engine, "pets", "looked again", "lead")
    assert open_conflicts(folder) == []
    version = str(head(folder))
    again = with_conflicts(plain, folder, version, read(folder, version), ["s0", "s1", "s2"])
    assert again.equals(plain)


def test_conflicts_about_pictures_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path, "pets")
    rows = make_rows({"id": "a"}, {"id": "b", "status": "excluded", "reason": "broken"}, {"id": "c"})
    blank = dict.fromkeys(("annotation_id", "base", "from", "to"), "")
    lines = [
        {"change": "conflict", "sample_id": name, "path": name, "field": "picture", **blank}
        for name in ("a", "b", "gone", "a")
    ]
    write_version(rows, NewVersion(None, "import", "me", "m", lines), folder)
    none = review.build_items(make_run(tmp_path, ["cat"], []), None)
    assert with_conflicts(none, folder, "v0001", rows, ["a", "b", "c"])["issue"].tolist().count(ISSUE) == 1
    assert with_conflicts(none, folder, "v0001", rows, ["c"]).equals(none)


def test_what_else_both_sides_can_change_is_said_in_words(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path, "pets")
    blank = {"change": "conflict", "sample_id": "a", "path": "a.png", "annotation_id": ""}
    sides = [
        ("split", "train", "test", "val"),
        (
            "status",
            {"status": "ok", "reason": ""},
            {"status": "excluded", "reason": "broken"},
            {"status": "unreadable"},
        ),
        ("label", None, {"label": "cat", "curate:labels": ["cat", "dog"]}, None),
        ("box", None, [1, 2, 3, 4], None),
        ("attributes.who", None, {"deep": [1]}, 7),
        ("annotation", "present", "present", None),
        ("picture", "0a", "0a", "0b"),
    ]
    lines = [blank | {"field": field, "base": base, "from": ours, "to": theirs} for field, base, ours, theirs in sides]
    write_version(make_rows({"id": "a"}), NewVersion(None, "import", "me", "m", [{"change": "import"}]), folder)
    version = write_version(make_rows({"id": "a"}), NewVersion("v0001", "import", "me", "m", lines), folder)
    (found,) = conflicts(folder, version).values()
    told = {conflict.field: explain_pieces(explain_conflict(conflict)) for conflict in found}
    assert told["split"].startswith("Split. After the review it is “test”; the source says “val” since it was imported")
    assert "Before, it was “train”." in told["split"]
    assert "excluded (broken); the source says unreadable" in told["status"]
    assert "Before, it was usable" in told["status"]
    assert told["label"].startswith("Reviewed as “cat” or “dog”; the source says nothing since")
    assert "“[1, 2, 3, 4]”" in told["box"]
    assert "may show something else now" in told["picture"]
