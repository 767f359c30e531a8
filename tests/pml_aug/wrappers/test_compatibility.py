"""The page of compatibilities says what the code does, about every loss that PML has."""

import importlib.util
import inspect
from pathlib import Path

from pytorch_metric_learning import losses

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
_spec = importlib.util.spec_from_file_location("compatibility", Path(__file__).with_name("compatibility.py"))
compatibility = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compatibility)


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == compatibility.page(), (
        "run: python tests/pml_aug/wrappers/compatibility.py > docs/compatibility.md"
    )


def test_every_loss_of_pml_is_in_the_table():
    abstract = {losses.BaseMetricLossFunction, losses.GenericPairLoss}
    of_pml = {
        name
        for name, kind in vars(losses).items()
        if inspect.isclass(kind) and issubclass(kind, losses.BaseMetricLossFunction) and kind not in abstract
    }
    assert of_pml == set(compatibility.LOSSES)


def test_every_refusal_names_the_loss_and_a_reason():
    refused = {names: result for names, result in compatibility.outcomes().items() if not result.works}
    assert refused
    for (loss, _), result in refused.items():
        assert loss in result.reason and len(result.reason.split(": ", 1)[-1]) > 20
