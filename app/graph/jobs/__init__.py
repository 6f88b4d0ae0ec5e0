"""Jobs of the server and their runs, imports among them: what staff see of them, start, and change."""
