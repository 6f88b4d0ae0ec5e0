"""What people are told, how they want to be told it, and what became of that."""
