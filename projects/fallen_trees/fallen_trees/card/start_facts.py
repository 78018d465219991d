"""Where the weights of a run come from, and under which licence, as far as the name of the file tells."""

import re
from pathlib import Path

from mmengine.config import Config

from fallen_trees.config_nodes import dicts_in

NOTHING = 'random weights'
IMAGENET = 'ImageNet, whose images are for non-commercial research and education'
COCO = 'COCO (annotations CC BY 4.0; the images are under the terms of Flickr)'
# By the names that publishers give; what matches none is said to be unknown.
KNOWN = (
    (
        r'_coco_\d{8}_\d{6}-[0-9a-f]{8}',
        f"MMDetection's model zoo, Apache-2.0; trained on {COCO}, before that on {IMAGENET}",
    ),
    (r'^(resnet\d+|mobilenet_v2|resnext\w+)-[0-9a-f]{8}', f'torchvision, BSD-3-Clause; trained on {IMAGENET}'),
    (r'^swin_(tiny|small|base|large)_patch4', f'Microsoft (Swin Transformer), MIT; trained on {IMAGENET}'),
    (r'imagenet', f'publisher unknown; trained, as its name says, on {IMAGENET}'),
)


def start_of(cfg: Config) -> list[str]:
    """What a run starts from, a line each; `cfg` as the run uses it, not a resumed one."""
    files = [str(cfg.load_from)] if cfg.get('load_from') else []
    for node in dicts_in(cfg.model):
        if node.get('type') == 'Pretrained' and node.get('checkpoint'):
            files.append(str(node['checkpoint']))
    return [described(Path(name).name) for name in dict.fromkeys(files)] or [NOTHING]


def described(name: str) -> str:
    """A file of weights by its name, with its licence."""
    for pattern, words in KNOWN:
        if re.search(pattern, name):
            return f'`{name}`: {words}'
    return f'`{name}`: origin and licence unknown'
