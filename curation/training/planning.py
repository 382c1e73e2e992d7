"""What will be trained on a data set: the settings that a user made, filled in for its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from curation.decoding.crops import CONTEXT
from curation.pixels import peek_size
from curation.records import Records
from curation.training import plan
from curation.training.plan import Plan, TrainingSettings

# Boxes are many, and seldom larger: at this size a pretrained network is six times as fast as at its own.
PRETRAINED_BOX_PX = 96


def plan_for(settings: TrainingSettings, records: Records, workspace: Path) -> Plan:
    """The plan for a data set; whether weights can be had is asked once an hour.

    Raises
    ------
    SettingsError, WeightsError : see `choose_plan`.
    """
    boxes = records.annotations[records.annotations["x"].notna()]
    on_boxes = records.task == "detection" and len(boxes) > 0
    longer_side = float(boxes[["w", "h"]].max(axis=1).median()) * (1 + 2 * CONTEXT) if on_boxes else 0.0
    chosen = plan.choose_plan(
        mode=settings.mode,
        model=settings.model,
        weights=settings.weights,
        device=settings.device,
        flip=settings.flip,
        epochs=settings.epochs,
        size_px=settings.size_px,
        n_samples=len(boxes) if on_boxes else len(records.samples),
        median_side_px=round(longer_side) if on_boxes else min(peek_size(records)),
        reachable=plan.remembered(plan.weights_reachable, workspace / ".curate" / "cache" / "weights.json"),
    )
    if on_boxes and settings.size_px is None and chosen.mode != "compact":
        return replace(chosen, size_px=min(chosen.size_px, PRETRAINED_BOX_PX))
    return chosen
