"""A backbone that learns the classes of pixels, for others to start from: backbone, feature pyramid, light head."""

from mmdet.models.detectors import BaseDetector
from mmdet.models.seg_heads import PanopticFPNHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor

VOID = 255


@MODELS.register_module()
class PixelClassHead(PanopticFPNHead):
    """MMDetection's PanopticFPNHead for classes of pixels alone: a channel for each, none for things.

    Args:
        num_classes: Of the data; None in a config is filled in by the tools.
        **kwargs: Of PanopticFPNHead; `loss_seg` must leave out void, 255.
    """

    def __init__(self, num_classes: int, **kwargs) -> None:
        # It has a channel more than stuff classes, and leaves labels alone that are neither stuff nor things.
        super().__init__(num_things_classes=0, num_stuff_classes=num_classes - 1, **kwargs)


@MODELS.register_module()
class BackboneSegmentor(BaseDetector):
    """MMDetection's parts of Panoptic FPN without its boxes.

    Args:
        backbone: What is to be trained for others.
        neck: Makes the levels that the head takes, such as FPN.
        semantic_head: PixelClassHead, or another of MMDetection's semantic heads.
        data_preprocessor: With `pad_seg` and `seg_pad_value=255`.
        train_cfg: Has no meaning here.
        test_cfg: Has no meaning here.
        init_cfg: Of MMEngine's modules.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        semantic_head: dict,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone, self.neck = MODELS.build(backbone), MODELS.build(neck)
        self.semantic_head = MODELS.build(semantic_head)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Levels of the pyramid of images (N, bands, H, W)."""
        return self.neck(self.backbone(batch_inputs))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Cross-entropy over the pixels that are not void; samples have `gt_sem_seg`."""
        return self.semantic_head.loss(self.extract_feat(batch_inputs), batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Add `pred_sem_seg`, labels (1, H, W), in the size of the file with `rescale`."""
        features = self.extract_feat(batch_inputs)
        logits = self.semantic_head.predict(features, [sample.metainfo for sample in batch_data_samples], rescale)
        for sample, scores in zip(batch_data_samples, logits, strict=True):
            labels = scores.argmax(0, keepdim=True)
            sample.pred_sem_seg = PixelData(sem_seg=labels, metainfo=dict(ignore_index=VOID))
        return batch_data_samples

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None) -> Tensor:
        return self.semantic_head(self.extract_feat(batch_inputs))['seg_preds']
