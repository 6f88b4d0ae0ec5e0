"""Those who send, each by one kind of channel."""
