"""The doors: HTTP routes that are not GraphQL. Partners' batches come in here, and operators look in.

May call: the rooms' commands and queries, core. Nothing of the graph.
"""
