"""The study: made once, and opened again only by the sweep that made it."""

import json

import optuna
from optuna.storages import RDBStorage

from sweep.errors import SweepError
from sweep.pruners import make_pruner
from sweep.samplers import make_sampler
from sweep.storage import answering
from sweep.sweep_file import SweepFile
from sweep.training import Training

DEFINITION = 'sweep'  # study attribute: what the trials of this study are trials of


def open_study(storage: RDBStorage, name: str, sweep_file: SweepFile, training: Training) -> optuna.Study:
    """Open a study, or make it.

    Raises:
        SweepError: If a study of this name searches another space, by another figure, or from another config.
        StorageFailure: If the storage does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it has a line for every trial, and so have we
    iterations, validation, _ = training.length()
    sampler = make_sampler(*sweep_file.sampler, sweep_file.space, sweep_file.seed, len(sweep_file.objectives))
    pruner = make_pruner(*sweep_file.pruner, validation, iterations)
    now = json.loads(json.dumps(definition(sweep_file, training)))
    with answering(storage):
        study = optuna.create_study(
            storage=storage, study_name=name, load_if_exists=True, sampler=sampler, pruner=pruner,
            directions=[direction for _, direction in sweep_file.objectives],
        )  # fmt: skip
        before = study.user_attrs.get(DEFINITION)
        if before is None and not study.get_trials(deepcopy=False):
            for params in sweep_file.enqueue:
                study.enqueue_trial(params, skip_if_exists=True)
            study.set_user_attr(DEFINITION, now)
        elif before != now:
            raise SweepError(
                f"the study '{name}' was made for another sweep: {_difference(before or {}, now)}. Undo that, or name "
                'a new study with --study.'
            )
    return study


def definition(sweep_file: SweepFile, training: Training) -> dict[str, dict[str, str]]:
    """What two sweeps must have in common to share a study."""
    return {
        'search_space': sweep_file.space.as_text(),
        'objectives': dict(sweep_file.objectives),
        'constraints': {item.text: 'must hold' for item in sweep_file.constraints},
        'config': training.definition(),
    }


def _difference(before: dict, now: dict) -> str:
    """The first settings that differ."""
    found = []
    for part in now:
        old, new = before.get(part, {}), now[part]
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        found += [f'{part} {key}: {_short(old.get(key))} -> {_short(new.get(key))}' for key in keys]
    if not found:
        return 'the order of its objectives differs' if before else 'it holds trials of something else'
    return '; '.join(found[:3]) + (f'; and {len(found) - 3} more' if len(found) > 3 else '')


def _short(text: str | None) -> str:
    return 'nothing' if text is None else text if len(text) <= 120 else f'{text[:117]}...'
