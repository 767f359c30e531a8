"""Costs of the library's parts and speed of whole trainings: cases, timing, counting of operations, tables, figures."""
