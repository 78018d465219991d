import json

import pytest
from mmengine.config import Config

from fallen_trees.resume.config_diff import Change, changes, fingerprint, flatten

BASE = dict(
    model=dict(type='M', layers=[1, 2], test_cfg=dict(score=0.1)),
    train_dataloader=dict(batch_size=2, num_workers=4, sampler=dict(type='S'), dataset=dict(ann_file='a.json')),
    optim_wrapper=dict(optimizer=dict(lr=1e-4)),
    train_cfg=dict(max_iters=10, val_interval=5),
    param_scheduler=[dict(type='L', end=5)],
    default_hooks=dict(logger=dict(interval=50)),
    work_dir='a',
    load_from=None,
    resume=False,
)


def difference(edit, facts=()):
    changed = Config(json.loads(json.dumps(BASE)))
    edit(changed)
    return changes(fingerprint(Config(BASE), {}), fingerprint(changed, dict(facts)))


BREAKING = {
    'model.layers.1': lambda cfg: cfg.model.update(layers=[1, 3]),
    'model.layers.2': lambda cfg: cfg.model.update(layers=[1, 2, 3]),
    'train_dataloader.batch_size': lambda cfg: cfg.train_dataloader.update(batch_size=4),
    'train_dataloader.sampler.type': lambda cfg: cfg.train_dataloader.sampler.update(type='T'),
    'train_dataloader.dataset.ann_file': lambda cfg: cfg.train_dataloader.dataset.update(ann_file='b.json'),
    'optim_wrapper.optimizer.lr': lambda cfg: cfg.optim_wrapper.optimizer.update(lr=1e-3),
    'param_scheduler.0.end': lambda cfg: cfg.param_scheduler[0].update(end=6),
    'train_cfg.max_iters': lambda cfg: cfg.train_cfg.update(max_iters=20),
}
HARMLESS = {
    'model.test_cfg.score': lambda cfg: cfg.model.test_cfg.update(score=0.5),
    'train_dataloader.num_workers': lambda cfg: cfg.train_dataloader.update(num_workers=0),
    'train_cfg.val_interval': lambda cfg: cfg.train_cfg.update(val_interval=1),
    'default_hooks.logger.interval': lambda cfg: cfg.default_hooks.logger.update(interval=1),
}


@pytest.mark.parametrize('key', [*BREAKING, *HARMLESS])
def test_one_change_is_one_line_that_says_whether_it_breaks(key):
    (change,) = difference({**BREAKING, **HARMLESS}[key])
    assert change.key == key and change.breaks == (key in BREAKING)
    assert str(change).startswith(f'{key}: ') and ' -> ' in str(change)


def test_a_resumed_run_needs_no_start_weights_of_its_parts():
    """Settling them takes `init_cfg` away: its weights, from ImageNet, are in the checkpoint."""
    fresh = Config(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth')))))
    resumed = Config(dict(model=dict(backbone=dict(init_cfg=None))))
    found = changes(fingerprint(fresh, {}), fingerprint(resumed, {}))
    assert found and not any(change.breaks for change in found)


def test_what_says_nothing_about_a_run_is_no_change():
    assert difference(lambda cfg: cfg.update(work_dir='b', load_from='x.pth', resume=True)) == []


def test_breaking_changes_come_first_and_new_and_gone_settings_are_told():
    def edit(cfg):
        HARMLESS['default_hooks.logger.interval'](cfg)
        cfg.train_dataloader.update(batch_size=4)
        cfg.model.pop('type')

    found = difference(edit, dict(world_size=2))
    assert [change.key for change in found] == [
        'model.type', 'train_dataloader.batch_size', 'world_size', 'default_hooks.logger.interval',
    ]  # fmt: skip
    assert found[0] == Change('model.type', '"M"', None) and found[2].before is None


def test_a_fingerprint_survives_json_and_tells_types_apart():
    cfg = Config(dict(a=(1, 2.0), b=dict(), c=None, d='1', e=1, f=float, g=[]))
    flat = fingerprint(cfg, {})
    assert json.loads(json.dumps(flat)) == flat
    assert flat['d'] != flat['e'] and flat['b'] == '{}' and flat['g'] == '[]'
    assert flatten({'x': (1, 2)}) == flatten({'x': [1, 2]})
