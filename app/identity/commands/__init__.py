"""What changes people, their ways in, and what is sent to them; each command takes a transaction and never commits."""
