"""What will be trained on a data set: the settings that a user made, filled in for its pictures."""

from __future__ import annotations

from pathlib import Path

from curation.pixels import peek_size
from curation.records import Records
from curation.training import plan
from curation.training.plan import Plan, TrainingSettings


def plan_for(settings: TrainingSettings, records: Records, workspace: Path) -> Plan:
    """The plan for a data set; whether weights can be had is asked once an hour.

    Raises
    ------
    SettingsError, WeightsError : see `choose_plan`.
    """
    return plan.choose_plan(
        mode=settings.mode,
        model=settings.model,
        weights=settings.weights,
        device=settings.device,
        flip=settings.flip,
        epochs=settings.epochs,
        size_px=settings.size_px,
        n_samples=len(records.samples),
        median_side_px=min(peek_size(records)),
        reachable=plan.remembered(plan.weights_reachable, workspace / ".curate" / "cache" / "weights.json"),
    )
