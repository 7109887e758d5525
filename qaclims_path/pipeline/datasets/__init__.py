"""List, check, describe, draw and fake data sets, and write a card for one's own."""
