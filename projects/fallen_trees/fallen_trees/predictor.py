"""A trained network as a function of a photo.

`tree_map` maps whole scenes; this is for single images of any set, a few at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from data_prep.atomic import atomic_write
from fallen_trees.checkpoint_reader import trusting
from fallen_trees.config_nodes import dicts_in
from fallen_trees.derive.config import derive
from fallen_trees.errors import ConfigError
from fallen_trees.launch import config_of
from fallen_trees.scoring.score_threshold import KEY
from fallen_trees.start_weights import read_checkpoint, require_fit

SCORE_THR = 0.3  # where neither the caller nor the checkpoint says one; MMDetection draws from there


@dataclass(frozen=True)
class Prediction:
    """What the network saw in one image: n instances, the surest first.

    Attributes:
        image: The image, (H, W, 3) uint8, blue first.
        boxes_xyxy: Corners in px of the image, (n, 4).
        scores: 0..1, (n,).
        labels: Index into `classes`, (n,).
        classes: Names of all classes.
        rles: Masks as COCO's compressed run lengths, n of them; small, where `masks` is large.
        palette: A colour (r, g, b) for each class.
    """

    image: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    rles: list[dict]
    palette: list[tuple[int, int, int]]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def class_names(self) -> list[str]:
        """Name of each instance's class."""
        return [self.classes[label] for label in self.labels]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Masks in full, (n, H, W)."""
        if not self.rles:
            return np.zeros((0, *self.image.shape[:2]), bool)
        return np.stack([pycoco.decode(rle).astype(bool) for rle in self.rles])

    def draw(self, path: str | Path) -> Path:
        """Write the image with masks, boxes, class names and scores; the suffix is that of a format of images.

        Raises:
            ConfigError: If OpenCV writes no such format.
        """
        path = Path(path)
        instances = InstanceData(
            bboxes=torch.as_tensor(self.boxes_xyxy), scores=torch.as_tensor(self.scores),
            labels=torch.as_tensor(self.labels), masks=torch.as_tensor(self.masks),
        )  # fmt: skip
        painter = DetLocalVisualizer()
        painter.dataset_meta = dict(classes=self.classes, palette=self.palette)
        rgb = np.ascontiguousarray(self.image[..., ::-1])
        painter.add_datasample(
            'prediction', rgb, DetDataSample(pred_instances=instances), draw_gt=False, pred_score_thr=0
        )
        try:
            done, content = cv2.imencode(path.suffix or '.none', painter.get_image()[..., ::-1])
        except cv2.error:
            done = False
        if not done:
            raise ConfigError(f'a picture must end in .jpg or .png; got {path}.')
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, 'wb') as file:
            file.write(content.tobytes())
        return path


class Predictor:
    """A config and a checkpoint that fits it, ready to predict.

    Args:
        config: File, such as the one in the work dir of the run.
        checkpoint: File.
        device: Such as 'cuda:0'; None takes a GPU where there is one.
        score_thr: Instances below it are left out; None takes what validation chose for the checkpoint.
        options: Settings of the config to override, by dotted key.
        trust_checkpoint: Read a checkpoint that holds more than weights.

    Raises:
        ConfigError: If one of the two cannot be used, or they do not belong together.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        *,
        device: str | None = None,
        score_thr: float | None = None,
        options: dict[str, object] | None = None,
        trust_checkpoint: bool = False,
    ) -> None:
        with trusting(trust_checkpoint):
            cfg = config_of(config, options=options)
            content = read_checkpoint(checkpoint)
        classes = content['meta'].get('dataset_meta', {}).get('classes') or (cfg.get('metainfo') or {}).get('classes')
        if not classes:
            raise ConfigError(f'{checkpoint} does not say its classes; state metainfo.classes in {config}.')
        derive(cfg, (), tuple(classes))
        self.classes = tuple(classes)
        self.palette = [tuple(colour) for colour in cfg.metainfo.palette]
        chosen = content.get('message_hub', {}).get('runtime_info', {}).get(KEY, SCORE_THR)
        self.score_thr = float(chosen if score_thr is None else score_thr)
        self.network = _network(cfg, content, checkpoint, device)
        self._pipeline = _pipeline(cfg)

    @torch.no_grad()
    def __call__(self, image: str | Path | NDArray[np.uint8]) -> Prediction:
        """Predict one image.

        Args:
            image: A file, or pixels (H, W, 3) uint8, blue first, as OpenCV reads them.

        Raises:
            ConfigError: If the file cannot be read as an image, or the array is none.
        """
        pixels = _pixels(image)
        packed = self._pipeline(dict(img=pixels, img_id=0))
        sample = self.network.test_step(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]))[0]
        found = sample.pred_instances
        found = found[found.scores >= self.score_thr]
        found = found[torch.argsort(found.scores, descending=True)].cpu()
        return Prediction(
            image=pixels,
            boxes_xyxy=found.bboxes.float().numpy(),
            scores=found.scores.float().numpy(),
            labels=found.labels.numpy(),
            classes=self.classes,
            rles=_rles(found.masks),
            palette=self.palette,
        )


def _network(cfg: Config, content: dict, checkpoint: str | Path, device: str | None) -> torch.nn.Module:
    for node in dicts_in(cfg.model):
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('type') == 'Pretrained':
            node['init_cfg'] = None  # the checkpoint has every weight
    try:
        network = revert_sync_batchnorm(MODELS.build(cfg.model))
    except (TypeError, KeyError) as error:
        raise ConfigError(f'{cfg.filename}: {" ".join(str(error).split())}') from error
    require_fit(network, content, checkpoint)
    network.load_state_dict(content['state_dict'])
    return network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()


def _pipeline(cfg: Config) -> Compose:
    first, *others = (dict(step) for step in get_test_pipeline_cfg(cfg))
    steps = [step for step in others if 'Load' not in step['type']]  # no truth is there to be loaded
    return Compose([dict(type='mmdet.LoadImageFromNDArray', to_float32=first.get('to_float32', False)), *steps])


def _pixels(image: str | Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(image, str | Path):
        if not Path(image).is_file():
            raise ConfigError(f'the image {image} does not exist.')
        pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ConfigError(f'{image} cannot be read as an image.')
        return pixels
    if getattr(image, 'dtype', None) != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        shape = getattr(image, 'shape', type(image).__name__)
        raise ConfigError(f'an image must be (H, W, 3) of uint8, blue first; got {shape}.')
    return image


def _rles(masks: object) -> list[dict]:
    if isinstance(masks, list):
        return masks
    full = np.asfortranarray(np.asarray(masks, np.uint8).transpose(1, 2, 0))
    return pycoco.encode(full)
