from pml_aug.host.losses import (
    COPIES,
    LOSSES,
    MATRIX,
    ONE_PROXY,
    PROXIES,
    SIDES,
    CopyMode,
    Facts,
    LossFacts,
    facts_of,
    refuse,
)
from pml_aug.host.proxies import Proxies

__all__ = [
    "COPIES",
    "LOSSES",
    "MATRIX",
    "ONE_PROXY",
    "PROXIES",
    "SIDES",
    "CopyMode",
    "Facts",
    "LossFacts",
    "Proxies",
    "facts_of",
    "refuse",
]
