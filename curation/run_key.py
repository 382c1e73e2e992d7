"""Whether a run is the one that was asked for: a key of the data, the settings and the code that make its result."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curation
from curation.manifest import dataset_folder_name

# Packages whose version can change a score.
RESULT_PACKAGES = ("cleanlab", "numpy", "pandas", "pillow", "scikit-learn", "scipy", "torch", "torchvision")
# The module whose result a run is: what it does not reach by imports only shows results, or works on with them.
MAIN_PATH = "curation.score"


def run_key(samples: pd.DataFrame, annotations: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    """Hash of everything that decides a result: equal keys, equal runs.

    Parameters
    ----------
    samples : SAMPLE_COLUMNS with `content_hash` filled, whatever the order of the rows
    annotations : ANNOTATION_COLUMNS, whatever the order of the rows
    settings : JSON values, the seed and the resolved plan (model, weights, device ...) among them

    Returns
    -------
    64 hex digits, which the code and the versions of the packages that compute the result go into, too.
    """
    digest = hashlib.blake2b(digest_size=32)
    names = ["sample_id", "path", "split", "content_hash", "group", "status", "reason"]
    tables = (samples.sort_values("sample_id")[names], annotations.sort_values("annotation_id"))
    for table in tables:
        for name in table:
            digest.update(json.dumps([name, table[name].tolist()]).encode())
    digest.update(json.dumps(plain(settings), sort_keys=True).encode())
    digest.update(json.dumps([code_version(), package_versions(RESULT_PACKAGES)]).encode())
    return digest.hexdigest()


def make_run_id(dataset: str, key: str) -> str:
    """`<dataset>-<first 10 digits of the key>`; the dataset's name is made a safe folder name as for manifests."""
    return f"{dataset_folder_name(dataset)}-{key[:10]}"


@lru_cache
def code_version() -> str:
    """The library's version and a hash of the source that the main path is made of."""
    digest = hashlib.blake2b(digest_size=8)
    for name, file in sorted(result_modules().items()):
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{curation.__version__}+{digest.hexdigest()}"


def result_modules() -> dict[str, Path]:
    """Name and file of every module of this library that MAIN_PATH imports, wherever and by whatever way."""
    root = Path(curation.__file__).parent
    files = {module_name(file, root): file for file in root.rglob("*.py")}
    reached: set[str] = set()
    waiting = {MAIN_PATH}
    while waiting:
        name = waiting.pop()
        if name in files and name not in reached:
            reached.add(name)
            waiting |= _imported(files[name]) | {name.rpartition(".")[0]}
    return {name: files[name] for name in reached}


def module_name(file: Path, root: Path) -> str:
    """The name under which a file below the package folder `root` is imported."""
    parts = file.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path) -> set[str]:
    """What a file may import: of `from a import b`, both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def package_versions(names: tuple[str, ...] = RESULT_PACKAGES) -> dict[str, str]:
    """Installed version by package name, "" where it is not installed; imports none of them."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def plain(value: Any) -> Any:
    """`value` as JSON values: NumPy scalars and arrays, tuples and paths converted, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
