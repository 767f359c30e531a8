from pml_aug.trainers.introspective import IntrospectiveTrainer, MixupDraw, draw_mixup, mixup_loss

__all__ = ["IntrospectiveTrainer", "MixupDraw", "draw_mixup", "mixup_loss"]
