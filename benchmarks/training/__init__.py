"""One training: data pipeline, trainer, evaluation, selection, checkpoints, resources."""
