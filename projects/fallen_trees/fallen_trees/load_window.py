"""Tiles without image files: their pixels come from the scene while training."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster
from fallen_trees.errors import ConfigError

KEYS = ('window_xywh', 'read_xywh', 'bands', 'stretch_lo_hi', 'scale')  # of an image entry: what read_tile takes


@TRANSFORMS.register_module()
class LoadImageFromScene(LoadImageFromFile):
    """Read a tile from its source raster: the pixels that `data_prep tile --pixels png` would have written.

    Takes the place of `LoadImageFromFile`, with the same arguments, for data sets made with `--pixels none`. Which
    window of which raster a tile is says the annotation file, found from `DATA/images/SPLIT/NAME` at
    `DATA/annotations/instances_SPLIT.json`; each worker reads it once.

    Three bands come as BGR, as OpenCV would read them: `bgr_to_rgb=True` in the data preprocessor. Any other number
    comes in the order of `bands`, red first: `BandsPreprocessor` with `bgr_to_rgb=False`, a mean and a deviation each.

    Required key: `img_path`. Added keys: `img` (H, W, bands), `img_shape`, `ori_shape`.

    Args:
        ann_file: Another annotation file, in a sub-folder of the data set's `annotations/`.
        **kwargs: Of `LoadImageFromFile`; of these only `to_float32` has an effect.
    """

    def __init__(self, ann_file: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ann_file = ann_file

    def transform(self, results: dict) -> dict:
        """Read the pixels of one sample."""
        path = Path(results['img_path'])
        ann_file = self.ann_file or str(path.parents[2] / f'annotations/instances_{path.parent.name}.json')
        entry = _entries(ann_file).get(path.name)
        if entry is None or 'source' not in entry:
            raise ConfigError(f'{ann_file} does not say where {path.name} lies in its scene; make the tiles with '
                              f'data_prep tile, or load their files with LoadImageFromFile')  # fmt: skip
        with open_raster(path.parents[2] / entry['source']) as dataset:
            tile, _ = read_tile(dataset, *(entry[key] for key in KEYS))
        img = np.ascontiguousarray((tile[::-1] if len(tile) == 3 else tile).transpose(1, 2, 0))
        results['img'] = img.astype(np.float32) if self.to_float32 else img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results


@cache  # one index in each worker process
def _entries(ann_file: str) -> dict[str, dict]:
    """Image entries by file name."""
    return {entry['file_name']: entry for entry in json.loads(Path(ann_file).read_text(encoding='utf-8'))['images']}
