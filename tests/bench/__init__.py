"""Measures the promises of speed, side by side with hand-written peers: `python -m tests.bench`, or `make bench`.

`data` makes the rows and `processes` runs the servers. Of the reads, `documents` are what is asked, `workloads` who is
asked it and what must be equal, `peers` who takes part: `bare` and `plain` in Python over `asgi`, and `postgraphile`;
`load` drives wrk, `rounds` takes the figures, `reads` and `growth` measure. `ingestion` measures the writes, `report`
prints the `tables` and writes `bench.json`. A benchmark is not a test: nothing here asserts a speed, only that all
peers give the same answer.
"""
