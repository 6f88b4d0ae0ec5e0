"""The graph: the public face. GraphQL types and root fields by room, execution, live delivery and transports.

May call: every room and core. The only place that imports strawberry; mutual references between types live here alone.
"""
