"""Find wrong labels in image data sets, fix them, and prove that it helped."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {"open_dataset": "curation.torch_dataset"}  # by name, as what is there imports this module, and torch


def __getattr__(name: str) -> Any:
    """`curation.open_dataset`, imported when it is asked for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
