from benchmarks.engine.selection import selection


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
