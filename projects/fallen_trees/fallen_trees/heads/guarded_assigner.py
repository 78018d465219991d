"""Hungarian matching that counts what is wrong with its costs instead of ending the run."""

import torch
from mmdet.models.task_modules import AssignResult, HungarianAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

# More than any sum of true costs, so that such a pair is matched last; small enough that float64, in which SciPy
# solves, still tells costs apart beside it.
NOT_FINITE_COST = 1e8


@TASK_UTILS.register_module()
class GuardedHungarianAssigner(HungarianAssigner):
    """MMDetection's HungarianAssigner with costs in float32 that cannot end a run.

    A cost that is not a number or infinite makes SciPy raise "matrix contains invalid numeric entries". Here it
    becomes a cost that no other reaches, and is counted. On finite costs the assignment is HungarianAssigner's. Nothing
    is hidden: logits that are not finite still give a loss that is not, for the hooks that watch it.

    Attributes:
        non_finite: Entries of cost matrices replaced so far.
        matched: How often each query was matched since `reset`, (num_queries,) int64 on the CPU, empty before the
            first match. Every image counts once for each decoder layer.
    """

    def __init__(self, match_costs: list[dict] | dict) -> None:
        super().__init__(match_costs)
        self.non_finite = 0
        self.reset()

    def reset(self) -> None:
        """Forget which queries were matched; `non_finite` runs on."""
        self.matched = torch.zeros(0, dtype=torch.long)

    @torch.no_grad()
    def assign(
        self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict | None = None, **kwargs
    ) -> AssignResult:
        """Match predictions and true instances one to one at the lowest sum of costs.

        Args:
            pred_instances: What the match costs read, for (num_queries,) predictions.
            gt_instances: `labels` (num_gts,) and what the match costs read.
            img_meta: Metainfo of the image, passed on to the costs.
            **kwargs: Accepted and not used, as in HungarianAssigner.

        Returns:
            `gt_inds` (num_queries,): 0 for background, else 1 + the number of the true instance; and its `labels`, or
            -1 for background.
        """
        gt_labels = gt_instances.labels
        gt_inds = gt_labels.new_zeros(len(pred_instances), dtype=torch.long)
        labels = torch.full_like(gt_inds, -1)
        if len(gt_inds) and len(gt_labels):
            queries, gts = self.solve(self._cost(pred_instances, gt_instances, img_meta).cpu())
            gt_inds[queries.to(gt_inds.device)] = gts.to(gt_inds.device) + 1
            labels[queries.to(gt_inds.device)] = gt_labels[gts.to(gt_inds.device)]
        else:
            self._count(torch.zeros(0, dtype=torch.long), len(gt_inds))
        return AssignResult(num_gts=len(gt_labels), gt_inds=gt_inds, max_overlaps=None, labels=labels)

    def solve(self, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Find the pairs of one matrix of costs, and count.

        Args:
            cost: (num_queries, num_gts), on the CPU.

        Returns:
            Queries, rising, and their true instances, (pairs,) int64 each.
        """
        queries, gts = (torch.from_numpy(side) for side in linear_sum_assignment(self._finite(cost)))
        self._count(queries, len(cost))
        return queries, gts

    def _cost(self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict | None) -> Tensor:
        """Weighted sum of all costs, (num_queries, num_gts), computed in float32."""
        instances = dict(pred_instances=_to_float32(pred_instances), gt_instances=_to_float32(gt_instances))
        with torch.autocast(gt_instances.labels.device.type, enabled=False):
            return torch.stack([cost(**instances, img_meta=img_meta) for cost in self.match_costs]).sum(dim=0)

    def _finite(self, cost: Tensor) -> Tensor:
        """Replace and count; on the CPU, where the matrix is anyway and counting waits for no device."""
        finite = cost.isfinite()
        self.non_finite += int((~finite).sum())
        return cost.where(finite, torch.tensor(NOT_FINITE_COST))

    def _count(self, queries: Tensor, num_queries: int) -> None:
        counts = torch.bincount(queries, minlength=max(num_queries, len(self.matched)))
        counts[: len(self.matched)] += self.matched
        self.matched = counts


def _to_float32(instances: InstanceData) -> InstanceData:
    """The same instances, every half-precision tensor among them as float32."""
    halves = (torch.float16, torch.bfloat16)
    values = {k: v.float() if getattr(v, 'dtype', None) in halves else v for k, v in instances.items()}
    return InstanceData(metainfo=instances.metainfo, **values)
