from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import numbers

from benchmarks.config.compose import compose
from benchmarks.data.feature_arrays import FeatureArrays
from benchmarks.data.features import FEATURES, REST, Features, npz_bytes
from benchmarks.errors import UserError
from benchmarks.training.check import check
from benchmarks.training.feature_store import FeatureStore, StoredFeatures, feature_store_of
from benchmarks.training.train import train

CPU = torch.device("cpu")


def arrays(features: np.ndarray, standardize: bool = True) -> FeatureArrays:
    labels = np.repeat(np.arange(len(features) // 2), 2)
    names = [str(label) for label in range(len(features) // 2)]
    return FeatureArrays("mine", features, labels, names, None, [], standardize=standardize)


def test_the_training_rows_alone_decide_the_standardisation() -> None:
    features = np.random.default_rng(0).normal(3, 2, size=(40, 4)).astype(np.float32)
    features[20:] *= 50
    values = FeatureStore(arrays(features), np.arange(20), CPU).values[:, 0].double()
    torch.testing.assert_close(values[:20].mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(values[:20].std(0, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-5, rtol=0)
    expected = (features - features[:20].mean(0)) / features[:20].std(0)
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_without_standardisation_the_features_are_as_they_are() -> None:
    features = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float16)
    values = FeatureStore(arrays(features, standardize=False), np.arange(4), CPU).values
    assert values.dtype == torch.float32 and np.array_equal(values[:, 0].numpy(), features.astype(np.float32))


def test_a_feature_that_the_training_rows_do_not_move_is_centred_only() -> None:
    features = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    features[:4, 1] = 0.1
    values = FeatureStore(arrays(features), np.arange(4), CPU).values[:, 0, 1]
    torch.testing.assert_close(values, torch.from_numpy(features[:, 1] - np.float32(0.1)), atol=1e-6, rtol=0)


def test_an_epoch_draws_one_view_of_each_row_and_repeats_itself() -> None:
    views = np.random.default_rng(0).normal(size=(60, 4, 3)).astype(np.float32)
    store = FeatureStore(arrays(views, standardize=False), np.arange(30), CPU)
    rows, labels = np.arange(30), np.repeat(np.arange(15), 2)
    stored = StoredFeatures(store, rows, labels, seed=1)

    def drawn(epoch: int) -> list[int]:
        stored.start_epoch(epoch)
        values, found = stored.__getitems__(list(range(30)))
        assert np.array_equal(found.numpy(), labels)
        return (values[:, None] == torch.from_numpy(views[:30])).all(dim=2).long().argmax(dim=1).tolist()

    first, second = drawn(1), drawn(2)
    assert set(first) == {1, 2, 3} and first != second and drawn(1) == first
    evaluated = StoredFeatures(store, rows, labels, seed=None)
    evaluated.start_epoch(1)
    assert np.array_equal(evaluated.__getitems__([4, 2])[0].numpy(), views[[4, 2], 0])


def features_of_classes(views: int = 0) -> Features:
    """40 classes around centres of their own, in a few of twelve columns."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 6)
    shape = (240, 12) if views == 0 else (240, 1 + views, 12)
    centres = random.normal(size=(40, 12)) if views == 0 else random.normal(size=(40, 1, 12))
    features = centres[labels] * ([1.0] * 4 + [0.05] * 8) + random.normal(0, 0.4, size=shape)
    return Features(features.astype(np.float32), labels, [f"c{label}" for label in range(40)])


def trained(path: Path, runs: Path, *words: str) -> Path:
    settings = ["data=features", f"data.path={path}", "protocol.batch_size=32", "protocol.iterations_per_epoch=20"]
    settings += ["protocol.epochs=3", "protocol.embedding_size=12", "quiet=true", "device=cpu", f"runs={runs}"]
    config, options = compose([*settings, *words])
    check(config)
    return train(config, options)


@pytest.mark.slow
def test_a_file_and_a_directory_train_alike_and_above_the_start(tmp_path: Path) -> None:
    whole = features_of_classes(views=2)
    (tmp_path / "file.npz").write_bytes(npz_bytes({"features": whole.features, **whole.rest()}))
    (tmp_path / "directory").mkdir()
    np.save(tmp_path / "directory" / FEATURES, whole.features)
    (tmp_path / "directory" / REST).write_bytes(npz_bytes(whole.rest()))
    runs = [
        numbers(trained(tmp_path / name, tmp_path / "runs", "loss=multi_similarity", "protocol.optimizer.lr=0.01"))
        for name in ("file.npz", "directory")
    ]
    assert runs[0].pop("run") != runs[1].pop("run")  # the path is part of what names a run
    assert runs[0] == runs[1]
    scores = [entry["val"]["mean_average_precision_at_r"] for entry in runs[0]["history"]]
    assert max(scores) > scores[0] + 0.02
    assert runs[0]["data"]["hash"] == whole.content_hash and runs[0]["data"]["channels"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "residual"])
@pytest.mark.parametrize(("loss", "method"), [("contrastive", "ee"), ("proxy_anchor", "ps"), ("proxy_anchor", "idml")])
def test_every_embedder_trains_with_the_methods(kind: str, loss: str, method: str, tmp_path: Path) -> None:
    whole = features_of_classes()
    (tmp_path / "file.npz").write_bytes(npz_bytes({"features": whole.features, **whole.rest()}))
    if (kind, method) == ("residual", "idml"):
        pytest.skip("refused")
    words = [
        f"loss={loss}",
        f"method={method}",
        f"protocol.embedder.kind={kind}",
        "protocol.embedder.dropout=0.1",
        "protocol.embedder.hidden_size=7",
        "protocol.batch_size=8",
    ]
    folder = trained(tmp_path / "file.npz", tmp_path / "runs", *words)
    assert (folder / "done").exists()


def test_a_trunk_without_weights_is_no_reason_for_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = features_of_classes()
    (tmp_path / "file.npz").write_bytes(npz_bytes({"features": whole.features, **whole.rest()}))
    trained(tmp_path / "file.npz", tmp_path / "runs")
    assert not [record for record in caplog.records if record.name == "PML" and record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["protocol.embedder.kind=residual", "protocol.embedding_size=8"], "protocol.embedding_size=12"),
        (["trunk=small_cnn"], r"does not take inputs of shape \(2, 12\)"),
        (["protocol.embedder.kind=identity"], "leave nothing to train"),
        (
            ["protocol.embedder.kind=residual", "loss=proxy_anchor", "method=idml"],
            "use embedder=linear or embedder=mlp",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(words: list[str], said: str, tmp_path: Path) -> None:
    whole = features_of_classes()
    (tmp_path / "file.npz").write_bytes(npz_bytes({"features": whole.features, **whole.rest()}))
    with pytest.raises(UserError, match=said):
        trained(tmp_path / "file.npz", tmp_path / "runs", *words)
    assert not list((tmp_path / "runs").glob("*/config.yaml"))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("kind=mpl", "unknown protocol.embedder.kind 'mpl'; the nearest known one is 'mlp'"),
        ("activation=relu6", "unknown protocol.embedder.activation"),
        ("hidden_size=0", "hidden_size must be null or at least 1"),
        ("dropout=1", "dropout must be at least 0 and below 1"),
        ("hidden_size=8", "hidden_size has no effect with protocol.embedder.kind=linear: it is for mlp and residual"),
    ],
)
def test_impossible_embedders_are_refused(key: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose([f"protocol.embedder.{key}"])
    with pytest.raises(UserError, match="protocol.embedder.bias has no effect"):
        compose(["protocol.embedder.kind=residual", "protocol.embedder.bias=zero"])


@pytest.mark.parametrize("views", [0, 2])
def test_batches_are_the_same_wherever_the_features_are(views: int) -> None:
    shape = (40, 1 + views, 5) if views else (40, 5)
    data = arrays(np.random.default_rng(0).normal(3, 2, size=shape).astype(np.float16))
    rows, labels = np.arange(0, 40, 2), np.repeat(np.arange(10), 2)
    held, read = (FeatureStore(data, np.arange(20), CPU, held=held) for held in (True, False))
    assert held.values is not None and read.values is None
    for seed in (None, 3):
        kept, streamed = (StoredFeatures(store, rows, labels, seed) for store in (held, read))
        for epoch in (1, 2):
            for stored in (kept, streamed):
                stored.start_epoch(epoch)
            (values, found), (same, as_well) = (stored.__getitems__([3, 0, 19]) for stored in (kept, streamed))
            assert torch.equal(values, same) and values.dtype == same.dtype == torch.float32
            assert torch.equal(found, as_well)


def test_the_store_of_a_data_set_is_made_once_per_fold() -> None:
    data = arrays(np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))
    first = feature_store_of(data, np.arange(20), CPU)
    assert feature_store_of(data, np.arange(20), CPU) is first
    other = feature_store_of(data, np.arange(10), CPU)
    assert other is not first and not np.array_equal(other.mean, first.mean)
