"""Configurations: their schema, how command lines become them, and lists of trainings."""
