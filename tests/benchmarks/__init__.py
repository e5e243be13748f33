"""How fast the service is, as ratios: `python -m tests.benchmarks [names]`. Never part of the tests."""
