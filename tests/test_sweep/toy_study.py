"""What tests of the sweep share: names of the toy's space, and how to read what it left behind."""

import json
from pathlib import Path

import optuna

TOY = Path(__file__).with_name('toy_trainer.py')
LR, QUERIES = 'optim_wrapper.optimizer.lr', 'model.panoptic_head.num_queries'


def diary(folder: Path) -> list[int]:
    """Steps that the toy made in a trial's folder, in order."""
    return list(map(int, (folder / 'diary').read_text().split()))


def record(folder: Path) -> dict:
    """What a trial's `trial.json` says."""
    return json.loads((folder / 'trial.json').read_text())


def load(folder: Path, name: str = 'toy') -> optuna.Study:
    """The study of a folder."""
    return optuna.load_study(study_name=name, storage=f'sqlite:///{folder}/study.db')
