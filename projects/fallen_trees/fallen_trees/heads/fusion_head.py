"""From mask logits to instances in bounded memory: only what is kept is enlarged, and only where it can be positive.

MMDetection's head enlarges the masks of all queries to the full image, as floats, several times over. Here

    class scores -> below `score_thr` dropped -> logits enlarged in blocks of the image -> bits -> runs -> RLE
                                                 scores of duplicates lowered, if asked for

and a block is left out when no logit under it is positive: bilinear values lie between their neighbours.
"""

from math import ceil

import numpy as np
import torch
from mmdet.models import MaskFormerFusionHead
from mmdet.models.layers import mask_matrix_nms
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.structures import InstanceData, PixelData
from numpy.typing import NDArray
from torch import Tensor

from fallen_trees.errors import ConfigError
from fallen_trees.heads.block_masks import enlarge, enlarged_runs
from fallen_trees.heads.crop_rle import MaskRuns

MASK_FORMATS = ('rle', 'crop', 'tensor')


@MODELS.register_module()
class BlockwiseFusionHead(MaskFormerFusionHead):
    """MaskFormerFusionHead that enlarges masks block by block, with the same masks, boxes and scores.

    Mask logits may come at any size, be it the decoder's or the padded input's. What it reads from `test_cfg`:

    - `max_per_image` (100): detections kept; at most queries x classes.
    - `score_thr` (0): detections whose class score, or class score times mask score, is lower are dropped.
    - `matrix_nms_sigma` (None): several queries that show one object are told apart by Matrix NMS (Wang et al. 2020,
      SOLOv2, Gaussian): the score of each is multiplied by exp(-sigma IoU^2) of surer ones of its class, which count
      less where they are duplicates themselves; IoU at the logits' size. SOLOv2 takes 2. None: scores stay.
    - `mask_format` ('rle'): masks as a list of COCO's RLE, which evaluators take as they are; 'crop' for a list of
      (box height, box width) bool arrays, whose place is the box; 'tensor' for (N, H, W) bool, as MMDetection's.
    - `mask_memory_mb` (256): working memory for enlarging. The logits, with Matrix NMS as many floats again, and
      what is returned come on top; 'tensor' and panoptic results need full masks by their nature.

    `panoptic_on`, `instance_on`, `iou_thr`, `object_mask_thr` and `filter_low_score` mean what they mean upstream.
    """

    @torch.no_grad()
    def predict(
        self,
        mask_cls_results: Tensor,
        mask_pred_results: Tensor,
        batch_data_samples: SampleList,
        rescale: bool = False,
        **kwargs,
    ) -> list[dict]:
        """Make results of a batch.

        Args:
            mask_cls_results: Class logits, (batch, num_queries, classes + 1).
            mask_pred_results: Mask logits, (batch, num_queries, h, w); they cover the padded input.
            batch_data_samples: With `batch_input_shape` (padded), `img_shape` (network's) and `ori_shape` (the file's).
            rescale: Whether results have the size of the file's image, rather than the network's.
            **kwargs: Ignored, as upstream.

        Returns:
            Of each image `ins_results` with `bboxes`, `labels`, `scores` and `masks`, `pan_results`, and with
            SemanticFusionHead `sem_results`, as asked for.

        Raises:
            NotImplementedError: If `semantic_on`.
        """
        results = []
        for classes, masks, sample in zip(mask_cls_results, mask_pred_results, batch_data_samples, strict=True):
            sizes = _sizes(sample.metainfo, rescale)
            result = {}
            with torch.autocast(masks.device.type, enabled=False):
                if self.test_cfg.get('panoptic_on', True):
                    result['pan_results'] = self.panoptic_postprocess(classes, enlarge(masks.float(), sizes))
                if self.test_cfg.get('instance_on', False):
                    result['ins_results'] = self.instances(classes.float(), masks.float(), sizes)
                if self.test_cfg.get('semantic_on', False):
                    result['sem_results'] = self.semantic(classes.float(), masks.float(), sizes)
            results.append(result)
        return results

    def instances(self, mask_cls: Tensor, mask_pred: Tensor, sizes: tuple[tuple[int, int], ...]) -> InstanceData:
        """Make the instances of one image.

        Args:
            mask_cls: Class logits, (num_queries, classes + 1).
            mask_pred: Mask logits, (num_queries, h, w).
            sizes: (height, width) of padded input, network's image and, where wanted, the file's image.
        """
        threshold = self.test_cfg.get('score_thr', 0.0)
        scores, labels, queries = self._best(mask_cls, threshold)
        # One query may stand for several classes; its mask is made once.
        queries, of_detection = queries.unique(return_inverse=True)
        memory_mb = self.test_cfg.get('mask_memory_mb', 256)
        found = [
            (mask_scores, torch.from_numpy(runs.boxes()).to(scores.device), self._masks(runs))
            for runs, mask_scores in enlarged_runs(mask_pred, queries, sizes, memory_mb)
        ]
        mask_scores, boxes, masks = zip(*found, strict=True)
        scores = scores * torch.cat(mask_scores)[of_detection]
        sigma = self.test_cfg.get('matrix_nms_sigma')
        if sigma is not None:
            scores = _decayed(scores, labels, _seen(mask_pred, sizes)[queries][of_detection] > 0, sigma)
        kept = scores >= threshold
        of_detection = of_detection[kept]
        return InstanceData(
            bboxes=torch.cat(boxes)[of_detection],
            labels=labels[kept],
            scores=scores[kept],
            masks=_pick(masks, of_detection),
        )

    def semantic(self, mask_cls: Tensor, mask_pred: Tensor, sizes: tuple[tuple[int, int], ...]) -> PixelData:
        """SemanticFusionHead makes semantic results."""
        raise NotImplementedError(
            "model.test_cfg.semantic_on must be False, or model.panoptic_fusion_head.type 'SemanticFusionHead' and "
            "model.type 'SemanticMask2Former'."
        )

    def _best(self, mask_cls: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """Class scores, labels and queries of the detections worth a mask, each (k,)."""
        scores = mask_cls.softmax(-1)[:, :-1].flatten()
        limit = min(self.test_cfg.get('max_per_image', 100), len(scores))
        scores, indices = scores.topk(limit, sorted=False)
        labels, queries = indices % self.num_classes, indices // self.num_classes
        kept = (labels < self.num_things_classes) & (scores >= threshold)
        return scores[kept], labels[kept], queries[kept]

    def _masks(self, runs: MaskRuns) -> list | NDArray[np.bool_]:
        mask_format = self.test_cfg.get('mask_format', 'rle')
        if mask_format not in MASK_FORMATS:
            raise ConfigError(f'model.test_cfg.mask_format must be one of {MASK_FORMATS}, not {mask_format!r}.')
        return {'rle': runs.rles, 'crop': runs.crops, 'tensor': runs.dense}[mask_format]()


def _seen(mask_pred: Tensor, sizes: tuple[tuple[int, int], ...]) -> Tensor:
    """The part of the logits, (num_queries, h, w), that covers the image and not its padding."""
    (padded_height, padded_width), (height, width) = sizes[:2]
    rows, columns = mask_pred.shape[-2:]
    return mask_pred[:, : ceil(rows * height / padded_height), : ceil(columns * width / padded_width)]


def _decayed(scores: Tensor, labels: Tensor, masks: Tensor, sigma: float) -> Tensor:
    """Scores, (k,), after Matrix NMS of masks, (k, h, w) bool."""
    area = masks.sum((1, 2)).float()
    shown = area.nonzero().flatten()  # a mask without a pixel is nobody's duplicate, and its IoU 0 / 0
    decayed, _, _, order = mask_matrix_nms(
        masks[shown], labels[shown], scores[shown], kernel='gaussian', sigma=sigma, mask_area=area[shown]
    )
    scores = scores.clone()
    scores[shown[order]] = decayed
    return scores


def _pick(masks: tuple[list | NDArray[np.bool_], ...], chosen: Tensor) -> list | Tensor:
    """Those of the masks, which come in several pieces, that detections stand for."""
    if isinstance(masks[0], np.ndarray):
        return torch.from_numpy(np.concatenate(masks)[chosen.cpu()]).to(chosen.device)
    every = [mask for piece in masks for mask in piece]
    return [every[index] for index in chosen.tolist()]


def _sizes(meta: dict, rescale: bool) -> tuple[tuple[int, int], ...]:
    """(height, width) of padded input, network's image and, if asked for, the file's image."""
    image = tuple(meta['img_shape'][:2])
    sizes = (tuple(meta.get('batch_input_shape', image)), image)
    return (*sizes, tuple(meta['ori_shape'][:2])) if rescale else sizes
