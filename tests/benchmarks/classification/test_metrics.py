"""Top-1, Top-5 and the calibration error, computed by hand."""

import pytest
import torch

from benchmarks.classification.metrics import expected_calibration_error, image_scores, mean_scores


def test_top_five_counts_the_five_largest_logits() -> None:
    logits = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]).repeat(3, 1)
    scores = image_scores(logits, torch.tensor([0, 4, 5]))
    assert scores["top_1"].tolist() == [1, 0, 0] and scores["top_5"].tolist() == [1, 1, 0]
    assert scores["confidence"][0].item() == pytest.approx(float(logits.double().softmax(dim=1)[0, 0]))


def test_of_equal_logits_the_smaller_class_comes_first() -> None:
    scores = image_scores(torch.zeros(2, 7), torch.tensor([0, 5]))
    assert scores["top_1"].tolist() == [1, 0] and scores["top_5"].tolist() == [1, 0]


def test_calibration_error_weighs_each_bin_by_its_images() -> None:
    confidence = torch.tensor([0.95, 0.99, 0.40, 0.35])  # bins 15 and 6 of 15
    right = torch.tensor([1.0, 0.0, 1.0, 1.0])
    # |.97 - .5| with half of the images, |.375 - 1| with the other half
    assert expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.47 + 0.5 * 0.625)


def test_a_confidence_on_the_edge_belongs_to_the_lower_bin() -> None:
    confidence, right = torch.tensor([0.5, 0.6]), torch.tensor([0.0, 1.0])
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(0.5 * 0.5 + 0.5 * 0.4)
    assert expected_calibration_error(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])) == 0


def test_scores_of_a_run_are_means_over_images() -> None:
    scores = mean_scores(image_scores(torch.tensor([[9.0, -9.0], [9.0, -9.0]]), torch.tensor([0, 1])))
    assert scores == pytest.approx({"top_1": 0.5, "top_5": 1.0, "calibration_error": 0.5}, abs=1e-6)
