from pml_aug.trainers.introspective import IntrospectiveTrainer, MixupDraw, mixup_loss

__all__ = ["IntrospectiveTrainer", "MixupDraw", "mixup_loss"]
