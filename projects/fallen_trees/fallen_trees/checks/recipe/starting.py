"""Which tensors of the model the start weights fill, before hours are spent on a start from somewhere else."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config, ConfigDict

from fallen_trees.checkpoint_reader import read_plain
from fallen_trees.checks.finding import Finding, Verdict
from fallen_trees.checks.recipe.model import build_model
from fallen_trees.checks.subject import Subject
from fallen_trees.errors import ConfigError, EnvironmentFailure
from fallen_trees.start_weights import settle_start_weights
from fallen_trees.weights.surgery import fit

NAME = 'start-weights'
WHOLE = 0.9  # of the backbone's weights
PREFIX = 'module.'  # left by models saved from inside their distributed wrapper; MMEngine removes it too


@dataclass(frozen=True)
class Fit:
    """How far a file's tensors fill a module's.

    Attributes:
        backbone: Share of the backbone's weights, by number of values.
        whole: Share of all weights.
        other_shape: Tensors that the file has in another shape.
        not_finite: Tensors that hold NaN or infinity.
    """

    backbone: float
    whole: float
    other_shape: tuple[str, ...]
    not_finite: tuple[str, ...]


def start_weights(subject: Subject) -> Iterator[Finding]:
    """Check what a run starts from: `start-weights`. An address that cannot be reached is said and is no fault."""
    with TemporaryDirectory() as folder:  # weights of other bands are copied to the work dir; this is no run yet
        cfg = copy.deepcopy(subject.cfg)
        cfg.work_dir = folder
        try:
            settle_start_weights(cfg)
        except EnvironmentFailure as error:
            yield Finding(NAME, Verdict.OK, f'not looked at: {error}')
        except ConfigError as error:
            yield Finding(NAME, Verdict.ERROR, str(error))
        else:
            yield from _held_against_model(cfg)


def _held_against_model(cfg: Config) -> Iterator[Finding]:
    model = build_model(cfg)
    init = cfg.model.backbone.get('init_cfg') if 'backbone' in cfg.model else None
    if cfg.get('load_from'):
        tensors, _ = fit(tensors_in(cfg.load_from), model.state_dict(), None, None)  # as a run makes them fit
        yield from _judge(fit_of(model, tensors), cfg.load_from, whole_model=True)
    elif isinstance(init, ConfigDict) and init.get('type') == 'Pretrained':
        tensors = tensors_in(init.checkpoint, init.get('prefix'))
        yield from _judge(fit_of(model.backbone, tensors), init.checkpoint, whole_model=False)
    else:
        yield from _from_nothing(model)


def tensors_in(path: str | Path, prefix: str | None = None) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint, of MMEngine's form or bare, as backbones are published.

    Raises:
        ConfigError: If the file cannot be read.
    """
    content = read_plain(path)
    content = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    tensors = {name.removeprefix(PREFIX): item for name, item in content.items() if isinstance(item, torch.Tensor)}
    if prefix:
        prefix = prefix.rstrip('.') + '.'
        tensors = {name.removeprefix(prefix): item for name, item in tensors.items() if name.startswith(prefix)}
    return tensors


def fit_of(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> Fit:
    """Hold a file's tensors against a detector, or against its backbone alone."""
    wanted = dict(module.named_parameters())
    filled = {name for name, weight in wanted.items() if name in tensors and tensors[name].shape == weight.shape}
    backbone = [name for name in wanted if name.startswith('backbone.')] or list(wanted)
    return Fit(
        backbone=_share(wanted, filled, backbone),
        whole=_share(wanted, filled, list(wanted)),
        other_shape=tuple(name for name in wanted if name in tensors and name not in filled),
        not_finite=tuple(name for name in filled if not bool(torch.isfinite(tensors[name]).all())),
    )


def _share(wanted: Mapping[str, torch.Tensor], filled: set[str], names: list[str]) -> float:
    total = sum(wanted[name].numel() for name in names)
    return sum(wanted[name].numel() for name in names if name in filled) / max(total, 1)


def _judge(found: Fit, path: str, whole_model: bool) -> Iterator[Finding]:
    figures = dict(backbone_share=round(found.backbone, 4))
    if whole_model:
        figures['model_share'] = round(found.whole, 4)
    other = f'; of another shape: {", ".join(found.other_shape[:3])}' if found.other_shape else ''
    if found.not_finite:
        count, first = len(found.not_finite), found.not_finite[0]
        message = f'{path} holds NaN or infinity in {count} tensors, such as {first}; take another file.'
        yield Finding(NAME, Verdict.ERROR, message, figures)
    elif found.backbone < WHOLE:
        verdict = Verdict.WARNING if found.backbone >= 0.5 else Verdict.ERROR
        where = 'load_from' if whole_model else 'model.backbone.init_cfg.checkpoint'
        message = (
            f'{path} fills {found.backbone:.0%} of the backbone, the rest would start random{other}; {where} must name '
            f'weights of this very {"model" if whole_model else "backbone"}.'
        )
        yield Finding(NAME, verdict, message, figures)
    elif whole_model and found.whole < WHOLE:
        message = f'{path} fills the backbone, but {found.whole:.0%} of the whole model{other}; is it of another head?'
        yield Finding(NAME, Verdict.WARNING, message, figures)
    else:
        yield Finding(NAME, Verdict.OK, f'{path} fills {found.backbone:.0%} of the backbone{other}.', figures)


def _from_nothing(model: torch.nn.Module) -> Iterator[Finding]:
    """Random weights have to be trained, so nothing of the backbone may be still."""
    backbone = getattr(model, 'backbone', None)
    still = [name for name, weight in backbone.named_parameters() if not weight.requires_grad] if backbone else []
    figures = dict(backbone_share=0.0, still=len(still))
    layers = [name for name in still if dict(backbone.named_parameters())[name].ndim > 1] if backbone else []
    if layers:
        message = (
            f'the backbone starts random and {len(layers)} of its layers are frozen so ({layers[0]}); set '
            'model.backbone.frozen_stages=-1 or give start weights.'
        )
        yield Finding(NAME, Verdict.ERROR, message, figures)
    elif still:
        message = (
            f'the backbone starts random and its {len(still)} norm weights are frozen so; set norm_cfg.requires_grad='
            'True and norm_eval=False in model.backbone, or give start weights.'
        )
        yield Finding(NAME, Verdict.WARNING, message, figures)
    else:
        yield Finding(NAME, Verdict.OK, 'the whole model starts random, and all of its backbone is trained.', figures)
