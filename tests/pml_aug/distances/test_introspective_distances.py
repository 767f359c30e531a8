"""Introspective similarity and distance: recorded numbers, by hand, limits, for every caller, errors."""

import copy
import math
import pickle

import pytest
import torch
from introspective_cases import BOTH, FORMS, D, N, name_of, rows
from measuring import relative_error
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity

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


# ---- one distance for every caller


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
