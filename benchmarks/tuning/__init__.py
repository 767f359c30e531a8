"""Tuning: the same number of trials for the bare loss and for each method, over declared spaces, all of them kept."""
