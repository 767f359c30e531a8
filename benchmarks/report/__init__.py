"""The report: run directories in, pages and tables out. Reads files only and needs no torch."""
