"""Train a segmenter on masks, predict a split with it, and export it."""
