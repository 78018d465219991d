"""How long a run is, and how many tiles make one update of the weights."""

import os
from dataclasses import dataclass
from math import ceil

from fallen_trees.checks.subject import Subject


@dataclass(frozen=True)
class RunLength:
    """What a config's loop, loader and optimiser wrapper make together.

    Attributes:
        iterations: Batches of one process in the whole run.
        epoch_iterations: Batches in one turn through the training set.
        by_epoch: Whether the loop counts epochs.
        accumulation: Batches whose gradients are added up to one update.
        batch: Tiles per update: loader's batch x accumulation x processes (`WORLD_SIZE`, 1 where no launcher sets it).
        tiles: Size of the training set.
    """

    iterations: int
    epoch_iterations: int
    by_epoch: bool
    accumulation: int
    batch: int
    tiles: int

    @property
    def updates(self) -> int:
        """Updates of the weights in the whole run."""
        return self.iterations // self.accumulation

    @property
    def turns(self) -> float:
        """How often the run goes through the training set."""
        return self.updates * self.batch / max(self.tiles, 1)


def run_length(subject: Subject) -> RunLength:
    """Work a run's length out of its config and its annotation file."""
    cfg = subject.cfg
    processes = int(os.environ.get('WORLD_SIZE', 1))
    of_one, tiles = cfg.train_dataloader.batch_size, len(subject.coco('train')['images'])
    epoch = max(1, ceil(tiles / (of_one * processes)))
    by_epoch = 'max_epochs' in cfg.train_cfg
    accumulation = cfg.optim_wrapper.get('accumulative_counts', 1)
    return RunLength(
        iterations=cfg.train_cfg.max_epochs * epoch if by_epoch else cfg.train_cfg.max_iters,
        epoch_iterations=epoch,
        by_epoch=by_epoch,
        accumulation=accumulation,
        batch=of_one * accumulation * processes,
        tiles=tiles,
    )
