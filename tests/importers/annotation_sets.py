"""The smallest source of each format that keeps what it says in json or XML: one picture, one box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

VALUE = {"x": 25, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["cat"]}
TEXTS: dict[str, tuple[str, Any]] = {
    "coco": (
        "annotations.json",
        {
            "images": [{"id": 1, "file_name": "a.png"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}],
            "categories": [{"id": 1, "name": "cat"}],
        },
    ),
    "labelme": (
        "a.json",
        {"shapes": [{"label": "cat", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"}], "imagePath": "a.png"},
    ),
    "labelstudio": (
        "tasks.json",
        [{"data": {"image": "a.png"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": VALUE}]}]}],
    ),
    "cvat": (
        "annotations.xml",
        '<annotations><image name="a.png"><box label="cat" xtl="1" ytl="1" xbr="3" ybr="3"/></image></annotations>',
    ),
}


def one_box(folder: Path, name: str) -> Path:
    """A folder with the 4 x 4 picture a.png and a cat in the middle of it."""
    folder.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    file, content = TEXTS[name]
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder
