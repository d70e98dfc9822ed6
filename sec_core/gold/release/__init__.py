"""A release: all that is published from one snapshot, checked, sealed and never changed."""
