"""The site: static pages in Spanish (some in English too) that open from a folder and from any static host."""
