"""Tiles that OpenCV cannot read: GeoTIFFs of any number of bands, and windows of a scene that have no file."""

import json
from functools import cache
from pathlib import Path

import cv2
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
        return _with_image(results, tile, self.to_float32)


@TRANSFORMS.register_module()
class LoadImageFromTiff(LoadImageFromFile):
    """Read a tile from its GeoTIFF: what `data_prep tile --pixels zstd` writes and OpenCV cannot read.

    Takes the place of `LoadImageFromFile`, with the same arguments, in a third of the time of PNG, which has no loss
    either. Bands come in the order of `LoadImageFromScene`; more than 8 bits become float32.

    Required key: `img_path`. Added keys: `img` (H, W, bands), `img_shape`, `ori_shape`.

    Args:
        **kwargs: Of `LoadImageFromFile`; of these only `to_float32` has an effect.
    """

    def transform(self, results: dict) -> dict:
        """Read the pixels of one sample."""
        with open_raster(results['img_path']) as dataset:
            return _with_image(results, dataset.read(), self.to_float32)


def _with_image(results: dict, tile: np.ndarray, to_float32: bool) -> dict:
    """Add a tile (bands, H, W) as OpenCV would have read it, which also interleaves bands faster than NumPy does.

    What has more than 8 bits becomes float32, as not every step of a pipeline takes other types.
    """
    img = cv2.merge(list(tile[::-1] if len(tile) == 3 else tile))
    img = img.reshape(*img.shape[:2], len(tile))  # OpenCV drops a single band
    results['img'] = img if img.dtype == np.uint8 and not to_float32 else img.astype(np.float32)
    results['img_shape'] = results['ori_shape'] = img.shape[:2]
    return results


@cache  # one index in each worker process
def _entries(ann_file: str) -> dict[str, dict]:
    """Image entries by file name."""
    return {entry['file_name']: entry for entry in json.loads(Path(ann_file).read_text(encoding='utf-8'))['images']}
