"""The sections of a model card, as Markdown."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import mmdet
import mmengine
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from fallen_trees.ablation.grid import current_commit
from fallen_trees.ablation.record import best_checkpoint
from fallen_trees.card.split_facts import SplitFacts
from fallen_trees.config_nodes import dicts_in
from fallen_trees.resume.safe_checkpoint_hook import accumulated_steps

SHOWN = 12  # scenes named


# What an evaluator scores is what the model is for.
TASKS = dict(SemanticIoUMetric='semantic', PanopticQualityMetric='panoptic')


def summary_of(cfg: Config, facts: Mapping[str, SplitFacts]) -> str:
    """What it is, in a sentence."""
    classes = ', '.join(cfg.get('metainfo', {}).get('classes') or ())
    queries = (cfg.model.get('panoptic_head') or {}).get('num_queries')
    backbone = cfg.model.get('backbone', {}).get('type', 'unknown')
    size = f', {queries} queries' if queries else ''
    images = 'aerial images' if _from_above(facts) else 'images'
    return f'{cfg.model.type} (backbone {backbone}{size}) that finds {classes or "objects"} in {images}.'


def tags_of(cfg: Config, facts: Mapping[str, SplitFacts]) -> str:
    """Lines of the header for the task, what the images are, and the classes."""
    task = next((TASKS[node['type']] for node in dicts_in(cfg.get('val_evaluator')) if node.get('type') in TASKS), None)
    classes = cfg.get('metainfo', {}).get('classes') or ('unknown',)
    tags = [f'{task or "instance"}-segmentation', *['aerial-imagery'] * _from_above(facts), *classes]
    return '\n'.join(f'- {tag}' for tag in tags)


def _from_above(facts: Mapping[str, SplitFacts]) -> bool:
    return any(item.from_above for item in facts.values())


def data_section(facts: Mapping[str, SplitFacts]) -> str:
    """Scenes, tiles and objects of each split, and checksums."""
    if not facts:
        return 'Unknown: no annotation file was there.'
    lines = ['| split | scenes | tiles | of them empty | objects | annotations, sha256 |', '|---|---|---|---|---|---|']
    for split, item in facts.items():
        objects = ', '.join(f'{count} {name}' for name, count in sorted(item.objects.items())) or '0'
        lines.append(f'| {split} | {_scenes(item)} | {item.tiles} | {item.empty} | {objects} | '
                     f'`{item.file.name}` `{item.sha256}` |')  # fmt: skip
    first = facts.get('train') or next(iter(facts.values()))
    size = 'unknown' if first.size_px is None else f'{first.size_px[0]} x {first.size_px[1]} px'
    gsd = 'unknown' if first.gsd_m is None else ' to '.join(f'{value:.4g}' for value in sorted(set(first.gsd_m))) + ' m'
    bands = '; '.join(','.join(map(str, item)) for item in first.bands) or 'unknown'
    return '\n'.join([*lines, '', f'Tiles of {size}; pixels of {gsd}; bands {bands}. What several tiles show of one '
                      'object counts once where the data say so. `TRACKING.json` of the data set has the checksum of '
                      'every scene and label file.'])  # fmt: skip


def _scenes(item: SplitFacts) -> str:
    if not item.scenes:
        return 'unknown'
    more = ' ...' if len(item.scenes) > SHOWN else ''
    return f'{len(item.scenes)}: {", ".join(item.scenes[:SHOWN])}{more}'


def recipe_section(runner: Runner, start: list[str], seconds: float) -> str:
    """Config, start weights, schedule, seed, commit, machine and time."""
    cfg = runner.cfg
    loader, optimiser = cfg.train_dataloader, cfg.optim_wrapper.get('optimizer', {})
    batch = (loader.get('batch_size') or 1) * get_world_size() * accumulated_steps(runner)
    epochs = f', {runner.max_epochs} epochs' if hasattr(runner.train_loop, 'run_epoch') else ''
    shape = f'{runner.iter} of {runner.max_iters} iterations{epochs}, {batch} images to a step of the weights'
    device = next(runner.model.parameters()).device
    machine = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU ({platform.machine()})'
    rows = {
        'config': f'`{Path(cfg.filename or "unknown").name}`; all settings: `{Path(cfg.filename or "config.py").name}` '
                  'in this folder',
        'start weights': '; '.join(start) or 'unknown',
        'schedule': shape,
        'optimiser': f'{optimiser.get("type", "unknown")}, learning rate {optimiser.get("lr", "unknown")}',
        'precision': f'{cfg.optim_wrapper.type}, {cfg.optim_wrapper.get("dtype") or "default precision"}',
        'seed': str(runner.seed),
        'commit': current_commit() or 'unknown',
        'machine': f'{get_world_size()} x {machine}, torch {torch.__version__}, mmengine {mmengine.__version__}, mmdet '
                   f'{mmdet.__version__}',
        'time': f'{seconds / 60:.1f} minutes, finished {datetime.now(UTC):%Y-%m-%d %H:%M} UTC',
    }  # fmt: skip
    return '\n'.join(['| | |', '|---|---|', *(f'| {key} | {value} |' for key, value in rows.items())])


def validation_section(folder: Path, cfg: Config) -> tuple[str, str | None]:
    """Scores of the best checkpoint on the tiles of validation, and the name of its file."""
    metric = (cfg.get('default_hooks', {}).get('checkpoint') or {}).get('save_best')
    best = best_checkpoint(folder, metric) if isinstance(metric, str) else None
    if best is None:
        return 'Not validated: there is no best checkpoint.', None
    rows = [f'| {name} | {value:.4g} |' for name, value in best['figures'].items()]
    return '\n'.join([
        f'`{best["best"]}`, of iteration {best["iter"]}, on the images as they are: what a tile cuts counts as two, so '
        'these are not the scores of maps. `coco/score_threshold`, where there is one, is the score threshold with the '
        'best F1; maps are cut there.',
        '', '| figure | value |', '|---|---|', *rows,
    ]), best['best']  # fmt: skip
