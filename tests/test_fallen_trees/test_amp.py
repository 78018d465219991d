"""What --amp chooses, and that a run with it is a run without it, but for the rounding of the forward pass."""

import contextlib

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import nn

from fallen_trees.amp import BFloat16OptimWrapper, amp_dtype, apply_amp
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError


def pretend_card(monkeypatch, supported, emulated):
    monkeypatch.setattr(
        torch.cuda,
        'is_bf16_supported',
        lambda including_emulation=True: supported or (including_emulation and emulated),
    )


def test_the_cpu_takes_bfloat16():
    assert amp_dtype('cpu') == torch.bfloat16


@pytest.mark.parametrize(
    ('supported', 'dtype'), [(True, torch.bfloat16), (False, torch.float16)], ids=['Ampere', 'Turing, which emulates']
)
def test_a_card_takes_bfloat16_if_it_has_it(monkeypatch, supported, dtype):
    pretend_card(monkeypatch, supported, emulated=True)
    assert amp_dtype('cuda') == amp_dtype('cuda:1') == dtype


def test_another_device_is_refused_in_one_line():
    with pytest.raises(ConfigError, match='CUDA device or the CPU.*mps'):
        amp_dtype('mps')


def test_a_card_without_bfloat16_gets_a_scaler(monkeypatch):
    pretend_card(monkeypatch, supported=False, emulated=True)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', accumulative_counts=4, clip_grad=dict(max_norm=0.01))))
    assert 'float16' in apply_amp(cfg, 'cuda')
    assert cfg.optim_wrapper == dict(
        type='AmpOptimWrapper',
        dtype='float16',
        loss_scale='dynamic',
        accumulative_counts=4,
        clip_grad=dict(max_norm=0.01),
    )


def test_what_a_config_asked_of_mmengines_scaler_is_replaced():
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=512.0, dtype='float16')))
    assert 'bfloat16' in apply_amp(cfg, 'cpu')
    assert cfg.optim_wrapper == dict(type='BFloat16OptimWrapper')


def test_a_wrapper_that_does_more_is_not_thrown_away():
    with pytest.raises(ConfigError, match='ApexOptimWrapper'):
        apply_amp(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))), 'cpu')


# --- the wrapper ---


class Scale(nn.Module):
    """Four weights in an operation that autocast leaves in float32."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5]))

    def forward(self, x):
        return (self.weights * x).square().sum()


def make_wrapper(kind, model, accumulative_counts=3):
    return OPTIM_WRAPPERS.build(
        dict(
            type=kind,
            optimizer=torch.optim.AdamW(model.parameters(), lr=0.1),
            accumulative_counts=accumulative_counts,
            clip_grad=dict(max_norm=0.01, norm_type=2),
        )
    )


def steps(wrapper, model, count, start=0):
    for number in range(start, start + count):
        with wrapper.optim_context(model):
            loss = model(torch.arange(4.0) + number)
        wrapper.update_params(loss)


def test_gradients_accumulate_and_are_clipped_as_without():
    models = {kind: Scale() for kind in ('OptimWrapper', 'BFloat16OptimWrapper')}
    for kind, model in models.items():
        wrapper = make_wrapper(kind, model)
        steps(wrapper, model, 7)
        assert float(wrapper.message_hub.get_scalar('train/grad_norm').current()) > 0.01
    plain, ours = (model.weights.detach() for model in models.values())
    assert torch.equal(plain, ours)
    assert not torch.equal(ours, Scale().weights)


def test_the_forward_pass_is_bfloat16_and_the_backward_pass_outside():
    model = nn.Linear(3, 2)
    wrapper = make_wrapper('BFloat16OptimWrapper', model)
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 3)).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled('cpu')
    assert model(torch.ones(1, 3)).dtype == torch.float32


def test_accumulating_steps_exchange_no_gradients():
    class Exchanging(Scale):
        quiet = 0

        @contextlib.contextmanager
        def no_sync(self):
            self.quiet += 1
            yield

    model = Exchanging()
    steps(make_wrapper('BFloat16OptimWrapper', model), model, 6)
    assert model.quiet == 4


@pytest.mark.parametrize(
    ('before', 'after'),
    [('OptimWrapper', 'BFloat16OptimWrapper'), ('BFloat16OptimWrapper', 'OptimWrapper')],
)
@pytest.mark.parametrize('scaled', [False, True], ids=['', 'saved with a scaler'])
def test_a_run_goes_on_with_the_other_precision(before, after, scaled):
    whole, cut = Scale(), Scale()
    wrapper = make_wrapper('OptimWrapper', whole, 1)
    steps(wrapper, whole, 6)
    first = make_wrapper(before, cut, 1)
    steps(first, cut, 3)
    state = first.state_dict()
    if scaled:
        state['loss_scaler'] = torch.amp.GradScaler('cpu').state_dict()
    second = make_wrapper(after, cut, 1)
    second.load_state_dict(state)
    steps(second, cut, 3, start=3)
    assert torch.equal(cut.weights, whole.weights)
    assert state.keys() - {'loss_scaler'} == wrapper.state_dict().keys()


def test_it_is_a_plain_wrapper_to_the_runner():
    assert issubclass(BFloat16OptimWrapper, OptimWrapper)
    assert OPTIM_WRAPPERS.get('BFloat16OptimWrapper') is BFloat16OptimWrapper


# --- a run ---


class Losses(Hook):
    def __init__(self):
        self.values, self.dtypes = [], set()

    def before_train(self, runner):
        runner.model.panoptic_head.cls_embed.register_forward_hook(lambda *call: self.dtypes.add(call[-1].dtype))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append(float(outputs['loss']))


def train(cfg, work_dir, amp):
    cfg.image_size = (64, 64)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.default_hooks.checkpoint = None
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    if amp:
        apply_amp(cfg, 'cpu')
    derive(cfg, ('train',))
    runner, losses = Runner.from_cfg(cfg), Losses()
    runner.register_hook(losses)
    runner.train()
    return losses


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares runs on the CPU')
def test_a_run_with_amp_loses_what_a_run_without_loses(demo_config, tmp_path):
    name = tmp_path.parent.name
    exact = train(demo_config.copy(), tmp_path / f'{name}_exact', amp=False)
    mixed = train(demo_config.copy(), tmp_path / f'{name}_mixed', amp=True)
    assert exact.dtypes == {torch.float32} and mixed.dtypes == {torch.bfloat16}
    assert exact.values != mixed.values and len(mixed.values) == 2
    assert mixed.values == pytest.approx(exact.values, rel=0.03)


def test_a_model_with_regions_is_refused_in_bfloat16():
    cfg = Config(dict(model=dict(type='MaskRCNN', rpn_head=dict()), optim_wrapper=dict(type='OptimWrapper')))
    with pytest.raises(ConfigError, match='RoIAlign of a MaskRCNN do not take. Leave --amp away'):
        apply_amp(cfg, 'cpu')
    assert cfg.optim_wrapper.type == 'OptimWrapper'
