"""Tuning: the same number of trials for the baseline and for each method, over declared spaces, all of them kept."""
