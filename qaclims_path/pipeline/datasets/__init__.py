"""List, check, count, draw and imitate data sets, and write a card for one's own."""
