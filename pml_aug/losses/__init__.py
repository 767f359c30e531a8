from pml_aug.losses.binomial_deviance_loss import BinomialDevianceLoss
from pml_aug.losses.soft_lifted_structure_loss import SoftLiftedStructureLoss

__all__ = ["BinomialDevianceLoss", "SoftLiftedStructureLoss"]
