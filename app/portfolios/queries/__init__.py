"""What is read of portfolios."""
