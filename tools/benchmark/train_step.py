"""What does a training step cost? MMDetection's Mask2Former, Hugging Face's and ours, on the same batch.

    python tools/benchmark/train_step.py            # R50, 256 px, batch 2, 100 queries; each speed-up alone as well
    python tools/benchmark/train_step.py --quick    # the three, fewer steps: about a minute

All have a ResNet-50 with frozen batch norm, 6 encoder and 9 decoder layers, one class, 12,544 points and AdamW with
clipped gradients; random weights, random pixels, masks of trunks. The arms live in one process that keeps freed memory,
run twice before they are timed and then take turns. Medians of the elapsed milliseconds of each phase: forward,
criterion (matching and losses), backward, optimizer; kernels are operations that compute, views left out; copies and
scalars taken to the host, for each of which a GPU would have to wait (on CUDA: synchronisations that PyTorch reports);
and the peak of live memory in each phase, weights included, in MiB.

The last line is one line of JSON: `cpu_vs_mmdet` and `cpu_vs_hf` (or `cuda_...`) are how often our step fits into
theirs.
"""

import argparse
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

logging.disable(logging.INFO)  # MMEngine lists every weight that it starts

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from step_counts import PHASES, counts_of  # noqa: E402

from fallen_trees.cpu import keep_freed_memory  # noqa: E402
from fallen_trees.derive.config import REPOSITORY  # noqa: E402

HEAD, PIXELS = 'model.panoptic_head', 'model.panoptic_head.pixel_decoder'
# What each speed-up is worth: ours without it. The last ones are what ours could have and has not.
VARIANTS = {
    'layer by layer': {f'{HEAD}.type': 'Float32Mask2FormerHead'},
    'mmcv attention': {f'{PIXELS}.type': 'MSDeformAttnPixelDecoder'},
    'AdamW unfused': {'fused': False},
    'placed queries': {f'{HEAD}.type': 'PlacedMask2FormerHead'},
    'channels last': {'channels_last': True},
    'compiled': {'compile': ('backbone', 'panoptic_head.pixel_decoder')},
    'bfloat16': {'amp': True, f'{HEAD}.half_pixel_decoder': True},
}
Phases = tuple[Callable, ...]


def main() -> None:
    """Measure and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='no variants, 5 steps of each arm')
    parser.add_argument('--steps', type=int, default=15, help='timed steps of each arm')
    for name, default in (('size', 256), ('batch', 2), ('queries', 100), ('trees', 15)):
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--arms', nargs='+', default=None, metavar='ARM', help='these only, by the names in the table')
    parser.add_argument('--profile', action='store_true', help='list what the first arm spends a step on, and end')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    names = args.arms or ['mmdet', 'hf', 'ours', *([] if args.quick else VARIANTS)]
    arms = {name: make_arm(name, args) for name in names}
    if args.profile:
        print(profile_of(arms[names[0]]))
        return
    rows = measure(arms, 5 if args.quick else args.steps)
    for name, row in rows.items():
        row.update(counts_of(arms[name], args.device))
        print(f'{name:15}' + ''.join(f'  {key} {value}' for key, value in row.items()), flush=True)
    ratios = {
        f'{args.device}_vs_{rival}': round(rows[rival]['step'] / rows['ours']['step'], 2)
        for rival in ('mmdet', 'hf')
        if rival in rows and 'ours' in rows
    }
    print(json.dumps(ratios | dict(threads=args.threads, rows=rows)))


def measure(arms: dict[str, Phases], steps: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each phase and of the step, the arms taking turns."""
    seconds = {name: [] for name in arms}
    for number in range(steps + 2):
        for name, phases in arms.items():
            times, value = [time.perf_counter()], None
            for phase in phases:
                value = phase(value)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                times.append(time.perf_counter())
            if number >= 2:
                seconds[name].append([b - a for a, b in zip(times, times[1:], strict=False)] + [times[-1] - times[0]])
    return {
        name: {
            phase: round(1e3 * statistics.median(column), 1)
            for phase, column in zip((*PHASES, 'step'), zip(*table, strict=True), strict=True)
        }
        for name, table in seconds.items()
    }


def profile_of(phases: Phases) -> str:
    """A table of the operations of a warm step, the longest first, by the time that they take themselves."""
    for _ in range(3):
        with torch.profiler.profile(record_shapes=False) as profiler:
            value = None
            for phase in phases:
                value = phase(value)
    return profiler.key_averages().table(sort_by='self_cpu_time_total', row_limit=30, max_name_column_width=50)


def make_arm(name: str, args: argparse.Namespace) -> Phases:
    """The four phases of a step, each called with what the one before it gave."""
    torch.manual_seed(0)
    changes = VARIANTS.get(name, {})
    model, forward, criterion = (hugging_face if name == 'hf' else mmdetection)(name, args, changes)
    fused = name not in ('mmdet', 'hf') and changes.get('fused', True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05, fused=fused)

    def update(_: None) -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()

    return forward, criterion, torch.Tensor.backward, update


def mmdetection(name: str, args: argparse.Namespace, changes: dict) -> tuple:
    """MMDetection's own config, or ours with some keys changed: the model, its forward pass and its criterion."""
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.registry import init_default_scope
    from mmengine.structures import InstanceData

    init_default_scope('mmdet')
    stock = Path(mmdet.__file__).parent / '.mim/configs/mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
    ours = REPOSITORY / 'configs/_base_/models/mask2former_r50.py'
    cfg = Config(dict(model=Config.fromfile(stock if name == 'mmdet' else ours).model))
    for part in (cfg.model.panoptic_head, cfg.model.panoptic_fusion_head):
        part.update(num_things_classes=1, num_stuff_classes=0)
    cfg.model.panoptic_head.update(num_queries=args.queries)
    cfg.model.panoptic_head.loss_cls.class_weight = [1.0, 0.1]
    cfg.model.backbone.init_cfg = cfg.model.data_preprocessor.batch_augments = None
    cfg.merge_from_dict({key: value for key, value in changes.items() if '.' in key})
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train().to(args.device)
    for part in changes.get('compile', ()):
        model.get_submodule(part).compile()
    memory = torch.channels_last if changes.get('channels_last') else torch.contiguous_format
    model.to(memory_format=memory)
    pixels, masks = make_batch(args)
    pixels, size = pixels.contiguous(memory_format=memory), (args.size, args.size)
    samples = [
        DetDataSample(metainfo=dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape'), size)) for _ in masks
    ]
    for sample, found in zip(samples, masks, strict=True):
        labels = torch.zeros(len(found), dtype=torch.long, device=args.device)
        sample.gt_instances = InstanceData(labels=labels, masks=BitmapMasks(found.numpy(), *size))
    head = model.panoptic_head
    amp = torch.autocast(args.device, torch.bfloat16, enabled=changes.get('amp', False))

    def forward(_: None) -> object:
        with amp:
            return head(model.extract_feat(pixels), samples)

    def criterion(found: object) -> torch.Tensor:
        with amp:
            truths = head.preprocess_gt([sample.gt_instances for sample in samples], [None] * len(samples))
            losses = head.loss_by_feat(*found, truths, [sample.metainfo for sample in samples])
            return sum(losses.values())

    return model, forward, criterion


def hugging_face(name: str, args: argparse.Namespace, changes: dict) -> tuple:
    """Mask2FormerForUniversalSegmentation with the same sizes."""
    import transformers

    backbone = transformers.ResNetConfig(out_features=['stage1', 'stage2', 'stage3', 'stage4'])
    config = transformers.Mask2FormerConfig(backbone_config=backbone, num_labels=1, num_queries=args.queries)
    model = transformers.Mask2FormerForUniversalSegmentation(config).train().to(args.device)
    for module in model.model.pixel_level_module.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    pixels, masks = make_batch(args)
    truths = [found.float().to(args.device) for found in masks]
    labels = [torch.zeros(len(found), dtype=torch.long, device=args.device) for found in masks]

    def forward(_: None) -> object:
        return model(pixels, output_auxiliary_logits=True)

    def criterion(found: object) -> torch.Tensor:
        return model.get_loss(
            model.get_loss_dict(
                found.masks_queries_logits, found.class_queries_logits, truths, labels, found.auxiliary_logits
            )
        )

    return model, forward, criterion


def make_batch(args: argparse.Namespace) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Random pixels (batch, 3, size, size), and of each image trunks (trees, size, size), uint8, on the host."""
    draw = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*[torch.arange(args.size) + 0.5] * 2, indexing='ij')
    masks = []
    for _ in range(args.batch):
        middle_x, middle_y, turn, length, width = torch.rand(5, args.trees, 1, 1, generator=draw)
        cos, sin = (3.14 * turn).cos(), (3.14 * turn).sin()
        right, down = x - middle_x * args.size, y - middle_y * args.size
        along, across = right * cos + down * sin, down * cos - right * sin
        masks.append(((along.abs() < args.size * (0.05 + 0.2 * length)) & (across.abs() < 3 + 10 * width)).byte())
    return torch.randn(args.batch, 3, args.size, args.size, generator=draw).to(args.device), masks


if __name__ == '__main__':
    main()
