"""SEIA: investment projects from the site's exports, and the reviewed list of works that are validated."""
