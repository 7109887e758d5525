"""Parts of `scripts/reproduce_offline.py`: what is run, how one run is done, and the table made of all of them."""
