"""Drawing data sets from their sources; imported by the command ``data build`` alone."""
