"""Embedding Expansion around losses that compare embeddings with proxies."""

import math

import pytest
import torch
from expansion_cases import OF_PROXIES, C, D, batch
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners
from torch.func import functional_call
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.expansion import Expansion, PooledProxyDistance
from pml_aug.miners import ExpansionMiner
from pml_aug.synthesis import interpolate, within_class_pairs
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis


def by_definition(distance, rows, labels, proxies, of_proxies, num_points, over_class):
    """Rows to proxies, entry by entry; unit vectors, pairs in the order of the batch."""
    rows = normalize(rows)
    pairs = within_class_pairs(labels)
    points = interpolate(rows[pairs.start], rows[pairs.end], num_points)
    of_points = torch.stack(pairs).repeat(1, num_points).T
    matrix = torch.empty(len(rows), len(proxies), dtype=rows.dtype)
    for i, label in enumerate(labels):
        mine = labels[of_points[:, 0]] == label if over_class else (of_points == i).any(dim=1)
        around = torch.cat([rows[labels == label] if over_class else rows[i : i + 1], points[mine]])
        among = distance(around, proxies)
        hardest = among.amax(dim=0) if distance.is_inverted else among.amin(dim=0)
        matrix[i] = torch.where(of_proxies == label, distance(rows[i : i + 1], proxies)[0], hardest)
    return matrix


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize(
    "distance", [distances.CosineSimilarity(), distances.LpDistance(power=2)], ids=["cosine", "L2"]
)
@pytest.mark.parametrize("per_class", [1, 3])
def test_every_entry_to_a_proxy_is_its_definition(per_class, distance, anchor_points):
    rows, labels = torch.randn(11, 5, dtype=torch.float64), torch.arange(11) % 4
    proxies = torch.randn(5 * per_class, 5, dtype=torch.float64)  # of class 4 the batch has none
    of_proxies = torch.arange(5).repeat_interleave(per_class)
    to_proxies = PooledProxyDistance(distance, Expansion(2, anchor_points=anchor_points), labels, per_class)
    expected = by_definition(distance, rows, labels, proxies, of_proxies, 2, anchor_points == "class")
    torch.testing.assert_close(to_proxies(rows, proxies), expected, rtol=1e-9, atol=1e-9)
    assert to_proxies.num_synthetic == 2 * 4  # of three classes with three rows, one each stays alone


def test_by_hand_the_point_between_two_rows_meets_the_proxy_of_another_class():
    loss = losses.NormalizedSoftmaxLoss(num_classes=2, embedding_size=2, temperature=1.0)
    loss.W.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # proxies (1, 0) and (1, 1)
    embeddings, labels = torch.eye(2), torch.tensor([0, 0])
    # similarities 1 and 0 to the own proxy; 1 to the other, on which the point half-way lies
    logits = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(EmbeddingExpansion(loss, num_points=1)(embeddings, labels), expected)


@pytest.mark.parametrize("name", OF_PROXIES)
@pytest.mark.parametrize("wrap", [lambda loss: loss, ProxySynthesis], ids=["baseline", "in proxy synthesis"])
def test_no_points_give_the_baseline_proxy_loss_to_the_last_bit(name, wrap):
    embeddings, labels = batch(num_classes=C)
    loss = wrap(OF_PROXIES[name]())
    found = []
    for either in (loss, EmbeddingExpansion(loss, num_points=0)):
        torch.default_generator.manual_seed(3)
        found.append(value_and_gradient(either, embeddings, labels))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", OF_PROXIES)
def test_rows_without_partners_give_the_baseline_proxy_loss(name):
    embeddings, labels = torch.randn(4, D, dtype=torch.float64), torch.arange(4)
    loss = OF_PROXIES[name]()
    torch.testing.assert_close(EmbeddingExpansion(loss)(embeddings, labels), loss(embeddings, labels))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ProxyAnchorLoss", "ProxyNCALoss", "SoftTripleLoss", "NormalizedSoftmaxLoss"])
@pytest.mark.parametrize("wrap", [lambda loss: loss, ProxySynthesis], ids=["baseline", "in proxy synthesis"])
def test_gradient_of_embeddings_and_proxies_is_the_derivative(name, wrap):
    embeddings, labels = batch(dtype=torch.float64, size=6, num_classes=3)
    loss = OF_PROXIES[name]().double()
    wrapper = EmbeddingExpansion(wrap(loss), 2)
    ((held, parameter),) = wrapper.named_parameters()
    draws = {"mixing": 0.3} if wrap is ProxySynthesis else {}

    def value(rows, proxies):
        draws["generator"] = torch.Generator().manual_seed(0)
        return functional_call(wrapper, {held: proxies}, (rows, labels), draws)

    assert torch.autograd.gradcheck(value, (embeddings.requires_grad_(), parameter.detach().requires_grad_()))


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("name", OF_PROXIES)
def test_the_order_of_the_batch_does_not_matter_to_proxies_with_all_pairs(name, anchor_points):
    embeddings, labels = batch(dtype=torch.float64, size=11, num_classes=C)
    wrapper = EmbeddingExpansion(OF_PROXIES[name]().double(), pairing="all_pairs", anchor_points=anchor_points)
    order = torch.randperm(11)
    value, gradient = value_and_gradient(wrapper, embeddings, labels)
    permuted_value, permuted_gradient = value_and_gradient(wrapper, embeddings[order], labels[order])
    torch.testing.assert_close(permuted_value, value, rtol=1e-11, atol=0)
    torch.testing.assert_close(permuted_gradient, gradient[order], rtol=1e-8, atol=1e-11)


def test_mixtures_of_proxy_synthesis_stand_for_themselves_and_their_proxies_are_pooled():
    embeddings, labels = batch(dtype=torch.float64, num_classes=C)
    loss = losses.ProxyNCALoss(C, D).double()
    seen = []

    class Watched(PooledProxyDistance):
        def forward(self, query_emb, ref_emb=None):
            matrix = super().forward(query_emb, ref_emb)
            seen.append((self.distance(query_emb, ref_emb), matrix))
            return matrix

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pml_aug.wrappers.pooled_points_wrapper.PooledProxyDistance", Watched)
        wrapper = EmbeddingExpansion(ProxySynthesis(loss))
        wrapper(embeddings, labels)
    ((plain, pooled),) = seen
    mixtures = wrapper.loss.num_synthetic
    assert plain.shape == (12 + mixtures, C + mixtures) and mixtures == 12
    torch.testing.assert_close(pooled[12:], plain[12:])
    torch.testing.assert_close(pooled[range(12), labels], plain[range(12), labels])
    assert (pooled[:12] <= plain[:12] + 1e-12).all()
    assert (pooled[:12, C:] < plain[:12, C:] - 1e-6).any()
    assert wrapper.num_synthetic == 2 * 4


@pytest.mark.parametrize("pairing", ["within_class", "adjacent", "all_pairs"])
def test_every_pairing_leaves_mixtures_alone(pairing):
    embeddings, labels = batch(num_classes=C, size=6)
    wrapper = EmbeddingExpansion(ProxySynthesis(losses.ProxyAnchorLoss(C, D), ratio=0.5), 1, pairing=pairing)
    wrapper(embeddings, labels)
    assert wrapper.loss.num_synthetic == 3
    assert wrapper.num_synthetic == {"within_class": 2, "adjacent": 3, "all_pairs": 2}[pairing]


def test_a_miner_weighs_the_rows_of_a_proxy_loss():
    embeddings, labels = torch.randn(12, D), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3])
    loss = losses.NormalizedSoftmaxLoss(C, D)
    miner = miners.TripletMarginMiner(margin=0.1)
    mined = ExpansionMiner(miner)(embeddings, labels)
    expected = EmbeddingExpansion(loss)(embeddings, labels, mined)
    assert torch.equal(EmbeddingExpansion(loss, miner=miner)(embeddings, labels), expected)
    assert expected != EmbeddingExpansion(loss)(embeddings, labels)


@pytest.mark.parametrize("synthesised", [False, True])
def test_introspective_rows_are_expanded_towards_proxies(synthesised):
    semantic, labels = batch(dtype=torch.float64, num_classes=C)
    rows = torch.cat([semantic, torch.randn_like(semantic)], dim=1)

    def expanded(distance, embeddings):
        torch.default_generator.manual_seed(5)
        loss = losses.ProxyAnchorLoss(C, D, distance=distance).double()
        wrapper = EmbeddingExpansion(ProxySynthesis(loss) if synthesised else loss)
        draws = {"mixing": 0.3, "generator": torch.Generator().manual_seed(0)} if synthesised else {}
        return wrapper(embeddings, labels, **draws)

    trusting = expanded(IntrospectiveSimilarity(D, tau=math.inf), rows)
    torch.testing.assert_close(trusting, expanded(distances.CosineSimilarity(), semantic))
    assert expanded(IntrospectiveSimilarity(D), rows) != trusting


def test_labels_beyond_the_proxies_are_refused():
    wrapper = EmbeddingExpansion(losses.ProxyAnchorLoss(C, D))
    with pytest.raises(
        ValueError, match=r"labels must be in 0 \.\. 3, the classes of ProxyAnchorLoss, but got 0 \.\. 5"
    ):
        wrapper(torch.randn(6, D), torch.arange(6))


class ComparesRows(losses.ProxyAnchorLoss):
    """Someone's loss that wants more than its proxies."""

    def get_logits(self, embeddings):
        return self.distance(embeddings) @ self.distance(embeddings, self.proxies)


class MeasuresByItself(losses.ProxyAnchorLoss):
    def get_logits(self, embeddings):
        return embeddings @ self.proxies.T


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ComparesRows, "compares rows with each other"),
        (MeasuresByItself, "cannot wrap MeasuresByItself: it compares"),
    ],
)
def test_a_proxy_loss_that_asks_otherwise_is_refused_and_left_as_it_was(kind, message):
    loss = kind(C, D)
    own = loss.distance
    with pytest.raises(ValueError, match=message):
        EmbeddingExpansion(loss)(*batch(num_classes=C))
    assert loss.distance is own
