"""Reads: a GraphQL type is declared once over its table; its loaders and its SQL come from the declaration.

`fields` declares over `tables`, `arguments` narrows and pages, `wire` writes leaves, `layout` knows where each value of
a row stands. Plain path: `resolvers` over `rows`, with `ahead` for whole lists. Compiled path: `selections` understands
what a document selects, `compiler` writes it as one statement, `plans` keeps the statements, and `prepared` answers
what needs nothing else. `executor` takes each field the one way or the other. Nothing else in the graph knows of SQL.
"""
