"""Every miner of PML on a batch and its copies, no row with its own."""

import copy

import pytest
import torch
from iaa_cases import (
    COPIES,
    NUM_CLASSES,
    REFERENCES,
    SIZE,
    as_set,
    batch,
    copies_by_hand,
    is_self_of,
    leave_self_out,
    noise_for,
    wrap,
)
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.miners import ExpansionMiner
from pml_aug.wrappers.copies import References, mined
from pml_aug.wrappers.copies_wrapper import distances_apart

MINERS = {
    "BatchHardMiner": miners.BatchHardMiner,
    "BatchHardMiner by cosine": lambda: miners.BatchHardMiner(distance=distances.CosineSimilarity()),
    "BatchHardMiner in a range": lambda: miners.BatchEasyHardMiner("hard", "hard", allowed_pos_range=(0.2, 1.3)),
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "MultiSimilarityMiner by distance": lambda: miners.MultiSimilarityMiner(distance=distances.LpDistance()),
    "PairMarginMiner": lambda: miners.PairMarginMiner(0.8, 1.2),
    "TripletMarginMiner": miners.TripletMarginMiner,
    "TripletMarginMiner, easy": lambda: miners.TripletMarginMiner(type_of_triplets="easy"),
    "AngularMiner": miners.AngularMiner,
} | {
    f"BatchEasyHardMiner({pos}, {neg})": lambda pos=pos, neg=neg: miners.BatchEasyHardMiner(pos, neg)
    for pos in ("hard", "semihard", "easy", "all")
    for neg in ("hard", "semihard", "easy", "all")
    if {pos, neg} not in ({"semihard"}, {"semihard", "all"})
}


def references_for(embeddings, labels, copies=COPIES):
    points = embeddings.repeat(copies, 1) + 0.3 * torch.randn(copies * len(embeddings), embeddings.shape[1])
    return References(
        embeddings,
        labels,
        torch.cat([embeddings, points]),
        labels.repeat(copies + 1),
        is_self_of(len(labels), copies).bool(),
    )


def multi_similarity_by_hand(references, miner):
    likeness = miner.distance(references.embeddings, references.ref_emb)
    if not miner.distance.is_inverted:
        likeness = -likeness
    found = [], [], [], []
    for anchor, row in enumerate(likeness):
        positives = (references.matches()[anchor]).nonzero().flatten().tolist()
        negatives = (references.differences()[anchor]).nonzero().flatten().tolist()
        if not positives or not negatives:
            continue
        for positive in positives:
            if row[positive] - miner.epsilon < max(row[other] for other in negatives):
                found[0].append(anchor)
                found[1].append(positive)
        for negative in negatives:
            if row[negative] + miner.epsilon > min(row[other] for other in positives):
                found[2].append(anchor)
                found[3].append(negative)
    return tuple(torch.tensor(rows, dtype=torch.long) for rows in found)


@pytest.mark.parametrize("labels", [torch.arange(12) % 4, torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 4])])
@pytest.mark.parametrize("name", MINERS)
def test_a_miner_finds_what_it_would_if_self_copies_were_left_out(name, labels, monkeypatch):
    embeddings = torch.randn(12, SIZE) + 0.7 * torch.randn(5, SIZE)[labels]
    references, miner = references_for(embeddings, labels), MINERS[name]()
    before = {key: value for key, value in vars(miner).items() if not key.startswith(("_", "num_"))}
    distance = miner.distance
    found = mined(miner, references)
    assert miner.distance is distance
    assert {key: value for key, value in vars(miner).items() if not key.startswith(("_", "num_"))} == before
    if isinstance(miner, miners.MultiSimilarityMiner):
        expected = multi_similarity_by_hand(references, miner)
    else:
        leave_self_out(monkeypatch, references.is_self.byte())
        expected = miner(*references[:4])
    assert sum(map(len, as_set(expected))) > 0
    if name == "HDCMiner":  # the pairs (i, j) and (j, i) are equally hard, and one of them may be cut off
        matrix = distance(*references[0:3:2])
        for start in (0, 2):
            hardness = [matrix[tuples[start : start + 2]].sort().values for tuples in (found, expected)]
            torch.testing.assert_close(*hardness)
        return
    assert as_set(found) == as_set(expected)


def test_uniform_histogram_miner_draws_from_every_bin_but_no_self_copies():
    references = references_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    miner = miners.UniformHistogramMiner(num_bins=4, pos_per_bin=50, neg_per_bin=50)
    anchor, positive, other_anchor, negative = mined(miner, references)
    assert references.matches()[anchor, positive].all() and references.differences()[other_anchor, negative].all()
    matrix = miner.distance(references.embeddings, references.ref_emb)
    drawn, allowed = matrix[anchor, positive], matrix[references.matches()]
    edges = torch.linspace(float(allowed.min()), float(allowed.max()), 5)
    counts = torch.histogram(drawn, edges).hist
    assert all(count in (0, 50) for count in counts.tolist()) and counts.sum() >= 100


def test_distance_weighted_miner_finds_no_self_copies():
    references = references_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    anchor, positive, negative = mined(miners.DistanceWeightedMiner(), references)
    assert len(anchor) > 0
    assert references.matches()[anchor, positive].all() and references.differences()[anchor, negative].all()


def test_expansion_miner_mines_by_its_own_matrix():
    references = references_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    plain = mined(miners.BatchHardMiner(), references)
    without_points = mined(ExpansionMiner(miners.BatchHardMiner(), num_points=0), references)
    expanded = ExpansionMiner(miners.BatchHardMiner(), num_points=3)
    anchor, positive, negative = mined(expanded, references)
    assert as_set(plain) == as_set(without_points) != as_set((anchor, positive, negative))
    assert torch.equal(positive, plain[1])  # positives are measured as they are
    assert wrap(losses.TripletMarginLoss(), expanded)(*batch()) >= 0


def test_expansion_miner_leaves_uncertainties_as_they_are():
    references = references_for(2 * torch.randn(12, SIZE), torch.arange(12) % 4)
    by_pairs = miners.PairMarginMiner(0.6, 0.4, distance=IntrospectiveSimilarity(SIZE // 2, offset=0.0))
    miner = ExpansionMiner(by_pairs, num_points=1)
    # it judges each pair by itself, so self-copies can as well be taken out of what it finds
    anchor, positive, *negatives = miner(*references[:4])
    kept = ~references.is_self[anchor, positive]
    found = as_set(mined(miner, references))
    assert found == as_set((anchor[kept], positive[kept], *negatives)) and all(found)


def test_a_miner_of_ones_own_is_asked_as_it_is_and_self_copies_taken_out():
    class Nearest(miners.MultiSimilarityMiner):
        def mine(self, embeddings, labels, ref_emb, ref_labels):
            matches, differences = lmu.get_matches_and_diffs(labels, ref_labels)
            return *torch.where(matches), *torch.where(differences)

    references = references_for(torch.randn(6, SIZE), torch.arange(6) % 2)
    positives, negatives = as_set(mined(Nearest(), references))
    assert len(positives) == int(references.matches().sum()) and len(negatives) == int(references.differences().sum())


def test_a_miner_for_rows_in_fixed_places_is_refused():
    with pytest.raises(ValueError, match="cannot use EmbeddingsAlreadyPackagedAsTriplets: its triplets are rows"):
        wrap(losses.TripletMarginLoss(), miners.EmbeddingsAlreadyPackagedAsTriplets())


@pytest.mark.parametrize(
    "distance",
    [
        distances.CosineSimilarity(),
        distances.DotProductSimilarity(normalize_embeddings=False),
        distances.LpDistance(),
        distances.LpDistance(normalize_embeddings=False, p=1),
        distances.SNRDistance(),
        IntrospectiveSimilarity(SIZE),
    ],
    ids=lambda distance: type(distance).__name__,
)
def test_distances_to_rows_and_to_copies_apart_are_those_to_both(distance):
    rows, copies = torch.randn(6, 2 * SIZE, dtype=torch.float64), torch.randn(18, 2 * SIZE, dtype=torch.float64)
    weights = torch.randn(6, 24, dtype=torch.float64)
    results = []
    for measure in (distances_apart, lambda distance, rows, copies: distance(rows, torch.cat([rows, copies]))):
        leaves = [rows.clone().requires_grad_(), copies.clone().requires_grad_()]
        matrix = measure(distance, *leaves)
        results.append([matrix, *torch.autograd.grad((matrix * weights).sum(), leaves)])
    for apart, both in zip(*results, strict=True):
        torch.testing.assert_close(apart, both, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "loss_name", ["MultiSimilarityLoss", "NCALoss", "AngularLoss", "TripletMarginLoss", "SupConLoss"]
)
@pytest.mark.parametrize("same_distance", [True, False])
def test_the_loss_measures_the_same_whether_or_not_it_shares_a_matrix_with_the_miner(loss_name, same_distance):
    embeddings, labels = batch(dtype=torch.float64)
    loss, noise = REFERENCES[loss_name](), noise_for(embeddings)
    distance = copy.deepcopy(loss.distance) if same_distance else distances.SNRDistance()
    wrapper = wrap(loss, miners.BatchHardMiner(distance=distance)).double()
    actual = value_and_gradient(wrapper, embeddings, labels, noise=noise)

    def by_hand(rows, labels):
        points, classes = copies_by_hand(wrapper, rows, labels, noise)
        references = References(
            rows, labels, torch.cat([rows, points]), torch.cat([labels, classes]), is_self_of(12, COPIES).bool()
        )
        tuples = mined(wrapper.miner, references)
        if loss_name != "NCALoss":
            return wrapper.loss(rows, labels, tuples, *references[2:4])
        logits = -wrapper.loss.distance(rows, references.ref_emb)
        share = logits.masked_fill(references.is_self, -float("inf")).softmax(dim=1)
        return -torch.log((share * references.matches()).sum(dim=1)).mean()  # each anchor is mined once: weights 1

    torch.testing.assert_close(actual, value_and_gradient(by_hand, embeddings, labels), rtol=1e-10, atol=1e-12)


def test_proxy_losses_weigh_rows_by_what_is_mined_among_all_samples():
    embeddings, labels = batch()
    loss, miner, noise = losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), miners.MultiSimilarityMiner(), noise_for(embeddings)
    wrapper = wrap(loss, miner)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows, classes = torch.cat([embeddings, points]), torch.cat([labels, classes])
    torch.testing.assert_close(wrapper(embeddings, labels, noise=noise), loss(rows, classes, miner(rows, classes)))
