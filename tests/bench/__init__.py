"""Measures the promises of speed, side by side with hand-written peers: `python -m tests.bench`, or `make bench`.

`data` makes the rows, `processes` runs the servers, `bare` is the peer of the reads, `load` drives wrk, `reads` and
`ingestion` measure, `report` prints and writes `bench.json`. A benchmark is not a test: nothing here asserts a speed,
only that both peers give the same answer.
"""
