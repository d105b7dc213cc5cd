"""One HTML file that holds a report."""
