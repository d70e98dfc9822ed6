"""The domain: rules as pure functions, adapters behind small interfaces. Knows no Prefect."""
