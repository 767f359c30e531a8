"""Which loss, method and parameters to use on a data set, found within a given time."""
