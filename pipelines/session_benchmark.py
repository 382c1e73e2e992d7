"""How the review app does with many reviewers at once: 200 tabs as light WebSocket clients, each deciding 5 items.

    python pipelines/session_benchmark.py PORT DATASET [--workspace DIR] [--sessions 200] [--decisions 5]

`curate review --no-browser --port PORT --workspace DIR` has to be running on a copy of the data. The clients speak as
the browser does, without drawing anything. Counted: how long a tab takes to open, how long a decision takes until the
server's answer has it, and whether each item was decided once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from curation import store

PAUSE_SECONDS = 2.0  # a reviewer looks at a picture for up to this long
ATTEMPTS = 30


class Tab:
    """One tab: a connection, and what its component was given last."""

    def __init__(self, port: int, reviewer: str) -> None:
        self.place, self.reviewer, self.tab_id = f"127.0.0.1:{port}", reviewer, uuid.uuid4().hex
        self.component: Any = None
        self.fragment = ""
        self.answer: dict[str, Any] = {}

    async def open(self) -> None:
        """Connect, have the page drawn, and be handed the first items."""
        self.socket = await websockets.connect(
            f"ws://{self.place}/_stcore/stream",
            origin=f"http://{self.place}",  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=2**28,
            open_timeout=None,
            ping_timeout=None,
        )
        first = BackMsg()
        first.rerun_script.query_string = ""
        await self._send(first)
        await self.say()

    async def say(self, *actions: dict[str, Any]) -> None:
        """Send a message as the component does, and wait for its answer."""
        said = {"tab": self.tab_id, "reviewer": self.reviewer, "actions": list(actions), "have": [], "want": 2}
        event = [{"event": "message", "value": said}]
        message = BackMsg()
        message.rerun_script.fragment_id = self.fragment
        trigger = f"$$STREAMLIT_INTERNAL_KEY_{self.component.id}__events"
        message.rerun_script.widget_states.widgets.extend(
            [
                WidgetState(id=self.component.id, json_value="{}"),
                WidgetState(id=trigger, json_trigger_value=json.dumps(event)),
            ]
        )
        await self._send(message)

    async def _send(self, message: BackMsg) -> None:
        await self.socket.send(message.SerializeToString())
        kind = None
        while kind != "script_finished":
            received = ForwardMsg()
            received.ParseFromString(await self.socket.recv())
            kind = received.WhichOneof("type")
            if kind == "delta" and received.delta.new_element.WhichOneof("type") == "bidi_component":
                self.component = received.delta.new_element.bidi_component
                self.fragment = received.delta.fragment_id or self.fragment
                self.answer = json.loads(self.component.json)

    async def decide(self) -> float:
        """Keep the label of the first item in hand; seconds until the answer says that it is recorded."""
        for _ in range(ATTEMPTS):
            if self.answer.get("queue"):
                break
            await asyncio.sleep(1)
            await self.say()
        action = {"kind": "decide", "action_id": uuid.uuid4().hex, "items": [self.answer["queue"][0]], "name": "keep"}
        started = time.perf_counter()
        for _ in range(ATTEMPTS):
            await self.say({**action, "labels": [], "seconds": 1.0, "shown": True})
            if action["action_id"] in self.answer.get("acks", []):
                return time.perf_counter() - started
            await asyncio.sleep(1)
        raise RuntimeError(f"not saved: {self.answer.get('error') or self.answer.get('rejected')}")


async def review(port: int, sessions: int, decisions: int) -> tuple[list[float], list[float]]:
    """Seconds that each tab took to open, and each decision to be saved."""
    opening: list[float] = []
    deciding: list[float] = []
    tabs = [Tab(port, f"reviewer {number}") for number in range(sessions)]

    async def start(tab: Tab) -> None:
        started = time.perf_counter()
        await tab.open()
        opening.append(time.perf_counter() - started)

    async def work(tab: Tab) -> None:
        for _ in range(decisions):
            await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))
            deciding.append(await tab.decide())

    await asyncio.gather(*map(start, tabs))
    await asyncio.gather(*map(work, tabs))
    await asyncio.gather(*(tab.socket.close() for tab in tabs))
    return opening, deciding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("dataset")
    parser.add_argument("--workspace", type=Path, default=Path("."))
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=600, help="give up after this long")
    chosen = parser.parse_args()
    before = len(store.decisions(store.open_store(chosen.workspace), chosen.dataset))
    work = review(chosen.port, chosen.sessions, chosen.decisions)
    opening, deciding = asyncio.run(asyncio.wait_for(work, chosen.seconds))
    for what, times in (("a tab to open", opening), ("a decision to be saved", deciding)):
        middle, late = np.percentile(times, [50, 95])
        print(f"{len(times)} times {what}: median {middle:.2f} s, 95 % {late:.2f} s, longest {max(times):.2f} s")
    made = store.decisions(store.open_store(chosen.workspace), chosen.dataset).iloc[before:]
    print(f"{made['action_id'].nunique()} actions on {made['item_id'].nunique()} items")


if __name__ == "__main__":
    main()
