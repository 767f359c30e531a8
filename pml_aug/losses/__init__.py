from pml_aug.losses.binomial_deviance_loss import BinomialDevianceLoss
from pml_aug.losses.introspective_softmax_loss import IntrospectiveSoftmaxLoss
from pml_aug.losses.soft_lifted_structure_loss import SoftLiftedStructureLoss

__all__ = ["BinomialDevianceLoss", "IntrospectiveSoftmaxLoss", "SoftLiftedStructureLoss"]
