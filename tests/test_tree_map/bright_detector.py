"""A detector whose answer is known, every bright spot an object, so that a map can be held against what was drawn."""

import os
import time

import numpy as np
import torch
from mmdet.models import BaseDetector
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from scipy import ndimage


@MODELS.register_module(force=True)
class BrightDetector(BaseDetector):
    """Each connected spot brighter than 180 is an instance that scores 0.9, its mask in full size as MMDetection's.

    Args:
        num_classes: Spots are of the last one.
        pause_s: To wait at each batch, for those who want to interrupt it.
        needs_mb: Working memory of a picture, touched and let go.
    """

    def __init__(self, num_classes=1, pause_s=0.0, needs_mb=0, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.pause_s, self.needs_mb = num_classes, pause_s, needs_mb
        self.weight = torch.nn.Parameter(torch.ones(1))

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        time.sleep(self.pause_s)
        if self.needs_mb:
            np.ones((len(batch_inputs), self.needs_mb << 20), np.uint8)
        if 'SEEN_FILE' in os.environ:
            with open(os.environ['SEEN_FILE'], 'a') as file:
                file.write(f'{len(batch_inputs)}\n')
        for picture, sample in zip(batch_inputs, batch_data_samples, strict=True):
            height, width = sample.img_shape
            bright = (picture * self.weight).mean(0)[:height, :width] > 180
            spots, count = ndimage.label(bright.numpy())
            masks = torch.from_numpy(spots[None] == np.arange(1, count + 1)[:, None, None])
            if count:
                masks = torch.nn.functional.interpolate(masks[None].float(), size=sample.ori_shape[:2])[0] > 0.5
            sample.pred_instances = InstanceData(
                bboxes=torch.zeros(count, 4),
                labels=torch.full((count,), self.num_classes - 1),
                scores=torch.full((count,), 0.9),
                masks=masks.reshape(count, *sample.ori_shape[:2]),
            )
        return batch_data_samples

    def loss(self, *args):
        raise NotImplementedError

    _forward = extract_feat = loss
