"""Silver: observations and events, by explicit rules."""
