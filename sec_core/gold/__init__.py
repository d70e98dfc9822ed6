"""Gold: Parquet for research, payloads for the dashboard, the report."""
