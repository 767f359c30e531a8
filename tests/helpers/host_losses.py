"""What the host library's `losses` exports, and what of it no wrapper is asked to take."""

from pytorch_metric_learning import losses

EXPORTED = {name for name, kind in vars(losses).items() if isinstance(kind, type)}
NO_LOSSES = {  # they hold losses
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=4),
    "MultipleLosses": lambda: losses.MultipleLosses([losses.ContrastiveLoss()]),
    "SelfSupervisedLoss": lambda: losses.SelfSupervisedLoss(losses.ContrastiveLoss()),
}
ABSTRACT = {
    "BaseLossWrapper",
    "BaseMetricLossFunction",
    "EmbeddingRegularizerMixin",
    "GenericPairLoss",
    "WeightRegularizerMixin",
}
