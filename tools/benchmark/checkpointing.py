"""What do checkpoints cost that no kill can spoil? Ours beside MMEngine's hook, and beside none.

    python tools/benchmark/checkpointing.py                     # 10 saves of each arm
    python tools/benchmark/checkpointing.py --quick             # 3 saves, under a minute
    python tools/benchmark/checkpointing.py --folder /mnt/runs  # on the disk that a run would use

Two states: of a small model, and of the flagship's size (44 million weights and AdamW's two moments, 530 MB). Each arm
saves the same state of a real runner in turn, three files are kept. MMEngine writes and is done; ours also syncs the
file to disk, reads it back, checks it and writes a manifest. `step_s`: a training step of these layers.

What of the training time goes into saving:

    flagship   seconds of a save / 15 minutes, its longest time between two saves, steps not counted
    demo       575 steps between validations, with the seconds of a step given by --demo-step-s (0.35 measured, see
               docs/results.md): a save before each validation, one after it, and the best one

`overhead_fraction` in the last line, which is JSON, is the larger of the two; `break_even_step_s` says how short a step
of the flagship may be before two saves and a best one every 2000 steps take 2 %.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from fallen_trees.resume.safe_checkpoint_hook import SafeCheckpointHook

SIDE = {'small': (500, 8), 'flagship': (1000, 44)}  # of a layer, and number of layers: 2 and 44 million weights
CADENCE_S, VALIDATION_STEPS, DEMO_STEPS, LIMIT = 15 * 60, 2000, 575, 0.02


class Numbers(Dataset):
    """Rows of ones."""

    METAINFO = metainfo = {}

    def __init__(self, width: int) -> None:
        self.width = width

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[torch.Tensor]:
        return (torch.ones(self.width),)


class Layers(BaseModel):
    """Square layers, one after the other."""

    def __init__(self, side: int, number: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(side, side, bias=False) for _ in range(number)))

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> dict[str, torch.Tensor]:
        """A loss."""
        return dict(loss=self.layers(inputs).square().mean())


def main() -> None:
    """Measure both states and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='3 saves of each arm')
    parser.add_argument('--folder', type=Path, help='where checkpoints are written meanwhile')
    parser.add_argument('--demo-step-s', type=float, default=0.35, help="seconds of a step of the demo's training")
    args = parser.parse_args()
    rows = {}
    for name in SIDE:
        with tempfile.TemporaryDirectory(prefix='checkpointing-', dir=args.folder) as folder:
            rows[name] = row = measure(Path(folder), *SIDE[name], saves=3 if args.quick else 10)
        print(f'{name:10}' + ''.join(f'  {key} {value:9.4f}' for key, value in row.items()), flush=True)
    print(json.dumps(rows | fractions(rows, args.demo_step_s)))


def measure(folder: Path, side: int, number: int, saves: int) -> dict[str, float]:
    """Seconds of a step and of each arm's save: medians."""
    runner = make_runner(folder, side, number)
    began = time.perf_counter()
    runner.train()
    step = (time.perf_counter() - began) / runner.max_iters
    stock, safe = CheckpointHook(by_epoch=False, max_keep_ckpts=3), SafeCheckpointHook(by_epoch=False, max_keep_ckpts=3)
    for name, hook in (('stock', stock), ('safe', safe)):
        hook.before_train(runner)
        hook.out_dir = str(folder / name)
        Path(hook.out_dir).mkdir()
    seconds: dict[str, list[float]] = {'stock': [], 'safe': [], 'safe_best': []}
    for count in range(saves + 1):
        meta = dict(epoch=0, iter=count, validation_pending=False)
        arms = {
            'stock': lambda count=count: stock._save_checkpoint_with_step(runner, count, dict(epoch=0, iter=count)),
            'safe': lambda meta=meta: safe._save(runner, f'iter_{meta["iter"]}.pth', meta, must_succeed=True),
            'safe_best': lambda meta=meta: safe._commit(runner, 'best_x.pth', meta, must_succeed=True, whole=False),
        }
        for name, act in arms.items():
            seconds[name].append(timed(act))
    size = max(path.stat().st_size for path in (folder / 'safe').glob('*.pth')) / 1e6
    medians = {f'{name}_save_s': statistics.median(values[1:]) for name, values in seconds.items()}
    return {'mb': size, 'step_s': step, **medians, 'ratio': medians['safe_save_s'] / medians['stock_save_s']}


def timed(act: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def make_runner(folder: Path, side: int, number: int) -> Runner:
    """A runner of a few steps without a checkpoint hook, so that the optimiser has its moments."""
    torch.manual_seed(0)
    loader = dict(
        dataset=Numbers(side), batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler', seed=0),
        collate_fn=dict(type='default_collate'),
    )  # fmt: skip
    return Runner(
        Layers(side, number), str(folder), train_dataloader=loader, default_hooks=dict(checkpoint=None, logger=None),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3), randomness=dict(seed=0), log_level='ERROR',
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4)), default_scope='mmengine',
        experiment_name=folder.name,
    )  # fmt: skip


def fractions(rows: dict[str, dict[str, float]], demo_step_s: float) -> dict[str, float]:
    """Shares of the training time; see above."""
    small, large = rows['small'], rows['flagship']
    flagship = large['safe_save_s'] / CADENCE_S
    demo = (2 * small['safe_save_s'] + small['safe_best_save_s']) / (DEMO_STEPS * demo_step_s)
    validated = 2 * large['safe_save_s'] + large['safe_best_save_s']
    return {
        'overhead_fraction': max(flagship, demo),
        'flagship_fraction': flagship,
        'flagship_fraction_stock': large['stock_save_s'] / CADENCE_S,
        'demo_fraction': demo,
        'break_even_step_s': validated / (LIMIT * VALIDATION_STEPS),
    }


if __name__ == '__main__':
    main()
