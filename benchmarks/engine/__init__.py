"""The pieces of one training: images, sampling, trainer, evaluation, selection, checkpoints, cost."""
