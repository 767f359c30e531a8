"""The compatibility page and the table of facts say what the wrappers and distances do with every loss of PML."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
from host_losses import KINDS, reason_against

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
_spec = importlib.util.spec_from_file_location("compatibility", Path(__file__).with_name("compatibility.py"))
compatibility = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compatibility)


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == compatibility.page(), "write it again, see compatibility.py"


@pytest.mark.parametrize("part", compatibility.PARTS)
def test_every_loss_works_or_is_refused_as_the_table_says(part):
    for loss in KINDS:
        works, message = compatibility.outcome(f"{part} with {loss}", partial(compatibility.combined, loss, part))
        reason = reason_against(loss, part)
        assert works == (reason is None), (loss, message)
        if reason is not None:
            assert loss in message and reason in message and len(reason) > 20
