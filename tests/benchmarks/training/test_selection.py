from benchmarks.training.selection import selection


def entry(epoch: int, val: float, test: float) -> dict:
    return {
        "epoch": epoch,
        "val": {"mean_average_precision_at_r": val},
        "test": {"mean_average_precision_at_r": test},
    }


def test_validation_chooses_and_the_others_are_marked_as_oracles() -> None:
    history = [entry(0, 0.1, 0.2), entry(1, 0.5, 0.3), entry(2, 0.5, 0.6), entry(3, 0.4, 0.4)]
    chosen = selection(history)
    assert {rule: picked["epoch"] for rule, picked in chosen.items()} == {"validation": 1, "last": 3, "test": 2}
    assert {rule: picked["oracle"] for rule, picked in chosen.items()} == {
        "validation": False,
        "last": True,
        "test": True,
    }
    assert chosen["validation"]["test"] == {"mean_average_precision_at_r": 0.3}


def test_scores_of_the_chosen_weights_alone_leave_no_rule_that_looked_at_the_test_set() -> None:
    history = [{**entry(0, 0.5, 0.0), "test": None}, {**entry(1, 0.1, 0.0), "test": None}]
    chosen = selection(history, final={"mean_average_precision_at_r": 0.7})
    assert list(chosen) == ["validation", "last"]
    assert chosen["validation"]["test"] == {"mean_average_precision_at_r": 0.7}
    assert chosen["last"]["test"] is None
    assert selection(history)["validation"]["test"] is None


def test_without_validation_the_last_epoch_counts_and_the_best_on_test_is_the_only_oracle() -> None:
    history = [{**entry(epoch, 0.0, test), "val": None} for epoch, test in enumerate([0.2, 0.6, 0.4])]
    chosen = selection(history)
    assert {rule: (picked["epoch"], picked["oracle"]) for rule, picked in chosen.items()} == {
        "last": (2, False),
        "test": (1, True),
    }
    assert chosen["last"]["val"] is None and chosen["last"]["test"] == {"mean_average_precision_at_r": 0.4}


def test_without_validation_one_test_scoring_leaves_the_last_epoch_alone() -> None:
    history = [{**entry(epoch, 0.0, 0.0), "val": None, "test": None} for epoch in range(2)]
    chosen = selection(history, final={"mean_average_precision_at_r": 0.7})
    assert chosen == {"last": {"oracle": False, "epoch": 1, "val": None, "test": {"mean_average_precision_at_r": 0.7}}}
