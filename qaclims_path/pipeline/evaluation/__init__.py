"""Score predictions with the protocols of the field."""
