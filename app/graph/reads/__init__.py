"""Reads: a GraphQL type is declared once over its table; its loaders and its SQL come from the declaration.

`fields` declares, `arguments` narrows and pages, `wire` writes leaves. Plain path: `resolvers` over `rows`. Compiled
path: `selections` understands a document's selection, `compiler` writes it as one statement, `plans` keeps the
statements. `executor` chooses between the two. Nothing else in the graph knows of SQL.
"""
