"""Predictions kept in a file, whatever form their masks come in."""

from collections.abc import Sequence

import torch
from mmdet.evaluation import DumpDetResults
from mmdet.registry import METRICS
from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator.metric import _to_cpu

TRUTH = ('gt_instances', 'ignored_instances', 'gt_panoptic_seg', 'gt_sem_seg')


@METRICS.register_module()
class DumpRleResults(DumpDetResults):
    """DumpDetResults that takes masks that are RLE already; MMDetection's takes tensors only."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what was predicted for a batch, on the CPU, masks as RLE and without the truth."""
        for sample in _to_cpu(data_samples):
            kept = {key: value for key, value in sample.items() if key not in TRUTH}
            masks = kept.get('pred_instances', {}).get('masks')
            if isinstance(masks, torch.Tensor):
                kept['pred_instances']['masks'] = encode_mask_results(masks.numpy())
            self.results.append(kept)
