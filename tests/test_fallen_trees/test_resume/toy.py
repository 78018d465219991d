"""One layer that learns in a blink, for what does not depend on the model."""

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from fallen_trees.resume.interrupt_hook import InterruptHook
from fallen_trees.resume.randomness import IterationSeedHook
from fallen_trees.resume.resuming import choose_checkpoint


class Numbers(Dataset):
    METAINFO = metainfo = {}

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return torch.full((2,), float(index % 32)), index


class OneLayer(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seen = []

    def forward(self, inputs, indices, mode='tensor'):
        if mode != 'loss':
            return [self.layer(inputs)]
        self.seen += [int(index) for index in indices]
        noise = torch.rand_like(inputs)  # as a loss at random points
        return dict(loss=self.layer(inputs / 32 + noise).square().mean())


class Rising(BaseMetric):
    """A score that rises with every validation unless told otherwise."""

    scores = None  # by iteration

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=float(self.scores[self.runner.iter] if self.scores else self.runner.iter))


class Tell(Hook):
    """Call a function before each iteration, and at each step of a validation."""

    def __init__(self, train=None, val=None):
        self.train, self.val = train, val

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.train:
            self.train(runner)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.val:
            self.val(runner)


def make_runner(
    work_dir, hooks=(), resume=False, accumulative_counts=1, scores=None, validate=True, checkpoint=None, **changes
):
    """Twelve iterations, saved every 3, validated every 6; with `resume`, from what `--resume` would choose."""
    torch.manual_seed(0)
    load_from = choose_checkpoint('auto', work_dir)[0] if resume else None
    settings = dict(by_epoch=False, interval=3, max_keep_ckpts=2)
    if (checkpoint or {}).get('type') != 'CheckpointHook':
        settings |= dict(type='SafeCheckpointHook', every_minutes=None)
    if validate:
        settings |= dict(save_best='score', rule='greater')
    loader = dict(dataset=Numbers(), batch_size=2, num_workers=0, collate_fn=dict(type='default_collate'))
    metric = Rising()
    metric.scores = scores
    train = dict(
        train_dataloader=dict(loader, sampler=dict(type='SeededInfiniteSampler', seed=0)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=12, val_interval=6),
    )
    four = dict(
        dataset=torch.utils.data.Subset(Numbers(), range(4)), sampler=dict(type='DefaultSampler', shuffle=False)
    )
    val = dict(
        val_dataloader=loader | four,
        val_cfg=dict(type='ValLoop'),
        val_evaluator=[metric],
    )
    runner = Runner(
        OneLayer(),
        str(work_dir),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=accumulative_counts, type='OptimWrapper'
        ),
        default_hooks=dict(checkpoint=settings | (checkpoint or {}), runtime_info=dict(type='RuntimeInfoHook')),
        custom_hooks=[IterationSeedHook(), InterruptHook(), *hooks],
        randomness=dict(seed=0),
        log_level='INFO',
        experiment_name=f'{work_dir}_{resume}_{torch.seed()}',
        default_scope='mmdet',
        resume=load_from is not None,
        load_from=load_from,
        **(train | (val if validate else {}) | changes),
    )
    metric.runner = runner
    return runner
