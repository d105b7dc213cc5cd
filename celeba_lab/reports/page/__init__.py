"""The HTML page for a report."""
