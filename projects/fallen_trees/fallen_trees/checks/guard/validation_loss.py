"""The training loss on validation tiles: what tells learning from memorising, beside AP and on the same scale."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.model import BaseModel

from fallen_trees.config_nodes import dicts_in
from fallen_trees.loading.load_annotations import loads_annotations

SEED = 0


def with_truth_first(pipeline: list[dict]) -> list[dict]:
    """Load the truth right after the image, so that a test pipeline resizes both.

    Test pipelines load it last, in the pixels of the file, where it is scored; a loss needs it in those of the network.

    Args:
        pipeline: Of a validation or test loader, with or without `LoadAnnotations`, `LoadOutlineAnnotations` or
            `LoadLabelMap`.

    Returns:
        The same steps with boxes and masks loaded after the last step that loads an image.
    """
    steps = copy.deepcopy(list(pipeline))
    truth = next((step for step in steps if _loads_truth(step)), None)
    truth = truth or ConfigDict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    steps = [step for step in steps if not _loads_truth(step)]
    after = max((i + 1 for i, step in enumerate(steps) if str(step['type']).startswith('Load')), default=0)
    return [*steps[:after], truth, *steps[after:]]


def _loads_truth(step: dict) -> bool:
    return loads_annotations(step) or step['type'] == 'LoadLabelMap'


class ValidationLoss:
    """The training loss on the same few batches of the validation set, every time under the same random numbers.

    Args:
        loader: `val_dataloader` of a config, its data set as a config too.
        max_batches: At most so many batches, evenly spread over the set.
    """

    def __init__(self, loader: ConfigDict, max_batches: int = 16) -> None:
        node = copy.deepcopy(loader['dataset'])
        for found in dicts_in(node):
            if 'pipeline' in found:
                found['pipeline'] = with_truth_first(found['pipeline'])
        self._dataset: BaseDataset = DATASETS.build(node)
        size, batch_size = len(self._dataset), loader.get('batch_size', 1)
        picked = np.unique(np.linspace(0, size - 1, min(size, max_batches * batch_size)).round().astype(int))
        self._batches = [picked[start : start + batch_size] for start in range(0, len(picked), batch_size)]

    def measure(self, model: BaseModel) -> float:
        """Compute the mean loss over the batches.

        The model is in evaluation mode meanwhile, and no generator of random numbers is further than before. In a
        distributed run every process computes the same, so all must call.

        Args:
            model: Without the wrapper of distributed training.
        """
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), _own_randomness():
                return float(np.mean([self._loss(model, batch) for batch in self._batches]))
        finally:
            model.train(training)

    def _loss(self, model: BaseModel, indices: np.ndarray) -> float:
        batch = pseudo_collate([self._dataset[int(index)] for index in indices])
        data = model.data_preprocessor(batch, True)
        return float(model.parse_losses(model(**data, mode='loss'))[0])


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Give a block random numbers of its own, the same every time, and put all generators back."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(SEED)
        np.random.seed(SEED)
        torch.manual_seed(SEED)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
