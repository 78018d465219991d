"""Ellipses that say where on the image a query's mask may lie: a term of its logits that falls with the distance.

A mask's logits are products of a query's embedding and the pixels' features, so that what tells one trunk from its
neighbour, which looks the same, has to be learnt as a feature. An ellipse tells it from the start:

    logit(p) = embedding . feature(p) - 1/2 |L^T (p - centre)|^2        L = [[l11, 0], [l21, l22]]

L L^T is the inverse covariance of a Gaussian, L its Cholesky factor; long, thin and slanted objects have such
Gaussians, too. Gaussians predicted by queries steer the attention of SMCA (Gao et al. 2021) in the same way.
"""

import torch
from torch import Tensor, nn

UNIT_PX = 32.0  # of lengths, so that what is predicted is of the order of 1 for the objects of a tile
START_PER_UNIT = 2.0  # l11 and l22 of an untrained query: the Gaussian's standard deviation is 16 px
LARGEST_LOG = 4.0  # standard deviations from 0.3 to 870 px


class EllipsePredictor(nn.Module):
    """Predicts an ellipse of each query: how far from its place it is centred, and L.

    Args:
        channels: Of the queries.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shape = nn.Linear(channels, 5)
        nn.init.zeros_(self.shape.weight)
        nn.init.zeros_(self.shape.bias)

    def forward(self, queries: Tensor, places: Tensor) -> Tensor:
        """Predict, in float32.

        Args:
            queries: (..., channels).
            places: x and y of each in UNIT_PX, (..., 2).

        Returns:
            Centre x, centre y, l11, l21, l22 in UNIT_PX, (..., 5).
        """
        shift, lower, logs = self.shape(queries).float().split([2, 1, 2], -1)
        l11, l22 = (START_PER_UNIT * logs.clamp(-LARGEST_LOG, LARGEST_LOG).exp()).split(1, -1)
        return torch.cat([places + shift, l11, lower, l22], -1)


def ellipse_logits(ellipses: Tensor, height: int, width: int, stride: float) -> Tensor:
    """Compute the term of the logits.

    Args:
        ellipses: (..., 5), of EllipsePredictor.
        height: Of the masks.
        width: Likewise.
        stride: Pixels of the network's input from one of the masks to the next.

    Returns:
        (..., height, width), 0 at the centre and below elsewhere.
    """
    centre_x, centre_y, l11, l21, l22 = ellipses.unsqueeze(-1).unbind(-2)
    x = middles(width, stride, ellipses.device) - centre_x
    y = middles(height, stride, ellipses.device) - centre_y
    along = (l11 * x).unsqueeze(-2) + (l21 * y).unsqueeze(-1)
    return -0.5 * (along.square() + (l22 * y).square().unsqueeze(-1))


def middles(count: int, stride: float, device: torch.device) -> Tensor:
    """Where the middles of pixels lie along one side, in UNIT_PX, (count,)."""
    return (torch.arange(count, device=device) + 0.5) * (stride / UNIT_PX)
