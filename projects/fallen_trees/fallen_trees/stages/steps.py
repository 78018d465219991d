"""The steps of a stage: what each runs in a process of its own, and what is read when that has ended.

anchors   python -m data_prep anchors    -> anchors.json
search    tools/sweep.py                 -> search/best.py
train     tools/train.py                 -> checkpoints
test      tools/test.py                  -> test/metrics.json, pictures/
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from data_prep.atomic import atomic_write
from fallen_trees.ablation.plan import as_text, digest, tool_path
from fallen_trees.ablation.record import read_figures
from fallen_trees.config_nodes import datasets_in
from fallen_trees.derive.config import find_data
from fallen_trees.errors import ConfigError
from fallen_trees.stages.arrival import moved
from fallen_trees.stages.found import anchor_options, best_values, search_file_text
from fallen_trees.stages.outcome import outcome

if TYPE_CHECKING:
    from fallen_trees.stages.stage import Stage

STEPS = ANCHORS, SEARCH, TRAIN, TEST = 'anchors', 'search', 'train', 'test'
START = 'start.pth'
Command = list[object]


def write(path: Path, text: str) -> Path:
    """Write a file of a stage, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text)
    return path


def started(stage: 'Stage') -> Config:
    """The config of a run of a stage: it starts from what was handed over, and sees that it arrived."""
    cfg = stage.config()
    if (stage.folder / START).is_file():
        cfg.load_from = str(stage.folder / START)
        hook = dict(type='ArrivalHook', file=cfg.load_from, whole=stage.entry.parts or stage.entry.frozen)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    imports = cfg.setdefault('custom_imports', dict(imports=[], allow_failed_imports=False))
    if 'fallen_trees.stages' not in imports['imports']:
        imports['imports'] = [*imports['imports'], 'fallen_trees.stages']
    return cfg


def fit_anchors(stage: 'Stage') -> Command:
    """Fit anchors to boxes at the size at which the network sees them."""
    cfg = stage.config()
    root = find_data(cfg.get('data_root') or '.')
    size = ','.join(map(str, cfg.image_size))
    boxes, out = root / stage.entry.anchors, stage.folder / 'anchors.json'
    return ['-m', 'data_prep', 'anchors', boxes, '--image-size', size, '--out', out]


def fitted_anchors(stage: 'Stage') -> dict[str, object]:
    """Read what was fitted."""
    content = json.loads((stage.folder / 'anchors.json').read_text(encoding='utf-8'))
    fit = content['fit']
    better = fit['kmeans'] > fit['default']
    kept = '' if better else ', so the config keeps its own'
    stage.lines.append(f'{stage}: mean best IoU of anchors {fit["default"]:.3f} -> {fit["kmeans"]:.3f}{kept}.')
    return dict(found=anchor_options(content) if better else {}, fit=fit)


def search(stage: 'Stage') -> Command:
    """Search with the weights that were handed over and the anchors that were fitted."""
    base = write(stage.folder / 'search_base.py', as_text(started(stage)))
    text = search_file_text(stage.entry.search, base.name, stage.tools['train'])
    file = write(stage.folder / 'search.py', text)
    return [tool_path(stage.tools['sweep']), file, '--work-dir', stage.folder / SEARCH, '--study', SEARCH]


def searched(stage: 'Stage') -> dict[str, object]:
    """Read the best values; trials that failed are no matter."""
    values = best_values(stage.folder / SEARCH / 'best.py', stage.entry.search)
    stage.lines.append(f'{stage}: found {", ".join(f"{key}={value}" for key, value in values.items())}.')
    return dict(found=values)


def train(stage: 'Stage') -> Command:
    """Train, going on from the newest checkpoint."""
    config = write(stage.folder.with_suffix('.py'), as_text(started(stage)))
    return [tool_path(stage.tools['train']), config, '--work-dir', stage.folder, '--resume']


def trained(stage: 'Stage') -> dict[str, object]:
    """Read what the run came to, and see that what is frozen did not move.

    Raises:
        ConfigError: If it did, or there is no checkpoint.
    """
    done = outcome(stage.folder, stage.score, stage.entry.checkpoint)
    parts = stage.entry.frozen
    count, wrong = moved(stage.folder / START, stage.folder / done['checkpoint'], parts)
    if wrong:
        raise ConfigError(
            f'frozen parts have moved: {len(wrong)} of {count} tensors, the first {wrong[0]}; the config must freeze '
            'them (frozen_stages, norm_eval, StagedUnfreezeHook).'
        )
    if count:
        stage.lines.append(f'{stage}: {count} tensors of {", ".join(parts)} are to the bit as they were handed over.')
    return done | dict(frozen_tensors=count)


def test(stage: 'Stage') -> Command:
    """Test the checkpoint that is handed on, and draw some pictures."""
    out = stage.folder / TEST
    (out / 'metrics.json').unlink(missing_ok=True)
    cfg = started(stage)
    cfg.default_hooks.visualization = dict(type='SpacedPictureHook')
    config = write(stage.folder.with_name(f'{stage}_test.py'), as_text(cfg))
    show = ['--show-dir', stage.folder / 'pictures']
    return [tool_path(stage.tools['test']), config, stage.checkpoint, '--work-dir', out, *show]


def tested(stage: 'Stage') -> dict[str, object]:
    """Read the figures.

    Raises:
        ConfigError: If there are none.
    """
    figures = read_figures(stage.folder / TEST / 'metrics.json')
    if not figures:
        raise ConfigError(f'the process ended well, but {stage.folder / TEST} holds no metrics.json with figures.')
    return dict(hash=digest(stage.test_plan().settings), figures=figures, seen=seen(stage.config()))


def seen(cfg: Config) -> dict[str, list[int]]:
    """Of validation and test, how many of how many images a config trains on."""
    names = {split: set(_image_names(cfg, split)) for split in ('train', 'val', 'test')}
    return {split: [len(names[split] & names['train']), len(names[split])] for split in ('val', 'test')}


def _image_names(cfg: Config, split: str) -> Iterator[str]:
    for node in datasets_in(cfg.get(f'{split}_dataloader')):
        root = find_data(node.get('data_root') or cfg.get('data_root') or '.')
        content = json.loads(Path(root, node.ann_file).read_text(encoding='utf-8'))
        prefix = (node.get('data_prefix') or {}).get('img') or ''
        yield from (f'{prefix}{image["file_name"]}' for image in content['images'])


COMMANDS = {ANCHORS: fit_anchors, SEARCH: search, TRAIN: train, TEST: test}
RESULTS = {ANCHORS: fitted_anchors, SEARCH: searched, TRAIN: trained, TEST: tested}
