"""The other pages and the command that starts the app."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation import manifest, store
from curation.cli import main
from curation.commands import review as command
from curation.decisions import Action, Decision
from curation.manifest.version_files import read_lines
from tests.app.annotated import IDS as BOXED
from tests.app.annotated import make_boxed_workspace, make_tagged_workspace
from tests.app.tabs import MAIN, Tab, decision, undo
from tests.app.workspaces import DATASET, make_workspace, sample_ids

IDS = sample_ids(30)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def tab(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    return Tab(workspace, monkeypatch)


def text_of(tab: Tab) -> str:
    kinds = ("markdown", "text", "subheader", "success", "warning", "error", "caption")
    return "\n".join(element.value for kind in kinds for element in tab.app.get(kind))


# --- grid


def test_the_grid_offers_groups_and_decides_one_with_one_action(tab: Tab, workspace: Path) -> None:
    tab.open("grid")
    group = tab.data["groups"][0]
    cells = [cell["id"] for cell in tab.data["cells"]]
    assert group["count"] == len(cells) > 3
    press = decision("pick", "", group["suggestion"]) | {"items": cells[1:]}
    answer = tab.say(press, aside=cells[:1])
    rows = store.decisions(store.open_store(workspace), DATASET)
    assert rows["action_id"].nunique() == 1
    assert set(rows["sample_id"]) == set(cells[1:])
    assert group["key"] not in [other["key"] for other in answer["groups"]]
    answer = tab.say(undo(press["action_id"]), group="back")
    assert answer["group"] == group["key"]
    assert set(cells[1:]) <= {cell["id"] for cell in answer["cells"]}


def test_what_was_taken_back_is_the_group_that_is_shown_also_if_it_is_one_picture(tab: Tab) -> None:
    tab.open("grid")
    group = tab.data["groups"][1]
    cells = [cell["id"] for cell in tab.say(group=group["key"], aside=[])["cells"]]
    press = decision("pick", "", group["suggestion"]) | {"items": cells[:1]}
    answer = tab.say(press, aside=cells[1:])
    assert sorted(answer["aside"]) == sorted(cells[1:])
    assert group["key"] not in [other["key"] for other in answer["groups"]]
    answer = tab.say(undo(press["action_id"]), group="back", aside=cells[1:])
    assert [cell["id"] for cell in answer["cells"]] == cells[:1]
    assert answer["notice"][0][0] == "Taken back: you "


def test_a_case_that_was_taken_back_on_the_grid_puts_no_other_group_under_the_keys(tab: Tab) -> None:
    tab.decide("keep")
    tab.open("grid")
    answer = tab.say(undo(), group="back", aside=[])
    assert "Review page" in answer["halt"][1]


def test_what_was_set_aside_on_the_grid_comes_first_on_the_review_page(tab: Tab) -> None:
    tab.open("grid")
    cells = [cell["id"] for cell in tab.data["cells"]]
    tab.say(decision("pick", "", "dog") | {"items": cells[2:]}, aside=cells[:2])
    tab.open("review")
    assert sorted(tab.data["front"]) == sorted(cells[:2])
    assert sorted(tab.data["queue"][:2]) == sorted(cells[:2])
    assert "set aside" in tab.data["notice"]
    tab.decide("keep", item=cells[0])
    tab.open("grid")
    assert tab.data["aside"] == [cells[1]]


def test_the_grid_groups_by_looks_too(tab: Tab) -> None:
    tab.open("grid")
    tab.app.radio(key="grid-by").set_value("alike").run()
    assert {group["kind"] for group in tab.say()["groups"]} == {"alike"}


def test_two_reviewers_get_different_groups(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tab.open("grid")
    other = Tab(workspace, monkeypatch, reviewer="bo", view="grid")
    assert other.data["group"] != tab.data["group"]
    answer = other.say(group=tab.data["group"])
    assert "Somebody else" in answer["notice"]


# --- overview


def test_the_overview_says_what_to_do_before_anything_is_decided(tab: Tab) -> None:
    tab.open("overview")
    assert "Nothing is decided yet" in text_of(tab)


def test_the_overview_counts_what_was_decided(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set_policy(store.open_store(workspace), DATASET, second_opinion=1.0)
    items = [item for item in tab.data["queue"] if item.startswith("s")][:4]
    tab.say(*(decision("accept", item) for item in items[:3]), decision("keep", items[3]))
    other = Tab(workspace, monkeypatch, reviewer="bo", item=items[0])
    other.decide("accept", item=items[0])
    other.decide("keep", item=items[1])
    tab.open("overview")
    metrics = {metric.label: metric.value for metric in tab.app.metric}
    assert (metrics["Decided"], metrics["Changed"], metrics["Disagreements"]) == (
        "4",
        "2",
        "1",
    )  # one of the three is disputed
    assert metrics["Second opinions"] == "2"
    assert metrics["Left to find"].startswith("about ")
    assert "Agreement" in text_of(tab)


@pytest.mark.parametrize("make", [make_boxed_workspace, make_tagged_workspace])
def test_the_overview_counts_pictures_with_an_error_where_they_have_boxes_or_several_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    tab = Tab(make(tmp_path / "several"), monkeypatch, item=BOXED["doubled"])
    tab.decide("accept", item=BOXED["doubled"])
    tab.open("overview")
    assert "Pictures with an error" in text_of(tab)
    assert "labels or boxes in them that are wrong, missing or too many" in text_of(tab)
    metrics = {metric.label: metric.value for metric in tab.app.metric}
    assert metrics["Left to find"] == "about 1"  # swapped.png
    for table in tab.app.dataframe[:2]:  # pictures, and errors in them
        rows = table.value.set_index(table.value.columns[0])["number"]
        assert rows["found and fixed"] == "1"


# --- versions


def publish(tab: Tab, message: str = "first look", name: str = "ann") -> None:
    tab.app.text_input(key="author").set_value(name)
    next(field for field in tab.app.text_input if field.label == "Message").set_value(message)
    next(button for button in tab.app.button if button.label.startswith("Publish")).click().run()
    assert not tab.app.exception


def test_publishing_writes_a_version_and_says_so(tab: Tab, workspace: Path) -> None:
    items = [item for item in tab.data["queue"] if item.startswith("s")]
    tab.say(decision("pick", items[0], "fox"), decision("off-topic", items[1]), decision("keep", items[2]))
    tab.open("versions")
    assert "1 relabelled" in text_of(tab)
    publish(tab)
    assert "Published v0002" in text_of(tab)
    folder = manifest.manifest_folder(workspace, DATASET)
    rows = manifest.read(folder, "v0002").set_index("sample_id")
    assert rows.loc[items[0], "label"] == "fox"
    assert rows.loc[items[1], "status"] == "excluded"
    lines = read_lines(folder / "v0002.changes.jsonl")
    assert {line["reviewer"] for line in lines} == {"ann"}
    assert "Nothing new since v0002" in text_of(tab)


def test_publishing_needs_a_name_and_a_message(tab: Tab, workspace: Path) -> None:
    tab.decide("keep", item=IDS[10])
    tab.open("versions")
    publish(tab, message="  ")
    assert "are needed" in text_of(tab)
    assert manifest.versions(manifest.manifest_folder(workspace, DATASET)) == ["v0001"]


def test_what_was_not_shown_is_not_published(tab: Tab, workspace: Path) -> None:
    tab.decide("pick", "fox", item=IDS[10])
    tab.open("versions")
    said = Decision(IDS[11], IDS[11], "relabel", ("owl",))
    store.record(store.open_store(workspace), Action("late", DATASET, "bo", (said,)))
    publish(tab)
    assert "More was decided meanwhile" in text_of(tab)
    assert manifest.versions(manifest.manifest_folder(workspace, DATASET)) == ["v0001"]
    publish(tab)
    assert "v0001 to v0002: 2 relabelled" in text_of(tab)


def test_somebody_who_published_meanwhile_is_said(tab: Tab, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.manifest import publish as publishing

    tab.decide("pick", "fox", item=IDS[10])
    tab.open("versions")
    folder, engine = manifest.manifest_folder(workspace, DATASET), store.open_store(workspace)
    proposal = publishing.propose(folder, engine, DATASET)
    publishing.publish(folder, engine, DATASET, "quicker", "bo")
    monkeypatch.setattr(publishing, "propose", lambda *_: proposal)
    publish(tab)
    assert "v0002" in text_of(tab)
    assert manifest.versions(folder) == ["v0001", "v0002"]


def test_a_published_version_can_be_taken_back(tab: Tab, workspace: Path) -> None:
    tab.decide("pick", "fox", item=IDS[10])
    tab.open("versions")
    publish(tab)
    tab.app.text_input(key="revert-author").set_value("ann")
    next(button for button in tab.app.button if button.label.startswith("Take back")).click().run()
    assert "v0003 takes it back" in text_of(tab)
    folder = manifest.manifest_folder(workspace, DATASET)
    assert manifest.canonical_hash(manifest.read(folder, "v0003")) == manifest.canonical_hash(
        manifest.read(folder, "v0001")
    )


def test_after_publishing_the_review_goes_on_under_the_new_labels(tab: Tab) -> None:
    tab.decide("pick", "fox", item=IDS[10])
    tab.open("versions")
    publish(tab)
    tab.open("review")
    assert tab.data["queue"]
    tab.decide("keep")
    assert not tab.data["error"]


# --- who is there


def test_without_sign_in_nothing_is_shown_where_it_is_configured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = Tab(workspace, monkeypatch)
    tab.app.user = {"is_logged_in": False}
    tab.app.run()
    assert tab.component is None
    assert "Please sign in" in text_of(tab)


def test_the_signed_in_name_counts_whatever_the_browser_says(tab: Tab, workspace: Path) -> None:
    tab.app.user = {"is_logged_in": True, "email": "boss@example.org", "name": "Boss", "sub": "7"}
    tab.app.run()
    tab.reviewer = "somebody else"
    tab.say()
    tab.decide("keep", item=IDS[10])
    rows = store.decisions(store.open_store(workspace), DATASET)
    assert rows["reviewer"].tolist() == ["boss@example.org"]
    tab.open("versions")
    assert tab.app.text_input(key="author").value == "boss@example.org"
    assert tab.app.text_input(key="author").disabled


# --- the command


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """What `curate review` would become."""
    found: list[list[str]] = []
    monkeypatch.setattr(command.os, "execv", lambda _, parts: found.append(parts))
    assert main(["review", *arguments]) == 0
    return found[0]


def test_the_app_listens_on_this_machine_only_and_tells_nobody(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = started(monkeypatch, "--workspace", str(workspace), "--no-browser", "--json")
    assert parts[:5] == [sys.executable, "-m", "streamlit", "run", str(MAIN)]
    for flag in ("server.address=127.0.0.1", "browser.gatherUsageStats=false", "server.fileWatcherType=none",
                 "client.toolbarMode=minimal", "server.headless=true", "server.allowedHosts=localhost"):  # fmt: skip
        assert f"--{flag}" in parts
    said = json.loads(capsys.readouterr().out)
    assert said["url"].startswith("http://localhost:")
    assert parts[parts.index("--") + 1 :] == ["--workspace", str(workspace)]


def test_other_addresses_need_authentication(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["review", "--workspace", str(workspace), "--host", "0.0.0.0"]) == 2
    assert "sign-in" in capsys.readouterr().err
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text('[auth]\ncookie_secret = "x"\n')
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None if name == "authlib" else name)
    assert main(["review", "--workspace", str(workspace), "--host", "0.0.0.0"]) == 2
    assert "needs authlib: pip install 'curate[auth]'" in capsys.readouterr().err
    monkeypatch.setattr(command, "_missing_for_sign_in", lambda: "")
    parts = started(monkeypatch, "--workspace", str(workspace), "--host", "0.0.0.0")
    assert "--server.address=0.0.0.0" in parts


def test_a_workspace_without_a_run_is_said_before_the_browser_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "--workspace", str(tmp_path)]) == 2
    assert "curate score" in capsys.readouterr().err


def test_a_port_in_use_is_said(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["review", "--workspace", str(workspace), "--port", str(port)]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_store_with_a_password_is_not_in_the_list_of_processes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_STORE", "postgresql://ann:secret@db.example/x")
    parts: Any = started(monkeypatch, "--workspace", str(workspace))
    assert not any("secret" in part for part in parts)
