"""People in the graph: accounts, ways in, sessions, tokens and roles."""
