"""Spherical Embedding Expansion around any PML loss with one proxy per class."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import unwrap
from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.host import ONE_PROXY, PROXIES
from pml_aug.synthesis.points_of_equal_cosine import draw_directions, points_of_equal_cosine
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_class_labels, check_integer, check_number
from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.terms import Term, weighted_sum, without_regularizers

SELECT = ("fraction", "cosine")
POINTS = ("simplex", "row")


class SphericalEmbeddingExpansion(LossWrapper):
    r"""A proxy loss whose proxies also learn from points around them, spread evenly at the cosine of a row.

    The selected rows i, those nearest to the proxies of their classes, get `num_points` points
    :math:`z'_{i1}, \dots, z'_{in}` each: on the sphere, with the cosine of row i to its proxy, as far from each other
    and from the row as possible (:func:`pml_aug.synthesis.points_of_equal_cosine`). With the unchanged loss L,

    .. math:: L(x, y) + \lambda\, L(z', y')

    The points are constants, so that rows get exactly the gradient of the baseline loss, and the second term trains
    the proxies alone. Regularizers see the batch only. Points have the length of their row, for losses that depend on
    it.

    Args:
        loss: a PML loss with one proxy per class.
        num_points: n, points per selected row, at least 1; embeddings must have n + 1 dimensions or more.
        weight: :math:`\lambda`, at least 0; 0 is the baseline loss.
        select: "fraction" (the `fraction` of the batch with the largest cosine to the proxy of the class) or "cosine"
            (rows with a cosine of `min_cosine` or more; on an accelerator the host waits for their number).
        fraction: between 0 and 1; the number of rows is rounded, halves to even. May be assigned between calls, see
            :func:`pml_aug.hooks.schedule_expansion`.
        min_cosine: between -1 and 1. May be assigned between calls.
        points: "simplex" (the method) or "row" (n copies of the selected row itself: a control, which weights the
            selected rows as the method does and has no synthetic points).

    Attributes:
        num_synthetic: number of points in the last call.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; more points than the dimensions allow; a loss without proxies, or with
            several per class; in a call, `ref_emb`, a label outside 0 .. C - 1, or directions of another shape.
        TypeError: `loss` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss.

    Source: Le and Woo, "Spherical Embedding Expansion for Deep Metric Learning", PAKDD 2024;
    github.com/Leminhbinh0209/PAKDD24-SEE. That code is this wrapper around ProxyAnchorLoss, with its default options
    and the schedule of :func:`pml_aug.hooks.fraction_at`. Deviations: rows that lie exactly on their proxy, with which
    the official code stops, are not expanded (with embeddings on an accelerator, where looking for them would make the
    host wait, their points are the proxy itself); the last of the official n random directions, which has no effect,
    is not drawn.

    Example:
        >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
        >>> loss = SphericalEmbeddingExpansion(ProxyAnchorLoss(num_classes=4, embedding_size=16))
        >>> _ = loss(torch.randn(10, 16), torch.arange(10) % 4)
        >>> loss.num_synthetic  # eight points around four rows
        32
    """

    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()
    needs: ClassVar[tuple[str, ...]] = (PROXIES, ONE_PROXY)
    off: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_points: int = 8,
        weight: float = 0.2,
        select: str = "fraction",
        fraction: float = 0.4,
        min_cosine: float = 0.5,
        points: str = "simplex",
    ) -> None:
        check_integer("num_points", num_points, minimum=1)
        check_choice("points", points, POINTS)
        super().__init__(loss)
        proxies = self.loss_facts.proxies
        assert proxies is not None  # refused otherwise
        self.layout = proxies
        width = proxies.rows(loss).shape[1]
        if width < num_points + 1:
            raise ValueError(
                f"num_points must be at most {width - 1} for embeddings of size {width}, but got {num_points}: more "
                "points do not fit around a proxy"
            )
        self.num_points = num_points
        self.weight = weight
        self.select = select
        self.fraction = fraction
        self.min_cosine = min_cosine
        self.points = points
        self._check_settings()
        self.num_synthetic = 0
        self.add_to_recordable_attributes(
            list_of_names=["num_points", "weight", "fraction", "min_cosine"], is_stat=False
        )
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)
        self.fix_attributes()

    @property
    def num_classes(self) -> int:
        """Classes of the wrapped loss."""
        return self.layout.count(self.loss)

    def prepare(self, embeddings: Tensor, labels: Tensor) -> None:
        if self.fraction == 0:  # a schedule begins with no rows
            self.fraction = 0.4

    def wrapped(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        directions: Tensor | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The wrapped loss of the batch and, weighted, of the points.

        Args:
            batch: labels are in 0 .. C - 1; an `indices_tuple` is for the term of the batch.
            generator: source of the directions; torch's global one by default.
            directions: (R, n - 1, D), used instead of random numbers for the R selected rows in their order.
            random_inputs: not used, as the wrapped loss is no wrapper.
        """
        self.num_synthetic = 0
        self._check_settings()
        if batch.ref_emb is not None:
            raise ValueError(
                "SphericalEmbeddingExpansion takes no `ref_emb`: its loss compares embeddings with proxies"
            )
        check_class_labels(batch.labels, self.num_classes, of=type(self.loss).__name__)
        terms: list[Term] = []
        if self.weight > 0:
            around = self._points_around(batch, generator, directions)
            self.num_synthetic = len(around.labels)
            if self.num_synthetic:
                with without_regularizers(self.loss):
                    terms = [Term("synthetic", self.weight, self.loss(around.embeddings, around.labels))]
        # the batch comes last, so that the statistics that PML records are its
        return weighted_sum([Term("", 1, self.loss(*batch, **random_inputs)), *terms])

    @torch.no_grad()
    def _points_around(self, batch: Batch, generator: torch.Generator | None, directions: Tensor | None) -> Synthetic:
        """The points of all selected rows: those of the first row, then those of the second one, ..."""
        loss, num_points = self.loss, self.num_points
        distance = unwrap(loss.distance)
        rows = batch.embeddings
        uncertainty: Tensor | None = None
        if isinstance(distance, IntrospectiveBase):
            rows, uncertainty = distance.split(rows)
        labels = to_device(batch.labels, rows.device)
        axes = self.layout.rows(loss).to(rows).index_select(0, labels)
        selected = self._selected(rows, axes)
        rows, axes = rows[selected], axes[selected]
        if self.points == "row":
            points = rows[:, None].expand(-1, num_points, -1)
        else:
            shape = (len(rows), num_points - 1, rows.shape[1])
            if directions is None:
                directions = draw_directions(len(rows), num_points, rows, generator)
            elif directions.shape != shape:
                raise ValueError(
                    f"`directions` must be of shape {shape}, (selected rows, num_points - 1, dimensions), but got "
                    f"{tuple(directions.shape)}"
                )
            lengths = rows.norm(dim=1)[:, None, None]
            points = points_of_equal_cosine(rows, axes, directions.to(rows)) * lengths
        points = points.flatten(0, 1)
        source = selected[:, None].expand(-1, num_points).flatten()
        if uncertainty is not None:
            points = torch.cat([points, uncertainty[source]], dim=1)
        return Synthetic(points, labels[source], source)

    def _selected(self, rows: Tensor, axes: Tensor) -> Tensor:
        """The rows to expand, ascending."""
        rows, axes = normalize(rows), normalize(axes)
        cosine = torch.linalg.vecdot(rows, axes)
        if self.select == "fraction":
            selected = cosine.topk(round(len(rows) * self.fraction)).indices.sort().values
        else:
            selected = torch.nonzero(cosine >= self.min_cosine).squeeze(1)
        if rows.device.type != "cpu" or self.points == "row":
            return selected
        rest = (rows - cosine[:, None] * axes)[selected].norm(dim=1)
        return selected[rest > 4 * torch.finfo(rows.dtype).eps]

    def _check_settings(self) -> None:
        """Check what may be assigned between calls."""
        check_number("weight", self.weight, minimum=0)
        check_choice("select", self.select, SELECT)
        check_number("fraction", self.fraction, minimum=0, maximum=1)
        check_number("min_cosine", self.min_cosine, minimum=-1, maximum=1)
