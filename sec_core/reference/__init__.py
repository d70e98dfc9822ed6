"""The comunas, companies and regions, and how the SEC spells them."""
