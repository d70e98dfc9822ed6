"""Facts that belong to the project: comunas, regions and companies with the spellings under which the SEC names them."""
