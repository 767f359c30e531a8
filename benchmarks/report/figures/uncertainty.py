"""How well scores predict wrong answers: risk by coverage, reliability, and scores by the level of a corruption."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from ..labels import loss_name, method_name
from ..uncertainty import COVERAGES, SCORES, Judged
from .svg import BASELINE_COLOUR, INK, METHOD_COLOURS, Figure, canvas, style, to_svg

COLOURS = {**dict(zip(SCORES, METHOD_COLOURS, strict=False)), "random": BASELINE_COLOUR}
SHORT = {**SCORES, "length": "length of the embedding", "distance": "distance"}


def uncertainty_figures(judged: Sequence[Judged]) -> list[Figure]:
    """Panels of each loss with each method; of a model without an uncertainty its risk alone."""
    return [panel for _, scores in groupby(judged, key=lambda each: id(each.cell)) for panel in _panels(list(scores))]


def _panels(scores: list[Judged]) -> Iterator[Figure]:
    yield _risk(scores)
    if any(each.score == "uncertainty" for each in scores):
        yield _reliability(scores)
        kinds = next(iter(scores[0].by_run.values())).severity
        yield from (_severity(scores, kind) for kind in kinds)


def _risk(scores: list[Judged]) -> Figure:
    with style():
        figure = canvas(4.4, 3.2)
        axes = figure.add_subplot()
        for each in scores:
            line = ":" if each.score == "random" else "-"
            risk = 100 * each.mean(lambda found: found.risk)
            axes.plot(100 * COVERAGES, risk, color=COLOURS[each.score], label=SHORT[each.score], linestyle=line)
        axes.set_title(_title(scores), color=INK, loc="left")
        axes.set_xlabel("queries answered, %")
        axes.set_ylabel("wrong first neighbours, %")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
        areas = ", ".join(
            f"{SHORT[each.score]} {100 * each.mean(lambda found: found.risk).mean():.1f}" for each in scores
        )
        alt = f"Risk by coverage, {_title(scores)}; mean risk in %: {areas}."
        return Figure(to_svg(figure, f"risk-{_key(scores)}", alt), alt)


def _reliability(scores: list[Judged]) -> Figure:
    with style():
        figure = canvas(4.4, 3.2)
        axes = figure.add_subplot()
        axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle=":")
        shown = []
        for each in scores:
            if each.score == "random":
                continue
            predicted = 100 * each.mean(lambda found: found.reliability.predicted)
            observed = 100 * each.mean(lambda found: found.reliability.observed)
            axes.plot(predicted, observed, "o-", markersize=3, color=COLOURS[each.score], label=SHORT[each.score])
            shown += [*predicted, *observed]
        low, high = min(shown) - 3, max(shown) + 3
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_title(_title(scores), color=INK, loc="left")
        axes.set_xlabel("predicted probability of a match, %")
        axes.set_ylabel("first neighbours that match, %")
        axes.legend(fontsize=8)
        alt = f"Reliability of the probability of a match, {_title(scores)}."
        return Figure(to_svg(figure, f"reliability-{_key(scores)}", alt), alt)


def _severity(scores: list[Judged], kind: str) -> Figure:
    described = []
    with style():
        figure = canvas(4.4, 3.2)
        axes = figure.add_subplot()
        axes.axhline(0, color=INK, linewidth=0.8)
        for each in scores:
            if not next(iter(each.by_run.values())).severity:
                continue
            mean = each.mean(lambda found: found.severity[kind])
            axes.plot(
                np.arange(len(mean)), mean, "o-", markersize=3, color=COLOURS[each.score], label=SHORT[each.score]
            )
            described.append(f"{SHORT[each.score]} {mean[-1]:+.1f}")
        axes.set_title(f"{_title(scores)}: {kind}", color=INK, loc="left")
        axes.set_xlabel("level")
        axes.set_ylabel("standard deviations")
        axes.legend(fontsize=8)
        alt = f"Mean scores by level of {kind}, {_title(scores)}; at the last level: {', '.join(described)}."
        return Figure(to_svg(figure, f"{kind}-{_key(scores)}", alt), alt)


def _title(scores: list[Judged]) -> str:
    return f"{loss_name(scores[0].loss)}, {method_name(scores[0].method)}"


def _key(scores: list[Judged]) -> str:
    return f"{scores[0].cell.data}-{scores[0].loss}-{scores[0].method}"
