"""The model's scores on validation and test, epoch by epoch, and the test queries' own at the chosen epoch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .accuracy import METRICS, RetrievalAccuracy, query_scores
from .images import MemoryImages, keep_batch
from .selection import best_epoch

BATCH_SIZE = 256
NEIGHBORS = 6  # of each gallery query


class MemoryTester(GlobalEmbeddingSpaceTester):
    """PML's tester over images in memory, without a progress bar of its own."""

    def compute_all_embeddings(
        self, dataloader: "DataLoader[Any]", trunk_model: nn.Module, embedder_model: nn.Module
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            batches = [
                (self.get_embeddings_for_eval(trunk_model, embedder_model, images).float(), labels)
                for images, labels in dataloader
            ]
        embeddings, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return embeddings, labels[:, None].to(self.data_device)


class Evaluation:
    """Scores a model whenever it is called, and remembers.

    Args:
        val: validation images.
        test: test images.
        gallery: positions in ``test`` of the queries whose neighbours are kept, (G,).
        device: of the models.
        record: called with the tester after each evaluation, as PML's ``end_of_testing_hook``.

    Attributes:
        history: one entry an evaluation: epoch, iterations, loss, val, test.
        best: of the epoch with the best validation MAP@R: each test query's scores, (Q,), and ``neighbors`` (G, K),
            positions in ``test``, nearest first.
    """

    def __init__(
        self,
        val: MemoryImages,
        test: MemoryImages,
        gallery: Tensor,
        device: torch.device,
        record: Callable[[GlobalEmbeddingSpaceTester], None],
    ) -> None:
        self.splits = {"val": val, "test": test}
        self.gallery = gallery
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.record = record
        self.tester = MemoryTester(
            batch_size=BATCH_SIZE,
            dataloader_num_workers=0,
            data_device=device,
            accuracy_calculator=RetrievalAccuracy(device=device),
            end_of_testing_hook=self._remember,
        )

    def __call__(self, epoch: int, iterations: int, loss: float | None, models: Mapping[str, nn.Module]) -> None:
        self.history.append({"epoch": epoch, "iterations": iterations, "loss": loss})
        self.tester.test(self.splits, epoch, models["trunk"], models["embedder"], collate_fn=keep_batch)

    def _remember(self, tester: GlobalEmbeddingSpaceTester) -> None:
        self.record(tester)
        for split in self.splits:
            scores = tester.all_accuracies[split]
            self.history[-1][split] = {name: scores[tester.accuracies_keyname(name)] for name in METRICS}
        if best_epoch(self.history, "val") is self.history[-1]:
            embeddings, labels = tester.embeddings_and_labels["test"]
            self.best = self._queries(embeddings, labels[:, 0])

    def _queries(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        most = int(labels.bincount().max()) - 1
        k = min(max(most, NEIGHBORS), len(labels) - 1)
        _, neighbors = self.tester.accuracy_calculator.knn_func(embeddings, k, embeddings, ref_includes_query=True)
        kept = {**query_scores(labels[neighbors], labels), "neighbors": neighbors[self.gallery, :NEIGHBORS]}
        return {name: tensor.cpu() for name, tensor in kept.items()}
