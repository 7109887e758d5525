"""Cut tiles from slides and write them as a data set."""
