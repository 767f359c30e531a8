"""Memory of the embeddings, labels and proxies of earlier steps (memory-based virtual classes)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pml_aug.validation import check_choice, check_integer

STORES = ("every_step", "strided")


class Step(NamedTuple):
    """What a step leaves behind, as constants."""

    embeddings: Tensor  # (B, D)
    labels: Tensor  # (B,), long
    proxies: Tensor  # (P, D), the same P for all steps


class EarlierSteps(nn.Module):
    r"""The last steps of a training, and every (M + 1)-th of them, newest first.

    Step t chooses the steps

    .. math:: t - (M + 1),\; t - 2 (M + 1),\; \dots,\; t - K (M + 1), \quad K = \min(N, \lfloor n / (M + 1) \rfloor)

    of the n that are stored. Stores N (M + 1) steps with `store="every_step"`. With "strided", N: of each M + 1 steps
    only the first is stored, so that the choice stays the same for M + 1 steps, and the k-th chosen step is between
    (k - 1) (M + 1) + 1 and k (M + 1) steps old. The state dict has all of it, whatever the sizes of the batches.

    Args:
        num_steps: N, steps to choose, at least 0.
        step_gap: M, steps between two chosen ones, at least 0.
        store: "every_step" or "strided".

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: Ko, Gu and Kim, "Learning with Memory-based Virtual Classes for Deep Metric Learning", ICCV 2021;
    github.com/navervision/MemVir. "strided" is not in the official code.

    Example:
        >>> memory = EarlierSteps(num_steps=2, step_gap=1)
        >>> for step in range(6):
        ...     memory.append(torch.full((1, 2), step), torch.tensor([0]), torch.zeros(1, 2))
        >>> [int(step.embeddings[0, 0]) for step in memory.chosen()]  # in step 6
        [4, 2]
    """

    def __init__(self, num_steps: int, step_gap: int, store: str = "every_step") -> None:
        super().__init__()
        check_integer("num_steps", num_steps, minimum=0)
        check_integer("step_gap", step_gap, minimum=0)
        check_choice("store", store, STORES)
        self.num_steps = num_steps
        self.step_gap = step_gap
        self.store = store
        self.steps: list[Step] = []  # from the oldest on
        self.num_appended = 0  # including steps that were not stored

    def chosen(self) -> list[Step]:
        """The steps whose classes are virtual ones now, newest first."""
        distance = 1 if self.store == "strided" else self.step_gap + 1
        return self.steps[-distance::-distance][: self.num_steps]

    def append(self, embeddings: Tensor, labels: Tensor, proxies: Tensor) -> None:
        """Store a step that is over, or nothing if it will never be chosen; the oldest is dropped.

        Args:
            embeddings: (B, D).
            labels: (B,), long.
            proxies: (P, D); copied, as an optimizer changes them in place.
        """
        period = self.step_gap + 1
        if self.num_steps and (self.store == "every_step" or self.num_appended % period == 0):
            self.steps.append(Step(embeddings.detach().clone(), labels.detach().clone(), proxies.detach().clone()))
            del self.steps[: -self.num_steps * (1 if self.store == "strided" else period)]
        self.num_appended += 1

    def fill(self, embeddings: Tensor, labels: Tensor, proxies: Tensor) -> None:
        """Store one step as often as a full memory needs, for checks and measurements; it shares its tensors."""
        self.steps, self.num_appended = [], 0
        self.append(embeddings, labels, proxies)
        self.num_appended = self.num_steps * (self.step_gap + 1)
        self.steps *= self.num_steps if self.store == "strided" else self.num_appended

    # ---- state: the steps joined, so that a state dict holds few tensors

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        sizes = [len(step.labels) for step in self.steps]
        destination[f"{prefix}sizes"] = torch.tensor([self.num_appended, *sizes])
        if self.steps:
            joined = Step(*(torch.cat(parts) for parts in zip(*self.steps, strict=True)))
            destination.update({f"{prefix}{name}": part for name, part in joined._asdict().items()})

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, missing: list[str], *rest: Any
    ) -> None:
        saved = {name: state_dict.pop(f"{prefix}{name}", None) for name in ("sizes", *Step._fields)}
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *rest)
        if saved["sizes"] is None:
            missing.append(f"{prefix}sizes")
            return
        self.num_appended, *sizes = saved["sizes"].tolist()
        self.steps = []
        if sizes:
            embeddings, labels, proxies = (saved[name].clone() for name in Step._fields)
            parts = embeddings.split(sizes), labels.split(sizes), proxies.chunk(len(sizes))
            self.steps = [Step(*step) for step in zip(*parts, strict=True)]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "EarlierSteps":
        super()._apply(fn, recurse)
        self.steps = [Step(*map(fn, step)) for step in self.steps]
        return self
