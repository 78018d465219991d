"""Jitter of light and colour that takes bytes and gives bytes."""

import cv2
import mmcv
import numpy as np
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS
from numpy.typing import NDArray


@TRANSFORMS.register_module()
class BytePhotoMetricDistortion(PhotoMetricDistortion):
    """MMDetection's PhotoMetricDistortion for images that stay uint8; takes its place by its name.

    The same random numbers give the same picture, rounded and cut to 0..255, as a camera would. Brightness and contrast
    alone are one look-up in a table; only saturation and hue need float32, and only inside this step.

    One difference beyond rounding: where brightness takes all bands of a pixel below black, MMDetection's way through
    HSV makes a colour of it. Here it stays black, unless saturation or hue are changed too.

    Args:
        **kwargs: Of PhotoMetricDistortion.
    """

    def transform(self, results: dict) -> dict:
        """Change one sample's `img` (H, W, 3) of uint8."""
        mode, brighten, contrast, saturate, turn_hue, swap, delta, alpha, saturation, hue, order = self._random_flags()
        first, last = np.arange(256, dtype=np.float32), 1.0
        if brighten:
            first = first + np.float32(delta)
        if contrast and mode == 1:
            first = first * np.float32(alpha)
        if contrast and mode == 0:
            last = float(alpha)
        image = results['img']
        if saturate or turn_hue:
            changed = _recoloured(cv2.LUT(image, first), saturation if saturate else None, hue if turn_hue else 0)
            image = _to_bytes(changed, last)
        elif brighten or contrast:
            image = cv2.LUT(image, _to_bytes(first[None], last))
        if swap:
            planes = cv2.split(image)
            image = cv2.merge([planes[band] for band in order])
        results['img'] = image
        return results


def _recoloured(image: NDArray[np.float32], saturation: float | None, hue: float) -> NDArray[np.float32]:
    """Multiply the saturation and turn the hue by degrees, as MMDetection does, but in planes: half the time."""
    hues, saturations, values = cv2.split(mmcv.bgr2hsv(image))
    if saturation is not None:
        saturations *= np.float32(saturation)
        if saturation > 1:
            np.minimum(saturations, 1, out=saturations)
    if hue:
        hues += np.float32(hue)
        hues[hues > 360 if hue > 0 else hues < 0] -= np.copysign(np.float32(360), hue)
    return mmcv.hsv2bgr(cv2.merge([hues, saturations, values]))


def _to_bytes(values: NDArray[np.float32], factor: float) -> NDArray[np.uint8]:
    """Multiply by a positive factor, round and cut to 0..255; `values` are used up."""
    return cv2.convertScaleAbs(np.maximum(values, 0, out=values), alpha=factor)
