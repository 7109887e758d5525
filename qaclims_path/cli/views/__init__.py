"""Views: lay out reports as tables and text on a terminal. May import pipeline types, report and rich."""
