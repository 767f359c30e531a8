"""Configurations: their schema, how command lines become them, and lists of trainings."""

CONFIGS_VARIABLE = "PML_AUG_CONFIGS"
"""Environment variable: further directories of configs, separated as in PATH; ``--config-dir`` adds to it."""
