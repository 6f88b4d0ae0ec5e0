"""The doors: HTTP routes that are not GraphQL.

Partners' batches come in here, browsers follow links of mails and come back from identity providers, people fetch the
archives of their data, and operators look in.

May call: the rooms' commands and queries, core. Nothing of the graph.
"""
