"""Pictures of tiles that have no image file, or one that OpenCV cannot read: loaded as the data set loads them."""

import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class PictureHook(DetVisualizationHook):
    """MMDetection's hook, with the first step of the data set's own pipeline in place of OpenCV.

    Args:
        **kwargs: Of DetVisualizationHook.
    """

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw the first sample of every `interval`-th batch."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            self._draw(runner.val_dataloader.dataset, outputs[0], 'val_img', None, step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[DetDataSample]
    ) -> None:
        """Draw samples, into `test_out_dir` where that is given."""
        dataset = runner.test_dataloader.dataset
        for sample in outputs if self.draw else ():
            number, self._test_index = self._test_index, self._test_index + 1
            if self.wanted(number, len(dataset)):
                out_file = None if self.test_out_dir is None else osp.join(self.test_out_dir, self.file_name(sample))
                self._draw(dataset, sample, 'test_img', out_file, self._test_index)

    def wanted(self, number: int, size: int) -> bool:
        """Whether the test image of this number, of so many, is drawn."""
        return True

    def file_name(self, sample: DetDataSample) -> str:
        """Of the picture of a test image."""
        return f'{osp.splitext(osp.basename(sample.img_path))[0]}.png'

    def _draw(self, dataset: BaseDataset, sample: DetDataSample, name: str, out_file: str | None, step: int) -> None:
        self._visualizer.add_datasample(
            osp.basename(sample.img_path) if self.show else name,
            picture_of(dataset, sample.img_path),
            data_sample=sample,
            show=self.show,
            wait_time=self.wait_time,
            pred_score_thr=self.score_thr,
            out_file=out_file,
            step=step,
        )


@HOOKS.register_module()
class FramePictureHook(PictureHook):
    """PictureHook whose files are named after their folder, too: frames of two drives may have one name."""

    def file_name(self, sample: DetDataSample) -> str:
        """DRIVE_FRAME.png."""
        return f'{osp.basename(osp.dirname(sample.img_path))}_{super().file_name(sample)}'


@HOOKS.register_module()
class SpacedPictureHook(PictureHook):
    """PictureHook that draws images evenly spread over the test set: the same few for every model, in small files.

    Args:
        pictures: At most so many.
        **kwargs: Of PictureHook.
    """

    def __init__(self, *args: object, pictures: int = 8, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.pictures = pictures

    def wanted(self, number: int, size: int) -> bool:
        """Whether it is one of those."""
        return number in np.linspace(0, size - 1, min(size, self.pictures)).round()

    def file_name(self, sample: DetDataSample) -> str:
        """As JPEG."""
        return f'{osp.splitext(osp.basename(sample.img_path))[0]}.jpg'


def picture_of(dataset: BaseDataset, img_path: str) -> np.ndarray:
    """Load an image as its data set does, for people.

    Returns:
        (H, W, bands) uint8, red first.
    """
    image = dataset.pipeline.transforms[0]({'img_path': img_path})['img']
    image = image[..., ::-1] if image.shape[-1] == 3 else image
    return np.clip(image, 0, 255).astype(np.uint8)
