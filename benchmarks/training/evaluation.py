"""Scores of a model on validation and test, as often as the protocol demands, and of each test query at one epoch."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..config.compose import RunConfig
from ..data import ImageArrays
from ..data.split import Split
from ..errors import TrainingError
from ..runs.schema import PER_QUERY, RECALL_AT, recall_at
from .accuracy import RetrievalAccuracy, Retrieved
from .activity import DIVERGED
from .clusters import cluster_agreement
from .distributed import ALONE, ProcessGroup
from .examples import gallery_queries
from .feature_store import FeatureStore
from .images import StoredImages, eval_images, keep_batch
from .neighbors import PATIENCE, neighbor_search
from .pixel_store import ImageStore
from .precision import autocast, uncompiled
from .selection import chosen_entry

BATCH_SIZE = 256
SHOWN = 6  # neighbours of each query in gallery.npz


class MemoryTester(GlobalEmbeddingSpaceTester):
    """PML's tester on images in memory.

    Args:
        precision: of trunk and embedder, "float32" or "bfloat16"; embeddings and distances are float32.
        processes: that share the images, whole batches each, so that the embeddings are those of one process to the
            last digit; all get all embeddings.
        quiet: whether to show no progress bar; else one appears after some seconds.
        **tester: arguments of PML's tester.

    Attributes:
        retrieved: neighbours and scores of the queries of each split, of the last call.
    """

    def __init__(self, *, precision: str, processes: ProcessGroup = ALONE, quiet: bool = True, **tester: Any) -> None:
        super().__init__(**tester)
        self.precision = precision
        self.processes = processes
        self.quiet = quiet
        self.retrieved: dict[str, Retrieved] = {}

    def compute_all_embeddings(
        self, dataloader: "DataLoader[Any]", trunk_model: nn.Module, embedder_model: nn.Module
    ) -> tuple[Tensor, Tensor]:
        images = cast(StoredImages, dataloader.dataset)
        shares = self.processes.shares(len(images), self.batch_size)
        share = shares[self.processes.rank]
        starts = range(share.start, share.stop, self.batch_size)
        rows = (list(range(start, min(start + self.batch_size, share.stop))) for start in starts)
        batches = images.ahead(images.__getitems__(some) for some in rows)
        embeddings = torch.empty(0, device=self.data_device)
        with torch.no_grad(), autocast(self.precision, self.data_device):
            for start, (some, _) in zip(
                starts, tqdm(batches, "embeddings", len(starts), False, delay=PATIENCE, disable=self.quiet), strict=True
            ):
                embedded = self.get_embeddings_for_eval(trunk_model, embedder_model, some).float()
                if not len(embeddings):
                    embeddings = embedded.new_empty(len(images), embedded.shape[1])
                embeddings[start : start + len(embedded)] = embedded
        if self.processes.size > 1:
            embeddings = self._of_all_processes(embeddings, shares)
        if not bool(embeddings.isfinite().all()):
            raise TrainingError(f"embeddings of evaluated images are NaN or infinite; {DIVERGED}")
        return embeddings, images.labels[:, None].to(self.data_device)

    def _of_all_processes(self, embeddings: Tensor, shares: list[slice]) -> Tensor:
        """The embeddings with the shares of the others; a process without a share does not know their shape."""
        shape = self.processes.broadcast_object(tuple(embeddings.shape))
        whole = embeddings if len(embeddings) else torch.empty(shape, device=self.data_device)
        self.processes.fill_in(whole, shares)
        return whole

    def get_splits_to_compute_embeddings(self, dataset_dict: Any, splits_to_eval: Any) -> tuple[Any, list[str]]:
        pairs, splits = super().get_splits_to_compute_embeddings(dataset_dict, splits_to_eval)
        return pairs, sorted(splits)  # PML's come from a set, in an order that is another one in every process

    def maybe_combine_splits(
        self, embeddings_and_labels: Mapping[str, tuple[Tensor, Tensor]], splits: list[str]
    ) -> tuple[Tensor, Tensor]:
        (split,) = splits  # nothing to combine, so nothing to copy
        return embeddings_and_labels[split]

    def do_knn_and_accuracies(self, accuracies: dict[str, float], embedded: Any, query: str, searched: Any) -> None:
        super().do_knn_and_accuracies(accuracies, embedded, query, searched)
        self.retrieved[query] = self.accuracy_calculator.retrieved


class ScoringRules(NamedTuple):
    """What a protocol demands of the test set."""

    scoring: str  # "every" evaluation, "once" (only the selected weights) or "never"
    keep_embeddings: bool
    shown: Tensor  # (G,), positions in the test images of the queries whose neighbours are kept
    neighbors: str = "exact"  # or "faiss": the search
    keep_weights: bool = False  # whether those of the selected epoch are wanted after the training
    recall_at: tuple[int, ...] = RECALL_AT
    clustering: bool = False  # whether the test images are clustered, too


class Evaluation:
    """Scores a model at each call, and keeps the history.

    Args:
        images: data sets by name: ``val`` if a fold validates, ``test``, and ``gallery`` if the test images are queries
            that search other images.
        rules: for the test set.
        device: of the models.
        precision: of the models, as in training.
        record: called with the tester after each evaluation, as PML's ``end_of_testing_hook``.
        log_test: called with the epoch before the test set is touched.
        processes: that share the work; all must call the same methods, and get the same scores.
        quiet: whether to show no progress bars.

    Attributes:
        history: one entry per evaluation: epoch, iterations, loss, val, test (None where it was not scored).
        best: at the selected epoch (:func:`chosen_entry`), once it has been scored on the test set: the scores of each
            query, (Q,); ``neighbors``, (G, K), positions in the searched images, nearest first; and, if they are kept,
            ``embeddings``, (Q, D), and ``gallery_embeddings``.
        weights: of the models at that epoch, if :meth:`score_chosen` will need them or ``rules`` keep them.
        final: test scores from :meth:`score_chosen`.
    """

    def __init__(
        self,
        images: "Mapping[str, Dataset[Any]]",
        rules: ScoringRules,
        device: torch.device,
        precision: str,
        record: Callable[[GlobalEmbeddingSpaceTester], None],
        log_test: Callable[[int], None],
        processes: ProcessGroup = ALONE,
        quiet: bool = True,
    ) -> None:
        search = neighbor_search(rules.neighbors, processes, quiet)
        self.images = images
        self.rules = rules
        self.record = record
        self.log_test = log_test
        self.searched = "gallery" if "gallery" in images else "test"
        self.history: list[dict[str, Any]] = []
        self.scored: dict[str, Any] = {}  # the entry that is being scored
        self.best: dict[str, Tensor] = {}
        self.weights: dict[str, dict[str, Any]] = {}
        self.final: dict[str, float] | None = None
        self.tester = MemoryTester(
            precision=precision,
            processes=processes,
            quiet=quiet,
            batch_size=BATCH_SIZE,
            dataloader_num_workers=0,
            data_device=device,
            accuracy_calculator=RetrievalAccuracy(device, search, rules.recall_at),
            end_of_testing_hook=self._remember,
        )

    def __call__(self, epoch: int, iterations: int, loss: float | None, models: Mapping[str, nn.Module]) -> None:
        """Score validation, and the test set if ``rules.scoring`` is "every"."""
        self.history.append({"epoch": epoch, "iterations": iterations, "loss": loss, "val": None, "test": None})
        wanted = ["val", "test"] if self.rules.scoring == "every" else ["val"]
        self._score([split for split in wanted if split in self.images], self.history[-1], models)
        if (self.rules.scoring == "once" or self.rules.keep_weights) and chosen_entry(self.history) is self.history[-1]:
            self.weights = {name: _copies(model.state_dict()) for name, model in models.items()}

    def score_chosen(self, models: Mapping[str, nn.Module]) -> None:
        """Load the selected weights into the models, and score them on the test set if there is one."""
        for name, model in models.items():
            model.load_state_dict(self.weights[name])
        chosen = dict(chosen_entry(self.history))
        self._score(["test"] if "test" in self.images else [], chosen, models)
        self.final = chosen["test"]

    def test_scorings(self) -> int:
        """Number of sets of weights that were scored on the test set."""
        return sum(entry["test"] is not None for entry in self.history) + (self.final is not None)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best": self.best, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.history, self.best, self.weights = state["history"], state["best"], state["weights"]

    def _score(self, splits: list[str], entry: dict[str, Any], models: Mapping[str, nn.Module]) -> None:
        if not splits:
            return
        if "test" in splits:
            self.log_test(entry["epoch"])
        self.scored = entry
        pairs = [(split, [self.searched if split == "test" else split]) for split in splits]
        with uncompiled(models["trunk"]):
            self.tester.test(
                self.images,
                entry["epoch"],
                models["trunk"],
                models["embedder"],
                splits_to_eval=pairs,
                collate_fn=keep_batch,
            )

    def _remember(self, tester: GlobalEmbeddingSpaceTester) -> None:
        self.record(tester)
        for split, scores in tester.all_accuracies.items():
            names = self.tester.accuracy_calculator.get_curr_metrics()
            self.scored[split] = {name: scores[tester.accuracies_keyname(name)] for name in names}
        if "test" in tester.all_accuracies and self.rules.clustering:
            embeddings, labels = tester.embeddings_and_labels["test"]
            self.scored["test"] |= cluster_agreement(embeddings, labels.flatten())
        if "test" in tester.all_accuracies and self.scored["epoch"] == chosen_entry(self.history)["epoch"]:
            self.best = self._queries(tester.retrieved["test"], tester.embeddings_and_labels)

    def _queries(self, retrieved: Retrieved, embedded: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        shown = retrieved.neighbors[self.rules.shown.to(retrieved.neighbors.device), :SHOWN]
        kept = {**{name: retrieved.scores[name] for name in PER_QUERY}, "neighbors": shown}
        if self.rules.keep_embeddings:
            kept["embeddings"] = embedded["test"][0]
            if self.searched == "gallery":
                kept["gallery_embeddings"] = embedded["gallery"][0]
        return {name: tensor.cpu() for name, tensor in kept.items()}


def _copies(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part.to("cpu", copy=True) if isinstance(part, Tensor) else part for key, part in state.items()}


def make_evaluation(
    config: RunConfig,
    data: ImageArrays,
    split: Split,
    store: ImageStore | FeatureStore,
    device: torch.device,
    record: Callable[[GlobalEmbeddingSpaceTester], None],
    log_test: Callable[[int], None],
    keep_weights: bool = False,
    processes: ProcessGroup = ALONE,
    quiet: bool = True,
) -> Evaluation:
    """The evaluation that a protocol describes.

    Args:
        config: of the run.
        data: images and labels.
        split: rows of the images.
        store: pixels of the images.
        device: of the models.
        record: as for :class:`Evaluation`.
        log_test: as for :class:`Evaluation`.
        keep_weights: as for :class:`ScoringRules`.
        processes: as for :class:`Evaluation`.
        quiet: as for :class:`Evaluation`.
    """
    protocol = config.protocol
    rules = ScoringRules(
        protocol.test_scoring,
        protocol.keep_embeddings,
        torch.from_numpy(gallery_queries(data, split.test, config.fold, alone=split.gallery is not None)),
        protocol.neighbors,
        keep_weights,
        recall_at(config.data.kind),
        protocol.clustering,
    )
    rows = {"val": split.val, "test": split.test, "gallery": split.gallery}
    images = {
        name: eval_images(config, store, part, data.labels[part])
        for name, part in rows.items()
        if part is not None and len(part) and (name == "val" or rules.scoring != "never")
    }
    return Evaluation(images, rules, device, protocol.precision, record, log_test, processes, quiet)
