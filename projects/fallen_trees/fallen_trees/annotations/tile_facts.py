"""How the tiles of a data set were cut from their scenes, so that a scene can be cut likewise when it is mapped.

`derive` writes the facts into the data sets' metainfo as `tiles`, and MMEngine saves that in every checkpoint.
"""

import json
from collections import Counter
from pathlib import Path


def tile_facts(coco: dict, ann_file: Path) -> dict | None:
    """Read the facts that all tiles of a file share.

    Args:
        coco: A COCO file; its images have the keys of `data_prep tile` or are no tiles.
        ann_file: Where it lies; overlap and stretch stand in `TRACKING.json` of its data set, if there is one.

    Returns:
        Plain types: `size_px` [width, height], `gsd_m`, `scale` (tile pixels per source pixel), `bands` (from 1),
        `overlap` (share) and `stretch` (a mode of `data_prep`); None where the tiles disagree or nothing is known.
        None for images that were not cut from scenes.
    """
    images = [image for image in coco['images'] if 'window_xywh' in image]
    if not images:
        return None
    asked = _settings(ann_file)
    size = Counter((image.get('width'), image.get('height')) for image in images).most_common(1)[0][0]
    return dict(
        size_px=list(size),
        gsd_m=_shared(images, 'gsd_m') or asked.get('gsd_m'),
        scale=_shared(images, 'scale'),
        bands=_shared(images, 'bands'),
        overlap=(asked.get('rule') or {}).get('overlap'),
        stretch=asked.get('stretch'),
    )


def _shared(images: list[dict], key: str) -> object:
    """The value of a key where nearly all images agree on it; sizes of pixels may differ by a hundredth."""
    values = [image.get(key) for image in images]
    first = Counter(map(json.dumps, values)).most_common(1)[0][0]
    common = json.loads(first)
    if isinstance(common, float):
        agree = all(isinstance(value, int | float) and abs(value / common - 1) < 0.01 for value in values)
    else:
        agree = all(value == common for value in values)
    return common if agree else None


def _settings(ann_file: Path) -> dict:
    """What `data_prep tile` was asked for; empty where the file was not made by it."""
    try:
        content = json.loads((ann_file.parents[1] / 'TRACKING.json').read_text(encoding='utf-8'))
    except (OSError, ValueError, IndexError):
        return {}
    settings = content.get('settings') if isinstance(content, dict) else None
    return settings if isinstance(settings, dict) else {}
