"""The loop: `fit` trains a task until its epochs are over, and can be killed and called again at any moment."""
