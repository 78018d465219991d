"""Images of more bands than red, green and blue: what MMDetection has for three only."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.models import DetDataPreprocessor, MobileNetV2
from mmdet.registry import MODELS

from fallen_trees.errors import ConfigError


@MODELS.register_module()
class BandsPreprocessor(DetDataPreprocessor):
    """MMDetection's preprocessor with a mean and a deviation for each of any number of bands.

    It does not turn the order of bands: `LoadImageFromScene` gives red first, unless there are just three.

    Args:
        mean: One value for each band, in the raster's order.
        std: As many.
        **kwargs: Of DetDataPreprocessor.

    Raises:
        ConfigError: If the two differ in length, or an order is to be turned.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs) -> None:
        if len(mean) != len(std):
            raise ConfigError(f'data_preprocessor: mean and std must have a value for each band; got {mean} and {std}.')
        if kwargs.get('bgr_to_rgb') or kwargs.get('rgb_to_bgr'):
            raise ConfigError('data_preprocessor: BandsPreprocessor turns no bands; set bgr_to_rgb=False.')
        super().__init__(mean=[0.0], std=[1.0], **kwargs)
        self.mean = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1)


@MODELS.register_module()
class BandsMobileNetV2(MobileNetV2):
    """MMDetection's MobileNetV2 with `in_channels`, which its ResNet and SwinTransformer have.

    Args:
        in_channels: Bands of the image.
        **kwargs: Of MobileNetV2.
    """

    def __init__(self, in_channels: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        if in_channels != 3:
            first = self.conv1.conv
            self.conv1 = ConvModule(
                in_channels,
                first.out_channels,
                first.kernel_size,
                stride=first.stride,
                padding=first.padding,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
