"""Many tabs at once on a real server: every item is decided once, and no answer waits for the collector of garbage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from curation import store
from curation.commands.review import streamlit_command
from pipelines.session_benchmark import review
from tests.app.browsing import serving
from tests.app.workspaces import DATASET, make_workspace


def test_the_server_does_not_stop_for_garbage_after_every_answer(tmp_path: Path) -> None:
    """Streamlit's default is a full collection after each script run, during which no other tab is answered."""
    assert "--runner.postScriptGC=false" in streamlit_command(tmp_path, None, "", "127.0.0.1", 8501, browser=False)


@pytest.mark.slow
def test_tabs_that_review_at_once_decide_each_item_once(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, count=60)
    with serving(workspace) as server:
        asyncio.run(asyncio.wait_for(review(server.port, sessions=8, decisions=3), 240))
    made = store.decisions(store.open_store(workspace), DATASET)
    assert made["action_id"].nunique() == 24
    assert made["item_id"].nunique() == 24
