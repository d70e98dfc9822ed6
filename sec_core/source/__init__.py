"""The SEC's API: client, shapes, politeness."""
