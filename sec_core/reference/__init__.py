"""Facts of the project's own: comunas, regions and companies, with the spellings under which the SEC names them."""
