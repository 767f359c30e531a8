"""A miner that sees the expansion: the same choice as the wrapper's, for every PML miner, in a PML trainer."""

from functools import partial

import pytest
import torch
from batches import random_batch
from pytorch_metric_learning import distances, losses, miners, reducers, trainers
from torch import nn

from pml_aug.miners import ExpansionMiner
from pml_aug.wrappers import EmbeddingExpansion

MATRIX_MINERS = {
    "BatchEasyHardMiner": lambda: miners.BatchEasyHardMiner(
        pos_strategy=miners.BatchEasyHardMiner.EASY, neg_strategy=miners.BatchEasyHardMiner.HARD
    ),
    "BatchHardMiner": miners.BatchHardMiner,
    "DistanceWeightedMiner": miners.DistanceWeightedMiner,
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "PairMarginMiner": miners.PairMarginMiner,
    "TripletMarginMiner": miners.TripletMarginMiner,
    "UniformHistogramMiner": miners.UniformHistogramMiner,
}
REFUSED = {
    "AngularMiner": (miners.AngularMiner, "it measures angles"),
    "EmbeddingsAlreadyPackagedAsTriplets": (miners.EmbeddingsAlreadyPackagedAsTriplets, "rows of the batch in a fixed"),
}


batch = partial(random_batch, num_classes=3, width=4)


def test_every_miner_of_the_host_library_has_its_verdict():
    known = {name for name, kind in vars(miners).items() if isinstance(kind, type)}
    assert known == {*MATRIX_MINERS, *REFUSED, "BaseMiner"}


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("name", MATRIX_MINERS)
def test_it_chooses_what_the_wrapper_s_miner_chooses(name, anchor_points):
    embeddings, labels = batch()
    make = MATRIX_MINERS[name]
    # the loss's distance differs from each miner's, so the wrapper pools once more for its miner
    loss = losses.TripletMarginLoss(margin=2.0, distance=distances.LpDistance(power=2), reducer=reducers.SumReducer())
    torch.manual_seed(3)
    expected = EmbeddingExpansion(loss, 3, make(), anchor_points=anchor_points)(embeddings, labels)
    torch.manual_seed(3)
    found = ExpansionMiner(make(), 3, anchor_points=anchor_points)(embeddings, labels)
    assert all(len(rows) > 0 for rows in found)
    assert torch.equal(EmbeddingExpansion(loss, 3, anchor_points=anchor_points)(embeddings, labels, found), expected)


@pytest.mark.parametrize("name", MATRIX_MINERS)
def test_the_wrapped_miner_stays_as_it_was(name):
    embeddings, labels = batch()
    miner = MATRIX_MINERS[name]()
    own = miner.distance
    torch.manual_seed(4)
    baseline = miner(embeddings, labels)
    ExpansionMiner(miner)(embeddings, labels)
    assert miner.distance is own
    torch.manual_seed(4)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(miner(embeddings, labels), baseline, strict=True))


@pytest.mark.parametrize("name", MATRIX_MINERS)
def test_no_points_give_the_baseline_miner(name):
    embeddings, labels = batch()
    chosen = []
    for miner in (MATRIX_MINERS[name](), ExpansionMiner(MATRIX_MINERS[name](), num_points=0)):
        torch.manual_seed(4)
        chosen.append(miner(embeddings, labels))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*chosen, strict=True))


def test_a_point_brings_a_farther_row_s_negative_nearer():
    embeddings = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 2.0], [2.5, 1.0], [4.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    hardest = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))
    # row 1 is sqrt(5/4) from row 4; the point (1, 0) on its segment is 1 from row 2
    assert hardest(embeddings, labels)[2][1] == 4
    assert ExpansionMiner(hardest, 1, normalize=False, anchor_points="own")(embeddings, labels)[2][1] == 2


def test_references_are_expanded_too():
    embeddings, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([0])
    references = torch.tensor([[0.0, 9.0], [2.0, 3.0], [2.0, -3.0], [3.0, 0.0], [9.0, 0.0]])
    reference_labels = torch.tensor([0, 1, 1, 2, 2])
    hardest = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))
    assert hardest(embeddings, labels, references, reference_labels)[2].item() == 3
    # half way between rows 1 and 2 of the references lies (2, 0); both then count as 2 away
    chosen = ExpansionMiner(hardest, 1, normalize=False)(embeddings, labels, references, reference_labels)
    assert chosen[2].item() in (1, 2)


def test_a_baseline_loss_takes_what_it_finds():
    embeddings, labels = batch()
    miner = ExpansionMiner(miners.MultiSimilarityMiner())
    value = losses.MultiSimilarityLoss()(embeddings.requires_grad_(), labels, miner(embeddings, labels))
    value.backward()
    assert torch.isfinite(embeddings.grad).all()


def test_a_trainer_takes_it_as_its_tuple_miner():
    images, labels = torch.randn(24, 4), torch.arange(24) % 3
    trunk, embedder = nn.Identity(), nn.Linear(4, 3)
    before = embedder.weight.detach().clone()
    seen = []
    miner = ExpansionMiner(miners.BatchHardMiner(), num_points=1)
    miner.register_forward_hook(lambda _module, _inputs, found: seen.append(len(found[0])))
    trainers.MetricLossOnly(
        models={"trunk": trunk, "embedder": embedder},
        optimizers={"embedder_optimizer": torch.optim.SGD(embedder.parameters(), lr=0.1)},
        batch_size=12,
        loss_funcs={"metric_loss": losses.TripletMarginLoss(margin=1.0)},
        dataset=torch.utils.data.TensorDataset(images, labels),
        mining_funcs={"tuple_miner": miner},
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
    ).train(num_epochs=1)
    assert seen == [12, 12]
    assert not torch.equal(embedder.weight, before)


def test_it_records_what_it_did():
    miner = ExpansionMiner(miners.BatchHardMiner(collect_stats=True), num_points=3)
    miner.collect_stats = True
    miner(torch.randn(5, 2), torch.tensor([0, 0, 0, 1, 1]))
    assert miner.num_triplets == miner.miner.num_triplets == 5
    assert miner.num_synthetic == 3 * 2  # one row of class 0 stays alone
    assert miner.num_points == 3


def test_it_has_no_state_of_its_own():
    miner = ExpansionMiner(miners.BatchHardMiner())
    assert miner.state_dict() == {}
    assert miner.distance is miner.miner.distance


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_mined_in_float32(dtype):
    embeddings, labels = batch(size=60)
    embeddings = embeddings.to(dtype)
    miner = ExpansionMiner(miners.MultiSimilarityMiner())
    expected = miner(embeddings.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = miner(embeddings, labels)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_a_miner_that_the_points_do_not_reach_is_refused_by_name(name):
    make, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"ExpansionMiner cannot wrap {name}: .*{reason}"):
        ExpansionMiner(make())


class FirstTriplet(miners.BaseMiner):
    """Someone's miner that looks at labels only."""

    def mine(self, embeddings, labels, ref_emb, ref_labels):
        return torch.tensor([0]), torch.tensor([3]), torch.tensor([1])


def test_a_miner_that_never_asks_for_the_matrix_is_refused_in_the_call():
    with pytest.raises(ValueError, match="ExpansionMiner cannot wrap FirstTriplet: it never uses the distance"):
        ExpansionMiner(FirstTriplet())(*batch())


def test_an_expansion_in_an_expansion_is_refused():
    inner = ExpansionMiner(miners.BatchHardMiner())
    with pytest.raises(ValueError, match="ExpansionMiner cannot wrap ExpansionMiner: it expands the batch already"):
        ExpansionMiner(inner)
    with pytest.raises(
        ValueError, match="EmbeddingExpansion cannot use ExpansionMiner: it expands the batch by itself"
    ):
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=inner)


def test_what_is_no_miner_is_refused():
    with pytest.raises(TypeError, match="argument `miner` to be a BaseMiner .* but got TripletMarginLoss"):
        ExpansionMiner(losses.TripletMarginLoss())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": -1}, "num_points must be at least 0, but got -1"),
        ({"pairing": "roll"}, r"pairing must be one of 'within_class', 'adjacent', 'all_pairs', but got 'roll'"),
        ({"anchor_points": "all"}, r"anchor_points must be one of 'class', 'own', but got 'all'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExpansionMiner(miners.BatchHardMiner(), **arguments)
