"""Data sets whose truth is one map an image: semantic ones as `data_prep semantic` lists them, and COCO's panoptic."""

import os.path as osp

import numpy as np
from mmdet.datasets import CocoPanopticDataset
from mmdet.registry import DATASETS
from numpy.typing import NDArray

from fallen_trees.loading.coco_dataset import RootlessCocoDataset
from fallen_trees.loading.load_maps import VOID


@DATASETS.register_module()
class LabelMapDataset(RootlessCocoDataset):
    """Images with label maps, listed in a COCO file with `seg_file` in its images and `map_ids` in its categories.

    Each sample has `seg_map_path`, `map_table` and `num_map_classes` for LoadLabelMap. Classes of the file that the
    config does not name are void.

    Args:
        **kwargs: Of CocoDataset. `data_prefix.img` and `data_prefix.seg` are put before `file_name` and `seg_file`.
    """

    def load_data_list(self) -> list[dict]:
        """Read the file; every sample shares one table."""
        self._table: NDArray[np.int16] | None = None
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Add to one image where its map lies and how it is read."""
        info = super().parse_data_info(raw_data_info)
        if self._table is None:
            self._table = label_table(self.coco.dataset['categories'], self.cat2label)
        seg_file = raw_data_info['raw_img_info'].get('seg_file')
        info['seg_map_path'] = seg_file and osp.join(self.data_prefix.get('seg') or self.data_root or '', seg_file)
        info['map_table'], info['num_map_classes'] = self._table, len(self.metainfo['classes'])
        return info


@DATASETS.register_module()
class PanopticDataset(CocoPanopticDataset):
    """COCO's panoptic data set, of any classes, with crowds told from stuff.

    Args:
        **kwargs: Of CocoPanopticDataset; `metainfo` needs `classes`, `thing_classes` and `stuff_classes`.
    """

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Add `iscrowd` to the segments of one image."""
        info = super().parse_data_info(raw_data_info)
        # Images share ids, and MMDetection hands over the segments of all that do.
        own = [item for item in raw_data_info['raw_ann_info'] if item['image_id'] == info['img_id']]
        crowds = {item['id']: bool(item.get('iscrowd', 0)) for item in own}
        for segment in info['segments_info']:
            segment['iscrowd'] = crowds[segment['id']]
        if info['seg_map_path']:
            info['seg_map_path'] = osp.splitext(info['seg_map_path'])[0] + '.png'
        return info


def label_table(categories: list[dict], labels: dict[int, int]) -> NDArray[np.int16]:
    """Label of each value of a map, (256,); 255 is void, -1 belongs to no class.

    Args:
        categories: With `id` and `map_ids`.
        labels: Label by category id; classes without one are void.
    """
    table = np.full(256, -1, np.int16)
    table[VOID] = VOID
    for entry in categories:
        table[entry['map_ids']] = labels.get(entry['id'], VOID)
    return table
