"""From results to statistics, tables, plots and the report. Loads no torch."""
