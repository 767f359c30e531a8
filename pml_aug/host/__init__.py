from pml_aug.host.losses import LOSSES, CopyMode, Facts, LossFacts, facts_of, refuse
from pml_aug.host.proxies import Proxies

__all__ = ["LOSSES", "CopyMode", "Facts", "LossFacts", "Proxies", "facts_of", "refuse"]
