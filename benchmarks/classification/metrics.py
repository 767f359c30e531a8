"""Top-1, Top-5 and the expected calibration error of predicted class probabilities."""

import torch
from torch import Tensor

BINS = 15  # of confidence, of equal width, as in Guo et al.


def image_scores(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Whether each image's class is the first, and one of the five first, of its logits; and the first's probability.

    Where logits are equal, the smaller class number comes first. With fewer than five classes, ``top_5`` is 1.

    Shapes:
        (N, C), (N,) -> top_1, top_5, confidence, each (N,), float64

    Example:
        >>> found = image_scores(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        >>> found["top_1"].tolist(), found["top_5"].tolist()
        ([1.0, 0.0], [1.0, 1.0])
    """
    probabilities = logits.double().softmax(dim=1)
    ranked = logits.argsort(dim=1, descending=True, stable=True)[:, :5]
    right = ranked == labels[:, None]
    return {
        "top_1": right[:, 0].double(),
        "top_5": right.any(dim=1).double(),
        "confidence": probabilities.gather(1, ranked[:, :1]).squeeze(1),
    }


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    r"""The mean distance between confidence and accuracy, over bins of confidence, weighted by their images.

    .. math:: ECE = \sum_{b=1}^{B} \frac{|I_b|}{N} \bigl|\mathrm{acc}(I_b) - \mathrm{conf}(I_b)\bigr|, \quad
        I_b = \{i : (b - 1) / B < p_i \le b / B\}

    Args:
        confidence: probability of the predicted class, 0 to 1.
        right: 1 where the prediction is right, else 0.
        bins: B, of equal width.

    Shapes:
        (N,), (N,) -> a number from 0 to 1

    Source: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
    with 15 bins as in Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Example:
        >>> round(expected_calibration_error(torch.tensor([0.9, 0.9, 0.6]), torch.tensor([1.0, 0.0, 1.0])), 4)
        0.4
    """
    place = (confidence.double() * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    gap.index_add_(0, place, right.double() - confidence.double())
    return float(gap.abs().sum() / len(confidence))


def mean_scores(scores: dict[str, Tensor]) -> dict[str, float]:
    """The metrics of a run, from the scores of its images."""
    return {
        "top_1": float(scores["top_1"].mean()),
        "top_5": float(scores["top_5"].mean()),
        "calibration_error": expected_calibration_error(scores["confidence"], scores["top_1"]),
    }
