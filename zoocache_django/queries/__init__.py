"""What cached querysets work with: what a query asks for, and what its rows become."""
