"""Introspective similarity and distance: recorded numbers, by hand, limits, what they fit, what stays finite."""

import copy
import math
import pickle

import pytest
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.inner_products import inner_products

N, C, D = 12, 3, 4
BOTH = [IntrospectiveSimilarity, IntrospectiveDistance]
FORMS = [
    IntrospectiveSimilarity(D),
    IntrospectiveSimilarity(D, tau=1.0, offset=0.0),
    IntrospectiveSimilarity(D, squared=False, offset=0.0),
    IntrospectiveSimilarity(D, normalize_in_distance=True),
    IntrospectiveDistance(D),
    IntrospectiveDistance(D, squared=True, offset=4.0),
    IntrospectiveDistance(D, normalize_embeddings=False),
    IntrospectiveDistance(D, power=2),
]

BY_ROWS = {
    "ContrastiveLoss": losses.ContrastiveLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MarginLoss": losses.MarginLoss,
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NPairsLoss": losses.NPairsLoss,
    "NTXentLoss": losses.NTXentLoss,
    "NormalizedSoftmaxLoss": lambda **options: losses.NormalizedSoftmaxLoss(C, D, **options),
    "ProxyAnchorLoss": lambda **options: losses.ProxyAnchorLoss(C, D, **options),
    "ProxyNCALoss": lambda **options: losses.ProxyNCALoss(C, D, **options),
    "SupConLoss": losses.SupConLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
}
BY_SIMILARITY = {
    "ArcFaceLoss": lambda **options: losses.ArcFaceLoss(C, D, **options),
    "CircleLoss": losses.CircleLoss,
    "CosFaceLoss": lambda **options: losses.CosFaceLoss(C, D, **options),
    "HistogramLoss": lambda **options: losses.HistogramLoss(10, **options),
    "InstanceLoss": lambda **options: losses.InstanceLoss(gamma=4, **options),
    "LargeMarginSoftmaxLoss": lambda **options: losses.LargeMarginSoftmaxLoss(C, D, **options),
    "PNPLoss": losses.PNPLoss,
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SoftTripleLoss": lambda **options: losses.SoftTripleLoss(C, D, **options),
    "SphereFaceLoss": lambda **options: losses.SphereFaceLoss(C, D, **options),
    "SubCenterArcFaceLoss": lambda **options: losses.SubCenterArcFaceLoss(num_classes=C, embedding_size=D, **options),
    "TupletMarginLoss": losses.TupletMarginLoss,
}
BY_DISTANCE = {
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "FastAPLoss": losses.FastAPLoss,
    "RankedListLoss": lambda **options: losses.RankedListLoss(margin=0.4, Tn=1, **options),
}
BY_NEITHER = {
    "AngularLoss": losses.AngularLoss,
    "P2SGradLoss": lambda **options: losses.P2SGradLoss(D, C, **options),
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "ThresholdConsistentMarginLoss": losses.ThresholdConsistentMarginLoss,
}
WITHOUT_LABELS = {"ManifoldLoss": lambda **options: losses.ManifoldLoss(l=2 * D, K=C, **options)}
WITHOUT_DISTANCE = {"VICRegLoss": losses.VICRegLoss}  # PML's own refusal
MINERS = {
    "BatchEasyHardMiner": miners.BatchEasyHardMiner,
    "BatchHardMiner": miners.BatchHardMiner,
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "PairMarginMiner": miners.PairMarginMiner,
    "TripletMarginMiner": miners.TripletMarginMiner,
    "UniformHistogramMiner": lambda **options: miners.UniformHistogramMiner(num_bins=4, pos_per_bin=2, **options),
}
MINERS_BY_DISTANCE = {
    "AngularMiner": miners.AngularMiner,
    "DistanceWeightedMiner": miners.DistanceWeightedMiner,
}


def relative_error(actual, expected):
    return float((actual.detach() - expected).abs().max() / expected.abs().max())


def rows(size=N, dtype=torch.float32, uncertainty=1.0):
    """Rows [semantic | uncertainty], four of each class one after the other."""
    return torch.cat([torch.randn(size, D), uncertainty * torch.randn(size, D)], dim=1).to(dtype)


def labels(size=N):
    return torch.arange(size) // 4


def name_of(form):
    return f"{type(form).__name__}-{FORMS.index(form)}"


# ---- recorded numbers


@pytest.mark.parametrize("number", range(5))
def test_with_proxy_anchor_it_is_the_recorded_loss(golden, number):
    file = golden(f"idmlpa_{number:02d}")
    classes, size = file.proxies.shape
    distance = IntrospectiveSimilarity(size)
    loss = losses.ProxyAnchorLoss(classes, size, margin=file.meta["mrg"], alpha=file.meta["alpha"], distance=distance)
    loss.proxies.data = file.proxies
    semantic, uncertainty = file.X.requires_grad_(), file.V.requires_grad_()
    embeddings = torch.cat([semantic, uncertainty], dim=1)
    value = loss(embeddings, file.labels)
    value.backward()
    assert relative_error(distance(embeddings, file.proxies), file.ism_similarity) < 1e-10
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(semantic.grad, file.grad_X) < 1e-10
    assert relative_error(uncertainty.grad, file.grad_V) < 1e-10
    assert relative_error(loss.proxies.grad, file.grad_proxies) < 1e-10


# ---- by hand, in two dimensions


def test_similarity_of_perpendicular_rows_and_a_proxy():
    similarity = IntrospectiveSimilarity(2, tau=5.0, offset=4.0)
    pair = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 3.0]])
    # cosine 0, |m_i - m_j|^2 = 5, |v_i + v_j|^2 = 10, and a proxy at (0, 2) leaves |v_i|^2 = 1
    expected = 1 - math.exp(-(10 + 4) / (5 * 5))
    torch.testing.assert_close(similarity(pair)[0, 1], torch.tensor(expected))
    with_proxy = similarity(pair[:1], torch.tensor([[0.0, 2.0]]))
    torch.testing.assert_close(with_proxy, torch.tensor([[1 - math.exp(-(1 + 4) / (5 * 5))]]))


def test_similarity_in_the_papers_form():
    similarity = IntrospectiveSimilarity(2, tau=2.0, offset=0.0, squared=False, normalize_in_distance=True)
    pair = torch.tensor([[3.0, 0.0, 3.0, 0.0], [0.0, 5.0, 0.0, 4.0]])
    # cosine 0, |m_i - m_j| = sqrt 2 between unit vectors, |v_i + v_j| = 5
    torch.testing.assert_close(similarity(pair)[0, 1], torch.tensor(1 - math.exp(-5 / (2 * math.sqrt(2)))))


def test_distance_in_both_forms():
    pair = torch.tensor([[0.0, 0.0, 3.0, 0.0], [0.0, 2.0, 0.0, 4.0]])  # alpha 2, beta 5
    paper = IntrospectiveDistance(2, tau=3.0, normalize_embeddings=False)
    torch.testing.assert_close(paper(pair)[0, 1], torch.tensor(2 * math.exp(-5 / (3 * 2))))
    code = IntrospectiveDistance(2, tau=3.0, offset=4.0, squared=True, normalize_embeddings=False)
    torch.testing.assert_close(code(pair)[0, 1], torch.tensor(2 * math.exp(-(25 + 4) / (3 * 4))))


def test_only_the_semantic_part_is_normalised():
    pair = torch.tensor([[0.0, 7.0, 3.0, 0.0], [-9.0, 0.0, 0.0, 4.0]])
    torch.testing.assert_close(
        IntrospectiveDistance(2, tau=1.0)(pair)[0, 1], torch.tensor(math.sqrt(2) * math.exp(-5 / math.sqrt(2)))
    )
    expected = torch.tensor([[0.0, 1.0, 3.0, 0.0], [-1.0, 0.0, 0.0, 4.0]])
    assert torch.equal(IntrospectiveSimilarity(2).normalize(pair), expected)
    assert torch.equal(IntrospectiveDistance(2).get_norm(pair), torch.tensor([7.0, 9.0]))


# ---- limits


@pytest.mark.parametrize("similarity", [IntrospectiveSimilarity(D, tau=math.inf), IntrospectiveSimilarity(D, offset=0)])
def test_certain_or_trusted_similarity_is_the_cosine(similarity):
    embeddings, others = rows(), torch.randn(5, D)
    query = embeddings if similarity.tau == math.inf else embeddings[:, :D]
    torch.testing.assert_close(similarity(query, others), CosineSimilarity()(embeddings[:, :D], others))


@pytest.mark.parametrize("options", [{}, {"power": 2}, {"normalize_embeddings": False}])
@pytest.mark.parametrize("tau", [5.0, math.inf])
def test_certain_or_trusted_distance_is_the_euclidean(tau, options):
    embeddings = rows()
    query = embeddings if tau == math.inf else embeddings[:, :D]
    distance = IntrospectiveDistance(D, tau=tau, **options)
    assert torch.equal(distance(query), LpDistance(**options)(embeddings[:, :D]))


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_a_row_without_uncertainty_is_a_row_of_zero_uncertainty(form):
    embeddings, proxies = rows(), torch.randn(5, D)
    padded = torch.cat([proxies, torch.zeros(5, D)], dim=1)
    torch.testing.assert_close(form(embeddings, proxies), form(embeddings, padded))
    torch.testing.assert_close(form(proxies, embeddings), form(padded, embeddings))
    torch.testing.assert_close(form(proxies), form(padded))


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_uncertainty_never_makes_a_pair_more_dissimilar(form):
    certain, uncertain = rows(uncertainty=0.1), rows()
    uncertain[:, :D], uncertain[:, D:] = certain[:, :D], 10 * certain[:, D:]
    closer = form.margin(form(uncertain), form(certain))
    assert (closer <= 1e-6).all() and (closer < -1e-3).any()


# ---- one distance, whoever asks


@pytest.mark.parametrize("width", [D, 2 * D])
@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_pairwise_distance_is_the_diagonal_of_the_matrix(form, width):
    query, reference = rows(dtype=torch.float64), rows(dtype=torch.float64)[:, :width]
    query, reference = form.maybe_normalize(query), form.maybe_normalize(reference)
    # PML's pairwise distance adds 1e-6 to every coordinate
    torch.testing.assert_close(
        form.pairwise_distance(query, reference), form.compute_mat(query, reference).diagonal(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_a_batch_with_itself_is_a_batch_with_its_copy(form):
    embeddings = rows(dtype=torch.float64).requires_grad_()
    weights = torch.randn(N, N, dtype=torch.float64).fill_diagonal_(0)  # at coincident points there is no gradient
    gradients = []
    for reference in (None, embeddings, embeddings * 1):
        (gradient,) = torch.autograd.grad((form(embeddings, reference) * weights).sum(), embeddings)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0], gradients[2])
    torch.testing.assert_close(gradients[1], gradients[2])


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_gradients_are_the_derivatives(form):
    # rows that lie apart: the diagonal of a batch with itself has none
    query, reference = (rows(3, torch.float64, uncertainty=0.5).requires_grad_() for _ in range(2))
    proxies = torch.randn(3, D, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(form, (query, reference))
    assert torch.autograd.gradcheck(form, (query, proxies))


def test_inner_products_with_oneself_have_the_derivatives_of_both_orders():
    points = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: inner_products(x, x), points)
    assert torch.autograd.gradgradcheck(lambda x: inner_products(x, x), points)


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_copies_and_pickles_measure_alike(form):
    embeddings = rows()
    for other in (copy.deepcopy(form), pickle.loads(pickle.dumps(form))):
        assert torch.equal(other(embeddings), form(embeddings))


def test_it_is_the_class_that_losses_ask_for():
    similarity, distance = IntrospectiveSimilarity(D), IntrospectiveDistance(D, power=2)
    assert isinstance(similarity, CosineSimilarity) and similarity.is_inverted
    assert isinstance(distance, LpDistance) and (distance.p, distance.power) == (2, 2)
    nearest = similarity.smallest_dist(torch.tensor([0.1, 0.9]), dim=0).values
    assert nearest == similarity.margin(torch.tensor(0.0), torch.tensor(0.9)) == torch.tensor(0.9)


@pytest.mark.parametrize("kind", BOTH)
def test_recorded_norms_are_those_of_the_semantic_part(kind):
    distance = kind(2, collect_stats=True)
    distance(torch.tensor([[3.0, 4.0, 100.0, 100.0]]), torch.tensor([[0.0, 2.0]]))
    norms = (distance.initial_avg_query_norm, distance.initial_avg_ref_norm)
    final = (distance.final_avg_query_norm, distance.final_avg_ref_norm)
    assert norms == (5, 2) and final == (1, 1)


# ---- with PML's losses and miners


def feels_the_uncertainty(loss, embeddings, classes):
    """Value and gradient are finite, both parts receive gradient, and another uncertainty gives another value."""
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, classes)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(embeddings.grad).all()
    assert embeddings.grad[:, :D].abs().max() > 0 and embeddings.grad[:, D:].abs().max() > 0
    less = embeddings.detach().clone()
    less[:, D:] /= 2
    assert loss(less, classes) != value


@pytest.mark.parametrize("name", BY_ROWS | BY_SIMILARITY)
def test_similarity_reaches_every_loss_that_takes_one(name):
    torch.manual_seed(3)
    loss = (BY_ROWS | BY_SIMILARITY)[name](distance=IntrospectiveSimilarity(D, offset=0.0))
    feels_the_uncertainty(loss, rows(uncertainty=0.3), labels())


@pytest.mark.parametrize("name", BY_ROWS | BY_DISTANCE)
def test_distance_reaches_every_loss_that_takes_one(name):
    torch.manual_seed(3)
    feels_the_uncertainty((BY_ROWS | BY_DISTANCE)[name](distance=IntrospectiveDistance(D)), rows(), labels())


def test_manifold_loss_learns_the_uncertainty_of_its_proxies():
    loss = losses.ManifoldLoss(l=2 * D, K=C, distance=IntrospectiveSimilarity(D))
    embeddings = rows(uncertainty=0.3).requires_grad_()
    loss(embeddings).backward()
    assert torch.isfinite(embeddings.grad).all() and embeddings.grad[:, D:].abs().max() > 0
    assert loss.proxies.grad[:, D:].abs().max() > 0


def test_proxies_of_both_parts_learn_their_uncertainty():
    loss = losses.ProxyAnchorLoss(C, 2 * D, distance=IntrospectiveSimilarity(D))
    loss(rows(), labels()).backward()
    assert loss.proxies.grad[:, D:].abs().max() > 0


def test_two_classes_are_right():
    loss = losses.ProxyAnchorLoss(2, D, distance=IntrospectiveSimilarity(D))
    embeddings, classes = rows(4), torch.tensor([0, 1, 1, 0])
    similarity = loss.distance(embeddings, loss.proxies).detach()
    expected = torch.tensor(0.0)
    for proxy in range(2):
        own, other = similarity[classes == proxy, proxy], similarity[classes != proxy, proxy]
        expected += torch.log(1 + torch.exp(-32 * (own - 0.1)).sum()) / 2
        expected += torch.log(1 + torch.exp(32 * (other + 0.1)).sum()) / 2
    torch.testing.assert_close(loss(embeddings, classes).detach(), expected)


def test_no_loss_is_forgotten():
    known = BY_ROWS | BY_SIMILARITY | BY_DISTANCE | BY_NEITHER | WITHOUT_LABELS | WITHOUT_DISTANCE
    made = {
        name
        for name in dir(losses)
        if name.endswith("Loss") and issubclass(getattr(losses, name), losses.BaseMetricLossFunction)
    }
    assert made - {"GenericPairLoss", "SelfSupervisedLoss"} == set(known)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", BY_NEITHER)
def test_losses_that_would_misuse_it_refuse_it(name, kind):
    with pytest.raises(ValueError, match=f"{name} cannot use {kind.__name__}: it"):
        BY_NEITHER[name](distance=kind(D))


@pytest.mark.parametrize("name", BY_SIMILARITY | WITHOUT_LABELS)
def test_losses_by_similarity_refuse_the_distance(name):
    with pytest.raises(ValueError, match=f"{name} cannot use IntrospectiveDistance: .*use IntrospectiveSimilarity"):
        (BY_SIMILARITY | WITHOUT_LABELS)[name](distance=IntrospectiveDistance(D))


@pytest.mark.parametrize("name", BY_DISTANCE | MINERS_BY_DISTANCE)
def test_losses_and_miners_by_distance_refuse_the_similarity(name):
    with pytest.raises(ValueError, match=f"{name} cannot use IntrospectiveSimilarity: .*use IntrospectiveDistance"):
        (BY_DISTANCE | MINERS_BY_DISTANCE)[name](distance=IntrospectiveSimilarity(D))


def test_other_distances_of_the_refusing_losses_pass():
    assert losses.AngularLoss()(torch.randn(N, D), labels()) > 0


@pytest.mark.parametrize(
    "name, kind",
    [(name, kind) for kind in BOTH for name in MINERS] + [(name, IntrospectiveDistance) for name in MINERS_BY_DISTANCE],
)
def test_miners_find_tuples_by_it(name, kind):
    embeddings, classes = rows(uncertainty=0.1), labels()
    tuples = (MINERS | MINERS_BY_DISTANCE)[name](distance=kind(D))(embeddings, classes)
    assert len(tuples[0]) > 0
    loss = losses.TripletMarginLoss(distance=kind(D))
    assert torch.isfinite(loss(embeddings, classes, tuples))


def test_the_hardest_negative_is_the_doubtful_one():
    semantic = torch.eye(4)  # all equally far apart
    uncertainty = torch.tensor([[0.0], [0.0], [0.1], [1.0]]).expand(4, 4)
    embeddings, classes = torch.cat([semantic, uncertainty], dim=1), torch.tensor([0, 0, 1, 2])
    anchors, _, negatives = miners.BatchHardMiner(distance=IntrospectiveDistance(4))(embeddings, classes)
    assert anchors.tolist() == [0, 1] and negatives.tolist() == [3, 3]


@pytest.mark.parametrize("kind", BOTH)
def test_cross_batch_memory_holds_both_parts(kind):
    loss = losses.ContrastiveLoss(distance=kind(D))
    memory = losses.CrossBatchMemory(loss, embedding_size=2 * D, memory_size=2 * N)
    first, second = rows(), rows()
    memory(first, labels())
    value = memory(second, labels())
    assert torch.equal(memory.embedding_memory[:N], first) and torch.isfinite(value)


# ---- where numbers end


@pytest.mark.parametrize("form", FORMS, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [N, 32])  # from 26 rows on, torch measures distances by a matrix product
def test_coincident_and_zero_rows_have_finite_values_and_gradients(form, size, dtype):
    embeddings, classes = rows(size, dtype=dtype), labels(size)
    embeddings[1] = embeddings[0]
    embeddings[2, :D] = 5 * embeddings[0, :D]
    embeddings[3] = 0
    embeddings[5, D:] = -embeddings[4, D:]
    embeddings.requires_grad_()
    for reference in (None, embeddings.detach()[:, :D].clone().requires_grad_()):
        matrix = form(embeddings, reference)
        assert torch.isfinite(matrix).all()
        (gradient,) = torch.autograd.grad(matrix.sum(), embeddings)
        assert torch.isfinite(gradient).all()
        loss = losses.TripletMarginLoss(distance=form)(embeddings, classes, ref_emb=reference, ref_labels=classes)
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("offset", [0.0, 4.0])
def test_rounding_below_a_distance_of_zero_changes_nothing(offset):
    row = torch.randn(64, 256) * 1000
    negative = 2 * row.square().sum(dim=1) - 2 * (row @ row.T).diagonal() < 0
    assert negative.any()  # in float32 some squared distances of rows to themselves come out below zero
    similarity = IntrospectiveSimilarity(256, offset=offset)(row, row.clone())
    torch.testing.assert_close(similarity.diagonal(), torch.ones(64))


@pytest.mark.parametrize("form", [IntrospectiveSimilarity(256, tau=1e-3, offset=0.0), IntrospectiveDistance(256)])
def test_rounding_below_an_uncertainty_of_zero_changes_nothing(form):
    semantic, uncertainty = torch.randn(1, 256).expand(64, 256), torch.randn(64, 256)
    one, other = torch.cat([semantic, uncertainty], dim=1), torch.cat([semantic, -uncertainty], dim=1)
    one.requires_grad_()
    matrix = form(one, other)
    (gradient,) = torch.autograd.grad(matrix.sum(), one)
    assert torch.isfinite(matrix).all() and torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(kind, dtype):
    embeddings = rows(dtype=dtype)
    matrix = kind(D)(embeddings)
    assert matrix.dtype == dtype
    torch.testing.assert_close(matrix, kind(D)(embeddings.float()).to(dtype))


@pytest.mark.parametrize("kind", BOTH)
def test_autocast_changes_nothing(kind):
    embeddings = rows()
    with torch.autocast("cpu", torch.bfloat16):
        matrix = kind(D)(embeddings)
    assert torch.equal(matrix, kind(D)(embeddings))


# ---- errors


@pytest.mark.parametrize("kind", BOTH)
def test_another_width_is_an_error(kind):
    message = rf"{kind.__name__}\(embedding_size=4\) takes rows .* \(4\), or twice as wide \(8: .*but got 6"
    with pytest.raises(ValueError, match=message):
        kind(D)(torch.randn(3, 6))
    with pytest.raises(ValueError, match=message):
        kind(D)(rows(), torch.randn(3, 6))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "options, message",
    [
        ({"embedding_size": 0}, "embedding_size must be at least 1, but got 0"),
        ({"embedding_size": D, "tau": 0.0}, "tau must be above 0, but got 0"),
        ({"embedding_size": D, "tau": math.nan}, "tau must be above 0, but got nan"),
        ({"embedding_size": D, "offset": -1.0}, "offset must be at least 0, but got -1"),
    ],
)
def test_arguments_out_of_range_are_errors(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_the_distance_is_euclidean_alone():
    with pytest.raises(ValueError, match="p must be 2: .* but got 1"):
        IntrospectiveDistance(D, p=1)
