"""What changes portfolios, one module for each thing that is done."""
