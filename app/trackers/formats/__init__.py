"""What phones, receivers and files say of where they were, read as reports."""
