"""Transports: the graph over HTTP, server-sent events and WebSockets, each a thin coat over `app.graph.execution`."""
