"""The report: one page that works offline, and the same figures as pictures."""
