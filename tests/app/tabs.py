"""A tab of the app without a browser: Streamlit's own script runner, and messages as the component sends them."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

MAIN = Path(__file__).parents[2] / "app" / "main.py"


class Tab:
    """One tab on one page, with a component on it or without."""

    def __init__(self, workspace: Path, patch: pytest.MonkeyPatch, reviewer: str = "ann", view: str = "", **query: str):
        patch.setattr(sys, "argv", ["main.py", "--workspace", str(workspace)])
        self.reviewer = reviewer
        self.tab_id = uuid.uuid4().hex
        self.app = AppTest.from_file(str(MAIN), default_timeout=60)
        self.app.query_params.update(query)
        self.app.run()
        if view:
            self.open(view)
        elif self.component:
            self.say()

    def open(self, view: str) -> None:
        """Go to another page; its component introduces itself, as in a browser."""
        self.app.switch_page(f"views/{view}.py").run()
        if self.component:
            self.say()

    @property
    def component(self) -> Any:
        found = self.app.get("bidi_component")
        return found[0].proto if found else None

    @property
    def data(self) -> dict[str, Any]:
        """What the component was given last."""
        found: dict[str, Any] = json.loads(self.component.json)
        return found

    def say(self, *actions: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Send a message; the answer."""
        message = {
            "tab": self.tab_id,
            "reviewer": self.reviewer,
            "actions": list(actions),
            "have": [],
            "want": 6,
            **more,
        }
        self.send(message)
        return self.data

    def send(self, message: Any) -> None:
        """Send whatever it is."""
        widgets = self.app._tree.get_widget_states()
        widget = WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{self.component.id}__events")
        widget.json_trigger_value = json.dumps([{"event": "message", "value": message}])
        widgets.widgets.append(widget)
        self.app._run(widgets)
        assert not self.app.exception, self.app.exception

    def decide(self, name: str, *labels: str, item: str = "", **more: Any) -> dict[str, Any]:
        """Press a key on the item shown, or on `item`; the answer."""
        return self.say(decision(name, item or self.data["queue"][0], *labels, **more))

    def card(self, item_id: str) -> dict[str, Any]:
        return next(card for card in self.data["cards"] if card["id"] == item_id)


def decision(name: str, item: str, *labels: str, **more: Any) -> dict[str, Any]:
    """An action as the component makes it."""
    action = {"kind": "decide", "action_id": uuid.uuid4().hex, "items": [item], "name": name, "labels": list(labels)}
    return {**action, "seconds": 1.5, "shown": True, **more}


def undo(target: str = "") -> dict[str, Any]:
    return {"kind": "undo", "action_id": uuid.uuid4().hex, "target": target}
