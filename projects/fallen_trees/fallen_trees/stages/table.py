"""The one table of a chain: what each stage came to on validation and test, and what it had seen of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.atomic import atomic_write
from fallen_trees.stages.stage import Stage
from fallen_trees.stages.steps import TEST, TRAIN

NOTE = (
    'Losses and score are those of the validation at the checkpoint that is tested and handed on; `lowest val loss` '
    'says at which iteration it was least. Where that is long before the end while the loss of training falls, a stage '
    'overfits. Losses of stages with other anchors or thresholds are on another scale. `seen`: images of validation '
    'and test that the stage was trained on; figures on them flatter.'
)
HEAD = ['stage', 'start', 'iterations', 'train loss', 'val loss', 'lowest val loss', 'score', 'test', 'seen', 'minutes',
        'commit']  # fmt: skip


def write_results(stages: Sequence[Stage], folder: Path, command: str) -> str:
    """Write `results.md` and `results.json` into the folder of a chain; returns the Markdown."""
    facts = [_facts(stage) for stage in stages]
    lines = [f'| {" | ".join(row)} |' for row in [HEAD, ['---'] * len(HEAD), *map(_row, facts)]]
    text = '\n'.join([*lines, '', NOTE, '```', command, '```', ''])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / 'results.json') as file:
        json.dump(dict(command=command, stages=facts), file, indent=1, default=repr)
    with atomic_write(folder / 'results.md') as file:
        file.write(text)
    return text


def _facts(stage: Stage) -> dict[str, object]:
    record = stage.record
    done = record.get('done', {})
    trained, tested = done.get(TRAIN, {}), done.get(TEST, {})
    return dict(
        stage=str(stage),
        config=stage.entry.config,
        start=record.get('start'),
        found=stage.found(),
        trained=trained,
        metrics=stage.entry.metrics,
        score=stage.score,
        test=tested.get('figures', {}),
        seen=tested.get('seen', {}),
        minutes=round(sum(record.get('spent', {}).values()) / 60, 1) if record else None,
        commits=sorted({item['commit'] for item in done.values() if item.get('commit')}),
        failed=record.get('failed'),
        pictures=f'{stage}/pictures' if tested else None,
    )


def _row(facts: Mapping) -> list[str]:
    trained, at = facts['trained'], facts['trained'].get('at', {})
    losses = [row for row in trained.get('curve', ()) if 'val_loss' in row]
    lowest = min(losses, key=lambda row: row['val_loss'], default=None)
    tests = [f'{_name(key)} {facts["test"][key]:.3f}' for key in facts['metrics'] if key in facts['test']]
    seen = [f'{split} {part} of {whole}' for split, (part, whole) in facts['seen'].items() if part]
    start = (facts['start'] or {}).get('file')
    return [
        facts['stage'],
        '' if not facts['start'] else Path(start).name if start else 'its config',
        str(trained.get('iter', '')),
        _number(at.get('train_loss')),
        _number(at.get('val_loss')),
        '' if lowest is None else f'{lowest["val_loss"]:.3f} at {lowest["iter"]}',
        f'{_name(facts["score"])} {at["score"]:.3f}' if 'score' in at else '',
        ', '.join(tests),
        ', '.join(seen),
        '' if facts['minutes'] is None else str(facts['minutes']),
        ' '.join(facts['commits']),
    ]


def _name(metric: str) -> str:
    return metric.removeprefix('coco/').removeprefix('semantic/')


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.3f}'
