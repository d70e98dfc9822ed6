"""The schema, version by version; the SQL of version N lies in `sql/N`, a file for each theme."""
