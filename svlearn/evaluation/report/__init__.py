"""The report of a comparison: tables, figures, one HTML file."""
