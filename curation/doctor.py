"""What the machine and the workspace have, what is wrong with them, and what `auto` would choose."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from pathlib import Path
from typing import Any

import curation
from curation import run_key, runs
from curation.cores import usable_cores
from curation.errors import CurationError, WorkspaceError
from curation.files import check_workspace, is_abandoned
from curation.manifest.version_files import headers
from curation.manifest.version_files import unfinished as unfinished_parts
from curation.training import plan
from curation.wording import counted

PACKAGES = (*run_key.RESULT_PACKAGES, "pyarrow", "h5py", "safetensors", "click", "rich")
LOW_DISK_BYTES = 2 * 2**30
# What `auto` is asked about: a typical set of small pictures, and one of photos.
TYPICAL = {"small pictures (32 px)": 32, "photos (500 px)": 500}


def inspect(workspace: Path) -> dict[str, Any]:
    """Facts about machine and workspace, ready for JSON; changes nothing, and takes a few seconds at most.

    Returns
    -------
    curate, python, system : versions
    packages : version by name, "" where it is missing
    machine : processor, cores, memory_bytes, fast_bf16 (bfloat16 faster than float32 on this processor)
    gpu : `usable`, `why`, and `devices`: name, memory_bytes, fast_bf16 each
    weights : by model that `auto` may take, `there` and `why`
    auto : by kind of pictures, mode, model, device, size_px and why
    workspace : path, writable, free_bytes, curate_bytes, runs, manifests, unfinished, leftovers
    problems : sentences; empty when all is well. Being offline or without a GPU is no problem.
    """
    problems: list[str] = []
    packages = run_key.package_versions(PACKAGES)
    missing = [name for name, version in packages.items() if not version]
    problems += [f"The package {name} is not installed: install curate again with pip." for name in missing]
    return {
        "curate": curation.__version__,
        "code": run_key.code_version(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "packages": packages,
        "machine": _machine(problems),
        "gpu": _gpu(problems),
        "weights": (weights := _weights()),
        "auto": _auto(weights, problems),
        "workspace": _workspace(workspace, problems),
        "problems": problems,
    }


# --- machine -----------------------------------------------------------------------------------------------------


def _machine(problems: list[str]) -> dict[str, Any]:
    facts = {"processor": _processor(), "cores": usable_cores(), "memory_bytes": _memory_bytes(), "fast_bf16": False}
    try:
        import torch

        from curation.training.train import has_fast_bf16

        facts["fast_bf16"] = has_fast_bf16(torch.device("cpu"))
    except (ImportError, OSError) as error:
        problems.append(f"torch cannot be loaded, so nothing can be trained: {error}")
    return facts


def _processor() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    """Memory of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _text("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _gpu(problems: list[str]) -> dict[str, Any]:
    none: dict[str, Any] = {"usable": False, "devices": []}
    try:
        import torch
    except (ImportError, OSError):
        return {**none, "why": "torch cannot be loaded"}
    if torch.version.cuda is None:
        return {**none, "why": "this build of torch is for the CPU only"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if not usable:
        if not Path("/proc/driver/nvidia/version").exists():
            return {**none, "why": "no NVIDIA driver was found"}
        reason = str(said[0].message).split("\n")[0] if said else "it does not answer"
        problems.append(f"There is an NVIDIA driver, but torch cannot use the GPU: {reason}")
        return {**none, "why": reason}
    from curation.training.train import has_fast_bf16

    devices = []
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        devices.append({"name": device.name, "memory_bytes": int(device.total_memory)})
    fast = has_fast_bf16(torch.device("cuda"))
    return {"usable": True, "devices": devices, "fast_bf16": fast, "why": f"CUDA {torch.version.cuda} answers"}


# --- what auto would choose --------------------------------------------------------------------------------------


def _weights() -> dict[str, dict[str, Any]]:
    """Whether the weights that `auto` may take can be had."""
    models = sorted({plan.DEFAULT_MODEL[mode] for mode in ("probe", "finetune")})
    return {model: dict(zip(("there", "why"), plan.weights_reachable(model), strict=True)) for model in models}


def _auto(weights: dict[str, dict[str, Any]], problems: list[str]) -> dict[str, Any]:
    def known(model: str) -> tuple[bool, str]:
        return bool(weights[model]["there"]), str(weights[model]["why"])

    chosen: dict[str, Any] = {}
    for kind, side_px in TYPICAL.items():
        try:
            choice = plan.choose_plan(n_samples=10_000, median_side_px=side_px, reachable=known)
        except (CurationError, ImportError, OSError) as error:
            problems.append(f"`auto` has no choice for {kind}: {error}")
            continue
        facts = {name: getattr(choice, name) for name in ("mode", "model", "device", "size_px")}
        chosen[kind] = {**facts, "why": list(choice.why)}
    return chosen


# --- workspace ---------------------------------------------------------------------------------------------------


def _workspace(workspace: Path, problems: list[str]) -> dict[str, Any]:
    place = Path(os.path.abspath(workspace))
    existing = next(folder for folder in (place, *place.parents) if os.path.exists(folder))
    free = shutil.disk_usage(existing).free
    try:
        check_workspace(place)
        unfinished = [folder.name.removesuffix(".partial") for folder in runs.list_partial(place)]
        usable = True
    except WorkspaceError as error:
        problems.append(str(error))
        unfinished, usable = [], False
    writable = usable and os.access(existing, os.W_OK)
    own = (place / ".curate", place / "data_manifest")
    files = [Path(folder, name) for root in own for folder, _, names in os.walk(root) for name in names]
    if usable and not writable:
        problems.append(f"The workspace {place} cannot be written: choose another one with --workspace DIR.")
    if free < LOW_DISK_BYTES:
        problems.append(
            f"Only {free / 2**30:.1f} GB are free in {place}: a run keeps decoded pictures and results there."
        )
    if unfinished:
        problems.append(
            f"{counted(len(unfinished), 'unfinished run')}: {', '.join(unfinished[:5])}. The same `curate score` again "
            f"goes on from there; if it is not wanted any more, remove {runs.runs_folder(place)}/<run>.partial."
        )
    leftovers = [str(path.relative_to(place)) for path in files if _is_leftover(path)]
    if leftovers:
        killed = counted(len(leftovers), "temporary file")
        problems.append(f"{killed} of a killed process may be removed: {', '.join(leftovers[:3])}.")
    return {
        "path": str(place),
        "writable": writable,
        "free_bytes": free,
        "curate_bytes": sum(_size(path) for path in files),
        "runs": _runs(place, problems) if usable else [],
        "manifests": _manifests(place, problems) if usable else {},
        "unfinished": unfinished,
        "leftovers": leftovers,
    }


def _runs(workspace: Path, problems: list[str]) -> list[str]:
    """Ids of the runs that can be read; what is wrong with the others, and with the arrays, is a problem."""
    readable = []
    for run_id in runs.complete_ids(workspace):
        try:
            run = runs.read_run(workspace, run_id)
            for name in run.info["arrays"]:
                run.array(name)
            run.samples()
            run.issues()
            readable.append(run.run_id)
        except CurationError as error:
            problems.append(str(error))
    return readable


def _manifests(workspace: Path, problems: list[str]) -> dict[str, str]:
    """The newest version by data set; headers that cannot be read, and what killed publishers left, are problems.

    Whether the files are what they were published as takes longer: `curate verify`.
    """
    newest: dict[str, str] = {}
    for folder in sorted((workspace / "data_manifest").glob("*/")):
        try:
            known = headers(folder)
            newest |= {folder.name: list(known)[-1]} if known else {}
            files = [name for header in known.values() for name in header["files"]]
            missing = [name for name in files if not (folder / os.path.basename(name)).is_file()]
            if missing:
                problems.append(f"{folder} lacks {', '.join(missing[:3])}: restore it from a backup or git.")
            parts = [name for name in unfinished_parts(folder) if not name.endswith(".tmp")]
            if parts:
                problems.append(f"{folder} has {parts[0]}, left by a killed publisher; the next one removes it.")
        except CurationError as error:
            problems.append(str(error))
    return newest


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".tmp" and is_abandoned(path)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
