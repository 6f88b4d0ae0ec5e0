"""The reads of identity that no declaration of the graph gives."""
