"""A server that speaks the SEC's API, for the demo, tests and benchmarks."""
