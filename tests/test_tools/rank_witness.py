"""A hook for the test of distributed training: what each rank saw and ended with."""

import hashlib
import json
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RankWitness(Hook):
    def __init__(self):
        self.seen, self.losses = [], []

    def before_train(self, runner):
        self.at_start = weights_hash(runner.model)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen += [sample.img_id for sample in data_batch['data_samples']]
        self.losses.append(float(outputs['loss']))

    def after_train(self, runner):
        record = dict(
            seen=self.seen,
            losses=self.losses,
            weights=weights_hash(runner.model),
            weights_at_start=self.at_start,
            dataset_size=len(runner.train_dataloader.dataset),
        )
        Path(runner.work_dir, f'rank_{get_rank()}.json').write_text(json.dumps(record))


def weights_hash(model):
    parameters = b''.join(p.detach().numpy().tobytes() for p in model.parameters())
    return hashlib.sha256(parameters).hexdigest()
