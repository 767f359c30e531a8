"""Symmetrical Synthesis: recorded numbers, hand-made cases, limits, gradients and refusals."""

import pytest
import torch
from batches import random_batch
from host_losses import accepted_by, make_loss, refused_by
from measuring import relative_error, value_and_gradient
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.regularizers import LpRegularizer
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.expansion import pooled_distances
from pml_aug.expansion.mirrored import MirroredPairDistance, Mirroring
from pml_aug.synthesis import mirror
from pml_aug.wrappers import CrossBatchMemory, SymmetricalSynthesis
from pml_aug.wrappers.workarounds import with_workarounds

C, D = 4, 6
ALIKE = sorted({*accepted_by("SymmetricalSynthesis")} - {"DynamicSoftMarginLoss", "P2SGradLoss"})


def batch(**options):
    return random_batch(size=8, num_classes=C, width=D, **options)


def not_normalised():
    return distances.DotProductSimilarity(normalize_embeddings=False)


# ---- recorded numbers


@pytest.mark.parametrize("name", [f"symmsynth_{number:02d}" for number in range(3)])
def test_mirrors_are_the_recorded_ones_with_their_gradients(golden, name):
    file = golden(name)
    assert (file.meta["symm_ratio"], file.meta["symm_norm_ratio"]) == (2.0, 1.0)
    anchors, positives = file.anchors.requires_grad_(), file.positives.requires_grad_()
    first = mirror(positives, anchors, file.meta["symm_norm"])
    second = mirror(anchors, positives, file.meta["symm_norm"])
    assert relative_error(first, file.synthetic_1) < 1e-10
    assert relative_error(second, file.synthetic_2) < 1e-10
    value = (first * file.weight_1).sum() + (second * file.weight_2).sum()
    gradients = torch.autograd.grad(value, [anchors, positives])
    for mine, recorded in zip(gradients, (file.grad_anchors, file.grad_positives), strict=True):
        assert relative_error(mine, recorded) < 1e-10


@pytest.mark.parametrize("name", [f"symmnpair_{number:02d}" for number in (0, 1, 2, 3, 4, 5, 13)])
def test_around_the_n_pair_loss_it_is_the_recorded_loss(golden, name):
    file = golden(name)
    meta = file.meta
    regularized = {"embedding_regularizer": LpRegularizer(p=2, power=2), "embedding_reg_weight": 2 * meta["reg_factor"]}
    loss = losses.NPairsLoss(distance=not_normalised(), **(regularized if meta["with_l2reg"] else {}))
    wrapper = SymmetricalSynthesis(
        loss, positives="hardest", normalize=meta["l2_norm"], scale_to_axis=meta["symm_norm"]
    )
    rows, labels = torch.cat([file.anchors, file.positives]), file.labels.repeat(2)
    value, gradient = value_and_gradient(wrapper, rows, labels)
    gradients = gradient.chunk(2)
    assert abs(value - file.loss) < 1e-10 * file.loss.abs().clamp_min(1e-3)
    for mine, recorded in zip(gradients, (file.grad_anchors, file.grad_positives), strict=True):
        assert (mine - recorded).abs().max() < 1e-10 * recorded.abs().max().clamp_min(1e-3)
    similarity = MirroredPairDistance(not_normalised(), meta["l2_norm"], True, meta["symm_norm"])
    assert relative_error(similarity(file.anchors, file.positives), file.similarity) < 1e-10


# ---- by hand, in two dimensions


def test_a_mirror_keeps_length_and_product_with_the_axis_and_mirrored_twice_is_the_row():
    assert mirror(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]])).tolist() == [[1.0, -1.0]]
    points, axes = torch.randn(2, 5, D, dtype=torch.float64)
    reflected = mirror(points, axes)
    torch.testing.assert_close(reflected.norm(dim=1), points.norm(dim=1))
    torch.testing.assert_close((reflected * axes).sum(dim=1), (points * axes).sum(dim=1))
    torch.testing.assert_close(mirror(reflected, axes), points)


def test_a_mirror_at_a_zero_axis_is_the_opposite_point():
    assert mirror(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)).tolist() == [[-1.0, -2.0]]


def test_negatives_are_as_near_as_a_mirror_is():
    # at 0 and 30 degrees, with mirrors at -30 and 60; and a single row at 70
    angles = torch.deg2rad(torch.tensor([0.0, 30.0, 70.0], dtype=torch.float64))
    rows, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1])
    side = Mirroring(2).expand(rows, labels)
    matrix = pooled_distances(distances.CosineSimilarity(), side, side)
    expected = torch.cos(torch.deg2rad(torch.tensor([[0.0, 30, 10], [30, 0, 10], [10, 10, 0]], dtype=torch.float64)))
    torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize("scale_to_axis", [False, True])
@pytest.mark.parametrize("distance", [distances.LpDistance, distances.DotProductSimilarity])
@pytest.mark.parametrize("to_unit", [True, False])
def test_products_of_rows_give_the_distances_of_all_sixteen_pairs(to_unit, distance, scale_to_axis):
    rows, labels = batch(dtype=torch.float64)
    measure = distance(normalize_embeddings=False)
    side = Mirroring(2, normalize=to_unit, scale_to_axis=scale_to_axis).expand(rows, labels)
    matrix = pooled_distances(measure, side, side)
    units = normalize(rows) if to_unit else rows
    partner = (torch.arange(8) + 4) % 8  # labels 0 .. 3 twice

    def around(row):
        other = units[partner[row]]
        both = torch.stack([units[row], other]), torch.stack([other, units[row]])
        return torch.cat([both[0], mirror(*both, scale_to_axis)])

    for row in range(8):
        for column in range(8):
            among = measure(around(row), around(column))
            hardest = among.max() if measure.is_inverted else among.min()
            plain = measure(units[row, None], units[column, None])[0, 0]
            torch.testing.assert_close(matrix[row, column], plain if labels[row] == labels[column] else hardest)


# ---- limits and gradients


@pytest.mark.parametrize("name", ALIKE)
def test_without_points_it_is_the_baseline_loss_to_the_last_bit(name):
    embeddings, labels = batch()
    loss = make_loss(name, C, D)
    wrapper = SymmetricalSynthesis(loss, points="none")
    with with_workarounds(loss):
        expected = value_and_gradient(loss, embeddings, labels)
    results = [value_and_gradient(wrapper, embeddings, labels), expected]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("loss", "miner"),
    [
        (losses.TripletMarginLoss, miners.BatchHardMiner),
        (losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
        (losses.ContrastiveLoss, None),
        (losses.GeneralizedLiftedStructureLoss, None),
        (losses.NPairsLoss, None),
    ],
)
def test_pairs_of_twins_give_the_baseline_loss(loss, miner):
    rows = torch.randn(C, D, dtype=torch.float64).repeat(2, 1)
    labels = torch.arange(C).repeat(2)
    wrapper = SymmetricalSynthesis(loss(), miner=None if miner is None else miner())
    tuples = None if miner is None else miner()(rows, labels)
    torch.testing.assert_close(wrapper(rows, labels), loss()(rows, labels, tuples), rtol=1e-12, atol=1e-7)


def test_rows_alone_pool_the_rows_of_a_pair():
    rows, labels = batch(dtype=torch.float64)
    wrapper = SymmetricalSynthesis(losses.ContrastiveLoss(), points="rows")
    mirrored = SymmetricalSynthesis(losses.ContrastiveLoss())
    baseline, pooled = losses.ContrastiveLoss()(rows, labels), wrapper(rows, labels)
    assert baseline < pooled < mirrored(rows, labels)
    assert wrapper.num_synthetic == mirrored.num_synthetic == 8  # the rows take the place of their mirrors


@pytest.mark.parametrize("name", ["MultiSimilarityLoss", "NTXentLoss", "ProxyAnchorLoss", "NPairsLoss"])
@pytest.mark.parametrize("to_unit", [True, False])
def test_gradient_is_the_derivative_of_the_value(name, to_unit):
    rows, labels = batch(dtype=torch.float64)
    wrapper = SymmetricalSynthesis(make_loss(name, C, D).double(), normalize=to_unit)
    assert torch.autograd.gradcheck(lambda rows: wrapper(rows, labels), rows.requires_grad_(), atol=1e-5)


@pytest.mark.parametrize("positives", ["original", "hardest"])
def test_the_own_pair_is_compared_by_its_rows_unless_the_hardest_is_asked_for(positives):
    rows = torch.randn(2 * C, D, dtype=torch.float64)
    distance = MirroredPairDistance(not_normalised(), False, positives == "hardest", False)
    anchors, others = rows.chunk(2)
    diagonal, plain = distance(anchors, others).diagonal(), (anchors @ others.T).diagonal()
    assert torch.equal(diagonal, plain) == (positives == "original") and bool((diagonal >= plain).all())


def test_a_memory_compares_by_the_mirrors_of_batch_and_memory():
    rows, labels = batch()
    memory = CrossBatchMemory(SymmetricalSynthesis(losses.ContrastiveLoss()), D, memory_size=16)
    baseline = CrossBatchMemory(losses.ContrastiveLoss(), D, memory_size=16)
    for _ in range(2):
        values = [each(rows, labels).item() for each in (memory, baseline)]
    assert values[0] > values[1]


# ---- refusals


def test_it_refuses_what_embedding_expansion_refuses_but_takes_the_n_pair_loss():
    refused = refused_by("SymmetricalSynthesis")
    assert refused_by("EmbeddingExpansion").keys() - refused.keys() == {"NPairsLoss"}
    assert all(reason == refused_by("EmbeddingExpansion")[name] for name, reason in refused.items())


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (losses.ContrastiveLoss, {"positives": "hardest"}, 'positives="hardest" around NPairsLoss only'),
        (losses.ContrastiveLoss, {"positives": "all"}, "positives must be one of 'original', 'hardest'"),
        (losses.ContrastiveLoss, {"pairing": "all_pairs"}, "pairing must be one of 'within_class', 'adjacent'"),
        (losses.ContrastiveLoss, {"points": "both"}, "points must be one of"),
        (losses.ContrastiveLoss, {"normalize": "no"}, "normalize must be True or False"),
        (losses.ContrastiveLoss, {"scale_to_axis": 1}, "scale_to_axis must be True or False"),
        (losses.NPairsLoss, {"miner": miners.BatchHardMiner()}, "takes no `miner` around NPairsLoss"),
        (losses.ContrastiveLoss, {"miner": miners.AngularMiner()}, "it measures angles"),
        (losses.AngularLoss, {}, "it never uses the distance matrix"),
    ],
)
def test_what_mirrors_cannot_reach_is_refused(loss, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SymmetricalSynthesis(loss(), **arguments)


def test_an_introspective_distance_is_refused():
    loss = losses.ContrastiveLoss(distance=IntrospectiveSimilarity(D // 2))
    with pytest.raises(ValueError, match="with an introspective distance"):
        SymmetricalSynthesis(loss)
