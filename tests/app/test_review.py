"""The review page: every decision, from the message of the browser to the row in the store."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from app import data
from curation import manifest, store
from curation.manifest.publish import publish
from tests.app.tabs import Tab, decision, undo
from tests.app.workspaces import DATASET, import_again, make_workspace, sample_ids

IDS = sample_ids(30)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def tab(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    return Tab(workspace, monkeypatch)


def rows(workspace: Path) -> pd.DataFrame:
    return store.decisions(store.open_store(workspace), DATASET)


def sample_item(tab: Tab) -> str:
    return next(item for item in tab.data["queue"] if item.startswith("s"))


def test_a_tab_is_handed_the_first_item_and_those_after_it(tab: Tab) -> None:
    assert len(tab.data["queue"]) == 6
    card = tab.card(sample_item(tab))
    assert (card["given"], card["choices"][0]["label"]) == ("cat", "dog")
    assert card["picture"].startswith("data:image/")
    assert card["neighbours"]
    assert [card["kind"] for card in tab.data["cards"][:2]] == ["duplicates", "duplicates"]


@pytest.mark.parametrize(
    ("name", "labels", "verdict", "recorded", "reason"),
    [
        ("keep", (), "keep", [], ""),
        ("hard", (), "hard", [], ""),
        ("accept", (), "relabel", ["dog"], ""),
        ("accept_2", (), "relabel", ["owl"], ""),
        ("pick", ("fox",), "relabel", ["fox"], ""),
        ("ambiguous", ("cat", "fox"), "ambiguous", ["cat", "fox"], ""),
        ("off-topic", (), "exclude", [], "off-topic"),
        ("broken", (), "exclude", [], "broken"),
        ("duplicate", (), "exclude", [], "duplicate"),
        ("unsure", (), "unsure", [], ""),
    ],
)
def test_every_decision_on_a_picture_is_recorded(
    tab: Tab, workspace: Path, name: str, labels: tuple[str, ...], verdict: str, recorded: list[str], reason: str
) -> None:
    item = sample_item(tab)
    answer = tab.decide(name, *labels, item=item, comment="see")
    (row,) = rows(workspace).to_dict("records")
    assert (row["verdict"], json.loads(row["labels"]), row["reason"]) == (verdict, recorded, reason)
    assert (row["sample_id"], row["reviewer"], row["given_label"]) == (item, "ann", "cat")
    assert (row["comment"], row["seconds"], row["manifest_version"]) == ("see", 1.5, "v0001")
    assert row["suggestion"] == "dog"
    assert item not in answer["queue"]
    assert answer["acks"] == [row["action_id"]]


@pytest.mark.parametrize(
    ("name", "labels", "verdicts"),
    [
        ("keep_one", (), {"keep": 1, "exclude": 1}),
        ("keep_one", ("owl",), {"relabel": 1, "exclude": 1}),
        ("settle_label", ("dog",), {"relabel": 1, "keep": 1}),
        ("keep", (), {"keep": 2}),
        ("distinct", (), {"distinct": 2}),
        ("unsure", (), {"unsure": 2}),
    ],
)
def test_every_decision_on_a_case_of_copies_is_recorded(
    tab: Tab, workspace: Path, name: str, labels: tuple[str, ...], verdicts: dict[str, int]
) -> None:
    tab.open("duplicates")
    case = tab.data["queue"][0]
    assert {member["label"] for member in tab.card(case)["members"]} == {"cat", "dog"}
    tab.decide(name, *labels)
    made = rows(workspace)
    assert made["verdict"].value_counts().to_dict() == verdicts
    assert set(made["sample_id"]) == set(IDS[:2])
    assert made["action_id"].nunique() == 1


def test_an_action_that_is_sent_twice_is_recorded_once(tab: Tab, workspace: Path) -> None:
    press = decision("keep", sample_item(tab))
    tab.say(press)
    answer = tab.say(press, decision("keep", sample_item(tab)))
    assert len(rows(workspace)) == 2
    assert answer["acks"].count(press["action_id"]) >= 1


def test_undo_brings_the_item_back_to_the_front(tab: Tab, workspace: Path) -> None:
    items = [sample_item(tab)]
    tab.decide("keep", item=items[0])
    items.append(sample_item(tab))
    tab.decide("hard", item=items[1])
    answer = tab.say(undo())
    assert answer["front"] == [items[1]]
    assert answer["queue"][0] == items[1]
    answer = tab.say(undo())
    assert answer["front"] == [items[0]]
    assert rows(workspace)["verdict"].tolist() == ["keep", "hard", "undo", "undo"]


def test_undo_works_after_a_restart(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = sample_item(tab)
    tab.decide("keep", item=item)
    later = Tab(workspace, monkeypatch)
    assert later.say(undo())["front"] == [item]


def test_undo_without_anything_to_take_back_says_so(tab: Tab) -> None:
    assert "nothing left" in tab.say(undo())["notice"]


def test_two_tabs_never_hold_the_same_item(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Tab(workspace, monkeypatch)
    assert not set(other.data["queue"]) & set(tab.data["queue"])


def test_a_tab_that_moves_on_to_another_page_gives_back_what_it_held(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tab.data["queue"]
    tab.open("overview")
    assert Tab(workspace, monkeypatch).data["queue"] == held


def test_a_decision_on_an_item_that_somebody_else_decided_meanwhile_is_kept(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = sample_item(tab)
    engine = store.open_store(workspace)
    store.release(engine, DATASET, tab.tab_id)  # as if the lease had expired
    other = Tab(workspace, monkeypatch, reviewer="bo")
    other.decide("keep", item=item)
    answer = tab.decide("pick", "owl", item=item)
    assert len(answer["acks"]) == 1
    assert store.read_item(engine, DATASET, item).state == "disagreement"


def test_a_new_class_needs_an_explicit_confirmation(tab: Tab, workspace: Path) -> None:
    item = sample_item(tab)
    ((_, text),) = tab.decide("pick", "yak", item=item)["rejected"]
    assert "no label 'yak'" in text
    tab.decide("pick", "yak", item=item, new_label=True)
    assert rows(workspace)["labels"].tolist() == ['["yak"]']
    tab.decide("pick", "yak", item=sample_item(tab))
    assert len(rows(workspace)) == 2


def test_a_refused_action_is_answered_and_the_next_ones_are_recorded(tab: Tab, workspace: Path) -> None:
    bad, good = decision("pick", sample_item(tab)), decision("keep", sample_item(tab))
    answer = tab.say(bad, good)
    assert [pair[0] for pair in answer["rejected"]] == [bad["action_id"]]
    assert answer["acks"] == [good["action_id"]]


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "x" * 10_000,
        {"tab": "../../etc"},
        {"tab": "0" * 32, "actions": [{"action_id": 7}]},
        {"tab": "0" * 32, "actions": [{"action_id": "' OR 1=1 --"}]},
    ],
)
def test_a_message_that_is_none_of_ours_is_refused(tab: Tab, workspace: Path, message: Any) -> None:
    tab.send(message)
    assert "reload the page" in tab.data["error"]
    assert rows(workspace).empty


@pytest.mark.parametrize("item", ["s" + "9" * 16, "../../secret.png", "x" * 10_000, "'; drop table items; --", ""])
def test_an_item_that_is_not_in_the_queue_cannot_be_decided(tab: Tab, workspace: Path, item: str) -> None:
    answer = tab.say(decision("keep", item))
    assert len(answer["rejected"]) == 1
    assert rows(workspace).empty


def test_a_name_that_is_too_long_or_empty_is_refused(tab: Tab, workspace: Path) -> None:
    answer = tab.say(decision("keep", sample_item(tab)), reviewer="x" * 150)
    assert "100" in answer["rejected"][0][1]
    assert rows(workspace).empty


def test_a_locked_database_is_said_and_nothing_is_lost(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "BUSY_SECONDS", 0.1)
    tab = Tab(workspace, monkeypatch)
    item = sample_item(tab)
    press = decision("keep", item)
    other = sqlite3.connect(store.store_path(workspace), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = tab.say(press)
    assert "is locked" in answer["error"]
    assert press["action_id"] not in answer["acks"]
    other.execute("ROLLBACK")
    assert tab.say(press)["acks"] == [press["action_id"]]
    assert len(rows(workspace)) == 1


def test_pictures_of_a_source_that_is_gone_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "workspace", pictures=False)
    tab = Tab(workspace, monkeypatch)
    assert tab.card(sample_item(tab))["picture"].startswith("data:image/")


def test_without_a_run_the_page_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = Tab(tmp_path, monkeypatch)
    assert "curate score" in "".join(element.value for element in tab.app.markdown)


def test_when_all_is_done_the_page_says_so(tab: Tab) -> None:
    for _ in range(40):
        if not tab.data["queue"]:
            break
        tab.say(*(decision("keep", item) for item in tab.data["queue"]))
    assert tab.data["queue"] == []
    assert tab.data["empty"][0] == "All done here."
    assert tab.data["done"] >= 28


def test_filters_choose_what_is_handed_out(tab: Tab) -> None:
    tab.app.selectbox(key="filter-label").set_value("owl").run()
    answer = tab.say()
    assert {card["given"] for card in answer["cards"] if card["kind"] == "sample"} == {"owl"}
    tab.app.selectbox(key="filter-label").set_value("").run()
    tab.app.text_input(key="filter-text").set_value("p029%_").run()
    assert tab.say()["queue"] == []
    tab.app.text_input(key="filter-text").set_value("p029").run()
    assert tab.say()["queue"] == [IDS[29]]


def test_a_link_to_an_item_opens_it(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = Tab(workspace, monkeypatch, item=IDS[20])
    assert tab.data["queue"][0] == IDS[20]


@pytest.mark.parametrize("item", ["s" + "9" * 16, "<script>alert(1)</script>", "x" * 10_000])
def test_a_link_to_nothing_says_so_and_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch, item: str) -> None:
    tab = Tab(workspace, monkeypatch, item=item)
    title, _, said = tab.data["halt"]  # the browser shows nothing else until that is acknowledged
    assert "leads to no item" in title
    assert said == []
    assert len(tab.data["queue"]) == 6


@pytest.mark.parametrize("view", ["", "duplicates"])
def test_a_link_to_a_picture_that_has_copies_opens_the_case(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    tab = Tab(workspace, monkeypatch, item=IDS[3]) if not view else Tab(workspace, monkeypatch, view=view)
    if view:
        tab.app.query_params["item"] = IDS[3]
        tab.app.run()
        tab.say()
    assert "halt" not in tab.data
    card = tab.card(tab.data["queue"][0])
    assert [member["sample_id"] for member in card["members"]] == [IDS[2], IDS[3]]


def test_a_link_to_a_case_that_is_decided_shows_it_with_what_was_said(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.open("duplicates")
    case = tab.data["queue"][0]
    tab.decide("keep")
    for item in (case, IDS[0]):
        again = Tab(workspace, monkeypatch, view="", item=item)
        assert again.data["queue"][0] == again.data["front"][0] == case
        assert [sentence(parts) for parts in again.data["earlier"][case]] == [
            "You left all copies as they are just now."
        ]
        again.say(release=[case])


def test_a_link_to_what_was_excluded_says_what_was_decided(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab.decide("off-topic", item=IDS[10])
    folder, engine = manifest.manifest_folder(workspace, DATASET), store.open_store(workspace)
    publish(folder, engine, DATASET, "one less", "lead")
    later = Tab(workspace, monkeypatch, item=IDS[10])
    title, text, said = later.data["halt"]
    assert ("leads to no item" in title, IDS[10] in text) == (True, True)
    assert [sentence(parts) for parts in said] == ["You excluded it (off-topic) just now."]


def test_an_undo_says_what_it_took_back_and_whether_there_is_more(tab: Tab) -> None:
    assert tab.data["can_undo"] is False
    items = [item for item in tab.data["queue"] if item.startswith("s")]
    assert tab.decide("pick", "fox", item=items[0])["can_undo"]
    tab.say(decision("keep", "") | {"items": items[1:3]})
    answer = tab.say(undo())
    assert sentence(answer["notice"]) == "Taken back: you kept the labels of 2 pictures."
    assert answer["can_undo"]
    answer = tab.say(undo())
    assert sentence(answer["notice"]) == "Taken back: you changed the label [cat] to [fox]."
    assert not answer["can_undo"]
    assert tab.say()["notice"] == ""


def test_a_link_to_an_item_that_somebody_holds_says_so(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Tab(workspace, monkeypatch, reviewer="bo", item=tab.data["queue"][0])
    assert "open in another tab" in other.data["halt"][1]
    assert tab.data["queue"][0] not in other.data["queue"]


def test_a_second_opinion_is_blind(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set_policy(store.open_store(workspace), DATASET, second_opinion=1.0, hide_suggestion=1.0)
    item = sample_item(tab)
    tab.decide("pick", "fox", item=item)
    other = Tab(workspace, monkeypatch, reviewer="bo", item=item)
    card = other.card(item)
    assert card["state"] == "second"
    assert (card["choices"], card["why"], card["show_suggestion"]) == ([], [], False)
    assert "fox" not in json.dumps({**card, "neighbours": []})
    assert other.data["earlier"] == {}
    other.decide("keep", item=item)
    third = Tab(workspace, monkeypatch, reviewer="cy", item=item)
    told = [sentence(parts) for parts in third.data["earlier"][item]]
    assert [text.split()[0] for text in told] == ["ann", "bo"]


def test_what_was_said_of_an_item_before_stands_on_its_card(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = sample_item(tab)
    assert tab.data["earlier"] == {}
    tab.decide("keep", item=item)
    tab.decide("pick", "owl", item=sample_item(tab))
    again = Tab(workspace, monkeypatch, item=item)
    assert [sentence(parts) for parts in again.data["earlier"][item]] == ["You kept the label [cat] just now."]
    tab.say(release=[item])
    other = Tab(workspace, monkeypatch, reviewer="bo")
    other.app.selectbox(key="filter-state").set_value("done").run()
    told = [sentence(parts) for said in other.say()["earlier"].values() for parts in said]
    assert "ann changed the label [dog] to [owl] just now." in told


def test_progress_counts_suspects_apart(tab: Tab, workspace: Path) -> None:
    tab.decide("keep")
    found = (tab.data["done"], tab.data["suspects"], tab.data["total"])
    assert found[0] >= found[1] > 0
    assert found[1] <= found[2]


def sentence(parts: list[list[Any]]) -> str:
    return "".join(f"[{text}]" if is_label else text for text, is_label in parts)


@pytest.mark.parametrize(("key", "label"), [("pick", "yak"), ("keep", "fox")])
def test_a_label_that_source_and_reviewer_both_changed_says_so_and_offers_both(
    tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch, key: str, label: str
) -> None:
    tab.decide("pick", "fox", item=IDS[10])
    engine, folder = store.open_store(workspace), manifest.manifest_folder(workspace, DATASET)
    publish(folder, engine, DATASET, "a fox", "lead")
    assert import_again(workspace, {10: "yak"}) == "v0003"
    later = Tab(workspace, monkeypatch)
    card = later.data["cards"][0]
    assert card["id"].startswith("c")
    day = r"\d{4}-\d\d-\d\d"
    why = sentence(card["why"][0])
    assert re.fullmatch(
        rf"Reviewed as \[fox\] \(ann, {day}\); the source says \[yak\] since it was imported again \({day}\). "
        r"Before, it was \[owl\].",
        why,
    )
    assert card["issues"][0] == "changed on both sides"
    assert (card["given"], card["given_by"][:3]) == ("fox", "ann")
    assert (card["choices"][0]["label"], card["choices"][0]["by"]) == ("yak", "the source")
    assert not any(
        "labelled [owl]" in sentence(parts).lower() for parts in card["why"][1:2] if "Before" not in parts[0][0]
    )
    answer = later.decide(key, *(["yak"] if key == "pick" else []))
    assert answer["rejected"] == []
    assert rows(workspace)["suggestion"].iloc[-1] == "cat"  # the model's, not what the source says
    publish(folder, engine, DATASET, "looked again", "lead")
    rows_now = manifest.read(folder, "v0004" if key == "pick" else manifest.versions(folder)[-1])
    assert rows_now.set_index("sample_id").loc[IDS[10], "label"] == label
    assert not any(item.startswith("c") for item in Tab(workspace, monkeypatch).data["queue"])
