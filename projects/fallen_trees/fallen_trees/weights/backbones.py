"""The ResNet in a checkpoint of another task or framework, under the names it has in our models.

    torchvision, classifier      conv1.weight  layer1.0.conv1.weight  fc.weight
    torchvision, DeepLabv3, FCN  backbone.conv1.weight ...  classifier.4.weight  aux_classifier.4.weight
    MMDetection, MMSegmentation  backbone.conv1.weight ...  decode_head.conv_seg.weight

DeepLab's last blocks have a stride of 1 and dilated filters; these have the shapes of those that are not dilated.
"""

from pathlib import Path

from torch import Tensor

from fallen_trees.errors import ConfigError
from fallen_trees.weights.renaming import rename
from fallen_trees.weights.source import _read, _tensors_in

BACKBONE = 'backbone'
LAYERS = r'((?:conv1|bn1|layer[1-4])\..+)'
RULES = [(rf'(?:backbone\.)?{LAYERS}', r'backbone.\1'), (r'(backbone\..+)', r'\1')]
NEEDLESS = r'(?!backbone\.|conv1\.|bn1\.|layer[1-4]\.).+'  # heads, and what belongs to a training


def read_backbone(path: str | Path) -> dict[str, Tensor]:
    """Read the backbone's weights of a checkpoint.

    Args:
        path: A `.pth` or `.safetensors` file of torchvision, MMSegmentation, MMDetection or this project.

    Returns:
        Tensors, each name beginning with `backbone.`.

    Raises:
        ConfigError: If the file cannot be read, holds no such backbone, or one with a stem of three convolutions.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'the checkpoint {path} does not exist.')
    found = rename(_tensors_in(_read(path), path), RULES, NEEDLESS).state_dict
    if any(name.startswith(f'{BACKBONE}.stem.') for name in found):
        raise ConfigError(
            f'{path} has a ResNetV1c or V1d, whose stem is three convolutions; a ResNet with one is needed, such as '
            "torchvision's deeplabv3_resnet50."
        )
    if not found:
        raise ConfigError(f'{path} holds no backbone: no tensor is named backbone.*, conv1.* or layer1.*.')
    return found
