"""Semantic results of a Mask2Former: the class of each pixel, and the detector that hands them on.

    score of class c at a pixel = sum over queries of P(c | query) x sigmoid(mask logit of the query there)

without "no object" (Cheng et al. 2021, MaskFormer, section 3.4, "semantic inference"). The mask logits are enlarged to
the network's input first, the scores of the classes to the file's size then; the pixel's class is the highest.
"""

import torch
import torch.nn.functional as F
from mmdet.models import Mask2Former
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.structures import PixelData
from torch import Tensor

from fallen_trees.heads.block_masks import Sizes, enlarge
from fallen_trees.heads.fusion_head import BlockwiseFusionHead


@MODELS.register_module()
class SemanticFusionHead(BlockwiseFusionHead):
    """BlockwiseFusionHead that makes semantic results too, with `semantic_on` in `test_cfg`.

    Instances and panoptic results are those of BlockwiseFusionHead, and can be on at the same time. `mask_memory_mb`
    bounds the masks that are enlarged at a time; the scores of all classes at the network's size come on top.
    """

    def semantic(self, mask_cls: Tensor, mask_pred: Tensor, sizes: Sizes) -> PixelData:
        """Find the class of each pixel of one image.

        Args:
            mask_cls: Class logits, (num_queries, classes + 1).
            mask_pred: Mask logits, (num_queries, h, w); they cover the padded input.
            sizes: (height, width) of padded input, network's image and, where wanted, the file's image.

        Returns:
            `sem_seg` (1, H, W), labels from 0; uint8, or int16 for more than 255 classes.
        """
        classes = mask_cls.softmax(-1)[:, :-1].T
        (height, width), inside = sizes[0], sizes[:2]
        step = max(1, int(self.test_cfg.get('mask_memory_mb', 256) * 2**20 / (8 * height * width)))
        scores = None
        for start in range(0, len(mask_pred), step):
            masks = enlarge(mask_pred[start : start + step], inside).sigmoid_()
            some = torch.einsum('cq,qhw->chw', classes[:, start : start + step], masks)
            scores = some if scores is None else scores.add_(some)
        return PixelData(sem_seg=best_class(scores, sizes[-1])[None])


def best_class(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge the scores of one class at a time and keep the highest; of equal ones the first class.

    Args:
        scores: (classes, h, w).
        size: Height and width of the result.

    Returns:
        (H, W) uint8, or int16 for more than 255 classes.
    """
    labels = torch.zeros(size, dtype=torch.uint8 if len(scores) <= 255 else torch.int16, device=scores.device)
    highest = None
    for label, score in enumerate(scores):
        score = F.interpolate(score[None, None], size, mode='bilinear', align_corners=False)[0, 0]
        if highest is None:
            highest = score
            continue
        labels.masked_fill_(score > highest, label)
        highest = torch.maximum(highest, score)
    return labels


@MODELS.register_module()
class SemanticMask2Former(Mask2Former):
    """MMDetection's Mask2Former, whose semantic results reach the data samples as `pred_sem_seg`."""

    def add_pred_to_datasample(self, data_samples: SampleList, results_list: list[dict]) -> SampleList:
        """Add the results of each image to its sample."""
        for sample, results in zip(data_samples, results_list, strict=True):
            if 'sem_results' in results:
                sample.pred_sem_seg = results.pop('sem_results')
        return super().add_pred_to_datasample(data_samples, results_list)
