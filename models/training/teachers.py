"""What full-reference BPCLIP learns: an ensemble of classical measures, each brought to one scale.

As the authors of KADIS-700k did (arXiv 2001.08113), pairs are labelled by full-reference measures instead
of people. Which measures, and the common scale, are our decision: each is replaced by the share of a fixed
sample of pairs that it finds worse, so that all spread over [0, 1] alike, and their mean is the target.
"""

from collections.abc import Callable
from dataclasses import dataclass

import piq
import torch
from torch import Tensor

Measure = Callable[[Tensor, Tensor], Tensor]

MEASURES: dict[str, Measure] = {
    "vsi": lambda distorted, reference: piq.vsi(distorted, reference, reduction="none"),
    "haarpsi": lambda distorted, reference: piq.haarpsi(distorted, reference, reduction="none"),
    "mdsi": lambda distorted, reference: -piq.mdsi(distorted, reference, reduction="none"),
    "gmsd": lambda distorted, reference: -piq.gmsd(distorted, reference, reduction="none"),
}
"""Each takes ``(B, 3, H, W)`` float32 in [0, 1] twice and gives ``(B,)``, higher is better. FSIMc is left
out: it takes more than twice the time of these four together, as long as a step of the compact model."""


@torch.no_grad()
def measure(distorted: Tensor, reference: Tensor) -> Tensor:
    """All measures of a batch of pairs, ``(B, 3, H, W)`` float32 in [0, 1] each.

    Returns:
        ``(B, len(MEASURES))`` float32, higher is better.
    """
    values = [function(distorted, reference).float() for function in MEASURES.values()]
    # The measures divide by local contrast, of which a flat crop may have none.
    return torch.nan_to_num(torch.stack(values, dim=1), nan=0.0)


@dataclass(frozen=True)
class Scale:
    """Where the values of a sample of pairs lie, by measure.

    ``sorted_values``: ``(N, len(MEASURES))``, each column ascending. ``identical``: ``(len(MEASURES),)``, the
    values of a pair of identical pictures, which become 1.
    """

    sorted_values: Tensor
    identical: Tensor

    @classmethod
    def fit(cls, values: Tensor, identical: Tensor) -> "Scale":
        """From the measures ``(N, len(MEASURES))`` of a sample, and those of identical pictures."""
        return cls(values.minimum(identical).sort(dim=0).values, identical)

    def targets(self, values: Tensor) -> Tensor:
        """Measures ``(B, len(MEASURES))`` -> the mean share of the sample that is worse, ``(B,)``."""
        shares = []
        for column, known in enumerate(self.sorted_values.T.contiguous()):
            value = values[:, column].contiguous()
            # Ties are split evenly, so that a frequent value does not jump from one end of them to the other.
            below = torch.searchsorted(known, value, right=False)
            upto = torch.searchsorted(known, value, right=True)
            share = (below + upto).float() / (2 * len(known))
            shares.append(torch.where(value >= self.identical[column] - 1e-6, 1.0, share))
        return torch.stack(shares, dim=1).mean(dim=1)
