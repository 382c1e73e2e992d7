"""What each task's file says of a network for use: how it is trained, put together again, and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from curation.pixels import Pixels
from curation.progress import Progress
from curation.proving.compare import Comparison
from curation.proving.contract import Material
from curation.training.plan import Plan


@dataclass(frozen=True, eq=False)
class Learnt:
    """A network that has been trained.

    state : its tensors by name; facts : what else is needed to use it, JSON values
    trained_on : number of pictures; measured : on the hold-out, against itself; None = there is none
    """

    state: dict[str, Any]
    trained_on: int
    measured: Comparison | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Model:
    """A network that `retrain` wrote, with its facts (model.json); `plan.device` is where it is."""

    network: Any
    facts: dict[str, Any]
    plan: Plan


@dataclass(frozen=True)
class Kind:
    """One task's networks.

    what : for people
    learn : trains on everything that is learnable; `folder` keeps what can be used again
    assemble : (facts, plan, tensors) -> network on the plan's device; what does not fit is a KeyError, RuntimeError ...
    predict : decoded pictures -> a table, `path` first and `reason` (why a picture could not be read, "") last
    """

    what: str
    learn: Callable[[Material, Path], Learnt]
    assemble: Callable[[dict[str, Any], Plan, dict[str, Any]], Any]
    predict: Callable[[Model, Pixels, Progress], pd.DataFrame]
