"""Applications that show the packages at work. Each runs with one command."""
