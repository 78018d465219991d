"""Pictures of some images of a test, the same ones for every model: enough to look at, not gigabytes."""

import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from fallen_trees.picture_hook import PictureHook


@HOOKS.register_module()
class SpacedPictureHook(PictureHook):
    """PictureHook that draws images evenly spread over the test set.

    Args:
        pictures: At most so many.
        **kwargs: Of PictureHook.
    """

    def __init__(self, *args: object, pictures: int = 8, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.pictures = pictures

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw those whose turn it is, into `test_out_dir` where that is given."""
        if not self.draw:
            return
        size = len(runner.test_dataloader.dataset)
        chosen = set(np.linspace(0, size - 1, min(size, self.pictures)).round().astype(int).tolist())
        for sample in outputs:
            self._test_index += 1
            if self._test_index - 1 in chosen:
                name = f'{osp.splitext(osp.basename(sample.img_path))[0]}.jpg'
                out_file = None if self.test_out_dir is None else osp.join(self.test_out_dir, name)
                self._draw(runner.test_dataloader.dataset, sample, 'test_img', out_file, self._test_index)
