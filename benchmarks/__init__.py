"""Benchmarks: seeded data, medians of several runs, a table to read and a JSON file to keep (`make bench`)."""
