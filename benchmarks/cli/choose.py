"""``pml-aug choose``: which loss, method and parameters to use on a data set."""

import time
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """Choose, say what was chosen and why, and export the winner."""
    started = time.monotonic()
    parser = Parser(
        prog="pml-aug choose",
        description="Find out which loss, method and parameters to use on your data, within some minutes: features\n"
        "once, a search with equal budgets, the best few over folds and seeds, the report, and the winner's model.\n"
        "After an interruption the same command goes on.",
        epilog="keys of its own: minutes (30), runs (runs/choose), workers, comparisons; those of data, trunk and\n"
        "protocol.eval_images are for the features, all others for each training\n"
        "example: pml-aug choose data=folder data.path=PHOTOS data.name=photos minutes=30",
    )
    add_overrides(parser, "a key of the command, of data or trunk, or of each training")
    given = parse_arguments(parser, argv)

    # these load torch and optuna, which takes seconds
    from ..tuning.choose import answer, stages
    from ..tuning.choose.clock import Clock, minutes
    from ..tuning.choose.decision import decide
    from ..tuning.choose.features import compute_features
    from ..tuning.choose.request import read_request
    from ..tuning.choose.state import State

    request = read_request(given.overrides)
    clock, state = Clock(started, 60 * request.own.minutes), State(request)
    if request.images is not None:
        compute_features(request, clock)
    study, cells = stages.divide_time(request, state, clock)
    print(answer.plan(study, cells, state, clock), flush=True)
    found = stages.search(study, cells, state, clock)
    arms = stages.plan_final_runs(found, state, clock)
    if not arms:
        print(answer.nothing_learnt(found))
        return 0
    assert state.finals is not None
    print(answer.final_plan(found, state), flush=True)
    seeds = stages.train_finals(arms, study.workers, state.finals.seconds, clock)
    decision = decide(arms, seeds)
    kept = stages.keep_winner(request, arms, decision)

    from ..report.write import write_report  # loads the plotting libraries, which takes time

    runs = Path(request.own.runs)
    page = write_report(runs, runs / "report", names=stages.report_names(arms, seeds))[0]
    print(answer.answer(decision, found, kept))
    print(f"report: {page}")
    print(f"took {minutes(clock.taken)} of {minutes(clock.seconds)}")
    return 0
